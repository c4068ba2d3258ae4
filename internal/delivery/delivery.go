// Package delivery says when something is sent again that a receiver did not take, and how many
// calls may be on the way at once, so that a receiver that hangs delays only itself.
package delivery

import (
	"hash/fnv"
	"maps"
	"sync"
	"time"
)

// Schedule is the wait after each try.
type Schedule []time.Duration

// After returns the wait after so many tries, and false if the schedule is at its end.
func (s Schedule) After(tries int) (time.Duration, bool) {
	if tries < 1 || tries > len(s) {
		return 0, false
	}
	return s[tries-1], true
}

// Forever returns the wait after so many tries; the last one repeats.
func (s Schedule) Forever(tries int) time.Duration {
	return s[min(max(tries, 1), len(s))-1]
}

// Jitter returns a wait that is up to a tenth shorter or longer. It depends on the key alone, so
// that what failed at the same time is not all sent again at the same time.
func Jitter(wait time.Duration, key string) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(key))
	part := time.Duration(h.Sum32()%2001) - 1000
	return wait + wait/10*part/1000
}

// Limits are how many calls one node may have on the way: in all, to the receivers of one owner,
// and to one receiver. Receivers without an owner have no limit in common.
type Limits struct{ All, Owner, One int }

// Room counts the calls from this node that are not answered yet.
type Room struct {
	limits Limits

	mu     sync.Mutex
	all    int
	owners map[string]int
	one    map[string]int
}

// NewRoom returns an empty room.
func NewRoom(l Limits) *Room {
	return &Room{limits: l, owners: map[string]int{}, one: map[string]int{}}
}

// Add counts calls to a receiver of an owner, or with a negative number takes them away.
func (r *Room) Add(owner, receiver string, by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(owner, receiver, by)
}

func (r *Room) count(owner, receiver string, by int) {
	r.all += by
	r.owners[owner] += by
	r.one[receiver] += by
	if r.owners[owner] == 0 {
		delete(r.owners, owner)
	}
	if r.one[receiver] == 0 {
		delete(r.one, receiver)
	}
}

// Plan returns a copy of the counts, to plan with.
func (r *Room) Plan() *Room {
	r.mu.Lock()
	defer r.mu.Unlock()
	planned := NewRoom(r.limits)
	planned.all, planned.owners, planned.one = r.all, maps.Clone(r.owners), maps.Clone(r.one)
	return planned
}

// Take reports whether one more call is allowed, and counts it.
func (r *Room) Take(owner, receiver string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= r.limits.All || r.one[receiver] >= r.limits.One || owner != "" && r.owners[owner] >= r.limits.Owner {
		return false
	}
	r.count(owner, receiver, 1)
	return true
}

// Await waits for work that goes on in the background, but not longer than patience.
func Await(work *sync.WaitGroup, patience time.Duration) {
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
	}
}
