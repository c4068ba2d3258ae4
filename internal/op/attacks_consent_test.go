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
	"parvis/internal/signin"
)

// asks opens an application, and requires the page that asks for consent.
func asks(t testing.TB, b *idptest.Browser, c client, more ...string) *idptest.Page {
	t.Helper()
	p := authorize(b, c.request(more...))
	if p.URL.Path != "/authorize/consent" || p.Status != http.StatusOK || answer(p) != nil {
		t.Fatalf("no question at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return p
}

// OPR-7: a consent counts only from the person whom the page showed, in the browser that brought
// the request, for that request, once, and from our page.
func TestOPR7ConsentCannotBeForged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	nodes := []*world{w, w.node()}
	app := w.register("", application.Native, native())
	page := asks(t, w.bo, app, "scope", "openid")
	if page.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(page.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Error("the question can be framed")
	}
	path, hers := page.URL.RequestURI(), asks(t, w.ana, app)
	form := page.Form("main").Values
	form.Set("do", "allow")
	session, anas := form.Get("session"), hers.Form("main").Values.Get("session")
	for name, attempt := range map[string]struct {
		b    *idptest.Browser
		path string
		form url.Values
	}{
		"a browser without anybody":                 {w.Browser(t), path, form},
		"another person, in her browser":            {w.ana, path, url.Values{"session": {anas}, "do": {"allow"}}},
		"another person's browser, as he":           {w.ana, path, form},
		"his browser, as another person":            {w.bo, path, url.Values{"session": {anas}, "do": {"allow"}}},
		"his browser, as nobody":                    {w.bo, path, url.Values{"do": {"allow"}}},
		"his browser, for another person's request": {w.bo, hers.URL.RequestURI(), form},
		"no request":                                     {w.bo, "/authorize/consent", form},
		"a request that is none":                         {w.bo, "/authorize/consent?request=req_00000000000000000000000000", form},
		"a request that never was":                       {w.bo, "/authorize/consent?request='%20or%201=1", form},
		"no request, but what it would say in the query": {w.bo, "/authorize/consent?" + app.request().Encode(), form},
	} {
		wantPage(t, name, attempt.b.Post(attempt.path, attempt.form), http.StatusGone)
	}
	for name, head := range map[string]map[string]string{
		"another site":                {"Sec-Fetch-Site": "cross-site"},
		"a sister site":               {"Sec-Fetch-Site": "same-site"},
		"another origin":              {"Origin": "https://evil.example"},
		"a sandbox":                   {"Origin": "null"},
		"a browser that says nothing": {},
	} {
		r := w.post(path, form)
		for k, v := range head {
			r.Header.Set(k, v)
		}
		wantPage(t, name, w.bo.Do(r), http.StatusForbidden)
	}
	wantPage(t, "another field", w.bo.Post(path, url.Values{"session": {session}, "do": {"allow"}, "scope": {"openid email"}}), http.StatusBadRequest)
	wantPage(t, "the same field twice", w.bo.Post(path, url.Values{"session": {session, anas}, "do": {"allow"}}), http.StatusBadRequest)
	wantPage(t, "a link", w.bo.Get(path+"&do=allow&session="+session), http.StatusOK)
	if n := w.count("grants") + w.count("consents"); n != 0 {
		t.Fatalf("%d rows came of it", n)
	}

	// He says yes eight times at once, with additional parameters.
	codes := make([]string, 8)
	n := together(8, func(i int) bool {
		b := stopping(w.bo.Copy())
		if i%2 == 1 {
			b = stopping(nodes[1].Browser(t))
			b.Client.Jar = w.bo.Client.Jar
		}
		got := answer(b.Post(path+"&scope=openid+email&redirect_uri=https://evil.example/", form))
		codes[i] = got.Get("code")
		return got.Has("code")
	})
	if n != 1 || w.count("grants") != 1 {
		t.Errorf("%d answers were taken, %d grants kept", n, w.count("grants"))
	}
	tokens := w.redeem(app, strings.Join(codes, ""))
	if tokens.Status != http.StatusOK || tokens.text("scope") != "openid" {
		t.Errorf("he gave %d %s", tokens.Status, tokens.Body)
	}
	wantPage(t, "once more", w.bo.Post(path, form), http.StatusGone)

	// After a no, nobody can make it a yes.
	page = asks(t, w.bo, app)
	if got := answer(page.Form("main").Submit("deny")); got.Get("error") != "access_denied" || got.Get("state") != "st/ate &+1" || got.Has("code") {
		t.Errorf("a no tells %v", got)
	}
	wantPage(t, "yes after no", page.Form("main").Submit("allow"), http.StatusGone)
	page = asks(t, w.bo, app)
	w.Clock.Advance(op.RequestLasts)
	wantPage(t, "yes an hour later", page.Form("main").Submit("allow"), http.StatusGone)
}

// OPR-7, RFC 8252 §8.6: another program can pretend to be a native application, so the person is
// asked each time.
func TestOPR7ANativeApplicationIsAskedAboutEachTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.register("", application.Native, native())
	for range 3 {
		got := answer(asks(t, w.bo, app).Form("main").Submit("allow"))
		if r := w.redeem(app, got.Get("code")); r.Status != http.StatusOK {
			t.Errorf("allowed: %v, %d %s", got, r.Status, r.Body)
		}
		if got := answer(authorize(w.bo, app.request("prompt", "none"))); got.Get("error") != "consent_required" {
			t.Errorf("silently: %v", got)
		}
	}
	if n := w.count("consents"); n != 0 {
		t.Errorf("%d consents were kept", n)
	}
	// An older consent, from when the client still authenticated, does not count either.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `insert into consents (org_id, user_id, client_id, scope, given_at) values ($1, $2, $3, 'email openid profile', $4)`,
			string(w.org.ID), string(w.userOf(w.org, "bo@meridian.example")), string(app.ID), db.Time(tx.Now()))
		return err
	})
	asks(t, w.bo, app)
}

// OPR-7, R-OPR-09: a consent is for one person, one application and the scopes that were asked
// for, and the person can withdraw it, which ends tokens.
func TestOPR7ConsentIsForWhatWasAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := settings(func(s *application.Settings) { s.Asks = true })
	c, other := w.register("", application.Web, s), w.register("", application.Web, s)
	allow := func(more ...string) reply {
		t.Helper()
		return w.redeem(c, answer(asks(t, w.bo, c, more...).Form("main").Submit("allow")).Get("code"))
	}
	silently := func(b *idptest.Browser, c client, more ...string) string {
		t.Helper()
		return answer(authorize(b, with(c.request(more...), "prompt", "none"))).Get("error")
	}
	allow("scope", "openid profile")
	if e := silently(w.bo, c, "scope", "openid profile") + silently(w.bo, c, "scope", "profile"); e != "" {
		t.Errorf("what was agreed to is asked again: %s", e)
	}
	for what, e := range map[string]string{
		"more than was agreed to": silently(w.bo, c, "scope", "openid email"), "everything": silently(w.bo, c),
		"another application": silently(w.bo, other, "scope", "openid"), "another person": silently(w.ana, c, "scope", "openid"),
	} {
		if e != "consent_required" {
			t.Errorf("%s: %q", what, e)
		}
	}
	asks(t, w.bo, c, "scope", "openid profile", "prompt", "consent")
	tokens := allow()
	w.wantAlive("agreed to", c, tokens)
	w.bo.Post("/o/meridian/account/applications", url.Values{"client": {string(c.ID)}})
	w.wantDead("taken back", c, tokens)
	if e := silently(w.bo, c, "scope", "openid"); e != "consent_required" {
		t.Errorf("after it was taken back: %q", e)
	}
}

// OPR-8: prompt=none never shows a page; whatever is missing, the error names it.
func TestOPR8NoneShowsNoPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	asking := w.register("", application.Web, settings(func(s *application.Settings) { s.Asks = true }))
	lumens := w.register(w.other.ID, application.Web, web())
	anas, elsewhere := w.enter(w.ana, c).text("id_token"), w.enter(w.bo, w.books()).text("id_token")
	stranger := stopping(w.Browser(t))
	w.Clock.Advance(2 * time.Second)
	for what, attempt := range map[string]struct {
		b    *idptest.Browser
		c    client
		more []string
		want string
	}{
		"nobody":                 {stranger, c, nil, "login_required"},
		"not agreed to":          {w.bo, asking, nil, "consent_required"},
		"another organization's": {w.bo, lumens, nil, "login_required"},
		"another organization":   {w.bo, c, []string{"organization", "lumen"}, "login_required"},
		"another person":         {w.bo, c, []string{"id_token_hint", anas}, "login_required"},
		"another application's":  {w.bo, c, []string{"id_token_hint", elsewhere}, "invalid_request"},
		"another address":        {w.bo, c, []string{"login_hint", "ana@meridian.example"}, "login_required"},
		"an old proof":           {w.bo, c, []string{"max_age", "1"}, "login_required"},
		"a proof before":         {w.bo, c, []string{"max_age", "0"}, "login_required"},
		"two factors":            {w.bo, c, []string{"acr_values", "aal2"}, "unmet_authentication_requirements"},
	} {
		p := authorize(attempt.b, attempt.c.request(append(attempt.more, "prompt", "none")...))
		w.wantTold(what, p.Header.Get("Location"), "st/ate &+1", attempt.want)
		if strings.Contains(p.Body, "<form") {
			t.Errorf("%s: a page: %s", what, p.Text())
		}
	}
	if n := w.count("authorization_requests"); n != 0 {
		t.Errorf("%d requests wait for somebody", n)
	}
}

// OPR-8: a person who has to prove again who they are does so for this very request, and nobody
// else can answer instead.
func TestOPR8ProofsAreFresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	first := w.claims(w.enter(w.bo, c).text("id_token"), "JWT")
	hers := w.enter(w.ana, c).text("id_token")
	for _, more := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"max_age", "1"}, {"prompt", "login consent"}} {
		w.Clock.Advance(2 * time.Second)
		p := authorize(w.bo, c.request(more...))
		if !strings.HasPrefix(p.URL.Path, "/sign-in/att_") {
			t.Fatalf("%v: at %s (%d): %s", more, p.URL, p.Status, p.Text())
		}
		var id string
		if err := w.DB.Rows(t.Context(), func(scan func(...any) error) error { return scan(&id) }, `select id from authorization_requests where ended_at is null`); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/authorize/resume", "/authorize/consent", "/authorize/choose"} {
			if got := answer(w.bo.Get(path + "?request=" + id)); got.Has("code") {
				t.Errorf("%v: %s goes round the proof", more, path)
			}
		}
		w.Clock.Advance(time.Minute)
		p = p.Form("main").Fill("password", idptest.Password).Submit("")
		if p.URL.Path == "/authorize/consent" {
			p = p.Form("main").Submit("allow")
		}
		got := w.claims(w.redeem(c, answer(p).Get("code")).text("id_token"), "JWT")
		if got["auth_time"] != float64(w.Clock.Now().Unix()) || got["auth_time"] == first["auth_time"] {
			t.Errorf("%v: auth_time is %v", more, got["auth_time"])
		}
	}
	p := authorize(w.bo, c.request("id_token_hint", hers))
	if answer(p) != nil || !strings.HasPrefix(p.URL.Path, "/sign-in/att_") {
		t.Fatalf("as ana: at %s: %v", p.URL, answer(p))
	}
	if got := answer(p.Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")); got.Get("error") != "login_required" || got.Has("code") {
		t.Errorf("bo answers for ana: %v", got)
	}
}

// OPR-8: tokens say how the person signed in, and not what the request asked for.
func TestOPR8TokensSayWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	c := w.books()
	id := w.claims(w.enter(w.bo, c, "acr_values", "aal3 urn:mace:incommon:iap:silver", "claims", `{"id_token":{"groups":{"essential":true},"email":null,"acr":{"value":"aal2"}}}`).text("id_token"), "JWT")
	amr, _ := id["amr"].([]any)
	expect.Equal[any](t, "acr", id["acr"], "aal1")
	expect.Equal[any](t, "groups", id["groups"], nil)
	expect.Equal[any](t, "email", id["email"], nil)
	if !slices.Equal(amr, []any{"pwd"}) {
		t.Errorf("says %v", id)
	}
	if got := answer(authorize(w.bo, c.request("acr_values", "aal2"))); got.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("two factors of who has one: %v", got)
	}
	w.SecondStep(t, w.org, signin.SecondStepRules{RequiredFrom: start, Tolerance: 1})
	b := stopping(w.Browser(t))
	page := b.Get(w.Invite(t, w.org, "cy@meridian.example", "Cy", directory.Member)).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	if page, _ = w.EnrolApp(t, page, "Phone"); page.Status != http.StatusOK {
		t.Fatalf("at %s: %s", page.URL, page.Text())
	}
	id = w.claims(w.enter(b, c, "acr_values", "aal2").text("id_token"), "JWT")
	amr, _ = id["amr"].([]any)
	if id["acr"] != "aal2" || !slices.Contains(amr, any("mfa")) {
		t.Errorf("says %v", id)
	}
	p := authorize(stopping(w.Browser(t)), c.request("organization", "meridian", "login_hint", `"><script>alert(1)</script>@x.example`, "state", "<script>", "nonce", "<script>"))
	if strings.Contains(p.Body, "<script>alert") || p.Status != http.StatusOK {
		t.Errorf("markup in a hint: %d", p.Status)
	}
}

// An application that is forbidden, or that is for groups of other people, learns nothing about
// the person.
func TestOPR7WhoMayNotOpenItGetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Standing: application.Forbidden, Audience: application.Everyone})
	})
	w.wantTold("silently", authorize(w.bo, c.request("prompt", "none")).Header.Get("Location"), "st/ate &+1", "access_denied")
	p := authorize(w.bo, c.request())
	wantPage(t, "forbidden", p, http.StatusForbidden)
	if got := answer(p.Form("choose?request=" + requestOf(t, p)).Submit("cancel")); got.Get("error") != "access_denied" {
		t.Errorf("the way back tells %v", got)
	}
}

// requestOf returns the id of the request that a page's form continues.
func requestOf(t testing.TB, p *idptest.Page) string {
	t.Helper()
	_, rest, _ := strings.Cut(p.Body, "/authorize/choose?request=")
	id, _, _ := strings.Cut(rest, `"`)
	if id == "" {
		t.Fatalf("no request on %s: %s", p.URL, p.Text())
	}
	return id
}
