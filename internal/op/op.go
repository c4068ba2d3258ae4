// Package op is the OpenID Provider: what the applications of the suite trust. It
// answers who came in, for which organization and how that was proved, and tells
// applications when it is over.
//
// An authorization request is parsed, and application.Decide says which session of the
// browser it means and what it gets; nothing else does. What an application then holds, a code, a
// rotating refresh token, access tokens, hangs on one row, the grant, and every use of it
// joins session, user, organization and application as they are now. So an end is data,
// and is felt at once on every node; Sweep only tells it to applications.
//
//	/par, /device_authorization        an application's server asks first ── op/ask takes it on
//	/token                             what op/ask gave for what the application may hold
//	/userinfo, /introspect, /revoke    what a token still says, and its end
//	/jwks, /.well-known/…              what anybody may read of us
//	back-channel logout                we call the application, when a session ended
//
// What a browser meets of it, /authorize first, is package op/ask.
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
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/lifetime"
	"parvis/internal/limit"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Lifetimes of what an application gets here. Those that each application sets for itself
// are in package application.
const (
	CodeLasts        = time.Minute // RFC 6749 §4.1.2 allows ten, R-OPR-02 one
	PushedLasts      = time.Minute
	RetryGrace       = 30 * time.Second // a refresh token that was just replaced may come once more: the answer was lost
	DeviceLasts      = 10 * time.Minute
	DevicePollsEvery = 5 * time.Second
	RequestLasts     = signin.WhereToLasts // of what an application asked, while the person signs in
)

// Parts are what a Provider works with.
type Parts struct {
	DB        *db.DB
	SignIn    *signin.Service
	Sessions  *session.Door
	Limits    *limit.Limiter
	Reach     application.Reach  // by which applications are called
	Base      string             // the configured public address, without a slash at its end: the issuer
	Lifetimes lifetime.Overrides // in the place of the constants, where set
	Log       *slog.Logger
}

// Provider is the installation as its applications know it.
type Provider struct {
	Parts
	Keys *Keys

	document     func() (published, error) // of discovery, made once
	keySets      sync.Map                  // of clients, by their address
	sealedTokens secret.Box
	refreshKey   []byte
	pairwise     []byte
	onceKey      []byte
	busy         *busy
}

// NewProvider seals and derives what it keeps from the keys.
func NewProvider(p Parts, keys secret.Keys) *Provider {
	return &Provider{
		Parts: p, busy: newBusy(),
		Keys:         &Keys{db: p.DB, issuer: p.Base, lasts: cmp.Or(p.Lifetimes.SigningKey, KeyLasts), box: secret.NewBox(keys.Sealing, "op keys")},
		sealedTokens: secret.NewBox(keys.Sealing, "op access tokens"),
		refreshKey:   keys.Lookup.For("op refresh tokens").Current().Bytes,
		onceKey:      keys.Lookup.For("op once").Current().Bytes,
		// The oldest: a new key in the ring must not give everybody another name.
		pairwise: oldest(keys.Lookup.For("op pairwise")),
	}
}

func oldest(r secret.Ring) []byte { return r[len(r)-1].Bytes }

// Where applications find us.
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
	configurationPath = "/.well-known/openid-configuration"
	metadataPath      = "/.well-known/oauth-authorization-server"
)

// Mount adds the addresses that applications call themselves.
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

func (p *Provider) idTokenLasts(s application.Settings) time.Duration {
	return cmp.Or(p.Lifetimes.IDToken, s.IDTokenFor, application.IDTokenLasts)
}

func (p *Provider) RefreshLasts(s application.Settings) time.Duration {
	return cmp.Or(p.Lifetimes.RefreshToken, s.RefreshFor, application.RefreshLasts)
}

// The limiters of what anybody may try here.
var (
	PerNetworkClient = limit.Policy{Name: "client-network", Free: 60, First: time.Second, Most: time.Minute, Forget: 15 * time.Minute}
	PerNetworkDevice = limit.Policy{Name: "device-network", Free: 20, First: time.Second, Most: time.Minute, Forget: time.Hour}
)

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerNetworkClient, PerNetworkDevice}

// take counts a try, or says how long to wait.
func (p *Provider) take(ctx context.Context, keys ...limit.Key) error {
	taken, err := limit.Take(ctx, p.DB, keys...)
	if err == nil && !taken.Allowed {
		err = signin.ErrTooOften.After(taken.Wait)
	}
	return err
}

// CountTry counts a try of the client's network.
func (p *Provider) CountTry(ctx context.Context, policy limit.Policy) error {
	return p.take(ctx, p.Limits.Key(policy, limit.From(audit.OriginOf(ctx))))
}

// countBegun counts what anybody can make us keep.
func (p *Provider) countBegun(ctx context.Context) error {
	return p.CountTry(ctx, signin.PerNetworkBegun)
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// OrganizationNamed finds an organization by its id or its short name.
func OrganizationNamed(ctx context.Context, r db.Reader, named string) (directory.Organization, error) {
	if secret.IsID(named) {
		return directory.OrganizationByID(ctx, r, directory.OrgID(named))
	}
	return directory.OrganizationByName(ctx, r, named)
}
