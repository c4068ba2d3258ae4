package op

import (
	"context"
	"sync"
	"time"

	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/jose"
)

// theirKeys is how long a client's key set is used.
var theirKeys = jose.Shelf{Fresh: 5 * time.Minute, Least: 20 * time.Second}

const mostKeySet = 64 << 10 // bytes of one

// fetchedSet is a client's key set as its address last said.
type fetchedSet struct {
	mu     sync.Mutex
	keys   []jose.Key
	failed error // of the last look
	at     time.Time
}

// keysOf are the keys that a client may sign with: registered, or fetched from its
// address, again where that is wanted and long enough ago.
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
	// What was wrong there is nobody's business who only says to be the client.
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
