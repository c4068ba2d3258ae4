package directory

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// RestorableFor is how long a deleted user can be restored before being erased.
const RestorableFor = 30 * 24 * time.Hour

// The faults of changing a user's standing.
var (
	ErrYourself  = fault.New(fault.Conflict, "directory.yourself")
	ErrLastOwner = fault.New(fault.Conflict, "directory.last_owner")
	// ErrLastBreakGlass keeps the last owner whose passkey works while single sign-on is the
	// only way in.
	ErrLastBreakGlass = fault.New(fault.Conflict, "directory.last_break_glass")
	ErrDeactivated    = fault.New(fault.Conflict, "directory.user_deactivated")
	ErrDeleted        = fault.New(fault.Conflict, "directory.user_deleted")
	ErrActive         = fault.New(fault.Conflict, "directory.user_active")
	ErrNotDeleted     = fault.New(fault.Conflict, "directory.user_not_deleted")
	ErrRoleHeld       = fault.New(fault.Conflict, "directory.role_held")
	ErrAddressGotten  = fault.New(fault.Conflict, "directory.address_gotten")
)

// Closed returns nil for a user who may sign in, and otherwise says why not.
func (u User) Closed() error {
	switch {
	case !u.DeletedAt.IsZero():
		return ErrDeleted
	case !u.DeactivatedAt.IsZero():
		return ErrDeactivated
	}
	return nil
}

// standing returns the word for a user's standing, in the audit log and in the column state.
func (u User) standing() string {
	switch {
	case !u.DeletedAt.IsZero():
		return "deleted"
	case !u.DeactivatedAt.IsZero():
		return "deactivated"
	}
	return "active"
}

// Governed returns a user that actor may change. It reads both as they are now, not as a page knew
// them: of two administrators who lower each other at the same time, the second is judged again
// (R-TEN-06). Nobody changes themselves this way, so nobody locks themselves out by mistake.
func Governed(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID) (User, error) {
	_, u, err := governed(ctx, tx, actor, org, id)
	return u, err
}

func governed(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID) (Actor, User, error) {
	actor, err := actor.In(ctx, tx, org)
	if err != nil {
		return Actor{}, User{}, err
	}
	u, err := UserByID(ctx, tx, org, id)
	switch {
	case err != nil:
	case actor.Kind == KindSource && u.SourceID != actor.ID:
		err = ErrNotFound // a source sees nobody but those it keeps
	case !actor.Role.Governs(u.Role):
		err = ErrDenied
	case u.ID == actor.UserID:
		err = ErrYourself
	}
	return actor, u, err
}

// Deactivate shuts a user out: sessions, attempts and links end at once on every node (decision
// 0024), and only Reactivate lets the user in again. Somebody here may shut out whom their source
// shut out already: from then on the source does not let them in.
func Deactivate(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID) error {
	u, err := Governed(ctx, tx, actor, org, id)
	if err == nil && u.OnlyShutOutBySource() && actor.Kind != KindSource {
		return setStanding(ctx, tx, actor, u, u, "user.deactivated")
	}
	if err == nil {
		err = u.Closed()
	}
	if err == nil {
		err = keepAnOwner(ctx, tx, u)
	}
	if err != nil {
		return err
	}
	now := u
	now.DeactivatedAt = tx.Now()
	return setStanding(ctx, tx, actor, u, now, "user.deactivated")
}

// Reactivate lets a deactivated user sign in again. What the user had open stays closed, and what
// began since is voided too.
func Reactivate(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID) error {
	u, err := Governed(ctx, tx, actor, org, id)
	switch {
	case err != nil:
		return err
	case !u.DeletedAt.IsZero():
		return ErrDeleted
	case u.DeactivatedAt.IsZero():
		return ErrActive
	case actor.Kind == KindSource && u.ShutOutBy != actor.ID:
		return ErrShutOutHere
	}
	now := u
	now.DeactivatedAt = time.Time{}
	return setStanding(ctx, tx, actor, u, now, "user.reactivated")
}

// Delete shuts a user out and frees their address. The row stays for RestorableFor.
func Delete(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID) error {
	u, err := Governed(ctx, tx, actor, org, id)
	if err == nil && !u.DeletedAt.IsZero() {
		err = ErrDeleted
	}
	if err == nil {
		err = keepAnOwner(ctx, tx, u)
	}
	if err != nil {
		return err
	}
	now := u
	now.DeletedAt = tx.Now()
	if now.DeactivatedAt.IsZero() {
		now.DeactivatedAt = tx.Now()
	}
	return setStanding(ctx, tx, actor, u, now, "user.deleted")
}

// Restore brings a deleted user back as deactivated; Reactivate is a separate step.
func Restore(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID) error {
	u, err := Governed(ctx, tx, actor, org, id)
	switch {
	case err != nil:
		return err
	case u.DeletedAt.IsZero():
		return ErrNotDeleted
	case !tx.Now().Before(u.ErasedAt()):
		return ErrNotFound // only the sweep is late
	}
	address, err := naming.ParseAddress(u.Email)
	if err != nil {
		return err
	}
	_, taken, err := ownerOf(ctx, tx, org, address)
	if err == nil && !taken {
		// Otherwise the invited person could not accept.
		_, taken, err = openInvitation(ctx, tx, org, address)
	}
	if err != nil || taken {
		return orFault(err, ErrAddressGotten)
	}
	now := u
	now.DeletedAt = time.Time{}
	return setStanding(ctx, tx, actor, u, now, "user.restored")
}

// ErasedAt returns when a deleted user is erased.
func (u User) ErasedAt() time.Time { return u.DeletedAt.Add(RestorableFor) }

// setStanding stores a user's new standing, and voids everything that the user has open.
func setStanding(ctx context.Context, tx *db.Tx, actor Actor, was, now User, action audit.Action) error {
	_, err := tx.Exec(ctx, `
		update users set deactivated_at = $1, deleted_at = $2, state = $3, changed_at = $4, shut_out_by = $5, deleted_by = $6
		where org_id = $7 and id = $8`, db.Time(now.DeactivatedAt), db.Time(now.DeletedAt), now.standing(), db.Time(tx.Now()),
		db.Text(shutOutBy(actor, was, now)), db.Text(deletedBy(actor, now)), string(was.OrgID), string(was.ID))
	if err == nil {
		_, err = Void(ctx, tx, was)
	}
	if err == nil && !was.HasWayIn() && now.Closed() != nil {
		err = endInvitations(ctx, tx, was, rests(actor, now, tx.Now()))
	}
	if err != nil {
		return fmt.Errorf("making user %s %s: %w", was.ID, now.standing(), err)
	}
	e := actor.Event(was.OrgID, action)
	e.Target, e.TargetName = string(was.ID), was.Name
	e.Before, e.After = audit.Fields{"state": was.standing()}, audit.Fields{"state": now.standing()}
	if was.standing() == now.standing() {
		e.Before["source"] = was.ShutOutBy // it no longer lets them in
	}
	return audit.Record(ctx, tx, e)
}

// ChangeRole gives a user another role. It holds from the next request on, on every node, because
// the look-up of a session joins the user's row.
func ChangeRole(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID, role Role) error {
	if !role.Valid() {
		return ErrRoleUnknown
	}
	current, u, err := governed(ctx, tx, actor, org, id)
	switch {
	case err != nil:
		return err
	case !current.Role.Governs(role), current.Kind == KindSource: // a directory gives nobody rights
		return ErrDenied
	case !u.DeletedAt.IsZero():
		return ErrDeleted
	case u.Role == role:
		return ErrRoleHeld
	case (role == Owner || role == Administrator) && !u.HasWayIn():
		return ErrNoWayIn
	}
	if err := keepAnOwner(ctx, tx, u); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update users set role = $1, changed_at = $2 where org_id = $3 and id = $4`, string(role), db.Time(tx.Now()), string(org), string(id)); err != nil {
		return fmt.Errorf("changing the role of %s: %w", id, err)
	}
	e := actor.Event(org, "user.role_changed")
	e.Target, e.TargetName = string(u.ID), u.Name
	e.Before, e.After = audit.Fields{"role": u.Role}, audit.Fields{"role": role}
	return audit.Record(ctx, tx, e)
}

// keepAnOwner returns a fault for the only active owner of an organization who can sign in. Where
// single sign-on is the only way in, it does the same for the only active break-glass owner.
func keepAnOwner(ctx context.Context, tx *db.Tx, u User) error {
	if u.Role != Owner || !u.DeactivatedAt.IsZero() {
		return nil
	}
	var other UserID
	if u.BreaksGlass() {
		found, err := tx.One(ctx, db.Into(&other), `
			select id from users u
			where org_id = $1 and role = $2 and id <> $3 and deactivated_at is null and break_glass_since is not null and `+wayIn(`u`)+`
			limit 1`, string(u.OrgID), string(Owner), string(u.ID))
		if err != nil || !found {
			return orFault(err, ErrLastBreakGlass)
		}
	}
	found, err := tx.One(ctx, db.Into(&other), `
		select id from users u
		where org_id = $1 and role = $2 and id <> $3 and deactivated_at is null and `+wayIn(`u`)+`
		limit 1`, string(u.OrgID), string(Owner), string(u.ID))
	if err == nil && !found {
		err = ErrLastOwner
	}
	return err
}

// EraseDeleted erases users who were deleted RestorableFor ago, their pictures and, by foreign
// keys, everything that is theirs. Entries of the audit log stay.
func EraseDeleted(ctx context.Context, d *db.DB) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		since := db.Time(tx.Now().Add(-RestorableFor))
		if _, err := tx.Exec(ctx, `
			delete from images
			where exists (select 1 from users u where u.org_id = images.org_id and u.picture = images.id and u.deleted_at <= $1)`, since); err != nil {
			return fmt.Errorf("erasing pictures: %w", err)
		}
		erased, err := db.List(ctx, tx, func(u *User) []any {
			return db.Into(&u.OrgID, &u.ID, &u.Name)
		}, `
			delete from users where deleted_at <= $1
			returning org_id, id, display_name`, since)
		if err != nil {
			return fmt.Errorf("erasing users: %w", err)
		}
		for _, u := range erased {
			e := System(u.OrgID).Event(u.OrgID, "user.erased")
			e.Target, e.TargetName = string(u.ID), u.Name
			if err := audit.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}
