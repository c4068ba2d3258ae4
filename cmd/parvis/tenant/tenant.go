// Package tenant is what 'parvis organization' does with one organization that is there: what it asks,
// and what it prints.
package tenant

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/purge"
)

// At is where a command works, and for whom.
type At struct {
	Context context.Context
	DB      *db.DB
	In      io.Reader
	Out     io.Writer
	By      string // who does it, as the audit log says
}

// actor is the operator, by name.
func (at At) actor() directory.Actor {
	a := directory.Operator()
	a.Name = at.By
	return a
}

// Unknown says that there is no organization with a short name.
func Unknown(shortName string) error {
	return fmt.Errorf("there is no organization with the short name %q: 'parvis organization list' shows all", shortName)
}

// List prints organizations.
func List(w io.Writer, all []directory.Organization) error {
	if len(all) == 0 {
		fmt.Fprintln(w, "No organization yet.")
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SHORT NAME\tNAME\tCREATED\tSTATE")
	for _, o := range all {
		state := "open"
		switch {
		case !o.DeletedAt.IsZero():
			state = "deleted, removed on " + o.RemovedAt().Format(time.DateOnly)
		case !o.SuspendedAt.IsZero():
			state = "suspended since " + o.SuspendedAt.Format(time.DateOnly)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", o.ShortName, o.DisplayName, o.CreatedAt.Format(time.DateOnly), state)
	}
	return table.Flush()
}

// A Change is a deed of the directory to an organization.
type Change func(context.Context, *db.Tx, directory.Actor, directory.OrgID) error

// Do does something to the organization with a short name, and prints what was done.
func Do(at At, shortName string, change Change, done string) error {
	var org directory.Organization
	err := at.DB.Update(at.Context, func(tx *db.Tx) (err error) {
		if org, err = directory.OrganizationByName(at.Context, tx, shortName); err != nil {
			return err
		}
		return change(at.Context, tx, at.actor(), org.ID)
	})
	if errors.Is(err, directory.ErrNotFound) {
		return Unknown(shortName)
	}
	if err == nil {
		fmt.Fprintf(at.Out, "%s is %s.\n", org.DisplayName, done)
	}
	return err
}

// Delete says what is removed with an organization, asks for its short name unless yes, and marks it as
// deleted.
func Delete(at At, shortName string, yes bool) error {
	var org directory.Organization
	var has purge.Contents
	err := at.DB.View(at.Context, func(tx *db.Tx) (err error) {
		if org, err = directory.OrganizationByName(at.Context, tx, shortName); err == nil {
			has, err = purge.Of(at.Context, tx, org.ID)
		}
		return err
	})
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return Unknown(shortName)
	case err != nil:
		return err
	case !org.DeletedAt.IsZero():
		return directory.ErrOrganizationDeleted
	case org.SuspendedAt.IsZero():
		return directory.ErrStillOpen
	}
	fmt.Fprintf(at.Out, "%s (%s) has\n", org.DisplayName, org.ShortName)
	table := tabwriter.NewWriter(at.Out, 0, 0, 1, ' ', tabwriter.AlignRight)
	for _, x := range []struct {
		n    int64
		what string
	}{
		{has.People, "people"}, {has.Groups, "groups"}, {has.Applications, "applications"}, {has.Connections, "connections"}, {has.Domains, "domains"},
		{has.Directories, "directories"}, {has.Webhooks, "webhooks"}, {has.Events, "events in its audit log"},
	} {
		fmt.Fprintf(table, "  %d\t\t%s\n", x.n, x.what)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	until := at.DB.Now().Add(directory.OrganizationRestorableFor).Format(time.DateOnly)
	fmt.Fprintf(at.Out, "All of it is removed for good on %s. Backups made before have it still.\n", until)
	if !yes {
		fmt.Fprint(at.Out, "Type its short name to delete it: ")
		answer, err := bufio.NewReader(at.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if strings.TrimSpace(answer) == "" || !org.Called(strings.TrimSpace(answer)) {
			return fmt.Errorf("nothing was deleted: that is not its short name, %q", org.ShortName)
		}
	}
	return Do(at, shortName, directory.DeleteOrganization, "deleted. Until "+until+", 'parvis organization restore "+org.ShortName+"' takes it back")
}
