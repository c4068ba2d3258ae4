package federation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
	"parvis/internal/provisioning"
	"parvis/internal/upstream"
)

// A person whom a directory named comes in by the connection of their proven domain, though it
// creates nobody. No letter comes before that, nor of it; what the directory says stays.
func TestWhomADirectoryNamedComesInByTheConnection(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	made := w.Provision(t, w.org, ada, "Ada of the Directory")
	w.refused(w.Browser(t), w.enter(w.Browser(t), idp, c, person("nobody@alpha.example")), c, "known")
	b := w.Browser(t)
	w.inside(w.enter(b, idp, c, person(ada)), w.org, "Ada of the Directory")
	got := w.user(w.org, ada)
	expect.Equal(t, "who came in", fmt.Sprint(got.ID, got.Linked, got.LastSignInAt.IsZero(), got.SourceID, got.Role),
		fmt.Sprint(made.ID, true, false, made.SourceID, directory.Member))
	if n := len(w.LettersTo(t, ada)); n != 0 {
		t.Errorf("%d letters to somebody who came in by single sign-on for the first time", n)
	}
	w.inside(w.enter(w.Browser(t), idp, c, person(ada)), w.org, "Ada of the Directory")
	// People who were here before get the letter about a new link, as ever.
	w.Join(t, w.org, "bo@alpha.example", "Bo", directory.Member)
	w.inside(w.enter(w.Browser(t), idp, c, person("bo@alpha.example")), w.org, "Bo")
	if n := len(w.LettersTo(t, "bo@alpha.example")); n < 2 {
		t.Errorf("%d letters to somebody who was here before", n)
	}
	// The directory lets go of them: at once, and the provider lets nobody back in.
	source := w.Directory(t, w.org)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, source, w.org.ID, made.ID)
	})
	w.outside(b, w.org)
	w.refused(w.Browser(t), w.enter(w.Browser(t), idp, c, person(ada)), c, "active")
}

// Outside the proven domains an address says nothing, even of somebody whom the directory named.
func TestADirectoryProvesNoAddress(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	const email = "guest@elsewhere.example"
	w.Provision(t, w.org, email, "Guest")
	w.refused(w.Browser(t), w.enter(w.Browser(t), idp, c, person(email)), c, "domain")
	// The way in is an invitation, which proves the address; the provider may answer it.
	w.Browser(t).Get("/forgot-password").Form("main").Fill("email", email).Fill("organization", "alpha").Submit("")
	path := w.Link(t, email, "/invitation/")
	b := w.Browser(t)
	address := toProvider(t, b.Get(path).Form("ways").Check("connection", c.ID).Submit(""))
	w.inside(w.answer(b, idp, c, address, person(email)), w.org, "Guest")
	if n := w.rows(`select count(*) from users where email_key = $1`, email); n != 1 {
		t.Errorf("%d users", n)
	}
	if p := w.Browser(t).Get(path); p.Status != 410 {
		t.Errorf("the invitation again: %d", p.Status)
	}
}

// With a connection that would let them in, a forgotten password is the letter of journeys 6.6;
// once the connection is off, it is an invitation, and what it was sent for ends when they come in
// otherwise.
func TestAForgottenPasswordLeadsWhereThePersonCanComeIn(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	w.Provision(t, w.org, ada, "Ada")
	ask := func() string {
		t.Helper()
		before := len(w.LettersTo(t, ada))
		w.Browser(t).Get("/forgot-password").Form("main").Fill("email", ada).Fill("organization", "alpha").Submit("")
		letters := w.LettersTo(t, ada)
		if len(letters) != before+1 {
			t.Fatalf("%d letters", len(letters)-before)
		}
		return strings.TrimPrefix(letters[0].Links[0], w.URL)
	}
	if to := ask(); to != "/o/alpha" {
		t.Errorf("with a connection the letter leads to %s", to)
	}
	w.turnOff(c)
	path := ask()
	if !strings.HasPrefix(path, "/invitation/") {
		t.Errorf("without one it leads to %s", path)
	}
	c = w.turnOn(c)
	w.inside(w.enter(w.Browser(t), idp, c, person(ada)), w.org, "Ada")
	idptest.Want(t, w.Browser(t).Get(path), idptest.Status(410))
	// An administrator undoes the link: again there is no way in, and the old letter is no way either.
	id := w.user(w.org, ada).ID
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		links, err := federation.LinksOf(ctx, tx, w.org.ID, id)
		if err != nil {
			return err
		}
		return w.Hub.Unlink(ctx, tx, directory.Operator(), w.org.ID, id, links[0].ID())
	})
	idptest.Want(t, w.Browser(t).Get(path), idptest.Status(410))
	w.Clock.Advance(time.Hour)
	if to := ask(); to != "/o/alpha" {
		t.Errorf("unlinked, with a connection, the letter leads to %s", to)
	}
}

// The first arrival counts as new for the mapping of roles, and what follows too.
func TestTheFirstArrivalOfANamedPersonIsMapped(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, func(c *federation.Connection) error {
		c.Mapping.Roles = []federation.GroupRole{{Group: "desk", Role: directory.Helpdesk}}
		return nil
	})
	w.Provision(t, w.org, ada, "Ada")
	for _, step := range []struct {
		groups string
		want   directory.Role
	}{{"desk", directory.Helpdesk}, {"", directory.Member}, {"desk", directory.Helpdesk}} {
		w.inside(w.enter(w.Browser(t), idp, c, person(ada, "groups", step.groups)), w.org, "Ada")
		if got := w.user(w.org, ada); got.Role != step.want {
			t.Errorf("in %q: %s, want %s", step.groups, got.Role, step.want)
		}
	}
	// By an invitation it is the same.
	w.Provision(t, w.org, "bo@elsewhere.example", "Bo")
	path := w.Invite(t, w.org, "bo@elsewhere.example", "Bo", directory.Member)
	b := w.Browser(t)
	address := toProvider(t, b.Get(path).Form("ways").Check("connection", c.ID).Submit(""))
	w.inside(w.answer(b, idp, c, address, person("bo@elsewhere.example", "groups", "desk")), w.org, "Bo")
	if got := w.user(w.org, "bo@elsewhere.example"); got.Role != directory.Helpdesk {
		t.Errorf("by an invitation: %s", got.Role)
	}
}

// Where a directory names the connection of its people, another one links nobody of them, unless an
// administrator approves it; not even once the named one is gone. Who came in by it before still does.
func TestADirectoryNamesTheConnectionOfItsPeople(t *testing.T) {
	w := start(t)
	idp, other := w.idp(), w.idp()
	theirs, partners := w.samlConnection(w.org, idp), w.samlConnection(w.org, other)
	choose := func(org directory.Organization, connection string) error {
		id := w.Directory(t, org).ID
		return w.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, err := w.Sources.Change(t.Context(), tx, directory.Operator(), org.ID, id, provisioning.Settings{Name: "Staff list", Provider: "entra", ConnectionID: connection})
			return err
		})
	}
	enter := func(c federation.Connection, email string) *idptest.Page {
		t.Helper()
		return w.enter(w.Browser(t), map[string]*samltest.IdP{theirs.ID: idp, partners.ID: other}[c.ID], c, person(email))
	}
	for _, email := range []string{ada, "bo@alpha.example", "cleo@alpha.example", "dan@alpha.example"} {
		w.Provision(t, w.org, email, "Somebody")
	}
	w.inside(enter(partners, "cleo@alpha.example"), w.org, "Somebody")
	if err := choose(w.org, theirs.ID); err != nil {
		t.Fatal(err)
	}
	w.refused(w.Browser(t), enter(partners, ada), partners, "directory_connection")
	w.Clock.Advance(time.Second)
	// A test of it goes well and says so: what an administrator may approve fails no test.
	w.try(w.Join(t, w.org, anton, "Anton", directory.Administrator), other, partners, person("dan@alpha.example"))
	tested := w.latest()
	if i := slices.IndexFunc(tested.Checks, func(c upstream.Check) bool { return c.Name == "directory_connection" && c.Waived }); i < 0 || tested.Refused != "" {
		t.Errorf("a test of the other one says %+v", tested)
	}
	w.inside(enter(theirs, ada), w.org, "Somebody")
	w.inside(enter(partners, "cleo@alpha.example"), w.org, "Somebody")
	trace := w.refused(w.Browser(t), enter(partners, "bo@alpha.example"), partners, "directory_connection")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.Approve(ctx, tx, directory.Operator(), w.org.ID, trace.ID)
	})
	w.inside(enter(partners, "bo@alpha.example"), w.org, "Somebody")
	outside := func() (all []string) {
		t.Helper()
		found, err := federation.Outside(t.Context(), w.DB, w.org.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range found {
			all = append(all, u.Email)
		}
		slices.Sort(all)
		return all
	}
	expect.Equal(t, "who could not sign in", len(outside()), 0)
	w.turnOff(theirs)
	expect.Equal(t, "who could not sign in any more", fmt.Sprint(outside()), fmt.Sprint([]string{ada, "dan@alpha.example"}))
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.Remove(ctx, tx, directory.Operator(), w.org.ID, theirs.ID)
	})
	w.refused(w.Browser(t), enter(partners, "dan@alpha.example"), partners, "directory_connection")
	beta := w.organization("Beta Labs", "beta")
	if err := choose(beta, partners.ID); !errors.Is(err, provisioning.ErrConnection) {
		t.Errorf("a connection of the neighbour's: %v", err)
	}
	if err := choose(w.org, ""); err != nil {
		t.Fatal(err)
	}
	w.inside(enter(partners, "dan@alpha.example"), w.org, "Somebody")
}

// A connection of a neighbour reaches nobody whom this organization's directory named.
func TestANeighboursConnectionReachesNobodyNamedHere(t *testing.T) {
	w := start(t)
	idp := w.idp()
	beta := w.organization("Beta Labs", "beta")
	c := w.samlConnection(beta, idp, creates)
	u := w.Provision(t, w.org, ada, "Ada")
	w.refused(w.Browser(t), w.enter(w.Browser(t), idp, c, person(ada)), c, "domain")
	if got := w.user(w.org, ada); got.ID != u.ID || got.HasWayIn() {
		t.Errorf("%+v", got)
	}
}

// Given and family name come along when a connection makes a user, and never over what is there.
func TestGivenAndFamilyNameComeWithAPerson(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	names := func(email string) string {
		u := w.user(w.org, email)
		return strings.Join([]string{u.Name, u.GivenName, u.FamilyName}, "|")
	}
	enter := func(email, name string, more ...string) {
		t.Helper()
		w.inside(w.enter(w.Browser(t), idp, c, person(email, append([]string{"name", name}, more...)...)), w.org, name)
	}
	enter("ada@alpha.example", "Countess", "givenName", "Ada", "sn", "Lovelace")
	expect.Equal(t, "who was made", names("ada@alpha.example"), "Countess|Ada|Lovelace")
	enter("odd@alpha.example", "Odd", "givenName", "O\u202edd", "sn", "Fellow")
	expect.Equal(t, "with a name that cannot be shown", names("odd@alpha.example"), "Odd||Fellow")
	w.inside(w.enter(w.Browser(t), idp, c, person("ada@alpha.example", "givenName", "Augusta", "sn", "King")), w.org, "Countess")
	expect.Equal(t, "the second time", names("ada@alpha.example"), "Countess|Ada|Lovelace")
	w.Provision(t, w.org, "named@alpha.example", "Named")
	w.inside(w.enter(w.Browser(t), idp, c, person("named@alpha.example", "givenName", "Other", "sn", "Name")), w.org, "Named")
	expect.Equal(t, "whom a directory keeps", names("named@alpha.example"), "Named||")
}
