package federation_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// If an application wants fresh proof, the provider is asked for it too, even if nobody is signed in
// here who could be asked again (OIDC Core §3.1.2.1).
func TestAnApplicationThatWantsFreshProofAsksTheProviderAnew(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	var books application.Application
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		books, _, err = application.Register(ctx, tx, directory.Operator(), "", application.Application{Kind: application.Web, Settings: application.Settings{
			Name: "Books", Auth: application.Secret, Scopes: []string{application.OpenID}, RedirectURIs: []string{"https://books.example/callback"},
		}})
		return err
	})
	for _, more := range []struct {
		name, value string
		anew        bool
	}{{"prompt", "login", true}, {"max_age", "60", true}, {"prompt", "consent", false}} {
		p := w.Browser(t).Get("/authorize?" + url.Values{
			"client_id": {string(books.ID)}, "redirect_uri": {"https://books.example/callback"}, "response_type": {"code"}, "scope": {"openid"},
			"code_challenge": {strings.Repeat("a", 43)}, "code_challenge_method": {"S256"}, "organization": {"alpha"}, more.name: {more.value},
		}.Encode())
		if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
			t.Fatalf("%s=%s leads to %d %s", more.name, more.value, p.Status, p.URL)
		}
		if got := forced(t, toProvider(t, p.Form("ways").Check("connection", c.ID).Submit(""))); got != more.anew {
			t.Errorf("%s=%s: anew is %v", more.name, more.value, got)
		}
	}
}

// A person who signed in by a provider and signs out in an application is signed out at the provider
// too, and comes back to the application.
func TestSigningOutInAnApplicationLeadsOverTheProviderAndBack(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	b := w.session(idp, c, ada, "first")
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Host, ".example") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	var books application.Application
	var secret string
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		books, secret, err = application.Register(ctx, tx, directory.Operator(), "", application.Application{Kind: application.Web, Settings: application.Settings{
			Name: "Books", Auth: application.Secret, Scopes: []string{application.OpenID},
			RedirectURIs: []string{"https://books.example/callback"}, PostLogoutURIs: []string{"https://books.example/bye"},
		}})
		return err
	})
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-and-more"
	sum := sha256.Sum256([]byte(verifier))
	p := b.Get("/authorize?" + url.Values{
		"client_id": {string(books.ID)}, "redirect_uri": {"https://books.example/callback"}, "response_type": {"code"}, "scope": {"openid"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	back, err := url.Parse(p.Header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("no code but %d %s", p.Status, p.Text())
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": back.Query()["code"], "redirect_uri": {"https://books.example/callback"}, "code_verifier": {verifier}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(string(books.ID), secret)
	answer, err := (&http.Client{Transport: b.Client.Transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var tokens struct {
		ID string `json:"id_token"`
	}
	if err := json.Unmarshal(text, &tokens); err != nil || tokens.ID == "" {
		t.Fatalf("no ID token but %d %s", answer.StatusCode, text)
	}

	p = b.Get("/end-session?" + url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {"https://books.example/bye"}, "state": {"s 1"}}.Encode())
	address, err := url.Parse(toProvider(t, p))
	if err != nil {
		t.Fatal(err)
	}
	if w.signedIn(b) {
		t.Error("it waits for the provider")
	}
	id := requestID.FindStringSubmatch(inflate(t, address.Query().Get("SAMLRequest")))[1]
	p = b.Get(logoutResponse(w, idp, c, id, address.Query().Get("RelayState")))
	if got := p.Header.Get("Location"); got != "https://books.example/bye?state=s+1" {
		t.Errorf("back again it leads to %q (%d %s): %s", got, p.Status, p.URL, p.Text())
	}
}
