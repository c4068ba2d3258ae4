package op_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/op"
)

// OPR-2, OPR-3: a code works only with its own client, address and verifier. An attempt without
// them uses nothing up, before the application redeems the code or after.
func TestOPR3ACodeIsBoundToItsRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := w.books(), w.books()
	second := w.register("", application.Web, settings(func(s *application.Settings) { s.RedirectURIs = append(s.RedirectURIs, "https://books.example/second") }))
	wrong := func(what, code string) {
		t.Helper()
		for name, more := range map[string][]string{
			"another verifier": {"code_verifier", strings.Repeat("v", 43)}, "no verifier": {"code_verifier", "-"}, "an empty verifier": {"code_verifier", ""},
			"the challenge": {"code_verifier", challenge(verifier)}, "another address": {"redirect_uri", callback + "/"}, "no address": {"redirect_uri", "-"},
			"another code": {"code", code + "a"}, "half a code": {"code", code[:20]},
		} {
			w.wantError(what+": "+name, w.redeem(c, code, more...), http.StatusBadRequest, "invalid_grant")
		}
		for name, none := range map[string]string{"an empty code": "", "no code": "-"} {
			w.wantError(what+": "+name, w.redeem(c, code, "code", none), http.StatusBadRequest, "invalid_request")
		}
		w.wantError(what+": another client", w.redeem(other, code), http.StatusBadRequest, "invalid_grant")
		form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
		w.wantError(what+": no client", w.do(w.post("/token", form)), http.StatusUnauthorized, "invalid_client")
		w.wantError(what+": a client without its secret", w.do(w.post("/token", with(form, "client_id", string(c.ID)))), http.StatusUnauthorized, "invalid_client")
	}
	code := w.code(w.bo, c)
	wrong("before", code)
	tokens := w.redeem(c, code)
	if tokens.Status != http.StatusOK {
		t.Fatalf("the application gets %d %s", tokens.Status, tokens.Body)
	}
	wrong("after", code)
	w.wantAlive("after wrong attempts", c, tokens)

	code = w.code(w.bo, second, "redirect_uri", "https://books.example/second")
	w.wantError("another of its own addresses", w.redeem(second, code), http.StatusBadRequest, "invalid_grant")
	if r := w.redeem(second, code, "redirect_uri", "https://books.example/second"); r.Status != http.StatusOK {
		t.Errorf("its address: %d %s", r.Status, r.Body)
	}
}

// OPR-2: a verifier has 43 to 128 characters, whatever its challenge (RFC 7636 §4.1).
func TestOPR2VerifiersOfTheWrongLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for length, status := range map[int]int{42: 400, 43: 200, 128: 200, 129: 400} {
		v := strings.Repeat("v", length)
		if r := w.redeem(c, w.code(w.bo, c, "code_challenge", challenge(v)), "code_verifier", v); r.Status != status {
			t.Errorf("%d characters: %d %s", length, r.Status, r.Body)
		}
	}
}

// OPR-3: a second valid attempt ends all tokens of the first, even if it comes late, and is
// audited.
func TestOPR3ACodeUsedTwiceEndsWhatItGave(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]time.Duration{"at once": 0, "after the code's end": 2 * op.CodeLasts} {
		w := newWorld(t)
		c := w.books()
		code := w.code(w.bo, c)
		tokens := w.redeem(c, code)
		w.wantAlive(name, c, tokens)
		w.Clock.Advance(later)
		w.wantError(name, w.redeem(c, code), http.StatusBadRequest, "invalid_grant")
		w.wantDead(name, c, tokens)
		if n := w.audited("grant.ended", "refused"); n != 1 {
			t.Errorf("%s: the log has it %d times", name, n)
		}
	}
}

func TestOPR3ACodeLivesAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	code, late := w.code(w.bo, c), w.code(w.bo, c)
	w.Clock.Advance(op.CodeLasts - time.Microsecond)
	if r := w.redeem(c, code); r.Status != http.StatusOK {
		t.Errorf("within: %d %s", r.Status, r.Body)
	}
	w.Clock.Advance(time.Microsecond)
	w.wantError("after a minute", w.redeem(c, late), http.StatusBadRequest, "invalid_grant")
}

// OPR-3: if eight callers send a code at once, to whatever nodes, one gets tokens. The others are
// second attempts, so those tokens have ended.
func TestOPR3EightCallersWithOneCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idptest.Named)
	nodes := []*world{w, w.node()}
	c := w.books()
	for range 5 {
		code := w.code(w.bo, c)
		got := make([]reply, 8)
		n := together(8, func(i int) bool {
			got[i] = nodes[i%2].redeem(c, code)
			return got[i].Status == http.StatusOK
		})
		if n != 1 {
			t.Errorf("%d of eight got tokens", n)
		}
		for i, r := range got {
			if r.Status == http.StatusOK {
				nodes[1-i%2].wantDead("after seven more", c, r)
			} else {
				w.wantError("one of the others", r, http.StatusBadRequest, "invalid_grant")
			}
		}
	}
}

// R-OPR-05: eight callers with one refresh token count as one application whose answers were
// lost: all get the same next token. After the grace a caller with the old one counts as a thief.
func TestOPR3EightCallersWithOneRefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idptest.Named)
	nodes := []*world{w, w.node()}
	c := w.books()
	for range 5 {
		first := w.enter(w.bo, c)
		got := make([]reply, 8)
		n := together(8, func(i int) bool {
			got[i] = nodes[i%2].refresh(c, first.text("refresh_token"))
			return got[i].Status == http.StatusOK && got[i].text("refresh_token") != ""
		})
		if n != 8 {
			t.Fatalf("%d of eight went on: %v", n, got)
		}
		for _, r := range got {
			if r.text("refresh_token") != got[0].text("refresh_token") || r.text("refresh_token") == first.text("refresh_token") {
				t.Error("the successor is not one and new")
			}
			if info := nodes[1].userInfo(r.text("access_token")); info.Status != http.StatusOK {
				t.Errorf("an access token is refused: %d %s", info.Status, info.Body)
			}
		}
		w.Clock.Advance(op.RetryGrace - time.Microsecond)
		if r := w.refresh(c, first.text("refresh_token")); r.text("refresh_token") != got[0].text("refresh_token") {
			t.Errorf("a retry within the grace: %d %s", r.Status, r.Body)
		}
		w.wantAlive("within the grace", c, got[0])
		w.Clock.Advance(time.Microsecond)
		if n := together(8, func(i int) bool { return nodes[i%2].refresh(c, first.text("refresh_token")).Status == http.StatusOK }); n != 0 {
			t.Errorf("%d of eight got something for a token that was replaced", n)
		}
		nodes[1].wantDead("after the reuse", c, got[0])
	}
	if n := w.audited("grant.ended", "refused"); n != 5 {
		t.Errorf("the log has %d of 5", n)
	}
}

// A refresh token that was replaced twice ends the grant even within the grace.
func TestOPR3ARefreshTokenOfTwoGenerationsAgoEndsAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	first := w.enter(w.bo, c)
	last := w.refresh(c, w.refresh(c, first.text("refresh_token")).text("refresh_token"))
	w.wantAlive("before", c, last)
	w.wantError("the first", w.refresh(c, first.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
	w.wantDead("after", c, last)
}

// R-OPR-05: a refresh token works only for its client and only as a whole, and ends at a fixed
// time however often it rotates. Wrong attempts use nothing up.
func TestOPR3RefreshTokensAreBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := w.register("", application.Web, settings(func(s *application.Settings) { s.RefreshFor = 2 * time.Hour })), w.books()
	first := w.enter(w.bo, c)
	token := first.text("refresh_token")
	family, own, _ := strings.Cut(token, ".")
	w.wantError("another client", w.refresh(other, token), http.StatusBadRequest, "invalid_grant")
	w.wantError("none", w.refresh(c, ""), http.StatusBadRequest, "invalid_request") // RFC 6749 §5.2
	for _, sent := range []string{".", family, "." + own, own + "." + family, strings.ToUpper(token), first.text("access_token"), first.text("id_token")} {
		w.wantError(sent, w.refresh(c, sent), http.StatusBadRequest, "invalid_grant")
	}
	w.wantAlive("after wrong attempts", c, first)
	for range 3 {
		w.Clock.Advance(40*time.Minute - time.Second)
		r := w.refresh(c, token)
		if token = r.text("refresh_token"); token == "" {
			t.Fatalf("no refresh but %d %s", r.Status, r.Body)
		}
	}
	w.Clock.Advance(3 * time.Second)
	w.wantError("after two hours", w.refresh(c, token), http.StatusBadRequest, "invalid_grant")
}

// OPR-5: a refresh never gives more than was granted, and a token with less scope gives less.
func TestOPR5ScopesOnlyShrink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.InIDToken = true }))
	narrow := w.enter(w.bo, c, "scope", "openid groups admin openid * email:write")
	if narrow.text("scope") != "openid" {
		t.Errorf("granted %q", narrow.text("scope"))
	}
	for _, scope := range []string{"email", "openid email", "openid groups email", "*", "groups", "OPENID", "openid,email"} {
		w.wantError(scope, w.refresh(c, narrow.text("refresh_token"), "scope", scope), http.StatusBadRequest, "invalid_scope")
	}
	w.wantAlive("after wrong attempts", c, narrow)
	// Scopes that were left out of the first request are left out again.
	again := w.refresh(c, narrow.text("refresh_token"), "scope", "openid groups admin * email:write")
	if again.text("scope") != "openid" {
		t.Errorf("asked again, got %d %s", again.Status, again.Body)
	}
	w.change(c, func(s *application.Settings) { s.Scopes = append(s.Scopes, application.GroupsInfo) }) // the client may ask for it now, but this grant does not have it
	if more := w.refresh(c, again.text("refresh_token"), "scope", "openid groups"); more.text("scope") != "openid" {
		t.Errorf("asked again, after it was registered, got %d %s", more.Status, more.Body)
	}
	if info := w.userInfo(narrow.text("access_token")); info.JSON["email"] != nil || info.JSON["name"] != nil {
		t.Errorf("openid alone tells %s", info.Body)
	}

	wide := w.enter(w.bo, c)
	less := w.refresh(c, wide.text("refresh_token"), "scope", "openid openid profile")
	if less.text("scope") != "openid profile" {
		t.Errorf("asked for less, got %q", less.text("scope"))
	}
	if info := w.userInfo(less.text("access_token")); info.JSON["email"] != nil || info.text("name") != "Bo Lind" {
		t.Errorf("a token without email tells %s", info.Body)
	}
	if id := w.claims(less.text("id_token"), "JWT"); id["email"] != nil {
		t.Errorf("an ID token without email tells %v", id)
	}
	nobody := w.refresh(c, less.text("refresh_token"), "scope", "email")
	w.wantError("without openid", w.userInfo(nobody.text("access_token")), http.StatusForbidden, "insufficient_scope")
	if all := w.refresh(c, nobody.text("refresh_token")); all.text("scope") != "openid profile email" {
		t.Errorf("the grant itself shrank to %q", all.text("scope")) // RFC 6749 §6: without scope, all that was granted is asked for
	}
}

// OPR-5, R-OPR-08: when a scope is removed from a registration, existing tokens lose it too.
func TestOPR5AScopeThatWasTakenAwayIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	tokens := w.enter(w.bo, c)
	code := w.code(w.bo, c)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := application.Change(ctx, tx, directory.Operator(), w.URL, c.Application, settings(func(s *application.Settings) { s.Scopes = []string{application.OpenID} }))
		return err
	})
	for name, r := range map[string]reply{"refresh": w.refresh(c, tokens.text("refresh_token")), "code": w.redeem(c, code)} {
		if r.text("scope") != "openid" {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	if info := w.userInfo(tokens.text("access_token")); info.Status != http.StatusOK || info.JSON["email"] != nil {
		t.Errorf("UserInfo says %d %s", info.Status, info.Body)
	}
}

// OPR-5: a machine gets tokens for itself, with its own scopes and in its own organization only.
func TestOPR5AMachineGetsItsOwnScopesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	machine := w.register(w.org.ID, application.Machine, application.Settings{Name: "Robot", Auth: application.Secret, OwnBehalf: true, Scopes: []string{"orders:read"}, Audience: "https://orders.example"})
	ask := func(c client, more ...string) reply {
		return w.call(c, "/token", with(url.Values{"grant_type": {"client_credentials"}}, more...))
	}
	for _, scope := range []string{"openid", "orders:write", "*", "orders:read openid", "email"} {
		w.wantError(scope, ask(machine, "scope", scope), http.StatusBadRequest, "invalid_scope")
	}
	w.wantError("another organization", ask(machine, "organization", "lumen"), http.StatusBadRequest, "invalid_request")
	w.wantError("a client for people", ask(w.books()), http.StatusBadRequest, "unauthorized_client")
	w.wantError("passwords", ask(machine, "grant_type", "password", "username", "bo@meridian.example", "password", idptest.Password), http.StatusBadRequest, "unsupported_grant_type")
	w.wantError("a code", ask(machine, "grant_type", "authorization_code", "code", "x"), http.StatusBadRequest, "unauthorized_client")
	r := ask(machine, "scope", "orders:read")
	claims := w.claims(r.text("access_token"), "at+jwt")
	aud, _ := claims["aud"].([]any)
	expect.Equal[any](t, "sub", claims["sub"], string(machine.ID))
	expect.Equal[any](t, "scope", claims["scope"], "orders:read")
	expect.Equal(t, "refresh_token", r.text("refresh_token"), "")
	expect.Equal(t, "id_token", r.text("id_token"), "")
	if !slices.Equal(aud, []any{"https://orders.example"}) {
		t.Errorf("got %s: %v", r.Body, claims)
	}
	w.wantError("UserInfo", w.userInfo(r.text("access_token")), http.StatusUnauthorized, "invalid_token")
}
