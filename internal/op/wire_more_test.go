package op_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// RFC 8414 §3: OAuth clients look for the same document at another address.
func TestOAuthFindsTheSameDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var texts []string
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		r := w.post(path, nil)
		r.Method = http.MethodGet
		got := w.do(r)
		of := expect.Case(t, "%s", path)
		expect.Equal(of, "Status", got.Status, http.StatusOK)
		expect.Equal(of, "Content-Type", got.Header.Get("Content-Type"), "application/json")
		expect.Equal(of, "Access-Control-Allow-Origin", got.Header.Get("Access-Control-Allow-Origin"), "*")
		expect.Equal(of, "issuer", got.text("issuer"), w.URL)
		texts = append(texts, got.Body)
	}
	if texts[0] != texts[1] {
		t.Error("they differ")
	}
}

// RFC 6749 §5.2: a missing parameter gets another error than a wrong one.
func TestAGrantWithoutItsParameterIsNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Devices = true }))
	for grant, name := range map[string]string{
		"authorization_code": "code", "refresh_token": "refresh_token", "urn:ietf:params:oauth:grant-type:device_code": "device_code",
	} {
		w.wantError(grant+" without", w.call(c, "/token", url.Values{"grant_type": {grant}}), http.StatusBadRequest, "invalid_request")
		w.wantError(grant+" with nothing", w.call(c, "/token", url.Values{"grant_type": {grant}, name: {""}}), http.StatusBadRequest, "invalid_request")
		w.wantError(grant+" with what is none", w.call(c, "/token", url.Values{"grant_type": {grant}, name: {"x"}}), http.StatusBadRequest, "invalid_grant")
	}
}

// RFC 8707 §2, RFC 9396 §5: a request for something that tokens cannot express is refused at
// every endpoint, and uses nothing up.
func TestWhatATokenCannotSayIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain, api := w.books(), w.register("", application.Web, settings(func(s *application.Settings) {
		s.Audience, s.Devices, s.OwnBehalf = "https://api.books.example/v1", true, true
	}))
	for what, row := range map[string]struct {
		c           client
		name, value string
		told        string
	}{
		"another resource":       {api, "resource", "https://api.example/", "invalid_target"},
		"the resource, a letter": {api, "resource", api.Settings.Audience + "x", "invalid_target"},
		"us in place of the API": {api, "resource", w.URL, "invalid_target"},
		"a resource of nobody":   {plain, "resource", "https://api.books.example/v1", "invalid_target"},
		"no address":             {plain, "resource", "x", "invalid_target"},
		"details":                {plain, "authorization_details", `[{"type":"payment"}]`, "invalid_authorization_details"},
		"details that are none":  {plain, "authorization_details", "x", "invalid_authorization_details"},
		"its own resource":       {api, "resource", api.Settings.Audience, ""},
		"us":                     {plain, "resource", w.URL, ""},
		"an empty one":           {plain, "resource", "", ""},
	} {
		q := row.c.request(row.name, row.value)
		got := answer(authorize(w.bo, q))
		if got.Get("error") != row.told || got.Get("state") != q.Get("state") {
			t.Errorf("%s: %v", what, got)
		}
		tokens := w.enter(w.bo, row.c)
		calls := map[string]func(more ...string) reply{
			"pushed":    func(more ...string) reply { return w.call(row.c, "/par", row.c.request(more...)) },
			"a refresh": func(more ...string) reply { return w.refresh(row.c, tokens.text("refresh_token"), more...) },
		}
		code := w.code(w.bo, row.c)
		calls["a code"] = func(more ...string) reply { return w.redeem(row.c, code, more...) }
		if row.c.ID == api.ID {
			calls["a machine's"] = func(more ...string) reply {
				return w.call(row.c, "/token", with(url.Values{"grant_type": {"client_credentials"}}, more...))
			}
			calls["a device's"] = func(more ...string) reply {
				return w.call(row.c, "/device_authorization", with(url.Values{"scope": {"openid"}}, more...))
			}
		}
		for door, call := range calls {
			if row.told != "" {
				w.wantError(what+", "+door, call(row.name, row.value), http.StatusBadRequest, row.told)
				row := call() // nothing was used up
				if row.Status >= 300 {
					t.Errorf("%s, %s, after it: %d %s", what, door, row.Status, row.Body)
				}
			} else if r := call(row.name, row.value); r.Status >= 300 {
				t.Errorf("%s, %s: %d %s", what, door, r.Status, r.Body)
			}
		}
	}
}

// A state of up to 4 KiB comes back, by a page if the address is too long for a header. A longer
// state comes back with an error.
func TestALongStateComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.PostLogoutURIs = []string{"https://books.example/bye"} }))
	for length, told := range map[int]string{1500: "", 2001: "", 4096: "", 4097: "invalid_request", 20000: "invalid_request"} {
		state := strings.Repeat("s", length)
		for door, p := range map[string]*idptest.Page{
			"a code": authorize(w.bo, c.request("state", state)), "an error": authorize(w.bo, c.request("state", state, "scope", "nothing")),
			"a form": authorize(w.bo, c.request("state", state, "response_mode", "form_post")),
		} {
			got, want := answer(p), told
			if door == "a form" {
				got = posted(p)
			}
			if door == "an error" && want == "" {
				want = "invalid_scope"
			}
			if got.Get("state") != state || got.Get("error") != want || got.Has("code") != (want == "") {
				t.Errorf("%d bytes, %s: %s with %d bytes of state at %s", length, door, got.Get("error"), len(got.Get("state")), p.URL.Path)
			}
			if to := p.Header.Get("Location"); len(to) > 2048 || (to == "") != (length > 2000 || door == "a form") {
				t.Errorf("%d bytes, %s: a header of %d bytes", length, door, len(to))
			}
		}
	}

	// Signing out returns a state too, and keeps a form's parameters for the page that asks.
	long := strings.Repeat("s", 3000)
	id := w.enter(w.bo, c).text("id_token")
	q := url.Values{"client_id": {string(c.ID)}, "post_logout_redirect_uri": {"https://books.example/bye"}, "state": {long}}
	for door, p := range map[string]*idptest.Page{"a link": w.bo.Get("/end-session?" + q.Encode()), "a form": w.bo.CrossPost("/end-session", q)} {
		if to := p.Header.Get("Location"); len(to) > 2048 || p.Status != http.StatusOK || !strings.Contains(p.Body, "/end-session") {
			t.Errorf("%s: %d with a header of %d bytes: %s", door, p.Status, len(to), p.Text())
		}
	}
	q.Set("id_token_hint", id)
	p := idptest.Want(t, w.bo.Get("/end-session?"+q.Encode()), idptest.Status(http.StatusOK), idptest.Says("op.going"))
	if links := strings.Join(p.Links(), " "); !strings.Contains(links, "https://books.example/bye?state="+long) || in(w.bo) {
		t.Errorf("it leads to %s", links)
	}
}

// UserInfo has preferred_username, and updated_at says when the person's data last changed.
func TestPreferredUsernameAndUpdatedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	w.equals("with email", w.told(c, "scope", "openid email"), `{"email": "bo@meridian.example", "email_verified": true, "preferred_username": "bo@meridian.example"}`)
	profile := w.told(c, "scope", "openid profile")
	if profile["preferred_username"] != nil {
		t.Errorf("who may not know the address is told %v", profile["preferred_username"])
	}
	w.Clock.Advance(time.Minute)
	w.bo.Get("/o/meridian/account").Form("main").Fill("name", "Bo Lindqvist").Submit("")
	later := w.told(c, "scope", "openid profile")
	was, _ := profile["updated_at"].(float64)
	is, _ := later["updated_at"].(float64)
	if was == 0 || is != float64(w.Clock.Now().Unix()) || later["name"] != "Bo Lindqvist" {
		t.Errorf("first %v, then %v", profile, later)
	}
	// A registered claim with that name takes precedence.
	own := w.register("", application.Web, settings(func(s *application.Settings) {
		s.Claims = []application.Claim{{Name: "preferred_username", Source: "name"}}
	}))
	if says := w.told(own); says["preferred_username"] != "Bo Lindqvist" {
		t.Errorf("it is told %v", says["preferred_username"])
	}
}

// Given and family name go with the scope profile, and are left out where there are none.
func TestGivenAndFamilyNameAreToldWithTheProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	has := func(what string, says map[string]any, want string) {
		t.Helper()
		expect.Equal(t, what, fmt.Sprint(says["given_name"], " ", says["family_name"]), want)
	}
	has("without any", w.told(c, "scope", "openid profile"), "<nil> <nil>")
	idptest.Want(t, w.bo.Get("/o/meridian/account").Form("main").Fill("given_name", " Bo ").Fill("family_name", "Lind").Submit(""), idptest.Status(200), idptest.Says("web.profile.saved"))
	w.Clock.Advance(time.Minute)
	has("with both", w.told(c, "scope", "openid profile"), "Bo Lind")
	has("without the scope", w.told(c, "scope", "openid email"), "<nil> <nil>")
	own := w.register("", application.Web, settings(func(s *application.Settings) { s.InIDToken = true }))
	has("the ID token", w.claims(w.enter(w.bo, own).text("id_token"), "JWT"), "Bo Lind")
	w.bo.Get("/o/meridian/account").Form("main").Fill("given_name", "").Submit("")
	w.Clock.Advance(time.Minute)
	has("with one", w.told(c, "scope", "openid profile"), "<nil> Lind")
}

// com.example.app://path can be registered, is compared byte for byte, and needs consent each
// time.
func TestASchemeWithTwoSlashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := native()
	s.RedirectURIs, s.Asks = []string{"com.example.pocket://callback"}, false
	c := w.register("", application.Native, s)
	for _, sent := range []string{"com.example.pocket:/callback", "com.example.pocket://Callback", "com.example.pocket://callback/", "com.example.pocket://callback2"} {
		wantPage(t, sent, authorize(w.bo, c.request("redirect_uri", sent)), http.StatusBadRequest)
	}
	p := idptest.Want(t, authorize(w.bo, c.request()), idptest.Path("/authorize/consent"))
	got := answer(p.Form("main").Submit("allow"))
	if r := w.redeem(c, got.Get("code")); r.Status != http.StatusOK {
		t.Errorf("%v gives %d %s", got, r.Status, r.Body)
	}
	w.refuses("a web application", "", application.Web, settings(func(s *application.Settings) { s.RedirectURIs = c.Settings.RedirectURIs }), "op.address.private_scheme")
}
