package proof

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	strength "parvis/internal/jose"
)

// signatures are the algorithms that prove anything: none with a shared secret, for
// which a public key could be passed off, and never none (RFC 8725 §3.1).
var signatures = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.PS256, jose.RS256, jose.EdDSA}

// Algorithms are the names of those that assertions and proofs may be signed with, as
// discovery lists them.
func Algorithms() (list []string) {
	for _, a := range signatures {
		list = append(list, string(a))
	}
	return list
}

const (
	mostKeySet = 16 << 10 // bytes
	mostKeys   = 10       // of a set: two are enough to change one for another
)

// ParseKeySet reads the key set that an application registers. It takes public keys
// for signatures and refuses all else, so that nobody registers what does not work, or
// shows us what they should keep.
func ParseKeySet(text string) (jose.JSONWebKeySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch {
	case len(text) > mostKeySet:
		return jose.JSONWebKeySet{}, KeySetLength
	case json.Unmarshal([]byte(text), &set) != nil || set.Keys == nil:
		return jose.JSONWebKeySet{}, KeySetForm
	case len(set.Keys) == 0 || len(set.Keys) > mostKeys:
		return jose.JSONWebKeySet{}, KeyCount
	}
	var list []jose.JSONWebKey
	for _, raw := range set.Keys {
		key, err := parseKey(raw)
		if err != nil {
			return jose.JSONWebKeySet{}, err
		}
		list = append(list, key)
	}
	return jose.JSONWebKeySet{Keys: list}, nil
}

// private are the members of a key that only who signs with it has (RFC 7518 §6).
var private = strings.Fields("d p q dp dq qi oth k priv")

// parseKey reads a public key for signatures.
func parseKey(raw json.RawMessage) (jose.JSONWebKey, error) {
	var members map[string]json.RawMessage
	var said struct {
		Kind       string   `json:"kty"`
		Use        string   `json:"use"`
		Operations []string `json:"key_ops"`
	}
	var key jose.JSONWebKey
	switch {
	case json.Unmarshal(raw, &members) != nil || json.Unmarshal(raw, &said) != nil:
		return key, KeySetForm
	case said.Kind == "oct":
		return key, SymmetricKey
	case slices.ContainsFunc(private, func(name string) bool { return members[name] != nil }):
		return key, PrivateKey
	case said.Use != "" && said.Use != "sig" || said.Operations != nil && !slices.Contains(said.Operations, "verify"): // RFC 7517 §4.2, §4.3
		return key, KeyUse
	case key.UnmarshalJSON(raw) != nil:
		return key, KeyKind
	}
	// Certificates beside the key are not looked at, so they are not kept.
	key = jose.JSONWebKey{Key: key.Key, KeyID: key.KeyID, Algorithm: key.Algorithm, Use: key.Use}
	if !slices.ContainsFunc(signatures, func(a jose.SignatureAlgorithm) bool { return isFor(key, a) }) {
		return key, KeyKind
	}
	if !strength.Strong(key.Key) {
		return key, WeakKey
	}
	return key, nil
}

// isFor reports whether a key is of the kind that an algorithm signs with (RFC 7518 §3.1).
func isFor(k jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if k.Algorithm != "" && k.Algorithm != string(algorithm) {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return algorithm == jose.RS256 || algorithm == jose.PS256
	case *ecdsa.PublicKey:
		return string(algorithm) == fmt.Sprint("ES", key.Params().BitSize)
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	}
	return false
}

// candidates are the keys that may have signed under a header: those with its id, or
// the only one that fits where it names none.
func candidates(keys jose.JSONWebKeySet, h header) (list []jose.JSONWebKey) {
	for _, key := range keys.Keys {
		good := isFor(key, jose.SignatureAlgorithm(h.Algorithm)) && strength.Strong(key.Key) && (key.Use == "" || key.Use == "sig")
		if good && (h.KeyID == nil || key.KeyID == *h.KeyID) {
			list = append(list, key)
		}
	}
	if h.KeyID == nil && len(list) > 1 {
		return nil
	}
	return list
}
