package federation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/mail"
)

// How the trust of a live connection changes (decision 0046).
//
// The person who chooses the keys that a connection trusts can sign in as everybody who
// uses it. So a change to a connection that is on waits beside it, until a test with it
// passed and somebody puts it in force. If an owner signs in by the connection, that must
// be an owner with fresh proof. A connection that is off changes at once, and no owner
// signs in by it until an owner confirmed it again.

// The faults of changing what a connection trusts.
var (
	ErrOwnersTurn       = fault.New(fault.Conflict, "federation.owners_turn")
	ErrChangedMeanwhile = fault.New(fault.Conflict, "federation.changed_meanwhile")
)

// admitted are the fields that say who may come in, not what is believed of them. They
// change at once on a live connection too, since the same person could invite people.
var admitted = []string{"name", "shown", "creates", "groups", "unsolicited"}

// working are the fields by which a connection can break, but not be deceived.
var working = []string{"secret", "client_method", "scopes", "context", "sign_requests", "clock_tolerance"}

// waits reports whether a change of a live connection must wait beside it.
func (c Connection) waits(before Connection) bool {
	return c.differs(before, admitted)
}

// trustsMore reports whether c believes something that before did not.
func (c Connection) trustsMore(before Connection) bool {
	return c.differs(before, slices.Concat(admitted, working))
}

// differs reports whether c differs from before in any field except those of but. Trusting
// less, such as one certificate fewer, is no difference: a stolen key must be removable at
// once.
func (c Connection) differs(before Connection, but []string) bool {
	if !slices.ContainsFunc(fingerprints(c.SAML), func(f string) bool { return !slices.Contains(fingerprints(before.SAML), f) }) {
		c.SAML.Certificates = before.SAML.Certificates
	}
	if !c.Vouches {
		c.Vouches = before.Vouches
	}
	if c.MetadataURL == "" {
		c.MetadataURL = before.MetadataURL
	}
	_, is := differences(before, c)
	for _, name := range but {
		delete(is, name)
	}
	return len(is) > 0
}

// WaitingChange is what was entered for a connection that is on, and is not yet in force.
type WaitingChange struct {
	Connection              // as it would be
	By         string       // name of the last person who entered it; empty if that user is gone
	Before     audit.Fields // what differs
	After      audit.Fields
	OwnersTurn bool // only an owner may put it in force, since an owner signs in by the connection
}

// Waiting returns what waits beside a connection, if something does.
func Waiting(ctx context.Context, r db.Reader, c Connection) (WaitingChange, bool, error) {
	w := WaitingChange{Connection: c}
	var settings, mapping, by string
	var found db.Text
	there, err := r.One(ctx, db.Into(&settings, (*db.Text)(&w.secret), &found, (*db.Text)(&w.MetadataURL), &w.Vouches, &w.Creates, &mapping,
		&by, (*db.Time)(&w.ChangedAt), (*db.Time)(&w.TestedAt)), `
		select settings, secret, found, metadata_url, vouches, creates, mapping, changed_by, changed_at, tested_at
		from connection_changes
		where org_id = $1 and connection_id = $2`, string(c.OrgID), c.ID)
	if err != nil || !there {
		return WaitingChange{}, false, err
	}
	w.SAML, w.OIDC, w.Mapping, w.Found = saml.Connection{}, oidc.Connection{}, Mapping{}, Found{}
	row := connectionRow{Connection: w.Connection, settings: settings, mapping: mapping, found: found}
	if w.Connection, err = row.connection(); err != nil {
		return WaitingChange{}, false, err
	}
	w.Beside = true
	w.Before, w.After = differences(c, w.Connection)
	if who, err := directory.UserByID(ctx, r, c.OrgID, directory.UserID(by)); err == nil {
		w.By = who.Name
	}
	if w.trustsMore(c) {
		w.OwnersTurn, err = OwnersComeIn(ctx, r, c)
	}
	return w, true, err
}

// OwnersComeIn reports whether an owner is linked to a connection. Owners who are shut out
// count too, since they may be let in again tomorrow.
func OwnersComeIn(ctx context.Context, r db.Reader, c Connection) (bool, error) {
	return r.One(ctx, db.Into(new(string)), `
		select u.id from identities i
		join users u on u.org_id = i.org_id and u.id = i.user_id and u.role = $1
		where i.org_id = $2 and i.connection_id = $3
		limit 1`, string(directory.Owner), string(c.OrgID), c.ID)
}

// isOwner reports whether an actor is an owner of an organization now, or runs the
// installation.
func isOwner(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID) (bool, error) {
	now, err := actor.In(ctx, tx, org)
	return err == nil && now.Role == directory.Owner, err
}

// keepBeside stores what waits beside a connection, in place of what waited before.
func (c Connection) keepBeside(ctx context.Context, tx *db.Tx, by Editor) error {
	settings, mapping, found, err := c.texts()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into connection_changes (org_id, connection_id, settings, secret, found, metadata_url, vouches, creates, mapping, changed_by, changed_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		on conflict (org_id, connection_id) do update set settings = $3, secret = $4, found = $5, metadata_url = $6,
			vouches = $7, creates = $8, mapping = $9, changed_by = $10, changed_at = $11, tested_at = null`,
		string(c.OrgID), c.ID, settings, db.Text(c.secret), found, db.Text(c.MetadataURL), c.Vouches, c.Creates, mapping, by.ID, db.Time(tx.Now()))
	return err
}

func dropBeside(ctx context.Context, tx *db.Tx, c Connection) (int64, error) {
	return tx.Exec(ctx, `delete from connection_changes where org_id = $1 and connection_id = $2`, string(c.OrgID), c.ID)
}

// Take puts in force what waits beside a connection, as the actor saw it: seen is when it
// was entered.
func (h *Hub) Take(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string, seen time.Time) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	w, found, err := Waiting(ctx, tx, c)
	if err != nil {
		return err
	}
	owner, err := isOwner(ctx, tx, actor, org)
	switch {
	case err != nil:
		return err
	case !found:
		return directory.ErrNotFound
	case !w.ChangedAt.Equal(seen):
		return ErrChangedMeanwhile
	case !w.Tested():
		return ErrUntested
	case w.OwnersTurn && !owner:
		return ErrOwnersTurn
	}
	if w.trustsMore(c) {
		w.ConfirmedAt = time.Time{}
		if owner {
			w.ConfirmedAt = tx.Now()
		}
	}
	if err := w.save(ctx, tx); err != nil {
		return err
	}
	// The metadata address is fetched at once, since the metadata may have changed meanwhile.
	if _, err := tx.Exec(ctx, `
		update connections set tested_at = $1, renewed_at = null, renewal = null
		where org_id = $2 and id = $3`, db.Time(w.TestedAt), string(org), id); err != nil {
		return fmt.Errorf("changing connection %s: %w", id, err)
	}
	if _, err := dropBeside(ctx, tx, c); err != nil {
		return err
	}
	e := ByActor(actor).event(c, "connection.change_taken")
	e.Before, e.After = w.Before, w.After
	if err := audit.Record(ctx, tx, e); err != nil {
		return err
	}
	return h.tell(ctx, tx, actor, c, mail.ConnectionChanged, tx.Now())
}

// Discard deletes what waits beside a connection.
func (h *Hub) Discard(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	n, err := dropBeside(ctx, tx, c)
	if err != nil || n == 0 {
		return err
	}
	return audit.Record(ctx, tx, ByActor(actor).event(c, "connection.change_discarded"))
}

// Confirm records that an owner agrees with what a connection trusts, as the owner saw
// it; owners can sign in by it from then on. All owners and administrators get a letter.
func (h *Hub) Confirm(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string, seen time.Time) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil || !c.ConfirmedAt.IsZero() {
		return err
	}
	owner, err := isOwner(ctx, tx, actor, org)
	switch {
	case err != nil:
		return err
	case !owner:
		return ErrOwnersTurn
	case !c.Tested():
		return ErrUntested
	case !c.ChangedAt.Equal(seen):
		return ErrChangedMeanwhile
	}
	return h.setConfirmed(ctx, tx, actor, c)
}

func (h *Hub) setConfirmed(ctx context.Context, tx *db.Tx, actor directory.Actor, c Connection) error {
	if _, err := tx.Exec(ctx, `update connections set confirmed_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(c.OrgID), c.ID); err != nil {
		return fmt.Errorf("confirming connection %s: %w", c.ID, err)
	}
	e := ByActor(actor).event(c, "connection.confirmed")
	e.After = c.fields()
	if err := audit.Record(ctx, tx, e); err != nil {
		return err
	}
	return h.tell(ctx, tx, actor, c, mail.ConnectionConfirmed, tx.Now())
}

// confirmOrNobody confirms a connection that is about to be turned on, if the actor is an
// owner. It refuses anybody else if an owner is linked to it.
func (h *Hub) confirmOrNobody(ctx context.Context, tx *db.Tx, actor directory.Actor, c Connection, seen time.Time) error {
	owner, err := isOwner(ctx, tx, actor, c.OrgID)
	if err != nil {
		return err
	}
	if owner {
		return h.Confirm(ctx, tx, actor, c.OrgID, c.ID, seen)
	}
	comeIn, err := OwnersComeIn(ctx, tx, c)
	if err == nil && comeIn {
		err = ErrOwnersTurn
	}
	return err
}

// changeBeside applies a change to what waits beside a connection that is on, or to the
// connection itself if nothing waits, and stores the result as what waits.
func (e Editor) changeBeside(ctx context.Context, tx *db.Tx, c, beside Connection, what Change) error {
	next, err := what.altered(beside)
	if err != nil {
		return err
	}
	if _, is := differences(beside, next); len(is) == 0 {
		return nil
	}
	was, is := differences(c, next)
	if len(is) == 0 { // the change is back to what is in force
		_, err := dropBeside(ctx, tx, c)
		return err
	}
	if err := next.keepBeside(ctx, tx, e); err != nil {
		return err
	}
	event := e.event(c, "connection.change_entered")
	event.Before, event.After = was, is
	return audit.Record(ctx, tx, event)
}

// passBeside records that a test of what waits beside a connection passed. If only an
// owner may put it in force, it tells the owners and administrators, once.
func (h *Hub) passBeside(ctx context.Context, tx *db.Tx, a answer) error {
	c, err := connectionOf(ctx, tx, a.Connection.OrgID, a.Connection.ID)
	if err != nil {
		return err
	}
	w, waiting, err := Waiting(ctx, tx, c)
	if err != nil || !waiting || w.ChangedAt.After(a.Request.CreatedAt) {
		return err
	}
	if _, err := tx.Exec(ctx, `update connection_changes set tested_at = $1 where org_id = $2 and connection_id = $3`,
		db.Time(tx.Now()), string(c.OrgID), c.ID); err != nil {
		return fmt.Errorf("testing a change of connection %s: %w", c.ID, err)
	}
	if !w.OwnersTurn || w.Tested() {
		return nil
	}
	who, err := directory.UserByID(ctx, tx, c.OrgID, directory.UserID(a.Request.Tester))
	if err != nil {
		return err
	}
	return h.tell(ctx, tx, who.AsActor(), c, mail.ConnectionWaits, tx.Now())
}
