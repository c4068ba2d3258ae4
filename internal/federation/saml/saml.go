// Package saml is the judgement of a SAML 2.0 service provider. It takes bytes and expectations,
// and returns an assertion or the name of the check that refused it. It has no database, page,
// network or clock. goxmldsig does the cryptography of XML signatures. This package decides what
// a message must look like before and after, and reads what a provider said only from the bytes
// whose digest was compared (R-SML-01 to R-SML-10).
//
// Clauses are of the OASIS standards of 2005: Core, Bindings, Profiles, Metadata.
package saml

import (
	"errors"
	"time"

	"parvis/internal/upstream"
)

// The bindings that messages travel by (Bindings §3.4 and §3.5).
const (
	Redirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	POST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// An Endpoint is an address of a provider for one kind of message.
type Endpoint struct {
	Binding  string `json:"binding"`
	Location string `json:"location"`
	Response string `json:"response,omitempty"` // where answers go, if not to Location
}

func (e Endpoint) response() string {
	if e.Response != "" {
		return e.Response
	}
	return e.Location
}

// Signed says which part of a response must carry a signature.
type Signed string

// What a connection may demand. Some signature is always demanded.
const (
	Either    Signed = "either"
	Response  Signed = "response"
	Assertion Signed = "assertion"
)

// A Connection is what an organization entered for its provider.
type Connection struct {
	EntityID     string   `json:"entity_id"`
	SSO          Endpoint `json:"sso"`
	SLO          Endpoint `json:"slo,omitzero"` // zero if the provider has no single logout
	Certificates [][]byte `json:"certificates"` // DER; any of them may have signed

	SignRequests     bool          `json:"sign_requests"`
	WantSigned       Signed        `json:"want_signed"`
	AllowCBC         bool          `json:"allow_cbc"` // encryption that does not detect changes, for old providers
	AllowUnsolicited bool          `json:"allow_unsolicited"`
	Tolerance        time.Duration `json:"tolerance"` // between the two clocks; zero for the default
	NameIDFormat     string        `json:"name_id_format"`
	AuthnContext     []string      `json:"authn_context"` // these are asked for, and one of them must come
}

// How far two clocks may be apart: unless the connection says otherwise, and at most.
const (
	usualTolerance = time.Minute
	mostTolerance  = 2 * time.Minute
)

func (c Connection) tolerance() time.Duration {
	if c.Tolerance <= 0 {
		return usualTolerance
	}
	return min(c.Tolerance, mostTolerance)
}

// ServiceProvider is what we are to one connection. Each has addresses of its own (R-SML-08).
type ServiceProvider struct{ EntityID, ACS, SLO string }

// Expectation is what a provider's message must match.
type Expectation struct {
	Connection      Connection
	ServiceProvider ServiceProvider
	Keys            Keys
	Reads           []string // attributes that we read something from, in any case
	RequestID       string   // what the message must answer; empty if nothing was asked
	Now             time.Time
}

// A finding is a fault of a message, on its way to the trace.
type finding struct{ check, expected, found string }

func (f finding) Error() string { return f.check + ": " + f.found }

// note records that a check passed if err is nil, and the finding that err holds otherwise.
func note(t *upstream.Trace, name string, err error) error {
	var f finding
	switch {
	case err == nil:
		return t.Require(name, true, "", "")
	case errors.As(err, &f):
		return t.Require(f.check, false, f.expected, f.found)
	}
	return t.Require(name, false, "", "")
}

// requireAll notes checks in order, up to the first that failed.
func requireAll(t *upstream.Trace, checks ...upstream.Check) error {
	for _, c := range checks {
		if err := t.Add(c); err != nil {
			return err
		}
	}
	return nil
}

// of sets the part of a message that a check is about.
func of(part string, c upstream.Check) upstream.Check {
	c.About = part
	return c
}

// equal checks that a value is present and exactly the expected one.
func equal(name, expected, found string) upstream.Check {
	return upstream.Check{Name: name, OK: found != "" && found == expected, Expected: expected, Found: found}
}
