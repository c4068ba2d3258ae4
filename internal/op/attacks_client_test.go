package op_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// endpoints are the addresses that servers of applications call.
var endpoints = []string{"/token", "/introspect", "/revoke", "/par", "/device_authorization"}

// OPR-6, R-API-02, R-API-05: a call is a POST with a form in its body. Anything else is refused
// in JSON, and uses nothing up.
func TestOPR6EndpointsTakeAFormAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Auth, s.Devices = application.Secret, true }))
	code := w.code(w.bo, c)
	form := func(more ...string) url.Values {
		return with(url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}, "token": {code},
			"client_id": {string(c.ID)}, "client_secret": {c.secret},
		}, more...)
	}
	for _, path := range endpoints {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "PROPFIND"} {
			r := w.post(path, form())
			r.Method = method
			r.Header.Set("X-HTTP-Method-Override", "POST")
			got := w.do(r)
			of := expect.Case(t, "%s", method)
			expect.Equal(of, "Status", got.Status, http.StatusMethodNotAllowed)
			expect.Equal(of, "Allow", got.Header.Get("Allow"), "POST, OPTIONS")
			if method != "HEAD" && got.text("error") != "invalid_request" {
				t.Errorf("%s %s: %d %s", method, path, got.Status, got.Body)
			}
		}
		get := w.post(path+"?"+form().Encode(), nil)
		get.Method = http.MethodGet
		w.wantError("all in the address by GET "+path, w.do(get), http.StatusMethodNotAllowed, "invalid_request")
		for name, query := range map[string]string{"all": form().Encode(), "the secret": "client_secret=" + c.secret, "anything": "x", "a method": "_method=GET"} {
			w.wantError(name+" in the address of "+path, w.do(w.post(path+"?"+query, form())), http.StatusBadRequest, "invalid_request")
		}
		for name, change := range map[string]func(*http.Request){
			"JSON":      func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
			"multipart": func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") },
			"no type":   func(r *http.Request) { r.Header.Del("Content-Type") },
			"text":      func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		} {
			r := w.post(path, form())
			change(r)
			w.wantError(name+" at "+path, w.do(r), http.StatusBadRequest, "invalid_request")
		}
		for name, more := range map[string]string{
			"a parameter twice": "&client_id=" + string(c.ID), "an unknown one twice": "&colour=red&colour=red", "an escape that is none": "&x=%zz",
			"a NUL": "&x=%00", "no text": "&x=%ff", "a semicolon": "&x=1;y=2",
		} {
			w.wantError(name+" at "+path, w.do(w.posted(path, form().Encode()+more)), http.StatusBadRequest, "invalid_request")
		}
	}
	if r := w.redeem(c, code); r.Status != http.StatusOK {
		t.Errorf("after all that: %d %s", r.Status, r.Body)
	}
	if n := w.count("pushed_requests") + w.count("device_codes"); n != 0 {
		t.Errorf("%d rows came of it", n)
	}
	// A token of a person belongs into a header too (RFC 6750 §2.3).
	tokens := w.enter(w.bo, c)
	r := w.post("/userinfo?access_token="+tokens.text("access_token"), nil)
	r.Method = http.MethodGet
	w.wantError("an access token in the address", w.do(r), http.StatusBadRequest, "invalid_request")
}

// OPR-6, R-OPR-07: at every endpoint a client authenticates by the one method that it registered.
// A client that does not gets an error in JSON.
func TestOPR6OnlyTheRegisteredMethodAndTheOwnSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	basic, other := w.books(), w.books()
	spa := w.register("", application.SinglePage, settings(func(s *application.Settings) { s.Auth = application.NoAuth }))
	key := secret.NewECKey()
	signed := w.register("", application.Web, settings(func(s *application.Settings) { s.Auth, s.Keys = application.PrivateKey, keySet(t, key) }))
	base := func(c client, more ...string) url.Values {
		return with(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x.y"}, "token": {"x"}, "client_id": {string(c.ID)}}, more...)
	}
	id := string(basic.ID)
	for name, attempt := range map[string]struct {
		form url.Values
		head []string // user and password, or a whole header
	}{
		"no secret":                          {form: base(basic)},
		"no client":                          {form: base(basic, "client_id", "-")},
		"an unknown client":                  {form: base(basic, "client_id", "app_x")},
		"an empty secret":                    {form: base(basic), head: []string{id, ""}},
		"white space":                        {form: base(basic), head: []string{id, " "}},
		"the secret in white space":          {form: base(basic), head: []string{id, url.QueryEscape(" " + basic.secret)}},
		"another client's":                   {form: base(basic), head: []string{id, other.secret}},
		"a shorter one":                      {form: base(basic), head: []string{id, basic.secret[:len(basic.secret)-1]}},
		"its prefix":                         {form: base(basic), head: []string{id, "pcs_"}},
		"capitals":                           {form: base(basic), head: []string{id, strings.ToUpper(basic.secret)}},
		"a wildcard":                         {form: base(basic), head: []string{id, "%25"}},
		"another client beside it":           {form: base(other), head: []string{id, basic.secret}},
		"another client's in the form":       {form: base(basic, "client_secret", other.secret)},
		"white space in the form":            {form: base(basic, "client_secret", " ")},
		"an empty one in the form":           {form: base(basic, "client_secret", "")},
		"a secret of a public client":        {form: base(spa, "client_secret", "x")},
		"basic of a public client":           {form: base(spa), head: []string{string(spa.ID), ""}},
		"a secret where a key is registered": {form: base(signed, "client_secret", basic.secret)},
		"nothing where a key is registered":  {form: base(signed)},
		"a header that is none":              {form: base(basic), head: []string{"Basic !!!"}},
		"a header without a colon":           {form: base(basic), head: []string{"Basic YQ=="}},
		"a bearer":                           {form: base(basic), head: []string{"Bearer " + basic.secret}},
		"an assertion of an unknown type":    {form: base(signed, "client_assertion", "x", "client_assertion_type", "y")},
		"an assertion of a client without":   {form: base(basic, "client_assertion", assert(t, key, w.URL, claims{"iss": id, "sub": id}), "client_assertion_type", assertionType)},
		"an assertion with a foreign id":     {form: base(basic, "client_assertion", assert(t, key, w.URL, claims{"iss": string(signed.ID), "sub": string(signed.ID)}), "client_assertion_type", assertionType)},
		"an assertion by a foreign key":      {form: base(signed, "client_assertion", assert(t, secret.NewECKey(), w.URL, claims{"iss": string(signed.ID), "sub": string(signed.ID)}), "client_assertion_type", assertionType)},
		"an assertion for another audience":  {form: base(signed, "client_assertion", assert(t, key, "https://evil.example", claims{"iss": string(signed.ID), "sub": string(signed.ID)}), "client_assertion_type", assertionType)},
		"an assertion that has expired":      {form: base(signed, "client_assertion", assert(t, key, w.URL, claims{"iss": string(signed.ID), "sub": string(signed.ID), "exp": w.Clock.Now().Add(-2 * time.Minute).Unix()}), "client_assertion_type", assertionType)},
		"an assertion without a signature":   {form: base(signed, "client_assertion", "eyJhbGciOiJub25lIn0."+strings.Split(assert(t, key, w.URL, claims{"iss": string(signed.ID), "sub": string(signed.ID)}), ".")[1]+".", "client_assertion_type", assertionType)},
	} {
		w.Update(t, func(ctx context.Context, tx *db.Tx) error { // so many in a row would be slowed down
			_, err := tx.Exec(ctx, `delete from limits`)
			return err
		})
		for _, path := range []string{"/token", "/introspect", "/revoke", "/par"} {
			r := w.post(path, attempt.form)
			if len(attempt.head) == 1 {
				r.Header.Set("Authorization", attempt.head[0])
			} else if len(attempt.head) == 2 {
				r.SetBasicAuth(attempt.head[0], attempt.head[1])
			}
			got := w.do(r)
			w.wantError(name+" at "+path, got, http.StatusUnauthorized, "invalid_client")
			if got.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s at %s names no method", name, path)
			}
		}
	}
	both := w.as(basic, "/token", base(basic, "client_secret", basic.secret))
	w.wantError("two methods at once", w.do(both), http.StatusBadRequest, "invalid_request")
	// Public clients may not introspect at all (R-OPR-13).
	w.wantError("a public client introspects", w.call(spa, "/introspect", url.Values{"token": {"x"}}), http.StatusUnauthorized, "invalid_client")
	if w.audited("client.refused", "refused") == 0 {
		t.Error("the log has nothing of it")
	}
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

type claims = map[string]any

func keySet(t testing.TB, key any) json.RawMessage {
	t.Helper()
	k := jose.JSONWebKey{Key: key, KeyID: "one", Algorithm: "ES256", Use: "sig"}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sign makes a token with these options, signed by key.
func sign(t testing.TB, key any, options *jose.SignerOptions, c claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
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

// assert makes a client assertion that is valid when every test begins, with c's claims in
// addition or instead.
func assert(t testing.TB, key any, audience string, c claims) string {
	t.Helper()
	all := claims{"aud": audience, "exp": start.Add(time.Minute).Unix(), "iat": start.Unix(), "jti": secret.NewID("jti")}
	for name, value := range c {
		all[name] = value
	}
	return sign(t, key, (&jose.SignerOptions{}).WithHeader("kid", "one"), all)
}

// OPR-6: an assertion works once, on whatever node and even if it is sent many times at once. Its
// audience must be one of our names, and no other server.
func TestOPR6AnAssertionWorksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	nodes := []*world{w, w.node()}
	key := secret.NewECKey()
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Auth, s.Keys = application.PrivateKey, keySet(t, key) }))
	for _, audience := range []string{w.URL, w.URL + "/token"} {
		assertion := assert(t, key, audience, claims{"iss": string(c.ID), "sub": string(c.ID)})
		form := url.Values{"token": {"x"}, "client_assertion": {assertion}, "client_assertion_type": {assertionType}}
		n := together(8, func(i int) bool {
			r := nodes[i%2].do(nodes[i%2].post("/introspect", form))
			if r.Status != http.StatusOK {
				w.wantError("a replay", r, http.StatusUnauthorized, "invalid_client")
			}
			return r.Status == http.StatusOK
		})
		if n != 1 {
			t.Errorf("%d of eight were believed", n)
		}
	}
}

// R-OPR-07: a key set is fetched again when it is old or lacks a key, but not at once: anybody can
// send assertions that name an unknown key.
func TestOPR6AKeySetAtAnAddressIsAskedForAgainOnTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := secret.NewECKey(), secret.NewECKey()
	var set atomic.Value // the document; empty if the address is to fail
	set.Store([]byte(keySet(t, first)))
	var asked atomic.Int32
	address := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = answer.Write(set.Load().([]byte))
	}))
	t.Cleanup(address.Close)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Auth, s.KeysURL = application.PrivateKey, address.URL }))
	step := func(name string, after time.Duration, key any, status int, times int32) {
		t.Helper()
		w.Clock.Advance(after)
		says := claims{"iss": string(c.ID), "sub": string(c.ID), "exp": w.Clock.Now().Add(time.Minute).Unix()}
		form := url.Values{"token": {"x"}, "client_assertion": {assert(t, key, w.URL, says)}, "client_assertion_type": {assertionType}}
		if r := w.do(w.post("/introspect", form)); r.Status != status || asked.Load() != times {
			t.Errorf("%s: %d, asked %d times, want %d and %d", name, r.Status, asked.Load(), status, times)
		}
	}
	step("the first time", 0, first, 200, 1)
	step("a key that it lacks, at once", 0, second, 401, 1)
	step("a key that it lacks, later", 20*time.Second, second, 401, 2)
	set.Store([]byte(keySet(t, second)))
	step("its new key, at once", 19*time.Second, second, 401, 2)
	step("its new key, later", time.Second, second, 200, 3)
	step("its old key, at once", 0, first, 401, 3)
	step("a set that is fresh", 5*time.Minute-time.Second, second, 200, 3)
	step("a set that is old", time.Second, second, 200, 4)
	set.Store([]byte("nothing"))
	step("an address that fails", 5*time.Minute, second, 401, 5)
	step("an address that failed, at once", 19*time.Second, second, 401, 5)
	set.Store([]byte(keySet(t, second)))
	step("an address that failed, later", time.Second, second, 200, 6)
}
