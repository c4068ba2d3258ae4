package op_test

import (
	"net/http"
	"strings"
	"testing"

	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// A person who is signed in opens an application without a page in between. The application
// learns who they are, of which organization, and how they signed in.
func TestAnApplicationOpensAlreadySignedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	p := authorize(w.bo, c.request())
	if p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), callback+"?") {
		t.Fatalf("answered %d to %q: %s", p.Status, p.Header.Get("Location"), p.Text())
	}
	got := answer(p)
	if got.Get("state") != "st/ate &+1" || got.Get("iss") != w.URL || p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer is %v", got)
	}
	r := w.redeem(c, got.Get("code"))
	expect.Equal(t, "Status", r.Status, http.StatusOK)
	expect.Equal(t, "Cache-Control", r.Header.Get("Cache-Control"), "no-store")
	expect.Equal(t, "token_type", r.text("token_type"), "Bearer")
	if r.text("refresh_token") == "" {
		t.Fatalf("the code gave %d %s", r.Status, r.Body)
	}
	id := w.claims(r.text("id_token"), "JWT")
	org, _ := id["org"].(map[string]any)
	expect.Equal[any](t, "iss", id["iss"], w.URL)
	expect.Equal[any](t, "aud", id["aud"], string(c.ID))
	expect.Equal[any](t, "nonce", id["nonce"], "non ce")
	expect.Equal[any](t, "acr", id["acr"], "aal1")
	expect.Equal[any](t, "short_name", org["short_name"], "meridian")
	expect.Equal[any](t, "name", org["name"], "Meridian Freight")
	expect.Equal[any](t, "id", org["id"], string(w.org.ID))
	access := w.claims(r.text("access_token"), "at+jwt")
	if access["client_id"] != string(c.ID) || access["sub"] != id["sub"] || access["scope"] != "openid profile email" {
		t.Errorf("the access token says %v", access)
	}
	info := w.userInfo(r.text("access_token"))
	expect.Equal(t, "Status", info.Status, http.StatusOK)
	expect.Equal[any](t, "sub", info.text("sub"), id["sub"])
	expect.Equal(t, "email", info.text("email"), "bo@meridian.example")
	expect.Equal(t, "name", info.text("name"), "Bo Lind")
	again := w.refresh(c, r.text("refresh_token"))
	if again.Status != http.StatusOK || again.text("refresh_token") == "" || again.text("refresh_token") == r.text("refresh_token") {
		t.Errorf("the refresh gave %d %s", again.Status, again.Body)
	}
}

// A person who is not signed in does that first, and returns to the application.
func TestADeepLinkLeadsThroughSignInAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	b := stopping(w.Browser(t))
	p := authorize(b, c.request("organization", "meridian", "login_hint", "bo@meridian.example"))
	if !strings.HasPrefix(p.URL.Path, "/sign-in/att_") || !p.Says("Books") {
		t.Fatalf("led to %s: %s", p.URL, p.Text())
	}
	p = p.Form("main").Fill("password", idptest.Password).Submit("")
	if answer(p).Get("code") == "" || p.Status != http.StatusOK {
		t.Fatalf("after sign-in at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	if r := w.redeem(c, answer(p).Get("code")); r.Status != http.StatusOK {
		t.Errorf("the code gave %d %s", r.Status, r.Body)
	}
}
