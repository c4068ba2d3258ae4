package web_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// volatile matches what differs between any two answers and so reveals nothing: the reference
// and the time of the request.
var volatile = regexp.MustCompile(`req_[a-z2-7]+`)

func answer(p *idptest.Page) string {
	h := p.Header.Clone()
	h.Del("Date")
	return fmt.Sprintf("%d %s %v\n%s", p.Status, p.URL, h, volatile.ReplaceAllString(p.Body, ""))
}

func TestENU1FailedSignInIsTheSameForEverybody(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha := s.Organization(t, "Alpha Works", "alpha")
	beta := s.Organization(t, "Beta Labs", "beta")
	s.Join(t, alpha, "user-a@alpha.example", "A", directory.Member)
	s.Join(t, alpha, "multi@alpha.example", "M", directory.Member)
	s.Join(t, beta, "multi@alpha.example", "M", directory.Member)
	s.Join(t, alpha, "gone@alpha.example", "G", directory.Member)
	s.Join(t, alpha, "dead@alpha.example", "D", directory.Member)
	s.Join(t, alpha, "deleted@alpha.example", "E", directory.Member)
	s.Invite(t, alpha, "asked@alpha.example", "I", directory.Member)
	s.Provision(t, alpha, "named@alpha.example", "N")
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update users set deactivated_at = $1, state = 'deactivated' where org_id = $2 and email_key = $3`,
			db.Time(tx.Now()), string(alpha.ID), "gone@alpha.example"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update users set deactivated_at = $1, deleted_at = $1, state = 'deleted' where org_id = $2 and email_key = $3`,
			db.Time(tx.Now()), string(alpha.ID), "deleted@alpha.example"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update passwords set disabled_at = $1 where user_id = (select id from users where email_key = $2)`,
			db.Time(tx.Now()), "dead@alpha.example")
		return err
	})
	const mark = "somebody@alpha.example"
	var want string
	for _, c := range []struct{ email, password string }{
		{"unknown@alpha.example", "wrong"},
		{"user-a@alpha.example", "wrong"},
		{"multi@alpha.example", idptest.Password}, // ambiguous, though the password is right in both
		{"gone@alpha.example", "wrong"},
		{"gone@alpha.example", idptest.Password},
		{"deleted@alpha.example", "wrong"},
		{"deleted@alpha.example", idptest.Password},
		{"dead@alpha.example", idptest.Password},
		{"asked@alpha.example", idptest.Password},
		{"named@alpha.example", idptest.Password}, // a directory named them, and they have no way in
		{"named@alpha.example", ""},
	} {
		{
			p := signIn(s.Browser(t), "/sign-in", c.email, c.password)
			if p.Status != 422 || !p.Has("input", "name", "organization") {
				t.Fatalf("%s: %d %s", c.email, p.Status, p.Text())
			}
			got := strings.ReplaceAll(answer(p), c.email, mark)
			// The typed address is shown again, so two answers may differ in length by it, and
			// by nothing else.
			got = regexp.MustCompile(`Content-Length:\[[0-9]+\]`).ReplaceAllString(got, "")
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s with %q is answered otherwise:\n%s\nwant\n%s", c.email, c.password, got, want)
			}
		}
	}
}

func TestAmbiguousAddressGoesOnByNamingTheOrganization(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	for _, name := range []string{"alpha", "beta"} {
		s.Join(t, s.Organization(t, strings.ToUpper(name)+" Works", name), "multi@alpha.example", "M", directory.Member)
	}
	b := s.Browser(t)
	p := signIn(b, "/sign-in", "multi@alpha.example", idptest.Password)
	p = p.Form("main").Fill("organization", "  BETA ").Fill("password", idptest.Password).Submit("")
	if p.URL.Path != "/o/beta/home" {
		t.Errorf("%d %s", p.Status, p.URL)
	}
	p = signIn(s.Browser(t), "/sign-in", "multi@alpha.example", "wrong")
	p = p.Form("main").Fill("organization", "gamma").Fill("password", idptest.Password).Submit("")
	if p.Status != 422 || !p.Has("input", "aria-invalid", "true") {
		t.Errorf("an unknown organization is said plainly: %d %s", p.Status, p.Text())
	}
}

func TestBRU2ParallelGuessesAreNotEvaluated(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	var wg sync.WaitGroup
	statuses := make([]int, 40)
	for i := range statuses {
		b := s.Browser(t)
		f := b.Get("/sign-in").Form("main").Fill("email", "user-a@alpha.example").Fill("password", fmt.Sprint("guess", i))
		wg.Go(func() { statuses[i] = f.Submit("").Status })
	}
	wg.Wait()
	evaluated := 0
	for _, status := range statuses {
		switch status {
		case 422:
			evaluated++
		case 429:
		default:
			t.Errorf("answered %d", status)
		}
	}
	if evaluated != 5 {
		t.Errorf("%d guesses were evaluated, want the 5 free ones", evaluated)
	}
	p := signIn(s.Browser(t), "/sign-in", "USER-A@alpha.example", idptest.Password)
	if p.Status != 429 || p.Header.Get("Retry-After") == "" {
		t.Errorf("the right password while it waits: %d, Retry-After %q", p.Status, p.Header.Get("Retry-After"))
	}
	s.Clock.Advance(time.Second)
	if p := signIn(s.Browser(t), "/sign-in", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("after the wait: %d %s", p.Status, p.URL)
	}
}

// A right password is no guess, whether or not anything comes of it.
func TestARightPasswordGivesItsTriesBack(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	in := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	more := signin.PerAddressAndNetwork.Free + 2
	for range more {
		if p := signIn(s.Browser(t), "/sign-in", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
			t.Fatalf("the right password, again: %d %s", p.Status, p.URL)
		}
	}
	for range more {
		if p := change(in, "alpha", idptest.Password, "short"); p.Status != 422 {
			t.Fatalf("a new password that is too short, again: %d", p.Status)
		}
	}
	for i := range signin.PerAddressAndNetwork.Free + 1 {
		p := signIn(s.Browser(t), "/sign-in", "user-a@alpha.example", "guess")
		if want := map[bool]int{true: 422, false: 429}[i < signin.PerAddressAndNetwork.Free]; p.Status != want {
			t.Errorf("guess %d: %d, want %d", i+1, p.Status, want)
		}
	}
}

func TestBRU4KnownBrowserIsNotSlowedByStrangers(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	owner := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	owner.Get("/o/alpha/home").Form("sign-out").Submit("")
	// Signing out forgets the cookie; a browser that is signed in elsewhere keeps its own.
	known := s.Join(t, s.Organization(t, "Beta Labs", "beta"), "other@beta.example", "O", directory.Member)
	if p := signIn(known, "/o/alpha", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("%d %s", p.Status, p.URL)
	}
	known.Get("/o/alpha/home").Form("sign-out").Submit("")
	stranger := s.Browser(t)
	for range 10 {
		signIn(stranger, "/o/alpha", "user-a@alpha.example", "guess")
	}
	if p := signIn(stranger, "/o/alpha", "user-a@alpha.example", idptest.Password); p.Status != 429 {
		t.Errorf("the stranger is answered %d", p.Status)
	}
	if p := signIn(known, "/o/alpha", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the owner's browser is answered %d", p.Status)
	}
}

func TestBRU3SpoofedSourcesAreIgnored(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	for i := range 6 {
		b := s.Browser(t)
		b.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		b.Header.Set("X-Real-Ip", "garbage")
		b.Header.Set("Forwarded", "for=[::1]")
		p := signIn(b, "/sign-in", "user-a@alpha.example", "guess")
		if want := map[bool]int{true: 422, false: 429}[i < 5]; p.Status != want {
			t.Errorf("guess %d: %d, want %d", i+1, p.Status, want)
		}
	}
	if strings.Contains(s.Log.String(), "203.0.113.") {
		t.Error("a forged address is in the log")
	}
}

func TestINV1RevokedSupersededAndUsedLinksAreDead(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	kill := map[string]func(inv directory.Invitation) error{
		"withdrawn": func(inv directory.Invitation) error {
			return s.DB.Update(t.Context(), func(tx *db.Tx) error {
				return s.Invitations.Withdraw(t.Context(), tx, directory.Operator(), org.ID, inv.ID)
			})
		},
		"sent again": func(inv directory.Invitation) error {
			return s.DB.Update(t.Context(), func(tx *db.Tx) error {
				_, err := s.Invitations.Resend(t.Context(), tx, directory.Operator(), org, inv.ID)
				return err
			})
		},
	}
	for name, fn := range kill {
		email := strings.ReplaceAll(name, " ", "-") + "@alpha.example"
		link := s.Invite(t, org, email, "X", directory.Member)
		form := s.Browser(t).Get(link).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password)
		people, err := administration.People(t.Context(), s.DB, directory.System(org.ID), org.ID, administration.Query{Filter: administration.Filter{Text: email}})
		if err != nil || len(people.Lines) != 1 {
			t.Fatalf("%s: %v, %v", name, people, err)
		}
		if err := fn(*people.Lines[0].Invitation); err != nil {
			t.Fatal(err)
		}
		if p := form.Submit(""); p.Status != 410 {
			t.Errorf("%s: accepted with %d", name, p.Status)
		}
		if p := s.Browser(t).Get(link); p.Status != 410 {
			t.Errorf("%s: shown with %d", name, p.Status)
		}
	}
}

func TestINV2NothingInTheBrowserDecidesOrganizationAddressOrRole(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	link := s.Invite(t, org, "user-a@alpha.example", "A", directory.Member)
	for field, value := range map[string]string{"email": "mallory@evil.example", "role": "owner", "organization": "beta", "org_id": "org_x", "expires_at": "9"} {
		v := url.Values{"name": {"A"}, "password": {idptest.Password}, "repetition": {idptest.Password}, field: {value}}
		b := s.Browser(t)
		b.Get(link)
		if p := b.Post(link, v); p.Status != 400 {
			t.Errorf("with a field %s: %d", field, p.Status)
		}
	}
	// A secret of another purpose is not accepted as an invitation, nor an invitation as a
	// session.
	b := s.Browser(t)
	token := strings.TrimPrefix(link, "/invitation/")
	b.SetCookie("__Host-parvis", token)
	if p := b.Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Errorf("an invitation's secret as a cookie opens %s", p.URL)
	}
	if p := b.Get("/setup/" + token); p.Status != 410 {
		t.Errorf("an invitation's secret as a set-up link: %d", p.Status)
	}
	in := s.Join(t, org, "ben@alpha.example", "B", directory.Member)
	if p := b.Get("/invitation/" + in.Cookie("__Host-parvis")); p.Status != 404 {
		t.Errorf("a cookie as an invitation: %d", p.Status)
	}
}

func TestINV3ScannersAndStrangersDoNotUseALinkUp(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	link := s.Invite(t, org, "user-a@alpha.example", "A", directory.Member)
	for range 5 {
		b := s.Browser(t)
		b.Get(link)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, s.URL+link, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Do(r)
	}
	p := s.Browser(t).Get(link).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if p.URL.Path != "/o/alpha/home" {
		t.Errorf("after five scanners: %d %s", p.Status, p.URL)
	}
}

func TestINV6NothingExistsBeforeTheAddressIsProved(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Invite(t, org, "victim@alpha.example", "V", directory.Member)
	var n int
	if _, err := s.DB.One(t.Context(), db.Into(&n), `select count(*) from users where org_id = $1`, string(org.ID)); err != nil || n != 0 {
		t.Errorf("%d users before anybody accepted (%v)", n, err)
	}
	if p := signIn(s.Browser(t), "/o/alpha", "victim@alpha.example", idptest.Password); p.Status != 422 {
		t.Errorf("signing in: %d", p.Status)
	}
}

func TestPWD1LongPasswordsAreWholeAndGiantOnesCostNothing(t *testing.T) {
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	long := "Aa1!" // and 396 code points of four bytes each
	for i := range 396 {
		long += string(rune(0x1D400 + i*7%400))
	}
	link := s.Invite(t, org, "user-a@alpha.example", "A", directory.Member)
	b := s.Browser(t)
	f := b.Get(link).Form("main")
	if p := f.Fill("password", long+"x").Fill("repetition", long+"x").Submit(""); p.Status != 422 {
		t.Errorf("401 code points: %d", p.Status)
	}
	if p := f.Fill("password", long).Fill("repetition", long).Submit(""); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("400 code points: %d %s", p.Status, p.Text())
	}
	almost := []rune(long)
	almost[399] = 'x'
	if p := signIn(s.Browser(t), "/o/alpha", "user-a@alpha.example", string(almost)); p.Status != 422 {
		t.Errorf("the last character does not matter: %d", p.Status)
	}
	if p := signIn(s.Browser(t), "/o/alpha", "user-a@alpha.example", long); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the whole password: %d", p.Status)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	body := io.MultiReader(strings.NewReader("email=a%40b.example&password="), io.LimitReader(forever('x'), 100<<20))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/o/alpha", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := s.Browser(t).Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("100 MB: %d", res.StatusCode)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 20<<20 {
		t.Errorf("100 MB took %d bytes of memory", grown)
	}
}

type forever byte

func (f forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(f)
	}
	return len(p), nil
}

func TestPWD2ComposedAndDecomposedFormsAreOnePassword(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	composed, decomposed := "Caf\u00e9 d\u00e9pose 9 trams!", "Cafe\u0301 de\u0301pose 9 trams!"
	f := s.Browser(t).Get(s.Invite(t, org, "user-a@alpha.example", "A", directory.Member)).Form("main")
	if p := f.Fill("password", composed).Fill("repetition", composed).Submit(""); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	for password, want := range map[string]int{decomposed: 200, composed: 200, strings.ToLower(composed): 422, composed + " ": 422} {
		s.Clock.Advance(time.Hour)
		if p := signIn(s.Browser(t), "/o/alpha", "user-a@alpha.example", password); p.Status != want {
			t.Errorf("%q: %d, want %d", password, p.Status, want)
		}
	}
}

func TestPWD3OnePolicyBehindEveryDoor(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	var setup string
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		token, err := directory.NewBootstrap(ctx, tx, time.Hour)
		setup = "/setup/" + token.Reveal()
		return err
	})
	org := s.Organization(t, "Alpha Works", "alpha")
	link := s.Invite(t, org, "user-a@alpha.example", "A", directory.Member)
	for _, bad := range []string{"Sh0rt!", "nodigits at All!", "Password1!", "aLPHA WORKS 2026!", "Parvis2026!"} {
		b := s.Browser(t)
		p := b.Get(link).Form("main").Fill("password", bad).Fill("repetition", bad).Submit("")
		q := b.Get(setup).Form("main").Fill("organization", "Alpha Works 2").Fill("short_name", "alpha2").Fill("name", "A").
			Fill("email", "user-a@alpha.example").Fill("password", bad).Fill("repetition", bad).Submit("")
		if p.Status != 422 || q.Status != 422 {
			t.Errorf("%q: invitation %d, set-up %d", bad, p.Status, q.Status)
		}
	}
	var n int
	if _, err := s.DB.One(t.Context(), db.Into(&n), `select count(*) from passwords`); err != nil || n != 0 {
		t.Errorf("%d passwords stored (%v)", n, err)
	}
}

func TestSES1PlantedValuesAreNeverAdopted(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	// The attacker's browser begins an attempt, and its cookie is planted in the victim's.
	attacker := s.Browser(t)
	attempt := attacker.Get("/o/alpha/account")
	planted := attacker.Cookie("__Host-parvis")
	if planted == "" {
		t.Fatal("an attempt needs a browser")
	}
	victim := s.Browser(t)
	victim.SetCookie("__Host-parvis", planted)
	if p := signIn(victim, "/o/alpha", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("%d %s", p.Status, p.URL)
	}
	if victim.Cookie("__Host-parvis") == planted {
		t.Error("the token did not change with the gain of authority")
	}
	for range 2 { // at once, and again
		if p := attacker.Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
			t.Errorf("the planted value opens %s", p.URL)
		}
	}
	// The attacker's attempt, which nobody completed, is worth nothing in the victim's other
	// browsers.
	if p := s.Browser(t).Get(attempt.URL.Path); p.Status != 410 {
		t.Errorf("a foreign attempt in another browser: %d", p.Status)
	}
	// A value that we never issued is not adopted as a token either.
	made := s.Browser(t)
	made.SetCookie("__Host-parvis", strings.Repeat("A", 43))
	signIn(made, "/o/alpha", "user-a@alpha.example", idptest.Password)
	if made.Cookie("__Host-parvis") == strings.Repeat("A", 43) {
		t.Error("an invented value was adopted")
	}
}

func TestSES2CookiesAreMarkedAndHoldNothing(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	link := s.Invite(t, org, "user-a@alpha.example", "A", directory.Member)
	client := s.Browser(t).Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var set []string
	see := func(method, path string, v url.Values) {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(v.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		set = append(set, res.Header.Values("Set-Cookie")...)
	}
	see("GET", link, nil)
	see("POST", link, url.Values{"do": {"language"}, "language": {"fr"}})
	see("POST", link, url.Values{"name": {"A"}, "password": {idptest.Password}, "repetition": {idptest.Password}})
	see("POST", "/o/alpha/sign-out", nil)
	if len(set) < 4 {
		t.Fatalf("saw only %v", set)
	}
	for _, c := range set {
		for _, want := range []string{"__Host-", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"} {
			if !strings.Contains(c, want) {
				t.Errorf("%q lacks %q", c, want)
			}
		}
		if strings.Contains(c, "Domain") || len(c) > 4096 || strings.Contains(c, "alpha") {
			t.Errorf("%q", c)
		}
	}
}

func TestSES3WhatMustDieDiesAtOnce(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	one := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	two := s.Browser(t)
	signIn(two, "/o/alpha", "user-a@alpha.example", idptest.Password)
	thief := one.Copy()
	// Sign out here: the copied cookie is dead too, the other browser's is not.
	one.Get("/o/alpha/home").Form("sign-out").Submit("")
	if p := thief.Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Errorf("a copied cookie outlives the sign-out: %s", p.URL)
	}
	if p := two.Get("/o/alpha/home"); p.URL.Path != "/o/alpha/home" {
		t.Errorf("signing out here ended the other browser: %s", p.URL)
	}
	signIn(one, "/o/alpha", "user-a@alpha.example", idptest.Password)
	if p := one.Get("/o/alpha/account/sessions").Form("everywhere").Submit("everywhere"); p.URL.Path != "/o/alpha" {
		t.Errorf("ending all leads to %d %s", p.Status, p.URL)
	}
	if p := two.Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Errorf("the other browser lives on: %s", p.URL)
	}
	// Deactivated: the join with the user's row refuses the session at the next request.
	signIn(two, "/o/alpha", "user-a@alpha.example", idptest.Password)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set deactivated_at = $1, state = 'deactivated' where org_id = $2`, db.Time(tx.Now()), string(org.ID))
		return err
	})
	if p := two.Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Errorf("a deactivated user is at %s", p.URL)
	}
}

func TestSES4CookieExpiryHasNoSayAndTheClockMayJump(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	b.SetCookie("__Host-parvis", b.Cookie("__Host-parvis")) // for ever, says the client
	s.Clock.Advance(-time.Hour)
	if p := b.Get("/o/alpha/home"); p.URL.Path != "/o/alpha/home" {
		t.Errorf("a clock set back by an hour ends the session: %s", p.URL)
	}
	s.Clock.Advance(time.Hour + session.Idle)
	if p := b.Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Errorf("the cookie kept the session alive: %s", p.URL)
	}
}

func TestSES6OnlyExactValuesPass(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	good := b.Cookie("__Host-parvis")
	last := map[bool]string{true: "B", false: "A"}[strings.HasSuffix(good, "A")]
	for _, bad := range []string{"", good[:42], good + "A", good[:42] + last, strings.ToLower(good), strings.Repeat("A", 100000), good[1:] + good[:1], "%00"} {
		c := s.Browser(t)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/o/alpha/home", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", "__Host-parvis="+bad)
		c.Client.Jar = nil
		p := c.Do(r)
		if p.Status == 200 && p.URL.Path == "/o/alpha/home" || p.Status >= 500 {
			t.Errorf("%.60q: %d %s", bad, p.Status, p.URL)
		}
	}
}

func TestSES6SupersededTokenEndsTheBrowserAndWritesALetter(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	beta := s.Organization(t, "Beta Labs", "beta")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	thief := b.Copy()
	s.Clock.Advance(time.Second)
	// The browser gains authority: the token changes.
	link := s.Invite(t, beta, "user-b@beta.example", "B", directory.Member)
	b.Get(link).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if p := thief.Get("/o/beta/home"); p.URL.Path != "/o/beta" {
		t.Errorf("the superseded token opens what came after it: %s", p.URL)
	}
	s.Clock.Advance(29 * time.Second)
	if p := thief.Get("/o/alpha/home"); p.URL.Path != "/o/alpha/home" {
		t.Errorf("within half a minute a parallel tab is let in: %s", p.URL)
	}
	s.Clock.Advance(time.Second)
	if p := thief.Get("/o/alpha/home"); p.URL.Path == "/o/alpha/home" {
		t.Error("a superseded token was honoured")
	}
	if p := b.Get("/o/alpha/home"); p.URL.Path != "/o/alpha" {
		t.Error("the browser whose cookie was copied must sign in again")
	}
	for _, email := range []string{"user-a@alpha.example", "user-b@beta.example"} {
		if n := len(s.LettersTo(t, email)); n != 2 {
			t.Errorf("%s got %d letters, want the invitation and the warning", email, n)
		}
	}
}

func TestWEB1EveryChangeIsRefusedFromElsewhere(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	forms := map[string]url.Values{
		"/o/alpha/account":          {"name": {"Mallory"}, "preferred_language": {"en"}},
		"/o/alpha/sign-out":         {},
		"/o/alpha/account/sessions": {"do": {"others"}, "id": {""}},
		"/o/alpha/account/not-me":   {},
		"/o/alpha/stay":             {},
		"/o/alpha/language":         {"language": {"fr"}, "page": {"/"}},
		"/sign-in":                  {"email": {"user-a@alpha.example"}, "password": {idptest.Password}},
	}
	elsewhere := []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Sec-Fetch-Site": {"same-origin", "cross-site"}},
		{"Origin": {"null"}},
		{"Origin": {"https://evil.example"}},
		{"Origin": {strings.Replace(s.URL, "https", "http", 1)}},
		{"Origin": {s.URL + ".evil.example"}},
		{},
		{"Referer": {s.URL + "/"}},
	}
	for path, values := range forms {
		for _, header := range elsewhere {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(values.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = header.Clone()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if p := b.Do(r); p.Status != 403 {
				t.Errorf("%s with %v: %d", path, header, p.Status)
			}
		}
		// A safe method changes nothing, whatever it carries.
		b.Get(path + "?" + values.Encode())
	}
	if p := b.Get("/o/alpha/home"); p.URL.Path != "/o/alpha/home" || !p.Says("A") || p.Lang() != "en" {
		t.Errorf("something changed: %s %s", p.URL, p.Text())
	}
	for _, id := range []directory.OrgID{org.ID, ""} { // the one that the address names, and for /sign-in the installation
		e := only(t, s, id, "request.refused")
		expect.Equal[any](t, "check", e.After["check"], "other_site")
	}
	for _, media := range []string{"text/plain", "application/json", ""} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/o/alpha/account", strings.NewReader("name=M&preferred_language=en"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Content-Type", media)
		if p := b.Do(r); p.Status != 400 {
			t.Errorf("as %q: %d", media, p.Status)
		}
	}
}

func TestWEB2NobodyIsSignedInByAnotherSite(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "mallory@alpha.example", "Mallory", directory.Member)
	victim := s.Browser(t)
	victim.Get("/sign-in")
	victim.Header.Set("Sec-Fetch-Site", "cross-site")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/sign-in",
		strings.NewReader(url.Values{"email": {"mallory@alpha.example"}, "password": {idptest.Password}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p := victim.Do(r); p.Status != 403 || victim.Cookie("__Host-parvis") != "" {
		t.Errorf("%d, cookie %q", p.Status, victim.Cookie("__Host-parvis"))
	}
}

func TestWEB3EveryWayBackStaysHere(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Browser(t)
	b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, to := range []string{"//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example", "http://u@evil.example/", "/%2f/evil.example",
		"\t//evil.example", "/\t/evil.example", "javascript:alert(1)", "evil.example", "", "/./\\evil.example", "/%2fevil.example ", "/%5cevil.example "} {
		p := b.Post("/language", url.Values{"language": {"fr"}, "page": {to}})
		at := p.Header.Get("Location")
		idptest.Want(expect.Case(t, "%q", to), p, idptest.Status(303))
		if !strings.HasPrefix(at, "/") || strings.HasPrefix(at, "//") || strings.ContainsAny(at, "\\\t") {
			t.Errorf("%q leads to %d %q", to, p.Status, at)
		}
	}
	// A request for another host's name is redirected to ours, and keeps nothing of theirs but
	// the path.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"//evil.example/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	if p := b.Do(r); !strings.HasPrefix(p.Header.Get("Location"), s.URL+"/") {
		t.Errorf("asked as evil.example: %d %q", p.Status, p.Header.Get("Location"))
	}
}

func TestRST1LinksAreBuiltFromTheConfiguredAddressAlone(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	link := s.Invite(t, org, "user-a@alpha.example", "A", directory.Member)
	s.Clock.Advance(directory.InvitationLifetime)
	b := s.Browser(t)
	b.Get(link)
	for name, value := range map[string]string{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/evil",
		"Forwarded": "host=evil.example", "Referer": "https://evil.example/"} {
		b.Header.Set(name, value)
	}
	if p := b.Get(link).Form("main").Submit("renew"); p.Status != 200 {
		t.Fatalf("%d", p.Status)
	}
	for _, l := range s.LettersTo(t, "user-a@alpha.example")[0].Links {
		if !strings.HasPrefix(l, s.URL+"/") {
			t.Errorf("a link leads to %s", l)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+link, strings.NewReader("do=renew"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if p := s.Browser(t).Do(r); p.Status != 400 {
		t.Errorf("a form for another host: %d", p.Status)
	}
}

func TestWEB5HeadersStandOnEveryAnswer(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Owner)
	paths := []string{"/", "/sign-in", "/sign-in/att_x", "/invitation/x", "/setup/x", "/nowhere", "/o/alpha", "/o/nowhere", "/o/alpha/home", "/o/alpha/account",
		"/o/alpha/account/x.css", "/o/alpha/home/x.css", "/o/alpha/admin/people", "/assets/nothing.css", "/.git/config", "/debug/pprof/"}
	for _, path := range paths {
		b.Header.Set("Origin", "https://evil.example")
		p := b.Get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
		} {
			if !strings.Contains(p.Header.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, p.Header.Get(name))
			}
		}
		csp := p.Header.Get("Content-Security-Policy")
		for _, want := range []string{"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "object-src 'none'", "report-uri"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy lacks %s", path, want)
			}
		}
		if strings.Contains(csp, "unsafe") || p.Header.Get("Access-Control-Allow-Origin") != "" || p.Header.Get("Server") != "" {
			t.Errorf("%s: %v", path, p.Header)
		}
		if strings.HasSuffix(path, "x.css") && p.Status != 404 {
			t.Errorf("%s: %d, a sub-path must not answer with another page", path, p.Status)
		}
		if strings.Contains(p.Body, " style=") || strings.Contains(p.Body, " onclick=") || strings.Contains(p.Body, "<style") {
			t.Errorf("%s has what the policy forbids", path)
		}
	}
}

func TestWEB6NamesAreShownAsText(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	payload := `<img src=x onerror=alert(1)>"'&{{.}}`
	org := s.Organization(t, payload, "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A "+payload, directory.Owner)
	b.Header.Set("User-Agent", "<script>alert(1)</script>")
	for _, path := range []string{"/o/alpha/home", "/o/alpha/account", "/o/alpha/account/sessions", "/o/alpha/account/organizations", "/o/alpha/account/activity", "/sign-in", "/o/alpha/admin/people", "/o/alpha/admin/audit"} {
		p := b.Get(path)
		if p.Has("img", "src", "x") || strings.Contains(p.Body, "<script>alert") {
			t.Errorf("%s runs what a name holds", path)
		}
	}
	p := s.Browser(t).Get(s.Invite(t, org, "user-b@alpha.example", "B "+payload, directory.Member))
	if p.Has("img", "src", "x") || p.Form("main").Values.Get("name") != "B "+payload {
		t.Errorf("the invitation's page: %v", p.Form("main").Values)
	}
}

func TestINJ4HostileInputIsRefusedClearlyOrTakenLiterally(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Owner)
	for _, v := range []url.Values{
		{"email": {"a@b.example", "c@d.example"}, "password": {"x"}},
		{"email[]": {"a@b.example"}, "password": {"x"}},
		{"email": {"a@b.example\x00"}, "password": {"x"}},
		{"email": {"a@b.example"}, "password": {"\xff"}},
	} {
		if p := b.Post("/sign-in", v); p.Status != 400 || len(p.Links()) == 0 {
			t.Errorf("%v: %d", v, p.Status)
		}
	}
	for _, email := range []string{"a@b.example\r\nBcc: x@y.example", "a@b.example,c@d.example", `"a b"@c.example`, "", "a", "@", strings.Repeat("a", 5000) + "@b.example"} {
		p := b.Post("/sign-in", url.Values{"email": {email}, "password": {"x"}})
		if p.Status != 422 || p.Form("main").Values.Get("email") != strings.ReplaceAll(email, "\r\n", "\n") && p.Form("main").Values.Get("email") != email {
			t.Errorf("%.40q: %d %q", email, p.Status, p.Form("main").Values.Get("email"))
		}
	}
	for _, path := range []string{"/o/%00/home", "/o/'%20or%201=1/home", "/o/../../etc/passwd", "/o/%2e%2e/home", "/o/alpha/admin/people?before=x'--&q=%25", "/o/%ff/home",
		"/o/alpha/admin/people?q=" + strings.Repeat("%25_", 500), "/invitation/%00", "/sign-in/'"} {
		if p := b.Get(path); p.Status >= 500 {
			t.Errorf("%.60s: %d", path, p.Status)
		}
	}
}

func TestDOS1FloodOfHashesStaysBoundedAndFair(t *testing.T) {
	s := idptest.Start(t, func(a *app.Settings) { a.Passwords = credential.Options{} }) // the real cost
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "honest@alpha.example", "H", directory.Member)
	long := strings.Repeat("𝔛", 400)
	forms := make([]*idptest.Form, 64)
	for i := range forms {
		forms[i] = s.Browser(t).Get("/sign-in").Form("main").Fill("email", fmt.Sprintf("u%d@alpha.example", i)).Fill("password", long)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // as a server has it, whatever these tests run with
	runtime.GC()
	var idle, m runtime.MemStats
	runtime.ReadMemStats(&idle)
	var peak uint64
	done := make(chan struct{})
	var wg, watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	})
	for _, f := range forms {
		wg.Go(func() {
			if p := f.Submit(""); p.Status != 422 && p.Status != 429 && p.Status != 503 {
				t.Errorf("answered %d", p.Status)
			}
		})
	}
	wg.Wait()
	close(done)
	watch.Wait()
	if peak > idle.HeapInuse+100<<20 {
		t.Errorf("the flood took %d MB above idle", (peak-idle.HeapInuse)>>20)
	}
}

func TestDOS2OversizedAndMisshapenRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Browser(t)
	many := url.Values{}
	for i := range 5000 {
		many.Set(fmt.Sprint("f", i), "x")
	}
	if p := b.Post("/sign-in", many); p.Status != 400 && p.Status != 413 {
		t.Errorf("5,000 fields: %d", p.Status)
	}
	if p := b.Post("/sign-in", url.Values{"email": {strings.Repeat("x", 70000)}}); p.Status != 413 {
		t.Errorf("70 kB: %d", p.Status)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/sign-in", bytes.NewReader([]byte("%zz=%")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if p := b.Do(r); p.Status != 400 {
		t.Errorf("a broken form: %d", p.Status)
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/sign-in", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Http-Method-Override", "POST")
		if p := b.Do(r); p.Status < 400 || p.Status >= 500 {
			t.Errorf("%s: %d", method, p.Status)
		}
	}
}

func TestSEC1SecretsAreNotInTheLogsNorTheAuditTrail(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	const password, wrong, inAddress = "Mark9 of the Zebra!", "Wrong9 mark of it!", "typed-into-the-wrong-field@alpha.example"
	link := s.Invite(t, org, "user-a@alpha.example", "A", directory.Owner)
	b := s.Browser(t)
	b.Get(link).Form("main").Fill("password", password).Fill("repetition", wrong).Submit("")
	b.Get(link).Form("main").Fill("password", password).Fill("repetition", password).Submit("")
	cookie := b.Cookie("__Host-parvis")
	signIn(s.Browser(t), "/o/alpha", "user-a@alpha.example", wrong)
	signIn(s.Browser(t), "/o/alpha", inAddress, wrong)
	b.Get(link)
	b.Get("/o/alpha/admin/audit")
	everything := s.Log.String() + dbtest.Dump(t, s.DB, "audit_events")
	if len(everything) < 1000 {
		t.Fatal("there is nothing to search")
	}
	for name, secret := range map[string]string{"password": password, "wrong password": wrong, "invitation": strings.TrimPrefix(link, "/invitation/"),
		"cookie": cookie, "typed address": inAddress} {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
			if strings.Contains(everything, form) {
				t.Errorf("the %s is written down", name)
			}
		}
	}
}

func TestSEC2TheDatabaseHoldsOnlyHashesAndSealedValues(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	waiting := "/invitation/"
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Owner)
	b.Header.Set("X", "y")
	form := b.Get("/o/alpha/account").Form("main").Fill("name", "Secretly typed")
	s.Clock.Advance(session.Idle)
	form.Submit("") // sealed in an attempt
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := s.Invitations.Send(ctx, tx, directory.Operator(), org, directory.NewInvitation{Email: "b@alpha.example", Role: directory.Member, Language: "en"})
		return err
	})
	everything := ""
	for _, table := range []string{"users", "passwords", "browsers", "sessions", "attempts", "invitations", "letters", "audit_events", "limits", "bootstraps", "installation"} {
		everything += dbtest.Dump(t, s.DB, table)
	}
	for name, secret := range map[string]string{"password": idptest.Password, "cookie": b.Cookie("__Host-parvis"), "link": waiting, "typed form": "Secretly"} {
		if strings.Contains(everything, secret) {
			t.Errorf("the %s stands in the database", name)
		}
	}
}

// A full disk on SQLite or lost connections on PostgreSQL give an honest answer with a
// reference while they last, and everything works as before once they are over (R-RES-04).
func TestSEC5DatabaseThatFailsIsToldHonestlyAndRecovers(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	do := func(statement string) {
		t.Helper()
		if err := s.DB.Exec(t.Context(), func(func(...any) error) error { return nil }, statement); err != nil {
			t.Fatal(err)
		}
	}
	form := b.Get("/o/alpha/account").Form("main").Fill("name", "After the storm")
	if s.DB.Path() == "" {
		do(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
	} else {
		do(`pragma max_page_count = 1`) // no page more than there are: as on a full disk
		for i := range 200 {            // until what is free within the file is used up
			p := signIn(s.Browser(t), "/sign-in", fmt.Sprintf("nobody%d@alpha.example", i), strings.Repeat("x", 300))
			if p.Status == 503 {
				if !volatile.MatchString(p.Body) || p.Header.Get("Retry-After") == "" || len(p.Links()) == 0 {
					t.Errorf("503 without reference, time or next step: %s", p.Text())
				}
				break
			}
			if i == 199 || p.Status != 422 && p.Status != 429 {
				t.Fatalf("sign-in %d on a full disk: %d", i, p.Status)
			}
		}
		do(`pragma max_page_count = 1073741823`)
	}
	for range 20 { // a pool may still hand out connections that are gone
		if p := form.Submit(""); p.Status == 200 && p.Says("After the storm") {
			return
		}
	}
	t.Error("it did not recover")
}

// A superseded token, however old, gives nothing to an attacker who signs in with it as
// themselves: neither the current token nor anybody else's session.
func TestSES1SupersededTokenIsNotExchangedForTheCurrentOne(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{5 * time.Second, 3 * time.Hour} {
		for _, door := range []string{"sign-in", "invitation"} {
			t.Run(fmt.Sprint(wait, " by ", door), func(t *testing.T) {
				s := idptest.Start(t)
				alpha, evil := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Evil Inc", "evil")
				s.Join(t, evil, "mallory@evil.example", "Mallory", directory.Member)
				s.Join(t, alpha, "victim@alpha.example", "Victim", directory.Owner)
				mallory := s.Browser(t)
				mallory.Get("/o/alpha/account") // begins an attempt with the token that is to be planted
				victim := mallory.Copy()
				s.Clock.Advance(time.Second)
				if p := signIn(victim, "/o/alpha", "victim@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
					t.Fatalf("the victim is at %s", p.URL)
				}
				s.Clock.Advance(wait)
				if door == "sign-in" {
					signIn(mallory, "/o/evil", "mallory@evil.example", idptest.Password)
				} else {
					link := s.Invite(t, evil, "mallory2@evil.example", "Mallory", directory.Member)
					mallory.Get(link).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
				}
				if p := mallory.Get("/o/evil/home"); p.URL.Path != "/o/evil/home" {
					t.Errorf("mallory did not even get what is hers: %s", p.URL)
				}
				for _, path := range []string{"/o/alpha/home", "/o/alpha/account", "/o/alpha/admin/people"} {
					if p := mallory.Get(path); p.URL.Path == path {
						t.Errorf("mallory is in at %s", path)
					}
				}
				// Shown later than half a minute it counts as copied: the victim has to sign in
				// again.
				alarmed := wait > session.Superseded
				if p := victim.Get("/o/alpha/home"); (p.URL.Path != "/o/alpha/home") != alarmed {
					t.Errorf("after %v the victim is at %s", wait, p.URL)
				}
			})
		}
	}
}

// Wherever a superseded token is shown, the browser whose cookie was copied is
// closed and its users are told.
func TestSES6SupersededTokenAlarmsAtTheFrontToo(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/sign-in", "/o/alpha"} {
		s := idptest.Start(t)
		org := s.Organization(t, "Alpha Works", "alpha")
		b := s.Join(t, org, "a@alpha.example", "A", directory.Member)
		thief := b.Copy()
		s.Clock.Advance(time.Second)
		signIn(b, "/sign-in", "a@alpha.example", idptest.Password) // gains authority again: the token changes
		s.Clock.Advance(time.Minute)
		thief.Get(path)
		if p := b.Get("/o/alpha/home"); p.URL.Path == "/o/alpha/home" {
			t.Errorf("%s: the browser is still open", path)
		}
		if n := len(s.LettersTo(t, "a@alpha.example")); n != 2 {
			t.Errorf("%s: %d letters, want the invitation and the warning", path, n)
		}
		events := dbtest.Dump(t, s.DB, "audit_events")
		for _, reason := range []string{`{"reason":"replaced"}`, `{"reason":"cookie copied","session":"ses_`} {
			if !strings.Contains(events, reason) {
				t.Errorf("%s: the audit log lacks %s", path, reason)
			}
		}
	}
}

func TestTwoTabsThatSignInAtOnceAreNoTheft(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Labs", "beta")
	s.Join(t, alpha, "a@alpha.example", "A", directory.Member)
	s.Join(t, beta, "b@beta.example", "B", directory.Member)
	one := s.Browser(t)
	one.Get("/o/alpha/account")
	two := one.Copy()
	signIn(one, "/o/alpha", "a@alpha.example", idptest.Password)
	signIn(two, "/o/beta", "b@beta.example", idptest.Password)
	s.Clock.Advance(time.Minute)
	for b, path := range map[*idptest.Browser]string{one: "/o/alpha/home", two: "/o/beta/home"} {
		if p := b.Get(path); p.URL.Path != path {
			t.Errorf("%s is closed: %s", path, p.URL)
		}
	}
	for _, email := range []string{"a@alpha.example", "b@beta.example"} {
		if n := len(s.LettersTo(t, email)); n != 2 {
			t.Errorf("%s got %d letters, want the invitation and the new browser", email, n)
		}
	}
}

func TestINJ4AddressesWithStrangeBytesAreAnsweredAlikeOnBothDatabases(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	in := s.Join(t, org, "a@alpha.example", "A", directory.Member)
	for _, path := range []string{"/o/alpha/account?%5C", "/o/alpha/account?x=%ff", "/o/alpha/account?x=%00", "/sign-in/%00", "/sign-in/%ff", "/o/alpha/account?typed=%00", "/o/alpha/account?typed=%ff"} {
		for name, b := range map[string]*idptest.Browser{"signed out": s.Browser(t), "signed in": in} {
			if p := b.Get(path); p.Status >= 500 {
				t.Errorf("%s, %s: %d", path, name, p.Status)
			}
		}
		raw := in.Copy()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/o/alpha/account", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = "a\\b=\xff"
		if p := raw.Do(r); p.Status >= 500 {
			t.Errorf("raw bytes: %d", p.Status)
		}
		r.URL.RawQuery = "a\\b=\xff"
		if p := s.Browser(t).Do(r.Clone(t.Context())); p.Status >= 500 {
			t.Errorf("raw bytes, signed out: %d", p.Status)
		}
	}
}

func TestWEB2OtherSitesMayLeadHereAndNothingElse(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	in := s.Join(t, org, "a@alpha.example", "A", directory.Owner)
	ask := func(b *idptest.Browser, path, mode, dest string) int {
		b.Header.Set("Sec-Fetch-Site", "cross-site")
		b.Header.Set("Sec-Fetch-Mode", mode)
		b.Header.Set("Sec-Fetch-Dest", dest)
		defer func() { b.Header = http.Header{} }()
		return b.Get(path).Status
	}
	if got := ask(in, "/o/alpha/home", "navigate", "document"); got != 200 {
		t.Errorf("a link from elsewhere: %d", got)
	}
	visitor := s.Browser(t)
	for i := range 150 {
		if got := ask(visitor, fmt.Sprintf("/o/nobody%d", i), "no-cors", "image"); got != 403 {
			t.Fatalf("an image: %d", got)
		}
		if got := ask(visitor, "/o/alpha/account", "navigate", "iframe"); got != 403 {
			t.Fatalf("a frame: %d", got)
		}
	}
	if p := signIn(s.Browser(t), "/o/alpha", "a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("a page elsewhere stopped sign-in here: %d", p.Status)
	}
}

func TestFormOfAnEndedSessionComesBackToWhoTypedItAlone(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "ben@alpha.example", "Ben", directory.Member)
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)
	form := b.Get("/o/alpha/account").Form("main").Fill("name", "Typed by Ana")
	s.Clock.Advance(session.Idle)
	p := form.Submit("").Form("main").Fill("email", "ben@alpha.example").Fill("password", idptest.Password).Submit("")
	if p.URL.Path != "/o/alpha/account" || p.Form("main").Values.Get("name") != "Ben" {
		t.Errorf("Ben sees %v at %s", p.Form("main").Values, p.URL)
	}
}

// Somebody who made a user with the victim's address in an organization of their own is a
// stranger to the victim's other users: their browser gets no extra tries there.
func TestBRU4BrowserThatKnowsTheAddressElsewhereIsAStranger(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "victim@alpha.example", "V", directory.Member)
	mallory := s.Join(t, s.Organization(t, "Evil Corp", "evil"), "victim@alpha.example", "M", directory.Member)
	stranger := s.Browser(t)
	for range 5 {
		signIn(stranger, "/o/alpha", "victim@alpha.example", "guess")
	}
	if p := signIn(mallory, "/o/alpha", "victim@alpha.example", "guess"); p.Status != 429 {
		t.Errorf("answered %d, want the wait that holds for strangers", p.Status)
	}
}

// TEN-5: one address with a different password in each of two organizations.
func TestTEN5OneAddressTwoPasswordsOpenEachItsOwn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email = "multi@alpha.example"
	orgs, open := map[string]directory.OrgID{}, map[string]*idptest.Browser{}
	password := map[string]string{"alpha": idptest.Password, "beta": another}
	other := map[string]string{"alpha": "beta", "beta": "alpha"}
	for name := range other {
		org := s.Organization(t, strings.ToUpper(name)+" Works", name)
		orgs[name], open[name] = org.ID, s.Browser(t)
		if p := create(open[name].Get(s.Invite(t, org, email, "M", directory.Member)), password[name]); p.URL.Path != "/o/"+name+"/home" {
			t.Fatalf("joining %s: %d %s", name, p.Status, p.Text())
		}
	}
	failures := func(org string) (n int) {
		t.Helper()
		if _, err := s.DB.One(t.Context(), db.Into(&n), `select failures from passwords where org_id = $1`, string(orgs[org])); err != nil {
			t.Fatal(err)
		}
		return n
	}
	opens := func(b *idptest.Browser, org, password string) bool {
		return signIn(b, "/o/"+org, email, password).URL.Path == "/o/"+org+"/home"
	}
	rest := func() { s.Clock.Advance(2 * time.Hour) } // everything counted for the address is forgotten

	known := map[string]*idptest.Browser{} // browsers that remember an organization and are not signed in
	for org := range other {
		known[org] = s.Browser(t)
		signIn(known[org], "/o/"+org, email, password[org]).Form("sign-out").Submit("")
	}
	for org, foreign := range other {
		for _, path := range []string{"/o/" + org, "/sign-in"} {
			b := s.Browser(t)
			p := signIn(b, path, email, password[foreign])
			if path == "/sign-in" { // ambiguous: compared with neither, and the right one is asked for where it belongs
				if q := signIn(s.Browser(t), path, email, password[org]); q.Status != 422 || answer(q) != answer(p) {
					t.Errorf("no organization named: %d, then %d", p.Status, q.Status)
				}
				p = p.Form("main").Fill("organization", org).Fill("password", password[foreign]).Submit("")
			}
			if p.Status != 422 || at(b, org) || at(b, foreign) {
				t.Errorf("%s's password at %s for %s: %d %s", foreign, path, org, p.Status, p.URL)
			}
			if p = p.Form("main").Fill("password", password[org]).Submit(""); p.URL.Path != "/o/"+org+"/home" || at(b, foreign) {
				t.Errorf("%s's own password at %s: %d %s", org, path, p.Status, p.URL)
			}
			rest()
		}
		// A browser that remembers one organization is led there, and nowhere else.
		if p := signIn(known[org], "/sign-in", email, password[foreign]); p.Status != 422 || at(known[org], foreign) {
			t.Errorf("%s's password in a browser that remembers %s: %d %s", foreign, org, p.Status, p.URL)
		}
		if a, b := failures(org), failures(foreign); a != 1 || b != 0 {
			t.Errorf("%d failures at %s and %d at %s are counted, want 1 and 0", a, org, b, foreign)
		}
		rest()
		opens(s.Browser(t), org, password[org])
	}

	// Wrong passwords count for the user who was meant, and a success of the other user clears
	// nothing. The waits belong to the address (docs/limits.md), except in a browser that
	// remembers the user who is meant.
	for range signin.PerAddressAndNetwork.Free {
		opens(s.Browser(t), "alpha", "guess")
	}
	if a, b := failures("alpha"), failures("beta"); a != signin.PerAddressAndNetwork.Free || b != 0 {
		t.Errorf("%d and %d failures are counted", a, b)
	}
	if p := signIn(s.Browser(t), "/o/beta", email, password["beta"]); p.Status != 429 {
		t.Errorf("a stranger at beta: %d", p.Status)
	}
	if !opens(known["beta"], "beta", password["beta"]) {
		t.Error("guesses at alpha slow the browser that beta knows")
	}
	rest()
	if !opens(s.Browser(t), "beta", password["beta"]) || failures("alpha") != signin.PerAddressAndNetwork.Free {
		t.Errorf("beta opened, and alpha has %d failures", failures("alpha"))
	}

	for range credential.MostFailures - signin.PerAddressAndNetwork.Free {
		rest()
		opens(s.Browser(t), "alpha", "guess")
	}
	rest()
	if opens(s.Browser(t), "alpha", password["alpha"]) {
		t.Error("alpha's password still opens")
	}
	if rest(); !opens(s.Browser(t), "beta", password["beta"]) || failures("beta") != 0 {
		t.Errorf("beta's password is off too, with %d failures", failures("beta"))
	}

	if !at(open["alpha"], "alpha") || !at(open["beta"], "beta") {
		t.Error("a session ended with the password")
	}
	const third = "Nine herons hum 5 waltzes!"
	forgot(s.Browser(t), email, "alpha")
	if p := create(s.Browser(t).Get(s.Link(t, email, "/reset/")), third); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("the reset: %d %s", p.Status, p.Text())
	}
	if at(open["alpha"], "alpha") || !at(open["beta"], "beta") {
		t.Error("alpha's reset left alpha's session, or ended beta's")
	}
	for i, c := range []struct {
		org, password string
		opens         bool
	}{{"alpha", third, true}, {"beta", password["beta"], true}, {"beta", third, false}, {"alpha", password["alpha"], false}} {
		if rest(); opens(s.Browser(t), c.org, c.password) != c.opens {
			t.Errorf("after alpha's reset, case %d: opening %s is not %v", i+1, c.org, c.opens)
		}
	}
}

// Proxies that write a port still name a client: a hundred of its clients do not lock out the
// people who come through the same proxy.
func TestBRU4ClientsOfAProxyThatWritesPortsAreTold(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	from := func(source string) *idptest.Browser {
		b := s.Browser(t)
		b.Header.Set("X-Forwarded-For", source)
		return b
	}
	for i := range 101 {
		idptest.Want(t, signIn(from(fmt.Sprintf("203.0.113.%d:51008", i)), "/o/alpha", fmt.Sprintf("user-%d@alpha.example", i), "guess"), idptest.Status(422))
	}
	idptest.Want(t, signIn(from("[2001:db8::1]:443"), "/o/alpha", "user-a@alpha.example", idptest.Password), idptest.Path("/o/alpha/home"))
}

// BRU-3: one common password over many addresses in two organizations, from one network: no
// address is tried twice, so only the count of the network stops it.
func TestBRU3ASprayIsStoppedByItsNetworkAndRecorded(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	names := []string{"alpha", "beta"}
	for _, name := range names {
		org := s.Organization(t, strings.ToUpper(name)+" Works", name)
		for i := range 3 {
			s.Join(t, org, fmt.Sprintf("user-%d@%s.example", i, name), "U", directory.Member)
		}
	}
	from := func(network string) *idptest.Browser {
		b := s.Browser(t)
		b.Header.Set("X-Forwarded-For", network)
		return b
	}
	tried := 0
	spray := func() *idptest.Page {
		name, i := names[tried%2], tried/2
		tried++
		return signIn(from("203.0.113.1"), "/o/"+name, fmt.Sprintf("user-%d@%s.example", i, name), "Spring2026!")
	}
	slowed := func() (all []string) {
		t.Helper()
		if err := s.DB.Rows(t.Context(), func(scan func(...any) error) error {
			var action, network, after string
			err := scan(&action, &network, &after)
			all = append(all, action+" "+network+" "+after)
			return err
		}, `select action, network, after from audit_events where after like '%slowed%'`); err != nil {
			t.Fatal(err)
		}
		return all
	}
	for range signin.PerNetwork.Free {
		if p := spray(); p.Status != 422 {
			t.Fatalf("try %d: %d", tried, p.Status)
		}
	}
	for range 5 {
		if p := spray(); p.Status != 429 || p.Header.Get("Retry-After") != "1" {
			t.Errorf("try %d: %d, to wait %q", tried, p.Status, p.Header.Get("Retry-After"))
		}
	}
	if got, want := fmt.Sprint(slowed()), `[signin.refused 203.0.113.1 {"method":"password","slowed":["password-network"]}]`; got != want {
		t.Errorf("recorded: %s, want %s", got, want)
	}
	flood := only(t, s, "", "request.refused")
	expect.Equal[any](t, "limiter", flood.After["limiter"], signin.PerNetwork.Name)
	expect.Equal(t, "network", flood.Origin.Network, "203.0.113.1")
	if p := signIn(from("203.0.113.2"), "/o/alpha", "user-0@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("another network is answered %d", p.Status)
	}
	s.Clock.Advance(signin.PerNetwork.First)
	if p := spray(); p.Status != 422 {
		t.Errorf("after the wait: %d", p.Status)
	}
	if p := spray(); p.Status != 429 || p.Header.Get("Retry-After") != "2" {
		t.Errorf("the next wait: %d, %q", p.Status, p.Header.Get("Retry-After"))
	}
	if n := len(slowed()); n != 1 {
		t.Errorf("%d events name the spray", n)
	}
}
