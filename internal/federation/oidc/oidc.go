// Package oidc is an OpenID Connect relying party: it discovers a provider, sends people
// there by the code flow, and judges what comes back. It stores nothing, shows nothing and
// has no clock. Its result is an upstream.Assertion, with an upstream.Trace of why it was
// believed or not.
//
// Each check has a name for the people who have to mend it. Algorithms and keys are the
// connection's.
package oidc

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"parvis/internal/jose"
)

// Method is how a connection proves to its provider that it is the client.
type Method string

// The methods (OIDC Core §9).
const (
	ClientSecretBasic Method = "client_secret_basic"
	ClientSecretPost  Method = "client_secret_post"
	PrivateKeyJWT     Method = "private_key_jwt"
	NoSecret          Method = "none" // PKCE alone
)

// Connection is what an administrator entered for their provider. Its secret is stored
// elsewhere.
type Connection struct {
	Issuer     string   `json:"issuer"`
	Tenant     string   `json:"tenant,omitempty"` // id of the directory, where Issuer is Entra's for all directories
	ClientID   string   `json:"client_id"`
	Method     Method   `json:"method"`
	Scopes     []string `json:"scopes,omitempty"`     // beside openid
	Algorithms []string `json:"algorithms,omitempty"` // of ID tokens; empty for the provider's
	ACR        []string `json:"acr,omitempty"`        // one of which is demanded
}

// Credentials are what Method needs, for one request.
type Credentials struct {
	Secret string
	Key    jose.Key // private, with its id and algorithm
}

// forAll are the parts of Entra's issuers that stand for every tenant. Its tokens name
// their tenant, so the issuer to compare with must name it too.
var forAll = []string{"{tenantid}", "common", "organizations", "consumers"}

// issuer returns the issuer that discovery and tokens must name.
func (c Connection) issuer() string {
	parts := strings.SplitN(c.Issuer, "/", 5) // https, nothing, host, tenant, the rest
	if c.Tenant == "" || len(parts) < 4 || !slices.Contains(forAll, parts[3]) {
		return c.Issuer
	}
	parts[3] = c.Tenant
	return strings.Join(parts, "/")
}

// algorithms returns those that ID tokens of c may be signed with.
func (c Connection) algorithms(p Provider) []string {
	if len(c.Algorithms) > 0 {
		return jose.Known(c.Algorithms)
	}
	return jose.Known(p.Algorithms)
}

// tolerance is how far a provider's clock may be from ours.
const tolerance = time.Minute

// shown returns a provider's text as it may be stored and shown: without control
// characters.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
