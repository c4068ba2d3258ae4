package console

import (
	"fmt"
	"regexp"
	"strings"

	"parvis/internal/federation"
)

// A guide says what to do at a provider: in how many steps, and what to type there, in the
// order of the provider's own pages. The names of its fields are the product's own.
type guide struct {
	steps  int
	values string
}

type spoken struct {
	provider federation.Provider
	protocol federation.Protocol
}

var guides = map[spoken]guide{
	{federation.Okta, federation.SAML}:       {5, "acs entity_id"},
	{federation.Okta, federation.OIDC}:       {4, "callback signed_out start"},
	{federation.Entra, federation.SAML}:      {5, "entity_id acs start slo"},
	{federation.Entra, federation.OIDC}:      {5, "callback signed_out"},
	{federation.Google, federation.SAML}:     {5, "acs entity_id"},
	{federation.Google, federation.OIDC}:     {4, "callback"},
	{federation.OneLogin, federation.SAML}:   {5, "entity_id recipient acs_pattern acs slo start"},
	{federation.OneLogin, federation.OIDC}:   {4, "start callback signed_out"},
	{federation.PingOne, federation.SAML}:    {5, "acs entity_id slo"},
	{federation.PingOne, federation.OIDC}:    {4, "callback signed_out start"},
	{federation.ADFS, federation.SAML}:       {5, "metadata"},
	{federation.ADFS, federation.OIDC}:       {5, "callback signed_out"},
	{federation.Salesforce, federation.SAML}: {5, "start entity_id acs slo"},
	{federation.Salesforce, federation.OIDC}: {4, "callback"},
	{federation.Generic, federation.SAML}:    {4, "entity_id acs slo metadata"},
	{federation.Generic, federation.OIDC}:    {3, "callback signed_out logout start key_set"},
}

// shownGuide is a guide for one connection.
type shownGuide struct {
	Steps  []string // catalogue keys
	Values []guideValue
}

// guideValue is something to type at the provider, under the name that the provider gives it.
type guideValue struct{ ID, Key, Value string }

func guideOf(c federation.Connection, base string) shownGuide {
	about := string(c.Provider) + "." + string(c.Protocol)
	g := guides[spoken{c.Provider, c.Protocol}]
	values := map[string]string{
		"entity_id": c.EntityID(base), "acs": c.ACS(base), "slo": c.SLO(base), "metadata": c.Metadata(base), "start": c.Start(base),
		"callback": c.Callback(base), "logout": c.Logout(base), "signed_out": c.SignedOut(base), "key_set": federation.KeySet(base),
		"recipient": c.ACS(base), "acs_pattern": "^" + strings.ReplaceAll(regexp.QuoteMeta(c.ACS(base)), "/", `\/`) + "$",
	}
	var shown shownGuide
	for step := range g.steps {
		shown.Steps = append(shown.Steps, fmt.Sprint("federation.guide.", about, ".", step+1))
	}
	for _, name := range strings.Fields(g.values) {
		shown.Values = append(shown.Values, guideValue{"value-" + name, "federation.label." + about + "." + name, values[name]})
	}
	return shown
}
