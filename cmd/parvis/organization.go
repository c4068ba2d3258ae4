package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"parvis/cmd/parvis/tenant"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/region"
	"parvis/internal/secret"
)

// organizationCommands are what the operator does with organizations. They work on the
// database, so they take effect at once whether or not a server runs.
type organizationCommands struct {
	Create  createCommand  `cmd:"" help:"Create an organization and invite its owner by mail."`
	List    listCommand    `cmd:"" help:"List all organizations."`
	Suspend suspendCommand `cmd:"" help:"Close an organization: nobody gets in any more, nothing is lost."`
	Resume  resumeCommand  `cmd:"" help:"Open a suspended organization again."`
	Delete  deleteCommand  `cmd:"" help:"Remove a suspended organization and everything in it, 30 days from now."`

	Restore restoreOrganizationCommand `cmd:"" help:"Take a deletion back before those days are over."`
}

type createCommand struct {
	addressFlags
	Name      string `arg:"" help:"Name as people know it, such as 'Meridian Freight'."`
	ShortName string `required:"" placeholder:"NAME" help:"Name as it stands in addresses, such as meridian."`
	Owner     string `required:"" placeholder:"ADDRESS" help:"E-mail address of the owner."`
	Language  string `default:"en" help:"Language of letters to people whose own is not known."`

	Unreachable []string `placeholder:"REGION" help:"Do not ask this region whether it has the names. They are compared later: see 'parvis region checks'."`
}

// Run creates and invites in one transaction. The link goes to the owner's mailbox and nowhere
// else: the address is proved by the owner's reading it.
func (c *createCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	language, err := knownLanguage(c.Language)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.quiet()
		if err != nil {
			return err
		}
		if err := freeElsewhere(p, a.Regions, c); err != nil {
			return err
		}
		var org directory.Organization
		var invitation directory.Invitation
		if err := s.db.Update(p.ctx, func(tx *db.Tx) (err error) {
			org, err = directory.CreateOrganization(p.ctx, tx, directory.Operator(), directory.NewOrganization{
				DisplayName: c.Name, ShortName: c.ShortName, Language: language,
			})
			if err != nil {
				return err
			}
			invitation, err = a.Invitations.Send(p.ctx, tx, directory.Operator(), org, directory.NewInvitation{
				Email: c.Owner, Role: directory.Owner, Language: language,
			})
			return err
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "Created %s. Its page is %s%s\n", org.DisplayName, plan.base, org.Path())
		fate, err := s.letterFate(p.ctx, invitation)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.out, "The invitation to %s %s.\n", invitation.Email, fate)
		return nil
	})
}

// freeElsewhere asks every other region whether it has the names.
func freeElsewhere(p *program, regions *region.Service, c *createCommand) error {
	for _, id := range c.Unreachable {
		if !slices.ContainsFunc(regions.Peers, func(r region.Peer) bool { return r.ID == id }) {
			return fmt.Errorf("--unreachable names %q, which is none of the other regions with a key in region_keys", id)
		}
	}
	err := regions.Free(p.ctx, c.Name, c.ShortName, c.Unreachable...)
	if unasked, ok := errors.AsType[*fault.Error](err); ok && errors.Is(err, region.ErrUnasked) {
		return fmt.Errorf("%s\nTo create it although a region cannot be asked, name that with --unreachable REGION. 'parvis doctor' says what is wrong with it", inEnglish(unasked))
	}
	return err
}

// How long a running server usually needs to send a letter.
const (
	sendsWithin = 3 * time.Second
	lookEvery   = 100 * time.Millisecond
)

// letterFate says what became of the owner's letter, and waits a moment for it if a server
// runs.
func (s *storage) letterFate(ctx context.Context, i directory.Invitation) (string, error) {
	if s.plan.smtp == nil {
		return "waits in the outbox: no mail server is configured ([mail] address)", nil
	}
	runs, err := s.serverRuns(ctx)
	if err != nil {
		return "", err
	}
	if !runs {
		return "waits in the outbox: no server is running. 'parvis serve' sends it", nil
	}
	for range sendsWithin / lookEvery {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(lookEvery):
		}
		now, err := directory.InvitationByID(ctx, s.db, directory.Operator(), i.OrgID, i.ID)
		switch {
		case err != nil:
			return "", err
		case !now.Letter.SentAt.IsZero():
			return "was sent", nil
		case now.Letter.Refused():
			return "was refused by the mail server (" + string(now.Letter.Answer) + "): " + means(now.Letter.Answer), nil
		}
	}
	return "waits in the outbox and has not been sent yet. 'parvis doctor' shows whether the mail server can be used", nil
}

// means returns the meaning of a mail server's answer.
func means(a mail.Answer) string {
	catalogue, err := i18n.Load()
	if err != nil || a.Key() == "" {
		return "no reason is known"
	}
	return strings.TrimSuffix(catalogue.In("en").Text(a.Key()), ".")
}

// serverRuns reports whether a server does the repeated work. One that was killed counts for
// another half a minute, until its lease ends.
func (s *storage) serverRuns(ctx context.Context) (bool, error) {
	free, err := s.db.Lease(ctx, "letters", secret.NewID("node"), 0)
	return !free, err
}

func knownLanguage(typed string) (i18n.Tag, error) {
	catalogue, err := i18n.Load()
	if err != nil {
		return "", err
	}
	tag, ok := catalogue.Known(typed)
	if ok {
		return tag, nil
	}
	var known []string
	for _, l := range catalogue.Languages() {
		known = append(known, string(l.Tag))
	}
	return "", fmt.Errorf("there is no language %q: choose one of %s", typed, strings.Join(known, ", "))
}

type listCommand struct{ storageFlags }

// Run lists organizations, oldest first.
func (c *listCommand) Run(p *program) error {
	return c.with(p.onOlder(), func(s *storage) error {
		all, err := directory.Organizations(p.ctx, s.db)
		if err != nil {
			return err
		}
		return tenant.List(p.out, all)
	})
}

// with opens an installation for a command that need not know the public address.
func (f storageFlags) with(p *program, work func(*storage) error) error {
	plan, err := f.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, work)
}

type suspendCommand struct {
	storageFlags
	ShortName string `arg:"" help:"Its short name."`
}

// Run suspends an organization, for every server on this database at once.
func (c *suspendCommand) Run(p *program) error {
	return c.tenants(p, func(at tenant.At) error {
		return tenant.Do(at, c.ShortName, directory.Suspend, "suspended. Nobody can use it any more; 'parvis organization resume' opens it again")
	})
}

type resumeCommand suspendCommand

// Run opens a suspended organization again.
func (c *resumeCommand) Run(p *program) error {
	return c.tenants(p, func(at tenant.At) error { return tenant.Do(at, c.ShortName, directory.Resume, "open again") })
}

type restoreOrganizationCommand suspendCommand

// Run takes a deletion back.
func (c *restoreOrganizationCommand) Run(p *program) error {
	return c.tenants(p, func(at tenant.At) error {
		return tenant.Do(at, c.ShortName, directory.RestoreOrganization, "restored, and suspended as before; 'parvis organization resume' opens it")
	})
}

type deleteCommand struct {
	suspendCommand
	Yes bool `help:"Do not ask."`
}

// Run marks an organization as deleted.
func (c *deleteCommand) Run(p *program) error {
	return c.tenants(p, func(at tenant.At) error { return tenant.Delete(at, c.ShortName, c.Yes) })
}

// tenants calls work with what changes organizations that are there.
func (f storageFlags) tenants(p *program, work func(tenant.At) error) error {
	return f.with(p, func(s *storage) error {
		return work(tenant.At{Context: p.ctx, DB: s.db, In: os.Stdin, Out: p.out, By: whoRestores()})
	})
}
