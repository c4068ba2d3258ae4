package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"parvis/cmd/parvis/tenant"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/op"
	"parvis/internal/outbound"
)

// applicationCommands are what the operator does with applications: with those of the
// installation, which nobody else can change, and with any organization's.
type applicationCommands struct {
	Add    addApplicationCommand    `cmd:"" help:"Register an application, and print its secret once."`
	List   listApplicationsCommand  `cmd:"" help:"List applications."`
	Show   showApplicationCommand   `cmd:"" help:"Print the settings of an application."`
	Set    setApplicationCommand    `cmd:"" help:"Change settings of an application: only those that a flag names."`
	Secret secretCommands           `cmd:"" help:"Add, list and remove secrets: two work while an application changes to the new one."`
	Place  placeApplicationCommand  `cmd:"" help:"Decide who in an organization sees an application, and whether people are asked."`
	Remove removeApplicationCommand `cmd:"" help:"Remove an application: nobody can sign in to it any more."`
}

type secretCommands struct {
	Add    addSecretCommand    `cmd:"" help:"Make another secret, and print it once."`
	List   listSecretsCommand  `cmd:"" help:"List secrets, without showing them."`
	Remove removeSecretCommand `cmd:"" help:"Remove one of two secrets, which stops working at once."`
}

// ownerFlags say whose applications are meant.
type ownerFlags struct {
	storageFlags
	Organization string `placeholder:"NAME" help:"Short name of the organization whose application it is. Without it, the whole installation's."`
}

// owner returns that organization, or the zero one for the installation.
func (f ownerFlags) owner(ctx context.Context, tx *db.Tx) (directory.Organization, error) {
	if f.Organization == "" {
		return directory.Organization{}, nil
	}
	org, err := directory.OrganizationByName(ctx, tx, f.Organization)
	if errors.Is(err, directory.ErrNotFound) {
		err = tenant.Unknown(f.Organization)
	}
	return org, err
}

// checkReach refuses an address of an organization's application that would never be called.
func (f ownerFlags) checkReach(p *program, st *storage, s application.Settings) error {
	if f.Organization == "" {
		return nil
	}
	return application.CheckReach(p.ctx, outbound.New(st.plan.allow), s)
}

// applicationFlags name one application.
type applicationFlags struct {
	ownerFlags
	ID string `arg:"" help:"Its client ID."`
}

// find finds the application, as its organization has it if one was named.
func (f applicationFlags) find(ctx context.Context, tx *db.Tx) (application.Placed, directory.Organization, error) {
	org, err := f.owner(ctx, tx)
	if err != nil {
		return application.Placed{}, org, err
	}
	a, err := application.ByID(ctx, tx, directory.Operator(), org.ID, application.ID(f.ID))
	if errors.Is(err, application.ErrUnknown) {
		err = fmt.Errorf("there is no application %q here: 'parvis application list' shows those of the installation, "+
			"with --organization NAME those of an organization too", f.ID)
	}
	return a, org, err
}

// view reads an application in one transaction.
func (f applicationFlags) view(p *program, read func(*db.Tx, application.Placed, directory.Organization) error) error {
	return f.with(p.onOlder(), func(s *storage) error {
		return s.db.View(p.ctx, func(tx *db.Tx) error {
			a, org, err := f.find(p.ctx, tx)
			if err != nil {
				return err
			}
			return read(tx, a, org)
		})
	})
}

// update changes an application in one transaction. If an organization is named, the
// application must be its own, so that nobody else's is changed by mistake.
func (f applicationFlags) update(p *program, do func(*db.Tx, application.Application) error) error {
	return f.with(p, func(s *storage) error {
		return s.db.Update(p.ctx, func(tx *db.Tx) error {
			a, org, err := f.find(p.ctx, tx)
			if err == nil && a.OrgID != org.ID {
				err = fmt.Errorf("%s is the whole installation's: leave --organization out, or decide with 'parvis application place' how %s has it",
					a.ID, org.DisplayName)
			}
			if err != nil {
				return err
			}
			return do(tx, a.Application)
		})
	})
}

type addApplicationCommand struct {
	ownerFlags
	settingFlags
	Kind application.Kind `default:"web" enum:"web,single_page,native,machine,link" help:"What it runs on: ${enum}; a link is a tile and nothing else."`
	ID   string           `placeholder:"ID" help:"Client ID of your choice: small letters, digits, _ and -. Unless set, a new one is made."`
}

// Run registers an application with what its kind is usually given.
func (c *addApplicationCommand) Run(p *program) error {
	s := application.Defaults(c.Kind)
	c.apply(&s)
	return c.with(p, func(st *storage) error {
		if err := c.checkReach(p, st, s); err != nil {
			return err
		}
		var client application.Application
		var shown, whose string
		if err := st.db.Update(p.ctx, func(tx *db.Tx) error {
			org, err := c.owner(p.ctx, tx)
			if err != nil {
				return err
			}
			whose = ownerOf(org)
			client, shown, err = application.Register(p.ctx, tx, directory.Operator(), st.plan.issuer, application.Application{ID: application.ID(c.ID), OrgID: org.ID, Kind: c.Kind, Settings: s})
			return err
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "Registered %s for %s.\nClient ID: %s\n", client.Settings.Name, whose, client.ID)
		if shown != "" {
			showSecret(p.out, shown)
		}
		tellDeveloper(p.out, client, st.plan.issuer)
		return nil
	})
}

// tellDeveloper prints what to enter in the application, and what is missing here.
func tellDeveloper(w io.Writer, c application.Application, issuer string) {
	if c.Kind == application.Link {
		return
	}
	fmt.Fprintln(w, "Enter in the application, where it does not find the others by the first two:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range op.Endpoints(cmp.Or(issuer, "PUBLIC-ADDRESS")) {
		fmt.Fprintf(table, "  %s\t%s\n", e.Name, e.Address)
	}
	table.Flush() //nolint:errcheck // As with every other line, the reader may have gone.
	if c.Code() && len(c.Settings.RedirectURIs) == 0 {
		fmt.Fprintf(w, "It has no redirect address, so nobody can sign in to it yet: parvis application set %s --redirect-uri URL\n", c.ID)
	}
}

func ownerOf(org directory.Organization) string {
	return cmp.Or(org.DisplayName, "the whole installation")
}

type listApplicationsCommand struct{ ownerFlags }

// Run lists the installation's applications, or all that an organization has.
func (c *listApplicationsCommand) Run(p *program) error {
	return c.with(p.onOlder(), func(s *storage) error {
		return s.db.View(p.ctx, func(tx *db.Tx) error {
			org, err := c.owner(p.ctx, tx)
			if err != nil {
				return err
			}
			all, err := application.Of(p.ctx, tx, directory.Operator(), org.ID)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(p.out, "No application yet.")
				return nil
			}
			return listApplications(p.ctx, p.out, tx, org, all)
		})
	})
}

func listApplications(ctx context.Context, w io.Writer, r db.Reader, org directory.Organization, all []application.Placed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if org.ID == "" {
		fmt.Fprintln(table, "ID\tNAME\tKIND\tSTATE")
	} else {
		fmt.Fprintln(table, "ID\tNAME\tKIND\tSTATE\tFOR\tPEOPLE ARE ASKED")
	}
	for _, a := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s", a.ID, a.Settings.Name, a.Kind, stateOf(a.Application))
		if org.ID != "" {
			audience, err := audienceOf(ctx, r, org, a.Place)
			if err != nil {
				return err
			}
			fmt.Fprintf(table, "\t%s\t%s", audience, asksOf(a))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// stateOf returns the state of an application's tile.
func stateOf(c application.Application) string {
	switch {
	case c.Kind == application.Machine:
		return "no tile"
	case c.Target() == "":
		return "no address yet"
	case !c.FailedAt.IsZero():
		return "nobody answers since " + c.FailedAt.Format(time.DateOnly)
	}
	return c.Target()
}

type showApplicationCommand struct{ applicationFlags }

// Run prints settings as the flags that 'set' takes.
func (c *showApplicationCommand) Run(p *program) error {
	return c.view(p, func(tx *db.Tx, a application.Placed, org directory.Organization) error {
		if a.OrgID != org.ID {
			org = directory.Organization{}
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "client ID\t%s\nof\t%s\nkind\t%s\nstate\t%s\n", a.ID, ownerOf(org), a.Kind, stateOf(a.Application))
		for _, t := range flagged {
			for _, value := range flagValues(t, a.Settings) {
				fmt.Fprintf(table, "--%s\t%s\n", t.Flag, value)
			}
		}
		channels, err := op.Channels(p.ctx, tx)
		if err != nil {
			return err
		}
		if t := channels[a.ID]; t.Waiting > 0 || !t.TriedAt.IsZero() {
			fmt.Fprintf(table, "told of ended sessions\t%s\n", channelOf(t))
		}
		return table.Flush()
	})
}

// channelOf says how an application answers on its back channel.
func channelOf(t op.Channel) string {
	var parts []string
	switch {
	case t.Failing():
		parts = append(parts, fmt.Sprintf("failed at %s: %s", t.TriedAt.Format(time.DateTime), replyOf(t)))
	case !t.TriedAt.IsZero():
		parts = append(parts, "last at "+t.TriedAt.Format(time.DateTime)+", answered as it should")
	}
	if t.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting, next try at %s", t.Waiting, t.NextTry.Format(time.DateTime)))
	}
	return strings.Join(parts, "; ")
}

func replyOf(t op.Channel) string {
	if key := t.ReplyKey(); key != "" {
		return inEnglish(fault.New(fault.Conflict, key))
	}
	return "it answered " + t.Reply
}

type setApplicationCommand struct {
	applicationFlags
	settingFlags
}

// Run changes what flags name, and nothing else.
func (c *setApplicationCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	var named application.Settings
	if !c.apply(&named) {
		return errors.New("no setting was named: 'parvis application set --help' lists those that can be changed")
	}
	if err := c.with(p, func(st *storage) error {
		return c.checkReach(p, st, named)
	}); err != nil {
		return err
	}
	var changed application.Application
	if err := c.update(p, func(tx *db.Tx, client application.Application) error {
		s := client.Settings
		if c.apply(&s); s.Auth != application.PrivateKey && (len(named.Keys) > 0 || named.KeysURL != "") {
			return fmt.Errorf("--keys and --keys-url are for an application that proves itself with a key of its own: add --auth %s", application.PrivateKey)
		}
		changed, err = application.Change(p.ctx, tx, directory.Operator(), plan.issuer, client, s)
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s was changed.\n", changed.Settings.Name)
	return nil
}

type removeApplicationCommand struct{ applicationFlags }

// Run removes an application and everything that it was given.
func (c *removeApplicationCommand) Run(p *program) error {
	var name string
	if err := c.update(p, func(tx *db.Tx, client application.Application) error {
		name = client.Settings.Name
		return application.Remove(p.ctx, tx, directory.Operator(), client)
	}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s was removed, and what it was given no longer works.\n", name)
	return nil
}

type addSecretCommand struct{ applicationFlags }

// Run makes a second secret beside the one in use.
func (c *addSecretCommand) Run(p *program) error {
	var shown string
	if err := c.update(p, func(tx *db.Tx, client application.Application) (err error) {
		_, shown, err = application.AddSecret(p.ctx, tx, directory.Operator(), client)
		return err
	}); err != nil {
		return err
	}
	showSecret(p.out, shown)
	return nil
}

type listSecretsCommand struct{ applicationFlags }

// Run lists secrets, oldest first, so that one can see which are still used.
func (c *listSecretsCommand) Run(p *program) error {
	return c.view(p, func(tx *db.Tx, a application.Placed, _ directory.Organization) error {
		all, err := application.Secrets(p.ctx, tx, directory.Operator(), a.Application)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			fmt.Fprintln(p.out, "No secret.")
			return nil
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "SECRET\tCREATED\tLAST USED")
		for _, one := range all {
			used := "never"
			if !one.UsedAt.IsZero() {
				used = one.UsedAt.Format(time.DateOnly)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\n", one.ID, one.CreatedAt.Format(time.DateOnly), used)
		}
		return table.Flush()
	})
}

type removeSecretCommand struct {
	applicationFlags
	Secret string `arg:"" help:"Its id, as 'parvis application secret list' shows it."`
}

// Run removes a secret; the last one cannot be removed.
func (c *removeSecretCommand) Run(p *program) error {
	if err := c.update(p, func(tx *db.Tx, client application.Application) error {
		return application.RemoveSecret(p.ctx, tx, directory.Operator(), client, c.Secret)
	}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s no longer works.\n", c.Secret)
	return nil
}

func showSecret(w io.Writer, shown string) {
	fmt.Fprintf(w, "Client secret: %s\nIt is shown this once: keep it where the application reads it.\n", shown)
}
