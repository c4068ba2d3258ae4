package proof

import (
	"encoding/json"
	"slices"
	"time"

	"parvis/internal/jose"
)

// AssertionExpectation is what a client assertion is checked against.
type AssertionExpectation struct {
	ClientID  string
	Audiences []string // accepted for Parvis
	Keys      []jose.Key
	Now       time.Time
	Since     time.Time // what may have been issued before is refused; zero to take all
}

const mostAhead = 5 * time.Minute // from now to the end of an assertion

type assertion struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	Expires   *seconds        `json:"exp"`
	NotBefore *seconds        `json:"nbf"`
	Issued    *seconds        `json:"iat"`
	ID        string          `json:"jti"`
}

// Assertion checks a client assertion of private_key_jwt (RFC 7523 §3). It returns the
// assertion's id, which the caller has to accept only once for this client, and until when the
// caller has to remember it.
func Assertion(token string, e AssertionExpectation) (id string, until time.Time, err error) {
	// The draft that updates RFC 7523 has a type of its own; older clients send JWT or none.
	t, err := parse(token, "", "JWT", "client-authentication+jwt")
	if err != nil {
		return "", time.Time{}, err
	}
	var a assertion
	if err := verify(t, e.Keys, &a); err != nil {
		return "", time.Time{}, err
	}
	if err := a.judge(e); err != nil {
		return "", time.Time{}, err
	}
	return a.ID, time.UnixMicro(int64(*a.Expires * 1e6)).UTC().Add(tolerance), nil
}

func (a assertion) judge(e AssertionExpectation) error {
	now, slack := at(e.Now), seconds(tolerance.Seconds())
	switch {
	case a.Issuer != e.ClientID || a.Issuer == "":
		return Issuer
	case a.Subject != e.ClientID:
		return Subject
	case !slices.Contains(e.Audiences, a.audience()):
		return Audience
	case a.Expires == nil || *a.Expires <= now-slack || *a.Expires > now+seconds(mostAhead.Seconds())+slack:
		return Expires
	case a.NotBefore != nil && *a.NotBefore > now+slack:
		return NotBefore
	case a.Issued != nil && *a.Issued > now+slack:
		return Issued
	case a.before(e.Since):
		return Issued
	case !isText(a.ID):
		return TokenID
	}
	return nil
}

// before reports whether an assertion may have been issued before a time. One that does not say when
// it was issued may be as old as its end allows.
func (a assertion) before(since time.Time) bool {
	if a.Issued != nil {
		return before(*a.Issued, since)
	}
	return before(*a.Expires-seconds(mostAhead.Seconds()), since)
}

// audience returns the only audience of an assertion, or an empty text if there are several:
// another server to which it was sent could forward it to us (CVE-2025-27371).
func (a assertion) audience() (one string) {
	var list []string
	if jose.Unmarshal(a.Audience, &one) != nil && jose.Unmarshal(a.Audience, &list) == nil && len(list) == 1 {
		one = list[0]
	}
	return one
}

// ClientOf returns the client that an unverified assertion names, or an empty text.
func ClientOf(token string) string {
	var a assertion
	if jose.Unverified(token, mostToken, &a) != nil || !isText(a.Subject) {
		return ""
	}
	return a.Subject
}
