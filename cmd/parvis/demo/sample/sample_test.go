package sample_test

import (
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"parvis/cmd/parvis/demo/sample"
	"parvis/internal/expect"
	"parvis/internal/federation/providertest"
)

// --- Applications, and a browser ----------------------------------------------

// open listens before the handler is known: a provider must know the addresses of applications,
// and they must know its own.
func open(t *testing.T) (address string, answer func(http.Handler)) {
	t.Helper()
	var h http.Handler
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	return s.URL, func(given http.Handler) { h = given }
}

func newSample(t *testing.T, kind, address, issuer string) http.Handler {
	t.Helper()
	h, err := sample.New(sample.Options{
		Kind: kind, Name: "Sample " + kind, Address: address, Issuer: issuer, ClientID: kind, ClientSecret: "secret of " + kind,
		Client: &http.Client{Timeout: 10 * time.Second}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// foreign runs both applications with a provider that we did not write.
func foreign(t *testing.T) (collaborate, architect string) {
	t.Helper()
	var clients []map[string]any
	addresses, answer := map[string]string{}, map[string]func(http.Handler){}
	for _, kind := range []string{"collaborate", "architect"} {
		at, set := open(t)
		addresses[kind], answer[kind] = at, set
		clients = append(clients, map[string]any{
			"client_id": kind, "client_secret": "secret of " + kind, "grant_types": []string{"authorization_code", "refresh_token"},
			"redirect_uris": []string{at + "/callback"}, "post_logout_redirect_uris": []string{at + "/signed-out"},
			"backchannel_logout_uri": at + "/backchannel-logout", "backchannel_logout_session_required": true,
		})
	}
	p := providertest.Start(t, providertest.Options{Clients: clients, Accounts: map[string]map[string]any{
		"ana": {
			"name": "Ana <Duarte>", "email": "ana@meridian.example", "email_verified": true, "locale": "fr",
			"org": map[string]any{"id": "org_1", "short_name": "meridian", "name": "Meridian Freight"}, "groups": []string{"planners"},
		},
		"bo": {"email": "bo@meridian.example"},
	}})
	for kind, set := range answer {
		set(newSample(t, kind, addresses[kind], p.Issuer))
	}
	return addresses["collaborate"], addresses["architect"]
}

// browser keeps cookies, follows redirects itself, and signs in as account when a provider
// asks.
type browser struct {
	http.Client
	account string
}

func newBrowser(t *testing.T, account string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, account}
}

// answered is what came back.
type answered struct {
	status int
	at     string
	header http.Header
	body   string
}

func (b *browser) do(t *testing.T, address string, form url.Values) answered {
	t.Helper()
	return b.from(t, "", address, form)
}

// from sends a request as a page of another site does, if site is cross-site.
func (b *browser) from(t *testing.T, site, address string, form url.Values) answered {
	t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
	}
	w, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{w.StatusCode, address, w.Header, string(text)}
}

func (b *browser) cookies(t *testing.T, address string) []*http.Cookie {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return b.Jar.Cookies(u)
}

func (b *browser) keep(t *testing.T, address string, cookies []*http.Cookie) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cookies {
		c.Path = "/"
	}
	b.Jar.SetCookies(u, cookies)
}

// leaving matches the provider's form for somebody who signs out, or signs in as somebody else.
var leaving = regexp.MustCompile(`(?s)action="([^"]+)">.*?name="xsrf" value="([^"]+)"`)

// visit follows an address, through the provider's forms, to a page, or until it is redirected
// to an address that begins with one of before, which it does not open.
func (b *browser) visit(t *testing.T, address string, form url.Values, before ...string) answered {
	t.Helper()
	for range 20 {
		a := b.do(t, address, form)
		next := a.header.Get("Location")
		switch form = nil; {
		case next != "":
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if u, err = u.Parse(next); err != nil {
				t.Fatal(err)
			}
			address = u.String()
			for _, stop := range before {
				if strings.HasPrefix(address, stop) {
					return answered{at: address}
				}
			}
		case strings.Contains(address, "/interaction/"):
			form = url.Values{"account": {b.account}}
		case leaving.MatchString(a.body):
			m := leaving.FindStringSubmatch(a.body)
			address, form = m[1], url.Values{"xsrf": {m[2]}, "logout": {"yes"}}
		default:
			return a
		}
	}
	t.Fatalf("it never ends: %s", address)
	return answered{}
}

func (a answered) wants(t *testing.T, status int, at string, said ...string) {
	t.Helper()
	if a.status != status || at != "" && a.at != at {
		t.Fatalf("%d at %s, want %d at %s\n%s", a.status, a.at, status, at, a.body)
	}
	for _, s := range said {
		if !strings.Contains(a.body, s) {
			t.Errorf("it does not say %q:\n%s", s, a.body)
		}
	}
}

// leadsAway reports whether somebody has no session here: the page leads to the provider.
func (b *browser) leadsAway(t *testing.T, address string) bool {
	t.Helper()
	return b.do(t, address, nil).status == http.StatusSeeOther
}

// edited returns an address with one parameter set, or without it if value is empty.
func edited(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Set(name, value); value == "" {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// --- With the foreign provider --------------------------------------------------

func TestALinkIntoTheApplicationComesBackToItsVeryPage(t *testing.T) {
	app, other := foreign(t)
	b := newBrowser(t, "ana")
	a := b.visit(t, app+"/documents/7?page=2", nil)
	// Her language is French, and her name is text.
	a.wants(t, http.StatusOK, app+"/documents/7?page=2", "Compte rendu", "Ana &lt;Duarte&gt;", "ana@meridian.example",
		"Meridian Freight (<code>meridian</code>)", "<code>pwd</code>", "<code>planners</code>")
	policy := a.header.Get("Content-Security-Policy")
	expect.Equal(t, "Cache-Control", a.header.Get("Cache-Control"), "no-store")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("headers are %v", a.header)
	}
	b.account = "" // the provider no longer asks anything, not even for the second application
	b.visit(t, other+"/boards/plan", nil).wants(t, http.StatusOK, other+"/boards/plan", "Sample architect")
	b.visit(t, app+"/check", nil).wants(t, http.StatusOK, app+"/", "toujours ouverte")
}

func TestTwoTabsMayBeOnTheirWayAtOnce(t *testing.T) {
	app, _ := foreign(t)
	b := newBrowser(t, "ana")
	first := b.do(t, app+"/documents/7", nil).header.Get("Location")
	second := b.do(t, app+"/boards/plan", nil).header.Get("Location")
	b.visit(t, second, nil).wants(t, http.StatusOK, app+"/boards/plan")
	b.visit(t, first, nil).wants(t, http.StatusOK, app+"/documents/7")
}

func TestRPO2AnAnswerIsTakenOnceByTheBrowserThatAsked(t *testing.T) {
	app, _ := foreign(t)
	b, stranger := newBrowser(t, "ana"), newBrowser(t, "bo")
	back := b.visit(t, app+"/calendar", nil, app+"/callback")
	stranger.visit(t, back.at, nil).wants(t, http.StatusBadRequest, "", "unknown_state")
	b.visit(t, edited(t, back.at, "state", "MADEUP"), nil).wants(t, http.StatusBadRequest, "", "unknown_state")
	b.visit(t, edited(t, back.at, "state", ""), nil).wants(t, http.StatusBadRequest, "", "unknown_state")
	kept := b.cookies(t, app)
	b.visit(t, back.at, nil).wants(t, http.StatusOK, app+"/calendar") // none of that used it up
	b.visit(t, back.at, nil).wants(t, http.StatusBadRequest, "", "unknown_state")
	b.keep(t, app, kept)
	b.visit(t, back.at, nil).wants(t, http.StatusBadRequest, "", "unknown_state")
}

func TestRPO2TheIDTokenAnswersThisVeryRequest(t *testing.T) {
	app, _ := foreign(t)
	b := newBrowser(t, "ana")
	to := b.do(t, app+"/calendar", nil).header.Get("Location")
	b.visit(t, edited(t, to, "nonce", "another"), nil).wants(t, http.StatusBadRequest, "", "<code>nonce</code>")
	// A code that the provider gave for another challenge.
	to = b.do(t, app+"/calendar", nil).header.Get("Location")
	b.visit(t, edited(t, to, "code_challenge", strings.Repeat("A", 43)), nil).wants(t, http.StatusBadRequest, "", "<code>no_token</code>")
	if !b.leadsAway(t, app+"/calendar") {
		t.Error("somebody is signed in")
	}
}

func TestRPO1AnAnswerNamesTheProviderThatWasAsked(t *testing.T) {
	app, _ := foreign(t)
	for what, change := range map[string]func(string) string{
		"of another": func(back string) string { return edited(t, back, "iss", "https://evil.example") },
		"of nobody":  func(back string) string { return edited(t, back, "iss", "") },
		"of two":     func(back string) string { return back + "&iss=https%3A%2F%2Fevil.example" },
		"an error's": func(back string) string {
			return edited(t, edited(t, back, "error", "x"), "iss", "https://evil.example")
		},
		"begins as ours": func(back string) string { return strings.Replace(back, "&iss=http", "&iss=http%20", 1) },
	} {
		t.Run(what, func(t *testing.T) {
			b := newBrowser(t, "ana")
			back := b.visit(t, app+"/calendar", nil, app+"/callback")
			a := b.visit(t, change(back.at), nil)
			a.wants(t, http.StatusBadRequest, "")
			if !strings.Contains(a.body, "foreign_answer") && !strings.Contains(a.body, "doubled_parameter") {
				t.Errorf("it says\n%s", a.body)
			}
			b.visit(t, back.at, nil).wants(t, http.StatusBadRequest, "", "unknown_state")
		})
	}
}

func TestARefusalLeavesAWayOn(t *testing.T) {
	app, _ := foreign(t)
	b := newBrowser(t, "") // the provider takes that for a refusal, and answers with HTML
	a := b.visit(t, app+"/documents/7", nil)
	a.wants(t, http.StatusForbidden, "", "access_denied", "&lt;b&gt;nobody&lt;/b&gt;", "Try again", "somebody else")
	links := regexp.MustCompile(`href="(/login[^"]*)"`).FindAllStringSubmatch(a.body, -1)
	if len(links) != 2 {
		t.Fatalf("%d ways on:\n%s", len(links), a.body)
	}
	b.account = "bo"
	b.visit(t, app+html.UnescapeString(links[0][1]), nil).wants(t, http.StatusOK, app+"/documents/7", "bo@meridian.example")
	b.account = "ana"
	b.visit(t, app+html.UnescapeString(links[1][1]), nil).wants(t, http.StatusOK, app+"/documents/7", "ana@meridian.example")
}

func TestASilentCheckThatFailsEndsTheSession(t *testing.T) {
	app, other := foreign(t)
	b := newBrowser(t, "ana")
	newBrowser(t, "ana").visit(t, app+"/check", nil).wants(t, http.StatusForbidden, "", "login_required")
	b.visit(t, app+"/", nil).wants(t, http.StatusOK, app+"/")
	b.visit(t, other+"/", nil).wants(t, http.StatusOK, other+"/")
	// The session has ended at the provider, and nobody told this application.
	for _, c := range b.cookies(t, app) { // the provider has the same host
		if strings.HasPrefix(c.Name, "_") {
			b.keep(t, app, []*http.Cookie{{Name: c.Name, Path: "/", MaxAge: -1}})
		}
	}
	b.visit(t, app+"/check", nil).wants(t, http.StatusForbidden, "", "login_required")
	if !b.leadsAway(t, app+"/") || b.leadsAway(t, other+"/") {
		t.Error("the wrong session ended")
	}
}

func TestSigningOutEndsTheSessionHereThereAndInTheOther(t *testing.T) {
	app, other := foreign(t)
	b, elsewhere := newBrowser(t, "ana"), newBrowser(t, "ana")
	for _, address := range []string{app, other} {
		b.visit(t, address+"/", nil).wants(t, http.StatusOK, address+"/")
	}
	elsewhere.visit(t, other+"/", nil).wants(t, http.StatusOK, other+"/")

	b.from(t, "cross-site", app+"/sign-out", url.Values{}).wants(t, http.StatusForbidden, "")
	if b.leadsAway(t, app+"/") {
		t.Fatal("another site signs people out")
	}
	a := b.visit(t, app+"/sign-out", url.Values{})
	a.wants(t, http.StatusOK, "", "at the provider")
	if !strings.HasPrefix(a.at, app+"/signed-out?") {
		t.Errorf("it ended at %s", a.at)
	}
	b.visit(t, a.at, nil).wants(t, http.StatusOK, "", "no session in this application") // its state could be used once
	if !b.leadsAway(t, app+"/") || !b.leadsAway(t, other+"/") {
		t.Error("the session lives on")
	}
	if elsewhere.leadsAway(t, other+"/") {
		t.Error("another browser's session ended")
	}
	b.account = "bo" // the provider is to ask, because it has forgotten Ana
	b.visit(t, app+"/", nil).wants(t, http.StatusOK, app+"/", "bo@meridian.example")
}

func TestTokensAreRefreshedAndNeverShown(t *testing.T) {
	app, _ := foreign(t)
	b := newBrowser(t, "bo")
	b.visit(t, app+"/tokens", nil).wants(t, http.StatusOK, app+"/tokens", "Refresh now", "<dd>0</dd>")
	a := b.visit(t, app+"/tokens", url.Values{})
	a.wants(t, http.StatusOK, app+"/tokens", "It worked", "Refresh now")
	if regexp.MustCompile(`eyJ|[\w-]{40}`).MatchString(a.body) {
		t.Errorf("a token is shown:\n%s", a.body)
	}
}

func TestOnlyTheProviderItNamesAndPagesOfItsOwnCanBeAskedForFromElsewhere(t *testing.T) {
	app, _ := foreign(t)
	b := newBrowser(t, "ana")
	issuer := regexp.MustCompile(`^http://[^/]+`).FindString(b.do(t, app+"/", nil).header.Get("Location"))
	login := func(iss, target string) string {
		return app + "/login?" + url.Values{"iss": {iss}, "target_link_uri": {target}, "login_hint": {"ana@meridian.example"}, "organization": {"meridian"}}.Encode()
	}
	to := b.do(t, login(issuer, app+"/boards/plan"), nil).header.Get("Location")
	if !strings.Contains(to, "organization=meridian") || !strings.Contains(to, "login_hint=ana%40meridian.example") || !strings.Contains(to, "code_challenge_method=S256") {
		t.Errorf("it leads to %s", to)
	}
	b.visit(t, to, nil).wants(t, http.StatusOK, app+"/boards/plan")
	b.from(t, "cross-site", app+"/login", url.Values{"iss": {issuer}}).wants(t, http.StatusSeeOther, "")
	// A path that a browser would take for a host stays a path.
	if back := b.visit(t, login(issuer, app+"//evil.example/"), nil, app+"//"); !strings.HasPrefix(back.at, app+"//evil.example/") {
		t.Errorf("it ends at %s", back.at)
	}
	b.do(t, login("https://evil.example", app+"/"), nil).wants(t, http.StatusBadRequest, "", "foreign_issuer")
	b.do(t, app+"/login", nil).wants(t, http.StatusBadRequest, "", "foreign_issuer")
	host := strings.TrimPrefix(app, "http://")
	for _, target := range []string{
		"https://evil.example/", "//evil.example/", "/boards/plan", app + "@evil.example/", app + ".evil.example/", "https://" + host + "/", "http://x@" + host + "/",
		`http:\\evil.example`, "javascript:alert(1)", "http:" + host + "/", strings.ToUpper(app[:4]) + "://evil.example", "http://%zz",
	} {
		b.do(t, login(issuer, target), nil).wants(t, http.StatusBadRequest, "", "foreign_target")
	}
}
