package web_test

import (
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// required is for everybody, from the start.
func required() signin.SecondStepRules {
	return signin.SecondStepRules{RequiredFrom: time.Unix(1, 0), Tolerance: 1, Passwordless: true}
}

// withApp signs Ana up in an organization that requires a second step, through an
// authenticator app, and returns its secret.
func withApp(t *testing.T, s *idptest.Server, org directory.Organization) (b *idptest.Browser, secret string) {
	t.Helper()
	s.SecondStep(t, org, required())
	b = s.Browser(t)
	page := b.Get(s.Invite(t, org, "ana@meridian.example", "Ana", directory.Member)).Form("main").
		Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if !strings.HasPrefix(page.URL.Path, "/sign-in/att_") || page.Status != 200 {
		t.Fatalf("after the password: %d %s", page.Status, page.URL)
	}
	if page, secret = s.EnrolApp(t, page, "Ana’s phone"); page.URL.Path != "/o/meridian/home" || page.Status != 200 {
		t.Fatalf("after the code: %d %s: %s", page.Status, page.URL, page.Text())
	}
	s.Clock.Advance(30 * time.Second) // the code that enrolled is used up
	return b, secret
}

// Journeys 1.6, 5.2, 5.3, 5.5: invited, password, app, home; and signed in again
// with both.
func TestSecondStepIsEnrolledAndAskedFor(t *testing.T) {
	s := idptest.Start(t)
	_, secret := withApp(t, s, s.Organization(t, "Meridian Freight", "meridian"))
	b := s.Browser(t)
	page := signIn(b, "/o/meridian", "ana@meridian.example", idptest.Password)
	if !strings.HasPrefix(page.URL.Path, "/sign-in/att_") || !page.Says("Ana’s phone") {
		t.Fatalf("after the password: %d %s: %s", page.Status, page.URL, page.Text())
	}
	page = page.Form("main").Fill("code", idptest.Code(secret, s.Clock.Now())).Submit("")
	if page.URL.Path != "/o/meridian/home" {
		t.Errorf("after the code: %d %s: %s", page.Status, page.URL, page.Text())
	}
}
