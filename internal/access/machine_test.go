package access_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/fault"
)

// robot registers an application that acts on its own behalf; of the installation if org is empty.
func (h house) robot(org directory.OrgID, name string) (a application.Application) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		a, _, err = application.Register(ctx, tx, directory.Operator(), "https://parvis.example", application.Application{
			OrgID: org, Kind: application.Machine, Settings: application.Settings{Name: name, Auth: application.Secret, OwnBehalf: true},
		})
		return err
	})
	return a
}

func (h house) grant(actor directory.Actor, org directory.OrgID, client application.ID, n access.Right) error {
	return h.try(func(ctx context.Context, tx *db.Tx) error {
		_, err := access.GrantMachine(ctx, tx, actor, org, client, n)
		return err
	})
}

// reaches returns role and scopes of a machine as it calls now.
func (h house) reaches(a application.Application) string {
	h.t.Helper()
	c, err := access.RightOf(h.t.Context(), h.DB, a.OrgID, a.ID)
	if errors.Is(err, access.ErrUnknown) {
		return "nothing"
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprint(c.Actor.Role, " ", c.Scopes)
}

var mayWrite = access.Right{Role: directory.Administrator, Scopes: []access.Scope{access.WritePeople, access.ReadPeople}}

func TestAMachineActsAsFarAsItWasLet(t *testing.T) {
	t.Parallel()
	h := open(t)
	boss := h.user("alpha", directory.Owner)
	robot := h.robot(boss.OrgID, "Robot")
	expect.Equal(t, "before", h.reaches(robot), "nothing")
	if err := h.grant(boss.AsActor(), boss.OrgID, robot.ID, mayWrite); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "it reaches", h.reaches(robot), "administrator [parvis.people.read parvis.people.write]")
	c, err := access.RightOf(t.Context(), h.DB, boss.OrgID, robot.ID)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "its kind", c.Actor.Kind, directory.KindMachine)
	expect.Equal(t, "its end", c.Until, h.Now().Add(access.MachineLasts))
	if !c.ProvedAt.IsZero() || c.Actor.UserID != "" {
		t.Errorf("the machine is somebody: %+v", c)
	}
	if err := c.Touch(audit.WithOrigin(t.Context(), audit.Origin{Network: "192.0.2.1"}), h.DB); err != nil {
		t.Fatal(err)
	}
	all, err := access.Machines(t.Context(), h.DB, h.user("alpha", directory.Auditor).AsActor(), boss.OrgID)
	if err != nil || len(all) != 1 {
		t.Fatalf("the list is %+v, %v", all, err)
	}
	expect.Equal(t, "the listed machine and its giver", all[0].Name+", "+all[0].Giver, "Robot, "+boss.Name)
	expect.Equal(t, "its last use", all[0].UsedAt, h.Now())
	expect.Equal(t, "the network of that", all[0].Network, "192.0.2.1")
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return access.EndMachine(ctx, tx, boss.AsActor(), boss.OrgID, robot.ID)
	})
	expect.Equal(t, "after that", h.reaches(robot), "nothing")
	if _, err := c.Actor.In(t.Context(), h.DB, boss.OrgID); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("what it was let in for goes on: %v", err)
	}
}

func TestAMachineOfASuspendedOrganizationDoesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	boss := h.user("alpha", directory.Owner)
	robot := h.robot(boss.OrgID, "Robot")
	if err := h.grant(boss.AsActor(), boss.OrgID, robot.ID, mayWrite); err != nil {
		t.Fatal(err)
	}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), boss.OrgID)
	})
	expect.Equal(t, "it reaches", h.reaches(robot), "nothing")
}

// Who could make secrets for a machine, or change how it proves itself, would have its rights.
func TestOnlyAPersonMakesAMachinesCredentials(t *testing.T) {
	t.Parallel()
	h := open(t)
	boss := h.user("alpha", directory.Owner)
	robot := h.robot(boss.OrgID, "Robot")
	_, text := h.token(boss, access.WriteApplications)
	token, err := h.caller(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.grant(boss.AsActor(), boss.OrgID, robot.ID, access.Right{Role: directory.Administrator, Scopes: []access.Scope{access.WriteApplications}}); err != nil {
		t.Fatal(err)
	}
	machine, err := access.RightOf(t.Context(), h.DB, robot.OrgID, robot.ID)
	if err != nil {
		t.Fatal(err)
	}
	for what, actor := range map[string]directory.Actor{"a token": token.Actor, "a machine": machine.Actor, "a person": boss.AsActor()} {
		secret := h.try(func(ctx context.Context, tx *db.Tx) error {
			_, _, err := application.AddSecret(ctx, tx, actor, robot)
			return err
		})
		changes := func(change func(*application.Settings)) error {
			return h.try(func(ctx context.Context, tx *db.Tx) error {
				s := robot.Settings
				change(&s)
				_, err := application.Change(ctx, tx, actor, "https://parvis.example", robot, s)
				return errors.Join(err, directory.ErrSuspended) // and rolled back
			})
		}
		keys := changes(func(s *application.Settings) { s.Auth, s.KeysURL = application.PrivateKey, "https://evil.example/keys" })
		name := changes(func(s *application.Settings) { s.Name = "Robot the second" })
		expect.Equal(t, what+" may make a secret", !errors.Is(secret, directory.ErrDenied), what == "a person")
		expect.Equal(t, what+" may change its keys", !errors.Is(keys, directory.ErrDenied), what == "a person")
		expect.Equal(t, what+" may change its name", !errors.Is(name, directory.ErrDenied), true)
	}
}

func TestAMachinesRightEnds(t *testing.T) {
	t.Parallel()
	h := open(t)
	boss := h.user("alpha", directory.Owner)
	robot := h.robot(boss.OrgID, "Robot")
	if err := h.grant(boss.AsActor(), boss.OrgID, robot.ID, mayWrite); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(access.MachineLasts - time.Second)
	expect.Equal(t, "just before", h.reaches(robot), "administrator [parvis.people.read parvis.people.write]")
	h.clock.Advance(time.Second)
	expect.Equal(t, "at its end", h.reaches(robot), "nothing")
	h.clock.Advance(31 * 24 * time.Hour)
	if err := h.sweep(); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "rights kept a month later", h.count(`select count(*) from machine_rights where org_id = $1`, string(boss.OrgID)), 0)
}

func TestWhoGivesAMachineWhat(t *testing.T) {
	t.Parallel()
	h := open(t)
	boss := h.user("alpha", directory.Owner)
	_, text := h.token(boss, access.WriteAccess)
	token, err := h.caller(text)
	if err != nil {
		t.Fatal(err)
	}
	robot, theirs, everybodys := h.robot(boss.OrgID, "Robot"), h.robot(h.org["beta"].ID, "Theirs"), h.robot("", "Everybody’s")
	reads := access.Right{Role: directory.Auditor, Scopes: []access.Scope{access.ReadPeople}}
	change := func(f func(*access.Right)) access.Right {
		n := reads
		f(&n)
		return n
	}
	administrator := h.user("alpha", directory.Administrator).AsActor()
	for what, tt := range map[string]struct {
		actor  directory.Actor
		org    string
		client application.ID
		n      access.Right
		want   *fault.Error
	}{
		"an owner":                       {boss.AsActor(), "alpha", robot.ID, mayWrite, nil},
		"an administrator":               {administrator, "alpha", robot.ID, mayWrite, nil},
		"a helpdesk":                     {h.user("alpha", directory.Helpdesk).AsActor(), "alpha", robot.ID, reads, directory.ErrDenied},
		"an auditor":                     {h.user("alpha", directory.Auditor).AsActor(), "alpha", robot.ID, reads, directory.ErrDenied},
		"a member":                       {h.user("alpha", directory.Member).AsActor(), "alpha", robot.ID, reads, directory.ErrDenied},
		"a token":                        {token.Actor, "alpha", robot.ID, reads, directory.ErrDenied},
		"the command line":               {directory.Operator(), "alpha", robot.ID, reads, directory.ErrDenied},
		"somebody else's":                {h.user("beta", directory.Owner).AsActor(), "alpha", robot.ID, reads, directory.ErrNotFound},
		"another's machine":              {boss.AsActor(), "alpha", theirs.ID, reads, application.ErrUnknown},
		"the installation's":             {boss.AsActor(), "alpha", everybodys.ID, reads, application.ErrNotOwn},
		"an owner's role":                {boss.AsActor(), "alpha", robot.ID, change(func(n *access.Right) { n.Role = directory.Owner }), access.ErrMachineRole},
		"a member's role":                {boss.AsActor(), "alpha", robot.ID, change(func(n *access.Right) { n.Role = directory.Member }), access.ErrMachineRole},
		"no role":                        {boss.AsActor(), "alpha", robot.ID, change(func(n *access.Right) { n.Role = "" }), access.ErrMachineRole},
		"more scopes than the role uses": {boss.AsActor(), "alpha", robot.ID, change(func(n *access.Right) { n.Scopes = mayWrite.Scopes }), access.ErrScopeBeyond},
		"no scope":                       {boss.AsActor(), "alpha", robot.ID, change(func(n *access.Right) { n.Scopes = nil }), access.ErrScopes},
		"for more than a year":           {boss.AsActor(), "alpha", robot.ID, change(func(n *access.Right) { n.Lasts = access.LongestMachine + 1 }), access.ErrLasts},
	} {
		err := h.grant(tt.actor, h.org[tt.org].ID, tt.client, tt.n)
		if tt.want == nil {
			expect.Equal(t, what, err, nil)
		} else if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
}

// When the one who answers for a machine can no longer do so, it only reads, at once, until
// another administrator confirms its right.
func TestAMachineRestsWithItsGiver(t *testing.T) {
	t.Parallel()
	for what, fall := range map[string]func(context.Context, *db.Tx, directory.Actor, directory.User) error{
		"shut out": func(ctx context.Context, tx *db.Tx, owner directory.Actor, giver directory.User) error {
			return directory.Deactivate(ctx, tx, owner, giver.OrgID, giver.ID)
		},
		"deleted": func(ctx context.Context, tx *db.Tx, owner directory.Actor, giver directory.User) error {
			return directory.Delete(ctx, tx, owner, giver.OrgID, giver.ID)
		},
		"lowered": func(ctx context.Context, tx *db.Tx, owner directory.Actor, giver directory.User) error {
			return directory.ChangeRole(ctx, tx, owner, giver.OrgID, giver.ID, directory.Helpdesk)
		},
		"erased": func(ctx context.Context, tx *db.Tx, _ directory.Actor, giver directory.User) error {
			_, err := tx.Exec(ctx, `delete from users where org_id = $1 and id = $2`, string(giver.OrgID), string(giver.ID))
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			owner, giver, auditor := h.user("alpha", directory.Owner), h.user("alpha", directory.Administrator), h.user("alpha", directory.Auditor)
			robot := h.robot(giver.OrgID, "Robot")
			if err := h.grant(giver.AsActor(), giver.OrgID, robot.ID, mayWrite); err != nil {
				t.Fatal(err)
			}
			before, err := access.RightOf(t.Context(), h.DB, robot.OrgID, robot.ID)
			if err != nil {
				t.Fatal(err)
			}
			h.update(func(ctx context.Context, tx *db.Tx) error { return fall(ctx, tx, owner.AsActor(), giver) })
			expect.Equal(t, "it reaches", h.reaches(robot), "auditor [parvis.people.read]")
			if now, err := before.Actor.In(t.Context(), h.DB, robot.OrgID); err != nil || now.Role != directory.Auditor {
				t.Errorf("in the transaction of a call it acts as %s, %v", now.Role, err)
			}
			confirm := func(u directory.User) error {
				return h.try(func(ctx context.Context, tx *db.Tx) error {
					return access.ConfirmMachine(ctx, tx, u.AsActor(), robot.OrgID, robot.ID)
				})
			}
			if err := confirm(auditor); !errors.Is(err, directory.ErrDenied) {
				t.Errorf("an auditor confirms it: %v", err)
			}
			if err := confirm(h.user("beta", directory.Owner)); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("a neighbour confirms it: %v", err)
			}
			if err := confirm(owner); err != nil {
				t.Fatal(err)
			}
			expect.Equal(t, "once confirmed it reaches", h.reaches(robot), "administrator [parvis.people.read parvis.people.write]")
		})
	}
}

func TestAMachineGoesOnRestingWhenItsGiverComesBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	owner, giver := h.user("alpha", directory.Owner), h.user("alpha", directory.Administrator)
	robot := h.robot(giver.OrgID, "Robot")
	if err := h.grant(giver.AsActor(), giver.OrgID, robot.ID, mayWrite); err != nil {
		t.Fatal(err)
	}
	role := func(role directory.Role) {
		h.update(func(ctx context.Context, tx *db.Tx) error {
			return directory.ChangeRole(ctx, tx, owner.AsActor(), giver.OrgID, giver.ID, role)
		})
		for range 2 {
			if err := h.sweep(); err != nil {
				t.Fatal(err)
			}
		}
	}
	role(directory.Helpdesk)
	role(directory.Administrator)
	expect.Equal(t, "it reaches", h.reaches(robot), "auditor [parvis.people.read]")
	expect.Equal(t, "letters to those who may confirm it", h.count(`select count(*) from letters where org_id = $1 and kind = 'machine_rests'`, string(robot.OrgID)), 1)
	expect.Equal(t, "times that the log says so", h.count(`select count(*) from audit_events where org_id = $1 and action = 'machine.rests'`, string(robot.OrgID)), 1)
}
