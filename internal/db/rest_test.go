package db

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// After a transaction of a program no other program begins one for half of its time, if people come.
func TestProgramsRestWhilePeopleCome(t *testing.T) {
	for name, c := range map[string]struct {
		since time.Duration // since somebody came, when the program begins
		takes time.Duration
		meets bool // somebody comes meanwhile
		rest  time.Duration
	}{
		"somebody came":                  {0, 60 * time.Millisecond, false, 30 * time.Millisecond},
		"somebody came a second ago":     {peopleStay, 60 * time.Millisecond, false, 30 * time.Millisecond},
		"nobody has come for longer":     {peopleStay + 1, 60 * time.Millisecond, false, 0},
		"somebody comes meanwhile":       {time.Hour, 60 * time.Millisecond, true, 30 * time.Millisecond},
		"the transaction took very long": {0, time.Second, false, mostRest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pool{programs: make(chan struct{}, 1), people: &atomic.Int64{}, rest: &atomic.Int64{}}
				begin := func(program bool) (end func()) {
					ctx := t.Context()
					if program {
						ctx = AfterPeople(ctx)
					}
					end, err := p.line(ctx)
					if err != nil {
						t.Fatal(err)
					}
					return end
				}
				begin(false)()
				time.Sleep(c.since)
				end := begin(true)
				time.Sleep(c.takes)
				if c.meets {
					begin(false)()
				}
				end()
				ended := time.Now()
				begin(false)() // people go in between
				if waited := time.Since(ended); waited != 0 {
					t.Errorf("somebody waited for %v", waited)
				}
				begin(true)()
				if rest := time.Since(ended); rest != c.rest {
					t.Errorf("the next program came after %v, want %v", rest, c.rest)
				}
			})
		})
	}
}
