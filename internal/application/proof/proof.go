// Package proof checks what an application signs to prove that it holds a key: client
// assertions (RFC 7523) and DPoP proofs (RFC 9449). It stores nothing and has no clock. It
// returns the id of each proof to the caller, which has to accept that id only once.
package proof

import (
	"slices"
	"strings"
	"time"

	"parvis/internal/jose"
)

// Which check of the claims, or of a DPoP proof's key, has failed; package jose has those of
// headers, signatures and key sets. The error code for the application is invalid_client or
// invalid_dpop_proof.
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
	mostToken  = 8 << 10 // bytes; a proof with the largest key has about three thousand
	mostText   = 255     // bytes of an id
	mostKeySet = 16 << 10
	mostKeys   = 10 // of a set; two are enough to replace one by another
	tolerance  = time.Minute
)

// before reports whether something with this time of issue may have been issued before another
// time, by somebody whose clock is as far ahead as we tolerate. Nothing is before the zero time.
func before(issued seconds, since time.Time) bool {
	return !since.IsZero() && issued < at(since.Add(tolerance))
}

// Algorithms are the signature algorithms of assertions and proofs, as discovery lists them.
var Algorithms = []string{"ES256", "ES384", "PS256", "RS256", "EdDSA"}

// ParseKeySet reads the key set of an application. It accepts only public keys for signatures,
// so that nobody registers a key that does not work, or reveals a private one.
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

// parse reads the header of a token, which must be of one of these types.
func parse(token string, types ...string) (jose.Token, error) {
	return jose.Rules{Longest: mostToken, Algorithms: Algorithms, Type: func(typ string) bool { return slices.Contains(types, typ) }}.Read(token)
}

// verify checks that one of the keys signed a token, and reads its claims.
func verify(t jose.Token, keys []jose.Key, claims any) error {
	payload, err := t.Verify(keys)
	if err == nil && jose.Unmarshal(payload, claims) != nil {
		err = Claims
	}
	return err
}

// seconds are a NumericDate (RFC 7519 §2). They are compared as floating-point numbers, because
// dates far from now would overflow integers and times.
type seconds float64

func at(t time.Time) seconds { return seconds(t.UnixMicro()) / 1e6 }

// isText reports whether s can be a name or an id: printable ASCII, and not too long.
func isText(s string) bool {
	return s != "" && len(s) <= mostText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
