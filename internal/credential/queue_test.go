package credential

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parvis/internal/directory"
	"parvis/internal/expect"
)

// work is what each test gives to the queue: it takes a second and records for whom it ran. In
// a bubble of synctest seconds cost nothing.
type work struct {
	q    *queue
	mu   sync.Mutex
	done []string
	busy []string
	now  int
	most int
}

func (w *work) start(ctx context.Context, source string) {
	go func() {
		org, _, named := strings.Cut(source, ": ")
		if !named {
			org = ""
		}
		err := w.q.do(ctx, Source{Name: source, Known: strings.HasPrefix(source, "known"), Org: directory.OrgID(org)}, func() {
			w.mu.Lock()
			w.now++
			w.most = max(w.most, w.now)
			w.mu.Unlock()
			time.Sleep(time.Second)
			w.mu.Lock()
			w.now--
			w.done = append(w.done, source)
			w.mu.Unlock()
		})
		if errors.Is(err, ErrBusy) {
			w.mu.Lock()
			w.busy = append(w.busy, source)
			w.mu.Unlock()
		}
	}()
	synctest.Wait() // so that each is in line before the next comes
}

func (w *work) startMany(n int, source string) {
	for range n {
		w.start(context.Background(), source)
	}
}

func finish() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

// startEach starts a piece of work for each source.
func (w *work) startEach(sources ...string) {
	for _, source := range sources {
		w.start(context.Background(), source)
	}
}

// idle checks that nothing in the queue is held any longer.
func (w *work) idle(t *testing.T, parallel, waiting int) {
	t.Helper()
	expect.Equal(t, "free", w.q.free, parallel)
	expect.Equal(t, "places", w.q.places, waiting)
	if len(w.q.lines) > 0 || len(w.q.order) > 0 || len(w.q.turns[true])+len(w.q.turns[false]) > 0 {
		t.Errorf("after all work the queue holds %d free, %d places, lines %v, order %v, turns %v", w.q.free, w.q.places, w.q.lines, w.q.order, w.q.turns)
	}
}

func TestDOS1SourcesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{q: newQueue(1, 100)}
		w.startMany(6, "flood")
		w.startMany(2, "honest")
		w.startMany(1, "other")
		finish()
		want := []string{"flood", "flood", "honest", "other", "flood", "honest", "flood", "flood", "flood"}
		if !slices.Equal(w.done, want) {
			t.Errorf("done in the order %q, want %q", w.done, want)
		}
		w.idle(t, 1, 100)
	})
}

// A flood of one organization, from many networks, slows no other; nor does one of those who named
// none.
func TestDOS1OrganizationsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{q: newQueue(1, 100)}
		w.startEach("alpha: 1", "alpha: 2", "alpha: 3", "alpha: 4", "alpha: 2")
		w.startEach("unnamed 1", "unnamed 2", "unnamed 3")
		w.startEach("beta: 1", "beta: 1")
		finish()
		want := []string{"alpha: 1", "alpha: 2", "unnamed 1", "beta: 1", "alpha: 3", "unnamed 2", "beta: 1", "alpha: 4", "unnamed 3", "alpha: 2"}
		if !slices.Equal(w.done, want) {
			t.Errorf("done in the order %q, want %q", w.done, want)
		}
		w.idle(t, 1, 100)
	})
}

// The places that a flood of one organization took are there for others, though each of its networks
// has one alone.
func TestDOS1OrganizationsLeavePlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{q: newQueue(1, 6)}
		w.startEach("alpha: 0", "alpha: 1", "alpha: 2", "alpha: 3", "alpha: 4", "alpha: 5", "alpha: 6") // all places are taken
		w.startEach("beta: 1", "beta: 2", "gamma: 1")
		if len(w.busy) != 3 || strings.ContainsAny(strings.Join(w.busy, ""), "bg") {
			t.Errorf("%q gave way, want three of alpha", w.busy)
		}
		w.startEach("beta: 3") // alpha has three by now, and beta would have as many
		if got := w.busy[3:]; !slices.Equal(got, []string{"beta: 3"}) {
			t.Errorf("%q gave way: nobody gives way to an organization with as many", got)
		}
		w.startEach("alpha: 7")
		if got := w.busy[4:]; !slices.Equal(got, []string{"alpha: 7"}) {
			t.Errorf("%q gave way: nobody of one's own organization gives way to a line as long as theirs", got)
		}
		finish()
		w.idle(t, 1, 6)
	})
}

func TestDOS1KnownBrowsersDoNotStandInLineWithStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{q: newQueue(1, 100)}
		for _, source := range []string{"a", "b", "c", "d", "e", "f"} { // one from each network
			w.start(t.Context(), source)
		}
		w.startMany(2, "known 1")
		w.startMany(1, "known 2")
		finish()
		want := []string{"a", "known 1", "b", "known 2", "c", "known 1", "d", "e", "f"}
		if !slices.Equal(w.done, want) {
			t.Errorf("done in the order %q, want %q", w.done, want)
		}
		w.idle(t, 1, 100)
	})
}

func TestDOS1NoMoreAtOnceThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{q: newQueue(3, 100)}
		w.startMany(20, "a")
		w.startMany(20, "b")
		finish()
		if w.most != 3 || len(w.done) != 40 {
			t.Errorf("%d at once and %d done, want 3 and 40", w.most, len(w.done))
		}
		w.idle(t, 3, 100)
	})
}

func TestDOS1AFloodLeavesPlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{q: newQueue(1, 8)}
		w.startMany(20, "flood") // one works, four wait, the rest is refused
		if len(w.busy) != 15 {
			t.Errorf("%d of the flood refused, want 15: a source holds half of the places", len(w.busy))
		}
		w.startMany(4, "second") // all places are taken now
		w.startMany(2, "third")  // and the longest lines give way
		if got := w.busy[15:]; len(got) != 2 || slices.Contains(got, "third") {
			t.Errorf("%q gave way, want two of the long lines", got)
		}
		w.startMany(5, "third")
		if got := w.busy[17:]; !slices.Contains(got, "third") {
			t.Errorf("%q gave way: nobody gives way to a line as long as their own", got)
		}
		finish()
		w.idle(t, 1, 8)
	})
}

func TestLeavingTheQueueHandsTheTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{q: newQueue(1, 8)}
		w.startMany(1, "first")
		ctx, cancel := context.WithCancel(t.Context())
		w.start(ctx, "impatient")
		timed, stop := context.WithTimeout(t.Context(), time.Second) // ends just as its turn comes
		defer stop()
		w.start(timed, "late")
		w.startMany(1, "last")
		cancel()
		finish()
		if slices.Contains(w.done, "impatient") || w.done[len(w.done)-1] != "last" {
			t.Errorf("done: %q", w.done)
		}
		w.idle(t, 1, 8)
	})
}

func TestPanicInTheQueueFreesThePlace(t *testing.T) {
	q := newQueue(1, 1)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic went no further than the queue")
			}
		}()
		_ = q.do(t.Context(), Source{Name: "a"}, func() { panic("boom") })
	}()
	ran := false
	if err := q.do(t.Context(), Source{Name: "a"}, func() { ran = true }); err != nil || !ran {
		t.Errorf("after a panic: %v, ran %v", err, ran)
	}
}
