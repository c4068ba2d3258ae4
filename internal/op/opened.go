package op

import (
	"crypto/sha256"
	"sync"
)

// mostOpened is how many access tokens a ring remembers: some megabytes.
const mostOpened = 5_000

// opened remembers the claims of access tokens, because verifying a signature takes longer
// than the rest of a call. The grant is still checked on each use. Every ring has its own, so
// that tokens of a key that is no longer published are forgotten with the ring.
type opened struct {
	mu  sync.RWMutex
	all map[[sha256.Size]byte]accessClaims
}

func (o *opened) get(token [sha256.Size]byte) (accessClaims, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	c, found := o.all[token]
	return c, found
}

func (o *opened) put(token [sha256.Size]byte, c accessClaims) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.all) < mostOpened { // the next ring, which comes soon, starts empty
		o.all[token] = c
	}
}
