package db

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// A Content describes what a database holds, so that two can be compared: each table by its name.
type Content map[string]TableContent

// TableContent describes what a table holds.
type TableContent struct {
	Rows int
	// Columns are sums over the values of each, which are equal if the same values are there in
	// any order.
	Columns map[string]uint64
}

// Total returns how many rows there are.
func (c Content) Total() (rows int) {
	for _, t := range c {
		rows += t.Rows
	}
	return rows
}

// Content reads the whole database except the table of migrations and what is kept of them.
// It takes as long as that takes: ctx says how long it may.
func (d *DB) Content(ctx context.Context) (Content, error) {
	columns := `select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c
		where m.type = 'table' and m.name not like 'sqlite%' order by m.name, c.name`
	if d.dialect == postgresDialect {
		columns = `select table_name, column_name from information_schema.columns where table_schema = current_schema() order by table_name, column_name`
	}
	tables := map[string][]string{}
	if err := d.Rows(ctx, func(scan func(...any) error) error {
		var table, column string
		err := scan(&table, &column)
		tables[table] = append(tables[table], column)
		return err
	}, columns); err != nil {
		return nil, err
	}
	delete(tables, "migrations")
	delete(tables, "goose_lock")
	all := Content{}
	for table, columns := range tables {
		t, err := d.tableContent(ctx, table, columns)
		if err != nil {
			return nil, err
		}
		all[table] = t
	}
	return all, nil
}

func (d *DB) tableContent(ctx context.Context, table string, columns []string) (TableContent, error) {
	t := TableContent{Columns: map[string]uint64{}}
	texts := make([]string, len(columns))
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i, c := range columns {
		texts[i] = `cast("` + c + `" as text)`
		t.Columns[c], into[i] = 0, &values[i]
	}
	kept := ""
	if table == "installation" {
		kept = ` where name <> '` + appliedNote + `'`
	}
	err := d.Rows(ctx, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		t.Rows++
		for i, c := range columns {
			h := fnv.New64a()
			_, _ = fmt.Fprint(h, values[i].Valid, values[i].String)
			t.Columns[c] += h.Sum64()
		}
		return nil
	}, `select `+strings.Join(texts, ", ")+` from "`+table+`"`+kept)
	return t, err
}

// Differences lists in words what became different, by the names of tables.
func (c Content) Differences(after Content) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(union(c, after))) {
		was, before := c[name]
		is, still := after[name]
		switch {
		case !before:
			all = append(all, fmt.Sprintf("table %s is new, with %d rows", name, is.Rows))
			continue
		case !still:
			all = append(all, fmt.Sprintf("table %s is gone, with %d rows", name, was.Rows))
			continue
		case was.Rows != is.Rows:
			all = append(all, fmt.Sprintf("%s has %d rows, and had %d", name, is.Rows, was.Rows))
		}
		for _, column := range slices.Sorted(maps.Keys(union(was.Columns, is.Columns))) {
			old, before := was.Columns[column]
			now, still := is.Columns[column]
			switch {
			case !before:
				all = append(all, fmt.Sprintf("%s.%s is new", name, column))
			case !still:
				all = append(all, fmt.Sprintf("%s.%s is gone", name, column))
			case old != now && was.Rows == is.Rows:
				all = append(all, fmt.Sprintf("%s.%s has other values", name, column))
			}
		}
	}
	return all
}

func union[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// SameAs reports whether two open databases are one.
func (d *DB) SameAs(ctx context.Context, other *DB) (bool, error) {
	if d.dialect != postgresDialect || other.dialect != postgresDialect {
		return d.path == other.path && d.dialect == other.dialect, nil
	}
	who := func(d *DB) (at string, err error) {
		_, err = d.One(ctx, Into(&at), `select current_database() || ' ' || pg_postmaster_start_time()`)
		return at, err
	}
	one, err := who(d)
	if err != nil {
		return false, err
	}
	two, err := who(other)
	return one == two, err
}
