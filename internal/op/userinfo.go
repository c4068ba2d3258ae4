package op

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/edge"
)

// userInfo returns the claims about a person, as they are now, to the bearer of an access
// token (OIDC Core §5.3).
func (p *Provider) userInfo(v *edge.Request) error {
	switch v.R.Method {
	case http.MethodOptions:
		return preflight(v)
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		v.W.Header().Set("Allow", "GET, POST, OPTIONS")
		return p.refuseCall(v, &Error{InvalidRequest, "this endpoint takes GET and POST", http.StatusMethodNotAllowed})
	}
	scheme, token, err := p.carried(v)
	if err != nil {
		return p.refuseToken(v, scheme, err)
	}
	ctx := v.R.Context()
	b, err := p.access(ctx, token, true)
	switch {
	case errors.Is(err, errNotOurs):
		err = Wrong(InvalidToken, "the access token is unknown, has ended, or is none")
	case err == nil && (b.UserID == "" || !slices.Contains(b.claims.Audience, p.Base)):
		err = Wrong(InvalidToken, "the access token is for something else")
	case err == nil && !slices.Contains(b.Scope, application.OpenID):
		err = &Error{InsufficientScope, "the access token lacks the scope openid", http.StatusForbidden}
	case err == nil:
		err = p.holds(v.R, b, scheme, token)
	}
	c := call{Request: v, client: b.client}
	c.share()
	if err != nil {
		return p.refuseToken(v, scheme, err)
	}
	said, err := p.info(ctx, p.DB, b.holder)
	if err != nil {
		return p.refuseCall(v, err)
	}
	if !b.client.Settings.SignsInfo {
		return tell(v, http.StatusOK, said)
	}
	said["iss"], said["aud"] = p.Base, string(b.ClientID)
	k, err := p.Keys.signing(ctx, b.client.Settings.SigningAlgorithm())
	var signed string
	if err == nil {
		signed, err = k.sign(userInfoType, said)
	}
	if err != nil {
		return p.refuseCall(v, err)
	}
	v.W.Header().Set("Content-Type", "application/jwt")
	_, err = v.W.Write([]byte(signed))
	return err
}

// info is what the endpoint says.
func (p *Provider) info(ctx context.Context, r db.Reader, h holder) (map[string]any, error) {
	said, err := p.about(ctx, r, h)
	if err == nil {
		said["sub"], said["org"] = p.subject(h), h.organization()
	}
	return said, err
}

// carried returns the access token of a call. The token may come in one way only, and never
// in the address (RFC 6750 §2).
func (p *Provider) carried(v *edge.Request) (scheme, token string, err error) {
	head := v.R.Header.Values("Authorization")
	if v.R.URL.Query().Has("access_token") {
		return "Bearer", "", Wrong(InvalidRequest, "an access token in the address is in every log; it belongs into the Authorization header")
	}
	if len(head) == 1 {
		for _, scheme := range []string{"Bearer", dpopScheme} {
			if token, ok := cutScheme(head[0], scheme); ok && token != "" {
				return scheme, token, nil
			}
		}
	}
	if len(head) == 0 && v.R.Method == http.MethodPost {
		c := call{Request: v}
		if err := c.read(); err == nil && c.form.Get("access_token") != "" {
			return "Bearer", c.form.Get("access_token"), nil
		}
	}
	return "Bearer", "", &Error{"", "", http.StatusUnauthorized}
}

// holds returns an error unless the sender of a token may use it: a token that is bound to a
// key needs a proof by that key (RFC 9449 §7).
func (p *Provider) holds(r *http.Request, b bearer, scheme, token string) error {
	if b.claims.Confirmation == nil {
		if scheme == dpopScheme {
			return Wrong(InvalidToken, "the access token is bound to no key")
		}
		return nil
	}
	if scheme != dpopScheme {
		return Wrong(InvalidToken, "the access token is bound to a key, which must be proved (DPoP)")
	}
	shown, err := p.proved(r, application.Application{Settings: application.Settings{BoundOnly: true}}, token)
	if err != nil {
		return err
	}
	if shown.Thumbprint != b.claims.Confirmation.Thumbprint {
		return Wrong(InvalidToken, "the access token is bound to another key")
	}
	return p.DB.Update(r.Context(), func(tx *db.Tx) error { return p.useProof(r.Context(), tx, shown) })
}
