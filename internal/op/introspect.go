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

// inactive says nothing more (RFC 7662 §2.2).
type inactive struct {
	Active bool `json:"active"`
}

// active is what a token says that holds now.
type active struct {
	Active bool   `json:"active"`
	Type   string `json:"token_type,omitempty"`
	accessClaims
}

// introspect tells a client whether a token holds: one of its own, or one that was made
// for it to take (R-OPR-13).
func (p *Provider) introspect(c *call) (answer, error) {
	if err := p.authenticate(c); err != nil {
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
	b, err := p.access(ctx, p.DB, token)
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

// mayKnow reports whether a token was issued to the client or has it as audience. Every
// token has us as audience, so a client whose audience is under our own address, as could
// be registered once, learns nothing by it.
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

// revoke ends a grant, by any of its tokens (RFC 7009): an access token is not stored, so
// what ends it ends the refresh token beside it too, as §2.1 allows. It does so whether or
// not the grant gives anything just now: it might again.
func (p *Provider) revoke(c *call) (answer, error) {
	if err := p.authenticate(c); err != nil {
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
			return struct{}{}, nil // unknown ones look like those that are gone (RFC 7009 §2.2)
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

// storedGrant is a grant as it was kept, whether or not it gives anything.
func storedGrant(ctx context.Context, tx *db.Tx, where string, args ...any) (Grant, bool, error) {
	var g Grant
	found, err := tx.One(ctx, g.targets(), `
		select `+grantColumns+`
		from grants g
		where `+where, args...)
	return g, found, err
}
