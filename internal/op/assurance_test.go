package op_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

const (
	home = "/o/meridian/home"
	add  = "/o/meridian/account/security/add"
)

// proved is what an ID token says about how a person signed in.
type proved struct {
	acr, amr string
	at       time.Time
}

// proved signs in to c, without a page in between, and reads the ID token.
func (w *world) proved(b *idptest.Browser, c client, more ...string) proved {
	w.t.Helper()
	return w.read(w.enter(b, c, more...))
}

func (w *world) read(r reply) proved {
	w.t.Helper()
	id := w.claims(r.text("id_token"), "JWT")
	var p proved
	p.acr, _ = id["acr"].(string)
	for _, m := range id["amr"].([]any) {
		p.amr += " " + m.(string)
	}
	p.amr = strings.TrimSpace(p.amr)
	at, _ := id["auth_time"].(float64)
	p.at = time.Unix(int64(at), 0).UTC()
	return p
}

// says compares what an ID token says with what is true.
func (w *world) says(got proved, acr, amr string, at time.Time) {
	w.t.Helper()
	if want := (proved{acr, amr, at.Truncate(time.Second).UTC()}); got != want {
		w.t.Errorf("it says %v, and %v is true", got, want)
	}
}

// asked returns the form of the page on which a request makes the person prove something.
func (w *world) asked(b *idptest.Browser, c client, field string, more ...string) *idptest.Form {
	w.t.Helper()
	p := authorize(b, c.request(more...))
	if !strings.HasPrefix(p.URL.Path, "/sign-in/att_") || !p.Has("input", "name", field) {
		w.t.Fatalf("at %s (%d), not asked for %s: %s", p.URL, p.Status, field, p.Text())
	}
	return p.Form("main")
}

// after exchanges the code on the page that leads on to the application.
func (w *world) after(p *idptest.Page, c client) reply {
	w.t.Helper()
	r := w.redeem(c, answer(p).Get("code"))
	if r.Status != http.StatusOK {
		w.t.Fatalf("at %s (%d) %s: %d %s", p.URL, p.Status, p.Text(), r.Status, r.Body)
	}
	return r
}

// signsIn signs Bo in, in a new browser, with a password and, if app is given, its code.
func (w *world) signsIn(app string) *idptest.Browser {
	w.t.Helper()
	b := stopping(w.Browser(w.t))
	p := b.Get("/o/meridian").Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")
	if app != "" {
		p = p.Form("main").Fill("code", idptest.Code(app, w.Clock.Now())).Submit("")
	}
	if p.URL.Path != home {
		w.t.Fatalf("at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return b
}

// app enrolls an authenticator app for Bo in his browser.
func (w *world) app() string {
	w.t.Helper()
	_, seed := w.EnrolApp(w.t, w.bo.Get(add), "Phone")
	w.Clock.Advance(time.Minute) // its next code is unused
	return seed
}

// Applications learn truly what was proved at the sign-in, and when.
func TestWhatIsToldOfASignInIsTrue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idptest.Named)
	c := w.books()
	w.says(w.proved(w.bo, c), "aal1", "pwd", w.Clock.Now())

	w.Clock.Advance(5 * time.Minute)
	key := w.Authenticator()
	w.EnrolPasskey(t, w.bo.Get(add), "Laptop", key)
	w.Clock.Advance(time.Minute)
	seed := w.app()
	at := w.Clock.Now()
	both := w.signsIn(seed)
	w.Clock.Advance(20 * time.Minute)
	w.says(w.proved(both, c), "aal2", "pwd otp mfa", at)

	b := stopping(w.Browser(t))
	if p := b.EnterWithPasskey("/o/meridian", key); p.URL.Path != home {
		t.Fatal(p.Text())
	}
	w.says(w.proved(b, c), "aal2", "hwk user mfa", w.Clock.Now())
	// A refreshed token still has the time of the sign-in (OIDC Core §12.2).
	r, then := w.enter(b, c), w.Clock.Now()
	w.Clock.Advance(time.Hour)
	w.says(w.read(w.refresh(c, r.text("refresh_token"))), "aal2", "hwk user mfa", then)
}

// An application that asks for aal2 gets it: the person takes one more step, and does not sign
// in again.
func TestAnApplicationAsksForASecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	elsewhere := w.signsIn("") // before Bo had an app
	start := w.Clock.Now()
	seed := w.app()
	w.says(w.proved(elsewhere, c), "aal1", "pwd", start)
	w.says(w.proved(elsewhere, c, "acr_values", "aal1"), "aal1", "pwd", start)
	w.says(w.proved(elsewhere, c, "acr_values", "aal2 aal1"), "aal1", "pwd", start)
	w.says(w.proved(elsewhere, c, "acr_values", "phr urn:unknown"), "aal1", "pwd", start)
	if got := answer(authorize(elsewhere, c.request("acr_values", "aal2", "prompt", "none"))); got.Get("error") != "interaction_required" {
		t.Errorf("without a page: %v", got)
	}
	p := w.asked(elsewhere, c, "code", "acr_values", "aal2").Fill("code", idptest.Code(seed, w.Clock.Now())).Submit("")
	w.says(w.read(w.after(p, c)), "aal2", "pwd otp mfa", w.Clock.Now())
	w.says(w.proved(elsewhere, c, "acr_values", "aal2", "prompt", "none"), "aal2", "pwd otp mfa", w.Clock.Now())
}

// A person without a second factor is not asked for ever: the application gets an error (OIDC
// Core §3.1.2.6, RFC 9470 §5).
func TestAnAssuranceThatNobodyReachesIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for _, more := range [][]string{{}, {"prompt", "none"}, {"max_age", "3600"}} {
		p := authorize(w.bo, c.request(append(more, "acr_values", "aal2")...))
		if got := answer(p); got.Get("error") != "unmet_authentication_requirements" || got.Get("state") != "st/ate &+1" || p.Status != http.StatusSeeOther {
			t.Errorf("with %v: %d %v", more, p.Status, got)
		}
	}
	// A person who signs in for that request is asked once, with the same result.
	b := stopping(w.Browser(t))
	p := w.asked(b, c, "password", "acr_values", "aal2").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")
	if got := answer(p); got.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("at %s (%d): %v", p.URL, p.Status, got)
	}
}

// Under the modern rules a session counts as one factor again a day after the second was proved
// (R-SES-04); under the classic rules it keeps counting as two.
func TestAssuranceDecaysUnderModernRules(t *testing.T) {
	t.Parallel()
	for preset, acr := range map[credential.Preset]string{credential.PresetModern: "aal1", credential.PresetClassic: "aal2"} {
		t.Run(string(preset), func(t *testing.T) {
			w := newWorld(t)
			c := w.books()
			seed := w.app()
			b, at := w.signsIn(seed), w.Clock.Now()
			rules := credential.Classic
			if preset == credential.PresetModern {
				rules = credential.Modern
			}
			w.Update(t, func(ctx context.Context, tx *db.Tx) error {
				return credential.SetRules(ctx, tx, directory.Operator(), w.org.ID, rules, false)
			})
			held := w.enter(b, c)
			for range 47 { // in use all day
				w.Clock.Advance(30 * time.Minute)
				b.Get(home)
			}
			w.says(w.proved(b, c), "aal2", "pwd otp mfa", at)
			w.Clock.Advance(31 * time.Minute)
			w.says(w.proved(b, c), acr, "pwd otp mfa", at)
			w.says(w.read(w.refresh(c, held.text("refresh_token"))), "aal2", "pwd otp mfa", at) // as it was then
			if acr == "aal2" {
				w.says(w.proved(b, c, "acr_values", "aal2"), "aal2", "pwd otp mfa", at)
				return
			}
			p := w.asked(b, c, "code", "acr_values", "aal2").Fill("code", idptest.Code(seed, w.Clock.Now())).Submit("")
			w.says(w.read(w.after(p, c)), "aal2", "pwd otp mfa", w.Clock.Now())
		})
	}
}

// max_age and prompt=login require a proof that is fresh enough, and ask for it once.
func TestAnApplicationAsksForAFreshProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for _, more := range [][]string{{"max_age", "0"}, {"max_age", "1"}, {"prompt", "login"}, {"prompt", "login", "max_age", "10000"}} {
		w.Clock.Advance(2 * time.Second)
		if got := answer(authorize(w.bo, c.request("max_age", "1", "prompt", "none"))); got.Get("error") != "login_required" {
			t.Errorf("without a page: %v", got)
		}
		form := w.asked(w.bo, c, "password", more...)
		w.Clock.Advance(2 * time.Second)
		w.says(w.read(w.after(form.Fill("password", idptest.Password).Submit(""), c)), "aal1", "pwd", w.Clock.Now())
	}
	at := w.Clock.Now()
	w.Clock.Advance(time.Second)
	w.says(w.proved(w.bo, c, "max_age", "1"), "aal1", "pwd", at)

	// A person with a second factor proves that one.
	seed := w.app()
	p := w.asked(w.bo, c, "code", "prompt", "login").Fill("code", idptest.Code(seed, w.Clock.Now())).Submit("")
	w.says(w.read(w.after(p, c)), "aal2", "pwd otp mfa", w.Clock.Now())
}
