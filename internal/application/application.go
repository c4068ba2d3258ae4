// Package application stores the applications of the suite: their settings and secrets, what
// each organization decided about them, what people agreed to and how often they open them.
// Decide says what an authorization request gets. The parameters of OAuth are read in package
// op only.
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

// ID identifies an application: app_ and 26 characters, or a name, such as those of the two
// applications that every installation comes with.
type ID string

// Shipped lists the applications that every installation comes with. People see the first of
// them before all others.
var Shipped = []ID{"collaborate", "architect"}

// CommandLine is the command of people who run an organization, as an application. Every
// installation comes with it too, but it is in no list: nobody opens, places or changes it.
const CommandLine ID = "parvis-cli"

// ReservedScopes begins the scopes of the administration's API. No application is registered for
// them: people agree to them for the command line, and administrators give them to machines.
const ReservedScopes = "parvis."

// Kind is what an application runs on, which decides how far it can keep a secret and
// where its answers may go (RFC 6749 §2.1, RFC 8252).
type Kind string

// The kinds.
const (
	Web        Kind = "web"         // on a server, where it can keep a secret
	SinglePage Kind = "single_page" // in the browser, where it cannot
	Native     Kind = "native"      // on a phone or a computer, where it cannot
	Machine    Kind = "machine"     // a program without a person
	Link       Kind = "link"        // only an address to open
)

// Kinds lists all.
var Kinds = []Kind{Web, SinglePage, Native, Machine, Link}

// AuthMethod is how a client proves who it is (OIDC Core §9).
type AuthMethod string

// The methods. A client has exactly one. A secret may come in the header or in the form, as
// the client's library sends it, but not in both (RFC 6749 §2.3).
const (
	Secret     AuthMethod = "secret"
	PrivateKey AuthMethod = "private_key_jwt"
	NoAuth     AuthMethod = "none"
)

// AuthMethods lists all.
var AuthMethods = []AuthMethod{Secret, PrivateKey, NoAuth}

// Protection is what a request must bring so that a stolen code is useless (RFC 9700 §2.1.1).
// A challenge that was sent is always enforced.
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

// Scopes lists the scopes that give information about a person.
var Scopes = []string{OpenID, ProfileInfo, EmailInfo, GroupsInfo, RolesInfo}

// Claim is an additional claim about a person.
type Claim struct {
	Name   string `json:"name"`
	Source string `json:"source"` // of its value: one of Sources
	Value  string `json:"value,omitempty"`
}

// Sources are where the value of a Claim can come from; fixed means the Claim's own Value.
var Sources = []string{"name", "email", "role", "language", "groups", "user_id", "organization", "fixed"}

// RoleOf gives members of a group a role in the application.
type RoleOf struct {
	Group string `json:"group"`
	Role  string `json:"role"`
}

// Settings are what an administrator registered for an application.
type Settings struct {
	Name         string              `json:"name"`
	Titles       map[i18n.Tag]string `json:"titles,omitempty"`       // of its tile, instead of the name
	Descriptions map[i18n.Tag]string `json:"descriptions,omitempty"` // under the title
	Address      string              `json:"address,omitempty"`      // where its tile leads; empty: not connected yet
	InitiateURI  string              `json:"initiate_uri,omitempty"` // initiate_login_uri (OIDC Core §4); may be empty

	RedirectURIs   []string `json:"redirect_uris,omitempty"`
	PostLogoutURIs []string `json:"post_logout_uris,omitempty"`
	BackChannel    string   `json:"back_channel,omitempty"`
	FrontChannel   string   `json:"front_channel,omitempty"`

	Auth       AuthMethod      `json:"auth"`
	Protection Protection      `json:"code_protection,omitempty"` // PKCE where empty
	Keys       json.RawMessage `json:"keys,omitempty"`            // its key set, for private_key_jwt
	KeysURL    string          `json:"keys_url,omitempty"`        // or the address of that set
	Scopes     []string        `json:"scopes,omitempty"`
	Audience   string          `json:"audience,omitempty"` // of its access tokens, besides Parvis
	Refreshes  bool            `json:"refreshes,omitempty"`
	Devices    bool            `json:"devices,omitempty"`      // device authorization (RFC 8628)
	OwnBehalf  bool            `json:"own_behalf,omitempty"`   // client credentials
	Algorithm  Algorithm       `json:"algorithm,omitempty"`    // of its ID tokens; ES256 where empty
	SignsInfo  bool            `json:"signs_info,omitempty"`   // UserInfo as a signed token
	Opaque     bool            `json:"opaque,omitempty"`       // access tokens that only we can read
	InIDToken  bool            `json:"in_id_token,omitempty"`  // the ID token has the claims of all scopes too
	Pairwise   bool            `json:"pairwise,omitempty"`     // another sub for each sector (OIDC Core §8.1)
	PushedOnly bool            `json:"pushed_only,omitempty"`  // RFC 9126 §5
	BoundOnly  bool            `json:"bound_only,omitempty"`   // access tokens need DPoP (RFC 9449)
	Asks       bool            `json:"asks,omitempty"`         // people are asked, because it is not the organization's own
	AccessFor  time.Duration   `json:"access_for,omitempty"`   // AccessLasts where zero
	IDTokenFor time.Duration   `json:"id_token_for,omitempty"` // IDTokenLasts where zero
	RefreshFor time.Duration   `json:"refresh_for,omitempty"`  // RefreshLasts where zero
	Claims     []Claim         `json:"claims,omitempty"`
	Roles      []RoleOf        `json:"roles,omitempty"`
}

// Application is a registered application.
type Application struct {
	ID        ID
	OrgID     directory.OrgID // that owns it; empty if the installation does
	Kind      Kind
	Settings  Settings
	HasLogo   bool
	CreatedAt time.Time
	ChangedAt time.Time
	FailedAt  time.Time // since when the address of its tile does not answer; zero if it answers

	// Registration tells two applications apart that had the same ID one after the other.
	// It is empty for applications from before this was stored.
	Registration string
}

// ErrUnknown means that there is no such application, or that the asker may not see it.
var ErrUnknown = fault.New(fault.NotFound, "op.no_client")

// Confidential reports whether the client authenticates.
func (c Application) Confidential() bool { return c.Settings.Auth != NoAuth }

// Assured reports whether an answer sent to an address can reach this application only.
// On loopback, and at a scheme that any app can claim, another program may take it, so
// consent is asked each time (RFC 8252 §8.6).
func (c Application) Assured(redirectURI string) bool {
	return c.Confidential() || strings.HasPrefix(redirectURI, "https://")
}

// Code reports whether people sign in to the application in a browser.
func (c Application) Code() bool { return c.Kind == Web || c.Kind == SinglePage || c.Kind == Native }

// Title returns the title of the tile in a language.
func (c Application) Title(tag i18n.Tag) string {
	if t := c.Settings.Titles[tag]; t != "" {
		return t
	}
	return c.Settings.Name
}

// Description returns the text under the title in a language, or else in English.
func (c Application) Description(tag i18n.Tag) string {
	if d := c.Settings.Descriptions[tag]; d != "" {
		return d
	}
	return c.Settings.Descriptions["en"]
}

// Connected reports whether the tile leads anywhere.
func (c Application) Connected() bool { return c.Target() != "" }

// Version changes with the logo, which a browser caches.
func (c Application) Version() string { return strconv.FormatInt(c.ChangedAt.UnixMicro(), 36) }

// HasSecrets reports whether the client authenticates with a secret that we made.
func (c Application) HasSecrets() bool { return c.Settings.Auth == Secret }

// Has reports whether a scope was registered. A reserved one that was registered before it was
// reserved has no effect.
func (c Application) Has(scope string) bool {
	return slices.Contains(c.Settings.Scopes, scope) && (c.ID == CommandLine || !strings.HasPrefix(scope, ReservedScopes))
}

// Columns are the columns of clients, joined as c, for Application.Targets.
const Columns = `c.id, c.org_id, c.kind, c.settings, c.logo is not null, c.created_at, c.changed_at, c.failed_since, c.registration`

// Targets returns where Columns are scanned to.
func (c *Application) Targets() []any {
	return db.Into(&c.ID, (*db.Text)(&c.OrgID), &c.Kind, db.JSON(&c.Settings), &c.HasLogo,
		(*db.Time)(&c.CreatedAt), (*db.Time)(&c.ChangedAt), (*db.Time)(&c.FailedAt), &c.Registration)
}

// Registered finds an application by its ID, of any owner.
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

// isID reports whether s has the form of a client ID. Other texts never reach the database.
func isID(s string) bool {
	return len(s) > 0 && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// Sector returns the host that a pairwise subject is for; registration allows only one. On
// loopback, or with a scheme of its own, it is the client itself.
func (c Application) Sector() string {
	for _, address := range c.Settings.RedirectURIs {
		if u, err := url.Parse(address); err == nil && u.Scheme == "https" {
			return strings.ToLower(u.Hostname())
		}
	}
	return string(c.ID) + c.Registration
}

// Target returns where the tile leads.
func (c Application) Target() string { return cmp.Or(c.Settings.InitiateURI, c.Settings.Address) }
