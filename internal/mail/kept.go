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

// SweepKept removes letters that ended and were kept long enough: by then they are no more than
// addresses.
func (o *Outbox) SweepKept(ctx context.Context, d *db.DB) error {
	before := db.Day(d.Now().Add(-time.Duration(o.days) * 24 * time.Hour))
	n, err := d.InParts(ctx, `
		delete from letters
		where (org_id, id) in (select org_id, id from letters where next_try_at is null and created_at < $1 limit $2)`, db.Time(before))
	if n > 0 {
		o.log.InfoContext(ctx, "letters were kept long enough, and removed", "letters", n, "before", before.UTC().Format(time.DateOnly))
	}
	return err
}
