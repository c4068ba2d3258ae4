// Package op is the OpenID Provider, which the applications of the suite trust. It answers
// who signed in, for which organization and how they proved it, and tells applications when
// a session has ended.
//
// An authorization request is parsed here; application.Decide alone says which session of the
// browser it means and what it gets. The application then holds a code, a rotating refresh
// token and access tokens. All of them depend on one row, the grant, and every use of them
// reads session, user, organization and application as they are now, or remembers them until
// one of these rows changes. So an end takes effect at once here and within a second on every
// other node; Sweep only tells applications about it.
//
//	/par, /device_authorization        an application's server asks first; op/ask continues
//	/token                             exchanges a code of op/ask for tokens
//	/userinfo, /introspect, /revoke    what a token says now, and its end
//	/jwks, /.well-known/…              public documents
//	back-channel logout                we call the application after a session ended
//
// The pages that a browser sees, /authorize first, are in package op/ask.
//
// It owns keys, authorization_requests, pushed_requests, grants, device_codes, logouts and
// used_proofs.
package op

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/delivery"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/lifetime"
	"parvis/internal/limit"
	"parvis/internal/measure"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// The lifetimes that no application can set for itself; the others are in package application.
const (
	CodeLasts        = time.Minute // RFC 6749 §4.1.2 allows ten, R-OPR-02 one
	PushedLasts      = time.Minute
	RetryGrace       = 30 * time.Second // a refresh token that was just replaced may be used again: the answer may be lost
	DeviceLasts      = 10 * time.Minute
	DevicePollsEvery = 5 * time.Second
	RequestLasts     = signin.WhereToLasts // of a request that waits while the person signs in
)

// Parts are what a Provider works with.
type Parts struct {
	DB        *db.DB
	SignIn    *signin.Service
	Sessions  *session.Door
	Limits    *limit.Limiter
	Reach     application.Reach  // calls applications
	Base      string             // the configured public address, without a slash at its end: the issuer
	Lifetimes lifetime.Overrides // replace the constants where they are not zero
	Log       *slog.Logger
}

// Provider is the installation as its applications know it.
type Provider struct {
	Parts
	Keys *Keys

	Issued measure.By[measure.Counter] // answers of the token endpoint, by the type of the grant

	document     func() (published, error) // of discovery, made once
	keySets      sync.Map                  // of clients, by their address
	sealedTokens secret.Box
	refresh      *secret.Ring
	pairwise     []byte
	once         *secret.Ring
	busy         *delivery.Room // calls to applications
	grants       grants
	provers      application.Provers
}

// NewProvider returns a Provider with the secrets that it derives from the keys.
func NewProvider(p Parts, keys secret.Keys) *Provider {
	return &Provider{
		Parts: p, busy: delivery.NewRoom(delivery.Limits{All: mostAtOnce, Owner: mostOfOwner, One: mostOfOne}),
		Keys:         &Keys{db: p.DB, issuer: p.Base, lasts: cmp.Or(p.Lifetimes.SigningKey, KeyLasts), box: secret.NewBox(keys.Sealing, keysBox)},
		sealedTokens: secret.NewBox(keys.Sealing, "op access tokens"),
		refresh:      keys.Lookup.For("op refresh tokens"),
		pairwise:     keys.Pseudonyms,
		once:         keys.Lookup.For("op once"),
	}
}

// The paths of the endpoints.
const (
	AuthorizePath     = "/authorize"
	tokenPath         = "/token"
	userInfoPath      = "/userinfo"
	introspectPath    = "/introspect"
	revokePath        = "/revoke"
	pushPath          = "/par"
	deviceAskPath     = "/device_authorization"
	DevicePath        = "/device"
	EndSessionPath    = "/end-session"
	keySetPath        = "/jwks"
	apiPath           = "/api" // of the administration, in package api: our only interest is in its name
	configurationPath = "/.well-known/openid-configuration"
	metadataPath      = "/.well-known/oauth-authorization-server"
)

// Mount adds the endpoints that applications call themselves.
func (p *Provider) Mount(e *edge.Edge, catalogue *i18n.Catalogue) {
	p.document = sync.OnceValues(func() (published, error) { return p.makeDocument(catalogue) })

	e.HandleForeign("GET "+configurationPath, e.Serve(p.configuration))
	e.HandleForeign("GET "+metadataPath, e.Serve(p.configuration))
	e.HandleForeign("GET "+keySetPath, e.Serve(p.keySet))
	e.HandleForeign(userInfoPath, e.Serve(p.userInfo))
	p.endpoint(e, tokenPath, p.token)
	p.endpoint(e, introspectPath, p.introspect)
	p.endpoint(e, revokePath, p.revoke)
	p.endpoint(e, pushPath, p.push)
	p.endpoint(e, deviceAskPath, p.askDevice)
}

func (p *Provider) codeLasts() time.Duration  { return cmp.Or(p.Lifetimes.Code, CodeLasts) }
func (p *Provider) retryGrace() time.Duration { return cmp.Or(p.Lifetimes.RefreshRetry, RetryGrace) }
func (p *Provider) deviceLasts() time.Duration {
	return cmp.Or(p.Lifetimes.DeviceCode, DeviceLasts)
}

func (p *Provider) accessLasts(s application.Settings) time.Duration {
	return cmp.Or(p.Lifetimes.AccessToken, s.AccessFor, application.AccessLasts)
}

// API returns the name of the administration's API, as resource and as audience (RFC 8707).
func (p *Provider) API() string { return p.Base + apiPath }

// apiLasts is how long a token for the administration's API lasts.
func (p Parts) apiLasts() time.Duration {
	return cmp.Or(p.Lifetimes.AccessToken, application.LongestAccess)
}

func (p *Provider) idTokenLasts(s application.Settings) time.Duration {
	return cmp.Or(p.Lifetimes.IDToken, s.IDTokenFor, application.IDTokenLasts)
}

func (p *Provider) RefreshLasts(s application.Settings) time.Duration {
	return cmp.Or(p.Lifetimes.RefreshToken, s.RefreshFor, application.RefreshLasts)
}

// Limits of what anybody may try here.
var (
	PerNetworkClient = limit.Policy{Name: "client-network", Free: 60, First: time.Second, Most: time.Minute, Forget: 15 * time.Minute}
	PerNetworkDevice = limit.Policy{Name: "device-network", Free: 20, First: time.Second, Most: time.Minute, Forget: time.Hour}
)

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerNetworkClient, PerNetworkDevice}

// take counts a try, or returns an error that says how long to wait.
func (p *Provider) take(ctx context.Context, keys ...limit.Key) error {
	taken, err := limit.Take(ctx, p.DB, keys...)
	if err == nil && !taken.Allowed {
		err = signin.ErrTooOften.After(taken.Wait)
	}
	return err
}

// CountTry counts a try from the caller's network.
func (p *Provider) CountTry(ctx context.Context, policy limit.Policy) error {
	return p.take(ctx, p.Limits.Key(policy, limit.From(audit.OriginOf(ctx))))
}

// countBegun counts a row that anybody can make us store, against a limit of their network.
func (p *Provider) countBegun(ctx context.Context) error {
	return p.CountTry(ctx, signin.PerNetworkBegun)
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// organizationNamed finds an organization by its id or its short name.
func organizationNamed(ctx context.Context, r db.Reader, named string) (directory.Organization, error) {
	if secret.IsID(named) {
		return directory.OrganizationByID(ctx, r, directory.OrgID(named))
	}
	return directory.OrganizationByName(ctx, r, named)
}
