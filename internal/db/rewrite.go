package db

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Rewrite changes the rows of a table for which a condition holds, or removes them where set is
// empty. A restore alone does that to tables that are not its own: internal/backup lists what it
// does with each.
func (t *Tx) Rewrite(ctx context.Context, table, set, where string, args ...any) (int64, error) {
	statement := `delete from "` + table + `"`
	if set != "" {
		statement = `update "` + table + `" set ` + set
	}
	if where != "" {
		statement += ` where ` + where
	}
	t.told.all = true
	return t.Exec(ctx, statement, args...)
}

// Texts returns some columns, which are texts, of up to Part rows of a table for which a condition holds.
func (t *Tx) Texts(ctx context.Context, table string, columns []string, where string, args ...any) (all [][]string, err error) {
	err = t.Rows(ctx, func(scan func(...any) error) error {
		row := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		all = append(all, row)
		return scan(into...)
	}, `select `+quoted(columns)+` from "`+table+`" where `+where+` limit `+strconv.Itoa(Part), args...)
	return all, err
}

// SetText gives a text of a row another form, unless somebody changed it meanwhile. Only a rotation of
// keys does that to tables that are not its own: the packages that own them declare which.
func (t *Tx) SetText(ctx context.Context, change Resealed) error {
	where := []string{`"` + change.Column + `" = $2`}
	args := []any{change.To, change.From}
	for i, name := range change.Row {
		where = append(where, `"`+name+`" = $`+strconv.Itoa(i+3))
		args = append(args, change.Named[i])
	}
	_, err := t.Exec(ctx, `update "`+change.Table+`" set "`+change.Column+`" = $1 where `+strings.Join(where, " and "), args...)
	return err
}

// A Resealed is a text of one row that was sealed again.
type Resealed struct {
	Table, Column string
	Row, Named    []string // the columns that name the row, and what they say
	From, To      string
}

// RemoveOf removes up to most rows of an organization from a table, and returns how many they were.
// Only internal/purge does that, when an organization is gone.
func (t *Tx) RemoveOf(ctx context.Context, table Table, orgID string, most int64) (int64, error) {
	some := `rowid in (select rowid from "` + table.Name + `" where org_id = $1 limit $2)`
	if t.db.dialect == postgresDialect {
		some = `ctid = any (array (select ctid from "` + table.Name + `" where org_id = $1 limit $2))`
	}
	t.told.all = true
	return t.Exec(ctx, `delete from "`+table.Name+`" where `+some, orgID, most)
}

// brief is how long a transaction of EmptyOf may remove rows before the next one gets fewer: a row of a person
// is looked for in two dozen other tables.
const brief = 8 * time.Millisecond

// EmptyOf removes the rows of an organization from a table, in parts of which each is as large as the time
// that the one before took allows. It begins with one row, since nobody knows what that costs.
func (d *DB) EmptyOf(ctx context.Context, table Table, orgID string) error {
	for most := int64(1); ; {
		var n int64
		var took time.Duration
		err := d.Update(ctx, func(tx *Tx) (err error) {
			began := time.Now()
			n, err = tx.RemoveOf(ctx, table, orgID, most)
			took = time.Since(began)
			return err
		})
		if err != nil || n < most {
			return err
		}
		switch {
		case took > brief:
			most = max(1, most/2)
		case took < brief/2:
			most = min(2*most, Part)
		}
	}
}
