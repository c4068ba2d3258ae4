package jose

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	strict "github.com/go-jose/go-jose/v4/json"
)

// Refusal is the error of a failed check: its name, for logs and for people who register keys or
// connect providers.
type Refusal string

// The checks of a token, in order.
const (
	Form       Refusal = "token_form"
	Type       Refusal = "token_type"
	Algorithm  Refusal = "algorithm"
	Critical   Refusal = "critical"
	UnknownKey Refusal = "key"
	Signature  Refusal = "signature"
)

func (r Refusal) Error() string { return "refused by check " + string(r) }

// Algorithms are those that we accept. None has a shared secret, as which a public key could be
// used, and "none" is not among them (RFC 8725 §3.1).
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"}

// Known returns the algorithms of a list that we accept, each once.
func Known(algorithms []string) (list []string) {
	for _, a := range algorithms {
		if slices.Contains(Algorithms, a) && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// Rules are what the header of one kind of token must match.
type Rules struct {
	Longest    int                   // bytes of the whole token
	Type       func(typ string) bool // a token for another use is refused (RFC 8725 §3.11)
	Algorithms []string
}

// Token is a compact token whose header was read (RFC 7515 §7.1). Everything else in the header,
// such as where to find a key, is ignored.
type Token struct {
	Type      string          `json:"typ"`
	Algorithm string          `json:"alg"`
	KeyID     *string         `json:"kid"`
	Key       json.RawMessage `json:"jwk"`
	Critical  json.RawMessage `json:"crit"`

	text string
}

// Read reads and judges the header of a token. It returns a refused token as far as it was read, to
// show people what was wrong.
func (r Rules) Read(text string) (Token, error) {
	t := Token{text: text}
	head, err := part(text, r.Longest, 0)
	if err != nil || !utf8.Valid(head) || Unmarshal(head, &t) != nil {
		return t, Form
	}
	// The verifier encodes again what it decoded, so it would take parts whose last bits were changed:
	// one signature for several texts.
	for i := 1; i < 3; i++ {
		if _, err := part(text, r.Longest, i); err != nil {
			return t, Form
		}
	}
	switch {
	case !r.Type(t.Type):
		return t, Type
	case !slices.Contains(Known(r.Algorithms), t.Algorithm):
		return t, Algorithm
	case t.Critical != nil:
		return t, Critical // RFC 7515 §4.1.11; we know no extension
	}
	return t, nil
}

// part decodes one of the three parts of a token.
func part(text string, longest, index int) ([]byte, error) {
	// Base64 decoders skip line breaks, so they are refused here.
	if len(text) > longest || strings.Count(text, ".") != 2 || strings.ContainsAny(text, "\r\n") {
		return nil, Form
	}
	return base64.RawURLEncoding.Strict().DecodeString(strings.Split(text, ".")[index])
}

// Verify returns the payload of a token if one of the keys signed it.
func (t Token) Verify(keys []Key) ([]byte, error) {
	candidates := t.candidates(keys)
	if len(candidates) == 0 {
		return nil, UnknownKey
	}
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.Algorithm)})
	if err != nil {
		return nil, Signature
	}
	for _, key := range candidates { // two keys may have the same id
		if payload, err := signed.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, Signature
}

// candidates returns the keys that may have signed a token: those with the id in its header or, if
// the header has none, the only one that fits (OIDC Core §10.1).
func (t Token) candidates(keys []Key) (list []Key) {
	for _, key := range keys {
		meant := (t.KeyID == nil || key.KeyID == *t.KeyID) && (key.Use == "" || key.Use == "sig")
		if meant && isFor(key, t.Algorithm) && Strong(key.Key) {
			list = append(list, key)
		}
	}
	if t.KeyID == nil && len(list) > 1 {
		return nil
	}
	return list
}

// Unverified reads the claims of a token that is not verified.
func Unverified(text string, longest int, claims any) error {
	payload, err := part(text, longest, 1)
	if err != nil {
		return err
	}
	return Unmarshal(payload, claims)
}

// Unmarshal reads JSON by exact names, and refuses a duplicate member, of which another reader
// might see the other value.
func Unmarshal(text []byte, into any) error { return strict.Unmarshal(text, into) }

// Sign makes a token of a type with one of our keys, which the header names.
func Sign(key Key, typ string, claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
