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

// Keys are the public keys that a provider signs with. They are read from its key set in
// one way, whether it was just fetched or stored.
type Keys struct {
	FetchedAt time.Time
	list      []jose.Key
}

const mostKeys = 100 // of a set; large providers have about ten

// theirKeys says how long a provider's keys are used: after a day they are fetched again.
var theirKeys = jose.Shelf{Fresh: 24 * time.Hour, Least: time.Minute}

type keySet struct {
	FetchedAt time.Time  `json:"fetched_at"`
	Keys      []jose.Key `json:"keys"`
}

// MarshalJSON returns the form in which keys are stored.
func (k Keys) MarshalJSON() ([]byte, error) { return json.Marshal(keySet{k.FetchedAt, k.list}) }

// UnmarshalJSON keeps the public signature keys that are strong enough, and ignores the
// others that a provider may have.
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

// FetchKeys fetches a provider's keys.
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

// judged judges a token with the stored keys. It fetches new ones if those are old, lack
// the token's key, or have another key by that name, because providers change keys so.
// Forged tokens make us fetch once a minute at most. The returned keys are the ones to
// store.
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

// ids returns the names of the keys, as they are shown.
func (k Keys) ids() (list []string) {
	for _, key := range k.list {
		list = append(list, shown(key.KeyID))
	}
	return list
}
