package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

func insertLease(ctx context.Context, tx *db.Tx, name string) error {
	_, err := tx.Exec(ctx, `insert into leases (name, holder, ends_at) values ($1, $2, $3)`, name, "0", db.Time(tx.Now()))
	return err
}

// Both databases must keep every increment. With its default isolation PostgreSQL kept 42 of
// 200, without any error.
func TestUpdateLosesNoIncrementOfEightWriters(t *testing.T) {
	d, _ := dbtest.Open(t)
	ctx := t.Context()
	if err := d.Update(ctx, func(tx *db.Tx) error { return insertLease(ctx, tx, "counter") }); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			for range 10 {
				err := d.Update(ctx, func(tx *db.Tx) error {
					var n int
					var text string
					if _, err := tx.One(ctx, db.Into(&text), `select holder from leases where name = $1`, "counter"); err != nil {
						return err
					}
					if _, err := fmt.Sscan(text, &n); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, `update leases set holder = $1 where name = $2`, fmt.Sprint(n+1), "counter")
					return err
				})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	var text string
	if _, err := d.One(ctx, db.Into(&text), `select holder from leases where name = $1`, "counter"); err != nil || text != "80" {
		t.Errorf("counter is %q (%v), want 80", text, err)
	}
}

// Each of eight transactions stores a name that it found free, and looks by another index than
// the unique one. PostgreSQL then reports a broken unique index, not a serialization failure.
func TestEightThatFindANameFreeStoreItOnce(t *testing.T) {
	d, _ := dbtest.Open(t)
	ctx := t.Context()
	for _, statement := range []string{
		`create table names (place text not null, name text not null, constraint names_uq unique (name))`,
		`create index names_place on names (place)`,
	} {
		if err := d.Exec(ctx, nil, statement); err != nil {
			t.Fatal(err)
		}
	}
	taken := errors.New("taken")
	store := func(name string) error {
		return d.Update(ctx, func(tx *db.Tx) error {
			var n int
			if _, err := tx.One(ctx, db.Into(&n), `select count(*) from names where place = $1`, "of "+name); err != nil {
				return err
			}
			if n > 0 {
				return taken
			}
			_, err := tx.Exec(ctx, `insert into names (place, name) values ($1, $2)`, "of "+name, name)
			return err
		})
	}
	for round := range 20 {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { errs[i] = store(fmt.Sprint(round)) })
		}
		wg.Wait()
		stored := 0
		for _, err := range errs {
			if err == nil {
				stored++
			} else if !errors.Is(err, taken) {
				t.Fatalf("a transaction that came later: %v", err)
			}
		}
		if stored != 1 {
			t.Fatalf("the name was stored %d times, want once", stored)
		}
	}
}

// Transactions may lose races for a while that they did not run, so Update goes on for longer
// than a burst takes, and then reports the database as unavailable.
func TestUpdateGoesOnForFiveSeconds(t *testing.T) {
	t.Parallel()
	for _, tried := range []struct {
		name  string
		loses time.Duration
		gives bool
	}{
		{"races are lost for three seconds", 3 * time.Second, true},
		{"every race is lost", time.Hour, false},
	} {
		t.Run(tried.name, func(t *testing.T) {
			t.Parallel()
			d, _ := dbtest.Open(t)
			began := time.Now()
			err := d.Update(t.Context(), func(*db.Tx) error {
				if time.Since(began) < tried.loses {
					return &pgconn.PgError{Code: "40001"}
				}
				return nil
			})
			if tried.gives && err != nil {
				t.Error(err)
			}
			if !tried.gives && !db.IsUnavailable(err) {
				t.Errorf("Update returns %v", err)
			}
		})
	}
}

func TestUpdateRollsBackOnError(t *testing.T) {
	d, _ := dbtest.Open(t)
	ctx := t.Context()
	boom := errors.New("boom")
	err := d.Update(ctx, func(tx *db.Tx) error {
		if err := insertLease(ctx, tx, "x"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want boom", err)
	}
	var n int
	if _, err := d.One(ctx, db.Into(&n), `select count(*) from leases`); err != nil || n != 0 {
		t.Errorf("%d rows survived (%v), want none", n, err)
	}
}

func TestViewRefusesToWrite(t *testing.T) {
	d, _ := dbtest.Open(t)
	err := d.View(t.Context(), func(tx *db.Tx) error { return insertLease(t.Context(), tx, "x") })
	if err == nil {
		t.Error("a View wrote a row")
	}
}

func TestTimeComesBackAsStored(t *testing.T) {
	d, _ := dbtest.Open(t)
	ctx := t.Context()
	want := time.Date(2026, 3, 29, 1, 30, 0, 123456000, time.FixedZone("", 3600))
	if err := d.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `insert into leases (name, holder, ends_at) values ($1, $2, $3)`, "x", "", db.Time(want))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var got time.Time
	if _, err := d.One(ctx, db.Into((*db.Time)(&got)), `select ends_at from leases`); err != nil || !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("got %v (%v), want %v in UTC", got, err, want)
	}
}

func TestNoteKeepsTheFirstValue(t *testing.T) {
	d, _ := dbtest.Open(t)
	for _, v := range []string{"first", "second"} {
		var kept string
		if err := d.Update(t.Context(), func(tx *db.Tx) (err error) {
			kept, err = tx.Note(t.Context(), "n", v)
			return err
		}); err != nil || kept != "first" {
			t.Errorf("after noting %s: %q, %v", v, kept, err)
		}
	}
}

func TestLeaseHasOneHolderUntilItEnds(t *testing.T) {
	d, clock := dbtest.Open(t)
	lease := func(holder string) bool {
		got, err := d.Lease(t.Context(), "sweep", holder, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if !lease("a") || lease("b") || !lease("a") {
		t.Error("a holds the lease, b must not, and a may prolong it")
	}
	clock.Advance(time.Minute)
	if !lease("b") || lease("a") {
		t.Error("after its end b takes the lease over")
	}
	if err := d.EndLease(t.Context(), "sweep", "a"); err != nil || lease("a") {
		t.Errorf("a cannot give back what b holds (%v)", err)
	}
	if err := d.EndLease(t.Context(), "sweep", "b"); err != nil || !lease("a") {
		t.Errorf("b gave it back, so a takes it (%v)", err)
	}
}

func TestMigrateTwiceChangesNothing(t *testing.T) {
	d, _ := dbtest.Open(t)
	m, err := d.Migrate(t.Context())
	if err != nil || m.From != m.To || m.Backup != "" {
		t.Errorf("second migration: %+v, %v", m, err)
	}
}

func TestMigrateRefusesADatabaseOfANewerProgram(t *testing.T) {
	d, _ := dbtest.Open(t)
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `insert into migrations (version_id, is_applied) values ($1, $2)`, 99999, true)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Migrate(t.Context()); !errors.Is(err, db.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

func TestBackupIsACompleteDatabase(t *testing.T) {
	d, _ := dbtest.Open(t)
	if d.Path() == "" {
		if err := d.Backup(t.Context(), filepath.Join(t.TempDir(), "x")); err == nil {
			t.Error("PostgreSQL is copied with pg_dump; Backup must say so")
		}
		return
	}
	ctx := t.Context()
	if err := d.Update(ctx, func(tx *db.Tx) error { return insertLease(ctx, tx, "kept") }); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := d.Backup(ctx, copied); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy must be readable by its owner alone: %v, %v", info, err)
	}
	c := dbtest.OpenAt(t, copied)
	var name string
	if ok, err := c.One(ctx, db.Into(&name), `select name from leases`); !ok || err != nil || name != "kept" {
		t.Errorf("the copy holds %q (%v)", name, err)
	}
	if err := d.Backup(ctx, copied); !errors.Is(err, os.ErrExist) {
		t.Errorf("a backup over an existing file: %v, want a refusal", err)
	}
	half := filepath.Join(t.TempDir(), "half.db")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := d.Backup(gone, half); err == nil {
		t.Error("a backup that was given up succeeded")
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a backup that failed left a file (%v)", err)
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	for _, address := range []string{"", "mysql://x", "http://x/y"} {
		if _, err := db.Open(t.Context(), address); !errors.Is(err, db.ErrBadAddress) {
			t.Errorf("%q: %v, want ErrBadAddress", address, err)
		}
	}
	for _, conns := range []string{"many", "%2B8", "08", "1"} {
		_, err := db.Open(t.Context(), "postgres://u:hunter2@127.0.0.1:1/x?pool_max_conns="+conns)
		if !errors.Is(err, db.ErrBadAddress) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s connections: the error must be ErrBadAddress and must not show the password: %v", conns, err)
		}
	}
}

func TestUnreachableServerIsUnavailable(t *testing.T) {
	_, err := db.Open(t.Context(), "postgres://u@127.0.0.1:1/x?connect_timeout=1")
	if !db.IsUnavailable(err) {
		t.Errorf("%v is answered 500, want 503", err)
	}
}
