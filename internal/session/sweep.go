package session

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
)

// justVoided is how far back SweepVoid looks, several times its own interval; Sweep looks at
// everybody.
const justVoided = 2 * time.Minute

// SweepVoid records the end of sessions that are void (find.go) because their users just voided
// everything or were deactivated. It runs often, for whatever waits for an end to be recorded;
// mostly there is none, so it reads before it takes the writer.
func (d *Door) SweepVoid(ctx context.Context, database *db.DB) error {
	var org directory.OrgID
	found, err := database.One(ctx, db.Into(&org), `
		select u.org_id
		from users u
		where u.voided_at > $1 and exists (
			select 1 from sessions s
			where s.org_id = u.org_id and s.user_id = u.id and s.ended_at is null
				and (u.generation <> s.generation or u.deactivated_at is not null))
		limit 1`, db.Time(database.Now().Add(-justVoided)))
	if err != nil || !found {
		return err
	}
	return database.Update(ctx, func(tx *db.Tx) error { return endVoid(ctx, tx) })
}

// endVoid records the end of every void session.
func endVoid(ctx context.Context, tx *db.Tx) error {
	_, err := tx.Exec(ctx, `
		update sessions set ended_at = $1, end_reason = $2
		where ended_at is null and exists (
			select 1 from users u
			where u.org_id = sessions.org_id and u.id = sessions.user_id
				and (u.generation <> sessions.generation or u.deactivated_at is not null))`,
		db.Time(tx.Now()), string(Voided))
	return err
}

// Sweep records the ends that time brought, and removes what was kept long enough: ended
// sessions, and browsers that hold nothing.
func (d *Door) Sweep(ctx context.Context, database *db.DB) error {
	byDefault := d.effective(Rules{})
	return database.Update(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		for _, end := range []struct {
			why      Reason
			since    string
			rule     string
			override int64
			normal   int64
		}{
			{ReachedEnd, "started_at", "absolute", d.Lifetimes.SessionAbsolute.Microseconds(), byDefault.Absolute.Microseconds()},
			{WentIdle, "seen_at", "idle", d.Lifetimes.SessionIdle.Microseconds(), byDefault.Idle.Microseconds()},
		} {
			if _, err := tx.Exec(ctx, `
				update sessions set ended_at = $1, end_reason = $2
				where ended_at is null and `+end.since+` <= $3 - case
					when cast($4 as bigint) > 0 then $4
					else coalesce((select q.`+end.rule+` from session_rules q where q.org_id = sessions.org_id), $5) end`,
				db.Time(now), string(end.why), db.Time(now), end.override, end.normal); err != nil {
				return fmt.Errorf("sweeping sessions: %w", err)
			}
		}
		if _, err := tx.Exec(ctx, `update sessions set ended_at = $1, end_reason = $2 where ended_at is null and until <= $1`,
			db.Time(now), string(EndedByProvider)); err != nil {
			return err
		}
		if err := endVoid(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from sessions where ended_at <= $1`, db.Time(now.Add(-Kept))); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			delete from browsers
			where rotated_at <= $1 and not exists (select 1 from sessions s where s.browser_id = browsers.id)`,
			db.Time(now.Add(-24*time.Hour)))
		return err
	})
}
