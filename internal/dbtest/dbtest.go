// Package dbtest gives each test its own database and a clock that only the test moves.
package dbtest

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
)

// PostgresVariable is the environment variable with the postgres:// address of a database
// on a server where tests may create their own databases. If it is not set, the tests run on
// SQLite.
const PostgresVariable = "PARVIS_TEST_POSTGRES"

// PoolerVariable is the environment variable with the host and port of a pooler before that
// server. If it is set, the program under test goes through it; tests look after their databases
// past it.
const PoolerVariable = "PARVIS_TEST_POOLER"

// Start is the time at which a test's clock begins.
var Start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// Clock is a clock that only the test moves. Several goroutines may use it.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows Start.
func NewClock() *Clock { return &Clock{now: Start} }

// Now returns the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward, or back if by is negative.
func (c *Clock) Advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// Open returns a migrated database with its clock: on PostgreSQL if PostgresVariable is set,
// else on SQLite.
func Open(t testing.TB) (*db.DB, *Clock) {
	t.Helper()
	clock := NewClock()
	server := os.Getenv(PostgresVariable)
	if server == "" {
		d := OpenAt(t, Address(t))
		d.Clock = clock.Now
		listsLookUp(t, d)
		return d, clock
	}
	d, err := claimed(t, server).open(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	d.Clock = clock.Now
	keptRight(t, d)
	remembers(t, d)
	return d, clock
}

// OpenAt opens and migrates the database at an address that Address returned. A test that
// needs two nodes or a restart opens it a second time.
func OpenAt(t testing.TB, address string) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keptRight(t, d)
	remembers(t, d)
	return d
}

// remembers lets a database remember answers, and compares each that was remembered with what the
// database says. They may differ for as long as one node may believe what another one changed.
func remembers(t testing.TB, d *db.DB) {
	d.Remembers = true
	d.Shadow = func(remembered, stored any) {
		if !reflect.DeepEqual(remembered, stored) {
			t.Errorf("it is remembered that\n%+v\nbut the database says\n%+v", remembered, stored)
		}
	}
	t.Cleanup(func() { d.Shadow = nil })
}

// Address returns the address of a new database, which is removed when the test ends.
func Address(t testing.TB) string {
	t.Helper()
	maintenance := os.Getenv(PostgresVariable)
	if maintenance == "" {
		empty, err := sqliteTemplate()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "parvis.db")
		if err := os.WriteFile(path, empty, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return pooled(inDatabase(maintenance, claimed(t, maintenance).name))
}

// pooled leads an address through the pooler, if there is one.
func pooled(address string) string {
	pooler := os.Getenv(PoolerVariable)
	if pooler == "" {
		return address
	}
	return at(address, pooler)
}

// at returns an address at another host and port.
func at(address, host string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // PostgresVariable is set wrongly
	}
	u.Host = host
	return u.String()
}

// Empty returns the address of a database on PostgreSQL without any table, for a test in which
// another version of the program migrates it.
func Empty(t testing.TB) string {
	t.Helper()
	address := Address(t)
	d, err := db.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	Do(t, d, `drop schema public cascade`)
	Do(t, d, `create schema public`)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func claimed(t testing.TB, server string) *database {
	t.Helper()
	d, err := claim(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { release(d) })
	return d
}

// sqliteTemplate is the content of a migrated database without rows. Migrating takes as long
// as a short test, so each test process does it once.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "parvis-template-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "parvis.db")
	if _, err := migrated(path); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	return content, errors.Join(err, os.RemoveAll(folder))
})

func inDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // PostgresVariable is set wrongly
	}
	u.Path = "/" + name
	return u.String()
}

// Dump returns what a table holds as text, for tests that compare it or look for something in
// it: a line for each row, sorted, since a database returns rows in any order (PostgreSQL in
// another one after it vacuumed).
func Dump(t testing.TB, d *db.DB, table string) string {
	t.Helper()
	columns := `select name from pragma_table_info($1) order by name`
	if d.Path() == "" {
		columns = `select column_name from information_schema.columns where table_schema = current_schema() and table_name = $1
			order by column_name`
	}
	var names []string
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, "cast("+name+" as text)")
		return err
	}, columns, table); err != nil || len(names) == 0 {
		t.Fatalf("table %s has columns %v (%v)", table, names, err)
	}
	var rows []string
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		values, into := make([]*string, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		err := scan(into...)
		row := make([]string, len(names))
		for i, v := range values {
			if v != nil {
				row[i] = *v
			}
		}
		rows = append(rows, strings.Join(row, "\t"))
		return err
	}, "select "+strings.Join(names, ", ")+" from "+table); err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return strings.Join(rows, "\n")
}
