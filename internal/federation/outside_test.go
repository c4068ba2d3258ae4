package federation_test

import (
	"context"
	"net/url"
	"slices"
	"testing"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/upstream"
)

// Outside returns exactly the people whom no connection that is on could link or let in.
func TestOutsideIsWhoNoConnectionCouldLetIn(t *testing.T) {
	w := start(t)
	const mia = "mia@elsewhere.example" // of no proven domain
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	w.Join(t, w.org, owner, "Olga", directory.Member)
	w.inside(w.enter(w.Browser(t), idp, c, person(owner)), w.org, "Olga")
	w.Join(t, w.org, ada, "Ada", directory.Member)
	w.Join(t, w.org, mia, "Mia", directory.Member)
	const rita, otto = "rita@alpha.example", "otto@alpha.example"
	w.Join(t, w.org, anton, "Anton", directory.Administrator) // proves a link by a password
	w.Join(t, w.org, rita, "Rita", directory.Administrator)   // whose password must be changed, so it proves nothing
	w.Join(t, w.org, otto, "Otto", directory.Owner)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := credential.DemandChange(ctx, tx, directory.Operator(), w.org.ID, w.user(w.org, rita).ID)
		return err
	})
	outside := func(state string, want ...string) {
		t.Helper()
		users, err := federation.Outside(t.Context(), w.DB, w.org.ID)
		var got []string
		for _, u := range users {
			got = append(got, u.Email)
		}
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: outside are %v, want %v (%v)", state, got, want, err)
		}
	}
	outside("on and vouching", mia, rita)
	w.change(c, func(c *federation.Connection) error { c.Vouches = false; return nil })
	outside("on, vouching for nobody", mia, rita, anton, ada, otto)
	w.turnOff(c)
	outside("off", mia, rita, anton, ada, otto, owner)
}

// Turning off or removing a connection ends the sessions that it vouched for, unless the box for that
// is unticked.
func TestSessionsEndWithTheirConnectionUnlessUnticked(t *testing.T) {
	w := start(t)
	x := w.trusting()
	other := w.samlConnection(w.org, w.idp(), creates)
	path := w.org.Path("admin", "connections", other.ID)
	theirs := w.Browser(t)
	w.inside(w.enter(theirs, x.idp, x.c, person(owner)), w.org, "Olga")
	form := x.anton.Get(x.path).Form("turn-off").Submit("off").Form("main")
	if !slices.Equal(form.Values["sessions"], []string{"yes"}) {
		t.Errorf("the page does not offer to end the sessions: %v", form.Values)
	}
	idptest.Want(t, x.anton.Post(x.path, url.Values{"do": {"off"}, "confirmed": {"yes"}}), idptest.Status(200))
	if !w.signedIn(theirs) {
		t.Error("unticked, the session ended")
	}
	x.anton.Post(path, url.Values{"do": {"off"}, "confirmed": {"yes"}, "sessions": {"yes"}})
	if !w.signedIn(theirs) {
		t.Error("the session ended with another connection")
	}
	idptest.Want(t, x.anton.Get(x.path).Form("remove").Submit("remove").Form("main").Submit("remove"), idptest.Status(200))
	if w.signedIn(theirs) {
		t.Error("the session of a connection that was removed goes on")
	}
	if !w.signedIn(x.anton) {
		t.Error("a session that it did not vouch for ended")
	}

	idp := w.idp()
	again := w.samlConnection(w.org, idp, creates)
	theirs = w.session(idp, again, ada, "two")
	x.anton.Get(w.org.Path("admin", "connections", again.ID)).Form("turn-off").Submit("off").Form("main").Submit("off")
	if w.signedIn(theirs) {
		t.Error("the session of a connection that was turned off goes on")
	}
}

// An expired certificate is accepted, since only its key counts, and administrators are told.
func TestAnEndedCertificateIsAcceptedAndNamed(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	w.Clock.Advance(1001 * time.Hour) // it ends after a thousand
	admin := w.Join(t, w.org, anton, "Anton", directory.Administrator)
	w.inside(w.enter(w.Browser(t), idp, c, person(ada)), w.org, "Ada Lovelace")
	trace := w.latest()
	i := slices.IndexFunc(trace.Checks, func(c upstream.Check) bool { return c.Name == "certificate_ended" })
	if i < 0 || trace.Checks[i].OK || !trace.Checks[i].Waived {
		t.Errorf("the explanation says %+v", trace.Checks)
	}
	idptest.Want(t, admin.Get(w.org.Path("admin", "connections", c.ID)), idptest.Says("console.sso.certificate_counts"))
}
