package scim_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

func moment(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format("0102-150405.000000")
}

// lines is a model as text, in the words of stored.
func (r *round) lines(m *model) (all []string) {
	id := func(source int) string {
		if source == nobody {
			return ""
		}
		return r.sources[source].ID
	}
	for _, p := range m.people {
		all = append(all, fmt.Sprint("person ", p.org, " ", p.id, " ", p.address, fmt.Sprintf(" %q ", p.name), p.external, " kept by ", id(p.keeper), " ", p.role,
			" out ", moment(p.outAt), " gone ", moment(p.goneAt), " by ", id(p.outBy), " and ", id(p.goneBy)))
	}
	for _, g := range m.groups {
		all = append(all, fmt.Sprint("group ", g.org, " ", g.id, " ", g.name, " ", g.external, " kept by ", id(g.keeper), " with ", slices.Sorted(maps.Keys(g.members))))
	}
	for k, w := range m.waits {
		subject := k.subject
		if k.kind == provisioning.WholeBatch {
			subject = id(k.source)
		}
		slices.Sort(w.members)
		all = append(all, fmt.Sprint("waiting ", id(k.source), " ", k.kind, " ", subject, " ", w.email, " ", w.external, " ", w.members, " ", moment(w.since)))
	}
	for i, s := range m.sources {
		state := provisioning.On
		if s.stopped {
			state = provisioning.Stopped
		}
		all = append(all, fmt.Sprint("source ", id(i), " ", state))
		for outcome, n := range s.calls {
			all = append(all, fmt.Sprint("calls ", id(i), " ", outcome, " ", n))
		}
	}
	return all
}

// stored is what the database holds of both organizations.
func (r *round) stored(ctx context.Context) (all []string, err error) {
	for i, org := range r.orgs {
		for _, part := range []func(context.Context, int, directory.OrgID) ([]string, error){r.storedPeople, r.storedGroups, r.storedWaiting, r.storedSources} {
			some, err := part(ctx, i, org.ID)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

func (r *round) storedPeople(ctx context.Context, i int, org directory.OrgID) (all []string, err error) {
	type person struct {
		directory.User
		deletedBy string
	}
	people, err := db.List(ctx, r.w.DB, func(u *person) []any { return append(u.Targets(), (*db.Text)(&u.deletedBy)) }, `
		select `+directory.UserColumns+`, u.deleted_by
		from users u
		where u.org_id = $1`, string(org))
	for _, u := range people {
		all = append(all, fmt.Sprint("person ", i, " ", u.ID, " ", u.Email, fmt.Sprintf(" %q ", spoken{u.Name, u.GivenName, u.FamilyName, ""}), u.ExternalID, " kept by ", u.SourceID, " ", u.Role,
			" out ", moment(u.DeactivatedAt), " gone ", moment(u.DeletedAt), " by ", u.ShutOutBy, " and ", u.deletedBy))
	}
	return all, err
}

func (r *round) storedGroups(ctx context.Context, i int, org directory.OrgID) (all []string, err error) {
	members := map[string][]string{}
	type membership struct{ group, user string }
	found, err := db.List(ctx, r.w.DB, func(m *membership) []any { return db.Into(&m.group, &m.user) }, `
		select group_id, user_id from members
		where org_id = $1
		order by user_id`, string(org))
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		members[m.group] = append(members[m.group], m.user)
	}
	groups, err := db.List(ctx, r.w.DB, func(g *directory.Group) []any { return g.Targets() }, `
		select `+directory.GroupColumns+`
		from groups g
		where g.org_id = $1`, string(org))
	for _, g := range groups {
		slices.Sort(members[g.ID])
		all = append(all, fmt.Sprint("group ", i, " ", g.ID, " ", g.Name, " ", g.ExternalID, " kept by ", g.SourceID, " with ", members[g.ID]))
	}
	return all, err
}

func (r *round) storedWaiting(ctx context.Context, _ int, org directory.OrgID) (all []string, err error) {
	type asked struct {
		source string
		provisioning.Waiting
	}
	waiting, err := db.List(ctx, r.w.DB, func(w *asked) []any { return db.Into(&w.source, &w.Kind, &w.Subject, db.JSON(&w.Details)) }, `
		select source_id, kind, subject, details from source_waiting
		where org_id = $1 and settled_at is null`, string(org))
	for _, w := range waiting {
		slices.Sort(w.Details.Members)
		all = append(all, fmt.Sprint("waiting ", w.source, " ", w.Kind, " ", w.Subject, " ", w.Details.Email, " ", w.Details.ExternalID, " ", w.Details.Members, " ", moment(w.Details.Since)))
	}
	return all, err
}

func (r *round) storedSources(ctx context.Context, _ int, org directory.OrgID) (all []string, err error) {
	sources, err := provisioning.Sources(ctx, r.w.DB, directory.Operator(), org)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		all = append(all, fmt.Sprint("source ", s.ID, " ", s.State))
	}
	type count struct {
		source, outcome string
		n               int
	}
	calls, err := db.List(ctx, r.w.DB, func(c *count) []any { return db.Into(&c.source, &c.outcome, &c.n) }, `
		select source_id, outcome, count(*) from source_calls
		where org_id = $1
		group by source_id, outcome`, string(org))
	for _, c := range calls {
		all = append(all, fmt.Sprint("calls ", c.source, " ", c.outcome, " ", c.n))
	}
	return all, err
}

// asSourcesSeeIt compares what each source reads with the model.
func (r *round) asSourcesSeeIt(ctx context.Context) error {
	for i, s := range r.sources {
		if r.m.sources[i].stopped {
			continue
		}
		read := func(path string) (object, error) {
			a, err := s.try(ctx, request{method: "GET", path: path})
			if err == nil && a.status != 200 {
				err = fmt.Errorf("GET %s: %d %s", path, a.status, a.text)
			}
			return a.body, err
		}
		var got, want []string
		people, err := read("/Users?count=200")
		if err != nil {
			return err
		}
		for _, o := range (reply{body: people}).resources() {
			got = append(got, fmt.Sprint(o["id"], " ", wished(o), " in ", values(o["groups"])))
		}
		groups, err := read("/Groups?count=200")
		if err != nil {
			return err
		}
		for _, o := range (reply{body: groups}).resources() {
			got = append(got, fmt.Sprint(o["id"], " ", o["displayName"], " with ", values(o["members"])))
		}
		for _, p := range r.m.kept(i) {
			in := []string{}
			for _, g := range r.m.groups {
				if g.keeper == i && g.members[p.id] {
					in = append(in, g.id)
				}
			}
			want = append(want, fmt.Sprint(p.id, " ", p.shown(), " in ", sorted(in)))
		}
		for _, g := range r.m.groups {
			if g.keeper == i {
				want = append(want, fmt.Sprint(g.id, " ", g.name, " with ", r.m.visible(g)))
			}
		}
		if err := differing(got, want); err != nil {
			return fmt.Errorf("to source %d: %w", i, err)
		}
	}
	return nil
}

// values are the values of a list of a resource, in order.
func values(list any) []string {
	all := []string{}
	some, _ := list.([]any)
	for _, one := range some {
		o, _ := one.(object)
		all = append(all, fmt.Sprint(o["value"]))
	}
	return sorted(all)
}
