package op

import (
	"crypto/sha256"
	"sync"
)

// mostOpened is how many access tokens a ring remembers: some megabytes.
const mostOpened = 5_000

// opened remembers access tokens that were read before, since verifying a signature takes
// longer than all the rest of a call. Whether the grant still holds is asked each time.
// It belongs to a ring, and goes with it: a key that is published no more takes along
// what it had signed.
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
	if len(o.all) < mostOpened { // the next ring begins anew, soon
		o.all[token] = c
	}
}
