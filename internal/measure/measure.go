// Package measure counts and times what the program does, for those who watch it (docs/watch.md).
//
// What is counted hangs on the part that does it, as a field whose zero value is ready; app lists
// all of it once. The values of labels come from short lists that are known when the program is
// built: never a person, an organization, an address or anything that somebody typed.
package measure

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Counter only grows.
type Counter struct{ n atomic.Int64 }

// Inc counts one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add counts several.
func (c *Counter) Add(n int) { c.n.Add(int64(n)) }

// Value returns the count.
func (c *Counter) Value() float64 { return float64(c.n.Load()) }

// bounds are the upper bounds by which times are sorted: from a look-up by key to what nobody
// waits for.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Timer counts how often something was done, and how long it took.
type Timer struct {
	within [len(bounds) + 1]atomic.Int64 // by the first bound that is not exceeded
	sum    atomic.Int64                  // nanoseconds
}

// Observe counts one that took so long.
func (t *Timer) Observe(took time.Duration) {
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	t.within[i].Add(1)
	t.sum.Add(int64(took))
}

// Count returns how many there were.
func (t *Timer) Count() int {
	var n int64
	for i := range t.within {
		n += t.within[i].Load()
	}
	return int(n)
}

// Labels are the values by which counts of one kind are told apart; the second may be empty.
type Labels [2]string

// By keeps one Counter or Timer for each pair of values.
type By[T any] struct {
	mu  sync.RWMutex
	all map[Labels]*T
}

// Of returns the one of these values.
func (b *By[T]) Of(l Labels) *T {
	b.mu.RLock()
	one := b.all[l]
	b.mu.RUnlock()
	if one != nil {
		return one
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = map[Labels]*T{}
	}
	if b.all[l] == nil {
		b.all[l] = new(T)
	}
	return b.all[l]
}

// Each visits all of them, in the order of their values.
func (b *By[T]) Each(visit func(Labels, *T)) {
	b.mu.RLock()
	all := make(map[Labels]*T, len(b.all))
	var order []Labels
	for l, one := range b.all {
		all[l] = one
		order = append(order, l)
	}
	b.mu.RUnlock()
	slices.SortFunc(order, func(a, b Labels) int { return slices.Compare(a[:], b[:]) })
	for _, l := range order {
		visit(l, all[l])
	}
}

// Stopwatch says how long something took. It is for measuring alone: what is decided by time asks
// the database's clock.
type Stopwatch struct{ began time.Time }

// Start begins to measure.
func Start() Stopwatch { return Stopwatch{time.Now()} }

// Took returns the time since the start.
func (s Stopwatch) Took() time.Duration { return time.Since(s.began) }
