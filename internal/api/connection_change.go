package api

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
)

var connection = document[form.ConnectionChange, form.Connection]{
	read: func(ctx context.Context, r db.Reader, x *call, at at) (form.ConnectionChange, error) {
		c, place, err := x.connection(ctx, r, at.ID)
		if err != nil {
			return form.ConnectionChange{}, err
		}
		return changeable(c, place), nil
	},
	first: askProvider,
	write: changeConnection,
	show: func(ctx context.Context, r db.Reader, x *call, at at) (form.Connection, error) {
		return showConnection(ctx, r, x, at.ID)
	},
}

// changeable returns what can be changed of a connection, without what is never read.
func changeable(c federation.Connection, place int) form.ConnectionChange {
	out := form.ConnectionChange{ConnectionSettings: commonOf(c, place)}
	if c.Protocol == federation.OIDC {
		out.OpenID = &form.OpenIDChange{OpenIDSettings: openIDOf(c)}
	} else {
		out.SAML = &form.SAMLChange{SAMLSettings: samlOf(c)}
	}
	return out
}

func commonOf(c federation.Connection, place int) form.ConnectionSettings {
	out := form.ConnectionSettings{
		Name: c.Name, Shown: c.Shown, Position: place, Vouches: c.Vouches, Creates: c.Creates, Roles: make([]form.GroupRole, 0, len(c.Mapping.Roles)),
		Attributes: form.Attributes{Email: c.Mapping.Email, Name: c.Mapping.Name, Groups: c.Mapping.Groups},
	}
	for _, r := range c.Mapping.Roles {
		out.Roles = append(out.Roles, form.GroupRole{Group: r.Group, Role: string(r.Role)})
	}
	return out
}

func openIDOf(c federation.Connection) form.OpenIDSettings {
	return form.OpenIDSettings{
		Issuer: c.OIDC.Issuer, Tenant: c.OIDC.Tenant, ClientID: c.OIDC.ClientID, Method: string(c.OIDC.Method), Scopes: words(c.OIDC.Scopes), Context: words(c.OIDC.ACR),
	}
}

func samlOf(c federation.Connection) form.SAMLSettings {
	return form.SAMLSettings{
		MetadataAddress: c.MetadataURL, Certificates: c.PEM(), SignRequests: c.SAML.SignRequests, WantSigned: string(c.SAML.WantSigned), AllowCBC: c.SAML.AllowCBC,
		Unsolicited: c.SAML.AllowUnsolicited, NameIDFormat: c.SAML.NameIDFormat, ClockToleranceSeconds: whole(c.Tolerance()), Context: words(c.SAML.AuthnContext),
	}
}

// words returns a list of words, which is sent as a list if it is empty.
func words(all []string) []string {
	return append([]string{}, strings.Fields(strings.Join(all, " "))...)
}

var errOtherProtocol = fault.Field("", "api.other_protocol")

// askProvider reads what the provider publishes, if the call says another address or client of it.
// On a connection that is on, nobody is asked what a token could not change.
func askProvider(ctx context.Context, x *call, at at, was, now form.ConnectionChange) error {
	switch {
	case (was.OpenID == nil) != (now.OpenID == nil):
		return wrong{pointer: "/oidc", why: errOtherProtocol}
	case (was.SAML == nil) != (now.SAML == nil):
		return wrong{pointer: "/saml", why: errOtherProtocol}
	}
	if err := x.Actor.MaySetRules(ctx, x.server.DB, x.org()); err != nil {
		return err
	}
	c, err := federation.ConnectionOf(ctx, x.server.DB, x.Actor, x.org(), at.ID)
	if err != nil {
		return err
	}
	if was.OpenID != nil {
		err = x.askOpenID(ctx, c, *was.OpenID, *now.OpenID)
	} else {
		err = x.askSAML(ctx, c, *was.SAML, *now.SAML)
	}
	return inConnection(err)
}

// mayAsk refuses what asks a provider where that is not done.
func (x *call) mayAsk(c federation.Connection, others bool) error {
	switch {
	case c.State == federation.On:
		return federation.ErrByHand
	case others && x.dry:
		return errSpeaksToOthers
	}
	return nil
}

func (x *call) askOpenID(ctx context.Context, c federation.Connection, was, now form.OpenIDChange) error {
	client := federation.Client{Issuer: now.Issuer, Tenant: now.Tenant, ID: now.ClientID, Method: oidc.Method(now.Method)}
	if now.ClientSecret != nil {
		client.Secret = *now.ClientSecret
	}
	if client == (federation.Client{Issuer: was.Issuer, Tenant: was.Tenant, ID: was.ClientID, Method: oidc.Method(was.Method)}) {
		// A configuration says what our registration is, and asks nobody.
		if c.Complete() || was.Issuer == "" || x.dry {
			return nil
		}
	}
	err := x.mayAsk(c, true)
	if err == nil {
		x.learned, err = x.server.Hub.Discover(ctx, c, client)
	}
	return err
}

func (x *call) askSAML(ctx context.Context, c federation.Connection, was, now form.SAMLChange) error {
	var m federation.Metadata
	if now.Metadata != nil {
		m.Text = []byte(*now.Metadata)
	}
	if now.MetadataAddress != was.MetadataAddress {
		m.Address = now.MetadataAddress
	} else if now.Metadata == nil {
		return nil
	}
	err := x.mayAsk(c, m.Address != "")
	if err == nil {
		x.learned, err = x.server.Hub.ReadMetadata(ctx, c, m)
	}
	return err
}

// changeConnection makes of a connection what was sent.
func changeConnection(ctx context.Context, tx *db.Tx, x *call, at at, was, now form.ConnectionChange) error {
	c, err := federation.ConnectionOf(ctx, tx, x.Actor, x.org(), at.ID)
	if err != nil {
		return err
	}
	changes := []federation.Change{x.settings(was, now)}
	if x.learned != nil {
		changes = append(changes, x.learned)
	}
	if now.SAML != nil && !slices.Equal(was.SAML.Certificates, now.SAML.Certificates) {
		what, err := c.Certify(now.SAML.Certificates)
		if err != nil {
			return inConnection(err)
		}
		changes = append(changes, what)
	}
	if _, err := x.server.Hub.Change(ctx, tx, federation.ByToken(x.Actor), x.org(), at.ID, func(c *federation.Connection) error {
		for _, what := range changes {
			if err := what(c); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return inConnection(err)
	}
	if was.Position == now.Position {
		return nil
	}
	return x.server.Hub.Move(ctx, tx, x.Actor, x.org(), at.ID, now.Position)
}

// settings returns the change of what asks nobody. It sets only what differs, because on a
// connection that is on it is also made to what waits beside it.
func (x *call) settings(was, now form.ConnectionChange) federation.Change {
	a, b := was.ConnectionSettings, now.ConnectionSettings
	return func(c *federation.Connection) error {
		if a.Name != b.Name || a.Shown != b.Shown {
			if err := federation.Present(other(a.Name, b.Name, c.Name), other(a.Shown, b.Shown, c.Shown))(c); err != nil {
				return err
			}
		}
		if err := x.details(c, was, now); err != nil {
			return err
		}
		unsolicited := c.SAML.AllowUnsolicited
		if now.SAML != nil {
			unsolicited = other(was.SAML.Unsolicited, now.SAML.Unsolicited, unsolicited)
		}
		if a.Vouches == b.Vouches && a.Creates == b.Creates && unsolicited == c.SAML.AllowUnsolicited && slices.Equal(a.Roles, b.Roles) {
			return nil
		}
		roles := c.Mapping.Roles
		if !slices.Equal(a.Roles, b.Roles) {
			roles = nil
			for _, r := range b.Roles {
				roles = append(roles, federation.GroupRole{Group: strings.TrimSpace(r.Group), Role: directory.Role(r.Role)})
			}
		}
		return federation.Admit(x.Actor, federation.Admission{
			Vouches: other(a.Vouches, b.Vouches, c.Vouches), Creates: other(a.Creates, b.Creates, c.Creates), Unsolicited: unsolicited, Roles: roles,
		})(c)
	}
}

// details sets what providers differ in.
func (x *call) details(c *federation.Connection, was, now form.ConnectionChange) error {
	before := federation.Details{
		Email: c.Mapping.Email, Name: c.Mapping.Name, Groups: c.Mapping.Groups, SignRequests: c.SAML.SignRequests, AllowCBC: c.SAML.AllowCBC, WantSigned: c.SAML.WantSigned,
		NameIDFormat: c.SAML.NameIDFormat, Tolerance: c.Tolerance(), Scopes: c.OIDC.Scopes, Context: c.SAML.AuthnContext,
	}
	after := before
	a, b := was.Attributes, now.Attributes
	after.Email, after.Name, after.Groups = other(a.Email, strings.TrimSpace(b.Email), c.Mapping.Email), other(a.Name, strings.TrimSpace(b.Name), c.Mapping.Name), other(a.Groups, strings.TrimSpace(b.Groups), c.Mapping.Groups)
	if now.SAML != nil {
		a, b := was.SAML, now.SAML
		after.SignRequests, after.AllowCBC = other(a.SignRequests, b.SignRequests, before.SignRequests), other(a.AllowCBC, b.AllowCBC, before.AllowCBC)
		after.WantSigned, after.NameIDFormat = other(saml.Signed(a.WantSigned), saml.Signed(b.WantSigned), before.WantSigned), other(a.NameIDFormat, b.NameIDFormat, before.NameIDFormat)
		after.Tolerance = other(time.Duration(a.ClockToleranceSeconds)*time.Second, seconds(b.ClockToleranceSeconds), before.Tolerance)
		after.Context = other(a.Context, words(b.Context), before.Context)
	} else {
		a, b := was.OpenID, now.OpenID
		before.Context = c.OIDC.ACR
		after.Context, after.Scopes = other(a.Context, words(b.Context), c.OIDC.ACR), other(a.Scopes, words(b.Scopes), c.OIDC.Scopes)
	}
	if reflect.DeepEqual(before, after) {
		return nil
	}
	return after.Change(c)
}

// other returns what a value becomes: as sent if that is another one than was read.
func other[T any](was, now, here T) T {
	if reflect.DeepEqual(was, now) {
		return here
	}
	return now
}

// inConnection puts what is wrong with a connection where the API has it.
func inConnection(err error) error {
	return placed(err, map[string]string{
		"issuer": "/oidc/issuer", "tenant": "/oidc/tenant", "client_id": "/oidc/client_id", "client_secret": "/oidc/client_secret", "method": "/oidc/method", "scopes": "/oidc/scopes",
		"metadata": "/saml/metadata", "metadata_address": "/saml/metadata_address", "certificate": "/saml/certificates", "tolerance": "/saml/clock_tolerance_seconds",
		"want_signed": "/saml/want_signed", "name_id_format": "/saml/name_id_format", "group": "/roles", "role": "/roles",
		"attribute_email": "/attributes/email", "attribute_name": "/attributes/name", "attribute_groups": "/attributes/groups",
	})
}
