package op

import (
	"errors"
	"slices"

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
		return nil, wrong(errInvalidClient, "only a client that can prove who it is may introspect")
	}
	if !c.form.Has("token") {
		return nil, wrong(errInvalidRequest, "token is missing")
	}
	ctx, token := c.R.Context(), c.form.Get("token")
	if family, own := parseRefresh(token); !own.IsZero() {
		return p.introspectRefresh(c, family, own)
	}
	b, err := p.access(ctx, p.DB, token)
	if errors.Is(err, errNotOurs) || err == nil && !c.client.mayKnow(b) {
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

// mayKnow tells that a token is the client's, or for it to take.
func (c Client) mayKnow(b bearer) bool {
	if c.OrgID != "" && c.OrgID != b.OrgID {
		return false
	}
	return b.ClientID == c.ID || c.Settings.Audience != "" && slices.Contains(b.claims.Audience, c.Settings.Audience)
}

func (p *Provider) introspectRefresh(c *call, family, own secret.Token) (answer, error) {
	h, found, err := p.held(c.R.Context(), p.DB, `g.family_hash = $1`, family.Hash(secret.RefreshFamily))
	if err != nil {
		return nil, err
	}
	if !found || h.ClientID != c.client.ID || h.over(p.DB.Now()) || own.Hash(secret.Refresh) != h.refresh {
		return inactive{}, nil
	}
	return active{true, "refresh_token", accessClaims{
		Issuer: p.Base, Subject: p.subject(h), ClientID: h.ClientID, Expires: h.EndsAt.Unix(), IssuedAt: h.CreatedAt.Unix(),
		Organization: &organizationClaim{h.OrgID, h.visit.Organization.ShortName, h.visit.Organization.DisplayName},
	}}, nil
}

// revoke ends a grant, by any of its tokens (RFC 7009): an access token is not stored, so
// what ends it ends the refresh token beside it too, as §2.1 allows.
func (p *Provider) revoke(c *call) (answer, error) {
	if err := p.authenticate(c); err != nil {
		return nil, err
	}
	if !c.form.Has("token") {
		return nil, wrong(errInvalidRequest, "token is missing")
	}
	ctx, token := c.R.Context(), c.form.Get("token")
	return struct{}{}, p.DB.Update(ctx, func(tx *db.Tx) error {
		var h holder
		var found bool
		if family, own := parseRefresh(token); !own.IsZero() {
			var err error
			if h, found, err = p.held(ctx, tx, `g.family_hash = $1`, family.Hash(secret.RefreshFamily)); err != nil {
				return err
			}
		} else {
			b, err := p.access(ctx, tx, token)
			if err != nil && !errors.Is(err, errNotOurs) {
				return err
			}
			h, found = b.holder, err == nil
		}
		if !found || h.ClientID != c.client.ID {
			return nil // unknown and foreign ones look the same (RFC 7009 §2.2)
		}
		return end(ctx, tx, h.Grant, revoked, audit.Done)
	})
}
