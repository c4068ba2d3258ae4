package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// judge keeps what was broken and when, and what is wrong because of no such thing.
type judge struct {
	began time.Time

	mu       sync.Mutex
	faults   []*fault
	findings []string
	counts   map[string]int
	most     int // tries that one press of a button took
}

// fault is something that the driver broke. It explains what fails between its beginning and its
// end, and for a while after it.
type fault struct {
	what         string
	kind         kind
	node         int           // every one if below zero
	after        time.Duration // for how long it explains something after its end
	began, ended time.Time
}

// kind is what a fault explains.
type kind int

const (
	ofNode     kind = 1 << iota // no answer, or a late one
	ofDatabase                  // 503
)

func newJudge(began time.Time) *judge { return &judge{began: began, counts: map[string]int{}} }

// begin notes a fault, and returns what notes its end.
func (j *judge) begin(f fault) (end func()) {
	f.began = time.Now()
	j.mu.Lock()
	j.faults = append(j.faults, &f)
	j.counts[f.what]++
	j.mu.Unlock()
	j.say("%s%s", f.what, onNode(f.node))
	return func() {
		j.mu.Lock()
		f.ended = time.Now()
		j.mu.Unlock()
		j.say("%s%s is over after %s", f.what, onNode(f.node), time.Since(f.began).Round(10*time.Millisecond))
	}
}

func onNode(n int) string {
	if n < 0 {
		return ""
	}
	return fmt.Sprintf(" of node %d", n)
}

func (j *judge) say(format string, args ...any) {
	fmt.Printf("%6.1f  %s\n", time.Since(j.began).Seconds(), fmt.Sprintf(format, args...))
}

// explained reports whether something was broken for a node while a request was on its way.
func (j *judge) explained(node int, began, ended time.Time, k kind) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.faults, func(f *fault) bool {
		return (f.node < 0 || f.node == node) && f.kind&k != 0 && f.began.Before(ended) &&
			(f.ended.IsZero() || began.Before(f.ended.Add(f.after)))
	})
}

// find notes something that must never be.
func (j *judge) find(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.mu.Lock()
	j.findings = append(j.findings, fmt.Sprintf("%.1f  %s", time.Since(j.began).Seconds(), text))
	j.mu.Unlock()
	j.say("FOUND: %s", text)
}

func (j *judge) count(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[what]++
}

// pressed notes how many tries one press of a button took.
func (j *judge) pressed(tries int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.most = max(j.most, tries)
	switch {
	case tries == 2:
		j.counts["a person tried again once"]++
	case tries > 2:
		j.counts["a person tried again more than once"]++
	}
}

// report prints everything and returns how many findings there are.
func (j *judge) report() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(j.counts)) {
		fmt.Printf("%6d  %s\n", j.counts[what], what)
	}
	fmt.Printf("%6d  tries at most for one press of a button\n", j.most)
	for _, f := range j.findings {
		fmt.Printf("FOUND: %s\n", f)
	}
	return len(j.findings)
}
