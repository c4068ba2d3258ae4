package op

import "sync"

// busy counts what is on the way to each application from this node.
type busy struct {
	mu sync.Mutex
	n  map[ClientID]int
}

func (b *busy) add(c ClientID, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n[c] += by
	if b.n[c] == 0 {
		delete(b.n, c)
	}
}

func (b *busy) of(c ClientID) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n[c]
}
