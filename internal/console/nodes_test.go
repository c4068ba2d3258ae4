package console_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// One node begins, another continues, and a third, started after that, finishes.
func TestAnotherNodeAndARestartInTheMiddleOfAJourney(t *testing.T) {
	t.Parallel()
	on := func(node *idptest.Server, b *idptest.Browser) *idptest.Browser {
		c := node.Browser(t)
		c.SetCookie("__Host-parvis", b.Cookie("__Host-parvis"))
		return c
	}
	const email = "member@alpha.example"
	for name, journey := range map[string]func(t *testing.T, w *world, second *idptest.Server, restart func() *idptest.Server){
		"forgotten organization": func(t *testing.T, w *world, second *idptest.Server, restart func() *idptest.Server) {
			seen(t, w.Browser(t).Get("/forgot-organization").Form("main").Fill("email", email).Submit(""), 200)
			link := second.Link(t, email, "/o/alpha")
			p := restart().Browser(t).Get(link).Form("main").Fill("email", email).Fill("password", idptest.Password).Submit("")
			if p.URL.Path != "/o/alpha/home" {
				t.Errorf("the link leads to %s (%d)", p.URL, p.Status)
			}
			w.LettersTo(t, email) // the first node sweeps too
			names := 0
			for _, l := range slices.Concat(w.Mail.Letters(), second.Mail.Letters()) {
				if l.To == email && strings.Contains(l.Subject, idptest.Sentence(t, "mail.names.subject")) {
					names++
				}
			}
			if names != 1 {
				t.Errorf("%d letters name the organization", names)
			}
		},
		"not me": func(t *testing.T, w *world, second *idptest.Server, restart func() *idptest.Server) {
			thief, _ := w.signIn(t, email, idptest.Password)
			var link string // to the first node, though the second one sent it
			for _, l := range second.LettersTo(t, email) {
				for _, address := range l.Links {
					if path, ok := strings.CutPrefix(address, w.URL); ok && strings.HasPrefix(path, "/not-me/") {
						link = path
					}
				}
			}
			form := second.Browser(t).Get(link).Form("main")
			last := restart()
			seen(t, last.Browser(t).Post(link, form.Values), 200)
			if p := form.Submit(""); p.Status != 410 {
				t.Errorf("the second node does not know: %d", p.Status)
			}
			if at(thief, "alpha") || at(on(second, thief), "alpha") || at(w.alpha.browsers[directory.Member], "alpha") {
				t.Error("a session lives on")
			}
			if _, p := w.signIn(t, email, idptest.Password); p.Status != 422 {
				t.Errorf("the password still opens: %d", p.Status)
			}
		},
		"password rules between what would change and saving": func(t *testing.T, w *world, second *idptest.Server, restart func() *idptest.Server) {
			b := w.alpha.browsers[directory.Owner]
			review := seen(t, on(second, b).Get(passwordRules).Form("main").Fill("history", "4").Submit("review"), 200)
			if w.passwordRules(t, w.alpha.ID).History != 10 {
				t.Fatal("looking saved it")
			}
			form := review.Form("main").Values
			last := restart()
			seen(t, on(last, b).Post(passwordRules, form), 200)
			for _, node := range []*idptest.Server{w.Server, second, last} {
				if got := on(node, b).Get(passwordRules).Form("main").Values.Get("history"); got != "4" {
					t.Errorf("a node says %s", got)
				}
			}
			if n := w.passwordRules(t, w.beta.ID).History; n != 10 {
				t.Errorf("beta's history is %d", n)
			}
		},
		"a short name that changes under an open form": func(t *testing.T, w *world, second *idptest.Server, restart func() *idptest.Server) {
			member := w.alpha.browsers[directory.Member]
			form := member.Get("/o/alpha/account").Form("main").Fill("name", "Typed Before")
			owner := on(second, w.alpha.browsers[directory.Owner])
			seen(t, owner.Get(organizationPath).Form("main").Fill("short_name", "North-Star").Submit(""), 200)
			last := restart()
			p := seen(t, on(last, member).Post("/o/alpha/account", form.Values), 200)
			if p.URL.Path != "/o/North-Star/account" || p.Form("main").Values.Get("name") != "Typed Before" {
				t.Errorf("the form leads to %s: %v", p.URL, p.Form("main").Values)
			}
			for _, node := range []*idptest.Server{w.Server, second, last} {
				if p := on(node, member).Get("/o/alpha/home"); p.URL.Path != "/o/North-Star/home" || !p.Says("Typed Before") {
					t.Errorf("the old name leads to %s: %s", p.URL, p.Text())
				}
			}
			stranger := w.Browser(t)
			stranger.Get("/o/alpha")
			if p := stranger.Post("/o/alpha", url.Values{"email": {email}, "password": {idptest.Password}}); p.URL.Path != "/o/North-Star/home" {
				t.Errorf("signing in with the old name at the first node: %d %s", p.Status, p.URL)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			second := idptest.StartOn(t, w.DB, w.Clock, w.Keys)
			journey(t, w, second, func() *idptest.Server { return idptest.StartOn(t, w.DB, w.Clock, w.Keys) })
		})
	}
}
