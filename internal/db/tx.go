package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Tx is one transaction, in which the time stands still.
type Tx struct {
	db     *DB
	pool   *pool
	tx     *sql.Tx
	now    time.Time
	until  time.Time // when its statements end without an answer; zero on SQLite
	missed []string  // statements to prepare once the connection is free again
	told   told      // what it changed of the watched tables
	after  []func()  // what follows its commit
}

// Now returns the time at which the transaction began.
func (t *Tx) Now() time.Time { return t.now }

// Region returns the region that the installation is.
func (t *Tx) Region() string { return t.db.Region }

// Restored returns when the database was last restored.
func (t *Tx) Restored() time.Time { return t.db.Restored }

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
	t.db.sends(query, args)
	var res sql.Result
	var err error
	s := t.db.statement(ctx, query)
	if stmt := t.prepared(query); stmt != nil {
		ctx = context.WithoutCancel(ctx)
		res, err = t.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	} else {
		ctx, end := t.ending(ctx)
		defer end()
		res, err = t.tx.ExecContext(ctx, query, args...)
	}
	s.end(err)
	if err != nil {
		return 0, failed(query, err)
	}
	n, err := res.RowsAffected()
	return n, failed(query, err)
}

// Insert writes rows into a table, 1 or 10 in a statement, so that there are few texts to prepare. The
// statement is given up to its values, and what follows them.
func (t *Tx) Insert(ctx context.Context, insert string, all [][]any, conflict string) error {
	text, of := "", 0
	for len(all) > 0 {
		n := 1
		if len(all) >= 10 {
			n = 10
		}
		if n != of {
			text, of = insert+t.values(n, len(all[0]))+conflict, n
		}
		if _, err := t.Exec(ctx, text, slices.Concat(all[:n]...)...); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// values returns placeholders for rows. On SQLite they have no names, because its driver asks for the
// name of each, and SQLite goes through all of them to find it.
func (t *Tx) values(rows, columns int) string {
	var b strings.Builder
	for i := range rows {
		places := strings.Repeat("?, ", columns-1) + "?"
		if t.db.dialect == postgresDialect {
			places = Places(1+i*columns, columns)
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + places + ")")
	}
	return b.String()
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
	t.db.sends(query, args)
	s := t.db.statement(ctx, query)
	if stmt := t.prepared(query); stmt != nil {
		ctx = context.WithoutCancel(ctx)
		return s.found(t.tx.StmtContext(ctx, stmt).QueryRowContext(ctx, args...).Scan(into...))
	}
	ctx, end := t.ending(ctx)
	defer end()
	return s.found(t.tx.QueryRowContext(ctx, query, args...).Scan(into...))
}

// Rows implements Reader.
func (t *Tx) Rows(ctx context.Context, each func(scan func(...any) error) error, query string, args ...any) error {
	if g := tells(query); g != nil {
		return t.rows(ctx, t.telling(g, each), g.text, args)
	}
	return t.rows(ctx, each, query, args)
}

func (t *Tx) rows(ctx context.Context, each func(scan func(...any) error) error, query string, args []any) error {
	t.db.sends(query, args)
	s := t.db.statement(ctx, query)
	if stmt := t.prepared(query); stmt != nil {
		rows, err := t.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
		return s.rows(rows, err, each)
	}
	ctx, end := t.ending(ctx)
	defer end()
	rows, err := t.tx.QueryContext(ctx, query, args...)
	return s.rows(rows, err, each)
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

// twice, if it is not empty, makes Update run each closure twice on SQLite and roll the first run
// back, as happens after a lost race on PostgreSQL. If a closure changes anything but tx and its own
// variables, its second run sees what the first one left behind, and its test fails. Only the
// linker sets it: './check all' links the tests with -X parvis/internal/db.twice=yes.
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
	forget := marked(ctx)
	if twice != "" && d.dialect == sqliteDialect {
		lost := errors.New("the first of two runs")
		if err := d.run(ctx, p, opts, func(tx *Tx) error { return errors.Join(lost, fn(tx)) }); !errors.Is(err, lost) {
			return err
		}
		forget()
	}
	if err := d.present(ctx); err != nil {
		return err
	}
	until := time.Now().Add(patience)
	leave := func() {}
	defer func() { leave() }()
	for races, wait := 0, 2*time.Millisecond; ; races, wait = races+1, min(2*wait, longestWait) {
		switch {
		case d.dialect != postgresDialect:
		case races < losses:
			d.turn.pass(ctx)
		case races == losses:
			leave = d.turn.take(ctx, until)
		}
		err := d.run(ctx, p, opts, fn)
		if !lostRace(err) {
			return err
		}
		if time.Now().After(until) {
			d.Measures.GivenUp.Inc()
			return fmt.Errorf("gave up after %s: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(wait)):
		}
		d.Measures.Repeated.Inc()
		forget()
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
	if err == nil {
		for _, follow := range t.after {
			follow()
		}
	}
	for _, query := range t.missed {
		if _, missing := p.prepare(ctx, query); missing != nil {
			break // the next transaction prepares it, or returns the error
		}
	}
	return err
}
