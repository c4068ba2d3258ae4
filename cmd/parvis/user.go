package main

import (
	"errors"
	"fmt"

	"parvis/cmd/parvis/tenant"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
)

// userCommands are what the operator does for single people: only what nobody in their
// organization can do.
type userCommands struct {
	ResetSecondStep resetSecondStepCommand `cmd:"" name:"reset-second-step" help:"Remove every second step of a person: the last owner's way back."`
}

type resetSecondStepCommand struct {
	addressFlags
	Organization string `arg:"" help:"Short name of the organization."`
	Address      string `arg:"" help:"E-mail address of the person."`
	Reason       string `required:"" placeholder:"TEXT" help:"Who asked, and how you made sure, for the organization's audit log."`
}

// Run resets the second step as an administrator of the organization could.
func (c *resetSecondStepCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	address, err := naming.ParseAddress(c.Address)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.quiet()
		if err != nil {
			return err
		}
		var who directory.Candidate
		if err := s.db.Update(p.ctx, func(tx *db.Tx) error {
			org, err := directory.OrganizationByName(p.ctx, tx, c.Organization)
			if errors.Is(err, directory.ErrNotFound) {
				return tenant.Unknown(c.Organization)
			}
			if err != nil {
				return err
			}
			found, err := directory.Candidates(p.ctx, tx, address, org.ID, 1)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				return fmt.Errorf("nobody who may sign in to %s has the address %s", org.DisplayName, address.Text)
			}
			who = found[0]
			return a.Site.SignIn.ResetSecondStep(p.ctx, tx, directory.Operator(), org, who.User.ID, c.Reason)
		}); err != nil {
			return err
		}
		letter := "says so"
		if plan.smtp == nil {
			letter = "waits in the outbox: no mail server is configured ([mail] address)"
		}
		fmt.Fprintf(p.out, "%s has no second step at %s any more, and every session has ended. The e-mail to %s %s.\n",
			who.User.Name, who.Organization.DisplayName, who.User.Email, letter)
		return nil
	})
}
