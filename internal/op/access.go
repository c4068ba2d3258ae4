package op

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// organizationClaim is the claim org of every token: the organization it was issued in.
type organizationClaim struct {
	ID        directory.OrgID `json:"id"`
	ShortName string          `json:"short_name"`
	Name      string          `json:"name"`
}

func (h holder) organization() organizationClaim {
	return organizationClaim{h.OrgID, h.visit.Organization.ShortName, h.visit.Organization.DisplayName}
}

// confirmation names the key that a token is bound to (RFC 7800, RFC 9449 §6).
type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// accessClaims are the claims of an access token (RFC 9068 §2.2), signed or sealed.
type accessClaims struct {
	Issuer       string             `json:"iss"`
	Subject      string             `json:"sub"`
	Audience     []string           `json:"aud"`
	Expires      int64              `json:"exp"`
	IssuedAt     int64              `json:"iat"`
	ID           string             `json:"jti"` // begins with the id of its grant
	ClientID     application.ID     `json:"client_id"`
	Scope        string             `json:"scope,omitempty"`
	AuthTime     int64              `json:"auth_time,omitempty"`
	ACR          string             `json:"acr,omitempty"`
	AMR          []string           `json:"amr,omitempty"`
	Organization *organizationClaim `json:"org,omitempty"`
	Confirmation *confirmation      `json:"cnf,omitempty"`
}

// opaquePrefix lets scanners recognize a sealed token that leaked.
const opaquePrefix = "pat_"

// accessToken returns an access token for a grant, signed, or sealed so that only Parvis can
// read it. Neither is stored; both end with their grant.
func (p *Provider) accessToken(k key, h holder, now time.Time, thumbprint string) (string, time.Duration, error) {
	s, scope := h.client.Settings, h.Scope
	lasts := p.accessLasts(s)
	if h.Details.API {
		lasts = p.apiLasts()
	}
	if left := h.EndsAt.Sub(now); left < lasts {
		lasts = left
	}
	c := accessClaims{
		Issuer: p.Base, Subject: p.subject(h), Audience: p.audience(h), ClientID: h.ClientID, Scope: strings.Join(scope, " "),
		Expires: now.Add(lasts).Unix(), IssuedAt: now.Unix(), ID: h.ID + "." + secret.NewToken().Reveal()[:12],
		AuthTime: h.Details.AuthTime, ACR: h.Details.ACR, AMR: h.Details.AMR,
	}
	if h.OrgID != "" {
		org := h.organization()
		c.Organization = &org
	}
	if thumbprint != "" {
		c.Confirmation = &confirmation{thumbprint}
	}
	if !s.Opaque {
		token, err := k.sign(accessTokenType, c)
		return token, lasts, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", 0, err
	}
	return opaquePrefix + p.sealedTokens.Seal(text, accessTokenType), lasts, nil
}

// audience returns who may accept a token: the administration's API alone, or the registered
// audience and, if the token may ask /userinfo who the person is, Parvis.
func (p *Provider) audience(h holder) []string {
	registered := h.client.Settings.Audience
	switch {
	case h.Details.API:
		return []string{p.API()}
	case registered == "" || registered == p.Base:
		return []string{p.Base}
	case slices.Contains(h.Scope, application.OpenID):
		return []string{registered, p.Base}
	}
	return []string{registered}
}

// openAccess returns the claims of an access token that we issued and that has not expired.
// It does not look at the grant, which may have ended.
func (p *Provider) openAccess(ctx context.Context, token string) (accessClaims, error) {
	r, err := p.Keys.ring(ctx)
	if err != nil {
		return accessClaims{}, err
	}
	hash := sha256.Sum256([]byte(token))
	c, before := r.opened.get(hash)
	if !before {
		if c, err = p.readAccess(ctx, token); err != nil {
			return accessClaims{}, err
		}
		r.opened.put(hash, c)
	}
	if c.Issuer != p.Base || p.DB.Now().Unix() >= c.Expires {
		return accessClaims{}, errNotOurs
	}
	return c, nil
}

// readAccess verifies a signed token or opens a sealed one.
func (p *Provider) readAccess(ctx context.Context, token string) (c accessClaims, err error) {
	var text []byte
	if sealed, opaque := strings.CutPrefix(token, opaquePrefix); opaque {
		text, err = p.sealedTokens.Open(sealed, accessTokenType)
		if errors.Is(err, secret.ErrSealBroken) {
			err = errNotOurs
		}
	} else {
		text, err = p.Keys.verify(ctx, token, accessTokenType)
	}
	if err == nil && json.Unmarshal(text, &c) != nil {
		err = errNotOurs
	}
	return c, err
}

// bearer is a valid access token with its grant, client and person.
type bearer struct {
	holder
	claims accessClaims
}

// machine reports whether the token was issued to the client for itself, without a person
// (RFC 9068 §2.2).
func (c accessClaims) machine() bool { return c.Subject == string(c.ClientID) }

// grant and organization name the row of the token's grant.
func (c accessClaims) grant() string {
	id, _, _ := strings.Cut(c.ID, ".")
	return id
}

func (c accessClaims) organization() directory.OrgID {
	if c.Organization == nil {
		return ""
	}
	return c.Organization.ID
}

type grantKey struct {
	org directory.OrgID
	id  string
}

// grants remembers what grants give.
type grants struct {
	answers db.Recall[grantKey, heldNow]
}

type heldNow struct {
	holder
	found bool
}

// held is Provider.held for a grant that is only read: the answer may be remembered, and a second old
// where another node changed something.
func (g *grants) held(ctx context.Context, p *Provider, org directory.OrgID, id string) (holder, bool, error) {
	got, err := g.answers.Ask(p.DB, grantKey{org, id}, func() (heldNow, []string, error) {
		h, found, err := heldRow(ctx, p.DB, p.Sessions, `g.org_id = $1 and g.id = $2`, string(org), id)
		if !found {
			return heldNow{}, nil, err
		}
		s := h.visit.Session
		return heldNow{h, true}, []string{h.ID, string(h.ClientID), string(h.UserID), h.SessionID, s.BrowserID, string(h.OrgID)}, err
	})
	return got.holder, got.found && got.visit.Open(p.DB.Now()), err
}

// access returns the grant, client and person of an access token, with the token's own scope.
// It returns errNotOurs if the token is not ours or its grant has ended. For a call that only reads,
// what the grant gives may be remembered.
func (p *Provider) access(ctx context.Context, token string, reads bool) (bearer, error) {
	c, err := p.openAccess(ctx, token)
	if err != nil {
		return bearer{}, err
	}
	grant, org := c.grant(), c.organization()
	var h holder
	var found bool
	switch {
	case c.machine():
		h, found, err = p.machine(ctx, p.DB, org, grant)
	case reads:
		h, found, err = p.grants.held(ctx, p, org, grant)
	default:
		h, found, err = p.held(ctx, p.DB, `g.org_id = $1 and g.id = $2`, string(org), grant)
	}
	if err != nil {
		return bearer{}, err
	}
	if !found || h.over(p.DB.Now()) || h.ClientID != c.ClientID {
		return bearer{}, errNotOurs
	}
	// The token may have been issued with less scope than its grant (RFC 6749 §6), and the
	// grant may have lost scopes since.
	h.Scope = slices.DeleteFunc(strings.Fields(c.Scope), func(s string) bool { return !slices.Contains(h.Scope, s) })
	c.Scope = strings.Join(h.Scope, " ")
	return bearer{h, c}, nil
}
