package administration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/administration/sheet"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/fault"
	"parvis/internal/limit"
)

// fileOf reads a file that can be read.
func fileOf(t *testing.T, text string) sheet.File {
	t.Helper()
	f, err := sheet.Read([]byte(text), sheet.Words{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// said returns what became of each line: the keys of its reasons, or invited.
func said(fates []administration.LineFate) (all []string) {
	for _, f := range fates {
		var keys []string
		for _, why := range f.Reasons {
			keys = append(keys, strings.TrimPrefix(strings.TrimPrefix(why.Key, "administration."), "directory."))
		}
		if f.Invited() {
			keys = []string{"invited"}
		}
		all = append(all, fmt.Sprint(f.Number, " ", strings.Join(keys, " ")))
	}
	return all
}

// numbers are those of the lines whose people are invited.
func numbers(fates []administration.LineFate) (all []int) {
	for _, f := range fates {
		if f.Invited() {
			all = append(all, f.Number)
		}
	}
	return all
}

const everyFate = `email,name,role,language
new@alpha.example,Somebody New,member,fr
bare@alpha.example
ana@alpha.example,Ana,member,en
again@alpha.example,Again,member,en
NEW@alpha.example,Twice,member,en
not an address,Nobody,member,en
boss@alpha.example,Boss,boss,en
head@alpha.example,Head,owner,en
aide@alpha.example,Aide,administrator,en
klingon@alpha.example,Worf,member,tlh
nothing-right,,owner,tlh
wide@alpha.example,"A",member,en,more
hidden@alpha.example,` + "A\u202eB" + `,member,en
`

func TestEveryLineOfAFileHasItsFate(t *testing.T) {
	t.Parallel()
	w := start(t)
	before := w.changed(t)
	rest := []string{"4 already_member", "5 already_invited", "6 address_twice", "7 address_invalid", "8 role_unknown", "9 owner_from_file"}
	for _, c := range []struct {
		who  directory.User
		aide string
	}{{w.owner, "10 invited"}, {w.admin, "10 invited"}, {w.helpdesk, "10 role_above"}} {
		fates, err := w.Site.Administration.PreviewFile(t.Context(), c.who.AsActor(), w.org, fileOf(t, everyFate))
		want := slices.Concat([]string{"2 invited", "3 invited"}, rest,
			[]string{c.aide, "11 language_unknown", "12 owner_from_file address_invalid language_unknown", "13 line_wide", "14 name_invalid"})
		of := expect.Case(t, "%s", c.who.Email)
		expect.Equal(of, "error", err, nil)
		expect.Equal(of, "fates", strings.Join(said(fates), "\n"), strings.Join(want, "\n"))
	}
	expect.Equal(t, "what a preview changed", w.changed(t), before)
	for name, actor := range map[string]directory.Actor{"a member": w.ana.AsActor(), "an auditor's token": newToken(w.org.ID, directory.Auditor, "").Actor} {
		_, err := w.Site.Administration.PreviewFile(t.Context(), actor, w.org, fileOf(t, everyFate))
		expect.Equal(expect.Case(t, "%s", name), "preview", errors.Is(err, directory.ErrDenied), true)
		_, err = w.Site.Administration.InviteFile(t.Context(), actor, w.org, fileOf(t, everyFate), []int{2})
		expect.Equal(expect.Case(t, "%s", name), "deed", errors.Is(err, directory.ErrDenied), true)
	}
	_, err := w.Site.Administration.InviteFile(t.Context(), w.stranger.AsActor(), w.org, fileOf(t, everyFate), []int{2})
	expect.Equal(t, "the neighbour finds nothing", errors.Is(err, directory.ErrNotFound), true)
	expect.Equal(t, "what refusals changed", w.changed(t), before)
}

func TestAFileIsJudgedAgainInsideTheDeed(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.Site.Administration
	f := fileOf(t, "email,name,role\na@alpha.example,A,member\nb@alpha.example,B,administrator\nc@alpha.example,C,auditor\nana@alpha.example,Ana,member\nd@alpha.example,D,member\n")
	previewed, err := s.PreviewFile(t.Context(), w.admin.AsActor(), w.org, f)
	expect.Equal(t, "preview", fmt.Sprint(said(previewed), err), "[2 invited 3 invited 4 invited 5 already_member 6 invited] <nil>")

	// Meanwhile somebody else invites the first person, and the administrator is made helpdesk.
	if _, err := s.Invite(t.Context(), w.owner.AsActor(), w.org, directory.NewInvitation{Email: "a@alpha.example", Role: directory.Member, Language: "en"}); err != nil {
		t.Fatal(err)
	}
	stale := w.admin.AsActor()
	w.does(t, w.owner.AsActor(), "role-helpdesk", w.admin.ID)
	fates, err := s.InviteFile(t.Context(), stale, w.org, f, numbers(previewed))
	expect.Equal(t, "deed", fmt.Sprint(said(fates), err), "[2 already_invited 3 role_above 4 role_above 5 already_member 6 invited] <nil>")

	// A line that the preview did not show as possible is not done, though it is possible now.
	fates, err = s.InviteFile(t.Context(), w.owner.AsActor(), w.org, f, []int{3})
	expect.Equal(t, "a line of its own", fmt.Sprint(said(fates), err), "[2 already_invited 3 invited 4 not_previewed 5 already_member 6 already_invited] <nil>")

	sent := w.events(t, w.org.ID, "invitation.sent")
	slices.Sort(sent)
	expect.Equal(t, "each is in the audit log", strings.Join(sent, ", "), "a@alpha.example by owner@alpha.example, again@alpha.example by operator, ana@alpha.example by operator, "+
		"b@alpha.example by owner@alpha.example, d@alpha.example by admin@alpha.example, over@alpha.example by operator, owner.to.be@alpha.example by operator")
	for email, letters := range map[string]int{"a@alpha.example": 1, "b@alpha.example": 1, "c@alpha.example": 0, "d@alpha.example": 1} {
		expect.Equal(expect.Case(t, "%s", email), "letters", len(w.LettersTo(t, email)), letters)
	}
}

func TestWhenAFileCannotBeInvitedWhollyNothingIsHalfDone(t *testing.T) {
	t.Parallel()
	w := start(t)
	text := "email\n"
	for i := range sheet.Most {
		text += fmt.Sprintf("p%03d@alpha.example\n", i)
	}
	f := fileOf(t, text)
	fates, err := w.Site.Administration.PreviewFile(t.Context(), w.admin.AsActor(), w.org, f)
	expect.Equal(t, "preview", fmt.Sprint(len(numbers(fates)), err), "500 <nil>")
	// An owner who deactivates the administrator meanwhile stops all of it.
	w.does(t, w.owner.AsActor(), "deactivate", w.admin.ID)
	before := w.changed(t)
	_, err = w.Site.Administration.InviteFile(t.Context(), w.admin.AsActor(), w.org, f, numbers(fates))
	expect.Equal(t, "refused", errors.Is(err, directory.ErrDenied), true)
	expect.Equal(t, "what was done", w.changed(t), before)
	done, err := w.Site.Administration.InviteFile(t.Context(), w.owner.AsActor(), w.org, f, numbers(fates))
	expect.Equal(t, "done", fmt.Sprint(len(numbers(done)), err), "500 <nil>")
}

func TestLettersOfInvitationAreLimited(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.Site.Administration
	n := directory.NewInvitation{Email: "often@alpha.example", Role: directory.Member, Language: "en"}
	inv, err := s.Invite(t.Context(), w.admin.AsActor(), w.org, n)
	if err != nil {
		t.Fatal(err)
	}
	for range administration.PerAddressInvitations.Free - 1 {
		if inv, err = s.InviteAgain(t.Context(), w.admin.AsActor(), w.org, inv.ID); err != nil {
			t.Fatal(err)
		}
	}
	before := w.changed(t)
	_, err = s.InviteAgain(t.Context(), w.admin.AsActor(), w.org, inv.ID)
	expect.Equal(t, "once more", errors.Is(err, administration.ErrAddressLetters), true)
	slow, _ := errors.AsType[*fault.Error](err)
	expect.Equal(t, "wait", slow.RetryAfter, 10*time.Minute)
	expect.Equal(t, "what was done", w.changed(t), before)
	_, err = s.Invite(t.Context(), w.stranger.AsActor(), w.org, n)
	expect.Equal(t, "a stranger is not found and counts nothing", errors.Is(err, directory.ErrNotFound), true)

	// In a file the address is left out, and the others are invited.
	w.withdraw(t, inv)
	fates, err := s.InviteFile(t.Context(), w.admin.AsActor(), w.org, fileOf(t, "email\noften@alpha.example\nother@alpha.example\n"), []int{2, 3})
	expect.Equal(t, "in a file", fmt.Sprint(said(fates), err), "[2 address_letters 3 invited] <nil>")
	w.Clock.Advance(10 * time.Minute)
	if _, err = s.Invite(t.Context(), w.admin.AsActor(), w.org, n); err != nil {
		t.Errorf("after ten minutes: %v", err)
	}

	// A file counts as so many letters, and is refused as a whole while the organization waits.
	organization := s.SignIn.Limits.Key(administration.PerOrganizationInvitations, limit.Of(w.org.ID))
	if taken, err := limit.Take(t.Context(), w.DB, organization.Times(administration.PerOrganizationInvitations.Free)); err != nil || !taken.Allowed {
		t.Fatalf("%+v, %v", taken, err)
	}
	before = w.changed(t)
	_, err = s.InviteFile(t.Context(), w.admin.AsActor(), w.org, fileOf(t, "email\nx@alpha.example\ny@alpha.example\n"), []int{2, 3})
	expect.Equal(t, "a file", errors.Is(err, administration.ErrManyLetters), true)
	_, err = s.Invite(t.Context(), w.admin.AsActor(), w.org, directory.NewInvitation{Email: "z@alpha.example", Role: directory.Member, Language: "en"})
	expect.Equal(t, "one", errors.Is(err, administration.ErrManyLetters), true)
	expect.Equal(t, "what was done while waiting", w.changed(t), before)
	if _, err := s.Invite(t.Context(), w.stranger.AsActor(), w.other, n); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("a member of the other organization: %v", err)
	}
	w.Clock.Advance(administration.PerOrganizationInvitations.First)
	fates, err = s.InviteFile(t.Context(), w.admin.AsActor(), w.org, fileOf(t, "email\nx@alpha.example\ny@alpha.example\n"), []int{2, 3})
	expect.Equal(t, "afterwards", fmt.Sprint(said(fates), err), "[2 invited 3 invited] <nil>")
}

// does does a deed that must succeed.
func (w *world) does(t *testing.T, actor directory.Actor, name string, id directory.UserID) {
	t.Helper()
	if err := w.deed(t, actor, name, w.org.ID, id); err != nil {
		t.Fatal(err)
	}
}

// withdraw ends an invitation, so that the address can be invited again.
func (w *world) withdraw(t *testing.T, inv directory.Invitation) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return w.Invitations.Withdraw(ctx, tx, directory.Operator(), inv.OrgID, inv.ID)
	})
}

// events lists what an action was done to, newest first, and by whom.
func (w *world) events(t *testing.T, org directory.OrgID, action audit.Action) (all []string) {
	t.Helper()
	page, err := audit.List(t.Context(), w.DB, audit.Query{OrgID: string(org), Search: string(action)})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		all = append(all, e.TargetName+" by "+e.ActorName)
	}
	return all
}
