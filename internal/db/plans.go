package db

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

var placeholder = regexp.MustCompile(`\$([0-9]+)`)

// Plans returns how SQLite finds the rows of each wanted statement that was run so far, a line for each
// table. A test reads it: an index that is not used, or the wrong one, shows in a large database
// only. On PostgreSQL, which decides by statistics, there is none.
func (d *DB) Plans(ctx context.Context, wanted func(query string) bool) (map[string][]string, error) {
	plans := map[string][]string{}
	var all error
	for _, p := range []*pool{&d.read, &d.write} {
		p.stmts.Range(func(text, _ any) bool {
			query, most := text.(string), 0
			if !wanted(query) {
				return true
			}
			for _, m := range placeholder.FindAllStringSubmatch(query, -1) {
				n, err := strconv.Atoi(m[1])
				most, all = max(most, n), errors.Join(all, err)
			}
			if most == 0 {
				most = strings.Count(query, "?") // as Insert writes it
			}
			explained := d.statement(ctx, query)
			rows, err := d.read.QueryContext(ctx, "explain query plan "+query, make([]any, most)...)
			all = errors.Join(all, explained.rows(rows, err, func(scan func(...any) error) error {
				var id, parent, unused sql.RawBytes
				var step string
				err := scan(&id, &parent, &unused, &step)
				plans[query] = append(plans[query], step)
				return err
			}))
			return all == nil
		})
	}
	return plans, all
}
