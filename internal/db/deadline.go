package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// answersWithin is how long a call waits for the database, and how long all calls of a request
	// do (Answering): for a connection, for its locks and for its answer, with every repetition
	// after a lost race. A person reads after that time that the service cannot answer, and who
	// waits behind is not kept out for longer. A caller whose context has an end of its own has
	// that one instead.
	answersWithin = 8 * time.Second
	// connectsWithin is how long one try to log in may take, of which there are two where TLS is
	// only preferred, unless the address says it (connect_timeout).
	connectsWithin = 4 * time.Second
)

// errSilent is the cause of an end by answersWithin, and errSpent that of a call for which little of that
// was left, so that its end says nothing of the server.
var (
	errSilent = errors.New("the database did not answer in time")
	errSpent  = errors.New("the database did not answer in time: earlier calls of this request had to wait, too")
)

// quick is the time of a call that nobody is kept waiting by. What a call takes beyond it is taken
// from the request's allowance, so that a request of many quick calls may go on.
const quick = 250 * time.Millisecond

// An allowance is how long the calls of one request, together, may wait for the database. Without
// it each call has answersWithin, and a request whose first call was answered late and whose second
// one is not answered keeps a person waiting for twice as long.
type allowance struct {
	waited atomic.Int64 // nanoseconds
	lifted atomic.Bool
}

type allowanceKey struct{}

// Answering gives the calls of a request one allowance (decision 0097).
func Answering(ctx context.Context) context.Context {
	return context.WithValue(ctx, allowanceKey{}, new(allowance))
}

// Streaming gives each call of a request answersWithin again: the answer has begun, and its reader
// sees it go on.
func Streaming(ctx context.Context) {
	if a, ok := ctx.Value(allowanceKey{}).(*allowance); ok {
		a.lifted.Store(true)
	}
}

// allowed returns how long a call may wait that begins now, and what is to be called once it ended.
func allowed(ctx context.Context) (time.Duration, func()) {
	a, ok := ctx.Value(allowanceKey{}).(*allowance)
	if !ok || a.lifted.Load() {
		return answersWithin, func() {}
	}
	began := time.Now()
	return answersWithin - time.Duration(a.waited.Load()), func() {
		if took := time.Since(began); took > quick {
			a.waited.Add(int64(took - quick))
		}
	}
}

// ending gives a call its end. On SQLite there is no server that could be silent; only the turn
// to write is waited for, which begin bounds.
func (d *DB) ending(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, own := ctx.Deadline(); own || d.dialect == sqliteDialect {
		return ctx, func() {}
	}
	within, ended := allowed(ctx)
	cause := errSilent
	if within < answersWithin/2 {
		cause = errSpent
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, cause)
	return ctx, func() { ended(); cancel() }
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
	cause := context.Cause(ctx)
	if err == nil || !errors.Is(cause, errSilent) && !errors.Is(cause, errSpent) {
		return err
	}
	if errors.Is(cause, errSilent) {
		d.write.SetMaxIdleConns(0)
		d.write.SetMaxIdleConns(d.conns)
	}
	return fmt.Errorf("%w: %w", cause, lost(err))
}

// begin waits for a connection, which on SQLite is the turn to write, no longer than
// it may. The transaction itself may then take its time on SQLite.
func (d *DB) begin(ctx context.Context, p *pool, opts *sql.TxOptions) (*sql.Tx, func(), error) {
	if d.dialect != sqliteDialect {
		return p.begin(ctx, opts)
	}
	within, begun := allowed(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	waits := time.AfterFunc(within, func() { cancel(errSilent) })
	tx, end, err := p.begin(ctx, opts)
	begun()
	if !waits.Stop() && err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = errors.Join(errLost, errSilent)
	}
	if err != nil {
		cancel(nil)
		return nil, nil, err
	}
	return tx, func() { end(); cancel(nil) }, nil
}
