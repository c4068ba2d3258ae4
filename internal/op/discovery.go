package op

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/edge"
	"parvis/internal/i18n"
)

// Configuration returns the address of the discovery document.
func (p *Provider) Configuration() string { return p.Base + configurationPath }

// Endpoint is one of our addresses with its name in the discovery document.
type Endpoint struct{ Name, Address string }

// Endpoints lists what a developer enters in an application. The first two are enough for
// one that reads the discovery document.
func Endpoints(base string) []Endpoint {
	return []Endpoint{
		{"issuer", base}, {"discovery", base + configurationPath},
		{"authorization_endpoint", base + AuthorizePath}, {"token_endpoint", base + tokenPath}, {"userinfo_endpoint", base + userInfoPath},
		{"jwks_uri", base + keySetPath}, {"end_session_endpoint", base + EndSessionPath},
	}
}

// configuration serves the discovery document. It is the same for OpenID Connect (OIDC
// Discovery §4) and for OAuth (RFC 8414 §3), and lists only what works.
func (p *Provider) configuration(v *edge.Request) error {
	document, err := p.document()
	if err != nil {
		return err
	}
	document.serve(v)
	return nil
}

// makeDocument makes the discovery document, which does not change while the server runs.
func (p *Provider) makeDocument(catalogue *i18n.Catalogue) (published, error) {
	var locales []string
	for _, l := range catalogue.Languages() {
		locales = append(locales, string(l.Tag))
	}
	return publish(map[string]any{
		"issuer":                                p.Base,
		"authorization_endpoint":                p.Base + AuthorizePath,
		"token_endpoint":                        p.Base + tokenPath,
		"userinfo_endpoint":                     p.Base + userInfoPath,
		"jwks_uri":                              p.Base + keySetPath,
		"end_session_endpoint":                  p.Base + EndSessionPath,
		"introspection_endpoint":                p.Base + introspectPath,
		"revocation_endpoint":                   p.Base + revokePath,
		"pushed_authorization_request_endpoint": p.Base + pushPath,
		"device_authorization_endpoint":         p.Base + deviceAskPath,

		"response_types_supported":                                 []string{"code"},
		"response_modes_supported":                                 []string{"query", FormPost},
		"grant_types_supported":                                    []string{grantCode, grantRefresh, grantMachine, grantDevice},
		"subject_types_supported":                                  []string{"public", "pairwise"},
		"scopes_supported":                                         application.Scopes,
		"claims_supported":                                         strings.Fields("iss sub aud exp iat auth_time nonce acr amr sid org name given_name family_name locale zoneinfo updated_at email email_verified preferred_username groups roles"),
		"acr_values_supported":                                     []string{"aal1", "aal2"},
		"prompt_values_supported":                                  prompts,
		"ui_locales_supported":                                     locales,
		"code_challenge_methods_supported":                         []string{"S256"},
		"id_token_signing_alg_values_supported":                    application.Algorithms,
		"userinfo_signing_alg_values_supported":                    application.Algorithms,
		"dpop_signing_alg_values_supported":                        proof.Algorithms,
		"token_endpoint_auth_methods_supported":                    onWireAll(application.AuthMethods...),
		"introspection_endpoint_auth_methods_supported":            onWireAll(application.Secret, application.PrivateKey),
		"revocation_endpoint_auth_methods_supported":               onWireAll(application.AuthMethods...),
		"introspection_endpoint_auth_signing_alg_values_supported": proof.Algorithms,
		"revocation_endpoint_auth_signing_alg_values_supported":    proof.Algorithms,
		"token_endpoint_auth_signing_alg_values_supported":         proof.Algorithms,

		"authorization_response_iss_parameter_supported": true,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
		"frontchannel_logout_supported":                  true,
		"frontchannel_logout_session_supported":          true,
		"claims_parameter_supported":                     false,
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"require_pushed_authorization_requests":          false,
	})
}

func onWireAll(methods ...application.AuthMethod) (names []string) {
	for _, m := range methods {
		names = append(names, methodNames(m)...)
	}
	return names
}

// keySet serves the public part of our keys (RFC 7517 §5).
func (p *Provider) keySet(v *edge.Request) error {
	if _, err := p.Keys.signing(v.R.Context(), application.ES256); err != nil {
		return p.refuseCall(v, err)
	}
	r, err := p.Keys.ring(v.R.Context())
	if err != nil {
		return p.refuseCall(v, err)
	}
	r.set.serve(v)
	return nil
}

// published is a document that anybody may read and cache.
type published struct {
	text []byte
	etag string
}

func publish(document any) (published, error) {
	text, err := json.Marshal(document)
	sum := sha256.Sum256(text)
	return published{text, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}, err
}

func (d published) serve(v *edge.Request) {
	h := v.W.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age=900") // keySetLasts
	h.Set("ETag", d.etag)
	if v.R.Header.Get("If-None-Match") == d.etag {
		v.W.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	_, _ = v.W.Write(d.text) // as in tell
}
