package op_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/application"
	"parvis/internal/op"
	"parvis/internal/secret"
)

// OPR-10, R-OPR-06: each kind of token works for one purpose only.
func TestOPR10NoTokenPassesForAnotherKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	heard := w.receiver(http.StatusOK)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = heard.URL }))
	opaque := w.register("", application.Web, settings(func(s *application.Settings) { s.Opaque = true }))
	sealed := w.enter(w.bo, opaque)
	gone := w.enter(w.ana, c)
	w.signOut(w.ana)
	w.sweep()
	logout := heard.token(t, 0)
	tokens, code := w.enter(w.bo, c), w.code(w.bo, c)
	all := map[string]string{
		"access token": tokens.text("access_token"), "ID token": tokens.text("id_token"), "refresh token": tokens.text("refresh_token"), "code": code,
		"logout token": logout, "sealed access token": sealed.text("access_token"), "secret": c.secret, "ended access token": gone.text("access_token"),
		"seal without its text": "pat_", "seal of nothing": "pat_" + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
	}
	for kind, token := range all {
		if kind != "access token" && kind != "sealed access token" {
			w.wantError(kind+" as access token", w.userInfo(token), http.StatusUnauthorized, "invalid_token")
			if kind != "refresh token" && w.active(c, token) {
				t.Errorf("%s is active", kind)
			}
		}
		if kind != "refresh token" {
			w.wantError(kind+" as refresh token", w.refresh(c, token), http.StatusBadRequest, "invalid_grant")
		}
		if kind != "code" {
			w.wantError(kind+" as code", w.redeem(c, token), http.StatusBadRequest, "invalid_grant")
		}
		if kind != "ID token" {
			w.wantTold(kind+" as id_token_hint", authorize(w.bo, c.request("id_token_hint", token)).Header.Get("Location"), "st/ate &+1", "invalid_request")
			wantPage(t, kind+" as id_token_hint of a logout", w.bo.Get("/end-session?id_token_hint="+url.QueryEscape(token)), http.StatusBadRequest)
		}
		if r := w.call(c, "/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {token}}); r.Status != http.StatusBadRequest {
			t.Errorf("%s as device code: %d", kind, r.Status)
		}
		if r := w.call(c, "/revoke", url.Values{"token": {token}}); kind != "access token" && kind != "refresh token" && r.Status != http.StatusOK {
			t.Errorf("revoking %s: %d", kind, r.Status)
		}
		if kind == "access token" || kind == "refresh token" { // this call revoked it, as it should
			tokens = w.enter(w.bo, c)
			all["access token"], all["refresh token"] = tokens.text("access_token"), tokens.text("refresh_token")
		}
	}
	// A client can do nothing with another client's tokens (R-OPR-13).
	other := w.books()
	mine := w.enter(w.bo, c)
	if w.active(other, mine.text("access_token")) || w.active(other, mine.text("refresh_token")) {
		t.Error("another client learns that a token is active")
	}
	for _, token := range []string{mine.text("access_token"), mine.text("refresh_token")} {
		if r := w.call(other, "/revoke", url.Values{"token": {token}}); r.Status != http.StatusOK {
			t.Errorf("revoking a foreign token: %d", r.Status)
		}
	}
	w.wantAlive("after another client revoked", c, mine)
	w.call(c, "/revoke", url.Values{"token": {mine.text("refresh_token")}})
	w.wantDead("after its own client revoked", c, mine)
}

// OPR-10: a token that we did not sign is refused.
func TestOPR10ForgedTokens(t *testing.T) {
	t.Parallel()
	w, foreign := newWorld(t, named), newWorld(t, named) // two installations that call themselves the same
	c := w.books()
	tokens := w.enter(w.bo, c)
	theirs := foreign.enter(foreign.bo, foreign.books())
	parts := strings.Split(tokens.text("access_token"), ".")
	head, payload := map[string]any{}, claims{}
	for i, into := range []any{&head, &payload} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	raw := func(change string, value any) string {
		h := map[string]any{}
		for name, v := range head {
			h[name] = v
		}
		h[change] = value
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	evil, kid := secret.NewECKey(), head["kid"]
	typ := (&jose.SignerOptions{}).WithType("at+jwt")
	for name, token := range map[string]string{
		"without a signature":   parts[0] + "." + parts[1] + ".",
		"alg none":              raw("alg", "none") + "." + parts[1] + ".",
		"alg HS256":             raw("alg", "HS256") + "." + parts[1] + "." + parts[2],
		"alg RS256":             raw("alg", "RS256") + "." + parts[1] + "." + parts[2],
		"another type":          raw("typ", "JWT") + "." + parts[1] + "." + parts[2],
		"another payload":       parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+w.URL+`"}`)) + "." + parts[2],
		"a foreign key":         sign(t, evil, typ, payload),
		"a foreign key as ours": sign(t, evil, typ.WithHeader("kid", kid), payload),
		"its key beside it":     sign(t, evil, (&jose.SignerOptions{EmbedJWK: true}).WithType("at+jwt"), payload),
		"its key elsewhere":     sign(t, evil, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("jku", "https://evil.example/jwks"), payload),
		"another installation":  theirs.text("access_token"),
		"huge":                  tokens.text("access_token") + strings.Repeat("A", 20000),
		"JSON":                  `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"empty":                 "..",
	} {
		w.wantError(name, w.userInfo(token), http.StatusUnauthorized, "invalid_token")
		if w.active(c, token) {
			t.Errorf("%s is active", name)
		}
	}
	w.wantAlive("the right one", c, tokens)
	w.wantTold("an ID token of another installation", authorize(w.bo, c.request("id_token_hint", theirs.text("id_token"), "prompt", "none")).Header.Get("Location"), "st/ate &+1", "login_required")
	w.wantError("a refresh token of another installation", w.refresh(c, theirs.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

// OPR-10, R-OPR-12: a new key is published before it signs, the old key stays until its last token
// has expired, and no private part is ever published. A leaked key is removed at once.
func TestOPR10RotationLosesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	other := w.node()
	c := w.books()
	published := func(w *world) map[string]bool {
		r := w.post("/jwks", nil)
		r.Method = http.MethodGet
		got := w.do(r)
		ids := map[string]bool{}
		all, _ := got.JSON["keys"].([]any)
		for _, one := range all {
			k, _ := one.(map[string]any)
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
				if k[private] != nil {
					t.Errorf("the key set tells %s", private)
				}
			}
			id, _ := k["kid"].(string)
			ids[id] = true
		}
		return ids
	}
	kid := func(token string) string {
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		return signed.Signatures[0].Header.KeyID
	}
	before := w.enter(w.bo, c)
	first := kid(before.text("id_token"))
	w.Clock.Advance(time.Minute)
	if err := w.Provider.Keys.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Minute)
	if now := kid(other.enter(other.bo, c).text("id_token")); now != first || len(published(w)) < 2 || len(published(other)) < 2 {
		t.Errorf("%s signs, published are %v", now, published(other))
	}
	w.Clock.Advance(op.KeyAhead)
	after := w.enter(w.bo, c)
	if second := kid(after.text("id_token")); second == first || !published(other)[first] || !published(other)[second] {
		t.Errorf("%s signs a day later, published are %v", second, published(other))
	}
	if got := answer(authorize(other.bo, c.request("id_token_hint", before.text("id_token")))); got.Get("code") == "" {
		t.Errorf("what the old key signed is refused in the overlap: %v", got)
	}
	w.Clock.Advance(op.KeyOverlap)
	if err := w.Provider.Keys.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Minute)
	if published(w)[first] || published(other)[first] {
		t.Error("the old key stays")
	}
	w.wantTold("what a retired key signed", authorize(w.bo, c.request("id_token_hint", before.text("id_token"), "prompt", "none")).Header.Get("Location"), "st/ate &+1", "login_required")

	live := w.enter(w.bo, c)
	w.wantAlive("before the leak", c, live)
	if err := w.Provider.Keys.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(10 * time.Second) // as long as another node uses the keys that it read
	for _, node := range []*world{w, other} {
		node.wantError("what a leaked key signed", node.userInfo(live.text("access_token")), http.StatusUnauthorized, "invalid_token")
		if len(published(node)) != 2 || published(node)[kid(live.text("id_token"))] {
			t.Errorf("published are %v", published(node))
		}
		if r := node.refresh(c, live.text("refresh_token")); r.Status != http.StatusOK {
			t.Errorf("the application cannot go on: %d %s", r.Status, r.Body)
		}
	}
}

// OPR-10: tokens with unknown keys are refused, and even many of them disturb nobody.
func TestOPR10AFloodOfUnknownKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	tokens := w.enter(w.bo, c)
	key := secret.NewECKey()
	n := together(40, func(int) bool {
		forged := sign(t, key, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", secret.NewID("key")), claims{"iss": w.URL})
		return w.userInfo(forged).Status == http.StatusUnauthorized
	})
	if n != 40 {
		t.Errorf("%d of 40 were refused", n)
	}
	w.wantAlive("afterwards", c, tokens)
}
