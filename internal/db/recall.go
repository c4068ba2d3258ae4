package db

import (
	"reflect"
	"sync"
	"time"
)

const (
	// hearEvery is how old the last hearing may be before the next request asks again what other
	// processes changed.
	hearEvery = 250 * time.Millisecond
	// believed is how old it may be for anything to be remembered: so what ends on one node is felt
	// on every other within this time.
	believed = time.Second
	// longestKept bounds every remembered answer, whatever was heard: somebody may have changed a
	// row by hand.
	longestKept = time.Minute
	// How many ids, and by default how many answers, a generation of a memory holds. Once one is
	// full, or as old as the oldest answer may be, the generation before it is dropped.
	changedIDs   = 50_000
	mostRecalled = 8192
	// doubted is for how long a test waits until an answer that is no longer true is forgotten.
	doubted = 2 * believed
)

// memory knows which rows changed, in the order in which this process learned of it.
type memory struct {
	mu         sync.RWMutex
	last       uint64            // number of the last change
	floor      uint64            // answers read before this number are void
	closed     uint64            // number at which the young generation began
	began      time.Time         // when it did
	young, old map[string]uint64 // id → number of its last change
}

// stamp returns what an answer that is read now has seen. It is taken before reading.
func (m *memory) stamp() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.last
}

// holds reports whether nothing changed of what an answer hangs on since its stamp.
func (m *memory) holds(stamp uint64, ids []string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if stamp < m.floor {
		return false
	}
	for _, id := range ids {
		n, ok := m.young[id]
		if !ok {
			n = m.old[id]
		}
		if n > stamp {
			return false
		}
	}
	return true
}

// note voids the answers that hang on what was told.
func (m *memory) note(t told) {
	if t.nothing() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	if t.all {
		m.floor, m.young, m.old = m.last, nil, nil
		return
	}
	now := time.Now()
	if len(m.young)+len(t.ids) > changedIDs || age(m.began, now) > longestKept {
		// What the dropped generation knew is known by its answers' age alone.
		m.floor, m.closed = max(m.floor, m.closed), m.last
		m.old, m.young = m.young, nil
	}
	if m.young == nil {
		m.began, m.young = now, map[string]uint64{}
	}
	for _, id := range t.ids {
		m.young[id] = m.last
	}
}

// Recall remembers answers that were read from the database. It is the only cache of what decides
// who may do what, and never asked within a transaction: a deed reads what it depends on.
//
// An answer is void once one of its rows changed in this process; at most a second later if
// it changed in another one; and a minute after it was read in any case. Its zero value is ready.
type Recall[K comparable, V any] struct {
	Most int // answers in each of two generations; 0 means 8192

	mu         sync.Mutex
	began      time.Time // when the young generation did
	young, old map[K]recalled[V]
}

type recalled[V any] struct {
	value V
	stamp uint64
	hangs []string
	read  time.Time
}

// Ask returns the remembered answer to a question, or else what read returns, which is remembered
// if it hangs on something: hangs are the ids of every row behind it, and of those
// whose deletion deletes these. Answers are shared, so nobody may change what they point to.
func (r *Recall[K, V]) Ask(d *DB, key K, read func() (value V, hangs []string, err error)) (V, error) {
	now := time.Now()
	if !d.hears(now) {
		value, _, err := read()
		return value, err
	}
	if value, ok := r.get(d, key, now); ok {
		if d.Shadow != nil {
			r.compare(d, key, value, read)
		}
		return value, nil
	}
	stamp := d.memory.stamp()
	value, hangs, err := read()
	if err == nil && len(hangs) > 0 {
		r.put(key, recalled[V]{value, stamp, hangs, now})
	}
	return value, err
}

func (r *Recall[K, V]) get(d *DB, key K, now time.Time) (V, bool) {
	r.mu.Lock()
	kept, ok := r.young[key]
	if !ok {
		kept, ok = r.old[key]
	}
	r.mu.Unlock()
	if !ok || age(kept.read, now) > longestKept || !d.memory.holds(kept.stamp, kept.hangs) {
		var none V
		return none, false
	}
	return kept.value, true
}

func (r *Recall[K, V]) put(key K, kept recalled[V]) {
	most := r.Most
	if most == 0 {
		most = mostRecalled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= most || age(r.began, kept.read) > longestKept {
		r.old, r.young = r.young, nil
	}
	if r.young == nil {
		r.began, r.young = kept.read, map[K]recalled[V]{}
	}
	r.young[key] = kept
}

// compare tells the tests' Shadow of an answer that is still remembered after the time within which
// it should have been forgotten, though the database says something else.
func (r *Recall[K, V]) compare(d *DB, key K, value V, read func() (V, []string, error)) {
	for until := time.Now().Add(doubted); ; time.Sleep(10 * time.Millisecond) {
		stored, _, err := read()
		if err != nil || reflect.DeepEqual(stored, value) {
			d.Shadow(value, value)
			return
		}
		now, still := time.Now(), false
		if d.hears(now) {
			value, still = r.get(d, key, now)
		}
		if !still {
			return
		}
		if now.After(until) {
			d.Shadow(value, stored)
			return
		}
	}
}

// age returns how long ago a time was, by the clock that runs evenly or the one on the wall,
// whichever says more: the first stands still while a virtual machine is suspended.
func age(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}
