// Package federation lets people sign in by the identity providers of their organization:
// it is a relying party (OpenID Connect) and a service provider (SAML 2.0). Its rooms
// judge documents. This package keeps the connections, sends people to providers, finds
// the user that an answer names, and explains to administrators why one was refused.
//
// A connection belongs to one organization. Whatever its provider asserts, it reaches
// nobody elsewhere: every look-up of an identity names organization and connection.
//
//	/federation/CONNECTION/start     a provider's portal leads here ── to the organization's page
//	              …/callback         back from OpenID Connect ─┐
//	              …/acs              posted by SAML, parked ───┴─ the attempt goes on: /sign-in/ATTEMPT,
//	                                 or /…/confirm/REQUEST where the provider began it
//	              …/slo, …/logout    the provider says that somebody signed out there
//	              …/signed-out       back from signing out there ── where the application wanted
//	              …/metadata, /federation/keys   what a provider has to know of us
//
// It owns connections, connection_changes, identities, identity_requests, setup_links,
// only_warnings, federation_keys and the tables whose names begin with upstream.
package federation

import (
	"embed"
	"encoding/json"
	"log/slog"
	"sync"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation/saml"
	"parvis/internal/jose"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/outbound"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Parts are what a Hub needs.
type Parts struct {
	DB       *db.DB
	SignIn   *signin.Service
	Sessions *session.Door
	Limits   *limit.Limiter
	Outbox   *mail.Outbox
	Outbound *outbound.Client
	Base     string // the configured public address, without a slash at its end
	Log      *slog.Logger
}

// Hub is what the installation is to its customers' identity providers.
type Hub struct {
	Parts

	site    *page.Site
	opened  sync.Map   // our own keys, opened, by their sealed text
	secrets secret.Box // client secrets
	asked   secret.Box // what a request keeps secret until its answer
	keys    secret.Box // our own private keys
}

const secretsBox, keysBox, requestsBox = "federation client secrets", "federation keys", "federation requests"

// Sealed are the columns of this package that a rotation of keys seals again.
var Sealed = []secret.Column{
	{Table: "connections", Name: "secret", Purpose: secretsBox, Row: []string{"org_id", "id"}, For: ofConnection},
	{Table: "connection_changes", Name: "secret", Purpose: secretsBox, Row: []string{"org_id", "connection_id"}, For: ofConnection},
	{Table: "upstream_requests", Name: "asked", Purpose: requestsBox, Row: []string{"org_id", "id"}, For: func(row []string) string { return requestRow(row[1], "asked") }},
	{Table: "upstream_requests", Name: "answer", Purpose: requestsBox, Row: []string{"org_id", "id"}, For: func(row []string) string { return requestRow(row[1], "answer") }},
	{Table: "federation_keys", Name: "sealed", Purpose: keysBox, Row: []string{"id"}, For: func(row []string) string { return "federation_keys " + row[0] }},
}

func ofConnection(row []string) string {
	return Connection{OrgID: directory.OrgID(row[0]), ID: row[1]}.row()
}

// NewHub makes a Hub that seals its secrets under keys.
func NewHub(p Parts, keys secret.Keys) *Hub {
	return &Hub{
		Parts:   p,
		secrets: secret.NewBox(keys.Sealing, secretsBox),
		asked:   secret.NewBox(keys.Sealing, requestsBox),
		keys:    secret.NewBox(keys.Sealing, keysBox),
	}
}

// Templates are the pages of this package, for page.Templates.
//
//go:embed templates/*.html
var Templates embed.FS

// Mount adds the routes that providers, and the browsers they send, use.
func (h *Hub) Mount(site *page.Site) {
	h.site = site

	site.Anyone("GET /federation/keys", h.showKeys)
	site.Anyone("GET /federation/{connection}/metadata", h.showMetadata)
	site.Anyone("GET /federation/{connection}/logo/{id}", h.showLogo)
	site.Protocol("GET /federation/{connection}/start", h.start)
	site.Protocol("GET /federation/{connection}/callback", h.callback)
	site.CrossSite("POST /federation/{connection}/acs", h.park)
	site.CrossSite("GET /federation/{connection}/slo", h.sloQuery) // in a frame too
	site.CrossSite("POST /federation/{connection}/slo", h.sloForm)
	site.CrossSite("POST /federation/{connection}/logout", h.backChannel)
	site.Protocol("GET /federation/{connection}/signed-out", h.signedOut)
	site.AnyoneForm("/federation/{connection}/confirm/{request}", nil, h.showConfirm, h.confirm)
}

// showKeys serves our public keys as a client (RFC 7517 §5).
func (h *Hub) showKeys(v *page.Visitor) error {
	keys, err := h.oidcKeys(v.R.Context())
	if err != nil {
		return err
	}
	v.W.Header().Set("Content-Type", "application/jwk-set+json")
	return json.NewEncoder(v.W).Encode(jose.Public(keys))
}

// showMetadata serves our SAML metadata for one connection, with every key that we keep.
func (h *Hub) showMetadata(v *page.Visitor) error {
	ctx := v.R.Context()
	c, _, err := connectionByID(ctx, h.DB, v.R.PathValue("connection"))
	if err == nil && c.Protocol != SAML {
		err = directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	keys, err := h.samlKeys(ctx)
	if err != nil {
		return err
	}
	text, err := saml.OurMetadata(c.SAML, c.serviceProvider(h.Base), keys)
	if err != nil {
		return err
	}
	v.W.Header().Set("Content-Type", "application/samlmetadata+xml")
	v.W.Header().Set("Content-Disposition", `attachment; filename="parvis-metadata.xml"`)
	_, err = v.W.Write(text)
	return err
}

// showLogo serves a connection's logo to anybody, since the sign-in page shows it.
func (h *Hub) showLogo(v *page.Visitor) error {
	ctx := v.R.Context()
	c, _, err := connectionByID(ctx, h.DB, v.R.PathValue("connection"))
	if err == nil && (c.Logo == "" || c.Logo != v.R.PathValue("id")) {
		err = directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	png, err := directory.Image(ctx, h.DB, c.OrgID, c.Logo)
	if err != nil {
		return err
	}
	return v.ShowPicture(png, page.KeptForEver)
}
