package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/lifetime"
	"parvis/internal/session"
)

const token = "__Host-parvis"

// shows reports whether a page of an organization is open to a browser.
func shows(b *idptest.Browser, path string) bool { return b.Get(path).URL.Path == path }

// on returns the same browser, as another node sees it.
func on(t *testing.T, node *idptest.Server, b *idptest.Browser) *idptest.Browser {
	t.Helper()
	c := node.Browser(t)
	c.SetCookie(token, b.Cookie(token))
	return c
}

// proveAgain answers the page that asks for fresh proof.
func proveAgain(t *testing.T, p *idptest.Page) *idptest.Page {
	t.Helper()
	if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Fatalf("no proof was asked for at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return p.Form("main").Fill("password", idptest.Password).Submit("")
}

// enter signs a browser in to an organization beside whoever is there already.
func enter(t *testing.T, b *idptest.Browser, org, email string) {
	t.Helper()
	if p := signIn(b, "/o/"+org, email, idptest.Password); p.URL.Path != "/o/"+org+"/home" {
		t.Fatalf("%s did not get in to %s: %s", email, org, p.Text())
	}
}

// sessionIDs returns the sessions that the page offers to end.
func sessionIDs(p *idptest.Page) (ids []string) {
	for id := range strings.SplitSeq(p.Body, `name="id" value="`) {
		if id, _, ok := strings.Cut(id, `"`); ok && strings.HasPrefix(id, "ses_") {
			ids = append(ids, id)
		}
	}
	return ids
}

// R-SES-09: thirty sessions of one person: one is ended, then all others, then all.
func TestSES9ThirtySessionsEndOneAllOthersAndAll(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "ben@alpha.example", "Ben", directory.Member)
	all := []*idptest.Browser{s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)}
	for i := 1; i < 30; i++ {
		b := s.Browser(t)
		b.Header.Set("User-Agent", fmt.Sprintf("Reader %d", i))
		s.Clock.Advance(time.Second)
		enter(t, b, "alpha", "ana@alpha.example")
		all = append(all, b)
	}
	b := all[29]
	p := b.Get("/o/alpha/account/sessions")
	ids := sessionIDs(p)
	idptest.Want(t, p, idptest.Shows("Reader 28"), idptest.Says("web.sessions.here"), idptest.ShowsNot("Ben"))
	if len(ids) != 29 {
		t.Fatalf("%d others are listed: %s", len(ids), p.Text())
	}
	count := func() (n int) {
		for _, b := range all {
			if shows(b, "/o/alpha/home") {
				n++
			}
		}
		return n
	}
	one := sessionIDs(p)[0] // used last: Reader 28
	p = b.Post("/o/alpha/account/sessions", url.Values{"do": {"end"}, "id": {one}})
	idptest.Want(t, p, idptest.Says("web.sessions.ended"))
	if shows(all[28], "/o/alpha/home") || count() != 29 {
		t.Errorf("after ending one, %d are open", count())
	}
	if p = b.Post("/o/alpha/account/sessions", url.Values{"do": {"end"}, "id": {one}}); p.Status != 409 || len(sessionIDs(p)) != 28 {
		t.Errorf("ending it twice: %d %s", p.Status, p.Text())
	}
	// An older proof is not enough to end others, but enough to sign out.
	s.Clock.Advance(11 * time.Minute)
	p = proveAgain(t, p.Form("main").Submit("others"))
	idptest.Want(t, p, idptest.Says("page.returned"))
	if count() != 29 {
		t.Fatalf("before the proof came back, %d are open: %s", count(), p.Text())
	}
	p = p.Form("main").Submit("others")
	idptest.Want(t, p, idptest.Says("web.sessions.ended_others"))
	if len(sessionIDs(p)) != 0 {
		t.Fatalf("ending all others: %d %s", p.Status, p.Text())
	}
	if !shows(b, "/o/alpha/home") || count() != 1 {
		t.Errorf("after ending all others, %d are open", count())
	}
	for _, c := range all[:5] {
		enter(t, c, "alpha", "ana@alpha.example")
	}
	s.Clock.Advance(11 * time.Minute)
	if p = all[0].Get("/o/alpha/account/sessions").Form("everywhere").Submit("everywhere"); p.URL.Path != "/o/alpha" || count() != 0 {
		t.Errorf("after ending all at %s, %d are open", p.URL, count())
	}
}

// A session that was idle too long is not listed, swept or not, and cannot be ended there.
func TestSES9SessionsThatAreOverAreNotListed(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Lifetimes.SessionIdle = 5 * time.Minute })
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)
	enter(t, s.Browser(t), "alpha", "ana@alpha.example")
	for _, want := range []int{1, 1, 0} {
		if p := b.Get("/o/alpha/account/sessions"); len(sessionIDs(p)) != want || p.Has("form", "id", "main") != (want > 0) {
			t.Errorf("%d others are listed, want %d", len(sessionIDs(p)), want)
		}
		s.Clock.Advance(3 * time.Minute)
	}
}

// Nobody ends, or learns of, another person's session, in their organization or another.
func TestSES9NobodyEndsTheSessionOfAnother(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Labs", "beta")
	mallory := s.Join(t, alpha, "mallory@alpha.example", "Mallory", directory.Owner)
	victims := map[string]*idptest.Browser{
		"/o/alpha/home": s.Join(t, alpha, "ana@alpha.example", "Ana", directory.Member),
		"/o/beta/home":  s.Join(t, beta, "mallory@alpha.example", "Mallory", directory.Member), // the same address
	}
	ids := strings.Fields(strings.NewReplacer(`"`, " ", "|", " ").Replace(dbtest.Dump(t, s.DB, "sessions")))
	ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, "ses_") })
	if len(ids) != 3 {
		t.Fatalf("sessions: %v", ids)
	}
	gone := mallory.Post("/o/alpha/account/sessions", url.Values{"do": {"end"}, "id": {"ses_" + strings.Repeat("a", 26)}})
	if p := mallory.Get("/o/alpha/account/sessions"); len(sessionIDs(p)) != 0 {
		t.Errorf("lists sessions of others: %v", sessionIDs(p))
	}
	for _, id := range ids {
		p := mallory.Post("/o/alpha/account/sessions", url.Values{"do": {"end"}, "id": {id}})
		if p.URL.Path == "/o/alpha" { // that was mallory's own
			enter(t, mallory, "alpha", "mallory@alpha.example")
			continue
		}
		if p.Status != gone.Status || p.Text() != gone.Text() {
			t.Errorf("%s: %d %s", id, p.Status, p.Text())
		}
	}
	for _, bad := range []string{"", "ses_", "%", "ses_' or 1=1 --"} {
		if p := mallory.Post("/o/alpha/account/sessions", url.Values{"do": {"end"}, "id": {bad}}); p.Status != 409 {
			t.Errorf("%q: %d", bad, p.Status)
		}
	}
	mallory.Get("/o/alpha/account/sessions").Form("everywhere").Submit("everywhere")
	for path, b := range victims {
		if !shows(b, path) {
			t.Errorf("%s was ended by somebody else", path)
		}
	}
}

// R-SES-09: one session more than a user may have ends the one unused longest, and nobody
// else's.
func TestSES9OneSessionTooManyEndsTheOneUnusedLongest(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	other := s.Join(t, org, "ben@alpha.example", "Ben", directory.Member)
	first := s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)
	second := s.Browser(t)
	enter(t, second, "alpha", "ana@alpha.example")
	s.Clock.Advance(time.Hour)
	shows(first, "/o/alpha/home") // used again
	for range session.PerUser - 1 {
		enter(t, s.Browser(t), "alpha", "ana@alpha.example")
	}
	if !shows(first, "/o/alpha/home") || shows(second, "/o/alpha/home") || !shows(other, "/o/alpha/home") {
		t.Error("another session ended than the one unused longest")
	}
	if n := len(sessionIDs(first.Get("/o/alpha/account/sessions"))) + 1; n != session.PerUser {
		t.Errorf("%d sessions are open", n)
	}
}

// SES-3: what ends a session ends it on every node at the next request, including a
// half-finished sign-in and a link, and nothing brings it back.
func TestSES3WhatMustDieDiesAtOnceOnEveryNode(t *testing.T) {
	t.Parallel()
	one := idptest.Start(t)
	two := idptest.StartOn(t, one.DB, one.Clock, one.Keys)
	org := one.Organization(t, "Alpha Works", "alpha")
	for what, kill := range map[string]func(b *idptest.Browser, email string){
		"signing out": func(b *idptest.Browser, _ string) { b.Get("/o/alpha/home").Form("sign-out").Submit("") },
		"ending all": func(b *idptest.Browser, _ string) {
			b.Get("/o/alpha/account/sessions").Form("everywhere").Submit("everywhere")
		},
		"all of browser": func(b *idptest.Browser, _ string) { b.Get("/o/alpha/sign-out").Form("main").Submit("browser") },
		"disowning":      func(b *idptest.Browser, _ string) { b.Get("/o/alpha/account/not-me").Form("main").Submit("") },
		"deactivating":   func(_ *idptest.Browser, email string) { standing(t, one, org.ID, email, directory.Deactivate) },
	} {
		t.Run(what, func(t *testing.T) {
			email := strings.ReplaceAll(what, " ", "-") + "@alpha.example"
			b := one.Join(t, org, email, "Ana", directory.Member)
			there := on(t, two, b)
			if !shows(there, "/o/alpha/home") {
				t.Fatal("the second node does not know the session")
			}
			form := there.Get("/o/alpha/account").Form("main").Fill("name", "Still there")
			kill(b, email)
			if shows(there, "/o/alpha/home") || shows(b, "/o/alpha/home") {
				t.Error("a page opens")
			}
			if p := form.Submit(""); strings.HasPrefix(p.URL.Path, "/o/alpha/account") {
				t.Errorf("a form was taken: %s", p.Text())
			}
			if p := there.Post("/o/alpha/stay", url.Values{}); p.URL.Path != "/o/alpha" {
				t.Errorf("it can be kept open: %d %s", p.Status, p.URL)
			}
			if err := one.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if shows(there, "/o/alpha/home") {
				t.Error("the sweep brought it back")
			}
		})
	}
}

// standing deactivates or reactivates a person, as the operator may.
func standing(t *testing.T, s *idptest.Server, org directory.OrgID, email string,
	set func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error) {
	t.Helper()
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		var id directory.UserID
		if _, err := tx.One(ctx, db.Into(&id), `select id from users where org_id = $1 and email = $2`, string(org), email); err != nil {
			return err
		}
		return set(ctx, tx, directory.Operator(), org, id)
	})
}

// A deactivated person is signed out on both nodes at once, and is not signed in again by being
// reactivated, whether or not a sweep came between.
func TestSES3ReactivatedPersonSignsInAgain(t *testing.T) {
	t.Parallel()
	one := idptest.Start(t)
	two := idptest.StartOn(t, one.DB, one.Clock, one.Keys)
	org := one.Organization(t, "Alpha Works", "alpha")
	for _, swept := range []bool{false, true} {
		email := fmt.Sprintf("swept-%v@alpha.example", swept)
		b := one.Join(t, org, email, "Ana", directory.Member)
		there := on(t, two, b)
		standing(t, one, org.ID, email, directory.Deactivate)
		if shows(b, "/o/alpha/home") || shows(there, "/o/alpha/home") {
			t.Error("a deactivated person is in")
		}
		if p := signIn(one.Browser(t), "/o/alpha", email, idptest.Password); p.Status != 422 {
			t.Errorf("a deactivated person signs in: %d %s", p.Status, p.URL)
		}
		if swept {
			if err := two.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		standing(t, one, org.ID, email, directory.Reactivate)
		if shows(b, "/o/alpha/home") || shows(there, "/o/alpha/home") {
			t.Errorf("reactivating opened an old session (swept: %v)", swept)
		}
		enter(t, b, "alpha", email)
		if !shows(b, "/o/alpha/home") {
			t.Error("signing in again does not open")
		}
	}
}

// SES-4: a request just before the idle time ends restarts it, one just after does not; the
// fixed end comes whatever the person does, and asks for credentials on the way to the same
// page.
func TestSES4IdleAndAbsoluteEnds(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) {
		a.Lifetimes = lifetime.Overrides{SessionIdle: 20 * time.Second, SessionAbsolute: 90 * time.Second}
	})
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)
	for range 4 {
		s.Clock.Advance(20*time.Second - time.Microsecond)
		if !shows(b, "/o/alpha/home") {
			t.Fatal("it ended a microsecond early")
		}
	}
	s.Clock.Advance(10*time.Second - time.Microsecond)
	if !shows(b, "/o/alpha/home") {
		t.Fatal("it ended before its end")
	}
	s.Clock.Advance(5 * time.Microsecond)
	p := b.Get("/o/alpha/account/activity?x=y")
	if !strings.HasPrefix(p.URL.Path, "/sign-in/att_") {
		t.Fatalf("constant use led past the end: %s", p.URL)
	}
	if p = p.Form("main").Fill("email", "ana@alpha.example").Fill("password", idptest.Password).Submit(""); p.URL.RequestURI() != "/o/alpha/account/activity?x=y" {
		t.Errorf("signing in leads to %s", p.URL)
	}
	s.Clock.Advance(20 * time.Second)
	if shows(b, "/o/alpha/home") {
		t.Error("the idle time passed and it is open")
	}
}

// SES-4: only what the person does counts as use: not polling, prefetching or a frame.
func TestSES4PollingKeepsNothingOpen(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Lifetimes.SessionIdle = time.Minute })
	org := s.Organization(t, "Alpha Works", "alpha")
	for name, header := range map[string][2]string{
		"a script asks":    {"Sec-Fetch-Mode", "cors"},
		"a script of ours": {"Sec-Fetch-Mode", "same-origin"},
		"a prefetch":       {"Sec-Purpose", "prefetch;prerender"},
		"an image":         {"Sec-Fetch-Mode", "no-cors"},
	} {
		b := s.Join(t, org, strings.ReplaceAll(name, " ", "-")+"@alpha.example", "Ana", directory.Member)
		b.Header.Set(header[0], header[1])
		for range 12 {
			s.Clock.Advance(5*time.Second - time.Microsecond)
			b.Get("/o/alpha/home")
		}
		b.Header.Del(header[0])
		s.Clock.Advance(12 * time.Microsecond)
		if shows(b, "/o/alpha/home") {
			t.Errorf("%s kept it open", name)
		}
	}
}

// The button in the warning counts as use by the person, however recent the last use was, and
// does not move the fixed end.
func TestStayingIsUse(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) {
		a.Lifetimes = lifetime.Overrides{SessionIdle: 30 * time.Second, SessionAbsolute: 100 * time.Second}
	})
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)
	if p := b.Get("/o/alpha/home"); !strings.Contains(p.Body, `data-lasts="30000" data-left="30000" data-rest="100000"`) || !p.Has("form", "action", "/o/alpha/stay") {
		t.Errorf("the page does not carry its end: %s", p.Body)
	}
	stay := func() *idptest.Page {
		b.Header.Set("Sec-Fetch-Mode", "cors") // the script asks
		defer b.Header.Del("Sec-Fetch-Mode")
		return b.Post("/o/alpha/stay", url.Values{})
	}
	s.Clock.Advance(time.Second)
	if p := stay(); p.Status != http.StatusNoContent || p.Body != "" {
		t.Fatalf("staying: %d %s", p.Status, p.Body)
	}
	s.Clock.Advance(30*time.Second - time.Microsecond)
	if p := stay(); p.Status != http.StatusNoContent {
		t.Fatalf("the first did not count: %d %s", p.Status, p.URL)
	}
	for range 2 {
		s.Clock.Advance(29 * time.Second)
		stay()
	}
	s.Clock.Advance(11*time.Second + time.Microsecond)
	if p := stay(); p.URL.Path != "/o/alpha" {
		t.Errorf("it was kept open past its end: %d %s", p.Status, p.URL)
	}
	for _, idle := range []time.Duration{time.Hour, time.Hour + time.Second} {
		s := idptest.Start(t, func(a *app.Settings) { a.Lifetimes.SessionIdle = idle })
		b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Member)
		if warns := strings.Contains(b.Get("/o/alpha/home").Body, "data-left"); warns != (idle <= time.Hour) {
			t.Errorf("a page of a session that rests for %v warns: %v", idle, warns)
		}
	}
}

// What was typed comes back after the end that the page warned of.
func TestWhatWasTypedOutlivesTheIdleEnd(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Lifetimes.SessionIdle = 5 * time.Second })
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Member)
	form := b.Get("/o/alpha/account").Form("main").Fill("name", "Ana Maria Duarte")
	s.Clock.Advance(6 * time.Second)
	p := form.Submit("")
	if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Fatalf("%d %s", p.Status, p.URL)
	}
	p = p.Form("main").Fill("email", "ana@alpha.example").Fill("password", idptest.Password).Submit("")
	if got := p.Form("main").Values.Get("name"); got != "Ana Maria Duarte" {
		t.Errorf("came back with %q at %s", got, p.URL)
	}
}

// company returns one browser with two users, in organizations with rules of their own.
func company(t *testing.T) (s *idptest.Server, b *idptest.Browser) {
	t.Helper()
	s = idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Labs", "beta")
	b = s.Join(t, alpha, "ana@alpha.example", "Ana of Alpha", directory.Owner)
	s.Join(t, beta, "bea@beta.example", "Bea of Beta", directory.Member)
	s.Clock.Advance(time.Second)
	enter(t, b, "beta", "bea@beta.example")
	return s, b
}

// TEN-5, journeys 3.4: the switcher names the other users, and a page of one organization
// contains nothing else of the other.
func TestTEN5OneBrowserTwoOrganizationsShareNothingButTheSwitcher(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	pages := []string{"home", "account", "account/sessions", "account/activity", "account/organizations", "sign-out", "nowhere"}
	own := map[string][]string{
		"alpha": {"ana@alpha.example", "usr_", "Hello, Ana"},
		"beta":  {"bea@beta.example", "usr_", "Hello, Bea"},
	}
	for org, other := range map[string]string{"alpha": "beta", "beta": "alpha"} {
		for _, path := range pages {
			p := b.Get("/o/" + org + "/" + path)
			leads := p.Has("form", "action", "/o/"+other+"/switch") && p.Says("Ana of Alpha") && p.Says("Bea of Beta")
			if path == "nowhere" {
				leads = p.Status == 404 // a page for nobody in particular, without a switcher
			}
			if !leads {
				t.Errorf("%s of %s does not lead over: %s", path, org, p.Text())
			}
			for _, word := range own[other] {
				if p.Says(word) || strings.Contains(p.Body, word) {
					t.Errorf("%s of %s shows %s", path, org, word)
				}
			}
		}
	}
	// Errors and refused forms of one show nothing of the other.
	form := b.Get("/o/alpha/account").Form("main").Fill("name", "")
	if p := form.Submit(""); p.Status != 422 || strings.Contains(p.Body, "bea@beta.example") {
		t.Errorf("a refused form: %d", p.Status)
	}
	// A session in one opens nothing in the other, even with the other's paths.
	alone := s.Browser(t)
	enter(t, alone, "alpha", "ana@alpha.example")
	for _, path := range []string{"home", "account", "account/sessions", "account/organizations", "account/activity", "admin/people", "admin/rules/sessions"} {
		if p := alone.Get("/o/beta/" + path); strings.HasPrefix(p.URL.Path, "/o/beta/") {
			t.Errorf("alpha's session opens %s", p.URL)
		}
	}
	idptest.Want(expect.Case(t, "a browser with one session"), alone.Get("/o/alpha/home"),
		idptest.ShowsNot("Beta Labs"), idptest.SaysNot("page.sign_out_of_all"))
	if p := alone.Post("/o/beta/sign-out", url.Values{"do": {"everywhere"}}); p.URL.Path != "/o/beta" {
		t.Errorf("%d %s", p.Status, p.URL)
	}
	if !shows(b, "/o/beta/home") {
		t.Error("alpha's session ended beta's")
	}
}

// Each user of a browser has their own rules, idle time and end.
func TestTEN5EachUserOfABrowserKeepsItsOwnClock(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	alpha, err := directory.OrganizationByName(t.Context(), s.DB, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return session.SetRules(ctx, tx, directory.Operator(), alpha.ID, session.Rules{Idle: 5 * time.Minute, Absolute: session.Absolute})
	})
	for range 3 { // busy in beta, idle in alpha
		s.Clock.Advance(2 * time.Minute)
		if !shows(b, "/o/beta/home") {
			t.Fatal("beta ended")
		}
	}
	p := b.Get("/o/beta/account/organizations")
	if p.Says("Alpha Works") {
		t.Errorf("what is over is listed: %s", p.Text())
	}
	if shows(b, "/o/alpha/home") {
		t.Error("use of beta kept alpha open")
	}
	if !shows(b, "/o/beta/home") {
		t.Error("the end of alpha ended beta")
	}
	enter(t, b, "alpha", "ana@alpha.example")
	if p := b.Get("/o/alpha/home"); !strings.Contains(p.Body, `data-lasts="300000"`) {
		t.Error("alpha's page does not warn")
	}
	if p := b.Get("/o/beta/home"); strings.Contains(p.Body, "data-lasts") {
		t.Error("beta's page warns of alpha's end")
	}
}

// Journeys 8.5: signing out of one leaves the others; then out of all of this browser at once.
func TestLeavingOneOrganizationAndThenAll(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	elsewhere := s.Browser(t)
	enter(t, elsewhere, "alpha", "ana@alpha.example")
	p := b.Get("/o/alpha/account/organizations")
	for _, want := range []string{"Alpha Works", "Bea of Beta", "Password", idptest.Sentence(t, "web.organizations.here")} {
		if !p.Says(want) {
			t.Errorf("the page lacks %q: %s", want, p.Text())
		}
	}
	if !slices.Contains(p.Links(), "/organization") {
		t.Error("it does not lead to another organization")
	}
	p = b.Post("/o/beta/sign-out", url.Values{"page": {"/o/alpha/account/organizations?left"}})
	idptest.Want(expect.Case(t, "leaving"), p,
		idptest.Path("/o/alpha/account/organizations"), idptest.Says("web.organizations.left"), idptest.ShowsNot("Beta Labs"))
	if shows(b, "/o/beta/home") || !shows(b, "/o/alpha/home") {
		t.Error("leaving one ended the wrong one")
	}
	// Twice, as from a second tab: nobody is asked to sign in only to sign out.
	if p = b.Post("/o/beta/sign-out", url.Values{"page": {"/o/alpha/account/organizations?left"}}); p.URL.Path != "/o/beta" {
		t.Errorf("leaving twice leads to %s", p.URL)
	}
	for _, away := range []string{"https://evil.example/", "//evil.example", "/\\evil.example"} {
		enter(t, b, "beta", "bea@beta.example")
		if p = b.Post("/o/beta/sign-out", url.Values{"page": {away}}); p.URL.Path != "/o/alpha/home" {
			t.Errorf("%s leads to %s", away, p.URL)
		}
	}
	enter(t, b, "beta", "bea@beta.example")
	device := b.Cookie("__Host-parvis-device")
	thief := b.Copy()
	b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p = b.Get("/o/alpha/home").Form("sign-out").Submit("browser")
	b.Client.CheckRedirect = nil
	if got := p.Header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data: %s", got)
	}
	if b.Cookie(token) != "" || device == "" || b.Cookie("__Host-parvis-device") != device {
		t.Error("signing out must clear the session's cookie and leave the device's")
	}
	for _, path := range []string{"/o/alpha/home", "/o/beta/home"} {
		if shows(thief, path) || shows(b, path) {
			t.Errorf("%s is open after signing out of all", path)
		}
	}
	if !shows(elsewhere, "/o/alpha/home") {
		t.Error("signing out of this browser ended another")
	}
}

// A token superseded a moment ago signs out what it opens, and nothing opened later.
func TestSES1SupersededTokenSeesAndEndsOnlyWhatItOpens(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	gamma := s.Organization(t, "Gamma Mills", "gamma")
	s.Join(t, gamma, "gil@gamma.example", "Gil of Gamma", directory.Member)
	planted := b.Copy()
	s.Clock.Advance(time.Second)
	enter(t, b, "gamma", "gil@gamma.example")
	if p := planted.Get("/o/alpha/home"); p.Says("Gil of Gamma") || !p.Says("Bea of Beta") {
		t.Errorf("the superseded token sees %s", p.Text())
	}
	planted.Get("/o/alpha/home").Form("sign-out").Submit("browser")
	if !shows(b, "/o/gamma/home") || shows(b, "/o/alpha/home") {
		t.Error("the superseded token ended what it does not open")
	}
}

// Everybody has their own file, and after a fresh proof alone.
func TestAPersonExportsTheirOwnData(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	s.Clock.Advance(11 * time.Minute)
	idptest.Want(t, b.Get("/o/beta/account/activity"), idptest.Status(200), idptest.Link("/o/beta/account/export"))
	asked := b.Get("/o/beta/account/export").Form("main").Submit("")
	back := asked.Form("main").Fill("password", idptest.Password).Submit("")
	idptest.Want(t, back, idptest.Status(200), idptest.Path("/o/beta/account/export"))
	file := back.Form("main").Submit("")
	idptest.Want(t, file, idptest.Status(200), idptest.Header("Content-Type", "application/json"), idptest.Header("Cache-Control", "no-store"),
		idptest.Header("Content-Disposition", `attachment; filename="parvis-`+s.Clock.Now().UTC().Format(time.DateOnly)+`.json"`))
	for has, want := range map[string]bool{"bea@beta.example": true, "user.exported": true, "ana@alpha.example": false, "$argon2": false} {
		if strings.Contains(file.Body, has) != want {
			t.Errorf("%s in the file: %v, want %v", has, !want, want)
		}
	}
}

// Journeys 8.6: the page shows one's own sign-ins and changes, strangers' attempts and
// administrators' changes; nobody else's.
func TestActivityShowsWhatConcernsOneself(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	stranger := s.Browser(t)
	stranger.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0")
	signIn(stranger, "/o/beta", "bea@beta.example", "a wrong password")
	b.Get("/o/beta/account").Form("main").Fill("name", "Bea B.").Submit("")
	p := b.Get("/o/beta/account/activity")
	for _, want := range []string{idptest.Sentence(t, "audit.action.signin.done"), idptest.Sentence(t, "audit.action.signin.refused"), "Firefox on Windows", idptest.Sentence(t, "audit.action.user.profile_changed")} {
		if !p.Says(want) {
			t.Errorf("it lacks %q: %s", want, p.Text())
		}
	}
	if text := strings.ReplaceAll(p.Text(), "Alpha Works Ana of Alpha", ""); strings.Contains(text, "Alpha") || strings.Contains(text, "Ana") {
		t.Errorf("it shows another user's: %s", text)
	}
	for i := range 60 {
		s.Clock.Advance(time.Second)
		b.Get("/o/beta/account").Form("main").Fill("name", fmt.Sprintf("Bea %d", i)).Submit("")
	}
	lines, path := 0, "/o/beta/account/activity"
	for range 5 {
		p := b.Get(path)
		lines += strings.Count(p.Body, "<tr>") - 1
		i := slices.IndexFunc(p.Links(), func(l string) bool { return strings.Contains(l, "before=") })
		if i < 0 {
			break
		}
		path = p.Links()[i]
	}
	if want := 60 + len([]string{"joined", "signed in", "refused", "signed in again", "renamed"}) - 1; lines < want || lines > want+2 {
		t.Errorf("%d lines on all pages", lines)
	}
	for _, bad := range []string{"x", "0.evt_x", "1.usr_' or 1=1", "-5.evt_aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		if p := b.Get("/o/beta/account/activity?before=" + url.QueryEscape(bad)); p.Status != 400 {
			t.Errorf("%s: %d", bad, p.Status)
		}
	}
}

// 'This was not me' ends everything, needs no proof, and leads to the way back.
func TestDisowningEndsEverythingAndLeadsToANewPassword(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	two := s.Browser(t)
	enter(t, two, "alpha", "ana@alpha.example")
	s.Clock.Advance(time.Hour)
	p := b.Get("/o/alpha/account/activity")
	if !slices.Contains(p.Links(), "/o/alpha/account/not-me") {
		t.Fatal("the activity offers nothing")
	}
	p = b.Get("/o/alpha/account/not-me")
	if !shows(two, "/o/alpha/home") {
		t.Fatal("asking did it already")
	}
	p = p.Form("main").Submit("")
	if p.URL.RequestURI() != "/o/alpha?disowned" || !slices.Contains(p.Links(), "/forgot-password?organization=alpha") {
		t.Fatalf("it leads to %s: %v", p.URL, p.Links())
	}
	if shows(b, "/o/alpha/home") || shows(two, "/o/alpha/home") {
		t.Error("a session is open")
	}
	if !shows(b, "/o/beta/home") {
		t.Error("another user of the browser was signed out")
	}
	if p := signIn(s.Browser(t), "/o/alpha", "ana@alpha.example", idptest.Password); p.Status != 422 {
		t.Errorf("the old password opens: %d %s", p.Status, p.URL)
	}
}

// A clock that is wrong for a while ends at most what it says is over; once set right, no proof
// stays fresh and no session outlives its end.
func TestSES4ClockThatJumpsBackAndForth(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Owner)
	for _, jump := range []time.Duration{19 * day, -19 * day, -time.Hour, time.Hour} {
		s.Clock.Advance(jump)
		if p := b.Get("/o/alpha/home"); p.Status != 200 || p.URL.Path != "/o/alpha/home" {
			t.Fatalf("after %v: %d %s", jump, p.Status, p.URL)
		}
	}
	// Proved while the clock was ahead: not fresh once the clock is right.
	s.Clock.Advance(5 * day)
	p := b.Post("/o/alpha/account/sessions", url.Values{"do": {"others"}, "id": {""}})
	proveAgain(t, p)
	s.Clock.Advance(-5 * day)
	if p := b.Post("/o/alpha/account/sessions", url.Values{"do": {"others"}, "id": {""}}); !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Errorf("a proof from five days ahead is fresh: %s", p.URL)
	}
	// Swept while the clock was ahead: gone for good.
	s.Clock.Advance(100 * day)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(-100 * day)
	if shows(b, "/o/alpha/home") {
		t.Error("what a sweep ended is open again")
	}
}

// A restart in the middle of everything: after a warning, after switching, halfway through a
// proof.
func TestRestartInTheMiddleLosesNothing(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	s.Clock.Advance(11 * time.Minute)
	asked := b.Post("/o/alpha/account/sessions", url.Values{"do": {"others"}, "id": {""}})
	again := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	c := on(t, again, b)
	if p := c.Get("/o/alpha/home"); !p.Says("Bea of Beta") || p.URL.Path != "/o/alpha/home" {
		t.Errorf("the switcher after a restart: %s", p.Text())
	}
	p := proveAgain(t, c.Get(asked.URL.Path))
	idptest.Want(expect.Case(t, "the proof"), p, idptest.Path("/o/alpha/account/sessions"), idptest.Says("page.returned"))
}
