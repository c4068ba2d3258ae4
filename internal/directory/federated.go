package directory

import (
	"context"
	"fmt"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
)

// ErrFederatedOnly answers what needs a native way in where there is none.
var ErrFederatedOnly = fault.New(fault.Conflict, "directory.federated_only")

// FederatedOnly tells that single sign-on is the only way in: no password is worth
// anything, and the passkeys of break-glass owners alone open.
func (o Organization) FederatedOnly() bool { return !o.FederatedSince.IsZero() }

// BreaksGlass tells that u may come in by passkey where single sign-on is the only
// way. An owner who became something else does not.
func (u User) BreaksGlass() bool { return u.Role == Owner && !u.BreakGlassSince.IsZero() }

// SetFederatedOnly makes single sign-on the only way into an organization, except
// for the passkeys of the named owners.
func SetFederatedOnly(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, breakGlass []UserID) error {
	if err := actor.MaySetRules(org); err != nil {
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
	e := actor.event(org, "single_sign_on.only")
	e.Target, e.After = string(org), audit.Fields{"break_glass": breakGlass}
	return audit.Record(ctx, tx, e)
}

// EndFederatedOnly opens the native ways in again. why is kept: a person's wish, or
// that single sign-on failed for everybody.
func EndFederatedOnly(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, why string) error {
	if err := actor.MaySetRules(org); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `update organizations set federated_since = null where id = $1 and federated_since is not null`, string(org))
	if err != nil || n == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, `update users set break_glass_since = null where org_id = $1`, string(org)); err != nil {
		return err
	}
	e := actor.event(org, "single_sign_on.not_only")
	e.Target, e.After = string(org), audit.Fields{"why": why}
	return audit.Record(ctx, tx, e)
}
