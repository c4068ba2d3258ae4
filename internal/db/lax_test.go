package db_test

import (
	"context"
	"errors"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

// What SQLite's writer is set to (https://sqlite.org/pragma.html#pragma_synchronous).
const (
	normal = 1
	full   = 2
)

// Whatever a lax transaction ends in, the next durable one waits for the disk.
func TestOnlyLaxTransactionsDoNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	if d.Path() == "" {
		t.Skip("PostgreSQL has no lax writes here")
	}
	waits := func(update func(context.Context, func(*db.Tx) error) error) (how int) {
		t.Helper()
		if err := update(t.Context(), func(tx *db.Tx) error {
			_, err := tx.One(t.Context(), db.Into(&how), `select synchronous from pragma_synchronous`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return how
	}
	asked := func(exec func(context.Context, func(func(...any) error) error, string, ...any) error) (how int) {
		t.Helper()
		if err := exec(t.Context(), func(scan func(...any) error) error { return scan(&how) }, `select synchronous from pragma_synchronous`); err != nil {
			t.Fatal(err)
		}
		return how
	}
	gone, cancel := context.WithCancel(t.Context())
	failed := errors.New("failed")
	for name, end := range map[string]func(){
		"commits":   func() { expect.Equal(t, "a lax transaction", waits(d.UpdateLax), normal) },
		"statement": func() { expect.Equal(t, "a lax statement", asked(d.Lax), normal) },
		"fails": func() {
			if err := d.UpdateLax(t.Context(), func(*db.Tx) error { return failed }); !errors.Is(err, failed) {
				t.Error(err)
			}
		},
		"panics": func() {
			defer func() { _ = recover() }()
			_ = d.UpdateLax(t.Context(), func(*db.Tx) error { panic("in a transaction") })
		},
		"is given up": func() {
			_ = d.UpdateLax(gone, func(*db.Tx) error { cancel(); return failed })
		},
		"cannot begin": func() {
			over, stop := context.WithCancel(t.Context())
			stop()
			_ = d.UpdateLax(over, func(*db.Tx) error { return nil })
		},
	} {
		end()
		expect.Equal(t, "a transaction after one that "+name, waits(d.Update), full)
		end()
		expect.Equal(t, "a statement after one that "+name, asked(d.Exec), full)
	}
}
