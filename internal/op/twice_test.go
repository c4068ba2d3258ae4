package op_test

import (
	"net/http"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// Decision 0041: a person who signs in for an application and clicks twice ends up in the
// application, which gets one redirect that works.
func TestTwoClicksForAnApplicationGiveOneRedirectThatWorks(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, s application.Settings) (*world, client, *idptest.Browser, *idptest.Form) {
		w := newWorld(t)
		app := w.register("", application.Web, s)
		b := stopping(w.Browser(t))
		return w, app, b, authorize(b, app.request()).Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password)
	}
	for how, first := range map[string]func(*idptest.Form){
		"the first answer is lost":   func(f *idptest.Form) { f.Lost("") },
		"its cookies arrive":         func(f *idptest.Form) { f.Cut("") },
		"both are under way at once": func(f *idptest.Form) { together(2, func(int) bool { f.Lost(""); return true }) },
	} {
		t.Run(how, func(t *testing.T) {
			w, app, b, form := begin(t, web())
			first(form)
			got := answer(form.Submit(""))
			if got.Get("state") != "st/ate &+1" || w.count("grants") != 1 {
				t.Fatalf("the application gets %v, %d grants", got, w.count("grants"))
			}
			if tokens := w.redeem(app, got.Get("code")); tokens.Status != http.StatusOK {
				t.Errorf("%d: %s", tokens.Status, tokens.Body)
			}
			_ = b
		})
	}

	t.Run("the redirect itself is lost", func(t *testing.T) {
		w, app, b, form := begin(t, web())
		lost := answer(form.Submit("")) // the browser never gets there
		page := form.Submit("")         // the second click
		if page.Status != http.StatusOK || answer(page) != nil || !page.Has("meta", "http-equiv", "refresh") {
			t.Fatalf("the page that waits: %d %s", page.Status, page.Text())
		}
		w.Clock.Advance(3 * time.Second)
		again := answer(b.Get(page.URL.RequestURI()))
		if again.Get("state") != "st/ate &+1" || again.Get("code") == "" || w.count("grants") != 1 {
			t.Fatalf("then %v, %d grants", again, w.count("grants"))
		}
		if tokens := w.redeem(app, lost.Get("code")); tokens.Status != http.StatusBadRequest {
			t.Errorf("the code that was lost is worth something: %d", tokens.Status)
		}
		if tokens := w.redeem(app, again.Get("code")); tokens.Status != http.StatusOK {
			t.Errorf("%d: %s", tokens.Status, tokens.Body)
		}
		wantPage(t, "once more", b.Get(page.URL.RequestURI()), http.StatusGone)
	})

	t.Run("the application has it already", func(t *testing.T) {
		s := web()
		s.Address = "https://books.example/"
		w, app, b, form := begin(t, s)
		if tokens := w.redeem(app, answer(form.Submit("")).Get("code")); tokens.Status != http.StatusOK {
			t.Fatalf("%d: %s", tokens.Status, tokens.Body)
		}
		page := form.Submit("")
		idptest.Want(t, page, idptest.Status(http.StatusOK), idptest.Link("https://books.example/"))
		if answer(page) != nil || w.count("grants") != 1 {
			t.Errorf("it gets another answer, %d grants", w.count("grants"))
		}
		other := stopping(b.Copy())
		other.SetCookie("__Host-parvis", stopping(w.Browser(t)).Cookie("__Host-parvis"))
		_ = other
	})

	t.Run("another browser, and a session that ended", func(t *testing.T) {
		w, _, b, form := begin(t, web())
		form.Submit("")
		page := form.Submit("")
		w.Clock.Advance(3 * time.Second)
		wantPage(t, "another browser", stopping(w.Browser(t)).Get(page.URL.RequestURI()), http.StatusGone)
		wantPage(t, "who is signed in elsewhere", w.ana.Get(page.URL.RequestURI()), http.StatusGone)
		b.Get("/o/meridian/home").Form("sign-out").Submit("")
		if got := answer(b.Get(page.URL.RequestURI())); got != nil {
			t.Errorf("after signing out: %v", got)
		}
	})
}

// Decision 0042: where a person was going is stored for a day, but not what they proved.
func TestARequestThatWaitedLeadsToTheStartOfItsApplication(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		address string
		after   time.Duration
		request []string
		code    bool
	}{
		"lately":                         {"https://books.example/", 14 * time.Minute, nil, true},
		"the next morning":               {"https://books.example/", 15 * time.Hour, nil, false},
		"without a start of its own":     {"", 15 * time.Hour, nil, true},
		"with prompt=login":              {"", 15 * time.Hour, []string{"prompt", "login"}, true},
		"with max_age=0":                 {"", 15 * time.Hour, []string{"max_age", "0"}, true},
		"with max_age, the next morning": {"https://books.example/", 15 * time.Hour, []string{"max_age", "60"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := web()
			s.Address = c.address
			w := newWorld(t)
			app := w.register("", application.Web, s)
			b := stopping(w.Browser(t))
			page := authorize(b, app.request(c.request...))
			w.Clock.Advance(c.after)
			page = b.Get(page.URL.RequestURI()) // as if the browser were started again
			page = page.Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")
			if got := answer(page); got.Has("code") != c.code {
				t.Fatalf("the application gets %v: %d %s", got, page.Status, page.Text())
			}
			if !c.code {
				idptest.Want(t, page, idptest.Status(http.StatusOK), idptest.Link(c.address))
			}
		})
	}
}

// Decision 0042: a proof for a request does not last as long as the request.
func TestOPR8AProofIsNotKeptWithTheRequest(t *testing.T) {
	t.Parallel()
	for _, prompt := range [][]string{{"prompt", "login"}, {"max_age", "300"}} {
		w := newWorld(t)
		app := w.register(w.org.ID, application.Web, asking())
		b := stopping(w.Browser(t))
		page := authorize(b, app.request(prompt...)).Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")
		idptest.Want(t, page, idptest.Path("/authorize/consent")) // asked at 09:00, proved at 09:00
		w.Clock.Advance(20 * time.Hour)
		resumed := b.Get("/authorize/resume?" + page.URL.RawQuery)
		if answer(resumed) != nil || !resumed.Form("main").Values.Has("password") {
			t.Errorf("%v the next day: %d %s", prompt, resumed.Status, resumed.URL)
		}
	}
}

func asking() application.Settings {
	s := web()
	s.Asks = true
	return s
}

// At most twenty requests wait in a browser.
func TestTwentyRequestsWaitInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.books()
	b := stopping(w.Browser(t))
	first := authorize(b, app.request())
	for range 24 {
		w.Clock.Advance(time.Second)
		authorize(b, app.request())
	}
	if n := w.count("authorization_requests"); n != 20 {
		t.Errorf("%d requests are kept", n)
	}
	idptest.Want(t, b.Get(first.URL.RequestURI()), idptest.Status(http.StatusGone))
	_ = directory.Member
}
