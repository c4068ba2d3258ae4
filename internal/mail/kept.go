package mail

import (
	"context"
	"time"

	"parvis/internal/db"
)

// For how many days letters are kept once they have ended, where the operator does not say; and the
// fewest that the operator may say, since pages show what became of a letter of the last month.
const (
	KeptByDefault = 90
	ShortestKept  = 31
)

// removedAtOnce is how many letters one transaction removes.
const removedAtOnce = 5000

// SweepKept removes letters that ended and were kept long enough: by then they are no more than
// addresses.
func (o *Outbox) SweepKept(ctx context.Context, d *db.DB) error {
	before := db.Day(d.Now().Add(-time.Duration(o.days) * 24 * time.Hour))
	var all int64
	for {
		var n int64
		err := d.Update(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, `
				delete from letters
				where (org_id, id) in (select org_id, id from letters where next_try_at is null and created_at < $1 limit $2)`, db.Time(before), removedAtOnce)
			return err
		})
		if all += n; err != nil || n < removedAtOnce {
			if all > 0 {
				o.log.InfoContext(ctx, "letters were kept long enough, and removed", "letters", all, "before", before.UTC().Format(time.DateOnly))
			}
			return err
		}
	}
}
