package db_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// A wire is a connection between a program and its PostgreSQL that a test can cut.
type wire struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
}

// wired returns the address of a new database behind a wire. It skips the test on SQLite,
// which has no connections.
func wired(t *testing.T) (string, *wire) {
	t.Helper()
	if os.Getenv(dbtest.PostgresVariable) == "" {
		t.Skip("SQLite has no connection that could be cut")
	}
	u, err := url.Parse(dbtest.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	behind := u.Host
	t.Cleanup(func() { w.listener.Close(); w.cut() })
	go func() {
		for {
			near, err := w.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", behind)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, near, far)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(near, far) }() // until the wire is cut
			go func() { _, _ = io.Copy(far, near) }()
		}
	}()
	u.Host = w.listener.Addr().String()
	return u.String(), w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

func TestAConnectionThatIsCutInMidStatementIsUnavailable(t *testing.T) {
	address, w := wired(t)
	d := dbtest.OpenAt(t, address)
	slow := "" // each has a name, because the server goes on with one whose client is gone
	none := func(func(...any) error) error { return nil }
	ctx := t.Context()
	// cutting is a statement during which the wire is cut, as soon as it runs.
	other := dbtest.OpenAt(t, strings.Replace(address, w.listener.Addr().String(), host(t), 1))
	cutting := func(run func() error) error {
		done := make(chan error, 1)
		go func() { done <- run() }()
		for {
			var n int
			if _, err := other.One(ctx, db.Into(&n), `select count(*) from pg_stat_activity where datname = current_database() and query = $1`, slow); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				w.cut()
				return <-done
			}
			select {
			case err := <-done:
				return fmt.Errorf("it ended by itself: %w", err)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	var n int
	for name, run := range map[string]func() error{
		"one":               func() error { _, err := d.One(ctx, db.Into(&n), slow); return err },
		"rows":              func() error { return d.Rows(ctx, none, slow) },
		"a statement alone": func() error { return d.Exec(ctx, none, slow) },
		"in a transaction": func() error {
			return d.Update(ctx, func(tx *db.Tx) error { _, err := tx.Exec(ctx, slow); return err })
		},
		"one in a transaction": func() error {
			return d.Update(ctx, func(tx *db.Tx) error { _, err := tx.One(ctx, db.Into(&n), slow); return err })
		},
		"one in a snapshot": func() error {
			return d.View(ctx, func(tx *db.Tx) error { return tx.Rows(ctx, none, slow) })
		},
	} {
		slow = "select 1 from pg_sleep(30) /* " + name + " */"
		if err := cutting(run); !db.IsUnavailable(err) {
			t.Errorf("%s: %v is answered 500, want 503", name, err)
		}
	}
	err := d.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `insert into installation (name, value) values ('a', 'b')`); err != nil {
			return err
		}
		w.cut()
		return nil
	})
	if !db.IsUnavailable(err) {
		t.Errorf("cut before the commit: %v is answered 500, want 503", err)
	}
	if _, err := d.One(ctx, db.Into(&n), `select 1`); err != nil {
		t.Errorf("the next statement: %v", err)
	}
}

func host(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(os.Getenv(dbtest.PostgresVariable))
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestMissingRightsAndRefusedLoginsAreUnavailable(t *testing.T) {
	ctx := t.Context()
	role := dbtest.NewRole(t, dbtest.Address(t))
	poor, err := db.Open(ctx, role.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer poor.Close()
	role.Revoke()
	var n int
	if _, err := poor.One(ctx, db.Into(&n), `select count(*) from users`); !db.IsUnavailable(err) {
		t.Errorf("no right to read: %v is answered 500, want 503", err)
	}
	err = poor.Update(ctx, func(tx *db.Tx) error { _, err := tx.Exec(ctx, `delete from leases`); return err })
	if !db.IsUnavailable(err) {
		t.Errorf("no right to write: %v is answered 500, want 503", err)
	}
	role.Shut()
	if _, err := db.Open(ctx, role.Address); !db.IsUnavailable(err) {
		t.Errorf("no login: %v is answered 500, want 503", err)
	}
	if _, err := db.Open(ctx, strings.Replace(role.Address, ":opens@", ":guess@", 1)); !db.IsUnavailable(err) {
		t.Errorf("another password: %v is answered 500, want 503", err)
	}
}
