package backup

import (
	"errors"
	"io"
	"slices"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/secret"
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

// Somebody may set up an installation while a restore begins.
func TestARestoreLooksAgainBeforeItEmptiesTables(t *testing.T) {
	d, _ := dbtest.Open(t)
	dbtest.Do(t, d, `
		insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name, display_name_skeleton, language, contact,
			invitation_lifetime, created_at)
		values ('org_x', 'x', 'x', 'x', 'X', 'x', 'en', '', 0, 0)`)
	unread := func() (io.ReadCloser, error) { return nil, errors.New("it is read") }
	if err := d.Update(t.Context(), func(tx *db.Tx) error { return load(t.Context(), tx, unread, How{}, marks{}) }); !errors.Is(err, ErrOccupied) {
		t.Errorf("it is answered by %v", err)
	}
}

// A restore that comes between the rows of another one and its end takes what it finds for one that was cut
// short. The first then changes nothing more.
func TestARestoreThatIsOvertakenSaysSo(t *testing.T) {
	d, _ := dbtest.Open(t)
	note := func(text string) {
		t.Helper()
		if err := d.Update(t.Context(), func(tx *db.Tx) error { return tx.SetNote(t.Context(), Unfinished, text) }); err != nil {
			t.Fatal(err)
		}
	}
	note("mine")
	how := How{Keys: secret.NewKeys(), AsOfBackup: true, mark: "mine"}
	unread := func() (io.ReadCloser, error) { return nil, errors.New("it is read") }
	err := d.Update(t.Context(), func(tx *db.Tx) error { return load(t.Context(), tx, unread, how, marks{unfinished: "another's"}) })
	if !errors.Is(err, ErrAtOnce) {
		t.Errorf("a restore whose place changed before it wrote there ended with %v", err)
	}
	note("another's")
	if err := begin(t.Context(), d, how, d.Now()); !errors.Is(err, ErrAtOnce) {
		t.Errorf("the one that was overtaken ended with %v", err)
	}
	note("mine")
	if err := begin(t.Context(), d, how, d.Now()); err != nil {
		t.Errorf("one that is alone ended with %v", err)
	}
}

// Somebody may migrate a database while a restore begins. No migration would then see the rows that it loads.
func TestRowsOfAnOlderSchemaAreNotLoadedIntoANewerOne(t *testing.T) {
	d, _ := dbtest.Open(t)
	found, err := marksIn(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	older := sourceOf(written(t, `{"table":"audit_keys","columns":["name","org_id","seed"]}`+"\n"))
	err = d.Update(t.Context(), func(tx *db.Tx) error { return load(t.Context(), tx, older, How{Keys: fuzzKeys(), mark: "mine"}, found) })
	if !errors.Is(err, ErrAtOnce) {
		t.Errorf("it is answered by %v", err)
	}
}

// Each change is one that both databases understand.
func TestEveryChangeOfARestoreCanBeMade(t *testing.T) {
	d, _ := dbtest.Open(t)
	for _, asOfBackup := range []bool{true, false} {
		if err := d.Update(t.Context(), func(tx *db.Tx) error {
			for _, f := range fates {
				if err := f.meet(t.Context(), tx, How{AsOfBackup: asOfBackup, Continued: []*Continued{{Org: "org_a"}, {}}}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
