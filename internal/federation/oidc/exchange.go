package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/jose"
	"parvis/internal/outbound"
	"parvis/internal/secret"
	"parvis/internal/upstream"
)

// Callback is what a browser brought back, with what the request that its state named
// keeps.
type Callback struct {
	Query       url.Values
	RedirectURI string
	Nonce       string
	Verifier    string
	Since       time.Time  // when fresh proof was asked for; zero if it was not
	Wanted      [][]string // claims that we read, each with the names that it may have
	Credentials Credentials
	Keys        Keys // the stored ones, if any
	Now         time.Time
}

// Exchange turns a callback into an assertion: it redeems the code, judges the ID token
// and, if that lacks a claim that we read, asks UserInfo for the rest. The provider's
// tokens are then dropped (R-RPO-08). The returned keys are the ones to store.
func (c Connection) Exchange(ctx context.Context, client *outbound.Client, p Provider, b Callback) (upstream.Assertion, Keys, upstream.Trace, error) {
	x := exchange{Connection: c, Callback: b, provider: p, client: client}
	a, err := x.run(ctx)
	return a, x.Keys, x.trace, err
}

type exchange struct {
	Connection
	Callback
	provider Provider
	client   *outbound.Client
	trace    upstream.Trace
}

func (x *exchange) run(ctx context.Context) (upstream.Assertion, error) {
	code, err := x.code()
	if err != nil {
		return upstream.Assertion{}, err
	}
	idToken, accessToken, err := x.redeem(ctx, code)
	if err != nil {
		return upstream.Assertion{}, err
	}
	var claims object
	x.Keys, err = x.provider.judged(ctx, &x.trace, x.client, x.Now, x.Keys, func(t *upstream.Trace, keys Keys) (err error) {
		want := x.expects(x.provider, keys, x.Now)
		want.Nonce, want.Since, want.ACR, want.AccessToken = x.Nonce, x.Since, x.ACR, accessToken
		claims, err = judge(t, idToken, want)
		return err
	})
	if err != nil {
		return upstream.Assertion{}, err
	}
	a := assertion(claims)
	if x.provider.UserInfo == "" || accessToken == "" || !slices.ContainsFunc(x.Wanted, claims.lacks) {
		return a, nil
	}
	var asked upstream.Trace
	more, err := x.userInfo(ctx, &asked, accessToken, a.Subject)
	if err != nil {
		a.Missing, _ = asked.Failed()
		return a, nil //nolint:nilerr // It refuses only who needs what is missing, which is judged later.
	}
	x.trace.Checks = append(x.trace.Checks, asked.Checks...)
	return together(a, claims, more), nil
}

// together adds what UserInfo says to what the ID token says. A yes to an address counts
// only for the address that it came with; a no always counts.
func together(a upstream.Assertion, claims, more object) upstream.Assertion {
	email, said := claims.text("email")
	other, differs := more.text("email")
	differs = differs && !strings.EqualFold(email, other)
	switch {
	case !claims.has("email"):
		a.EmailVerified = verified(more)
	case said && !differs && !claims.has("email_verified"):
		a.EmailVerified = more.isTrue("email_verified")
	}
	for _, one := range attributes(more) {
		if !claims.has(one.Name) || one.Name == "email_verified" {
			a.Attributes = append(a.Attributes, one)
		}
	}
	return a
}

// code returns the code that the provider sent, or the refusal that it sent instead.
func (x *exchange) code() (string, error) {
	for name, values := range x.Query {
		if len(values) != 1 { // RFC 6749 §3.1
			return "", x.trace.Require("callback", false, "1 × "+shown(name), fmt.Sprint(len(values), " × ", shown(name)))
		}
	}
	// RFC 9207 §2.4: this is checked before anything else is believed, errors included.
	issuer := x.Query.Get("iss")
	good := issuer == x.issuer() || !x.Query.Has("iss") && !x.provider.NamesIssuer
	if err := x.trace.Require("callback_issuer", good, x.issuer(), shown(issuer)); err != nil {
		return "", err
	}
	refusal := shown(strings.TrimSpace(x.Query.Get("error") + " " + x.Query.Get("error_description")))
	if err := x.trace.Require("provider", !x.Query.Has("error"), "", refusal); err != nil {
		return "", err
	}
	code := x.Query.Get("code")
	return code, x.trace.Require("callback", code != "", "code", "")
}

// redeem exchanges the code for tokens (OIDC Core §3.1.3).
func (x *exchange) redeem(ctx context.Context, code string) (idToken, accessToken string, err error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {x.RedirectURI}, "code_verifier": {x.Verifier}}
	r, err := x.tokenRequest(ctx, form)
	if err != nil {
		return "", "", x.trace.Require("client", false, string(x.Method), "")
	}
	w, err := x.client.Do(r, mostDocument)
	if err != nil {
		return "", "", x.trace.Require("token_request", false, x.provider.Token, reason(err))
	}
	var answer struct {
		IDToken     string `json:"id_token"`
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	isJSON := json.Unmarshal(w.Body, &answer) == nil
	// We show what the provider says of its refusal, without the secrets that we sent.
	refusal := shown(strings.TrimSpace(w.StatusText() + " " + answer.Error + " " + answer.Description))
	for _, s := range []string{code, x.Verifier, x.Credentials.Secret, r.Header.Get("Authorization")} {
		if s != "" {
			refusal = strings.ReplaceAll(refusal, s, "…")
		}
	}
	if err := x.trace.Require("client", answer.Error != "invalid_client" && answer.Error != "unauthorized_client", string(x.Method), refusal); err != nil {
		return "", "", err
	}
	if err := x.trace.Require("token_request", w.Status == http.StatusOK && isJSON, "200 OK, JSON", refusal); err != nil {
		return "", "", err
	}
	return answer.IDToken, answer.AccessToken, x.trace.Require("id_token", answer.IDToken != "", "id_token", "")
}

var errNoMethod = errors.New("no way to be a client is chosen")

// tokenRequest makes a token request from a form, with the proof that we are the client.
func (x *exchange) tokenRequest(ctx context.Context, form url.Values) (*http.Request, error) {
	var basic bool
	switch x.Method {
	case ClientSecretPost:
		form.Set("client_secret", x.Credentials.Secret)
		form.Set("client_id", x.ClientID)
	case PrivateKeyJWT:
		assertion, err := x.clientAssertion()
		if err != nil {
			return nil, err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case NoSecret:
		form.Set("client_id", x.ClientID)
	case ClientSecretBasic:
		basic = true
	default:
		return nil, errNoMethod
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, x.provider.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if basic {
		r.SetBasicAuth(url.QueryEscape(x.ClientID), url.QueryEscape(x.Credentials.Secret)) // RFC 6749 §2.3.1
	}
	return r, nil
}

// clientAssertion makes an assertion with our key, good for one request (RFC 7523 §3). Its
// audience is the issuer alone, so no other provider can use it.
func (x *exchange) clientAssertion() (string, error) {
	return jose.Sign(x.Credentials.Key, "JWT", map[string]any{
		"iss": x.ClientID, "sub": x.ClientID, "aud": x.issuer(), "jti": secret.NewID("jti"),
		"iat": x.Now.Unix(), "exp": x.Now.Add(time.Minute).Unix(),
	})
}

// userInfo asks for what the ID token did not say (OIDC Core §5.3). It does not read an
// answer that is itself a signed token.
func (x *exchange) userInfo(ctx context.Context, t *upstream.Trace, accessToken, subject string) (object, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, x.provider.UserInfo, nil)
	if err != nil {
		return object{}, err
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.Header.Set("Accept", "application/json")
	w, err := x.client.Do(r, mostDocument)
	if err != nil {
		return object{}, t.Require("userinfo", false, x.provider.UserInfo, reason(err))
	}
	claims, err := parseObject(w.Body)
	if err := t.Require("userinfo", w.Status == http.StatusOK && err == nil, "200 OK, JSON", kind(w)); err != nil {
		return object{}, err
	}
	// OIDC Core §5.3.2: otherwise the claims may be another person's.
	said, _ := claims.text("sub")
	return claims, t.Require("userinfo_subject", said == subject, shown(subject), claims.found("sub"))
}
