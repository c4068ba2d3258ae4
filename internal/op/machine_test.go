package op_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// The first token may be requested before any key exists; the one writer of SQLite must not wait
// for itself then.
func TestTheFirstTokenOfAllIsAMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Machine, application.Settings{Name: "Robot", Auth: application.Secret, OwnBehalf: true})
	r := w.call(c, "/token", url.Values{"grant_type": {"client_credentials"}})
	if r.Status != http.StatusOK {
		t.Fatalf("answered %d %s", r.Status, r.Body)
	}
	if got := w.claims(r.text("access_token"), "at+jwt"); got["sub"] != string(c.ID) {
		t.Errorf("the token says %v", got)
	}
}

// ofItself returns an access token that an application got for itself.
func (w *world) ofItself(c client, scope string) string {
	w.t.Helper()
	r := w.call(c, "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})
	if r.Status != http.StatusOK {
		w.t.Fatalf("answered %d %s", r.Status, r.Body)
	}
	return r.text("access_token")
}

// A token that an application got for itself gives what is registered now, and no more.
func TestATokenOfItselfGivesWhatIsRegisteredNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register(w.org.ID, application.Web, settings(func(s *application.Settings) {
		s.OwnBehalf, s.Scopes = true, append(s.Scopes, "books:read", "books:write")
	}))
	token := w.ofItself(c, "books:read books:write")
	w.change(c, func(s *application.Settings) { s.Scopes = append([]string{}, "openid", "books:read") })
	if got := w.call(c, "/introspect", url.Values{"token": {token}}).text("scope"); got != "books:read" {
		t.Errorf("after books:write was removed the token has %q", got)
	}
	w.change(c, func(s *application.Settings) { s.OwnBehalf = false })
	if w.active(c, token) {
		t.Error("the token goes on though the application gets none for itself any more")
	}
}

// What a machine held before its organization forbade it stays ended when it is allowed again.
func TestOPR9AMachineThatWasForbiddenStartsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register(w.org.ID, application.Machine, application.Settings{Name: "Robot", Auth: application.Secret, OwnBehalf: true})
	token := w.ofItself(c, "")
	if !w.active(c, token) {
		t.Fatal("the token does not work")
	}
	for _, standing := range []application.Standing{application.Forbidden, application.AsRegistered} {
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Standing: standing, Audience: application.Everyone})
		})
		if w.active(c, token) {
			t.Errorf("the token works where the standing is %q", standing)
		}
	}
	w.Clock.Advance(time.Second)
	if !w.active(c, w.ofItself(c, "")) {
		t.Error("a new token does not work")
	}
}

// A device whose application cannot refresh holds something no longer than its access token, and
// one that never asks holds nothing.
func TestADevicesGrantEndsWithItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Native, settings(func(s *application.Settings) {
		s.RedirectURIs, s.Auth, s.Devices, s.Refreshes = nil, application.NoAuth, true, false
	}))
	left := func() time.Duration {
		var ends time.Time
		if _, err := w.DB.One(t.Context(), db.Into((*db.Time)(&ends)), `select ends_at from grants where client_id = $1`, string(c.ID)); err != nil {
			t.Fatal(err)
		}
		return ends.Sub(w.Clock.Now())
	}
	code := w.device(w.bo, c)
	if got := left(); got > 10*time.Minute {
		t.Errorf("before the device asks, the grant lasts %s", got)
	}
	if r := w.call(c, "/token", byDevice(code)); r.Status != http.StatusOK {
		t.Fatalf("answered %d %s", r.Status, r.Body)
	}
	if got := left(); got != application.AccessLasts {
		t.Errorf("once the device asked, the grant lasts %s", got)
	}
}
