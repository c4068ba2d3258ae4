package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parvis/internal/db"
)

// Databases on a PostgreSQL server are reused, because creating and dropping one takes a
// fifth of a second and emptying one a hundredth. They are numbered. A process that uses one
// holds the advisory lock of its number, on a connection that ends with the process. So a
// database that a killed process left behind is emptied by the next process.
//
// Its connections are reused too: PostgreSQL starts a process for each, which has read neither
// the catalogue nor a statement of ours. Without this they take four fifths of the time.
var pool struct {
	sync.Mutex
	server *pgx.Conn // holds the locks
	all    []*database
	shape  string // of a database of this version
	socket string // the folder of the server's Unix socket, if it can be reached
}

type database struct {
	number int
	name   string
	taken  bool // by a test that has not ended

	// Both are nil until they are needed.
	empties *pgx.Conn
	kept    *db.DB // for Open
}

// lockClass is the first of an advisory lock's two numbers. The second is the number of the database.
const lockClass = 7012

// claim finds a database that no test uses, and makes it as good as new.
func claim(ctx context.Context, server string) (*database, error) {
	pool.Lock()
	defer pool.Unlock()
	d, err := unused(ctx, server)
	if err == nil {
		err = d.asNew(ctx, pool.server, inDatabase(server, d.name))
	}
	if err != nil {
		return nil, err
	}
	d.taken = true
	return d, nil
}

func unused(ctx context.Context, server string) (_ *database, err error) {
	if pool.server == nil {
		if pool.server, err = pgx.Connect(ctx, server); err != nil {
			return nil, err
		}
		if pool.socket, err = socket(ctx, pool.server); err != nil {
			return nil, err
		}
	}
	next := 0
	for _, d := range pool.all {
		if !d.taken {
			return d, nil
		}
		next = d.number + 1 // a connection would be given the locks that it already holds
	}
	for n, got := next, false; ; n++ {
		if err := pool.server.QueryRow(ctx, `select pg_try_advisory_lock($1, $2)`, lockClass, n).Scan(&got); err != nil {
			return nil, err
		}
		if got {
			d := &database{number: n, name: fmt.Sprintf("parvis_test_%d", n)}
			pool.all = append(pool.all, d)
			return d, nil
		}
	}
}

// open returns the kept connections as a database of their own.
func (d *database) open(ctx context.Context, server string) (*db.DB, error) {
	pool.Lock()
	defer pool.Unlock()
	if d.kept == nil {
		var err error
		address := keeping(inDatabase(server, d.name))
		if os.Getenv(PoolerVariable) != "" {
			address = pooled(inDatabase(server, d.name))
		}
		if d.kept, err = db.Open(ctx, address); err != nil {
			return nil, err
		}
	}
	own := *d.kept
	own.Measures = &db.Measures{}
	return &own, nil
}

func release(d *database) {
	pool.Lock()
	defer pool.Unlock()
	d.taken = false
}

// broken reports whether a test closed what is kept, or ended connections.
func (d *database) broken(ctx context.Context) bool {
	if d.empties != nil && d.empties.Ping(ctx) != nil {
		return true
	}
	if d.kept == nil {
		return false
	}
	_, err := d.kept.One(ctx, db.Into(new(int)), `select 1`)
	return err != nil
}

func (d *database) close(ctx context.Context) {
	if d.kept != nil {
		d.kept.Close()
	}
	if d.empties != nil {
		d.empties.Close(ctx)
	}
	d.kept, d.empties = nil, nil
}

// keeper is what the connections that outlive a test are called.
var keeper = fmt.Sprintf("dbtest_%d", os.Getpid())

// keeping adds that name to the address of a database, and leads to the server's Unix socket if it
// has one on this machine: PostgreSQL answers there with a fifth less work than by TCP.
func keeping(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // inDatabase made it
	}
	q := u.Query()
	q.Set("application_name", keeper)
	if pool.socket != "" {
		q.Set("host", pool.socket)
		q.Set("port", u.Port())
		u.Host = ""
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// socket returns the folder of the Unix socket of a server, or nothing if it cannot be reached.
func socket(ctx context.Context, server *pgx.Conn) (folder string, err error) {
	if err := server.QueryRow(ctx, `show unix_socket_directories`).Scan(&folder); err != nil {
		return "", err
	}
	folder, _, _ = strings.Cut(folder, ",")
	c, err := net.Dial("unix", fmt.Sprintf("%s/.s.PGSQL.%d", folder, server.Config().Port))
	if err != nil {
		return "", nil //nolint:nilerr // The server is on another machine, or lets nobody in there.
	}
	return folder, c.Close()
}

// asNew empties a database. It creates the database again if there is none, or if a test or
// another version of the program changed more than rows, which shows when its shape differs
// from the one in its comment.
func (d *database) asNew(ctx context.Context, server *pgx.Conn, address string) error {
	var busy int
	if err := server.QueryRow(ctx, `select count(*) filter (where ended and application_name = $1) from (
		select pg_terminate_backend(pid) as ended, application_name from pg_stat_activity
		where datname = $2 and (application_name <> $1 or state <> 'idle')) others`, keeper, d.name).Scan(&busy); err != nil {
		return err
	}
	if busy > 0 || d.broken(ctx) {
		d.close(ctx)
	}
	var made *string
	err := server.QueryRow(ctx, `select shobj_description(oid, 'pg_database') from pg_database where datname = $1`, d.name).Scan(&made)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if made != nil {
		if same, err := d.emptied(ctx, address, *made); same || err != nil {
			return err
		}
	}
	d.close(ctx)
	for _, statement := range []string{`drop database if exists ` + d.name + ` with (force)`, `create database ` + d.name} {
		if _, err := server.Exec(ctx, statement); err != nil {
			return err
		}
	}
	shape, err := built(ctx, address)
	if err == nil {
		_, err = server.Exec(ctx, `comment on database `+d.name+` is '`+shape+`'`)
	}
	return err
}

// built migrates a new database, keeps a copy of the rows that migrations inserted and a
// procedure that restores them, and returns its shape.
func built(ctx context.Context, address string) (string, error) {
	if _, err := migrated(address); err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	tables, err := conn.Query(ctx, `select tablename::text from pg_tables where schemaname = 'public' and tablename <> 'migrations' order by 1`)
	if err != nil {
		return "", err
	}
	all, err := pgx.CollectRows(tables, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	var emptied, restored []string
	statements := []string{`create schema kept`}
	for _, table := range all {
		var rows int
		if err := conn.QueryRow(ctx, `select count(*) from `+table).Scan(&rows); err != nil {
			return "", err
		}
		emptied = append(emptied, `delete from `+table+`;`)
		if rows > 0 {
			statements = append(statements, `create table kept.`+table+` as table `+table)
			restored = append(restored, `insert into `+table+` select * from kept.`+table+`;`)
		}
	}
	// The order of tables does not matter, because foreign keys are not checked in it.
	statements = append(statements, `create procedure kept.restore() language plpgsql set session_replication_role = replica as $$ begin
		`+strings.Join(append(emptied, restored...), "\n")+` end $$`)
	if _, err := conn.Exec(ctx, strings.Join(statements, ";\n")); err != nil {
		return "", err
	}
	return shapeOf(ctx, conn)
}

// emptied restores the rows that a database was created with. It reports false, and does
// nothing, if the shape of the database differs.
func (d *database) emptied(ctx context.Context, address, made string) (bool, error) {
	if made != pool.shape {
		// One that cannot be migrated is of another version too: it is created again.
		if current, _ := migrated(address); !current {
			return false, nil
		}
		pool.shape = made
	}
	if d.empties == nil {
		var err error
		if d.empties, err = pgx.Connect(ctx, keeping(address)); err != nil {
			return false, err
		}
	}
	shape, err := shapeOf(ctx, d.empties)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42P01" {
		return false, nil // a test that was killed had taken every table away
	}
	if err != nil || shape != made {
		return false, err
	}
	_, err = d.empties.Exec(ctx, `call kept.restore()`)
	return err == nil, err
}

// shapeOf returns a hash of everything in a database but its rows: relations, columns and
// permissions.
func shapeOf(ctx context.Context, conn *pgx.Conn) (shape string, err error) {
	err = conn.QueryRow(ctx, `
		select md5(string_agg(part, ' ' order by part)) from (
			select concat('relation ', relname, relkind, relacl) as part from pg_class where relnamespace = 'public'::regnamespace
			union all
			select concat('column ', c.relname, a.attname, a.atttypid, a.attnotnull, a.attacl)
			from pg_attribute a join pg_class c on c.oid = a.attrelid
			where c.relnamespace = 'public'::regnamespace and a.attnum > 0
			union all select concat('procedure ', (select prosrc from pg_proc where pronamespace = to_regnamespace('kept')))
			union all select concat('version ', version_id) from public.migrations
			union all select concat('schema ', nspname, nspacl) from pg_namespace where nspname = 'public'
			union all select concat('database ', datacl) from pg_database where datname = current_database()
			union all select concat('setting ', setconfig) from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase where d.datname = current_database()
		) parts`).Scan(&shape)
	return shape, err
}

// migrated brings a database up to this program's schema, and reports whether it already was.
func migrated(address string) (current bool, err error) {
	d, err := db.Open(context.Background(), address)
	if err != nil {
		return false, err
	}
	m, err := d.Migrate(context.Background())
	return m.From == m.To, errors.Join(err, d.Close())
}
