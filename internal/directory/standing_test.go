package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// The functions that change a user's standing, by name.
var standings = map[string]func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error{
	"deactivate": directory.Deactivate, "reactivate": directory.Reactivate, "delete": directory.Delete, "restore": directory.Restore,
	"make an owner": func(ctx context.Context, tx *db.Tx, a directory.Actor, org directory.OrgID, id directory.UserID) error {
		return directory.ChangeRole(ctx, tx, a, org, id, directory.Owner)
	},
	"make a member": func(ctx context.Context, tx *db.Tx, a directory.Actor, org directory.OrgID, id directory.UserID) error {
		return directory.ChangeRole(ctx, tx, a, org, id, directory.Member)
	},
}

func (h house) change(name string, a directory.Actor, u directory.User) error {
	h.t.Helper()
	return h.update(func(ctx context.Context, tx *db.Tx) error { return standings[name](ctx, tx, a, u.OrgID, u.ID) })
}

func (h house) now(u directory.User) directory.User {
	h.t.Helper()
	now, err := directory.UserByID(h.t.Context(), h.DB, u.OrgID, u.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return now
}

func TestStandingGoesFromStateToState(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, u := h.user(o, "o@alpha.example", directory.Owner), h.user(o, "u@alpha.example", directory.Member)
	generation := u.Generation
	for i, step := range []struct {
		do   string
		want error
		then string // deactivated and deleted
	}{
		{"reactivate", directory.ErrActive, "  "},
		{"restore", directory.ErrNotDeleted, "  "},
		{"make a member", directory.ErrRoleHeld, "  "},
		{"deactivate", nil, "x "},
		{"deactivate", directory.ErrDeactivated, "x "},
		{"restore", directory.ErrNotDeleted, "x "},
		{"reactivate", nil, "  "},
		{"delete", nil, "xx"},
		{"delete", directory.ErrDeleted, "xx"},
		{"deactivate", directory.ErrDeleted, "xx"},
		{"reactivate", directory.ErrDeleted, "xx"},
		{"make an owner", directory.ErrDeleted, "xx"},
		{"restore", nil, "x "},
		{"delete", nil, "xx"},
		{"restore", nil, "x "},
		{"reactivate", nil, "  "},
	} {
		h.clock.Advance(time.Minute)
		if err := h.change(step.do, owner.AsActor(), u); !errors.Is(err, step.want) {
			t.Errorf("step %d, %s: %v, want %v", i, step.do, err, step.want)
		}
		now := h.now(u)
		mark := map[bool]string{true: " ", false: "x"}
		if got := mark[now.DeactivatedAt.IsZero()] + mark[now.DeletedAt.IsZero()]; got != step.then {
			t.Errorf("step %d, %s: the user is %q, want %q", i, step.do, got, step.then)
		}
		// Each change voids what was open; a refused one does not.
		if want := map[bool]int{true: generation + 1, false: generation}[step.want == nil]; now.Generation != want {
			t.Errorf("step %d, %s: generation %d, want %d", i, step.do, now.Generation, want)
		}
		generation = now.Generation
	}
	if events := strings.Count(dbtest.Dump(t, h.DB, "audit_events"), `{"state":"`); events != 2*7 {
		t.Errorf("%d befores and afters of seven changes are in the audit log", events)
	}
}

func TestTEN6NobodyChangesAboveThemselvesNorThemselves(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	people := map[directory.Role]directory.User{}
	for _, role := range directory.Roles {
		people[role] = h.user(o, string(role)+"@alpha.example", role)
	}
	spare := map[directory.Role]directory.User{}
	for _, role := range directory.Roles {
		spare[role] = h.user(o, "spare-"+string(role)+"@alpha.example", role)
	}
	neighbour := h.user(other, "o@beta.example", directory.Owner)
	rollback := errors.New("rolled back")
	try := func(name string, a directory.Actor, org directory.OrgID, id directory.UserID) error {
		err := h.update(func(ctx context.Context, tx *db.Tx) error {
			if err := standings[name](ctx, tx, a, org, id); err != nil {
				return err
			}
			return rollback
		})
		if errors.Is(err, rollback) {
			return nil
		}
		return err
	}
	for name := range standings {
		for role, actor := range people {
			for target, u := range spare {
				err := try(name, actor.AsActor(), o.ID, u.ID)
				may := role.Governs(target) && (name != "make an owner" || role == directory.Owner)
				if errors.Is(err, directory.ErrDenied) == may {
					t.Errorf("%s: %s of %s: %v", role, name, target, err)
				}
			}
			if err := try(name, actor.AsActor(), o.ID, actor.ID); !errors.Is(err, directory.ErrYourself) && !errors.Is(err, directory.ErrDenied) {
				t.Errorf("%s: %s of themselves: %v", role, name, err)
			}
			if err := try(name, neighbour.AsActor(), o.ID, actor.ID); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("the neighbour: %s of our %s: %v", name, role, err)
			}
			if err := try(name, neighbour.AsActor(), other.ID, actor.ID); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("the neighbour: %s of our %s in its own: %v", name, role, err)
			}
			// Rights that a page remembers but that have ended do not count.
			stale := actor.AsActor()
			if stale.Role = directory.Owner; role != directory.Owner {
				if err := try(name, stale, o.ID, spare[directory.Owner].ID); !errors.Is(err, directory.ErrDenied) {
					t.Errorf("a %s who was an owner: %s of an owner: %v", role, name, err)
				}
			}
		}
	}
	if err := h.change("deactivate", people[directory.Owner].AsActor(), people[directory.Administrator]); err != nil {
		t.Fatal(err)
	}
	if err := try("deactivate", people[directory.Administrator].AsActor(), o.ID, spare[directory.Member].ID); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("a deactivated administrator deactivates: %v", err)
	}
	err := h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, people[directory.Owner].AsActor(), o.ID, spare[directory.Member].ID, "king")
	})
	if !errors.Is(err, directory.ErrRoleUnknown) {
		t.Errorf("an unknown role: %v", err)
	}
}

func TestAnOrganizationAlwaysHasAnActiveOwner(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	h.user(other, "o@beta.example", directory.Owner) // an owner of another organization does not count
	one, two := h.user(o, "1@alpha.example", directory.Owner), h.user(o, "2@alpha.example", directory.Owner)
	if err := h.change("deactivate", one.AsActor(), two); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"deactivate", "delete", "make a member"} {
		if err := h.change(name, directory.Operator(), one); !errors.Is(err, directory.ErrLastOwner) {
			t.Errorf("%s of the last active owner: %v", name, err)
		}
		if err := h.change(name, directory.Operator(), two); err != nil && !errors.Is(err, directory.ErrDeactivated) && !errors.Is(err, directory.ErrDeleted) {
			t.Errorf("%s of a deactivated owner: %v", name, err)
		}
	}
}

// TEN-6, at the same time: the one whose change comes second is no longer an owner.
func TestTEN6OwnersWhoDemoteEachOtherAtOnceLeaveOne(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i, name := range []string{"make a member", "deactivate", "delete"} {
		for round := range 3 {
			o := h.organization(fmt.Sprintf("Alpha %s %d", name, round), fmt.Sprintf("alpha-%c-%c", 'a'+i, 'p'+round))
			owners := []directory.User{h.user(o, "1@alpha.example", directory.Owner), h.user(o, "2@alpha.example", directory.Owner), h.user(o, "3@alpha.example", directory.Owner)}
			errs := make([]error, len(owners))
			var wg sync.WaitGroup
			for i, actor := range owners {
				wg.Go(func() { errs[i] = h.change(name, actor.AsActor(), owners[(i+1)%len(owners)]) })
			}
			wg.Wait()
			active := 0
			for _, u := range owners {
				if now := h.now(u); now.Role == directory.Owner && now.Closed() == nil {
					active++
				}
			}
			done := 0
			for _, err := range errs {
				if err == nil {
					done++
				} else if !errors.Is(err, directory.ErrDenied) {
					t.Errorf("%s: %v", name, err)
				}
			}
			// In a ring of three the first two may both be in time, but never all three.
			if active != len(owners)-done || active == 0 || done == 0 {
				t.Errorf("%s: %d were done and %d owners are left: %v", name, done, active, errs)
			}
		}
	}
}

func TestDeletedAddressIsFreeAndRestoringWaitsForIt(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, u := h.user(o, "o@alpha.example", directory.Owner), h.user(o, "ana@alpha.example", directory.Member)
	if err := h.change("delete", owner.AsActor(), u); err != nil {
		t.Fatal(err)
	}
	inv, err := h.invite(owner.AsActor(), o, "ANA@alpha.example", directory.Member)
	if err != nil {
		t.Fatalf("the address is not free: %v", err)
	}
	if err := h.change("restore", owner.AsActor(), u); !errors.Is(err, directory.ErrAddressGotten) {
		t.Errorf("restoring although somebody is invited: %v", err)
	}
	if err := h.update(func(ctx context.Context, tx *db.Tx) error {
		return h.inv.Withdraw(ctx, tx, owner.AsActor(), o.ID, inv.ID)
	}); err != nil {
		t.Fatal(err)
	}
	newcomer := h.user(o, "ana@alpha.example", directory.Member)
	if err := h.change("restore", owner.AsActor(), u); !errors.Is(err, directory.ErrAddressGotten) {
		t.Errorf("restoring although somebody has the address: %v", err)
	}
	if err := h.change("delete", owner.AsActor(), newcomer); err != nil {
		t.Fatal(err)
	}
	if err := h.change("restore", owner.AsActor(), u); err != nil {
		t.Errorf("restoring once it is free: %v", err)
	}
	if err := h.change("restore", owner.AsActor(), newcomer); !errors.Is(err, directory.ErrAddressGotten) {
		t.Errorf("restoring a second one: %v", err)
	}
}

func TestDeletedUsersAreErasedAndTheAuditLogStays(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, u := h.user(o, "o@alpha.example", directory.Owner), h.user(o, "ana@alpha.example", directory.Member)
	kept := h.user(o, "ben@alpha.example", directory.Member)
	if err := h.update(func(ctx context.Context, tx *db.Tx) error {
		for _, id := range []directory.UserID{u.ID, kept.ID} {
			picture := "img_of_" + string(id)
			if _, err := tx.Exec(ctx, `insert into images (org_id, id, content, created_at) values ($1, $2, '', 1)`, string(o.ID), picture); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `update users set picture = $1 where org_id = $2 and id = $3`, picture, string(o.ID), string(id)); err != nil {
				return err
			}
			if _, err := directory.NewDisavowal(ctx, tx, directory.User{OrgID: o.ID, ID: id}, ""); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	dbtest.ByHand(t, h.DB)
	h.clock.Advance(time.Second)
	if err := h.change("delete", owner.AsActor(), u); err != nil {
		t.Fatal(err)
	}
	left := func() (found []string) {
		for _, table := range []string{"users", "images", "passwords", "disavowals"} {
			if strings.Contains(dbtest.Dump(t, h.DB, table), string(u.ID)) {
				found = append(found, table)
			}
			if !strings.Contains(dbtest.Dump(t, h.DB, table), string(kept.ID)) {
				t.Errorf("%s lost somebody who was not deleted", table)
			}
		}
		return found
	}
	h.clock.Advance(directory.RestorableFor - time.Second)
	if err := directory.EraseDeleted(t.Context(), h.DB); err != nil || len(left()) != 4 {
		t.Fatalf("a second too early only %v are left (%v)", left(), err)
	}
	h.clock.Advance(time.Second)
	if err := h.change("restore", owner.AsActor(), u); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("restoring before a late sweep: %v", err)
	}
	for range 2 {
		if err := directory.EraseDeleted(t.Context(), h.DB); err != nil || len(left()) != 0 {
			t.Fatalf("after the sweep %v are left (%v)", left(), err)
		}
	}
	var actions []string
	if err := h.Rows(t.Context(), func(scan func(...any) error) error {
		var action string
		err := scan(&action)
		actions = append(actions, action)
		return err
	}, `select action from audit_events where target = $1 order by at, id`, string(u.ID)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"user.created", "user.deleted", "user.erased"}; !slices.Equal(actions, want) {
		t.Errorf("the audit log has %v, want %v", actions, want)
	}
}

// If a user gets an address while an invitation to it waits, the link says so, without an error.
func TestInvitationToAnAddressThatSomebodyGotIsTaken(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	inv, err := h.invite(directory.Operator(), o, "ana@alpha.example", directory.Member)
	if err != nil {
		t.Fatal(err)
	}
	token := secret.NewToken() // the one in the letter is sealed
	if err := h.update(func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update invitations set token_hash = $1 where org_id = $2 and id = $3`, token.Hash(secret.Invitation), string(o.ID), inv.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	h.user(o, "ana@alpha.example", directory.Member)
	err = h.update(func(ctx context.Context, tx *db.Tx) error {
		_, _, err := directory.AcceptInvitation(ctx, tx, token, directory.User{ID: directory.NewUserID(), Name: "Ana", Language: "en"})
		return err
	})
	if !errors.Is(err, directory.ErrInvitationTaken) {
		t.Errorf("accepting: %v", err)
	}
}
