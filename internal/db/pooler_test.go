package db_test

import (
	"context"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

// Statements that PostgreSQL keeps by name are a third of the work, and cannot be had through a
// pooler that gives each transaction another connection.
func TestStatementsAreKeptWhereNoPoolerStandsBetween(t *testing.T) {
	if os.Getenv(dbtest.PostgresVariable) == "" {
		t.Skip("SQLite has no pooler")
	}
	address := dbtest.Address(t)
	for mode, want := range map[string]bool{"": os.Getenv(dbtest.PoolerVariable) == "", "exec": false} {
		d := dbtest.OpenAt(t, inMode(t, address, mode))
		var kept bool
		for range 2 {
			if _, err := d.One(t.Context(), db.Into(&kept), `select exists (select 1 from pg_prepared_statements where statement like '%pg_prepared_statements%')`); err != nil {
				t.Fatal(err)
			}
		}
		if kept != want {
			t.Errorf("with %q statements are kept by name: %v, want %v", mode, kept, want)
		}
	}
}

// inMode returns an address that names the mode of statements, unless that is empty.
func inMode(t *testing.T, address, mode string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); mode != "" {
		q.Set("default_query_exec_mode", mode)
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// Packets between a pooler and the server are dropped while all its connections are at work. What Parvis
// asks of it in the meantime must not use up its places for good.
func TestAPoolerServesAgainAfterASilence(t *testing.T) {
	t.Parallel()
	address, wire := dbtest.PooledAndWired(t)
	past, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	past.Host = host(t)
	other := dbtest.OpenAt(t, past.String())
	ask := func(d *db.DB, within time.Duration, takes float64) error {
		ctx, end := context.WithTimeout(t.Context(), within)
		defer end()
		_, err := d.One(ctx, db.Into(new(int)), `select 1 from pg_sleep($1)`, takes)
		return err
	}
	for _, mode := range []string{"", "cache_describe"} {
		d := dbtest.OpenAt(t, inMode(t, address, mode))
		many := func(within time.Duration, takes float64) (failed int) {
			var all sync.WaitGroup
			var n atomic.Int64
			for range 16 { // twice as many as the pooler has connections
				all.Go(func() {
					if ask(d, within, takes) != nil {
						n.Add(1)
					}
				})
			}
			all.Wait()
			return int(n.Load())
		}
		for range 5 { // it opens one connection after the other
			expect.Equal(t, "failed before the silence", many(time.Minute, 0.3), 0)
		}
		silent := make(chan int)
		go func() { silent <- many(5*time.Second, 60) }()
		atWork := func() (n int) {
			if _, err := other.One(t.Context(), db.Into(&n), `select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for until := time.Now().Add(4 * time.Second); atWork() < 8; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%d connections of the pooler are at work, want all 8", atWork())
			}
		}
		wire.Silence()
		expect.Equal(t, "failed in the silence", <-silent, 16)
		time.Sleep(time.Second) // a request to cancel, if there is one, goes into the silence too
		wire.Resume()
		for until := time.Now().Add(15 * time.Second); ; { // it waits for a login that began in the silence for 4 of them
			err := ask(d, 2*time.Second, 0)
			if err == nil {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("with %q, 15 s after the silence: %v", mode, err)
			}
		}
	}
}
