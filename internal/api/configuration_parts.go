package api

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/naming"
)

// part is a section of the configuration that lists things, each with an id and a name.
type part struct {
	name  string                   // of the section
	kind  string                   // of a thing, in the plan
	fold  func(name string) string // names that fold alike name the same thing
	blank func(sent object) object // what is not sent of a thing that is made
	usual func(made object) object // what one has without asking, which the plan leaves out; blank if nil
	fixed bool                     // none is made
}

// parts are all that list, in the order in which things are made; they are deleted in the other
// one.
var parts = []part{configuredDomains.part, configuredGroups.part, configuredConnections.part, configuredApplications.part, configuredPlacements.part, configuredSources.part, configuredWebhooks.part}

// things is a part, and how its things are read and written: by the deeds that single operations
// do.
type things[T any] struct {
	part
	of     func(*form.Configuration) *[]T
	id     func(T) string
	read   func(ctx context.Context, r db.Reader, x *call) ([]T, error)
	make   func(ctx context.Context, tx *db.Tx, x *call, now T) error
	change func(ctx context.Context, tx *db.Tx, x *call, was, now T) error
	remove func(ctx context.Context, tx *db.Tx, x *call, was T) error

	fresh        bool // making and changing want a fresh proof
	freshRemoval bool // deleting wants one
}

// blank returns a form without a value.
func blank[T any](object) object { return tree(*new(T)) }

var configuredDomains = things[form.ConfiguredDomain]{
	part: part{name: "domains", kind: "domain", blank: blank[form.ConfiguredDomain], fold: func(name string) string {
		if key, err := domain.Parse(name); err == nil {
			return key
		}
		return name
	}},
	of: func(c *form.Configuration) *[]form.ConfiguredDomain { return &c.Domains },
	id: func(d form.ConfiguredDomain) string { return d.ID },
	read: func(ctx context.Context, r db.Reader, x *call) ([]form.ConfiguredDomain, error) {
		all, err := domain.Of(ctx, r, x.Actor, x.org())
		return short(all, func(d domain.Domain) form.ConfiguredDomain { return form.ConfiguredDomain{ID: d.ID, Name: d.String()} }).Items, err
	},
	make: func(ctx context.Context, tx *db.Tx, x *call, now form.ConfiguredDomain) error {
		_, err := domain.Add(ctx, tx, x.Actor, x.org(), now.Name)
		return err
	},
	change: func(_ context.Context, _ *db.Tx, _ *call, was, now form.ConfiguredDomain) error {
		before, _ := domain.Parse(was.Name)
		after, err := domain.Parse(now.Name)
		if err == nil && before != after {
			err = wrong{pointer: "/name", why: errFixed}
		}
		return err
	},
	remove: func(ctx context.Context, tx *db.Tx, x *call, was form.ConfiguredDomain) error {
		return domain.Remove(ctx, tx, x.Actor, x.org(), was.ID)
	},
	freshRemoval: true,
}

var configuredGroups = things[form.ConfiguredGroup]{
	part: part{name: "groups", kind: "group", blank: blank[form.ConfiguredGroup], fold: naming.Fold},
	of:   func(c *form.Configuration) *[]form.ConfiguredGroup { return &c.Groups },
	id:   func(g form.ConfiguredGroup) string { return g.ID },
	read: func(ctx context.Context, r db.Reader, x *call) ([]form.ConfiguredGroup, error) {
		all, err := directory.Groups(ctx, r, x.Actor, x.org())
		return short(all, func(g directory.Group) form.ConfiguredGroup {
			return form.ConfiguredGroup{ID: g.ID, GroupSettings: form.GroupSettings{Name: g.Name}}
		}).Items, err
	},
	make: func(ctx context.Context, tx *db.Tx, x *call, now form.ConfiguredGroup) error {
		_, err := directory.CreateGroup(ctx, tx, x.Actor, x.org(), now.Name)
		return err
	},
	change: func(ctx context.Context, tx *db.Tx, x *call, was, now form.ConfiguredGroup) error {
		return group.write(ctx, tx, x, at{ID: was.ID}, was.GroupSettings, now.GroupSettings)
	},
	remove: func(ctx context.Context, tx *db.Tx, x *call, was form.ConfiguredGroup) error {
		return directory.DeleteGroup(ctx, tx, x.Actor, x.org(), was.ID)
	},
}

// step is one deed on the way to what a configuration says.
type step struct {
	pointer string // to what was sent of it
	fresh   bool
	do      func(ctx context.Context, tx *db.Tx) error
}

// steps lists the deeds that make was what is wanted: deletions first, so that names are free.
func (x *call) steps(was, now form.Configuration, prune bool) []step {
	var all, removals []step
	all = append(all, organization.steps(x, "/organization", was.Organization.OrganizationSettings, now.Organization.OrganizationSettings)...)
	all = append(all, passwordRules.steps(x, "/rules/password", was.Rules.Password, now.Rules.Password)...)
	all = append(all, secondStepRules.steps(x, "/rules/second_step", was.Rules.SecondStep, now.Rules.SecondStep)...)
	all = append(all, sessionRules.steps(x, "/rules/sessions", was.Rules.Sessions, now.Rules.Sessions)...)
	for _, each := range []func(x *call, was, now form.Configuration) (changes, removals []step){
		configuredDomains.steps, configuredGroups.steps, configuredConnections.steps, configuredApplications.steps, configuredPlacements.steps, configuredSources.steps,
		configuredWebhooks.steps,
	} {
		changes, gone := each(x, was, now)
		all, removals = append(all, changes...), append(gone, removals...)
	}
	if !prune {
		return all
	}
	return append(removals, all...)
}

// steps is the deed that writes a document, which wants a fresh proof, or none where it stays as it
// is.
func (d document[W, Out]) steps(x *call, pointer string, was, now W) []step {
	if reflect.DeepEqual(tree(was), tree(now)) {
		return nil
	}
	return []step{{pointer, true, func(ctx context.Context, tx *db.Tx) error { return d.write(ctx, tx, x, at{}, was, now) }}}
}

// steps lists the deeds of a part. Removals are of what is not listed.
func (l things[T]) steps(x *call, before, after form.Configuration) (changes, removals []step) {
	was, now := *l.of(&before), *l.of(&after)
	for i, one := range now {
		pointer := fmt.Sprintf("/%s/%d", l.name, i)
		n := slices.IndexFunc(was, func(w T) bool { return l.id(w) == l.id(one) })
		switch {
		case n < 0:
			changes = append(changes, step{pointer, l.fresh, func(ctx context.Context, tx *db.Tx) error { return l.make(ctx, tx, x, one) }})
		case !reflect.DeepEqual(tree(was[n]), tree(one)):
			changes = append(changes, step{pointer, l.fresh, func(ctx context.Context, tx *db.Tx) error { return l.change(ctx, tx, x, was[n], one) }})
		}
	}
	for _, one := range was {
		if l.remove != nil && !slices.ContainsFunc(now, func(n T) bool { return l.id(n) == l.id(one) }) {
			removals = append(removals, step{"/" + l.name, l.freshRemoval, func(ctx context.Context, tx *db.Tx) error { return l.remove(ctx, tx, x, one) }})
		}
	}
	return changes, removals
}
