package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"parvis/internal/jose"
	"parvis/internal/outbound"
	"parvis/internal/upstream"
)

// Keys are the public keys that a provider signs with. They are read from its key
// set in one way, whether that has just come or was kept.
type Keys struct {
	FetchedAt time.Time
	list      []jose.Key
}

const mostKeys = 100 // of a set; large providers have about ten

// theirKeys is how long the keys of a provider are used: for a day, after which it is
// asked whether it still has them.
var theirKeys = jose.Shelf{Fresh: 24 * time.Hour, Least: time.Minute}

type keySet struct {
	FetchedAt time.Time  `json:"fetched_at"`
	Keys      []jose.Key `json:"keys"`
}

// MarshalJSON is the form in which keys are kept.
func (k Keys) MarshalJSON() ([]byte, error) { return json.Marshal(keySet{k.FetchedAt, k.list}) }

// UnmarshalJSON takes what is a public key for signatures and strong enough; a
// provider may well have others beside it.
func (k *Keys) UnmarshalJSON(text []byte) error {
	var s struct {
		FetchedAt time.Time `json:"fetched_at"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	keys, _ := jose.ParseKeySet(text, mostKeys, jose.Algorithms)
	*k = Keys{s.FetchedAt, keys}
	return nil
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
	if len(kept.list) > 0 && !theirKeys.Over(age, false) {
		var tried upstream.Trace
		err := judge(&tried, kept)
		if !theirKeys.Over(age, errors.Is(err, upstream.Refusal(jose.UnknownKey)) || errors.Is(err, upstream.Refusal(jose.Signature))) {
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
