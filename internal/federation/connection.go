package federation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/secret"
)

// Protocol is what a provider speaks.
type Protocol string

// The protocols.
const (
	SAML Protocol = "saml"
	OIDC Protocol = "oidc"
)

// State says whether people can sign in by a connection.
type State string

// The states. A draft was never on. Tested says whether a connection may be turned on.
const (
	Draft State = "draft"
	On    State = "on"
	Off   State = "off"
)

// MostConnections is how many connections an organization may have.
const MostConnections = 30

// Connection is one identity provider of one organization.
type Connection struct {
	OrgID    directory.OrgID
	ID       string
	Protocol Protocol
	Provider Provider // whose guide the administrator sees
	Name     string
	Logo     string // id of an image; empty for the provider's icon
	Position int
	Shown    bool // on the sign-in page

	SAML        saml.Connection // where Protocol is SAML
	OIDC        oidc.Connection // where it is OIDC
	Found       Found           // of OIDC: what the provider publishes
	HasSecret   bool
	MetadataURL string // of SAML: where metadata is renewed from; may be empty

	// Vouches says that each address the provider sends belongs to that person, without
	// a claim that says so (Entra sends none). Creates admits people nobody invited, as
	// members.
	Vouches, Creates bool
	Mapping          Mapping

	State     State
	CreatedAt time.Time
	ChangedAt time.Time // the last change of something that a test covers
	TestedAt  time.Time // when a test last passed; zero for never
	// ConfirmedAt is when an owner confirmed what the connection trusts; zero if none has
	// since that last changed. Until then no owner can sign in by it.
	ConfirmedAt time.Time
	Beside      bool // it is a change that waits beside the connection, not in force
	RenewedAt   time.Time
	Renewal     string // catalogue key of why the last renewal failed; empty if it did not
	Warned      int

	secret string // sealed
}

// Tested reports whether a test passed since the last change of what a test covers. Only
// a tested connection can be turned on.
func (c Connection) Tested() bool { return !c.TestedAt.IsZero() && !c.TestedAt.Before(c.ChangedAt) }

// Found is what an OpenID Connect provider publishes, as last read.
type Found struct {
	Provider oidc.Provider `json:"provider"`
	Keys     oidc.Keys     `json:"keys"`
}

// Mapping says which attribute to read for what. An empty name stands for the usual ones.
type Mapping struct {
	Email  string      `json:"email,omitempty"`
	Name   string      `json:"name,omitempty"`
	Groups string      `json:"groups,omitempty"`
	Roles  []GroupRole `json:"roles,omitempty"` // the first whose group the person is in counts
}

// GroupRole gives the members of a provider's group a role, which is never owner.
type GroupRole struct {
	Group string         `json:"group"`
	Role  directory.Role `json:"role"`
}

const connectionColumns = `c.org_id, c.id, c.protocol, c.provider, c.name, c.logo, c.position, c.shown, c.settings, c.secret, c.found,
	c.metadata_url, c.vouches, c.creates, c.mapping, c.state, c.created_at, c.changed_at, c.tested_at, c.confirmed_at, c.renewed_at, c.renewal, c.warned`

// connectionRow scans connectionColumns.
type connectionRow struct {
	Connection
	settings, mapping string
	found             db.Text
}

func (w *connectionRow) targets() []any {
	c := &w.Connection
	return db.Into(&c.OrgID, &c.ID, &c.Protocol, &c.Provider, &c.Name, (*db.Text)(&c.Logo), &c.Position, &c.Shown, &w.settings,
		(*db.Text)(&c.secret), &w.found, (*db.Text)(&c.MetadataURL), &c.Vouches, &c.Creates, &w.mapping, &c.State,
		(*db.Time)(&c.CreatedAt), (*db.Time)(&c.ChangedAt), (*db.Time)(&c.TestedAt), (*db.Time)(&c.ConfirmedAt), (*db.Time)(&c.RenewedAt), (*db.Text)(&c.Renewal), &c.Warned)
}

// connection decodes the JSON columns of a scanned row.
func (w *connectionRow) connection() (Connection, error) {
	c := w.Connection
	c.HasSecret = c.secret != ""
	var settings any = &c.SAML
	if c.Protocol == OIDC {
		settings = &c.OIDC
	}
	if err := json.Unmarshal([]byte(w.settings), settings); err != nil {
		return Connection{}, fmt.Errorf("reading the settings of connection %s: %w", c.ID, err)
	}
	if err := json.Unmarshal([]byte(w.mapping), &c.Mapping); err != nil {
		return Connection{}, fmt.Errorf("reading the mapping of connection %s: %w", c.ID, err)
	}
	if w.found != "" {
		if err := json.Unmarshal([]byte(w.found), &c.Found); err != nil {
			return Connection{}, fmt.Errorf("reading what connection %s publishes: %w", c.ID, err)
		}
	}
	return c, nil
}

// ConnectionOf returns a connection of an organization, or directory.ErrNotFound.
func ConnectionOf(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (Connection, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Connection{}, err
	}
	return connectionOf(ctx, r, org, id)
}

func connectionOf(ctx context.Context, r db.Reader, org directory.OrgID, id string) (Connection, error) {
	var w connectionRow
	found, err := r.One(ctx, w.targets(), `
		select `+connectionColumns+`
		from connections c
		where c.org_id = $1 and c.id = $2`, string(org), id)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	if err != nil {
		return Connection{}, err
	}
	return w.connection()
}

// connectionByID returns the connection that an address names, with its organization. It
// finds none of a suspended organization.
func connectionByID(ctx context.Context, r db.Reader, id string) (Connection, directory.Organization, error) {
	var w connectionRow
	var o directory.Organization
	if !secret.IsID(id) {
		return Connection{}, o, directory.ErrNotFound
	}
	found, err := r.One(ctx, append(w.targets(), o.Targets()...), `
		select `+connectionColumns+`, `+directory.OrganizationColumns+`
		from connections c
		join organizations o on o.id = c.org_id and o.suspended_at is null
		where c.id = $1`, id)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	if err != nil {
		return Connection{}, directory.Organization{}, err
	}
	c, err := w.connection()
	return c, o, err
}

// ConnectionsOf returns all connections of an organization, in its order.
func ConnectionsOf(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Connection, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return connectionsOf(ctx, r, org)
}

func connectionsOf(ctx context.Context, r db.Reader, org directory.OrgID) ([]Connection, error) {
	var all []Connection
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var w connectionRow
		if err := scan(w.targets()...); err != nil {
			return err
		}
		c, err := w.connection()
		all = append(all, c)
		return err
	}, `
		select `+connectionColumns+`
		from connections c
		where c.org_id = $1
		order by c.position, c.id`, string(org))
	return all, err
}

// Way is a connection as the sign-in page shows it.
type Way struct {
	ID, Name, Logo string
	Provider       Provider
	Shown          bool
}

// WaysInto returns the connections that are on, in their order. Those that are not Shown
// are reached by a domain, an invitation or their own address.
func WaysInto(ctx context.Context, r db.Reader, org directory.OrgID) ([]Way, error) {
	return db.List(ctx, r, func(w *Way) []any {
		return db.Into(&w.ID, &w.Name, (*db.Text)(&w.Logo), &w.Provider, &w.Shown)
	}, `
		select c.id, c.name, c.logo, c.provider, c.shown
		from connections c
		where c.org_id = $1 and c.state = $2
		order by c.position, c.id`, string(org), string(On))
}

// WaysOf returns the connections that are on and have a link to a user. If the session
// to be proved again was vouched for by one of them, it returns that one alone.
func WaysOf(ctx context.Context, r db.Reader, u directory.User, vouched string) ([]Way, error) {
	all, err := WaysInto(ctx, r, u.OrgID)
	if err != nil {
		return nil, err
	}
	links, err := LinksOf(ctx, r, u.OrgID, u.ID)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(w Way) bool {
		return !slices.ContainsFunc(links, func(l Link) bool { return l.Connection == w.ID })
	})
	if i := slices.IndexFunc(all, func(w Way) bool { return w.ID == vouched }); i >= 0 {
		all = all[i : i+1]
	}
	return all, nil
}

// EachLed calls each with every domain that leads to a provider of the organization that holds it,
// and whether that is the only way in there. No suspended organization is among them.
func EachLed(ctx context.Context, r db.Reader, each func(domain string, org directory.OrgID, only bool)) error {
	return r.Rows(ctx, func(scan func(...any) error) error {
		var key string
		var org directory.Organization
		err := scan(&key, &org.ID, (*db.Time)(&org.FederatedSince))
		each(key, org.ID, org.FederatedOnly())
		return err
	}, `
		select d.domain_key, d.org_id, o.federated_since
		from domains d join organizations o on o.id = d.org_id and o.suspended_at is null
		where d.proven_at is not null and d.lapsed_at is null
			and exists (select 1 from connections c where c.org_id = d.org_id and c.state = $1)`, string(On))
}
