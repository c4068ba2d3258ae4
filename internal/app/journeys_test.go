package app_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

const (
	callback  = "https://books.example/callback"
	challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-and-more"
)

// world is a server whose requests are counted, with one of everything that a journey needs.
type world struct {
	*idptest.Server
	t       testing.TB
	traffic *dbtest.Traffic
	org     directory.Organization
	owner   *idptest.Browser
	ownerID directory.UserID
	boID    directory.UserID // a member
	// Applications with their secrets, and a token of the API.
	signed, opaque application.Application
	secrets        map[application.ID]string
	token          string
	source         string // the address of a directory, and its token
	sourceToken    string

	n    int // of the people made so far
	cost cost
}

// cost is what requests sent.
type cost struct {
	statements []dbtest.Sent
	durable    int // transactions that SQLite's writer waits for the disk for
	lax        int // and those that it does not
	all        int // transactions, and those that only read
	trips      int // over the wire of PostgreSQL
}

func newWorld(t testing.TB) *world {
	t.Helper()
	d, clock, traffic := dbtest.Heard(t)
	w := &world{t: t, traffic: traffic, secrets: map[application.ID]string{}}
	if err := d.Update(t.Context(), func(*db.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if sent, _ := traffic.Take(); len(sent) != 2 {
		t.Skip("each transaction runs twice here")
	}
	d.Shadow = nil // which reads what is remembered
	w.Server = idptest.StartOn(t, d, clock, secret.NewKeys())
	w.org = w.Organization(t, "Alpha Works", "alpha")
	w.owner = w.Join(t, w.org, "owner@alpha.example", "Ana Duarte", directory.Owner)
	w.Join(t, w.org, "bo@alpha.example", "Bo Lind", directory.Member)
	id := w.Directory(t, w.org).ID
	w.source = "/scim/v2/" + id
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		found, err := directory.Addressed(ctx, tx, w.org.ID, []string{"owner@alpha.example"})
		if err != nil {
			return err
		}
		w.ownerID = found[0].ID
		others, err := directory.Addressed(ctx, tx, w.org.ID, []string{"bo@alpha.example"})
		if err != nil {
			return err
		}
		w.boID = others[0].ID
		for _, a := range []*application.Application{&w.signed, &w.opaque} {
			s := application.Settings{
				Name: "Books", Auth: application.Secret, RedirectURIs: []string{callback},
				Scopes: []string{application.OpenID, application.ProfileInfo, application.EmailInfo}, Refreshes: true,
			}
			if a == &w.opaque {
				s.Name, s.Opaque = "Ledger", true
			}
			var text string
			*a, text, err = application.Register(ctx, tx, directory.Operator(), w.URL, application.Application{Kind: application.Web, Settings: s})
			if err != nil {
				return err
			}
			w.secrets[a.ID] = text
		}
		if _, w.token, err = access.Issue(ctx, tx, found[0].AsActor(), w.org.ID, access.New{Name: "A token", Scopes: access.Reach(directory.Owner)}); err != nil {
			return err
		}
		_, w.sourceToken, err = w.Sources.Issue(ctx, tx, directory.Operator(), w.org.ID, id)
		return err
	})
	return w
}

// serve sends a request, without the network, and counts what it sends to the database.
func (w *world) serve(r *http.Request, status int) *httptest.ResponseRecorder {
	w.t.Helper()
	if w.DB.Remembers {
		if err := w.DB.Hear(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	w.traffic.Take()
	answer := httptest.NewRecorder()
	w.Site.ServeHTTP(answer, r)
	sent, trips := w.traffic.Take()
	if answer.Code != status {
		w.t.Fatalf("%s %s: %d: %s", r.Method, r.URL.Path, answer.Code, answer.Body)
	}
	if w.DB.Path() == "" && len(trips) != len(sent)+strings.Count(strings.Join(trips, "\n"), "prepare") {
		w.t.Errorf("%s %s: package db sends %d times, and the wire is waited for %d times:\n%v\n%v", r.Method, r.URL.Path, len(sent), len(trips), sent, trips)
	}
	w.cost.trips += len(trips)
	for _, s := range sent {
		switch s.Text {
		case "begin full":
			w.cost.durable++
		case "begin normal":
			w.cost.lax++
		case "commit", "rollback":
			w.cost.all++
		case "begin":
		default:
			w.cost.statements = append(w.cost.statements, s)
		}
	}
	return answer
}

// request makes a request with a form, or with none.
func (w *world) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// browse is a request of a browser, whose cookies come and go with it.
func (w *world) browse(b *idptest.Browser, status int, method, path string, form url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	r := w.request(method, path, form)
	if method == http.MethodPost {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, c := range b.Client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	answer := w.serve(r, status)
	b.Client.Jar.SetCookies(r.URL, answer.Result().Cookies())
	return answer
}

// submit sends a form of a page that a browser has fetched.
func (w *world) submit(b *idptest.Browser, status int, f *idptest.Form) {
	w.t.Helper()
	w.browse(b, status, http.MethodPost, f.Path(), f.Values)
}

// ask is a call of an application by its secret.
func (w *world) ask(a application.Application, path string, form url.Values) (answer map[string]any) {
	w.t.Helper()
	r := w.request(http.MethodPost, path, form)
	r.SetBasicAuth(url.QueryEscape(string(a.ID)), url.QueryEscape(w.secrets[a.ID]))
	if err := json.Unmarshal(w.serve(r, http.StatusOK).Body.Bytes(), &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// bearer is a call with a token, and with JSON or without a body.
func (w *world) bearer(token string, status int, method, path, body string) map[string]any {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	var answer map[string]any
	if err := json.Unmarshal(w.serve(r, status).Body.Bytes(), &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// code is what a browser with a session brings to an application.
func (w *world) code(a application.Application) string {
	w.t.Helper()
	sum := sha256.Sum256([]byte(challenge))
	to, err := url.Parse(w.browse(w.owner, http.StatusSeeOther, http.MethodGet, "/authorize?"+url.Values{
		"client_id": {string(a.ID)}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {strings.Join(a.Settings.Scopes, " ")}, "state": {"state"}, "nonce": {"nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil).Header().Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		w.t.Fatalf("no code but %v (%v)", to, err)
	}
	return to.Query().Get("code")
}

// tokens redeems a code.
func (w *world) tokens(a application.Application, code string) map[string]any {
	w.t.Helper()
	return w.ask(a, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {challenge}})
}

// somebody is a new address.
func (w *world) somebody() string {
	w.n++
	return fmt.Sprintf("person%d@alpha.example", w.n)
}

// joined is somebody who has come in, in a browser that is forgotten here.
func (w *world) joined() string {
	w.t.Helper()
	address := w.somebody()
	w.Join(w.t, w.org, address, "Somebody", directory.Member)
	return address
}

// afterwards counts only what comes.
func (w *world) afterwards() { w.cost = cost{} }

// journeys are what is counted, in the order of the table. Each begins by what is not counted.
var journeys = []struct {
	name string
	run  func(w *world)
}{
	{"sign-in with a password, in a browser that is new", func(w *world) {
		w.Clock.Advance(time.Minute) // else it counts as the last one, sent twice
		w.browse(w.visitor(), http.StatusSeeOther, http.MethodPost, "/sign-in", url.Values{"email": {"owner@alpha.example"}, "password": {idptest.Password}})
	}},
	{"sign-in with a password, in a browser that knows the person", func(w *world) {
		w.Clock.Advance(time.Minute)
		w.browse(w.owner, http.StatusSeeOther, http.MethodPost, "/sign-in", url.Values{"email": {"owner@alpha.example"}, "password": {idptest.Password}})
	}},
	{"sign-in refused: a wrong password", func(w *world) {
		address := w.joined() // whose first wrong one it is
		w.browse(w.visitor(), http.StatusUnprocessableEntity, http.MethodPost, "/sign-in", url.Values{"email": {address}, "password": {"wrong"}})
	}},
	{"session check", func(w *world) {
		w.browse(w.owner, http.StatusSeeOther, http.MethodGet, "/o/alpha/admin/people/change", nil)
	}},
	{"session check, the first in a minute", func(w *world) {
		w.Clock.Advance(2 * time.Minute)
		w.browse(w.owner, http.StatusSeeOther, http.MethodGet, "/o/alpha/admin/people/change", nil)
	}},
	{"*Home*", func(w *world) { w.browse(w.owner, http.StatusOK, http.MethodGet, "/o/alpha/home", nil) }},
	{"code with PKCE: `/authorize` with a session", func(w *world) { w.code(w.signed) }},
	{"code with PKCE: `/token`", func(w *world) {
		code := w.code(w.signed)
		w.afterwards()
		w.tokens(w.signed, code)
	}},
	{"refresh with rotation", func(w *world) {
		token, _ := w.tokens(w.signed, w.code(w.signed))["refresh_token"].(string)
		w.afterwards()
		w.ask(w.signed, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	}},
	{"introspection of a signed access token", func(w *world) { w.introspects(w.signed) }},
	{"introspection of an opaque access token", func(w *world) { w.introspects(w.opaque) }},
	{"UserInfo by a signed access token", func(w *world) { w.tells(w.signed) }},
	{"UserInfo by an opaque access token", func(w *world) { w.tells(w.opaque) }},
	{"invitation, accepted with a new password", func(w *world) {
		address, b := w.somebody(), w.visitor()
		f := b.Get(w.Invite(w.t, w.org, address, "Somebody", directory.Member)).Form("main").
			Fill("name", "Somebody").Fill("password", idptest.Password).Fill("repetition", idptest.Password)
		w.afterwards()
		w.submit(b, http.StatusSeeOther, f)
	}},
	{"recovery: a new password is asked for", func(w *world) {
		address, b := w.joined(), w.visitor()
		f := b.Get("/forgot-password").Form("main").Fill("email", address)
		w.afterwards()
		w.submit(b, http.StatusSeeOther, f)
	}},
	{"recovery: a new password, by the link", func(w *world) {
		address, b := w.joined(), w.visitor()
		b.Get("/forgot-password").Form("main").Fill("email", address).Submit("")
		f := b.Get(w.Link(w.t, address, "/reset/")).Form("main").Fill("password", "Eight otters cross 4 rivers?").Fill("repetition", "Eight otters cross 4 rivers?")
		w.afterwards()
		w.submit(b, http.StatusSeeOther, f)
	}},
	{"SCIM: a person is created", func(w *world) { w.hired() }},
	{"SCIM: PATCH of a person", func(w *world) {
		_, id := w.hired()
		w.afterwards()
		w.bearer(w.sourceToken, http.StatusOK, http.MethodPatch, w.source+"/Users/"+id,
			`{"schemas":["`+document.PatchURI+`"],"Operations":[{"op":"Replace","path":"title","value":"Title"}]}`)
	}},
	{"SCIM: look-up of a person by name", func(w *world) {
		address, _ := w.hired()
		w.afterwards()
		w.bearer(w.sourceToken, http.StatusOK, http.MethodGet, w.source+"/Users?filter="+url.QueryEscape(`userName eq "`+address+`"`), "")
	}},
	{"API: one user", func(w *world) {
		w.Clock.Advance(time.Second)
		w.bearer(w.token, http.StatusOK, http.MethodGet, "/api/v1/users/"+string(w.ownerID), "")
	}},
	{"API: a page of users", func(w *world) {
		w.Clock.Advance(time.Second)
		w.bearer(w.token, http.StatusOK, http.MethodGet, "/api/v1/users?limit=50", "")
	}},
	{"API: a change of a user", func(w *world) {
		w.Clock.Advance(time.Second)
		w.n++
		w.bearer(w.token, http.StatusOK, http.MethodPatch, "/api/v1/users/"+string(w.boID), fmt.Sprintf(`{"name": "Bo %d"}`, w.n))
	}},
}

// visitor is a browser that has seen a page of ours, and nobody has signed in there.
func (w *world) visitor() *idptest.Browser {
	b := w.Browser(w.t)
	b.Get("/sign-in")
	return b
}

func (w *world) introspects(a application.Application) {
	w.t.Helper()
	token, _ := w.tokens(a, w.code(a))["access_token"].(string)
	w.afterwards()
	w.ask(a, "/introspect", url.Values{"token": {token}}) // a first time, to be remembered
	w.afterwards()
	if w.ask(a, "/introspect", url.Values{"token": {token}})["active"] != true {
		w.t.Fatal("the token is not active")
	}
}

func (w *world) tells(a application.Application) {
	w.t.Helper()
	token, _ := w.tokens(a, w.code(a))["access_token"].(string)
	w.bearer(token, http.StatusOK, http.MethodGet, "/userinfo", "")
	w.afterwards()
	w.bearer(token, http.StatusOK, http.MethodGet, "/userinfo", "")
}

// hired is a person whom the directory makes, and their id.
func (w *world) hired() (address, id string) {
	w.t.Helper()
	address = w.somebody()
	id, _ = w.bearer(w.sourceToken, http.StatusCreated, http.MethodPost, w.source+"/Users",
		`{"schemas":["`+document.UserURI+`"],"userName":"`+address+`","displayName":"Somebody"}`)["id"].(string)
	return address, id
}
