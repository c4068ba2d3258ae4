package api

import (
	"context"

	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/federation/oidc"
	"parvis/internal/naming"
)

// A configuration asks no provider. So it says what our registration is, and a provider's metadata
// as a text, but reads neither what a provider publishes nor metadata from an address: a connection
// is complete, and can be tested, once it is changed by itself.

var errAsksProvider = fault.Field("", "api.configuration_asks_provider")

var configuredConnections = things[form.ConfiguredConnection]{
	part: part{name: "connections", kind: "connection", fold: naming.Fold, blank: func(sent object) object {
		return tree(newConnection(sent))
	}, usual: func(made object) object {
		c := newConnection(made)
		c.Provider, c.Protocol = "", ""
		return tree(c)
	}},
	of: func(c *form.Configuration) *[]form.ConfiguredConnection { return &c.Connections },
	id: func(c form.ConfiguredConnection) string { return c.ID },
	read: func(ctx context.Context, r db.Reader, x *call) ([]form.ConfiguredConnection, error) {
		all, err := federation.ConnectionsOf(ctx, r, x.Actor, x.org())
		return short(all, ofConfigured).Items, err
	},
	make: func(ctx context.Context, tx *db.Tx, x *call, now form.ConfiguredConnection) error {
		id, err := createConnection(ctx, tx, x, struct{ Body form.NewConnection }{form.NewConnection{Provider: now.Provider, Protocol: now.Protocol, Name: now.Name}})
		if err != nil {
			return err
		}
		return changeConfigured(ctx, tx, x, id, now)
	},
	change: func(ctx context.Context, tx *db.Tx, x *call, was, now form.ConfiguredConnection) error {
		switch {
		case was.Provider != now.Provider:
			return wrong{pointer: "/provider", why: errFixed}
		case was.Protocol != now.Protocol:
			return wrong{pointer: "/protocol", why: errFixed}
		}
		return changeConfigured(ctx, tx, x, was.ID, now)
	},
	remove: func(ctx context.Context, tx *db.Tx, x *call, was form.ConfiguredConnection) error {
		_, err := deleteConnection(ctx, tx, x, leaving{at: at{ID: was.ID}})
		return err
	},
	fresh:        true,
	freshRemoval: true,
}

// newConnection is a connection of which only provider and protocol are said.
func newConnection(sent object) form.ConfiguredConnection {
	c := ofConfigured(federation.New{Provider: federation.Provider(textOf(sent, "provider")), Protocol: federation.Protocol(textOf(sent, "protocol"))}.Draft())
	c.Name = ""
	return c
}

func ofConfigured(c federation.Connection) form.ConfiguredConnection {
	s := changeable(c, 0)
	return form.ConfiguredConnection{
		ID: c.ID, Provider: string(c.Provider), Protocol: string(c.Protocol), Name: s.Name, Shown: s.Shown, Vouches: s.Vouches, Creates: s.Creates,
		Roles: s.Roles, Attributes: s.Attributes, OpenID: s.OpenID, SAML: s.SAML,
	}
}

// changeConfigured makes of a connection what a configuration says.
func changeConfigured(ctx context.Context, tx *db.Tx, x *call, id string, now form.ConfiguredConnection) error {
	c, place, err := x.connection(ctx, tx, id)
	if err != nil {
		return err
	}
	was := changeable(c, place)
	switch {
	case (was.OpenID == nil) != (now.OpenID == nil):
		return wrong{pointer: "/oidc", why: errOtherProtocol}
	case (was.SAML == nil) != (now.SAML == nil):
		return wrong{pointer: "/saml", why: errOtherProtocol}
	}
	to := form.ConnectionChange{
		ConnectionSettings: form.ConnectionSettings{
			Name: now.Name, Shown: now.Shown, Position: place, Vouches: now.Vouches, Creates: now.Creates, Roles: now.Roles, Attributes: now.Attributes,
		},
		OpenID: now.OpenID, SAML: now.SAML,
	}
	x.learned = nil
	if to.OpenID != nil {
		err = x.enterOpenID(*was.OpenID, *to.OpenID)
	} else {
		err = x.enterSAML(ctx, c, *was.SAML, *to.SAML)
	}
	if err != nil {
		return inConnection(err)
	}
	err = changeConnection(ctx, tx, x, at{ID: id}, was, to)
	x.learned = nil
	if err != nil || to.OpenID == nil || to.OpenID.ClientSecret == nil {
		return err
	}
	after, _, err := x.connection(ctx, tx, id)
	if err == nil && !after.SameSecret(c) {
		x.secretOf[id] = []string{"oidc.client_secret"}
	}
	return err
}

// enterOpenID learns our registration at a provider, if the configuration says another one.
func (x *call) enterOpenID(was, now form.OpenIDChange) (err error) {
	same := was.Issuer == now.Issuer && was.Tenant == now.Tenant && was.ClientID == now.ClientID && was.Method == now.Method
	if same && now.ClientSecret == nil {
		return nil
	}
	client := federation.Client{Issuer: now.Issuer, Tenant: now.Tenant, ID: now.ClientID, Method: oidc.Method(now.Method)}
	if now.ClientSecret != nil {
		client.Secret = *now.ClientSecret
	}
	x.learned, err = x.server.Hub.Enter(client)
	return err
}

// enterSAML learns what metadata says that was sent as a text.
func (x *call) enterSAML(ctx context.Context, c federation.Connection, was, now form.SAMLChange) (err error) {
	switch {
	case now.MetadataAddress != was.MetadataAddress && now.MetadataAddress != "":
		return wrong{pointer: "/saml/metadata_address", why: errAsksProvider}
	case now.Metadata == nil:
		return nil
	case now.MetadataAddress != "":
		return federation.ErrBothMetadata
	}
	x.learned, err = x.server.Hub.ReadMetadata(ctx, c, federation.Metadata{Text: []byte(*now.Metadata)})
	return err
}
