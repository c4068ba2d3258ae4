package db_test

import (
	"fmt"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

func TestWhatBecameDifferentIsNamed(t *testing.T) {
	d, _ := dbtest.Open(t)
	for _, name := range []string{"a", "b", "c"} {
		dbtest.Do(t, d, `insert into leases (name, holder, ends_at) values ($1, 'x', 1)`, name)
	}
	read := func() db.Content {
		t.Helper()
		c, err := d.Content(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := read()
	expect.Equal(t, "differences of one from itself", strings.Join(before.Differences(read()), "; "), "")
	dbtest.Do(t, d, `update leases set holder = 'y' where name = 'b'`)
	dbtest.Do(t, d, `alter table leases add column of_whom text`)
	dbtest.Do(t, d, `delete from clients where id = 'architect'`)
	dbtest.Do(t, d, `create table rooms (id text)`)
	dbtest.Do(t, d, `drop table limits`)
	after, was := read(), before["clients"].Rows
	expect.Equal(t, "rows fewer", before.Total()-after.Total(), 1)
	expect.Equal(t, "differences", strings.Join(before.Differences(after), "; "),
		fmt.Sprintf("clients has %d rows, and had %d", was-1, was)+"; leases.holder has other values; leases.of_whom is new; table limits is gone, with 0 rows; table rooms is new, with 0 rows")
}
