package sample_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

type object = map[string]any

// forger is a provider whose tokens say what a test wants.
type forger struct {
	issuer  string
	key     *ecdsa.PrivateKey
	nonce   string
	change  object       // claims of the next ID token; nil removes one
	subject string       // in UserInfo
	refresh atomic.Int64 // the number of the one refresh token that is good
	down    bool         // no token is given
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, key any, algorithm jose.SignatureAlgorithm, typ string, claims object) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// unsigned returns what a library that accepts alg none takes for a token.
func unsigned(t *testing.T, claims object) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"logout+jwt"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
}

// with returns claims with some changed, and without those that are nil.
func with(claims, change object) object {
	all := maps.Clone(claims)
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

func (f *forger) handler(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	say := func(pattern string, what func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			what := what(r)
			if o, ok := what.(object); ok && o["error"] != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
			if err := json.NewEncoder(w).Encode(what); err != nil {
				t.Error(err)
			}
		})
	}
	say("/.well-known/openid-configuration", func(*http.Request) any {
		return object{
			"issuer": f.issuer, "authorization_endpoint": f.issuer + "/authorize", "token_endpoint": f.issuer + "/token", "jwks_uri": f.issuer + "/jwks",
			"userinfo_endpoint": f.issuer + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
		}
	})
	say("/jwks", func(*http.Request) any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: f.key.Public(), Algorithm: "ES256", Use: "sig"}}}
	})
	say("/token", func(r *http.Request) any {
		if f.down {
			return object{"error": "temporarily_unavailable"}
		}
		if old := r.PostFormValue("refresh_token"); old != "" && old != fmt.Sprint("r", f.refresh.Load()) {
			f.refresh.Add(1) // a stolen token was used: the other is no longer good either
			return object{"error": "invalid_grant"}
		}
		id := object{"iss": f.issuer, "sub": "ana", "aud": "collaborate", "sid": "s1", "nonce": f.nonce, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
		return object{"access_token": "x", "token_type": "Bearer", "expires_in": 60, "refresh_token": fmt.Sprint("r", f.refresh.Add(1)), "id_token": sign(t, f.key, jose.ES256, "JWT", with(id, f.change))}
	})
	say("/userinfo", func(*http.Request) any { return object{"sub": f.subject, "acr": "aal9", "name": "Ana"} })
	return mux
}

// forged is an application whose provider is a forger.
func forged(t *testing.T) (app string, f *forger) {
	t.Helper()
	app, answer := open(t)
	f = &forger{key: newKey(t), subject: "ana"}
	s := httptest.NewServer(f.handler(t))
	t.Cleanup(s.Close)
	f.issuer = s.URL
	answer(newSample(t, "collaborate", app, f.issuer))
	return app, f
}

// enter signs in with whatever the forger gives.
func (f *forger) enter(t *testing.T, b *browser, app string) answered {
	t.Helper()
	to, err := url.Parse(b.do(t, app+"/calendar", nil).header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	f.nonce = to.Query().Get("nonce")
	return b.visit(t, app+"/callback?"+url.Values{"code": {"x"}, "state": {to.Query().Get("state")}}.Encode(), nil)
}

func TestRPO3OnlyAnIDTokenForThisApplicationSignsIn(t *testing.T) {
	app, f := forged(t)
	a := f.enter(t, newBrowser(t, ""), app)
	a.wants(t, http.StatusOK, app+"/calendar", "Ana")
	for what, change := range map[string]object{
		"of another issuer":    {"iss": "https://evil.example"},
		"for another":          {"aud": "architect"},
		"for another too":      {"aud": []string{"collaborate", "architect"}},
		"for nobody":           {"aud": nil},
		"of yesterday":         {"exp": time.Now().Add(-time.Hour).Unix()},
		"without a nonce":      {"nonce": nil},
		"with another nonce":   {"nonce": "x"},
		"about somebody else":  {"sub": "bo"}, // than UserInfo
		"of another's access":  {"at_hash": "AAAA"},
		"whose org is no list": {"org": "meridian"},
	} {
		t.Run(what, func(t *testing.T) {
			f.change = change
			b := newBrowser(t, "")
			f.enter(t, b, app).wants(t, http.StatusBadRequest, "")
			if !b.leadsAway(t, app+"/") {
				t.Error("somebody is signed in")
			}
		})
	}
	// What was not signed does not override what was.
	f.change = object{"acr": "aal1"}
	f.enter(t, newBrowser(t, ""), app).wants(t, http.StatusOK, app+"/calendar", "<dd><code>aal1</code></dd>")
}

func TestALogoutTokenIsJudged(t *testing.T) {
	app, f := forged(t)
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	const event = "http://schemas.openid.net/event/backchannel-logout"
	good := object{"iss": f.issuer, "aud": "collaborate", "iat": at(0), "exp": at(2 * time.Minute), "jti": "one", "sid": "s1", "sub": "ana", "events": object{event: object{}}}
	b := newBrowser(t, "")
	f.enter(t, b, app).wants(t, http.StatusOK, app+"/calendar")
	send := func(token string) answered {
		return newBrowser(t, "").do(t, app+"/backchannel-logout", url.Values{"logout_token": {token}})
	}
	signed := func(change object) string { return sign(t, f.key, jose.ES256, "logout+jwt", with(good, change)) }
	for what, token := range map[string]string{
		"none":                     "",
		"no token":                 "x.y.z",
		"of another type":          sign(t, f.key, jose.ES256, "JWT", good),
		"of another key":           sign(t, newKey(t), jose.ES256, "logout+jwt", good),
		"with the secret as key":   sign(t, []byte("secret of collaborate, made longer"), jose.HS256, "logout+jwt", good),
		"unsigned":                 unsigned(t, good),
		"of another issuer":        signed(object{"iss": "https://evil.example"}),
		"for another":              signed(object{"aud": "architect"}),
		"without an end":           signed(object{"exp": nil}),
		"that has ended":           signed(object{"exp": at(-time.Hour), "iat": at(-time.Hour)}),
		"without a time":           signed(object{"iat": nil}),
		"of tomorrow":              signed(object{"iat": at(time.Hour), "exp": at(time.Hour + time.Minute)}),
		"that lives for days":      signed(object{"exp": at(48 * time.Hour)}),
		"without events":           signed(object{"events": nil}),
		"of another event":         signed(object{"events": object{"https://example.org/event": object{}}}),
		"whose event is no object": signed(object{"events": object{event: true}}),
		"whose event is null":      signed(object{"events": object{event: nil}}),
		"with a nonce":             signed(object{"nonce": "x"}),
		"with a nonce of null":     signed(object{"nonce": json.RawMessage("null")}),
		"without a name":           signed(object{"jti": nil}),
		"about nobody":             signed(object{"sid": nil, "sub": nil}),
	} {
		t.Run(what, func(t *testing.T) {
			a := send(token)
			a.wants(t, http.StatusBadRequest, "", `"error":"invalid_request"`)
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" || !json.Valid([]byte(a.body)) {
				t.Errorf("%v\n%s", a.header, a.body)
			}
			if b.leadsAway(t, app+"/") {
				t.Error("it ended the session")
			}
		})
	}
	for _, other := range []object{{"jti": "two", "sid": "s2"}, {"jti": "three", "sid": nil, "sub": "bo"}, {"jti": "four", "sub": "bo"}} {
		if send(signed(other)).wants(t, http.StatusOK, ""); b.leadsAway(t, app+"/") {
			t.Fatal("it ended the session of another")
		}
	}
	a := send(signed(nil))
	if a.wants(t, http.StatusOK, ""); a.header.Get("Cache-Control") != "no-store" || !b.leadsAway(t, app+"/") {
		t.Error("a good one did not end the session")
	}
	// The same again, after the person came back.
	f.enter(t, b, app).wants(t, http.StatusOK, app+"/calendar")
	if send(signed(nil)).wants(t, http.StatusBadRequest, ""); b.leadsAway(t, app+"/") {
		t.Error("one that was used ended the next session")
	}
	if send(signed(object{"jti": "five", "sid": nil})).wants(t, http.StatusOK, ""); !b.leadsAway(t, app+"/") {
		t.Error("without sid it did not end the sessions of the person")
	}
}

func TestAnEndedSessionIsNotInItsCookie(t *testing.T) {
	app, f := forged(t)
	b := newBrowser(t, "")
	f.enter(t, b, app)
	first := b.cookies(t, app)
	// Somebody signs in once more in this browser.
	to, err := url.Parse(b.do(t, app+"/check", nil).header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	f.nonce = to.Query().Get("nonce")
	b.visit(t, app+"/callback?"+url.Values{"code": {"x"}, "state": {to.Query().Get("state")}}.Encode(), nil).wants(t, http.StatusOK, app+"/", "still signed in")
	second := b.cookies(t, app)
	// This provider has no page for signing out.
	b.visit(t, app+"/sign-out", url.Values{}).wants(t, http.StatusOK, app+"/signed-out", "no session in this application")
	for _, old := range [][]*http.Cookie{first, second} {
		if b.keep(t, app, old); !b.leadsAway(t, app+"/") {
			t.Error("a session that has ended opens the door")
		}
	}
}

func TestAStateBelongsToOneWayBack(t *testing.T) {
	app, _ := forged(t)
	b := newBrowser(t, "")
	to, err := url.Parse(b.do(t, app+"/calendar", nil).header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	state := "?state=" + to.Query().Get("state")
	b.do(t, app+"/signed-out"+state, nil).wants(t, http.StatusOK, "", "no session in this application")
	b.do(t, app+"/callback"+state+"&code=x", nil).wants(t, http.StatusBadRequest, "", "unknown_state")
}

func TestARefreshTokenIsUsedOnce(t *testing.T) {
	app, f := forged(t)
	b := newBrowser(t, "")
	f.enter(t, b, app)
	var tabs sync.WaitGroup
	for range 4 {
		tabs.Go(func() { b.do(t, app+"/tokens", url.Values{}) })
	}
	tabs.Wait()
	b.do(t, app+"/tokens", nil).wants(t, http.StatusOK, "", "It worked", "Refresh now")
	f.down = true // so the token is kept
	b.do(t, app+"/tokens", url.Values{}).wants(t, http.StatusServiceUnavailable, "", "does not answer")
	f.down = false
	b.visit(t, app+"/tokens", url.Values{}).wants(t, http.StatusOK, app+"/tokens", "It worked")
	f.change = object{"sub": "bo"}
	b.do(t, app+"/tokens", url.Values{}).wants(t, http.StatusForbidden, "", "refresh_refused")
	f.change, b = nil, newBrowser(t, "")
	f.enter(t, b, app)
	f.refresh.Add(1) // what the provider ended there has ended here
	b.do(t, app+"/tokens", url.Values{}).wants(t, http.StatusForbidden, "", "refresh_refused")
	if !b.leadsAway(t, app+"/") {
		t.Error("the session lives on")
	}
}

func TestTheFrontChannelNeedsProviderAndSession(t *testing.T) {
	app, f := forged(t)
	b := newBrowser(t, "")
	f.change = object{"sid": nil}
	f.enter(t, b, app)
	frame := func(iss, sid string) answered {
		return newBrowser(t, "").do(t, app+"/frontchannel-logout?"+url.Values{"iss": {iss}, "sid": {sid}}.Encode(), nil)
	}
	frame(f.issuer, "").wants(t, http.StatusBadRequest, "")
	if b.leadsAway(t, app+"/") {
		t.Error("no sid at all ends sessions without one")
	}
	f.change, b = nil, newBrowser(t, "")
	f.enter(t, b, app)
	frame("https://evil.example", "s1").wants(t, http.StatusBadRequest, "")
	frame(f.issuer, "s2").wants(t, http.StatusOK, "")
	if b.leadsAway(t, app+"/") {
		t.Error("the wrong frame ended the session")
	}
	a := frame(f.issuer, "s1")
	if a.wants(t, http.StatusOK, ""); !b.leadsAway(t, app+"/") {
		t.Error("the session lives on")
	}
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors "+f.issuer) {
		t.Errorf("the policy is %s", policy)
	}
}

func TestTheProviderMayStartLater(t *testing.T) {
	app, answer := open(t)
	f := &forger{key: newKey(t), subject: "ana"}
	var started atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !started.Load() {
			panic(http.ErrAbortHandler) // nobody answers, and the port stays ours
		}
		f.handler(t).ServeHTTP(w, r)
	}))
	defer s.Close()
	f.issuer = s.URL
	answer(newSample(t, "collaborate", app, f.issuer))
	b := newBrowser(t, "")
	b.do(t, app+"/calendar", nil).wants(t, http.StatusServiceUnavailable, "", "does not answer", "target_link_uri=http%3A%2F%2F127.0.0.1")
	b.do(t, app+"/backchannel-logout", url.Values{"logout_token": {"x"}}).wants(t, http.StatusServiceUnavailable, "")
	started.Store(true)
	f.enter(t, b, app).wants(t, http.StatusOK, app+"/calendar")
}

// Templates and Go use words that exist, in both languages, and every word is used.
func TestEveryWordIsThereAndUsed(t *testing.T) {
	var words map[string][]string
	text, err := os.ReadFile("words.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &words); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("pages.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\.T "([^"]+)"`).FindAllStringSubmatch(string(page), -1) {
		if len(words[m[1]]) == 0 {
			t.Errorf("there is no word %q", m[1])
		}
	}
	all := string(page)
	for _, name := range []string{"sample.go", "signin.go", "logout.go"} {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all += string(code)
	}
	for word, in := range words {
		if len(in) != 2 || in[0] == "" || in[1] == "" {
			t.Errorf("%s has %q", word, in)
		}
		if !strings.Contains(all, `"`+word+`"`) && !strings.HasSuffix(word, "_required") && word != "problem.access_denied" {
			t.Errorf("nobody says %s", word)
		}
	}
}
