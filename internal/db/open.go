package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // registers the driver

	"parvis/internal/number"
)

// ErrBadAddress is returned for a database address that is neither a file nor postgres://.
var ErrBadAddress = errors.New("a database is a path to a file or postgres://user@host/name")

// IsPostgres reports whether an address names a PostgreSQL server.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// Open opens a database: a path to an SQLite file, which is created in an
// existing folder, or a postgres:// address. It does not migrate.
func Open(ctx context.Context, address string) (*DB, error) {
	d := &DB{Clock: time.Now, Measures: &Measures{}, memory: &memory{}, hearing: newHearing(), turn: make(turn, 1)}
	var err error
	switch {
	case IsPostgres(address):
		err = d.openPostgres(ctx, address)
	case address == "" || strings.Contains(address, "://"):
		return nil, ErrBadAddress
	default:
		err = d.openSQLite(address)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(d.write.PingContext(ctx), d.read.PingContext(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database: %w", err), d.Close())
	}
	return d, nil
}

func (d *DB) openSQLite(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// The file holds password hashes, so no other user of the machine may read it.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	d.dialect, d.path = sqliteDialect, path
	dsn := func(pragmas ...string) string {
		q := url.Values{"_txlock": {"immediate"}, "_defensive": {"1"}, "_dqs": {"0"}}
		for _, p := range append([]string{
			fmt.Sprintf("busy_timeout(%d)", answersWithin.Milliseconds()), "foreign_keys(1)", "journal_mode(wal)",
			// A committed transaction survives a loss of power, not only a crash of the process.
			"synchronous(full)",
		}, pragmas...) {
			q.Add("_pragma", p)
		}
		return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
	}
	writer, err := sql.Open("sqlite", dsn())
	if err != nil {
		return err
	}
	d.write = newPool(writer)
	d.write.synchronous, d.write.programs = durable, make(chan struct{}, 1)
	d.write.people, d.write.rest = &atomic.Int64{}, &atomic.Int64{}
	d.lax = d.write
	d.lax.synchronous = lax
	// There is one writer. Transactions wait here for their turn instead of failing with
	// 'database is locked', as 376 of 400 did.
	d.write.SetMaxOpenConns(1)
	d.write.SetConnMaxLifetime(0)
	reader, err := sql.Open("sqlite", dsn("query_only(1)"))
	if err != nil {
		return errors.Join(err, writer.Close())
	}
	d.read = newPool(reader)
	d.read.SetMaxOpenConns(readers())
	d.read.SetMaxIdleConns(readers())
	return nil
}

func (d *DB) openPostgres(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("%w: it cannot be read as a URL", ErrBadAddress) // the original error would show the password
	}
	q := u.Query()
	conns := 16
	if s := q.Get("pool_max_conns"); s != "" {
		var ok bool
		if conns, ok = number.Parse(s); !ok || conns < 2 {
			return fmt.Errorf("%w: pool_max_conns is a number from 2", ErrBadAddress)
		}
		q.Del("pool_max_conns")
		u.RawQuery = q.Encode()
	}
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return fmt.Errorf("%w: %s", ErrBadAddress, strings.ReplaceAll(err.Error(), u.String(), u.Redacted()))
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, connectsWithin)
	d.dialect, d.conns = postgresDialect, conns
	ctx, end := d.ending(ctx)
	defer end()
	if q.Has("default_query_exec_mode") { // the operator knows what is behind the address, most likely a pooler
		keepsQuiet(cfg)
		d.usePostgres(cfg)
		return nil
	}
	pooled, err := d.tryPostgres(ctx, cfg, ours(q))
	if err != nil {
		return errors.Join(fmt.Errorf("opening the database: %w", err), d.Close())
	}
	if !pooled {
		return nil
	}
	// Statements that the server keeps by name belong to one of its connections, and a pooler
	// gives the next transaction another one. So only their descriptions are kept, here.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	keepsQuiet(cfg)
	err = d.write.Close() // and nothing else: Close would end hearing too
	d.usePostgres(cfg)
	return err
}

// idleSetting has the server end a transaction in which it heard nothing for so long, with its
// locks: a node that was stopped or cut off in mid-transaction would keep all others out of the
// rows that it changed, until the server's kernel finds out hours later that nobody is there.
const (
	idleSetting = "idle_in_transaction_session_timeout"
	idlesFor    = answersWithin + 2*time.Second // longer than any transaction of ours lasts
)

// ours are settings of a connection, as far as the address has no other values for them.
//
// A serializable transaction that reads a table from end to end loses races to everybody who writes
// a row of it, and PostgreSQL reads small tables so although there is an index (PostgreSQL 13.2.3).
// Every statement of ours finds its rows by an index. What the planner thinks such a reading costs
// must not have it compile the others (jit).
func ours(address url.Values) map[string]string {
	all := map[string]string{
		idleSetting:      strconv.FormatInt(idlesFor.Milliseconds(), 10),
		"enable_seqscan": "off",
		"jit":            "off",
	}
	maps.DeleteFunc(all, func(name, _ string) bool { return address.Has(name) })
	return all
}

// tryPostgres connects, and reports whether a pooler stands before the server. Connections get
// settings, unless a pooler refuses them: PgBouncer does, and the role has them instead.
func (d *DB) tryPostgres(ctx context.Context, cfg *pgx.ConnConfig, settings map[string]string) (pooled bool, err error) {
	maps.Copy(cfg.RuntimeParams, settings)
	d.usePostgres(cfg)
	pooled, err = d.pooled(ctx)
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "08P01" || len(settings) == 0 {
		return pooled, err
	}
	for name := range settings {
		delete(cfg.RuntimeParams, name)
	}
	if err := d.write.Close(); err != nil { // and nothing else: Close would end hearing too
		return false, err
	}
	d.usePostgres(cfg)
	return d.pooled(ctx)
}

// EndsIdle reports whether the server ends transactions of ours in which it hears nothing.
func (d *DB) EndsIdle(ctx context.Context) (bool, error) {
	if d.dialect != postgresDialect {
		return true, nil
	}
	var setting string
	_, err := d.One(ctx, Into(&setting), `select current_setting('`+idleSetting+`')`)
	return setting != "0", err
}

// Room returns how many connections of ours there may be at most, and for how many the server has room
// for this role, those in use included. It is 0 where that is not known: on SQLite, and behind a pooler, which
// has an order of its own.
func (d *DB) Room(ctx context.Context) (ours, most int, err error) {
	if d.dialect != postgresDialect {
		return 0, 0, nil
	}
	if pooled, err := d.pooled(ctx); err != nil || pooled {
		return d.conns, 0, err
	}
	_, err = d.One(ctx, Into(&most), `
		select least(
			current_setting('max_connections')::int - case when r.rolsuper then 0 else current_setting('superuser_reserved_connections')::int end,
			case when r.rolconnlimit < 0 or r.rolsuper then 2147483647 else r.rolconnlimit end,
			case when b.datconnlimit < 0 or r.rolsuper then 2147483647 else b.datconnlimit end)
		from pg_roles r, pg_database b
		where r.rolname = current_user and b.datname = current_database()`)
	return d.conns, most, err
}

func (d *DB) usePostgres(cfg *pgx.ConnConfig) {
	d.write = newPool(stdlib.OpenDB(*cfg))
	d.write.SetMaxOpenConns(d.conns)
	d.write.SetMaxIdleConns(d.conns)
	d.read, d.lax = d.write, d.write
}

// pooled reports whether a pooler such as PgBouncer stands before the server (decision 0074). To
// a client it names a process of its own making, because the server's change from one transaction
// to the next.
func (d *DB) pooled(ctx context.Context) (bool, error) {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close() //nolint:errcheck // It is given back.
	var pooled bool
	err = conn.Raw(func(c any) error {
		var process uint32
		pg := c.(*stdlib.Conn).Conn()
		// This mode keeps nothing on the server, so it passes through every pooler.
		err := pg.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeExec).Scan(&process)
		pooled = process != pg.PgConn().PID()
		return err
	})
	return pooled, err
}

// keepsQuiet has a connection that is given up be closed without a request to cancel its statement
// (PostgreSQL, Frontend/Backend Protocol, Canceling Requests in Progress). PgBouncer opens a connection
// to the server for each such request, and waits for its end without a limit: after a silence of the
// server they took all its places, and it served nobody again (decision 0098). The driver asks the
// connection where to send it.
func keepsQuiet(cfg *pgx.ConnConfig) {
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == nowhere {
			return nil, errors.ErrUnsupported

		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return quietConn{conn}, nil
	}
}

// nowhere is the network of a server that is asked to cancel nothing.
const nowhere = "nowhere"

type quietConn struct{ net.Conn }

func (c quietConn) RemoteAddr() net.Addr { return quietAddr{c.Conn.RemoteAddr()} }

type quietAddr struct{ net.Addr }

func (quietAddr) Network() string { return nowhere }

// Path returns the SQLite file, or an empty text on PostgreSQL.
func (d *DB) Path() string { return d.path }
