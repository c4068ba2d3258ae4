package main

import (
	"context"
	"errors"

	"parvis/cmd/parvis/tenant"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

type auditCommands struct {
	Export auditExportCommand `cmd:"" help:"Print an audit log, whole and as JSON Lines, for 'auditverify' and 'parvis restore --audit'."`
}

type auditExportCommand struct {
	addressFlags
	Organization string `arg:"" optional:"" help:"Short name of the organization. Without it the log of the installation."`
}

// Run records the export, as the console does, and prints what is sealed.
func (c *auditExportCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.quiet()
		if err != nil {
			return err
		}
		var org directory.Organization
		if c.Organization != "" {
			if org, err = directory.OrganizationByName(p.ctx, s.db, c.Organization); errors.Is(err, directory.ErrNotFound) {
				return tenant.Unknown(c.Organization)
			} else if err != nil {
				return err
			}
		}
		q := audit.Query{OrgID: string(org.ID)}
		if err := s.db.Update(p.ctx, func(tx *db.Tx) error {
			e := directory.Operator().Event(org.ID, "audit.exported")
			e.Target, e.After = string(org.ID), audit.Fields{"filter": q.Text(), "format": "jsonl", "search": ""}
			return audit.Record(p.ctx, tx, e)
		}); err != nil {
			return err
		}
		always := func(context.Context, db.Reader) error { return nil }
		return a.Audit.Export(p.ctx, s.db, audit.Export{Query: q, Into: p.out, Again: always})
	})
}
