// Package db makes SQLite and PostgreSQL mean the same: one SQL text, one way
// to read a snapshot (View), one way to change data as if alone (Update), one
// clock. It is the only importer of database/sql.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is an open database. Its clock is the program's clock.
type DB struct {
	// Clock is what Now asks. Every transaction freezes it; tests move it by hand.
	Clock func() time.Time

	dialect dialect
	read    pool
	write   pool
	path    string // of the SQLite file; empty on PostgreSQL
}

type dialect int

const (
	sqliteDialect dialect = iota
	postgresDialect
)

// Now is the instant that it is.
func (d *DB) Now() time.Time { return d.Clock() }

// Close closes both pools.
func (d *DB) Close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// A Reader answers statements that change nothing: a Tx, or the DB itself for
// the single statement that is its own snapshot.
type Reader interface {
	// One scans the only row of a query into the targets and reports whether
	// there was one.
	One(ctx context.Context, into []any, query string, args ...any) (bool, error)
	// Rows calls each once per row; scan reads the current row's columns.
	Rows(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error
	// Now is the instant that what is read is compared with.
	Now() time.Time
}

// Into lists scan targets; it only reads better than []any.
func Into(targets ...any) []any { return targets }

// Tx is one transaction with the clock stopped.
type Tx struct {
	db     *DB
	pool   *pool
	tx     *sql.Tx
	now    time.Time
	missed []string // texts to prepare once the connection is free again
}

// Now is the instant at which the transaction began; it does not move.
func (t *Tx) Now() time.Time { return t.now }

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	var res sql.Result
	var err error
	if stmt := t.prepared(query); stmt != nil {
		ctx = context.WithoutCancel(ctx)
		res, err = t.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	} else {
		res, err = t.tx.ExecContext(ctx, query, args...)
	}
	if err != nil {
		return 0, lost(err)
	}
	return res.RowsAffected()
}

// One implements Reader.
func (t *Tx) One(ctx context.Context, into []any, query string, args ...any) (bool, error) {
	if stmt := t.prepared(query); stmt != nil {
		ctx = context.WithoutCancel(ctx)
		return found(t.tx.StmtContext(ctx, stmt).QueryRowContext(ctx, args...).Scan(into...))
	}
	return found(t.tx.QueryRowContext(ctx, query, args...).Scan(into...))
}

// Rows implements Reader.
func (t *Tx) Rows(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	if stmt := t.prepared(query); stmt != nil {
		rows, err := t.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
		return eachRow(rows, err, each)
	}
	rows, err := t.tx.QueryContext(ctx, query, args...)
	return eachRow(rows, err, each)
}

// prepared returns the prepared form of a text, or nil and remembers the text:
// preparing takes a connection, and SQLite's one writer is this transaction's.
func (t *Tx) prepared(query string) *sql.Stmt {
	if t.db.dialect != sqliteDialect {
		return nil
	}
	if s, ok := t.pool.stmts.Load(query); ok {
		return s.(*sql.Stmt)
	}
	t.missed = append(t.missed, query)
	return nil
}

// One implements Reader, outside a transaction: for the single statement.
func (d *DB) One(ctx context.Context, into []any, query string, args ...any) (bool, error) {
	if d.dialect != sqliteDialect {
		return found(d.read.QueryRowContext(ctx, query, args...).Scan(into...))
	}
	stmt, err := d.read.prepare(ctx, query)
	if err != nil {
		return false, err
	}
	// The driver watches a context that can end from another goroutine, which
	// costs more than a look-up by key takes.
	return found(stmt.QueryRowContext(context.WithoutCancel(ctx), args...).Scan(into...))
}

// Rows implements Reader, outside a transaction: for the single statement.
func (d *DB) Rows(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	return d.read.rows(ctx, d.dialect, each, query, args)
}

// Exec runs one statement that is a transaction by itself, at the database's
// default isolation. It is for counters that many callers raise at once
// (decision 0008) and for claiming many rows of a table that others change one by
// one; everything else goes through Update.
func (d *DB) Exec(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	return d.write.rows(ctx, d.dialect, each, query, args)
}

// A pool is connections of one kind and, on SQLite, where preparing costs more
// than running, what was prepared on them. Our texts are constants, so there
// are only so many. pgx keeps a cache of its own.
type pool struct {
	*sql.DB
	stmts *sync.Map // text → *sql.Stmt
}

func newPool(db *sql.DB) pool { return pool{db, &sync.Map{}} }

func (p *pool) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := p.stmts.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	stmt, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if s, loaded := p.stmts.LoadOrStore(query, stmt); loaded {
		return s.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

func (p *pool) rows(ctx context.Context, d dialect, each func(scan func(...any) error) error, query string, args []any) error {
	if d != sqliteDialect {
		rows, err := p.QueryContext(ctx, query, args...)
		return eachRow(rows, err, each)
	}
	stmt, err := p.prepare(ctx, query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	return eachRow(rows, err, each)
}

func found(err error) (bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, lost(err)
}

func eachRow(rows *sql.Rows, err error, each func(scan func(...any) error) error) error {
	if err != nil {
		return lost(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return lost(rows.Err())
}

// View runs fn on a snapshot: what it reads first and last belong together.
func (d *DB) View(ctx context.Context, fn func(*Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if d.dialect == postgresDialect {
		opts.Isolation = sql.LevelRepeatableRead
	}
	return d.run(ctx, &d.read, opts, fn)
}

// Update runs fn in a transaction that behaves as if no other were running. It
// commits if fn returns nil and rolls back otherwise.
//
// Update may run fn more than once, so fn must touch nothing but tx and its own
// variables: no mail, no HTTP, no channel sends, no password hash.
func (d *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	opts := &sql.TxOptions{}
	if d.dialect == postgresDialect {
		opts.Isolation = sql.LevelSerializable // SQLite is, by its one writer
	}
	const attempts = 10
	if twice {
		lost := errors.New("the first of two runs")
		if err := d.run(ctx, &d.write, opts, func(tx *Tx) error { return errors.Join(lost, fn(tx)) }); !errors.Is(err, lost) {
			return err
		}
	}
	var err error
	for i := range attempts {
		err = d.run(ctx, &d.write, opts, fn)
		if !isSerializationFailure(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Duration(2<<i) * time.Millisecond)):
		}
	}
	return fmt.Errorf("gave up after %d attempts: %w", attempts, err)
}

func (d *DB) run(ctx context.Context, p *pool, opts *sql.TxOptions, fn func(*Tx) error) error {
	tx, err := p.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", lost(err))
	}
	t := &Tx{db: d, pool: p, tx: tx, now: d.Now().UTC().Truncate(time.Microsecond)}
	if err = fn(t); err == nil {
		err = lost(tx.Commit())
	} else {
		tx.Rollback() //nolint:errcheck,gosec // The connection may be gone; what fn said is what matters.
	}
	for _, query := range t.missed {
		if _, missing := p.prepare(ctx, query); missing != nil {
			break // the next transaction prepares it, or says why it cannot be
		}
	}
	return err
}

// isSerializationFailure tells that the transaction lost a race and will
// succeed when run again.
func isSerializationFailure(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "40001" || pg.Code == "40P01" // serialization failure, deadlock
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code()&0xff == sqlite3.SQLITE_BUSY
	}
	return false
}

// readers is how many SQLite connections read at once. Reads hold no lock
// under WAL, so more than the cores would only wait for each other.
func readers() int { return max(4, 2*runtime.NumCPU()) }
