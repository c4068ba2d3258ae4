package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	strength "parvis/internal/jose"
	"parvis/internal/outbound"
	"parvis/internal/upstream"
)

// Keys are the public keys that a provider signs with. They are read from its key
// set in one way, whether that has just come or was kept.
type Keys struct {
	FetchedAt time.Time
	list      []jose.JSONWebKey
}

const (
	mostKeys     = 100            // of a set; large providers have about ten
	refetchAfter = time.Minute    // at the earliest, for a key that is not known
	keysLast     = 24 * time.Hour // after which the provider is asked whether it still has them
)

type keySet struct {
	FetchedAt time.Time         `json:"fetched_at"`
	Keys      []json.RawMessage `json:"keys"`
}

// MarshalJSON is the form in which keys are kept.
func (k Keys) MarshalJSON() ([]byte, error) {
	s := keySet{FetchedAt: k.FetchedAt}
	for _, key := range k.list {
		text, err := key.MarshalJSON()
		if err != nil {
			return nil, err
		}
		s.Keys = append(s.Keys, text)
	}
	return json.Marshal(s)
}

// UnmarshalJSON takes what is a public key for signatures and strong enough; a
// provider may well have others beside it.
func (k *Keys) UnmarshalJSON(text []byte) error {
	var s keySet
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*k = Keys{FetchedAt: s.FetchedAt}
	for _, raw := range s.Keys[:min(len(s.Keys), mostKeys)] {
		var key jose.JSONWebKey
		var may struct {
			Operations []string `json:"key_ops"`
		}
		good := json.Unmarshal(raw, &key) == nil && json.Unmarshal(raw, &may) == nil && usable(key)
		if good && (may.Operations == nil || slices.Contains(may.Operations, "verify")) { // RFC 7517 §4.3
			// Certificates beside the key are not looked at, so they are not kept.
			k.list = append(k.list, jose.JSONWebKey{Key: key.Key, KeyID: key.KeyID, Algorithm: key.Algorithm, Use: key.Use})
		}
	}
	return nil
}

// usable wants a public key: one whose private half was published proves nothing.
func usable(k jose.JSONWebKey) bool {
	return (k.Use == "" || k.Use == "sig") && slices.ContainsFunc(signatures, func(a string) bool { return fits(k, a) })
}

// fits tells that a key is of the kind and strength of an algorithm (RFC 7518 §3.1).
func fits(k jose.JSONWebKey, algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	if !strength.Strong(k.Key) {
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

// candidates are the keys that may have signed under a header: those with its id,
// or the only one that fits where it names none (OIDC Core §10.1).
func (k Keys) candidates(h header) (list []jose.JSONWebKey) {
	for _, key := range k.list {
		if fits(key, h.algorithm) && (!h.hasKeyID || key.KeyID == h.keyID) {
			list = append(list, key)
		}
	}
	if !h.hasKeyID && len(list) > 1 {
		return nil
	}
	return list
}

// FetchKeys asks a provider for its keys.
func (p Provider) FetchKeys(ctx context.Context, client *outbound.Client, now time.Time) (Keys, upstream.Trace, error) {
	var t upstream.Trace
	k, err := p.fetchKeys(ctx, &t, client, now)
	return k, t, err
}

func (p Provider) fetchKeys(ctx context.Context, t *upstream.Trace, client *outbound.Client, now time.Time) (Keys, error) {
	document, err := fetch(ctx, t, "keys", client, p.Keys)
	if err != nil {
		return Keys{}, err
	}
	var k Keys
	good := json.Unmarshal(document.Body, &k) == nil && len(k.list) > 0
	k.FetchedAt = now
	return k, t.Require("keys", good, "RSA 2048–8192, P-256, P-384, Ed25519", kind(document))
}

// judged judges a token with the keys that were kept, and with new ones where these are
// old, do not have its key, or have another under its name: providers change keys so.
// Whoever sends tokens with keys that nobody has can make us ask once a minute. The keys
// are those to keep from now on.
func (p Provider) judged(ctx context.Context, t *upstream.Trace, client *outbound.Client, now time.Time, kept Keys, judge func(*upstream.Trace, Keys) error) (Keys, error) {
	age := now.Sub(kept.FetchedAt)
	if len(kept.list) > 0 && age < keysLast {
		var tried upstream.Trace
		err := judge(&tried, kept)
		unknown := errors.Is(err, upstream.Refusal("key")) || errors.Is(err, upstream.Refusal("signature"))
		if !unknown || age < refetchAfter {
			t.Checks = append(t.Checks, tried.Checks...)
			return kept, err
		}
	}
	keys, err := p.fetchKeys(ctx, t, client, now)
	if err != nil {
		return kept, err
	}
	return keys, judge(t, keys)
}

// ids are the names of the keys, as they are shown.
func (k Keys) ids() (list []string) {
	for _, key := range k.list {
		list = append(list, shown(key.KeyID))
	}
	return list
}
