package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// The kinds of columns: there is no other in any migration, and both databases have them.
const (
	textKind    = "text"
	integerKind = "bigint"
	booleanKind = "boolean"
)

// A Table is a table as a copy of the whole database has it.
type Table struct {
	Name    string   `json:"table"`
	Columns []string `json:"columns"`
	kinds   []string
}

// A Schema says which migrations a database had.
type Schema struct {
	Version int64             `json:"version"`
	Hashes  map[string]string `json:"hashes"` // of their texts, by the names of their files
}

// Schema reads which migrations a database had.
func (t *Tx) Schema(ctx context.Context) (Schema, error) {
	var s Schema
	if _, err := t.One(ctx, Into(&s.Version), `select max(version_id) from migrations where is_applied`); err != nil {
		return s, err
	}
	var kept applied
	_, err := t.One(ctx, Into(JSON(&kept)), `select value from installation where name = $1`, appliedNote)
	s.Hashes = kept.Hashes
	return s, err
}

// Known returns ErrNewer or ErrChanged for a schema that this program cannot make.
func (s Schema) Known() error {
	names, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return err
	}
	newest, err := shipped(0)
	if err != nil {
		return err
	}
	var last int64
	for _, n := range names {
		var version int64
		if _, err := fmt.Sscanf(filepath.Base(n.Name()), "%d_", &version); err == nil {
			last = max(last, version)
		}
	}
	if s.Version > last {
		return fmt.Errorf("%w (it is of %d, this program knows %d)", ErrNewer, s.Version, last)
	}
	return applied{Hashes: s.Hashes}.sameAs(newest)
}

// MigrateTo gives an empty database the schema of a version, so that rows of that version fit. One
// that has it already is left as it is.
func (d *DB) MigrateTo(ctx context.Context, version int64) error {
	at, err := d.version(ctx)
	if err != nil || at == version {
		return err
	}
	if at > version {
		return fmt.Errorf("the database has schema %d already, and what is restored has %d: name an empty database", at, version)
	}
	p, err := d.provider()
	if err != nil {
		return err
	}
	if _, err := d.up(ctx, p, version); err != nil {
		return fmt.Errorf("making schema %d: %w", version, err)
	}
	return nil
}

// Tables lists the tables, each behind those that its foreign keys name, without what the migrations
// keep for themselves.
func (t *Tx) Tables(ctx context.Context) ([]Table, error) {
	columns := `select m.name, c.name, lower(c.type) from sqlite_master m, pragma_table_info(m.name) c
		where m.type = 'table' and m.name not like 'sqlite%' order by m.name, c.cid`
	keys := `select distinct m.name, f."table" from sqlite_master m, pragma_foreign_key_list(m.name) f where m.type = 'table'`
	if t.db.dialect == postgresDialect {
		columns = `select table_name, column_name, data_type from information_schema.columns
			where table_schema = current_schema() order by table_name, ordinal_position`
		keys = `select distinct a.relname, b.relname from pg_constraint k
			join pg_class a on a.oid = k.conrelid join pg_class b on b.oid = k.confrelid
			where k.contype = 'f' and k.connamespace = current_schema()::regnamespace`
	}
	all, needs := map[string]*Table{}, map[string][]string{}
	if err := t.Rows(ctx, func(scan func(...any) error) error {
		var table, column, kind string
		if err := scan(&table, &column, &kind); err != nil {
			return err
		}
		if all[table] == nil {
			all[table] = &Table{Name: table}
		}
		all[table].Columns, all[table].kinds = append(all[table].Columns, column), append(all[table].kinds, kind)
		return nil
	}, columns); err != nil {
		return nil, err
	}
	delete(all, "migrations")
	delete(all, "goose_lock")
	err := t.Rows(ctx, func(scan func(...any) error) error {
		var from, to string
		err := scan(&from, &to)
		needs[from] = append(needs[from], to)
		return err
	}, keys)
	return inOrder(all, needs), err
}

// inOrder sorts tables by name, and each behind what it needs.
func inOrder(all map[string]*Table, needs map[string][]string) []Table {
	var sorted []Table
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	done := map[string]bool{}
	var place func(name string)
	place = func(name string) {
		if done[name] || all[name] == nil {
			return
		}
		done[name] = true
		slices.Sort(needs[name])
		for _, n := range needs[name] {
			place(n)
		}
		sorted = append(sorted, *all[name])
	}
	for _, name := range names {
		place(name)
	}
	return sorted
}

// Count returns how many rows of a table fulfil a condition; all where it is empty.
func (t *Tx) Count(ctx context.Context, table, where string, args ...any) (n int64, err error) {
	statement := `select count(*) from "` + table + `"`
	if where != "" {
		statement += ` where ` + where
	}
	_, err = t.One(ctx, Into(&n), statement, args...)
	return n, err
}

// Copy hands each row of a table to each, as a line of JSON: a list of the values of its columns.
func (t *Tx) Copy(ctx context.Context, table Table, each func(line []byte) error) error {
	return t.read(ctx, table, "", func(values []any) error {
		line, err := json.Marshal(values)
		if err != nil {
			return err
		}
		return each(line)
	})
}

// Select hands each row of a table for which a condition holds to each: its values by the names of
// their columns, a text, an int64, a bool, or nil.
func (t *Tx) Select(ctx context.Context, table Table, where string, each func(map[string]any) error, args ...any) error {
	return t.read(ctx, table, " where "+where, func(values []any) error {
		row := map[string]any{}
		for i, column := range table.Columns {
			row[column] = plain(values[i])
		}
		return each(row)
	}, args...)
}

// plain returns what read scanned.
func plain(value any) any {
	switch v := value.(type) {
	case **string:
		if *v != nil {
			return **v
		}
	case **int64:
		if *v != nil {
			return **v
		}
	case **bool:
		if *v != nil {
			return **v
		}
	}
	return nil
}

// read scans rows into pointers of the kinds of their columns, which are nil for NULL.
func (t *Tx) read(ctx context.Context, table Table, where string, each func(values []any) error, args ...any) error {
	into := make([]any, len(table.Columns))
	for i, kind := range table.kinds {
		switch kind {
		case textKind:
			into[i] = new(*string)
		case integerKind:
			into[i] = new(*int64)
		case booleanKind:
			into[i] = new(*bool)
		default:
			return fmt.Errorf("%s.%s is of the kind %q, which no copy has", table.Name, table.Columns[i], kind)
		}
	}
	return t.Rows(ctx, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		for i := range into {
			if text, ok := into[i].(**string); ok && *text != nil && !utf8.ValidString(**text) {
				return fmt.Errorf("%s.%s has a text that is not UTF-8", table.Name, table.Columns[i])
			}
		}
		return each(into)
	}, `select `+quoted(table.Columns)+` from "`+table.Name+`"`+where, args...)
}

// Only returns the table with some of its columns.
func (t Table) Only(columns []string) (Table, error) {
	some := Table{Name: t.Name, Columns: columns}
	for _, c := range columns {
		i := slices.Index(t.Columns, c)
		if i < 0 {
			return some, fmt.Errorf("%s has no column %q", t.Name, c)
		}
		some.kinds = append(some.kinds, t.kinds[i])
	}
	return some, nil
}

// OfOrganizations reports whether the rows of a table may belong to organizations.
func (t Table) OfOrganizations() bool { return slices.Contains(t.Columns, "org_id") }

func quoted(columns []string) string { return `"` + strings.Join(columns, `", "`) + `"` }

// perInsert is how many rows an Insertion sends at once at most; PostgreSQL takes 65,535 values.
const perInsert = 200

// errNotARow is returned for a line that Copy did not write for this table.
var errNotARow = errors.New("a line is not a row of its table")

// An Insertion puts rows back that Copy read.
type Insertion struct {
	tx     *Tx
	table  Table
	kinds  []string
	values []any
	rows   int
}

// PutBack begins to put rows into a table. columns are those of the copy, in its order.
func (t *Tx) PutBack(table Table, columns []string) (*Insertion, error) {
	i := &Insertion{tx: t, table: Table{Name: table.Name, Columns: columns}}
	for _, c := range columns {
		at := slices.Index(table.Columns, c)
		if at < 0 {
			return nil, fmt.Errorf("%s has no column %q: %w", table.Name, c, errNotARow)
		}
		i.kinds = append(i.kinds, table.kinds[at])
	}
	return i, nil
}

// Row puts one row back.
func (i *Insertion) Row(ctx context.Context, line []byte) error {
	var values []json.RawMessage
	if err := json.Unmarshal(line, &values); err != nil || len(values) != len(i.kinds) {
		return fmt.Errorf("%s: %w", i.table.Name, errNotARow)
	}
	for n, raw := range values {
		value, err := valueOf(i.kinds[n], raw)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", i.table.Name, i.table.Columns[n], errNotARow)
		}
		i.values = append(i.values, value)
	}
	if i.rows++; i.rows < perInsert {
		return nil
	}
	return i.End(ctx)
}

func valueOf(kind string, raw json.RawMessage) (any, error) {
	if string(raw) == "null" {
		return nil, nil //nolint:nilnil // NULL is a value here.
	}
	switch kind {
	case textKind:
		var v string
		err := json.Unmarshal(raw, &v)
		return v, err
	case integerKind:
		var v int64
		err := json.Unmarshal(raw, &v)
		return v, err
	}
	var v bool
	err := json.Unmarshal(raw, &v)
	return v, err
}

// End puts the last rows back.
func (i *Insertion) End(ctx context.Context) error {
	if i.rows == 0 {
		return nil
	}
	var b strings.Builder
	for row := range i.rows {
		if row > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + Places(row*len(i.kinds)+1, len(i.kinds)) + ")")
	}
	i.tx.told.all = true
	_, err := i.tx.tx.ExecContext(ctx, `insert into "`+i.table.Name+`" (`+quoted(i.table.Columns)+`) values `+b.String(), i.values...)
	i.values, i.rows = i.values[:0], 0
	return failed("restoring "+i.table.Name, err)
}

// SetNote stores a value for the whole installation, in place of an earlier one; an empty one removes
// it.
func (t *Tx) SetNote(ctx context.Context, name, value string) error {
	if value == "" {
		_, err := t.Exec(ctx, `delete from installation where name = $1`, name)
		return err
	}
	_, err := t.Exec(ctx, `
		insert into installation (name, value) values ($1, $2)
		on conflict (name) do update set value = excluded.value`, name, value)
	return err
}

// ReadNote returns what SetNote or Note stored, empty if there is nothing.
func ReadNote(ctx context.Context, r Reader, name string) (value string, err error) {
	_, err = r.One(ctx, Into(&value), `select value from installation where name = $1`, name)
	return value, err
}

// Notes returns the values that SetNote stored under names that begin with a text.
func Notes(ctx context.Context, r Reader, prefix string) (map[string]string, error) {
	all := map[string]string{}
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var name, value string
		err := scan(&name, &value)
		all[name] = value
		return err
	}, `select name, value from installation where name like $1`, prefix+"%")
	return all, err
}
