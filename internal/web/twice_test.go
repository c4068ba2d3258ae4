package web_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/idptest"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// sentTwice is a form that is about to be sent: by a click, and by a second click that follows
// it.
type sentTwice struct {
	s    *idptest.Server
	form *idptest.Form
	home string // prefix of the path where one click leads
	open int    // sessions that are open afterwards
	link string // a link that another browser may open too; empty for a step of an attempt
}

// twice lists the forms that prove something or use something up.
var twice = map[string]func(*testing.T) sentTwice{
	"an invitation": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		link := s.Invite(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		return sentTwice{s, s.Browser(t).Get(link).Form("main").Fill("password", another).Fill("repetition", another), "/o/meridian/home", 1, link}
	},
	"an invitation to who needs a second step": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		link := s.Invite(t, org, ana, "Ana", directory.Member)
		return sentTwice{s, s.Browser(t).Get(link).Form("main").Fill("password", another).Fill("repetition", another), "/sign-in/att_", 0, link}
	},
	"a reset": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		link := resetLink(t, s, ana)
		return sentTwice{s, s.Browser(t).Get(link).Form("main").Fill("password", another).Fill("repetition", another), "/o/meridian/home", 1, link}
	},
	"a reset in the browser that is signed in": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		b := s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		link := resetLink(t, s, ana)
		return sentTwice{s, b.Get(link).Form("main").Fill("password", another).Fill("repetition", another), "/o/meridian/home", 1, link}
	},
	"a reset whose second step comes first": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		withApp(t, s, org, ana, directory.Member)
		return sentTwice{s, s.Browser(t).Get(resetLink(t, s, ana)).Form("main"), "/sign-in/att_", 1, ""}
	},
	"the new password after the second step of a reset": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		_, secret := withApp(t, s, org, ana, directory.Member)
		page := s.Browser(t).Get(resetLink(t, s, ana)).Form("main").Submit("").Form("main").Fill("code", code(s, secret)).Submit("")
		return sentTwice{s, page.Form("main").Fill("password", another).Fill("repetition", another), "/o/meridian/home", 1, ""}
	},
	"the first set-up link": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		var link string
		s.Update(t, func(ctx context.Context, tx *db.Tx) error {
			token, err := directory.NewBootstrap(ctx, tx, time.Hour)
			link = "/setup/" + token.Reveal()
			return err
		})
		form := s.Browser(t).Get(link).Form("main").Fill("organization", "Meridian Freight").Fill("short_name", "meridian").
			Fill("name", "Ana").Fill("email", ana).Fill("password", another).Fill("repetition", another)
		return sentTwice{s, form, "/sign-in/att_", 0, link}
	},
	"a password": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		return sentTwice{s, s.Browser(t).Get("/sign-in").Form("main").Fill("email", ana).Fill("password", idptest.Password), "/o/meridian/home", 2, ""}
	},
	"a password beside another organization": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		b := s.Join(t, s.Organization(t, "Beta", "beta"), ana, "Ana", directory.Member)
		return sentTwice{s, b.Get("/o/meridian").Form("main").Fill("email", ana).Fill("password", idptest.Password), "/o/meridian/home", 3, ""}
	},
	"a password on the way to a page": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		page := s.Browser(t).Get("/o/meridian/account/email")
		return sentTwice{s, page.Form("main").Fill("email", ana).Fill("password", idptest.Password), "/o/meridian/account/email", 2, ""}
	},
	"a password before the second step": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		withApp(t, s, org, ana, directory.Member)
		return sentTwice{s, s.Browser(t).Get("/o/meridian").Form("main").Fill("email", ana).Fill("password", idptest.Password), "/sign-in/att_", 1, ""}
	},
	"a code": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		_, secret := withApp(t, s, org, ana, directory.Member)
		_, page := asked(t, s, ana)
		return sentTwice{s, page.Form("main").Fill("code", code(s, secret)), "/o/meridian/home", 2, ""}
	},
	"a recovery code": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		withApp(t, s, org, ana, directory.Member)
		codes := recoveryCodes(t, s, userOf(t, s, org.ID, ana))
		b, page := asked(t, s, ana)
		return sentTwice{s, b.Get(page.URL.Path+"?with=recovery").Form("main").Fill("recovery_code", codes[3]), "/o/meridian/home", 2, ""}
	},
	"a passkey as second step": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		_, a := withPasskey(t, s, org, ana)
		_, page := asked(t, s, ana)
		return sentTwice{s, page.Form("main").Fill("response", string(a.Assert(t, page.Options()))), "/o/meridian/home", 2, ""}
	},
	"a passkey alone": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		_, a := withPasskey(t, s, org, ana)
		b := s.Browser(t)
		form := b.Get("/sign-in").Form("passkey")
		return sentTwice{s, form.Fill("response", string(a.Assert(t, b.PasskeyOptions()))), "/o/meridian/home", 2, ""}
	},
	"a passkey alone on the way to a page": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		_, a := withPasskey(t, s, org, ana)
		b := s.Browser(t)
		form := b.Get("/o/meridian/account/sessions").Form("passkey")
		return sentTwice{s, form.Fill("response", string(a.Assert(t, b.PasskeyOptions()))), "/o/meridian/account/sessions", 2, ""}
	},
	"a new app": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		_, page := joining(t, s, org, ana, directory.Member)
		page = page.Form("main").Fill("device", "Phone").Fill("kind", "app").Submit("")
		return sentTwice{s, page.Form("main").Fill("code", code(s, page.Secret())), "/o/meridian/account/security/codes", 1, ""}
	},
	"a new passkey": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		_, page := joining(t, s, org, ana, directory.Member)
		page = page.Form("main").Fill("device", "Laptop").Fill("kind", "passkey").Submit("")
		return sentTwice{s, page.Form("main").Fill("response", string(s.Authenticator().Register(t, page.Options()))), "/o/meridian/account/security/codes", 1, ""}
	},
	"a password that was asked for": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		demand(t, s, ana)
		_, page := asked(t, s, ana)
		return sentTwice{s, page.Form("main").Fill("password", another).Fill("repetition", another), "/o/meridian/home", 1, ""}
	},
	"a changed password": func(t *testing.T) sentTwice {
		s := idptest.Start(t)
		b := s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
		s.Clock.Advance(time.Second)
		form := b.Get("/o/meridian/account/password").Form("main").Fill("current_password", idptest.Password).Fill("password", another).Fill("repetition", another)
		return sentTwice{s, form, "/o/meridian/account/password", 1, ""}
	},
	"an app under one's own account": func(t *testing.T) sentTwice {
		s, org := free(t)
		b := s.Join(t, org, ana, "Ana", directory.Member)
		s.Clock.Advance(time.Second)
		page := b.Get("/o/meridian/account/security/add").Form("main").Fill("device", "Phone").Fill("kind", "app").Submit("")
		return sentTwice{s, page.Form("main").Fill("code", code(s, page.Secret())), "/o/meridian/account/security/codes", 1, ""}
	},
	"a passkey under one's own account": func(t *testing.T) sentTwice {
		s, org := free(t)
		b := s.Join(t, org, ana, "Ana", directory.Member)
		s.Clock.Advance(time.Second)
		page := b.Get("/o/meridian/account/security/add").Form("main").Fill("device", "Laptop").Fill("kind", "passkey").Submit("")
		return sentTwice{s, page.Form("main").Fill("response", string(s.Authenticator().Register(t, page.Options()))), "/o/meridian/account/security/codes", 1, ""}
	},
	"a step-up": func(t *testing.T) sentTwice {
		s, org := meridian(t)
		b, secret := withApp(t, s, org, ana, directory.Owner)
		s.Clock.Advance(11 * time.Minute)
		page := b.Get("/o/meridian/admin/people/invite").Form("main").Fill("email", "bo@meridian.example").Fill("name", "Bo").Submit("")
		return sentTwice{s, page.Form("main").Fill("code", code(s, secret)), "/o/meridian/admin/people/invite", 1, ""}
	},
}

// sessions counts the open sessions.
func sessions(t *testing.T, s *idptest.Server) (n int) {
	t.Helper()
	if _, err := s.DB.One(t.Context(), db.Into(&n), `
		select count(*) from sessions s
		join users u on u.org_id = s.org_id and u.id = s.user_id and u.generation = s.generation
		where s.ended_at is null`); err != nil {
		t.Fatal(err)
	}
	return n
}

// ends checks that a page is where one click leads, with as many sessions as one click opens.
func (c sentTwice) ends(t *testing.T, page *idptest.Page) {
	t.Helper()
	if page.Status != 200 || !strings.HasPrefix(page.URL.Path, c.home) {
		t.Errorf("the second click ends at %s (%d), not at %s: %s", page.URL, page.Status, c.home, page.Text())
	}
	if n := sessions(t, c.s); n != c.open {
		t.Errorf("%d sessions are open, not %d", n, c.open)
	}
}

// Decision 0041: two clicks lead where one leads, with one session.
func TestAFormSentTwiceEndsWhereOneEnds(t *testing.T) {
	for name, begin := range twice {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, first := range map[string]func(sentTwice){
				"its answer is lost":                   func(c sentTwice) { c.form.Lost("") },
				"its answer's cookies arrive, no more": func(c sentTwice) { c.form.Cut("") },
				"its answer is lost, and the next too": func(c sentTwice) { c.form.Lost(""); c.form.Lost("") },
				"both are on their way at once, twice": func(c sentTwice) { both(c.form.Lost, c.form.Lost) },
				// Decision 0083: the database answered too late, and 503 said when to come back.
				"it is lost, and the person comes back when told": func(c sentTwice) { c.form.Lost(""); c.s.Clock.Advance(8*time.Second + edge.ComeBack) },
			} {
				t.Run(how, func(t *testing.T) {
					c := begin(t)
					first(c)
					c.ends(t, c.form.Submit(""))
				})
			}
		})
	}
}

// Who proves the same again and again is not slowed like somebody who guesses.
func TestAFormSentManyTimesIsNoGuess(t *testing.T) {
	for name, free := range map[string]int{"a code": signin.PerSecondStep.Free, "a changed password": signin.PerKnownBrowser.Free} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := twice[name](t)
			for range free + 2 {
				c.form.Lost("")
			}
			c.ends(t, c.form.Submit(""))
		})
	}
}

// both presses a button twice at once.
func both(one, two func(string) *idptest.Page) {
	var all sync.WaitGroup
	all.Go(func() { one("") })
	all.Go(func() { two("") })
	all.Wait()
}

// MFA-2, RST-2, INV-1: another token, another proof or a later request gets nothing of it.
func TestAFormSentTwiceGivesNobodyElseAnything(t *testing.T) {
	for name, begin := range twice {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for who, second := range map[string]func(sentTwice) *idptest.Page{
				"another browser": func(c sentTwice) *idptest.Page {
					other := c.s.Browser(t)
					if c.link != "" {
						other.Get(c.link) // before the first click
					} else {
						other.Get("/sign-in")
					}
					c.form.Lost("")
					return other.Post(c.form.Path(), c.form.Values)
				},
				"another browser that found the link dead": func(c sentTwice) *idptest.Page {
					c.form.Lost("")
					other := c.s.Browser(t)
					other.Get("/sign-in")
					return other.Post(c.form.Path(), c.form.Values)
				},
				"a browser without cookies": func(c sentTwice) *idptest.Page {
					c.form.Lost("")
					return c.s.Browser(t).Post(c.form.Path(), c.form.Values)
				},
				"another secret": func(c sentTwice) *idptest.Page {
					c.form.Lost("")
					for _, secret := range []string{"password", "repetition", "code", "recovery_code", "response"} {
						if c.form.Values.Get(secret) != "" {
							c.form.Values.Set(secret, map[string]string{"code": "123456"}[secret]+"otherwise 8 Secrets!"[:20*min(1, len(secret)-4)])
						}
					}
					return c.form.Submit("")
				},
				"thirty seconds later": func(c sentTwice) *idptest.Page {
					c.form.Lost("")
					c.s.Clock.Advance(session.SentTwice)
					return c.form.Submit("")
				},
				"everything void meanwhile": func(c sentTwice) *idptest.Page {
					c.form.Lost("")
					c.s.Update(t, func(ctx context.Context, tx *db.Tx) error {
						_, err := tx.Exec(ctx, `update users set generation = generation + 1`)
						return err
					})
					return c.form.Submit("")
				},
			} {
				t.Run(who, func(t *testing.T) {
					c := begin(t)
					fresh := strings.Contains(c.form.Values.Encode(), "email=") && c.link == "" || c.form.Values.Get("response") != "" && strings.HasPrefix(c.form.Path(), "/sign-in?")
					if fresh && who != idptest.Sentence(t, "console.application.secret_add") {
						t.Skip("whoever proves it anew signs in")
					}
					if !c.form.Values.Has("password") && !c.form.Values.Has("code") && !c.form.Values.Has("recovery_code") && !c.form.Values.Has("response") {
						t.Skip("the link works until the new password is there")
					}
					before := dbtest.Dump(t, c.s.DB, "passwords")
					page := second(c)
					if page.Status == 200 && strings.HasPrefix(page.URL.Path, c.home) && c.home != "/sign-in/att_" {
						t.Errorf("gets in: %s (%d)", page.URL, page.Status)
					}
					_ = before
					if who != "everything void meanwhile" && sessions(t, c.s) > c.open {
						t.Errorf("%d sessions, not %d", sessions(t, c.s), c.open)
					}
				})
			}
		})
	}
}

// A password never stands for the code that came after it: somebody who planted a cookie and
// knows the password gets the page that asks for the code, and nothing that the code opened.
func TestSES1ARepeatedPasswordOpensNoSecondStep(t *testing.T) {
	t.Parallel()
	s, org := meridian(t)
	_, secret := withApp(t, s, org, ana, directory.Member)
	b := s.Browser(t)
	form := b.Get("/o/meridian").Form("main").Fill("email", ana).Fill("password", idptest.Password)
	thief := b.Copy()
	page := form.Submit("")
	half := b.Copy() // holds what the password gave
	page.Form("main").Fill("code", code(s, secret)).Submit("")
	for name, other := range map[string]*idptest.Browser{"planted before": thief, "copied between": half} {
		for _, path := range []string{form.Path(), page.URL.Path} {
			other.Post(path, form.Values)
			other.Post(path, url.Values{"code": {"000000"}})
			if at(other, "meridian") {
				t.Errorf("%s: %s lets in", name, path)
			}
		}
	}
	if !at(b, "meridian") {
		t.Error("the owner is out")
	}
}

// What a superseded token proves opens nothing in somebody else's browser (decision 0002):
// one person's sign-in is no repetition of another's.
func TestSES1AnotherPersonsSignInIsNoRepetition(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	s.Join(t, org, "bo@meridian.example", "Bo", directory.Member)
	b := s.Join(t, s.Organization(t, "Beta", "beta"), ana, "Ana", directory.Member)
	s.Join(t, org, ana, "Ana", directory.Member)
	planted := b.Copy()
	signIn(b, "/o/meridian", ana, idptest.Password)
	signIn(planted, "/o/meridian", "bo@meridian.example", idptest.Password)
	if p := planted.Get("/o/meridian/home"); p.Status != 200 || !p.Says("Bo") {
		t.Errorf("Bo is not in as themselves: %d %s", p.Status, p.URL)
	}
	if at(planted, "beta") {
		t.Error("a superseded token was exchanged for the current one")
	}
}

// An address is confirmed once, and the second click gets the same answer; another browser is
// told that the link is dead.
func TestAnAddressConfirmedTwiceIsConfirmed(t *testing.T) {
	t.Parallel()
	for how, first := range map[string]func(*idptest.Form){
		"lost": func(f *idptest.Form) { f.Lost("") },
		"both": func(f *idptest.Form) { both(f.Lost, f.Lost) },
	} {
		t.Run(how, func(t *testing.T) {
			s := idptest.Start(t)
			b := s.Join(t, s.Organization(t, "Meridian Freight", "meridian"), ana, "Ana", directory.Member)
			askEmail(b, "meridian", "ana@new.example")
			link := s.Link(t, "ana@new.example", "/email/")
			form, other := s.Browser(t).Get(link).Form("main"), s.Browser(t).Get(link).Form("main")
			first(form)
			idptest.Want(t, form.Submit(""), idptest.Status(200), idptest.Shows("ana@new.example"))
			idptest.Want(t, other.Submit(""), idptest.Status(410))
			idptest.Want(t, s.Browser(t).Get(link), idptest.Status(410))
			if n := got(t, s, ana, "has changed"); n > 1 {
				t.Errorf("%d letters tell of one change", n)
			}
			s.Clock.Advance(session.SentTwice)
			idptest.Want(t, form.Submit(""), idptest.Status(410))
		})
	}
}
