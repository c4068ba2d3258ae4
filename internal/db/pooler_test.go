package db_test

import (
	"os"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// Statements that PostgreSQL keeps by name are a third of the work, and cannot be had through a
// pooler that gives each transaction another connection.
func TestStatementsAreKeptWhereNoPoolerStandsBetween(t *testing.T) {
	if os.Getenv(dbtest.PostgresVariable) == "" {
		t.Skip("SQLite has no pooler")
	}
	address := dbtest.Address(t)
	for mode, want := range map[string]bool{"": os.Getenv(dbtest.PoolerVariable) == "", "?default_query_exec_mode=exec": false} {
		d := dbtest.OpenAt(t, address+mode)
		var kept bool
		for range 2 {
			if _, err := d.One(t.Context(), db.Into(&kept), `select exists (select 1 from pg_prepared_statements where statement like '%pg_prepared_statements%')`); err != nil {
				t.Fatal(err)
			}
		}
		if kept != want {
			t.Errorf("with %q statements are kept by name: %v, want %v", mode, kept, want)
		}
	}
}
