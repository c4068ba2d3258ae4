// Package upstream is where SAML and OpenID Connect meet: what a provider said of a
// person, and what was checked before it was believed. Nothing after it knows which
// of the two it was.
package upstream

import (
	"slices"
	"strings"
	"time"
)

// Attribute is something a provider said of a person, under its own name for it.
type Attribute struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// Assertion is what a provider said and was believed. Its subject names the person
// within its issuer, and is compared byte by byte.
type Assertion struct {
	Issuer  string
	Subject string // with SAML the NameID with its format and qualifiers
	Format  string // of a SAML NameID; empty for OpenID Connect
	NameID  string // as a logout request repeats it; empty for OpenID Connect

	Attributes    []Attribute // in the order they came
	EmailVerified bool        // the claim was the JSON boolean true; never with SAML

	AuthTime     time.Time // zero where it was not said
	ACR          string    // AuthnContextClassRef, or acr
	AMR          []string
	SessionIndex string    // or sid: what the provider names its session by
	SessionEnds  time.Time // zero where it was not said

	// Missing is the check at which asking for the rest failed, where something that is
	// read was asked for and did not come. It refuses only who cannot come in without.
	Missing Check
}

// Values are those of the attribute of exactly that name or, where there is none, of the
// first that differs from it by the case of its letters alone.
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

// A Check is one thing that was looked at, in order. Found and Expected are shown to
// the organization's administrators: never a secret, a code or a token.
type Check struct {
	Name     string `json:"name"`            // the catalogue has federation.check.NAME
	About    string `json:"about,omitempty"` // which part of a message, where a check is made of several
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Waived   bool   `json:"waived,omitempty"` // failed, and kept nobody out
}

// Trace is what was checked, up to the first thing that was wrong.
type Trace struct{ Checks []Check }

// mostShown is how much of a value is kept: a provider's text of any length is shown
// to people.
const mostShown = 300

// Require notes a check and, where it failed, is the refusal that it means.
func (t *Trace) Require(name string, ok bool, expected, found string) error {
	return t.Add(Check{Name: name, OK: ok, Expected: expected, Found: found})
}

// Add is Require for a whole check.
func (t *Trace) Add(c Check) error {
	c.Expected, c.Found = cut(c.Expected), cut(c.Found)
	t.Checks = append(t.Checks, c)
	if !c.OK {
		return Refusal(c.Name)
	}
	return nil
}

// Failed is the check that failed and refused, if one did.
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

// Refusal is the error of a check that failed: its name, which tells an
// administrator what to change and the person nothing.
type Refusal string

func (r Refusal) Error() string { return "refused by check " + string(r) }
