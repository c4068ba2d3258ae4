// Package proof judges what an application signs to prove that it holds a key: client
// assertions (RFC 7523) and DPoP proofs (RFC 9449). It keeps nothing and has no clock:
// that each is taken once is up to who has a table, to whom it gives the id of what it
// believed.
package proof

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // exact names, and no member twice: another reader may see the other of two
)

// Refusal is the error of a check that failed: its name, for the log and for who
// registers keys. The application is told invalid_client or invalid_dpop_proof.
type Refusal string

// The checks.
const (
	Form         Refusal = "token_form"
	Type         Refusal = "token_type"
	Algorithm    Refusal = "algorithm"
	Critical     Refusal = "critical"
	Key          Refusal = "key"
	Signature    Refusal = "signature"
	Claims       Refusal = "claims"
	Issuer       Refusal = "issuer"
	Subject      Refusal = "subject"
	Audience     Refusal = "audience"
	Expires      Refusal = "expires"
	NotBefore    Refusal = "not_before"
	Issued       Refusal = "issued"
	TokenID      Refusal = "token_id"
	OneProof     Refusal = "one_proof"
	PublicKey    Refusal = "public_key"
	Method       Refusal = "method"
	URL          Refusal = "url"
	AccessToken  Refusal = "access_token"
	KeySetForm   Refusal = "key_set_form"
	KeySetLength Refusal = "key_set_length"
	KeyCount     Refusal = "key_count"
	PrivateKey   Refusal = "private_key"
	SymmetricKey Refusal = "symmetric_key"
	KeyUse       Refusal = "key_use"
	KeyKind      Refusal = "key_kind"
	WeakKey      Refusal = "weak_key"
)

func (r Refusal) Error() string { return "refused by check " + string(r) }

const (
	mostToken = 8 << 10 // bytes; one with the largest key has about three thousand
	mostText  = 255     // bytes of an id
	tolerance = time.Minute
)

// header is what decides how a signature is looked at. Whatever else a header says,
// such as where a key lies, is not read.
type header struct {
	Type      string          `json:"typ"`
	Algorithm string          `json:"alg"`
	KeyID     *string         `json:"kid"`
	Key       json.RawMessage `json:"jwk"`
	Critical  json.RawMessage `json:"crit"`
}

// parse reads the header of a compact token of one of some types.
func parse(token string, types ...string) (h header, err error) {
	// Decoders of Base64 pass over the ends of lines.
	if len(token) > mostToken || strings.Count(token, ".") != 2 || strings.ContainsAny(token, "\r\n") {
		return h, Form
	}
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil || json.Unmarshal(text, &h) != nil {
		return h, Form
	}
	switch {
	case !slices.Contains(types, h.Type):
		return h, Type // RFC 8725 §3.11: a token for another use is not one for this
	case !slices.Contains(signatures, jose.SignatureAlgorithm(h.Algorithm)):
		return h, Algorithm
	case h.Critical != nil:
		return h, Critical // RFC 7515 §4.1.11; we know no extension
	}
	return h, nil
}

// verify reads the claims of a token that one of the keys signed.
func verify(token string, h header, keys []jose.JSONWebKey, claims any) error {
	if len(keys) == 0 {
		return Key
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.Algorithm)})
	if err != nil {
		return Signature
	}
	for _, key := range keys {
		if payload, err := signed.Verify(key.Key); err == nil {
			if json.Unmarshal(payload, claims) != nil {
				return Claims
			}
			return nil
		}
	}
	return Signature
}

// seconds are a NumericDate (RFC 7519 §2). They are compared as they came: far from
// now, other numbers and times wrap around.
type seconds float64

func at(t time.Time) seconds { return seconds(t.UnixMicro()) / 1e6 }

// isText reports whether s is a name or an id: printing ASCII, and not too long.
func isText(s string) bool {
	return s != "" && len(s) <= mostText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
