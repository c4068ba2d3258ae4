package op_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// The certification plans of the OpenID Foundation, as tables. Each row is a module of its
// conformance suite, and checks the same. If the suite shows a page to the tester, who uploads
// a picture of it, the row reads the page.
//
// The suite sends PKCE in one module only, and in one no nonce either. So the modules need an
// application that was registered with code_protection none; with the default, all other modules
// would get invalid_request (TestOPR2LessThanPKCE). A certification is therefore for that
// setting. The suite skips modules for what we do not support; their rows check how such a
// request is refused, or what is ignored.

// basicPlan is oidcc-basic-certification-test-plan, in its order.
var basicPlan = []struct {
	module string
	run    func(*module)
}{
	{"oidcc-server", server},
	{"oidcc-response-type-missing", func(m *module) {
		m.refused([]string{"invalid_request", "unsupported_response_type"}, "response_type", "-")
	}},
	{"oidcc-idtoken-signature", idTokenSignature},
	{"oidcc-idtoken-unsigned", idTokenUnsigned},
	{"oidcc-userinfo-get", func(m *module) { m.knows(m.userInfo(m.enters().text("access_token"))) }},
	{"oidcc-userinfo-post-header", func(m *module) {
		r := m.post("/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+m.enters().text("access_token"))
		m.knows(m.do(r))
	}},
	{"oidcc-userinfo-post-body", func(m *module) {
		m.knows(m.do(m.post("/userinfo", url.Values{"access_token": {m.enters().text("access_token")}})))
	}},
	{"oidcc-ensure-request-without-nonce-succeeds-for-code-flow", func(m *module) {
		if _, has := m.enters("nonce", "-").id["nonce"]; has {
			m.t.Error("an ID token has a nonce that nobody sent")
		}
	}},
	{"oidcc-scope-profile", func(m *module) { m.tells("openid profile", "name locale updated_at") }},
	{"oidcc-scope-email", func(m *module) { m.tells("openid email", "email email_verified preferred_username") }},
	// We have no claims for addresses and telephones; the suite reads that in discovery.
	{"oidcc-scope-address", func(m *module) { m.tells("openid address", "") }},
	{"oidcc-scope-phone", func(m *module) { m.tells("openid phone", "") }},
	{"oidcc-scope-all", func(m *module) {
		m.tells("openid address email phone profile", "name locale updated_at email email_verified preferred_username")
	}},
	{"oidcc-ensure-other-scope-order-succeeds", func(m *module) { m.tells("email openid", "email email_verified preferred_username") }},
	{"oidcc-display-page", func(m *module) { m.strangerEnters("display", "page") }},
	{"oidcc-display-popup", func(m *module) { m.strangerEnters("display", "popup") }},
	{"oidcc-prompt-login", func(m *module) { m.provesAnew("prompt", "login") }},
	{"oidcc-prompt-none-not-logged-in", func(m *module) {
		m.b = stopping(m.Browser(m.t))
		m.refused([]string{"login_required"}, "prompt", "none", "state", long)
	}},
	{"oidcc-prompt-none-logged-in", func(m *module) { m.sameAgain(m.enters(), "prompt", "none") }},
	{"oidcc-max-age-1", func(m *module) { m.provesAnew("max_age", "1") }},
	{"oidcc-max-age-10000", func(m *module) { m.sameAgain(m.enters("max_age", "15000"), "max_age", "10000") }},
	{"oidcc-ensure-request-with-unknown-parameter-succeeds", func(m *module) { m.enters("extra", "foobar") }},
	{"oidcc-id-token-hint", func(m *module) {
		first := m.enters()
		m.sameAgain(first, "prompt", "none", "id_token_hint", first.text("id_token"))
	}},
	// The hint that the suite sends if none is configured; nobody here has that address.
	{"oidcc-login-hint", func(m *module) { m.strangerEnters("login_hint", "buffy@parvis.example") }},
	{"oidcc-ui-locales", func(m *module) { m.strangerEnters("ui_locales", "se") }},
	{"oidcc-claims-locales", func(m *module) { m.strangerEnters("claims_locales", "se") }},
	{"oidcc-ensure-request-with-acr-values-succeeds", func(m *module) {
		if e := m.enters("acr_values", "aal1 aal2"); e.id["acr"] != "aal1" {
			m.t.Errorf("acr is %v", e.id["acr"])
		}
	}},
	{"oidcc-codereuse", func(m *module) { m.codeReuse(0) }},
	{"oidcc-codereuse-30seconds", func(m *module) { m.codeReuse(30 * time.Second) }},
	{"oidcc-ensure-registered-redirect-uri", func(m *module) {
		m.shown(m.request("redirect_uri", callback+"-and-more"))
	}},
	{"oidcc-ensure-post-request-succeeds", func(m *module) {
		q := m.request()
		got := answer(m.b.CrossPost("/authorize", q))
		m.answered(q, got)
		m.redeems(q, got, false)
	}},
	{"oidcc-server-client-secret-post", func(m *module) {
		m.c.form = true
		server(m)
	}},
	{"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", func(m *module) {
		m.refused([]string{"request_uri_not_supported"}, "request_uri", "https://books.example/request.jwt")
	}},
	{"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", func(m *module) {
		m.refused([]string{"request_not_supported"}, "request", unsigned(map[string]any{"scope": "openid"}))
	}},
	{"oidcc-claims-essential", claimsEssential},
	{"oidcc-ensure-request-object-with-redirect-uri", func(m *module) {
		m.shown(m.request("redirect_uri", "https://evil.example/callback", "request", unsigned(map[string]any{"redirect_uri": callback})))
	}},
	{"oidcc-refresh-token", refreshToken},
	{"oidcc-ensure-request-with-valid-pkce-succeeds", func(m *module) {
		m.enters("code_challenge", challenge(verifier), "code_challenge_method", "S256")
	}},
}

func TestBasicPlanOfTheConformanceSuite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, row := range basicPlan {
		t.Run(row.module, func(t *testing.T) { row.run(w.module(t)) })
	}
}

// module is one module of the suite: its client, and the tester's browser, in which Bo is signed
// in.
type module struct {
	*world
	c client
	b *idptest.Browser
}

// module begins a module with a client of its own.
func (w *world) module(t *testing.T) *module {
	here := *w
	here.t = t
	m := &module{world: &here, b: w.bo}
	m.c = m.registers(func(*application.Settings) {})
	return m
}

// registers registers a client for the suite, which sends no PKCE.
func (m *module) registers(change func(*application.Settings)) client {
	m.t.Helper()
	return m.register("", application.Web, settings(func(s *application.Settings) {
		s.Protection = application.NoProtection
		change(s)
	}))
}

// request returns a request as the suite sends it: without PKCE, unless more has it.
func (m *module) request(more ...string) url.Values {
	return m.c.request(append([]string{"code_challenge", "-", "code_challenge_method", "-"}, more...)...)
}

// redeemed exchanges the code of a request.
func (m *module) redeemed(q url.Values, code string) reply {
	m.t.Helper()
	if q.Has("code_challenge") {
		return m.redeem(m.c, code)
	}
	return m.redeem(m.c, code, "code_verifier", "-")
}

// long is a state of 128 characters, which some servers cut or change.
var long = strings.Repeat("Ab0-_~ &", 16)

// asks sends the browser with a request. The tester signs in if a page asks for it.
func (m *module) asks(q url.Values) (got url.Values, signedIn bool) {
	m.t.Helper()
	p := authorize(m.b, q)
	if strings.HasPrefix(p.URL.Path, "/sign-in/") {
		signedIn = true
		form := p.Form("main")
		if p.Has("input", "name", "email") {
			form.Fill("email", "bo@meridian.example")
		}
		p = form.Fill("password", idptest.Password).Submit("")
	}
	got = answer(p)
	m.answered(q, got)
	return got, signedIn
}

// answered checks what is true of every answer: it has the state, and nothing that the suite does
// not know (CheckMatchingStateParameter, CheckMatchingCallbackParameters).
func (m *module) answered(q, got url.Values) {
	m.t.Helper()
	if got.Get("state") != q.Get("state") || got.Get("iss") != m.URL {
		m.t.Fatalf("to %v the answer is %v", q, got)
	}
	for name, values := range got {
		if !slices.Contains([]string{"code", "state", "iss", "error", "error_description"}, name) || len(values) != 1 {
			m.t.Errorf("the answer has %s=%q", name, values)
		}
	}
}

// entered is the result of a sign-in.
type entered struct {
	reply
	id       map[string]any
	code     string
	signedIn bool
}

// enters signs in and exchanges the code, with the checks of AbstractOIDCCServerTest.
func (m *module) enters(more ...string) entered {
	m.t.Helper()
	q := m.request(more...)
	got, signedIn := m.asks(q)
	return m.redeems(q, got, signedIn)
}

// redeems exchanges the code of an answer, and reads the ID token.
func (m *module) redeems(q, got url.Values, signedIn bool) entered {
	m.t.Helper()
	e := entered{reply: m.redeemed(q, got.Get("code")), code: got.Get("code"), signedIn: signedIn}
	lasts, _ := e.JSON["expires_in"].(float64)
	expect.Equal(m.t, "Status", e.Status, http.StatusOK)
	expect.Equal(m.t, "token_type", e.text("token_type"), "Bearer")
	if e.text("access_token") == "" || lasts <= 0 {
		m.t.Fatalf("the code of %v gave %d %s", got, e.Status, e.Body)
	}
	if r := m.userInfo(e.text("access_token")); r.Status != http.StatusOK {
		m.t.Errorf("the access token is refused: %d %s", r.Status, r.Body)
	}
	e.id = m.idToken(e.text("id_token"))
	if nonce, _ := e.id["nonce"].(string); nonce != q.Get("nonce") {
		m.t.Errorf("the nonce is %q", nonce)
	}
	if e.id["at_hash"] != leftHalf(e.text("access_token")) {
		m.t.Errorf("at_hash is %v", e.id["at_hash"])
	}
	return e
}

// idToken checks what ValidateIdToken, ValidateIdTokenSignatureUsingKid and
// CheckForSubjectInIdToken check.
func (m *module) idToken(token string) map[string]any {
	m.t.Helper()
	id, now := m.claims(token, "JWT"), float64(m.Clock.Now().Unix())
	issued, _ := id["iat"].(float64)
	ends, _ := id["exp"].(float64)
	sub, _ := id["sub"].(string)
	expect.Equal[any](m.t, "iss", id["iss"], m.URL)
	expect.Equal[any](m.t, "aud", id["aud"], string(m.c.ID))
	if sub == "" || len(sub) > 255 {
		m.t.Errorf("sub is %q", sub)
	}
	if issued > now || ends <= now {
		m.t.Errorf("the ID token says %v", id)
	}
	return id
}

func leftHalf(token string) string {
	whole, err := base64.RawURLEncoding.DecodeString(challenge(token))
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(whole[:16])
}

// refused requires an error for the application
// (performGenericAuthorizationEndpointErrorResponseValidation).
func (m *module) refused(codes []string, more ...string) {
	m.t.Helper()
	got, signedIn := m.asks(m.request(more...))
	if signedIn || got.Has("code") {
		m.t.Errorf("signed in by %v", got)
	}
	if !slices.Contains(codes, got.Get("error")) || !plain.MatchString(got.Get("error_description")) {
		m.t.Errorf("the answer is %v", got)
	}
}

// plain is what a description may hold (RFC 6749 §4.1.2.1 and §5.2).
var plain = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)

// shown requires a page for the person, and no answer to the application.
func (m *module) shown(q url.Values) {
	m.t.Helper()
	p := authorize(m.b, q)
	expect.Equal(m.t, "Status", p.Status, http.StatusBadRequest)
	expect.Equal(m.t, "Location", p.Header.Get("Location"), "")
	expect.Equal(m.t, "Path", p.URL.Path, "/authorize")
	if answer(p) != nil {
		m.t.Errorf("answered %d at %s: %s", p.Status, p.URL, p.Text())
	}
}

// knows checks EnsureUserInfoContainsSub for the person who signed in.
func (m *module) knows(r reply) {
	m.t.Helper()
	if r.Status != http.StatusOK || r.Header.Get("Content-Type") != "application/json" || r.text("sub") != m.enters().id["sub"] {
		m.t.Errorf("UserInfo says %d %s", r.Status, r.Body)
	}
}

// tells asks for scopes, and checks that UserInfo has their claims and no others
// (VerifyScopesReturnedInUserInfoClaims). Scopes that we do not have are left out, as the token
// answer says (RFC 6749 §5.1).
func (m *module) tells(scope, claims string) {
	m.t.Helper()
	e := m.enters("scope", scope)
	r := m.userInfo(e.text("access_token"))
	for _, claim := range strings.Fields("name given_name family_name locale zoneinfo updated_at email email_verified preferred_username address phone_number phone_number_verified groups roles") {
		_, told := r.JSON[claim]
		_, inID := e.id[claim]
		if told != slices.Contains(strings.Fields(claims), claim) || inID {
			m.t.Errorf("with %q UserInfo says %s", scope, r.Body)
		}
	}
	for s := range strings.FieldsSeq(scope) {
		supported := slices.Contains(application.Scopes, s)
		if granted := slices.Contains(strings.Fields(e.text("scope")), s); granted != supported {
			m.t.Errorf("of %q was granted %q", scope, e.text("scope"))
		}
	}
}

// strangerEnters signs in with a browser without cookies, which gets the sign-in page.
func (m *module) strangerEnters(more ...string) {
	m.t.Helper()
	m.b = stopping(m.Browser(m.t))
	if e := m.enters(more...); !e.signedIn {
		m.t.Error("came in without signing in")
	}
}

// sameAgain asks again, and requires the same without a page
// (CheckIdTokenAuthTimeClaimsSameIfPresent, CheckIdTokenSubConsistentForSecondAuthorization).
func (m *module) sameAgain(first entered, more ...string) {
	m.t.Helper()
	m.Clock.Advance(2 * time.Second)
	again := m.enters(more...)
	expect.Equal[any](m.t, "auth_time", again.id["auth_time"], first.id["auth_time"])
	expect.Equal[any](m.t, "sub", again.id["sub"], first.id["sub"])
	if again.signedIn || again.id["auth_time"] == nil {
		m.t.Errorf("first %v, then %v", first.id, again.id)
	}
}

// provesAnew asks for another sign-in two seconds after the first
// (CheckIdTokenAuthTimeClaimsDifferIfPresent, CheckIdTokenAuthTimeIsRecentIfPresent).
func (m *module) provesAnew(more ...string) {
	m.t.Helper()
	first := m.enters()
	m.Clock.Advance(2 * time.Second)
	again := m.enters(more...)
	before, _ := first.id["auth_time"].(float64)
	after, _ := again.id["auth_time"].(float64)
	expect.Equal(m.t, "after", after, float64(m.Clock.Now().Unix()))
	expect.Equal[any](m.t, "sub", again.id["sub"], first.id["sub"])
	if !again.signedIn || after <= before {
		m.t.Errorf("first %v, then %v", first.id, again.id)
	}
}

// failed checks a refusal of the token endpoint (RFC 6749 §5.2).
func (m *module) failed(r reply, code string) {
	m.t.Helper()
	expect.Equal(m.t, "Status", r.Status, http.StatusBadRequest)
	expect.Equal(m.t, "Content-Type", r.Header.Get("Content-Type"), "application/json")
	expect.Equal(m.t, "error", r.text("error"), code)
	if !plain.MatchString(r.text("error_description")) {
		m.t.Errorf("answered %d %s", r.Status, r.Body)
	}
}

// codeReuse sends a code again, which ends the tokens of the first time.
func (m *module) codeReuse(after time.Duration) {
	m.t.Helper()
	e := m.enters()
	m.Clock.Advance(after)
	m.failed(m.redeemed(m.request(), e.code), "invalid_grant")
	if r := m.userInfo(e.text("access_token")); r.Status != http.StatusUnauthorized {
		m.t.Errorf("the access token still holds: %d %s", r.Status, r.Body)
	}
}

// server is the happy flow.
func server(m *module) {
	c := m.discovery()
	for name, path := range map[string]string{"issuer": "", "authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"} {
		if c.text(name) != m.URL+path {
			m.t.Errorf("%s is %q", name, c.text(name))
		}
	}
	m.keySet()
	m.enters()
}

// idTokenSignature registers for RS256, which is the default of the specification (OIDC Core §2)
// but not ours.
func idTokenSignature(m *module) {
	m.sweepKeys()
	m.c = m.registers(func(s *application.Settings) { s.Algorithm = application.RS256 })
	signed, err := jose.ParseSignedCompact(m.enters().text("id_token"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || signed.Signatures[0].Header.KeyID == "" {
		m.t.Errorf("no RS256 with a kid: %v", err)
	}
}

// idTokenUnsigned is skipped by the suite, because discovery does not list the algorithm none,
// which cannot be registered either.
func idTokenUnsigned(m *module) {
	if slices.Contains(m.list("id_token_signing_alg_values_supported"), "none") {
		m.t.Error("discovery lists none as a signature")
	}
	s := web()
	s.Algorithm = "none"
	err := m.DB.Update(m.t.Context(), func(tx *db.Tx) error {
		_, _, err := application.Register(m.t.Context(), tx, directory.Operator(), m.URL, application.Application{Kind: application.Web, Settings: s})
		return err
	})
	if err == nil {
		m.t.Error("an application was registered for unsigned ID tokens")
	}
}

// claimsEssential asks for a claim by a parameter that discovery says we do not support. It is
// ignored; only scopes say which claims are given.
func claimsEssential(m *module) {
	claims := `{"userinfo":{"name":{"essential":true}}}`
	for scope, told := range map[string]bool{"openid": false, "openid profile": true} {
		e := m.enters("scope", scope, "claims", claims)
		r := m.userInfo(e.text("access_token"))
		if _, has := r.JSON["name"]; has != told || e.id["name"] != nil {
			m.t.Errorf("with %s UserInfo says %s", scope, r.Body)
		}
	}
}

// refreshToken refreshes the tokens of two clients (RefreshTokenRequestSteps,
// CompareIdTokenClaims). Neither can use the other's token.
func refreshToken(m *module) {
	first := m.enters()
	if !regexp.MustCompile(`^[\x20-\x7E]{22,}$`).MatchString(first.text("refresh_token")) {
		m.t.Errorf("the refresh token is %q", first.text("refresh_token"))
	}
	if !slices.Contains(m.list("grant_types_supported"), "refresh_token") {
		m.t.Error("discovery does not list refresh_token")
	}
	m.Clock.Advance(time.Second)
	r := m.refresh(m.c, first.text("refresh_token"), "scope", "openid profile email")
	expect.Equal(m.t, "Status", r.Status, http.StatusOK)
	expect.Equal(m.t, "Content-Type", r.Header.Get("Content-Type"), "application/json")
	expect.Equal(m.t, "Cache-Control", r.Header.Get("Cache-Control"), "no-store")
	expect.Equal(m.t, "token_type", r.text("token_type"), "Bearer")
	if r.text("access_token") == first.text("access_token") {
		m.t.Fatalf("the refresh gave %d %s", r.Status, r.Body)
	}
	again := m.idToken(r.text("id_token"))
	for _, same := range []string{"iss", "sub", "aud", "auth_time", "azp", "sid", "acr"} {
		if again[same] != first.id[same] {
			m.t.Errorf("%s was %v and is %v", same, first.id[same], again[same])
		}
	}
	if again["iat"] == first.id["iat"] || again["nonce"] != nil && again["nonce"] != first.id["nonce"] {
		m.t.Errorf("first %v, then %v", first.id, again)
	}
	if r := m.userInfo(r.text("access_token")); r.Status != http.StatusOK {
		m.t.Errorf("UserInfo says %d %s", r.Status, r.Body)
	}

	one := m.c
	m.c = m.registers(func(*application.Settings) {})
	other := m.refresh(m.c, m.enters().text("refresh_token"))
	m.failed(m.refresh(one, other.text("refresh_token")), "invalid_grant")
}

// unsigned returns a request object without a signature.
func unsigned(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
}

// discovery reads the discovery document.
func (m *module) discovery() reply {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, m.URL+"/.well-known/openid-configuration", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	c := m.do(r)
	if c.Status != http.StatusOK || c.Header.Get("Content-Type") != "application/json" {
		m.t.Fatalf("discovery: %d %s", c.Status, c.Body)
	}
	return c
}

// list returns a member of discovery, which must be a list of texts.
func (m *module) list(name string) []string {
	m.t.Helper()
	values, ok := m.discovery().JSON[name].([]any)
	if !ok || len(values) == 0 {
		m.t.Fatalf("%s is no list", name)
	}
	var all []string
	for _, v := range values {
		text, ok := v.(string)
		if !ok || text == "" {
			m.t.Errorf("%s has %v", name, v)
		}
		all = append(all, text)
	}
	return all
}

// keySet checks what ValidateServerJWKs, CheckForKeyIdInServerJWKs and
// EnsureServerJwksDoesNotContainPrivateOrSymmetricKeys check.
func (m *module) keySet() {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, m.URL+"/jwks", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(m.do(r).Body), &set); err != nil || len(set.Keys) == 0 {
		m.t.Fatalf("no keys: %v", err)
	}
	ids := map[string]bool{}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if k[private] != "" {
				m.t.Errorf("key %s shows its %s", k["kid"], private)
			}
		}
		expect.Equal(m.t, "use", k["use"], "sig")
		if k["kid"] == "" || ids[k["kid"]] {
			m.t.Errorf("a key has no id of its own: %v", k)
		}
		if k["kty"] != "EC" && k["kty"] != "RSA" {
			m.t.Errorf("a key is %v", k)
		}
		ids[k["kid"]] = true
	}
}

// TestConfigPlanOfTheConformanceSuite is oidcc-config-certification-test-plan, whose one
// module is oidcc-discovery-endpoint-verification.
func TestConfigPlanOfTheConformanceSuite(t *testing.T) {
	t.Parallel()
	m := newWorld(t).module(t)
	for name, needed := range map[string]string{
		"response_types_supported":              "code",
		"subject_types_supported":               "public",
		"id_token_signing_alg_values_supported": "RS256",
		"userinfo_signing_alg_values_supported": "RS256",
		"claims_supported":                      "sub",
		"grant_types_supported":                 "authorization_code",
		"scopes_supported":                      "openid",
		"ui_locales_supported":                  "en",
		"code_challenge_methods_supported":      "S256",
	} {
		if all := m.list(name); !slices.Contains(all, needed) {
			t.Errorf("%s is %v, without %s", name, all, needed)
		}
	}
	for _, tag := range m.list("ui_locales_supported") {
		if !regexp.MustCompile(`^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$`).MatchString(tag) {
			t.Errorf("%q is no canonical language tag", tag)
		}
	}
	for _, scope := range m.list("scopes_supported") {
		if !plain.MatchString(scope) || strings.Contains(scope, " ") {
			t.Errorf("%q is no scope", scope)
		}
	}
	c := m.discovery()
	if c.text("issuer") != m.URL || strings.ContainsAny(c.text("issuer"), "?#") {
		t.Errorf("the issuer is %q", c.text("issuer"))
	}
	for name := range c.JSON {
		if (strings.HasSuffix(name, "_endpoint") || name == "jwks_uri") && !strings.HasPrefix(c.text(name), m.URL+"/") {
			t.Errorf("%s is %q", name, c.text(name))
		}
	}
	for _, needed := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} {
		if c.text(needed) == "" {
			t.Errorf("there is no %s", needed)
		}
	}
	for _, without := range []string{"claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported"} {
		if c.JSON[without] != false { // the last one counts as true if it is missing
			t.Errorf("%s is %v", without, c.JSON[without])
		}
	}
	m.keySet()
}
