package op

import (
	"context"
	"errors"
	"slices"
	"strings"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/secret"
)

// inactive is the answer for every token that the client may not know about (RFC 7662 §2.2).
type inactive struct {
	Active bool `json:"active"`
}

// active is the answer for a valid token.
type active struct {
	Active bool   `json:"active"`
	Type   string `json:"token_type,omitempty"`
	accessClaims
}

// introspect answers a client that asks whether a token is valid: one of its own, or one of
// which it is the audience (R-OPR-13).
func (p *Provider) introspect(c *call) (answer, error) {
	if err := p.authenticate(c, p.provers.Recalled); err != nil {
		return nil, err
	}
	if !c.client.Confidential() {
		return nil, Wrong(InvalidClient, "only a client that can prove who it is may introspect")
	}
	if !c.form.Has("token") {
		return nil, Wrong(InvalidRequest, "token is missing")
	}
	ctx, token := c.R.Context(), c.form.Get("token")
	if family, own := parseRefresh(token); !own.IsZero() {
		return p.introspectRefresh(c, family, own)
	}
	b, err := p.access(ctx, token, true)
	if errors.Is(err, errNotOurs) || err == nil && !p.mayKnow(c.client, b) {
		return inactive{}, nil
	}
	if err != nil {
		return nil, err
	}
	said := active{true, "Bearer", b.claims}
	if b.claims.Confirmation != nil {
		said.Type = dpopScheme
	}
	return said, nil
}

// mayKnow reports whether a token was issued to the client or has it as audience. A client
// whose audience is under our own address, which could be registered once, learns nothing by
// it, because our own address is an audience of many tokens.
func (p *Provider) mayKnow(c application.Application, b bearer) bool {
	if c.OrgID != "" && c.OrgID != b.OrgID {
		return false
	}
	audience := c.Settings.Audience
	return b.ClientID == c.ID || audience != "" && !application.OfIssuer(p.Base, audience) && slices.Contains(b.claims.Audience, audience)
}

func (p *Provider) introspectRefresh(c *call, family, own secret.Token) (answer, error) {
	h, found, err := p.held(c.R.Context(), p.DB, `g.family_hash = $1`, family.Hash(secret.RefreshFamily))
	if err != nil {
		return nil, err
	}
	if !found || h.ClientID != c.client.ID || h.over(p.DB.Now()) || own.Hash(secret.Refresh) != h.refresh || !c.client.Settings.Refreshes {
		return inactive{}, nil
	}
	org := h.organization()
	return active{true, "", accessClaims{
		Scope:  strings.Join(h.Scope, " "),
		Issuer: p.Base, Subject: p.subject(h), ClientID: h.ClientID, Expires: h.EndsAt.Unix(), IssuedAt: h.CreatedAt.Unix(),
		Organization: &org,
	}}, nil
}

// revoke ends the grant of a token (RFC 7009). Access tokens are not stored, so revoking one
// ends the refresh token too, as §2.1 allows. A grant that is unusable now is ended as well:
// it could become usable again.
func (p *Provider) revoke(c *call) (answer, error) {
	if err := p.authenticate(c, application.Proved); err != nil {
		return nil, err
	}
	if !c.form.Has("token") {
		return nil, Wrong(InvalidRequest, "token is missing")
	}
	ctx, token := c.R.Context(), c.form.Get("token")
	find := func(tx *db.Tx) (Grant, bool, error) {
		family, _ := parseRefresh(token)
		return storedGrant(ctx, tx, `g.family_hash = $1`, family.Hash(secret.RefreshFamily))
	}
	if _, own := parseRefresh(token); own.IsZero() {
		claims, err := p.openAccess(ctx, token)
		if errors.Is(err, errNotOurs) {
			return struct{}{}, nil // unknown tokens get the same answer as ended ones (RFC 7009 §2.2)
		}
		if err != nil {
			return nil, err
		}
		find = func(tx *db.Tx) (Grant, bool, error) {
			return storedGrant(ctx, tx, `g.org_id = $1 and g.id = $2`, string(claims.organization()), claims.grant())
		}
	}
	return struct{}{}, p.DB.Update(ctx, func(tx *db.Tx) error {
		g, found, err := find(tx)
		if err != nil || !found || g.ClientID != c.client.ID {
			return err
		}
		return end(ctx, tx, g, revoked, audit.Done)
	})
}

// storedGrant returns a grant as it is stored, usable or not.
func storedGrant(ctx context.Context, tx *db.Tx, where string, args ...any) (Grant, bool, error) {
	var g Grant
	found, err := tx.One(ctx, g.targets(), `
		select `+grantColumns+`
		from grants g
		where `+where, args...)
	return g, found, err
}
