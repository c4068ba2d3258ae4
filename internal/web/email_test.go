package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/session"
)

// askEmail asks for another address on the user's own page.
func askEmail(b *idptest.Browser, org, email string) *idptest.Page {
	return b.Get("/o/"+org+"/account/email").Form("main").Fill("email", email).Submit("")
}

// opens reports whether address and password sign in to an organization.
func opens(t *testing.T, s *idptest.Server, org, email string) bool {
	t.Helper()
	return signIn(s.Browser(t), "/o/"+org, email, idptest.Password).URL.Path == "/o/"+org+"/home"
}

// got counts the letters to an address whose subject contains words.
func got(t *testing.T, s *idptest.Server, email, words string) (n int) {
	t.Helper()
	for _, l := range s.LettersTo(t, email) {
		if strings.Contains(l.Subject, words) {
			n++
		}
	}
	return n
}

// Journeys 8.1, R-REC-09: the new address is proved, the old one gets a notice, and stays in
// force until the proof.
func TestREC9AnAddressIsChangedWithAProofAndANotice(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Member)
	reset := resetLink(t, s, "ana@meridian.example")

	p := askEmail(b, "meridian", " Ana.Duarte@Café.Example ")
	const now = "Ana.Duarte@xn--caf-dma.example"
	idptest.Want(t, p,
		idptest.Status(200), idptest.Says("web.email_change.sent", "Email", now),
		idptest.Says("web.email_change.junk", "Sender", idptest.NoReply), idptest.Says("web.email_change.until", "Email", "ana@meridian.example"))
	link := s.Link(t, now, "/email/")
	// It names the address that it goes to, and nobody else's.
	if proof := strings.ReplaceAll(s.LettersTo(t, now)[0].Text, now, ""); strings.Contains(proof, "Ana") || strings.Contains(proof, "ana@") {
		t.Errorf("the letter tells whoever has the new address who asked:\n%s", proof)
	}
	if got(t, s, "ana@meridian.example", idptest.Sentence(t, "mail.email_asked.subject", "Organization", "Meridian Freight")) != 1 {
		t.Error("the old address is not told")
	}
	for range 5 { // as a scanner does
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := http.NewRequestWithContext(t.Context(), method, s.URL+link, nil)
			if err != nil {
				t.Fatal(err)
			}
			if p := s.Browser(t).Do(r); p.Status != 200 {
				t.Fatalf("%s: %d", method, p.Status)
			}
		}
	}
	if !opens(t, s, "meridian", "ana@meridian.example") || opens(t, s, "meridian", now) {
		t.Error("the old address is not in force until the proof")
	}

	elsewhere := s.Browser(t)
	p = elsewhere.Get(link)
	if !p.Says(now) || !p.Says("Meridian Freight") || strings.Contains(p.Body, "ana@meridian.example") {
		t.Errorf("the page behind the link: %s", p.Text())
	}
	p = p.Form("main").Submit("")
	idptest.Want(t, p, idptest.Status(200), idptest.Says("web.email_proof.done_title"), idptest.LinkWith("/o/meridian"))
	if at(elsewhere, "meridian") {
		t.Error("a link signs somebody in")
	}
	if opens(t, s, "meridian", "ana@meridian.example") || !opens(t, s, "meridian", now) {
		t.Error("the new address is not in force after the proof")
	}
	if !at(b, "meridian") || !b.Get("/o/meridian/account").Says(now) {
		t.Error("the session did not stay, or does not know the new address")
	}
	if got(t, s, "ana@meridian.example", idptest.Sentence(t, "mail.email_changed.subject", "Organization", "Meridian Freight")) != 1 {
		t.Error("the old address is not told of the change")
	}
	s.Clock.Advance(session.SentTwice) // until then a repeated form is answered like the first one
	for what, p := range map[string]*idptest.Page{
		"the link": elsewhere.Get(link), "its form": elsewhere.Post(link, nil), "a reset's link of the old address": s.Browser(t).Get(reset),
	} {
		if p.Status != 410 {
			t.Errorf("%s still works: %d", what, p.Status)
		}
	}
	e := lastEvent(t, s, org.ID, "user.email_changed")
	if e.Before["email"] != "ana@meridian.example" || e.After["email"] != now || e.Target != e.Actor {
		t.Errorf("recorded as %+v", e)
	}
}

func lastEvent(t *testing.T, s *idptest.Server, org directory.OrgID, action audit.Action) audit.Stored {
	t.Helper()
	page, err := audit.List(t.Context(), s.DB, audit.Query{OrgID: string(org), Search: string(action)})
	if err != nil || len(page.Events) == 0 {
		t.Fatalf("no %s in the audit log (%v)", action, err)
	}
	return page.Events[0]
}

// R-REC-09: the address that is proved is the one stored at that moment.
func TestREC9OfTwoRequestsOnlyTheLastIsProved(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	askEmail(b, "alpha", "first@alpha.example")
	first := s.Link(t, "first@alpha.example", "/email/")
	askEmail(b, "alpha", "unsent@alpha.example") // its letter waits, and is withdrawn by the next
	askEmail(b, "alpha", "second@alpha.example")
	second := s.Link(t, "second@alpha.example", "/email/")
	if n := len(s.LettersTo(t, "unsent@alpha.example")); n != 0 {
		t.Errorf("%d letters of a replaced request were sent", n)
	}
	if p := s.Browser(t).Post(first, nil); p.Status != 410 {
		t.Errorf("the first, after the second was asked for: %d", p.Status)
	}
	if !opens(t, s, "alpha", "user-a@alpha.example") {
		t.Error("a dead link changed something")
	}
	if p := s.Browser(t).Post(second, nil); p.Status != 200 || !opens(t, s, "alpha", "second@alpha.example") {
		t.Errorf("the second: %d", p.Status)
	}
	// Asked for, withdrawn, and asked for until it is too late.
	askEmail(b, "alpha", "third@alpha.example")
	third := s.Link(t, "third@alpha.example", "/email/")
	idptest.Want(t, b.Get("/o/alpha/account/email").Form("withdraw").Submit("withdraw"),
		idptest.Says("web.email_change.withdrawn"), idptest.ShowsNot("third@alpha.example"))
	if p := s.Browser(t).Post(third, nil); p.Status != 410 {
		t.Errorf("a withdrawn one: %d", p.Status)
	}
	askEmail(b, "alpha", "fourth@alpha.example")
	fourth := s.Link(t, "fourth@alpha.example", "/email/")
	s.Clock.Advance(directory.EmailChangeLifetime - time.Microsecond)
	if p := s.Browser(t).Get(fourth); p.Status != 200 {
		t.Errorf("within 24 hours: %d", p.Status)
	}
	s.Clock.Advance(time.Microsecond)
	if p := s.Browser(t).Post(fourth, nil); p.Status != 410 {
		t.Errorf("after 24 hours: %d", p.Status)
	}
	if b.Get("/o/alpha/account/email").Says("fourth@alpha.example") {
		t.Error("an expired request is shown as waiting")
	}
}

func TestREC9EightBrowsersProveOneAddressAndOneGetsThrough(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	askEmail(b, "alpha", "new@alpha.example")
	link := s.Link(t, "new@alpha.example", "/email/")
	var wg sync.WaitGroup
	answers := make(chan int, 8)
	for range 8 {
		browser := s.Browser(t)
		wg.Go(func() { answers <- browser.Post(link, nil).Status })
	}
	wg.Wait()
	close(answers)
	through := 0
	for status := range answers {
		if status == 200 {
			through++
		} else if status != 410 {
			t.Errorf("answered %d", status)
		}
	}
	if through != 1 || got(t, s, "user-a@alpha.example", idptest.Sentence(t, "mail.email_changed.subject", "Organization", "Alpha Works")) != 1 {
		t.Errorf("%d got through", through)
	}
}

// R-SES-10: the address that links are sent to cannot be changed in a browser that somebody
// left open.
func TestREC9AskingNeedsAFreshProof(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	s.Clock.Advance(10*time.Minute + time.Second)
	p := askEmail(b, "alpha", "new@alpha.example")
	if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Fatalf("no proof is asked for at %s", p.URL)
	}
	if len(s.LettersTo(t, "new@alpha.example")) != 0 {
		t.Error("a letter was sent before the proof")
	}
	p = p.Form("main").Fill("password", idptest.Password).Submit("")
	if p.URL.Path != "/o/alpha/account/email" || p.Form("main").Values.Get("email") != "new@alpha.example" {
		t.Fatalf("after the proof at %s: %s", p.URL, p.Text())
	}
	p = p.Form("main").Submit("")
	idptest.Want(t, p, idptest.Says("web.email_change.sent", "Email", "new@alpha.example"))
	s.Clock.Advance(11 * time.Minute)
	if p := b.Get("/o/alpha/account/email").Form("withdraw").Submit("withdraw"); !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Errorf("withdrawing without a proof leads to %s", p.URL)
	}
}

// UNI-1: an address has one canonical form, whatever spelling is typed.
func TestUNI1TheAddressInForceInAnotherSpellingIsNoChange(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@xn--caf-dma.example", "A", directory.Member)
	for _, same := range []string{
		"user-a@café.example", "USER-A@CAFÉ.EXAMPLE", "User-A@xn--caf-dma.example", "user-a@cafe\u0301.example", " user-a@café.example ",
	} {
		idptest.Want(expect.Case(t, "%q", same), askEmail(b, "alpha", same),
			idptest.Status(422), idptest.Says("directory.address_same"), idptest.Input("email", same))
	}
	for _, odd := range []string{"", "a@b@c", `"quoted"@alpha.example`, "user-a@ＣＡＦÉ.example", "ｕｓｅｒ@alpha.example", "a,b@alpha.example", "a@[127.0.0.1]", "new@alpha.example\r\nBcc: x@y.example", strings.Repeat("a", 65) + "@alpha.example"} {
		if p := askEmail(b, "alpha", odd); p.Status != 422 || !p.Has("input", "aria-invalid", "true") {
			t.Errorf("%q: %d", odd, p.Status)
		}
	}
	idptest.Want(t, b.Get("/o/alpha/account/email"), idptest.SaysNot("web.email_change.pending"))
}

// ENU-5: to a member, an address that somebody has looks like any other, in this organization
// and in another; the person who has it is told.
func TestENU5AMemberLearnsNothingOfAddressesInUse(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Labs", "beta")
	s.Join(t, alpha, "taken@alpha.example", "T", directory.Member)
	s.Join(t, beta, "taken@betas.example", "B", directory.Member)
	before := len(s.LettersTo(t, "taken@alpha.example"))
	var want string
	for _, email := range []string{"nobod@alpha.example", "taken@alpha.example", "taken@betas.example"} {
		b := s.Join(t, alpha, "asks-"+email, "A", directory.Member)
		p := askEmail(b, "alpha", email)
		read := strings.ReplaceAll(strings.ReplaceAll(answer(p)+answer(b.Get("/o/alpha/account/email")), "<wbr>", ""), email, "ADDRESS")
		read = strings.ReplaceAll(read, "asks-ADDRESS", "OWN")
		if want == "" {
			want = read
		}
		if read != want {
			t.Errorf("%s is answered otherwise:\n%s\nwant\n%s", email, read, want)
		}
		if got(t, s, "asks-"+email, idptest.Sentence(t, "mail.email_asked.subject", "Organization", "Alpha Works")) != 1 {
			t.Errorf("the notice about %s is missing", email)
		}
	}
	s.Link(t, "nobod@alpha.example", "/email/")
	s.Link(t, "taken@betas.example", "/email/")
	letters := s.LettersTo(t, "taken@alpha.example")
	if len(letters) != before+1 || len(letters[0].Links) != 0 || !strings.Contains(letters[0].Text, idptest.Sentence(t, "mail.email_taken.what", "Organization", "Alpha Works")) {
		t.Errorf("the owner of the address got %d letters, the last:\n%s", len(letters)-before, letters[0].Text)
	}
	for role, status := range map[directory.Role]int{directory.Auditor: 422, directory.Administrator: 422} {
		b := s.Join(t, alpha, string(role)+"@alpha.example", "R", role)
		idptest.Want(expect.Case(t, "%s sees the list of people and is told", role), askEmail(b, "alpha", "Taken@alpha.example"),
			idptest.Status(status), idptest.Says("directory.address_taken"))
		if p := askEmail(b, "alpha", "taken@betas.example"); p.Status != 200 {
			t.Errorf("%s learns of another organization: %d", role, p.Status)
		}
	}
}

// An address that somebody took in the meantime is not given away; its link is as dead as any.
func TestREC9AnAddressTakenMeanwhileIsNotProved(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, alpha, "user-a@alpha.example", "A", directory.Member)
	askEmail(b, "alpha", "new@alpha.example")
	link := s.Link(t, "new@alpha.example", "/email/")
	s.Join(t, alpha, "new@alpha.example", "N", directory.Member)
	if p := s.Browser(t).Post(link, nil); p.Status != 410 {
		t.Errorf("%d: %s", p.Status, p.Text())
	}
	if !opens(t, s, "alpha", "user-a@alpha.example") {
		t.Error("the address in force is lost")
	}
}

// TEN-4: the same person in another organization is another user.
func TestTEN4AnotherOrganizationKeepsItsAddress(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Labs", "beta")
	b := s.Join(t, alpha, "multi@alpha.example", "M", directory.Member)
	s.Join(t, beta, "multi@alpha.example", "M", directory.Member)
	askEmail(b, "alpha", "new@alpha.example")
	s.Browser(t).Post(s.Link(t, "new@alpha.example", "/email/"), nil)
	if !opens(t, s, "alpha", "new@alpha.example") || opens(t, s, "alpha", "multi@alpha.example") {
		t.Error("alpha's address did not change")
	}
	if !opens(t, s, "beta", "multi@alpha.example") || opens(t, s, "beta", "new@alpha.example") {
		t.Error("beta's address changed too")
	}
}

// INV-6: what somebody began in another's name is void once that person, or an administrator,
// ends it.
func TestINV6APendingChangeIsVoidAfterward(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *idptest.Server, u directory.User){
		"'this was not me', from the letter": func(s *idptest.Server, _ directory.User) {
			if p := s.Browser(t).Get(s.Link(t, "user-a@alpha.example", "/not-me/")).Form("main").Submit(""); p.Status != 200 {
				t.Fatalf("%d: %s", p.Status, p.Text())
			}
		},
		"a forgotten password": func(s *idptest.Server, _ directory.User) {
			if p := create(s.Browser(t).Get(resetLink(t, s, "user-a@alpha.example")), another); !strings.HasSuffix(p.URL.Path, "/home") {
				t.Fatalf("%d: %s", p.Status, p.Text())
			}
		},
		"sign out everywhere": func(s *idptest.Server, u directory.User) {
			if err := s.DB.Update(t.Context(), func(tx *db.Tx) error {
				_, err := s.Site.Sessions.EndAll(t.Context(), tx, u.AsActor(), u, "ended elsewhere")
				return err
			}); err != nil {
				t.Fatal(err)
			}
		},
		"deactivated": func(s *idptest.Server, u directory.User) {
			if err := s.DB.Update(t.Context(), func(tx *db.Tx) error {
				_, err := tx.Exec(t.Context(), `update users set deactivated_at = $1, state = 'deactivated' where org_id = $2 and id = $3`, db.Time(tx.Now()), string(u.OrgID), string(u.ID))
				return err
			}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := idptest.Start(t)
			alpha := s.Organization(t, "Alpha Works", "alpha")
			mallory := s.Join(t, alpha, "user-a@alpha.example", "A", directory.Member)
			askEmail(mallory, "alpha", "mallory@evil.example")
			planted := s.Link(t, "mallory@evil.example", "/email/")
			end(s, userOf(t, s, alpha.ID, "user-a@alpha.example"))
			for _, p := range []*idptest.Page{s.Browser(t).Get(planted), s.Browser(t).Post(planted, nil)} {
				if p.Status != 410 {
					t.Errorf("the planted link still works: %d", p.Status)
				}
			}
			if u := userOf(t, s, alpha.ID, "user-a@alpha.example"); u.Email != "user-a@alpha.example" {
				t.Errorf("the address is %s", u.Email)
			}
		})
	}
}

func userOf(t *testing.T, s *idptest.Server, org directory.OrgID, email string) directory.User {
	t.Helper()
	var u directory.User
	found, err := s.DB.One(t.Context(), u.Targets(), `select `+directory.UserColumns+` from users u where u.org_id = $1 and u.email = $2`, string(org), email)
	if err != nil || !found {
		t.Fatalf("no %s (%v)", email, err)
	}
	return u
}

// A person who lost the address to somebody else's change takes it back with the link in the
// letter about the change, without a password and without an administrator.
func TestREC9NotMeBringsTheOldAddressBack(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, alpha, "user-a@alpha.example", "A", directory.Member)
	askEmail(b, "alpha", "mallory@evil.example")
	s.Browser(t).Post(s.Link(t, "mallory@evil.example", "/email/"), nil)
	if !opens(t, s, "alpha", "mallory@evil.example") {
		t.Fatal("not changed")
	}
	again := resetLink(t, s, "mallory@evil.example")
	s.Clock.Advance(time.Second) // so that the audit log has an order
	if p := s.Browser(t).Get(s.Link(t, "user-a@alpha.example", "/not-me/")).Form("main").Submit(""); p.Status != 200 {
		t.Fatalf("%d: %s", p.Status, p.Text())
	}
	if e := lastEvent(t, s, alpha.ID, "user.email_changed"); e.Before["email"] != "mallory@evil.example" || e.After["email"] != "user-a@alpha.example" {
		t.Errorf("recorded as %+v", e)
	}
	if at(b, "alpha") || opens(t, s, "alpha", "mallory@evil.example") || opens(t, s, "alpha", "user-a@alpha.example") {
		t.Error("somebody still gets in with what the thief knows")
	}
	if p := s.Browser(t).Get(again); p.Status != 410 {
		t.Errorf("the thief's link still works: %d", p.Status)
	}
	if p := create(s.Browser(t).Get(resetLink(t, s, "user-a@alpha.example")), another); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the owner does not get back in: %d %s", p.Status, p.Text())
	}
}

// The address is proved on a second node, after a restart between asking and proving.
func TestREC9AnAddressIsProvedOnAnotherNodeAfterARestart(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	askEmail(b, "alpha", "new@alpha.example")
	link := s.Link(t, "new@alpha.example", "/email/")
	restarted := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	page := restarted.Browser(t).Get(link)
	if page.Status != 200 {
		t.Fatalf("%d: %s", page.Status, page.Text())
	}
	other := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	if p := other.Browser(t).Post(link, nil); p.Status != 200 {
		t.Fatalf("%d: %s", p.Status, p.Text())
	}
	if p := page.Form("main").Submit(""); p.Status != 410 {
		t.Errorf("the first node does not know: %d", p.Status)
	}
	if !opens(t, restarted, "alpha", "new@alpha.example") || !at(b, "alpha") {
		t.Error("not changed on every node, or the session was lost")
	}
}

// Each request writes two letters, one of them to any address in the world.
func TestRequestsForAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	for n := range 6 {
		if p := askEmail(b, "alpha", "victim@elsewhere.example"); p.Status != 200 {
			t.Fatalf("request %d: %d", n+1, p.Status)
		}
	}
	p := askEmail(b, "alpha", "victim@elsewhere.example")
	if p.Status != 429 || p.Header.Get("Retry-After") != "600" || p.Form("main").Values.Get("email") != "victim@elsewhere.example" {
		t.Errorf("the seventh: %d, %s: %s", p.Status, p.Header.Get("Retry-After"), p.Text())
	}
}

// Somebody who is invited finds that another member took the address meanwhile.
func TestAnInvitationWhoseAddressWasTakenSaysSo(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha := s.Organization(t, "Alpha Works", "alpha")
	const shared = "sales@alpha.example"
	link := s.Invite(t, alpha, shared, "Sam", directory.Member)
	opened := s.Browser(t).Get(link)
	b := s.Join(t, alpha, "user-a@alpha.example", "A", directory.Member)
	askEmail(b, "alpha", shared)
	s.Browser(t).Post(s.Link(t, shared, "/email/"), nil)
	if !opens(t, s, "alpha", shared) {
		t.Fatal("the address was not taken")
	}
	users := dbtest.Dump(t, s.DB, "users")
	for name, p := range map[string]*idptest.Page{
		"the form that was open": opened.Form("main").Fill("name", "Sam").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit(""),
		"the link":               s.Browser(t).Get(link),
		"a fresh letter":         s.Browser(t).Post(link, url.Values{"do": {"renew"}}),
	} {
		t.Run(name, func(t *testing.T) {
			idptest.Want(t, p, idptest.Status(410), idptest.Says("directory.invitation_taken"), idptest.Link("/o/alpha"), idptest.NoField("password"))
		})
	}
	if dbtest.Dump(t, s.DB, "users") != users {
		t.Error("somebody joined")
	}
	if e := lastEvent(t, s, alpha.ID, "invitation.refused"); e.After["state"] != "taken" {
		t.Errorf("recorded as %+v", e)
	}
}
