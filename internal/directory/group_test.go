package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/naming"
)

func (h house) group(owner directory.User, name string, members ...directory.User) directory.Group {
	h.t.Helper()
	g, err := h.tryGroup(owner.AsActor(), owner.OrgID, name)
	if err != nil {
		h.t.Fatal(err)
	}
	if n, err := h.add(owner.AsActor(), g, members...); err != nil || n != len(members) {
		h.t.Fatal(n, err)
	}
	return g
}

func (h house) tryGroup(actor directory.Actor, org directory.OrgID, name string) (g directory.Group, err error) {
	err = h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		g, err = directory.CreateGroup(ctx, tx, actor, org, name)
		return err
	})
	return g, err
}

func (h house) rename(actor directory.Actor, g directory.Group, name string) error {
	return h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.RenameGroup(ctx, tx, actor, g.OrgID, g.ID, name)
	})
}

func (h house) deleteGroup(actor directory.Actor, g directory.Group) error {
	return h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.DeleteGroup(ctx, tx, actor, g.OrgID, g.ID)
	})
}

func (h house) add(actor directory.Actor, g directory.Group, users ...directory.User) (n int, err error) {
	err = h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		n, err = directory.AddMembers(ctx, tx, actor, g.OrgID, g.ID, ids(users))
		return err
	})
	return n, err
}

func (h house) remove(actor directory.Actor, g directory.Group, users ...directory.User) (n int, err error) {
	err = h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		n, err = directory.RemoveMembers(ctx, tx, actor, g.OrgID, g.ID, ids(users))
		return err
	})
	return n, err
}

func ids(users []directory.User) (all []directory.UserID) {
	for _, u := range users {
		all = append(all, u.ID)
	}
	return all
}

// groups returns the groups of an organization as text, with the number of members of each.
func (h house) groups(org directory.OrgID) string {
	h.t.Helper()
	all, err := directory.Groups(h.t.Context(), h.DB, directory.Operator(), org)
	if err != nil {
		h.t.Fatal(err)
	}
	var text []string
	for _, g := range all {
		text = append(text, fmt.Sprintf("%s %d", g.Name, g.Members))
	}
	return strings.Join(text, ", ")
}

// of returns the groups that a user is in, as text.
func (h house) of(u directory.User) string {
	h.t.Helper()
	all, err := directory.GroupsOf(h.t.Context(), h.DB, u.OrgID, u.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, g := range all {
		names = append(names, g.Name)
	}
	return strings.Join(names, ", ")
}

// However many groups an organization has, those of a person are found by their memberships.
func TestGroupsOfAPersonAreLookedUp(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	h.of(h.user(o, "ana@alpha.example", directory.Member))
	plans, err := h.Plans(t.Context(), func(query string) bool { return strings.Contains(query, "from members m") })
	if err != nil {
		t.Fatal(err)
	}
	for query, steps := range plans {
		if len(steps) < 2 || !strings.HasPrefix(steps[0], "SEARCH m ") || !strings.HasPrefix(steps[1], "SEARCH g ") {
			t.Errorf("%s\n%q", query, steps)
		}
	}
	if h.Path() != "" && len(plans) != 1 {
		t.Errorf("%d statements", len(plans))
	}
}

func TestGroupsHaveMembersAndNames(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "o@alpha.example", directory.Owner)
	ana, ben := h.user(o, "ana@alpha.example", directory.Member), h.user(o, "ben@alpha.example", directory.Member)
	finance := h.group(owner, "  Finance \u00a0 & Tax ", ana, ben)
	h.group(owner, "Élan", ana)
	if got := h.groups(o.ID); got != "Finance & Tax 2, Élan 1" {
		t.Errorf("the list: %s", got)
	}
	if h.of(ana) != "Finance & Tax, Élan" || h.of(ben) != "Finance & Tax" || h.of(owner) != "" {
		t.Errorf("ana %s, ben %s, owner %s", h.of(ana), h.of(ben), h.of(owner))
	}
	for name, want := range map[string]error{
		"": naming.ErrNameMissing, " \t": naming.ErrNameMissing, "finance & TAX": directory.ErrGroupTaken, "E\u0301LAN": directory.ErrGroupTaken,
		"ｆｉｎａｎｃｅ & tax": directory.ErrGroupTaken, "a\u202eb": naming.ErrNameInvalid, "a\x00b": naming.ErrNameInvalid, "\xff": naming.ErrNameInvalid,
		"two\nlines": naming.ErrNameInvalid, strings.Repeat("é", 81): naming.ErrGroupNameLong, strings.Repeat("x", 1<<20): naming.ErrGroupNameLong,
	} {
		if _, err := h.tryGroup(owner.AsActor(), o.ID, name); !errors.Is(err, want) {
			t.Errorf("created %.30q: %v, want %v", name, err, want)
		}
		if err := h.rename(owner.AsActor(), h.group(owner, fmt.Sprintf("Spare %p", &name)), name); !errors.Is(err, want) {
			t.Errorf("renamed to %.30q: %v, want %v", name, err, want)
		}
	}
	for _, name := range []string{strings.Repeat("ﷺ", 80), "مجموعة المالية", "财务部", "🦊 fox 1", "<script>alert(1)</script>", "'; drop table groups; --", "ß", "SSS"} {
		if g, err := h.tryGroup(owner.AsActor(), o.ID, name); err != nil || g.Name != name {
			t.Errorf("%q: %q %v", name, g.Name, err)
		}
	}
	if _, err := h.tryGroup(owner.AsActor(), o.ID, "SS"); !errors.Is(err, directory.ErrGroupTaken) {
		t.Errorf("ß and SS: %v", err)
	}
	// A group may take its own name in another case.
	for _, name := range []string{"FINANCE & tax", "Money", "Money"} {
		if err := h.rename(owner.AsActor(), finance, name); err != nil || h.of(ben) != name {
			t.Errorf("renamed to %q: %v, ben is in %s", name, err, h.of(ben))
		}
	}
	if n, err := h.add(owner.AsActor(), finance, ana, ben, owner); n != 1 || err != nil {
		t.Errorf("added again: %d %v", n, err)
	}
	if n, err := h.remove(owner.AsActor(), finance, ana, ana); n != 1 || err != nil || h.of(ana) != "Élan" {
		t.Errorf("removed twice: %d %v, in %s", n, err, h.of(ana))
	}
	if err := h.deleteGroup(owner.AsActor(), finance); err != nil || h.of(ben) != "" || strings.Contains(dbtest.Dump(t, h.DB, "members"), finance.ID) {
		t.Errorf("deleted: %v, ben is in %s", err, h.of(ben))
	}
	if err := h.deleteGroup(owner.AsActor(), finance); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

// Changes of a group are found by the group, joining and leaving by the person.
func TestGroupsAreRecorded(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, ana := h.user(o, "o@alpha.example", directory.Owner), h.user(o, "ana@alpha.example", directory.Member)
	g, err := h.tryGroup(owner.AsActor(), o.ID, "Finance")
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{
		func() error { return h.rename(owner.AsActor(), g, "Money") },
		func() error { return h.rename(owner.AsActor(), g, "Money") }, // changes nothing
		func() error { _, err := h.add(owner.AsActor(), g, ana); return err },
		func() error { _, err := h.add(owner.AsActor(), g, ana); return err },
		func() error { _, err := h.remove(owner.AsActor(), g, ana); return err },
		func() error { _, err := h.remove(owner.AsActor(), g, ana); return err },
		func() error { _, err := h.add(owner.AsActor(), g, ana); return err },
		func() error { return h.deleteGroup(owner.AsActor(), g) },
	} {
		h.clock.Advance(time.Second)
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	page, err := audit.List(t.Context(), h.DB, audit.Query{OrgID: string(o.ID), Search: "group."})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range slices.Backward(page.Events) {
		got = append(got, fmt.Sprint(e.Action, " ", e.Actor == string(owner.ID), " ", e.Target, " ", e.TargetName, " ", e.Before, " ", e.After))
	}
	in := "map[group:Money group_id:" + g.ID + "]"
	want := []string{
		"group.created true " + g.ID + " Finance map[] map[name:Finance]",
		"group.renamed true " + g.ID + " Money map[name:Finance] map[name:Money]",
		"group.member_added true " + string(ana.ID) + " U a map[] " + in,
		"group.member_removed true " + string(ana.ID) + " U a " + in + " map[]",
		"group.member_added true " + string(ana.ID) + " U a map[] " + in,
		"group.deleted true " + g.ID + " Money map[members:1 name:Money] map[]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TEN-1, TEN-6: neither another organization's administrator nor a lesser role changes a group, and
// nobody of another organization gets into one.
func TestTEN1GroupsAreTheirAdministratorsAlone(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Works", "beta")
	owner, stranger := h.user(o, "o@alpha.example", directory.Owner), h.user(other, "o@beta.example", directory.Owner)
	ana := h.user(o, "ana@alpha.example", directory.Member)
	g := h.group(owner, "Finance", ana)
	lesser := map[directory.Role]directory.User{}
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor, directory.Member} {
		lesser[role] = h.user(o, string(role)+"@alpha.example", role)
	}
	elsewhere := g
	elsewhere.OrgID = other.ID
	rows := func() string {
		return dbtest.Dump(t, h.DB, "groups") + dbtest.Dump(t, h.DB, "members") + dbtest.Dump(t, h.DB, "audit_events")
	}
	before := rows()
	type attempt struct {
		by    directory.User
		group directory.Group
		want  error
	}
	attempts := []attempt{{stranger, g, directory.ErrNotFound}, {stranger, elsewhere, directory.ErrNotFound}, {owner, elsewhere, directory.ErrNotFound}}
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor, directory.Member} {
		attempts = append(attempts, attempt{lesser[role], g, directory.ErrDenied})
	}
	for _, a := range attempts {
		actor := a.by.AsActor()
		if a.by.ID != stranger.ID || a.group.OrgID != other.ID { // in their own organization they may
			if _, err := h.tryGroup(actor, a.group.OrgID, "Another"); !errors.Is(err, a.want) {
				t.Errorf("%s of %s creates: %v", actor.Role, actor.OrgID, err)
			}
		}
		_, added := h.add(actor, a.group, owner)
		_, removed := h.remove(actor, a.group, ana)
		for what, err := range map[string]error{
			"renames": h.rename(actor, a.group, "Stolen"), "deletes": h.deleteGroup(actor, a.group), "adds": added, "removes": removed,
		} {
			if !errors.Is(err, a.want) {
				t.Errorf("%s of %s %s: %v, want %v", actor.Role, actor.OrgID, what, err, a.want)
			}
		}
	}
	for _, change := range []func(directory.Actor, directory.Group, ...directory.User) (int, error){h.add, h.remove} {
		if n, err := change(owner.AsActor(), g, owner, stranger); n != 0 || !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("somebody of another organization: %d %v", n, err)
		}
	}
	if _, err := directory.GroupByID(t.Context(), h.DB, directory.Operator(), other.ID, g.ID); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("read from elsewhere: %v", err)
	}
	if after := rows(); after != before {
		t.Errorf("changed:\n%s\n--- before:\n%s", after, before)
	}
}

// A deactivated user stays a member. A deleted user is not shown, comes back with their groups when
// restored, and is gone from them once erased.
func TestMembersWhoLeaveTheOrganization(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, ana := h.user(o, "o@alpha.example", directory.Owner), h.user(o, "ana@alpha.example", directory.Member)
	g := h.group(owner, "Finance", owner, ana)
	members, others := administration.Query{Filter: administration.Filter{Group: g.ID}}, administration.Query{Filter: administration.Filter{Outside: g.ID}}
	listed := func(q administration.Query) (found []directory.UserID) {
		t.Helper()
		page, err := administration.People(t.Context(), h.DB, owner.AsActor(), o.ID, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Lines {
			found = append(found, p.User.ID)
		}
		return found
	}
	check := func(what, groups string, isMember bool) {
		t.Helper()
		if got := h.groups(o.ID); got != groups || slices.Contains(listed(members), ana.ID) != isMember || slices.Contains(listed(others), ana.ID) {
			t.Errorf("%s: %s, members %v, others %v", what, got, listed(members), listed(others))
		}
	}
	check("active", "Finance 2", true)
	for _, step := range []struct {
		deed, groups string
		isMember     bool
	}{
		{"deactivate", "Finance 2", true}, {"delete", "Finance 1", false}, {"restore", "Finance 2", true}, {"reactivate", "Finance 2", true}, {"delete", "Finance 1", false},
	} {
		if err := h.change(step.deed, owner.AsActor(), ana); err != nil {
			t.Fatal(step.deed, err)
		}
		check(step.deed, step.groups, step.isMember)
	}
	if _, err := h.add(owner.AsActor(), h.group(owner, "Tax"), ana); !errors.Is(err, directory.ErrDeleted) {
		t.Errorf("adding somebody who was deleted: %v", err)
	}
	h.clock.Advance(directory.RestorableFor)
	if err := directory.EraseDeleted(t.Context(), h.DB); err != nil {
		t.Fatal(err)
	}
	if rows := dbtest.Dump(t, h.DB, "members"); strings.Contains(rows, string(ana.ID)) || !strings.Contains(rows, string(owner.ID)) {
		t.Errorf("after the erasure: %s", rows)
	}
}

// The pages of members, and those of others, join without gap or overlap.
func TestPeopleOfAGroupArePaged(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Works", "beta")
	owner, stranger := h.user(o, "o@alpha.example", directory.Owner), h.user(other, "p@beta.example", directory.Owner)
	var in, out []directory.User
	for i := range 110 {
		in = append(in, h.user(o, fmt.Sprintf("p%d@alpha.example", i), directory.Member))
		out = append(out, h.user(o, fmt.Sprintf("q%d@alpha.example", i), directory.Member))
	}
	g := h.group(owner, "Finance", in...)
	h.group(owner, "Others", out[:30]...)
	h.group(stranger, "Finance", stranger)
	for search, want := range map[string][2]int{"": {110, 111}, "P1": {21, 0}, "p1@alpha": {1, 0}, "Q": {0, 110}, "%": {0, 0}, "nobody": {0, 0}} {
		for i, q := range []administration.Filter{{Text: search, Group: g.ID}, {Text: search, Outside: g.ID}} {
			q := administration.Query{Filter: q}
			seen := map[directory.UserID]bool{}
			for more := true; more; more = q.After.ID != "" {
				page, err := administration.People(t.Context(), h.DB, owner.AsActor(), o.ID, q)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range page.Lines {
					if seen[p.User.ID] || p.User.OrgID != o.ID {
						t.Errorf("%s of %s twice, or from elsewhere", p.User.Email, p.User.OrgID)
					}
					seen[p.User.ID] = true
				}
				q.After = page.Next
			}
			if len(seen) != want[i] {
				t.Errorf("%q: %d people, want %d", search, len(seen), want[i])
			}
		}
	}
	for _, who := range []directory.User{stranger, in[0]} {
		if _, err := administration.People(t.Context(), h.DB, who.AsActor(), o.ID, administration.Query{Filter: administration.Filter{Group: g.ID}}); err == nil {
			t.Errorf("a %s of %s reads who is in a group", who.Role, who.OrgID)
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "o@alpha.example", directory.Owner)
	if err := h.update(func(ctx context.Context, tx *db.Tx) error {
		for i := range 500 {
			if _, err := directory.CreateGroup(ctx, tx, owner.AsActor(), o.ID, fmt.Sprintf("Group %d", i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.tryGroup(owner.AsActor(), o.ID, "One more"); !errors.Is(err, directory.ErrTooManyGroups) {
		t.Errorf("one more: %v", err)
	}
}

// Of several that take one name at the same time, by creating or renaming, one succeeds; so does one of
// those that add the same person. Adding to a group that is being deleted returns an error.
func TestGroupsChangedAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, ana := h.user(o, "o@alpha.example", directory.Owner), h.user(o, "ana@alpha.example", directory.Member)
	var others []directory.Group
	for i := range 4 {
		others = append(others, h.group(owner, fmt.Sprintf("Other %d", i)))
	}
	var wg sync.WaitGroup
	for i := range 4 {
		for _, do := range []func() error{
			func() error { _, err := h.tryGroup(owner.AsActor(), o.ID, "finance"); return err },
			func() error { return h.rename(owner.AsActor(), others[i], "FINANCE") },
		} {
			wg.Go(func() {
				if err := do(); err != nil && !errors.Is(err, directory.ErrGroupTaken) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := strings.Count(strings.ToLower(h.groups(o.ID)), "finance"); n != 1 {
		t.Errorf("%d have the name: %s", n, h.groups(o.ID))
	}

	g := h.group(owner, "Tax")
	var mu sync.Mutex
	added := 0
	for range 6 {
		wg.Go(func() {
			n, err := h.add(owner.AsActor(), g, ana)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			added += n
			mu.Unlock()
		})
	}
	wg.Wait()
	page, err := audit.List(t.Context(), h.DB, audit.Query{OrgID: string(o.ID), Search: "group.member_added"})
	if err != nil {
		t.Fatalf("added %d times, recorded %d, in %s (%v)", added, len(page.Events), h.of(ana), err)
	}
	expect.Equal(t, "added", added, 1)
	expect.Equal(t, "number of Events", len(page.Events), 1)
	expect.Equal(t, "h.of(ana)", h.of(ana), "Tax")

	for range 4 {
		wg.Go(func() {
			if _, err := h.add(owner.AsActor(), g, owner); err != nil && !errors.Is(err, directory.ErrNotFound) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := h.deleteGroup(owner.AsActor(), g); err != nil && !errors.Is(err, directory.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if h.of(ana) != "" || h.of(owner) != "" {
		t.Errorf("in a group that is gone: %s, %s", h.of(ana), h.of(owner))
	}
}
