package federation

import (
	"crypto/subtle"

	"parvis/internal/directory"
	"parvis/internal/federation/oidc"
)

// Enter returns the change that sets our registration at an OpenID Connect provider without asking
// the provider. What another one published, or another way to prove that we are the client needs, is
// forgotten, so that the connection is not complete until its provider is asked.
func (h *Hub) Enter(client Client) (Change, error) {
	client = client.trimmed()
	if err := client.check(); err != nil {
		return nil, err
	}
	return func(c *Connection) error {
		found := c.Found
		if c.OIDC.Issuer != client.Issuer || c.OIDC.Tenant != client.Tenant || c.OIDC.Method != client.Method {
			found = Found{}
		}
		if same, err := h.keeps(*c, client.Secret); err != nil {
			return err
		} else if same && c.registration(client) {
			client.Secret = "" // sealed again it would look like another one
		}
		return h.registered(client, found)(c)
	}, nil
}

// keeps reports whether a text is the secret of a connection.
func (h *Hub) keeps(c Connection, text string) (bool, error) {
	if text == "" || c.secret == "" {
		return false, nil
	}
	kept, err := h.secrets.Open(c.secret, c.row())
	return err == nil && subtle.ConstantTimeCompare(kept, []byte(text)) == 1, err
}

// SameSecret reports whether two states of a connection have one secret.
func (c Connection) SameSecret(before Connection) bool { return c.secret == before.secret }

// registration reports whether c is registered at its provider as a client says.
func (c Connection) registration(client Client) bool {
	return c.OIDC.Issuer == client.Issuer && c.OIDC.Tenant == client.Tenant && c.OIDC.ClientID == client.ID
}

// registered is the change that sets our registration, and what its provider publishes.
func (h *Hub) registered(client Client, found Found) Change {
	return func(c *Connection) error {
		if c.Protocol != OIDC {
			return directory.ErrNotFound
		}
		wanted := client.Method == oidc.ClientSecretBasic || client.Method == oidc.ClientSecretPost
		switch {
		case !wanted:
			c.secret = ""
		case client.Secret != "":
			c.secret = h.secrets.Seal([]byte(client.Secret), c.row())
		case c.secret == "" || !c.registration(client):
			// A secret that was typed for one provider is never sent to another.
			return ErrNoSecret
		}
		c.OIDC.Issuer, c.OIDC.Tenant, c.OIDC.ClientID, c.OIDC.Method = client.Issuer, client.Tenant, client.ID, client.Method
		c.Found = found
		return nil
	}
}
