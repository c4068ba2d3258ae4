package company_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"parvis/cmd/parvis/demo/company"
)

const callback = "http://localhost:8080/federation/con_1/callback"

// start runs a company, and returns its address and a browser that stops where a redirect would
// lead away from it.
func start(t *testing.T) (string, *http.Client) {
	t.Helper()
	var h http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	var err error
	if h, err = company.New(company.Options{
		Name: "Halden Rail", Address: server.URL, Trusted: "http://localhost:8080",
		People:   []company.Person{{Subject: "1", Name: "Ann", Email: "ann@halden.example"}},
		ClientID: "parvis", ClientSecret: "secret", RedirectURI: callback, PostLogoutURI: "http://localhost:8080/out",
		Client: server.Client(), Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return server.URL, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Host != via[0].URL.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func do(t *testing.T, c *http.Client, method, address string, form url.Values, header ...string) (status int, location, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, w.Header.Get("Location"), string(text)
}

func asks(extra ...string) string {
	q := url.Values{"client_id": {"parvis"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}}
	for i := 0; i < len(extra); i += 2 {
		q.Set(extra[i], extra[i+1])
	}
	return "/authorize?" + q.Encode()
}

func TestAPersonIsChosenOncePerBrowser(t *testing.T) {
	at, c := start(t)
	if status, _, body := do(t, c, "GET", at+asks(), nil); status != http.StatusOK || !strings.Contains(body, "Who are you?") {
		t.Fatalf("a stranger is answered %d: %s", status, body)
	}
	_, location, _ := do(t, c, "POST", at+"/choose", url.Values{"person": {"1"}, "next": {asks()}}, "Sec-Fetch-Site", "same-origin")
	if !strings.HasPrefix(location, callback+"?code=") {
		t.Fatalf("the choice leads to %q", location)
	}
	if _, location, _ := do(t, c, "GET", at+asks(), nil); !strings.HasPrefix(location, callback+"?code=") {
		t.Errorf("who is signed in is led to %q", location)
	}
	if status, _, _ := do(t, c, "GET", at+asks("prompt", "login"), nil); status != http.StatusOK {
		t.Errorf("prompt=login is answered %d, want the choice", status)
	}
}

func TestOnlyItsOwnPagesChoose(t *testing.T) {
	at, c := start(t)
	for _, site := range []string{"cross-site", "same-site"} {
		if status, _, _ := do(t, c, "POST", at+"/choose", url.Values{"person": {"1"}, "next": {asks()}}, "Sec-Fetch-Site", site); status != http.StatusForbidden {
			t.Errorf("a form of a %s page is answered %d", site, status)
		}
	}
}

func TestNobodyIsLedElsewhere(t *testing.T) {
	at, c := start(t)
	for name, path := range map[string]string{
		"another redirect_uri": asks("redirect_uri", "http://evil.example/"), "another client": asks("client_id", "evil"),
	} {
		if status, location, _ := do(t, c, "GET", at+path, nil); status != http.StatusBadRequest || location != "" {
			t.Errorf("%s is answered %d, %q", name, status, location)
		}
	}
	for _, next := range []string{"http://evil.example/authorize", "//evil.example/authorize", "/elsewhere"} {
		form := url.Values{"person": {"1"}, "next": {next}}
		if _, location, body := do(t, c, "POST", at+"/choose", form, "Sec-Fetch-Site", "same-origin"); location != "" || !strings.Contains(body, "Ann") {
			t.Errorf("next=%s leads to %q", next, location)
		}
	}
}

func TestACodeWorksOnceAndForItsClient(t *testing.T) {
	at, c := start(t)
	_, location, _ := do(t, c, "POST", at+"/choose", url.Values{"person": {"1"}, "next": {asks()}}, "Sec-Fetch-Site", "same-origin")
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {callback}}
	if status, _, _ := do(t, c, "POST", at+"/token", form, "Authorization", "Basic cGFydmlzOndyb25n"); status != http.StatusUnauthorized {
		t.Errorf("a wrong secret is answered %d", status)
	}
	for i, want := range []int{http.StatusOK, http.StatusBadRequest} {
		if status, _, body := do(t, c, "POST", at+"/token", form, "Authorization", "Basic cGFydmlzOnNlY3JldA=="); status != want {
			t.Errorf("use %d of the code is answered %d: %s", i+1, status, body)
		}
	}
}
