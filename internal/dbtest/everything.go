package dbtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parvis/internal/db"
)

// Column is a column of a table.
type Column struct{ Name, Kind string }

// Columns returns the columns of every table but those of the migrations.
func Columns(t testing.TB, d *db.DB) map[string][]Column {
	t.Helper()
	query := `select m.name, c.name, lower(c.type) from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' and m.name not like 'sqlite%'`
	if d.Path() == "" {
		query = `select table_name, column_name, data_type from information_schema.columns where table_schema = current_schema()`
	}
	all := map[string][]Column{}
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var table string
		var c Column
		err := scan(&table, &c.Name, &c.Kind)
		all[table] = append(all[table], c)
		return err
	}, query); err != nil {
		t.Fatal(err)
	}
	delete(all, "migrations")
	delete(all, "goose_lock")
	return all
}

// Everything puts one row into every table, except those that skip lists: those of an organization and
// of one person in it. Each id, and whatever names another row, is the id that it returns; every other
// text is TABLE.COLUMN, so that a test can look for it. Of a table of the whole installation that has a
// row of this kind already it makes none.
func Everything(t testing.TB, d *db.DB, org string, skip ...string) (id string) {
	t.Helper()
	columns := Columns(t, d)
	id = "x_" + org
	value := func(table string, c Column) any {
		switch {
		case c.Name == "org_id" || table == "organizations" && c.Name == "id":
			return org
		case c.Name == "deleted_at" && table == "organizations":
			return nil
		case c.Kind == "bigint":
			return 1
		case c.Kind == "boolean":
			return false
		case c.Name == "email" || c.Name == "recipient":
			return "ada@" + org + ".example"
		case c.Name == "path":
			return "/Users/" + id
		case c.Name == "id" || strings.HasSuffix(c.Name, "_id") || slices.Contains([]string{"picture", "subject", "granted_by"}, c.Name):
			return id
		case strings.HasSuffix(c.Name, "_key") || strings.HasSuffix(c.Name, "_skeleton") || strings.HasSuffix(c.Name, "_hash") || c.Name == "hash" || c.Name == "name" || c.Name == "digest":
			return fmt.Sprintf("%s.%s of %s", table, c.Name, org) // is often unique
		}
		return table + "." + c.Name
	}
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		tables, err := tx.Tables(t.Context())
		if err != nil {
			return err
		}
		for _, table := range tables {
			if slices.Contains(skip, table.Name) {
				continue
			}
			var names []string
			var values []any
			for _, c := range columns[table.Name] {
				names, values = append(names, `"`+c.Name+`"`), append(values, value(table.Name, c))
			}
			insert := `insert into "` + table.Name + `" (` + strings.Join(names, ", ") + `) values `
			if err := tx.Insert(context.WithoutCancel(t.Context()), insert, [][]any{values}, ` on conflict do nothing`); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ByHand(t, d)
	return id
}
