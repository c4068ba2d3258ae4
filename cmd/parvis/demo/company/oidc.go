package company

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keys sign ID tokens.
type keys struct {
	signer jose.Signer
	public jose.JSONWebKeySet
}

func newKeys() (keys, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keys{}, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	return keys{signer, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}}, err
}

// grant is what a code, and then an access token, stands for.
type grant struct {
	session   session
	nonce     string
	challenge string // PKCE's challenge; empty if none was sent
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) //nolint:errcheck,errchkjson // The reader has gone.
}

// discovery answers what OpenID Connect Discovery 1.0 §4 asks for.
func (s *server) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": s.Address, "authorization_endpoint": s.Address + "/authorize", "token_endpoint": s.Address + "/token",
		"userinfo_endpoint": s.Address + "/userinfo", "jwks_uri": s.Address + "/keys", "end_session_endpoint": s.Address + "/end-session",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
		"scopes_supported":                      []string{"openid", "profile", "email"},
		"claims_supported":                      []string{"sub", "name", "email", "email_verified", "groups", "auth_time"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

func (s *server) keySet(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.oidc.public)
}

// authorize is the authorization endpoint (OpenID Connect Core §3.1.2).
func (s *server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != s.ClientID || q.Get("redirect_uri") != s.RedirectURI {
		s.refuse(w, r, http.StatusBadRequest, "stranger", errors.New("unknown client_id or redirect_uri"))
		return
	}
	back := func(name, value string) {
		to := url.Values{name: {value}, "iss": {s.Address}}
		if q.Has("state") {
			to.Set("state", q.Get("state"))
		}
		http.Redirect(w, r, s.RedirectURI+"?"+to.Encode(), http.StatusSeeOther)
	}
	prompts := strings.Fields(q.Get("prompt"))
	_, here := s.session(r)
	switch {
	case q.Get("response_type") != "code" || !slices.Contains(strings.Fields(q.Get("scope")), "openid") || q.Get("code_challenge") != "" && q.Get("code_challenge_method") != "S256":
		back("error", "invalid_request")
		return
	case slices.Contains(prompts, "none") && !here:
		back("error", "login_required")
		return
	}
	anew := slices.Contains(prompts, "login") || slices.Contains(prompts, "select_account") || q.Get("max_age") == "0"
	chosen, ok := s.who(w, r, anew, q.Get("login_hint"))
	if !ok {
		return
	}
	code := rand.Text()
	s.codes.add(code, grant{chosen, q.Get("nonce"), q.Get("code_challenge")})
	back("code", code)
}

// token is the token endpoint (OpenID Connect Core §3.1.3).
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	// RFC 6749 §2.3.1: both are form-encoded first.
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if err1 != nil || err2 != nil || !same(id, s.ClientID) || !same(secret, s.ClientSecret) {
		w.Header().Set("WWW-Authenticate", "Basic")
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	g, ok := s.codes.take(r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != s.RedirectURI ||
		g.challenge != "" && !same(g.challenge, base64.RawURLEncoding.EncodeToString(sum[:])) {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := g.session.person.claims()
	claims["iss"], claims["aud"], claims["iat"], claims["exp"] = s.Address, s.ClientID, now().Unix(), now().Add(tokenLife).Unix()
	claims["auth_time"] = g.session.since.Unix()
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	signed, err := s.sign(claims)
	if err != nil {
		s.Log.ErrorContext(r.Context(), "ID token not signed", "error", err.Error())
		answer(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	token := rand.Text()
	s.tokens.add(token, g)
	answer(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLife / time.Second), "id_token": signed})
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (p Person) claims() map[string]any {
	return map[string]any{"sub": p.Subject, "name": p.Name, "email": p.Email, "email_verified": true, "groups": p.Groups}
}

func (s *server) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := s.oidc.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (s *server) userInfo(w http.ResponseWriter, r *http.Request) {
	g, ok := s.tokens.get(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	answer(w, http.StatusOK, g.session.person.claims())
}

// endSession signs out here, and leads back (RP-Initiated Logout 1.0 §2).
func (s *server) endSession(w http.ResponseWriter, r *http.Request) {
	s.forget(w, r)
	q := r.URL.Query()
	if q.Get("post_logout_redirect_uri") != s.PostLogoutURI {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	to := s.PostLogoutURI
	if q.Has("state") {
		to += "?" + url.Values{"state": {q.Get("state")}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
