package db

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parvis/internal/safely"
)

// hearing is what this process knows of the changes that other processes made.
type hearing struct {
	at     atomic.Pointer[time.Time] // when the last hearing began
	asking atomic.Bool               // one is under way
	others atomic.Bool               // a process that watches other tables was at work in the last minute
	group  sync.WaitGroup
	until  context.Context // ends when the database is closed
	end    context.CancelFunc

	// Of the last hearing.
	one     sync.Mutex
	conn    any   // SQLite: the connection that was asked
	version int64 // SQLite: its data_version
	server  string
	xmin    int64
	applied map[int64]bool // PostgreSQL: transactions from xmin on whose changes are noted

	node      string        // tells this process's own changes from others'
	announce  chan struct{} // has a place for the one who announces
	announced atomic.Pointer[time.Time]
}

func newHearing() *hearing {
	h := &hearing{node: strconv.FormatUint(rand.Uint64(), 36), announce: make(chan struct{}, 1)} //nolint:gosec // It names this process among a few, and is no secret.
	h.until, h.end = context.WithCancel(context.Background())
	return h
}

// hears reports whether remembered answers can be believed. A request that finds the last hearing
// old begins the next one beside itself, so a program to which nobody speaks asks nothing.
func (d *DB) hears(now time.Time) bool {
	if !d.Remembers {
		return false
	}
	h, old := d.hearing, believed+1
	if at := h.at.Load(); at != nil {
		old = age(*at, now)
	}
	if old > hearEvery && h.asking.CompareAndSwap(false, true) {
		h.group.Go(func() {
			defer h.asking.Store(false)
			// If the database does not answer, nothing is believed from a second on, and the
			// requests that read say why.
			_ = safely.Do(func() error { return d.Hear(h.until) })
		})
	}
	return old <= believed && !h.others.Load()
}

// Hear learns what other processes changed since the last time, and voids the remembered answers
// that hang on it.
func (d *DB) Hear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, believed)
	defer cancel()
	d.hearing.one.Lock()
	defer d.hearing.one.Unlock()
	began := time.Now() // what is committed from here on may not have been heard
	ask := d.hearSQLite
	if d.dialect == postgresDialect {
		ask = d.hearPostgres
	}
	if err := ask(ctx, began); err != nil {
		return err
	}
	d.hearing.at.Store(&began)
	return nil
}

// hearSQLite asks the writer's own connection whether any other one changed the file: SQLite counts
// these, and ours writes by this one alone. Then everything is void: another process is a command of
// the operator, which is rare. While a backup holds the writer, the question waits, and after a
// second nothing is believed.
func (d *DB) hearSQLite(ctx context.Context, _ time.Time) error {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // It is given back.
	var version int64
	if err := conn.QueryRowContext(ctx, `pragma data_version`).Scan(&version); err != nil {
		return err
	}
	h := d.hearing
	return conn.Raw(func(now any) error {
		if h.conn != now || h.version != version { // another connection counts from another beginning
			d.memory.note(told{all: true})
		}
		h.conn, h.version = now, version
		return nil
	})
}

// hearPostgres reads the rows that other processes left in changes. A transaction that is older than
// the oldest one still at work (xmin) has ended, so whatever may have been committed since the last
// hearing has an id from its xmin on, in whatever order transactions ended.
//
// Everything is void after a silence, and if the server is another one or went back in time: it was
// restored, or a standby took over that lacks the end.
func (d *DB) hearPostgres(ctx context.Context, began time.Time) error {
	h := d.hearing
	var server string
	var xmin int64
	var others bool
	var news told
	heard := map[int64]bool{}
	err := d.rows(ctx, &d.read, func(scan func(...any) error) error {
		var xid int64
		var ids string
		if err := scan(&server, &xmin, &others, &xid, &ids); err != nil || xid == 0 {
			return err
		}
		heard[xid] = true
		if ids == everything {
			news.all = true
		} else if !h.applied[xid] {
			news.ids = append(news.ids, strings.Fields(ids)...)
		}
		return nil
	}, `
		select pg_postmaster_start_time()::text, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
			exists (select 1 from nodes n where n.watch <> $1 and n.at > `+postgresNow+` - 60000000),
			coalesce(c.xid, 0), coalesce(c.touched, '')
		from (select 1) one
		left join changes c on c.xid >= $2 and c.node <> $3`, []any{watchHash, h.xmin, h.node})
	if err != nil {
		return err
	}
	if at := h.at.Load(); at == nil || age(*at, began) > believed || server != h.server || xmin < h.xmin {
		news = told{all: true}
	}
	d.memory.note(news)
	h.server, h.xmin, h.applied = server, xmin, heard
	h.others.Store(others)
	return nil
}

// everything stands in changes for more rows than are named.
const everything = "*"

// postgresNow is the server's clock, as microseconds since 1970. A transaction's own time would be
// that of its beginning.
const postgresNow = `(extract(epoch from clock_timestamp()) * 1000000)::bigint`

// ServerNow returns the time by the clock that all nodes of a database have in common: the server's, or
// this machine's where the database is a file on it. By it a node says for others when it
// was last there, since one whose own clock is wrong would count as gone.
func (d *DB) ServerNow(ctx context.Context) (time.Time, error) { return serverNow(ctx, d, d) }

// ServerNow returns the same at this moment of a transaction.
func (t *Tx) ServerNow(ctx context.Context) (time.Time, error) { return serverNow(ctx, t.db, t) }

func serverNow(ctx context.Context, d *DB, r Reader) (time.Time, error) {
	if d.dialect != postgresDialect {
		return r.Now(), nil
	}
	var at Time
	_, err := r.One(ctx, Into(&at), `select `+postgresNow)
	return time.Time(at), err
}

// tell leaves a row in changes for other processes, as the last statement of a transaction.
// PostgreSQL alone needs it.
func (t *Tx) tell(ctx context.Context) error {
	if t.db.dialect != postgresDialect || t.told.nothing() {
		return nil
	}
	ids := everything
	if !t.told.all {
		ids = strings.Join(t.told.ids, " ")
	}
	// After a restore, ids of transactions may come again.
	_, err := t.Exec(ctx, `
		insert into changes (xid, node, at, touched) values (pg_current_xact_id()::text::bigint, $1, `+postgresNow+`, $2)
		on conflict (xid) do update set node = '', at = excluded.at, touched = '`+everything+`'`, t.db.hearing.node, ids)
	return err
}

// How often a process that writes says which tables it watches. Others heed it for a minute.
const announceEvery = 20 * time.Second

// present says, before this process changes anything, which tables it watches: a process that
// watches more than this one would wait in vain to be told, and so remembers nothing meanwhile.
func (d *DB) present(ctx context.Context) error {
	h := d.hearing
	fresh := func() bool {
		at := h.announced.Load()
		return at != nil && age(*at, time.Now()) < announceEvery
	}
	if d.dialect != postgresDialect || fresh() {
		return nil
	}
	select {
	case h.announce <- struct{}{}:
		defer func() { <-h.announce }()
	case <-ctx.Done(): // another one may wait longer than we
		return ctx.Err()
	}
	if fresh() {
		return nil
	}
	now := time.Now()
	err := d.Exec(ctx, func(func(...any) error) error { return nil }, `
		insert into nodes (node, watch, at) values ($1, $2, `+postgresNow+`)
		on conflict (node) do update set at = excluded.at`, h.node, watchHash)
	if err == nil {
		h.announced.Store(&now)
	}
	return err
}

// SweepChanges deletes what every process has heard by now, the oldest first.
func SweepChanges(ctx context.Context, d *DB) error {
	if d.dialect != postgresDialect {
		return nil
	}
	for {
		gone := 0
		err := d.Exec(ctx, func(func(...any) error) error { gone++; return nil }, `
			delete from changes
			where xid in (
				select c.xid
				from changes c
				where c.at < `+postgresNow+` - 60000000 and c.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
					or c.at < `+postgresNow+` - 3600000000
				order by c.xid
				limit $1)
			returning xid`, heardAtOnce)
		if err != nil {
			return err
		}
		if gone < heardAtOnce {
			break
		}
	}
	return d.Exec(ctx, func(func(...any) error) error { return nil }, `delete from nodes where at < `+postgresNow+` - 3600000000`)
}

// heardAtOnce is how many rows of changes a statement deletes. Nobody waits for them, but after a
// day without a sweep a single statement would last longer than a call may, again each minute.
const heardAtOnce = 1000
