package web_test

import (
	"context"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/session"
)

// Somebody who knows the password of a person without a second step can enrol one. The link in
// the letter about it takes it back: otherwise they would sign in by it alone, and the owner's
// reset would ask for it.
func TestMFA6DisowningTakesTheThiefsDeviceBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"app", "passkey"} {
		t.Run(kind, func(t *testing.T) {
			s := idptest.Start(t, idptest.Named)
			org := s.Organization(t, "Meridian Freight", "meridian")
			s.SecondStep(t, org, required())
			joining(t, s, org, "ana@meridian.example", directory.Member) // has not enrolled yet
			thief := s.Browser(t)
			p := signIn(thief, "/o/meridian", "ana@meridian.example", idptest.Password)
			device := s.Authenticator()
			if kind == "app" {
				p, _ = s.EnrolApp(t, p, "thief")
			} else {
				at := p.URL.Path
				p = thief.Post(at, url.Values{"device": {"thief"}, "kind": {"passkey"}})
				options := regexp.MustCompile(`data-options="([^"]*)"`).FindStringSubmatch(p.Body)
				if options == nil {
					t.Fatalf("no options: %d %s", p.Status, p.Text())
				}
				p = thief.Post(at, url.Values{"device": {"thief"}, "kind": {"passkey"}, "response": {string(device.Register(t, []byte(html.UnescapeString(options[1]))))}})
			}
			if !at(thief, "meridian") {
				t.Fatalf("the thief is at %s (%d): %s", p.URL, p.Status, p.Text())
			}
			s.Clock.Advance(time.Minute)
			page := s.Browser(t).Get(deviceLetter(t, s, "ana@meridian.example"))
			idptest.Want(t, page, idptest.Says("web.disown.device"))
			if p := page.Form("main").Submit(""); p.Status != 200 {
				t.Fatalf("disowning: %d %s", p.Status, p.Text())
			}
			if at(thief, "meridian") {
				t.Error("the thief is still in")
			}
			if kind == "passkey" {
				again := s.Browser(t)
				again.Get("/sign-in")
				options := again.Post("/sign-in/passkey", url.Values{})
				if p := again.Post("/o/meridian", url.Values{"response": {string(device.Assert(t, []byte(options.Body)))}}); p.Status != 422 {
					t.Errorf("the thief's passkey alone: %d %s", p.Status, p.URL)
				}
			}
			b := s.Browser(t)
			p = create(b.Get(resetLink(t, s, "ana@meridian.example")), another)
			if !strings.HasPrefix(p.URL.Path, "/sign-in/att_") || p.Says("thief") || !p.Has("input", "name", "device") {
				t.Errorf("the owner does not go on to a device of her own: %d %s %s", p.Status, p.URL, p.Text())
			}
		})
	}
}

// deviceLetter returns the link in the newest letter about an authenticator.
func deviceLetter(t *testing.T, s *idptest.Server, email string) string {
	t.Helper()
	for _, l := range s.LettersTo(t, email) {
		if !strings.Contains(l.Subject, idptest.Sentence(t, "mail.device.added_subject", "Organization", "Meridian Freight")) {
			continue
		}
		for _, link := range l.Links {
			if path, ok := strings.CutPrefix(link, s.URL); ok && strings.HasPrefix(path, "/not-me/") {
				return path
			}
		}
	}
	t.Fatal("no letter tells of the device")
	return ""
}

// Somebody who has only the mailbox cannot remove a second step: the link that takes an authenticator
// back works for three days.
func TestRST7OldLettersTakeNoDeviceBack(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	withApp(t, s, org, "ana@meridian.example", directory.Member)
	link := deviceLetter(t, s, "ana@meridian.example")
	s.Clock.Advance(directory.AuthenticatorDisavowalLifetime)
	if p := s.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("after three days: %d", p.Status)
	}
}

// The owner's sign-ins give a guesser no further tries, and the tenth wrong code sends a
// letter, however often the owner signs in between.
func TestMFA4TheOwnersSuccessClearsNoGuesses(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, secret := withApp(t, s, org, "ana@meridian.example", directory.Member)
	wrong := 0
	for range 4 {
		p := signIn(s.Browser(t), "/o/meridian", "ana@meridian.example", idptest.Password)
		for range 9 {
			if p = p.Form("main").Fill("code", "000000").Submit(""); p.Status == 422 {
				wrong++
			}
			s.Clock.Advance(20 * time.Second)
		}
		p = signIn(s.Browser(t), "/o/meridian", "ana@meridian.example", idptest.Password)
		p.Form("main").Fill("code", code(s, secret)).Submit("")
		s.Clock.Advance(time.Minute)
	}
	if wrong > 15 { // five, and as many as the doubling waits allow in 16 minutes
		t.Errorf("%d wrong codes were evaluated in minutes", wrong)
	}
	told := 0
	for _, l := range s.LettersTo(t, "ana@meridian.example") {
		if strings.Contains(l.Subject, "second step") && !strings.Contains(l.Subject, "added") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d letters tell of the guesses, want 1", told)
	}
}

// The owner's own browser is not slowed by guesses made elsewhere.
func TestMFA4TheOwnersBrowserIsNotSlowedByGuesses(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	owners, secret := withApp(t, s, org, "ana@meridian.example", directory.Member)
	p := signIn(s.Browser(t), "/o/meridian", "ana@meridian.example", idptest.Password)
	for range 8 {
		p = p.Form("main").Fill("code", "000000").Submit("")
	}
	owners.Get("/o/meridian/home").Form("sign-out").Submit("")
	s.Clock.Advance(31 * time.Second) // for a code that is not used yet
	p = signIn(owners, "/o/meridian", "ana@meridian.example", idptest.Password)
	if p = p.Form("main").Fill("code", code(s, secret)).Submit(""); p.URL.Path != "/o/meridian/home" {
		t.Errorf("the owner is answered %d %s", p.Status, p.Text())
	}
}

// A proof does not revive a session that ended by idleness, swept or not.
func TestSES4StepUpRevivesNoIdleSession(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	b, secret := withApp(t, s, org, "ana@meridian.example", directory.Member)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return session.SetRules(ctx, tx, directory.Operator(), org.ID, session.Rules{Idle: session.ShortestIdle, Absolute: session.Absolute})
	})
	for range 5 {
		s.Clock.Advance(4 * time.Minute)
		b.Get("/o/meridian/home")
	}
	p := b.Get("/o/meridian/account/email").Form("main").Fill("email", "new@meridian.example").Submit("")
	if !p.Has("input", "name", "code") {
		t.Fatalf("no step-up: %d %s", p.Status, p.URL)
	}
	s.Clock.Advance(13 * time.Minute)
	p = p.Form("main").Fill("code", code(s, secret)).Submit("")
	if strings.HasPrefix(p.URL.Path, "/o/meridian/") || at(b, "meridian") {
		t.Errorf("an idle session came back with one factor: %d %s", p.Status, p.URL)
	}
}
