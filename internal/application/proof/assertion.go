package proof

import (
	"encoding/json"
	"slices"
	"time"

	"parvis/internal/jose"
)

// AssertionExpectation is what a client assertion has to fit.
type AssertionExpectation struct {
	ClientID  string
	Audiences []string // what we are called
	Keys      []jose.Key
	Now       time.Time
}

const mostAhead = 5 * time.Minute // that an assertion may last

type assertion struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	Expires   *seconds        `json:"exp"`
	NotBefore *seconds        `json:"nbf"`
	Issued    *seconds        `json:"iat"`
	ID        string          `json:"jti"`
}

// Assertion judges what a client authenticates with by private_key_jwt (RFC 7523 §3).
// It gives the assertion's id, which is to be taken once for this client, and until
// when that has to be remembered.
func Assertion(token string, e AssertionExpectation) (id string, until time.Time, err error) {
	// The draft that follows RFC 7523 names a type, older clients send JWT or none.
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
	case !isText(a.ID):
		return TokenID
	}
	return nil
}

// audience is the one whom an assertion is for. One that is for others too is good for
// nobody: another server that it was sent to could show it to us (CVE-2025-27371).
func (a assertion) audience() (one string) {
	var list []string
	if jose.Unmarshal(a.Audience, &one) != nil && jose.Unmarshal(a.Audience, &list) == nil && len(list) == 1 {
		one = list[0]
	}
	return one
}

// ClientOf is whose assertion a token says to be, which nothing has proved yet; empty
// where it says nothing.
func ClientOf(token string) string {
	var a assertion
	if jose.Unverified(token, mostToken, &a) != nil || !isText(a.Subject) {
		return ""
	}
	return a.Subject
}
