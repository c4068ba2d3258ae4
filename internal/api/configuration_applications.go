package api

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"parvis/internal/api/form"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// Groups are written by their names where a configuration decides about applications, so that one
// file makes a group and lets it in. What is sent may also be an id, and what was stored of a group
// that is gone stays an id.

var (
	errNoGroup = fault.Field("", "api.configuration_no_group")
	errNotHere = fault.Field("", "api.configuration_not_here")
)

var configuredApplications = things[form.ConfiguredApplication]{
	part: part{name: "applications", kind: "application", fold: naming.Fold, blank: func(object) object {
		return tree(form.ConfiguredApplication{Placement: usualPlacement()})
	}, usual: func(made object) object {
		k := application.Kind(textOf(made, "kind"))
		return tree(form.ConfiguredApplication{ApplicationSettings: unnamed(k, application.Defaults(k)), Placement: usualPlacement()})
	}},
	of: func(c *form.Configuration) *[]form.ConfiguredApplication { return &c.Applications },
	id: func(a form.ConfiguredApplication) string { return a.ID },
	read: func(ctx context.Context, r db.Reader, x *call) ([]form.ConfiguredApplication, error) {
		all, groups, err := x.applicationsAndGroups(ctx, r, true)
		return short(all, func(a application.Placed) form.ConfiguredApplication {
			settings, place := ofSettings(a.Kind, a.Settings), ofPlacement(a.Place)
			groups.named(&settings, &place)
			return form.ConfiguredApplication{ID: string(a.ID), Kind: string(a.Kind), ApplicationSettings: settings, Placement: place}
		}).Items, err
	},
	make: func(ctx context.Context, tx *db.Tx, x *call, now form.ConfiguredApplication) error {
		if err := x.identified(ctx, tx, form.ConfiguredApplication{}, &now); err != nil {
			return err
		}
		id, err := register(ctx, tx, x, struct{ Body form.NewApplication }{form.NewApplication{Kind: now.Kind, ApplicationSettings: now.ApplicationSettings}})
		if err != nil {
			return err
		}
		if x.secret != nil {
			x.secrets[id] = *x.secret
		}
		return x.place(ctx, tx, id, now.Placement)
	},
	change: changeApplication,
	remove: func(ctx context.Context, tx *db.Tx, x *call, was form.ConfiguredApplication) error {
		_, err := removeApplication(ctx, tx, x, at{ID: was.ID})
		return err
	},
	fresh:        true,
	freshRemoval: true,
}

// unnamed is ofSettings for settings that may still be without a name.
func unnamed(k application.Kind, s application.Settings) form.ApplicationSettings {
	name := s.Name
	s.Name = "-"
	out := ofSettings(k, s)
	out.Name = name
	return out
}

func usualPlacement() form.Placement {
	return ofPlacement(application.Placement{Audience: application.Everyone})
}

func changeApplication(ctx context.Context, tx *db.Tx, x *call, was, now form.ConfiguredApplication) error {
	if was.Kind != now.Kind {
		return wrong{pointer: "/kind", why: errFixed}
	}
	if err := x.identified(ctx, tx, was, &now); err != nil {
		return err
	}
	before, err := applicationSettings.read(ctx, tx, x, at{ID: was.ID})
	if err != nil {
		return err
	}
	k := application.Kind(was.Kind)
	to, err := settingsOf(k, now.ApplicationSettings)
	if err != nil {
		return err
	}
	// Null is what is usual, which may be what there is.
	if !reflect.DeepEqual(tree(before), tree(unnamed(k, to))) {
		if err := applicationSettings.write(ctx, tx, x, at{ID: was.ID}, before, now.ApplicationSettings); err != nil {
			return err
		}
	}
	return x.place(ctx, tx, was.ID, now.Placement)
}

// configuredPlacements are what is decided about the applications of the installation. None is made
// or deleted here.
var configuredPlacements = things[form.ConfiguredPlacement]{
	part: part{name: "placements", kind: "placement", fixed: true, fold: naming.Fold, blank: func(object) object {
		return tree(form.ConfiguredPlacement{Placement: usualPlacement()})
	}},
	of: func(c *form.Configuration) *[]form.ConfiguredPlacement { return &c.Placements },
	id: func(p form.ConfiguredPlacement) string { return p.ID },
	read: func(ctx context.Context, r db.Reader, x *call) ([]form.ConfiguredPlacement, error) {
		all, groups, err := x.applicationsAndGroups(ctx, r, false)
		return short(all, func(a application.Placed) form.ConfiguredPlacement {
			place := ofPlacement(a.Place)
			groups.named(&form.ApplicationSettings{}, &place)
			return form.ConfiguredPlacement{ID: string(a.ID), Name: a.Settings.Name, Placement: place}
		}).Items, err
	},
	change: func(ctx context.Context, tx *db.Tx, x *call, was, now form.ConfiguredPlacement) error {
		if was.Name != now.Name {
			return wrong{pointer: "/name", why: errFixed}
		}
		groups, err := x.groupNames(ctx, tx)
		if err == nil {
			now.Groups, err = groups.ids("/groups", was.Groups, now.Groups)
		}
		if err != nil {
			return err
		}
		return x.placed(ctx, tx, was.ID, now.Placement)
	},
	fresh: true,
}

// applicationsAndGroups returns the organization's own applications, or those of the installation,
// with the names of groups.
func (x *call) applicationsAndGroups(ctx context.Context, r db.Reader, own bool) ([]application.Placed, groupNames, error) {
	all, err := application.Of(ctx, r, x.Actor, x.org())
	if err != nil {
		return nil, nil, err
	}
	groups, err := x.groupNames(ctx, r)
	return slices.DeleteFunc(all, func(a application.Placed) bool { return (a.OrgID != "") != own }), groups, err
}

// placed decides about an application, unless it was decided so.
func (x *call) placed(ctx context.Context, tx *db.Tx, id string, now form.Placement) error {
	was, err := placement.read(ctx, tx, x, at{ID: id})
	if err != nil || reflect.DeepEqual(tree(was), tree(now)) {
		return err
	}
	return placement.write(ctx, tx, x, at{ID: id}, was, now)
}

// place is placed for an application that says it in a field.
func (x *call) place(ctx context.Context, tx *db.Tx, id string, now form.Placement) error {
	err := x.placed(ctx, tx, id, now)
	if fault.All(err) == nil {
		return err
	}
	return under("/placement", err)
}

// identified replaces the names of groups by their ids in what was sent of an application.
func (x *call) identified(ctx context.Context, r db.Reader, was form.ConfiguredApplication, now *form.ConfiguredApplication) error {
	groups, err := x.groupNames(ctx, r)
	if err != nil {
		return err
	}
	if now.Placement.Groups, err = groups.ids("/placement/groups", was.Placement.Groups, now.Placement.Groups); err != nil || now.Roles == nil {
		return err
	}
	roles := slices.Clone(*now.Roles)
	now.Roles = &roles
	for i := range roles {
		var before []string
		if was.Roles != nil {
			for _, r := range *was.Roles {
				before = append(before, r.Group)
			}
		}
		id, err := groups.id(before, roles[i].Group)
		if err != nil {
			return wrong{pointer: fmt.Sprintf("/roles/%d/group", i), why: errNoGroup}
		}
		roles[i].Group = id
	}
	return nil
}

// groupNames are the names of an organization's groups by their ids.
type groupNames map[string]string

func (x *call) groupNames(ctx context.Context, r db.Reader) (groupNames, error) {
	all, err := directory.Groups(ctx, r, x.Actor, x.org())
	names := groupNames{}
	for _, g := range all {
		names[g.ID] = g.Name
	}
	return names, err
}

// named replaces ids by names.
func (g groupNames) named(s *form.ApplicationSettings, p *form.Placement) {
	for i, id := range p.Groups {
		if name, ok := g[id]; ok {
			p.Groups[i] = name
		}
	}
	if s.Roles == nil {
		return
	}
	for i, r := range *s.Roles {
		if name, ok := g[r.Group]; ok {
			(*s.Roles)[i].Group = name
		}
	}
}

// ids replaces names by ids, and leaves what is one.
func (g groupNames) ids(pointer string, was, now []string) ([]string, error) {
	all := make([]string, len(now))
	for i, text := range now {
		id, err := g.id(was, text)
		if err != nil {
			return nil, wrong{pointer: fmt.Sprintf("%s/%d", pointer, i), why: errNoGroup}
		}
		all[i] = id
	}
	return all, nil
}

func (g groupNames) id(was []string, text string) (string, error) {
	if _, ok := g[text]; ok {
		return text, nil
	}
	for id, name := range g {
		if naming.Fold(name) == naming.Fold(text) {
			return id, nil
		}
	}
	if slices.Contains(was, text) {
		return text, nil // of a group that is gone
	}
	return "", errNoGroup
}
