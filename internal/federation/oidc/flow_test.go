package oidc_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/expect"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/providertest"
	"parvis/internal/outbound"
	"parvis/internal/upstream"
)

const (
	redirectURI = "https://parvis.your-company.com/federation/c1/callback"
	verifier    = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// --- Against a provider that we did not write -----------------------------------

func TestOIDCProviderSignsPeopleIn(t *testing.T) {
	ours := jose.JSONWebKey{Key: keys().ec, KeyID: "ours", Algorithm: "ES256"}
	public := ours.Public()
	member := func(id, method, algorithm string, more object) map[string]any {
		return changed(object{
			"client_id": id, "token_endpoint_auth_method": method, "id_token_signed_response_alg": algorithm, "redirect_uris": []string{redirectURI},
			"post_logout_redirect_uris": []string{redirectURI},
		}, more)
	}
	secret := object{"client_secret": "a secret: with%special+characters"}
	p := providertest.Start(t, providertest.Options{
		Clients: []map[string]any{
			member("basic client", "client_secret_basic", "RS256", secret), member("post", "client_secret_post", "ES256", secret),
			member("key", "private_key_jwt", "PS256", object{"jwks": object{"keys": []any{json.RawMessage(encode(t, public))}}}), member("none", "none", "EdDSA", nil),
		},
		Accounts: map[string]map[string]any{
			"ann": {"email": "ann@your-company.com", "email_verified": true, "groups": []string{"staff", "paris"}},
			"bob": {"email": "ann@your-company.com", "email_verified": "true"},
		},
	})
	client := outbound.New([]string{p.Host()})
	// The provider uses the machine's clock.
	now := time.Now().UTC()
	for _, c := range []oidc.Connection{
		{ClientID: "basic client", Method: oidc.ClientSecretBasic}, {ClientID: "post", Method: oidc.ClientSecretPost},
		{ClientID: "key", Method: oidc.PrivateKeyJWT}, {ClientID: "none", Method: oidc.NoSecret},
	} {
		t.Run(c.ClientID, func(t *testing.T) {
			c.Issuer, c.Scopes = p.Issuer, []string{"email"}
			provider, trace, err := c.Discover(t.Context(), client)
			wantAccepted(t, trace, err)
			if !provider.NamesIssuer || !provider.TellsLogout {
				t.Errorf("it does not say what it can: %+v", provider)
			}
			if provider.EndSession == "" || provider.UserInfo == "" {
				t.Errorf("an address is missing: %+v", provider)
			}
			browser := providertest.NewBrowser(t)
			callback := func(r oidc.Request, account string) oidc.Callback {
				r.RedirectURI, r.State, r.Nonce, r.Verifier = redirectURI, "state", nonce, verifier
				query := browser.Visit(t, c.AuthorizationURL(provider, r), redirectURI, account)
				return oidc.Callback{
					Query: query, RedirectURI: redirectURI, Nonce: nonce, Verifier: verifier, Now: now, Wanted: [][]string{{"email"}, {"email_verified"}, {"groups"}},
					Credentials: oidc.Credentials{Secret: "a secret: with%special+characters", Key: ours},
				}
			}
			first := callback(oidc.Request{LoginHint: "ann", Locale: "fr"}, "ann")
			said, kept, trace, err := c.Exchange(t.Context(), client, provider, first)
			wantAccepted(t, trace, err)
			expect.Equal(t, "Subject", said.Subject, "ann")
			expect.Equal(t, "Issuer", said.Issuer, p.Issuer)
			if !said.EmailVerified || !slices.Equal(said.Values("groups"), []string{"staff", "paris"}) {
				t.Errorf("%+v", said)
			}
			if !kept.FetchedAt.Equal(now) {
				t.Errorf("the keys are of %v", kept.FetchedAt)
			}

			// RPO-2: the code works once, and only with its verifier.
			first.Keys = kept
			_, _, trace, err = c.Exchange(t.Context(), client, provider, first)
			wantRefusal(t, "token_request", trace, err)
			swapped := callback(oidc.Request{}, "ann")
			swapped.Verifier = strings.ToLower(verifier)
			_, _, trace, err = c.Exchange(t.Context(), client, provider, swapped)
			wantRefusal(t, "token_request", trace, err)
			injected := callback(oidc.Request{}, "ann")
			injected.Nonce = "of another attempt"
			_, _, trace, err = c.Exchange(t.Context(), client, provider, injected)
			wantRefusal(t, "nonce", trace, err)

			// Fresh proof asks the person again, and says when.
			since := time.Now().UTC()
			fresh := callback(oidc.Request{Fresh: true}, "ann")
			fresh.Since, fresh.Now = since, time.Now().UTC()
			said, _, trace, err = c.Exchange(t.Context(), client, provider, fresh)
			wantAccepted(t, trace, err)
			if said.AuthTime.Before(since.Add(-time.Second)) {
				t.Errorf("%+v", said)
			}

			// RPO-4: the text "true" does not vouch.
			browser = providertest.NewBrowser(t)
			said, _, trace, err = c.Exchange(t.Context(), client, provider, callback(oidc.Request{}, "bob"))
			wantAccepted(t, trace, err)
			if said.Subject != "bob" || said.EmailVerified {
				t.Errorf("%+v", said)
			}

			// An abandoned sign-in is refused with the provider's reason.
			browser = providertest.NewBrowser(t)
			_, _, trace, err = c.Exchange(t.Context(), client, provider, callback(oidc.Request{}, ""))
			wantRefusal(t, "provider", trace, err)
			if failed, _ := trace.Failed(); failed.Found != "access_denied <b>nobody</b>" {
				t.Errorf("it is said %q", failed.Found)
			}

			if c.Method != oidc.NoSecret {
				wrong := callback(oidc.Request{}, "ann")
				wrong.Credentials = oidc.Credentials{Secret: "another", Key: jose.JSONWebKey{Key: keys().rsa, KeyID: "other", Algorithm: "RS256"}}
				_, _, trace, err = c.Exchange(t.Context(), client, provider, wrong)
				wantRefusal(t, "client", trace, err)
			}
		})
	}
}

// --- Against one that misbehaves ------------------------------------------------

// A rogue is a provider whose answers a test can change.
type rogue struct {
	*httptest.Server
	client   *outbound.Client
	document object
	keys     oidc.Keys
	claims   object // changes to the ordinary claims
	header   object
	key      any
	status   int
	answer   object // changes to the token endpoint's answer
	userInfo any
	asked    []string
	form     url.Values
}

func newRogue(t *testing.T) *rogue {
	t.Helper()
	r := &rogue{keys: ordinaryKeys(t), header: object{"alg": "RS256", "kid": "rsa"}, key: keys().rsa, status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.asked = append(r.asked, q.URL.Path)
		switch q.URL.Path {
		case "/.well-known/openid-configuration":
			w.Write(encode(t, r.document)) //nolint:errcheck // The test reads it.
		case "/keys":
			w.Write(encode(t, r.keys)) //nolint:errcheck // The test reads it.
		case "/token":
			if q.ParseForm() == nil {
				r.form = q.PostForm
			}
			claims := changed(changed(ordinaryClaims(), object{"iss": r.URL}), r.claims)
			answer := object{"token_type": "Bearer", "access_token": "at", "id_token": sign(t, r.header, encode(t, claims), r.key)}
			w.WriteHeader(r.status)
			w.Write(encode(t, changed(answer, r.answer))) //nolint:errcheck // The test reads it.
		case "/userinfo":
			w.Write(encode(t, r.userInfo)) //nolint:errcheck // The test reads it.
		default:
			http.NotFound(w, q)
		}
	}))
	t.Cleanup(r.Close)
	r.document = ordinaryDocument(r.URL)
	r.client = outbound.New([]string{r.host()})
	return r
}

func ordinaryDocument(at string) object {
	return object{
		"issuer": at, "authorization_endpoint": at + "/auth?tenant=1", "token_endpoint": at + "/token", "jwks_uri": at + "/keys",
		"userinfo_endpoint": at + "/userinfo", "response_types_supported": []string{"code"}, "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
}

func (r *rogue) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *rogue) connection() oidc.Connection {
	return oidc.Connection{Issuer: r.URL, ClientID: client, Method: oidc.ClientSecretPost}
}

func (r *rogue) provider(t *testing.T) oidc.Provider {
	t.Helper()
	p, trace, err := r.connection().Discover(t.Context(), r.client)
	wantAccepted(t, trace, err)
	return p
}

func (r *rogue) callback() oidc.Callback {
	return oidc.Callback{
		Query: url.Values{"code": {"c0de"}, "state": {"s"}, "iss": {r.URL}}, RedirectURI: redirectURI, Nonce: nonce, Verifier: verifier,
		Wanted: [][]string{{"email"}}, Credentials: oidc.Credentials{Secret: "hunter2"}, Now: now,
	}
}

func TestRPO1DiscoveryHasToBeTheIssuersOwn(t *testing.T) {
	for name, c := range map[string]struct {
		change object
		check  string
	}{
		"another issuer":                 {object{"issuer": "https://honest.test"}, "issuer"},
		"issuer with a slash":            {object{"issuer": "/"}, "issuer"},
		"no issuer":                      {object{"issuer": without{}}, "issuer"},
		"a template for all tenants":     {object{"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, "tenant"},
		"no authorization endpoint":      {object{"authorization_endpoint": without{}}, "endpoints"},
		"authorization in clear":         {object{"authorization_endpoint": "http://idp.your-company.com/auth"}, "endpoints"},
		"authorization by script":        {object{"authorization_endpoint": "javascript:alert(1)"}, "endpoints"},
		"no token endpoint":              {object{"token_endpoint": without{}}, "endpoints"},
		"token endpoint on this machine": {object{"token_endpoint": "http://127.0.0.1:1/token"}, "endpoints"},
		"token endpoint with a fragment": {object{"token_endpoint": "https://idp.your-company.com/#token"}, "endpoints"},
		"keys from a file":               {object{"jwks_uri": "file:///etc/passwd"}, "endpoints"},
		"userinfo in clear":              {object{"userinfo_endpoint": "http://idp.your-company.com/"}, "endpoints"},
		"end of session in clear":        {object{"end_session_endpoint": "http://idp.your-company.com/"}, "endpoints"},
		"the implicit flow alone":        {object{"response_types_supported": []string{"id_token"}}, "response_type"},
		"no flow":                        {object{"response_types_supported": without{}}, "response_type"},
		"PKCE without S256":              {object{"code_challenge_methods_supported": []string{"plain"}}, "pkce"},
		"algorithms that prove nothing":  {object{"id_token_signing_alg_values_supported": []string{"HS256", "none"}}, "algorithms"},
		"no JSON":                        {object{"issuer": 1}, "discovery"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRogue(t)
			if c.change["issuer"] == "/" {
				c.change["issuer"] = r.URL + "/"
			}
			r.document = changed(r.document, c.change)
			_, trace, err := r.connection().Discover(t.Context(), r.client)
			wantRefusal(t, c.check, trace, err)
		})
	}
	r := newRogue(t)
	for address, check := range map[string]string{
		"": "issuer_address", "idp": "issuer_address", "http://idp.your-company.com": "issuer_address", r.URL + "?x=1": "issuer_address", r.URL + "?": "issuer_address",
		r.URL + "#x": "issuer_address", r.URL + "#": "issuer_address", "https://user@idp.your-company.com": "issuer_address",
		r.URL + "/elsewhere": "discovery", "https://127.0.0.1:1": "discovery", "https://localhost:1": "discovery",
	} {
		_, trace, err := oidc.Connection{Issuer: address}.Discover(t.Context(), r.client)
		wantRefusal(t, check, trace, err)
		if failed, _ := trace.Failed(); strings.Contains(failed.Found, "refused") {
			t.Errorf("it tells of the inside: %+v", failed)
		}
	}
}

func TestRPO1TheAnswerHasToNameItsIssuer(t *testing.T) {
	for name, c := range map[string]struct {
		query func(r *rogue) url.Values
		check string
	}{
		"no iss, though announced": {func(*rogue) url.Values { return url.Values{"code": {"c"}} }, "callback_issuer"},
		"iss of another":           {func(*rogue) url.Values { return url.Values{"code": {"c"}, "iss": {"https://honest.test"}} }, "callback_issuer"},
		"iss with a slash":         {func(r *rogue) url.Values { return url.Values{"code": {"c"}, "iss": {r.URL + "/"}} }, "callback_issuer"},
		"iss empty":                {func(*rogue) url.Values { return url.Values{"code": {"c"}, "iss": {""}} }, "callback_issuer"},
		"iss twice":                {func(r *rogue) url.Values { return url.Values{"code": {"c"}, "iss": {r.URL, r.URL}} }, "callback"},
		"code twice":               {func(r *rogue) url.Values { return url.Values{"code": {"c", "d"}, "iss": {r.URL}} }, "callback"},
		"no code":                  {func(r *rogue) url.Values { return url.Values{"iss": {r.URL}} }, "callback"},
		"an error of another":      {func(*rogue) url.Values { return url.Values{"error": {"x"}, "iss": {"https://evil.test"}} }, "callback_issuer"},
		"an error":                 {func(r *rogue) url.Values { return url.Values{"error": {"x"}, "iss": {r.URL}} }, "provider"},
		"an error beside a code":   {func(r *rogue) url.Values { return url.Values{"error": {"x"}, "code": {"c"}, "iss": {r.URL}} }, "provider"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRogue(t)
			p := r.provider(t)
			b := r.callback()
			b.Query = c.query(r)
			_, _, trace, err := r.connection().Exchange(t.Context(), r.client, p, b)
			wantRefusal(t, c.check, trace, err)
			if slices.Contains(r.asked, "/token") {
				t.Error("the code was sent")
			}
		})
	}
	// If not announced it may be absent, but must not be another's.
	r := newRogue(t)
	r.document = changed(r.document, object{"authorization_response_iss_parameter_supported": without{}})
	p, b := r.provider(t), r.callback()
	b.Query.Set("iss", "https://honest.test")
	_, _, trace, err := r.connection().Exchange(t.Context(), r.client, p, b)
	wantRefusal(t, "callback_issuer", trace, err)
	b.Query.Del("iss")
	_, _, trace, err = r.connection().Exchange(t.Context(), r.client, p, b)
	wantAccepted(t, trace, err)
	expect.Equal(t, "code", r.form.Get("code"), "c0de")
	expect.Equal(t, "code_verifier", r.form.Get("code_verifier"), verifier)
	expect.Equal(t, "redirect_uri", r.form.Get("redirect_uri"), redirectURI)
	expect.Equal(t, "grant_type", r.form.Get("grant_type"), "authorization_code")
}

func TestRPO2ForgedTextOfAProviderIsShownAndCutAndNeverASecret(t *testing.T) {
	r := newRogue(t)
	p, b := r.provider(t), r.callback()
	b.Query = url.Values{"iss": {r.URL}, "error": {"access_denied"}, "error_description": {"<script>\x1b[2J\n\x00" + strings.Repeat("x", 1000)}}
	_, _, trace, err := r.connection().Exchange(t.Context(), r.client, p, b)
	wantRefusal(t, "provider", trace, err)
	if failed, _ := trace.Failed(); strings.ContainsAny(failed.Found, "\x1b\n\x00") || len(failed.Found) > 400 {
		t.Errorf("%q", failed.Found)
	}
	r.status, r.answer = http.StatusBadRequest, object{"error": "invalid_grant", "error_description": "c0de " + verifier + " hunter2"}
	_, _, trace, err = r.connection().Exchange(t.Context(), r.client, p, r.callback())
	wantRefusal(t, "token_request", trace, err)
	if failed, _ := trace.Failed(); failed.Found != "400 Bad Request invalid_grant … … …" {
		t.Errorf("%q", failed.Found)
	}
}

func TestTokenAnswersThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*rogue)
		check string
	}{
		"an error with status 200": {func(r *rogue) { r.answer = object{"error": "invalid_client"} }, "client"},
		"not this client's grant":  {func(r *rogue) { r.status, r.answer = 400, object{"error": "unauthorized_client"} }, "client"},
		"a failure of theirs":      {func(r *rogue) { r.status = 500 }, "token_request"},
		"leads elsewhere":          {func(r *rogue) { r.status = 302 }, "token_request"},
		"no ID token":              {func(r *rogue) { r.answer = object{"id_token": without{}} }, "id_token"},
		"an ID token of a number":  {func(r *rogue) { r.answer = object{"id_token": 1} }, "token_request"},
		"ID token of another":      {func(r *rogue) { r.claims = object{"iss": "https://honest.test"} }, "issuer"},
		"access token of another":  {func(r *rogue) { r.claims = object{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"} }, "access_token_hash"},
		"keys that are none":       {func(r *rogue) { r.keys = oidc.Keys{} }, "keys"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRogue(t)
			p := r.provider(t)
			c.spoil(r)
			said, _, trace, err := r.connection().Exchange(t.Context(), r.client, p, r.callback())
			wantRefusal(t, c.check, trace, err)
			if said.Subject != "" {
				t.Errorf("%+v", said)
			}
		})
	}
}

func TestUserInfoIsAskedForAnAddressAndOfThatPersonOnly(t *testing.T) {
	for name, c := range map[string]struct {
		userInfo any
		check    string
		verified bool
	}{
		"theirs":              {object{"sub": "ann", "email": "a@your-company.com", "email_verified": true, "iss": "https://evil.test"}, "", true},
		"not verified":        {object{"sub": "ann", "email": "a@your-company.com", "email_verified": "true"}, "", false},
		"without an address":  {object{"sub": "ann", "email_verified": true}, "", false},
		"of somebody else":    {object{"sub": "bob", "email": "a@your-company.com"}, "userinfo_subject", false},
		"of nobody":           {object{"email": "a@your-company.com"}, "userinfo_subject", false},
		"of a list of people": {object{"sub": []string{"ann"}}, "userinfo_subject", false},
		"no object":           {"eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "userinfo", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRogue(t)
			// The ID token vouches for an address that it does not name.
			r.claims, r.userInfo = object{"email": without{}, "email_verified": true}, c.userInfo
			said, _, trace, err := r.connection().Exchange(t.Context(), r.client, r.provider(t), r.callback())
			wantAccepted(t, trace, err)
			if said.Missing.Name != c.check || said.Missing.OK {
				t.Errorf("missing by %+v, want %q", said.Missing, c.check)
			}
			if said.EmailVerified != c.verified || said.Issuer != r.URL || said.Subject != "ann" {
				t.Errorf("%+v", said)
			}
		})
	}
	r := newRogue(t)
	_, _, trace, err := r.connection().Exchange(t.Context(), r.client, r.provider(t), r.callback())
	wantAccepted(t, trace, err)
	if slices.Contains(r.asked, "/userinfo") {
		t.Error("it is asked although the ID token has an address")
	}
}

// What UserInfo says of an address is about the one beside it, and a no always counts.
func TestUserInfoAddsWhatTheIDTokenLacks(t *testing.T) {
	const email = "a@your-company.com"
	for name, c := range map[string]struct {
		token, userInfo object
		verified, no    bool
	}{
		"verified there alone":             {object{}, object{"email_verified": true}, true, false},
		"verified there, with the address": {object{}, object{"email": "A@your-company.com", "email_verified": true}, true, false},
		"another address is verified":      {object{}, object{"email": "eve@your-company.com", "email_verified": true}, false, false},
		"a no of the token":                {object{"email_verified": false}, object{"email_verified": true}, false, true},
		"a no of UserInfo":                 {object{"email_verified": true}, object{"email_verified": false}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRogue(t)
			r.claims = object{"email": email, "email_verified": without{}, "name": without{}, "groups": without{}}
			maps.Copy(r.claims, c.token)
			r.userInfo = changed(object{"sub": "ann", "name": "Ann", "groups": []string{"staff"}}, c.userInfo)
			b := r.callback()
			b.Wanted = [][]string{{"email"}, {"email_verified"}, {"name", "cn"}, {"groups"}}
			said, _, trace, err := r.connection().Exchange(t.Context(), r.client, r.provider(t), b)
			wantAccepted(t, trace, err)
			if said.EmailVerified != c.verified {
				t.Errorf("verified: %t, want %t", said.EmailVerified, c.verified)
			}
			no := slices.ContainsFunc(said.Attributes, func(a upstream.Attribute) bool {
				return a.Name == "email_verified" && slices.Equal(a.Values, []string{"false"})
			})
			if no != c.no {
				t.Errorf("a no: %t, want %t: %+v", no, c.no, said.Attributes)
			}
			if !slices.Equal(said.Values("name"), []string{"Ann"}) || !slices.Equal(said.Values("groups"), []string{"staff"}) {
				t.Errorf("the rest is lost: %+v", said.Attributes)
			}
			if !slices.Equal(said.Values("email"), []string{email}) {
				t.Errorf("the address is %v", said.Values("email"))
			}
		})
	}
}

func TestKeysAreAskedForOnceUntilOneIsNotKnown(t *testing.T) {
	r := newRogue(t)
	p := r.provider(t)
	exchange := func(kept oidc.Keys, at time.Time) (oidc.Keys, upstream.Trace, error) {
		b := r.callback()
		b.Keys, b.Now = kept, at
		r.claims = object{"iat": at.Unix(), "exp": at.Add(time.Minute).Unix()}
		_, kept, trace, err := r.connection().Exchange(t.Context(), r.client, p, b)
		return kept, trace, err
	}
	fetched := func() (n int) {
		for _, path := range r.asked {
			if path == "/keys" {
				n++
			}
		}
		return n
	}
	kept, trace, err := exchange(oidc.Keys{}, now)
	wantAccepted(t, trace, err)
	if kept, trace, err = exchange(kept, now.Add(time.Hour)); fetched() != 1 {
		t.Errorf("asked %d times", fetched())
	}
	wantAccepted(t, trace, err)
	// A new key is found. A key that nobody has causes a fetch, but not within a minute.
	r.keys = published(t, jose.JSONWebKey{Key: keys().foreign.Public(), KeyID: "new"})
	r.header, r.key = object{"alg": "RS256", "kid": "new"}, keys().foreign
	kept, trace, err = exchange(kept, now.Add(time.Hour))
	wantAccepted(t, trace, err)
	r.header = object{"alg": "RS256", "kid": "nobody's"}
	for range 3 {
		kept, trace, err = exchange(kept, now.Add(time.Hour+59*time.Second))
		wantRefusal(t, "key", trace, err)
	}
	if fetched() != 2 {
		t.Errorf("asked %d times", fetched())
	}
	kept, _, _ = exchange(kept, now.Add(2*time.Hour))
	if fetched() != 3 {
		t.Errorf("asked %d times", fetched())
	}
	// Another key under the same name is found too, within the same limit.
	r.header, r.key = object{"alg": "RS256", "kid": "new"}, keys().rsa
	r.keys = published(t, jose.JSONWebKey{Key: keys().rsa.Public(), KeyID: "new"})
	before := fetched()
	for range 3 {
		kept, trace, err = exchange(kept, now.Add(2*time.Hour+59*time.Second))
		wantRefusal(t, "signature", trace, err)
	}
	kept, trace, err = exchange(kept, now.Add(3*time.Hour))
	wantAccepted(t, trace, err)
	if n := fetched() - before; n != 1 {
		t.Errorf("asked %d times for the key under another's name", n)
	}
	if slices.ContainsFunc(trace.Checks, func(c upstream.Check) bool { return !c.OK }) {
		t.Errorf("what was tried in vain is shown: %+v", trace.Checks)
	}
	// A key that was withdrawn is trusted for at most a day.
	r.header = object{"alg": "RS256", "kid": "new"}
	r.keys = ordinaryKeys(t)
	_, trace, err = exchange(kept, now.Add(26*time.Hour))
	wantAccepted(t, trace, err)
	_, trace, err = exchange(kept, now.Add(27*time.Hour))
	wantRefusal(t, "key", trace, err)
}

func TestALogoutTokenIsJudgedWithTheProvidersKeys(t *testing.T) {
	r := newRogue(t)
	claims := object{
		"iss": r.URL, "aud": client, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "j", "sid": "s1",
		"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}},
	}
	token := sign(t, object{"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}, encode(t, claims), keys().rsa)
	l, kept, trace, err := r.connection().Logout(t.Context(), r.client, r.provider(t), token, oidc.Keys{}, now)
	wantAccepted(t, trace, err)
	if l.Session != "s1" || l.ID != "j" || !kept.FetchedAt.Equal(now) {
		t.Errorf("%+v", l)
	}
}

// --- Addresses that a browser is sent to ------------------------------------------

func TestAuthorizationURLKeepsWhatTheEndpointHas(t *testing.T) {
	r := newRogue(t)
	c := r.connection()
	c.Scopes, c.ACR = []string{"email", "profile"}, []string{"high", "higher"}
	address := c.AuthorizationURL(r.provider(t), oidc.Request{
		RedirectURI: redirectURI, State: "s&x=1", Nonce: nonce, Verifier: verifier, Fresh: true, LoginHint: "ann@your-company.com", Locale: "fr",
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"tenant": "1", "response_type": "code", "client_id": client, "redirect_uri": redirectURI, "scope": "openid email profile", "state": "s&x=1", "nonce": nonce,
		"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256", // RFC 7636, Appendix B
		"prompt": "login", "max_age": "0", "login_hint": "ann@your-company.com", "ui_locales": "fr", "acr_values": "high higher",
	} {
		if got := u.Query()[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if plain := c.AuthorizationURL(r.provider(t), oidc.Request{}); strings.Contains(plain, "prompt") || strings.Contains(plain, "login_hint") {
		t.Error(plain)
	}
}

func TestEndSessionURLNamesTheClientAndNoToken(t *testing.T) {
	c := oidc.Connection{ClientID: client}
	if got := c.EndSessionURL(oidc.Provider{}, redirectURI, "s", "", ""); got != "" {
		t.Errorf("a provider without such a page: %s", got)
	}
	got := c.EndSessionURL(oidc.Provider{EndSession: "https://idp.your-company.com/out"}, "https://parvis.your-company.com/out", "s", "s1", "fr")
	want := "https://idp.your-company.com/out?client_id=parvis&logout_hint=s1&post_logout_redirect_uri=https%3A%2F%2Fparvis.your-company.com%2Fout&state=s&ui_locales=fr"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// An administrator may enter the address of any allowed host.
func TestRPO6WhatIsNoKeySetIsNotShown(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"secret":"of the inside"}`)) //nolint:errcheck // The test reads it.
	}))
	defer inside.Close()
	r := newRogue(t)
	allowed := outbound.New([]string{r.host(), strings.TrimPrefix(inside.URL, "http://")})
	for name, change := range map[string]object{"keys": {"jwks_uri": inside.URL + "/any/path"}, "userinfo_subject": {"userinfo_endpoint": inside.URL}, "id_token": {"token_endpoint": inside.URL}} {
		r.document = changed(ordinaryDocument(r.URL), change)
		r.claims = object{"email": without{}}
		p, trace, err := r.connection().Discover(t.Context(), allowed)
		wantAccepted(t, trace, err)
		said, _, trace, err := r.connection().Exchange(t.Context(), allowed, p, r.callback())
		failed := said.Missing
		if name != "userinfo_subject" {
			wantRefusal(t, name, trace, err)
			failed, _ = trace.Failed()
		}
		if failed.Name != name {
			t.Errorf("by %+v, want %s", failed, name)
		}
		if strings.Contains(failed.Found, "inside") {
			t.Errorf("%+v", failed)
		}
	}
}

func TestAConnectionWithoutAMethodSendsNothing(t *testing.T) {
	r := newRogue(t)
	p, c := r.provider(t), r.connection()
	for _, method := range []oidc.Method{"", "client_secret_jwt"} {
		c.Method = method
		_, _, trace, err := c.Exchange(t.Context(), r.client, p, r.callback())
		wantRefusal(t, "client", trace, err)
	}
	if slices.Contains(r.asked, "/token") {
		t.Error("the code was sent")
	}
}

// In Entra's issuer for every tenant, the tenant's id replaces the placeholder.
func TestATenantTakesItsPlaceInTheIssuer(t *testing.T) {
	const tenant = "9122040d-6c67-4c5b-b112-36a304b66dad"
	r := newRogue(t)
	for _, place := range []string{"common", "organizations", "{tenantid}"} {
		_, trace, err := oidc.Connection{Issuer: r.URL + "/" + place + "/v2.0", Tenant: tenant}.Discover(t.Context(), r.client)
		wantRefusal(t, "discovery", trace, err)
		if failed, _ := trace.Failed(); failed.Expected != r.URL+"/"+tenant+"/v2.0/.well-known/openid-configuration" {
			t.Errorf("it asks %s", failed.Expected)
		}
	}
}
