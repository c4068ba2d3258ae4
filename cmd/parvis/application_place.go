package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
)

type placeApplicationCommand struct {
	storageFlags
	ID           string   `arg:"" help:"Its client ID."`
	Organization string   `required:"" placeholder:"NAME" help:"Short name of the organization."`
	Everyone     bool     `xor:"audience" help:"Everybody sees it."`
	Group        []string `placeholder:"NAME" sep:"none" xor:"audience" help:"Members of this group see it, and nobody else can sign in to it. Repeatable."`
	Nobody       bool     `xor:"audience" help:"Nobody sees it, but everybody can sign in at its own address."`
	Approve      bool     `xor:"standing" help:"It is approved for everybody: nobody is asked."`
	Forbid       bool     `xor:"standing" help:"Nobody in this organization can sign in to it."`
	AsRegistered bool     `xor:"standing" help:"People are asked if its registration says so."`
}

// Run decides for an organization, and leaves alone what no flag names.
func (c *placeApplicationCommand) Run(p *program) error {
	if !c.Everyone && !c.Nobody && len(c.Group) == 0 && !c.Approve && !c.Forbid && !c.AsRegistered {
		return errors.New("nothing was named: 'parvis application place --help' lists what can be decided")
	}
	return c.with(p, func(s *storage) error {
		var name, at string
		if err := s.db.Update(p.ctx, func(tx *db.Tx) error {
			a, org, err := applicationFlags{ownerFlags{Organization: c.Organization}, c.ID}.find(p.ctx, tx)
			if err != nil {
				return err
			}
			name, at = a.Settings.Name, org.DisplayName
			place, err := c.placement(p.ctx, tx, org, a.Place)
			if err != nil {
				return err
			}
			return application.Place(p.ctx, tx, directory.Operator(), org.ID, a.Application, place)
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s has %s as you decided.\n", at, name)
		return nil
	})
}

func (c *placeApplicationCommand) placement(ctx context.Context, r db.Reader, org directory.Organization, place application.Placement) (application.Placement, error) {
	switch {
	case c.Approve:
		place.Standing = application.Approved
	case c.Forbid:
		place.Standing = application.Forbidden
	case c.AsRegistered:
		place.Standing = application.AsRegistered
	}
	switch {
	case c.Everyone:
		place.Audience, place.Groups = application.Everyone, nil
	case c.Nobody:
		place.Audience, place.Groups = application.Nobody, nil
	case len(c.Group) > 0:
		place.Audience, place.Groups = application.SomeGroups, nil
	}
	known, err := directory.Groups(ctx, r, directory.Operator(), org.ID)
	if err != nil {
		return place, err
	}
	for _, name := range c.Group {
		i := slices.IndexFunc(known, func(g directory.Group) bool { return strings.EqualFold(g.Name, name) })
		if i < 0 {
			return place, fmt.Errorf("%s has no group %q", org.DisplayName, name)
		}
		place.Groups = append(place.Groups, known[i].ID)
	}
	return place, nil
}

// audienceOf returns who sees an application, with groups by name.
func audienceOf(ctx context.Context, r db.Reader, org directory.Organization, place application.Placement) (string, error) {
	if place.Audience != application.SomeGroups {
		return string(place.Audience), nil
	}
	known, err := directory.Groups(ctx, r, directory.Operator(), org.ID)
	if err != nil {
		return "", err
	}
	var names []string
	for _, g := range known {
		if slices.Contains(place.Groups, g.ID) {
			names = append(names, g.Name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "groups that no longer exist"), nil
}

func asksOf(a application.Placed) string {
	switch {
	case a.Place.Standing == application.Forbidden:
		return "forbidden"
	case a.Place.Standing == application.Approved:
		return "no, approved"
	case a.Settings.Asks:
		return "yes"
	}
	return "no"
}
