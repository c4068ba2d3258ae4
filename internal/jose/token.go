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

// Refusal is the error of a check that failed: its name, for logs and for people who
// register keys or connect providers.
type Refusal string

// The checks of a token, in this order.
const (
	Form       Refusal = "token_form"
	Type       Refusal = "token_type"
	Algorithm  Refusal = "algorithm"
	Critical   Refusal = "critical"
	UnknownKey Refusal = "key"
	Signature  Refusal = "signature"
)

func (r Refusal) Error() string { return "refused by check " + string(r) }

// Algorithms are those that prove anything: none with a shared secret, for which a
// public key could be passed off, and never none (RFC 8725 §3.1).
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"}

// Known are the algorithms of a list that prove anything, each once.
func Known(algorithms []string) (list []string) {
	for _, a := range algorithms {
		if slices.Contains(Algorithms, a) && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// Rules are what the header of one kind of token has to fit.
type Rules struct {
	Longest    int                   // bytes of the whole token
	Type       func(typ string) bool // a token for another use is not one for this (RFC 8725 §3.11)
	Algorithms []string
}

// Token is a compact token whose header was read (RFC 7515 §7.1). Whatever else a header
// says, such as where a key lies, is not read.
type Token struct {
	Type      string          `json:"typ"`
	Algorithm string          `json:"alg"`
	KeyID     *string         `json:"kid"`
	Key       json.RawMessage `json:"jwk"`
	Critical  json.RawMessage `json:"crit"`

	text string
}

// Read reads and judges the header of a token. A refused token is returned as far as it
// was read, so that people can be shown what was wrong.
func (r Rules) Read(text string) (Token, error) {
	t := Token{text: text}
	head, err := part(text, r.Longest, 0)
	switch {
	case err != nil || !utf8.Valid(head) || Unmarshal(head, &t) != nil:
		return t, Form
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
	// Decoders of Base64 pass over the ends of lines.
	if len(text) > longest || strings.Count(text, ".") != 2 || strings.ContainsAny(text, "\r\n") {
		return nil, Form
	}
	return base64.RawURLEncoding.Strict().DecodeString(strings.Split(text, ".")[index])
}

// Verify returns the payload of a token that one of the keys signed.
func (t Token) Verify(keys []Key) ([]byte, error) {
	candidates := t.candidates(keys)
	if len(candidates) == 0 {
		return nil, UnknownKey
	}
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.Algorithm)})
	if err != nil {
		return nil, Signature
	}
	for _, key := range candidates { // of two with one id either may have signed
		if payload, err := signed.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, Signature
}

// candidates are the keys that may have signed a token: those with the id in its header,
// or the only one that fits where the header names none (OIDC Core §10.1).
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

// Unverified reads the claims of a token that nothing has proved.
func Unverified(text string, longest int, claims any) error {
	payload, err := part(text, longest, 1)
	if err != nil {
		return err
	}
	return Unmarshal(payload, claims)
}

// Unmarshal reads JSON by exact names, and refuses a member that comes twice: another
// reader may see the other of the two.
func Unmarshal(text []byte, into any) error { return strict.Unmarshal(text, into) }

// Sign makes a token of a type with a key of ours, which its header names.
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
