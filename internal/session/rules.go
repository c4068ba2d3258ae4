package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// The faults of rules.
var (
	ErrIdle     = fault.Field("idle", "session.idle_bounds")
	ErrAbsolute = fault.Field("absolute", "session.absolute_bounds")
)

// Check says which value is out of bounds.
func (r Rules) Check() error {
	var all []error
	if r.Idle < ShortestIdle || r.Idle > LongestIdle {
		all = append(all, ErrIdle)
	}
	if r.Absolute < ShortestAbsolute || r.Absolute > LongestAbsolute {
		all = append(all, ErrAbsolute)
	}
	return errors.Join(all...)
}

// SetRules sets an organization's lifetimes, within their bounds. They apply to open sessions
// at once.
func SetRules(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, r Rules) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	if err := r.Check(); err != nil {
		return err
	}
	before, err := RulesOf(ctx, tx, org)
	if err != nil || before == r {
		return err
	}
	// What was over by the old rules stays over under longer ones, swept or not.
	if _, err := tx.Exec(ctx, `
		update sessions set ended_at = $1, end_reason = case when started_at <= $2 then $3 else $4 end
		where org_id = $5 and ended_at is null and (started_at <= $2 or seen_at <= $6)`,
		db.Time(tx.Now()), db.Time(tx.Now().Add(-before.Absolute)), string(ReachedEnd), string(WentIdle),
		string(org), db.Time(tx.Now().Add(-before.Idle))); err != nil {
		return fmt.Errorf("ending what is over in %s: %w", org, err)
	}
	_, err = tx.Exec(ctx, `
		insert into session_rules (org_id, idle, absolute) values ($1, $2, $3)
		on conflict (org_id) do update set idle = excluded.idle, absolute = excluded.absolute`,
		string(org), r.Idle.Microseconds(), r.Absolute.Microseconds())
	if err != nil {
		return fmt.Errorf("setting the session rules of %s: %w", org, err)
	}
	e := actor.Event(org, "session_rules.changed")
	e.Target, e.Before, e.After = string(org), before.fields(), r.fields()
	return audit.Record(ctx, tx, e)
}

// RulesOf returns an organization's lifetimes; no row means the defaults.
func RulesOf(ctx context.Context, r db.Reader, org directory.OrgID) (Rules, error) {
	var idle, absolute int64
	set, err := r.One(ctx, db.Into(&idle, &absolute), `select idle, absolute from session_rules where org_id = $1`, string(org))
	if err != nil || !set {
		return Rules{Idle, Absolute}, err
	}
	return Rules{time.Duration(idle) * time.Microsecond, time.Duration(absolute) * time.Microsecond}, nil
}

func (r Rules) fields() audit.Fields {
	return audit.Fields{"idle": r.Idle.String(), "absolute": r.Absolute.String()}
}

// Ends says which sessions new rules would end at once.
type Ends struct {
	Sessions int
	People   int
	Own      bool // the session that asks is among them
}

// WouldEnd counts what new rules of an organization would end at once. asking is the id of the
// session that asks, if one does.
func (d *Door) WouldEnd(ctx context.Context, reader db.Reader, org directory.OrgID, r Rules, asking string) (Ends, error) {
	inForce, err := RulesOf(ctx, reader, org)
	if err != nil {
		return Ends{}, err
	}
	r, inForce = d.effective(r), d.effective(inForce)
	now := reader.Now()
	var ends Ends
	var own int
	_, err = reader.One(ctx, db.Into(&ends.Sessions, &ends.People, &own), `
		select count(*), count(distinct s.user_id), count(case when s.id = $1 then 1 end)
		from sessions s
		join users u on u.org_id = s.org_id and u.id = s.user_id and u.generation = s.generation and u.deactivated_at is null
		where s.org_id = $2 and s.ended_at is null
			and s.started_at > $3 and s.seen_at > $4
			and (s.started_at <= $5 or s.seen_at <= $6)`,
		asking, string(org),
		db.Time(now.Add(-inForce.Absolute)), db.Time(now.Add(-inForce.Idle)),
		db.Time(now.Add(-r.Absolute)), db.Time(now.Add(-r.Idle)))
	if err != nil {
		return Ends{}, fmt.Errorf("counting what new rules of %s would end: %w", org, err)
	}
	ends.Own = own > 0
	return ends, nil
}
