package federation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/picture"
	"parvis/internal/secret"
)

// The faults of connections.
var (
	ErrTooMany    = fault.New(fault.Conflict, "federation.too_many")
	ErrProtocol   = fault.Field("protocol", "federation.choose_protocol")
	ErrProvider   = fault.Field("provider", "federation.choose_provider")
	ErrUntested   = fault.New(fault.Conflict, "federation.untested")
	ErrOn         = fault.New(fault.Conflict, "federation.is_on")
	ErrOnByLink   = fault.New(fault.Conflict, "federation.is_on_by_link")
	ErrOnlyWay    = fault.New(fault.Conflict, "federation.only_way")
	ErrIncomplete = fault.New(fault.Conflict, "federation.incomplete")
)

// Editor is a person who sets a connection up: one who may set the organization's rules,
// or one who holds a setup link.
type Editor struct {
	directory.Actor
	link  string // id of the setup link; empty for a signed-in person
	token bool   // it is a program with a token
}

// ByActor is an Editor without a setup link.
func ByActor(a directory.Actor) Editor { return Editor{Actor: a} }

// mayChange is asked in the transaction that changes c. So a setup link ends on every
// node at once, and never changes a connection that is on.
func (e Editor) mayChange(ctx context.Context, tx *db.Tx, c Connection) error {
	if e.link == "" {
		return e.MaySetRules(ctx, tx, c.OrgID)
	}
	l, found, err := SetupLinkOf(ctx, tx, c.OrgID, c.ID)
	switch {
	case err != nil:
		return err
	case !found || l.ID != e.link || l.Letter.Refused() || l.Lapsed():
		return ErrLinkOver
	case c.State == On:
		return ErrOnByLink
	}
	return l.open(ctx, tx)
}

func (e Editor) event(c Connection, action audit.Action) audit.Event {
	event := e.Actor.Event(c.OrgID, action)
	event.Target, event.TargetName = c.ID, c.Name
	return event
}

// New is what Create needs. The rest is set later, once the connection has its addresses,
// which the provider asks for first.
type New struct {
	Provider Provider
	Protocol Protocol
	Name     string
}

// Draft is a new connection before anything else is entered.
func (n New) Draft() Connection {
	return Connection{
		Protocol: n.Protocol, Provider: n.Provider, Name: n.Name, Shown: true, State: Draft, Mapping: n.Provider.mapping(n.Protocol),
		SAML: saml.Connection{SignRequests: true, WantSigned: saml.Either}, OIDC: oidc.Connection{Method: oidc.ClientSecretBasic, Scopes: []string{"email", "profile"}},
	}
}

// Create makes a draft, the last in the organization's order.
func (h *Hub) Create(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, n New) (Connection, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return Connection{}, err
	}
	name, err := naming.CleanName(n.Name, "name")
	switch {
	case !slices.Contains(Providers, n.Provider):
		return Connection{}, ErrProvider
	case n.Protocol != SAML && n.Protocol != OIDC:
		return Connection{}, ErrProtocol
	case err != nil:
		return Connection{}, err
	}
	all, err := connectionsOf(ctx, tx, org)
	if err != nil {
		return Connection{}, err
	}
	if len(all) >= MostConnections {
		return Connection{}, ErrTooMany.With("Most", MostConnections)
	}
	c := n.Draft()
	c.OrgID, c.ID, c.Name, c.CreatedAt, c.ChangedAt = org, secret.NewID("con"), name, tx.Now(), tx.Now()
	for _, other := range all {
		c.Position = max(c.Position, other.Position+1)
	}
	settings, mapping, found, err := c.texts()
	if err != nil {
		return Connection{}, err
	}
	if _, err := tx.Exec(ctx, `
		insert into connections (org_id, id, protocol, provider, name, position, shown, settings, found,
			vouches, creates, mapping, state, created_at, changed_at, warned)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13, $13, 0)`,
		string(c.OrgID), c.ID, string(c.Protocol), string(c.Provider), c.Name, c.Position, c.Shown, settings, found,
		false, mapping, string(c.State), db.Time(c.CreatedAt)); err != nil {
		return Connection{}, fmt.Errorf("inserting connection %s: %w", c.ID, err)
	}
	e := ByActor(actor).event(c, "connection.created")
	e.After = audit.Fields{"name": c.Name, "provider": c.Provider, "protocol": c.Protocol}
	return c, audit.Record(ctx, tx, e)
}

// texts returns the columns that are stored as JSON.
func (c Connection) texts() (settings, mapping string, found db.Text, err error) {
	parts := []any{c.SAML, c.Mapping, nil}
	if c.Protocol == OIDC {
		parts[0] = c.OIDC
		if c.Found.Provider.Issuer != "" {
			parts[2] = c.Found
		}
	}
	var texts [3]string
	for i, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return "", "", "", err
		}
		texts[i] = string(text)
	}
	if parts[2] != nil {
		found = db.Text(texts[2])
	}
	return texts[0], texts[1], found, nil
}

// A Change alters a connection and nothing else: slices are replaced, not written into.
// It may be called twice.
type Change func(*Connection) error

// altered returns c with a change made.
func (what Change) altered(c Connection) (Connection, error) {
	err := what(&c)
	c.HasSecret = c.secret != ""
	return c, err
}

// Change alters a connection and records what differs. If a test covers what differs, the
// connection is untested from then on. On a connection that is on, a change of what it
// trusts waits beside it, joined with what waits there already. Change returns the
// connection that is in force.
func (h *Hub) Change(ctx context.Context, tx *db.Tx, by Editor, org directory.OrgID, id string, what Change) (Connection, error) {
	c, err := connectionOf(ctx, tx, org, id)
	if err != nil {
		return Connection{}, err
	}
	if err := by.mayChange(ctx, tx, c); err != nil {
		return Connection{}, err
	}
	w, waiting, err := Waiting(ctx, tx, c)
	if err != nil {
		return Connection{}, err
	}
	if !waiting {
		w.Connection = c
	}
	next, wrong := what.altered(c)
	if wrong != nil && !waiting {
		return Connection{}, wrong
	}
	// A change may fit only what waits, such as removing a certificate that only it has,
	// and be wrong for the connection in force.
	atOnce := wrong == nil && (c.State != On || !next.waits(c))
	if by.token && !atOnce {
		return Connection{}, cmp.Or(wrong, error(ErrByHand))
	}
	if waiting || !atOnce {
		if err := by.changeBeside(ctx, tx, c, w.Connection, what); err != nil || !atOnce {
			return c, err
		}
	}
	err = by.keep(ctx, tx, &next, c)
	return next, err
}

// keep stores a connection after a change, and records what differs from before.
func (e Editor) keep(ctx context.Context, tx *db.Tx, c *Connection, before Connection) error {
	was, is := differences(before, *c)
	if len(is) == 0 {
		return nil
	}
	if c.covered(before) {
		c.ChangedAt = tx.Now()
	}
	if c.State != On && c.trustsMore(before) {
		c.ConfirmedAt = time.Time{}
	}
	if err := c.save(ctx, tx); err != nil {
		return err
	}
	event := e.event(*c, "connection.changed")
	event.Before, event.After = was, is
	return audit.Record(ctx, tx, event)
}

func (c Connection) save(ctx context.Context, tx *db.Tx) error {
	settings, mapping, found, err := c.texts()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		update connections set name = $1, shown = $2, settings = $3, secret = $4, found = $5, metadata_url = $6,
			vouches = $7, creates = $8, mapping = $9, changed_at = $10, confirmed_at = $11,
			-- Other certificates are warned of anew.
			warned = case when settings = $3 then warned else 0 end
		where org_id = $12 and id = $13`,
		c.Name, c.Shown, settings, db.Text(c.secret), found, db.Text(c.MetadataURL),
		c.Vouches, c.Creates, mapping, db.Time(c.ChangedAt), db.Time(c.ConfirmedAt), string(c.OrgID), c.ID)
	return err
}

// uncovered are the fields that a test does not depend on.
var uncovered = []string{"name", "shown", "metadata_address"}

// covered reports whether c differs from before in something that a test covers.
func (c Connection) covered(before Connection) bool {
	_, is := differences(before, c)
	for _, name := range uncovered {
		delete(is, name)
	}
	return len(is) > 0
}

// differences returns the fields in which two states of a connection differ, for the
// audit log. For a secret it says only that it was replaced.
func differences(before, after Connection) (was, is audit.Fields) {
	was, is = before.fields(), after.fields()
	for name, value := range was {
		if reflect.DeepEqual(value, is[name]) {
			delete(was, name)
			delete(is, name)
		}
	}
	if before.secret != after.secret {
		was["secret"], is["secret"] = present[before.HasSecret], present[after.HasSecret]
	}
	return was, is
}

var present = map[bool]string{true: "kept", false: "none"}

func (c Connection) fields() audit.Fields {
	f := audit.Fields{
		"name": c.Name, "shown": c.Shown, "vouches": c.Vouches, "creates": c.Creates,
		"attributes": []string{c.Mapping.Email, c.Mapping.Name, c.Mapping.Groups}, "groups": c.Mapping.Roles,
	}
	if c.Protocol == OIDC {
		f["issuer"], f["tenant"], f["client_id"], f["client_method"] = c.OIDC.Issuer, c.OIDC.Tenant, c.OIDC.ClientID, c.OIDC.Method
		f["scopes"], f["context"] = c.OIDC.Scopes, c.OIDC.ACR
		f["endpoints"] = []string{c.Found.Provider.Authorization, c.Found.Provider.Token, c.Found.Provider.UserInfo, c.Found.Provider.Keys, c.Found.Provider.EndSession}
		return f
	}
	f["entity_id"], f["endpoints"], f["certificates"] = c.SAML.EntityID, []saml.Endpoint{c.SAML.SSO, c.SAML.SLO}, fingerprints(c.SAML)
	f["sign_requests"], f["want_signed"], f["allow_cbc"] = c.SAML.SignRequests, c.SAML.WantSigned, c.SAML.AllowCBC
	f["unsolicited"], f["clock_tolerance"] = c.SAML.AllowUnsolicited, c.SAML.Tolerance.String()
	f["name_id_format"], f["context"], f["metadata_address"] = c.SAML.NameIDFormat, c.SAML.AuthnContext, c.MetadataURL
	return f
}

func fingerprints(c saml.Connection) []string {
	var all []string
	for _, der := range c.Certificates {
		all = append(all, saml.Fingerprint(der))
	}
	return all
}

// Present changes a connection's name and whether the sign-in page shows it.
func Present(name string, shown bool) Change {
	return func(c *Connection) (err error) {
		c.Name, err = naming.CleanName(name, "name")
		c.Shown = shown
		return err
	}
}

// SetLogo gives a connection another logo; a zero logo stands for the provider's icon.
func (h *Hub) SetLogo(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string, logo picture.PNG) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil || c.Logo == "" && logo.IsZero() {
		return err
	}
	now, err := directory.ReplaceImage(ctx, tx, org, c.Logo, logo)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update connections set logo = $1 where org_id = $2 and id = $3`, db.Text(now), string(org), id); err != nil {
		return fmt.Errorf("setting the logo of connection %s: %w", id, err)
	}
	e := ByActor(actor).event(c, "connection.logo_changed")
	e.Before, e.After = audit.Fields{"logo": c.Logo}, audit.Fields{"logo": now}
	return audit.Record(ctx, tx, e)
}

// changeable returns a connection if actor may change it.
func changeable(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (Connection, error) {
	if err := actor.MaySetRules(ctx, r, org); err != nil {
		return Connection{}, err
	}
	return connectionOf(ctx, r, org, id)
}

// Remove deletes a connection that is not on, with its links and everything else that
// belongs to it.
func (h *Hub) Remove(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	if c.State == On {
		return ErrOn
	}
	if err := h.endSetupLink(ctx, tx, c); err != nil {
		return err
	}
	if _, err := directory.ReplaceImage(ctx, tx, org, c.Logo, picture.PNG{}); err != nil {
		return err
	}
	if err := unlinkAll(ctx, tx, org, id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from connections where org_id = $1 and id = $2`, string(org), id); err != nil {
		return fmt.Errorf("removing connection %s: %w", id, err)
	}
	e := ByActor(actor).event(c, "connection.removed")
	e.Before = c.fields()
	return audit.Record(ctx, tx, e)
}

// TurnOn lets people sign in by a connection that was tested as it is now. Its setup link
// ends, because a live connection is not changed from outside. An owner who turns it on
// confirms what it trusts, as the owner saw it; seen is when that last changed. If an
// owner is linked to an unconfirmed connection, only an owner can turn it on.
func (h *Hub) TurnOn(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string, seen time.Time) error {
	c, err := changeable(ctx, tx, actor, org, id)
	switch {
	case err != nil:
		return err
	case c.State == On:
		return nil
	case !c.Tested():
		return ErrUntested
	}
	if c.ConfirmedAt.IsZero() {
		if err := h.confirmOrNobody(ctx, tx, actor, c, seen); err != nil {
			return err
		}
	}
	if err := h.endSetupLink(ctx, tx, c); err != nil {
		return err
	}
	return h.turn(ctx, tx, actor, c, On, "connection.turned_on", mail.ConnectionTurnedOn)
}

// TurnOff stops sign-ins by a connection, from the next request on. The last connection
// stays on while single sign-on is the only way in.
func (h *Hub) TurnOff(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil || c.State != On {
		return err
	}
	o, err := directory.OrganizationByID(ctx, tx, org)
	if err != nil {
		return err
	}
	ways, err := WaysInto(ctx, tx, org)
	if err != nil {
		return err
	}
	if o.FederatedOnly() && len(ways) == 1 {
		return ErrOnlyWay
	}
	if _, err := dropBeside(ctx, tx, c); err != nil { // a connection that is off changes at once
		return err
	}
	return h.turn(ctx, tx, actor, c, Off, "connection.turned_off", mail.ConnectionTurnedOff)
}

func (h *Hub) turn(ctx context.Context, tx *db.Tx, actor directory.Actor, c Connection, to State, action audit.Action, letter string) error {
	if _, err := tx.Exec(ctx, `update connections set state = $1 where org_id = $2 and id = $3`, string(to), string(c.OrgID), c.ID); err != nil {
		return fmt.Errorf("turning connection %s %s: %w", c.ID, to, err)
	}
	e := ByActor(actor).event(c, action)
	e.Before, e.After = audit.Fields{"state": c.State}, audit.Fields{"state": to}
	if err := audit.Record(ctx, tx, e); err != nil {
		return err
	}
	return h.tell(ctx, tx, actor, c, letter, tx.Now())
}

// tell writes to the owners and administrators what happened to a connection or, if c has
// no id, to all sign-ins by providers.
func (h *Hub) tell(ctx context.Context, tx *db.Tx, actor directory.Actor, c Connection, what string, when time.Time) error {
	org, err := directory.OrganizationByID(ctx, tx, c.OrgID)
	if err != nil {
		return err
	}
	who, err := directory.UserByID(ctx, tx, c.OrgID, actor.UserID)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	administrators, err := directory.Administrators(ctx, tx, c.OrgID)
	if err != nil {
		return err
	}
	path := org.Path("admin", "connections", c.ID)
	if c.ID == "" {
		path = org.Path("admin", "single-sign-on", "attempts")
	}
	for _, a := range administrators {
		if _, err := h.Outbox.Put(ctx, tx, a.Letter(mail.FederationParameters{
			Organization: org.DisplayName, Name: a.Name, What: what, Connection: c.Name, Person: actor.Name, Email: who.Email, When: when,
			Link: h.Base + path,
		})); err != nil {
			return err
		}
	}
	return nil
}
