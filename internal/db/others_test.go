package db_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// A transaction waits while another process has SQLite's writer, and no longer than its caller wants.
func TestATransactionWaitsForAnotherProcess(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	if d.Path() == "" {
		t.Skip("PostgreSQL has no single writer")
	}
	other, err := db.Open(t.Context(), d.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	nothing := func(func(...any) error) error { return nil }
	const statement = `insert into leases (name, holder, ends_at) values ('x', '', 1)`
	held := func() (release func()) {
		begun, ends, ended := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			ended <- other.Exec(t.Context(), func(func(...any) error) error { close(begun); <-ends; return nil }, `update leases set ends_at = 0 where name = 'y' returning name`)
		}()
		<-begun
		return func() {
			close(ends)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	if err := other.Exec(t.Context(), nothing, `insert into leases (name, holder, ends_at) values ('y', '', 1)`); err != nil {
		t.Fatal(err)
	}
	release := held()
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.Exec(short, nothing, statement); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller who waits no longer got %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Exec(t.Context(), nothing, statement) }()
	select {
	case err := <-done:
		t.Errorf("it did not wait: %v", err)
		done <- nil
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
