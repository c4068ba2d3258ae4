package access

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
)

// Sweeper does the repeated work on tokens and rights.
type Sweeper struct {
	Outbox *mail.Outbox
	Base   string // the public address, without a slash at its end
}

// Sweep removes tokens and rights that ended a while ago, and lets rights rest whose givers can no
// longer answer for them.
func (s Sweeper) Sweep(ctx context.Context, d *db.DB) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		since := db.Time(tx.Now().Add(-keptFor))
		if _, err := tx.Exec(ctx, `delete from api_tokens where ends_at < $1`, since); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from machine_rights where ends_at < $1`, since); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from operator_rights where ends_at < $1`, since); err != nil {
			return err
		}
		all, err := db.List(ctx, tx, (*Machine).targets, `
			select `+machineColumns+machineJoins+`
			where m.rests_at is null`)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m = m.at(tx.Now()); m.Over || !m.unbacked() {
				continue
			}
			if err := s.rest(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// rest stores that a right rests, so that it goes on resting if its giver comes back, and writes
// to every owner and administrator.
func (s Sweeper) rest(ctx context.Context, tx *db.Tx, m Machine) error {
	if _, err := tx.Exec(ctx, `
		update machine_rights set rests_at = $1
		where org_id = $2 and client_id = $3`, db.Time(tx.Now()), string(m.OrgID), string(m.Client)); err != nil {
		return err
	}
	org, err := directory.OrganizationByID(ctx, tx, m.OrgID)
	if err != nil {
		return err
	}
	administrators, err := directory.Administrators(ctx, tx, m.OrgID)
	if err != nil {
		return err
	}
	for _, u := range administrators {
		if _, err := s.Outbox.Put(ctx, tx, u.Letter(mail.MachineRestsParameters{
			Organization: org.DisplayName, Name: u.Name, Machine: m.Name, Giver: m.Giver,
			Link: s.Base + org.Path("admin", "access", "machines", string(m.Client)),
		})); err != nil {
			return err
		}
	}
	return audit.Record(ctx, tx, m.event(directory.System(m.OrgID), "machine.rests"))
}
