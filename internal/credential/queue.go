package credential

import (
	"context"
	"slices"
	"sync"

	"parvis/internal/measure"
)

// Source says for whom a hash is computed, for the fair queue: a browser that is known to
// belong to somebody, or else a network.
type Source struct {
	Name  string
	Known bool
}

// A queue lets a fixed number of callers work at once and the others wait, bounded in number
// and fair between sources: a source that floods it waits behind its own calls (R-RES-02).
// Sources take turns, one piece of work each; so do the known ones and the strangers, so that
// strangers from many networks slow down nobody who has been here before. One source may hold
// half of the places to wait, and when all are taken, the last of the longest line gives its
// place to a source with a shorter one.
type queue struct {
	mu     sync.Mutex
	free   int // how many may begin at once; above zero nobody waits
	places int // places to wait that are left
	share  int // the most places of one source
	lines  map[Source][]chan error
	order  map[bool][]Source // the sources with a line, known or not; the next turn is the first one's
	known  bool              // the last turn was a known source's

	waited, worked measure.Timer
	busy           measure.Counter
}

func newQueue(parallel, waiting int) *queue {
	return &queue{free: parallel, places: waiting, share: max(1, waiting/2), lines: map[Source][]chan error{}, order: map[bool][]Source{}}
}

// do runs work when it is source's turn. It returns ErrBusy if there is no place to wait, and
// the context's error if that ends first; work did not run then.
func (q *queue) do(ctx context.Context, source Source, work func()) error {
	watch := measure.Start()
	called, err := q.join(source)
	if err != nil {
		q.busy.Inc()
		return err
	}
	select {
	case err := <-called:
		if err != nil {
			q.busy.Inc()
			return err
		}
	case <-ctx.Done():
		if q.quit(source, called) || <-called != nil {
			return ctx.Err()
		}
		// The turn came in the same instant, and is passed on to somebody else.
		q.leave()
		return ctx.Err()
	}
	defer q.leave()
	q.waited.Observe(watch.Took())
	watch = measure.Start()
	work()
	q.worked.Observe(watch.Took())
	return nil
}

// waiting returns how many callers wait.
func (q *queue) waiting() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, line := range q.lines {
		n += len(line)
	}
	return n
}

// join returns a channel that yields nil when the turn comes, and ErrBusy when
// the place is given up.
func (q *queue) join(source Source) (chan error, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	called := make(chan error, 1)
	if q.free > 0 {
		q.free--
		called <- nil
		return called, nil
	}
	length := len(q.lines[source])
	if length >= q.share || q.places == 0 && !q.shorten(length+1) {
		return nil, ErrBusy
	}
	if length == 0 {
		q.order[source.Known] = append(q.order[source.Known], source)
	}
	q.lines[source] = append(q.lines[source], called)
	q.places--
	return called, nil
}

// shorten frees a place in the longest line, if that line is longer than length.
func (q *queue) shorten(length int) bool {
	var longest Source
	found := false
	for source, line := range q.lines {
		if len(line) > length {
			longest, length, found = source, len(line), true
		}
	}
	if found {
		last := q.lines[longest][length-1]
		q.remove(longest, length-1)
		last <- ErrBusy
	}
	return found
}

// quit leaves the line and reports whether called was still in it.
func (q *queue) quit(source Source, called chan error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, c := range q.lines[source] {
		if c == called {
			q.remove(source, i)
			return true
		}
	}
	return false
}

// leave hands the right to work to the first of the source whose turn it is.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := !q.known
	if len(q.order[known]) == 0 {
		known = !known
	}
	if len(q.order[known]) == 0 {
		q.free++
		return
	}
	q.known = known
	source := q.order[known][0]
	next := q.lines[source][0]
	q.remove(source, 0)
	if _, more := q.lines[source]; more {
		q.order[known] = append(q.order[known][1:], source)
	}
	next <- nil
}

// remove takes the place at i out of source's line, and removes an empty line.
func (q *queue) remove(source Source, i int) {
	q.places++
	q.lines[source] = slices.Delete(q.lines[source], i, i+1)
	if len(q.lines[source]) == 0 {
		delete(q.lines, source)
		q.order[source.Known] = slices.DeleteFunc(q.order[source.Known], func(s Source) bool { return s == source })
	}
}
