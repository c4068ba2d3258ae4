package console_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// The page of a person who has no way in yet says so, and invites them in place of a reset.
func TestThePageOfAPersonWithoutAWayIn(t *testing.T) {
	t.Parallel()
	w := start(t)
	var u directory.User
	source := w.Directory(t, w.alpha.Organization)
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		u, err = directory.Provision(ctx, tx, source, directory.User{
			OrgID: w.alpha.ID, Email: "ada@alpha.example", Name: "Countess", GivenName: "Ada", FamilyName: "Lovelace", ExternalID: "00u-77", Language: "en",
		})
		return err
	})
	b, path := w.alpha.browsers[directory.Helpdesk], "/o/alpha/admin/people/"+string(u.ID)
	idptest.Want(t, seen(t, b.Get("/o/alpha/admin/people?q=countess"), 200), idptest.Says("console.state.no_way_in"))
	page := seen(t, b.Get(path), 200)
	idptest.Want(t, page, idptest.Says("console.state.no_way_in"), idptest.Says("console.person.no_way_in"), idptest.Says("console.person.kept", "Source", source.Name),
		idptest.Shows("Lovelace"), idptest.Shows("00u-77"), idptest.Says("console.deed.reset_invites"), idptest.NoLink(path+"/email"))
	change := url.Values{"person[]": {string(u.ID)}, "deed": {"reset"}}
	confirm := seen(t, b.Post("/o/alpha/admin/people/change", change), 200)
	done := confirm.Form("main").Submit("")
	idptest.Want(t, done, idptest.Says("console.deed.reset_invited", "Name", "Countess"))
	if link := w.Link(t, "ada@alpha.example", "/invitation/"); link == "" {
		t.Error("no invitation came")
	}
	// The invitation and the person are one line, by whatever the list is sorted; among invitations it is one.
	for query, links := range map[string]int{"q=ada@alpha": 0, "q=ada@alpha&sort=state": 0, "q=ada@alpha&sort=role": 0, "state=invited&q=ada@alpha": 1} {
		list := strings.Join(seen(t, b.Get("/o/alpha/admin/people?"+query), 200).Links(), " ")
		expect.Equal(t, "invitations by "+query, strings.Count(list, "/admin/invitations/"), links)
		expect.Equal(t, "people by "+query, strings.Count(list, path), 1-links)
	}
	idptest.Want(t, b.Get(path), idptest.NoElement("button", "value", "new-password"))
	idptest.Want(t, b.Post("/o/alpha/admin/people/change", url.Values{"person[]": {string(u.ID)}, "deed": {"new-password"}}), idptest.Says("credential.no_password"))
	admin := w.alpha.browsers[directory.Administrator]
	idptest.Want(t, admin.Get(path+"/email"), idptest.Says("directory.provisioned"), idptest.NoField("email"))
	idptest.Want(t, admin.Post(path+"/email", url.Values{"email": {"other@alpha.example"}}), idptest.Status(409))
	idptest.Want(t, w.beta.browsers[directory.Owner].Get("/o/beta/admin/people/"+string(u.ID)), idptest.Status(404))
}

// Whom their directory shut out can be shut out here as well: then it does not let them in again.
func TestSomebodyIsShutOutOnTopOfTheirDirectory(t *testing.T) {
	t.Parallel()
	w := start(t)
	source := w.Directory(t, w.alpha.Organization)
	var u directory.User
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		if u, err = directory.Provision(ctx, tx, source, directory.User{OrgID: w.alpha.ID, Email: "ada@alpha.example", Name: "Ada", Language: "en"}); err != nil {
			return err
		}
		return directory.Deactivate(ctx, tx, source, w.alpha.ID, u.ID)
	})
	b, path := w.alpha.browsers[directory.Administrator], "/o/alpha/admin/people/"+string(u.ID)
	idptest.Want(t, seen(t, b.Get(path), 200), idptest.Says("console.person.shut_out_there", "Source", source.Name), idptest.Element("button", "value", "reactivate"),
		idptest.Element("button", "value", "deactivate"))
	change := url.Values{"person[]": {string(u.ID)}, "deed": {"deactivate"}}
	idptest.Want(t, presses(t, b.Post("/o/alpha/admin/people/change", change)), idptest.Says("console.deed.deactivate_done", "Count", 1, "Name", "Ada"))
	idptest.Want(t, b.Get(path), idptest.SaysNot("console.person.shut_out_there", "Source", source.Name), idptest.NoElement("button", "value", "deactivate"))
	if err := w.DB.Update(t.Context(), func(tx *db.Tx) error { return directory.Reactivate(t.Context(), tx, source, w.alpha.ID, u.ID) }); !errors.Is(err, directory.ErrShutOutHere) {
		t.Errorf("the directory lets them in again: %v", err)
	}
}

// A group of a directory is shown and not changed here.
func TestAGroupOfADirectoryIsNotChangedHere(t *testing.T) {
	t.Parallel()
	w := start(t)
	var g directory.Group
	source := w.Directory(t, w.alpha.Organization)
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		g, err = directory.ProvisionGroup(ctx, tx, source, w.alpha.ID, "Staff", "g-1")
		return err
	})
	b, path := w.alpha.browsers[directory.Administrator], "/o/alpha/admin/groups/"+g.ID
	member := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	idptest.Want(t, seen(t, b.Get(path), 200), idptest.Says("console.group.kept", "Source", source.Name), idptest.NoField("name"), idptest.NoLink(path+"/add"))
	for name, send := range map[string]func() *idptest.Page{
		"renamed": func() *idptest.Page { return b.Post(path, url.Values{"name": {"Others"}, "do": {"rename"}}) },
		"deleted": func() *idptest.Page { return b.Post(path, url.Values{"do": {"delete"}, "confirmed": {"yes"}}) },
		"filled":  func() *idptest.Page { return b.Post(path+"/add", url.Values{"person[]": {member}}) },
	} {
		if p := send(); !p.Says(idptest.Sentence(t, "directory.provisioned")) {
			t.Errorf("%s: %d %s", name, p.Status, p.Text())
		}
	}
}
