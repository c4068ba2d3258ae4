package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// answersWithin is how long a call waits for the database: for a connection, for its locks
	// and for its answer, with every repetition after a lost race. A person reads after that time
	// that the service cannot answer, and who waits behind is not kept out for longer. A caller
	// whose context has an end of its own has that one instead.
	answersWithin = 8 * time.Second
	// connectsWithin is how long one try to log in may take, of which there are two where TLS is
	// only preferred, unless the address says it (connect_timeout).
	connectsWithin = 4 * time.Second
)

// errSilent is the cause of an end by answersWithin.
var errSilent = errors.New("the database did not answer in time")

// ending gives a call its end. On SQLite there is no server that could be silent; only the turn
// to write is waited for, which begin bounds.
func (d *DB) ending(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, own := ctx.Deadline(); own || d.dialect == sqliteDialect {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, answersWithin, errSilent)
}

// ending gives a statement the end of its transaction.
func (t *Tx) ending(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, own := ctx.Deadline(); own || t.until.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, t.until, errSilent)
}

// Unhurried lets a transaction take its time on PostgreSQL, where a server ends one in which it hears
// nothing for a while (idlesFor), and perhaps one of its statements: a backup waits for the disk that
// takes it. Its context needs an end of its own.
func (t *Tx) Unhurried(ctx context.Context) error {
	if t.db.dialect != postgresDialect {
		return nil
	}
	_, err := t.One(ctx, Into(new(string), new(string)), `select set_config('`+idleSetting+`', '0', true), set_config('statement_timeout', '0', true)`)
	return err
}

// silent closes the connections that nobody uses if a call ended without an answer: what is
// between us and the server may have forgotten them too, and each would cost the next caller as
// much time.
func (d *DB) silent(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		d.write.SetMaxIdleConns(0)
		d.write.SetMaxIdleConns(d.conns)
		return fmt.Errorf("%w: %w", errSilent, lost(err))
	}
	return err
}

// begin waits for a connection, which on SQLite is the turn to write, no longer than
// answersWithin. The transaction itself may then take its time on SQLite.
func (d *DB) begin(ctx context.Context, p *pool, opts *sql.TxOptions) (*sql.Tx, func(), error) {
	if d.dialect != sqliteDialect {
		return p.begin(ctx, opts)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	waits := time.AfterFunc(answersWithin, func() { cancel(errSilent) })
	tx, end, err := p.begin(ctx, opts)
	if !waits.Stop() && err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = errors.Join(errLost, errSilent)
	}
	if err != nil {
		cancel(nil)
		return nil, nil, err
	}
	return tx, func() { end(); cancel(nil) }, nil
}
