package op

import (
	"context"
	"sync"
	"time"

	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/jose"
)

// theirKeys says how long a fetched key set of a client is used.
var theirKeys = jose.Shelf{Fresh: 5 * time.Minute, Least: 20 * time.Second}

const mostKeySet = 64 << 10 // bytes of one

// fetchedSet is the key set of a client as it was last fetched.
type fetchedSet struct {
	mu     sync.Mutex
	keys   []jose.Key
	failed error // of the last fetch
	at     time.Time
}

// keysOf returns the keys that a client may sign with: registered, or fetched from its
// address. again asks for a new fetch, which happens only if the last one was long enough ago.
func (p *Provider) keysOf(ctx context.Context, c application.Application, again bool) ([]jose.Key, error) {
	if c.Settings.KeysURL == "" {
		set, err := proof.ParseKeySet(string(c.Settings.Keys))
		if err != nil {
			return set, Wrong(InvalidClient, "the registered key set cannot be read: "+err.Error())
		}
		return set, nil
	}
	kept, _ := p.keySets.LoadOrStore(string(c.ID)+" "+c.Settings.KeysURL, &fetchedSet{})
	f := kept.(*fetchedSet) //nolint:forcetypeassert // Only this line stores there.
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.at.IsZero() && !theirKeys.Over(p.DB.Now().Sub(f.at).Abs(), again || f.failed != nil) {
		return f.keys, f.failed
	}
	// The caller has not proved yet to be the client, so only our log says what went wrong.
	f.at, f.failed = p.DB.Now(), Wrong(InvalidClient, "the client's key set cannot be fetched")
	w, err := p.Reach.Client(c, c.Settings.KeysURL).Get(ctx, c.Settings.KeysURL, mostKeySet)
	if err == nil {
		var set []jose.Key
		if set, err = proof.ParseKeySet(string(w.Body)); err == nil {
			f.keys, f.failed = set, nil
		}
	}
	if err != nil {
		p.Log.WarnContext(ctx, "key set of an application", "application", string(c.ID), "error", err.Error())
	}
	return f.keys, f.failed
}
