package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const applications = "/o/alpha/admin/applications"

// addApplication adds an application by the pages and returns the answer, which has what its
// developer needs.
func addApplication(t *testing.T, b *idptest.Browser, kind application.Kind, fields ...string) *idptest.Page {
	t.Helper()
	f := seen(t, b.Get(applications+"/add?kind="+string(kind)), 200).Form("main")
	for i := 0; i < len(fields); i += 2 {
		f.Fill(fields[i], fields[i+1])
	}
	return f.Submit("")
}

// pageOf returns the page of an application that was just added.
func pageOf(t *testing.T, p *idptest.Page) string {
	t.Helper()
	for _, link := range append(p.Links(), p.URL.Path) {
		if strings.HasPrefix(link, applications+"/app_") && !strings.HasSuffix(link, "/test") {
			return link
		}
	}
	t.Fatalf("no application at %s (%d): %s", p.URL, p.Status, p.Text())
	return ""
}

func (w *world) applicationAt(t *testing.T, path string) application.Placed {
	t.Helper()
	a, err := application.ByID(t.Context(), w.DB, directory.Operator(), w.alpha.ID, application.ID(path[strings.LastIndex(path, "/")+1:]))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// secretIn returns the client secret that a page shows.
func secretIn(t *testing.T, p *idptest.Page) string {
	t.Helper()
	_, rest, _ := strings.Cut(p.Body, `<code id="secret" dir="ltr">`)
	secret, _, found := strings.Cut(rest, "</code>")
	if !found || !strings.HasPrefix(secret, "pcs_") {
		t.Fatalf("no secret at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return secret
}

// token calls the token endpoint with an application's secret.
func (w *world) token(t *testing.T, id, secret string, form url.Values) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(id, secret)
	return w.answered(t, r)
}

func (w *world) answered(t *testing.T, r *http.Request) (int, map[string]any) {
	t.Helper()
	answer, err := (&http.Client{Transport: w.alpha.browsers[directory.Owner].Client.Transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]any
	if err := json.Unmarshal(body, &said); err != nil {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	return answer.StatusCode, said
}

// proves reports whether a secret is accepted as the application's: then what is wrong is the
// code, which nobody issued.
func (w *world) proves(t *testing.T, id, secret string) bool {
	t.Helper()
	_, said := w.token(t, id, secret, url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {"https://new.example/cb"}, "code_verifier": {"x"}})
	return said["error"] == "invalid_grant"
}

// opens asks for a code as somebody, without a page unless a prompt says otherwise, and returns
// what the application is answered.
func opens(b *idptest.Browser, id, redirect, scope string, prompt ...string) url.Values {
	c := b.Copy()
	c.Client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Host != via[0].URL.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}
	p := c.Get("/authorize?" + url.Values{
		"client_id": {id}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {scope}, "prompt": append(prompt, "none")[:1],
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636 appendix B
	}.Encode())
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		return nil
	}
	return to.Query()
}

// Journeys 9.5: an application is added, gets its secret, is set up part by part, opens for the
// people it is for, and is removed.
func TestApplicationIsAddedSetUpAndRemoved(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	if !slices.Contains(seen(t, b.Get("/o/alpha/admin/people"), 200).Links(), applications) {
		t.Error("the administration does not lead there")
	}
	list := seen(t, b.Get(applications), 200)
	idptest.Want(t, list, idptest.Link(applications+"/add"))
	idptest.Want(t, list, idptest.Shows("Collaborate / Communicate "+idptest.Sentence(t, "console.application.kind.web")+" · "+
		idptest.Sentence(t, "console.application.installation")+" Everyone Allowed "+idptest.Sentence(t, "console.application.not_connected")+" never"))
	kinds := seen(t, b.Get(applications+"/add"), 200)
	for _, k := range application.Kinds {
		if !slices.Contains(kinds.Links(), applications+"/add?kind="+string(k)) {
			t.Errorf("%s is not offered", k)
		}
	}
	idptest.Want(t, kinds, idptest.Says("console.application.kind_what.link"))
	p := seen(t, addApplication(t, b, application.Web, "name", "New", "redirect_uris", " https://new.example/cb \r\n\r\nhttps://new.example/cb2\r\n", "address", "https://new.example/"), 200)
	secret, path := secretIn(t, p), pageOf(t, p)
	id := path[len(applications)+1:]
	for _, says := range []string{id, w.URL + " ", w.URL + "/.well-known/openid-configuration", "shown once"} {
		if !p.Says(says) {
			t.Errorf("not handed over: %q: %s", says, p.Text())
		}
	}
	if !slices.Contains(p.Links(), path+"/test") || !w.proves(t, id, secret) || w.proves(t, id, secret+"x") {
		t.Errorf("what was handed over does not work: %s", p.Text())
	}
	a := w.applicationAt(t, path)
	expect.Equal(t, "addresses", strings.Join(a.Settings.RedirectURIs, " "), "https://new.example/cb https://new.example/cb2")
	expect.Equal(t, "scopes", strings.Join(a.Settings.Scopes, " "), "openid profile email")
	expect.Equal(t, "refreshes", a.Settings.Refreshes, false)
	expect.Equal(t, "asks", a.Settings.Asks, false)
	// Sent once more, by a reload, the form makes no other application.
	idptest.Want(expect.Case(t, "a second one of that name"), addApplication(t, b, application.Web, "name", "NEW", "redirect_uris", "https://new.example/cb"),
		idptest.Status(409), idptest.Says("op.field.name_taken"))
	if list := seen(t, b.Get(applications), 200); !list.Says("New " + idptest.Sentence(t, "console.application.kind.web") + " Everyone Allowed never") {
		t.Errorf("the list: %s", list.Text())
	}

	// Name and description.
	f := seen(t, b.Get(path), 200).Form("main")
	f.Values["title[]"], f.Values["description[]"] = []string{"", "Neuf"}, []string{"Something <new>", ""}
	p = seen(t, f.Fill("name", "Newer").Fill("initiate_uri", "https://new.example/start").Submit(""), 200)
	if !p.Says(idptest.Sentence(t, "console.application.saved")) || p.Form("main").Values["title[]"][1] != "Neuf" || p.Form("main").Values["description[]"][0] != "Something <new>" {
		t.Errorf("what it is: %v", p.Form("main").Values)
	}
	// A logo.
	p = seen(t, b.Upload(path+"/logo", "logo", drawing(t, 9, 9), nil), 200)
	a = w.applicationAt(t, path)
	logo := "/o/alpha/application/" + id + "/logo/" + a.Version()
	if got := w.alpha.browsers[directory.Member].Get(logo); got.Status != 200 || !p.Has("img", "src", logo) || a.Settings.Titles["fr"] != "Neuf" {
		t.Errorf("the logo: %d %s", got.Status, p.Text())
	}
	// Sign-in.
	f = p.Form("sign-in")
	f.Values["scope[]"] = []string{"email", "roles"}
	p = seen(t, f.Fill("scopes", "books:read  books:write").Fill("redirect_uris", "https://new.example/cb").
		Fill("post_logout_uris", "https://new.example/bye").Fill("back_channel", "https://new.example/out").Fill("code_protection", "pkce_or_nonce").Submit(""), 200)
	idptest.Want(t, p, idptest.Says("console.setting.code_protection_hint"), idptest.Says("console.setting.code_protection.pkce_or_nonce"), idptest.Input("code_protection", "pkce_or_nonce"))
	a = w.applicationAt(t, path)
	s := a.Settings
	expect.Equal(t, "BackChannel", s.BackChannel, "https://new.example/out")
	expect.Equal(t, "number of RedirectURIs", len(s.RedirectURIs), 1)
	expect.Equal(t, "Name", s.Name, "Newer")
	expect.Equal(t, "Auth", s.Auth, application.Secret)
	expect.Equal(t, "Protection", s.Protection, application.PKCEOrNonce)
	if !slices.Equal(s.Scopes, []string{"openid", "email", "roles", "books:read", "books:write"}) || !slices.Equal(s.PostLogoutURIs, []string{"https://new.example/bye"}) {
		t.Errorf("sign-in: %+v", s)
	}
	// Claims and roles.
	f = p.Form("claims")
	f.Values["claim[]"], f.Values["source[]"], f.Values["value[]"] = []string{"mail", "", "tier"}, []string{"email", "name", "fixed"}, []string{"", "", "gold"}
	f.Values["role_group[]"], f.Values["role[]"] = []string{w.alpha.group, ""}, []string{"editor", ""}
	p = seen(t, f.Submit(""), 200)
	a = w.applicationAt(t, path)
	if fmt.Sprint(a.Settings.Claims) != "[{mail email } {tier fixed gold}]" || fmt.Sprint(a.Settings.Roles) != "[{"+w.alpha.group+" editor}]" {
		t.Errorf("claims %v, roles %v", a.Settings.Claims, a.Settings.Roles)
	}
	// Tokens.
	p = seen(t, p.Form("tokens").Fill("access_for", "10m0s").Fill("algorithm", "RS256").Check("refreshes", "yes").Check("in_id_token", "yes").Submit(""), 200)
	a = w.applicationAt(t, path)
	s = a.Settings
	expect.Equal(t, "AccessFor", s.AccessFor, application.LongestAccess)
	expect.Equal(t, "Algorithm", s.Algorithm, application.RS256)
	expect.Equal(t, "number of Claims", len(s.Claims), 2)
	if !s.Refreshes || !s.InIDToken || s.Opaque {
		t.Errorf("tokens: %+v", s)
	}
	// Consent: approved for everybody, where the person would be asked.
	p = seen(t, p.Form("sign-in").Check("asks", "yes").Submit(""), 200)
	owner := w.alpha.browsers[directory.Owner]
	if got := opens(owner, id, "https://new.example/cb", "openid"); got.Get("error") != "consent_required" {
		t.Errorf("nobody is asked: %v", got)
	}
	p = seen(t, p.Form("place").Fill("standing", "approved").Submit(""), 200)
	got := opens(owner, id, "https://new.example/cb", "openid books:read", "")
	idptest.Want(expect.Case(t, "approved, and still %v", got), p, idptest.Says("console.application.approved"))
	if got.Get("code") == "" {
		t.Errorf("approved, and still %v: %s", got, p.Text())
	}
	if p := idptest.Want(expect.Case(t, "who used it"), seen(t, b.Get(path), 200), idptest.Says("console.application.by", "Count", 1)); !p.Says("openid books:read " + idptest.Sentence(t, "console.application.open", "Count", 1)) {
		t.Errorf("who used it: %s", p.Text())
	}

	asked := p.Form("remove").Submit("remove")
	idptest.Want(t, asked, idptest.Says("console.confirm.users", "Count", 1), idptest.Says("console.application.remove_what"))
	if b.Get(path).Status != 200 {
		t.Error("removed before anybody was asked")
	}
	p = presses(t, asked)
	idptest.Want(t, p, idptest.Path(applications), idptest.Says("console.application.removed"), idptest.ShowsNot("Newer"))
	if b.Get(path).Status != 404 || w.proves(t, id, secret) {
		t.Errorf("removed: %s %s", p.URL, p.Text())
	}
	for _, action := range []audit.Action{"application.registered", "application.changed", "application.placed", "application.removed"} {
		if len(w.events(t, w.alpha.ID, action)) == 0 {
			t.Errorf("%s is not in the audit log", action)
		}
	}
}

// An application of every kind is added with what suits the kind, and its pages are complete in
// both languages, for people who may change it and for people who may read it.
func TestEveryKindOfApplicationHasWholePages(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner, auditor := w.alpha.browsers[directory.Owner], w.alpha.browsers[directory.Auditor]
	addresses := map[application.Kind][]string{
		application.Web: {"redirect_uris", "https://a.example/cb"}, application.SinglePage: {"redirect_uris", "https://a.example/"}, application.Native: {"redirect_uris", "com.example.app:/cb"},
		application.Link: {"address", "https://wiki.example/#start"},
	}
	for _, language := range []string{"en", "fr"} {
		for _, b := range []*idptest.Browser{owner, auditor} {
			b.Post("/o/alpha/language", url.Values{"do": {"language"}, "language": {language}})
		}
		for _, kind := range application.Kinds {
			p := seen(t, addApplication(t, owner, kind, append([]string{"name", string(kind) + language}, addresses[kind]...)...), 200)
			path := pageOf(t, p)
			if keeps := strings.Contains(p.Body, "pcs_"); keeps != (kind == application.Web || kind == application.Machine) || p.Lang() != language {
				t.Errorf("%s in %s gets a secret: %v", kind, p.Lang(), keeps)
			}
			p = seen(t, owner.Get(path), 200)
			for form, want := range map[string]bool{"place": true, "sign-in": kind != application.Link, "tokens": kind != application.Link, "claims": kind != application.Link && kind != application.Machine, "logo": kind != application.Machine, "remove": true} {
				if got := p.Has("form", "action", path+"/"+form) || p.Has("form", "id", form); got != want {
					t.Errorf("%s has a form %s: %v", kind, form, got)
				}
			}
			// Each form may be sent as it stands.
			for _, form := range []string{"main", "place", "sign-in", "tokens", "claims"} {
				if p.Has("form", "action", path+"/"+form) || form == "main" {
					seen(t, p.Form(form).Submit(""), 200)
				}
			}
			read := seen(t, auditor.Get(path), 200)
			if read.Has("form", "id", "main") || strings.Contains(read.Body, "/admin/applications/"+path[len(applications)+1:]+"/place") || read.Lang() != language {
				t.Errorf("who reads %s may send something: %s", kind, read.Text())
			}
			want := 404
			if kind != application.Link && kind != application.Machine {
				want = 200
			}
			if test := idptest.Want(expect.Case(t, "the test of %s", kind), auditor.Get(path+"/test"), idptest.Status(want)); want == 200 && (!test.Says("auth_time") || seen(t, test, 200).Lang() != language) {
				t.Errorf("the test of %s: %d", kind, test.Status)
			}
		}
		seen(t, auditor.Get(applications), 200)
	}
	if machine := w.applicationAt(t, pageOf(t, addApplication(t, owner, application.Machine, "name", "Nightly"))); !machine.Settings.OwnBehalf || len(machine.Settings.Scopes) != 0 {
		t.Errorf("a machine begins with %+v", machine.Settings)
	}
}

// but returns a form with another value in one field.
func but(form url.Values, name, value string) url.Values {
	c := maps.Clone(form)
	c[name] = []string{value}
	return c
}

// RPO-3 and others: what cannot be registered is refused at its field, by a sentence that names
// it; what was typed stays, and nothing of the application changes.
func TestBadApplicationsAreRefusedByName(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	path := applications + "/" + w.alpha.application
	before := fmt.Sprint(w.applicationAt(t, path).Settings)
	good := url.Values{"kind": {"web"}, "name": {"Good"}, "redirect_uris": {"https://good.example/cb"}, "address": {"https://good.example/"}}
	is := url.Values{"name": {"Good"}, "address": {"https://good.example/"}, "initiate_uri": {""}, "tag[]": {"en", "fr"}, "title[]": {"", ""}, "description[]": {"", ""}}
	signIn := url.Values{"redirect_uris": {"https://good.example/cb"}, "post_logout_uris": {""}, "back_channel": {""}, "front_channel": {""}, "scope[]": {"email"}, "scopes": {""}, "auth": {"secret"}, "keys": {""}, "keys_url": {""}}
	tokens := url.Values{"access_for": {"5m0s"}, "id_token_for": {"10m0s"}, "refresh_for": {"720h0m0s"}, "algorithm": {"ES256"}, "audience_claim": {""}}
	claims := url.Values{"claim[]": {"shoe"}, "source[]": {"email"}, "value[]": {""}, "role_group[]": {""}, "role[]": {""}}
	place := url.Values{"audience": {"everyone"}, "standing": {""}}
	many := strings.Repeat("https://good.example/", 1)
	for i := range 25 {
		many += fmt.Sprint("\nhttps://good.example/", i)
	}
	var lines []string
	for i := range 51 {
		lines = append(lines, fmt.Sprint("claim", i))
	}
	for name, test := range map[string]struct {
		at, field, value string
		form             url.Values
		says             string
	}{
		"no name":            {"add", "name", " ", good, idptest.Sentence(t, "directory.name_missing")},
		"a hidden name":      {"add", "name", "a\u202eb", good, idptest.Sentence(t, "directory.name_invalid")},
		"a taken name":       {"add", "name", "BOOKS of alpha", good, idptest.Sentence(t, "op.field.name_taken")},
		"a second line":      {"add", "redirect_uris", "https://good.example/cb\nhttps://*.good.example/cb", good, idptest.Sentence(t, "op.address.wildcard", "Address", "https://*.good.example/cb")},
		"http":               {"add", "redirect_uris", "http://good.example/cb", good, idptest.Sentence(t, "op.address.insecure", "Address", "http://good.example/cb")},
		"a fragment":         {"add", "redirect_uris", "https://good.example/#cb", good, idptest.Sentence(t, "op.address.fragment", "Address", "https://good.example/#cb")},
		"a script":           {"add", "redirect_uris", "javascript:alert(1)", good, idptest.Sentence(t, "op.address.scheme", "Address", "javascript:alert(1)")},
		"an at":              {"add", "redirect_uris", "https://good.example@evil.example/", good, idptest.Sentence(t, "op.address.user_info", "Address", "https://good.example@evil.example/")},
		"an app's scheme":    {"add", "redirect_uris", "com.example.app:/cb", good, idptest.Sentence(t, "op.address.private_scheme", "Address", "com.example.app:/cb")},
		"many addresses":     {"add", "redirect_uris", many, good, idptest.Sentence(t, "op.field.too_many", "Most", "20")},
		"none, but a tile":   {"add", "redirect_uris", "", good, idptest.Sentence(t, "op.field.redirect_uris_missing")},
		"a tile of script":   {"add", "address", "javascript:alert(1)", good, idptest.Sentence(t, "op.address.scheme", "Address", "javascript:alert(1)")},
		"no such kind":       {"add", "kind", "oven", good, idptest.Sentence(t, "op.field.kind")},
		"a long title":       {"", "title[]", strings.Repeat("x", 61), is, idptest.Sentence(t, "op.field.title", "Most", "60")},
		"a hidden text":      {"", "description[]", "a\u202eb", is, idptest.Sentence(t, "op.field.description", "Most", "200")},
		"another's name":     {"", "name", "Rival", is, idptest.Sentence(t, "op.field.name_taken")},
		"a login by http":    {"", "initiate_uri", "http://good.example/", is, idptest.Sentence(t, "op.address.insecure", "Address", "http://good.example/")},
		"logout by file":     {"/sign-in", "back_channel", "file:///etc/passwd", signIn, idptest.Sentence(t, "op.address.scheme", "Address", "file:///etc/passwd")},
		"a frame by http":    {"/sign-in", "front_channel", "http://good.example/", signIn, idptest.Sentence(t, "op.address.insecure", "Address", "http://good.example/")},
		"a bye with a star":  {"/sign-in", "post_logout_uris", "https://*/", signIn, "has a *"},
		"many byes":          {"/sign-in", "post_logout_uris", many, signIn, idptest.Sentence(t, "op.field.too_many", "Most", "20")},
		"a shouted scope":    {"/sign-in", "scopes", "Books", signIn, idptest.Sentence(t, "op.field.scopes", "Scope", "Books")},
		"many scopes":        {"/sign-in", "scopes", strings.Join(lines, " "), signIn, idptest.Sentence(t, "op.field.too_many", "Most", "50")},
		"no such proof":      {"/sign-in", "auth", "none at all", signIn, idptest.Sentence(t, "op.field.auth")},
		"no such way":        {"/sign-in", "auth", "client_secret_basic", signIn, idptest.Sentence(t, "op.field.auth")},
		"no protection":      {"/sign-in", "code_protection", "plain", signIn, idptest.Sentence(t, "op.field.code_protection")},
		"no key":             {"/sign-in", "auth", "private_key_jwt", signIn, idptest.Sentence(t, "op.field.keys_missing")},
		"no JSON":            {"/sign-in", "keys", "{", but(signIn, "auth", "private_key_jwt"), idptest.Sentence(t, "op.field.keys", "Reason", "refused by check key_set_form")},
		"no JSON, and where": {"/sign-in", "keys", "{", but(but(signIn, "auth", "private_key_jwt"), "keys_url", "https://good.example/keys"), idptest.Sentence(t, "op.field.keys", "Reason", "refused by check key_set_form")},
		"a long life":        {"/tokens", "access_for", "11m0s", tokens, idptest.Sentence(t, "op.field.lifetime", "Least", "1 minute", "Most", "10 minutes")},
		"a short life":       {"/tokens", "refresh_for", "1s", tokens, idptest.Sentence(t, "op.field.lifetime", "Most", "90 days", "Least", "1 hour")},
		"no time":            {"/tokens", "id_token_for", "soon", tokens, idptest.Sentence(t, "op.field.lifetime", "Least", "1 minute", "Most", "1 hour")},
		"no signature":       {"/tokens", "algorithm", "none", tokens, idptest.Sentence(t, "op.field.algorithm")},
		"an audience of two": {"/tokens", "audience_claim", "a b", tokens, idptest.Sentence(t, "op.field.audience_claim")},
		"a reserved claim":   {"/claims", "claim[]", "sub", claims, idptest.Sentence(t, "op.field.claims_reserved", "Claim", "sub")},
		"another reserved":   {"/claims", "claim[]", "email_verified", claims, idptest.Sentence(t, "op.field.claims_reserved", "Claim", "email_verified")},
		"a claim with space": {"/claims", "claim[]", "my shoe", claims, idptest.Sentence(t, "op.field.claims", "Claim", "my shoe")},
		"no source":          {"/claims", "source[]", "password", claims, idptest.Sentence(t, "op.field.claims_source", "Claim", "shoe")},
		"many claims":        {"/claims", "claim[]", strings.Join(lines, "\n"), claims, idptest.Sentence(t, "op.field.too_many", "Most", "50")},
		"a role for nobody":  {"/claims", "role[]", "editor", claims, idptest.Sentence(t, "op.field.roles", "Most", "100")},
		"another's group":    {"/claims", "role_group[]", w.beta.group, but(claims, "role[]", "editor"), idptest.Sentence(t, "op.field.groups_unknown")},
		"no audience":        {"/place", "audience", "friends", place, idptest.Sentence(t, "op.field.audience")},
		"no standing":        {"/place", "standing", "loved", place, idptest.Sentence(t, "op.field.standing")},
		"no group":           {"/place", "audience", "groups", place, idptest.Sentence(t, "op.field.groups")},
		"beta's group":       {"/place", "group[]", w.beta.group, but(place, "audience", "groups"), idptest.Sentence(t, "op.field.groups_unknown")},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another's name" {
				w.application(t, w.alpha.ID, "Rival")
			}
			form := but(test.form, test.field, test.value)
			if name == "many claims" {
				form["claim[]"], form["source[]"] = lines, lines
			}
			to := path + test.at
			if test.at == "add" {
				to = applications + "/add"
			}
			p := b.Post(to, form)
			status := 422
			if test.says == idptest.Sentence(t, "op.field.name_taken") {
				status = 409
			}
			idptest.Want(t, p, idptest.Status(status), idptest.Shows(test.says))
			if gap.MatchString(p.Text()) {
				t.Errorf("%s", p.Text())
			}
			if name == "another's group" && !slices.Contains(p.Form(strings.TrimPrefix(test.at, "/")).Values["role_group[]"], test.value) {
				t.Error("the group that was chosen is lost")
			}
			if test.field == "group[]" || test.field == "role_group[]" || test.field == "source[]" || test.field == "kind" || test.field == "code_protection" || slices.Contains([]string{"/tokens", "/place"}, test.at) && test.field != "audience_claim" {
				return // a value that no list offers is not offered now
			}
			if name == "no name" || test.value == "" || test.field == "auth" {
				return // nothing to show again
			}
			if typed := html.UnescapeString(p.Body); !strings.Contains(typed, strings.Split(test.value, "\n")[0]) {
				t.Errorf("what was typed is lost: %s", typed)
			}
		})
	}
	if after := fmt.Sprint(w.applicationAt(t, path).Settings); after != before {
		t.Errorf("changed to %s\n--- from %s", after, before)
	}
}

// Where an application is for groups, the people who see it are those who may open it. Hiding
// it is a different setting, and forbidding it ends everything at once.
func TestWhoMayOpenAnApplication(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	id, path := w.alpha.application, applications+"/"+w.alpha.application
	owner, member := w.alpha.browsers[directory.Owner], w.alpha.browsers[directory.Member] // the owner is in the group
	code := func(b *idptest.Browser) bool {
		return opens(b, id, "https://books.example/callback", "openid").Get("code") != ""
	}
	tile := func(b *idptest.Browser) bool { return b.Get("/o/alpha/home").Says("Books of alpha") }
	for _, test := range []struct {
		audience, standing         string
		ownerSees, ownerOpens      bool
		memberSees, memberOpens    bool
		listed, ofTheGroup, marked string
	}{
		{"everyone", "", true, true, true, true, "Everyone", "", "Allowed"},
		{"groups", "", true, true, false, false, "1 group", w.alpha.group, "Allowed"},
		{"nobody", "approved", false, true, false, true, "Nobody", "", idptest.Sentence(t, "console.application.approved")},
		{"everyone", "forbidden", false, false, false, false, "Everyone", "", "Forbidden"},
	} {
		f := seen(t, b.Get(path), 200).Form("place").Fill("audience", test.audience)
		f.Values.Set("standing", test.standing)
		f.Values.Del("group[]")
		if test.ofTheGroup != "" {
			f.Check("group[]", test.ofTheGroup)
		}
		p := seen(t, f.Submit(""), 200)
		if test.standing == "forbidden" {
			p = presses(t, p)
		}
		if got := p.Form("place").Values; got.Get("audience") != test.audience || got.Get("standing") != test.standing || got.Get("group[]") != test.ofTheGroup {
			t.Errorf("%s %s came back as %v", test.audience, test.standing, got)
		}
		of := expect.Case(t, "%s", test.audience)
		expect.Equal(of, "tile(owner)", tile(owner), test.ownerSees)
		expect.Equal(of, "code(owner)", code(owner), test.ownerOpens)
		expect.Equal(of, "tile(member)", tile(member), test.memberSees)
		expect.Equal(of, "code(member)", code(member), test.memberOpens)
		idptest.Want(t, seen(t, b.Get(applications), 200),
			idptest.Shows("Books of alpha "+idptest.Sentence(t, "console.application.kind.web")+" "+test.listed+" "+test.marked))
	}
	// A deleted group does not prevent other changes.
	seen(t, b.Post(path+"/claims", url.Values{"claim[]": {""}, "source[]": {"name"}, "value[]": {""}, "role_group[]": {w.alpha.group}, "role[]": {"editor"}}), 200)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.DeleteGroup(ctx, tx, directory.Operator(), w.alpha.ID, w.alpha.group)
	})
	seen(t, seen(t, b.Get(path), 200).Form("main").Fill("name", "Other").Submit(""), 200)
}

// TEN-1: of an application of the installation, an organization decides only how it appears
// there; what one organization decides does not change another's.
func TestTEN1AnInstallationsApplicationIsOnlyPlaced(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	id, _ := w.application(t, "", "Common")
	path := applications + "/" + id
	before, err := application.ByID(t.Context(), w.DB, directory.Operator(), w.beta.ID, application.ID(id))
	if err != nil {
		t.Fatal(err)
	}
	p := seen(t, b.Get(path), 200)
	idptest.Want(t, p,
		idptest.Says("console.application.installation"), idptest.Shows("https://books.example/callback"),
		idptest.NoElement("form", "action", path+"/sign-in"), idptest.NoElement("form", "id", "remove"),
		idptest.NoElement("form", "id", "add-secret"))
	for part, form := range map[string]url.Values{
		"":         {"name": {"Mine"}, "address": {"https://evil.example/"}},
		"/sign-in": {"redirect_uris": {"https://evil.example/"}, "scope[]": {"email"}, "scopes": {""}},
		"/tokens":  {"access_for": {"10m0s"}, "id_token_for": {"10m0s"}, "refresh_for": {"720h0m0s"}, "algorithm": {"ES256"}},
		"/claims":  {"claim[]": {"mail"}, "source[]": {"email"}, "value[]": {""}},
		"/secrets": {"do": {"add"}},
	} {
		if p := b.Post(path+part, form); p.Status != 403 || strings.Contains(p.Body, "pcs_") {
			t.Errorf("changed at %q: %d %s", part, p.Status, p.Text())
		}
	}
	secrets, err := application.Secrets(t.Context(), w.DB, directory.Operator(), before.Application)
	if err != nil || len(secrets) != 1 {
		t.Fatal(secrets, err)
	}
	if p := b.Post(path+"/secrets", url.Values{"do": {"remove"}, "secret": {secrets[0].ID}}); p.Status != 403 {
		t.Errorf("its secret removed: %d", p.Status)
	}
	if p := b.Post(path, url.Values{"do": {"remove"}, "confirmed": {"yes"}}); p.Status != 403 {
		t.Errorf("removed: %d", p.Status)
	}
	if p := b.Upload(path+"/logo", "logo", drawing(t, 9, 9), nil); p.Status != 403 {
		t.Errorf("its logo: %d", p.Status)
	}
	asked := p.Form("main").Fill("standing", "forbidden").Submit("")
	idptest.Want(t, asked, idptest.Says("console.confirm.forbid_what"))
	if p := seen(t, presses(t, asked), 200); !p.Says(idptest.Sentence(t, "console.application.saved")) || !p.Says("Forbidden") {
		t.Errorf("forbidden: %s", p.Text())
	}
	if got := opens(b, id, "https://books.example/callback", "openid"); got.Get("error") != "access_denied" {
		t.Errorf("alpha forbids it, and it opens: %v", got)
	}
	if got := opens(w.beta.browsers[directory.Owner], id, "https://books.example/callback", "openid"); got.Get("code") == "" {
		t.Errorf("beta allows it, and it does not open: %v", got)
	}
	after, err := application.ByID(t.Context(), w.DB, directory.Operator(), w.beta.ID, application.ID(id))
	if err != nil || fmt.Sprint(after.Application) != fmt.Sprint(before.Application) || after.Place.Standing != application.AsRegistered {
		t.Errorf("beta has it as %+v, %v", after, err)
	}
}

// A secret is on the page that makes it and nowhere else; two can be valid until the older one
// is removed, which ends it at once; the last one cannot be removed.
func TestAClientSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	p := seen(t, addApplication(t, b, application.Web, "name", "New", "redirect_uris", "https://new.example/cb"), 200)
	path, first := pageOf(t, p), secretIn(t, p)
	id := path[len(applications)+1:]
	if got := p.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the page may be kept: %q", got)
	}
	p = seen(t, b.Get(path), 200)
	if p.Has("button", "value", "remove") && p.Has("input", "name", "secret") {
		t.Error("the only secret can be removed")
	}
	w.Clock.Advance(time.Second)
	second := secretIn(t, seen(t, p.Form("add-secret").Submit("add"), 200))
	if first == second || !w.proves(t, id, first) || !w.proves(t, id, second) {
		t.Error("two secrets do not both live")
	}
	idptest.Want(expect.Case(t, "a third one"), b.Post(path+"/secrets", url.Values{"do": {"add"}}),
		idptest.Status(409), idptest.Says("op.too_many_secrets"), idptest.SourceNot("pcs_"))
	p = seen(t, b.Get(path), 200)
	idptest.Want(t, p,
		idptest.NoElement("form", "id", "add-secret"),
		idptest.Says("console.application.secret_used", "When", "22 November 2026, 09:00 UTC"))
	older := p.Form("secrets") // the first on the page
	asked := older.Submit("remove")
	if idptest.Want(t, asked, idptest.Says("console.confirm.secret_what")); !w.proves(t, id, first) {
		t.Error("removed before anybody was asked")
	}
	presses(t, asked)
	if w.proves(t, id, first) || !w.proves(t, id, second) {
		t.Error("the older one is not the one that ended")
	}
	secrets, err := application.Secrets(t.Context(), w.DB, directory.Operator(), application.Application{ID: application.ID(id)})
	if err != nil || len(secrets) != 1 {
		t.Fatal(secrets, err)
	}
	if p := b.Post(path+"/secrets", url.Values{"do": {"remove"}, "secret": {secrets[0].ID}, "confirmed": {"yes"}}); p.Status != 409 || !w.proves(t, id, second) {
		t.Errorf("the last one: %d", p.Status)
	}
	places := map[string]string{"log": w.Log.String(), "rows": w.rows(t, w.alpha.ID)}
	for _, at := range []string{path, applications, path + "/test", "/o/alpha/admin/audit"} {
		places[at] = b.Get(at).Body
	}
	for _, e := range slices.Concat(w.events(t, w.alpha.ID, "application.registered"), w.events(t, w.alpha.ID, "application.secret_added"), w.events(t, w.alpha.ID, "application.secret_removed")) {
		places[e.ID] = b.Get("/o/alpha/admin/audit/"+e.ID).Body + fmt.Sprint(e)
	}
	if len(places) != 6+5 { // alpha's own application and its machine were registered too
		t.Errorf("%d entries", len(places)-6)
	}
	for place, text := range places {
		for _, secret := range []string{first, second} {
			if strings.Contains(text, secret) || strings.Contains(text, strings.TrimPrefix(secret, "pcs_")) {
				t.Errorf("%s shows a secret", place)
			}
		}
	}
}

// The test shows claim by claim what a real sign-in then says.
func TestTheTestTellsWhatTheApplicationIsTold(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	p := seen(t, addApplication(t, b, application.Web, "name", "New", "redirect_uris", "https://new.example/cb", "address", "https://new.example/"), 200)
	path, secret := pageOf(t, p), secretIn(t, p)
	id := path[len(applications)+1:]
	seen(t, b.Post(path+"/sign-in", url.Values{"redirect_uris": {"https://new.example/cb"}, "scope[]": {"profile", "email", "groups", "roles"}, "scopes": {""}}), 200)
	seen(t, b.Post(path+"/claims", url.Values{"claim[]": {"tier"}, "source[]": {"fixed"}, "value[]": {"gold"}, "role_group[]": {w.alpha.group}, "role[]": {"editor"}}), 200)
	page := seen(t, b.Get(path+"/test"), 200)
	idptest.Want(t, page, idptest.Says("console.application.test_asks_not"), idptest.Link("/o/alpha/open/"+id))
	got := opens(b, id, "https://new.example/cb", "openid profile email groups roles")
	_, tokens := w.token(t, id, secret, url.Values{
		"grant_type": {"authorization_code"}, "code": {got.Get("code")}, "redirect_uri": {"https://new.example/cb"}, "code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", fmt.Sprint("Bearer ", tokens["access_token"]))
	status, info := w.answered(t, r)
	if status != 200 || len(info) < 9 {
		t.Fatalf("UserInfo: %d %v", status, info)
	}
	_, shown, _ := strings.Cut(page.Text(), idptest.Sentence(t, "console.application.test_user_info"))
	for name, value := range info {
		text, plain := value.(string)
		if !plain {
			marshalled, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			text = string(marshalled)
		}
		if name == "org" {
			text = `"short_name":"alpha"`
		}
		if !strings.Contains(shown, " "+name+" "+text) && (name != "org" || !strings.Contains(shown, text)) {
			t.Errorf("the test does not tell %s %s: %s", name, text, shown)
		}
	}
	// Somebody for whom it is not is told so, and may still see what it would say.
	seen(t, b.Post(path+"/place", url.Values{"audience": {"groups"}, "group[]": {w.alpha.group}, "standing": {""}}), 200)
	idptest.Want(expect.Case(t, "the auditor's test"), seen(t, w.alpha.browsers[directory.Auditor].Get(path+"/test"), 200),
		idptest.Says("console.application.test_not_yours"), idptest.NoLink("/o/alpha/open/"+id), idptest.Shows("auditor@alpha.example"))
	grants := func() (n int) {
		if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from grants`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := grants(); n != 1 {
		t.Errorf("the test issued something: %d grants", n)
	}
}

// What was typed is brought back after fresh proof, with its part open, and nothing has been
// changed yet.
func TestApplicationsPartsComeBackFromTheProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	path := applications + "/" + w.alpha.application
	f := seen(t, b.Get(path), 200).Form("claims")
	f.Values["claim[]"], f.Values["role_group[]"], f.Values["role[]"] = []string{"shoe", ""}, []string{"", w.alpha.group}, []string{"", "editor"}
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, f.Submit(""))
	back := p.Form("claims").Values
	idptest.Want(t, p, idptest.Path(path+"/claims"), idptest.Source("<details open>"))
	if back["claim[]"][0] != "shoe" || back["role_group[]"][0] != w.alpha.group || back["role[]"][0] != "editor" {
		t.Errorf("at %s came back %v", p.URL, back)
	}
	if s := w.applicationAt(t, path).Settings; len(s.Claims) != 0 {
		t.Errorf("changed before the proof: %v", s.Claims)
	}
	seen(t, p.Form("claims").Submit(""), 200)
	if s := w.applicationAt(t, path).Settings; len(s.Claims) != 1 || len(s.Roles) != 1 {
		t.Errorf("after it: %v %v", s.Claims, s.Roles)
	}
}

// Two administrators who change different parts at once do not undo each other's changes, and
// together make no third secret and no second application of one name.
func TestTwoAdministratorsChangeOneApplication(t *testing.T) {
	t.Parallel()
	w := start(t)
	one, two := w.alpha.browsers[directory.Owner], w.alpha.browsers[directory.Administrator]
	path := applications + "/" + w.alpha.application
	together := func(forms ...*idptest.Form) []int {
		answers := make([]int, len(forms))
		var wg sync.WaitGroup
		for i, f := range forms {
			wg.Go(func() { answers[i] = f.Submit(f.Values.Get("do")).Status })
		}
		wg.Wait()
		slices.Sort(answers)
		return answers
	}
	a, b := one.Get(path), two.Get(path)
	if got := together(a.Form("main").Fill("name", "Renamed"), b.Form("tokens").Fill("access_for", "1m0s")); !slices.Equal(got, []int{200, 200}) {
		t.Errorf("two parts: %v", got)
	}
	if s := w.applicationAt(t, path).Settings; s.Name != "Renamed" || s.AccessFor != application.ShortestAccess {
		t.Errorf("one undid the other: %+v", s)
	}
	if got := together(a.Form("add-secret").Check("do", "add"), b.Form("add-secret").Check("do", "add")); !slices.Equal(got, []int{200, 409}) {
		t.Errorf("two secrets: %v", got)
	}
	add := func(b *idptest.Browser) *idptest.Form {
		return b.Get(applications+"/add?kind=web").Form("main").Fill("name", "Same")
	}
	if got := together(add(one), add(two)); !slices.Equal(got, []int{200, 409}) {
		t.Errorf("two of a name: %v", got)
	}
	late := two.Get(path).Form("sign-in")
	seen(t, one.Post(path, url.Values{"do": {"remove"}, "confirmed": {"yes"}}), 200)
	if p := late.Submit(""); p.Status != 404 {
		t.Errorf("changed after it was removed: %d", p.Status)
	}
}

// A form changes what it sends and leaves the rest. Spaces around a value are not stored, and
// what is usual is not stored as if it had been chosen.
func TestAFormOfSettingsChangesWhatItSends(t *testing.T) {
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	path := applications + "/" + w.alpha.application
	before := w.applicationAt(t, path).Settings
	seen(t, b.Post(path+"/sign-in", url.Values{"front_channel": {" https://books.example/bye "}}), 200)
	seen(t, b.Post(path+"/tokens", url.Values{"access_for": {"5m0s"}, "algorithm": {"ES256"}}), 200)
	s := w.applicationAt(t, path).Settings
	expect.Equal(t, "FrontChannel", s.FrontChannel, "https://books.example/bye")
	expect.Equal(t, "RedirectURIs", fmt.Sprint(s.RedirectURIs), fmt.Sprint(before.RedirectURIs))
	expect.Equal(t, "Scopes", fmt.Sprint(s.Scopes), fmt.Sprint(before.Scopes))
	expect.Equal(t, "AccessFor", s.AccessFor, 0)
	expect.Equal(t, "Algorithm", s.Algorithm, "")
	idptest.Want(t, b.Get(path), idptest.Input("access_for", "5m0s"), idptest.Input("algorithm", "ES256"))
	if p := b.Post(path+"/tokens", url.Values{}); p.Status != 422 {
		t.Errorf("a form without fields: %d", p.Status)
	}
}
