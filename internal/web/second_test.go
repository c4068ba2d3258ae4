package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/authenticator"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/i18n"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

const ana = "ana@meridian.example"

// required returns rules that ask everybody for a second step.
func required() signin.SecondStepRules {
	return signin.SecondStepRules{RequiredFrom: dbtest.Start, Tolerance: 1, Passwordless: true}
}

// meridian returns an organization that asks everybody for a second step.
func meridian(t *testing.T, change ...func(*signin.SecondStepRules)) (*idptest.Server, directory.Organization) {
	t.Helper()
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Meridian Freight", "meridian")
	rules := required()
	for _, c := range change {
		c(&rules)
	}
	s.SecondStep(t, org, rules)
	return s, org
}

// joining returns the page after the password of an invitation, which asks the person to enrol
// a second step.
func joining(t *testing.T, s *idptest.Server, org directory.Organization, email string, role directory.Role) (*idptest.Browser, *idptest.Page) {
	t.Helper()
	b := s.Browser(t)
	page := b.Get(s.Invite(t, org, email, "Ana", role)).Form("main").
		Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	idptest.Want(t, page, idptest.PathBegins("/sign-in/att_"), idptest.Status(200), idptest.Says("web.enrol.title"))
	return b, page
}

// withApp returns somebody at home with an authenticator app, whose next code is unused.
func withApp(t *testing.T, s *idptest.Server, org directory.Organization, email string, role directory.Role) (b *idptest.Browser, secret string) {
	t.Helper()
	b, page := joining(t, s, org, email, role)
	if page, secret = s.EnrolApp(t, page, "Ana’s phone"); page.URL.Path != "/o/meridian/home" || page.Status != 200 {
		t.Fatalf("after the code: %d %s: %s", page.Status, page.URL, page.Text())
	}
	s.Clock.Advance(30 * time.Second)
	return b, secret
}

// withPasskey returns somebody at home with a passkey.
func withPasskey(t *testing.T, s *idptest.Server, org directory.Organization, email string) (*idptest.Browser, *authenticator.Authenticator) {
	t.Helper()
	b, page := joining(t, s, org, email, directory.Member)
	a := s.Authenticator()
	if page = s.EnrolPasskey(t, page, "Ana’s laptop", a); page.URL.Path != "/o/meridian/home" {
		t.Fatalf("after the passkey: %d %s: %s", page.Status, page.URL, page.Text())
	}
	return b, a
}

// asked returns the page after the first factor, in a new browser.
func asked(t *testing.T, s *idptest.Server, email string) (*idptest.Browser, *idptest.Page) {
	t.Helper()
	b := s.Browser(t)
	page := signIn(b, "/o/meridian", email, idptest.Password)
	if !strings.HasPrefix(page.URL.Path, "/sign-in/att_") || page.Status != 200 {
		t.Fatalf("after the password: %d %s: %s", page.Status, page.URL, page.Text())
	}
	return b, page
}

func code(s *idptest.Server, secret string) string { return idptest.Code(secret, s.Clock.Now()) }

func owner(u directory.User) credential.Owner { return credential.Owner{OrgID: u.OrgID, UserID: u.ID} }

// recoveryCodes makes ten codes for a user, as their own page does.
func recoveryCodes(t *testing.T, s *idptest.Server, u directory.User) []string {
	t.Helper()
	set, err := s.Site.SignIn.Passwords.NewRecoveryCodes(t.Context(), credential.Source{Name: "test"}, owner(u))
	if err != nil {
		t.Fatal(err)
	}
	s.Update(t, func(ctx context.Context, tx *db.Tx) error { return credential.SetRecoveryCodes(ctx, tx, set) })
	return set.Codes
}

// Journeys 1.6, 5.2, 5.3: invited, password, app, home; and signed in again with both.
func TestSecondStepIsEnrolledAndAskedFor(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, secret := withApp(t, s, org, ana, directory.Member)
	if letter := s.LettersTo(t, ana)[0]; !strings.Contains(letter.Text, "Ana’s phone") {
		t.Errorf("the letter about the new device says %q", letter.Text)
	}
	_, page := asked(t, s, ana)
	if !page.Says("Ana’s phone") {
		t.Errorf("the page does not name the device: %s", page.Text())
	}
	page = page.Form("main").Fill("code", code(s, secret)).Submit("")
	if page.URL.Path != "/o/meridian/home" {
		t.Errorf("after the code: %d %s: %s", page.Status, page.URL, page.Text())
	}
}

// Journeys 5.2, 5.3: after a wrong code, a reload, a second tab and Back the person can
// continue, and the secret that an app may have scanned stays the same.
func TestEnrollingAnAppLeadsOnWhateverHappens(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, choice := joining(t, s, org, ana, directory.Member)
	path := choice.URL.Path
	if !choice.Has("input", "value", "passkey") {
		t.Error("no passkey is offered")
	}
	for _, device := range []string{"", "   ", strings.Repeat("x", 300), "tab\u202edne", "\x01"} {
		p := choice.Form("main").Fill("device", device).Fill("kind", "app").Submit("")
		if p.Status != 422 || p.Secret() != "" || p.Form("main").Values.Get("device") != device {
			t.Errorf("the name %q: %d %s", device, p.Status, p.Text())
		}
	}
	page := choice.Form("main").Fill("device", `<b>Phone</b>`).Fill("kind", "app").Submit("")
	secret := page.Secret()
	if secret == "" || !page.Says("<b>Phone</b>") || !strings.Contains(page.Body, "<svg class=\"qr\"") {
		t.Fatalf("%d: %s", page.Status, page.Text())
	}
	if len(secret) != 32 {
		t.Errorf("the secret is %q, not 160 bits", secret)
	}
	if n := strings.Count(page.Body, "<span>"+secret[:4]+"</span>"); n != 1 {
		t.Errorf("the secret is not shown in groups of four: %d", n)
	}
	wrong := page.Form("main").Fill("code", "000000").Submit("")
	idptest.Want(expect.Case(t, "a wrong code"), wrong, idptest.Status(422), idptest.Input("code", ""), idptest.Element("input", "aria-invalid", "true"))
	if wrong.Secret() != secret {
		t.Errorf("a wrong code: %d, secret kept: %v", wrong.Status, wrong.Secret() == secret)
	}
	if empty := page.Form("main").Fill("code", "").Submit(""); empty.Status != 422 || empty.Secret() != secret {
		t.Errorf("an empty code: %d", empty.Status)
	}
	if again := b.Get(page.URL.RequestURI()); again.Secret() != secret {
		t.Error("a reload makes another secret")
	}
	// Back, another name, forward again; and the choice in a second tab.
	back := b.Get(path)
	if back.Form("main").Values.Get("device") != "<b>Phone</b>" {
		t.Errorf("back at the choice with %v", back.Form("main").Values)
	}
	if forth := back.Form("main").Fill("device", "Old phone").Submit(""); forth.Secret() != secret || !forth.Says("Old phone") {
		t.Error("Next makes another secret, or forgets the new name")
	}
	if french := page.Form("main").Fill("language", "fr").Submit("language"); french.Lang() != "fr" || french.Secret() != secret {
		t.Errorf("in French: %q, secret kept: %v", french.Lang(), french.Secret() == secret)
	}
	// The page of a first factor, sent late, does nothing here.
	if late := b.Post(path, url.Values{"email": {ana}, "password": {idptest.Password}}); late.URL.Path != path || late.Status != 200 {
		t.Errorf("the first factor again: %d %s", late.Status, late.URL)
	}
	done := page.Form("main").Fill("code", code(s, secret)).Submit("").Later()
	if done.URL.Path != "/o/meridian/home" {
		t.Fatalf("after the right code: %d %s: %s", done.Status, done.URL, done.Text())
	}
	for name, p := range map[string]*idptest.Page{
		"the form sent twice": page.Form("main").Fill("code", code(s, secret)).Submit(""), "a tab left behind": b.Get(path),
		"its choice": choice.Form("main").Fill("device", "x").Fill("kind", "app").Submit(""),
	} {
		if p.Status != 200 || !strings.HasPrefix(p.URL.Path, "/o/meridian/") || !slices.Contains(p.Links(), "/o/meridian/home") {
			t.Errorf("%s: %d %v", name, p.Status, p.Links())
		}
	}
}

func TestEnrolmentEndsWithItsAttempt(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, choice := joining(t, s, org, ana, directory.Member)
	page := choice.Form("main").Fill("device", "Phone").Fill("kind", "app").Submit("")
	s.Clock.Advance(signin.AttemptLifetime)
	idptest.Want(t, page.Form("main").Fill("code", code(s, page.Secret())).Submit(""), idptest.Status(200), idptest.Field("password"), idptest.NoField("code"))
	// The next sign-in asks again, with another secret.
	fresh := signIn(b, "/o/meridian", ana, idptest.Password)
	again := fresh.Form("main").Fill("device", "Phone").Fill("kind", "app").Submit("")
	if again.Secret() == "" || again.Secret() == page.Secret() {
		t.Errorf("signed in again: %d %s", again.Status, again.Text())
	}
}

// Journeys 5.3: the ways in which a code may be typed, and the ones that are refused.
func TestCodesAreReadAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, secret := withApp(t, s, org, ana, directory.Member)
	_, other := withApp(t, s, org, "bo@meridian.example", directory.Member)
	inDigits := func(zero rune, code string) string {
		return strings.Map(func(r rune) rune { return zero + r - '0' }, code)
	}
	for name, typed := range map[string]func(code string) string{
		"as shown":                 func(c string) string { return c },
		"as the app groups it":     func(c string) string { return c[:3] + " " + c[3:] },
		"with a no-break space":    func(c string) string { return " " + c[:3] + "\u00a0" + c[3:] + "\t" },
		"with a hyphen":            func(c string) string { return c[:3] + "-" + c[3:] },
		"in full-width digits":     func(c string) string { return inDigits('０', c) },
		"in Arabic digits":         func(c string) string { return inDigits('٠', c) },
		"in digits beyond the BMP": func(c string) string { return inDigits('𑁦', c) },
	} {
		s.Clock.Advance(30 * time.Second)
		_, page := asked(t, s, ana)
		if p := page.Form("main").Fill("code", typed(code(s, secret))).Submit(""); p.URL.Path != "/o/meridian/home" {
			t.Errorf("%s: %d %s", name, p.Status, p.Text())
		}
	}
	s.Clock.Advance(30 * time.Second)
	right := code(s, secret)
	for name, typed := range map[string]string{
		"somebody else's": code(s, other), "too old": idptest.Code(secret, s.Clock.Now().Add(-time.Minute)), "used": idptest.Code(secret, s.Clock.Now().Add(-30*time.Second)),
		"letters": "abcdef", "five digits": right[:5], "nothing": "", "a page": strings.Repeat("9", 10_000),
	} {
		_, page := asked(t, s, ana)
		p := page.Form("main").Fill("code", typed).Submit("")
		idptest.Want(expect.Case(t, "%s", name), p, idptest.Status(422), idptest.Element("input", "aria-invalid", "true"))
		if strings.Contains(p.Body, `value="`+typed) && typed != "" {
			t.Errorf("%s: %d %s", name, p.Status, p.Text())
		}
		if name == "nothing" {
			continue
		}
		s.Update(t, func(ctx context.Context, tx *db.Tx) error { // each of these counts: see MFA-4
			_, err := tx.Exec(ctx, `delete from limits`)
			return err
		})
	}
}

// MFA-1: after the first factor nothing answers but the second step.
func TestMFA1NothingButTheSecondStepAnswersAfterTheFirstFactor(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, secret := withApp(t, s, org, ana, directory.Owner)
	before := dbtest.Dump(t, s.DB, "sessions")
	b, page := asked(t, s, ana)
	attempt := page.URL.Path
	closed := func(p *idptest.Page, what string) {
		t.Helper()
		if strings.HasPrefix(p.URL.Path, "/o/meridian/") || dbtest.Dump(t, s.DB, "sessions") != before {
			t.Fatalf("%s opens %s", what, p.URL)
		}
	}
	for _, path := range []string{
		"/", "/o/meridian", "/o/meridian/home", "/o/meridian/account", "/o/meridian/account/sessions", "/o/meridian/admin/people", "/o/MERIDIAN/home",
		"/sign-in", "/sign-in?more", attempt + "?with=done", attempt + "/", attempt + "?with=enrol", "/.well-known/change-password",
	} {
		closed(b.Get(path), path)
	}
	for _, path := range []string{"/o/meridian/account", "/o/meridian/admin/people/invite", "/o/meridian/stay"} {
		closed(b.Post(path, url.Values{}), "POST "+path)
	}
	for _, v := range []url.Values{
		{}, {"do": {"skip"}}, {"code": {""}}, {"recovery_code": {""}}, {"response": {""}}, {"response": {"{}"}}, {"email": {ana}, "password": {idptest.Password}},
		{"password": {another}, "repetition": {another}}, {"device": {"Mine"}, "kind": {"app"}}, {"device": {"Mine"}, "kind": {"passkey"}},
		{"do": {"language"}, "language": {"fr"}}, {"do": {"back"}, "kind": {"passkey"}},
	} {
		p := b.Post(attempt, v)
		closed(p, v.Encode())
		if p.URL.Path != attempt || p.Secret() != "" || p.Form("main").Values.Has("password") {
			t.Errorf("%v leads to another step: %d %s: %s", v, p.Status, p.URL, p.Text())
		}
	}
	// Once more from the beginning: a new attempt asks the same, and so does one for a page
	// that demands less.
	_, again := asked(t, s, ana)
	closed(again, "the sign-in again")
	deep := b.Get("/o/meridian/account/sessions")
	deep = deep.Form("main").Fill("email", ana).Fill("password", idptest.Password).Submit("")
	closed(deep, "a deep link")
	if rows := dbtest.Dump(t, s.DB, "totp_seeds"); strings.Contains(rows, "Mine") {
		t.Error("an app was begun without the second step")
	}
	if p := b.Get(attempt).Form("main").Fill("code", code(s, secret)).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Errorf("the right code: %d %s", p.Status, p.Text())
	}
}

// MFA-2: a code is used up by any use, enrolment included.
func TestMFA2ACodeWorksOnceWhereverItIsUsed(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, choice := joining(t, s, org, ana, directory.Owner)
	home, secret := s.EnrolApp(t, choice, "Phone")
	if home.URL.Path != "/o/meridian/home" {
		t.Fatal(home.Text())
	}
	_, page := asked(t, s, ana)
	if p := page.Form("main").Fill("code", code(s, secret)).Submit(""); p.Status != 422 {
		t.Errorf("the code that enrolled signs in: %d", p.Status)
	}
	s.Clock.Advance(30 * time.Second)
	form := page.Form("main").Fill("code", code(s, secret))
	b, second := asked(t, s, ana)
	if p := form.Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("a new code: %d %s", p.Status, p.Text())
	}
	if p := second.Form("main").Fill("code", code(s, secret)).Submit(""); p.Status != 422 || at(b, "meridian") {
		t.Errorf("the same code in another browser: %d", p.Status)
	}
	s.Clock.Advance(30 * time.Second)
	if p := second.Form("main").Fill("code", idptest.Code(secret, s.Clock.Now().Add(-30*time.Second))).Submit(""); p.Status != 422 {
		t.Errorf("the same code a step later, within the tolerance: %d", p.Status)
	}
}

// MFA-4: wrong codes of every kind count for the user, whichever attempt they come from.
func TestMFA4WrongCodesAreCountedAcrossAttempts(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, secret := withApp(t, s, org, ana, directory.Member)
	recoveryCodes(t, s, userOf(t, s, org.ID, ana))
	letters := func() (n int) {
		for _, l := range s.LettersTo(t, ana) {
			if l.Subject == idptest.Sentence(t, "mail.second_step_guessed.subject", "Organization", "Meridian Freight") {
				n++
			}
		}
		return n
	}
	wrong := func(i int) *idptest.Page {
		b, page := asked(t, s, ana) // the password again, which must not reset the count
		if i%2 == 1 {
			return b.Get(page.URL.Path+"?with=recovery").Form("main").Fill("recovery_code", "AAAA-BBBB-CCCC-DDDD").Submit("")
		}
		return page.Form("main").Fill("code", "000000").Submit("")
	}
	for i := range 5 {
		if p := wrong(i); p.Status != 422 {
			t.Fatalf("wrong code %d: %d %s", i+1, p.Status, p.Text())
		}
	}
	_, page := asked(t, s, ana)
	if p := page.Form("main").Fill("code", code(s, secret)).Submit(""); p.Status != 429 || p.Header.Get("Retry-After") == "" || p.Secret() != "" {
		t.Errorf("the right code after five wrong ones, at once: %d", p.Status)
	}
	for i := 5; i < 10; i++ {
		s.Clock.Advance(2 * time.Hour)
		if n := letters(); n != 0 {
			t.Fatalf("told after %d", i)
		}
		if p := wrong(i); p.Status != 422 {
			t.Fatalf("wrong code %d after its wait: %d", i+1, p.Status)
		}
	}
	if n := letters(); n != 1 {
		t.Errorf("%d letters after the tenth", n)
	}
	s.Clock.Advance(2 * time.Hour)
	_, page = asked(t, s, ana)
	if p := page.Form("main").Fill("code", code(s, secret)).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Errorf("the right code after its wait: %d %s", p.Status, p.Text())
	}
}

// MFA-6: somebody knows the password of a person without a second step.
func TestMFA6EnrolmentIsBoundToTheAttemptAndItsBrowser(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, choice := joining(t, s, org, ana, directory.Member)
	page := choice.Form("main").Fill("device", "Phone").Fill("kind", "app").Submit("")
	path := page.URL.Path
	for _, other := range []*idptest.Browser{s.Browser(t), func() *idptest.Browser { // signed in as somebody else
		b, _ := withApp(t, s, org, "mallory@meridian.example", directory.Member)
		return b
	}()} {
		if p := other.Get(path + "?with=app"); p.Status != 410 || p.Secret() != "" {
			t.Errorf("another browser sees %d %s", p.Status, p.Text())
		}
		if p := other.Post(path, url.Values{"code": {code(s, page.Secret())}}); p.Status != 410 {
			t.Errorf("another browser finishes: %d", p.Status)
		}
	}
	for _, v := range []url.Values{
		{"secret": {"AAAAAAAAAAAAAAAA"}, "code": {idptest.Code("AAAAAAAAAAAAAAAA", s.Clock.Now())}}, {"seed": {"x"}, "code": {"1"}}, {"user": {"usr_1"}, "code": {"1"}},
	} {
		if p := b.Post(path, v); p.Status != 400 {
			t.Errorf("%v: %d", v, p.Status)
		}
	}
	// A second attempt with the password has a secret of its own; the one that finishes first
	// sets the factor that the other must then prove.
	other := s.Browser(t)
	theirs := signIn(other, "/o/meridian", ana, idptest.Password).Form("main").Fill("device", "Stolen").Fill("kind", "app").Submit("")
	if theirs.Secret() == page.Secret() || theirs.Secret() == "" {
		t.Fatal("two attempts share a secret")
	}
	if p := b.Post(path, url.Values{"code": {code(s, theirs.Secret())}}); p.Status != 422 {
		t.Errorf("a code of the other attempt's secret: %d", p.Status)
	}
	if p := page.Form("main").Fill("code", code(s, page.Secret())).Submit("").Later(); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	p := theirs.Form("main").Fill("code", code(s, theirs.Secret())).Submit("")
	if p.Secret() != "" || !p.Says("Phone") || at(other, "meridian") {
		t.Errorf("the slower attempt: %d %s", p.Status, p.Text())
	}
	if p := other.Post(theirs.URL.Path, url.Values{"device": {"Again"}, "kind": {"app"}}); p.Secret() != "" || at(other, "meridian") {
		t.Errorf("it enrols over what is there: %s", p.Text())
	}
}

// Journeys 5.6: a recovery code stands in for the authenticator, once, and the person is told.
func TestRecoveryCodeStandsInForTheDevice(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	withApp(t, s, org, ana, directory.Member)
	_, none := asked(t, s, ana)
	if slices.Contains(none.Links(), none.URL.Path+"?with=recovery") {
		t.Error("recovery codes are offered to who has none")
	}
	codes := recoveryCodes(t, s, userOf(t, s, org.ID, ana))
	b, page := asked(t, s, ana)
	with := page.URL.Path + "?with=recovery"
	if !slices.Contains(page.Links(), with) {
		t.Fatalf("no way to the recovery codes: %v", page.Links())
	}
	form := b.Get(with).Form("main")
	if p := form.Fill("recovery_code", "AAAA-BBBB-CCCC-DDDD").Submit(""); p.Status != 422 || strings.Contains(p.Body, "AAAA-BBBB") || p.URL.RequestURI() != with {
		t.Errorf("a wrong one: %d %s", p.Status, p.URL)
	}
	if p := form.Fill("recovery_code", "").Submit(""); p.Status != 422 || !p.Has("input", "aria-invalid", "true") {
		t.Errorf("none: %d", p.Status)
	}
	if p := form.Fill("recovery_code", " "+strings.ToLower(strings.ReplaceAll(codes[3], "-", " "))).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	if l := s.LettersTo(t, ana)[0]; !strings.Contains(l.Text, "9") {
		t.Errorf("the letter: %s", l.Text)
	}
	b, page = asked(t, s, ana)
	if p := b.Get(page.URL.Path+"?with=recovery").Form("main").Fill("recovery_code", codes[3]).Submit(""); p.Status != 422 {
		t.Errorf("used twice: %d", p.Status)
	}
}

// Journeys 5.4, 5.5: a passkey as second step, and the factor used last is asked for first.
func TestPasskeyIsEnrolledAndTheFactorUsedLastIsAskedForFirst(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, a := withPasskey(t, s, org, ana)
	_, page := asked(t, s, ana)
	if page.Options() == nil || !page.Says("Ana’s laptop") || strings.Contains(strings.Join(page.Links(), " "), "with=app") {
		t.Fatalf("%s: %v", page.Text(), page.Links())
	}
	if p := page.Answer(a); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	if p := page.Answer(a); p.Status != 422 { // another answer to the same challenge
		t.Errorf("the same page again: %d", p.Status)
	}
	// An app beside it, added later, is asked for first; once the passkey was used last, the
	// passkey is.
	s.Clock.Advance(time.Minute)
	u := userOf(t, s, org.ID, ana)
	var secret string
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		apps := s.Site.SignIn.Authenticators
		if err := apps.BeginApp(ctx, tx, owner(u), "ses_test", "Phone"); err != nil {
			return err
		}
		pending, err := apps.PendingApp(ctx, tx, owner(u), "ses_test", "x", "x", tx.Now())
		if err == nil {
			secret = pending.Secret
			_, err = apps.ConfirmApp(ctx, tx, owner(u), "ses_test", idptest.Code(secret, tx.Now()), 1)
		}
		return err
	})
	s.Clock.Advance(time.Minute)
	b, page := asked(t, s, ana)
	if page.Options() != nil || !slices.Contains(page.Links(), page.URL.Path+"?with=passkey") {
		t.Fatalf("the app is not asked for first: %s", page.Text())
	}
	if p := b.Get(page.URL.Path + "?with=passkey").Answer(a); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	s.Clock.Advance(time.Minute)
	b, page = asked(t, s, ana)
	if page.Options() == nil || !slices.Contains(page.Links(), page.URL.Path+"?with=app") {
		t.Errorf("the passkey is not asked for first: %s", page.Text())
	}
	if p := b.Get(page.URL.Path+"?with=app").Form("main").Fill("code", code(s, secret)).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Errorf("%d %s", p.Status, p.Text())
	}
}

// Journeys 5.4: a dialogue that was cancelled, came too late, had no script or sent garbage
// leads back to the choice, with the name that was given.
func TestPasskeyThatIsNotMadeComesBackToTheChoice(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, choice := joining(t, s, org, ana, directory.Member)
	if p := choice.Form("main").Fill("device", "").Fill("kind", "passkey").Submit(""); p.Status != 422 || p.Options() != nil {
		t.Errorf("without a name: %d", p.Status)
	}
	next := func() *idptest.Form {
		p := choice.Form("main").Fill("device", "Laptop").Fill("kind", "passkey").Submit("")
		if p.Options() == nil || !p.Says("Laptop") || !slices.Contains(p.Links(), "/help/passkeys") {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		return p.Form("main")
	}
	isChoice := func(name string, p *idptest.Page, status int) {
		t.Helper()
		v := p.Form("main").Values
		idptest.Want(t, p, idptest.Status(status))
		if v.Get("device") != "Laptop" || v.Get("kind") != "passkey" || v.Has("response") {
			t.Errorf("%s: %d %v", name, p.Status, v)
		}
	}
	isChoice("back", next().Submit("back"), 200)
	for _, why := range []string{"cancelled", "known", "unable"} {
		isChoice(why, next().Submit(why), 422)
	}
	isChoice("without script", next().Submit(""), 422)
	isChoice("garbage", next().Fill("response", "{").Submit(""), 422)
	isChoice("40 kB", next().Fill("response", strings.Repeat("x", 40_000)).Submit(""), 422)
	a := s.Authenticator()
	late := choice.Form("main").Fill("device", "Laptop").Fill("kind", "passkey").Submit("")
	s.Clock.Advance(credential.CeremonyLifetime)
	isChoice("after five minutes", late.Form("main").Fill("response", string(a.Register(t, late.Options()))).Submit(""), 422)
	if p := next().Submit("language"); p.Options() == nil {
		t.Errorf("in another language it is another page: %s", p.Text())
	}
	if p := s.EnrolPasskey(t, choice, "Laptop", a); p.URL.Path != "/o/meridian/home" {
		t.Errorf("and then: %d %s", p.Status, p.Text())
	}
}

// Journeys 2.1, 5.8: a passkey that verified its user is both the sign-in and the second step.
func TestPasskeyAloneOpensEveryDoorOfItsOrganization(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	s.Organization(t, "Lumen Health", "lumen")
	_, a := withPasskey(t, s, org, ana)
	for _, path := range []string{"/sign-in", "/o/meridian"} {
		b := s.Browser(t)
		if page := b.Get(path); !page.Has("input", "autocomplete", "username webauthn") || !page.Has("button", "data-ceremony", "alone") {
			t.Errorf("%s offers no passkey", path)
		}
		if p := b.EnterWithPasskey(path, a); p.URL.Path != "/o/meridian/home" {
			t.Errorf("at %s: %d %s: %s", path, p.Status, p.URL, p.Text())
		}
	}
	b := s.Browser(t)
	deep := b.Get("/o/meridian/account/sessions?x=1").URL.Path
	if p := b.EnterWithPasskey(deep, a); p.URL.RequestURI() != "/o/meridian/account/sessions?x=1" {
		t.Errorf("on the way to a page: %d %s", p.Status, p.URL)
	}
	b = s.Browser(t)
	p := b.EnterWithPasskey("/o/lumen", a)
	idptest.Want(expect.Case(t, "at another organization"), p, idptest.Status(422), idptest.Path("/o/lumen"))
	if at(b, "meridian") || len(p.Links()) == 0 {
		t.Errorf("at another organization: %d %s", p.Status, p.URL)
	}
	// Without verification it is one factor and signs in nobody alone; beside a password it is
	// the second.
	a.Flags = authenticator.Present
	b = s.Browser(t)
	if p := b.EnterWithPasskey("/sign-in", a); p.Status != 422 || at(b, "meridian") {
		t.Errorf("without verification: %d %s", p.Status, p.URL)
	}
	if _, page := asked(t, s, ana); page.Answer(a).URL.Path != "/o/meridian/home" {
		t.Error("beside the password it is no second step")
	}
}

// A morning in a large office, behind one address.
func TestManyPeopleOfOneNetworkEnterWithPasskeys(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, a := withPasskey(t, s, org, ana)
	for i := range 150 {
		if p := s.Browser(t).EnterWithPasskey("/o/meridian", a); p.URL.Path != "/o/meridian/home" {
			t.Fatalf("person %d: %d %s", i+1, p.Status, p.Text())
		}
	}
}

// Journeys 5.8: where the organization wants the password too, a passkey used first is not
// asked for again.
func TestPasskeyIsNoPasswordWhereTheRulesSaySo(t *testing.T) {
	t.Parallel()
	s, org := meridian(t, func(r *signin.SecondStepRules) { r.Passwordless = false })
	_, a := withPasskey(t, s, org, ana)
	b := s.Browser(t)
	page := b.EnterWithPasskey("/o/meridian", a)
	idptest.Want(t, page, idptest.PathBegins("/sign-in/att_"), idptest.Says("web.confirm.password_too", "Organization", "Meridian Freight"))
	if at(b, "meridian") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	if p := page.Form("main").Fill("password", idptest.Password).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
}

// R-PSK-08 and decision 0028: asking for options reveals nothing and stores nothing.
func TestOptionsOfAPasskeyAloneAreTheSameForEverybody(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	own, _ := withPasskey(t, s, org, ana)
	tables := func() (all string) {
		for _, table := range []string{"browsers", "attempts", "replays", "limits", "passkeys", "sessions"} {
			all += dbtest.Dump(t, s.DB, table)
		}
		return all
	}
	before := tables()
	plain := func(b *idptest.Browser) string {
		var options map[string]any
		if err := json.Unmarshal(b.PasskeyOptions(), &options); err != nil {
			t.Fatal(err)
		}
		if c, _ := options["challenge"].(string); len(c) < 43 {
			t.Errorf("the challenge is %q", c)
		}
		options["challenge"] = ""
		text, err := json.Marshal(options)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if one, other := plain(own), plain(s.Browser(t)); one != other || strings.Contains(one, "allowCredentials") {
		t.Errorf("a browser that knows a passkey gets %s, a stranger %s", one, other)
	}
	if tables() != before {
		t.Error("asking wrote something")
	}
	if p := idptest.Start(t).Browser(t).Post("/sign-in/passkey", nil); p.Status != 422 {
		t.Errorf("an installation without a name offers passkeys: %d", p.Status)
	}
	b := s.Browser(t)
	b.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := b.Post("/sign-in/passkey", nil); p.Status != 403 || b.Cookie("__Host-parvis-passkey") != "" {
		t.Errorf("another site asks: %d", p.Status)
	}
}

// The browser is told of a passkey that nobody has here, so that it no longer offers it.
func TestBrowserIsToldOfAPasskeyThatNobodyHas(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, a := withPasskey(t, s, org, ana)
	a.Flags = authenticator.Present
	if p := s.Browser(t).EnterWithPasskey("/sign-in", a); p.Has("span", "data-signal", "signalUnknownCredential") {
		t.Error("the browser is told to forget a passkey that somebody has")
	}
	u := userOf(t, s, org.ID, ana)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error { return credential.RemoveAuthenticators(ctx, tx, owner(u)) })
	p := s.Browser(t).EnterWithPasskey("/sign-in", a)
	if p.Status != 422 || !p.Has("span", "data-signal", "signalUnknownCredential") || !strings.Contains(p.Body, "example.com") {
		t.Errorf("%d: %s", p.Status, p.Body)
	}
}

// R-MFA-08: step-up asks for the second step alone, and brings back what was typed.
func TestStepUpAsksForTheSecondStep(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, secret := withApp(t, s, org, ana, directory.Owner)
	s.Clock.Advance(11 * time.Minute)
	page := b.Get("/o/meridian/admin/people/invite").Form("main").Fill("email", "bo@meridian.example").Fill("name", "Bo").Submit("")
	idptest.Want(t, page, idptest.PathBegins("/sign-in/att_"), idptest.Says("web.confirm.title"), idptest.Link("/o/meridian/home"))
	if page.Form("main").Values.Has("password") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	// A password is no answer to it.
	if p := b.Post(page.URL.Path, url.Values{"email": {ana}, "password": {idptest.Password}}); p.URL.Path != page.URL.Path || p.Form("main").Values.Has("password") {
		t.Errorf("the password: %d %s", p.Status, p.URL)
	}
	if p := page.Form("main").Fill("code", "000000").Submit(""); p.Status != 422 {
		t.Errorf("a wrong code: %d", p.Status)
	}
	back := page.Form("main").Fill("code", code(s, secret)).Submit("")
	if back.URL.Path != "/o/meridian/admin/people/invite" || back.Form("main").Values.Get("email") != "bo@meridian.example" {
		t.Fatalf("%d %s: %s", back.Status, back.URL, back.Text())
	}
	if p := back.Form("main").Submit(""); !strings.HasPrefix(p.URL.Path, "/o/meridian/admin/invitations/") {
		t.Errorf("sent again: %d %s", p.Status, p.URL)
	}
}

// A touch of a key that verifies nobody is not enough alone for a step-up (R-PSK-03).
func TestStepUpByAKeyThatVerifiesNobodyAsksForThePasswordToo(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, a := withPasskey(t, s, org, ana)
	a.Flags = authenticator.Present
	s.Clock.Advance(11 * time.Minute)
	page := b.Post("/o/meridian/account/sessions", url.Values{"do": {"others"}, "id": {""}})
	if page = page.Answer(a); !strings.HasPrefix(page.URL.Path, "/sign-in/att_") || !page.Form("main").Values.Has("password") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	if p := page.Form("main").Fill("password", idptest.Password).Submit(""); p.URL.Path != "/o/meridian/account/sessions" {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
}

// RST-7: somebody who has only the mailbox changes nothing of a person with a second step.
func TestRST7SecondStepComesBeforeTheNewPassword(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	own, secret := withApp(t, s, org, ana, directory.Member)
	link := resetLink(t, s, ana)
	state := func() string {
		return dbtest.Dump(t, s.DB, "passwords") + dbtest.Dump(t, s.DB, "totp_seeds") + dbtest.Dump(t, s.DB, "sessions") + dbtest.Dump(t, s.DB, "resets")
	}
	before := state()
	b := s.Browser(t)
	for range 2 { // a scanner
		if p := b.Get(link); p.Status != 200 || p.Form("main").Values.Has("password") || !p.Says(idptest.Sentence(t, "web.reset.second", "Email", ana, "Organization", "Meridian Freight")) {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
	}
	page := b.Get(link).Form("main").Submit("")
	attempt := page.URL.Path
	if !strings.HasPrefix(attempt, "/sign-in/att_") || !page.Form("main").Values.Has("code") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	for _, v := range []url.Values{
		{"password": {another}, "repetition": {another}}, {"device": {"Mine"}, "kind": {"app"}}, {"code": {""}}, {"do": {"back"}}, {"email": {ana}, "password": {another}}, {},
	} {
		if p := b.Post(attempt, v); !p.Form("main").Values.Has("code") || p.URL.Path != attempt {
			t.Errorf("%v: %d %s: %s", v, p.Status, p.URL, p.Text())
		}
		if p := b.Post(link, v); v.Has("password") && !v.Has("email") && !p.Form("main").Values.Has("code") {
			t.Errorf("%v to the link: %d %s: %s", v, p.Status, p.URL, p.Text())
		}
	}
	if p := page.Form("main").Fill("code", "000000").Submit(""); p.Status != 422 {
		t.Errorf("a wrong code: %d", p.Status)
	}
	if at(b, "meridian") || !at(own, "meridian") || state() != before {
		t.Fatal("something changed before the second step")
	}
	created := page.Form("main").Fill("code", code(s, secret)).Submit("")
	if created.URL.Path != attempt || !created.Form("main").Values.Has("repetition") || at(b, "meridian") {
		t.Fatalf("after the code: %d %s: %s", created.Status, created.URL, created.Text())
	}
	if p := signIn(s.Browser(t), "/o/meridian", ana, idptest.Password); !strings.HasPrefix(p.URL.Path, "/sign-in/att_") {
		t.Error("the old password is gone before the new one is there")
	}
	if p := create(created, "short"); p.Status != 422 {
		t.Errorf("a password that falls short: %d", p.Status)
	}
	if p := create(created, another); p.URL.Path != "/o/meridian/home" || at(own, "meridian") {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	if p := s.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("the link is not used up: %d", p.Status)
	}
	s.Clock.Advance(time.Minute)
	c := s.Browser(t)
	if p := signIn(c, "/o/meridian", ana, another).Form("main").Fill("code", code(s, secret)).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Errorf("signing in with it: %d %s", p.Status, p.Text())
	}
}

// MFA-7: a new rule reaches an older session at its next step-up, and an attempt continues when
// a rule is dropped.
func TestMFA7RuleThatChangesReachesWhoIsOnTheWay(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, ana, "Ana", directory.Administrator)
	s.SecondStep(t, org, required())
	s.Clock.Advance(11 * time.Minute)
	if !at(b, "meridian") {
		t.Fatal("the session ended")
	}
	page := b.Get("/o/meridian/admin/people/invite").Form("main").Fill("email", "bo@meridian.example").Submit("")
	page = proveAgain(t, page)
	idptest.Want(t, page, idptest.Says("web.enrol.title"))
	page, secret := s.EnrolApp(t, page, "Phone")
	if page.URL.Path != "/o/meridian/admin/people/invite" || page.Form("main").Values.Get("email") != "bo@meridian.example" {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	if secret == "" || page.Form("main").Submit("").Status != 200 {
		t.Error("the form cannot be sent")
	}

	_, choice := joining(t, s, org, "bo2@meridian.example", directory.Member)
	s.SecondStep(t, org, signin.SecondStepRules{Tolerance: 1, Passwordless: true})
	page = choice.Form("main").Fill("device", "Phone").Submit("")
	if page.Secret() != "" || !page.Form("main").Values.Has("password") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	if page = page.Form("main").Fill("password", idptest.Password).Submit(""); page.URL.Path != "/o/meridian/home" {
		t.Errorf("%d %s: %s", page.Status, page.URL, page.Text())
	}
}

// Journeys 5.4: the help begins with the browser, then the system; all other authenticators follow
// below.
func TestHelpAboutPasskeysBeginsWithOnesOwnDevice(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const gecko, blink = "Mozilla/5.0 (%s; rv:146.0) Gecko/20100101 Firefox/146.0", "Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 %s"
	const webkit = "Mozilla/5.0 (%s) AppleWebKit/605.1.15 (KHTML, like Gecko) %s Safari/604.1"
	for _, c := range []struct{ agent, title, text, manage string }{
		{fmt.Sprintf(blink, "Windows NT 10.0; Win64; x64", "Safari/537.36"), "web.passkey.chrome_windows_title", "web.passkey.chrome_windows", "web.passkey.chrome_windows_manage"},
		{fmt.Sprintf(blink, "Macintosh; Intel Mac OS X 10_15_7", "Safari/537.36"), "web.passkey.chrome_mac_title", "web.passkey.chrome_mac", "web.passkey.chrome_mac_manage"},
		{fmt.Sprintf(blink, "Linux; Android 10; K", "Mobile Safari/537.36"), "web.passkey.chrome_android_title", "web.passkey.chrome_android", "web.passkey.chrome_android_manage"},
		{fmt.Sprintf(webkit, "iPhone; CPU iPhone OS 18_1 like Mac OS X", "CriOS/143.0.0.0 Mobile/15E148"), "web.passkey.chrome_ios_title", "web.passkey.chrome_ios", "web.passkey.chrome_ios_manage"},
		{fmt.Sprintf(webkit, "Macintosh; Intel Mac OS X 10_15_7", "CriOS/143.0.0.0"), "web.passkey.chrome_ios_title", "web.passkey.chrome_ios", "web.passkey.chrome_ios_manage"},
		{fmt.Sprintf(blink, "X11; Linux x86_64", "Safari/537.36"), "web.passkey.chrome_title", "web.passkey.chrome", "web.passkey.chrome_manage"},
		{fmt.Sprintf(blink, "X11; CrOS x86_64 14541.0.0", "Safari/537.36"), "web.passkey.chrome_title", "web.passkey.chrome", "web.passkey.chrome_manage"},
		{fmt.Sprintf(gecko, "X11; Linux x86_64"), "web.passkey.firefox_title", "web.passkey.firefox", "web.passkey.firefox_manage"},
		{fmt.Sprintf(gecko, "Windows NT 10.0; Win64; x64"), "web.passkey.windows_title", "web.passkey.windows", "web.passkey.windows_manage"},
		{fmt.Sprintf(gecko, "Android 15; Mobile"), "web.passkey.android_title", "web.passkey.android", "web.passkey.android_manage"},
		{fmt.Sprintf(blink, "Windows NT 10.0; Win64; x64", "Safari/537.36 Edg/143.0.0.0"), "web.passkey.windows_title", "web.passkey.windows", "web.passkey.windows_manage"},
		{fmt.Sprintf(webkit, "Macintosh; Intel Mac OS X 10_15_7", "Version/18.1"), "web.passkey.apple_title", "web.passkey.apple", "web.passkey.apple_manage"},
		{fmt.Sprintf(webkit, "iPhone; CPU iPhone OS 18_1 like Mac OS X", "Version/18.1 Mobile/15E148"), "web.passkey.apple_title", "web.passkey.apple", "web.passkey.apple_manage"},
		{"", "web.passkey.key_title", "web.passkey.key", "web.passkey.key_manage"},
	} {
		b := s.Browser(t)
		b.Header.Set("User-Agent", c.agent)
		p := idptest.Want(t, b.Get("/help/passkeys"), idptest.Status(200), idptest.Says(c.text), idptest.Says(c.manage),
			idptest.Says("web.passkey.chrome_mac_title"), idptest.Says("web.passkey.key"), idptest.Says("web.passkey.help_end"))
		catalogue, err := i18n.Load()
		if err != nil {
			t.Fatal(err)
		}
		english := catalogue.In("en")
		idptest.Want(t, p, idptest.Says("web.passkey.here", "Name", english.Text(c.title)))
		text := p.Text()
		if strings.Index(text, english.Text(c.text)) > strings.Index(text, english.Text("web.passkey.others")) {
			t.Errorf("%s: one's own device does not stand first", c.agent)
		}
		if n := strings.Count(text, english.Text(c.text)); n != 1 {
			t.Errorf("%s: one's own device stands there %d times", c.agent, n)
		}
		if n := strings.Count(p.Body, `<svg class="device"`); n != 10 {
			t.Errorf("%s: %d pictures", c.agent, n)
		}
	}
}
