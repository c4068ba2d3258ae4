package web_test

import (
	"net/url"
	"strings"
	"testing"

	"parvis/internal/idptest"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// A cookie that was copied just before its browser's token changed still reads pages for half a
// minute. It must not benefit from what the person proved recently: it would change their
// address.
func TestSES1SupersededTokenProvesNothingFresh(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	copied := b.Copy()
	s.Clock.Advance(session.SentTwice) // so that what follows is no second click
	// The token changes; the session in alpha stays as it is.
	idptest.Want(t, signIn(b, "/sign-in", "bea@beta.example", idptest.Password), idptest.Path("/o/beta/home"))
	idptest.Want(t, copied.Get("/o/alpha/account"), idptest.Path("/o/alpha/account"))
	for path, form := range map[string]url.Values{
		"/o/alpha/account/email":       {"email": {"mallory@evil.example"}},
		"/o/alpha/account/sessions":    {"do": {"others"}, "id": {""}},
		"/o/alpha/admin/organization":  {"organization": {"Evil Inc"}, "people_language": {"en"}},
		"/o/alpha/admin/people/invite": {"email": {"mallory@evil.example"}, "name": {"Mallory"}, "role": {"owner"}, "invited_language": {"en"}},
	} {
		idptest.Want(t, b.Get(path), idptest.Path(path)) // the current token may open it
		if p := copied.Post(path, form); !strings.HasPrefix(p.URL.Path, "/sign-in/") {
			t.Errorf("the superseded token, which proves nothing, is at %s (%d): %s", p.URL, p.Status, p.Text())
		}
	}
	if n := len(s.LettersTo(t, "mallory@evil.example")); n != 0 {
		t.Errorf("the superseded token had %d letters sent", n)
	}
}

// Once a copied cookie was noticed, no token finds its browser again, not even the current one:
// the thief may hold that one, and with it an attempt that is half done.
func TestSES6NoTokenFindsABrowserWhoseCookieWasCopied(t *testing.T) {
	t.Parallel()
	s, b := company(t)
	demand(t, s, "bea@beta.example") // so that signing in has a second step
	copied := b.Copy()
	s.Clock.Advance(session.SentTwice) // so that what follows is no second click
	step := signIn(b, "/sign-in", "bea@beta.example", idptest.Password)
	idptest.Want(t, step, idptest.Field("repetition"))
	s.Clock.Advance(session.Superseded)
	copied.Get("/o/alpha/home")
	idptest.Want(t, b.Get(step.URL.Path), idptest.NoField("repetition"))
	for name, shown := range map[string]*idptest.Browser{"the current token": b, "the one that was copied": copied} {
		if _, found, err := s.Site.Sessions.BrowserOf(t.Context(), s.DB, secret.ParseToken(shown.Cookie(token)), s.Clock.Now()); found || err != nil {
			t.Errorf("%s finds the browser: %v, %v", name, found, err)
		}
	}
}
