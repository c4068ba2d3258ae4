package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/provisioning"
)

const sourcesPath = "/o/alpha/admin/provisioning"

// calling is how a directory is answered that asks for its people by a token.
func (w *world) calling(t *testing.T, source, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/scim/v2/"+source+"/Users", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := w.Browser(t).Client.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
	return got.StatusCode
}

// stateOfSource is what a source of alpha may do now.
func (w *world) stateOfSource(t *testing.T, id string) provisioning.State {
	t.Helper()
	s, err := provisioning.SourceByID(t.Context(), w.DB, directory.Operator(), w.alpha.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return s.State
}

// The whole way: a source is added, gets a token that is shown once, is turned on, only watched again
// and stopped, changed, loses its token and is deleted.
func TestASourceIsAddedTurnedAndDeleted(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	idptest.Want(t, seen(t, b.Get(sourcesPath), 200), idptest.Link(sourcesPath+"/add"), idptest.LinkWith(w.alpha.source))
	var connection federation.Connection
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		connection, err = w.Hub.Create(ctx, tx, directory.Operator(), w.alpha.ID, federation.New{Provider: federation.Okta, Protocol: federation.SAML, Name: "Sign-in of freight"})
		return err
	})
	add := seen(t, b.Get(sourcesPath+"/add"), 200).Form("main")
	refused := add.Fill("name", " ").Check("invites", "yes").Submit("")
	idptest.Want(t, refused, idptest.Status(422))
	expect.Equal(t, "the box stays ticked", refused.Form("main").Values.Get("invites"), "yes")
	added := refused.Form("main").Fill("name", "Okta of freight").Fill("provider", "okta").Fill("connection_id", connection.ID).Submit("")
	at, id := added.URL.Path, strings.TrimPrefix(added.URL.Path, sourcesPath+"/")
	idptest.Want(t, seen(t, added, 200), idptest.Says("console.provisioning.added"), idptest.Says("console.provisioning.watching_what"), idptest.Says("console.provisioning.guide.okta.1"),
		idptest.Says("console.provisioning.no_tokens"), idptest.Shows("/scim/v2/"+id), idptest.SaysNot("console.provisioning.no_brake"))

	idptest.Want(t, added, idptest.Shows("Sign-in of freight"))
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.Remove(ctx, tx, directory.Operator(), w.alpha.ID, connection.ID)
	})
	idptest.Want(t, b.Get(at), idptest.Says("console.provisioning.connection_removed"))
	expect.Equal(t, "the choice stays", b.Get(at).Form("main").Values.Get("connection_id"), connection.ID)

	again := add.Fill("name", "Okta of freight").Fill("connection_id", connection.ID).Submit("")
	idptest.Want(t, again, idptest.Status(422), idptest.Says("provisioning.name_taken"))
	expect.Equal(t, "a choice that is not there any more", again.Form("main").Values.Get("connection_id"), connection.ID)
	again = again.Form("main").Fill("name", "Okta of rail").Submit("")
	idptest.Want(t, again, idptest.Status(422), idptest.Says("provisioning.connection_unknown"))
	expect.Equal(t, "the same after it was refused", again.Form("main").Values.Get("connection_id"), connection.ID)

	made := seen(t, added.Form(id+"/token").Submit(""), 200)
	idptest.Want(t, made, idptest.Says("console.provisioning.once"), idptest.Link(at))
	_, rest, _ := strings.Cut(made.Body, `<code id="token" dir="ltr">`)
	token, _, _ := strings.Cut(rest, "</code>")
	if !strings.HasPrefix(token, provisioning.TokenPrefix) {
		t.Fatalf("the token is shown as %q", token)
	}
	for _, path := range []string{at, sourcesPath, at + "/calls"} {
		if p := b.Get(path); strings.Contains(p.Body, token) || strings.Contains(p.Body, strings.TrimPrefix(token, provisioning.TokenPrefix)) {
			t.Errorf("%s shows the token again", path)
		}
	}
	expect.Equal(t, "a read while it watches", w.calling(t, id, token), 200)
	idptest.Want(t, seen(t, b.Get(at), 200), idptest.Says("console.provisioning.call.read"), idptest.SaysNot("console.provisioning.no_tokens"))

	for _, c := range []struct {
		do, says, means string
		asks            bool
		state           provisioning.State
		answer          int
	}{
		{"on", "console.provisioning.turned_on", "console.provisioning.on_what", true, provisioning.On, 200},
		{"watch", "console.provisioning.watches", "console.provisioning.watching_what", false, provisioning.Watching, 200},
		{"stop", "console.provisioning.turned_off", "console.provisioning.stopped_what", true, provisioning.Stopped, 503},
	} {
		p := b.Get(at).Form("state").Submit(c.do)
		if c.asks {
			idptest.Want(t, p, idptest.Says("console.provisioning.confirm."+c.do, "Name", "Okta of freight"))
			p = presses(t, p)
		}
		idptest.Want(t, seen(t, p, 200), idptest.Path(at), idptest.Says(c.says), idptest.Says(c.means), idptest.NoElement("button", "value", c.do))
		expect.Equal(t, "the state after "+c.do, w.stateOfSource(t, id), c.state)
		expect.Equal(t, "its answer after "+c.do, w.calling(t, id, token), c.answer)
	}
	idptest.Want(t, b.Post(at, url.Values{"do": {"stop"}}), idptest.Status(http.StatusConflict), idptest.Says("provisioning.state_held"))

	saved := seen(t, b.Get(at).Form("main").Fill("name", "Entra of freight").Fill("provider", "entra").Submit(""), 200)
	idptest.Want(t, saved, idptest.Says("console.provisioning.saved"), idptest.Shows("Entra of freight"), idptest.Says("console.provisioning.guide.entra.1"))

	var tokenID string
	if found, err := w.DB.One(t.Context(), db.Into(&tokenID), `select id from source_tokens where org_id = $1 and source_id = $2`, string(w.alpha.ID), id); err != nil || !found {
		t.Fatalf("no token: %v", err)
	}
	idptest.Want(t, saved, idptest.Input("token", tokenID))
	asked := b.Post(at, url.Values{"do": {"revoke"}, "token": {tokenID}})
	idptest.Want(t, asked, idptest.Says("console.provisioning.confirm.revoke", "Name", "Entra of freight"), idptest.Says("console.provisioning.revoke_what"))
	idptest.Want(t, presses(t, asked), idptest.Says("console.provisioning.revoked"), idptest.Says("console.provisioning.no_tokens"))
	expect.Equal(t, "its answer without a token", w.calling(t, id, token), 401)

	asked = b.Post(at, url.Values{"do": {"delete"}})
	idptest.Want(t, asked, idptest.Says("console.provisioning.confirm.delete", "Name", "Entra of freight"))
	idptest.Want(t, presses(t, asked), idptest.Path(sourcesPath), idptest.Says("console.provisioning.deleted"), idptest.ShowsNot("Entra of freight"), idptest.LinkWith(w.alpha.source))
	idptest.Want(t, b.Get(at), idptest.Status(404))
}

// says lets alpha's source say of somebody what it says, as a call.
func (w *world) says(t *testing.T, do func(ctx context.Context, tx *db.Tx, s provisioning.Source) error) {
	t.Helper()
	s, err := provisioning.SourceByID(t.Context(), w.DB, directory.Operator(), w.alpha.ID, w.alpha.source)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Sources.Write(t.Context(), s, provisioning.Call{Method: "POST", Path: "/Users"}, func(tx *db.Tx, s provisioning.Source) error { return do(t.Context(), tx, s) }); err != nil && !errors.Is(err, provisioning.ErrUniqueness) {
		t.Fatal(err)
	}
}

// names lets alpha's source name people who are there already.
func (w *world) names(t *testing.T, emails ...string) {
	t.Helper()
	for _, email := range emails {
		w.says(t, func(ctx context.Context, tx *db.Tx, s provisioning.Source) error {
			_, err := w.Sources.CreatePerson(ctx, tx, s, provisioning.Person{Email: email, Name: email, Active: true})
			return err
		})
	}
}

// waits returns the id of what waits for alpha of a kind, about a name.
func (w *world) waits(t *testing.T, kind provisioning.Kind, name string) string {
	t.Helper()
	all, err := provisioning.WaitingFor(t.Context(), w.DB, directory.Operator(), provisioning.Source{OrgID: w.alpha.ID, ID: w.alpha.source}, 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Kind == kind && one.Name == name {
			return one.ID
		}
	}
	t.Fatalf("no %s about %s among %+v", kind, name, all)
	return ""
}

// sourceOf is the source that keeps a user of alpha.
func (w *world) sourceOf(t *testing.T, email string) string {
	t.Helper()
	u, err := directory.UserByID(t.Context(), w.DB, w.alpha.ID, directory.UserID(w.idOf(t, w.alpha.ID, "users", email)))
	if err != nil {
		t.Fatal(err)
	}
	return u.SourceID
}

// Who is there already is handed over one by one, or all members of proven domains at once, or is
// dismissed and asked for again.
func TestPeopleAreHandedToASource(t *testing.T) {
	t.Parallel()
	w := start(t)
	b, at := w.alpha.browsers[directory.Administrator], sourcesPath+"/"+w.alpha.source
	join := func(email, name string) {
		t.Helper()
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := directory.CreateFederated(ctx, tx, directory.User{OrgID: w.alpha.ID, Email: email, Name: name, Role: directory.Member, Language: "en"}, "")
			return err
		})
	}
	join("kim@alpha.example", "Kim")
	join("lou@alpha.example", "Lou")
	join("max@elsewhere.example", "Max")
	w.must(t, w.alpha.ID, `update domains set proven_at = $2 where org_id = $1 and id = $3`, db.Time(w.Clock.Now()), w.alpha.domain)
	w.names(t, "kim@alpha.example", "lou@alpha.example", "max@elsewhere.example", "helpdesk@alpha.example")

	idptest.Want(t, seen(t, b.Get(sourcesPath), 200), idptest.Source(">4</td>"))
	page := seen(t, b.Get(at), 200)
	idptest.Want(t, page, idptest.Says("console.provisioning.waits.adopt_person", "Name", "Kim", "Email", "kim@alpha.example"), idptest.Says("console.provisioning.agree.adopt_person"),
		idptest.Element("button", "value", "adopt"))
	kim := url.Values{"do": {"agree"}, "waiting": {w.waits(t, provisioning.AdoptPerson, "Kim")}}
	asked := b.Post(at, kim)
	idptest.Want(t, asked, idptest.Says("console.provisioning.waits.adopt_person", "Name", "Kim", "Email", "kim@alpha.example"), idptest.Says("console.provisioning.follows.adopt_person"))
	expect.Equal(t, "Kim's source before", w.sourceOf(t, "kim@alpha.example"), "")
	idptest.Want(t, presses(t, asked), idptest.Path(at), idptest.Says("console.provisioning.agreed"), idptest.NoElement("input", "value", kim.Get("waiting")))
	expect.Equal(t, "Kim's source", w.sourceOf(t, "kim@alpha.example"), w.alpha.source)
	idptest.Want(t, b.Post(at, kim), idptest.Status(http.StatusConflict), idptest.Says("provisioning.settled"))

	dismissed := b.Post(at, url.Values{"do": {"dismiss"}, "waiting": {w.waits(t, provisioning.AdoptPerson, "Lou")}})
	idptest.Want(t, dismissed, idptest.Path(at), idptest.Says("console.provisioning.dismissed"))
	expect.Equal(t, "Lou's source", w.sourceOf(t, "lou@alpha.example"), "")
	idptest.Want(t, seen(t, b.Get(sourcesPath), 200), idptest.Source(">2</td>"))
	w.Clock.Advance(time.Second)
	w.names(t, "lou@alpha.example") // asks again

	asked = b.Post(at, url.Values{"do": {"adopt"}})
	idptest.Want(t, asked, idptest.Says("console.provisioning.adopt_what"))
	idptest.Want(t, presses(t, asked), idptest.Says("console.provisioning.adopted"), idptest.Says("console.provisioning.waits.adopt_person", "Name", "Max", "Email", "max@elsewhere.example"))
	for email, want := range map[string]string{"lou@alpha.example": w.alpha.source, "max@elsewhere.example": "", "helpdesk@alpha.example": ""} {
		expect.Equal(t, "the source of "+email, w.sourceOf(t, email), want)
	}
	w.waits(t, provisioning.AdoptPerson, "Max")
	helpdesk := w.alpha.browsers[directory.Helpdesk]
	if p := helpdesk.Post(at, url.Values{"do": {"adopt"}, "confirmed": {"yes"}}); p.Status < 400 {
		t.Errorf("helpdesk hands people over: %d", p.Status)
	}
	idptest.Want(t, w.beta.browsers[directory.Owner].Post("/o/beta/admin/provisioning/"+w.alpha.source, url.Values{"do": {"stop"}}), idptest.Status(404))
}

// A batch of people whom a source shut out is brought back by one button, and the source is stopped;
// a deletion that is held is agreed to.
func TestABatchIsBroughtBack(t *testing.T) {
	t.Parallel()
	w := start(t)
	b, at := w.alpha.browsers[directory.Administrator], sourcesPath+"/"+w.alpha.source
	ids := make([]string, 12)
	for i := range ids {
		w.says(t, func(ctx context.Context, tx *db.Tx, s provisioning.Source) error {
			p, err := w.Sources.CreatePerson(ctx, tx, s, provisioning.Person{Email: fmt.Sprintf("p%02d@alpha.example", i), Name: fmt.Sprintf("Driver %02d", i), Active: true})
			ids[i] = string(p.User.ID)
			return err
		})
	}
	w.Clock.Advance(time.Second) // who is shut out at the instant when they were made was never in
	for i, id := range ids[:11] {
		w.says(t, func(ctx context.Context, tx *db.Tx, s provisioning.Source) error {
			was, err := s.Person(ctx, tx, id)
			if err == nil {
				_, err = w.Sources.PutPerson(ctx, tx, s, was, provisioning.Person{Email: was.User.Email, Name: was.User.Name})
			}
			return err
		})
		expect.Equal(t, fmt.Sprintf("person %d is in", i), w.isIn(t, id), false)
	}
	w.Clock.Advance(time.Second) // calls of one instant have no order, and the page shows the last ones
	w.says(t, func(ctx context.Context, tx *db.Tx, s provisioning.Source) error {
		_, err := w.Sources.DeletePerson(ctx, tx, s, ids[11])
		return err
	})
	source := "Directory of alpha"
	idptest.Want(t, seen(t, b.Get(at), 200), idptest.Says("console.provisioning.waits.whole_batch", "Name", source), idptest.Says("console.provisioning.agree.whole_batch"),
		idptest.Says("console.provisioning.waits.delete_person", "Name", "Driver 11"), idptest.Says("console.provisioning.call.held"))

	asked := b.Post(at, url.Values{"do": {"agree"}, "waiting": {w.waits(t, provisioning.DeletePerson, "Driver 11")}})
	idptest.Want(t, asked, idptest.Says("console.provisioning.follows.delete_person"))
	idptest.Want(t, presses(t, asked), idptest.Says("console.provisioning.agreed"))
	asked = b.Post(at, url.Values{"do": {"agree"}, "waiting": {w.waits(t, provisioning.WholeBatch, source)}})
	idptest.Want(t, asked, idptest.Says("console.provisioning.waits.whole_batch", "Name", source), idptest.Says("console.provisioning.follows.whole_batch"))
	idptest.Want(t, presses(t, asked), idptest.Says("console.provisioning.agreed"), idptest.Says("console.provisioning.stopped_what"))
	for i, id := range ids {
		expect.Equal(t, fmt.Sprintf("person %d is in again", i), w.isIn(t, id), i < 11)
	}
}

func (w *world) isIn(t *testing.T, id string) bool {
	t.Helper()
	u, err := directory.UserByID(t.Context(), w.DB, w.alpha.ID, directory.UserID(id))
	if err != nil {
		t.Fatal(err)
	}
	return u.Closed() == nil
}

// A source that the operator made without a brake is marked, in the list and on its page.
func TestASourceWithoutABrakeIsMarked(t *testing.T) {
	t.Parallel()
	w := start(t)
	var s provisioning.Source
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		s, err = w.Sources.Create(ctx, tx, directory.Operator(), w.alpha.ID, provisioning.Settings{Name: "Suite", Provider: "other"}, false)
		return err
	})
	for _, role := range []directory.Role{directory.Administrator, directory.Auditor} {
		b := w.alpha.browsers[role]
		idptest.Want(t, seen(t, b.Get(sourcesPath), 200), idptest.Says("console.provisioning.no_brake"), idptest.Element("span", "class", "chip bad"))
		idptest.Want(t, seen(t, b.Get(sourcesPath+"/"+s.ID), 200), idptest.Says("console.provisioning.no_brake_what"), idptest.Element("div", "class", "notice bad"))
		idptest.Want(t, seen(t, b.Get(sourcesPath+"/"+w.alpha.source), 200), idptest.SaysNot("console.provisioning.no_brake_what"))
	}
	idptest.Want(t, w.beta.browsers[directory.Owner].Get("/o/beta/admin/provisioning"), idptest.SaysNot("console.provisioning.no_brake"))
}
