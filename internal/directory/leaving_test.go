package directory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/mail"
)

func TestAnOrganizationIsDeletedAndRestored(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "o@alpha.example", directory.Owner)
	deletes, restores := directory.DeleteOrganization, directory.RestoreOrganization
	days := func(n int) func() { return func() { h.clock.Advance(time.Duration(n) * 24 * time.Hour) } }
	for i, step := range []struct {
		do    func(context.Context, *db.Tx, directory.Actor, directory.OrgID) error
		actor directory.Actor
		want  error
		then  func()
	}{
		{deletes, directory.Operator(), directory.ErrStillOpen, nil},
		{directory.Suspend, directory.Operator(), nil, nil},
		{deletes, owner.AsActor(), directory.ErrDenied, nil},
		{restores, directory.Operator(), directory.ErrOrganizationNotDeleted, nil},
		{deletes, directory.Operator(), nil, nil},
		{deletes, directory.Operator(), directory.ErrOrganizationDeleted, nil},
		{directory.Resume, directory.Operator(), directory.ErrOrganizationDeleted, nil},
		{directory.Suspend, directory.Operator(), directory.ErrOrganizationDeleted, nil},
		{restores, owner.AsActor(), directory.ErrDenied, days(29)},
		{restores, directory.Operator(), nil, nil},
		{directory.Suspend, directory.Operator(), directory.ErrSuspended, nil},
		{deletes, directory.Operator(), nil, days(30)},
		{restores, directory.Operator(), directory.ErrNotFound, nil}, // it is being removed
	} {
		if err := h.update(func(ctx context.Context, tx *db.Tx) error { return step.do(ctx, tx, step.actor, o.ID) }); !errors.Is(err, step.want) {
			t.Fatalf("step %d: %v, want %v", i, err, step.want)
		}
		if step.then != nil {
			step.then()
		}
	}
	log := dbtest.Dump(t, h.DB, "audit_events")
	expect.Equal(t, "deletions in both logs", strings.Count(log, "organization.deleted\t"), 2*2)
	expect.Equal(t, "restorations in both logs", strings.Count(log, "organization.restored\t"), 2)
}

// A deleted organization writes to nobody.
func TestADeletedOrganizationHasNoLetterhead(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	if _, err := directory.Letterhead(t.Context(), h.DB, string(o.ID)); err != nil {
		t.Fatal(err)
	}
	dbtest.Do(t, h.DB, `update organizations set deleted_at = 1 where id = $1`, string(o.ID))
	if _, err := directory.Letterhead(t.Context(), h.DB, string(o.ID)); !errors.Is(err, mail.ErrNoLetters) {
		t.Errorf("its letterhead: %v", err)
	}
}

func TestInvitationsAreRemovedInTime(t *testing.T) {
	t.Parallel()
	const kept = 90 * 24 * time.Hour
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	begun := h.clock.Now()
	ends := map[string]time.Duration{} // after which each is gone
	for how, after := range map[string]time.Duration{"accepted_at": time.Hour, "withdrawn_at": 2 * time.Hour, "replaced_at": 3 * time.Hour, "": directory.InvitationLifetime} {
		inv, err := h.invite(directory.Operator(), o, "x"+how+"@alpha.example", directory.Member)
		if err != nil {
			t.Fatal(err)
		}
		ends[inv.ID] = after + kept
		if how != "" {
			dbtest.Do(t, h.DB, `update invitations set `+how+` = $1 where org_id = $2 and id = $3`, begun.Add(after).UnixMicro(), string(o.ID), inv.ID)
		}
	}
	for _, at := range []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour, directory.InvitationLifetime} {
		for _, early := range []time.Duration{time.Microsecond, 0} {
			h.clock.Advance(begun.Add(at + kept - early).Sub(h.clock.Now()))
			if err := directory.Sweep(t.Context(), h.DB); err != nil {
				t.Fatal(err)
			}
			left := dbtest.Dump(t, h.DB, "invitations")
			for id, end := range ends {
				if strings.Contains(left, id) != (at+kept-early < end) {
					t.Errorf("after %v an invitation that ends after %v is there: %v", at+kept-early, end, strings.Contains(left, id))
				}
			}
		}
	}
}
