package db_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

// A migration that was shipped ran somewhere. Changing its text would leave two schemas under one
// number, so what is to be different is a migration of its own.
func TestAShippedMigrationNeverChanges(t *testing.T) {
	list, err := os.Open("testdata/migrations.sha256")
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	last := ""
	for lines := bufio.NewScanner(list); lines.Scan(); {
		want, name, _ := strings.Cut(lines.Text(), "  ")
		text, err := os.ReadFile(filepath.Join("migrations", name))
		if err != nil {
			t.Errorf("a shipped migration is gone: %v", err)
			continue
		}
		if hash := sha256.Sum256(text); hex.EncodeToString(hash[:]) != want {
			t.Errorf("%s was changed: restore it and write a new migration", name)
		}
		last = name
	}
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || last == "" {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name > last {
			t.Logf("note: %s is not listed yet; a release lists it: (cd internal/db/migrations && sha256sum *.sql) > internal/db/testdata/migrations.sha256", name)
		}
	}
}

func TestADatabaseKeepsWhatWasAppliedAndRefusesOtherTexts(t *testing.T) {
	d, _ := dbtest.Open(t)
	kept := func() (text string) {
		t.Helper()
		if _, err := d.One(t.Context(), db.Into(&text), `select value from installation where name = 'migrations'`); err != nil {
			t.Fatal(err)
		}
		return text
	}
	right := kept()
	if !strings.Contains(right, `"00001_front_door.sql":"`) {
		t.Fatalf("it keeps %s", right)
	}
	dbtest.Do(t, d, `delete from installation where name = 'migrations'`) // a database from before
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "kept again", kept(), right)
	wrong := strings.Replace(right, `"00012_forbidden.sql":"`, `"00012_forbidden.sql":"0`, 1)
	dbtest.Do(t, d, `update installation set value = $1 where name = 'migrations'`, wrong)
	if _, err := d.Migrate(t.Context()); !errors.Is(err, db.ErrChanged) || !strings.Contains(err.Error(), "00012_forbidden.sql") {
		t.Errorf("another text: %v, want ErrChanged", err)
	}
	expect.Equal(t, "kept after the refusal", kept(), wrong)
}

// While nodes are replaced one by one, one of the release before may start again after the first
// new one has migrated.
func TestANewerSchemaSaysWhichProgramsItServes(t *testing.T) {
	d, _ := dbtest.Open(t)
	m, err := d.Migrate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dbtest.Do(t, d, `insert into migrations (version_id, is_applied) values (99999, true)`)
	for serves, want := range map[int64]error{m.To: nil, m.To - 1: nil, m.To + 1: db.ErrNewer} {
		dbtest.Do(t, d, `update installation set value = $1 where name = 'migrations'`, fmt.Sprintf(`{"version":99999,"serves":%d}`, serves))
		got, err := d.Migrate(t.Context())
		if !errors.Is(err, want) {
			t.Errorf("a schema that serves from %d on: %v, want %v at %d", serves, err, want, m.To)
		}
		if want == nil && (got.From != 99999 || got.To != 99999) {
			t.Errorf("it says %+v", got)
		}
	}
}
