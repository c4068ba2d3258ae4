package db_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

func TestAConnectionThatIsCutInMidStatementIsUnavailable(t *testing.T) {
	address, w := dbtest.Wired(t)
	d := dbtest.OpenAt(t, address)
	slow := "" // each has a name, because the server goes on with one whose client is gone
	none := func(func(...any) error) error { return nil }
	ctx := t.Context()
	// cutting is a statement during which the wire is cut, as soon as it runs.
	other := dbtest.OpenAt(t, strings.Replace(address, w.Address(), host(t), 1))
	cutting := func(run func() error) error {
		done := make(chan error, 1)
		go func() { done <- run() }()
		for {
			var n int
			if _, err := other.One(ctx, db.Into(&n), `select count(*) from pg_stat_activity where datname = current_database() and query = $1`, slow); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				w.Cut()
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
		w.Cut()
		return nil
	})
	if !db.IsUnavailable(err) {
		t.Errorf("cut before the commit: %v is answered 500, want 503", err)
	}
	if _, err := d.One(ctx, db.Into(&n), `select 1`); err != nil {
		t.Errorf("the next statement: %v", err)
	}
}

// Packets are dropped without a word, as by a firewall or a machine that lost its power. A request
// makes several calls, and a person waits for all of them.
func TestADatabaseThatIsSilentIsLeftInTenSecondsAndComesBackByItself(t *testing.T) {
	t.Parallel()
	address, w := dbtest.Wired(t)
	d := dbtest.OpenAt(t, address)
	ctx := t.Context()
	none := func(func(...any) error) error { return nil }
	lease := func(tx *db.Tx) error { return insertLease(ctx, tx, "silent") }
	begun, silent := make(chan bool, 100), make(chan bool)
	falls := func() { begun <- true; <-silent } // in mid-transaction, until the wire is silent
	calls := map[string]func(context.Context) error{
		"one":               func(ctx context.Context) error { _, err := d.One(ctx, db.Into(new(int)), `select 1`); return err },
		"rows":              func(ctx context.Context) error { return d.Rows(ctx, none, `select 1`) },
		"a statement alone": func(ctx context.Context) error { return d.Exec(ctx, none, `delete from leases`) },
		"a snapshot": func(ctx context.Context) error {
			return d.View(ctx, func(tx *db.Tx) error { return tx.Rows(ctx, none, `select 1`) })
		},
		"in mid-transaction": func(ctx context.Context) error {
			return d.Update(ctx, func(tx *db.Tx) error {
				if err := lease(tx); err != nil {
					return err
				}
				falls()
				_, err := tx.Exec(ctx, `delete from leases where name = 'silent'`)
				return err
			})
		},
		"before the commit": func(ctx context.Context) error {
			return d.Update(ctx, func(*db.Tx) error { falls(); return nil })
		},
	}
	ended := make(chan error)
	ask := func(name string) {
		began := time.Now()
		ctx := db.Answering(ctx)
		err := calls[name](ctx)
		if db.IsUnavailable(err) { // a request that goes on without, and asks for something else
			err = calls[name](ctx)
		}
		if took := time.Since(began); took > 10*time.Second || !db.IsUnavailable(err) {
			err = fmt.Errorf("%s after %s, want 503 within 10 s: %w", name, took, err)
		} else {
			err = nil
		}
		ended <- err
	}
	n := 0
	for _, name := range []string{"in mid-transaction", "before the commit"} {
		go ask(name)
		n++
		select {
		case <-begun:
		case err := <-ended:
			t.Fatalf("%s ended before the silence: %v", name, err)
		}
	}
	w.Silence()
	close(silent)
	for range 6 { // more than there are connections
		for name := range calls {
			go ask(name)
			n++
		}
	}
	for range n {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	w.Resume()
	// A login that began in the silence may still fail.
	for began := time.Now(); ; {
		_, err := d.One(ctx, db.Into(new(int)), `select 1`)
		if err == nil {
			break
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Fatalf("after %s: %v", took, err)
		}
	}
}

// PostgreSQL reads small tables from end to end although there is an index, and a serializable
// transaction that does so loses to everybody who writes a row of it.
func TestSmallTablesAreReadByTheirIndexes(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.PostgresVariable) == "" || os.Getenv(dbtest.PoolerVariable) != "" {
		t.Skip("SQLite has one writer; behind a pooler its own settings decide (docs/operations.md)")
	}
	address := dbtest.Address(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("enable_seqscan", "on")
	u.RawQuery = q.Encode()
	for address, want := range map[string]string{address: "off", u.String(): "on"} {
		d, err := db.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var seqscan, jit string
		if _, err := d.One(t.Context(), db.Into(&seqscan, &jit), `select current_setting('enable_seqscan'), current_setting('jit')`); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "enable_seqscan at "+address, seqscan, want)
		expect.Equal(t, "jit at "+address, jit, "off")
	}
}

// A call that ended without an answer has the connections closed that nobody uses, unless earlier calls of
// its request left it too little time: then its end says nothing of the server.
func TestOnlyACallThatHadItsTimeClosesTheConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.PostgresVariable) == "" {
		t.Skip("SQLite has no server that could be silent")
	}
	d := dbtest.OpenAt(t, dbtest.Address(t))
	sleep := func(ctx context.Context, seconds float64) error {
		_, err := d.One(ctx, db.Into(new(int)), `select 1 from pg_sleep($1)`, seconds)
		return err
	}
	// Some connections that nobody uses, and what a request has that waits for one more.
	idle := func() int {
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() { _ = sleep(t.Context(), 0.3) })
		}
		all.Wait()
		return d.Idle()
	}
	spent := db.Answering(t.Context())
	if err := sleep(spent, 5); err != nil {
		t.Fatalf("the first call of a request: %v", err)
	}
	before := idle()
	if before < 4 {
		t.Fatalf("%d connections are idle, want some to close", before)
	}
	if err := sleep(spent, 9); !db.IsUnavailable(err) {
		t.Errorf("the second call: %v, want 503", err)
	}
	if after := d.Idle(); after < before-1 { // but its own
		t.Errorf("of %d idle connections %d were left by a call that had little time", before, after)
	}
	if err := sleep(db.Answering(t.Context()), 9); !db.IsUnavailable(err) {
		t.Errorf("a call of its own: %v, want 503", err)
	}
	expect.Equal(t, "idle connections after a call that had its time", d.Idle(), 0)
}

// A node that is cut off in mid-transaction, or stopped, keeps the others out of what it changed for
// no longer than ten seconds, though the server is not told.
func TestANodeThatIsCutOffInMidTransactionKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.PoolerVariable) != "" {
		t.Skip("behind a pooler its own settings decide (docs/operations.md)")
	}
	address, w := dbtest.Wired(t)
	d, other := dbtest.OpenAt(t, address), dbtest.OpenAt(t, strings.Replace(address, w.Address(), host(t), 1))
	ctx := t.Context()
	if ends, err := d.EndsIdle(ctx); err != nil || !ends {
		t.Errorf("the server ends transactions that are silent: %v, %v", ends, err)
	}
	if err := other.Update(ctx, func(tx *db.Tx) error { return insertLease(ctx, tx, "held") }); err != nil {
		t.Fatal(err)
	}
	change := func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update leases set ends_at = ends_at + 1 where name = 'held'`)
		return err
	}
	err := d.Update(ctx, func(tx *db.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		w.Silence()
		return change(tx)
	})
	if !db.IsUnavailable(err) {
		t.Fatalf("cut off: %v is answered 500, want 503", err)
	}
	for began := time.Now(); ; {
		err := other.Update(ctx, change)
		if err == nil {
			break
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Fatalf("another node is kept out %s later: %v", took, err)
		}
	}
}

// A backup is not ended by the server because its disk is slow, or a table long.
func TestAnUnhurriedTransactionIsNotEnded(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.PostgresVariable) == "" || os.Getenv(dbtest.PoolerVariable) != "" {
		t.Skip("PostgreSQL alone ends transactions; a pooler has settings of its own")
	}
	u, err := url.Parse(dbtest.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("idle_in_transaction_session_timeout", "500")
	q.Set("statement_timeout", "500")
	u.RawQuery = q.Encode()
	d, err := db.Open(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, unhurried := range []bool{false, true} {
		for what, take := range map[string]func(*db.Tx) error{
			"silence": func(*db.Tx) error { time.Sleep(time.Second); return nil }, // the server's clock
			"statement": func(tx *db.Tx) error {
				_, err := tx.One(t.Context(), db.Into(new(int)), `select 1 from pg_sleep(1)`)
				return err
			},
		} {
			err := d.View(t.Context(), func(tx *db.Tx) error {
				if unhurried {
					if err := tx.Unhurried(t.Context()); err != nil {
						return err
					}
				}
				if err := take(tx); err != nil {
					return err
				}
				_, err := tx.One(t.Context(), db.Into(new(int)), `select 1`)
				return err
			})
			if (err == nil) != unhurried {
				t.Errorf("unhurried %v, after a long %s: %v", unhurried, what, err)
			}
		}
	}
}

// A program that holds the file's lock is as silent as a server that does not answer, to all calls
// of a request together.
func TestAFileThatAnotherProgramHoldsIsLeftInTenSeconds(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.PostgresVariable) != "" {
		t.Skip("PostgreSQL is no file")
	}
	address := dbtest.Address(t)
	d, other := dbtest.OpenAt(t, address), dbtest.OpenAt(t, address)
	began := make(chan bool)
	release := make(chan bool)
	held := make(chan error)
	begins := sync.OnceFunc(func() { close(began) }) // Update may run this more than once
	go func() {
		held <- other.Update(t.Context(), func(*db.Tx) error { begins(); <-release; return nil })
	}()
	<-began
	ended := make(chan error)
	for range 3 {
		go func() {
			began := time.Now()
			ctx := db.Answering(t.Context())
			err := errors.Join(d.Update(ctx, func(tx *db.Tx) error { return insertLease(ctx, tx, "held") }),
				d.Update(ctx, func(tx *db.Tx) error { return insertLease(ctx, tx, "held") }))
			if took := time.Since(began); took > 10*time.Second || !db.IsUnavailable(err) {
				err = fmt.Errorf("after %s, want 503 within 10 s: %w", took, err)
			} else {
				err = nil
			}
			ended <- err
		}()
	}
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	close(release)
	if err := <-held; err != nil {
		t.Error(err)
	}
	if err := d.Update(t.Context(), func(tx *db.Tx) error { return insertLease(t.Context(), tx, "held") }); err != nil {
		t.Errorf("once it is free: %v", err)
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
