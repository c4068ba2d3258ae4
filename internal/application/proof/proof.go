// Package proof judges what an application signs to prove that it holds a key: client
// assertions (RFC 7523) and DPoP proofs (RFC 9449). It keeps nothing and has no clock:
// that each is taken once is up to who has a table, to whom it gives the id of what it
// believed.
package proof

import (
	"slices"
	"strings"
	"time"

	"parvis/internal/jose"
)

// The checks of claims, and of a DPoP proof's key; jose has those of headers, signatures
// and key sets. They are for the log and for who registers keys. The application is told
// invalid_client or invalid_dpop_proof.
const (
	Claims      jose.Refusal = "claims"
	Issuer      jose.Refusal = "issuer"
	Subject     jose.Refusal = "subject"
	Audience    jose.Refusal = "audience"
	Expires     jose.Refusal = "expires"
	NotBefore   jose.Refusal = "not_before"
	Issued      jose.Refusal = "issued"
	TokenID     jose.Refusal = "token_id"
	OneProof    jose.Refusal = "one_proof"
	PublicKey   jose.Refusal = "public_key"
	Method      jose.Refusal = "method"
	URL         jose.Refusal = "url"
	AccessToken jose.Refusal = "access_token"
)

const (
	mostToken  = 8 << 10 // bytes; one with the largest key has about three thousand
	mostText   = 255     // bytes of an id
	mostKeySet = 16 << 10
	mostKeys   = 10 // of a set: two are enough to change one for another
	tolerance  = time.Minute
)

// Algorithms are those that assertions and proofs may be signed with, as discovery lists
// them.
var Algorithms = []string{"ES256", "ES384", "PS256", "RS256", "EdDSA"}

// ParseKeySet reads the key set that an application registers. It takes public keys
// for signatures and refuses all else, so that nobody registers what does not work, or
// shows us what they should keep.
func ParseKeySet(text string) ([]jose.Key, error) {
	if len(text) > mostKeySet {
		return nil, jose.KeySetLength
	}
	keys, err := jose.ParseKeySet([]byte(text), mostKeys, Algorithms)
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// parse reads the header of a token of one of some types.
func parse(token string, types ...string) (jose.Token, error) {
	return jose.Rules{Longest: mostToken, Algorithms: Algorithms, Type: func(typ string) bool { return slices.Contains(types, typ) }}.Read(token)
}

// verify reads the claims of a token that one of the keys signed.
func verify(t jose.Token, keys []jose.Key, claims any) error {
	payload, err := t.Verify(keys)
	if err == nil && jose.Unmarshal(payload, claims) != nil {
		err = Claims
	}
	return err
}

// seconds are a NumericDate (RFC 7519 §2). They are compared as they came: far from
// now, other numbers and times wrap around.
type seconds float64

func at(t time.Time) seconds { return seconds(t.UnixMicro()) / 1e6 }

// isText reports whether s is a name or an id: printing ASCII, and not too long.
func isText(s string) bool {
	return s != "" && len(s) <= mostText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
