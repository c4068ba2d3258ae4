package op_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/application"
	"parvis/internal/expect"
)

const elsewhere = "https://evil.example"

// from sends a request like a script of a page at this origin.
func (w *world) from(origin, method, path string, form url.Values, more ...string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Origin", origin)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	for i := 0; i+1 < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	return w.do(r)
}

// readable reports whether the script that asked may read the answer. Cookies are never allowed.
func (r reply) readable(origin string) bool {
	to := r.Header.Get("Access-Control-Allow-Origin")
	return (to == origin || to == "*") && r.Header.Get("Access-Control-Allow-Credentials") == ""
}

// Only scripts of an application's own origins may read the answers.
func TestScriptsReadAnswersAtTheirOwnOriginAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := web()
	s.Auth, s.RedirectURIs = application.NoAuth, []string{callback, "http://localhost:5173/callback"}
	c := w.register("", application.SinglePage, s)
	for _, origin := range []string{"https://books.example", "http://localhost:5173", elsewhere, "https://books.example:444", "http://books.example", "null", "https://books.example.evil.example"} {
		own := origin == "https://books.example" || origin == "http://localhost:5173"
		for _, path := range []string{"/token", "/userinfo", "/revoke", "/par", "/device_authorization"} {
			// A preflight only says what the endpoint accepts.
			p := w.from(origin, http.MethodOptions, path, nil, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,dpop")
			if p.Status != http.StatusNoContent || !p.readable(origin) || !strings.Contains(p.Header.Get("Access-Control-Allow-Methods"), "POST") {
				t.Errorf("before %s from %s: %d %v", path, origin, p.Status, p.Header)
			}
			for _, header := range []string{"Authorization", "DPoP"} {
				if !strings.Contains(p.Header.Get("Access-Control-Allow-Headers"), header) {
					t.Errorf("before %s from %s: no %s in %v", path, origin, header, p.Header)
				}
			}
		}
		token := w.from(origin, http.MethodPost, "/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {w.code(w.bo, c)}, "redirect_uri": {callback}, "code_verifier": {verifier}, "client_id": {string(c.ID)},
		})
		if token.Status != http.StatusOK || token.readable(origin) != own || token.Header.Get("Vary") != "Origin" {
			t.Errorf("/token from %s: %d %v", origin, token.Status, token.Header)
		}
		wrong := w.from(origin, http.MethodPost, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {string(c.ID)}})
		if wrong.Status != http.StatusBadRequest || wrong.text("error") != "invalid_grant" || wrong.readable(origin) != own {
			t.Errorf("a refusal from %s: %d %s", origin, wrong.Status, wrong.Body)
		}
		info := w.from(origin, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+token.text("access_token"))
		if info.Status != http.StatusOK || info.readable(origin) != own || info.Header.Get("Vary") != "Origin" {
			t.Errorf("/userinfo from %s: %d %v", origin, info.Status, info.Header)
		}
		for _, path := range []string{"/jwks", "/.well-known/openid-configuration"} {
			if public := w.from(origin, http.MethodGet, path, nil); public.Status != http.StatusOK || !public.readable(origin) {
				t.Errorf("%s from %s: %d %v", path, origin, public.Status, public.Header)
			}
		}
		for _, path := range []string{"/authorize?" + c.request().Encode(), "/end-session", "/device", "/sign-in"} {
			if page := w.from(origin, http.MethodGet, path, nil); page.readable(origin) {
				t.Errorf("%s may be read from %s", path, origin)
			}
		}
	}
}

// The key set and discovery are cached for a while, and are not sent again before they change.
func TestDocumentsAreCachedUntilTheyChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	get := func(path string, more ...string) reply { return w.from(elsewhere, http.MethodGet, path, nil, more...) }
	tags := map[string]string{}
	for _, path := range []string{"/jwks", "/.well-known/openid-configuration"} {
		first := get(path)
		tags[path] = first.Header.Get("ETag")
		of := expect.Case(t, "%s", path)
		expect.Equal(of, "Status", first.Status, http.StatusOK)
		expect.Equal(of, "Cache-Control", first.Header.Get("Cache-Control"), "public, max-age=900")
		expect.Equal(of, "Content-Type", first.Header.Get("Content-Type"), "application/json")
		if !strings.HasPrefix(tags[path], `"`) {
			t.Errorf("%s: %d %v", path, first.Status, first.Header)
		}
		if first.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s sets a cookie that others would be given", path)
		}
		again := get(path, "If-None-Match", tags[path])
		expect.Equal(of, "Status", again.Status, http.StatusNotModified)
		expect.Equal(of, "Body", again.Body, "")
		expect.Equal(of, "ETag", again.Header.Get("ETag"), tags[path])
		expect.Equal(of, "Cache-Control", again.Header.Get("Cache-Control"), first.Header.Get("Cache-Control"))
		if !again.readable(elsewhere) {
			t.Errorf("%s again: %d %v", path, again.Status, again.Header)
		}
		if other := get(path, "If-None-Match", `"something"`); other.Status != http.StatusOK || other.Body != first.Body {
			t.Errorf("%s with another tag: %d", path, other.Status)
		}
	}
	if err := w.Provider.Keys.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if r := get("/jwks", "If-None-Match", tags["/jwks"]); r.Status != http.StatusOK || r.Header.Get("ETag") == tags["/jwks"] {
		t.Errorf("with another key: %d %v", r.Status, r.Header)
	}
	if r := get("/.well-known/openid-configuration", "If-None-Match", tags["/.well-known/openid-configuration"]); r.Status != http.StatusNotModified {
		t.Errorf("discovery changed with a key: %d", r.Status)
	}
}

// Answers that say who a person is, or give access, are not cached (RFC 6749 §5.1, OIDC Core
// §3.1.3.3).
func TestWhatIsSecretIsNotCached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := web()
	s.SignsInfo, s.Devices = true, true
	plain, signed := w.books(), w.register("", application.Web, s)
	token := w.enter(w.bo, plain)
	for what, r := range map[string]reply{
		"tokens":          token,
		"a refusal":       w.redeem(plain, "x"),
		"of nobody":       w.call(client{}, "/token", url.Values{"grant_type": {"refresh_token"}}),
		"refreshed":       w.refresh(plain, token.text("refresh_token")),
		"UserInfo":        w.userInfo(token.text("access_token")),
		"signed UserInfo": w.userInfo(w.enter(w.bo, signed).text("access_token")),
		"no UserInfo":     w.userInfo("x"),
		"introspection":   w.call(plain, "/introspect", url.Values{"token": {token.text("access_token")}}),
		"a device":        w.call(signed, "/device_authorization", url.Values{"scope": {"openid"}}),
		"a push":          w.call(plain, "/par", plain.request()),
	} {
		if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s (%d): %v", what, r.Status, r.Header)
		}
	}
	for _, to := range []string{"/authorize?" + plain.request().Encode(), "/authorize?" + plain.request("response_type", "-").Encode(), "/authorize", "/end-session", "/device"} {
		if p := w.bo.Get(to); p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s (%d): %v", to, p.Status, p.Header)
		}
	}
}
