package administration

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// What is refused about keeping and erasing the audit log.
var (
	ErrKept      = fault.Field("days", "audit.kept_bounds")
	ErrNotErased = fault.New(fault.Conflict, "audit.not_erased")
)

// SetKeeping says how long an organization's events are kept, and whether a hold keeps them all. Only
// an owner may, since what is removed can be shown to nobody any more.
func (s *Service) SetKeeping(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, days int, hold bool) error {
	if err := actor.MayErase(ctx, tx, org); err != nil {
		return err
	}
	if days != 0 && (days < audit.ShortestKept || days > s.Audit.Longest()) {
		return ErrKept
	}
	before, err := audit.KeepingOf(ctx, tx, string(org))
	if err != nil || before.Days == days && before.Held.IsZero() != hold {
		return err
	}
	then := audit.Keeping{Days: days, Held: before.Held}
	switch {
	case !hold:
		then.Held = audit.Keeping{}.Held
	case before.Held.IsZero():
		then.Held = tx.Now()
	}
	if err := audit.SetKeeping(ctx, tx, string(org), then); err != nil {
		return err
	}
	e := actor.Event(org, "audit.keeping_changed")
	e.Target = string(org)
	e.Before = audit.Fields{"days": before.Kept(s.Audit.Longest()), "held": !before.Held.IsZero()}
	e.After = audit.Fields{"days": then.Kept(s.Audit.Longest()), "held": hold}
	return audit.Record(ctx, tx, e)
}

// Removed is how many of an organization's events would be removed if they were kept for so long.
func (s *Service) Removed(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, days int) (int, error) {
	if err := actor.MayReadAudit(ctx, r, org); err != nil {
		return 0, err
	}
	return audit.Older(ctx, r, string(org), audit.Keeping{Days: days}.Kept(s.Audit.Longest()))
}

// EraseFromLog erases at once what an organization's log has of a person who was erased, records
// this, and returns how much it was.
func (s *Service) EraseFromLog(ctx context.Context, actor directory.Actor, org directory.OrgID, user string) (audit.Erased, error) {
	may := func(ctx context.Context, r db.Reader) error {
		if err := actor.MayErase(ctx, r, org); err != nil {
			return err
		}
		erased, err := audit.WasErased(ctx, r, string(org), user)
		if err == nil && !erased {
			err = ErrNotErased
		}
		return err
	}
	if err := may(ctx, s.DB); err != nil {
		return audit.Erased{}, err
	}
	traces, err := audit.TracesOf(ctx, s.DB, string(org), user)
	if err != nil {
		return audit.Erased{}, err
	}
	var done audit.Erased
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := may(ctx, tx); err != nil {
			return err
		}
		var err error
		if done, err = traces.Erase(ctx, tx, audit.Everything); err != nil || done.Events == 0 {
			return err
		}
		e := actor.Event(org, "audit.erased")
		e.Target = user
		return audit.RecordErased(ctx, tx, e, done)
	})
	return done, err
}
