package op_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"parvis/internal/application"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// relying is an application as others write it, with coreos/go-oidc and x/oauth2, which read the
// specifications in their own way.
type relying struct {
	w *world
	*oidc.Provider
	oauth2.Config
	ctx  context.Context
	bare bool // it sends no PKCE, like some libraries
}

// relying makes an application that reads discovery first.
func (w *world) relying(c client) *relying {
	w.t.Helper()
	ctx := oidc.ClientContext(w.t.Context(), &http.Client{Transport: w.ana.Client.Transport})
	p, err := oidc.NewProvider(ctx, w.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &relying{w: w, Provider: p, ctx: ctx, Config: oauth2.Config{ClientID: string(c.ID), ClientSecret: c.secret, Endpoint: p.Endpoint(), Scopes: c.Settings.Scopes}}
	r.bare = c.Settings.Protection == application.PKCEOrNonce
	if len(c.Settings.RedirectURIs) > 0 {
		r.RedirectURL = c.Settings.RedirectURIs[0]
	}
	if c.Settings.Auth == application.NoAuth {
		r.Config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return r
}

// judge returns a verifier of tokens for one audience.
func (r *relying) judge(audience string) *oidc.IDTokenVerifier {
	return r.VerifierContext(r.ctx, &oidc.Config{ClientID: audience, Now: r.w.Clock.Now})
}

// enters signs in by the code flow with PKCE, and checks the tokens.
func (r *relying) enters(b *idptest.Browser) (*oauth2.Token, *oidc.IDToken) {
	r.w.t.Helper()
	verifier := oauth2.GenerateVerifier()
	ask, exchange := []oauth2.AuthCodeOption{oidc.Nonce("a nonce"), oauth2.S256ChallengeOption(verifier)}, []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	if r.bare {
		ask, exchange = ask[:1], nil
	}
	u, err := url.Parse(r.AuthCodeURL("a state", ask...))
	if err != nil {
		r.w.t.Fatal(err)
	}
	got := answer(b.Get(u.RequestURI()))
	if got.Get("state") != "a state" {
		r.w.t.Fatalf("the answer is %v", got)
	}
	t, err := r.Exchange(r.ctx, got.Get("code"), exchange...)
	if err != nil {
		r.w.t.Fatal(err)
	}
	id := r.reads(t)
	if id.Nonce != "a nonce" {
		r.w.t.Errorf("the nonce is %q", id.Nonce)
	}
	return t, id
}

// reads verifies an ID token, and that it belongs to the access token beside it.
func (r *relying) reads(t *oauth2.Token) *oidc.IDToken {
	r.w.t.Helper()
	text, _ := t.Extra("id_token").(string)
	id, err := r.judge(r.ClientID).Verify(r.ctx, text)
	if err == nil {
		err = id.VerifyAccessToken(t.AccessToken)
	}
	if err != nil {
		r.w.t.Fatal(err)
	}
	return id
}

// refreshes gets the next tokens as the library does after its access token has expired.
func (r *relying) refreshes(t *oauth2.Token) (*oauth2.Token, error) {
	ended := *t
	ended.Expiry = time.Unix(1, 0)
	return r.TokenSource(r.ctx, &ended).Token()
}

func TestAForeignApplicationSignsInAndRefreshes(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*application.Settings){
		"ES256":                    func(*application.Settings) {},
		"RS256":                    func(s *application.Settings) { s.Algorithm = application.RS256 },
		"opaque":                   func(s *application.Settings) { s.Opaque = true },
		"less than PKCE":           func(s *application.Settings) { s.Protection = application.PKCEOrNonce },
		"for an API too":           func(s *application.Settings) { s.Audience = "https://api.books.example" },
		"signed UserInfo":          func(s *application.Settings) { s.SignsInfo = true },
		"signed UserInfo by RS256": func(s *application.Settings) { s.SignsInfo, s.Algorithm = true, application.RS256 },
		"public":                   func(s *application.Settings) { s.Auth = application.NoAuth },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, kind := web(), application.Web
			if change(&s); s.Auth == application.NoAuth {
				kind = application.SinglePage
			}
			if s.Algorithm == application.RS256 {
				w.sweepKeys() // no request makes that key
			}
			r := w.relying(w.register("", kind, s))
			token, id := r.enters(w.bo)
			info, err := r.UserInfo(r.ctx, oauth2.StaticTokenSource(token))
			if err != nil {
				t.Fatalf("UserInfo says %+v, %v", info, err)
			}
			expect.Equal(t, "Subject", info.Subject, id.Subject)
			expect.Equal(t, "Email", info.Email, "bo@meridian.example")
			if !info.EmailVerified {
				t.Errorf("UserInfo says %+v, %v", info, err)
			}
			if _, err := r.judge(cmp.Or(s.Audience, w.URL)).Verify(r.ctx, token.AccessToken); (err == nil) == s.Opaque || strings.HasPrefix(token.AccessToken, "pat_") != s.Opaque {
				t.Errorf("whoever takes the access token finds %v", err)
			}
			w.Clock.Advance(6 * time.Minute)
			if _, err := r.UserInfo(r.ctx, oauth2.StaticTokenSource(token)); err == nil {
				t.Error("an access token has no end")
			}
			next, err := r.refreshes(token)
			if err != nil {
				t.Fatal(err)
			}
			if again := r.reads(next); again.Subject != id.Subject || !again.IssuedAt.After(id.IssuedAt) {
				t.Errorf("first %+v, then %+v", id, again)
			}
			if _, err := r.UserInfo(r.ctx, oauth2.StaticTokenSource(next)); err != nil {
				t.Error(err)
			}
		})
	}
}

// The token of a machine names no person but the client, and the organization that it asked for.
func TestAForeignMachineGetsATokenForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Machine, application.Settings{
		Name: "Nightly", Auth: application.Secret, OwnBehalf: true, Scopes: []string{"reports:read"}, Audience: "https://api.books.example",
	})
	r := w.relying(c)
	machine := clientcredentials.Config{
		ClientID: string(c.ID), ClientSecret: c.secret, TokenURL: r.Config.Endpoint.TokenURL, Scopes: []string{"reports:read"},
		EndpointParams: url.Values{"organization": {"meridian"}},
	}
	token, err := machine.Token(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if token.Extra("id_token") != nil || token.RefreshToken != "" {
		t.Errorf("nobody signed in, and yet: %+v", token)
	}
	access, err := r.judge("https://api.books.example").Verify(r.ctx, token.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	var says struct {
		ClientID string `json:"client_id"`
		Scope    string
		Org      struct {
			ShortName string `json:"short_name"`
		}
	}
	if err := access.Claims(&says); err != nil {
		t.Fatalf("it says %+v, %v", says, err)
	}
	expect.Equal(t, "Subject", access.Subject, string(c.ID))
	expect.Equal(t, "ClientID", says.ClientID, access.Subject)
	expect.Equal(t, "Scope", says.Scope, "reports:read")
	expect.Equal(t, "ShortName", says.Org.ShortName, "meridian")
	if _, err := r.UserInfo(r.ctx, oauth2.StaticTokenSource(token)); err == nil {
		t.Error("a machine is told who it is")
	}
	machine.Scopes = []string{"openid"}
	var refused *oauth2.RetrieveError
	if _, err := machine.Token(r.ctx); !errors.As(err, &refused) || refused.ErrorCode != "invalid_scope" {
		t.Errorf("asked for a person's scope it says %v", err)
	}
}

func TestAForeignDeviceSignsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Native, application.Settings{
		Name: "Wall screen", Auth: application.NoAuth, Devices: true, Refreshes: true, Scopes: []string{application.OpenID, application.ProfileInfo},
	})
	r := w.relying(c)
	asked, err := r.DeviceAuth(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if asked.VerificationURI != w.URL+"/device" || asked.Interval != 5 {
		t.Errorf("it says %+v", asked)
	}
	u, err := url.Parse(asked.VerificationURIComplete)
	if err != nil {
		t.Fatal(err)
	}
	page := w.bo.Get(u.RequestURI())
	if !page.Says(asked.UserCode) || !page.Says("Wall screen") {
		t.Fatalf("the page says %s", page.Text())
	}
	if p := page.Form("main").Submit("allow"); p.Status != http.StatusOK {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	asked.Interval = 1 // the library waits so long before it first asks
	token, err := r.DeviceAccessToken(r.ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	id := r.reads(token)
	info, err := r.UserInfo(r.ctx, oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != id.Subject {
		t.Errorf("UserInfo says %+v, %v", info, err)
	}
	if next, err := r.refreshes(token); err != nil || r.reads(next).Subject != id.Subject {
		t.Errorf("the refresh gave %v", err)
	}
	if _, err := r.DeviceAccessToken(r.ctx, asked); err == nil {
		t.Error("a device code works twice")
	}
}

func TestAForeignApplicationIsToldOfALogout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := web()
	there := w.receiver(http.StatusOK)
	s.BackChannel = there.URL
	r := w.relying(w.register("", application.Web, s))
	token, id := r.enters(w.bo)
	var says struct{ SID string }
	if err := id.Claims(&says); err != nil || says.SID == "" {
		t.Fatalf("the ID token has no sid: %v", err)
	}
	w.signOut(w.bo)
	w.sweep()
	out, err := r.judge(r.ClientID).VerifyLogout(r.ctx, there.token(t, 0))
	if err != nil || out.SessionID != says.SID || out.Subject != id.Subject {
		t.Errorf("the logout token says %+v, %v", out, err)
	}
	if _, err := r.refreshes(token); err == nil {
		t.Error("it still refreshes")
	}
}
