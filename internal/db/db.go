// Package db makes SQLite and PostgreSQL behave alike. There is one SQL text for both, one
// way to read a snapshot (View), one way to change data as if nobody else did (Update), and
// one clock. It is the only importer of database/sql.
package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is an open database. Its clock is the program's clock.
type DB struct {
	// Clock is the source of Now. Each transaction keeps one time; tests move it by hand.
	Clock func() time.Time
	// Remembers lets Recall keep answers. On PostgreSQL every process must be of a version that
	// tells others what it changes.
	Remembers bool
	// Shadow, if it is set, is shown each remembered answer beside what the database says, for tests.
	Shadow func(remembered, stored any)

	memory  *memory
	hearing *hearing
	dialect dialect
	read    pool
	write   pool
	lax     pool   // write, without waiting for the disk
	path    string // of the SQLite file; empty on PostgreSQL
	conns   int    // at most, on PostgreSQL
}

type dialect int

const (
	sqliteDialect dialect = iota
	postgresDialect
)

// Now returns the current time.
func (d *DB) Now() time.Time { return d.Clock() }

// Close closes both pools.
func (d *DB) Close() error {
	d.hearing.end()
	d.hearing.group.Wait()
	return errors.Join(d.read.Close(), d.write.Close())
}

// A Reader runs statements that only read. It is a Tx, or the DB itself for a single
// statement, which is its own snapshot.
type Reader interface {
	// One scans the only row of a query into the targets and reports whether
	// there was one.
	One(ctx context.Context, into []any, query string, args ...any) (bool, error)
	// Rows calls each once per row; scan reads the current row's columns.
	Rows(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error
	// Now returns the time to compare the rows with.
	Now() time.Time
}

// Into lists scan targets. It is the same as []any and only reads better.
func Into(targets ...any) []any { return targets }

// List runs a query and returns its rows. targets says into what of each the columns are scanned.
func List[T any](ctx context.Context, r Reader, targets func(*T) []any, query string, args ...any) ([]T, error) {
	var all []T
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var one T
		err := scan(targets(&one)...)
		all = append(all, one)
		return err
	}, query, args...)
	return all, err
}

// Places are n placeholders from the first on, for 'in (…)'.
func Places(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(first+i))
	}
	return b.String()
}

// Value is the target of a List with one column.
func Value[T any](v *T) []any { return []any{v} }

// Tx is one transaction, in which the time stands still.
type Tx struct {
	db     *DB
	pool   *pool
	tx     *sql.Tx
	now    time.Time
	until  time.Time // when its statements end without an answer; zero on SQLite
	missed []string  // statements to prepare once the connection is free again
	told   told      // what it changed of the watched tables
}

// Now returns the time at which the transaction began.
func (t *Tx) Now() time.Time { return t.now }

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if tells(query) != nil {
		var n int64
		err := t.Rows(ctx, func(scan func(...any) error) error {
			n++
			return scan()
		}, query, args...)
		return n, err
	}
	var res sql.Result
	var err error
	if stmt := t.prepared(query); stmt != nil {
		ctx = context.WithoutCancel(ctx)
		res, err = t.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	} else {
		ctx, end := t.ending(ctx)
		defer end()
		res, err = t.tx.ExecContext(ctx, query, args...)
	}
	if err != nil {
		return 0, failed(query, err)
	}
	n, err := res.RowsAffected()
	return n, failed(query, err)
}

// One implements Reader.
func (t *Tx) One(ctx context.Context, into []any, query string, args ...any) (bool, error) {
	if g := tells(query); g != nil {
		ids, more := g.targets()
		found, err := t.one(ctx, slices.Concat(into, more), g.text, args)
		t.told.add(ids)
		return found, err
	}
	return t.one(ctx, into, query, args)
}

func (t *Tx) one(ctx context.Context, into []any, query string, args []any) (bool, error) {
	if stmt := t.prepared(query); stmt != nil {
		ctx = context.WithoutCancel(ctx)
		return found(query, t.tx.StmtContext(ctx, stmt).QueryRowContext(ctx, args...).Scan(into...))
	}
	ctx, end := t.ending(ctx)
	defer end()
	return found(query, t.tx.QueryRowContext(ctx, query, args...).Scan(into...))
}

// Rows implements Reader.
func (t *Tx) Rows(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	if g := tells(query); g != nil {
		return t.rows(ctx, t.telling(g, each), g.text, args)
	}
	return t.rows(ctx, each, query, args)
}

func (t *Tx) rows(ctx context.Context, each func(scan func(...any) error) error, query string, args []any) error {
	if stmt := t.prepared(query); stmt != nil {
		rows, err := t.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
		return eachRow(query, rows, err, each)
	}
	ctx, end := t.ending(ctx)
	defer end()
	rows, err := t.tx.QueryContext(ctx, query, args...)
	return eachRow(query, rows, err, each)
}

// prepared returns the prepared statement for a text. If there is none yet, it returns nil
// and remembers the text for later: preparing needs a connection, and SQLite's only writing
// connection belongs to this transaction.
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

// One implements Reader for a single statement outside a transaction.
func (d *DB) One(ctx context.Context, into []any, query string, args ...any) (bool, error) {
	if d.dialect != sqliteDialect {
		ctx, end := d.ending(ctx)
		defer end()
		ok, err := found(query, d.read.QueryRowContext(ctx, query, args...).Scan(into...))
		return ok, d.silent(ctx, err)
	}
	stmt, err := d.read.prepare(ctx, query)
	if err != nil {
		return false, err
	}
	// For a context that can end, the driver starts a goroutine that watches it, which
	// costs more than a look-up by key.
	return found(query, stmt.QueryRowContext(context.WithoutCancel(ctx), args...).Scan(into...))
}

// Rows implements Reader for a single statement outside a transaction.
func (d *DB) Rows(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	return d.rows(ctx, &d.read, each, query, args)
}

// Exec runs one statement as its own transaction, at the database's default isolation. It is
// for counters that many callers raise at the same time (decision 0008), and for claiming
// many rows of a table that others change one by one. Everything else goes through Update.
//
// It tells nothing, so no watched table is written by it; where a test does so, everything that is
// remembered in this process is void.
func (d *DB) Exec(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	if tells(query) != nil {
		defer d.memory.note(told{all: true})
	}
	return d.exec(ctx, &d.write, each, query, args)
}

// A pool holds connections of one kind. On SQLite, where preparing a statement costs more
// than running it, it also holds the prepared statements. Our statements are constants, so
// their number is bounded. pgx has its own cache.
type pool struct {
	*sql.DB
	stmts       *sync.Map // text → *sql.Stmt
	synchronous string    // how a commit of SQLite's writer waits for the disk
}

func newPool(db *sql.DB) pool { return pool{DB: db, stmts: &sync.Map{}} }

func (p *pool) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := p.stmts.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	stmt, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, failed(query, err)
	}
	if s, loaded := p.stmts.LoadOrStore(query, stmt); loaded {
		return s.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

func (d *DB) rows(ctx context.Context, p *pool, each func(scan func(...any) error) error, query string, args []any) error {
	if d.dialect != sqliteDialect {
		ctx, end := d.ending(ctx)
		defer end()
		rows, err := p.QueryContext(ctx, query, args...)
		return d.silent(ctx, eachRow(query, rows, err, each))
	}
	stmt, err := p.prepare(ctx, query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	return eachRow(query, rows, err, each)
}

func found(query string, err error) (bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, failed(query, err)
}

func eachRow(query string, rows *sql.Rows, err error, each func(scan func(...any) error) error) error {
	if err != nil {
		return failed(query, err)
	}
	defer rows.Close()
	scan := func(into ...any) error { return failed(query, rows.Scan(into...)) }
	for rows.Next() {
		if err := each(scan); err != nil {
			return err
		}
	}
	return failed(query, rows.Err())
}

// subject is the verb and the table of a statement.
var subject = regexp.MustCompile(`\b(insert into|update|delete from|from) \w+`)

// failed says in which statement a driver failed. It is decided here alone, so that callers
// return such an error as it is.
func failed(query string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", cmp.Or(subject.FindString(query), query), lost(err))
}

// View runs fn on a snapshot: everything that fn reads is of the same moment.
func (d *DB) View(ctx context.Context, fn func(*Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if d.dialect == postgresDialect {
		opts.Isolation = sql.LevelRepeatableRead
	}
	ctx, end := d.ending(ctx)
	defer end()
	return d.silent(ctx, d.run(ctx, &d.read, opts, fn))
}

// twice, if it is not empty, makes Update run each closure twice and roll the first run back, as
// happens after a lost race on PostgreSQL. If a closure changes anything but tx and its own
// variables, its second run sees what the first one left behind, and its test fails. Only the
// linker sets it: './check all' runs the tests once with -X parvis/internal/db.twice=yes.
var twice string

// Update runs fn in a transaction that behaves as if no other were running. It commits if
// fn returns nil, and rolls back otherwise.
//
// Update may run fn more than once, so fn must touch nothing but tx and its own
// variables: no mail, no HTTP, no channel sends, no password hash. It gives up after patience:
// while another serializable transaction goes on for long, PostgreSQL keeps what the later ones
// read, and once it has kept 10 for each connection that it allows, it fails transactions that
// lost no race, until the long one ends (src/backend/storage/lmgr/README-SSI, "summarize").
func (d *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return d.updateBy(ctx, &d.write, fn)
}

func (d *DB) updateBy(ctx context.Context, p *pool, fn func(*Tx) error) error {
	ctx, end := d.ending(ctx)
	defer end()
	return d.silent(ctx, d.update(ctx, p, fn))
}

func (d *DB) update(ctx context.Context, p *pool, fn func(*Tx) error) error {
	opts := &sql.TxOptions{}
	if d.dialect == postgresDialect {
		opts.Isolation = sql.LevelSerializable // SQLite always is, because it has one writer
	}
	if twice != "" {
		lost := errors.New("the first of two runs")
		if err := d.run(ctx, p, opts, func(tx *Tx) error { return errors.Join(lost, fn(tx)) }); !errors.Is(err, lost) {
			return err
		}
	}
	if err := d.present(ctx); err != nil {
		return err
	}
	until := time.Now().Add(patience)
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, longestWait) {
		err := d.run(ctx, p, opts, fn)
		if !lostRace(err) {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("gave up after %s: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(wait)):
		}
	}
}

// For how long Update runs a transaction again that lost a race, and the most that it waits in
// between. A person waits that long rather than reading that the service cannot answer.
const (
	patience    = 5 * time.Second
	longestWait = 256 * time.Millisecond
)

func (d *DB) run(ctx context.Context, p *pool, opts *sql.TxOptions, fn func(*Tx) error) error {
	t, done := &Tx{db: d, pool: p}, false
	if d.dialect != sqliteDialect {
		t.until, _ = ctx.Deadline()
	}
	err := d.within(ctx, p, opts, func(tx *sql.Tx) error {
		t.tx, t.now = tx, d.Now().UTC().Truncate(time.Microsecond)
		if err := fn(t); err != nil {
			return err
		}
		done = true
		return t.tell(ctx)
	})
	if done {
		d.memory.note(t.told) // also after an error, because it may be committed all the same
	}
	for _, query := range t.missed {
		if _, missing := p.prepare(ctx, query); missing != nil {
			break // the next transaction prepares it, or returns the error
		}
	}
	return err
}

// lostRace reports whether the transaction lost a race and can succeed if it is run again.
//
// A broken unique index is such a race too: the transaction looked first, found the value free,
// and another one stored it before this one did. PostgreSQL calls that a serialization failure
// only if the transaction looked by the same unique index, which its planner decides
// (PostgreSQL 13.2.3). When the transaction runs again it finds the other's row, and answers.
func lostRace(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "40001" || pg.Code == "40P01" || pg.Code == "23505" // serialization failure, deadlock, unique violation
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code()&0xff == sqlite3.SQLITE_BUSY
	}
	return false
}

// readers is how many SQLite connections read at the same time. With WAL, reads need no
// lock, so connections beyond the number of cores would only wait for each other.
func readers() int { return max(4, 2*runtime.NumCPU()) }
