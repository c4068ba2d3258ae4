package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// operatorCommands decide which applications of the installation may act for the operator, by the
// API.
type operatorCommands struct {
	Grant grantOperatorCommand `cmd:"" help:"Let an application of the installation act for the operator, or replace its right."`
	List  listOperatorsCommand `cmd:"" help:"List the applications that may act for the operator."`
	End   endOperatorCommand   `cmd:"" help:"End such a right at once."`
}

type grantOperatorCommand struct {
	storageFlags
	ID    string        `arg:"" help:"Client id of an application of the installation that proves itself by private_key_jwt."`
	Scope []string      `required:"" placeholder:"SCOPE" help:"parvis.operator.read and parvis.operator.write reach the installation; all others, such as parvis.people.read, one organization at a time."`
	Role  string        `default:"auditor" help:"How far it reaches within an organization: administrator, helpdesk or auditor."`
	Lasts time.Duration `default:"2160h" help:"For how long, a year at most."`
}

// Run gives the right.
func (c *grantOperatorCommand) Run(p *program) error {
	scopes := make([]access.Scope, len(c.Scope))
	for i, s := range c.Scope {
		scopes[i] = access.Scope(s)
	}
	return c.with(p, func(s *storage) error {
		var o access.Operator
		err := s.db.Update(p.ctx, func(tx *db.Tx) (err error) {
			o, err = access.GrantOperator(p.ctx, tx, directory.Operator(), application.ID(c.ID), access.Right{Scopes: scopes, Role: directory.Role(c.Role), Lasts: c.Lasts})
			return err
		})
		if err == nil {
			fmt.Fprintf(p.out, "%s may act for the operator until %s.\n", o.Name, o.EndsAt.Format(time.DateOnly))
		}
		return err
	})
}

type listOperatorsCommand struct{ storageFlags }

// Run lists the rights.
func (c *listOperatorsCommand) Run(p *program) error {
	return c.with(p.onOlder(), func(s *storage) error {
		all, err := access.Operators(p.ctx, s.db, directory.Operator())
		if err != nil {
			return err
		}
		if len(all) == 0 {
			fmt.Fprintln(p.out, "No application acts for the operator.")
			return nil
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "CLIENT\tNAME\tROLE\tENDS\tLAST USED\tSCOPES")
		for _, o := range all {
			used, ends := "never", o.EndsAt.Format(time.DateOnly)
			if !o.UsedAt.IsZero() {
				used = o.UsedAt.Format(time.DateOnly) + " from " + o.Network
			}
			if o.Over {
				ends = "over"
			}
			scopes := make([]string, len(o.Scopes))
			for i, s := range o.Scopes {
				scopes[i] = string(s)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", o.Client, o.Name, o.Role, ends, used, strings.Join(scopes, " "))
		}
		return table.Flush()
	})
}

type endOperatorCommand struct {
	storageFlags
	ID string `arg:"" help:"Its client id, as 'parvis operator list' shows it."`
}

// Run ends the right.
func (c *endOperatorCommand) Run(p *program) error {
	return c.with(p, func(s *storage) error {
		if err := s.db.Update(p.ctx, func(tx *db.Tx) error {
			return access.EndOperator(p.ctx, tx, directory.Operator(), application.ID(c.ID))
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s no longer acts for the operator.\n", c.ID)
		return nil
	})
}
