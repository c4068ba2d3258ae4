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
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is an open database. Its clock is the program's clock.
type DB struct {
	// Clock is the source of Now. Each transaction keeps one time; tests move it by hand.
	Clock func() time.Time
	// Region is the region that the installation is; empty where it is the only one.
	Region string
	// Remembers lets Recall keep answers. On PostgreSQL every process must be of a version that
	// tells others what it changes.
	Remembers bool
	// Restored is when this database was last restored, zero if never (decision 0081). What somebody
	// proved before is refused, because what had come in by then is not remembered.
	Restored time.Time
	// Shadow, if it is set, is shown each remembered answer beside what the database says, for tests.
	Shadow func(remembered, stored any)
	// Sent, if it is set, is told each statement before it goes to the database, with its values, and
	// the words begin, commit and rollback, for tests that count what a request costs.
	Sent func(text string, args []any)
	// Measures are of this process.
	Measures *Measures

	memory  *memory
	hearing *hearing
	dialect dialect
	read    pool
	write   pool
	lax     pool   // write, without waiting for the disk
	path    string // of the SQLite file; empty on PostgreSQL
	conns   int    // at most, on PostgreSQL
	turn    turn   // of who lost races, on PostgreSQL
}

type dialect int

const (
	sqliteDialect dialect = iota
	postgresDialect
)

// Now returns the current time.
func (d *DB) Now() time.Time { return d.Clock() }

// sends is called wherever a statement goes to the database.
func (d *DB) sends(text string, args []any) {
	if d.Sent != nil {
		d.Sent(text, args)
	}
}

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

// AnyOf returns the placeholders of a list that begins with parameter first, and its values, of which
// there must be one. The last of them is repeated up to the next power of two, so that SQLite has few
// texts to keep prepared.
func AnyOf[T ~string](first int, values []T) (places string, args []any) {
	n := 1
	for n < len(values) {
		n *= 2
	}
	for i := range n {
		args = append(args, string(values[min(i, len(values)-1)]))
	}
	return Places(first, n), args
}

// Value is the target of a List with one column.
func Value[T any](v *T) []any { return []any{v} }

// One implements Reader for a single statement outside a transaction.
func (d *DB) One(ctx context.Context, into []any, query string, args ...any) (bool, error) {
	d.sends(query, args)
	s := d.statement(ctx, query)
	if d.dialect != sqliteDialect {
		ctx, end := d.ending(ctx)
		defer end()
		ok, err := s.found(d.read.QueryRowContext(ctx, query, args...).Scan(into...))
		return ok, d.silent(ctx, err)
	}
	stmt, err := d.read.prepare(ctx, query)
	if err != nil {
		return s.found(err)
	}
	// For a context that can end, the driver starts a goroutine that watches it, which
	// costs more than a look-up by key.
	return s.found(stmt.QueryRowContext(context.WithoutCancel(ctx), args...).Scan(into...))
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
	stmts       *sync.Map     // text → *sql.Stmt
	synchronous string        // how a commit of SQLite's writer waits for the disk
	programs    chan struct{} // has a place for one transaction of AfterPeople
	people      *atomic.Int64 // when another transaction was asked for last, in nanoseconds since 1970
	rest        *atomic.Int64 // until when no transaction of AfterPeople begins, in nanoseconds since 1970
}

func newPool(db *sql.DB) pool { return pool{DB: db, stmts: &sync.Map{}} }

// onceForAll keeps SQLite from preparing a statement again for each value of a limit or of a pattern: it
// plans by them where they are parameters alone, and does not look behind a sign, which changes
// nothing (sqlite3ExprIsInteger and isLikeOrGlob in its source).
var onceForAll = strings.NewReplacer("limit $", "limit +$", "like $", "like +$")

func (p *pool) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := p.stmts.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	stmt, err := p.PrepareContext(ctx, onceForAll.Replace(query))
	if err != nil {
		return nil, failed(query, err)
	}
	if s, loaded := p.stmts.LoadOrStore(query, stmt); loaded {
		return s.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

func (d *DB) rows(ctx context.Context, p *pool, each func(scan func(...any) error) error, query string, args []any) error {
	d.sends(query, args)
	s := d.statement(ctx, query)
	if d.dialect != sqliteDialect {
		ctx, end := d.ending(ctx)
		defer end()
		rows, err := p.QueryContext(ctx, query, args...)
		return d.silent(ctx, s.rows(rows, err, each))
	}
	stmt, err := p.prepare(ctx, query)
	if err != nil {
		return s.rows(nil, err, each)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	return s.rows(rows, err, each)
}

func found(query string, err error) (bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, failed(query, err)
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

// IsBusy reports whether a transaction was given up because others wrote the whole time.
func IsBusy(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return lostRace(err) && !(ok && pg.Code == "23505")
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
