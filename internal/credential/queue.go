package credential

import (
	"context"
	"slices"
	"sync"

	"parvis/internal/directory"
	"parvis/internal/measure"
)

// Source says for whom a hash is computed, for the fair queue: a browser that is known to
// belong to somebody, or else a network; and in which organization, as far as the request
// named it. An organization that only the address would tell is left out: how long somebody
// waits would say whether there is one.
type Source struct {
	Name  string
	Known bool
	Org   directory.OrgID // empty where none was named
}

// party returns whose turn it is that a source takes a share of.
func (s Source) party() party { return party{s.Known, s.Org} }

// A party is an organization, or those who named none, each apart for known browsers and for
// strangers.
type party struct {
	known bool
	org   directory.OrgID
}

// A queue lets a fixed number of callers work at once and the others wait, bounded in number
// and fair between organizations, and in each between its sources: who floods it waits behind
// their own calls (R-RES-02). Organizations take turns, one piece of work each, and within one
// its sources; so do the known ones and the strangers, so that strangers from many networks slow
// down nobody who has been here before, and a flood of one organization slows no other. One
// source may hold half of the places to wait. When all are taken, one who waits for more others
// of their organization than the newcomer gives up the place: the last of its longest line; and
// in the newcomer's own organization the last of a longer line.
type queue struct {
	mu     sync.Mutex
	free   int // how many may begin at once; above zero nobody waits
	places int // places to wait that are left
	share  int // the most places of one source
	lines  map[Source][]chan error
	order  map[party][]Source // the sources with a line; the next turn of their party is the first one's
	turns  map[bool][]party   // the parties with a line, known or not; the next turn is the first one's
	known  bool               // the last turn was a known source's

	waited, worked measure.Timer
	busy           measure.Counter
}

func newQueue(parallel, waiting int) *queue {
	return &queue{
		free: parallel, places: waiting, share: max(1, waiting/2),
		lines: map[Source][]chan error{}, order: map[party][]Source{}, turns: map[bool][]party{},
	}
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
	length, of := len(q.lines[source]), source.party()
	if length >= q.share || q.places == 0 && !q.shorten(of, length+1) {
		return nil, ErrBusy
	}
	if len(q.order[of]) == 0 {
		q.turns[of.known] = append(q.turns[of.known], of)
	}
	if length == 0 {
		q.order[of] = append(q.order[of], source)
	}
	q.lines[source] = append(q.lines[source], called)
	q.places--
	return called, nil
}

// shorten frees a place for a newcomer whose line will have a length: in the longest line of the
// party with the most who wait, if those are more than the newcomer's party will have; otherwise in
// the longest of the newcomer's own party, if that line is longer.
func (q *queue) shorten(newcomer party, length int) bool {
	from, most := newcomer, q.waits(newcomer)+1
	for of := range q.order {
		if n := q.waits(of); n > most {
			from, most = of, n
		}
	}
	if from != newcomer {
		length = 0
	}
	var longest Source
	found := false
	for _, source := range q.order[from] {
		if n := len(q.lines[source]); n > length {
			longest, length, found = source, n, true
		}
	}
	if found {
		last := q.lines[longest][length-1]
		q.remove(longest, length-1)
		last <- ErrBusy
	}
	return found
}

// waits returns how many of a party wait.
func (q *queue) waits(of party) (n int) {
	for _, source := range q.order[of] {
		n += len(q.lines[source])
	}
	return n
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
	if len(q.turns[known]) == 0 {
		known = !known
	}
	if len(q.turns[known]) == 0 {
		q.free++
		return
	}
	q.known = known
	of := q.turns[known][0]
	source := q.order[of][0]
	next := q.lines[source][0]
	q.remove(source, 0)
	if _, more := q.lines[source]; more {
		q.order[of] = append(q.order[of][1:], source)
	}
	if _, more := q.order[of]; more {
		q.turns[known] = append(q.turns[known][1:], of)
	}
	next <- nil
}

// remove takes the place at i out of source's line, and removes an empty line, and a party
// without one.
func (q *queue) remove(source Source, i int) {
	q.places++
	q.lines[source] = slices.Delete(q.lines[source], i, i+1)
	if len(q.lines[source]) > 0 {
		return
	}
	delete(q.lines, source)
	of := source.party()
	q.order[of] = slices.DeleteFunc(q.order[of], func(s Source) bool { return s == source })
	if len(q.order[of]) == 0 {
		delete(q.order, of)
		q.turns[of.known] = slices.DeleteFunc(q.turns[of.known], func(p party) bool { return p == of })
	}
}
