package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
)

// Request is what an attempt asks of a provider. State, nonce and verifier are random and
// stored with the attempt alone (R-RPO-01).
type Request struct {
	RedirectURI string
	State       string
	Nonce       string
	Verifier    string // PKCE's, of 43 characters at least (RFC 7636 §4.1)
	Fresh       bool   // the person must prove who they are, even if signed in there
	LoginHint   string
	Locale      string // of our page
}

// AuthorizationURL returns the address that a browser is sent to (OIDC Core §3.1.2.1).
func (c Connection) AuthorizationURL(p Provider, r Request) string {
	challenge := sha256.Sum256([]byte(r.Verifier))
	v := url.Values{
		"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {r.RedirectURI},
		"scope": {strings.Join(append([]string{"openid"}, c.Scopes...), " ")},
		"state": {r.State}, "nonce": {r.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if r.Fresh {
		// Only max_age makes auth_time mandatory, and some providers know only prompt.
		v.Set("prompt", "login")
		v.Set("max_age", "0")
	}
	setUnlessEmpty(v, "login_hint", r.LoginHint)
	setUnlessEmpty(v, "ui_locales", r.Locale)
	setUnlessEmpty(v, "acr_values", strings.Join(c.ACR, " "))
	return with(p.Authorization, v)
}

// EndSessionURL returns the address where a browser signs out of the provider (OIDC
// RP-Initiated Logout §2), or "" if the provider has no such page. We keep no ID token to
// send as a hint, so the provider knows us by the client and may ask the person. session
// is the provider's name for its session, if it gave one.
func (c Connection) EndSessionURL(p Provider, redirectURI, state, session, locale string) string {
	if p.EndSession == "" {
		return ""
	}
	v := url.Values{"client_id": {c.ClientID}, "post_logout_redirect_uri": {redirectURI}, "state": {state}}
	setUnlessEmpty(v, "logout_hint", session)
	setUnlessEmpty(v, "ui_locales", locale)
	return with(p.EndSession, v)
}

func setUnlessEmpty(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}

// with adds parameters to an endpoint, which may have some of its own (RFC 6749 §3.1).
func with(endpoint string, v url.Values) string {
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	return endpoint + separator + v.Encode()
}
