package op_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/app"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// callback is the redirect address of the applications in these tests. Nothing listens there; the
// browsers of these tests stop before it.
const callback = "https://books.example/callback"

// world is a server with two organizations, each with people, and applications.
type world struct {
	*idptest.Server
	t          testing.TB
	org        directory.Organization // Meridian Freight
	other      directory.Organization // Lumen Health
	ana        *idptest.Browser       // owner at Meridian, signed in
	bo         *idptest.Browser       // member at Meridian, signed in
	registered *int                   // how many applications, in all copies of this world
}

func newWorld(t testing.TB, change ...func(*app.Settings)) *world {
	t.Helper()
	return worldOn(t, idptest.Start(t, change...))
}

// worldOn makes a world on a running server.
func worldOn(t testing.TB, s *idptest.Server) *world {
	t.Helper()
	w := &world{Server: s, t: t, registered: new(int)}
	w.org = w.Organization(t, "Meridian Freight", "meridian")
	w.other = w.Organization(t, "Lumen Health", "lumen")
	w.ana = stopping(w.Join(t, w.org, "ana@meridian.example", "Ana Duarte", directory.Owner))
	w.bo = stopping(w.Join(t, w.org, "bo@meridian.example", "Bo Lind", directory.Member))
	return w
}

// stopping makes a browser stop where it would leave the server.
func stopping(b *idptest.Browser) *idptest.Browser {
	b.Client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Host != via[0].URL.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return b
}

// client is a registered application with its secret.
type client struct {
	application.Application
	secret string
	form   bool // the secret is sent in the form, not in the header
}

// web returns the settings of a web application in these tests.
func web() application.Settings {
	return application.Settings{
		Name: "Books", Auth: application.Secret, RedirectURIs: []string{callback}, PostLogoutURIs: []string{"https://books.example/bye"},
		Scopes: []string{application.OpenID, application.ProfileInfo, application.EmailInfo}, Refreshes: true,
	}
}

// register registers an application of an organization, or of the installation if org is empty.
func (w *world) register(org directory.OrgID, kind application.Kind, s application.Settings) client {
	w.t.Helper()
	s = w.distinct(s)
	var c client
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		c.Application, c.secret, err = application.Register(ctx, tx, directory.Operator(), w.URL, application.Application{OrgID: org, Kind: kind, Settings: s})
		return err
	})
	return c
}

// distinct returns the settings with a name of their own, because no two may look alike.
func (w *world) distinct(s application.Settings) application.Settings {
	if *w.registered++; s.Name == "Books" && *w.registered > 1 {
		s.Name = fmt.Sprintf("Books %d", *w.registered)
	}
	return s
}

// books registers a web application of the installation.
func (w *world) books() client { return w.register("", application.Web, web()) }

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-and-more"

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request returns a correct authorization request, changed by more: names and values in turn. The
// value "-" leaves a parameter out.
func (c client) request(more ...string) url.Values {
	q := url.Values{
		"client_id": {string(c.ID)}, "redirect_uri": {c.Settings.RedirectURIs[0]}, "response_type": {"code"}, "scope": {strings.Join(c.Settings.Scopes, " ")},
		"state": {"st/ate &+1"}, "nonce": {"non ce"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	return with(q, more...)
}

func with(q url.Values, more ...string) url.Values {
	for i := 0; i < len(more); i += 2 {
		if more[i+1] == "-" {
			q.Del(more[i])
		} else {
			q.Set(more[i], more[i+1])
		}
	}
	return q
}

// authorize sends a browser with a request, and returns the page where it ends.
func authorize(b *idptest.Browser, q url.Values) *idptest.Page {
	return b.Get("/authorize?" + q.Encode())
}

// answer returns what the application would get at the callback, by a redirect or by the page that
// leads on. It is nil if the browser stays with us.
func answer(p *idptest.Page) url.Values {
	to := p.Header.Get("Location")
	if to == "" {
		for _, link := range p.Links() {
			if strings.Contains(link, "iss=") {
				to = link
			}
		}
	}
	u, err := url.Parse(to)
	if err != nil || to == "" {
		return nil
	}
	return u.Query()
}

// code authorizes, and returns the code.
func (w *world) code(b *idptest.Browser, c client, more ...string) string {
	w.t.Helper()
	p := authorize(b, c.request(more...))
	got := answer(p)
	if got.Get("code") == "" {
		w.t.Fatalf("no code but %v at %s (%d): %s", got, p.URL, p.Status, p.Text())
	}
	return got.Get("code")
}

// reply is the server's answer to a call.
type reply struct {
	Status int
	Header http.Header
	Body   string
	JSON   map[string]any
}

// text returns a text of the answer's JSON.
func (r reply) text(name string) string { s, _ := r.JSON[name].(string); return s }

// call posts a form to an endpoint as c does, by its own method.
func (w *world) call(c client, path string, form url.Values) reply {
	w.t.Helper()
	return w.do(w.as(c, path, form))
}

// as makes the request of call.
func (w *world) as(c client, path string, form url.Values) *http.Request {
	w.t.Helper()
	form = maps.Clone(form)
	if c.Settings.Auth == application.Secret && !c.form {
		r := w.post(path, form)
		r.SetBasicAuth(url.QueryEscape(string(c.ID)), url.QueryEscape(c.secret))
		return r
	}
	if c.Settings.Auth == application.Secret {
		form.Set("client_secret", c.secret)
	}
	form.Set("client_id", string(c.ID))
	return w.post(path, form)
}

func (w *world) post(path string, form url.Values) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// do sends a request like an application's server: without cookie and origin.
func (w *world) do(r *http.Request) reply {
	w.t.Helper()
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := (&http.Client{Transport: w.ana.Client.Transport, CheckRedirect: stay}).Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	out := reply{Status: answer.StatusCode, Header: answer.Header, Body: string(body)}
	_ = json.Unmarshal(body, &out.JSON) // pages are not JSON
	return out
}

// redeem exchanges a code.
func (w *world) redeem(c client, code string, more ...string) reply {
	w.t.Helper()
	return w.call(c, "/token", with(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Settings.RedirectURIs[0]}, "code_verifier": {verifier},
	}, more...))
}

// refresh exchanges a refresh token.
func (w *world) refresh(c client, token string, more ...string) reply {
	w.t.Helper()
	return w.call(c, "/token", with(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, more...))
}

// enter authorizes with a browser, and exchanges the code for tokens.
func (w *world) enter(b *idptest.Browser, c client, more ...string) reply {
	w.t.Helper()
	r := w.redeem(c, w.code(b, c, more...))
	if r.Status != http.StatusOK {
		w.t.Fatalf("no tokens but %d %s", r.Status, r.Body)
	}
	return r
}

// userInfo calls UserInfo with an access token.
func (w *world) userInfo(token string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.URL+"/userinfo", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return w.do(r)
}

// claims verifies a token of this type with the published keys, and returns its claims.
func (w *world) claims(token, typ string) map[string]any {
	w.t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		w.t.Fatalf("no signed token: %v", err)
	}
	var set jose.JSONWebKeySet
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.URL+"/jwks", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(w.do(r).Body), &set); err != nil {
		w.t.Fatal(err)
	}
	if got := signed.Signatures[0].Header.ExtraHeaders["typ"]; got != typ {
		w.t.Errorf("the token is of type %v, not %s", got, typ)
	}
	keys := set.Key(signed.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		w.t.Fatalf("its key is published %d times", len(keys))
	}
	payload, err := signed.Verify(keys[0])
	if err != nil {
		w.t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		w.t.Fatal(err)
	}
	return claims
}
