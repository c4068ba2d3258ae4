package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
)

// justVoided is how far back SweepVoid looks, several times its own interval; Sweep looks at
// everybody.
const justVoided = 2 * time.Minute

// SweepVoid records the end of sessions that are void (find.go) because their users just voided
// everything or were deactivated. It runs often, for whatever waits for an end to be recorded.
func (d *Door) SweepVoid(ctx context.Context, database *db.DB) error {
	return voided(database.Now().Add(-justVoided)).record(ctx, database)
}

// Sweep records the ends that time brought, and those of void sessions, and removes ended sessions
// that were kept long enough.
func (d *Door) Sweep(ctx context.Context, database *db.DB) error {
	byDefault, now := d.effective(Rules{}), database.Now()
	for _, e := range []end{
		lasted(ReachedEnd, "started_at", "absolute", db.Time(now), d.Lifetimes.SessionAbsolute.Microseconds(), byDefault.Absolute.Microseconds()),
		lasted(WentIdle, "seen_at", "idle", db.Time(now), d.Lifetimes.SessionIdle.Microseconds(), byDefault.Idle.Microseconds()),
		untilThen(now),
		voided(time.UnixMicro(0)),
	} {
		if err := e.record(ctx, database); err != nil {
			return err
		}
	}
	_, err := database.InParts(ctx, `
		delete from sessions
		where (org_id, id) in (select org_id, id from sessions where ended_at <= $1 limit $2)`, db.Time(now.Add(-Kept)))
	return err
}

// An end came without anybody closing the session. find lists open sessions with that end, by an
// index and beside everybody who writes; its last placeholder is how many. still is what is asked
// of each once more when its end is written down, since somebody may have used it meanwhile.
type end struct {
	why         Reason
	find, still string
	args        []any // of both
}

// lasted is the end by a rule: so long after the session began, or after it was last used. It takes
// the time, what the configuration says instead of every rule, and what holds where there is none.
// SQLite keeps the order of a cross join: for each organization, from the oldest session on.
func lasted(why Reason, since, rule string, args ...any) end {
	return end{why, `
		select s.org_id, s.id
		from organizations o
		left join session_rules q on q.org_id = o.id
		cross join sessions s
		where s.org_id = o.id and s.ended_at is null
			and s.` + since + ` <= $1 - case when cast($2 as bigint) > 0 then $2 else coalesce(q.` + rule + `, $3) end
		limit $4`,
		since + ` <= $5 - case
			when cast($6 as bigint) > 0 then $6
			else coalesce((select q.` + rule + ` from session_rules q where q.org_id = sessions.org_id), $7) end`,
		args}
}

// untilThen is the end that a provider gave the session.
func untilThen(now time.Time) end {
	return end{EndedByProvider, `
		select s.org_id, s.id
		from sessions s
		where s.ended_at is null and s.until <= $1
		limit $2`, `until <= $5`, []any{db.Time(now)}}
}

// voided is the end of sessions whose users voided everything since a time, or were deactivated,
// which voids everything too.
func voided(since time.Time) end {
	return end{Voided, `
		select s.org_id, s.id
		from users u
		cross join sessions s
		where u.voided_at > $1 and s.org_id = u.org_id and s.user_id = u.id and s.ended_at is null
			and (u.generation <> s.generation or u.deactivated_at is not null)
		limit $2`,
		`exists (
			select 1 from users u
			where u.org_id = sessions.org_id and u.id = sessions.user_id and u.voided_at > $5
				and (u.generation <> sessions.generation or u.deactivated_at is not null))`,
		[]any{db.Time(since)}}
}

// record writes down the end of all sessions that have it, db.Part in a transaction.
func (e end) record(ctx context.Context, database *db.DB) error {
	type id struct {
		org directory.OrgID
		id  string
	}
	for more := true; more; {
		due, err := db.List(ctx, database, func(s *id) []any { return db.Into(&s.org, &s.id) }, e.find, slices.Concat(e.args, []any{db.Part})...)
		if err != nil || len(due) == 0 {
			return err
		}
		err = database.Update(ctx, func(tx *db.Tx) error {
			more = false
			for _, s := range due {
				n, err := tx.Exec(ctx, `
					update sessions set ended_at = $1, end_reason = $2
					where org_id = $3 and id = $4 and ended_at is null and `+e.still,
					append([]any{db.Time(tx.Now()), string(e.why), string(s.org), s.id}, e.args...)...)
				if err != nil {
					return fmt.Errorf("sweeping session %s: %w", s.id, err)
				}
				more = more || n > 0 && len(due) == db.Part
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SweepBrowsers removes browsers that hold nothing. It reads them all, beside everybody who
// writes, and so runs rarely.
func (d *Door) SweepBrowsers(ctx context.Context, database *db.DB) error {
	before := db.Time(database.Now().Add(-24 * time.Hour))
	for last := ""; ; {
		empty, err := db.List(ctx, database, db.Value[string], `
			select b.id
			from browsers b
			where b.id > $1 and b.rotated_at <= $2 and not exists (select 1 from sessions s where s.browser_id = b.id)
			order by b.id
			limit $3`, last, before, db.Part)
		if err != nil || len(empty) == 0 {
			return err
		}
		last = empty[len(empty)-1]
		if err := database.Update(ctx, func(tx *db.Tx) error {
			for _, id := range empty {
				if _, err := tx.Exec(ctx, `
					delete from browsers
					where id = $1 and rotated_at <= $2 and not exists (select 1 from sessions s where s.browser_id = browsers.id)`, id, before); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
}

// Count returns how many sessions are open.
func Count(ctx context.Context, r db.Reader) (n int, err error) {
	_, err = r.One(ctx, db.Into(&n), `select count(*) from sessions where ended_at is null`)
	return n, err
}
