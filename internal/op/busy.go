package op

import (
	"sync"

	"parvis/internal/application"
	"parvis/internal/directory"
)

// busy counts the calls from this node to applications that are not answered yet.
type busy struct {
	mu     sync.Mutex
	all    int
	owners map[directory.OrgID]int
	one    map[application.ID]int
}

func newBusy() *busy { return &busy{owners: map[directory.OrgID]int{}, one: map[application.ID]int{}} }

func (b *busy) add(c application.Application, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(c, by)
}

func (b *busy) count(c application.Application, by int) {
	b.all += by
	b.owners[c.OrgID] += by
	b.one[c.ID] += by
	if b.owners[c.OrgID] == 0 {
		delete(b.owners, c.OrgID)
	}
	if b.one[c.ID] == 0 {
		delete(b.one, c.ID)
	}
}

// room returns a copy of the counts, to plan with.
func (b *busy) room() *busy {
	b.mu.Lock()
	defer b.mu.Unlock()
	planned := newBusy()
	planned.all = b.all
	for o, n := range b.owners {
		planned.owners[o] = n
	}
	for c, n := range b.one {
		planned.one[c] = n
	}
	return planned
}

// take reports whether one more call is allowed, and counts it. The limit of one organization
// does not apply to the installation's own applications.
func (b *busy) take(c application.Application) bool {
	if b.all >= mostAtOnce || b.one[c.ID] >= mostOfOne || c.OrgID != "" && b.owners[c.OrgID] >= mostOfOwner {
		return false
	}
	b.count(c, 1)
	return true
}
