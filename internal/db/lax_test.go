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

// A lax statement of a transaction runs if that is committed. On SQLite it is part of it.
func TestALaxStatementGoesWithItsTransaction(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	note := func(name string, fn func(*db.Tx) error) (wrong, failed error) {
		err := d.Update(t.Context(), func(tx *db.Tx) error {
			if err := tx.Lax(t.Context(), func(err error) { wrong = err }, `insert into installation (name, value) values ($1, $2)`, name, "x"); err != nil {
				return err
			}
			return fn(tx)
		})
		return wrong, err
	}
	noted := func(name string) bool {
		value, err := d.Noted(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return value != ""
	}
	late := errors.New("too late")
	if wrong, err := note("back", func(*db.Tx) error { return late }); wrong != nil || !errors.Is(err, late) || noted("back") {
		t.Errorf("rolled back: %v, %v, noted: %v", wrong, err, noted("back"))
	}
	none := func(*db.Tx) error { return nil }
	if wrong, err := note("done", none); wrong != nil || err != nil || !noted("done") {
		t.Errorf("committed: %v, %v, noted: %v", wrong, err, noted("done"))
	}
	// There is such a note already.
	wrong, err := note("done", none)
	expect.Equal(t, "what it did is done on PostgreSQL, and is not on SQLite", [2]bool{wrong != nil, err != nil}, [2]bool{d.Path() == "", d.Path() != ""})
}

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
		"takes turns": func() {
			_ = d.LaxInTurn(t.Context(), func(one db.Statement) error { expect.Equal(t, "in turn", asked(one), normal); return failed })
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
