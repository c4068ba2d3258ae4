package federation

import (
	"slices"
	"strings"

	"parvis/internal/naming"
	"parvis/internal/upstream"
)

// The usual names of attributes, for a mapping that gives none: those of OpenID Connect,
// of LDAP with their OIDs, and of Microsoft.
var (
	emailNames = []string{
		"email", "mail", "emailaddress", "urn:oid:0.9.2342.19200300.100.1.3",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
	}
	nameNames = []string{
		"name", "displayname", "urn:oid:2.16.840.1.113730.3.1.241", "cn", "urn:oid:2.5.4.3",
		"http://schemas.microsoft.com/identity/claims/displayname",
	}
	givenNames = []string{
		"given_name", "firstname", "givenname", "urn:oid:2.5.4.42",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname",
	}
	familyNames = []string{
		"family_name", "lastname", "surname", "sn", "urn:oid:2.5.4.4",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname",
	}
)

// verifiedNames are the claims in which a provider itself says whether the address in its
// claim email is the person's. Entra's xms_edov is about the address's domain.
var verifiedNames = []string{"email_verified", "emailverified", "http://schemas.auth0.com/email_verified", "xms_edov"}

// transientFormat is the format of a NameID that names nobody the next time.
const transientFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"

// emailFormat is the format of a NameID that is an address.
const emailFormat = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"

// email returns the address that the provider gives; empty if it gives none, or several.
func (m Mapping) email(a upstream.Assertion) string {
	if m.Email != "" {
		return only(a.Values(m.Email))
	}
	for _, name := range emailNames {
		if values := a.Values(name); len(values) > 0 {
			return only(values)
		}
	}
	if a.Format == emailFormat {
		return a.NameID
	}
	return ""
}

// vouchedFor reports whether the provider, or the administrator for it, says that an
// address is the person's, and returns what the provider said. The provider's no counts
// more than their yes. The provider speaks of its claim email (OIDC Core §5.1), while the
// mapping may take the address from another.
func (c Connection) vouchedFor(a upstream.Assertion, address string) (vouched bool, said string) {
	claimed := only(a.Values("email"))
	same := strings.EqualFold(claimed, address)
	if same || claimed == "" {
		for _, x := range a.Attributes {
			if name := strings.ToLower(x.Name); slices.Contains(verifiedNames, name) && slices.ContainsFunc(x.Values, isNo) {
				return false, name + ": false"
			}
		}
	}
	return c.Vouches || a.EmailVerified && same, address
}

// reads returns the attributes that we read something from.
func (c Connection) reads() (all []string) {
	for _, names := range c.wanted(false) {
		all = append(all, names...)
	}
	return slices.Concat(all, verifiedNames, givenNames, familyNames)
}

// wanted returns the claims that we read, each with the names that it may have. Groups
// are among them if roles depend on them, and in a test, which shows them.
func (c Connection) wanted(test bool) [][]string {
	names := func(chosen string, usual ...string) []string {
		if chosen != "" {
			return []string{chosen}
		}
		return usual
	}
	all := [][]string{
		names(c.Mapping.Email, emailNames...), {"email_verified"},
		names(c.Mapping.Name, slices.Concat(nameNames, givenNames, familyNames)...),
	}
	if test || len(c.Mapping.Roles) > 0 {
		all = append(all, []string{c.Mapping.groupsName()})
	}
	return all
}

// isNo reports whether a claim says no, as a boolean, a number or a text.
func isNo(value string) bool {
	return slices.Contains([]string{"false", "0", "no"}, strings.ToLower(strings.TrimSpace(value)))
}

// name returns what to call a new person: the first of these that can be shown: what the
// provider says, the invited name, the local part of the address, the whole address.
func (m Mapping) name(a upstream.Assertion, invited, email string) string {
	said := []string{only(a.Values(m.Name))}
	if m.Name == "" {
		said = []string{first(a, nameNames), first(a, givenNames) + " " + first(a, familyNames)}
	}
	local, _, _ := strings.Cut(email, "@")
	for _, name := range append(said, invited, local) {
		if name, err := naming.CleanName(name, "name"); err == nil {
			return name
		}
	}
	return email
}

// parts returns the given and the family name of a new person, as far as the provider says them and
// they can be shown.
func parts(a upstream.Assertion) (given, family string) {
	given, _ = naming.CleanName(first(a, givenNames), "")
	family, _ = naming.CleanName(first(a, familyNames), "")
	return given, family
}

func (m Mapping) groupsName() string {
	if m.Groups != "" {
		return m.Groups
	}
	return "groups"
}

func only(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return strings.TrimSpace(values[0])
}

func first(a upstream.Assertion, names []string) string {
	for _, name := range names {
		if v := only(a.Values(name)); v != "" {
			return v
		}
	}
	return ""
}

// The meanings of an attribute.
const (
	MeansEmail  = "email"
	MeansName   = "name"
	MeansGroups = "groups"

	MeansIdentity      = "identity"           // it identifies the person the next time
	MeansIdentityEmail = "identity_and_email" // it does so, and is the address as well
	MeansPassing       = "passing"            // it names somebody else the next time
)

// MeansSubject returns the meaning of a test's subject.
func (m Mapping) MeansSubject(t Trace) string {
	switch {
	case t.Rehearsal.Format == transientFormat:
		return MeansPassing
	case m.email(upstream.Assertion{Attributes: t.Claims}) == "" && m.email(upstream.Assertion{Attributes: t.Claims, Format: t.Rehearsal.Format, NameID: t.Rehearsal.Subject}) != "":
		return MeansIdentityEmail
	}
	return MeansIdentity
}

// Means returns the meaning of an attribute; empty for one that nothing is read from.
func (m Mapping) Means(attribute string) string {
	is := func(chosen string, usual []string) bool {
		if chosen != "" {
			usual = []string{chosen}
		}
		return slices.ContainsFunc(usual, func(name string) bool { return strings.EqualFold(name, attribute) })
	}
	switch {
	case is(m.Email, emailNames):
		return MeansEmail
	case is(m.Name, slices.Concat(nameNames, givenNames, familyNames)):
		return MeansName
	case is(m.groupsName(), nil):
		return MeansGroups
	}
	return ""
}
