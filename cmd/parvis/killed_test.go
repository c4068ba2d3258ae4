package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/loopback"
)

// A migration that is killed, wherever it was, is finished by the next one, with the schema that one
// without a kill leaves; and each copy made before it is whole.
func TestAMigrationThatIsKilledIsFinishedByTheNextOne(t *testing.T) {
	t.Parallel()
	program := before(t)
	if onPostgres() {
		killedOnPostgres(t, program)
		return
	}
	old, base := t.TempDir(), "http://localhost:"+loopback.Port()
	p, err := startProgram(program, old, base, environment(), "--public-address", base)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	installation := func() string {
		t.Helper()
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	undisturbed := installation()
	began := time.Now()
	if out, err := migrating(t, undisturbed).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took, want := time.Since(began), schemaOf(t, undisturbed)
	const rounds = 12
	for i := range rounds {
		dir := installation()
		c := migrating(t, dir)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(took * time.Duration(i) / rounds)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it may have ended before
		if out, err := migrating(t, dir).CombinedOutput(); err != nil {
			t.Errorf("after a kill at %d of %d: %v\n%s", i, rounds, err, out)
		}
		expect.Equal(t, "schema", schemaOf(t, dir), want)
		copies, err := filepath.Glob(filepath.Join(dir, "data", "parvis.db.before-*Z"))
		if err != nil {
			t.Fatal(err)
		}
		for _, copied := range copies {
			d, err := db.Open(t.Context(), copied)
			if err != nil {
				t.Fatal(err)
			}
			var links int
			if _, err := d.One(t.Context(), db.Into(&links), `select count(*) from bootstraps`); err != nil || links != 1 {
				t.Errorf("%s has %d links (%v)", filepath.Base(copied), links, err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// migrating is 'parvis migrate' as a program of its own, which can be killed.
func migrating(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("parvis")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, append([]string{"migrate"}, args...)...)
	c.Dir, c.Env = dir, environment()
	return c
}

// schemaOf is everything in an SQLite database except its rows.
func schemaOf(t *testing.T, dir string) string {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(dir, "data", "parvis.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	all, err := db.List(t.Context(), d, db.Value[string], `select type || ' ' || name || ' ' || coalesce(sql, '') from sqlite_master order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// killedOnPostgres kills a migration that waits for a table, with its lock on the migrations.
func killedOnPostgres(t *testing.T, program string) {
	address := dbtest.Empty(t)
	if out, err := exec.Command(program, "migrate", "--data", t.TempDir(), "--database", address).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d, err := db.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	holder, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.WithoutCancel(t.Context()))
	waits := func(want int) {
		t.Helper()
		for n := -1; n != want; time.Sleep(5 * time.Millisecond) {
			if _, err := d.One(t.Context(), db.Into(&n), `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := holder.Exec(t.Context(), `begin; lock table users in access share mode`); err != nil {
		t.Fatal(err)
	}
	c := migrating(t, t.TempDir(), "--database", address)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waits(1)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	if _, err := holder.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	waits(0) // the server sees only then that its client is gone
	began := time.Now()
	out, err := migrating(t, t.TempDir(), "--database", address).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "was brought from version") {
		t.Errorf("%v\n%s", err, out)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the next one waited %s for the one that was killed", took)
	}
}
