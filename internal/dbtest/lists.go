package dbtest

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"parvis/internal/db"
)

// list is a column that few rows share, of which a statement looks for one of several values, with the
// name that its table has there, if any.
var list = regexp.MustCompile(`\b(?:([a-z_]+)\.)?((?:[a-z_]+_)?(?:id|key|line)) in \(\$[0-9]+, \$`)

// Statements that were judged already, by any test of the process.
var judged sync.Map

// listsLookUp makes the test fail, when it ends, if SQLite goes through rows that have none of the values
// that a statement lists, to compare each. It takes an index by some equalities for so good that it does
// so rather than look up each value, unless the index is unique. The cost shows in a large database only.
func listsLookUp(t testing.TB, d *db.DB) {
	t.Cleanup(func() {
		plans, err := d.Plans(context.Background(), func(query string) bool {
			_, before := judged.Load(query)
			return !before && list.MatchString(query)
		})
		if err != nil {
			return // a test that closed its database, or dropped a table
		}
		for query, steps := range plans {
			judged.Store(query, true)
			for _, column := range compared(query, steps) {
				t.Errorf("%.300s… does not look up each %s: %q", query, column, steps)
			}
		}
	})
}

// compared returns the columns of which a statement lists values and SQLite looks none up, by the steps
// of its plan.
func compared(query string, steps []string) (columns []string) {
	for _, found := range list.FindAllStringSubmatch(query, -1) {
		table, column := cmp.Or(found[1], `\w+`), found[2]
		search := regexp.MustCompile(`^SEARCH ` + table + ` .*\b` + column + `=\?`)
		if !slices.ContainsFunc(steps, search.MatchString) {
			columns = append(columns, strings.TrimPrefix(found[1]+"."+column, "."))
		}
	}
	return columns
}
