package audit

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
)

// A day is the unit in which it is said how long events are kept.
const day = 24 * time.Hour

// How long events are kept where an organization does not say, and the bounds of what it may say.
const (
	KeptByDefault = 400
	ShortestKept  = 90
	LongestKept   = 3653 // ten years
)

// Keeping says how long an organization's events are kept.
type Keeping struct {
	Days int       // 0 for as long as the installation keeps them
	Held time.Time // since when nothing is removed; zero if it is
}

// KeepingOf returns how long an organization's events are kept.
func KeepingOf(ctx context.Context, r db.Reader, orgID string) (Keeping, error) {
	var k Keeping
	var days, held *int64
	_, err := r.One(ctx, db.Into(&days, &held), `select keep_days, held_at from audit_logs where org_id = $1`, orgID)
	if days != nil {
		k.Days = int(*days)
	}
	if held != nil {
		k.Held = time.UnixMicro(*held).UTC()
	}
	return k, err
}

// SetKeeping sets how long an organization's events are kept. Who may, and what is allowed, is
// decided by the caller.
func SetKeeping(ctx context.Context, tx *db.Tx, orgID string, k Keeping) error {
	var days, held any
	if k.Days != 0 {
		days = k.Days
	}
	if !k.Held.IsZero() {
		held = k.Held.UnixMicro()
	}
	var empty edge
	_, err := tx.Exec(ctx, `
		insert into audit_logs (org_id, size, root, edge, first, keep_days, held_at)
		values ($1, 0, $2, '', 0, $3, $4)
		on conflict (org_id) do update set keep_days = excluded.keep_days, held_at = excluded.held_at`,
		orgID, textOf(empty.root()), days, held)
	return err
}

// Kept returns for how many days events are kept, where the installation allows at most so many.
func (k Keeping) Kept(most int) int {
	if k.Days == 0 {
		return min(KeptByDefault, most)
	}
	return min(k.Days, most)
}

// SweepKept removes events that were kept long enough: always the oldest of a log, so that what is
// left is whole. Their hashes stay in the tiles, and the rest verifies. Each transaction that
// removes something says so in the same log.
func (l *Logs) SweepKept(ctx context.Context, d *db.DB) error {
	type log struct {
		org  string
		days *int64
	}
	all, err := db.List(ctx, d, func(g *log) []any { return db.Into(&g.org, &g.days) }, `
		select org_id, keep_days
		from audit_logs
		where held_at is null and size > first
		order by org_id`)
	for _, g := range all {
		k := Keeping{}
		if g.days != nil {
			k.Days = int(*g.days)
		}
		before := db.Day(d.Now().Add(-time.Duration(k.Kept(l.most)) * day))
		for more := true; more && err == nil; {
			more, err = l.remove(ctx, d, g.org, before)
		}
		if err != nil {
			return err
		}
	}
	return err
}

// remove removes the oldest events of a log that are of before an instant, and reports whether there
// may be more.
func (l *Logs) remove(ctx context.Context, d *db.DB, org string, before time.Time) (more bool, err error) {
	var removed int
	err = d.Update(ctx, func(tx *db.Tx) error {
		removed = 0
		t, err := treeOf(ctx, tx, org)
		if err != nil {
			return err
		}
		k, err := KeepingOf(ctx, tx, org)
		if err != nil || !k.Held.IsZero() {
			return err
		}
		next := t.first
		oldest, err := db.List(ctx, tx, func(e *leaf) []any { return db.Into(&e.number, (*db.Time)(&e.At)) }, `
			select leaf, at from audit_events where org_id = $1 and leaf >= $2 order by leaf limit $3`, org, t.first, perSweep)
		if err != nil {
			return err
		}
		for _, e := range oldest {
			if e.number != next {
				return fmt.Errorf("%w: event %d of %q is missing, so nothing is removed", ErrAltered, next, org)
			}
			if !e.At.Before(before) {
				break
			}
			next++
		}
		if removed = int(next - t.first); removed == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, `delete from audit_events where org_id = $1 and leaf < $2`, org, next); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update audit_logs set first = $1 where org_id = $2`, next, org); err != nil {
			return err
		}
		return Record(ctx, tx, Event{OrgID: org, Actor: System, ActorName: System, Action: "audit.removed", Target: org,
			After: Fields{"events": removed, "before": before.UTC().Format(time.DateOnly)}})
	})
	if err == nil && removed > 0 {
		l.log.InfoContext(ctx, "audit events were kept long enough, and removed", "organization", org, "events", removed, "before", before.UTC().Format(time.DateOnly))
	}
	return removed == perSweep, err
}

// Older returns how many of an organization's events are older than so many days.
func Older(ctx context.Context, r db.Reader, orgID string, days int) (int, error) {
	var n int
	_, err := r.One(ctx, db.Into(&n), `select count(*) from audit_events where org_id = $1 and at < $2`, orgID, db.Time(db.Day(r.Now().Add(-time.Duration(days)*day))))
	return n, err
}
