package web_test

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/authenticator"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/mailbox"
	"parvis/internal/signin"
)

const security = "/o/meridian/account/security"

// free returns an organization that leaves the second step to its people.
func free(t *testing.T) (*idptest.Server, directory.Organization) {
	t.Helper()
	s := idptest.Start(t, idptest.Named)
	return s, s.Organization(t, "Meridian Freight", "meridian")
}

// addApp adds an authenticator app in the user's own account.
func addApp(t *testing.T, s *idptest.Server, b *idptest.Browser, name string) (secret string) {
	t.Helper()
	page, secret := s.EnrolApp(t, b.Get(security+"/add"), name)
	idptest.Want(t, page, idptest.Path(security), idptest.Says("web.security.did_added"), idptest.Shows(name))
	return secret
}

// addPasskey adds a passkey in the user's own account.
func addPasskey(t *testing.T, s *idptest.Server, b *idptest.Browser, name string, a *authenticator.Authenticator) {
	t.Helper()
	page := s.EnrolPasskey(t, b.Get(security+"/add"), name, a)
	idptest.Want(t, page, idptest.Path(security), idptest.Says("web.security.did_added"), idptest.Shows(name))
}

// deviceLink returns the page of an authenticator, by its name.
func deviceLink(t *testing.T, b *idptest.Browser, name string) string {
	t.Helper()
	page := b.Get(security)
	m := regexp.MustCompile(`href="([^"]+)" aria-label="Change ` + regexp.QuoteMeta(name) + `"`).FindStringSubmatch(page.Body)
	if m == nil {
		t.Fatalf("no device %q: %s", name, page.Text())
	}
	return m[1]
}

// shownCodes returns the recovery codes on a page.
func shownCodes(p *idptest.Page) []string {
	var all []string
	for _, m := range regexp.MustCompile(`<li><code>([A-Z2-7-]+)</code>`).FindAllStringSubmatch(p.Body, -1) {
		all = append(all, m[1])
	}
	return all
}

// makeCodes makes recovery codes on the user's own page.
func makeCodes(t *testing.T, b *idptest.Browser) []string {
	t.Helper()
	page := b.Get(security + "/codes").Form("main").Submit("")
	codes := shownCodes(page)
	if page.Status != 200 || len(codes) != 10 {
		t.Fatalf("%d codes: %d %s", len(codes), page.Status, page.Text())
	}
	return codes
}

// stepsUp reports whether a page asks for fresh proof.
func stepsUp(p *idptest.Page) bool {
	return strings.HasPrefix(p.URL.Path, "/sign-in/att_") && p.Status == 200
}

// Journeys 5.5, 8.3.
func TestDevicesOfEachKindAreAddedRenamedAndRemoved(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	elsewhere := s.Browser(t)
	signIn(elsewhere, "/o/meridian", ana, idptest.Password)
	idptest.Want(t, b.Get(security), idptest.Says("web.security.none"), idptest.SaysNot("web.codes.title"))
	addApp(t, s, b, "Phone")
	hello, synced := s.Authenticator(), s.Authenticator()
	hello.AAGUID = [16]byte{0x08, 0x98, 0x70, 0x58, 0xca, 0xdc, 0x4b, 0x81, 0xb6, 0xe1, 0x30, 0xde, 0x50, 0xdc, 0xbe, 0x96}
	synced.Flags |= authenticator.BackupEligible | authenticator.BackedUp
	addPasskey(t, s, b, "Work laptop", hello)
	addPasskey(t, s, b, "Everywhere", synced)
	page := b.Get(security)
	for _, want := range []string{"Phone " + idptest.Sentence(t, "web.enrol.app"),
		"Work laptop " + idptest.Sentence(t, "web.enrol.passkey") + " · Windows Hello " + idptest.Sentence(t, "web.security.this_device"),
		"Everywhere " + idptest.Sentence(t, "web.enrol.passkey") + " " + idptest.Sentence(t, "web.security.synced"), idptest.Sentence(t, "web.security.never")} {
		if !page.Says(want) {
			t.Errorf("the list does not say %q: %s", want, page.Text())
		}
	}
	if !page.Has("span", "data-signal", "signalAllAcceptedCredentials") || page.Has("span", "data-signal", "signalUnknownCredential") {
		t.Error("the browser is not told which passkeys there are")
	}

	laptop := deviceLink(t, b, "Work laptop")
	for name, want := range map[string]string{
		"": "name", " \t ": "name", strings.Repeat("x", 300): "100", "safe\u202etxt": "", "a\x00b": "",
	} {
		p := idptest.Want(expect.Case(t, "named %q", name), b.Post(laptop, url.Values{"device": {name}}), idptest.Shows(want))
		if p.Status != 422 && p.Status != 400 {
			t.Errorf("named %q: %d %s", name, p.Status, p.Text())
		}
	}
	if p := b.Post(laptop, url.Values{"device": {"A"}, "user": {"usr_1"}}); p.Status != 400 {
		t.Errorf("with another field: %d", p.Status)
	}
	p := b.Get(laptop).Form("main").Fill("device", "  <b>Ana’s</b>  laptop ").Submit("")
	if p.URL.RequestURI() != security+"?renamed" || !p.Says("<b>Ana’s</b> laptop") || strings.Contains(p.Body, "<b>Ana") {
		t.Errorf("renamed: %d %s %s", p.Status, p.URL, p.Text())
	}
	if !at(elsewhere, "meridian") {
		t.Error("renaming ended a session")
	}

	before := len(s.LettersTo(t, ana))
	p = b.Get(laptop).Form("remove").Submit("remove")
	idptest.Want(t, p,
		idptest.Path(security), idptest.Says("web.security.did_removed"), idptest.ShowsNot("laptop"),
		idptest.Element("span", "data-signal", "signalUnknownCredential"))
	if at(elsewhere, "meridian") || !at(b, "meridian") {
		t.Error("removing a device must end the other sessions, and no more")
	}
	letters := s.LettersTo(t, ana)
	if len(letters) != before+1 || !strings.Contains(letters[0].Text, "laptop") || !strings.Contains(letters[0].Text, idptest.Sentence(t, "mail.device.removed_sessions")) {
		t.Errorf("the letter: %q", letters[0].Text)
	}
	if p := s.Browser(t).EnterWithPasskey("/o/meridian", hello); p.Status != 422 {
		t.Errorf("the removed passkey: %d %s", p.Status, p.URL)
	}
	if p := b.Get(laptop); p.Status != 404 {
		t.Errorf("its page: %d", p.Status)
	}
	if p := s.Browser(t).EnterWithPasskey("/o/meridian", synced); p.URL.Path != "/o/meridian/home" {
		t.Errorf("the passkey that is left: %d %s", p.Status, p.Text())
	}
	for _, name := range []string{"Everywhere", "Phone"} {
		idptest.Want(expect.Case(t, "%s", name), b.Get(deviceLink(t, b, name)).Form("remove").Submit("remove"), idptest.Says("web.security.did_removed"))
	}
	idptest.Want(expect.Case(t, "without a device again"), b.Get(security), idptest.Says("web.security.none"))
	activity := b.Get("/o/meridian/account/activity")
	for _, want := range []string{idptest.Sentence(t, "audit.action.device.added"), idptest.Sentence(t, "audit.action.device.renamed"), idptest.Sentence(t, "audit.action.device.removed")} {
		if !activity.Says(want) {
			t.Errorf("the activity does not say %q", want)
		}
	}
}

// The browser is told to forget a passkey only if nobody has it: no link can make it forget one
// that is of use.
func TestBrowserForgetsNoPasskeyByALink(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	addPasskey(t, s, b, "Laptop", s.Authenticator())
	var id string
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.One(ctx, db.Into(&id), `select credential_id from passkeys where org_id = $1`, string(org.ID))
		return err
	})
	for _, removed := range []string{id, "", `"}`, "<script>", "../" + id} {
		if p := b.Get(security + "?" + url.Values{"removed": {removed}}.Encode()); p.Status != 200 || strings.Contains(p.Body, "signalUnknownCredential") {
			t.Errorf("removed=%s: %d, and the browser is told to forget something", removed, p.Status)
		}
	}
}

// R-MFA-07: nobody can get below what the organization requires.
func TestTheLastDeviceStaysWhileOneIsRequired(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, _ := withApp(t, s, org, ana, directory.Member)
	link := deviceLink(t, b, "Ana’s phone")
	page := b.Get(link)
	idptest.Want(t, page, idptest.Says("signin.last_device"), idptest.NoElement("button", "value", "remove"))
	idptest.Want(expect.Case(t, "sent by hand"), b.Post(link, url.Values{"do": {"remove"}}), idptest.Status(409), idptest.Says("signin.last_device"))
	addApp(t, s, b, "Tablet")
	links := []string{link, deviceLink(t, b, "Tablet")}
	// Of two that are removed at once, one stays.
	var both sync.WaitGroup
	for _, l := range links {
		c := b.Copy()
		both.Go(func() { c.Post(l, url.Values{"do": {"remove"}}) })
	}
	both.Wait()
	left := 0
	for _, l := range links {
		if b.Get(l).Status == 200 {
			left++
		}
	}
	if left != 1 {
		t.Errorf("%d devices are left", left)
	}
	// Once none is required, the last may be removed.
	s.SecondStep(t, org, signin.SecondStepRules{Tolerance: 1, Passwordless: true})
	for _, l := range links {
		b.Post(l, url.Values{"do": {"remove"}})
	}
	idptest.Want(expect.Case(t, "where none is required"), b.Get(security), idptest.Says("web.security.none"))
}

// R-MFA-05, R-SES-10: changing a factor asks for the strongest factor that the person has, and
// returns to the filled-in form.
func TestChangingADeviceAsksForTheSecondStep(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	early := s.Browser(t) // signed in with the password, before there was an authenticator
	signIn(early, "/o/meridian", ana, idptest.Password)
	secret := addApp(t, s, b, "Phone")
	phone := deviceLink(t, b, "Phone")
	changes := map[string]url.Values{
		security + "/add":                     {"device": {"Mallory’s"}, "kind": {"app"}},
		security + "/codes":                   {"set": {""}},
		phone:                                 {"device": {"Other"}},
		"/o/meridian/account/password":        {"current_password": {idptest.Password}, "password": {another}, "repetition": {another}},
		"/o/meridian/account/password/remove": {},
		"/o/meridian/account/email":           {"email": {"mallory@evil.example"}},
	}
	state := func() string {
		return dbtest.Dump(t, s.DB, "totp_seeds") + dbtest.Dump(t, s.DB, "recovery_codes") + dbtest.Dump(t, s.DB, "passwords") + dbtest.Dump(t, s.DB, "email_changes")
	}
	before := state()
	asksForTheCode := func(who string, c *idptest.Browser) {
		t.Helper()
		for path, v := range changes {
			p := c.Post(path, v)
			if !stepsUp(p) || !p.Form("main").Values.Has("code") {
				t.Errorf("%s, %s: %d %s: %s", who, path, p.Status, p.URL, p.Text())
			}
		}
		if p := c.Post(phone, url.Values{"do": {"remove"}}); !stepsUp(p) {
			t.Errorf("%s removes: %d %s", who, p.Status, p.URL)
		}
	}
	asksForTheCode("a session with a fresh password and no second step", early)
	s.Clock.Advance(11 * time.Minute)
	asksForTheCode("a session whose second step is eleven minutes old", b)
	if state() != before {
		t.Fatal("something was changed without proof")
	}
	// The page shows again what was typed.
	p := b.Post(phone, url.Values{"device": {"Ana’s phone"}}).Form("main").Fill("code", code(s, secret)).Submit("")
	if p.URL.Path != phone || p.Form("main").Values.Get("device") != "Ana’s phone" || !p.Says("Phone") {
		t.Fatalf("after the proof: %d %s: %s", p.Status, p.URL, p.Text())
	}
	idptest.Want(t, p.Form("main").Submit(""), idptest.Says("web.security.did_renamed"), idptest.Shows("Ana’s phone"))
}

// Adding an authenticator proves it: the next page does not ask for a code that is used up.
func TestAddingADeviceProvesASecondStep(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	before := b.Cookie("__Host-parvis")
	addApp(t, s, b, "Phone")
	if b.Cookie("__Host-parvis") == before {
		t.Error("the cookie is that of before")
	}
	makeCodes(t, b)
	if sessions := dbtest.Dump(t, s.DB, "sessions"); !strings.Contains(sessions, "pwd otp mfa") {
		t.Errorf("the session's methods: %s", sessions)
	}
	if page := b.Get("/o/meridian/account/sessions"); !page.Says("Password Code") {
		t.Errorf("the list of sessions: %s", page.Text())
	}
}

// TEN-1 for authenticators: another user's and another organization's are not found.
func TestTEN1DevicesOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Owner)
	bo := s.Join(t, org, "bo@meridian.example", "Bo", directory.Member)
	addApp(t, s, bo, "Bo’s phone")
	boKey := s.Authenticator()
	addPasskey(t, s, bo, "Bo’s key", boKey)
	lumen := s.Organization(t, "Lumen Health", "lumen")
	lin := s.Join(t, lumen, ana, "Ana", directory.Member) // the same address
	if page, _ := s.EnrolApp(t, lin.Get("/o/lumen/account/security/add"), "Lumen phone"); !page.Says("Lumen phone") {
		t.Fatalf("%d %s", page.Status, page.Text())
	}
	var theirs []string
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		theirs = nil
		return tx.Rows(ctx, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			theirs = append(theirs, id)
			return err
		}, `select id from totp_seeds union select id from passkeys`)
	})
	if len(theirs) != 3 {
		t.Fatalf("devices: %v", theirs)
	}
	state := func() string { return dbtest.Dump(t, s.DB, "totp_seeds") + dbtest.Dump(t, s.DB, "passkeys") }
	before, absent := state(), b.Get(security+"/app_none")
	for _, id := range theirs {
		if p := b.Get(security + "/" + id); p.Status != 404 || p.Says("phone") {
			t.Errorf("%s: %d %s", id, p.Status, p.Text())
		} else if strings.Contains(absent.Text(), idptest.Sentence(t, "credential.device_gone")) != strings.Contains(p.Text(), idptest.Sentence(t, "credential.device_gone")) {
			t.Errorf("%s differs from an absent one: %s", id, p.Text())
		}
		for _, v := range []url.Values{{"device": {"Mine"}}, {"do": {"remove"}}} {
			if p := b.Post(security+"/"+id, v); p.Status != 404 {
				t.Errorf("%s %v: %d", id, v, p.Status)
			}
		}
	}
	if state() != before {
		t.Error("somebody else's device was changed")
	}
	if p := b.Get("/o/lumen/account/security"); strings.Contains(p.Text(), "Lumen phone") {
		t.Error("another organization's page opens")
	}
}

// Journeys 5.6, R-MFA-06.
func TestRecoveryCodesAreShownOnceAndReplaced(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	if p := b.Get(security + "/codes"); p.URL.Path != security {
		t.Errorf("without a device: %d %s", p.Status, p.URL)
	}
	addApp(t, s, b, "Phone")
	for _, path := range []string{"/o/meridian/home", security} {
		idptest.Want(expect.Case(t, "%s", path), b.Get(path), idptest.Says("web.codes.missing"))
	}
	form := b.Get(security + "/codes").Form("main")
	page := form.Submit("")
	codes := shownCodes(page)
	distinct := map[string]bool{}
	for _, c := range codes {
		distinct[c] = true
	}
	idptest.Want(t, page, idptest.Status(200), idptest.Header("Cache-Control", "no-store"), idptest.Element("div", "data-codes", "codes"))
	if len(distinct) != 10 {
		t.Fatalf("%d codes: %d %s", len(distinct), page.Status, page.Text())
	}
	// Sent again by a reload, or asked for again, the page shows no codes and makes none.
	hashes := dbtest.Dump(t, s.DB, "recovery_codes")
	if p := idptest.Want(t, form.Submit(""), idptest.Status(409), idptest.Says("signin.codes_made")); len(shownCodes(p)) > 0 {
		t.Errorf("sent twice: %d %s", p.Status, p.Text())
	}
	for _, path := range []string{security + "/codes", security} {
		if p := idptest.Want(expect.Case(t, "%s", path), b.Get(path), idptest.Says("web.codes.left", "Count", 10), idptest.SaysNot("web.codes.missing")); len(shownCodes(p)) > 0 {
			t.Errorf("%s: %s", path, p.Text())
		}
	}
	if dbtest.Dump(t, s.DB, "recovery_codes") != hashes {
		t.Error("sending twice changed the codes")
	}
	// Codes appear nowhere but on that page.
	letters := subjects(t, s, ana)
	if strings.Count(letters, idptest.Sentence(t, "mail.device.recovery_subject", "Organization", "Meridian Freight")) != 1 {
		t.Errorf("letters: %s", letters)
	}
	everywhere := s.Log.String() + hashes + dbtest.Dump(t, s.DB, "audit_events") + s.LettersTo(t, ana)[0].Text
	for _, c := range codes {
		if strings.Contains(everywhere, c) || strings.Contains(everywhere, strings.ReplaceAll(c, "-", "")) {
			t.Errorf("code %s is stored or told", c)
		}
	}
	use := func(typed string) *idptest.Page {
		c, p := asked(t, s, ana)
		return c.Get(p.URL.Path+"?with=recovery").Form("main").Fill("recovery_code", typed).Submit("")
	}
	if p := use(codes[0]); p.URL.Path != "/o/meridian/home" {
		t.Errorf("the first code: %d %s", p.Status, p.Text())
	}
	if p := b.Get(security); !p.Says(idptest.Sentence(t, "web.codes.left", "Count", 9)) {
		t.Errorf("after one: %s", p.Text())
	}
	// A new set ends the old one.
	anew := makeCodes(t, b)
	if p := use(codes[1]); p.Status != 422 {
		t.Errorf("a code of the earlier set: %d %s", p.Status, p.URL)
	}
	for _, c := range anew[:8] {
		if p := use(c); p.URL.Path != "/o/meridian/home" {
			t.Fatalf("a code of the new set: %d %s", p.Status, p.Text())
		}
	}
	for _, path := range []string{"/o/meridian/home", security} {
		idptest.Want(expect.Case(t, "%s", path), b.Get(path), idptest.Says("web.codes.few", "Count", 2))
	}
}

// Of eight browsers that make codes at once, one gets a set, and that set works.
func TestOfEightSetsMadeAtOnceOneIsShownAndHolds(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	addApp(t, s, b, "Phone")
	var mu sync.Mutex
	var shown [][]string
	var all sync.WaitGroup
	for range 8 {
		c := b.Copy()
		all.Go(func() {
			if codes := shownCodes(c.Post(security+"/codes", url.Values{"set": {""}})); len(codes) > 0 {
				mu.Lock()
				defer mu.Unlock()
				shown = append(shown, codes)
			}
		})
	}
	all.Wait()
	if len(shown) != 1 {
		t.Fatalf("%d sets were shown", len(shown))
	}
	c, p := asked(t, s, ana)
	if p := c.Get(p.URL.Path+"?with=recovery").Form("main").Fill("recovery_code", shown[0][9]).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Errorf("its code: %d %s", p.Status, p.Text())
	}
}

// After a first authenticator, added as a step of signing in, the codes are shown once, and then the
// page that was asked for.
func TestFirstDeviceLeadsThroughTheRecoveryCodes(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Meridian Freight", "meridian")
	s.Join(t, org, ana, "Ana", directory.Member)
	s.SecondStep(t, org, required())
	const wanted = "/o/meridian/account/sessions?x=1"
	b := s.Browser(t)
	page := b.Get(wanted).Form("main").Fill("email", ana).Fill("password", idptest.Password).Submit("")
	page = page.Form("main").Fill("device", "Phone").Fill("kind", "app").Submit("")
	page = page.Form("main").Fill("code", code(s, page.Secret())).Submit("")
	if page.URL.Path != security+"/codes" || page.URL.Query().Get("next") != wanted {
		t.Fatalf("after the code: %d %s", page.Status, page.URL)
	}
	if !strings.Contains(strings.Join(page.Links(), " "), wanted) {
		t.Errorf("no way on without codes: %v", page.Links())
	}
	made := page.Form("main").Submit("")
	if len(shownCodes(made)) != 10 || !strings.Contains(strings.Join(made.Links(), " "), wanted) || !made.Says(idptest.Sentence(t, "web.codes.go_on")) {
		t.Fatalf("%d %s: %v", made.Status, made.Text(), made.Links())
	}
	// A person who has codes goes straight on after a further authenticator.
	s.Clock.Advance(30 * time.Second)
	page = b.Get(security+"/add").Form("main").Fill("device", "Tablet").Fill("kind", "app").Submit("")
	if page = page.Form("main").Fill("code", code(s, page.Secret())).Submit(""); page.URL.RequestURI() != security+"?added" {
		t.Errorf("a further device: %d %s", page.Status, page.URL)
	}
	// WEB-3: no address leads to another site.
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/%2f/evil.example"} {
		if p := b.Get(security + "/codes?" + url.Values{"next": {next}}.Encode()); strings.Contains(strings.Join(p.Links(), " "), "evil") || strings.Contains(strings.Join(p.Links(), " "), "javascript") {
			t.Errorf("next=%s: %v", next, p.Links())
		}
	}
}

// PWD-5 with a second step: the current password alone changes nothing.
func TestPWD5ChangingThePasswordAsksForTheSecondStepFirst(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, secret := withApp(t, s, org, ana, directory.Member)
	s.Clock.Advance(11 * time.Minute)
	const path = "/o/meridian/account/password"
	page := b.Get(path)
	if !stepsUp(page) {
		t.Fatalf("the page opens without it: %d %s", page.Status, page.URL)
	}
	before := dbtest.Dump(t, s.DB, "passwords")
	if p := b.Post(path, url.Values{"current_password": {idptest.Password}, "password": {another}, "repetition": {another}}); !stepsUp(p) {
		t.Errorf("sent without it: %d %s", p.Status, p.URL)
	}
	if dbtest.Dump(t, s.DB, "passwords") != before {
		t.Fatal("the password was changed")
	}
	page = page.Form("main").Fill("code", code(s, secret)).Submit("")
	if page.URL.Path != path {
		t.Fatalf("after the code: %d %s", page.Status, page.URL)
	}
	page = page.Form("main").Fill("current_password", idptest.Password).Fill("password", another).Fill("repetition", another).Submit("")
	if page.URL.RequestURI() != path+"?saved" {
		t.Errorf("%d %s: %s", page.Status, page.URL, page.Text())
	}
}

// passwordless returns somebody with two passkeys who removed the password.
func passwordless(t *testing.T, s *idptest.Server, org directory.Organization) (*idptest.Browser, [2]*authenticator.Authenticator) {
	t.Helper()
	b := s.Join(t, org, ana, "Ana", directory.Member)
	keys := [2]*authenticator.Authenticator{s.Authenticator(), s.Authenticator()}
	addPasskey(t, s, b, "Laptop", keys[0])
	addPasskey(t, s, b, "Key", keys[1])
	p := b.Get("/o/meridian/account/password/remove").Form("main").Submit("")
	idptest.Want(t, p, idptest.Path(security), idptest.Says("web.security.did_password_removed"))
	return b, keys
}

// Journeys 5.8, 8.2: a life without a password, and back.
func TestPasswordIsRemovedAndCreatedAgain(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	elsewhere := s.Browser(t)
	s.Clock.Advance(time.Second)
	b, keys := passwordless(t, s, org)
	idptest.Want(t, b.Get(security), idptest.Says("web.security.no_password"), idptest.SaysNot("web.passwordless.title"))
	if p := b.Get("/o/meridian/account/password/remove"); p.URL.Path != security {
		t.Errorf("removing it again: %d %s", p.Status, p.URL)
	}
	if got := subjects(t, s, ana); strings.Count(got, idptest.Sentence(t, "mail.password_removed.subject", "Organization", "Meridian Freight")) != 1 {
		t.Errorf("letters: %s", got)
	}
	if log := dbtest.Dump(t, s.DB, "audit_events"); !strings.Contains(log, "password.removed") {
		t.Error("the audit log does not say it")
	}
	// The sign-in page fails as for anybody else.
	wrong := signIn(s.Browser(t), "/o/meridian", "nobody@meridian.example", idptest.Password)
	p := signIn(elsewhere, "/o/meridian", ana, idptest.Password)
	if p.Status != 422 || strings.ReplaceAll(p.Text(), ana, "") != strings.ReplaceAll(wrong.Text(), "nobody@meridian.example", "") {
		t.Errorf("the old password: %d %s", p.Status, p.Text())
	}
	if p := elsewhere.EnterWithPasskey("/o/meridian", keys[1]); p.URL.Path != "/o/meridian/home" {
		t.Errorf("a passkey: %d %s", p.Status, p.Text())
	}
	// Without fresh proof no password is created.
	s.Clock.Advance(11 * time.Minute)
	const path = "/o/meridian/account/password"
	page := b.Get(path)
	if !stepsUp(page) || page.Options() == nil {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	if p := b.Post(path, url.Values{"password": {another}, "repetition": {another}}); !stepsUp(p) {
		t.Errorf("sent without proof: %d %s", p.Status, p.URL)
	}
	if page = b.Get(path).Answer(keys[0]); page.URL.Path != path {
		t.Fatalf("after the proof: %d %s: %s", page.Status, page.URL, page.Text())
	}
	if page.Form("main").Values.Has("current_password") {
		t.Error("it asks for a current password")
	}
	idptest.Want(expect.Case(t, "a short one"), page.Form("main").Fill("password", "short").Fill("repetition", "short").Submit(""),
		idptest.Status(422), idptest.Says("credential.reason.digit"))
	// R-PWD-07: the history is kept when the password is removed.
	idptest.Want(expect.Case(t, "the one from before"), page.Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit(""),
		idptest.Status(422), idptest.Says("credential.reason.history", "Count", 10))
	form := page.Form("main").Fill("password", another).Fill("repetition", another)
	if p := idptest.Want(t, form.Submit(""), idptest.URI(security+"?password-created"), idptest.Says("web.security.did_password_created")); !at(b, "meridian") || at(elsewhere, "meridian") {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	if p := form.Submit(""); p.Status != 422 { // sent twice: there is a current one now
		t.Errorf("sent twice: %d %s", p.Status, p.URL)
	}
	if p := signIn(s.Browser(t), "/o/meridian", ana, another); !stepsUp(p) {
		t.Errorf("the new password: %d %s", p.Status, p.Text())
	}
}

// What would lock somebody out is refused, also when the form is made by hand.
func TestPasswordStaysWithoutAnotherWayIn(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	const path = "/o/meridian/account/password/remove"
	refused := func(why string) {
		t.Helper()
		if p := idptest.Want(t, b.Get(path), idptest.Says("signin.not_passwordless")); len(p.Links()) == 0 {
			t.Errorf("%s: %s", why, p.Text())
		}
		idptest.Want(expect.Case(t, "%s, sent by hand", why), b.Post(path, nil), idptest.Status(409), idptest.Says("signin.not_passwordless"))
	}
	refused("no device")
	addApp(t, s, b, "Phone")
	refused("an app")
	touch := s.Authenticator()
	touch.Flags = authenticator.Present
	addPasskey(t, s, b, "Touch", touch)
	addPasskey(t, s, b, "Touch too", s.Authenticator())
	refused("one passkey that verifies its user")
	makeCodes(t, b)
	s.SecondStep(t, org, signin.SecondStepRules{Tolerance: 1})
	refused("an organization that does not allow it")
	s.SecondStep(t, org, signin.SecondStepRules{Tolerance: 1, Passwordless: true})
	idptest.Want(expect.Case(t, "one passkey and recovery codes"), b.Get(path).Form("main").Submit(""),
		idptest.Says("web.security.did_password_removed"))
	link := deviceLink(t, b, "Touch too")
	idptest.Want(t, b.Get(link), idptest.Says("signin.last_way_in"))
	idptest.Want(expect.Case(t, "the last passkey"), b.Post(link, url.Values{"do": {"remove"}}), idptest.Status(409), idptest.Says("signin.last_way_in"))
	for _, name := range []string{"Phone", "Touch"} {
		idptest.Want(expect.Case(t, "%s", name), b.Post(deviceLink(t, b, name), url.Values{"do": {"remove"}}), idptest.Says("web.security.did_removed"))
	}
}

// Somebody who lost their passkeys gets back in by mail and a recovery code, and not by mail
// alone (R-REC-04).
func TestWhoLostThePasskeysComesBackByMailAndARecoveryCode(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b, _ := passwordless(t, s, org)
	codes := makeCodes(t, b)
	link := resetLink(t, s, ana)
	// The letter of the new codes may leave after it.
	says := idptest.Sentence(t, "mail.reset.no_password", "Organization", "Meridian Freight")
	if all := s.LettersTo(t, ana); !slices.ContainsFunc(all, func(l mailbox.Received) bool { return strings.Contains(l.Text, says) }) {
		t.Errorf("none of %d letters says %q", len(all), says)
	}
	c := s.Browser(t)
	page := c.Get(link).Form("main").Submit("")
	if !stepsUp(page) || at(c, "meridian") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	attempt := page.URL.Path
	if p := c.Post(attempt, url.Values{"password": {another}, "repetition": {another}}); at(c, "meridian") || p.URL.Path == "/o/meridian/home" {
		t.Fatalf("by mail alone: %d %s", p.Status, p.URL)
	}
	page = c.Get(attempt+"?with=recovery").Form("main").Fill("recovery_code", codes[0]).Submit("")
	if p := create(page, another); p.URL.Path != "/o/meridian/home" || at(b, "meridian") {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
}

// R-REC-08: after an administrator's reset, a person without a password still has a way back.
func TestResetOfSomebodyWithoutAPasswordBringsALink(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b, _ := passwordless(t, s, org)
	user := userOf(t, s, org.ID, ana)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return s.Site.SignIn.ResetSecondStep(ctx, tx, directory.Operator(), org, user.ID, "lost both keys")
	})
	if at(b, "meridian") {
		t.Error("the session lives on")
	}
	letters := subjects(t, s, ana)
	if !strings.Contains(letters, idptest.Sentence(t, "mail.second_step_reset.subject", "Organization", "Meridian Freight")) {
		t.Errorf("letters: %s", letters)
	}
	link := s.Link(t, ana, "/reset/")
	if p := create(s.Browser(t).Get(link), another); p.URL.Path != "/o/meridian/home" {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
}

// The same for somebody who has no password to turn off, until they chose a new one.
func TestDisowningShutsPasskeysAloneOutWithoutAPassword(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b, keys := passwordless(t, s, org)
	s.Clock.Advance(time.Second)
	s.Browser(t).Get(s.NotMe(t, ana, idptest.Sentence(t, "mail.password_removed.subject", "Organization", "Meridian Freight"))).Form("main").Submit("")
	if at(b, "meridian") {
		t.Error("the session lives on")
	}
	c := s.Browser(t)
	if p := c.EnterWithPasskey("/o/meridian", keys[1]); at(c, "meridian") || !strings.HasPrefix(p.URL.Path, "/sign-in/att_") || len(p.Links()) == 0 {
		t.Fatalf("a passkey alone: %d %s: %s", p.Status, p.URL, p.Text())
	}
	s.Clock.Advance(time.Second)
	page := c.Get(resetLink(t, s, ana)).Form("main").Submit("").Answer(keys[0])
	if p := create(page, another); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("a new password: %d %s: %s", p.Status, p.URL, p.Text())
	}
	idptest.Want(t, c.Get("/o/meridian/account/password/remove").Form("main").Submit(""), idptest.Says("web.security.did_password_removed"))
	d := s.Browser(t)
	if p := d.EnterWithPasskey("/o/meridian", keys[1]); p.URL.Path != "/o/meridian/home" {
		t.Errorf("a passkey alone, again: %d %s: %s", p.Status, p.URL, p.Text())
	}
}

// A thief's passkey signs in nobody alone once its owner said 'this was not me', until a new
// password was created by mail and with a second step.
func TestDisowningShutsPasskeysAloneOut(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	secret := addApp(t, s, b, "Phone")
	thiefs := s.Authenticator()
	addPasskey(t, s, b, "Thief’s", thiefs)
	thief := s.Browser(t)
	if p := thief.EnterWithPasskey("/o/meridian", thiefs); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("before: %d %s", p.Status, p.Text())
	}
	s.Browser(t).Get(s.NotMe(t, ana, idptest.Sentence(t, "mail.new_device.subject", "Organization", "Meridian Freight"))).Form("main").Submit("")
	if at(thief, "meridian") {
		t.Error("the thief's session lives on")
	}
	page := thief.EnterWithPasskey("/o/meridian", thiefs)
	if at(thief, "meridian") || !strings.HasPrefix(page.URL.Path, "/sign-in/att_") {
		t.Fatalf("the thief's passkey: %d %s", page.Status, page.URL)
	}
	if p := page.Form("main").Fill("password", idptest.Password).Submit(""); p.Status != 422 || at(thief, "meridian") {
		t.Errorf("with the old password: %d %s", p.Status, p.URL)
	}
	s.Clock.Advance(30 * time.Second)
	c := s.Browser(t)
	page = c.Get(resetLink(t, s, ana)).Form("main").Submit("")
	page = c.Get(page.URL.Path+"?with=app").Form("main").Fill("code", code(s, secret)).Submit("")
	if p := create(page, another); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	idptest.Want(t, c.Get(deviceLink(t, c, "Thief’s")).Form("remove").Submit("remove"), idptest.Says("web.security.did_removed"))
}

// An installation whose address is an IP address offers no passkeys, and no account without a
// password.
func TestSecurityWithoutAName(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, ana, "Ana", directory.Member)
	if p := b.Get(security + "/add"); p.Has("input", "value", "passkey") {
		t.Error("it offers a passkey")
	}
	if p := b.Post(security+"/add", url.Values{"device": {"Key"}, "kind": {"passkey"}}); p.Status != 200 || p.Options() != nil {
		t.Errorf("by hand: %d", p.Status)
	}
	addApp(t, s, b, "Phone")
	idptest.Want(t, b.Get("/o/meridian/account/password/remove"), idptest.Says("signin.not_passwordless"))
}
