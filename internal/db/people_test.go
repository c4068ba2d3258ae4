package db_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// A person waits for the one transaction of a program that has begun, also where other programs came first.
func TestAPersonIsNextAfterOneProgram(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	if d.Path() == "" {
		t.Skip("PostgreSQL has no single writer")
	}
	for range 10 { // because a turn that is drawn by lot falls on the person now and then
		var turn atomic.Int64
		turns := make([]int64, 5) // of four programs and, last, the person
		var all sync.WaitGroup
		program := db.AfterPeople(t.Context())
		in := func(ctx context.Context, who int, wait <-chan struct{}) {
			all.Go(func() {
				if err := d.Update(ctx, func(*db.Tx) error {
					<-wait
					turns[who] = turn.Add(1)
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		open, ends := make(chan struct{}), make(chan struct{})
		close(open)
		begun := make(chan struct{})
		all.Go(func() {
			once := sync.OnceFunc(func() { close(begun) })
			if err := d.Update(program, func(*db.Tx) error { once(); <-ends; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-begun
		before := d.Waiting()
		for i := range 4 {
			in(program, i, open)
		}
		in(t.Context(), 4, open)
		for d.Waiting() == before {
			time.Sleep(time.Millisecond)
		}
		close(ends)
		all.Wait()
		if slices.Min(turns) != turns[4] {
			t.Fatalf("the turns of four programs and the person: %v", turns)
		}
	}
}

// A program that gives up in the line leaves it to the others.
func TestTheLineOfProgramsOutlivesWhoGivesUp(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	program, nothing := db.AfterPeople(t.Context()), func(*db.Tx) error { return nil }
	err := d.Update(program, func(*db.Tx) error {
		short, cancel := context.WithTimeout(program, 10*time.Millisecond)
		defer cancel()
		if d.Path() == "" {
			return nil
		}
		if err := d.Update(short, nothing); err == nil {
			t.Error("two programs write at once")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Update(program, nothing); err != nil {
		t.Error(err)
	}
}
