package op_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/application"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// proof makes a valid DPoP proof (RFC 9449 §4.2) for a request, changed by c.
func (w *world) proof(key any, method, path, accessToken string, c claims) string {
	w.t.Helper()
	all := claims{"jti": secret.NewID("jti"), "htm": method, "htu": w.URL + path, "iat": w.Clock.Now().Unix()}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		all["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	for name, value := range c {
		all[name] = value
	}
	return sign(w.t, key, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"), all)
}

// prove calls an endpoint as c with proofs.
func (w *world) prove(c client, path string, form url.Values, proofs ...string) reply {
	w.t.Helper()
	r := w.as(c, path, form)
	r.Header["Dpop"] = proofs
	return w.do(r)
}

// infoBy calls UserInfo with this scheme and these proofs.
func (w *world) infoBy(scheme, token string, proofs ...string) reply {
	w.t.Helper()
	r := w.post("/userinfo", nil)
	r.Method = http.MethodGet
	r.Header.Set("Authorization", scheme+" "+token)
	r.Header["Dpop"] = proofs
	return w.do(r)
}

func byCode(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

func byRefresh(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// R-OPR-15: a bound token needs a proof by its key, for this very request, which works once.
func TestOPR15BoundTokensNeedTheirKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	nodes := []*world{w, w.node()}
	c := w.books()
	key, other := secret.NewECKey(), secret.NewECKey()
	code := w.code(w.bo, c)
	for name, proofs := range map[string][]string{
		"none that can be read": {"x"}, "two": {w.proof(key, "POST", "/token", "", nil), w.proof(key, "POST", "/token", "", nil)},
		"for GET": {w.proof(key, "GET", "/token", "", nil)}, "for another address": {w.proof(key, "POST", "/par", "", nil)},
		"for another host": {w.proof(key, "POST", "/token", "", claims{"htu": "https://evil.example/token"})}, "of yesterday": {w.proof(key, "POST", "/token", "", claims{"iat": start.Add(-24 * time.Hour).Unix()})},
		"of tomorrow": {w.proof(key, "POST", "/token", "", claims{"iat": start.Add(24 * time.Hour).Unix()})}, "without an id": {w.proof(key, "POST", "/token", "", claims{"jti": ""})},
		"of another type": {sign(t, key, (&jose.SignerOptions{EmbedJWK: true}).WithType("JWT"), claims{"jti": "x", "htm": "POST", "htu": w.URL + "/token", "iat": start.Unix()})},
	} {
		w.wantError("a proof "+name, w.prove(c, "/token", byCode(code), proofs...), http.StatusBadRequest, "invalid_dpop_proof")
	}
	used := w.proof(key, "POST", "/token", "", nil)
	tokens := w.prove(c, "/token", byCode(code), used)
	if tokens.Status != http.StatusOK || tokens.text("token_type") != "DPoP" {
		t.Fatalf("bound tokens: %d %s", tokens.Status, tokens.Body)
	}
	token, refresh := tokens.text("access_token"), tokens.text("refresh_token")
	for _, node := range nodes {
		w.wantError("a replayed proof", node.prove(c, "/token", byRefresh(refresh), used), http.StatusBadRequest, "invalid_dpop_proof")
	}
	w.wantError("as bearer", w.userInfo(token), http.StatusUnauthorized, "invalid_token")
	w.wantError("as bearer with its proof", w.infoBy("Bearer", token, w.proof(key, "GET", "/userinfo", token, nil)), http.StatusUnauthorized, "invalid_token")
	form := w.post("/userinfo", url.Values{"access_token": {token}})
	w.wantError("as bearer in a form", w.do(form), http.StatusUnauthorized, "invalid_token")
	for name, proofs := range map[string][]string{
		"none": nil, "another key's": {w.proof(other, "GET", "/userinfo", token, nil)}, "of another token": {w.proof(key, "GET", "/userinfo", "another", nil)},
		"of no token": {w.proof(key, "GET", "/userinfo", "", nil)}, "for POST": {w.proof(key, "POST", "/userinfo", token, nil)}, "for the token endpoint": {w.proof(key, "GET", "/token", token, nil)}, "used": {used},
	} {
		r := w.infoBy("DPoP", token, proofs...)
		expect.Equal(expect.Case(t, "a proof: %s", name), "sub", r.text("sub"), "")
		if r.Status != http.StatusUnauthorized && r.Status != http.StatusBadRequest || r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("a proof: %s: %d %s", name, r.Status, r.Body)
		}
	}
	proof := w.proof(key, "GET", "/userinfo", token, nil)
	if n := together(8, func(i int) bool { return nodes[i%2].infoBy("DPoP", token, proof).Status == http.StatusOK }); n != 1 {
		t.Errorf("%d of eight with one proof", n)
	}
	plain := w.enter(w.bo, c)
	w.wantError("a token that is bound to nothing", w.infoBy("DPoP", plain.text("access_token"), w.proof(key, "GET", "/userinfo", plain.text("access_token"), nil)), http.StatusUnauthorized, "invalid_token")

	// The application cannot get rid of the key by leaving the proof out.
	w.wantError("a refresh without a proof", w.refresh(c, refresh), http.StatusBadRequest, "invalid_dpop_proof")
	next := w.prove(c, "/token", byRefresh(refresh), w.proof(key, "POST", "/token", "", nil))
	if next.Status != http.StatusOK || next.text("token_type") != "DPoP" {
		t.Errorf("a refresh: %d %s", next.Status, next.Body)
	}
}

// A proof that nothing was given for is not stored: anybody can make more of them.
func TestOPR15AProofOfARefusedCallLeavesNoRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spa := w.register("", application.SinglePage, settings(func(s *application.Settings) { s.Auth, s.BoundOnly = application.NoAuth, true }))
	key := secret.NewECKey()
	w.wantError("no code of ours", w.prove(spa, "/token", byCode("x"), w.proof(key, "POST", "/token", "", nil)), http.StatusBadRequest, "invalid_grant")
	w.wantError("no refresh token of ours", w.prove(spa, "/token", byRefresh("x.y"), w.proof(key, "POST", "/token", "", nil)), http.StatusBadRequest, "invalid_grant")
	expect.Equal(t, "proofs", w.countWhere("used_proofs", "1 = 1"), 0)
	tokens := w.prove(spa, "/token", byCode(w.code(w.bo, spa)), w.proof(key, "POST", "/token", "", nil))
	expect.Equal(t, "status", tokens.Status, http.StatusOK)
	expect.Equal(t, "proofs", w.countWhere("used_proofs", "1 = 1"), 1)
	token := tokens.text("access_token")
	w.wantError("another key", w.infoBy("DPoP", token, w.proof(secret.NewECKey(), "GET", "/userinfo", token, nil)), http.StatusUnauthorized, "invalid_token")
	expect.Equal(t, "proofs after another key's", w.countWhere("used_proofs", "1 = 1"), 1)
	pushed := func() reply { return w.prove(spa, "/par", spa.request(), w.proof(key, "POST", "/par", "", nil)) }
	stored := 1
	for pushed().Status == http.StatusCreated {
		stored++
		if stored > 1000 {
			t.Fatal("requests of a stranger are not limited")
		}
	}
	expect.Equal(t, "proofs of pushed requests", w.countWhere("used_proofs", "1 = 1"), stored)
}

// A proof works once, at whichever grant, and a call with a used one uses nothing else up.
func TestOPR15AProofWorksOnceAtEveryGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Devices, s.OwnBehalf = true, true }))
	key := secret.NewECKey()
	fresh := func() string { return w.proof(key, "POST", "/token", "", nil) }
	used := fresh()
	machine := url.Values{"grant_type": {"client_credentials"}}
	expect.Equal(t, "first", w.prove(c, "/token", machine, used).Status, http.StatusOK)
	for name, grant := range map[string]url.Values{
		"a machine": machine, "a code": byCode(w.code(w.bo, c)), "a refresh": byRefresh(w.enter(w.bo, c).text("refresh_token")), "a device": byDevice(w.device(w.bo, c)),
	} {
		w.wantError(name, w.prove(c, "/token", grant, used), http.StatusBadRequest, "invalid_dpop_proof")
		expect.Equal(expect.Case(t, "%s with a fresh proof", name), "status", w.prove(c, "/token", grant, fresh()).Status, http.StatusOK)
	}
}

// RFC 9449 §5: a public client has no secret, so its refresh token is bound to its key.
func TestOPR15APublicClientsRefreshTokenIsBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spa := w.register("", application.SinglePage, settings(func(s *application.Settings) { s.Auth, s.BoundOnly = application.NoAuth, true }))
	key, other := secret.NewECKey(), secret.NewECKey()
	code := w.code(w.bo, spa)
	w.wantError("no proof", w.redeem(spa, code), http.StatusBadRequest, "invalid_dpop_proof")
	tokens := w.prove(spa, "/token", byCode(code), w.proof(key, "POST", "/token", "", nil))
	refresh := byRefresh(tokens.text("refresh_token"))
	w.wantError("refresh without", w.call(spa, "/token", refresh), http.StatusBadRequest, "invalid_dpop_proof")
	w.wantError("refresh by another key", w.prove(spa, "/token", refresh, w.proof(other, "POST", "/token", "", nil)), http.StatusBadRequest, "invalid_dpop_proof")
	if r := w.prove(spa, "/token", refresh, w.proof(key, "POST", "/token", "", nil)); r.Status != http.StatusOK {
		t.Errorf("refresh by the key: %d %s", r.Status, r.Body)
	}
	// A code whose request named a key is redeemed only with that key (RFC 9449 §10).
	thumbprint, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	code = w.code(w.bo, spa, "dpop_jkt", base64.RawURLEncoding.EncodeToString(thumbprint))
	w.wantError("a code by another key", w.prove(spa, "/token", byCode(code), w.proof(other, "POST", "/token", "", nil)), http.StatusBadRequest, "invalid_grant")
	if r := w.prove(spa, "/token", byCode(code), w.proof(key, "POST", "/token", "", nil)); r.Status != http.StatusOK {
		t.Errorf("a code by its key: %d %s", r.Status, r.Body)
	}
}

// A proof of before a restore is refused: whether it came in is not remembered.
func TestOPR15AProofOfBeforeARestoreIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	c := w.books()
	key := secret.NewECKey()
	w.DB.Restored = w.Clock.Now().Add(10 * time.Second)
	before := w.proof(key, "POST", "/token", "", nil)
	ahead := w.proof(key, "POST", "/token", "", claims{"iat": w.Clock.Now().Add(50 * time.Second).Unix()})
	w.Clock.Advance(20 * time.Second)
	code := w.code(w.bo, c)
	for which, proof := range map[string]string{"it": before, "one of a clock ahead": ahead} {
		if r := w.prove(c, "/token", byCode(code), proof); r.Status != http.StatusBadRequest {
			t.Errorf("%s is answered %d %s", which, r.Status, r.Body)
		}
	}
	w.Clock.Advance(time.Minute)
	if r := w.prove(c, "/token", byCode(w.code(w.bo, c)), w.proof(key, "POST", "/token", "", nil)); r.Status != http.StatusOK {
		t.Errorf("one of a minute afterwards is answered %d %s", r.Status, r.Body)
	}
}
