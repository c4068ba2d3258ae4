package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

type (
	// Key is a key with its id, its algorithm and its use (RFC 7517 §4).
	Key = jose.JSONWebKey
	// KeySet is a document with keys (RFC 7517 §5).
	KeySet = jose.JSONWebKeySet
)

// The checks of a key set.
const (
	KeySetForm   Refusal = "key_set_form"
	KeySetLength Refusal = "key_set_length"
	KeyCount     Refusal = "key_count"
	PrivateKey   Refusal = "private_key"
	SymmetricKey Refusal = "symmetric_key"
	KeyUse       Refusal = "key_use"
	KeyKind      Refusal = "key_kind"
	WeakKey      Refusal = "weak_key"
)

// ParseKeySet reads the public signature keys in a key set of others, at most so many. refused is
// about the first key that is something else: an application that registers a set is told, while a
// provider that publishes one may well have others in it.
func ParseKeySet(text []byte, most int, algorithms []string) (keys []Key, refused error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if Unmarshal(text, &set) != nil || set.Keys == nil {
		return nil, KeySetForm
	}
	if len(set.Keys) == 0 || len(set.Keys) > most {
		refused = KeyCount
	}
	for _, raw := range set.Keys[:min(len(set.Keys), most)] {
		key, err := ParseKey(raw, algorithms)
		if err == nil {
			keys = append(keys, key)
		} else if refused == nil {
			refused = err
		}
	}
	return keys, refused
}

// private are the members of a key that only its owner may have (RFC 7518 §6).
var private = strings.Fields("d p q dp dq qi oth k priv")

// ParseKey reads a public signature key for one of some algorithms. It refuses a key that comes with
// its private half, which proves nothing once published.
func ParseKey(raw []byte, algorithms []string) (Key, error) {
	var members map[string]json.RawMessage
	var said struct {
		Kind       string   `json:"kty"`
		Use        string   `json:"use"`
		Operations []string `json:"key_ops"`
	}
	var key Key
	switch {
	case Unmarshal(raw, &members) != nil || Unmarshal(raw, &said) != nil:
		return Key{}, KeySetForm
	case said.Kind == "oct":
		return Key{}, SymmetricKey
	case slices.ContainsFunc(private, func(name string) bool { return members[name] != nil }):
		return Key{}, PrivateKey
	case said.Use != "" && said.Use != "sig" || said.Operations != nil && !slices.Contains(said.Operations, "verify"): // RFC 7517 §4.2, §4.3
		return Key{}, KeyUse
	case key.UnmarshalJSON(raw) != nil || !slices.ContainsFunc(algorithms, func(a string) bool { return isFor(key, a) }):
		return Key{}, KeyKind
	case !Strong(key.Key):
		return Key{}, WeakKey
	}
	// Certificates beside the key are neither checked nor kept.
	return Key{Key: key.Key, KeyID: key.KeyID, Algorithm: key.Algorithm, Use: key.Use}, nil
}

// isFor reports whether a key is of the kind that an algorithm signs with (RFC 7518 §3.1).
func isFor(k Key, algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return algorithm == fmt.Sprint("ES", key.Params().BitSize)
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// Public returns the key set with the public halves of our keys.
func Public(keys []Key) (set KeySet) {
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return set
}

// Shelf says how long a fetched key set is used.
type Shelf struct {
	Fresh time.Duration // this long without asking again
	Least time.Duration // at least this long even if it lacks a key, since anybody can send tokens with unknown keys
}

// Over reports whether a key set of an age must be fetched again. lacking says that the last token
// did not fit it, or that the last try to fetch it failed.
func (s Shelf) Over(age time.Duration, lacking bool) bool {
	return age >= s.Fresh || lacking && age >= s.Least
}
