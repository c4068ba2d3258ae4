package web_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/mailbox"
	"parvis/internal/signin"
)

// another is a second password that satisfies the rules.
const another = "Eight otters cross 4 rivers?"

// forgot asks for a new password, as a person does.
func forgot(b *idptest.Browser, email, organization string) *idptest.Page {
	return b.Get("/forgot-password").Form("main").Fill("email", email).Fill("organization", organization).Submit("")
}

// create fills in the page behind a link, or of a step, that creates a password.
func create(p *idptest.Page, password string) *idptest.Page {
	return p.Form("main").Fill("password", password).Fill("repetition", password).Submit("")
}

// resetLink asks for a new password and returns the link in the letter.
func resetLink(t *testing.T, s *idptest.Server, email string) string {
	t.Helper()
	if p := forgot(s.Browser(t), email, ""); p.Status != 200 {
		t.Fatalf("asking for %s: %d %s", email, p.Status, p.Text())
	}
	return s.Link(t, email, "/reset/")
}

// at reports whether a browser is signed in to an organization.
func at(b *idptest.Browser, org string) bool {
	return b.Get("/o/"+org+"/home").URL.Path == "/o/"+org+"/home"
}

// Journeys 6.1 to 6.5.
func TestForgottenPasswordIsReplacedByMail(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	elsewhere := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Member)
	b := s.Browser(t)

	page := b.Get("/o/meridian")
	if !strings.Contains(strings.Join(page.Links(), " "), "/forgot-password?organization=meridian") {
		t.Fatalf("the sign-in page leads to %v", page.Links())
	}
	form := b.Get("/forgot-password?organization=meridian").Form("main")
	if form.Values.Get("organization") != "meridian" {
		t.Errorf("the organization is not filled in: %v", form.Values)
	}
	page = form.Fill("email", " Ana@Meridian.Example ").Submit("")
	idptest.Want(t, page, idptest.Status(200), idptest.Shows(idptest.NoReply), idptest.SourceNot("Ana"))
	if strings.Contains(page.URL.String(), "ana") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	if !page.Has("a", "href", "/forgot-password?organization=meridian") || !page.Has("a", "href", "/o/meridian") {
		t.Errorf("asking again forgets the organization: %v", page.Links())
	}
	link := s.Link(t, "ana@meridian.example", "/reset/")

	page = b.Get(link)
	idptest.Want(t, page,
		idptest.Status(200), idptest.Element("input", "value", "ana@meridian.example"), idptest.Shows("Meridian Freight"),
		idptest.Says("credential.rule.history", "Count", 10))
	page = create(page, "short")
	idptest.Want(t, page,
		idptest.Status(422), idptest.Says("credential.reason.digit"), idptest.Says("credential.reason.too_short", "Count", 8),
		idptest.SourceNot(`"short"`))
	page = create(page, idptest.Password)
	idptest.Want(t, page, idptest.Status(422), idptest.Says("credential.reason.history", "Count", 10))
	if !at(elsewhere, "meridian") {
		t.Error("a refused password ended a session")
	}
	page = create(page, another)
	if page.URL.Path != "/o/meridian/home" || page.Status != 200 {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	if at(elsewhere, "meridian") {
		t.Error("a session outlives the reset")
	}
	if p := signIn(s.Browser(t), "/sign-in", "ana@meridian.example", idptest.Password); p.Status != 422 {
		t.Errorf("the old password: %d", p.Status)
	}
	if p := signIn(s.Browser(t), "/sign-in", "ana@meridian.example", another); p.URL.Path != "/o/meridian/home" {
		t.Errorf("the new password: %d", p.Status)
	}
	letters := s.LettersTo(t, "ana@meridian.example")
	s.Link(t, "ana@meridian.example", "/not-me/")
	changed := idptest.Sentence(t, "mail.password_changed.subject", "Organization", "Meridian Freight")
	if !slices.ContainsFunc(letters, func(l mailbox.Received) bool { return l.Subject == changed }) {
		t.Errorf("no letter of %d says that the password was changed", len(letters))
	}
}

func TestForgottenOrganizationIsNamedByMail(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	for _, name := range []string{"alpha", "beta"} {
		s.Join(t, s.Organization(t, strings.ToUpper(name)+" Works", name), "multi@alpha.example", "M", directory.Member)
	}
	s.Join(t, s.Organization(t, "Gamma Works", "gamma"), "other@gamma.example", "O", directory.Member)
	failed := signIn(s.Browser(t), "/o/gamma", "multi@alpha.example", idptest.Password)
	if failed.Status != 422 || failed.Form("main").Values.Get("organization") != "gamma" {
		t.Fatalf("%d: the failure page asks for the organization: %v", failed.Status, failed.Form("main").Values)
	}
	var unknown string
	for _, email := range []string{"nobody@alpha.example", "multi@alpha.example"} {
		b := s.Browser(t)
		p := b.Get("/forgot-organization").Form("main").Fill("email", email).Submit("")
		if unknown == "" {
			unknown = answer(p)
		}
		if got := answer(p); p.Status != 200 || got != unknown {
			t.Errorf("%s is answered otherwise:\n%s\nwant\n%s", email, got, unknown)
		}
	}
	letter := s.LettersTo(t, "multi@alpha.example")[0]
	for _, want := range []string{"ALPHA Works", "BETA Works", s.URL + "/o/alpha", s.URL + "/o/beta"} {
		if !strings.Contains(letter.Text, want) {
			t.Errorf("the letter lacks %s:\n%s", want, letter.Text)
		}
	}
	if strings.Contains(letter.Text, "gamma") || len(s.LettersTo(t, "nobody@alpha.example")) != 0 {
		t.Error("somebody is told what is not theirs")
	}
	// Somebody who belongs to several continues after the failure by naming one.
	p := failed.Form("main").Fill("organization", " ＢＥＴＡ ").Fill("password", idptest.Password).Submit("")
	if p.URL.Path != "/o/beta/home" {
		t.Errorf("naming another organization: %d %s", p.Status, p.URL)
	}
}

// A page that was asked for is reached after a failure too, and somebody who names another
// organization goes there.
func TestFailureOnTheWayBackToAPageAsksForTheOrganizationToo(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	for _, name := range []string{"alpha", "beta"} {
		s.Join(t, s.Organization(t, strings.ToUpper(name)+" Works", name), "multi@alpha.example", "M", directory.Member)
	}
	for named, want := range map[string]string{"alpha": "/o/alpha/account", "Beta": "/o/beta/home"} {
		p := s.Browser(t).Get("/o/alpha/account").Form("main").Fill("email", "multi@alpha.example").Fill("password", "wrong").Submit("")
		if p.Status != 422 || p.Form("main").Values.Get("organization") != "alpha" {
			t.Fatalf("%d %v", p.Status, p.Form("main").Values)
		}
		p = p.Form("main").Fill("organization", named).Fill("password", idptest.Password).Submit("")
		if p.URL.Path != want {
			t.Errorf("naming %s leads to %d %s", named, p.Status, p.URL)
		}
	}
}

func TestENU3ResetIsAnsweredTheSameForEverybody(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Labs", "beta")
	for _, email := range []string{"user-a@alpha.example", "gone@alpha.example", "dead@alpha.example", "sso@alpha.example", "multi@alpha.example"} {
		s.Join(t, alpha, email, "A", directory.Member)
	}
	s.Join(t, beta, "multi@alpha.example", "M", directory.Member)
	s.Provision(t, alpha, "named@alpha.example", "N")
	s.Invite(t, alpha, "asked@alpha.example", "I", directory.Member)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for statement, email := range map[string]string{
			`update users set deactivated_at = $1, state = 'deactivated' where org_id = $2 and email_key = $3`:                                  "gone@alpha.example",
			`update passwords set disabled_at = $1 where org_id = $2 and user_id = (select id from users where org_id = $2 and email_key = $3)`: "dead@alpha.example",
		} {
			if _, err := tx.Exec(ctx, statement, db.Time(tx.Now()), string(alpha.ID), email); err != nil {
				return err
			}
		}
		if err := linked(ctx, tx, s, alpha, "sso@alpha.example"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `delete from passwords where org_id = $1 and user_id = (select id from users where org_id = $1 and email_key = $2)`,
			string(alpha.ID), "sso@alpha.example")
		return err
	})
	dbtest.ByHand(t, s.DB)
	before := map[string]int{}
	for _, l := range s.Mail.Letters() {
		before[l.To]++
	}
	for _, organization := range []string{"", "alpha"} {
		var want string
		for _, email := range []string{"unknown@alpha.example", "user-a@alpha.example", "gone@alpha.example", "dead@alpha.example", "sso@alpha.example", "named@alpha.example",
			"multi@alpha.example", "asked@alpha.example", "other@beta.example"} {
			b := s.Browser(t)
			form := b.Get("/forgot-password").Form("main").Fill("email", email).Fill("organization", organization)
			b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			p := form.Submit("")
			got := answer(p) + answer(b.Get(p.Header.Get("Location")))
			if want == "" {
				want = got
			}
			if p.Status != 303 || got != want {
				t.Errorf("%s at %q is answered otherwise:\n%s\nwant\n%s", email, organization, got, want)
			}
		}
	}
	// An older link's letter that has not been sent yet is withdrawn when a newer one is asked for.
	for email, want := range map[string]struct {
		letters int
		link    string
	}{
		"unknown@alpha.example": {},
		"gone@alpha.example":    {},
		"user-a@alpha.example":  {1, "/reset/"},
		"dead@alpha.example":    {1, "/reset/"},
		"multi@alpha.example":   {2, "/reset/"},
		"sso@alpha.example":     {2, "/o/alpha"},
		"named@alpha.example":   {1, "/invitation/"},
		"asked@alpha.example":   {2, "/o/alpha"},
	} {
		letters := s.LettersTo(t, email)
		letters = letters[:len(letters)-before[email]]
		if len(letters) != want.letters {
			t.Errorf("%s got %d letters, want %d", email, len(letters), want.letters)
		}
		for _, l := range letters {
			if !strings.HasPrefix(l.Links[0], s.URL+want.link) || want.link != "/reset/" && strings.Contains(l.Text, "/reset/") {
				t.Errorf("%s got %v, want %s", email, l.Links, want.link)
			}
		}
	}
}

// linked makes a connection and a link by it of who has an address.
func linked(ctx context.Context, tx *db.Tx, s *idptest.Server, org directory.Organization, email string) error {
	c, err := s.Hub.Create(ctx, tx, directory.Operator(), org.ID, federation.New{Provider: federation.Generic, Protocol: federation.OIDC, Name: "Door"})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at)
		select org_id, $2, 'https://idp.example', 'sub', id, email, false, created_at, created_at from users where org_id = $1 and email_key = $3`,
		string(org.ID), c.ID, email)
	return err
}

func TestENU3AFloodForOneAddressStopsSilently(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	b := s.Browser(t)
	var first string
	for i := range 50 {
		p := forgot(b, "user-a@alpha.example", "")
		if first == "" {
			first = answer(p)
		}
		if answer(p) != first {
			t.Fatalf("request %d is answered otherwise: %s", i+1, answer(p))
		}
		s.LettersTo(t, "user-a@alpha.example")
	}
	if n := len(s.LettersTo(t, "user-a@alpha.example")); n != 5 {
		t.Errorf("%d letters, want the invitation and 4", n)
	}
	s.Clock.Advance(time.Hour)
	forgot(b, "user-a@alpha.example", "")
	if n := len(s.LettersTo(t, "user-a@alpha.example")); n != 6 {
		t.Errorf("%d letters after an hour, want one more", n)
	}
}

// A network that asks for many addresses is stopped just as silently.
func TestENU3AFloodFromOneNetworkStopsSilently(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	b := s.Browser(t)
	var first string
	ask := func(email string, letters int) {
		t.Helper()
		p := forgot(b, email, "")
		if first == "" {
			first = answer(p)
		}
		if answer(p) != first {
			t.Fatalf("%s is answered otherwise: %s", email, answer(p))
		}
		if n := len(s.LettersTo(t, "user-a@alpha.example")); n != letters {
			t.Errorf("after %s: %d letters, want %d", email, n, letters)
		}
	}
	const invitation = 1
	for i := range signin.PerNetworkAsked.Free - 1 {
		ask(fmt.Sprintf("nobody-%d@alpha.example", i), invitation)
	}
	ask("user-a@alpha.example", invitation+1) // the last of the free ones
	ask("user-a@alpha.example", invitation+1)
	s.Clock.Advance(signin.PerNetworkAsked.First)
	ask("user-a@alpha.example", invitation+2)
}

// And so is everybody, once the whole installation has written too many.
func TestENU3AFloodFromEverywhereStopsSilently(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email, invitation = "user-a@alpha.example", 1
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), email, "A", directory.Member)
	b := s.Browser(t)
	first := answer(forgot(b, "nobody@alpha.example", ""))
	s.Update(t, func(ctx context.Context, tx *db.Tx) error { // as if a botnet had asked meanwhile
		n, err := tx.Exec(ctx, `update limits set taken = $1 where id like 'asked-total.%'`, signin.InTotalAsked.Free-1)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d counts of the whole installation", n)
		}
		return err
	})
	for i, letters := range []int{invitation + 1, invitation + 1, invitation + 2} {
		if i == 2 {
			s.Clock.Advance(signin.InTotalAsked.First)
		}
		if p := forgot(b, email, ""); answer(p) != first {
			t.Errorf("request %d is answered otherwise: %s", i+1, answer(p))
		}
		if n := len(s.LettersTo(t, email)); n != letters {
			t.Errorf("after request %d: %d letters, want %d", i+1, n, letters)
		}
		if said := strings.Contains(s.Log.String(), "too many letters asked for"); said != (i > 0) {
			t.Errorf("after request %d the log says so: %v", i+1, said)
		}
	}
}

func TestRST1ResetLinksAreBuiltFromTheConfiguredAddressAlone(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	b := s.Browser(t)
	b.Get("/forgot-password")
	for name, value := range map[string]string{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/evil",
		"X-Original-Url": "https://evil.example/", "Forwarded": "host=evil.example;proto=http", "Referer": "https://evil.example/"} {
		b.Header.Set(name, value)
	}
	if p := forgot(b, "user-a@alpha.example", "alpha"); p.Status != 200 {
		t.Fatalf("%d", p.Status)
	}
	letter := s.LettersTo(t, "user-a@alpha.example")[0]
	if len(letter.Links) == 0 || strings.Contains(string(letter.Raw), "evil") {
		t.Errorf("the letter: %s", letter.Raw)
	}
	for _, l := range letter.Links {
		if !strings.HasPrefix(l, s.URL+"/") {
			t.Errorf("a link leads to %s", l)
		}
	}
	form := url.Values{"email": {"user-a@alpha.example"}, "organization": {""}}.Encode()
	for what, change := range map[string]func(*http.Request){
		"another host":   func(r *http.Request) { r.Host = "evil.example" },
		"another origin": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example"); r.Header.Del("Sec-Fetch-Site") },
		"two origins": func(r *http.Request) {
			r.Header["Origin"] = []string{s.URL, "https://evil.example"}
			r.Header.Del("Sec-Fetch-Site")
		},
		"the host with a port":  func(r *http.Request) { r.Host += "0" },
		"a page somewhere else": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/forgot-password", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		change(r)
		if p := s.Browser(t).Do(r); p.Status != 400 && p.Status != 403 {
			t.Errorf("%s: %d", what, p.Status)
		}
	}
	if n := len(s.LettersTo(t, "user-a@alpha.example")); n != 2 {
		t.Errorf("%d letters, want the invitation and the one link", n)
	}
}

// rawly sends bytes of HTTP/1.1, for what no client of ours would write.
func rawly(t *testing.T, s *idptest.Server, request string) int {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // The test's own server.
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestRST1AbsoluteTargetsAndDoubledHostsAreRefused(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	host := strings.TrimPrefix(s.URL, "https://")
	const body = "email=user-a%40alpha.example&organization="
	rest := fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for what, head := range map[string]string{
		"an absolute target":  "POST https://evil.example/forgot-password HTTP/1.1\r\nHost: " + host + "\r\n",
		"a doubled host":      "POST /forgot-password HTTP/1.1\r\nHost: " + host + "\r\nHost: evil.example\r\n",
		"another host":        "POST /forgot-password HTTP/1.1\r\nHost: evil.example\r\n",
		"a host with a user":  "POST /forgot-password HTTP/1.1\r\nHost: evil.example@" + host + "\r\n",
		"a host with a space": "POST /forgot-password HTTP/1.1\r\nHost: " + host + " evil.example\r\n",
	} {
		if status := rawly(t, s, head+rest); status != 400 {
			t.Errorf("%s: %d", what, status)
		}
	}
	if status := rawly(t, s, "POST /forgot-password HTTP/1.1\r\nHost: "+host+"\r\n"+rest); status != 303 {
		t.Errorf("an ordinary request: %d", status) // so the others were refused for what they are
	}
	if n := len(s.LettersTo(t, "user-a@alpha.example")); n != 2 {
		t.Errorf("%d letters, want the invitation and the one link", n)
	}
}

// However a link died, the page and the form give the same answer, and lead on.
func TestRST2LinksDie(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	sql := func(statement string) func(string) {
		return func(email string) {
			s.Update(t, func(ctx context.Context, tx *db.Tx) error {
				_, err := tx.Exec(ctx, statement, db.Time(tx.Now()), string(org.ID), email)
				return err
			})
		}
	}
	neutral := s.Browser(t).Get("/reset/" + strings.Repeat("x", 43))
	if neutral.Status != 410 || len(neutral.Links()) < 3 {
		t.Fatalf("a link that never was: %d %v", neutral.Status, neutral.Links())
	}
	people := map[string]*idptest.Browser{}
	states := map[string]string{"used": "used", "a newer one": "replaced", "expired": "expired"} // as the log says; else void or replaced
	recorded := map[string]string{}
	i := 0
	for what, kill := range map[string]func(email string){
		"used":        func(email string) { create(s.Browser(t).Get(s.Link(t, email, "/reset/")), another) },
		"a newer one": func(email string) { resetLink(t, s, email) },
		"ended sessions": func(email string) {
			people[email].Get("/o/alpha/account/sessions").Form("everywhere").Submit("everywhere")
		},
		"expired":       func(string) { s.Clock.Advance(credential.ResetLifetime) },
		"deactivated":   sql(`update users set deactivated_at = $1, state = 'deactivated' where org_id = $2 and email_key = $3`),
		"a changed one": func(email string) { change(people[email], "alpha", idptest.Password, another) },
		"another address": func(email string) {
			s.Update(t, func(ctx context.Context, tx *db.Tx) error {
				_, err := tx.Exec(ctx, `update users set email = $1, email_key = $1 where org_id = $2 and email_key = $3`, "new-"+email, string(org.ID), email)
				return err
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			i++
			email := fmt.Sprintf("user-%d@alpha.example", i)
			people[email] = s.Join(t, org, email, "A", directory.Member)
			link := resetLink(t, s, email)
			form := s.Browser(t).Get(link).Form("main").Fill("password", "Nine herons wade 7 deep!").Fill("repetition", "Nine herons wade 7 deep!")
			kill(email)
			for what, p := range map[string]*idptest.Page{"page": s.Browser(t).Get(link), "form": form.Submit("")} {
				if p.Status != 410 || p.Text() != neutral.Text() {
					t.Errorf("the %s: %d %s", what, p.Status, p.Text())
				}
			}
			known := len(recorded)
			for _, e := range events(t, s, org.ID, "user.link_refused") {
				if _, before := recorded[e.ID]; !before {
					state, _ := e.After["state"].(string)
					recorded[e.ID] = state
					if want := states[what]; want != "" && state != want {
						t.Errorf("the log has %q, want %q", state, want)
					}
				}
			}
			expect.Equal(t, "events of the dead link", len(recorded)-known, 1)
			if p := signIn(s.Browser(t), "/o/alpha", email, "Nine herons wade 7 deep!"); p.Status != 422 {
				t.Errorf("the password was set: %d", p.Status)
			}
		})
	}
}

func TestRST2OfTwentyAtOnceOneSucceeds(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	link := resetLink(t, s, "user-a@alpha.example")
	forms, pages := make([]*idptest.Form, 20), make([]*idptest.Page, 20)
	for i := range forms {
		password := fmt.Sprintf("%s %d", another, i)
		forms[i] = s.Browser(t).Get(link).Form("main").Fill("password", password).Fill("repetition", password)
	}
	var wg sync.WaitGroup
	for i := range forms {
		wg.Go(func() { pages[i] = forms[i].Submit("") })
	}
	wg.Wait()
	in := -1
	for i, p := range pages {
		switch {
		case p.URL.Path == "/o/alpha/home" && in < 0:
			in = i
		case p.Status == 410:
		default:
			t.Errorf("%d: %d %s", i, p.Status, p.URL)
		}
	}
	if in < 0 {
		t.Fatal("nobody got in")
	}
	if p := signIn(s.Browser(t), "/o/alpha", "user-a@alpha.example", fmt.Sprintf("%s %d", another, in)); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the password of whoever got in: %d", p.Status)
	}
	if n := strings.Count(dbtest.Dump(t, s.DB, "password_history"), "$argon2id$"); n != 1 {
		t.Errorf("%d passwords in the history, want the one that was replaced", n)
	}
}

func TestRST2ALinkWorksToItsLastMicrosecondAfterARestartAndOnAnotherNode(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	for _, c := range []struct {
		what  string
		early time.Duration
		works bool
	}{{"a second before", time.Second, true}, {"a microsecond before", time.Microsecond, true}, {"at its end", 0, false}, {"a second after", -time.Second, false}} {
		email := strings.ReplaceAll(c.what, " ", "-") + "@alpha.example"
		s.Join(t, org, email, "A", directory.Member)
		link := resetLink(t, s, email)
		form := s.Browser(t).Get(link).Form("main").Fill("password", another).Fill("repetition", another)
		s.Clock.Advance(credential.ResetLifetime - c.early)
		if p := form.Submit(""); (p.URL.Path == "/o/alpha/home") != c.works || !c.works && p.Status != 410 {
			t.Errorf("%s: %d %s", c.what, p.Status, p.URL)
		}
	}
	s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	if p := forgot(s.Browser(t), "user-a@alpha.example", ""); p.Status != 200 {
		t.Fatal(p.Status)
	}
	node := idptest.StartOn(t, s.DB, s.Clock, s.Keys) // what was asked of one node is answered by the other
	link := node.Link(t, "user-a@alpha.example", "/reset/")
	if p := create(s.Browser(t).Get(link), another); p.URL.Path != "/o/alpha/home" {
		t.Errorf("a link of the second node at the first: %d %s", p.Status, p.URL)
	}
	if p := node.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("a link used at the first node works at the second: %d", p.Status)
	}
	// Signing in with the forgotten password, remembered after all, does not end the link: the
	// next reader of the mailbox is the same person.
	link = resetLink(t, s, "user-a@alpha.example")
	signIn(s.Browser(t), "/o/alpha", "user-a@alpha.example", another)
	if p := s.Browser(t).Get(link); p.Status != 200 {
		t.Errorf("after signing in: %d", p.Status)
	}
}

func TestRST2LifetimeIsTheOrganizationsOrTheConfigurations(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	rules := credential.Classic
	rules.ResetLifetime = credential.ShortestResetLifetime
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return signin.SetPasswordRules(ctx, tx, directory.Operator(), org.ID, rules)
	})
	link := resetLink(t, s, "user-a@alpha.example")
	s.Clock.Advance(credential.ShortestResetLifetime)
	if p := s.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("ten minutes as the organization says: %d", p.Status)
	}
	quick := idptest.StartOn(t, s.DB, s.Clock, s.Keys, func(a *app.Settings) { a.Lifetimes.Reset = 2 * time.Second })
	link = resetLink(t, quick, "user-a@alpha.example")
	s.Clock.Advance(2 * time.Second)
	if p := quick.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("two seconds as the configuration says: %d", p.Status)
	}
}

func TestRST3AddressesThatSmuggleAreRefused(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	for _, name := range []string{"victim", "mallory"} {
		s.Join(t, org, name+"@alpha.example", name, directory.Member)
	}
	b := s.Browser(t)
	b.Get("/forgot-password")
	for _, path := range []string{"/forgot-password", "/forgot-organization"} {
		for what, body := range map[string]string{
			"twice":             "email=victim%40alpha.example&email=mallory%40alpha.example",
			"an array":          "email%5B%5D=victim%40alpha.example&email%5B%5D=mallory%40alpha.example",
			"an index":          "email=victim%40alpha.example&email%5B0%5D=mallory%40alpha.example",
			"another case":      "email=victim%40alpha.example&Email=mallory%40alpha.example",
			"a zero byte":       "email=victim%40alpha.example%00mallory%40alpha.example",
			"no text":           "email=victim%40alpha.example%ff",
			"a list":            "email=victim%40alpha.example%2Cmallory%40alpha.example",
			"a list of another": "email=victim%40alpha.example%3Bmallory%40alpha.example",
			"two words":         "email=victim%40alpha.example+mallory%40alpha.example",
			"a line break":      "email=victim%40alpha.example%0D%0ABcc%3A+mallory%40alpha.example",
			"a line feed":       "email=victim%40alpha.example%0Amallory%40alpha.example",
			"brackets":          "email=%3Cvictim%40alpha.example%3E%2C%3Cmallory%40alpha.example%3E",
			"a percent sign":    "email=mallory%25victim%40alpha.example%40alpha.example",
			"another user":      "email=victim%40alpha.example&user_id=usr_1",
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if p := b.Do(r); p.Status != 400 && p.Status != 422 || len(p.Links()) == 0 {
				t.Errorf("%s, %s: %d", path, what, p.Status)
			}
		}
		for media, body := range map[string]string{
			"application/json":    `{"email":["victim@alpha.example","mallory@alpha.example"]}`,
			"text/plain":          "email=victim%40alpha.example",
			"multipart/form-data": "email=victim%40alpha.example",
			"application/x-www-form-urlencoded, application/json": "email=victim%40alpha.example",
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", media)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if p := b.Do(r); p.Status != 400 {
				t.Errorf("%s as %s: %d", path, media, p.Status)
			}
		}
	}
	for _, name := range []string{"victim", "mallory"} {
		if n := len(s.LettersTo(t, name+"@alpha.example")); n != 1 {
			t.Errorf("%s got %d letters, want the invitation alone", name, n)
		}
	}
	// What is folded goes to the stored form, once.
	b = s.Browser(t)
	if p := forgot(b, " VICTIM@Alpha.Example ", " ALPHA "); p.Status != 200 {
		t.Errorf("%d", p.Status)
	}
	if n := len(s.LettersTo(t, "victim@alpha.example")); n != 2 {
		t.Errorf("%d letters, want the invitation and the link", n)
	}
}

func TestRST5IdentityComesFromTheSecretAlone(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	victim := s.Join(t, org, "victim@alpha.example", "Victim", directory.Owner)
	s.Join(t, org, "mallory@alpha.example", "Mallory", directory.Member)
	link := resetLink(t, s, "mallory@alpha.example")
	b := s.Browser(t)
	b.Get(link)
	for name, value := range map[string]string{"email": "victim@alpha.example", "user_id": "usr_1", "organization": "alpha", "org_id": string(org.ID), "token": "x"} {
		if p := b.Post(link, url.Values{"password": {another}, "repetition": {another}, name: {value}}); p.Status != 400 {
			t.Errorf("with a field %s: %d", name, p.Status)
		}
	}
	// In the victim's own browser, and with everything repeated in address and headers: the
	// password becomes Mallory's, no matter who is signed in there.
	thief := victim.Copy()
	thief.Header.Set("X-User", "victim@alpha.example")
	page := thief.Get(link + "?email=victim@alpha.example&user=victim")
	if !page.Says("Victim (victim@alpha.example)") || !page.Has("input", "value", "mallory@alpha.example") {
		t.Errorf("the page must say whose password it is and whose session ends: %s", page.Text())
	}
	if p := create(page, another); !p.Says(idptest.Sentence(t, "web.home.greeting", "Name", "Mallory")) {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	for email, password := range map[string]string{"victim@alpha.example": idptest.Password, "mallory@alpha.example": another} {
		if p := signIn(s.Browser(t), "/o/alpha", email, password); p.URL.Path != "/o/alpha/home" {
			t.Errorf("%s: %d", email, p.Status)
		}
	}
	// A secret of another purpose does not reset a password.
	invitation := s.Invite(t, org, "new@alpha.example", "N", directory.Member)
	cookie := victim.Cookie("__Host-parvis")
	for _, token := range []string{strings.TrimPrefix(invitation, "/invitation/"), cookie, "", "x", strings.Repeat("A", 43)} {
		if p := s.Browser(t).Get("/reset/" + token); p.Status != 410 && p.Status != 404 {
			t.Errorf("%q: %d", token, p.Status)
		}
	}
	fresh := resetLink(t, s, "victim@alpha.example")
	if p := s.Browser(t).Get("/invitation/" + strings.TrimPrefix(fresh, "/reset/")); p.Status != 404 {
		t.Errorf("a reset's secret as an invitation: %d", p.Status)
	}
}

func TestRST6ScannersUseNothingUpAndTheSecretLeaksNowhere(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	link := resetLink(t, s, "user-a@alpha.example")
	secret := strings.TrimPrefix(link, "/reset/")
	for range 5 {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			r, err := http.NewRequestWithContext(t.Context(), method, s.URL+link, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.Browser(t).Do(r)
		}
	}
	b := s.Browser(t)
	page := b.Get(link)
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if !strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(page.Body, "https://") {
		t.Error("the page loads from elsewhere")
	}
	refused := create(page, "short")
	home := create(refused, another)
	if home.URL.Path != "/o/alpha/home" || strings.Contains(home.URL.String()+home.Body, secret) {
		t.Errorf("after five scanners: %d %s", home.Status, home.URL)
	}
	dead := b.Get(link)
	if dead.Status != 410 || strings.Contains(strings.Join(dead.Links(), " "), secret) {
		t.Errorf("the dead page: %d %v", dead.Status, dead.Links())
	}
	written := s.Log.String()
	for _, table := range []string{"audit_events", "resets", "reset_requests", "letters", "attempts"} {
		written += dbtest.Dump(t, s.DB, table)
	}
	if strings.Contains(written, secret) || !strings.Contains(written, "/reset/{token}") {
		t.Error("the secret is written down")
	}
	if strings.Contains(dbtest.Dump(t, s.DB, "reset_requests"), "user-a") {
		t.Error("the request is kept after its answer")
	}
}

// A link opened in another browser than the one that asked, a form sent twice, and a link whose
// page stood open while somebody else was faster.
func TestResetWhereverItIsOpenedAndHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	link := resetLink(t, s, "user-a@alpha.example")
	phone, desk := s.Browser(t), s.Browser(t)
	late := desk.Get(link)
	form := phone.Get(link).Form("main").Fill("password", another).Fill("repetition", another)
	if p := form.Submit(""); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("%d %s", p.Status, p.URL)
	}
	idptest.Want(t, form.Submit(""), idptest.Status(200), idptest.Path("/o/alpha/home")) // sent twice
	if p := create(late, "Ten more zebras on 3 trams!"); p.Status != 410 || at(desk, "alpha") {
		t.Errorf("the page that stood open: %d", p.Status)
	}
	if !at(phone, "alpha") {
		t.Error("the second form ended the session")
	}
	// Without cookies nobody can be signed in: the link is not used up.
	link = resetLink(t, s, "user-a@alpha.example")
	bare := s.Browser(t)
	bareForm := bare.Get(link).Form("main").Fill("password", idptest.Password+"!").Fill("repetition", idptest.Password+"!")
	bare.Client.Jar = nil
	if p := bareForm.Submit(""); p.Status != 422 {
		t.Errorf("without cookies: %d", p.Status)
	}
	if p := s.Browser(t).Get(link); p.Status != 200 {
		t.Errorf("and then: %d", p.Status)
	}
}

// With the mailbox alone nobody opens a page, gets a cookie that does, or evades the rules.
func TestRST7ALinkAloneOpensNothing(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Owner)
	link := resetLink(t, s, "user-a@alpha.example")
	b := s.Browser(t)
	page := b.Get(link)
	b.SetCookie("__Host-parvis", strings.TrimPrefix(link, "/reset/"))
	for _, v := range []url.Values{
		{"password": {""}, "repetition": {""}}, {"password": {"short"}, "repetition": {"short"}}, {"password": {another}, "repetition": {""}},
		{"password": {another}}, {}, {"do": {"skip"}},
	} {
		if p := b.Post(link, v); p.Status != 422 {
			t.Errorf("%v: %d", v, p.Status)
		}
		for _, path := range []string{"/o/alpha/home", "/o/alpha/account/password", "/o/alpha/admin/people"} {
			if p := b.Get(path); p.URL.Path == path {
				t.Fatalf("%v opens %s", v, path)
			}
		}
	}
	if p := create(page, another); p.URL.Path != "/o/alpha/home" {
		t.Errorf("%d %s", p.Status, p.URL)
	}
}

// Journeys 2.5, with an address that two organizations know.
func TestBrowserRemembersWhichOrganizationGoesWithAnAddress(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	for _, name := range []string{"alpha", "beta"} {
		s.Join(t, s.Organization(t, strings.ToUpper(name)+" Works", name), "multi@alpha.example", "M", directory.Member)
	}
	b := s.Browser(t)
	if p := signIn(b, "/sign-in", "multi@alpha.example", idptest.Password); p.Status != 422 {
		t.Fatalf("an ambiguous address in a new browser: %d", p.Status)
	}
	signIn(b, "/o/beta", "multi@alpha.example", idptest.Password)
	b.Get("/o/beta/home").Form("sign-out").Submit("")
	node := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	c := node.Browser(t)
	c.SetCookie("__Host-parvis-device", b.Cookie("__Host-parvis-device"))
	for _, browser := range []*idptest.Browser{b, c} {
		if p := signIn(browser, "/sign-in", " MULTI@alpha.example", idptest.Password); p.URL.Path != "/o/beta/home" {
			t.Errorf("it went to %d %s", p.Status, p.URL)
		}
	}
	if strings.Contains(b.Cookie("__Host-parvis-device"), "multi") {
		t.Error("the cookie holds the address in clear")
	}
	// What was remembered for another address does not count, nor does a forged cookie.
	forged := s.Browser(t)
	forged.SetCookie("__Host-parvis-device", b.Cookie("__Host-parvis-device")+"A")
	if p := signIn(forged, "/sign-in", "multi@alpha.example", idptest.Password); p.Status != 422 {
		t.Errorf("a forged cookie: %d %s", p.Status, p.URL)
	}
}
