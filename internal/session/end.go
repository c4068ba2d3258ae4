package session

import (
	"context"
	"fmt"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/mail"
	"parvis/internal/secret"
)

// ErrOver says that a session is not open, or belongs to somebody else: the answer does not say
// which.
var ErrOver = fault.New(fault.Conflict, "session.over")

// End closes one session. Its row keeps the end and the reason (decision 0011).
func (d *Door) End(ctx context.Context, tx *db.Tx, v Visit, why Reason) error {
	n, err := tx.Exec(ctx, `
		update sessions set ended_at = $1, end_reason = $2
		where org_id = $3 and id = $4 and ended_at is null`,
		db.Time(tx.Now()), string(why), string(v.Session.OrgID), v.Session.ID)
	if err != nil {
		return fmt.Errorf("ending session %s: %w", v.Session.ID, err)
	}
	if n == 0 {
		return nil // it had ended already
	}
	e := v.event("session.ended", audit.Fields{"reason": why})
	if why == Copied { // nobody did that: it happened to the user
		e.Actor, e.ActorName, e.Session, e.Method = audit.System, audit.System, "", ""
		e.Target, e.TargetName = string(v.User.ID), v.User.Name
		e.After["session"] = v.Session.ID
	}
	return audit.Record(ctx, tx, e)
}

// EndOne closes one of the sessions of the visit's user, in whichever browser it is; ErrOver if
// the user has no such session open.
func (d *Door) EndOne(ctx context.Context, tx *db.Tx, v Visit, id string) error {
	if err := endOne(ctx, tx, v.User, id, EndedElsewhere); err != nil {
		return err
	}
	e := v.event("session.ended", audit.Fields{"reason": EndedElsewhere})
	e.Target = id
	return audit.Record(ctx, tx, e)
}

// EndOf closes one of a user's sessions for an administrator; ErrOver if the user has no such
// session open. The caller has asked whether the actor may.
func (d *Door) EndOf(ctx context.Context, tx *db.Tx, actor directory.Actor, user directory.User, id string) error {
	if err := endOne(ctx, tx, user, id, EndedByAdministrator); err != nil {
		return err
	}
	e := actor.Event(user.OrgID, "session.ended")
	e.Target, e.TargetName = string(user.ID), user.Name
	e.After = audit.Fields{"reason": EndedByAdministrator, "session": id}
	return audit.Record(ctx, tx, e)
}

func endOne(ctx context.Context, tx *db.Tx, user directory.User, id string, why Reason) error {
	n, err := tx.Exec(ctx, `
		update sessions set ended_at = $1, end_reason = $2
		where org_id = $3 and user_id = $4 and id = $5 and ended_at is null`,
		db.Time(tx.Now()), string(why), string(user.OrgID), string(user.ID), id)
	if err != nil {
		return fmt.Errorf("ending session %s: %w", id, err)
	}
	if n == 0 {
		return ErrOver
	}
	return nil
}

// EndAll closes every session of a user, in every browser, and voids what else the user has
// open: attempts and links.
func (d *Door) EndAll(ctx context.Context, tx *db.Tx, actor directory.Actor, user directory.User, why Reason) (directory.User, error) {
	return d.endAllBut(ctx, tx, actor, user, "", why)
}

// EndOthers is EndAll, except for the visit's own session.
func (d *Door) EndOthers(ctx context.Context, tx *db.Tx, v Visit, why Reason) (directory.User, error) {
	return d.endAllBut(ctx, tx, v.User.AsActor(), v.User, v.Session.ID, why)
}

func (d *Door) endAllBut(ctx context.Context, tx *db.Tx, actor directory.Actor, user directory.User, kept string, why Reason) (directory.User, error) {
	user, err := directory.Void(ctx, tx, user)
	if err != nil {
		return directory.User{}, err
	}
	n, err := tx.Exec(ctx, `
		update sessions set ended_at = $1, end_reason = $2
		where org_id = $3 and user_id = $4 and id <> $5 and ended_at is null`,
		db.Time(tx.Now()), string(why), string(user.OrgID), string(user.ID), kept)
	if err == nil && kept != "" {
		_, err = tx.Exec(ctx, `
			update sessions set generation = $1
			where org_id = $2 and id = $3 and ended_at is null`, user.Generation, string(user.OrgID), kept)
	}
	if err != nil {
		return directory.User{}, fmt.Errorf("ending the sessions of %s: %w", user.ID, err)
	}
	e := actor.Event(user.OrgID, "session.all_ended")
	e.Target, e.TargetName = string(user.ID), user.Name
	e.After = audit.Fields{"reason": why, "sessions": n}
	return user, audit.Record(ctx, tx, e)
}

// EndNative closes the sessions of an organization that no identity provider vouched for,
// except those of kept users, when single sign-on becomes the only way in.
func (d *Door) EndNative(ctx context.Context, tx *db.Tx, org directory.OrgID, kept func(directory.User) bool) (int, error) {
	return d.endThose(ctx, tx, OnlyFederated, func(v Visit) bool { return !kept(v.User) }, `s.connection_id is null`, string(org))
}

// Vouched selects sessions that an identity provider vouched for: of one user if one is named,
// and all except one session if one is kept.
type Vouched struct {
	OrgID        directory.OrgID
	ConnectionID string
	UserID       directory.UserID
	Kept         string
}

// EndVouched closes them, because the organization no longer trusts what they rest on.
func (d *Door) EndVouched(ctx context.Context, tx *db.Tx, w Vouched) (int, error) {
	return d.endThose(ctx, tx, ProviderLeft, func(v Visit) bool {
		return v.Session.ID != w.Kept && (w.UserID == "" || v.User.ID == w.UserID)
	}, `s.connection_id = $2`, string(w.OrgID), w.ConnectionID)
}

// endThose closes the open sessions of an organization that match a condition and a choice.
func (d *Door) endThose(ctx context.Context, tx *db.Tx, why Reason, ends func(Visit) bool, which string, args ...any) (int, error) {
	var those []Visit
	err := tx.Rows(ctx, func(scan func(...any) error) error {
		var v Visit
		if err := scan(append(v.User.Targets(), v.Session.targets()...)...); err != nil {
			return err
		}
		if ends(v) {
			those = append(those, v)
		}
		return nil
	}, `
		select `+directory.UserColumns+`, `+sessionColumns+`
		from sessions s
		join users u on u.org_id = s.org_id and u.id = s.user_id
		where s.org_id = $1 and s.ended_at is null and `+which, args...)
	if err != nil {
		return 0, fmt.Errorf("listing the sessions to end: %w", err)
	}
	for _, v := range those {
		if err := d.End(ctx, tx, v, why); err != nil {
			return 0, err
		}
	}
	return len(those), nil
}

// EndCopied closes every session of a browser whose superseded token was shown, and writes to
// the person, because somebody holds a copy of the cookie (R-SES-06).
func (d *Door) EndCopied(ctx context.Context, tx *db.Tx, v Visit) error {
	visits, err := openIn(ctx, tx, v.Browser)
	if err != nil {
		return err
	}
	origin := audit.OriginOf(ctx)
	for _, w := range visits {
		if err := d.End(ctx, tx, w, Copied); err != nil {
			return err
		}
		if _, err := d.Outbox.Put(ctx, tx, w.User.Letter(mail.BrowserCopiedParameters{
			Organization: w.Organization.DisplayName, Name: w.User.Name, When: tx.Now(),
			Network: origin.Network, Agent: origin.Agent, SignInPage: d.Base + w.Organization.Path(),
		})); err != nil {
			return err
		}
	}
	// Neither token finds this browser again, so that one theft sends one letter. The row stays
	// because its ended sessions refer to it.
	_, err = tx.Exec(ctx, `
		update browsers set token_hash = $1, previous_hash = null, previous_until = null
		where id = $2`, secret.NewToken().Hash(secret.Browser), v.Browser.ID)
	return err
}

// openIn lists the sessions in a browser that are not recorded as ended, the one used last
// first, whichever user they belong to.
func openIn(ctx context.Context, tx *db.Tx, b Browser) ([]Visit, error) {
	var open []Visit
	err := tx.Rows(ctx, func(scan func(...any) error) error {
		v := Visit{Browser: b}
		into := append(v.User.Targets(), v.Organization.Targets()...)
		err := scan(append(into, &v.Session.OrgID, &v.Session.ID, &v.Session.Methods)...)
		open = append(open, v)
		return err
	}, `
		select `+directory.UserColumns+`, `+directory.OrganizationColumns+`, s.org_id, s.id, s.methods
		from sessions s
		join users u on u.org_id = s.org_id and u.id = s.user_id
		join organizations o on o.id = s.org_id
		where s.browser_id = $1 and s.ended_at is null
		order by s.seen_at desc`, b.ID)
	return open, err
}

func (v Visit) event(action audit.Action, after audit.Fields) audit.Event {
	return audit.Event{
		OrgID: string(v.Session.OrgID), Actor: string(v.User.ID), ActorName: v.User.Name,
		Action: action, Target: v.Session.ID, After: after, Session: v.Session.ID, Method: v.Session.method(),
	}
}
