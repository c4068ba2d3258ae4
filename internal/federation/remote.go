package federation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/mail"
)

// What a token may do with connections (decision 0064).
//
// A token can be stolen, and it cannot look at what a page shows. So it sets connections up
// while nobody signs in by them, and never changes what is believed of those that are on,
// neither at once nor beside them. It turns on what a person of the organization tested.

// The faults of changing connections by a token.
var (
	ErrByHand       = fault.New(fault.Denied, "federation.by_hand")
	ErrTestedByLink = fault.New(fault.Conflict, "federation.tested_by_link")
	ErrPosition     = fault.Field("position", "federation.position")
)

// ByToken is an Editor that is a program with a token, also if a person stands behind it.
func ByToken(a directory.Actor) Editor { return Editor{Actor: a, token: true} }

// TurnOnByToken is TurnOn for a program with a token. It confirms nothing, and wants either an
// owner's confirmation or a test that a person of the organization passed: the holder of a
// setup link might be the thief of the token, who sent it.
func (h *Hub) TurnOnByToken(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
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
		if err := testedHere(ctx, tx, c); err != nil {
			return err
		}
	}
	if err := h.endSetupLink(ctx, tx, c); err != nil {
		return err
	}
	return h.turn(ctx, tx, actor, c, On, "connection.turned_on", mail.ConnectionTurnedOn)
}

// testedHere returns an error if owners sign in by a connection that none of them confirmed, or
// if the last test of it was passed behind a setup link.
func testedHere(ctx context.Context, tx *db.Tx, c Connection) error {
	comeIn, err := OwnersComeIn(ctx, tx, c)
	switch {
	case err != nil:
		return err
	case comeIn:
		return ErrOwnersTurn
	}
	// A test is stored with its trace, in one transaction, and therefore at one time.
	testers, err := db.List(ctx, tx, func(tester *string) []any { return db.Into(tester) }, `
		select tester from upstream_traces
		where org_id = $1 and connection_id = $2 and at = $3 and refused is null and tester is not null`,
		string(c.OrgID), c.ID, db.Time(c.TestedAt))
	if err == nil && !slices.ContainsFunc(testers, func(tester string) bool { return !strings.HasPrefix(tester, setupPrefix) }) {
		err = ErrTestedByLink
	}
	return err
}

// Move gives a connection another place in the organization's order, in which 1 is the first.
func (h *Hub) Move(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string, to int) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	all, err := connectionsOf(ctx, tx, org)
	if err != nil {
		return err
	}
	if to < 1 || to > len(all) {
		return ErrPosition.With("Most", len(all))
	}
	from := slices.IndexFunc(all, func(other Connection) bool { return other.ID == id })
	if from+1 == to {
		return nil
	}
	all = slices.Insert(slices.Delete(all, from, from+1), to-1, c)
	for position, one := range all {
		if _, err := tx.Exec(ctx, `update connections set position = $1 where org_id = $2 and id = $3`, position, string(org), one.ID); err != nil {
			return fmt.Errorf("arranging the connections of %s: %w", org, err)
		}
	}
	e := ByActor(actor).event(c, "connection.moved")
	e.Before, e.After = audit.Fields{"position": from + 1}, audit.Fields{"position": to}
	return audit.Record(ctx, tx, e)
}

// MoveUp moves a connection one place up in the organization's order.
func (h *Hub) MoveUp(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	place, err := PlaceOf(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	return h.Move(ctx, tx, actor, org, id, max(1, place-1))
}

// PlaceOf returns the place of a connection in the organization's order, in which 1 is the
// first.
func PlaceOf(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (int, error) {
	all, err := ConnectionsOf(ctx, r, actor, org)
	place := 1 + slices.IndexFunc(all, func(c Connection) bool { return c.ID == id })
	if err == nil && place == 0 {
		err = directory.ErrNotFound
	}
	return place, err
}
