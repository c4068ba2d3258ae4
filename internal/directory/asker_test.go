package directory_test

import (
	"context"
	"testing"

	"parvis/internal/db"
	"parvis/internal/directory"
)

// right is an actor without a session, whose right a test ends or changes.
type right struct {
	directory.Actor
	ended error
}

func newRight(kind directory.Kind, org directory.OrgID, id string, role directory.Role, person directory.UserID) *right {
	r := &right{Actor: directory.Actor{Kind: kind, OrgID: org, ID: id, Name: "Payroll", Role: role, UserID: person}}
	r.Again = func(context.Context, db.Reader) (directory.Actor, error) { return r.Actor, r.ended }
	return r
}

// A request that waits for another person is void when the right ends by which it was made: a token
// falls with its person; a machine's right is ended explicitly.
func TestWhatWaitsEndsWithTheRightItWasAskedBy(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "o@alpha.example", directory.Owner)
	admin := h.user(o, "admin@alpha.example", directory.Administrator)
	ana := h.user(o, "ana@alpha.example", directory.Member)
	token := newRight(directory.KindToken, o.ID, "tok_a", directory.Administrator, admin.ID)
	machine := newRight(directory.KindMachine, o.ID, "app_a", directory.Administrator, "")
	state := func(inv directory.Invitation) directory.InvitationState {
		t.Helper()
		now, err := directory.InvitationByID(t.Context(), h.DB, directory.Operator(), o.ID, inv.ID)
		if err != nil {
			t.Fatal(err)
		}
		return now.State(h.DB.Now())
	}
	byToken, err := h.invite(token.Actor, o, "by.token@alpha.example", directory.Member)
	if err != nil {
		t.Fatal(err)
	}
	byMachine, err := h.invite(machine.Actor, o, "by.machine@alpha.example", directory.Member)
	if err != nil {
		t.Fatal(err)
	}
	changes := directory.EmailChanges{Outbox: h.inv.Outbox}
	if err := h.update(func(ctx context.Context, tx *db.Tx) error {
		return changes.Request(ctx, tx, machine.Actor, directory.Candidate{User: ana, Organization: o}, "new@alpha.example")
	}); err != nil {
		t.Fatal(err)
	}
	pending := func() bool {
		t.Helper()
		p, err := directory.PendingEmail(t.Context(), h.DB, ana, h.DB.Now())
		if err != nil {
			t.Fatal(err)
		}
		return p != nil
	}
	if got := state(byMachine); got != directory.InvitationWaiting {
		t.Errorf("a machine's invitation is %s", got)
	}
	if !pending() {
		t.Error("a machine's change of an address does not wait")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, owner.AsActor(), o.ID, admin.ID, directory.Auditor)
	}))
	if got := state(byToken); got != directory.InvitationLapsed {
		t.Errorf("the invitation by a token whose person became auditor is %s", got)
	}
	if got := state(byMachine); got != directory.InvitationWaiting {
		t.Errorf("then the machine's is %s", got)
	}
	must(h.update(func(ctx context.Context, tx *db.Tx) error { return directory.EndRight(ctx, tx, o.ID, machine.ID) }))
	if got := state(byMachine); got != directory.InvitationWithdrawn {
		t.Errorf("the invitation of a machine whose right ended is %s", got)
	}
	if pending() {
		t.Error("the change of an address by a machine whose right ended still waits")
	}
}
