package dbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"parvis/internal/db"
)

// Databases on a PostgreSQL server are reused, because creating and dropping one takes a
// fifth of a second and emptying one a fiftieth. They are numbered. A process that uses one
// holds the advisory lock of its number on a connection that ends with the process. So a
// database that a killed process left behind is emptied by the next process.
var pool struct {
	sync.Mutex
	server *pgx.Conn    // holds the locks
	held   map[int]bool // a connection is given the locks that it already holds
	shape  string       // of a database of this version
}

// lockClass is the first of an advisory lock's two numbers. The second is the number of the database.
const lockClass = 7012

// claim reserves a number that nobody uses, makes its database as good as new, and returns both.
func claim(ctx context.Context, server string) (n int, name string, err error) {
	pool.Lock()
	defer pool.Unlock()
	if pool.server == nil {
		if pool.server, err = pgx.Connect(ctx, server); err != nil {
			return 0, "", err
		}
		pool.held = map[int]bool{}
	}
	for n, got := 0, false; ; n++ {
		if pool.held[n] {
			continue
		}
		if err := pool.server.QueryRow(ctx, `select pg_try_advisory_lock($1, $2)`, lockClass, n).Scan(&got); err != nil {
			return 0, "", err
		}
		if got {
			pool.held[n], name = true, fmt.Sprintf("parvis_test_%d", n)
			return n, name, asNew(ctx, pool.server, inDatabase(server, name), name)
		}
	}
}

func release(ctx context.Context, n int) error {
	pool.Lock()
	defer pool.Unlock()
	delete(pool.held, n)
	_, err := pool.server.Exec(ctx, `select pg_advisory_unlock($1, $2)`, lockClass, n)
	return err
}

// asNew empties a database. It creates the database again if there is none, or if a test or
// another version of the program changed more than rows, which shows when its shape differs
// from the one in its comment.
func asNew(ctx context.Context, server *pgx.Conn, address, name string) error {
	_, err := server.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '`+name+`'`)
	if err != nil {
		return err
	}
	var made *string
	err = server.QueryRow(ctx, `select shobj_description(oid, 'pg_database') from pg_database where datname = $1`, name).Scan(&made)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if made != nil {
		if same, err := emptied(ctx, address, *made); same || err != nil {
			return err
		}
	}
	for _, statement := range []string{`drop database if exists ` + name + ` with (force)`, `create database ` + name} {
		if _, err := server.Exec(ctx, statement); err != nil {
			return err
		}
	}
	shape, err := built(ctx, address)
	if err == nil {
		_, err = server.Exec(ctx, `comment on database `+name+` is '`+shape+`'`)
	}
	return err
}

// built migrates a new database, keeps a copy of the rows that migrations inserted, and
// returns its shape.
func built(ctx context.Context, address string) (string, error) {
	if _, err := migrated(address); err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	tables, err := tablesIn(ctx, conn, "public")
	if err != nil {
		return "", err
	}
	statements := []string{`create schema kept`}
	for _, table := range tables {
		var rows int
		if err := conn.QueryRow(ctx, `select count(*) from `+table).Scan(&rows); err != nil {
			return "", err
		}
		if rows > 0 {
			statements = append(statements, `create table kept.`+table+` as table `+table)
		}
	}
	if _, err := conn.Exec(ctx, strings.Join(statements, ";\n")); err != nil {
		return "", err
	}
	return shapeOf(ctx, conn)
}

// emptied restores the rows that a database was created with. It reports false, and does
// nothing, if the shape of the database differs.
func emptied(ctx context.Context, address, made string) (bool, error) {
	if made != pool.shape {
		if current, err := migrated(address); err != nil || !current {
			return false, nil // of another version: it is created again
		}
		pool.shape = made
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	if shape, err := shapeOf(ctx, conn); err != nil || shape != made {
		return false, err
	}
	all, err := tablesIn(ctx, conn, "public")
	if err != nil {
		return false, err
	}
	kept, err := tablesIn(ctx, conn, "kept")
	if err != nil {
		return false, err
	}
	// The order of tables does not matter, because foreign keys are not checked here.
	statements := []string{`begin`, `set local session_replication_role = replica`}
	for _, table := range all {
		statements = append(statements, `delete from `+table)
	}
	for _, table := range kept {
		statements = append(statements, `insert into `+table+` select * from kept.`+table)
	}
	_, err = conn.Exec(ctx, strings.Join(append(statements, `commit`), ";\n"))
	return err == nil, err
}

// tablesIn lists the tables of a schema, except the table of the migrations.
func tablesIn(ctx context.Context, conn *pgx.Conn, schema string) ([]string, error) {
	rows, err := conn.Query(ctx, `select tablename::text from pg_tables where schemaname = $1 and tablename <> 'migrations' order by 1`, schema)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
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
