package op_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/application"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// less registers an application with less protection than PKCE.
func (w *world) less(p application.Protection) client {
	w.t.Helper()
	return w.register("", application.Web, settings(func(s *application.Settings) { s.Protection = p }))
}

// OPR-2, R-OPR-03: less than PKCE is enough only if it is registered and the request gets an ID
// token. A challenge that is sent is always enforced, and a verifier without a challenge, which
// an attacker may have removed, is refused (RFC 9700 §2.1.1).
func TestOPR2LessThanPKCE(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, row := range []struct {
		what       string
		protection application.Protection
		with       []string
		told       string // the error; empty for a code
	}{
		{"pkce, with it", application.PKCE, nil, ""},
		{"pkce, without", application.PKCE, []string{"code_challenge", "-", "code_challenge_method", "-"}, "invalid_request"},
		{"pkce, an empty one", application.PKCE, []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		{"pkce or nonce, with a nonce", application.PKCEOrNonce, []string{"code_challenge", "-", "code_challenge_method", "-"}, ""},
		{"pkce or nonce, with neither", application.PKCEOrNonce, []string{"code_challenge", "-", "code_challenge_method", "-", "nonce", "-"}, "invalid_request"},
		{"pkce or nonce, with an empty nonce", application.PKCEOrNonce, []string{"code_challenge", "-", "code_challenge_method", "-", "nonce", ""}, "invalid_request"},
		{"pkce or nonce, with PKCE", application.PKCEOrNonce, []string{"nonce", "-"}, ""},
		{"pkce or nonce, without openid", application.PKCEOrNonce, []string{"code_challenge", "-", "code_challenge_method", "-", "scope", "profile"}, "invalid_request"},
		{"none, with neither", application.NoProtection, []string{"code_challenge", "-", "code_challenge_method", "-", "nonce", "-"}, ""},
		{"none, without openid", application.NoProtection, []string{"code_challenge", "-", "code_challenge_method", "-", "scope", "profile email"}, "invalid_request"},
		{"none, without openid but with PKCE", application.NoProtection, []string{"scope", "profile email"}, ""},
		{"none, plain", application.NoProtection, []string{"code_challenge", verifier, "code_challenge_method", "plain"}, "invalid_request"},
		{"none, plain unsaid", application.NoProtection, []string{"code_challenge_method", "-"}, "invalid_request"},
		{"none, a method alone", application.NoProtection, []string{"code_challenge", "-"}, "invalid_request"},
		{"none, no hash", application.NoProtection, []string{"code_challenge", "short"}, "invalid_request"},
	} {
		c := w.less(row.protection)
		q := c.request(row.with...)
		got := answer(authorize(w.bo, q))
		if got.Get("error") != row.told || got.Has("code") != (row.told == "") {
			t.Errorf("%s: %v", row.what, got)
			continue
		}
		pushed := w.call(c, "/par", q)
		expect.Equal(expect.Case(t, "%s, pushed", row.what), "error", pushed.text("error"), row.told)
		if row.told == "" {
			expect.Equal(expect.Case(t, "%s, pushed", row.what), "status", pushed.Status, http.StatusCreated)
		}
		if row.told != "" {
			continue
		}
		right, wrong := "code_verifier", [][]string{{"code_verifier", "-"}, {"code_verifier", ""}, {"code_verifier", strings.Repeat("v", 43)}}
		more := []string{right, verifier}
		if !q.Has("code_challenge") {
			more, wrong = []string{right, "-"}, [][]string{{"code_verifier", verifier}, {"code_verifier", strings.Repeat("v", 43)}, {"code_verifier", "x"}}
		}
		for _, other := range wrong {
			w.wantError(row.what+", verifier "+other[1], w.redeem(c, got.Get("code"), other...), http.StatusBadRequest, "invalid_grant")
		}
		if r := w.redeem(c, got.Get("code"), more...); r.Status != http.StatusOK {
			t.Errorf("%s: %d %s", row.what, r.Status, r.Body)
		}
		w.wantError(row.what+", twice", w.redeem(c, got.Get("code"), more...), http.StatusBadRequest, "invalid_grant")
	}
}

// OPR-2: a client that does not authenticate needs PKCE, whatever its registration says. A request
// that waited is judged by the registration at the time of the answer.
func TestOPR2LessThanPKCEIsForClientsThatProveThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []application.Protection{application.PKCEOrNonce, application.NoProtection} {
		public := settings(func(s *application.Settings) { s.Auth, s.Protection = application.NoAuth, p })
		w.refuses("a page's "+string(p), "", application.SinglePage, public, "op.field.code_protection_public")
		w.refuses("a native application's "+string(p), "", application.Native, public, "op.field.code_protection_public")
		w.refuses("a web application's without a secret "+string(p), "", application.Web, public, "op.field.code_protection_public")
		w.refuses("a machine's "+string(p), "", application.Machine, application.Settings{Name: "Robot", Auth: application.Secret, OwnBehalf: true, Protection: p}, "op.field.code_protection_public")
	}
	w.refuses("no such protection", "", application.Web, settings(func(s *application.Settings) { s.Protection = "plain" }), "op.field.code_protection")
	bare := []string{"code_challenge", "-", "code_challenge_method", "-"}

	page := w.register("", application.SinglePage, settings(func(s *application.Settings) { s.Auth = application.NoAuth }))
	w.stored(page, func(s *application.Settings) { s.Protection = application.NoProtection })
	if got := answer(authorize(w.bo, page.request(bare...))); got.Get("error") != "invalid_request" {
		t.Errorf("a page without PKCE gets %v", got)
	}
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.Protection, s.Asks = application.NoProtection, true }))
	pushed := w.call(c, "/par", c.request(bare...)).text("request_uri")
	asking := authorize(w.bo, c.request(bare...))
	idptest.Want(t, asking, idptest.Path("/authorize/consent"))
	w.change(c, func(s *application.Settings) { s.Protection = application.PKCE })
	if p := asking.Form("main").Submit("allow"); answer(p) != nil || p.Status != http.StatusGone {
		t.Errorf("a code went to %q (%d)", p.Links(), p.Status)
	}
	wantPage(t, "pushed before", w.bo.Get("/authorize?client_id="+string(c.ID)+"&request_uri="+pushed), http.StatusBadRequest)
}

// OIDC Core §3.1.2.1: if nobody is signed in, prompt=none says so, whatever else is missing.
func TestOPR8NoneWhereNobodyIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.less(application.NoProtection)
	bare := []string{"prompt", "none", "code_challenge", "-", "code_challenge_method", "-", "nonce", "-"}
	for name, more := range map[string][]string{
		"nothing": nil, "two factors": {"acr_values", "aal2"}, "an age": {"max_age", "0"}, "a name": {"login_hint", "ana@meridian.example"}, "an organization": {"organization", "lumen"},
		"an organization that is none": {"organization", "nowhere"}, "posted": {"response_mode", "form_post"},
	} {
		p := authorize(stopping(w.Browser(t)), c.request(append(bare, more...)...))
		got := posted(p)
		if got == nil {
			got = answer(p)
		}
		expect.Equal(expect.Case(t, "%s at %s", name, p.URL), "error", got.Get("error"), "login_required")
	}
}

// posted returns what a page would post to an application; nil if it posts nothing.
func posted(p *idptest.Page) url.Values {
	if !p.Has("form", "id", "out") {
		return nil
	}
	return p.Form("out").Values
}

// OPR-6, R-OPR-07: a secret may come in the header or in the form, but not in both.
func TestOPR6ASecretComesOneWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for _, form := range []bool{false, true} {
		c.form = form
		if r := w.enter(w.bo, c); r.Status != http.StatusOK {
			t.Errorf("in the form (%v): %d %s", form, r.Status, r.Body)
		}
		if r := w.call(c, "/introspect", url.Values{"token": {"x"}}); r.Status != http.StatusOK {
			t.Errorf("in the form (%v) it asks: %d %s", form, r.Status, r.Body)
		}
	}
	c.form = false
	for name, more := range map[string]string{"the same": c.secret, "another": "x"} {
		w.wantError(name+" in both", w.do(w.as(c, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x.y"}, "client_secret": {more}})), http.StatusBadRequest, "invalid_request")
	}
	// An empty parameter counts as absent (RFC 6749 §3.2): it is neither a proof nor a second way.
	w.wantError("an empty secret", w.do(w.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x.y"}, "client_id": {string(c.ID)}, "client_secret": {""}})), http.StatusUnauthorized, "invalid_client")
	if r := w.call(c, "/introspect", url.Values{"token": {"x"}, "client_secret": {""}}); r.Status != http.StatusOK {
		t.Errorf("an empty one beside the header: %d %s", r.Status, r.Body)
	}
}

// Applications that were registered when header and form were two methods have the one for both.
func TestApplicationsFromBeforeHaveOneMethodForSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []application.ID{"collaborate", "architect"} { // as migration 00001 made them
		a, err := application.ByID(t.Context(), w.DB, directory.Operator(), "", id)
		if err != nil {
			t.Fatal(err)
		}
		if a.Settings.Auth != application.Secret {
			t.Errorf("%s proves itself by %s", id, a.Settings.Auth)
		}
	}
}

// OPR-12, R-OPR-14: an answer by form_post is a page with one form to the application's own
// address, which works without script too. Errors come the same way.
func TestOPR12FormPost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	for name, row := range map[string]struct {
		with  []string
		wants string // a parameter of the answer
		value string
	}{
		"a code":             {nil, "code", ""},
		"nobody":             {[]string{"prompt", "none", "login_hint", "nobody@meridian.example"}, "error", "login_required"},
		"a bad scope":        {[]string{"scope", "nothing"}, "error", "invalid_scope"},
		"no challenge":       {[]string{"code_challenge", "-", "code_challenge_method", "-"}, "error", "invalid_request"},
		"script in a state":  {[]string{"state", `"><script>alert(1)</script>`}, "code", ""},
		"a parameter of two": {[]string{"nonce", "\x00"}, "error", "invalid_request"},
	} {
		q := c.request(append([]string{"response_mode", "form_post"}, row.with...)...)
		byPush := url.Values{"client_id": {string(c.ID)}, "request_uri": {w.call(c, "/par", q).text("request_uri")}}
		for door, p := range map[string]*idptest.Page{"asked": authorize(w.bo, q), "posted": w.bo.CrossPost("/authorize", q), "pushed": authorize(w.bo, byPush)} {
			if door == "pushed" && row.wants == "error" && name != "nobody" {
				continue // the answer to the push says so
			}
			what := name + ", " + door
			idptest.Want(t, p, idptest.Status(http.StatusOK), idptest.Says("page.going"), idptest.Says("page.going_link", "Provider", "Books"))
			got := posted(p)
			of := expect.Case(t, "%s", what)
			expect.Equal(of, "state", got.Get("state"), q.Get("state"))
			expect.Equal(of, "iss", got.Get("iss"), w.URL)
			if got.Get(row.wants) == "" || row.value != "" && got.Get(row.wants) != row.value {
				t.Errorf("%s: %v", what, got)
			}
			expect.Equal(of, "Location", p.Header.Get("Location"), "")
			expect.Equal(of, "Cache-Control", p.Header.Get("Cache-Control"), "no-store")
			if !strings.Contains(p.Body, `method="post" action="`+callback+`"`) || strings.Contains(p.Body, "<script>alert") {
				t.Errorf("%s: %v %s", what, p.Header, p.Body)
			}
			if policy := p.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "; form-action https:; ") {
				t.Errorf("%s: its policy is %s", what, policy)
			}
			if got.Has("code") && w.redeem(c, got.Get("code")).Status != http.StatusOK {
				t.Errorf("%s: its code is nothing", what)
			}
		}
	}

	// It works after a form of ours too, and to loopback; an app's own scheme takes no form.
	local := w.register("", application.Web, settings(func(s *application.Settings) {
		s.RedirectURIs, s.Asks = []string{"http://localhost:9000/callback"}, true
	}))
	p := authorize(w.bo, local.request("response_mode", "form_post")).Form("main").Submit("deny")
	if got := posted(p); got.Get("error") != "access_denied" || !strings.Contains(p.Header.Get("Content-Security-Policy"), "; form-action https: http://localhost:9000; ") {
		t.Errorf("after a form: %v %v", got, p.Header)
	}
	app := w.register("", application.Native, native())
	if got := answer(authorize(w.bo, app.request("response_mode", "form_post"))); got.Get("error") != "invalid_request" {
		t.Errorf("an app's own scheme: %v", got)
	}
	w.wantTold("twice", w.bo.Get("/authorize?"+c.request("response_mode", "form_post").Encode()+"&response_mode=query").Header.Get("Location"), "st/ate &+1", "invalid_request")
}
