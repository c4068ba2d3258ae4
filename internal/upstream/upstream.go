// Package upstream is the common form of what SAML and OpenID Connect judge: what a provider said of
// a person, and what was checked before it was believed. The code that uses it does not know which
// of the two it was.
package upstream

import (
	"slices"
	"strings"
	"time"
)

// Attribute is something that a provider said of a person, under the provider's name for it.
type Attribute struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// Assertion is what a provider said and was believed. Its subject names the person at its issuer,
// and is compared byte by byte.
type Assertion struct {
	Issuer  string
	Subject string // with SAML: the NameID with its format and qualifiers
	Format  string // of a SAML NameID; empty for OpenID Connect
	NameID  string // as a logout request has it; empty for OpenID Connect

	Attributes    []Attribute // in the order they came
	EmailVerified bool        // the claim was the JSON boolean true; never with SAML

	AuthTime     time.Time // zero if the provider did not say
	ACR          string    // AuthnContextClassRef, or acr
	AMR          []string
	SessionIndex string    // SessionIndex or sid: the provider's name for its session
	SessionEnds  time.Time // zero if the provider did not say

	// Missing is the check that failed when we asked for attributes that we read and that had
	// not come. It refuses only a person who cannot come in without them.
	Missing Check
}

// Values returns the values of the attribute with exactly that name or, if there is none, of the
// first whose name differs only by case.
func (a Assertion) Values(name string) []string {
	for _, x := range a.Attributes {
		if x.Name == name {
			return x.Values
		}
	}
	for _, x := range a.Attributes {
		if strings.EqualFold(x.Name, name) {
			return x.Values
		}
	}
	return nil
}

// A Check is one thing that was looked at. Found and Expected are shown to the organization's
// administrators, so they never have a secret, a code or a token.
type Check struct {
	Name     string `json:"name"`            // the catalogue has federation.check.NAME
	About    string `json:"about,omitempty"` // which part of a message, for a check that is made of several
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Waived   bool   `json:"waived,omitempty"` // it failed, but kept nobody out
}

// Trace has the checks in order, up to the first that failed.
type Trace struct{ Checks []Check }

// mostShown is how many characters of a value are kept, since a provider's text can have any length.
const mostShown = 300

// Require records a check, and returns its Refusal if it failed.
func (t *Trace) Require(name string, ok bool, expected, found string) error {
	return t.Add(Check{Name: name, OK: ok, Expected: expected, Found: found})
}

// Add does as Require for a whole check.
func (t *Trace) Add(c Check) error {
	c.Expected, c.Found = cut(c.Expected), cut(c.Found)
	t.Checks = append(t.Checks, c)
	if !c.OK {
		return Refusal(c.Name)
	}
	return nil
}

// Failed returns the check that failed and refused, if one did.
func (t *Trace) Failed() (Check, bool) {
	i := slices.IndexFunc(t.Checks, func(c Check) bool { return !c.OK && !c.Waived })
	if i < 0 {
		return Check{}, false
	}
	return t.Checks[i], true
}

func cut(s string) string {
	r := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(r) > mostShown {
		return string(r[:mostShown]) + "…"
	}
	return string(r)
}

// Refusal is the error of a failed check: its name, which tells an administrator what to change and
// the person nothing.
type Refusal string

func (r Refusal) Error() string { return "refused by check " + string(r) }
