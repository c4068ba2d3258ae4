package dbtest_test

import (
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// Databases are copied or reused, and no test may see what another one left behind.
func TestEveryDatabaseIsAsANewOne(t *testing.T) {
	for _, left := range []struct{ what, statement string }{
		{"nothing", `select 1`},
		{"a row", `insert into limits (id, taken, free, first, most, delay, free_at, allowed, expires_at) values ('x', 1, 1, 1, 1, 1, 1, true, 1)`},
		{"no rows of the migrations", `delete from clients`},
		{"another table", `create table left_over (id text)`},
		{"no table", `drop table limits`},
		{"another column", `alter table limits add column left_over text`},
		{"nothing, at last", `select 1`},
	} {
		t.Run(left.what, func(t *testing.T) {
			d, _ := dbtest.Open(t)
			for statement, want := range map[string]int{
				`select count(*) from limits`:                                           0,
				`select count(*) from clients where id in ('architect', 'collaborate')`: 2,
			} {
				var n int
				if _, err := d.One(t.Context(), db.Into(&n), statement); err != nil || n != want {
					t.Errorf("%s is %d, want %d (%v)", statement, n, want, err)
				}
			}
			for _, statement := range []string{`select 1 from left_over`, `select left_over from limits`} {
				if _, err := d.One(t.Context(), db.Into(new(string)), statement); err == nil {
					t.Errorf("%s finds something", statement)
				}
			}
			dbtest.Do(t, d, left.statement)
		})
	}
}
