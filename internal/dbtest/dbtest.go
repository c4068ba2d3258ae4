// Package dbtest gives each test a database of its own and a clock that moves
// only by hand.
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
)

// PostgresVariable names the environment variable with a postgres:// address of
// a maintenance database in which each test's own database may be created.
// Without it the tests run on SQLite.
const PostgresVariable = "PARVIS_TEST_POSTGRES"

// Start is what a test's clock shows at first.
var Start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// Clock is a clock moved by hand, safe for several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock shows Start.
func NewClock() *Clock { return &Clock{now: Start} }

// Now is the time it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it forward, or back for a clock that jumps.
func (c *Clock) Advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// Open returns a migrated database, SQLite or, where PostgresVariable is set,
// PostgreSQL, with its clock.
func Open(t testing.TB) (*db.DB, *Clock) {
	t.Helper()
	d := OpenAt(t, Address(t))
	clock := NewClock()
	d.Clock = clock.Now
	return d, clock
}

// OpenAt opens and migrates the database at an address of Address, a second
// time where a test wants two nodes or a restart.
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
	return d
}

// Address returns the address of a new database that ends with the test.
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
	n, name, err := claim(t.Context(), maintenance)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(context.Background(), n); err != nil {
			t.Error(err)
		}
	})
	return inDatabase(maintenance, name)
}

// sqliteTemplate is the content of a migrated database without rows. Migrating one costs
// as much as a short test does, so that each test process does it once.
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
		panic(err) // the test run's own setting
	}
	u.Path = "/" + name
	return u.String()
}

// Dump is all that a table holds, as text: what somebody with a copy of the
// database would read.
func Dump(t testing.TB, d *db.DB, table string) string {
	t.Helper()
	columns := `select name from pragma_table_info($1)`
	if d.Path() == "" {
		columns = `select column_name from information_schema.columns where table_schema = current_schema() and table_name = $1`
	}
	var names []string
	text := func(into *[]string) func(scan func(...any) error) error {
		return func(scan func(...any) error) error {
			var s *string
			if err := scan(&s); err != nil {
				return err
			}
			if s != nil {
				*into = append(*into, *s)
			}
			return nil
		}
	}
	if err := d.Rows(t.Context(), text(&names), columns, table); err != nil || len(names) == 0 {
		t.Fatalf("table %s has columns %v (%v)", table, names, err)
	}
	var values []string
	for _, name := range names {
		if err := d.Rows(t.Context(), text(&values), fmt.Sprintf(`select cast(%s as text) from %s`, name, table)); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(values, "\n")
}
