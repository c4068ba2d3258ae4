package intake

import (
	"context"
	"maps"
	"slices"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// endUndo closes the organizations that the import made and in which nobody is left, and records
// what was undone.
func (s *Service) endUndo(ctx context.Context, id string, gone map[directory.OrgID]int) (u Undone, err error) {
	made, err := db.List(ctx, s.DB, db.Value[directory.OrgID], `select org_id from import_organizations where import_id = $1 order by org_id`, id)
	if err != nil {
		return Undone{}, err
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		u = Undone{}
		for _, org := range made {
			o, err := directory.OrganizationByID(ctx, tx, org)
			if err != nil {
				return err
			}
			left, err := tx.One(ctx, db.Into(new(string)), `select id from users where org_id = $1 and deleted_at is null limit 1`, string(org))
			if err != nil {
				return err
			}
			if left || !o.SuspendedAt.IsZero() {
				continue
			}
			if err := directory.Suspend(ctx, tx, directory.Operator(), org); err != nil {
				return err
			}
			u.Suspended = append(u.Suspended, o.ShortName)
		}
		for _, org := range slices.Sorted(maps.Keys(gone)) {
			u.Gone += gone[org]
			e := directory.Operator().Event(org, "people.import_undone")
			e.Target = string(org)
			e.After = audit.Fields{"import": id, "people": gone[org]}
			if err := audit.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `update imports set undone_at = $1 where id = $2`, db.Time(tx.Now()), id)
		return err
	})
	return u, err
}
