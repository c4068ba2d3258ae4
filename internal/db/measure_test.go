package db_test

import (
	"errors"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/measure"
)

func counted(d *db.DB) map[string]int {
	all := map[string]int{}
	d.Measures.Statements(func(t *measure.Timer, labels ...string) { all[labels[0]] = t.Count() })
	return all
}

func TestEachStatementIsTimedOnce(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	ctx := t.Context()
	var n int
	nothing := func(func(...any) error) error { return nil }
	// On PostgreSQL the first transaction of a node says that there is one.
	if err := d.Update(ctx, func(*db.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	before := counted(d)
	err := d.Update(ctx, func(tx *db.Tx) error {
		for range 2 { // the second time it is prepared
			if _, err := tx.Note(ctx, "measured", "x"); err != nil {
				return err
			}
		}
		return tx.Rows(ctx, nothing, `select name from installation`)
	})
	if err == nil {
		_, err = d.One(ctx, db.Into(&n), `select count(*) from installation`)
	}
	if err == nil {
		err = d.Rows(ctx, nothing, `select name from installation`)
	}
	if err == nil {
		err = d.Exec(ctx, nothing, `update installation set value = $1 where name = $2`, "y", "measured")
	}
	if err != nil {
		t.Fatal(err)
	}
	after := counted(d)
	runs := 1
	if before["insert"]+4 == after["insert"] { // './check all' runs each transaction twice
		runs = 2
	}
	for verb, want := range map[string]int{"insert": 2 * runs, "select": 3*runs + 2, "update": 1} {
		if got := after[verb] - before[verb]; got != want {
			t.Errorf("%d statements of %s were timed, want %d", got, verb, want)
		}
	}
	if after["begin"] == before["begin"] || after["commit"] == before["commit"] {
		t.Errorf("beginning and committing were not timed: %v, %v", before, after)
	}
}

func TestASchemaThatThisProgramDoesNotKnowDoesNotFit(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	ctx := t.Context()
	if err := d.Fits(ctx); err != nil {
		t.Fatal(err)
	}
	set := func(statement string) {
		t.Helper()
		if err := d.Update(ctx, func(tx *db.Tx) error { _, err := tx.Exec(ctx, statement); return err }); err != nil {
			t.Fatal(err)
		}
	}
	set(`update migrations set version_id = version_id + 1000 where version_id > 5`)
	if err := d.Fits(ctx); !errors.Is(err, db.ErrNewer) {
		t.Errorf("a newer schema: %v", err)
	}
	set(`delete from migrations where version_id > 1000`)
	if err := d.Fits(ctx); err == nil || !strings.Contains(err.Error(), "is at version 5") {
		t.Errorf("an older schema: %v", err)
	}
}
