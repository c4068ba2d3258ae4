// Package application keeps the applications of the suite: what was registered, their
// secrets, how each organization has them, what people agreed to and how often they open
// them; and it decides what an application's request for a person gets (Decide). It knows
// no word of OAuth's wire: package op speaks that.
//
// It owns clients, client_secrets, client_organizations, client_uses and consents.
package application

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
)

// ID identifies an application: app_ and 26 characters, or one of the two names
// that every installation comes with.
type ID string

// Kind is what an application runs on, which decides how far it can keep a secret and
// where its answers may go (RFC 6749 §2.1, RFC 8252).
type Kind string

// The kinds.
const (
	Web        Kind = "web"         // on a server: keeps a secret
	SinglePage Kind = "single_page" // in the browser: keeps none
	Native     Kind = "native"      // on a phone or a desk: keeps none
	Machine    Kind = "machine"     // nobody sits before it
	Link       Kind = "link"        // an address without an application behind it
)

// Kinds lists all.
var Kinds = []Kind{Web, SinglePage, Native, Machine, Link}

// AuthMethod is how a client proves who it is (OIDC Core §9).
type AuthMethod string

// The methods. A client has one, and no other works for it. A secret comes in the header
// or in the form, as the client's library does it, and never in both (RFC 6749 §2.3).
const (
	Secret     AuthMethod = "secret"
	PrivateKey AuthMethod = "private_key_jwt"
	NoAuth     AuthMethod = "none"
)

// AuthMethods lists all.
var AuthMethods = []AuthMethod{Secret, PrivateKey, NoAuth}

// Protection keeps somebody who intercepts a code from using it (RFC 9700 §2.1.1).
// A challenge that is sent is enforced whatever is registered.
type Protection string

// The protections. We check PKCE ourselves; a nonce is checked by the application, and we
// cannot see whether it does so. Less than PKCE is only for clients that authenticate, and
// for requests that get an ID token.
const (
	PKCE         Protection = "pkce"
	PKCEOrNonce  Protection = "pkce_or_nonce"
	NoProtection Protection = "none"
)

// Scopes that applications can be registered for.
const (
	OpenID      = "openid"
	ProfileInfo = "profile"
	EmailInfo   = "email"
	GroupsInfo  = "groups"
	RolesInfo   = "roles"
)

// Scopes lists all that say something of a person.
var Scopes = []string{OpenID, ProfileInfo, EmailInfo, GroupsInfo, RolesInfo}

// Claim is one more thing that an application is told of a person.
type Claim struct {
	Name   string `json:"name"`
	Source string `json:"source"` // one of Sources
	Value  string `json:"value,omitempty"`
}

// Sources are what a Claim's value can be taken from; fixed is its own Value.
var Sources = []string{"name", "email", "role", "language", "groups", "user_id", "organization", "fixed"}

// RoleOf gives members of a group a role in the application.
type RoleOf struct {
	Group string `json:"group"`
	Role  string `json:"role"`
}

// Settings are what was registered.
type Settings struct {
	Name         string              `json:"name"`
	Titles       map[i18n.Tag]string `json:"titles,omitempty"`       // of its tile, where the name will not do
	Descriptions map[i18n.Tag]string `json:"descriptions,omitempty"` // under it
	Address      string              `json:"address,omitempty"`      // where its tile leads; empty: not connected yet
	InitiateURI  string              `json:"initiate_uri,omitempty"` // initiate_login_uri, where it has one (OIDC Core §4)

	RedirectURIs   []string `json:"redirect_uris,omitempty"`
	PostLogoutURIs []string `json:"post_logout_uris,omitempty"`
	BackChannel    string   `json:"back_channel,omitempty"`
	FrontChannel   string   `json:"front_channel,omitempty"`

	Auth       AuthMethod      `json:"auth"`
	Protection Protection      `json:"code_protection,omitempty"` // PKCE where empty
	Keys       json.RawMessage `json:"keys,omitempty"`            // its key set, for private_key_jwt
	KeysURL    string          `json:"keys_url,omitempty"`        // or where that is
	Scopes     []string        `json:"scopes,omitempty"`
	Audience   string          `json:"audience,omitempty"` // of its access tokens, beside us
	Refreshes  bool            `json:"refreshes,omitempty"`
	Devices    bool            `json:"devices,omitempty"`      // device authorization (RFC 8628)
	OwnBehalf  bool            `json:"own_behalf,omitempty"`   // client credentials
	Algorithm  Algorithm       `json:"algorithm,omitempty"`    // of its ID tokens; ES256 where empty
	SignsInfo  bool            `json:"signs_info,omitempty"`   // UserInfo as a signed token
	Opaque     bool            `json:"opaque,omitempty"`       // access tokens that only we can read
	InIDToken  bool            `json:"in_id_token,omitempty"`  // what scopes tell stands in the ID token too
	Pairwise   bool            `json:"pairwise,omitempty"`     // another sub for each host (OIDC Core §8.1)
	PushedOnly bool            `json:"pushed_only,omitempty"`  // RFC 9126 §5
	BoundOnly  bool            `json:"bound_only,omitempty"`   // access tokens need DPoP (RFC 9449)
	Asks       bool            `json:"asks,omitempty"`         // the person is asked: it is not the organization's own
	AccessFor  time.Duration   `json:"access_for,omitempty"`   // AccessLasts where zero
	IDTokenFor time.Duration   `json:"id_token_for,omitempty"` // IDTokenLasts where zero
	RefreshFor time.Duration   `json:"refresh_for,omitempty"`  // RefreshLasts where zero
	Claims     []Claim         `json:"claims,omitempty"`
	Roles      []RoleOf        `json:"roles,omitempty"`
}

// Application is a registered application.
type Application struct {
	ID        ID
	OrgID     directory.OrgID // whose it is; empty is of the installation
	Kind      Kind
	Settings  Settings
	HasLogo   bool
	CreatedAt time.Time
	ChangedAt time.Time
	FailedAt  time.Time // since when nobody answers at its tile's address; zero where all is well

	// Registration tells two applications apart that had the same ID one after the other.
	// It is empty for applications from before this was stored.
	Registration string
}

// ErrUnknown says that there is no such application, or none for the one who asks.
var ErrUnknown = fault.New(fault.NotFound, "op.no_client")

// Confidential reports whether the client can prove who it is.
func (c Application) Confidential() bool { return c.Settings.Auth != NoAuth }

// Assured reports whether an answer sent to an address can reach this application only.
// On loopback, and at a scheme that any app can claim, another program may take it, so
// consent is asked each time (RFC 8252 §8.6).
func (c Application) Assured(redirectURI string) bool {
	return c.Confidential() || strings.HasPrefix(redirectURI, "https://")
}

// Code reports whether people sign in to the application in a browser.
func (c Application) Code() bool { return c.Kind == Web || c.Kind == SinglePage || c.Kind == Native }

// Title is what its tile is called in a language.
func (c Application) Title(tag i18n.Tag) string {
	if t := c.Settings.Titles[tag]; t != "" {
		return t
	}
	return c.Settings.Name
}

// Description is what stands under that; the English one where there is none.
func (c Application) Description(tag i18n.Tag) string {
	if d := c.Settings.Descriptions[tag]; d != "" {
		return d
	}
	return c.Settings.Descriptions["en"]
}

// Connected reports whether a tile has somewhere to lead.
func (c Application) Connected() bool { return c.Target() != "" }

// Version changes with the logo, which a browser keeps.
func (c Application) Version() string { return strconv.FormatInt(c.ChangedAt.UnixMicro(), 36) }

// HasSecrets reports whether the client authenticates with a secret that we made.
func (c Application) HasSecrets() bool { return c.Settings.Auth == Secret }

// Has reports whether a scope was registered.
func (c Application) Has(scope string) bool { return slices.Contains(c.Settings.Scopes, scope) }

// Columns are those of clients, as c; Application.Targets takes them.
const Columns = `c.id, c.org_id, c.kind, c.settings, c.logo is not null, c.created_at, c.changed_at, c.failed_since, c.registration`

// Targets are where Columns are scanned to.
func (c *Application) Targets() []any {
	return db.Into(&c.ID, (*db.Text)(&c.OrgID), &c.Kind, db.JSON(&c.Settings), &c.HasLogo,
		(*db.Time)(&c.CreatedAt), (*db.Time)(&c.ChangedAt), (*db.Time)(&c.FailedAt), &c.Registration)
}

// Registered finds an application, whoever's it is.
func Registered(ctx context.Context, r db.Reader, id string) (Application, error) {
	if !isID(id) {
		return Application{}, ErrUnknown
	}
	var c Application
	found, err := r.One(ctx, c.Targets(), `
		select `+Columns+`
		from clients c
		where c.id = $1`, id)
	if err == nil && !found {
		err = ErrUnknown
	}
	return c, err
}

// isID reports whether s has the form of a client ID; nothing else reaches the database.
func isID(s string) bool {
	return len(s) > 0 && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// Sector is the host that a pairwise subject is for; registration sees to it that
// there is one only. On loopback, or at a scheme of its own, it is the client itself.
func (c Application) Sector() string {
	for _, address := range c.Settings.RedirectURIs {
		if u, err := url.Parse(address); err == nil && u.Scheme == "https" {
			return strings.ToLower(u.Hostname())
		}
	}
	return string(c.ID) + c.Registration
}

// Target is where the tile leads.
func (c Application) Target() string { return cmp.Or(c.Settings.InitiateURI, c.Settings.Address) }
