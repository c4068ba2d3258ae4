package op

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/measure"
	"parvis/internal/secret"
)

// tokens is the answer of the token endpoint (RFC 6749 §5.1, OIDC Core §3.1.3.3).
type tokens struct {
	AccessToken  string `json:"access_token"`
	Type         string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// The grant types.
const (
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
	grantMachine = "client_credentials"
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
)

// token serves the token endpoint, for every grant type.
func (p *Provider) token(c *call) (answer, error) {
	grant := c.form.Get("grant_type")
	if grant == "" {
		return nil, Wrong(InvalidRequest, "grant_type is missing")
	}
	if err := p.authenticate(c, application.Proved); err != nil {
		return nil, err
	}
	by := map[string]func(*call) (tokens, error){
		grantCode: p.byCode, grantRefresh: p.byRefresh, grantMachine: p.byItself, grantDevice: p.byDevice,
	}[grant]
	switch {
	case by == nil:
		return nil, Wrong(UnsupportedGrantType, "grant_type is not one that discovery lists")
	case !slices.Contains(grantTypes(c.client), grant):
		return nil, Wrong(UnauthorizedClient, "the client is not registered for this grant_type")
	}
	if what := map[string]string{grantCode: "code", grantRefresh: "refresh_token", grantDevice: "device_code"}[grant]; what != "" && c.form.Get(what) == "" {
		return nil, Wrong(InvalidRequest, what+" is missing") // RFC 6749 §5.2
	}
	if err := p.cannot(c.client, c.form); err != nil {
		return nil, err
	}
	// The key is needed before a code is used up, and outside a transaction, where a missing
	// key could not be made.
	var err error
	if c.key, err = p.Keys.signing(c.R.Context(), c.client.Settings.SigningAlgorithm()); err != nil {
		return nil, err
	}
	if c.proof, err = p.proved(c.R, c.client, ""); err != nil {
		return nil, err
	}
	out, err := by(c)
	if err == nil {
		p.Issued.Of(measure.Labels{issuedBy[grant]}).Inc()
	}
	return out, err
}

// issuedBy are the grant types as they are counted.
var issuedBy = map[string]string{grantCode: grantCode, grantRefresh: grantRefresh, grantMachine: grantMachine, grantDevice: "device_code"}

// grantTypes returns the grant types that a client may use.
func grantTypes(c application.Application) []string {
	var all []string
	if c.Code() {
		all = append(all, grantCode)
	}
	if c.Settings.Refreshes {
		all = append(all, grantRefresh)
	}
	if c.Settings.OwnBehalf {
		all = append(all, grantMachine)
	}
	if c.Settings.Devices {
		all = append(all, grantDevice)
	}
	return all
}

// byCode exchanges an authorization code.
func (p *Provider) byCode(c *call) (tokens, error) {
	ctx := c.R.Context()
	var h holder
	var refresh string
	var refused *Error
	err := p.DB.Update(ctx, func(tx *db.Tx) (err error) {
		h, refresh, refused, err = p.spend(ctx, tx, c.client, spending{
			code: secret.ParseToken(c.form.Get("code")), redirectURI: c.form.Get("redirect_uri"), verifier: c.form.Get("code_verifier"), thumbprint: c.proof.Thumbprint,
		})
		if err == nil && refused == nil {
			err = p.begin(ctx, tx, &h, c.proof)
		}
		return err
	})
	if err := outcome(refused, err); err != nil {
		return tokens{}, err
	}
	return p.tokensFor(c, h, h.Scope, refresh)
}

// begin binds a grant to the key that was proved, if any.
func (p *Provider) begin(ctx context.Context, tx *db.Tx, h *holder, by proof.Proof) error {
	if err := p.useProof(ctx, tx, by); err != nil {
		return err
	}
	if by.Thumbprint == "" || h.Details.Thumbprint != "" {
		return nil
	}
	h.Details.Thumbprint = by.Thumbprint
	return bind(ctx, tx, h.Grant)
}

// outcome returns the error, or else the refusal that was committed.
func outcome(refused *Error, err error) error {
	if err == nil && refused != nil {
		return refused
	}
	return err
}

// byRefresh exchanges a refresh token.
func (p *Provider) byRefresh(c *call) (tokens, error) {
	ctx := c.R.Context()
	family, own := parseRefresh(c.form.Get("refresh_token"))
	var h holder
	var next string
	var scope []string
	var refused *Error
	err := p.DB.Update(ctx, func(tx *db.Tx) (err error) {
		h, next, refused, err = p.rotate(ctx, tx, c.client, family, own, c.proof.Thumbprint)
		if err == nil && refused == nil {
			err = p.useProof(ctx, tx, c.proof)
		}
		if err == nil && refused == nil {
			scope, err = narrowed(c.form.Get("scope"), h) // an error rolls the rotation back: nothing was spent
		}
		return err
	})
	if err := outcome(refused, err); err != nil {
		return tokens{}, err
	}
	return p.tokensFor(c, h, scope, next)
}

// narrowed returns the scope of refreshed tokens: never more than was granted (RFC 6749 §6).
// Many libraries repeat the scope of their first request. So scopes that were left out then,
// or that the client is not registered for, are left out again and not refused.
func narrowed(scope string, h holder) ([]string, error) {
	if len(strings.Fields(scope)) == 0 {
		return h.Scope, nil
	}
	var asked []string
	for s := range strings.FieldsSeq(scope) {
		switch {
		case slices.Contains(h.Scope, s):
			asked = append(asked, s)
		case h.client.Has(s) && !slices.Contains(h.Details.LeftOut, s):
			return nil, Wrong(InvalidScope, "scope can only shrink")
		}
	}
	if len(asked) == 0 {
		return nil, Wrong(InvalidScope, "scope names nothing that was granted")
	}
	return slices.Compact(slices.Sorted(slices.Values(asked))), nil
}

// cannot refuses parameters that our tokens cannot express: a resource other than the
// registered one (RFC 8707 §2), and authorization details (RFC 9396 §5). If we ignored them,
// the token would be valid for something that the client did not ask for.
func (p *Provider) cannot(c application.Application, form url.Values) error {
	registered := cmp.Or(c.Settings.Audience, p.Base)
	if c.ID == application.CommandLine {
		registered = p.API()
	}
	switch resource := form.Get("resource"); {
	case resource == p.API() && form.Get("grant_type") == grantMachine: // by its right, not by its registration
	case resource != "" && resource != registered:
		return Wrong(InvalidTarget, "resource is not the audience that the client is registered for")
	case form.Get("authorization_details") != "":
		return Wrong(InvalidDetails, "authorization_details are not supported")
	}
	return nil
}

// tokensFor makes the tokens of a person's grant for a scope. It runs after the transaction,
// because an RSA signature takes too long to hold the writer.
func (p *Provider) tokensFor(c *call, h holder, scope []string, refresh string) (tokens, error) {
	now := p.DB.Now()
	h.Scope = scope
	access, lasts, err := p.accessToken(c.key, h, now, c.proof.Thumbprint)
	if err != nil {
		return tokens{}, err
	}
	out := tokens{
		AccessToken: access, Type: tokenType(c.proof.Thumbprint), ExpiresIn: int(lasts / time.Second),
		Scope: strings.Join(scope, " "), RefreshToken: refresh,
	}
	if slices.Contains(scope, application.OpenID) {
		out.IDToken, err = p.idToken(c.R.Context(), c.key, h, access, now)
	}
	return out, err
}

func tokenType(thumbprint string) string {
	if thumbprint != "" {
		return "DPoP"
	}
	return "Bearer"
}

// byItself gives a client a token for itself (RFC 6749 §4.4). The token of an organization's
// client is for that organization. A client of the installation may name one or none.
func (p *Provider) byItself(c *call) (tokens, error) {
	ctx := c.R.Context()
	org, err := p.machinesOrganization(ctx, c)
	if err != nil {
		return tokens{}, err
	}
	g, err := c.ofItself(p, org.ID)
	if err != nil {
		return tokens{}, err
	}
	g.OrgID, g.ClientID = org.ID, c.client.ID
	h := holder{client: c.client}
	h.visit.Organization = org
	err = p.DB.Update(ctx, func(tx *db.Tx) (err error) {
		if err := p.useProof(ctx, tx, c.proof); err != nil {
			return err
		}
		h.Grant, err = newGrant(ctx, tx, g, "")
		return err
	})
	if err != nil {
		return tokens{}, err
	}
	access, lasts, err := p.accessToken(c.key, h, p.DB.Now(), c.proof.Thumbprint)
	return tokens{AccessToken: access, Type: tokenType(c.proof.Thumbprint), ExpiresIn: int(lasts / time.Second), Scope: strings.Join(h.Scope, " ")}, err
}

// ofItself returns the scope of a token that a client asks for itself, and its end: what it is
// registered for or, for the administration's API, what an administrator or the operator let it do
// there.
func (c *call) ofItself(p *Provider, org directory.OrgID) (Grant, error) {
	asked := strings.Fields(c.form.Get("scope"))
	g := Grant{Scope: asked, EndsAt: p.DB.Now().Add(p.accessLasts(c.client.Settings))}
	if c.form.Get("resource") == p.API() {
		return c.ofItsRight(p, org, asked)
	}
	for _, s := range asked {
		if !c.client.Has(s) || slices.Contains(application.Scopes, s) {
			return Grant{}, Wrong(InvalidScope, "the client is not registered for this scope, or it tells of a person and nobody is here")
		}
	}
	return g, nil
}

func (c *call) ofItsRight(p *Provider, org directory.OrgID, asked []string) (Grant, error) {
	right, err := access.RightOf(c.R.Context(), p.DB, org, c.client.ID)
	if errors.Is(err, access.ErrUnknown) {
		err = Wrong(UnauthorizedClient, "nobody gave this client a right in the administration")
	}
	if err != nil {
		return Grant{}, err
	}
	g := Grant{Scope: asked, EndsAt: p.DB.Now().Add(p.apiLasts()), Details: Details{API: true}}
	if right.Until.Before(g.EndsAt) {
		g.EndsAt = right.Until
	}
	for _, s := range asked {
		if !right.May(access.Scope(s)) {
			return Grant{}, Wrong(InvalidScope, "nobody gave this client a right for this scope here")
		}
	}
	if len(asked) == 0 { // then everything (RFC 6749 §3.3)
		for _, s := range right.Scopes {
			g.Scope = append(g.Scope, string(s))
		}
	}
	return g, nil
}

func (p *Provider) machinesOrganization(ctx context.Context, c *call) (directory.Organization, error) {
	named := c.form.Get("organization")
	if c.client.OrgID == "" && named == "" {
		return directory.Organization{}, nil
	}
	var org directory.Organization
	var err error
	if c.client.OrgID != "" {
		org, err = directory.OrganizationByID(ctx, p.DB, c.client.OrgID)
	} else {
		org, err = organizationNamed(ctx, p.DB, named)
	}
	if f := isFault(err); f || err == nil && !org.SuspendedAt.IsZero() {
		return directory.Organization{}, Wrong(InvalidRequest, "there is no such organization, or it is closed")
	}
	if err != nil {
		return directory.Organization{}, err
	}
	if named != "" && !(application.Hints{Organization: named}).Names(org) {
		return directory.Organization{}, Wrong(InvalidRequest, "the client belongs to another organization")
	}
	place, err := application.PlacementOf(ctx, p.DB, org.ID, c.client)
	if err == nil && place.Standing == application.Forbidden {
		err = Wrong(UnauthorizedClient, "the organization does not allow this client")
	}
	return org, err
}
