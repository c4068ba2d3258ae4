// Package oidc is the relying party of OpenID Connect: it finds out about a
// provider, sends people there by the code flow and judges what comes back. It keeps
// nothing, shows nothing and has no clock; what it found is an upstream.Assertion,
// and why it was believed or not an upstream.Trace.
//
// Each check is named for people who have to mend it, and algorithms and keys are the
// connection's.
package oidc

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"parvis/internal/jose"
)

// Method is how a connection proves to its provider that it is the client.
type Method string

// The methods (OIDC Core §9).
const (
	ClientSecretBasic Method = "client_secret_basic"
	ClientSecretPost  Method = "client_secret_post"
	PrivateKeyJWT     Method = "private_key_jwt"
	NoSecret          Method = "none" // PKCE alone
)

// Connection is what an administrator says of their provider. Its secret is kept
// elsewhere.
type Connection struct {
	Issuer     string   `json:"issuer"`
	Tenant     string   `json:"tenant,omitempty"` // id of the directory, where Issuer is Entra's for all of them
	ClientID   string   `json:"client_id"`
	Method     Method   `json:"method"`
	Scopes     []string `json:"scopes,omitempty"`     // beside openid
	Algorithms []string `json:"algorithms,omitempty"` // of ID tokens; the provider's where none are pinned
	ACR        []string `json:"acr,omitempty"`        // one of which is demanded
}

// Credentials are what Method needs of a connection, for the time of one request.
type Credentials struct {
	Secret string
	Key    jose.Key // private, with its id and algorithm
}

// forAll are the places of Entra's issuers that stand for every tenant. Its tokens
// name the very one, so an issuer is compared exactly once that was said.
var forAll = []string{"{tenantid}", "common", "organizations", "consumers"}

// issuer is who discovery and tokens have to come from.
func (c Connection) issuer() string {
	parts := strings.SplitN(c.Issuer, "/", 5) // https, nothing, host, tenant, the rest
	if c.Tenant == "" || len(parts) < 4 || !slices.Contains(forAll, parts[3]) {
		return c.Issuer
	}
	parts[3] = c.Tenant
	return strings.Join(parts, "/")
}

// algorithms are those that ID tokens of c may be signed with.
func (c Connection) algorithms(p Provider) []string {
	if len(c.Algorithms) > 0 {
		return jose.Known(c.Algorithms)
	}
	return jose.Known(p.Algorithms)
}

// tolerance is how far a provider's clock may be from ours.
const tolerance = time.Minute

// shown is a provider's text as it may be kept and shown: without characters that
// move a cursor or end a text.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
