package federation

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/limit"
	"parvis/internal/outbound"
	"parvis/internal/upstream"
)

// The bounds of a connection's settings.
const (
	MostCertificates = 10
	MostGroups       = 100
	mostMetadata     = 1 << 20
	longestText      = 1000 // of an address, a name or an identifier
	MostTolerance    = 2 * time.Minute
)

// The faults of settings.
var (
	ErrNoMetadata       = fault.Field("metadata", "federation.no_metadata")
	ErrBothMetadata     = fault.Field("metadata", "federation.both_metadata")
	ErrNoIssuer         = fault.Field("issuer", "federation.no_issuer")
	ErrNoClient         = fault.Field("client_id", "federation.no_client")
	ErrNoSecret         = fault.Field("client_secret", "federation.no_secret")
	ErrMethod           = fault.Field("method", "federation.choose_method")
	ErrTooLong          = fault.New(fault.Invalid, "federation.too_long")
	ErrHasCertificate   = fault.Field("certificate", "federation.has_certificate")
	ErrLastCertificate  = fault.New(fault.Conflict, "federation.last_certificate")
	ErrManyCertificates = fault.Field("certificate", "federation.many_certificates")
	ErrTolerance        = fault.Field("tolerance", "federation.tolerance")
	ErrChoice           = fault.New(fault.Invalid, "federation.choose")
	ErrGroupMissing     = fault.Field("group", "federation.group_missing")
	ErrManyGroups       = fault.Field("group", "federation.many_groups")
	ErrGroupRole        = fault.Field("role", "federation.group_role")
	ErrFetchedTooOften  = fault.New(fault.Throttled, "federation.fetched_too_often")
)

// at returns f as the fault of another field.
func at(field string, f *fault.Error) *fault.Error {
	c := *f
	c.Field = field
	return &c
}

// refused turns the refusal of a document or an address into a fault of the field it was
// typed into, which says what was looked at and what to change.
func refused(field string, t upstream.Trace, err error) error {
	if why, ok := errors.AsType[outbound.Refused](err); ok {
		return fault.Field(field, "federation.outbound."+string(why))
	}
	name, ok := errors.AsType[upstream.Refusal](err)
	if !ok {
		return err
	}
	check, _ := t.Failed()
	if why, ok := strings.CutPrefix(check.Found, "outbound: "); ok {
		return fault.Field(field, "federation.outbound."+why)
	}
	p := SAML
	if field == "issuer" {
		p = OIDC
	}
	check.Name = string(name)
	f := fault.Field(field, Advice(p, check))
	if check.Expected != "" || check.Found != "" {
		f.Reasons = []fault.Reason{{Key: "federation.expected_found", Args: map[string]any{"Expected": check.Expected, "Found": check.Found}}}
	}
	return f
}

// PerConnectionFetch limits the requests to other hosts that happen because somebody types
// a provider's address, and so chooses the host. The organization has the same limit,
// since connections can be removed and made again.
var PerConnectionFetch = limit.Policy{Name: "connection-fetch", Free: 20, First: 10 * time.Second, Most: 10 * time.Minute, Forget: time.Hour}

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerConnectionFetch}

// mayFetch counts a request to another host before it is made: for the connection and,
// if that allows it, for its organization.
func (h *Hub) mayFetch(ctx context.Context, c Connection) error {
	taken, err := limit.TakeInTurn(ctx, h.DB, []limit.Key{h.Limits.Key(PerConnectionFetch, limit.Of(c.ID)).In(string(c.OrgID))},
		[]limit.Key{h.Limits.Key(directory.PerOrganizationHosts, limit.Of(c.OrgID)).In(string(c.OrgID))})
	if err == nil && !taken.Allowed {
		err = ErrFetchedTooOften.After(taken.Wait)
	}
	return err
}

// loopback reports whether the installation is for trying out; its providers may be local too.
func (h *Hub) loopback() bool {
	u, err := url.Parse(h.Base)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback() || u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")
}

// Metadata is a provider's metadata as text, or the address where it is.
type Metadata struct {
	Text    []byte
	Address string
}

// ReadMetadata reads a SAML provider's metadata, from its address if one is given, and
// returns the change it makes to a connection. It is called outside any transaction.
func (h *Hub) ReadMetadata(ctx context.Context, c Connection, m Metadata) (Change, error) {
	m.Address = strings.TrimSpace(m.Address)
	field, text := "metadata", m.Text
	given := len(bytes.TrimSpace(text)) > 0
	switch {
	case given && m.Address != "":
		return nil, ErrBothMetadata
	case len(m.Address) > longestText:
		return nil, at("metadata_address", ErrTooLong)
	case m.Address != "":
		field = "metadata_address"
		if err := h.mayFetch(ctx, c); err != nil {
			return nil, err
		}
		w, err := h.Outbound.Get(ctx, m.Address, mostMetadata)
		if err != nil {
			return nil, refused(field, upstream.Trace{}, err)
		}
		text = w.Body
	case !given:
		return nil, ErrNoMetadata
	}
	read, err := saml.ParseMetadata(text, h.DB.Now(), h.loopback())
	if err != nil {
		return nil, refused(field, upstream.Trace{}, err)
	}
	return func(c *Connection) error {
		c.MetadataURL = m.Address
		return c.take(read)
	}, nil
}

// take sets what the metadata says, and keeps what the administrator chose beside it.
func (c *Connection) take(m saml.Metadata) error {
	if c.Protocol != SAML {
		return directory.ErrNotFound
	}
	if len(m.Certificates) > MostCertificates {
		return at("metadata", ErrManyCertificates).With("Most", MostCertificates)
	}
	c.SAML.EntityID, c.SAML.SSO, c.SAML.SLO = m.EntityID, m.SSO[0], saml.Endpoint{}
	if len(m.SLO) > 0 {
		c.SAML.SLO = m.SLO[0]
	}
	c.SAML.SignRequests = c.SAML.SignRequests || m.WantAuthnRequestsSigned
	c.SAML.Certificates = nil
	for _, certificate := range m.Certificates {
		c.SAML.Certificates = append(c.SAML.Certificates, certificate.Raw)
	}
	return nil
}

// Client is our registration at an OpenID Connect provider.
type Client struct {
	Issuer, Tenant, ID string
	Secret             string // empty keeps the present one
	Method             oidc.Method
}

// Discover reads what an OpenID Connect provider publishes, and returns the change it
// makes to a connection. It is called outside any transaction.
func (h *Hub) Discover(ctx context.Context, c Connection, client Client) (Change, error) {
	client = client.trimmed()
	if err := client.check(); err != nil {
		return nil, err
	}
	if err := h.mayFetch(ctx, c); err != nil {
		return nil, err
	}
	ask := oidc.Connection{Issuer: client.Issuer, Tenant: client.Tenant, ClientID: client.ID, Method: client.Method, Algorithms: c.OIDC.Algorithms}
	provider, t, err := ask.Discover(ctx, h.Outbound)
	if err != nil {
		return nil, refused("issuer", t, err)
	}
	keys, t, err := provider.FetchKeys(ctx, h.Outbound, h.DB.Now())
	if err != nil {
		return nil, refused("issuer", t, err)
	}
	return h.registered(client, Found{Provider: provider, Keys: keys}), nil
}

// row names the connection in the seal of its secret.
func (c Connection) row() string { return "connections " + string(c.OrgID) + " " + c.ID }

// trimmed returns client without the spaces around what was typed.
func (client Client) trimmed() Client {
	client.Issuer, client.Tenant, client.ID = strings.TrimSpace(client.Issuer), strings.TrimSpace(client.Tenant), strings.TrimSpace(client.ID)
	return client
}

func (client Client) check() error {
	var all []error
	for field, text := range map[string]string{"issuer": client.Issuer, "tenant": client.Tenant, "client_id": client.ID, "client_secret": client.Secret} {
		if len(text) > longestText {
			all = append(all, at(field, ErrTooLong))
		}
	}
	if client.Issuer == "" {
		all = append(all, ErrNoIssuer)
	}
	if client.ID == "" {
		all = append(all, ErrNoClient)
	}
	if !slices.Contains(Methods, client.Method) {
		all = append(all, ErrMethod)
	}
	return errors.Join(all...)
}

// Methods are the ways to prove that we are the client, in the page's order.
var Methods = []oidc.Method{oidc.ClientSecretBasic, oidc.ClientSecretPost, oidc.PrivateKeyJWT, oidc.NoSecret}

// NameIDFormats are the formats that a SAML provider may be asked for; the empty one
// leaves the choice to the provider.
var NameIDFormats = []string{
	"", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
	"urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}

// Details are the settings in which providers differ; some are of one protocol only.
type Details struct {
	Email, Name, Groups string   // attributes; empty for the usual ones
	Context             []string // ways to sign in, one of which the provider is asked for

	SignRequests, AllowCBC bool // SAML
	WantSigned             saml.Signed
	NameIDFormat           string
	Tolerance              time.Duration

	Scopes []string // OpenID Connect
}

// Change sets these details on a connection.
func (d Details) Change(c *Connection) error {
	for field, texts := range map[string][]string{
		"attribute_email": {d.Email}, "attribute_name": {d.Name}, "attribute_groups": {d.Groups}, "context": {strings.Join(d.Context, " ")}, "scopes": {strings.Join(d.Scopes, " ")},
	} {
		if len(texts[0]) > longestText {
			return at(field, ErrTooLong)
		}
	}
	c.Mapping.Email, c.Mapping.Name, c.Mapping.Groups = d.Email, d.Name, d.Groups
	if c.Protocol == OIDC {
		c.OIDC.ACR, c.OIDC.Scopes = d.Context, slices.DeleteFunc(slices.Clone(d.Scopes), func(s string) bool { return s == "openid" })
		return nil
	}
	switch {
	case d.Tolerance < time.Second || d.Tolerance > MostTolerance:
		return ErrTolerance.With("Most", int(MostTolerance.Seconds()))
	case !slices.Contains([]saml.Signed{saml.Either, saml.Response, saml.Assertion}, d.WantSigned):
		return at("want_signed", ErrChoice)
	case !slices.Contains(NameIDFormats, d.NameIDFormat):
		return at("name_id_format", ErrChoice)
	}
	c.SAML.SignRequests, c.SAML.AllowCBC, c.SAML.WantSigned = d.SignRequests, d.AllowCBC, d.WantSigned
	c.SAML.NameIDFormat, c.SAML.Tolerance, c.SAML.AuthnContext = d.NameIDFormat, d.Tolerance, d.Context
	return nil
}

// Tolerance is how far the provider's clock may be from ours.
func (c Connection) Tolerance() time.Duration {
	if c.SAML.Tolerance > 0 {
		return c.SAML.Tolerance
	}
	return time.Minute
}

// Admission says who may come in, and in which role.
type Admission struct {
	Vouches, Creates, Unsolicited bool
	Roles                         []GroupRole
}

// Admit sets who may come in. Nobody gives a group a role that they may not give to a
// person, and no group makes owners (R-TEN-06).
func Admit(actor directory.Actor, a Admission) Change {
	return func(c *Connection) error {
		if len(a.Roles) > MostGroups {
			return ErrManyGroups.With("Most", MostGroups)
		}
		for _, r := range a.Roles {
			switch {
			case r.Group == "":
				return ErrGroupMissing
			case len(r.Group) > longestText:
				return at("group", ErrTooLong)
			case r.Role == directory.Owner || r.Role == directory.Member || !actor.Role.Governs(r.Role):
				return ErrGroupRole
			}
		}
		c.Vouches, c.Creates, c.Mapping.Roles = a.Vouches, a.Creates, a.Roles
		c.SAML.AllowUnsolicited = c.Protocol == SAML && a.Unsolicited
		return nil
	}
}

// Complete reports whether enough is known of the provider to send somebody there.
func (c Connection) Complete() bool {
	if c.Protocol == OIDC {
		return c.Found.Provider.Authorization != ""
	}
	return c.SAML.EntityID != ""
}
