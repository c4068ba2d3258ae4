// Package purge removes what is left of organizations that the operator deleted. It has no table: it
// empties all that have rows of an organization, as the schema says, through db (decision 0092).
package purge

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// left lists the tables of which Sweep removes no rows of an organization by itself.
var left = map[string]string{
	"audit_events":       "audit removes a log in its order",
	"audit_logs":         "as its events",
	"audit_tiles":        "as its events",
	"audit_checkpoints":  "as its events",
	"audit_keys":         "as its events",
	"audit_epochs":       "as its events",
	"audit_days":         "as its events",
	"former_short_names": "names that it gave up, and then its last one, are kept from others for 90 days each",
}

// Sweeper removes organizations.
type Sweeper struct {
	Logs *audit.Logs
	Log  *slog.Logger
}

// Sweep removes the deleted organizations that can be restored no longer. Each transaction is small,
// so that nobody waits for it. One that is cut short goes on where it stopped.
func (s Sweeper) Sweep(ctx context.Context, d *db.DB) error {
	all, err := directory.OrganizationsToRemove(ctx, d)
	if err != nil || len(all) == 0 {
		return err
	}
	tables, err := ofOrganizations(ctx, d)
	if err != nil {
		return err
	}
	for _, o := range all { // one whose log was altered, and stays, keeps no other
		err = errors.Join(err, s.remove(ctx, d, o, tables))
	}
	return err
}

// ofOrganizations lists the tables that have rows of organizations, each before those that its foreign
// keys name.
func ofOrganizations(ctx context.Context, d *db.DB) (tables []db.Table, err error) {
	err = d.View(ctx, func(tx *db.Tx) error {
		tables, err = tx.Tables(ctx)
		return err
	})
	tables = slices.DeleteFunc(tables, func(t db.Table) bool { return !t.OfOrganizations() || left[t.Name] != "" })
	slices.Reverse(tables)
	return tables, err
}

func (s Sweeper) remove(ctx context.Context, d *db.DB, o directory.Organization, tables []db.Table) error {
	// A hand in the database can mark any organization. Its log cannot be given a deletion of a month ago,
	// so nothing goes before the log has one.
	said, err := s.Logs.SaysDeleted(ctx, d, string(o.ID), d.Now().Add(-directory.OrganizationRestorableFor))
	if err != nil || !said {
		return err
	}
	for _, t := range tables {
		if err := d.EmptyOf(ctx, t, string(o.ID)); err != nil {
			return err
		}
	}
	if err := s.Logs.Remove(ctx, d, string(o.ID)); err != nil {
		return err
	}
	if err := finish(ctx, d, o, tables); err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "a deleted organization was removed", "organization", string(o.ID), "short_name", o.ShortName, "deleted_at", o.DeletedAt)
	return nil
}

// finish removes an organization of which nothing else is left but what was written meanwhile.
func finish(ctx context.Context, d *db.DB, o directory.Organization, tables []db.Table) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		for _, t := range tables {
			if _, err := tx.RemoveOf(ctx, t, string(o.ID), db.Part); err != nil {
				return err
			}
		}
		if err := audit.RemoveLate(ctx, tx, string(o.ID)); err != nil {
			return err
		}
		return directory.RemoveOrganization(ctx, tx, o)
	})
}

// Contents is how much of what people know of an organization is removed with it.
type Contents struct{ People, Groups, Applications, Connections, Domains, Directories, Webhooks, Events int64 }

// Of counts what an organization has.
func Of(ctx context.Context, tx *db.Tx, org directory.OrgID) (c Contents, err error) {
	for _, x := range []struct {
		table string
		n     *int64
	}{
		{"users", &c.People}, {"groups", &c.Groups}, {"clients", &c.Applications}, {"connections", &c.Connections}, {"domains", &c.Domains},
		{"sources", &c.Directories}, {"webhooks", &c.Webhooks}, {"audit_events", &c.Events},
	} {
		if err == nil {
			*x.n, err = tx.Count(ctx, x.table, "org_id = $1", string(org))
		}
	}
	return c, err
}
