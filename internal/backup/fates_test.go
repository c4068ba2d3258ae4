package backup

import (
	"slices"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// A restore must say what it does with every table: it is decided in fates.
func TestARestoreKnowsWhatToDoWithEveryTable(t *testing.T) {
	d, _ := dbtest.Open(t)
	var tables []db.Table
	if err := d.View(t.Context(), func(tx *db.Tx) (err error) {
		tables, err = tx.Tables(t.Context())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, f := range fates {
		if slices.Contains(listed, f.table) {
			t.Errorf("%s is listed twice", f.table)
		}
		if f.why == "" {
			t.Errorf("%s has no reason", f.table)
		}
		listed = append(listed, f.table)
	}
	for _, table := range tables {
		if !slices.Contains(listed, table.Name) {
			t.Errorf("nobody decided what a restore does with %s: list it in fates.go", table.Name)
		}
	}
	if len(listed) != len(tables) {
		t.Errorf("%d tables are listed, and there are %d", len(listed), len(tables))
	}
}

// Each change is one that both databases understand.
func TestEveryChangeOfARestoreCanBeMade(t *testing.T) {
	d, _ := dbtest.Open(t)
	for _, asOfBackup := range []bool{true, false} {
		if err := d.Update(t.Context(), func(tx *db.Tx) error {
			for _, f := range fates {
				if err := f.meet(t.Context(), tx, asOfBackup); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
