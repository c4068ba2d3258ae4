package web_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/lifetime"
	"parvis/internal/session"
	"parvis/internal/signin"
)

const day = 24 * time.Hour

// The whole first journey: invited, password, home, and still signed in the next day (journeys
// 1.1 to 1.4, 2.1, 3.1, 4.1).
func TestInvitedPersonComesHomeAndFindsTheDoorOpenTheNextDay(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	link := s.Invite(t, org, "ana@meridian.example", "Ana Duarte", directory.Owner)
	b := s.Browser(t)

	page := b.Get(link)
	form := page.Form("main")
	if form.Values.Get("name") != "Ana Duarte" || !strings.Contains(page.Body, "ana@meridian.example") || !page.Says("Meridian Freight") {
		t.Fatalf("the page must name person, address and organization: %s", page.Text())
	}
	page = form.Fill("password", "short").Fill("repetition", "other").Fill("name", "Ana D.").Submit("")
	if page.Status != 422 {
		t.Fatalf("a bad password: %d", page.Status)
	}
	for _, rule := range []string{"Aa", "short", "other"} {
		if strings.Contains(page.Body, `value="`+rule+`"`) {
			t.Errorf("a password is shown again: %s", rule)
		}
	}
	form = page.Form("main")
	if form.Values.Get("name") != "Ana D." {
		t.Errorf("what was typed is lost: %v", form.Values)
	}
	if !page.Has("input", "aria-invalid", "true") {
		t.Error("the field is not named")
	}
	page = form.Fill("password", idptest.Password).Fill("repetition", "something else 9 X!").Submit("")
	if page.Status != 422 {
		t.Fatalf("another repetition: %d", page.Status)
	}
	page = page.Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if page.Status != 200 || page.URL.Path != "/o/meridian/home" || !page.Says("Ana D.") {
		t.Fatalf("did not arrive at home: %d %s: %s", page.Status, page.URL, page.Text())
	}

	s.Clock.Advance(day)
	restarted := b // the cookie outlives the browser; the session is in the database
	if page := restarted.Get("/"); page.URL.Path != "/o/meridian/home" {
		t.Errorf("the next day the door is at %s", page.URL.Path)
	}
	if page := restarted.Get("/o/MERIDIAN/home"); page.Status != 200 {
		t.Errorf("the organization's name in another case: %d", page.Status)
	}
}

func signIn(b *idptest.Browser, path, email, password string) *idptest.Page {
	f := b.Get(path).Form("main").Fill("email", email).Fill("password", password)
	return f.Submit("")
}

func TestSignOutAndInAgain(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	page := b.Get("/o/meridian/home").Form("sign-out").Submit("")
	if page.URL.Path != "/o/meridian" || page.Status != 200 {
		t.Fatalf("after signing out: %d %s", page.Status, page.URL)
	}
	if page := b.Get("/o/meridian/home"); page.URL.Path != "/o/meridian" {
		t.Fatalf("signed out, but home shows %s", page.URL)
	}
	for _, path := range []string{"/sign-in", "/o/meridian"} {
		if page := signIn(b, path, " Ana@Meridian.Example ", idptest.Password); page.URL.Path != "/o/meridian/home" {
			t.Errorf("signing in at %s leads to %d %s: %s", path, page.Status, page.URL, page.Text())
		}
		b = s.Browser(t)
	}
}

// Journeys 1.3: the language is changed in the middle of a form, and nothing typed is lost.
func TestLanguageChangesOnTheFormAndKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Browser(t)
	form := b.Get(s.Invite(t, org, "ana@meridian.example", "", directory.Member)).Form("main")
	page := form.Fill("name", "Ana “D”").Fill("password", "half a pass").Fill("language", "fr").Submit("language")
	if page.Status != 200 || page.Lang() != "fr" {
		t.Fatalf("%d, lang %q", page.Status, page.Lang())
	}
	if got := page.Form("main").Values; got.Get("name") != "Ana “D”" || got.Get("password") != "" {
		t.Errorf("typed values after the change: %v", got)
	}
	page = page.Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if page.Lang() != "fr" || !strings.HasSuffix(page.URL.Path, "/home") {
		t.Fatalf("home: lang %q at %s", page.Lang(), page.URL)
	}
	// The language is the user's from now on: another browser speaks French once signed in.
	other := s.Browser(t)
	if page := signIn(other, "/sign-in", "ana@meridian.example", idptest.Password); page.Lang() != "fr" {
		t.Errorf("another browser shows %q", page.Lang())
	}
	// A page without a form has a small one for the language; an unknown language is refused
	// clearly.
	if page := other.Get("/o/meridian/home").Form("language").Fill("language", "en").Submit(""); page.Lang() != "en" || page.URL.Path != "/o/meridian/home" {
		t.Errorf("home in English: %q at %s", page.Lang(), page.URL)
	}
	if page := other.Post("/o/meridian/language", url.Values{"language": {"tlh"}, "page": {"/"}}); page.Status != 400 {
		t.Errorf("an unknown language: %d", page.Status)
	}
}

func TestDeepLinkLeadsThroughSignInToTheVeryPage(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	b := s.Browser(t)
	page := b.Get("/o/meridian/account/sessions?x=1")
	if !strings.HasPrefix(page.URL.Path, "/sign-in/att_") {
		t.Fatalf("asked at %s", page.URL)
	}
	page = page.Form("main").Fill("email", "ana@meridian.example").Fill("password", idptest.Password).Submit("")
	if page.URL.RequestURI() != "/o/meridian/account/sessions?x=1" || page.Status != 200 {
		t.Errorf("came to %d %s", page.Status, page.URL)
	}
}

// A form sent after the session ended comes back filled in after signing in.
func TestExpiredSessionLosesNothingOfAForm(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	form := b.Get("/o/meridian/account").Form("main").Fill("name", "Ana Duarte")
	s.Clock.Advance(session.Idle)
	page := form.Submit("")
	if !strings.HasPrefix(page.URL.Path, "/sign-in/") {
		t.Fatalf("asked at %d %s", page.Status, page.URL)
	}
	page = page.Form("main").Fill("email", "ana@meridian.example").Fill("password", idptest.Password).Submit("")
	if page.URL.Path != "/o/meridian/account" || page.Form("main").Values.Get("name") != "Ana Duarte" {
		t.Fatalf("back at %s with %v", page.URL, page.Form("main").Values)
	}
	if page = page.Form("main").Submit(""); !page.Says("Ana Duarte") || page.Status != 200 {
		t.Errorf("after sending it again: %d %s", page.Status, page.Text())
	}
}

func TestAttemptPageThatCannotGoOnLeadsOn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	b := s.Browser(t)
	page := b.Get("/o/meridian/account")
	path := page.URL.Path
	form := page.Form("main").Fill("email", "ana@meridian.example").Fill("password", idptest.Password)

	t.Run("in another browser", func(t *testing.T) {
		if p := s.Browser(t).Get(path); p.Status != 410 || len(p.Links()) == 0 {
			t.Errorf("%d with %v", p.Status, p.Links())
		}
	})
	t.Run("in a second tab after the first was used", func(t *testing.T) {
		if p := form.Submit(""); p.URL.Path != "/o/meridian/account" {
			t.Fatalf("first: %d %s", p.Status, p.URL)
		}
		s.Clock.Advance(session.SentTwice) // sent sooner, it counts as the same form sent twice
		if p := form.Submit(""); p.Status != 200 || p.URL.Path != "/o/meridian/account" {
			t.Errorf("second: %d %s", p.Status, p.URL)
		}
	})
	t.Run("after a day", func(t *testing.T) { // TestASignInPageGoesOn shows what comes before
		b := s.Browser(t)
		p := b.Get("/o/meridian/account")
		s.Clock.Advance(signin.WhereToLasts)
		if p := b.Get(p.URL.Path); p.Status != 410 || len(p.Links()) == 0 {
			t.Errorf("%d with %v", p.Status, p.Links())
		}
	})
}

func TestBrowserWithoutCookiesIsToldSo(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	b := s.Browser(t)
	page := b.Get("/sign-in")
	form := page.Form("main").Fill("email", "ana@meridian.example").Fill("password", idptest.Password)
	b.Client.Jar = nil
	page = form.Submit("")
	if page.Status != 422 || page.Form("main").Values.Get("email") != "ana@meridian.example" {
		t.Errorf("%d, %v", page.Status, page.Form("main").Values)
	}
}

func TestEightBrowsersAcceptOneInvitationAndOneGetsIn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	link := s.Invite(t, org, "ana@meridian.example", "Ana", directory.Member)
	pages := make([]*idptest.Page, 8)
	forms := make([]*idptest.Form, 8)
	for i := range forms {
		forms[i] = s.Browser(t).Get(link).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password)
	}
	var wg sync.WaitGroup
	for i := range forms {
		wg.Go(func() { pages[i] = forms[i].Submit("") })
	}
	wg.Wait()
	in, late := 0, 0
	for _, p := range pages {
		switch {
		case p.URL.Path == "/o/meridian/home" && p.Status == 200:
			in++
		case p.Status == 410 && len(p.Links()) > 0:
			late++
		default:
			t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
		}
	}
	if in != 1 || late != 7 {
		t.Errorf("%d in, %d told that it was used", in, late)
	}
	var users int
	if _, err := s.DB.One(t.Context(), db.Into(&users), `select count(*) from users where org_id = $1`, string(org.ID)); err != nil || users != 1 {
		t.Errorf("%d users (%v)", users, err)
	}
}

func TestInvitationOfAnotherPersonLeavesWhoIsSignedInAlone(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	meridian := s.Organization(t, "Meridian Freight", "meridian")
	lumen := s.Organization(t, "Lumen Health", "lumen")
	b := s.Join(t, meridian, "ana@meridian.example", "Ana Duarte", directory.Member)
	page := b.Get(s.Invite(t, lumen, "lin@lumen.example", "Lin", directory.Member))
	if !page.Says("Ana Duarte") || !page.Says("lin@lumen.example") {
		t.Fatalf("the page must name who is signed in here and whom the invitation is for: %s", page.Text())
	}
	page = page.Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if page.URL.Path != "/o/lumen/home" || !page.Says(idptest.Sentence(t, "web.home.greeting", "Name", "Lin")) || page.Says(idptest.Sentence(t, "web.home.greeting", "Name", "Ana")) {
		t.Fatalf("%s: %s", page.URL, page.Text())
	}
	if page := b.Get("/o/meridian/home"); page.Status != 200 || !page.Says(idptest.Sentence(t, "web.home.greeting", "Name", "Ana Duarte")) {
		t.Errorf("Ana is not signed in any more: %d %s", page.Status, page.URL)
	}
}

func TestDeadInvitationSaysWhyOnlyToItsHolderAndLeadsOn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Browser(t)

	link := s.Invite(t, org, "ana@meridian.example", "Ana", directory.Member)
	s.Clock.Advance(directory.InvitationLifetime - time.Microsecond)
	if p := b.Get(link); p.Status != 200 {
		t.Errorf("in its last microsecond: %d", p.Status)
	}
	s.Clock.Advance(time.Microsecond)
	expired := b.Get(link)
	if expired.Status != 410 {
		t.Fatalf("expired: %d", expired.Status)
	}
	// Decision 0007: the button sends a new letter to the invited address.
	if p := expired.Form("main").Submit("renew"); p.Status != 200 || !p.Says(idptest.NoReply) {
		t.Errorf("renewing: %d %s", p.Status, p.Text())
	}
	fresh := s.LinkTo(t, "ana@meridian.example", 1)
	if p := b.Get(link); p.Status != 410 || p.Text() == expired.Text() {
		t.Errorf("the replaced link must say that a newer one was sent: %d %s", p.Status, p.Text())
	}
	if p := b.Get(fresh); p.Status != 200 {
		t.Errorf("the fresh link: %d", p.Status)
	}
	// One wrong letter, another purpose, nothing at all: the same neutral answer.
	wrong := []string{fresh[:len(fresh)-1] + "_", fresh + "A", "/invitation/x", strings.ToUpper(fresh[:12]) + fresh[12:]}
	first := b.Get(wrong[0])
	for _, path := range wrong[:3] {
		if p := b.Get(path); p.Status != 404 || p.Text() != first.Text() {
			t.Errorf("%s: %d %s", path, p.Status, p.Text())
		}
	}
}

func TestSetupLinkMakesTheFirstOwnerAndIsDead(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	var path string
	makeLink := func() error {
		return s.DB.Update(t.Context(), func(tx *db.Tx) error {
			token, err := directory.NewBootstrap(t.Context(), tx, directory.BootstrapLifetime)
			path = "/setup/" + token.Reveal()
			return err
		})
	}
	if err := makeLink(); err != nil {
		t.Fatal(err)
	}
	older := path
	if err := makeLink(); err != nil {
		t.Fatal(err)
	}
	b := s.Browser(t)
	s.Clock.Advance(-time.Hour) // another node's clock, which is behind that of who made the link
	if p := b.Get(older); p.Status != 410 {
		t.Errorf("the older link: %d", p.Status)
	}
	s.Clock.Advance(time.Hour)
	form := b.Get(path).Form("main").Fill("organization", "Meridian Freight").Fill("short_name", "Meridian").
		Fill("name", "Ana").Fill("email", "nonsense").Fill("password", "x").Fill("repetition", "x")
	page := form.Submit("")
	if page.Status != 422 || page.Form("main").Values.Get("organization") != "Meridian Freight" {
		t.Fatalf("%d %v", page.Status, page.Form("main").Values)
	}
	page = page.Form("main").Fill("email", "ana@meridian.example").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	// An owner needs a second step, the very first owner too.
	if page, _ = s.EnrolApp(t, page, "Phone"); page.URL.Path != "/o/Meridian/home" || page.Status != 200 {
		t.Fatalf("%d %s %s", page.Status, page.URL, page.Text())
	}
	if p := s.Browser(t).Get(path); p.Status != 410 {
		t.Errorf("a used link: %d", p.Status)
	}
	expect.Equal(t, "events of links that were only looked at", len(events(t, s, "", "bootstrap.refused")), 0)
	stranger := s.Browser(t)
	stranger.Get("/sign-in")
	for _, dead := range []string{path, older, path, "/setup/" + strings.Repeat("x", 43)} {
		p := stranger.Post(dead, url.Values{"organization": {"Other"}, "password": {another}})
		expect.Equal(t, "status of a dead link's form", p.Status, 410)
	}
	var states []string
	for _, e := range events(t, s, "", "bootstrap.refused") {
		states = append(states, fmt.Sprint(e.After["state"]))
	}
	slices.Sort(states)
	expect.Equal(t, "dead links that were tried, each once", strings.Join(states, " "), "expired used")
	if err := makeLink(); err == nil {
		t.Error("a link can be made although an owner exists")
	}
}

func TestSessionEndsByIdlenessAndAbsolutely(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	home := func(b *idptest.Browser) bool { return b.Get("/o/meridian/home").URL.Path == "/o/meridian/home" }

	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	for range 4 {
		s.Clock.Advance(session.Idle - 2*time.Minute)
		if !home(b) {
			t.Fatal("each use starts the 20 days anew")
		}
	}
	s.Clock.Advance(10*day + 8*time.Minute)
	if home(b) {
		t.Error("after 90 days the session ends whatever the person does")
	}
	b = s.Join(t, org, "ben@meridian.example", "Ben", directory.Member)
	s.Clock.Advance(session.Idle)
	if home(b) {
		t.Error("20 days without use end the session")
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var reasons []string
	if err := s.DB.Rows(t.Context(), func(scan func(...any) error) error {
		var r string
		err := scan(&r)
		reasons = append(reasons, r)
		return err
	}, `select end_reason from sessions order by end_reason`); err != nil || strings.Join(reasons, ",") != "absolute end,idle" {
		t.Errorf("the sweep wrote %v (%v)", reasons, err)
	}
}

func TestBackgroundRequestsAreNoUse(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	s.Clock.Advance(19 * day)
	for _, header := range [][2]string{{"Sec-Purpose", "prefetch"}, {"Sec-Fetch-Mode", "cors"}, {"Purpose", "prefetch"}} {
		b.Header.Set(header[0], header[1])
		b.Get("/o/meridian/home")
		b.Header.Del(header[0])
	}
	s.Clock.Advance(day)
	if p := b.Get("/o/meridian/home"); p.URL.Path == "/o/meridian/home" {
		t.Error("a prefetch kept the door open")
	}
}

func TestRestartOfTheServerKeepsTheDoorOpen(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	again := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	c := again.Browser(t)
	c.SetCookie("__Host-parvis", b.Cookie("__Host-parvis"))
	if p := c.Get("/o/meridian/home"); p.Status != 200 || p.URL.Path != "/o/meridian/home" {
		t.Errorf("after a restart: %d %s", p.Status, p.URL)
	}
}

func TestSuspendedOrganizationIsClosedAtOnceAndOpensAgain(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	link := s.Invite(t, org, "ben@meridian.example", "Ben", directory.Member)
	if err := s.DB.Update(t.Context(), func(tx *db.Tx) error { return directory.Suspend(t.Context(), tx, directory.Operator(), org.ID) }); err != nil {
		t.Fatal(err)
	}
	if p := b.Get("/o/meridian/home"); p.URL.Path != "/o/meridian" || p.Status != 200 {
		t.Errorf("home while suspended: %d %s", p.Status, p.URL)
	}
	if p := b.Get(link); p.Status != 404 {
		t.Errorf("an invitation while suspended: %d", p.Status)
	}
	if err := s.DB.Update(t.Context(), func(tx *db.Tx) error { return directory.Resume(t.Context(), tx, directory.Operator(), org.ID) }); err != nil {
		t.Fatal(err)
	}
	if p := b.Get("/o/meridian/home"); p.URL.Path != "/o/meridian/home" {
		t.Errorf("home after resuming: %s", p.URL)
	}
}

func TestLifetimesCanBeSetDownToSeconds(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) {
		a.Lifetimes = lifetime.Overrides{SessionIdle: 2 * time.Second, Invitation: 2 * time.Second, Attempt: 2 * time.Second}
	})
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	link := s.Invite(t, org, "ben@meridian.example", "Ben", directory.Member)
	s.Clock.Advance(2 * time.Second)
	if p := b.Get("/o/meridian/home"); p.URL.Path != "/o/meridian" {
		t.Errorf("the session lives on: %s", p.URL)
	}
	if p := b.Get(link); p.Status != 410 {
		t.Errorf("the invitation lives on: %d", p.Status)
	}
}
