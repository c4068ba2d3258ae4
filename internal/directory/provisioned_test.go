package directory_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/fault"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// source is a customer's directory that provisions people of an organization.
func source(o directory.Organization, id string) directory.Actor {
	a := directory.Actor{Kind: directory.KindSource, OrgID: o.ID, ID: id, Name: "Directory", Role: directory.Administrator}
	a.Again = func(context.Context, db.Reader) (directory.Actor, error) { return a, nil }
	return a
}

func (h house) provision(actor directory.Actor, o directory.Organization, email string) (u directory.User, err error) {
	err = h.update(func(ctx context.Context, tx *db.Tx) error {
		u, err = directory.Provision(ctx, tx, actor, directory.User{
			OrgID: o.ID, Email: email, Name: "Ada Lovelace", GivenName: "Ada", FamilyName: "Lovelace", Language: "en", ExternalID: "ext-" + email,
		})
		return err
	})
	return u, err
}

func (h house) mustProvision(actor directory.Actor, o directory.Organization, email string) directory.User {
	h.t.Helper()
	u, err := h.provision(actor, o, email)
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

func TestOnlyASourceProvisions(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	owner, src := h.user(o, "owner@alpha.example", directory.Owner), source(o, "src_1")
	for name, actor := range map[string]directory.Actor{"an owner": owner.AsActor(), "the operator": directory.Operator(), "the program": directory.System(o.ID)} {
		if _, err := h.provision(actor, o, "ada@alpha.example"); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("%s provisions: %v", name, err)
		}
	}
	if _, err := h.provision(src, other, "ada@beta.example"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("a source of alpha provisions in beta: %v", err)
	}
	u := h.now(h.mustProvision(src, o, "Ada@alpha.example"))
	expect.Equal(t, "what is kept", fmt.Sprint(u.Email, u.Role, u.GivenName, u.FamilyName, u.SourceID, u.ExternalID, u.HasWayIn(), u.Closed()),
		fmt.Sprint("Ada@alpha.example", directory.Member, "Ada", "Lovelace", "src_1", "ext-Ada@alpha.example", false, nil))
	for name, email := range map[string]string{"the same address": "ADA@alpha.example", "somebody's": "owner@alpha.example"} {
		if _, err := h.provision(src, o, email); !errors.Is(err, directory.ErrAddressTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.provision(src, o, "no address"); err == nil {
		t.Error("provisioned without an address")
	}
	// The same address elsewhere is another user (N12).
	if twin := h.mustProvision(source(other, "src_2"), other, "ada@alpha.example"); twin.ID == u.ID {
		t.Error("one user in two organizations")
	}
}

func TestWhatASourceKeepsIsChangedThereAlone(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, src, second := h.user(o, "owner@alpha.example", directory.Owner), source(o, "src_1"), source(o, "src_2")
	u := h.mustProvision(src, o, "ada@alpha.example")
	dbtest.GivePassword(t, h.DB, string(o.ID), string(u.ID))
	u = h.now(u)
	emails := &directory.EmailChanges{Outbox: h.inv.Outbox, Base: "https://parvis.example"}
	rename := func(actor directory.Actor, change func(*directory.Profile)) error {
		return h.update(func(ctx context.Context, tx *db.Tx) error {
			p := h.now(u).Profile()
			change(&p)
			if actor.Is(o.ID, u.ID) {
				return directory.UpdateProfile(ctx, tx, h.now(u), p)
			}
			return directory.ChangeProfile(ctx, tx, actor, o.ID, u.ID, p)
		})
	}
	move := func(actor directory.Actor) error {
		return h.update(func(ctx context.Context, tx *db.Tx) error {
			return emails.Request(ctx, tx, actor, directory.Candidate{User: u, Organization: o}, "other@alpha.example")
		})
	}
	for name, actor := range map[string]directory.Actor{"an owner": owner.AsActor(), "the person": u.AsActor()} {
		for field, change := range map[string]func(*directory.Profile){
			"name": func(p *directory.Profile) { p.Name = "X" }, "given name": func(p *directory.Profile) { p.GivenName = "X" },
			"family name": func(p *directory.Profile) { p.FamilyName = "" },
		} {
			if err := rename(actor, change); !errors.Is(err, directory.ErrProvisioned) {
				t.Errorf("%s changes the %s: %v", name, field, err)
			}
		}
		if err := rename(actor, func(p *directory.Profile) { p.TimeZone = "Europe/Paris" }); err != nil {
			t.Errorf("%s changes the time zone: %v", name, err)
		}
		if err := rename(actor, func(p *directory.Profile) { p.TimeZone = "" }); err != nil {
			t.Errorf("%s changes it back: %v", name, err)
		}
		if err := move(actor); !errors.Is(err, directory.ErrProvisioned) {
			t.Errorf("%s changes the address: %v", name, err)
		}
	}
	if err := rename(second, func(p *directory.Profile) { p.Name = "X" }); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("another source: %v", err)
	}
	if err := rename(src, func(p *directory.Profile) { p.Name = "Augusta Ada King" }); err != nil {
		t.Errorf("its source: %v", err)
	}
	// No directory changes an owner, who is out of its hands.
	if err := h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, owner.AsActor(), o.ID, u.ID, directory.Owner)
	}); err != nil {
		t.Fatal(err)
	}
	if err := rename(src, func(p *directory.Profile) { p.Name = "X" }); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("its source renames an owner: %v", err)
	}
	if err := rename(u.AsActor(), func(p *directory.Profile) { p.Name = "Ada" }); err != nil {
		t.Errorf("an owner renames themselves: %v", err)
	}
}

func TestAnAddressThatWaitedForItsProofIsNotTakenFromASource(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	u := h.user(o, "ada@alpha.example", directory.Member)
	emails := &directory.EmailChanges{Outbox: h.inv.Outbox, Base: "https://parvis.example"}
	err := h.update(func(ctx context.Context, tx *db.Tx) error {
		return emails.Request(ctx, tx, u.AsActor(), directory.Candidate{User: u, Organization: o}, "other@alpha.example")
	})
	pending := func() bool {
		t.Helper()
		c, err := directory.PendingEmail(t.Context(), h, h.now(u), h.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c != nil
	}
	if err != nil || !pending() {
		t.Fatalf("asked: %v, waits %t", err, pending())
	}
	if err := h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.SetSource(ctx, tx, source(o, "src_1"), u, "src_1", "7")
	}); err != nil {
		t.Fatal(err)
	}
	if pending() {
		t.Error("the address still waits though a source keeps it now")
	}
}

func TestWhoShutSomebodyOutLetsThemInAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "owner@alpha.example", directory.Owner).AsActor()
	src, second := source(o, "src_1"), source(o, "src_2")
	u := h.mustProvision(src, o, "ada@alpha.example")
	do := func(f func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error, actor directory.Actor) error {
		return h.update(func(ctx context.Context, tx *db.Tx) error { return f(ctx, tx, actor, o.ID, u.ID) })
	}
	later := func(f func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error, actor directory.Actor) error {
		h.clock.Advance(time.Minute)
		return do(f, actor)
	}
	hand := func(to string) error {
		return h.update(func(ctx context.Context, tx *db.Tx) error {
			return directory.SetSource(ctx, tx, owner, h.now(u), to, "7")
		})
	}
	for _, step := range []struct {
		what string
		err  error
		want error
	}{
		{"another source shuts out", do(directory.Deactivate, second), directory.ErrNotFound},
		{"its source shuts out", do(directory.Deactivate, src), nil},
		{"again", do(directory.Deactivate, src), directory.ErrDeactivated},
		{"its source lets in", do(directory.Reactivate, src), nil},
		{"its source shuts out once more", do(directory.Deactivate, src), nil},
		{"an owner shuts out as well", do(directory.Deactivate, owner), nil},
		{"an owner shuts out twice", do(directory.Deactivate, owner), directory.ErrDeactivated},
		{"its source shuts out whom both did", do(directory.Deactivate, src), directory.ErrDeactivated},
		{"its source lets in whom both shut out", do(directory.Reactivate, src), directory.ErrShutOutHere},
		{"an owner lets in", do(directory.Reactivate, owner), nil},
		{"an owner shuts out", do(directory.Deactivate, owner), nil},
		{"its source lets in whom an owner shut out", do(directory.Reactivate, src), directory.ErrShutOutHere},
		{"an owner lets in again", do(directory.Reactivate, owner), nil},
		{"its source deletes", do(directory.Delete, src), nil},
		{"an owner restores", do(directory.Restore, owner), nil},
		{"its source lets in whom an owner restored", do(directory.Reactivate, src), directory.ErrShutOutHere},
		{"an owner lets in the restored", do(directory.Reactivate, owner), nil},
		{"its source shuts out first", do(directory.Deactivate, src), nil},
		{"and deletes later", later(directory.Delete, src), nil},
		{"an owner restores who was shut out", do(directory.Restore, owner), nil},
		{"its source lets in whom it had shut out", do(directory.Reactivate, src), nil},
		{"an owner shuts out first", do(directory.Deactivate, owner), nil},
		{"and its source deletes later", later(directory.Delete, src), nil},
		{"an owner restores whom one had shut out", do(directory.Restore, owner), nil},
		{"its source lets in whom an owner had shut out", do(directory.Reactivate, src), directory.ErrShutOutHere},
		{"an owner lets in whom one had shut out", do(directory.Reactivate, owner), nil},
		{"its source shuts out before it lets go", do(directory.Deactivate, src), nil},
		{"handed over", hand("src_2"), nil},
		{"the new source lets in", do(directory.Reactivate, second), directory.ErrShutOutHere},
		{"the former one", do(directory.Reactivate, src), directory.ErrNotFound},
		{"a source gives a role", h.update(func(ctx context.Context, tx *db.Tx) error {
			return directory.ChangeRole(ctx, tx, second, o.ID, u.ID, directory.Auditor)
		}), directory.ErrDenied},
	} {
		if !errors.Is(step.err, step.want) {
			t.Errorf("%s: %v, want %v", step.what, step.err, step.want)
		}
	}
	if now := h.now(u); now.SourceID != "src_2" || now.ExternalID != "7" || now.Closed() == nil {
		t.Errorf("in the end: %+v", now)
	}
}

func TestADeletedPersonComesAgainAsAnotherUser(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, src := h.user(o, "owner@alpha.example", directory.Owner).AsActor(), source(o, "src_1")
	first := h.mustProvision(src, o, "ada@alpha.example")
	if err := h.update(func(ctx context.Context, tx *db.Tx) error { return directory.Delete(ctx, tx, src, o.ID, first.ID) }); err != nil {
		t.Fatal(err)
	}
	again := h.mustProvision(src, o, "ada@alpha.example")
	if again.ID == first.ID || h.now(again).Generation != 1 {
		t.Errorf("the same user again: %+v", again)
	}
	if err := h.update(func(ctx context.Context, tx *db.Tx) error { return directory.Restore(ctx, tx, owner, o.ID, first.ID) }); !errors.Is(err, directory.ErrAddressGotten) {
		t.Errorf("restoring the first: %v", err)
	}
	h.clock.Advance(directory.RestorableFor)
	if err := directory.EraseDeleted(t.Context(), h.DB); err != nil {
		t.Fatal(err)
	}
	if _, err := directory.UserByID(t.Context(), h, o.ID, first.ID); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("the first after a month: %v", err)
	}
	h.now(again)
}

func TestWhoHasNoWayInIsNobodysStandIn(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "owner@alpha.example", directory.Owner)
	u := h.mustProvision(source(o, "src_1"), o, "ada@alpha.example")
	role := func(actor directory.Actor, id directory.UserID, role directory.Role) error {
		return h.update(func(ctx context.Context, tx *db.Tx) error {
			return directory.ChangeRole(ctx, tx, actor, o.ID, id, role)
		})
	}
	for _, r := range []directory.Role{directory.Owner, directory.Administrator} {
		if err := role(owner.AsActor(), u.ID, r); !errors.Is(err, directory.ErrNoWayIn) {
			t.Errorf("made %s: %v", r, err)
		}
	}
	// An owner who lost every way in does not count either.
	stuck := h.user(o, "stuck@alpha.example", directory.Owner)
	lower := func() error { return role(stuck.AsActor(), owner.ID, directory.Member) }
	dbtest.Do(t, h.DB, `delete from passwords where user_id = $1`, string(stuck.ID))
	dbtest.ByHand(t, h.DB)
	if err := lower(); !errors.Is(err, directory.ErrLastOwner) {
		t.Errorf("the last owner with a way in was lowered: %v", err)
	}
	dbtest.Do(t, h.DB, `
		insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at)
		select org_id, 'pk_1', id, 'Laptop', 'c', 'h', '{}', 0 from users where id = $1`, string(stuck.ID))
	dbtest.ByHand(t, h.DB)
	if err := lower(); err != nil {
		t.Errorf("beside an owner with a passkey: %v", err)
	}
}

func TestGroupsOfASource(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	owner, src, second := h.user(o, "owner@alpha.example", directory.Owner).AsActor(), source(o, "src_1"), source(o, "src_2")
	u := h.mustProvision(src, o, "ada@alpha.example")
	var g directory.Group
	provide := func(actor directory.Actor, org directory.OrgID, name string) error {
		return h.update(func(ctx context.Context, tx *db.Tx) (err error) {
			made, err := directory.ProvisionGroup(ctx, tx, actor, org, name, "g-1")
			if err == nil {
				g = made
			}
			return err
		})
	}
	if err := provide(owner, o.ID, "Staff"); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("an owner makes a source's group: %v", err)
	}
	if err := provide(src, other.ID, "Staff"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("in another organization: %v", err)
	}
	if err := provide(src, o.ID, "Staff"); err != nil {
		t.Fatal(err)
	}
	if err := provide(second, o.ID, "STAFF"); err == nil {
		t.Error("two groups of one name")
	}
	deeds := map[string]func(context.Context, *db.Tx, directory.Actor) error{
		"rename": func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return directory.RenameGroup(ctx, tx, a, o.ID, g.ID, "Everyone")
		},
		"add": func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := directory.AddMembers(ctx, tx, a, o.ID, g.ID, []directory.UserID{u.ID})
			return err
		},
		"remove": func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := directory.RemoveMembers(ctx, tx, a, o.ID, g.ID, []directory.UserID{u.ID})
			return err
		},
		"delete": func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return directory.DeleteGroup(ctx, tx, a, o.ID, g.ID)
		},
	}
	for _, deed := range []string{"rename", "add", "remove", "delete"} {
		for name, actor := range map[string]directory.Actor{"an owner": owner, "another source": second} {
			if err := h.update(func(ctx context.Context, tx *db.Tx) error { return deeds[deed](ctx, tx, actor) }); !errors.Is(err, directory.ErrProvisioned) {
				t.Errorf("%s: %s: %v", name, deed, err)
			}
		}
	}
	h.clock.Advance(time.Minute)
	for _, deed := range []string{"rename", "add", "remove"} {
		before := g.ChangedAt
		h.clock.Advance(time.Second)
		if err := h.update(func(ctx context.Context, tx *db.Tx) (err error) {
			if err = deeds[deed](ctx, tx, src); err == nil {
				g, err = directory.GroupByID(ctx, tx, src, o.ID, g.ID)
			}
			return err
		}); err != nil {
			t.Errorf("its source: %s: %v", deed, err)
		}
		if !g.ChangedAt.After(before) {
			t.Errorf("%s leaves the time of the last change at %s", deed, g.ChangedAt)
		}
	}
	if err := h.update(func(ctx context.Context, tx *db.Tx) error { return directory.SetGroupSource(ctx, tx, owner, g, "", "") }); err != nil {
		t.Fatal(err)
	}
	if err := h.update(func(ctx context.Context, tx *db.Tx) error { return deeds["delete"](ctx, tx, owner) }); err != nil {
		t.Errorf("an owner deletes a group that its source let go of: %v", err)
	}
}

// accept gives whom an invitation is to a password, as the page does.
func (h house) accept(token secret.Token, id directory.UserID) (u directory.User, err error) {
	err = h.update(func(ctx context.Context, tx *db.Tx) error {
		u, _, err = directory.AcceptInvitation(ctx, tx, token, directory.User{ID: id, Name: "Another Name", Language: "fr", TimeZone: "Europe/Paris"})
		return err
	})
	if err == nil {
		dbtest.GivePassword(h.t, h.DB, string(u.OrgID), string(u.ID))
	}
	return u, err
}

// tokenOf gives an invitation a token that the test knows, in place of the one in its letter.
func (h house) tokenOf(inv directory.Invitation) secret.Token {
	token := secret.NewToken()
	dbtest.Do(h.t, h.DB, `update invitations set token_hash = $1 where id = $2`, token.Hash(secret.Invitation), inv.ID)
	return token
}

func TestAnInvitationToAUserWithoutAWayIn(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, helpdesk := h.user(o, "owner@alpha.example", directory.Owner).AsActor(), h.user(o, "help@alpha.example", directory.Helpdesk).AsActor()
	src := source(o, "src_1")
	u := h.mustProvision(src, o, "ada@alpha.example")
	if _, err := h.invite(owner, o, "ada@alpha.example", directory.Auditor); !errors.Is(err, directory.ErrRoleIsAnother) {
		t.Errorf("an invitation that would give a role: %v", err)
	}
	for name, actor := range map[string]directory.Actor{"an owner": owner, "helpdesk": helpdesk, "its source": src} {
		inv, err := h.invite(actor, o, "Ada@alpha.example", directory.Member)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := h.invite(owner, o, "ada@alpha.example", directory.Member); !errors.Is(err, directory.ErrAlreadyInvited) {
			t.Errorf("%s, a second one: %v", name, err)
		}
		if err := h.update(func(ctx context.Context, tx *db.Tx) error { return h.inv.Withdraw(ctx, tx, owner, o.ID, inv.ID) }); err != nil {
			t.Errorf("%s, withdrawn: %v", name, err)
		}
		if _, err := h.accept(h.tokenOf(inv), u.ID); !errors.Is(err, directory.ErrInvitationWithdrawn) {
			t.Errorf("%s, accepted after that: %v", name, err)
		}
	}
	inv, err := h.invite(owner, o, "ada@alpha.example", directory.Member)
	if err != nil {
		t.Fatal(err)
	}
	token := h.tokenOf(inv)
	if _, err := h.accept(token, directory.NewUserID()); !errors.Is(err, directory.ErrInvitationTaken) {
		t.Errorf("accepted for another user: %v", err)
	}
	got, err := h.accept(token, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	now := h.now(u)
	expect.Equal(t, "who came in", fmt.Sprint(got.ID == u.ID, now.Name, now.Role, now.Language, now.TimeZone, now.SourceID, now.HasWayIn()),
		fmt.Sprint(true, "Ada Lovelace", directory.Member, "fr", "Europe/Paris", "src_1", true))
	if _, err := h.accept(token, u.ID); !errors.Is(err, directory.ErrInvitationUsed) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := h.invite(owner, o, "ada@alpha.example", directory.Member); !errors.Is(err, directory.ErrAlreadyMember) {
		t.Errorf("invited with a way in: %v", err)
	}
}

// What was sent to somebody without a way in lets nobody in once they are shut out, gone, moved or
// have another role, and an invitation that was open before the directory named them is theirs.
func TestAnInvitationToAUserEndsWithWhatItRestsOn(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner, src := h.user(o, "owner@alpha.example", directory.Owner).AsActor(), source(o, "src_1")
	on := func(f func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error) func(directory.User) error {
		return func(u directory.User) error {
			return h.update(func(ctx context.Context, tx *db.Tx) error { return f(ctx, tx, owner, o.ID, u.ID) })
		}
	}
	for name, tt := range map[string]struct {
		after []func(directory.User) error
		want  error
	}{
		"deactivated":                 {[]func(directory.User) error{on(directory.Deactivate)}, directory.ErrInvitationWithdrawn},
		"deactivated and reactivated": {[]func(directory.User) error{on(directory.Deactivate), on(directory.Reactivate)}, directory.ErrInvitationWithdrawn},
		"deleted":                     {[]func(directory.User) error{on(directory.Delete)}, directory.ErrInvitationWithdrawn},
		"deleted and restored":        {[]func(directory.User) error{on(directory.Delete), on(directory.Restore), on(directory.Reactivate)}, directory.ErrInvitationWithdrawn},
		"deleted and named again": {[]func(directory.User) error{on(directory.Delete), func(u directory.User) error {
			_, err := h.provision(src, o, u.Email)
			return err
		}}, directory.ErrInvitationWithdrawn},
		"of another role": {[]func(directory.User) error{func(u directory.User) error {
			return h.update(func(ctx context.Context, tx *db.Tx) error {
				return directory.ChangeRole(ctx, tx, owner, o.ID, u.ID, directory.Auditor)
			})
		}}, directory.ErrInvitationTaken},
		"with a password": {[]func(directory.User) error{func(u directory.User) error {
			dbtest.GivePassword(t, h.DB, string(o.ID), string(u.ID))
			return nil
		}}, directory.ErrInvitationTaken},
		"expired": {[]func(directory.User) error{func(directory.User) error {
			h.clock.Advance(8 * 24 * time.Hour)
			return nil
		}}, directory.ErrInvitationExpired},
		"untouched": {nil, nil},
	} {
		email := fmt.Sprintf("%x@alpha.example", name)
		u := h.mustProvision(src, o, email)
		var inv directory.Invitation
		err := h.update(func(ctx context.Context, tx *db.Tx) (err error) {
			inv, err = h.inv.SendTo(ctx, tx, directory.Anonymous(), directory.Candidate{User: u, Organization: o})
			return err
		})
		for _, f := range tt.after {
			err = errors.Join(err, f(u))
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := h.accept(h.tokenOf(inv), u.ID); !errors.Is(err, tt.want) {
			t.Errorf("%s: accepted with %v, want %v", name, err, tt.want)
		}
	}
	before, err := h.invite(owner, o, "before@alpha.example", directory.Member)
	if err != nil {
		t.Fatal(err)
	}
	above, err := h.invite(owner, o, "above@alpha.example", directory.Administrator)
	if err != nil {
		t.Fatal(err)
	}
	u, v := h.mustProvision(src, o, "before@alpha.example"), h.mustProvision(src, o, "above@alpha.example")
	if got, err := h.accept(h.tokenOf(before), u.ID); err != nil || got.ID != u.ID {
		t.Errorf("invited before the directory named them: %v %v", got.ID, err)
	}
	if _, err := h.accept(h.tokenOf(above), v.ID); !errors.Is(err, directory.ErrInvitationTaken) {
		t.Errorf("invited to more than the directory names: %v", err)
	}
	states, err := directory.InvitationStates(t.Context(), h, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	for state, n := range map[directory.InvitationState]int{directory.InvitationTaken: 3, directory.InvitationExpired: 1} {
		if states[state] != n {
			t.Errorf("%d invitations are %s by the statement that counts, want %d: %v", states[state], state, n, states)
		}
	}
}

func TestTheNewestInvitationToAUserAloneWorks(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	u := h.mustProvision(source(o, "src_1"), o, "ada@alpha.example")
	var tokens []secret.Token
	for range 2 {
		err := h.update(func(ctx context.Context, tx *db.Tx) error {
			_, err := h.inv.SendTo(ctx, tx, directory.Anonymous(), directory.Candidate{User: u, Organization: o})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		address, err := naming.ParseAddress(u.Email)
		if err != nil {
			t.Fatal(err)
		}
		open, err := directory.InvitationsTo(t.Context(), h, address, o.ID)
		if err != nil || len(open) != 1 {
			t.Fatalf("%d are open: %v", len(open), err)
		}
		tokens = append(tokens, h.tokenOf(open[0].Invitation))
	}
	if _, err := h.accept(tokens[0], u.ID); !errors.Is(err, directory.ErrInvitationReplaced) {
		t.Errorf("the older link: %v", err)
	}
	// Of eight browsers that accept at once, one gets through.
	var wg sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for range 8 {
		wg.Go(func() {
			err := h.Update(t.Context(), func(tx *db.Tx) error {
				got, _, err := directory.AcceptInvitation(t.Context(), tx, tokens[1], directory.User{ID: u.ID, Language: "en"})
				if err == nil && got.ID != u.ID {
					t.Errorf("it is for %s", got.ID)
				}
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				in++
			} else if !errors.Is(err, directory.ErrInvitationUsed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	expect.Equal(t, "who got through", in, 1)
}

func TestAnAddressThatNobodyProvedGetsFewInvitations(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "owner@alpha.example", directory.Owner).AsActor()
	u := h.mustProvision(source(o, "src_1"), o, "ada@alpha.example")
	send := func() error {
		h.clock.Advance(time.Minute)
		return h.update(func(ctx context.Context, tx *db.Tx) error {
			_, err := h.inv.SendTo(ctx, tx, owner, directory.Candidate{User: u, Organization: o})
			return err
		})
	}
	for i := range 7 {
		if err := send(); err != nil {
			t.Fatalf("letter %d: %v", i+1, err)
		}
	}
	err := send()
	why, often := errors.AsType[*fault.Error](err)
	if !often || !errors.Is(err, directory.ErrInvitedOften) {
		t.Fatalf("the eighth letter of a day: %v", err)
	}
	h.clock.Advance(why.RetryAfter)
	if err := send(); err != nil {
		t.Errorf("after the wait of %s: %v", why.RetryAfter, err)
	}
}
