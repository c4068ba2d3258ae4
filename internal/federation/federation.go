// Package federation lets people in by the identity providers of their organization:
// it is their relying party (OpenID Connect) and service provider (SAML 2.0). Its
// rooms judge documents; this package keeps the connections, sends people out, finds
// whom an answer is about, and explains to administrators what was wrong with one.
//
// A connection belongs to one organization and reaches nobody else's people, whatever
// it asserts: every look-up of an identity names both.
//
// It owns connections, identities, setup_links, federation_keys and the tables whose
// names begin with upstream.
package federation

import (
	"log/slog"

	"parvis/internal/db"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/outbound"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Hub is the installation as its customers' identity providers know it.
type Hub struct {
	DB       *db.DB
	SignIn   *signin.Service
	Sessions *session.Door
	Limits   *limit.Limiter
	Outbox   *mail.Outbox
	Outbound *outbound.Client
	Base     string // the configured public address, without a slash at its end
	Log      *slog.Logger

	site    *page.Site
	secrets secret.Box // client secrets
	asked   secret.Box // what a request keeps until its answer
	keys    secret.Box // our own private keys
}

// NewHub seals what it keeps under the keys.
func NewHub(h Hub, keys secret.Keys) *Hub {
	h.secrets = secret.NewBox(keys.Sealing, "federation client secrets")
	h.asked = secret.NewBox(keys.Sealing, "federation requests")
	h.keys = secret.NewBox(keys.Sealing, "federation keys")
	return &h
}
