package web_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

const named = "ada@alpha.example"

// lettersForForgotten sends the form of a forgotten password and returns the letters that the address got by it,
// newest first.
func lettersForForgotten(t *testing.T, s *idptest.Server, email string) (links []string) {
	t.Helper()
	before := len(s.LettersTo(t, email))
	idptest.Want(t, s.Browser(t).Get("/forgot-password").Form("main").Fill("email", email).Fill("organization", "alpha").Submit(""), idptest.Status(200))
	letters := s.LettersTo(t, email)
	for _, l := range letters[:len(letters)-before] {
		links = append(links, l.Links[0])
	}
	return links
}

// A person whom a directory named has nothing to sign in with. Without any single sign-on, every
// door that takes an address leads to one thing: an invitation to that very user.
func TestAForgottenPasswordInvitesWhoNeverHadOne(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	u := s.Provision(t, org, named, "Ada Lovelace")
	if letters := s.LettersTo(t, named); len(letters) != 0 {
		t.Fatalf("a directory that names somebody writes %d letters", len(letters))
	}
	links := lettersForForgotten(t, s, named)
	if len(links) != 1 || !strings.HasPrefix(links[0], s.URL+"/invitation/") {
		t.Fatalf("the letters lead to %v", links)
	}
	path := strings.TrimPrefix(links[0], s.URL)
	b := s.Browser(t)
	p := b.Get(path)
	idptest.Want(t, p, idptest.Status(200), idptest.Says("web.invitation.what_named"), idptest.Source(`value="Ada Lovelace"`))
	if p.Has("input", "name", "name") {
		t.Error("the page asks for a name that a directory keeps")
	}
	p = p.Form("main").Fill("password", "short").Fill("repetition", "short").Submit("")
	idptest.Want(t, p, idptest.Status(422), idptest.Source(`value="Ada Lovelace"`))
	p = p.Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if p.URL.Path != "/o/alpha/home" || !p.Says("Ada Lovelace") {
		t.Fatalf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	now, err := directory.UserByID(t.Context(), s.DB, org.ID, u.ID)
	expect.Equal(t, "who came in", fmt.Sprintf("%v %v %v %v", err, now.HasPassword, now.SourceID, now.LastSignInAt.IsZero()), "<nil> true "+u.SourceID+" false")
	idptest.Want(t, s.Browser(t).Get(path), idptest.Status(410))
	if p := signIn(s.Browser(t), "/sign-in", named, idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the password does not sign in: %d %s", p.Status, p.URL)
	}
	// From now on a forgotten password is one.
	s.Clock.Advance(time.Hour)
	if links := lettersForForgotten(t, s, named); len(links) != 1 || !strings.HasPrefix(links[0], s.URL+"/reset/") {
		t.Errorf("afterwards the letters lead to %v", links)
	}
}

func TestWhoIsShutOutIsInvitedByNobody(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	u, source := s.Provision(t, org, named, "Ada"), s.Directory(t, org)
	do := func(f func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error) {
		t.Helper()
		s.Update(t, func(ctx context.Context, tx *db.Tx) error { return f(ctx, tx, source, org.ID, u.ID) })
	}
	links := lettersForForgotten(t, s, named)
	path := strings.TrimPrefix(links[0], s.URL)
	b := s.Browser(t)
	page := b.Get(path)
	do(directory.Deactivate)
	p := page.Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	idptest.Want(t, p, idptest.Status(410), idptest.Says("directory.invitation_withdrawn"))
	if links := lettersForForgotten(t, s, named); len(links) != 0 {
		t.Errorf("who is shut out is sent %v", links)
	}
	do(directory.Reactivate) // a directory that takes it back: the link works again
	idptest.Want(t, b.Get(path), idptest.Status(200))
	if links := lettersForForgotten(t, s, named); len(links) != 1 {
		t.Errorf("who was let in again is sent %v", links)
	}
	do(directory.Delete)
	s.Clock.Advance(time.Hour)
	if links := lettersForForgotten(t, s, named); len(links) != 0 {
		t.Errorf("who was deleted is sent %v", links)
	}
	again := s.Provision(t, org, named, "Ada")
	s.Clock.Advance(24 * time.Hour) // so many letters to one address are enough for a while
	links = lettersForForgotten(t, s, named)
	p = s.Browser(t).Get(strings.TrimPrefix(links[0], s.URL)).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if p.URL.Path != "/o/alpha/home" || again.ID == u.ID {
		t.Errorf("the person who came again: %d %s, the same user: %t", p.Status, p.URL, again.ID == u.ID)
	}
}

// The rules for invited people hold for them too.
func TestARequiredSecondStepFollowsTheInvitation(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.SecondStep(t, org, signin.SecondStepRules{RequiredFrom: s.Clock.Now().Add(-time.Hour), Tolerance: 1})
	s.Provision(t, org, named, "Ada")
	links := lettersForForgotten(t, s, named)
	b := s.Browser(t)
	p := b.Get(strings.TrimPrefix(links[0], s.URL)).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Errorf("without a second step they are at %d %s", p.Status, p.URL)
	}
	if p := b.Get("/o/alpha/home"); p.URL.Path == "/o/alpha/home" {
		t.Error("they are at home without the second step that is required")
	}
}

func TestEightBrowsersAcceptForAUserAndOneComesIn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	u := s.Provision(t, org, named, "Ada")
	links := lettersForForgotten(t, s, named)
	path := strings.TrimPrefix(links[0], s.URL)
	var wg sync.WaitGroup
	var mu sync.Mutex
	in := map[int]int{}
	forms := make([]*idptest.Form, 8)
	for i := range forms {
		forms[i] = s.Browser(t).Get(path).Form("main")
	}
	for i, form := range forms {
		wg.Go(func() {
			password := idptest.Password + strings.Repeat("x", i) // each another, so none is the same form twice
			p := form.Fill("password", password).Fill("repetition", password).Submit("")
			mu.Lock()
			defer mu.Unlock()
			in[p.Status]++
		})
	}
	wg.Wait()
	if in[200] != 1 || in[410] != 7 {
		t.Errorf("answers by status: %v", in)
	}
	if n := count(t, s, `select count(*) from users where org_id = $1`, string(org.ID)); n != 1 {
		t.Errorf("%d users", n)
	}
	if n := count(t, s, `select count(*) from passwords where user_id = $1`, string(u.ID)); n != 1 {
		t.Errorf("%d passwords", n)
	}
}

// Where single sign-on is the only way in and no provider could let them in, the invitation leads
// to the provider, and a password that is sent by hand opens nothing.
func TestWhereSingleSignOnIsTheOnlyWayAnInvitationLeadsThere(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Provision(t, org, named, "Ada")
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.SetFederatedOnly(ctx, tx, directory.Operator(), org.ID, nil)
	})
	links := lettersForForgotten(t, s, named)
	if len(links) != 1 || !strings.HasPrefix(links[0], s.URL+"/invitation/") {
		t.Fatalf("the letters lead to %v", links)
	}
	path := strings.TrimPrefix(links[0], s.URL)
	b := s.Browser(t)
	p := b.Get(path)
	if p.Has("input", "name", "password") {
		t.Error("the page asks for a password that opens nothing")
	}
	b.Post(path, url.Values{"password": {idptest.Password}, "repetition": {idptest.Password}})
	if p := b.Get("/o/alpha/home"); p.URL.Path == "/o/alpha/home" {
		t.Error("a password came in where single sign-on is the only way")
	}
}

// Somebody who belongs to one organization and is named by the directory of another signs in as
// before: whom nobody can mean makes nobody say where.
func TestBeingNamedElsewhereChangesNothingForAPerson(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Labs", "beta")
	s.Join(t, beta, named, "Ada", directory.Member)
	s.Provision(t, alpha, named, "Ada")
	if p := signIn(s.Browser(t), "/sign-in", named, idptest.Password); p.URL.Path != "/o/beta/home" {
		t.Errorf("%d %s", p.Status, p.URL)
	}
	if p := signIn(s.Browser(t), "/o/alpha", named, idptest.Password); p.Status != 422 {
		t.Errorf("into the organization that only names them: %d %s", p.Status, p.URL)
	}
	before := len(s.LettersTo(t, named))
	s.Browser(t).Get("/forgot-organization").Form("main").Fill("email", named).Submit("")
	letters := s.LettersTo(t, named)
	if len(letters) != before+1 || !strings.Contains(letters[0].Text, "/o/alpha") || !strings.Contains(letters[0].Text, "/o/beta") {
		t.Errorf("the letter with the names: %d, %v", len(letters)-before, letters[0].Links)
	}
}

// A person's own page shows what a directory keeps, and who to ask; it changes the rest.
func TestOnesOwnPagesShowWhatADirectoryKeeps(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, named, "Ada", directory.Member)
	page := b.Get("/o/alpha/account")
	idptest.Want(t, page, idptest.Field("name"), idptest.Field("given_name"), idptest.Field("family_name"), idptest.SaysNot("web.profile.kept", "Organization", "Alpha Works"))
	p := page.Form("main").Fill("given_name", "Ada\u202e").Fill("family_name", "Lovelace").Submit("")
	idptest.Want(t, p, idptest.Status(422), idptest.Input("family_name", "Lovelace"))
	idptest.Want(t, p.Form("main").Fill("given_name", "Ada").Submit(""), idptest.Status(200), idptest.Input("given_name", "Ada"), idptest.Input("family_name", "Lovelace"))
	stale := b.Get("/o/alpha/account")
	email := b.Get("/o/alpha/account/email")
	source := s.Directory(t, org)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		found, err := directory.Addressed(ctx, tx, org.ID, []string{named})
		if err != nil {
			return err
		}
		return directory.SetSource(ctx, tx, source, found[0], source.ID, "7")
	})
	idptest.Want(t, stale.Form("main").Fill("family_name", "King").Submit(""), idptest.Status(409), idptest.Says("directory.provisioned"))
	idptest.Want(t, email.Form("main").Fill("email", "other@alpha.example").Submit(""), idptest.Status(409), idptest.Says("directory.provisioned"))
	page = b.Get("/o/alpha/account")
	idptest.Want(t, page, idptest.NoField("name"), idptest.NoField("given_name"), idptest.Shows("Lovelace"),
		idptest.Says("web.profile.kept", "Organization", "Alpha Works"), idptest.SaysNot("web.email_change.title"))
	idptest.Want(t, page.Form("main").Fill("time_zone", "Europe/Paris").Submit(""), idptest.Status(200), idptest.Shows("Lovelace"))
	idptest.Want(t, b.Get("/o/alpha/account/email"), idptest.Status(200), idptest.Says("web.email_change.kept"), idptest.NoField("email"))
}

func count(t *testing.T, s *idptest.Server, query string, args ...any) (n int) {
	t.Helper()
	if _, err := s.DB.One(t.Context(), db.Into(&n), query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}
