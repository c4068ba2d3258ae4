package db_test

import (
	"net/url"
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
	address, err := url.Parse(dbtest.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]bool{"": os.Getenv(dbtest.PoolerVariable) == "", "exec": false} {
		at := *address
		if mode != "" {
			q := at.Query()
			q.Set("default_query_exec_mode", mode)
			at.RawQuery = q.Encode()
		}
		d := dbtest.OpenAt(t, at.String())
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
