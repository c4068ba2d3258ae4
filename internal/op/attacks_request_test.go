package op_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"parvis/internal/app"
	"parvis/internal/application"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/op"
)

// badRequests are authorization requests with one thing wrong. If it is the client or its
// address, a page says so; otherwise the application gets an error. The text and is appended to
// the query as it is.
var badRequests = []struct {
	name string
	with []string
	and  string
	want string // the code; empty for a page
}{
	{name: "no client", with: []string{"client_id", "-"}},
	{name: "unknown client", with: []string{"client_id", "app_00000000000000000000000000"}},
	{name: "no name of a client", with: []string{"client_id", "\x00' or 1=1 --\xff"}},
	{name: "two clients", and: "client_id=collaborate"},
	{name: "the same client twice", and: "client_id=SAME"},
	{name: "no address", with: []string{"redirect_uri", "-"}},
	{name: "two addresses", and: "redirect_uri=https://evil.example/"},
	{name: "the same address twice", and: "redirect_uri=" + callback},
	{name: "a fragment", with: []string{"redirect_uri", callback + "#x"}},
	{name: "an empty fragment", with: []string{"redirect_uri", callback + "#"}},
	{name: "javascript", with: []string{"redirect_uri", "javascript:alert(document.domain)//" + callback}},
	{name: "data", with: []string{"redirect_uri", "data:text/html,<script>1</script>"}},
	{name: "relative", with: []string{"redirect_uri", "/o/meridian/home"}},
	{name: "no scheme", with: []string{"redirect_uri", "//books.example/callback"}},
	{name: "http", with: []string{"redirect_uri", "http://books.example/callback"}},
	{name: "a trailing slash", with: []string{"redirect_uri", callback + "/"}},
	{name: "a prefix", with: []string{"redirect_uri", "https://books.example/"}},
	{name: "a suffix", with: []string{"redirect_uri", callback + "/../../evil"}},
	{name: "an extra query", with: []string{"redirect_uri", callback + "?next=https://evil.example"}},
	{name: "a port", with: []string{"redirect_uri", "https://books.example:443/callback"}},
	{name: "another port", with: []string{"redirect_uri", "https://books.example:8443/callback"}},
	{name: "capitals", with: []string{"redirect_uri", "https://BOOKS.example/callback"}},
	{name: "user info", with: []string{"redirect_uri", "https://books.example@evil.example/callback"}},
	{name: "two users", with: []string{"redirect_uri", "https://a@books.example@evil.example/callback"}},
	{name: "a backslash", with: []string{"redirect_uri", `https://books.example\@evil.example/callback`}},
	{name: "dots with a parameter", with: []string{"redirect_uri", "https://books.example/callback/..;/evil"}},
	{name: "encoded dots", with: []string{"redirect_uri", "https://books.example/%2e%2e/callback"}},
	{name: "an encoded letter", with: []string{"redirect_uri", "https://books.example/%63allback"}},
	{name: "a letter that looks alike", with: []string{"redirect_uri", "https://bооks.example/callback"}},
	{name: "a dot at the end of the host", with: []string{"redirect_uri", "https://books.example./callback"}},
	{name: "a dot that stands for any", with: []string{"redirect_uri", "https://booksXexample/callback"}},
	{name: "a subdomain", with: []string{"redirect_uri", "https://evil.books.example/callback"}},
	{name: "a longer host", with: []string{"redirect_uri", "https://books.example.evil.example/callback"}},
	{name: "loopback", with: []string{"redirect_uri", "http://127.0.0.1/callback"}},
	{name: "a line break", with: []string{"redirect_uri", callback + "\r\nSet-Cookie: a=b"}},
	{name: "a NUL", with: []string{"redirect_uri", callback + "\x00"}},
	{name: "no text", with: []string{"redirect_uri", callback + "\xff"}},
	{name: "endless", with: []string{"redirect_uri", callback + strings.Repeat("a", 30000)}},
	{name: "an escape that is none", and: "x=%zz"},
	{name: "prompt=none at a foreign address", with: []string{"redirect_uri", "https://evil.example/", "prompt", "none"}},
	{name: "a bad scope at a foreign address", with: []string{"redirect_uri", "https://evil.example/", "scope", "nothing"}},

	{name: "no response type", with: []string{"response_type", "-"}, want: "invalid_request"},
	{name: "token", with: []string{"response_type", "token"}, want: "unsupported_response_type"},
	{name: "id_token", with: []string{"response_type", "id_token"}, want: "unsupported_response_type"},
	{name: "id_token token", with: []string{"response_type", "id_token token"}, want: "unsupported_response_type"},
	{name: "code id_token", with: []string{"response_type", "code id_token"}, want: "unsupported_response_type"},
	{name: "fragment", with: []string{"response_mode", "fragment"}, want: "invalid_request"},
	{name: "form_post.jwt", with: []string{"response_mode", "form_post.jwt", "state", "<script>alert(1)</script>"}, want: "invalid_request"},
	{name: "web_message", with: []string{"response_mode", "web_message"}, want: "invalid_request"},
	{name: "no scope", with: []string{"scope", "-"}, want: "invalid_scope"},
	{name: "a scope of others", with: []string{"scope", "groups admin *"}, want: "invalid_scope"},
	{name: "no challenge", with: []string{"code_challenge", "-", "code_challenge_method", "-"}, want: "invalid_request"},
	{name: "a method without a challenge", with: []string{"code_challenge", "-"}, want: "invalid_request"},
	{name: "plain", with: []string{"code_challenge_method", "plain", "code_challenge", verifier}, want: "invalid_request"},
	{name: "plain, unsaid", with: []string{"code_challenge_method", "-"}, want: "invalid_request"},
	{name: "s256", with: []string{"code_challenge_method", "s256"}, want: "invalid_request"},
	{name: "a challenge that is no hash", with: []string{"code_challenge", strings.Repeat("=", 43)}, want: "invalid_request"},
	{name: "a short challenge", with: []string{"code_challenge", challenge(verifier)[1:]}, want: "invalid_request"},
	{name: "two challenges", and: "code_challenge=" + challenge("mine"), want: "invalid_request"},
	{name: "a request object", with: []string{"request", "eyJhbGciOiJub25lIn0.eyJzY29wZSI6Im9wZW5pZCJ9."}, want: "request_not_supported"},
	{name: "a request object of 60 kB", with: []string{"request", strings.Repeat("A", 60_000)}, want: "request_not_supported"},
	{name: "request_uri on the Internet", with: []string{"request_uri", "https://evil.example/request.jwt"}, want: "request_uri_not_supported"},
	{name: "request_uri inside", with: []string{"request_uri", "http://169.254.169.254/latest"}, want: "request_uri_not_supported"},
	{name: "registration", with: []string{"registration", "{}"}, want: "registration_not_supported"},
	{name: "prompt=none and login", with: []string{"prompt", "none login"}, want: "invalid_request"},
	{name: "an unknown prompt", with: []string{"prompt", "create"}, want: "invalid_request"},
	{name: "max_age below zero", with: []string{"max_age", "-1"}, want: "invalid_request"},
	{name: "max_age without end", with: []string{"max_age", strings.Repeat("9", 30)}, want: "invalid_request"},
	{name: "a hint that is none", with: []string{"id_token_hint", "eyJhbGciOiJub25lIn0.e30."}, want: "invalid_request"},
	{name: "a thumbprint that is none", with: []string{"dpop_jkt", "short"}, want: "invalid_request"},
	{name: "an unknown parameter twice", and: "colour=red&colour=blue", want: "invalid_request"},
	{name: "two nonces", and: "nonce=another", want: "invalid_request"},
	{name: "a nonce with a NUL", with: []string{"nonce", "a\x00b"}, want: "invalid_request"},
	{name: "an organization that is no text", with: []string{"organization", "\xff\xfe"}, want: "invalid_request"},
	{name: "an endless nonce", with: []string{"nonce", strings.Repeat("n", 2001)}, want: "invalid_request"},
	{name: "an organization that is not here", with: []string{"organization", "nowhere"}, want: "invalid_request"},
}

// OPR-1, OPR-2, OPR-12 and bad input of the authorization endpoint, in every way: by a link, by a
// form of another site, and pushed. None of it ends or stores anything.
func TestOPR1OPR2OPR12BadRequestsAreToldToWhomItConcerns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for _, bad := range badRequests {
		q := c.request(bad.with...)
		raw := q.Encode()
		if bad.and != "" {
			raw += "&" + strings.ReplaceAll(bad.and, "SAME", string(c.ID))
		}
		p := w.bo.Get("/authorize?" + raw)
		if bad.want == "" {
			wantPage(t, bad.name, p, http.StatusBadRequest)
		} else {
			w.wantTold(bad.name, p.Header.Get("Location"), q.Get("state"), bad.want)
		}
		posted := w.do(w.posted("/authorize", raw))
		if to := posted.Header.Get("Location"); bad.want == "" && (posted.Status != http.StatusBadRequest || to != "") {
			t.Errorf("%s, posted: %d to %q", bad.name, posted.Status, to)
		} else if bad.want != "" && bad.name != "an organization that is not here" {
			w.wantTold(bad.name+", posted", to, q.Get("state"), bad.want)
		}
	}
	if n := w.count("grants") + w.count("pushed_requests"); n > 1 {
		t.Errorf("%d rows came of it", n)
	}
	if answer(authorize(w.bo, c.request())).Get("code") == "" {
		t.Error("the browser lost something")
	}
	if strings.Contains(w.Log.String(), `"level":"ERROR"`) {
		t.Errorf("the log has errors:\n%s", w.Log)
	}
}

// posted returns a request with a form of another site.
func (w *world) posted(path, raw string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.URL+path, strings.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	return r
}

// wantTold requires a redirect to the application's address with the error, our issuer and the
// state as it was sent.
func (w *world) wantTold(what, to, state, code string) {
	w.t.Helper()
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, callback+"?") {
		w.t.Errorf("%s: led to %q", what, to)
		return
	}
	q := u.Query()
	expect.Equal(w.t, "error", q.Get("error"), code)
	expect.Equal(w.t, "iss", q.Get("iss"), w.URL)
	expect.Equal(w.t, "state", q.Get("state"), state)
	if q.Get("error_description") == "" || q.Has("code") {
		w.t.Errorf("%s: told %v, want %s", what, q, code)
	}
}

// The answer to a bad pushed request says what is wrong; there is no page.
func TestOPR12BadPushedRequestsAreToldInTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for _, bad := range badRequests {
		if strings.Contains(bad.name, "client") || bad.name == "no name of a client" || strings.HasPrefix(bad.name, "an organization that is not") {
			continue // the client is known from its credentials, and a wrong organization fails in the browser
		}
		raw := c.request(bad.with...).Encode()
		if bad.and != "" {
			raw += "&" + bad.and
		}
		r := w.posted("/par", raw)
		r.SetBasicAuth(string(c.ID), c.secret)
		want := bad.want
		if want == "" {
			want = "invalid_request"
		}
		w.wantError(bad.name, w.do(r), http.StatusBadRequest, want)
	}
	if n := w.count("pushed_requests"); n != 0 {
		t.Errorf("%d requests were kept", n)
	}
}

// OPR-1: an address that differs in one character is another address.
func TestOPR1OneCharacterIsAnotherAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for i := range callback {
		for _, sent := range []string{callback[:i] + callback[i+1:], callback[:i] + "x" + callback[i:], callback[:i] + "~" + callback[i+1:], callback[:i] + strings.ToUpper(callback[i:i+1]) + callback[i+1:]} {
			if sent != callback {
				wantPage(t, sent, authorize(w.bo, c.request("redirect_uri", sent, "prompt", "none")), http.StatusBadRequest)
			}
		}
	}
	// The address of another application is refused too.
	other := w.register("", application.Web, settings(func(s *application.Settings) { s.RedirectURIs = []string{"https://other.example/callback"} }))
	wantPage(t, "another application's", authorize(w.bo, c.request("redirect_uri", other.Settings.RedirectURIs[0])), http.StatusBadRequest)
}

// OPR-1: only for a native application on a loopback address the port may differ.
func TestOPR1LoopbackPortsAreForNativeApplications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := native()
	s.Asks = false
	app := w.register("", application.Native, s)
	webs := w.register("", application.Web, settings(func(s *application.Settings) { s.RedirectURIs = []string{"http://127.0.0.1/callback"} }))
	// Any program may listen there, so the person is asked, though the application belongs to
	// the installation (RFC 8252 §8.6).
	if p := authorize(w.bo, app.request("redirect_uri", "http://127.0.0.1:51004/callback")); p.URL.Path != "/authorize/consent" {
		t.Errorf("a native application cannot listen where a port is free, or answers unasked: %s", p.URL)
	}
	for _, sent := range []string{
		"http://127.0.0.1:51004/callback/", "http://127.0.0.1:51004/other", "http://127.0.0.1:0/callback", "http://127.0.0.1:99999/callback", "http://localhost:51004/callback",
		"http://127.0.0.2:51004/callback", "http://127.1:51004/callback", "http://0x7f.0.0.1:51004/callback", "http://[::1]:51004/callback", "https://127.0.0.1:51004/callback",
		"http://127.0.0.1:51004@evil.example/callback", "http://127.0.0.1:51004.evil.example/callback", "com.example.pocket:/callback2", "com.example.pocket://callback",
	} {
		wantPage(t, sent, authorize(w.bo, app.request("redirect_uri", sent)), http.StatusBadRequest)
	}
	wantPage(t, "a web application", authorize(w.bo, webs.request("redirect_uri", "http://127.0.0.1:51004/callback")), http.StatusBadRequest)
}

// OPR-1: an answer goes to the registered address, and keeps the query of that address.
func TestOPR1AnApplicationAnswersAtItsOwnAddressWithItsQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.RedirectURIs = []string{"https://books.example/cb?keep=a%20b"} }))
	to := authorize(w.bo, c.request("state", "a&code=evil#<\"")).Header.Get("Location")
	u, err := url.Parse(to)
	if err != nil {
		t.Fatalf("led to %s", to)
	}
	expect.Equal(t, "number of code", len(u.Query()["code"]), 1)
	expect.Equal(t, "state", u.Query().Get("state"), "a&code=evil#<\"")
	expect.Equal(t, "Fragment", u.Fragment, "")
	if !strings.HasPrefix(to, "https://books.example/cb?keep=a%20b&") {
		t.Errorf("led to %s", to)
	}
}

// A megabyte is refused before anything is parsed: with a page for people, in JSON for servers.
func TestOPR12AMegabyteIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	huge := c.request("request", strings.Repeat("A", 1<<20)).Encode()
	r := w.do(w.posted("/authorize", huge))
	if r.Status != http.StatusBadRequest || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		t.Errorf("posted: %d %s", r.Status, r.Header.Get("Content-Type"))
	}
	for _, path := range []string{"/par", "/token", "/introspect", "/revoke", "/device_authorization"} {
		w.wantError(path, w.do(w.posted(path, huge)), http.StatusRequestEntityTooLarge, "invalid_request")
	}
	if p := authorize(w.bo, c.request("request", strings.Repeat("A", 200<<10))); p.Header.Get("Location") == "" {
		t.Errorf("200 kB in the address: %d", p.Status)
	} else {
		w.wantTold("200 kB in the address", p.Header.Get("Location"), "st/ate &+1", "request_not_supported")
	}
}

// OPR-12: a pushed request works only for its client, once, and within a minute. A client that
// must push cannot avoid it in any way.
func TestOPR12PushedRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idptest.Named)
	nodes := []*world{w, w.node()}
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.PushedOnly = true }))
	other := w.books()
	push := func() string {
		r := w.call(c, "/par", c.request())
		if r.Status != http.StatusCreated || r.JSON["expires_in"] != 60.0 {
			t.Fatalf("pushing: %d %s", r.Status, r.Body)
		}
		return r.text("request_uri")
	}
	by := func(id application.ID, uri string, more ...string) *idptest.Page {
		return authorize(w.bo, with(url.Values{"client_id": {string(id)}, "request_uri": {uri}}, more...))
	}
	uri := push()
	wantPage(t, "another client", by(other.ID, uri), http.StatusBadRequest)
	wantPage(t, "no client", by("", uri), http.StatusBadRequest)
	wantPage(t, "with one letter more", by(c.ID, uri+"a"), http.StatusBadRequest)
	wantPage(t, "twice in one request", w.bo.Get("/authorize?"+url.Values{"client_id": {string(c.ID)}, "request_uri": {uri, push()}}.Encode()), http.StatusBadRequest)
	// Other parameters beside request_uri are ignored (RFC 9126 §4).
	p := by(c.ID, uri, "redirect_uri", "https://evil.example/", "scope", "openid", "state", "evil")
	if got := answer(p); got.Get("code") == "" || got.Get("state") != "st/ate &+1" || !strings.HasPrefix(p.Header.Get("Location"), callback+"?") {
		t.Errorf("answered %v at %s", got, p.Header.Get("Location"))
	}
	wantPage(t, "used before", by(c.ID, uri), http.StatusBadRequest)
	uri = push()
	w.Clock.Advance(op.PushedLasts)
	wantPage(t, "expired", by(c.ID, uri), http.StatusBadRequest)

	w.wantTold("not pushed", authorize(w.bo, c.request()).Header.Get("Location"), "st/ate &+1", "invalid_request")
	w.wantTold("posted", w.do(w.posted("/authorize", c.request().Encode())).Header.Get("Location"), "st/ate &+1", "invalid_request")
	if n := together(8, func(int) bool { return answer(by(c.ID, uri)).Has("code") }); n != 0 {
		t.Errorf("%d codes by what is expired", n)
	}
	uri = push()
	if n := together(8, func(i int) bool {
		b := stopping(nodes[i%2].bo.Copy())
		return answer(authorize(b, url.Values{"client_id": {string(c.ID)}, "request_uri": {uri}})).Has("code")
	}); n != 1 {
		t.Errorf("%d of eight at once used it", n)
	}
}

// All addresses of an IPv6 /64 belong to one customer, so they count as one network.
func TestGuessesFromOneIPv6NetworkAreCountedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(a *app.Settings) { a.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	statuses := map[int]int{}
	guess := func(address string) int {
		b := w.Browser(t)
		b.Header.Set("X-Forwarded-For", address)
		return b.Get("/device?user_code=BBBB-BBBB").Status
	}
	for i := range 60 {
		statuses[guess(fmt.Sprintf("2001:db8:1:2::%x", i))]++
	}
	if free := op.PerNetworkDevice.Free; statuses[422] != free || statuses[429] != 60-free {
		t.Errorf("60 addresses of one /64 were answered %v, want %d times 422, then 429", statuses, free)
	}
	if status := guess("2001:db8:1:3::1"); status != 422 {
		t.Errorf("another /64 is answered %d, want 422", status)
	}
}

// The page for developers cuts a long address, and no character of it in two.
func TestALongAddressIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for name, at := range map[string]string{"authorization": "/authorize?redirect_uri=", "sign-out": "/end-session?post_logout_redirect_uri="} {
		for odd := range 2 { // the cut is between two bytes of é in one of them
			long := "https://evil.example/" + strings.Repeat("a", odd) + strings.Repeat("é", 1500)
			p := w.bo.Get(at + url.QueryEscape(long) + "&client_id=" + string(c.ID) + "&response_type=code&scope=openid")
			of := expect.Case(t, "%s, %d", name, odd)
			expect.Equal(of, "shown", strings.Contains(p.Body, strings.Repeat("é", 900)), true)
			expect.Equal(of, "whole", strings.Contains(p.Body, strings.Repeat("é", 1500)), false)
			expect.Equal(of, "valid text", utf8.ValidString(p.Body), true)
		}
	}
}
