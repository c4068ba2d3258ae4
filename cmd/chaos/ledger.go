package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// ledger is what was answered, and so must be so.
type ledger struct {
	*world

	mu     sync.Mutex
	people []*person
	groups map[string]bool // by name: whether it was answered
	next   int             // of names that nobody has
}

// person is somebody as far as the answers say. One journey at a time is theirs.
type person struct {
	mu        sync.Mutex
	email, id string
	passwords []string // one of them is right: more than one after an answer that was lost
	name      []string // the same
	shut      []bool   // the same: whether they were shut out
	app       string   // the secret of their authenticator app; empty without one
	unsureApp bool     // the answer of its enrolment was lost
	step      int64    // of the last code that was sent
	twice     int      // codes that were sent twice
	letters   map[string]bool
	asked     int // resets
	changes   int // of the password
	here      *visitor
	refresh   string   // of the application
	granted   *visitor // the browser in which it was given
}

func newLedger(w *world) *ledger { return &ledger{world: w, groups: map[string]bool{}} }

// fresh returns a text that was never returned before.
func (l *ledger) fresh(what string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return fmt.Sprintf("%s%d", what, l.next)
}

// password returns one that the rules accept, and that nobody has.
func (l *ledger) password() string { return l.fresh("Seven zebras ride a tram!") }

// populate has so many people join.
func (l *ledger) populate(ctx context.Context, n int) error {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { l.join(ctx) })
	}
	all.Wait()
	if len(l.people) < n {
		return fmt.Errorf("only %d of %d people came in before anything was broken", len(l.people), n)
	}
	return nil
}

// live is one journey after the other until the end.
func (l *ledger) live(ctx context.Context, chance *rand.Rand) {
	journeys := []struct {
		name   string
		weight int
		of     func(context.Context, *person)
	}{
		{"sign-in", 5, l.signsIn}, {"application", 5, l.usesApplication}, {"second step", 4, l.secondStep}, {"password change", 2, l.changesPassword},
		{"recovery", 2, l.recovers}, {"rename", 2, l.isRenamed}, {"shut out", 2, l.isShutOut},
	}
	for ctx.Err() == nil {
		switch n := chance.IntN(30); {
		case n == 0 && l.count() < 60:
			l.join(ctx)
			continue
		case n < 5:
			l.makesGroup()
			continue
		}
		p := l.somebody(chance)
		if p == nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		sum := 0
		for _, j := range journeys {
			sum += j.weight
		}
		at := chance.IntN(sum)
		for _, j := range journeys {
			if at -= j.weight; at < 0 {
				l.judge.count("journey: " + j.name)
				j.of(ctx, p)
				break
			}
		}
		p.mu.Unlock()
		// People think between two clicks; a machine under full load says nothing about its nodes.
		time.Sleep(time.Duration(chance.IntN(400)) * time.Millisecond)
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.people)
}

// somebody returns a person whom no other journey has, or nobody.
func (l *ledger) somebody(chance *rand.Rand) *person {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range 10 {
		if p := l.people[chance.IntN(len(l.people))]; p.mu.TryLock() {
			return p
		}
	}
	return nil
}

// check compares everything that was answered with what there is, through every node.
func (l *ledger) check(ctx context.Context) {
	l.judge.say("comparing what was answered with what there is")
	for i, p := range l.people {
		p.mu.Lock()
		l.settle(p)
		l.signsIn(ctx, p)
		p.mu.Unlock()
		if u, ok := l.user(p.email); !ok {
			l.judge.find("%s, who came in, is gone", p.email)
		} else if !slices.Contains(p.name, u.Name) || p.id != "" && p.id != u.ID {
			l.judge.find("%s is called %q with id %s, and %q with id %s was answered", p.email, u.Name, u.ID, p.name, p.id)
		}
		if i%20 == 19 {
			time.Sleep(time.Second) // as many calls as one caller may make
		}
	}
	a, _ := l.call(http.MethodGet, "/groups", "", "")
	var page struct{ Items []struct{ Name string } }
	if err := a.into(&page); err != nil || a.status != http.StatusOK {
		l.judge.find("the groups cannot be listed: %d %s", a.status, a.body)
	}
	has := map[string]int{}
	for _, g := range page.Items {
		has[g.Name]++
	}
	for name, answered := range l.groups {
		if n := has[name]; n > 1 || n == 0 && answered {
			l.judge.find("group %s, of which %v was answered, is there %d times", name, answered, n)
		}
	}
	l.judge.say("%d people and %d groups were compared", len(l.people), len(l.groups))
}

type somebody struct {
	ID, Name, Email string
	State           string
}

// user asks the API for somebody.
func (l *ledger) user(email string) (somebody, bool) {
	a, _ := l.call(http.MethodGet, "/users?email="+url.QueryEscape(email), "", "")
	var page struct{ Items []somebody }
	if err := a.into(&page); err != nil || a.status != http.StatusOK {
		l.judge.find("%s cannot be looked up: %d %s", email, a.status, a.body)
		return somebody{}, false
	}
	if len(page.Items) != 1 {
		return somebody{}, false
	}
	return page.Items[0], true
}
