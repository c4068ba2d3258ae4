package federation

import "net/url"

// The addresses to enter at a connection's provider. Each connection has its own, so
// that no answer for one is an answer for another (R-SML-08, R-RPO-02).

func (c Connection) address(base, what string) string {
	return base + "/federation/" + url.PathEscape(c.ID) + "/" + what
}

// Metadata is the address of our SAML metadata, and our entity ID in it.
func (c Connection) Metadata(base string) string { return c.address(base, "metadata") }

// EntityID is our name towards a SAML provider.
func (c Connection) EntityID(base string) string { return c.Metadata(base) }

// ACS is where a SAML provider posts its responses.
func (c Connection) ACS(base string) string { return c.address(base, "acs") }

// SLO is where a SAML provider sends its single logout messages.
func (c Connection) SLO(base string) string { return c.address(base, "slo") }

// Callback is the redirect URI of OpenID Connect.
func (c Connection) Callback(base string) string { return c.address(base, "callback") }

// Logout is where an OpenID Connect provider reports that somebody signed out there.
func (c Connection) Logout(base string) string { return c.address(base, "logout") }

// SignedOut is where an OpenID Connect provider sends the browser after signing out.
func (c Connection) SignedOut(base string) string { return c.address(base, "signed-out") }

// Start is where a provider's portal can begin a sign-in.
func (c Connection) Start(base string) string { return c.address(base, "start") }

// KeySet is the address of the public keys that verify our client assertions.
func KeySet(base string) string { return base + "/federation/keys" }

// LogoPath is where the connection's logo is shown; empty where it has none.
func (c Connection) LogoPath() string { return logoPath(c.ID, c.Logo) }

// LogoPath is where the connection's logo is shown; empty where it has none.
func (w Way) LogoPath() string { return logoPath(w.ID, w.Logo) }

func logoPath(connection, logo string) string {
	if logo == "" {
		return ""
	}
	return "/federation/" + url.PathEscape(connection) + "/logo/" + logo
}
