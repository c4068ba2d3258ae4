package provisioning_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/provisioning"
)

func TestASourceMakesAndChangesPeople(t *testing.T) {
	t.Parallel()
	h := open(t)
	ana := h.hire("ana@alpha.example")
	expect.Equal(t, "the name", ana.User.Name, "ana Alpha")
	expect.Equal(t, "the source", ana.User.SourceID, h.src.ID)
	expect.Equal(t, "the role", ana.User.Role, directory.Member)
	expect.Equal(t, "a way in", ana.User.HasWayIn(), false)
	what := said("ana@alpha.example")
	what.Name, what.ExternalID = "Ana Castell", "x-2"
	now, err := h.put(string(ana.User.ID), what)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the new name", now.User.Name, "Ana Castell")
	expect.Equal(t, "the new id", now.User.ExternalID, "x-2")
	h.fire(ana)
	expect.Equal(t, "shut out by", h.now(ana.User.OrgID, string(ana.User.ID)).ShutOutBy, h.src.ID)
	if now, err = h.put(string(ana.User.ID), what); err != nil || now.User.Closed() != nil {
		t.Errorf("hired again: %v, %v", err, now.User.Closed())
	}
	found, err := h.src.People(t.Context(), h.DB, provisioning.PeopleQuery{Email: "ANA@alpha.example", Limit: 10})
	if err != nil || len(found) != 1 {
		t.Errorf("found by address: %d, %v", len(found), err)
	}
}

// R-SCM-04: nobody is attached by a call; an administrator agrees, and the next cycle finds them.
func TestSCM4WhoIsThereAlreadyWaitsForAnAdministrator(t *testing.T) {
	t.Parallel()
	h := open(t)
	ben := h.user("alpha", "ben@alpha.example", directory.Member)
	for range 2 {
		if _, err := h.tryHire(h.src, "Ben@alpha.example"); !errors.Is(err, provisioning.ErrUniqueness) {
			t.Fatalf("creating who is there: %v", err)
		}
	}
	expect.Equal(t, "still nobody's", h.now(ben.OrgID, string(ben.ID)).SourceID, "")
	found, err := h.src.People(t.Context(), h.DB, provisioning.PeopleQuery{Email: "ben@alpha.example", Limit: 10})
	if err != nil || len(found) != 0 {
		t.Errorf("the source sees %d, %v", len(found), err)
	}
	if _, err := h.put(string(ben.ID), said("ben@alpha.example")); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("changing a user of others: %v", err)
	}
	all := h.waiting()
	if len(all) != 1 || all[0].Times != 2 {
		t.Fatalf("waiting: %+v", all)
	}
	helpdesk := h.user("alpha", "help@alpha.example", directory.Helpdesk)
	if err := h.settle(helpdesk.AsActor(), all[0], true); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("helpdesk agrees: %v", err)
	}
	if err := h.settle(h.owner["beta"].AsActor(), all[0], true); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("the neighbour agrees: %v", err)
	}
	other := h.source("alpha", "Okta", provisioning.On)
	if err := h.try(func(ctx context.Context, tx *db.Tx) error {
		return h.Settle(ctx, tx, h.owner["alpha"].AsActor(), other, all[0].ID, true)
	}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("agreed as if another source had asked: %v", err)
	}
	if err := h.settle(h.owner["alpha"].AsActor(), all[0], true); err != nil {
		t.Fatal(err)
	}
	if err := h.settle(h.owner["alpha"].AsActor(), all[0], true); !errors.Is(err, provisioning.ErrSettled) {
		t.Errorf("twice: %v", err)
	}
	p, err := h.src.Person(t.Context(), h.DB, string(ben.ID))
	if err != nil || p.User.ExternalID != "x-Ben" {
		t.Errorf("after that the source finds %q, %v", p.User.ExternalID, err)
	}
}

func TestMembersInProvenDomainsAreAdoptedTogether(t *testing.T) {
	t.Parallel()
	h := open(t)
	dbtest.Do(t, h.DB, `insert into domains (org_id, id, domain_key, proof, created_at, proven_at) values ($1, 'dom_a', 'alpha.example', '', 1, 1)`, string(h.org["alpha"].ID))
	member, outside, admin := h.user("alpha", "m@alpha.example", directory.Member), h.user("alpha", "m@elsewhere.example", directory.Member), h.user("alpha", "a@alpha.example", directory.Administrator)
	for _, u := range []directory.User{member, outside, admin, h.owner["alpha"]} {
		h.clock.Advance(time.Second)
		if _, err := h.tryHire(h.src, u.Email); !errors.Is(err, provisioning.ErrUniqueness) {
			t.Fatal(err)
		}
	}
	var n int
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		n, err = h.AdoptMembers(ctx, tx, h.owner["alpha"].AsActor(), h.org["alpha"].ID, h.src.ID)
		return err
	})
	expect.Equal(t, "adopted", n, 1)
	expect.Equal(t, "the member's source", h.now(member.OrgID, string(member.ID)).SourceID, h.src.ID)
	expect.Equal(t, "who still waits; no owner does", strings.Join(h.kinds(), ", "), "adopt_person The administrator, adopt_person The member")
	risen := h.waiting()[1]
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, h.owner["alpha"].AsActor(), h.org["alpha"].ID, directory.UserID(risen.Subject), directory.Owner)
	})
	if err := h.settle(h.owner["alpha"].AsActor(), risen, true); !errors.Is(err, provisioning.ErrOwnerStays) {
		t.Errorf("handing over who became an owner: %v", err)
	}
}

// Watching, everything is answered as if and nothing changes but the call log and what waits.
func TestASourceThatWatchesChangesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.user("alpha", "ben@alpha.example", directory.Member)
	h.src = h.source("alpha", "Okta", provisioning.Watching)
	tables := func() (all []string) {
		for _, table := range []string{"users", "groups", "members", "provisioned", "audit_events", "letters", "invitations", "sources"} {
			all = append(all, dbtest.Dump(t, h.DB, table))
		}
		return all
	}
	before := tables()
	if _, err := h.tryHire(h.src, "ana@alpha.example"); !errors.Is(err, provisioning.ErrWatching) {
		t.Errorf("while watching: %v", err)
	}
	if _, err := h.tryHire(h.src, "ben@alpha.example"); !errors.Is(err, provisioning.ErrUniqueness) {
		t.Errorf("who is there: %v", err)
	}
	if after := tables(); !slices.Equal(before, after) {
		t.Error("a source that watches changed something")
	}
	expect.Equal(t, "what waits", strings.Join(h.kinds(), ", "), "adopt_person The member")
	calls, err := provisioning.Calls(t.Context(), h.DB, h.owner["alpha"].AsActor(), h.src, provisioning.Call{}, 10)
	if err != nil || len(calls) != 2 {
		t.Fatalf("%d calls, %v", len(calls), err)
	}
	var words []string
	for _, c := range calls {
		for _, d := range c.Did {
			words = append(words, string(c.Outcome)+" "+d.Key+" "+d.Args["Email"].(string))
		}
	}
	slices.Sort(words)
	expect.Equal(t, "in words", strings.Join(words, "\n"),
		"refused provisioning.did.waits.adopt_person ben@alpha.example\nwatched provisioning.did.created ana@alpha.example")
	if err := h.try(func(ctx context.Context, tx *db.Tx) error {
		return h.Turn(ctx, tx, h.owner["alpha"].AsActor(), h.org["alpha"].ID, h.src.ID, provisioning.Stopped)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.tryHire(h.src, "ana@alpha.example"); !errors.Is(err, provisioning.ErrStopped) {
		t.Errorf("stopped: %v", err)
	}
}

// SCM-4: owners are never a source's.
func TestSCM4NoSourceShutsOutAnOwner(t *testing.T) {
	t.Parallel()
	h := open(t)
	ana := h.hire("ana@alpha.example")
	org := h.org["alpha"].ID
	if err := h.try(func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, h.owner["alpha"].AsActor(), org, ana.User.ID, directory.Owner)
	}); !errors.Is(err, directory.ErrNoWayIn) {
		t.Errorf("an owner without a way in: %v", err)
	}
	dbtest.GivePassword(t, h.DB, string(org), string(ana.User.ID))
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, h.owner["alpha"].AsActor(), org, ana.User.ID, directory.Owner)
	})
	what := said("ana@alpha.example")
	what.Active = false
	for range 3 {
		if _, err := h.put(string(ana.User.ID), what); !errors.Is(err, provisioning.ErrOwner) {
			t.Errorf("shutting out an owner: %v", err)
		}
	}
	if err := h.Write(t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) error {
		_, err := h.DeletePerson(t.Context(), tx, s, string(ana.User.ID))
		return err
	}); !errors.Is(err, provisioning.ErrOwner) {
		t.Errorf("deleting an owner: %v", err)
	}
	what.Active, what.Name = true, "Somebody Else"
	if _, err := h.put(string(ana.User.ID), what); err != nil {
		t.Errorf("another name: %v", err)
	}
	now := h.now(org, string(ana.User.ID))
	expect.Equal(t, "the name", now.Name, "ana Alpha")
	expect.Equal(t, "still in", now.Closed(), nil)
	expect.Equal(t, "letters, one to each owner", h.letters(), 2)
}

func TestWhomAnAdministratorShutOutStaysOut(t *testing.T) {
	t.Parallel()
	h := open(t)
	ana := h.hire("ana@alpha.example")
	org, owner := h.org["alpha"].ID, h.owner["alpha"].AsActor()
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, owner, org, ana.User.ID)
	})
	now, err := h.put(string(ana.User.ID), said("ana@alpha.example"))
	if err != nil {
		t.Fatal(err)
	}
	if now.User.Closed() == nil {
		t.Error("a source let in whom an administrator shut out")
	}
	all := h.waiting()
	expect.Equal(t, "what waits", strings.Join(h.kinds(), ", "), "let_in_again ana Alpha")
	if err := h.settle(owner, all[0], true); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "let in", h.now(org, string(ana.User.ID)).Closed(), nil)
}

func TestAddressesOfPeopleWhoSignIn(t *testing.T) {
	t.Parallel()
	h := open(t)
	org := h.org["alpha"].ID
	dbtest.Do(t, h.DB, `insert into domains (org_id, id, domain_key, proof, created_at, proven_at) values ($1, 'dom_a', 'alpha.example', '', 1, 1)`, string(org))
	ana := h.hire("ana@alpha.example")
	if now, err := h.put(string(ana.User.ID), said("ana@elsewhere.example")); err != nil || now.User.Email != "ana@elsewhere.example" {
		t.Errorf("before the first sign-in: %q, %v", now.User.Email, err)
	}
	dbtest.GivePassword(t, h.DB, string(org), string(ana.User.ID))
	if _, err := h.put(string(ana.User.ID), said("ana@other.example")); !errors.Is(err, provisioning.ErrAddressOutside) {
		t.Errorf("outside: %v", err)
	}
	if now, err := h.put(string(ana.User.ID), said("ana@alpha.example")); err != nil || now.User.Email != "ana@alpha.example" {
		t.Errorf("inside: %q, %v", now.User.Email, err)
	}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, h.owner["alpha"].AsActor(), org, ana.User.ID, directory.Helpdesk)
	})
	if now, err := h.put(string(ana.User.ID), said("ana.c@alpha.example")); err != nil || now.User.Email != "ana@alpha.example" {
		t.Errorf("of helpdesk: %q, %v", now.User.Email, err)
	}
	if err := h.settle(h.owner["alpha"].AsActor(), h.waiting()[0], true); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "agreed", h.now(org, string(ana.User.ID)).Email, "ana.c@alpha.example")
}

// A wrong answer of a directory that shuts out half a company acts at once. A letter goes out, and
// one deed brings everybody back and stops the source.
func TestTheBrake(t *testing.T) {
	t.Parallel()
	h := open(t)
	org, owner := h.org["alpha"].ID, h.owner["alpha"].AsActor()
	var people []provisioning.Provisioned
	for i := range 40 {
		people = append(people, h.hire(fmt.Sprintf("p%02d@alpha.example", i)))
	}
	earlier := people[39]
	h.fire(earlier)
	h.clock.Advance(2 * time.Hour)
	for _, p := range people[:10] {
		h.fire(p)
	}
	expect.Equal(t, "letters after ten", h.letters(), 0)
	remove := func(p provisioning.Provisioned) (held bool) {
		t.Helper()
		if err := h.Write(t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) (err error) {
			held, err = h.DeletePerson(t.Context(), tx, s, string(p.User.ID))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return held
	}
	for _, p := range people[10:14] {
		h.fire(p)
	}
	expect.Equal(t, "letters after fourteen of forty", h.letters(), 1)
	expect.Equal(t, "a deletion is held", remove(people[20]), true)
	if now := h.now(org, string(people[20].User.ID)); now.Closed() == nil || !now.DeletedAt.IsZero() {
		t.Errorf("whose deletion is held: %v, deleted at %v", now.Closed(), now.DeletedAt)
	}
	all := h.waiting()
	slices.SortFunc(all, func(a, b provisioning.Waiting) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
	expect.Equal(t, "what waits", string(all[0].Kind)+" "+string(all[1].Kind), "delete_person whole_batch")
	if err := h.settle(owner, all[1], true); err != nil {
		t.Fatal(err)
	}
	for i, p := range people {
		if out := h.now(org, string(p.User.ID)).Closed() != nil; out != (i == 39) {
			t.Errorf("person %d is out: %v", i, out)
		}
	}
	if _, err := h.tryHire(h.src, "new@alpha.example"); !errors.Is(err, provisioning.ErrStopped) {
		t.Errorf("the source goes on: %v", err)
	}
	if err := h.settle(owner, all[0], true); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "deleted once agreed", h.now(org, string(people[20].User.ID)).DeletedAt.IsZero(), false)
}

func TestGroupsThatLoseManyAreHeld(t *testing.T) {
	t.Parallel()
	h := open(t)
	var ids []string
	for i := range 30 {
		ids = append(ids, string(h.hire(fmt.Sprintf("p%02d@alpha.example", i)).User.ID))
	}
	g := h.group("Drivers", ids...)
	one := g.ID
	for i := range 10 { // one by one, as some directories do
		if held, err := h.changeGroup(one, provisioning.GroupChange{Remove: ids[i : i+1]}); err != nil || held {
			t.Fatalf("removing number %d: held %v, %v", i, held, err)
		}
	}
	held, err := h.changeGroup(one, provisioning.GroupChange{Remove: ids[10:11]})
	if err != nil || !held {
		t.Errorf("the eleventh of thirty: held %v, %v", held, err)
	}
	nobody := []string{}
	if held, err = h.changeGroup(one, provisioning.GroupChange{Members: &nobody}); err != nil || !held {
		t.Errorf("emptied: held %v, %v", held, err)
	}
	expect.Equal(t, "still in it", len(h.members(g)), 20)
	all := h.waiting()
	expect.Equal(t, "what waits", strings.Join(h.kinds(), ", "), "remove_members Drivers")
	expect.Equal(t, "of whom", len(all[0].Details.Members), 20)
	if err := h.settle(h.owner["alpha"].AsActor(), all[0], true); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "once agreed", len(h.members(g)), 0)
	h.clock.Advance(2 * time.Hour)
	if held, err := h.changeGroup(one, provisioning.GroupChange{Add: ids[:5]}); err != nil || held {
		t.Errorf("added: held %v, %v", held, err)
	}
	if held, err := h.changeGroup(one, provisioning.GroupChange{Remove: ids[:5]}); err != nil || held {
		t.Errorf("in another hour: held %v, %v", held, err)
	}
}

func TestGroupsOfOthers(t *testing.T) {
	t.Parallel()
	h := open(t)
	org, owner := h.org["alpha"].ID, h.owner["alpha"].AsActor()
	var hand directory.Group
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		hand, err = directory.CreateGroup(ctx, tx, owner, org, "Drivers")
		return err
	})
	name := "DRIVERS"
	if err := h.Write(t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) error {
		_, err := h.CreateGroup(t.Context(), tx, s, provisioning.GroupChange{Name: &name})
		return err
	}); !errors.Is(err, provisioning.ErrGroupUniqueness) {
		t.Errorf("a group that is there: %v", err)
	}
	if _, err := h.changeGroup(hand.ID, provisioning.GroupChange{Name: &name}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("changing it: %v", err)
	}
	if err := h.settle(owner, h.waiting()[0], true); err != nil {
		t.Fatal(err)
	}
	ana := h.hire("ana@alpha.example")
	if _, err := h.changeGroup(hand.ID, provisioning.GroupChange{Add: []string{string(ana.User.ID)}}); err != nil {
		t.Errorf("adopted: %v", err)
	}
	if err := h.try(func(ctx context.Context, tx *db.Tx) error {
		return directory.RenameGroup(ctx, tx, owner, org, hand.ID, "Riders")
	}); !errors.Is(err, directory.ErrProvisioned) {
		t.Errorf("renamed here: %v", err)
	}
	stranger := h.user("alpha", "ben@alpha.example", directory.Member)
	if _, err := h.changeGroup(hand.ID, provisioning.GroupChange{Add: []string{string(stranger.ID)}}); !errors.Is(err, provisioning.ErrMember) {
		t.Errorf("a member of others: %v", err)
	}
}

// N12: two sources, in one organization or in two, never reach each other's people.
func TestN12SourcesSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	h := open(t)
	ana := h.hire("ana@alpha.example")
	for _, other := range []provisioning.Source{h.source("alpha", "Okta", provisioning.On), h.source("beta", "Okta", provisioning.On)} {
		if _, err := other.Person(t.Context(), h.DB, string(ana.User.ID)); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("another source finds %v", err)
		}
		for name, do := range map[string]func(*db.Tx, provisioning.Source) error{
			"put": func(tx *db.Tx, s provisioning.Source) error {
				was, err := s.Person(t.Context(), tx, string(ana.User.ID))
				if err == nil {
					_, err = h.PutPerson(t.Context(), tx, s, was, said("ana@alpha.example"))
				}
				return err
			},
			"delete": func(tx *db.Tx, s provisioning.Source) error {
				_, err := h.DeletePerson(t.Context(), tx, s, string(ana.User.ID))
				return err
			},
		} {
			if err := h.Write(t.Context(), other, call, do); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%s by another source: %v", name, err)
			}
		}
	}
	beta := h.source("beta", "Entra", provisioning.On)
	same, err := h.tryHire(beta, "ana@alpha.example")
	if err != nil {
		t.Fatal(err)
	}
	h.fire(ana)
	expect.Equal(t, "the same address elsewhere", h.now(same.User.OrgID, string(same.User.ID)).Closed(), nil)
}

func TestTokensOfASource(t *testing.T) {
	t.Parallel()
	h := open(t)
	owner, org := h.owner["alpha"].AsActor(), h.org["alpha"].ID
	issue := func(actor directory.Actor) (token provisioning.Token, text string, err error) {
		err = h.try(func(ctx context.Context, tx *db.Tx) (err error) {
			token, text, err = h.Issue(ctx, tx, actor, org, h.src.ID)
			return err
		})
		return token, text, err
	}
	first, text, err := issue(owner)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := h.Authenticate(t.Context(), h.src.ID, text); err != nil || s.ID != h.src.ID {
		t.Errorf("the token opens %q, %v", s.ID, err)
	}
	other := h.source("alpha", "Okta", provisioning.On)
	for _, wrong := range []struct{ source, text string }{{other.ID, text}, {"", text}, {h.src.ID, "psc_"}, {h.src.ID, text[4:]}, {h.src.ID, text + "A"}, {h.src.ID, ""}} {
		if _, err := h.Authenticate(t.Context(), wrong.source, wrong.text); !errors.Is(err, provisioning.ErrToken) {
			t.Errorf("a token at a wrong place: %v", err)
		}
	}
	if _, _, err := issue(h.owner["beta"].AsActor()); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("the neighbour makes one: %v", err)
	}
	if _, _, err := issue(h.src.Actor()); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("the source makes one: %v", err)
	}
	h.clock.Advance(provisioning.TokenLasts - 20*24*time.Hour)
	for range 2 {
		if err := h.Sweep(t.Context(), h.DB); err != nil {
			t.Fatal(err)
		}
	}
	expect.Equal(t, "letters 20 days before the end", h.letters(), 1)
	h.update(func(ctx context.Context, tx *db.Tx) error { return h.Revoke(ctx, tx, owner, org, h.src.ID, first.ID) })
	if _, err := h.Authenticate(t.Context(), h.src.ID, text); !errors.Is(err, provisioning.ErrToken) {
		t.Errorf("after it was revoked: %v", err)
	}
}

// Administrators get a letter 30, 7 and 1 days before a token ends, each time once. Those of another
// organization get none, and none is written where another token follows.
func TestLettersBeforeATokenEnds(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.user("alpha", "admin@alpha.example", directory.Administrator)
	h.user("alpha", "help@alpha.example", directory.Helpdesk)
	issue := func(s provisioning.Source) provisioning.Token {
		t.Helper()
		var token provisioning.Token
		h.update(func(ctx context.Context, tx *db.Tx) (err error) {
			token, _, err = h.Issue(ctx, tx, directory.Operator(), s.OrgID, s.ID)
			return err
		})
		return token
	}
	token := issue(h.src)
	told := map[string]int{}
	sweep := func() {
		t.Helper()
		for range 2 {
			if err := h.Sweep(t.Context(), h.DB); err != nil {
				t.Fatal(err)
			}
		}
		clear(told)
		for _, org := range []string{"alpha", "beta"} {
			var n int
			if _, err := h.DB.One(t.Context(), db.Into(&n), `select count(*) from letters where org_id = $1 and kind = 'source'`, string(h.org[org].ID)); err != nil {
				t.Fatal(err)
			}
			told[org] = n
		}
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		before  time.Duration
		letters int // to the owner and the administrator
	}{
		{30*day + time.Second, 0}, {30 * day, 2}, {7*day + time.Second, 2}, {7 * day, 4}, {day + time.Second, 4}, {day, 6}, {time.Second, 6}, {-time.Second, 6},
	} {
		h.clock.Advance(token.EndsAt.Add(-c.before).Sub(h.clock.Now()))
		sweep()
		expect.Equal(t, fmt.Sprint("letters ", c.before, " before the end"), told["alpha"], c.letters)
	}
	expect.Equal(t, "letters of another organization", told["beta"], 0)

	first := issue(h.src)
	beta := h.source("beta", "Okta", provisioning.On)
	issue(beta)
	h.clock.Advance(300 * day)
	issue(h.src) // follows the first one
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), h.org["beta"].ID)
	})
	h.clock.Advance(first.EndsAt.Add(-day).Sub(h.clock.Now()))
	sweep()
	expect.Equal(t, "letters where another token follows", told["alpha"], 6)
	expect.Equal(t, "letters of a suspended organization", told["beta"], 0)
}

// Calls, and what was settled, are kept for 30 days. What still waits stays, however old.
func TestWhatIsKeptFor30Days(t *testing.T) {
	t.Parallel()
	h := open(t)
	sources := map[string]provisioning.Source{"alpha": h.src, "beta": h.source("beta", "Okta", provisioning.On)}
	// asks makes two calls, of which one asks for somebody who is there, and settles that.
	asks := func(org string, number int, settled bool) {
		t.Helper()
		there, s := fmt.Sprintf("there%d@%s.example", number, org), sources[org]
		h.user(org, there, directory.Member)
		if _, err := h.tryHire(s, there); !errors.Is(err, provisioning.ErrUniqueness) {
			t.Fatalf("who is there: %v", err)
		}
		if _, err := h.tryHire(s, fmt.Sprintf("new%d@%s.example", number, org)); err != nil {
			t.Fatal(err)
		}
		if !settled {
			return
		}
		all, err := provisioning.WaitingFor(t.Context(), h.DB, directory.Operator(), s, 1)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d wait, %v", len(all), err)
		}
		h.update(func(ctx context.Context, tx *db.Tx) error {
			return h.Settle(ctx, tx, directory.Operator(), s, all[0].ID, false)
		})
	}
	left := func() string {
		t.Helper()
		if err := h.Sweep(t.Context(), h.DB); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, org := range []string{"alpha", "beta"} {
			for _, query := range []string{`source_calls where org_id = $1`, `source_waiting where org_id = $1 and settled_at is not null`, `source_waiting where org_id = $1 and settled_at is null`} {
				var n int
				if _, err := h.DB.One(t.Context(), db.Into(&n), `select count(*) from `+query, string(h.org[org].ID)); err != nil {
					t.Fatal(err)
				}
				all = append(all, fmt.Sprint(n))
			}
		}
		return strings.Join(all, " ")
	}
	const kept = 30 * 24 * time.Hour
	asks("alpha", 1, true)
	asks("beta", 1, true)
	h.clock.Advance(time.Second)
	asks("alpha", 2, true)
	asks("beta", 2, true)
	asks("beta", 3, false)
	h.clock.Advance(kept - time.Second)
	expect.Equal(t, "after 30 days", left(), "4 2 0 6 2 1")
	h.clock.Advance(time.Second)
	expect.Equal(t, "a second later", left(), "2 1 0 4 1 1")
	h.clock.Advance(time.Second)
	expect.Equal(t, "two seconds later", left(), "0 0 0 0 0 1")
}

func TestADeletedSourceLetsGo(t *testing.T) {
	t.Parallel()
	h := open(t)
	ana := h.hire("ana@alpha.example")
	g := h.group("Drivers", string(ana.User.ID))
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return h.Delete(ctx, tx, h.owner["alpha"].AsActor(), h.org["alpha"].ID, h.src.ID)
	})
	expect.Equal(t, "the person's source", h.now(ana.User.OrgID, string(ana.User.ID)).SourceID, "")
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.RenameGroup(ctx, tx, h.owner["alpha"].AsActor(), h.org["alpha"].ID, g.ID, "Riders")
	})
	if _, err := h.tryHire(h.src, "ben@alpha.example"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("a call after that: %v", err)
	}
}
