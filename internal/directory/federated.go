package directory

import (
	"context"
	"fmt"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// ErrFederatedOnly answers a request that needs a native way in where there is none.
var ErrFederatedOnly = fault.New(fault.Conflict, "directory.federated_only")

// FederatedOnly reports whether single sign-on is the only way in: passwords do not work, and of
// the passkeys only those of break-glass owners.
func (o Organization) FederatedOnly() bool { return !o.FederatedSince.IsZero() }

// BreaksGlass reports whether u may sign in by passkey where single sign-on is the only way in. A
// former owner may not.
func (u User) BreaksGlass() bool { return u.Role == Owner && !u.BreakGlassSince.IsZero() }

// SetFederatedOnly makes single sign-on the only way into an organization, except for the passkeys
// of the named owners.
func SetFederatedOnly(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, breakGlass []UserID) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update organizations set federated_since = $1 where id = $2`, db.Time(tx.Now()), string(org)); err != nil {
		return fmt.Errorf("making single sign-on the only way into %s: %w", org, err)
	}
	if _, err := tx.Exec(ctx, `update users set break_glass_since = null where org_id = $1`, string(org)); err != nil {
		return err
	}
	for _, id := range breakGlass {
		n, err := tx.Exec(ctx, `
			update users set break_glass_since = $1
			where org_id = $2 and id = $3 and role = $4 and deactivated_at is null`,
			db.Time(tx.Now()), string(org), string(id), string(Owner))
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
	}
	e := actor.Event(org, "single_sign_on.only")
	e.Target, e.After = string(org), audit.Fields{"break_glass": breakGlass}
	return audit.Record(ctx, tx, e)
}

// EndFederatedOnly opens the native ways in again. It records why: somebody wanted it, or single
// sign-on failed for everybody.
func EndFederatedOnly(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, why string) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `update organizations set federated_since = null where id = $1 and federated_since is not null`, string(org))
	if err != nil || n == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, `update users set break_glass_since = null where org_id = $1`, string(org)); err != nil {
		return err
	}
	e := actor.Event(org, "single_sign_on.not_only")
	e.Target, e.After = string(org), audit.Fields{"why": why}
	return audit.Record(ctx, tx, e)
}

// AddressTaken reports whether any user of an organization has an address, including deactivated
// users and deleted ones that are not yet erased.
func AddressTaken(ctx context.Context, r db.Reader, org OrgID, address naming.Address) (bool, error) {
	var id UserID
	return r.One(ctx, db.Into(&id), `
		select id from users
		where org_id = $1 and email_key = $2
		limit 1`, string(org), address.Key)
}

// CreateFederated makes a user who came by a connection without an invitation, and who is never an
// owner.
func CreateFederated(ctx context.Context, tx *db.Tx, u User, connection string) (User, error) {
	if u.Role == Owner {
		return User{}, ErrDenied
	}
	u.ID = NewUserID()
	u, err := insertUser(ctx, tx, u)
	if err != nil {
		return User{}, err
	}
	e := System(u.OrgID).Event(u.OrgID, "user.created")
	e.Target, e.TargetName = string(u.ID), u.Name
	e.After = audit.Fields{"email": u.Email, "role": u.Role, "connection": connection}
	return u, audit.Record(ctx, tx, e)
}

// SetMappedRole gives a user the role that a connection's mapping says. It neither makes an owner
// nor changes one.
func SetMappedRole(ctx context.Context, tx *db.Tx, u User, role Role, connection string) (User, error) {
	if role == Owner || u.Role == Owner || !role.Valid() {
		return User{}, ErrDenied
	}
	if _, err := tx.Exec(ctx, `update users set role = $1, changed_at = $2 where org_id = $3 and id = $4`, string(role), db.Time(tx.Now()), string(u.OrgID), string(u.ID)); err != nil {
		return User{}, fmt.Errorf("changing the role of %s: %w", u.ID, err)
	}
	e := System(u.OrgID).Event(u.OrgID, "user.role_changed")
	e.Target, e.TargetName = string(u.ID), u.Name
	e.Before, e.After = audit.Fields{"role": u.Role}, audit.Fields{"role": role, "connection": connection}
	u.Role = role
	return u, audit.Record(ctx, tx, e)
}
