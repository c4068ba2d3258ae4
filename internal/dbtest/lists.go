package dbtest

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"parvis/internal/db"
)

// list is a column that few rows share, of which a statement looks for one of several values.
var list = regexp.MustCompile(`\b((?:[a-z_]+_)?(?:id|key|line)) in \(\$[0-9]+, \$`)

// Statements that were judged already, by any test of the process.
var judged sync.Map

// listsLookUp makes the test fail, when it ends, if SQLite goes through rows that have none of the values
// that a statement lists, to compare each. It takes an index by some equalities for so good that it does
// so rather than look up each value, unless the index is unique. The cost shows in a large database only.
func listsLookUp(t testing.TB, d *db.DB) {
	t.Cleanup(func() {
		plans, err := d.Plans(context.Background(), func(query string) bool {
			if !list.MatchString(query) {
				return false
			}
			_, before := judged.LoadOrStore(query, true)
			return !before
		})
		if err != nil {
			return // a test that closed its database, or dropped a table
		}
		for query, steps := range plans {
			for _, column := range list.FindAllStringSubmatch(query, -1) {
				if !slices.ContainsFunc(steps, func(step string) bool { return strings.Contains(step, column[1]+"=?") }) {
					t.Errorf("%.300s… does not look up each %s: %q", query, column[1], steps)
				}
			}
		}
	})
}
