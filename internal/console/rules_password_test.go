package console_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

const passwordRules = "/o/alpha/admin/rules/password"

func (w *world) passwordRules(t *testing.T, org directory.OrgID) credential.Rules {
	t.Helper()
	r, err := credential.RulesOf(t.Context(), w.DB, org)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// joins reports whether somebody who is invited to alpha can create this password.
func (w *world) joins(t *testing.T, password string) bool {
	t.Helper()
	email := secret.NewID("new") + "@alpha.example"
	link := w.Invite(t, w.alpha.Organization, email, "Somebody New", directory.Member)
	p := w.Browser(t).Get(link).Form("main").Fill("password", password).Fill("repetition", password).Submit("")
	return strings.HasSuffix(p.URL.Path, "/home")
}

// save presses the button that saves, on a page that says what would change.
func save(t *testing.T, p *idptest.Page) *idptest.Page {
	t.Helper()
	p = seen(t, p, 200)
	idptest.Want(t, p, idptest.Says("console.password.review_title"))
	return seen(t, presses(t, p), 200)
}

// R-PWD-01: the bounds of a new password are those that the page set, tested with one character
// less and one more.
func TestPWD1PasswordsAreMeasuredByTheRulesOfTheOrganization(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	long := func(n int) string {
		var words strings.Builder
		for i := 0; words.Len() < n; i++ {
			fmt.Fprintf(&words, "Otter %d rows #", i*i*7919)
		}
		return words.String()[:n]
	}
	measure := func(rules string, passwords map[string]bool) {
		t.Helper()
		for password, want := range passwords {
			if got := w.joins(t, password); got != want {
				t.Errorf("%s: %d characters are accepted: %v", rules, len(password), got)
			}
		}
	}
	measure("classic", map[string]bool{"xQ7#vLm": false, "xQ7#vLmK": true, "xq7#vlmk": false, long(400): true, long(401): false})
	p := save(t, b.Get(passwordRules).Form("main").Fill("minimum_length", "12").Fill("maximum_length", "64").Submit("review"))
	idptest.Want(expect.Case(t, "not said to be saved"), p, idptest.Says("console.password.saved"))
	measure("classic of 12 to 64", map[string]bool{long(11): false, long(12): true, long(64): true, long(65): false})
	save(t, b.Get(passwordRules+"?preset=modern").Form("main").Submit("review"))
	measure("modern", map[string]bool{"plumsixtigerwa": false, "plumsixtigerway": true, long(400): true, long(401): false})
	if got := w.passwordRules(t, w.alpha.ID); got != credential.Modern {
		t.Errorf("alpha has %+v", got)
	}
	if got := w.passwordRules(t, w.beta.ID); got != credential.Classic {
		t.Errorf("beta has %+v", got)
	}
}

// R-PWD-01: the server enforces the bounds; what was typed stays, and the field is named.
func TestPWD1SettingsOutOfBoundsAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	for _, tt := range []struct{ preset, field, value string }{
		{"classic", "minimum_length", "7"}, {"classic", "minimum_length", "401"}, {"classic", "minimum_length", ""}, {"classic", "minimum_length", "ten"},
		{"classic", "maximum_length", "63"}, {"classic", "maximum_length", "401"}, {"classic", "history", "25"}, {"classic", "history", "-1"},
		{"classic", "reset_lifetime", "9m59s"}, {"classic", "reset_lifetime", "24h1s"}, {"classic", "reset_lifetime", "soon"},
		{"modern", "minimum_length", "14"}, {"modern", "minimum_length", "9223372036854775808"}, {"modern", "maximum_length", "63"},
	} {
		for _, do := range []string{"review", "save"} {
			p := b.Get(passwordRules+"?preset="+tt.preset).Form("main").Fill("history", "3").Fill(tt.field, tt.value).Submit(do)
			element := "input"
			if tt.field == "reset_lifetime" {
				element = "select"
			}
			of := expect.Case(t, "%s: %s of %q", tt.preset, tt.field, tt.value)
			idptest.Want(of, p, idptest.Status(422), idptest.Element(element, "aria-invalid", "true"), idptest.Source(`id="`+tt.field+`-error"`))
			back := p.Form("main").Values
			if element == "input" {
				expect.Equal(of, "what was typed", back.Get(tt.field), tt.value)
			}
			if tt.field != "history" {
				expect.Equal(of, "history", back.Get("history"), "3")
			}
		}
	}
	typed := url.Values{"preset": {"modern"}, "minimum_length": {"15"}, "maximum_length": {"400"}, "history": {"0"}, "reset_lifetime": {"30m0s"}, "do": {"save"}}
	idptest.Want(expect.Case(t, "modern with a digit"), b.Post(passwordRules, with(typed, "digit", "yes")),
		idptest.Status(422), idptest.Says("credential.rules.modern_classes"))
	for name, form := range map[string]url.Values{
		"an unknown preset": {"preset": {"none"}, "do": {"save"}}, "an expiry": with(typed, "expires", "90"), "no preset": {"do": {"save"}},
	} {
		if p := b.Post(passwordRules, form); p.Status != 400 {
			t.Errorf("%s: %d", name, p.Status)
		}
	}
	if p := b.Get(passwordRules + "?preset=none"); p.Status != 400 {
		t.Errorf("an address with an unknown preset: %d", p.Status)
	}
	if got := w.passwordRules(t, w.alpha.ID); got != credential.Classic {
		t.Errorf("a refused form changed the rules to %+v", got)
	}
}

// Before anything is saved the page says what it means and whom it affects; a shorter history
// deletes what is no longer needed, and nothing of another organization.
func TestPWD7LoweringTheHistoryIsSaidAndDone(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for _, o := range []organization{w.alpha, w.beta} {
			for n := range 6 {
				if _, err := tx.Exec(ctx, `insert into password_history (org_id, user_id, id, hash, set_at) values ($1, $2, $3, 'x', $4)`,
					string(o.ID), o.user, secret.NewID("pwh"), n); err != nil {
					return err
				}
			}
		}
		return nil
	})
	hashes := func(o organization) (n int) {
		if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from password_history where org_id = $1`, string(o.ID)); err != nil {
			t.Fatal(err)
		}
		return n
	}
	p := seen(t, b.Get(passwordRules), 200)
	for _, said := range []string{idptest.Sentence(t, "console.password.meets", "Count", 5), idptest.Sentence(t, "console.password.effect.classic"), idptest.Sentence(t, "console.password.to_modern"), idptest.Sentence(t, "console.password.reach_hashes", "Count", 6)} {
		if !p.Says(said) {
			t.Errorf("the page does not say %q: %s", said, p.Text())
		}
	}
	form := p.Form("main").Fill("history", "4").Fill("reset_lifetime", "1h0m0s")
	form.Values.Del("special")
	p = seen(t, form.Submit("review"), 200)
	for _, said := range []string{"10 → 4", "30 minutes → 1 hour", idptest.Sentence(t, "audit.field.special") + " " + idptest.Sentence(t, "console.password.effect.class_dropped"), idptest.Sentence(t, "console.password.reach_hashes", "Count", 3), idptest.Sentence(t, "console.password.reach", "Count", 5)} {
		if !p.Says(said) {
			t.Errorf("before saving it is not said that %q: %s", said, p.Text())
		}
	}
	if hashes(w.alpha) != 6 || w.passwordRules(t, w.alpha.ID) != credential.Classic {
		t.Error("looking changed something")
	}
	save(t, p)
	want := credential.Classic
	want.History, want.ResetLifetime, want.Special = 4, time.Hour, false
	if got := w.passwordRules(t, w.alpha.ID); got != want || hashes(w.alpha) != 3 {
		t.Errorf("saved as %+v, with %d hashes", got, hashes(w.alpha))
	}
	if hashes(w.beta) != 6 {
		t.Errorf("beta has %d hashes left", hashes(w.beta))
	}
	idptest.Want(t, b.Get(passwordRules).Form("main").Submit("review"), idptest.Says("console.password.unchanged"))
	p = save(t, b.Get(passwordRules).Form("to-modern").Submit("review"))
	want = credential.Modern
	want.ResetLifetime = time.Hour
	if got := w.passwordRules(t, w.alpha.ID); got != want || hashes(w.alpha) != 0 {
		t.Errorf("saved %+v, with %d hashes", got, hashes(w.alpha))
	}
	idptest.Want(t, p, idptest.Says("console.password.beside_invitations"))
	idptest.Want(expect.Case(t, "the page under modern rules"), p,
		idptest.SaysNot("console.password.to_modern"), idptest.NoElement("input", "name", "digit"))
	if n := len(w.events(t, w.alpha.ID, credential.RulesChanged)); n != 2 {
		t.Errorf("%d changes are in the audit log, want 2", n)
	}
	for role, b := range w.alpha.browsers {
		if !b.Get("/o/alpha/home").Says("Person " + string(role)) {
			t.Errorf("%s was signed out", role)
		}
	}
	if p := w.Browser(t).Get("/o/alpha").Form("main").Fill("email", "member@alpha.example").Fill("password", idptest.Password).Submit(""); !strings.HasSuffix(p.URL.Path, "/home") {
		t.Errorf("a password of before does not open any more: %s", p.Text())
	}
}

func TestPasswordRulesForWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor} {
		b := w.alpha.browsers[role]
		idptest.Want(expect.Case(t, "%s sees", role), seen(t, b.Get(passwordRules), 200),
			idptest.NoElement("form", "id", "main"), idptest.Shows("Classic"), idptest.Says("credential.rule.special"))
		if p := b.Post(passwordRules, url.Values{"do": {"save"}}); p.Status != 403 {
			t.Errorf("%s saves: %d", role, p.Status)
		}
	}
	if p := w.beta.browsers[directory.Owner].Get(passwordRules); !atDoor(p, "alpha") {
		t.Errorf("beta's owner is led to %s", p.URL)
	}
}

// After a stale proof the form comes back as it was filled in, including an unticked box.
func TestPasswordRulesComeBackFromTheProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	form := b.Get(passwordRules).Form("main").Fill("minimum_length", "10")
	form.Values.Del("digit")
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, form.Submit("review"))
	back := p.Form("main").Values
	if back.Get("minimum_length") != "10" || back.Has("digit") || back.Get("special") != "yes" {
		t.Errorf("came back as %v", back)
	}
	save(t, p)
	if got := w.passwordRules(t, w.alpha.ID); got.MinimumLength != 10 || got.Digit || !got.Special {
		t.Errorf("saved as %+v", got)
	}
}
