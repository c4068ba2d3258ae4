package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"
)

// How long SQLite makes a commit of the writer wait: until the disk has it, or only until the
// operating system has. Readers and PostgreSQL have no such choice here.
const (
	durable = "full"
	lax     = "normal"
)

// UpdateLax is Update for what may be lost with everything after it when the machine loses power:
// on SQLite it does not wait for the disk (decision 0072). A commit is in the file, in its place,
// all the same; it outlives the end of the process, and the next commit of an Update makes it
// durable. internal/arch_test.go lists who may call it. On PostgreSQL it is Update.
func (d *DB) UpdateLax(ctx context.Context, fn func(*Tx) error) error {
	return d.updateBy(ctx, &d.lax, fn)
}

// Lax is Exec as UpdateLax is Update: for counters, and never for what people or programs do.
func (d *DB) Lax(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	return d.exec(ctx, &d.lax, each, query, args)
}

// LaxInTurn runs statements of Lax of which each sees what those before it did. On SQLite they share
// one transaction, because each would wait for the only writer by itself. On PostgreSQL each is its
// own, because a row that many callers count on would stay locked from one round trip to the next.
func (d *DB) LaxInTurn(ctx context.Context, fn func(one Statement) error) error {
	if d.dialect != sqliteDialect {
		return fn(func(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
			return d.rows(ctx, &d.lax, each, query, args)
		})
	}
	return d.run(ctx, &d.lax, &sql.TxOptions{}, func(tx *Tx) error { return fn(tx.Rows) })
}

// A Statement runs one statement, and calls each once per row.
type Statement func(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error

// Lax runs a statement of DB.Lax that is to happen only if the transaction does. On SQLite it is part
// of it, which saves a turn of the only writer. On PostgreSQL it runs by itself once the transaction
// is committed, because serializable transactions would lose races for a row that many callers count
// on; an error there is told to failed, because what the transaction did is done.
func (t *Tx) Lax(ctx context.Context, failed func(error), query string, args ...any) error {
	if t.db.dialect == sqliteDialect {
		_, err := t.Exec(ctx, query, args...)
		return err
	}
	t.after = append(t.after, func() {
		if err := t.db.rows(ctx, &t.db.lax, func(func(...any) error) error { return nil }, query, args); err != nil {
			failed(err)
		}
	})
	return nil
}

// exec runs one statement as its own transaction.
func (d *DB) exec(ctx context.Context, p *pool, each func(scan func(...any) error) error, query string, args []any) error {
	if d.dialect != sqliteDialect || strings.HasPrefix(query, "pragma ") { // which acts outside of transactions
		return d.rows(ctx, p, each, query, args)
	}
	return d.run(ctx, p, &sql.TxOptions{}, func(tx *Tx) error { return tx.Rows(ctx, each, query, args...) })
}

// within runs fn in a transaction, whatever fn does: one that panics leaves no transaction open.
func (d *DB) within(ctx context.Context, p *pool, opts *sql.TxOptions, fn func(*sql.Tx) error) error {
	s := d.statement(ctx, "begin")
	tx, end, err := d.begin(ctx, p, opts)
	s.end(lost(err))
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", lost(err))
	}
	defer end()
	defer tx.Rollback() //nolint:errcheck // After a commit it does nothing; else the connection may be gone, and the error of fn is what matters.
	d.sends(strings.TrimSpace("begin "+p.synchronous), nil)
	if err := fn(tx); err != nil {
		d.sends("rollback", nil)
		return err
	}
	d.sends("commit", nil)
	s = d.statement(ctx, "commit")
	err = lost(tx.Commit())
	s.end(err)
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// begin takes the turn of the only writing connection, says how long a commit waits, and begins.
// SQLite acts on that pragma when it prepares it, so it is never a prepared statement. end gives
// the connection back as it was: whatever else writes, such as a migration, a backup or goose,
// finds it durable, and each durable transaction says so itself besides.
func (p *pool) begin(ctx context.Context, opts *sql.TxOptions) (tx *sql.Tx, end func(), err error) {
	if p.synchronous == "" {
		tx, err = p.BeginTx(ctx, opts)
		return tx, func() {}, err
	}
	leave, err := p.line(ctx)
	if err != nil {
		return nil, nil, err
	}
	conn, err := p.Conn(ctx)
	if err != nil {
		leave()
		return nil, nil, err
	}
	end = func() {
		defer leave()
		if err := setWriter(context.WithoutCancel(ctx), conn, durable, answersWithin); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the next one is opened as it should be
		}
		_ = conn.Close() // gives it back
	}
	if err = setWriter(ctx, conn, p.synchronous, 0); err == nil {
		tx, err = beginAfterOthers(ctx, conn, opts)
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return tx, end, nil
}

// asksEvery is how often a transaction asks for SQLite's writer while another process has it.
const asksEvery = 2 * time.Millisecond

// beginAfterOthers begins a transaction once no other process has one. SQLite itself sleeps longer and
// longer between two tries, up to 100 ms, and so misses what an import beside a server, or a server
// beside an import, leaves free between two transactions. DB.begin bounds it.
func beginAfterOthers(ctx context.Context, conn *sql.Conn, opts *sql.TxOptions) (*sql.Tx, error) {
	for {
		tx, err := conn.BeginTx(ctx, opts)
		if !lostRace(err) {
			return tx, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(asksEvery):
		}
	}
}

// AfterPeople returns a context whose transactions take the writing connection one at a time, so that
// a person waits for one transaction of a program or a sweep, and not for those of all that are under way
// at the same moment (decision 79). It changes nothing on PostgreSQL, where there are many such connections.
func AfterPeople(ctx context.Context) context.Context {
	return context.WithValue(ctx, afterPeople{}, true)
}

type afterPeople struct{}

const (
	peopleStay = time.Second            // after a transaction of somebody else programs reckon with the next one
	mostRest   = 100 * time.Millisecond // after a program's transaction that took long
)

// line waits until no other transaction of a context of AfterPeople has the writing connection or
// waits for it. Others need not wait here. While people come, such a transaction is followed by a rest
// of half its time, so that programs leave them a third of the connection and of the processor
// (decision 89).
func (p *pool) line(ctx context.Context) (leave func(), err error) {
	if ctx.Value(afterPeople{}) == nil {
		p.people.Store(time.Now().UnixNano())
		return func() {}, nil
	}
	select {
	case p.programs <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if rest := time.Until(time.Unix(0, p.rest.Load())); rest > 0 {
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			<-p.programs
			return nil, ctx.Err()
		}
	}
	begun := time.Now()
	return func() {
		if time.Duration(begun.UnixNano()-p.people.Load()) <= peopleStay {
			p.rest.Store(time.Now().Add(min(time.Since(begun)/2, mostRest)).UnixNano())
		}
		<-p.programs
	}, nil
}

// setWriter says how a commit on a connection waits for the disk, and for how long a statement does for other
// processes.
func setWriter(ctx context.Context, conn *sql.Conn, synchronous string, busy time.Duration) error {
	_, err := conn.ExecContext(ctx, fmt.Sprintf("pragma synchronous = %s; pragma busy_timeout = %d", synchronous, busy.Milliseconds()))
	return err
}
