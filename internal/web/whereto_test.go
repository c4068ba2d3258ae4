package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// Decision 0042: a sign-in page that is older than its attempt continues to where the person
// was going, with the address that they typed.
func TestASignInPageGoesOn(t *testing.T) {
	t.Parallel()
	const path = "/o/meridian/account/sessions"
	for name, after := range map[string]time.Duration{"in time": time.Minute, "after lunch": time.Hour, "the next morning": 23 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := idptest.Start(t, idptest.Named)
			org := s.Organization(t, "Meridian Freight", "meridian")
			s.Join(t, org, ana, "Ana", directory.Member)

			t.Run("sent as it stands", func(t *testing.T) {
				form := s.Browser(t).Get(path).Form("main").Fill("email", ana)
				s.Clock.Advance(after)
				page := form.Fill("password", "wrong").Submit("")
				idptest.Want(t, page, idptest.Status(422), idptest.Input("email", ana))
				idptest.Want(t, page.Form("main").Fill("password", idptest.Password).Submit(""), idptest.Status(200), idptest.Path(path))
			})
			t.Run("opened again", func(t *testing.T) {
				b := s.Browser(t)
				page := b.Get(path)
				s.Clock.Advance(after)
				page = b.Get(page.URL.Path)
				if after > signin.AttemptLifetime {
					idptest.Want(t, page, idptest.Says("web.sign_in.was_away"))
				}
				idptest.Want(t, page.Form("main").Fill("email", ana).Fill("password", idptest.Password).Submit(""), idptest.Status(200), idptest.Path(path))
				idptest.Want(t, b.Get(page.URL.Path), idptest.Status(200), idptest.Path(path)) // the back button
			})
			t.Run("signed in meanwhile in another tab", func(t *testing.T) {
				b := s.Browser(t)
				page := b.Get(path)
				s.Clock.Advance(after)
				signIn(b, "/o/meridian", ana, idptest.Password)
				if page = b.Get(page.URL.Path); after > signin.AttemptLifetime {
					idptest.Want(t, page, idptest.Status(200), idptest.Path(path))
				}
			})
			t.Run("in another browser", func(t *testing.T) {
				page := s.Browser(t).Get(path)
				s.Clock.Advance(after)
				idptest.Want(t, s.Browser(t).Get(page.URL.Path), idptest.Status(410))
			})
		})
	}
}

// What was proved does not last: the page of a second step asks for the first again, with the
// address filled in, and an old code signs in nobody.
func TestASecondStepThatWaitedBeginsAnew(t *testing.T) {
	t.Parallel()
	const path = "/o/meridian/account/sessions"
	s, org := meridian(t)
	_, secret := withApp(t, s, org, ana, directory.Member)
	b := s.Browser(t)
	page := b.Get(path).Form("main").Fill("email", ana).Fill("password", idptest.Password).Submit("")
	s.Clock.Advance(signin.AttemptLifetime)
	page = page.Form("main").Fill("code", code(s, secret)).Submit("")
	idptest.Want(t, page, idptest.Status(200), idptest.Input("email", ana), idptest.Says("web.sign_in.was_away"))
	if at(b, "meridian") {
		t.Fatal("an expired proof opens")
	}
	page = page.Form("main").Fill("password", idptest.Password).Submit("")
	if page.URL.Path == "/o/meridian/home" || !page.Form("main").Values.Has("code") {
		t.Fatalf("%d %s: %s", page.Status, page.URL, page.Text())
	}
	idptest.Want(t, page.Form("main").Fill("code", code(s, secret)).Submit(""), idptest.Status(200), idptest.Path(path))
}

// A step-up that waited too long leads to its page, where the form is sent again; what was
// typed is not kept so long.
func TestAStepUpThatWaitedLeadsToItsPage(t *testing.T) {
	t.Parallel()
	const path = "/o/meridian/admin/people/invite"
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Owner)
	s.Clock.Advance(11 * time.Minute)
	page := b.Get(path).Form("main").Fill("email", "bo@meridian.example").Fill("name", "Bo").Submit("")
	s.Clock.Advance(16 * time.Minute)
	back := b.Get(page.URL.Path)
	idptest.Want(t, back, idptest.Status(200), idptest.Path(path), idptest.Input("email", ""))
	back = page.Form("main").Fill("password", idptest.Password).Submit("")
	idptest.Want(t, back, idptest.Status(200), idptest.Path(path))
	idptest.Want(t, back.Form("main").Fill("email", "bo@meridian.example").Fill("name", "Bo").Submit(""), idptest.Status(200))
	if n := len(s.LettersTo(t, "bo@meridian.example")); n != 1 {
		t.Errorf("%d invitations", n)
	}
}

// What is kept for a day is where to go: twenty of them in a browser, and neither what was
// proved nor what was typed.
func TestOnlyWhereToGoIsKept(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Owner)
	demand(t, s, ana)
	b, page := asked(t, s, ana)
	b.Post("/o/meridian/account", url.Values{"name": {"Typed by somebody"}})
	for range 30 {
		b.Get("/o/meridian/account/sessions")
		s.Clock.Advance(time.Second)
	}
	var n int
	if _, err := s.DB.One(t.Context(), db.Into(&n), `select count(*) from attempts`); err != nil || n != signin.MostWhereTo {
		t.Errorf("%d attempts are kept: %v", n, err)
	}
	s.Clock.Advance(time.Hour)
	if err := s.Site.SignIn.Sweep(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
	if rows := dbtest.Dump(t, s.DB, "attempts"); strings.Contains(rows, "password@") {
		t.Errorf("what was proved is kept:\n%s", rows)
	}
	s.Clock.Advance(signin.WhereToLasts)
	if err := s.Site.SignIn.Sweep(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
	if rows := dbtest.Dump(t, s.DB, "attempts"); strings.Contains(rows, "att_") {
		t.Errorf("a day later:\n%s", rows)
	}
	_ = page
}
