package op_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// change changes the settings of an application.
func (w *world) change(c client, change func(*application.Settings)) {
	w.t.Helper()
	s := c.Settings
	change(&s)
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		_, err := application.Change(ctx, tx, directory.Operator(), w.URL, c.Application, s)
		return err
	})
}

// R-OPR-01: an address that is no longer registered gets no answer, even if its request came
// before: while a page asks, after a push, or with a code already issued.
func TestOPR1AnAddressThatIsRegisteredNoMoreGetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Asks = true }))
	own := w.books()
	pushed := w.call(own, "/par", own.request()).text("request_uri")
	code := w.code(w.bo, own)
	asking := authorize(w.bo, c.request())
	if asking.URL.Path != "/authorize/consent" || pushed == "" {
		t.Fatalf("nothing waits: %s %q", asking.URL, pushed)
	}
	moved := func(s *application.Settings) { s.RedirectURIs = []string{"https://books.example/new"} }
	w.change(c, moved)
	w.change(own, moved)
	if p := asking.Form("main").Submit("allow"); answer(p) != nil || p.Status != http.StatusGone {
		t.Errorf("a code went to %q (%d)", p.Links(), p.Status)
	}
	wantPage(t, "pushed before", w.bo.Get("/authorize?client_id="+string(own.ID)+"&request_uri="+pushed), http.StatusBadRequest)
	w.wantError("a code on its way", w.redeem(own, code), http.StatusBadRequest, "invalid_grant")
}

// Registered claims reveal no more than the scopes that the person was asked for.
func TestOPR5ACustomClaimNeedsItsScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) {
		s.Scopes, s.InIDToken = []string{application.OpenID, application.ProfileInfo}, true
		s.Claims = []application.Claim{{Name: "mail", Source: "email"}, {Name: "rank", Source: "role"}, {Name: "called", Source: "name"}}
	}))
	r := w.enter(w.bo, c)
	for what, said := range map[string]map[string]any{"UserInfo": w.userInfo(r.text("access_token")).JSON, "the ID token": w.claims(r.text("id_token"), "JWT")} {
		if said["called"] != "Bo Lind" || said["mail"] != nil || said["rank"] != nil {
			t.Errorf("%s says %v", what, said)
		}
	}
}

// The language that an application asks for is used on the pages of its own request only, and is
// not stored as a choice.
func TestAnApplicationsLanguageHoldsForItsRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	books, desk := w.books(), w.register("", application.Web, web())
	speaks := func(p *idptest.Page, lang string) *idptest.Page {
		t.Helper()
		return idptest.Want(t, p, idptest.Element("html", "lang", lang))
	}
	b := stopping(w.Browser(t))
	p := speaks(authorize(b, books.request("ui_locales", "fr-CA en", "organization", "meridian")), "fr")
	speaks(b.Get(p.URL.String()), "fr") // also when it is loaded again
	speaks(p.Form("main").Fill("email", "bo@meridian.example").Fill("password", "wrong").Submit(""), "fr")
	authorize(b, books.request("ui_locales", "fr", "prompt", "none"))
	speaks(authorize(b, desk.request("organization", "meridian")), "en")
	speaks(b.Get("/end-session?client_id="+string(books.ID)+"&ui_locales=fr"), "fr")
	speaks(b.Get("/sign-in"), "en")
	p.Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")
	speaks(b.Get("/o/meridian/home"), "en")
}

// A signed-in person gets their own language, whatever an application asks for.
func TestAnApplicationsLanguageDoesNotReplaceAPersons(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, web())
	w.Clock.Advance(time.Minute) // so that the session is older than the requests
	for name, page := range map[string]*idptest.Page{
		"the choice":      authorize(w.bo, c.request("ui_locales", "fr", "prompt", "select_account")),
		"a new sign-in":   authorize(w.bo, c.request("ui_locales", "fr", "prompt", "login")),
		"the consent":     authorize(w.bo, c.request("ui_locales", "fr", "prompt", "consent")),
		"the signing out": w.bo.Get("/end-session?client_id=" + string(c.ID) + "&ui_locales=fr"),
	} {
		if page.Status != 200 || page.Lang() != "en" {
			t.Errorf("%s speaks %q (%d) on %s", name, page.Lang(), page.Status, page.URL)
		}
	}
}

// A hint that is older than our keys leads to a question, not to an error. A hint that we never
// signed is refused.
func TestOPR9AHintOlderThanOurKeysAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	hint := w.enter(w.bo, c).text("id_token")
	if err := w.Provider.Keys.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if p := w.bo.Get("/end-session?" + with(url.Values{}, "id_token_hint", hint, "post_logout_redirect_uri", bye).Encode()); p.URL.Path != "/end-session/confirm" || !in(w.bo) {
		t.Errorf("led to %s (%d)", p.URL, p.Status)
	}
	if got := answer(authorize(w.bo, c.request("id_token_hint", hint, "prompt", "none"))).Get("error"); got != "login_required" {
		t.Errorf("a silent check says %q", got)
	}
}

// A hint counts as older than our keys only if it names our issuer and a key that is gone. A
// forged hint gains nothing by that.
func TestOPR9AForgedHintIsNoOldOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	w.enter(w.bo, c)
	kid := w.published(application.ES256)[0]
	evil, says := secret.NewECKey(), claims{"iss": w.URL, "aud": string(c.ID), "sub": "x", "sid": "y"}
	typ := func() *jose.SignerOptions { return (&jose.SignerOptions{}).WithType("JWT") }
	for name, forged := range map[string]struct{ hint, want string }{
		"under the name of our key": {sign(t, evil, typ().WithHeader("kid", kid), says), "invalid_request"},
		"of no key":                 {sign(t, evil, typ(), says), "invalid_request"},
		"of a key without a name":   {sign(t, evil, typ().WithHeader("kid", ""), says), "invalid_request"},
		"of another issuer":         {sign(t, evil, typ().WithHeader("kid", "key_gone"), claims{"iss": "https://evil.example", "aud": string(c.ID)}), "invalid_request"},
		"of another type":           {sign(t, evil, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "key_gone"), says), "invalid_request"},
		"of a key that nobody has":  {sign(t, evil, typ().WithHeader("kid", "key_gone"), says), "login_required"},
	} {
		if got := answer(authorize(w.bo, c.request("id_token_hint", forged.hint, "prompt", "none"))).Get("error"); got != forged.want {
			t.Errorf("%s: %q, want %s", name, got, forged.want)
		}
	}
}

// An application that does not answer, with many waiting sign-outs, delays only itself.
func TestOPR9OneSilentApplicationStarvesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent, quick := w.receiver(http.StatusOK), w.receiver(http.StatusOK)
	silent.wait = make(chan struct{})
	defer close(silent.wait)
	dead := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = silent.URL }))
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = quick.URL }))
	w.Update(t, func(ctx context.Context, tx *db.Tx) error { // as if 600 people had signed out
		_, err := tx.Exec(ctx, `
			with recursive n(i) as (select 1 union all select i + 1 from n where i < 600)
			insert into logouts (org_id, id, client_id, user_id, session_id, created_at, next_try_at, tries)
			select cast($1 as text), 'out_' || i, cast($2 as text), 'usr', 'ses', cast($3 as bigint), cast($3 as bigint), 0 from n`,
			string(w.org.ID), string(dead.ID), db.Time(tx.Now().Add(-time.Second)))
		return err
	})
	w.enter(w.bo, c)
	w.signOut(w.bo)
	w.sweep()
	if quick.times() != 1 {
		t.Errorf("the quick one was told %d times", quick.times())
	}
	if n := w.countWhere("logouts", "client_id = '"+string(dead.ID)+"' and tries > 0"); n == 0 || n > 4 {
		t.Errorf("%d calls are on the way to the silent one", n)
	}
}

// A person who may not use a device's application is told so, and not led in a circle.
func TestADeviceOfAForbiddenApplicationSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Devices = true }))
	code := w.call(c, "/device_authorization", with(url.Values{}, "scope", "openid")).text("user_code")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Standing: application.Forbidden, Audience: application.Everyone})
	})
	p := w.bo.Get("/device?user_code=" + code)
	if p.Status != http.StatusForbidden || !p.Says("Books") {
		t.Fatalf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	if p = p.Form("main").Submit("other"); !strings.HasPrefix(p.URL.Path, "/sign-in/att_") {
		t.Errorf("somebody else cannot sign in: %s", p.URL)
	}
}
