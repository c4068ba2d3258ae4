package directory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// house is a database with what is needed to invite people.
type house struct {
	*db.DB
	t     *testing.T
	clock *dbtest.Clock
	inv   *directory.Invitations
}

func open(t *testing.T) house {
	t.Helper()
	d, clock := dbtest.Open(t)
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	outbox := mail.NewOutbox(mail.Settings{Sealing: secret.NewKeys().Sealing, Catalogue: catalogue, From: "no-reply@parvis.example", Log: slog.New(slog.DiscardHandler)})
	return house{d, t, clock, &directory.Invitations{Outbox: outbox, Base: "https://parvis.example"}}
}

func (h house) update(fn func(ctx context.Context, tx *db.Tx) error) error {
	h.t.Helper()
	return h.Update(h.t.Context(), func(tx *db.Tx) error { return fn(h.t.Context(), tx) })
}

func (h house) organization(name, short string) directory.Organization {
	h.t.Helper()
	o, err := h.tryOrganization(name, short)
	if err != nil {
		h.t.Fatal(err)
	}
	return o
}

func (h house) tryOrganization(name, short string) (o directory.Organization, err error) {
	err = h.update(func(ctx context.Context, tx *db.Tx) error {
		o, err = directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: name, ShortName: short, Language: "en"})
		return err
	})
	return o, err
}

func (h house) invite(actor directory.Actor, o directory.Organization, email string, role directory.Role) (inv directory.Invitation, err error) {
	err = h.update(func(ctx context.Context, tx *db.Tx) error {
		inv, err = h.inv.Send(ctx, tx, actor, o, directory.NewInvitation{Email: email, Name: "Somebody", Role: role, Language: "en"})
		return err
	})
	return inv, err
}

// user makes a user of any role directly.
func (h house) user(o directory.Organization, email string, role directory.Role) directory.User {
	h.t.Helper()
	var u directory.User
	err := h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		if u, err = directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: o.ID, ID: directory.NewUserID(), Email: email, Name: "U " + email[:1], Language: "en"}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update users set role = $1 where org_id = $2 and id = $3`, string(role), string(o.ID), string(u.ID))
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	dbtest.GivePassword(h.t, h.DB, string(o.ID), string(u.ID))
	u.Role, u.HasPassword = role, true
	return u
}

func TestOrganizationNamesThatLookAlikeAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.organization("Alpha Works", "alpha")
	tests := map[string]struct {
		name, short string
		want        error
	}{
		"the same short name":             {"Other", "alpha", directory.ErrShortNameTaken},
		"in another case":                 {"Other", "ALPHA", directory.ErrShortNameTaken},
		"in full-width letters":           {"Other", "ａｌｐｈａ", directory.ErrShortNameTaken},
		"with a digit for a letter":       {"Other", "a1pha", directory.ErrShortNameTaken},
		"in look-alike Cyrillic":          {"Other", "аӏрһа", directory.ErrShortNameTaken},
		"the same display name":           {"alpha works", "other", directory.ErrDisplayNameTaken},
		"a display name with a homoglyph": {"Аlpha Works", "other", directory.ErrDisplayNameTaken},
		"with a right-to-left override":   {"Alpha \u202eskroW", "other", naming.ErrNameInvalid},
		"a free one":                      {"Gamma", "gamma", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := h.tryOrganization(tt.name, tt.short); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestNobodyGivesARightThatTheyDoNotHold(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	for _, role := range directory.Roles {
		u := h.user(o, string(role)+"@alpha.example", role)
		for i, target := range directory.Roles {
			_, err := h.invite(u.AsActor(), o, fmt.Sprintf("%s-%d@alpha.example", role, i), target)
			may := false
			for _, g := range role.Grants() {
				may = may || g == target
			}
			if may != (err == nil) || !may && !errors.Is(err, directory.ErrDenied) {
				t.Errorf("%s invites %s: %v", role, target, err)
			}
			if _, err := h.invite(u.AsActor(), other, "x@beta.example", target); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%s of alpha invites into beta: %v", role, err)
			}
		}
		// A role never has rights that the one above it lacks.
		for _, g := range role.Grants() {
			if g == directory.Owner && role != directory.Owner {
				t.Errorf("%s makes owners", role)
			}
		}
	}
	if _, err := h.invite(directory.Operator(), o, "z@alpha.example", "king"); !errors.Is(err, directory.ErrRoleUnknown) {
		t.Errorf("an unknown role: %v", err)
	}
}

func TestOneOpenInvitationPerAddressAndOrganization(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	if _, err := h.invite(directory.Operator(), o, "ana@alpha.example", directory.Member); err != nil {
		t.Fatal(err)
	}
	if _, err := h.invite(directory.Operator(), o, "ANA@Alpha.Example", directory.Member); !errors.Is(err, directory.ErrAlreadyInvited) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := h.invite(directory.Operator(), other, "ana@alpha.example", directory.Member); err != nil {
		t.Errorf("in another organization: %v", err)
	}
	h.clock.Advance(directory.InvitationLifetime)
	if _, err := h.invite(directory.Operator(), o, "ana@alpha.example", directory.Member); err != nil {
		t.Errorf("after the first expired: %v", err)
	}
	h.user(o, "ben@alpha.example", directory.Member)
	if _, err := h.invite(directory.Operator(), o, "ben@alpha.example", directory.Member); !errors.Is(err, directory.ErrAlreadyMember) {
		t.Errorf("of a member: %v", err)
	}
}

func TestEightInvitationsOfOneAddressMakeOne(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = h.invite(directory.Operator(), o, "ana@alpha.example", directory.Member) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !errors.Is(err, directory.ErrAlreadyInvited) {
			t.Error(err)
		}
	}
	var letters int
	if _, err := h.One(t.Context(), db.Into(&letters), `select count(*) from letters`); err != nil || made != 1 || letters != 1 {
		t.Errorf("%d invitations and %d letters (%v)", made, letters, err)
	}
}

func TestInvitationStates(t *testing.T) {
	t.Parallel()
	now := dbtest.Start
	past := now.Add(-time.Hour)
	open := directory.Invitation{ExpiresAt: now.Add(time.Hour)}
	with := func(change func(*directory.Invitation)) directory.Invitation {
		i := open
		change(&i)
		return i
	}
	tests := map[directory.InvitationState]directory.Invitation{
		directory.InvitationWaiting:   open,
		directory.InvitationSent:      with(func(i *directory.Invitation) { i.Letter.SentAt = past }),
		directory.InvitationBounced:   with(func(i *directory.Invitation) { i.Letter.BouncedAt, i.OpenedAt, i.ExpiresAt = past, past, now }),
		directory.InvitationGivenUp:   with(func(i *directory.Invitation) { i.Letter.GivenUpAt = past }),
		directory.InvitationOpened:    with(func(i *directory.Invitation) { i.Letter.SentAt, i.OpenedAt = past, past }),
		directory.InvitationExpired:   with(func(i *directory.Invitation) { i.Letter.SentAt, i.ExpiresAt = past, now }),
		directory.InvitationReplaced:  with(func(i *directory.Invitation) { i.ReplacedAt, i.ExpiresAt = past, past }),
		directory.InvitationWithdrawn: with(func(i *directory.Invitation) { i.WithdrawnAt, i.OpenedAt = past, past }),
		directory.InvitationAccepted:  with(func(i *directory.Invitation) { i.AcceptedAt, i.ExpiresAt = past, past }),
	}
	for want, i := range tests {
		if got := i.State(now); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		usable := want == directory.InvitationWaiting || want == directory.InvitationSent || want == directory.InvitationGivenUp || want == directory.InvitationOpened
		if (i.Usable(now) == nil) != usable {
			t.Errorf("%s: usable %v", want, i.Usable(now))
		}
	}
}

func TestWithdrawnAndForeignInvitationsCannotBeChanged(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	owner, neighbour := h.user(o, "o@alpha.example", directory.Owner), h.user(other, "o@beta.example", directory.Owner)
	helpdesk := h.user(o, "h@alpha.example", directory.Helpdesk)
	inv, err := h.invite(owner.AsActor(), o, "ana@alpha.example", directory.Administrator)
	if err != nil {
		t.Fatal(err)
	}
	change := func(a directory.Actor, org directory.Organization) error {
		return h.update(func(ctx context.Context, tx *db.Tx) error {
			if _, err := h.inv.Resend(ctx, tx, a, org, inv.ID); err != nil {
				return err
			}
			return errors.New("rolled back")
		})
	}
	if err := change(neighbour.AsActor(), other); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("the neighbour, in its own: %v", err)
	}
	if err := change(neighbour.AsActor(), o); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("the neighbour, in ours: %v", err)
	}
	if err := change(helpdesk.AsActor(), o); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("helpdesk changes an administrator's: %v", err)
	}
	withdraw := func() error {
		return h.update(func(ctx context.Context, tx *db.Tx) error {
			return h.inv.Withdraw(ctx, tx, owner.AsActor(), o.ID, inv.ID)
		})
	}
	if err := withdraw(); err != nil {
		t.Fatal(err)
	}
	if err := withdraw(); !errors.Is(err, directory.ErrInvitationWithdrawn) {
		t.Errorf("a second time: %v", err)
	}
	if err := change(owner.AsActor(), o); !errors.Is(err, directory.ErrInvitationWithdrawn) {
		t.Errorf("sending a withdrawn one again: %v", err)
	}
	var waiting int
	if _, err := h.One(t.Context(), db.Into(&waiting), `select count(*) from letters where next_try_at is not null`); err != nil || waiting != 0 {
		t.Errorf("%d letters would still be sent (%v)", waiting, err)
	}
}

func TestPeopleAreListedByKeyAndSearched(t *testing.T) {
	t.Parallel()
	h := open(t)
	o, other := h.organization("Alpha Works", "alpha"), h.organization("Beta Labs", "beta")
	owner := h.user(o, "zoe@alpha.example", directory.Owner)
	h.user(other, "secret@beta.example", directory.Member)
	began := h.DB.Now()
	for i := range 60 {
		h.clock.Advance(time.Second)
		h.user(o, fmt.Sprintf("person%d@alpha.example", i), directory.Member)
		if i%2 == 0 {
			if _, err := h.invite(directory.Operator(), o, fmt.Sprintf("asked%d@alpha.example", i), directory.Member); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(q administration.Query) (n, pages int) {
		seen := map[string]bool{}
		for {
			p, err := administration.People(t.Context(), h.DB, owner.AsActor(), o.ID, q)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, x := range p.Lines {
				if x.User != nil {
					seen[string(x.User.ID)] = true
				} else {
					seen[x.Invitation.ID] = true
				}
				if x.User != nil && x.User.OrgID != o.ID {
					t.Error("a neighbour is in the list")
				}
				if x.Invitation != nil && x.Invitation.OrgID != o.ID {
					t.Error("a neighbour's invitation is in the list")
				}
			}
			if p.Next.ID == "" {
				return len(seen), pages
			}
			q.After = p.Next
		}
	}
	for _, tt := range []struct {
		q    administration.Query
		want int
	}{
		{administration.Query{}, 91},
		{administration.Query{Filter: administration.Filter{State: administration.Invited}}, 30},
		{administration.Query{Filter: administration.Filter{State: administration.Active}}, 61},
		{administration.Query{Filter: administration.Filter{State: administration.Deactivated}}, 0},
		{administration.Query{Filter: administration.Filter{Role: directory.Owner}}, 1},
		{administration.Query{Filter: administration.Filter{Role: directory.Member, State: administration.Active}}, 60},
		{administration.Query{Filter: administration.Filter{Role: directory.Member}}, 90},
		{administration.Query{Filter: administration.Filter{Since: began.Add(31 * time.Second)}}, 45},
		{administration.Query{Filter: administration.Filter{Since: began.Add(31 * time.Second), Text: "asked"}}, 15},
		{administration.Query{Filter: administration.Filter{Text: "PERSON1"}}, 11},
		{administration.Query{Filter: administration.Filter{Text: "person%"}}, 0},
		{administration.Query{Filter: administration.Filter{Text: "secret"}}, 0},
		{administration.Query{Filter: administration.Filter{Text: `\`}}, 0},
	} {
		if got, _ := count(tt.q); got != tt.want {
			t.Errorf("%+v finds %d, want %d", tt.q, got, tt.want)
		}
	}
	if _, err := administration.People(t.Context(), h.DB, owner.AsActor(), other.ID, administration.Query{}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("alpha's owner lists beta: %v", err)
	}
	member := h.user(o, "m@alpha.example", directory.Member)
	if _, err := administration.People(t.Context(), h.DB, member.AsActor(), o.ID, administration.Query{}); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("a member lists people: %v", err)
	}
}

func TestOnlyTheOperatorMakesSuspendsAndResumes(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "o@alpha.example", directory.Owner)
	for name, fn := range map[string]func(ctx context.Context, tx *db.Tx, a directory.Actor) error{
		"create": func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			_, err := directory.CreateOrganization(ctx, tx, a, directory.NewOrganization{DisplayName: "Gamma", ShortName: "gamma"})
			return err
		},
		"suspend": func(ctx context.Context, tx *db.Tx, a directory.Actor) error {
			return directory.Suspend(ctx, tx, a, o.ID)
		},
	} {
		if err := h.update(func(ctx context.Context, tx *db.Tx) error { return fn(ctx, tx, owner.AsActor()) }); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("an owner may %s: %v", name, err)
		}
	}
	step := func(fn func(context.Context, *db.Tx, directory.Actor, directory.OrgID) error) error {
		return h.update(func(ctx context.Context, tx *db.Tx) error { return fn(ctx, tx, directory.Operator(), o.ID) })
	}
	for i, want := range []error{nil, directory.ErrSuspended} {
		if err := step(directory.Suspend); !errors.Is(err, want) {
			t.Errorf("suspending, time %d: %v", i+1, err)
		}
	}
	for i, want := range []error{nil, directory.ErrNotSuspended} {
		if err := step(directory.Resume); !errors.Is(err, want) {
			t.Errorf("resuming, time %d: %v", i+1, err)
		}
	}
}

func TestProfileChangeIsRecordedWithBeforeAndAfter(t *testing.T) {
	t.Parallel()
	h := open(t)
	u := h.user(h.organization("Alpha Works", "alpha"), "o@alpha.example", directory.Owner)
	for range 2 { // the second changes nothing and records nothing
		err := h.update(func(ctx context.Context, tx *db.Tx) error {
			now, err := directory.UserByID(ctx, tx, u.OrgID, u.ID)
			if err != nil {
				return err
			}
			return directory.UpdateProfile(ctx, tx, now, directory.Profile{Name: "New Name", Language: "fr", TimeZone: "Europe/Paris"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var events int
	var before, after string
	if _, err := h.One(t.Context(), db.Into(&events, &before, &after), `
		select count(*), max(before), max(after) from audit_events where action = 'user.profile_changed'`); err != nil {
		t.Fatal(err)
	}
	if events != 1 || before != `{"language":"en","name":"U o","time_zone":""}` || after != `{"language":"fr","name":"New Name","time_zone":"Europe/Paris"}` {
		t.Errorf("%d events, from %s to %s", events, before, after)
	}
}

func TestInvitationDoesNotOutliveTheAuthorityOfWhoInvited(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	admin, helpdesk := h.user(o, "a@alpha.example", directory.Administrator), h.user(o, "h@alpha.example", directory.Helpdesk)
	inv, err := h.invite(admin.AsActor(), o, "outside@alpha.example", directory.Administrator)
	if err != nil {
		t.Fatal(err)
	}
	state := func() directory.InvitationState {
		now, err := directory.InvitationByID(t.Context(), h.DB, directory.Operator(), o.ID, inv.ID)
		if err != nil {
			t.Fatal(err)
		}
		return now.State(h.clock.Now())
	}
	set := func(statement string, arg any) {
		t.Helper()
		if err := h.update(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, statement, arg, string(o.ID), string(admin.ID))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	role, gone := `update users set role = $1 where org_id = $2 and id = $3`, `update users set deactivated_at = $1 where org_id = $2 and id = $3`
	for _, step := range []struct {
		statement string
		arg       any
		want      directory.InvitationState
	}{
		{role, "helpdesk", directory.InvitationLapsed},
		{role, "administrator", directory.InvitationWaiting},
		{gone, db.Time(h.clock.Now()), directory.InvitationLapsed},
		{gone, db.Time(time.Time{}), directory.InvitationWaiting},
	} {
		set(step.statement, step.arg)
		if got := state(); got != step.want {
			t.Errorf("after %v the invitation is %s, want %s", step.arg, got, step.want)
		}
	}
	dbtest.ByHand(t, h.DB)
	// Helpdesk cannot replace an invitation by somebody with more rights, expired or not.
	h.clock.Advance(directory.InvitationLifetime)
	if _, err := h.invite(helpdesk.AsActor(), o, "outside@alpha.example", directory.Member); !errors.Is(err, directory.ErrAlreadyInvited) {
		t.Errorf("helpdesk replaces an administrator's invitation: %v", err)
	}
	now, err := directory.InvitationByID(t.Context(), h.DB, directory.Operator(), o.ID, inv.ID)
	if err != nil || !now.Renewable(h.clock.Now()) || now.Renewable(inv.CreatedAt.Add(directory.RenewableFor)) {
		t.Errorf("an expired link is renewed for 60 days and no longer (%v)", err)
	}
}

// An unknown language is refused where it would be stored, whichever function is called.
func TestUnknownLanguagesAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	owner := h.user(o, "o@alpha.example", directory.Owner)
	for what, do := range map[string]func(context.Context, *db.Tx) error{
		"an organization": func(ctx context.Context, tx *db.Tx) error {
			_, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: "Beta Labs", ShortName: "beta", Language: "klingon"})
			return err
		},
		"a changed organization": func(ctx context.Context, tx *db.Tx) error {
			p := o.Profile()
			p.Language = "klingon"
			_, err := directory.ChangeOrganization(ctx, tx, owner.AsActor(), o.ID, p)
			return err
		},
		"an invitation": func(ctx context.Context, tx *db.Tx) error {
			_, err := h.inv.Send(ctx, tx, owner.AsActor(), o, directory.NewInvitation{Email: "a@alpha.example", Role: directory.Member, Language: "klingon"})
			return err
		},
		"a profile": func(ctx context.Context, tx *db.Tx) error {
			p := owner.Profile()
			p.Language = "klingon"
			return directory.UpdateProfile(ctx, tx, owner, p)
		},
	} {
		if err := h.update(do); !errors.Is(err, directory.ErrLanguage) {
			t.Errorf("%s in Klingon: %v", what, err)
		}
	}
}

// Every wrong value of an invitation is named at once.
func TestAnInvitationNamesAllThatIsWrong(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	err := h.update(func(ctx context.Context, tx *db.Tx) error {
		_, err := h.inv.Send(ctx, tx, directory.Operator(), o, directory.NewInvitation{Email: "nobody", Name: "a\u0000b", Role: directory.Member})
		return err
	})
	for _, want := range []error{naming.ErrAddressInvalid, naming.ErrNameInvalid, directory.ErrInvitedLanguage} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not named: %v", want, err)
		}
	}
}
