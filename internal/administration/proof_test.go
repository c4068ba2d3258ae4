package administration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parvis/internal/administration"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// These tests prove that an API fits: they do everything to people that the console does, as an
// actor of kind token whose rights the test controls. That needs no route and no table of
// tokens.

// token holds the right of an API's token.
type token struct {
	directory.Actor
	ended bool
}

func newToken(org directory.OrgID, role directory.Role, owner directory.UserID) *token {
	k := &token{Actor: directory.Actor{Kind: directory.KindToken, OrgID: org, ID: "tok_payroll", Name: "Payroll", Role: role, UserID: owner}}
	k.Again = func(context.Context, db.Reader) (directory.Actor, error) {
		if k.ended {
			return directory.Actor{}, directory.ErrDenied
		}
		return k.Actor, nil
	}
	return k
}

type world struct {
	*idptest.Server
	org, other                                 directory.Organization
	owner, admin, helpdesk, ana, bea, stranger directory.User
	ofOther                                    directory.Group
	group                                      directory.Group
	invitation                                 directory.Invitation // to a future owner
	again, over                                directory.Invitation // to future members
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{Server: idptest.Start(t)}
	w.org, w.other = w.Organization(t, "Alpha Works", "alpha"), w.Organization(t, "Beta Works", "beta")
	w.owner, w.admin = w.user(t, w.org, "owner@alpha.example", directory.Owner), w.user(t, w.org, "admin@alpha.example", directory.Administrator)
	w.user(t, w.org, "second.owner@alpha.example", directory.Owner)
	w.helpdesk = w.user(t, w.org, "helpdesk@alpha.example", directory.Helpdesk)
	w.Join(t, w.org, "ana@alpha.example", "Ana", directory.Member) // has a password
	w.ana = w.named(t, w.org, "ana@alpha.example")
	w.bea = w.user(t, w.org, "bea@alpha.example", directory.Member)
	w.stranger = w.user(t, w.other, "stranger@beta.example", directory.Member)
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		if w.group, err = directory.CreateGroup(ctx, tx, directory.Operator(), w.org.ID, "Finance"); err != nil {
			return err
		}
		if w.ofOther, err = directory.CreateGroup(ctx, tx, directory.Operator(), w.other.ID, "Finance"); err != nil {
			return err
		}
		for email, invitation := range map[string]*directory.Invitation{"owner.to.be": &w.invitation, "again": &w.again, "over": &w.over} {
			role := directory.Member
			if invitation == &w.invitation {
				role = directory.Owner
			}
			if *invitation, err = w.Invitations.Send(ctx, tx, directory.Operator(), w.org, directory.NewInvitation{Email: email + "@alpha.example", Role: role, Language: "en"}); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

// user makes a user of any role without an invitation.
func (w *world) user(t *testing.T, org directory.Organization, email string, role directory.Role) (u directory.User) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		if u, err = directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: org.ID, ID: directory.NewUserID(), Email: email, Name: email, Language: "en"}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update users set role = $1 where org_id = $2 and id = $3`, string(role), string(org.ID), string(u.ID))
		u.Role = role
		return err
	})
	return u
}

func (w *world) named(t *testing.T, org directory.Organization, email string) directory.User {
	t.Helper()
	page, err := administration.People(t.Context(), w.DB, directory.System(org.ID), org.ID, administration.Query{Filter: administration.Filter{Text: email}})
	if err != nil || len(page.Lines) != 1 || page.Lines[0].User == nil {
		t.Fatalf("%s: %+v, %v", email, page, err)
	}
	return *page.Lines[0].User
}

// changed returns everything that a deed could have changed. That a limiter began to refuse is no deed.
func (w *world) changed(t *testing.T) string {
	t.Helper()
	all := ""
	for _, table := range []string{"users", "invitations", "groups", "members", "email_changes", "sessions", "passwords", "letters", "audit_events"} {
		for row := range strings.Lines(dbtest.Dump(t, w.DB, table)) {
			if !strings.Contains(row, "request.refused") {
				all += row
			}
		}
	}
	return all
}

// act is something that is done to people in a transaction of its own.
type act struct {
	name string
	do   func(context.Context, *db.Tx, directory.Actor) error
}

// acts lists what is done to people apart from deeds, in an order in which each can be done.
func (w *world) acts() []act {
	ana := directory.Candidate{User: w.ana, Organization: w.org}
	return []act{
		{"invite", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := w.Invitations.Send(ctx, tx, a, w.org, directory.NewInvitation{Email: "new@alpha.example", Role: directory.Member, Language: "en"})
			return err
		}},
		{"send the invitation again", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := w.Invitations.Resend(ctx, tx, a, w.org, w.again.ID)
			return err
		}},
		{"withdraw the invitation", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return w.Invitations.Withdraw(ctx, tx, a, w.org.ID, w.over.ID)
		}},
		{"change an address", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return w.Site.SignIn.Emails.Request(ctx, tx, a, ana, "ana.new@alpha.example")
		}},
		{"withdraw the change", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return w.Site.SignIn.Emails.Withdraw(ctx, tx, a, w.ana)
		}},
		{"add to a group", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := directory.AddMembers(ctx, tx, a, w.org.ID, w.group.ID, []directory.UserID{w.ana.ID})
			return err
		}},
		{"rename a group", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return directory.RenameGroup(ctx, tx, a, w.org.ID, w.group.ID, "Accounts")
		}},
		{"remove from a group", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := directory.RemoveMembers(ctx, tx, a, w.org.ID, w.group.ID, []directory.UserID{w.ana.ID})
			return err
		}},
		{"create a group", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := directory.CreateGroup(ctx, tx, a, w.org.ID, "Another")
			return err
		}},
		{"delete a group", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return directory.DeleteGroup(ctx, tx, a, w.org.ID, w.group.ID)
		}},
	}
}

// everyDeed lists what an owner may do, which is everything.
func everyDeed() []administration.Deed {
	plain, roles := administration.DeedsFor(directory.Owner, nil)
	return slices.Concat(plain, roles)
}

// order lists the deeds in an order in which each fits the same person.
var order = []string{
	"reset", "new-password", "end-sessions", "deactivate", "reactivate", "role-helpdesk", "role-auditor", "role-administrator", "role-member", "delete", "restore",
}

// deed tries one of order on somebody, as an actor.
func (w *world) deed(t *testing.T, actor directory.Actor, name string, org directory.OrgID, id directory.UserID) error {
	t.Helper()
	d, known := administration.DeedNamed(name)
	if !known {
		t.Fatalf("no deed %s", name)
	}
	fates, err := w.Site.Administration.Do(t.Context(), actor, org, administration.Task{Deed: d, People: []directory.UserID{id}})
	if err != nil {
		return err
	}
	if !fates[0].Done() {
		return fates[0].Reason
	}
	return nil
}

func (w *world) try(t *testing.T, a act, actor directory.Actor) error {
	t.Helper()
	return w.DB.Update(t.Context(), func(tx *db.Tx) error { return a.do(t.Context(), tx, actor) })
}

func TestAnActorOfKindTokenDoesEachDeed(t *testing.T) {
	t.Parallel()
	w := start(t)
	k := newToken(w.org.ID, directory.Administrator, w.admin.ID)
	tried := map[string]bool{"role-owner": true} // beyond an administrator, below
	for _, name := range order {
		tried[name] = true
		if err := w.deed(t, k.Actor, name, w.org.ID, w.ana.ID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, d := range everyDeed() {
		if !tried[d.Name] {
			t.Errorf("%s was not tried", d.Name)
		}
	}
	if err := w.deed(t, k.Actor, "reactivate", w.org.ID, w.ana.ID); err != nil {
		t.Error(err)
	}
	for _, a := range w.acts() {
		if err := w.try(t, a, k.Actor); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
	}
	var byToken int
	if _, err := w.DB.One(t.Context(), db.Into(&byToken), `select count(*) from audit_events where org_id = $1 and actor = $2`, string(w.org.ID), k.ID); err != nil {
		t.Fatal(err)
	}
	if byToken < len(order)+len(w.acts()) {
		t.Errorf("%d events name the token", byToken)
	}
}

func TestAnActorOfKindTokenIsRefusedWhatIsBeyondIt(t *testing.T) {
	t.Parallel()
	w := start(t)
	k := newToken(w.org.ID, directory.Administrator, w.admin.ID)
	before := w.changed(t)
	refused := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	for _, d := range everyDeed() {
		refused(d.Name+" to an owner", w.deed(t, k.Actor, d.Name, w.org.ID, w.owner.ID), directory.ErrDenied)
		refused(d.Name+" to its own person", w.deed(t, k.Actor, d.Name, w.org.ID, w.admin.ID), directory.ErrYourself)
		refused(d.Name+" in the neighbour", w.deed(t, k.Actor, d.Name, w.other.ID, w.stranger.ID), directory.ErrNotFound)
		refused(d.Name+" to a neighbour", w.deed(t, k.Actor, d.Name, w.org.ID, w.stranger.ID), directory.ErrNotFound)
	}
	refused("making an owner", w.deed(t, k.Actor, "role-owner", w.org.ID, w.ana.ID), directory.ErrDenied)
	owners := directory.Candidate{User: w.owner, Organization: w.org}
	for _, a := range []struct {
		act
		want error
	}{
		{act{"inviting an owner", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := w.Invitations.Send(ctx, tx, a, w.org, directory.NewInvitation{Email: "x@alpha.example", Role: directory.Owner, Language: "en"})
			return err
		}}, directory.ErrDenied},
		{act{"sending an owner's invitation again", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := w.Invitations.Resend(ctx, tx, a, w.org, w.invitation.ID)
			return err
		}}, directory.ErrDenied},
		{act{"withdrawing an owner's invitation", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return w.Invitations.Withdraw(ctx, tx, a, w.org.ID, w.invitation.ID)
		}}, directory.ErrDenied},
		{act{"changing an owner's address", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return w.Site.SignIn.Emails.Request(ctx, tx, a, owners, "x@alpha.example")
		}}, directory.ErrDenied},
		{act{"changing its person's address", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return w.Site.SignIn.Emails.Request(ctx, tx, a, directory.Candidate{User: w.admin, Organization: w.org}, "x@alpha.example")
		}}, directory.ErrYourself},
		{act{"inviting into the neighbour", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := w.Invitations.Send(ctx, tx, a, w.other, directory.NewInvitation{Email: "x@beta.example", Role: directory.Member, Language: "en"})
			return err
		}}, directory.ErrNotFound},
		{act{"the neighbour's group", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return directory.RenameGroup(ctx, tx, a, w.other.ID, w.ofOther.ID, "Mine")
		}}, directory.ErrNotFound},
		{act{"suspending the organization", func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return directory.Suspend(ctx, tx, a, w.org.ID)
		}}, directory.ErrDenied},
	} {
		refused(a.name, w.try(t, a.act, k.Actor), a.want)
	}
	if w.changed(t) != before {
		t.Error("something of it was done")
	}
}

// An actor whose right ended after the request was admitted can do nothing, although the request says
// otherwise. One whose right shrank can do what is left of it.
func TestAnActorWhoseRightEndedIsRefusedEverything(t *testing.T) {
	t.Parallel()
	w := start(t)
	k := newToken(w.org.ID, directory.Administrator, w.admin.ID)
	let := k.Actor
	k.ended = true
	before := w.changed(t)
	for _, d := range everyDeed() {
		if err := w.deed(t, let, d.Name, w.org.ID, w.ana.ID); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	for _, a := range w.acts() {
		if err := w.try(t, a, let); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("%s: %v", a.name, err)
		}
	}
	for what, read := range w.lists() {
		if err := read(t.Context(), let, w.org.ID); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("reading %s: %v", what, err)
		}
	}
	if w.changed(t) != before {
		t.Error("something of it was done")
	}
	k.ended, k.Role = false, directory.Auditor
	if err := w.deed(t, let, "deactivate", w.org.ID, w.ana.ID); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("a right that fell to an auditor's deactivates: %v", err)
	}
	let.Again = nil
	if err := w.deed(t, let, "deactivate", w.org.ID, w.ana.ID); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("a right that cannot be read again deactivates: %v", err)
	}
}

// lists returns everything that the administration shows of an organization, by name.
func (w *world) lists() map[string]func(context.Context, directory.Actor, directory.OrgID) error {
	s := w.Site.Administration
	return map[string]func(context.Context, directory.Actor, directory.OrgID) error{
		"people": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := administration.People(ctx, w.DB, a, org, administration.Query{})
			return err
		},
		"everyone": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			d, _ := administration.DeedNamed("end-sessions")
			_, err := s.Do(ctx, a, org, administration.Task{Deed: d, Everyone: true, Dry: true})
			return err
		},
		"a person": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := s.Person(ctx, w.DB, a, org, w.ana.ID)
			return err
		},
		"an invitation": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := directory.InvitationByID(ctx, w.DB, a, org, w.invitation.ID)
			return err
		},
		"groups": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := directory.Groups(ctx, w.DB, a, org)
			return err
		},
		"a group": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := directory.GroupByID(ctx, w.DB, a, org, w.group.ID)
			return err
		},
		"domains": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := domain.Of(ctx, w.DB, a, org)
			return err
		},
		"connections": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := federation.ConnectionsOf(ctx, w.DB, a, org)
			return err
		},
		"applications": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := application.Of(ctx, w.DB, a, org)
			return err
		},
		"whom password rules meet": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := administration.ReviewPasswordRules(ctx, w.DB, a, org, credential.Classic)
			return err
		},
		"whom second step rules meet": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := s.ReviewSecondStepRules(ctx, w.DB, a, org, signin.SecondStepRules{})
			return err
		},
		"whom session rules meet": func(ctx context.Context, a directory.Actor, org directory.OrgID) error {
			_, err := s.ReviewSessionRules(ctx, w.DB, a, org, session.Rules{Idle: session.Idle, Absolute: session.Absolute}, "")
			return err
		},
	}
}

func TestAnActorOfKindTokenReadsEachList(t *testing.T) {
	t.Parallel()
	w := start(t)
	k := newToken(w.org.ID, directory.Administrator, w.admin.ID)
	member := newToken(w.org.ID, directory.Member, w.ana.ID)
	for what, read := range w.lists() {
		if err := read(t.Context(), k.Actor, w.org.ID); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := read(t.Context(), k.Actor, w.other.ID); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%s of the neighbour: %v", what, err)
		}
		if err := read(t.Context(), member.Actor, w.org.ID); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("%s by a member's token: %v", what, err)
		}
	}
	p, err := w.Site.Administration.Person(t.Context(), w.DB, k.Actor, w.org.ID, w.ana.ID)
	if err != nil {
		t.Fatal(err)
	}
	offered := []string{}
	for _, d := range p.Deeds {
		offered = append(offered, d.Name)
	}
	if got, want := fmt.Sprint(offered), "[reset new-password end-sessions deactivate delete]"; got != want {
		t.Errorf("offers %s, want %s", got, want)
	}
}

// A refusal is recorded in the log of the actor's own organization (R-LOG-02).
func TestARefusalNamesTheToken(t *testing.T) {
	t.Parallel()
	w := start(t)
	k := newToken(w.org.ID, directory.Auditor, "")
	if err := w.Site.Administration.Refused(t.Context(), k.Actor, "POST /somewhere"); err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from audit_events where org_id = $1 and actor = $2 and result = $3`,
		string(w.org.ID), k.ID, string(audit.Refused)); err != nil || n != 1 {
		t.Errorf("%d refusals, %v", n, err)
	}
}
