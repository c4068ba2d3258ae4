package main

import (
	"errors"
	"fmt"

	"parvis/cmd/parvis/tenant"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

// sourceCommands are what the operator does with customers' directories. Administrators have the
// console for their own.
type sourceCommands struct {
	Create createSourceCommand `cmd:"" help:"Add a directory to an organization and print its address and token: for test suites and first installations."`
}

type createSourceCommand struct {
	addressFlags
	ShortName  string `arg:"" name:"organization" help:"Short name of the organization."`
	Name       string `arg:"" help:"Name as administrators will see it, such as Entra."`
	Provider   string `default:"other" enum:"entra,okta,onelogin,jumpcloud,google,ping,other" placeholder:"NAME" help:"Whose guide the console shows: entra, okta, onelogin, jumpcloud, google, ping or other."`
	Connection string `placeholder:"ID" help:"Connection that its people come in by."`
	Invites    bool   `help:"Invite people whom no single sign-on lets in."`
	On         bool   `help:"Let it act at once. Without it, it only watches."`
	NoBrake    bool   `help:"Never hold what it deletes, and take people without an address. For test suites; the console shows it in red."`
}

// Run makes the source and its token in one transaction. The token is printed once and stored
// nowhere as text.
func (c *createSourceCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.quiet()
		if err != nil {
			return err
		}
		var source provisioning.Source
		var token string
		if err := s.db.Update(p.ctx, func(tx *db.Tx) error {
			org, err := directory.OrganizationByName(p.ctx, tx, c.ShortName)
			if errors.Is(err, directory.ErrNotFound) {
				return tenant.Unknown(c.ShortName)
			}
			if err != nil {
				return err
			}
			operator := directory.Operator()
			source, err = a.Sources.Create(p.ctx, tx, operator, org.ID, provisioning.Settings{Name: c.Name, Provider: provisioning.Provider(c.Provider), ConnectionID: c.Connection, Invites: c.Invites}, !c.NoBrake)
			if err == nil && c.On {
				err = a.Sources.Turn(p.ctx, tx, operator, org.ID, source.ID, provisioning.On)
			}
			if err != nil {
				return err
			}
			_, token, err = a.Sources.Issue(p.ctx, tx, operator, org.ID, source.ID)
			return err
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s/scim/v2/%s\n%s\n", plan.base, source.ID, token)
		return nil
	})
}
