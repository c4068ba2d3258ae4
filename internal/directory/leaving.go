package directory

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
)

// OrganizationRestorableFor is how long a deleted organization can be restored. Then everything that
// is its is removed (decision 0092).
const OrganizationRestorableFor = 30 * 24 * time.Hour

// The faults of deleting organizations.
var (
	ErrStillOpen              = fault.New(fault.Conflict, "directory.still_open")
	ErrOrganizationDeleted    = fault.New(fault.Conflict, "directory.organization_deleted")
	ErrOrganizationNotDeleted = fault.New(fault.Conflict, "directory.organization_not_deleted")
)

// NotDeleted is a condition for statements of sweeps that reach somebody outside, on the organization
// of a row: what was deleted is quiet until it is removed.
func NotDeleted(orgID string) string {
	return `not exists (select 1 from organizations gone where gone.id = ` + orgID + ` and gone.deleted_at is not null)`
}

// RemovedAt returns when everything of a deleted organization is removed.
func (o Organization) RemovedAt() time.Time { return o.DeletedAt.Add(OrganizationRestorableFor) }

// DeleteOrganization marks a suspended organization as deleted. Nobody is in it, and nothing is sent
// for it any more. The installation's log records it too, because the organization's own goes.
func DeleteOrganization(ctx context.Context, tx *db.Tx, actor Actor, id OrgID) error {
	o, err := organizationToRun(ctx, tx, actor, id)
	switch {
	case err != nil:
		return err
	case !o.DeletedAt.IsZero():
		return ErrOrganizationDeleted
	case o.SuspendedAt.IsZero():
		return ErrStillOpen
	}
	return o.setDeleted(ctx, tx, actor, tx.Now(), "organization.deleted")
}

// RestoreOrganization takes a deletion back. The organization stays suspended.
func RestoreOrganization(ctx context.Context, tx *db.Tx, actor Actor, id OrgID) error {
	o, err := organizationToRun(ctx, tx, actor, id)
	if err == nil && o.DeletedAt.IsZero() {
		err = ErrOrganizationNotDeleted
	}
	if err == nil && !tx.Now().Before(o.RemovedAt()) {
		err = ErrNotFound // it is being removed
	}
	if err != nil {
		return err
	}
	return o.setDeleted(ctx, tx, actor, time.Time{}, "organization.restored")
}

func organizationToRun(ctx context.Context, tx *db.Tx, actor Actor, id OrgID) (Organization, error) {
	if err := actor.MayRun(ctx, tx); err != nil {
		return Organization{}, err
	}
	return OrganizationByID(ctx, tx, id)
}

func (o Organization) setDeleted(ctx context.Context, tx *db.Tx, actor Actor, at time.Time, action audit.Action) error {
	if _, err := tx.Exec(ctx, `update organizations set deleted_at = $1 where id = $2`, db.Time(at), string(o.ID)); err != nil {
		return err
	}
	own := actor.Event(o.ID, action)
	own.Target, own.TargetName, own.After = string(o.ID), o.DisplayName, audit.Fields{"short_name": o.ShortName}
	kept := own
	kept.OrgID = ""
	return audit.RecordAll(ctx, tx, []audit.Event{own, kept})
}

// OrganizationsToRemove lists the deleted organizations that can be restored no longer.
func OrganizationsToRemove(ctx context.Context, r db.Reader) ([]Organization, error) {
	return db.List(ctx, r, (*Organization).Targets, `
		select `+OrganizationColumns+` from organizations o where o.deleted_at <= $1 order by o.deleted_at, o.id`, db.Time(r.Now().Add(-OrganizationRestorableFor)))
}

// RemoveOrganization removes the row of a deleted organization of which nothing else is left, and
// records its end in the installation's log. Its short name stays kept from others for as
// long as one that was given up.
func RemoveOrganization(ctx context.Context, tx *db.Tx, o Organization) error {
	if _, err := tx.Exec(ctx, `
		insert into former_short_names (short_name_key, short_name_skeleton, org_id, ends_at)
		select short_name_key, short_name_skeleton, id, cast($1 as bigint)
		from organizations
		where id = $2
		on conflict (short_name_key) do update set org_id = excluded.org_id, ends_at = excluded.ends_at`,
		db.Time(tx.Now().Add(FormerShortName)), string(o.ID)); err != nil {
		return fmt.Errorf("keeping the name of %s: %w", o.ID, err)
	}
	if _, err := tx.Exec(ctx, `delete from organizations where id = $1`, string(o.ID)); err != nil {
		return fmt.Errorf("removing %s: %w", o.ID, err)
	}
	e := System("").Event("", "organization.removed")
	e.Target, e.TargetName = string(o.ID), o.DisplayName
	e.After = audit.Fields{"short_name": o.ShortName, "deleted_at": o.DeletedAt.UTC().Format(time.RFC3339)}
	return audit.Record(ctx, tx, e)
}
