package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// ErrNewer is returned for a database that a newer program migrated. An older program would
// write rows that the newer one does not expect.
var ErrNewer = errors.New("the database was migrated by a newer version of parvis: start that version, or restore the backup made before the migration")

// ErrAtOnce is returned where another process gives the same database its schema at the same moment.
var ErrAtOnce = errors.New("another process sets up this database at this moment, by 'parvis serve', 'parvis migrate' or 'parvis restore': wait for it, and look what it did")

func (d *DB) provider() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	dialect, opts := goose.DialectSQLite3, []goose.ProviderOption{goose.WithTableName("migrations")}
	if d.dialect == postgresDialect {
		// A leased row keeps two nodes that start together from migrating twice. Session
		// locks do not work through connection poolers. The next one to come waits as long for
		// one that was killed.
		locker, err := lock.NewPostgresTableLocker(
			lock.WithTableLeaseDuration(15*time.Second), lock.WithTableHeartbeatInterval(3*time.Second), lock.WithTableLockTimeout(time.Second, 300))
		if err != nil {
			return nil, err
		}
		dialect, opts = goose.DialectPostgres, append(opts, goose.WithLocker(locker))
	}
	return goose.NewProvider(dialect, d.write.DB, files, opts...)
}

// A Migration describes what Migrate did.
type Migration struct {
	From, To int64
	Backup   string // the copy of the SQLite file made before, if the database was not empty
	Steps    []Step // what was applied, in its order
}

// A Step is one migration that was applied.
type Step struct {
	Name string // of its file
	Took time.Duration
}

// Migrate brings the schema up to this program's version. It first copies an SQLite database
// that is not empty to a file beside it. It returns ErrNewer for a database of a newer
// program and does not change it.
func (d *DB) Migrate(ctx context.Context) (Migration, error) {
	p, err := d.provider()
	if err != nil {
		return Migration{}, err
	}
	var m Migration
	if m.From, err = d.version(ctx); err != nil {
		return Migration{}, err
	}
	sources := p.ListSources()
	m.To = sources[len(sources)-1].Version
	var kept applied
	if m.From > 0 {
		if kept, err = d.applied(ctx); err != nil {
			return m, err
		}
	}
	own, err := shipped(m.To)
	if err == nil {
		err = kept.sameAs(own)
	}
	switch {
	case err != nil:
		return m, err
	case m.From > m.To && kept.serves(m.To, m.From):
		return Migration{From: m.From, To: m.From}, nil
	case m.From > m.To:
		return m, fmt.Errorf("%w (it is at %d, this program knows %d)", ErrNewer, m.From, m.To)
	case m.From == m.To:
		return m, d.keep(ctx, kept, own)
	case m.From > 0 && d.dialect == sqliteDialect:
		m.Backup = fmt.Sprintf("%s.before-%d-%s", d.path, m.To, d.Now().UTC().Format("20060102T150405.000Z"))
		if err := d.Backup(ctx, m.Backup); err != nil {
			return m, fmt.Errorf("copying the database before migrating it: %w", err)
		}
	}
	results, err := d.up(ctx, p, m.To)
	if err != nil {
		return m, fmt.Errorf("migrating the database: %w", err)
	}
	for _, r := range results {
		m.Steps = append(m.Steps, Step{filepath.Base(r.Source.Path), r.Duration})
	}
	if err := d.keep(ctx, kept, own); err != nil {
		return m, err
	}
	return m, d.Update(ctx, func(tx *Tx) error {
		tx.told.all = true // other nodes remember rows as they were
		return nil
	})
}

// up applies migrations. On SQLite nothing keeps another process from applying the same ones at the same
// moment. What the slower one fails by is told by what the database has then.
func (d *DB) up(ctx context.Context, p *goose.Provider, to int64) ([]*goose.MigrationResult, error) {
	began, err := d.began(ctx)
	if err != nil {
		return nil, err
	}
	results, err := p.UpTo(ctx, to)
	if err == nil {
		return results, nil
	}
	// goose notes a migration in the transaction that applies it.
	if failed, ok := errors.AsType[*goose.PartialError](err); ok {
		if now, look := d.version(ctx); look == nil && now >= failed.Failed.Source.Version {
			return nil, ErrAtOnce
		}
	} else if now, look := d.began(ctx); look == nil && now && !began { // goose makes its table first
		return nil, ErrAtOnce
	}
	if IsBusy(err) {
		return nil, ErrAtOnce
	}
	return nil, err
}

// version reads the schema's version without goose, which would create its table: asking for
// the version must not change an empty database.
func (d *DB) version(ctx context.Context) (int64, error) {
	if began, err := d.began(ctx); err != nil || !began {
		return 0, err
	}
	var v sql.NullInt64
	_, err := d.One(ctx, Into(&v), "select max(version_id) from migrations where is_applied")
	return v.Int64, err
}

// began reports whether there is a list of the migrations that were applied.
func (d *DB) began(ctx context.Context) (bool, error) {
	tables, table := "select name from sqlite_master where type = 'table' and name = $1", "migrations"
	if d.dialect == postgresDialect {
		// Not information_schema, which lists nothing to a role without rights.
		tables = "select tablename from pg_tables where schemaname = current_schema() and tablename = $1"
	}
	var name string
	return d.One(ctx, Into(&name), tables, table)
}

// Empty reports whether this database was never migrated.
func (d *DB) Empty(ctx context.Context) (bool, error) {
	v, err := d.version(ctx)
	return v == 0, err
}

// half ends the name of a copy that is being written.
const half = ".part"

// Backup writes a consistent copy of a running SQLite database to a new file. Half a copy, of a
// process that was killed meanwhile, would look like a whole one, so it has another name.
func (d *DB) Backup(ctx context.Context, path string) error {
	if d.dialect != sqliteDialect {
		return errors.New("a PostgreSQL database is copied with pg_dump")
	}
	if strings.ContainsRune(path, 0) {
		return errors.New("a path holds no zero byte")
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s: %w", path, fs.ErrExist))
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+half) // created here, because VACUUM would make it readable to all
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = d.write.ExecContext(ctx, "vacuum into $1", f.Name())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Lease lets one node at a time do repeated work. It reports whether holder may do the work
// called name for the given time, and extends the lease that holder already has. If a holder
// dies, another one takes over when the lease ends.
func (d *DB) Lease(ctx context.Context, name, holder string, lasts time.Duration) (bool, error) {
	now := d.Now()
	var got string
	// A lease lost with the machine's power is one that its holder does not need any more.
	err := d.Lax(ctx, func(scan func(...any) error) error { return scan(&got) }, `
		insert into leases (name, holder, ends_at) values ($1, $2, $3)
		on conflict (name) do update set holder = excluded.holder, ends_at = excluded.ends_at
		where leases.holder = excluded.holder or leases.ends_at <= $4
		returning holder`, name, holder, Time(now.Add(lasts)), Time(now))
	return got == holder, err
}

// EndLease ends a lease of holder early, so that another node need not wait.
func (d *DB) EndLease(ctx context.Context, name, holder string) error {
	return d.Lax(ctx, func(func(...any) error) error { return nil },
		`delete from leases where name = $1 and holder = $2`, name, holder)
}

// Noted returns what Note stored under a name; nothing if there is none.
func (d *DB) Noted(ctx context.Context, name string) (value string, err error) {
	_, err = d.One(ctx, Into(&value), `select value from installation where name = $1`, name)
	return value, err
}

// Note stores a value for the whole installation, once. If two callers use the same name,
// the value of the first is kept and returned to both.
func (t *Tx) Note(ctx context.Context, name, value string) (string, error) {
	if _, err := t.Exec(ctx, `insert into installation (name, value) values ($1, $2) on conflict (name) do nothing`, name, value); err != nil {
		return "", err
	}
	var kept string
	_, err := t.One(ctx, Into(&kept), `select value from installation where name = $1`, name)
	return kept, err
}
