package console_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

const secondStepRules = "/o/alpha/admin/rules/second-step"

func (w *world) secondStepRules(t *testing.T, org directory.OrgID) signin.SecondStepRules {
	t.Helper()
	r, err := signin.SecondStepRulesOf(t.Context(), w.DB, org)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signIn types address and password on an organization's sign-in page.
func signIn(b *idptest.Browser, org, email string) *idptest.Page {
	return b.Get("/o/"+org).Form("main").Fill("email", email).Fill("password", idptest.Password).Submit("")
}

// enrols reports whether a page asks for a first second step.
func enrols(p *idptest.Page) bool {
	return strings.HasPrefix(p.URL.Path, "/sign-in/att_") && p.Has("input", "name", "device")
}

func isHome(p *idptest.Page) bool { return strings.HasSuffix(p.URL.Path, "/home") && p.Status == 200 }

// withApp signs somebody of alpha in, in a new browser, and gives them an authenticator app on
// the way.
func (w *world) withApp(t *testing.T, email string) (b *idptest.Browser, secret string) {
	t.Helper()
	before := w.secondStepRules(t, w.alpha.ID)
	required := before
	required.RequiredFrom = w.Clock.Now()
	w.SecondStep(t, w.alpha.Organization, required)
	b = w.Browser(t)
	p, secret := w.EnrolApp(t, signIn(b, "alpha", email), "A telephone with a name")
	if !isHome(p) {
		t.Fatalf("%s enrols and comes to %s (%d): %s", email, p.URL, p.Status, p.Text())
	}
	w.SecondStep(t, w.alpha.Organization, before)
	w.Clock.Advance(30 * time.Second) // the code that enrolled is used up
	return b, secret
}

// setZone gives a role of alpha a time zone.
func (w *world) setZone(t *testing.T, role directory.Role, zone string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set time_zone = $1 where org_id = $2 and role = $3`, zone, string(w.alpha.ID), string(role))
		return err
	})
}

// R-AUT-04, journeys 5.1: a second step that is required from a day on is asked for from the
// first instant of that day, in the time zone of the person who set it, at the next sign-in;
// people who are signed in stay signed in.
func TestAUT4ARequirementBitesFromItsInstant(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.setZone(t, directory.Owner, "America/New_York")
	b := w.alpha.browsers[directory.Owner]
	p := seen(t, b.Get(secondStepRules), 200)
	idptest.Want(expect.Case(t, "the page does not say which midnight"), p, idptest.Says("console.second.from_hint", "Zone", "America/New_York"))
	form := p.Form("main").Fill("everyone", "yes").Fill("required_from", "2026-11-24")
	p = seen(t, form.Submit(""), 200)
	if !p.Says("From 24 November 2026, 00:00 EST:") || !w.secondStepRules(t, w.alpha.ID).RequiredFrom.IsZero() {
		t.Fatalf("nothing is asked before it is saved: %s", p.Text())
	}
	p = seen(t, presses(t, p), 200)
	midnight := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)
	got := w.secondStepRules(t, w.alpha.ID).RequiredFrom
	idptest.Want(t, p, idptest.Says("console.second.now_later", "When", "24 November 2026, 00:00 EST"))
	if !got.Equal(midnight) {
		t.Fatalf("saved as %v: %s", got, p.Text())
	}

	w.Clock.Advance(midnight.Sub(w.Clock.Now()) - time.Second)
	member := w.Browser(t)
	if p := signIn(member, "alpha", "member@alpha.example"); !isHome(p) {
		t.Errorf("a second before: %s: %s", p.URL, p.Text())
	}
	w.Clock.Advance(time.Second)
	for _, role := range directory.Roles {
		if p := signIn(w.Browser(t), "alpha", string(role)+"@alpha.example"); !enrols(p) {
			t.Errorf("%s at that instant: %s: %s", role, p.URL, p.Text())
		}
	}
	if p := member.Get("/o/alpha/home"); !isHome(p) {
		t.Errorf("who is signed in came to %s", p.URL)
	}
	if p := signIn(w.Browser(t), "beta", "owner@beta.example"); !isHome(p) {
		t.Errorf("beta's owner came to %s", p.URL)
	}
	p, _ = w.EnrolApp(t, signIn(w.Browser(t), "alpha", "member@alpha.example"), "Phone")
	if !isHome(p) {
		t.Errorf("enrolled and at %s", p.URL)
	}
}

// R-AUT-04: an organization that never chose asks its owners and administrators.
func TestAUT4OwnersAndAdministratorsNeedOneByDefault(t *testing.T) {
	t.Parallel()
	w := start(t)
	var org directory.Organization
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		org, err = directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{
			DisplayName: "Gamma Rail", ShortName: "gamma", Language: "en",
		})
		return err
	})
	for _, role := range directory.Roles {
		email := string(role) + "@gamma.example"
		p := w.Browser(t).Get(w.Invite(t, org, email, "Person", role)).Form("main").
			Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
		privileged := role == directory.Owner || role == directory.Administrator
		if enrols(p) != privileged || isHome(p) == privileged {
			t.Errorf("%s joins and comes to %s", role, p.URL)
		}
		if p := signIn(w.Browser(t), "gamma", email); enrols(p) != privileged || isHome(p) == privileged {
			t.Errorf("%s signs in and comes to %s", role, p.URL)
		}
	}
	// What the page says about it, to the first person who has one.
	b := w.Browser(t)
	if p, _ := w.EnrolApp(t, signIn(b, "gamma", "owner@gamma.example"), "Phone"); !isHome(p) {
		t.Fatalf("enrolled and at %s", p.URL)
	}
	p := seen(t, b.Get("/o/gamma/admin/rules/second-step"), 200)
	form := p.Form("main").Values
	expect.Equal(t, "everyone", form.Get("everyone"), "no")
	if !form.Has("privileged") || !form.Has("tolerance") || !form.Has("passwordless") {
		t.Errorf("the rules by default are shown as %v", form)
	}
	idptest.Want(expect.Case(t, "the page says"), p, idptest.Says("console.second.now_privileged"))
	if !p.Says(idptest.Sentence(t, "console.second.without", "Count", 4) + " " + idptest.Sentence(t, "console.second.without_privileged", "Count", 1)) {
		t.Errorf("the page says %s", p.Text())
	}
}

// Journeys 9.3: a rule that would affect somebody says whom before it is saved, and one that
// affects nobody is saved at once.
func TestSecondStepRulesSayWhomTheyMeet(t *testing.T) {
	t.Parallel()
	w := start(t)
	b, _ := w.withApp(t, "administrator@alpha.example")
	w.Join(t, w.alpha.Organization, "gone@alpha.example", "Gone", directory.Member)
	gone := directory.UserID(w.idOf(t, w.alpha.ID, "users", "gone@alpha.example"))
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, directory.Operator(), w.alpha.ID, gone)
	})
	p := seen(t, b.Get(secondStepRules), 200)
	// The owner, helpdesk, auditor and member; neither the deactivated person nor the invited
	// one.
	if !p.Says(idptest.Sentence(t, "console.second.without", "Count", 4) + " " + idptest.Sentence(t, "console.second.without_privileged", "Count", 1)) {
		t.Errorf("the page says %s", p.Text())
	}
	p = seen(t, p.Form("main").Check("privileged", "yes").Submit(""), 200)
	idptest.Want(expect.Case(t, "for owners and administrators"), p, idptest.SaysNot("console.second.own"))
	if !p.Says(idptest.Sentence(t, "console.second.at_once")+" "+idptest.Sentence(t, "console.second.meets_privileged", "Count", 1)) || w.secondStepRules(t, w.alpha.ID).Privileged {
		t.Errorf("for owners and administrators: %s", p.Text())
	}
	today := w.Clock.Now().Format(time.DateOnly)
	p = seen(t, b.Get(secondStepRules).Form("main").Check("privileged", "yes").Fill("everyone", "yes").Fill("required_from", today).Submit(""), 200)
	idptest.Want(t, p, idptest.Says("console.second.nobody_out"))
	if !p.Says(idptest.Sentence(t, "console.second.at_once") + " " + idptest.Sentence(t, "console.second.meets", "Count", 4) + " " + idptest.Sentence(t, "console.second.without_privileged", "Count", 1)) {
		t.Errorf("for everybody: %s", p.Text())
	}
	list := seen(t, b.Get(secondStepRules), 200)
	var shown string
	for _, link := range list.Links() {
		if strings.Contains(link, "/admin/people?") {
			shown = link
		}
	}
	p2 := seen(t, b.Get(shown), 200)
	for email, want := range map[string]bool{
		"owner@alpha.example": true, "helpdesk@alpha.example": true, "auditor@alpha.example": true, "member@alpha.example": true,
		"administrator@alpha.example": false, "gone@alpha.example": false, "waiting@alpha.example": false, "owner@beta.example": false,
	} {
		if p2.Says(email) != want {
			t.Errorf("the list shows %s: %v", email, !want)
		}
	}
	p = seen(t, presses(t, p), 200)
	if got := w.secondStepRules(t, w.alpha.ID); !p.Says(idptest.Sentence(t, "console.second.saved")) || !got.OfEveryone(w.Clock.Now()) || !got.Privileged {
		t.Errorf("saved as %+v: %s", got, p.Text())
	}
	// The owner, who has no second step, is told so about a rule for a later day.
	owner := w.alpha.browsers[directory.Owner]
	w.SecondStep(t, w.alpha.Organization, signin.SecondStepRules{Tolerance: 1})
	p = seen(t, owner.Get(secondStepRules).Form("main").Check("privileged", "yes").Submit(""), 200)
	idptest.Want(expect.Case(t, "the owner is told"), p, idptest.Says("console.second.own"))
	// Looser rules affect nobody, nor do stricter ones for which nobody has to set anything up.
	w.Clock.Advance(time.Second) // the log is read newest first
	form := owner.Get(secondStepRules).Form("main")
	form.Values.Del("tolerance")
	p = seen(t, form.Check("passwordless", "yes").Submit(""), 200)
	if got := w.secondStepRules(t, w.alpha.ID); !p.Says(idptest.Sentence(t, "console.second.saved")) || got != (signin.SecondStepRules{Passwordless: true}) {
		t.Errorf("saved as %+v: %s", got, p.Text())
	}
	events := w.events(t, w.alpha.ID, "second_step_rules.changed")
	if e := events[0]; e.Before["tolerance"] != 1.0 || e.After["tolerance"] != 0.0 || e.ActorName != "Person owner of alpha" {
		t.Errorf("recorded as %+v", e)
	}
}

// A text that is no day is refused beside the field, and everything typed stays.
func TestSecondStepRulesKeepWhatWasTyped(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	for _, day := range []string{"", "tomorrow", "2026-13-01", "2026-11-31", "31.12.2026", "12026-01-01", "٢٠٢٦-١١-٢٤", "2026-11-24T00:00", "-0001-01-01"} {
		form := b.Get(secondStepRules).Form("main").Fill("everyone", "yes").Fill("required_from", day).Check("privileged", "yes")
		form.Values.Del("tolerance")
		p := seen(t, form.Submit("save"), 422)
		back := p.Form("main").Values
		of := expect.Case(t, "%q", day)
		expect.Equal(of, "required_from", back.Get("required_from"), day)
		expect.Equal(of, "everyone", back.Get("everyone"), "yes")
		if !back.Has("privileged") || back.Has("tolerance") || !back.Has("passwordless") {
			t.Errorf("%q came back as %v", day, back)
		}
		idptest.Want(expect.Case(t, "%q", day), p, idptest.Element("input", "aria-invalid", "true"), idptest.Says("console.second.day"))
	}
	idptest.Want(t, seen(t, b.Post(secondStepRules, url.Values{"do": {"save"}}), 422), idptest.Says("console.second.choose"))
	if got := w.secondStepRules(t, w.alpha.ID); got != (signin.SecondStepRules{Tolerance: 1, Passwordless: true}) {
		t.Errorf("saved as %+v", got)
	}
	// A day before today means at once, and so does today.
	for _, day := range []string{"0001-01-01", "1999-12-31", w.Clock.Now().Format(time.DateOnly)} {
		w.SecondStep(t, w.alpha.Organization, signin.SecondStepRules{})
		presses(t, b.Get(secondStepRules).Form("main").Fill("everyone", "yes").Fill("required_from", day).Submit(""))
		if got := w.secondStepRules(t, w.alpha.ID).RequiredFrom; !got.Equal(w.Clock.Now()) {
			t.Errorf("%s was saved as %v", day, got)
		}
	}
}

// Another administrator's midnight is at another time: changing something else does not move
// the day.
func TestADayStaysWhatItIsInOtherTimeZones(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.setZone(t, directory.Owner, "Pacific/Auckland")
	w.setZone(t, directory.Administrator, "America/New_York")
	owner, administrator := w.alpha.browsers[directory.Owner], w.alpha.browsers[directory.Administrator]
	presses(t, owner.Get(secondStepRules).Form("main").Fill("everyone", "yes").Fill("required_from", "2026-12-01").Submit(""))
	set := w.secondStepRules(t, w.alpha.ID).RequiredFrom
	if want := time.Date(2026, 11, 30, 11, 0, 0, 0, time.UTC); !set.Equal(want) {
		t.Fatalf("set to %v, want %v", set, want)
	}
	form := administrator.Get(secondStepRules).Form("main")
	if got := form.Values.Get("required_from"); got != "2026-11-30" {
		t.Errorf("New York sees %s", got)
	}
	form.Values.Del("tolerance")
	if p := seen(t, form.Submit(""), 200); !p.Says(idptest.Sentence(t, "console.second.saved")) {
		t.Errorf("asks again whom it meets: %s", p.Text())
	}
	if got := w.secondStepRules(t, w.alpha.ID); !got.RequiredFrom.Equal(set) || got.Tolerance != 0 {
		t.Errorf("saved as %+v", got)
	}
	// Nor once it is in force, whatever earlier day is typed.
	w.Clock.Advance(set.Sub(w.Clock.Now()) + time.Hour)
	form = proveByEnrolling(t, w, administrator.Get(secondStepRules)).Form("main")
	seen(t, form.Fill("required_from", "2020-01-01").Submit(""), 200)
	if got := w.secondStepRules(t, w.alpha.ID).RequiredFrom; !got.Equal(set) {
		t.Errorf("moved to %v", got)
	}
	// Unless it is postponed or dropped.
	seen(t, administrator.Get(secondStepRules).Form("main").Fill("required_from", "2027-01-01").Submit(""), 200)
	if w.secondStepRules(t, w.alpha.ID).OfEveryone(w.Clock.Now()) {
		t.Error("not put off")
	}
}

// proveByEnrolling answers the page that asks for fresh proof, for somebody who needs a second
// step by now and has none.
func proveByEnrolling(t *testing.T, w *world, p *idptest.Page) *idptest.Page {
	t.Helper()
	p = proveAgain(t, p)
	if !enrols(p) {
		t.Fatalf("no second step is asked for at %s: %s", p.URL, p.Text())
	}
	p, _ = w.EnrolApp(t, p, "Phone")
	return seen(t, p, 200)
}

func TestSecondStepRulesForWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.SecondStep(t, w.alpha.Organization, signin.DefaultSecondStep)
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor} {
		b := w.alpha.browsers[role]
		p := seen(t, b.Get(secondStepRules), 200)
		idptest.Want(expect.Case(t, "%s sees", role), p,
			idptest.NoElement("form", "id", "main"), idptest.Says("console.second.now_privileged"),
			idptest.Says("console.second.passwordless"))
		for _, do := range []string{"", "save"} {
			if p := b.Post(secondStepRules, url.Values{"do": {do}, "everyone": {"no"}}); p.Status != 403 {
				t.Errorf("%s sends %q: %d", role, do, p.Status)
			}
		}
	}
	if p := w.beta.browsers[directory.Owner].Get(secondStepRules); !atDoor(p, "alpha") {
		t.Errorf("beta's owner is led to %s", p.URL)
	}
	if got := w.secondStepRules(t, w.alpha.ID); got != signin.DefaultSecondStep {
		t.Errorf("changed to %+v", got)
	}
}

// After a stale proof the form comes back as it was filled in, including an unticked box.
func TestSecondStepRulesComeBackFromTheProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	form := b.Get(secondStepRules).Form("main").Fill("everyone", "yes").Fill("required_from", "2026-12-24")
	form.Values.Del("passwordless")
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, form.Submit("save"))
	back := p.Form("main").Values
	expect.Equal(t, "everyone", back.Get("everyone"), "yes")
	expect.Equal(t, "required_from", back.Get("required_from"), "2026-12-24")
	if back.Has("passwordless") || !back.Has("tolerance") {
		t.Errorf("came back as %v", back)
	}
	if got := w.secondStepRules(t, w.alpha.ID); !got.RequiredFrom.IsZero() {
		t.Errorf("saved before the proof: %+v", got)
	}
}

// R-PWD-01: under modern rules 8 characters are enough while a second step is required of
// everybody, and as long as 8 are enough, the second step stays required.
func TestPWD1ModernTakesEightOnlyBesideARequiredSecondStep(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	eight := func(want int) *idptest.Page {
		t.Helper()
		form := b.Get(passwordRules+"?preset=modern").Form("main").Fill("minimum_length", "8")
		p := form.Submit("review")
		if p.Status != want {
			t.Fatalf("modern of 8: %d, want %d: %s", p.Status, want, p.Text())
		}
		if want == 200 {
			return presses(t, p)
		}
		return p
	}
	idptest.Want(t, eight(422), idptest.Shows("15"), idptest.Says("console.password.modern_alone"))
	tomorrow := signin.SecondStepRules{RequiredFrom: w.Clock.Now().Add(time.Hour), Privileged: true}
	w.SecondStep(t, w.alpha.Organization, tomorrow)
	eight(422) // not yet
	w.SecondStep(t, w.alpha.Organization, signin.SecondStepRules{RequiredFrom: w.Clock.Now()})
	idptest.Want(expect.Case(t, "beside a second step"), eight(200), idptest.Says("console.password.modern_second"))
	if got := w.passwordRules(t, w.alpha.ID); got.Preset != credential.PresetModern || got.MinimumLength != 8 {
		t.Fatalf("saved as %+v", got)
	}
	link := w.Invite(t, w.alpha.Organization, "short@alpha.example", "Short", directory.Member)
	join := func(password string) *idptest.Page {
		return w.Browser(t).Get(link).Form("main").Fill("password", password).Fill("repetition", password).Submit("")
	}
	if p := join("otterkg"); p.Status != 422 {
		t.Errorf("seven characters: %d", p.Status)
	}
	if p := join("otterkgw"); !enrols(p) {
		t.Errorf("eight characters lead to %s: %s", p.URL, p.Text())
	}

	// It is neither dropped nor postponed, and nothing typed is lost.
	before := w.secondStepRules(t, w.alpha.ID)
	for name, form := range map[string]url.Values{
		"given up": {"everyone": {"no"}, "required_from": {"2026-11-22"}},
		"put off":  {"everyone": {"yes"}, "required_from": {"2026-12-24"}},
	} {
		p := seen(t, b.Post(secondStepRules, form), 422)
		idptest.Want(expect.Case(t, "%s", name), p, idptest.Says("signin.short_passwords", "Minimum", "8", "Least", "15"))
		if back := p.Form("main").Values; back.Get("everyone") != form.Get("everyone") || back.Get("required_from") != form.Get("required_from") {
			t.Errorf("%s: came back as %v", name, back)
		}
	}
	if got := w.secondStepRules(t, w.alpha.ID); got != before {
		t.Errorf("changed to %+v", got)
	}
	// The other rules may change meanwhile, and with 15 characters the requirement may be
	// dropped.
	seen(t, b.Get(secondStepRules).Form("main").Check("tolerance", "yes").Submit("save"), 200)
	save(t, b.Get(passwordRules).Form("main").Fill("minimum_length", "15").Submit("review"))
	seen(t, b.Get(secondStepRules).Form("main").Fill("everyone", "no").Submit(""), 200)
	if got := w.secondStepRules(t, w.alpha.ID); !got.RequiredFrom.IsZero() || got.Tolerance != 1 {
		t.Errorf("saved as %+v", got)
	}
}

// Of two people who lower the length and drop the requirement at once, one is refused.
func TestPWD1TheTwoRulesDoNotSlipPastEachOther(t *testing.T) {
	t.Parallel()
	w := start(t)
	eight := credential.Modern
	eight.MinimumLength = 8
	for range 10 {
		w.SecondStep(t, w.alpha.Organization, signin.SecondStepRules{RequiredFrom: w.Clock.Now()})
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return signin.SetPasswordRules(ctx, tx, directory.Operator(), w.alpha.ID, credential.Modern)
		})
		changes := []func(context.Context, *db.Tx) error{
			func(ctx context.Context, tx *db.Tx) error {
				return signin.SetPasswordRules(ctx, tx, directory.Operator(), w.alpha.ID, eight)
			},
			func(ctx context.Context, tx *db.Tx) error {
				return signin.SetSecondStepRules(ctx, tx, directory.Operator(), w.alpha.ID, signin.SecondStepRules{})
			},
		}
		errs := make([]error, len(changes))
		var both sync.WaitGroup
		for i, change := range changes {
			both.Go(func() {
				errs[i] = w.DB.Update(t.Context(), func(tx *db.Tx) error { return change(t.Context(), tx) })
			})
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both ended with %v and %v", errs[0], errs[1])
		}
		if w.passwordRules(t, w.alpha.ID).MinimumLength < 15 && !w.secondStepRules(t, w.alpha.ID).OfEveryone(w.Clock.Now()) {
			t.Fatal("short passwords, and no second step required")
		}
		// Back to where this began.
		w.SecondStep(t, w.alpha.Organization, signin.SecondStepRules{RequiredFrom: w.Clock.Now()})
	}
}
