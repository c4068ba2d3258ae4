package administration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parvis/internal/administration/sheet"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/limit"
	"parvis/internal/naming"
)

// Letters of invitation go to addresses that somebody else typed. What one organization sends is
// limited, and what one address gets from it.
var (
	PerOrganizationInvitations = limit.Policy{Name: "invitation-organization", Free: 5000, First: 10 * time.Minute, Most: 2 * time.Hour, Forget: 4 * time.Hour}
	PerAddressInvitations      = limit.Policy{Name: "invitation-address", Free: 6, First: 10 * time.Minute, Most: 24 * time.Hour, Forget: 24 * time.Hour}
)

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerOrganizationInvitations, PerAddressInvitations}

// What can be wrong with an invitation besides what the directory says of it.
var (
	ErrOwnerFromFile  = fault.Field("role", "administration.owner_from_file")
	ErrRoleAbove      = fault.Field("role", "administration.role_above")
	ErrLineRole       = fault.Field("role", "administration.role_unknown")
	ErrLineLanguage   = fault.Field("language", "administration.language_unknown")
	ErrAddressTwice   = fault.Field("email", "administration.address_twice")
	ErrLineWide       = fault.Field("people", "administration.line_wide")
	ErrNotPreviewed   = fault.Field("people", "administration.not_previewed")
	ErrManyLetters    = fault.New(fault.Throttled, "administration.many_letters")
	ErrAddressLetters = fault.New(fault.Throttled, "administration.address_letters")
)

// Invite sends one invitation.
func (s *Service) Invite(ctx context.Context, actor directory.Actor, org directory.Organization, n directory.NewInvitation) (directory.Invitation, error) {
	if err := s.CountInvitation(ctx, actor, org.ID, n.Email); err != nil {
		return directory.Invitation{}, err
	}
	return s.invited(ctx, func(tx *db.Tx) (directory.Invitation, error) {
		return s.SignIn.Invites.Send(ctx, tx, actor, org, n)
	})
}

// InviteAgain replaces an open invitation by a fresh one.
func (s *Service) InviteAgain(ctx context.Context, actor directory.Actor, org directory.Organization, id string) (directory.Invitation, error) {
	old, err := directory.InvitationByID(ctx, s.DB, actor, org.ID, id)
	if err == nil {
		err = s.CountInvitation(ctx, actor, org.ID, old.Email)
	}
	if err != nil {
		return directory.Invitation{}, err
	}
	return s.invited(ctx, func(tx *db.Tx) (directory.Invitation, error) {
		return s.SignIn.Invites.Resend(ctx, tx, actor, org, id)
	})
}

// inviter returns the actor as it is now, or an error if it invites nobody.
func inviter(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) (directory.Actor, error) {
	now, err := actor.In(ctx, r, org)
	if err == nil && !now.Role.LooksAfterPeople() {
		err = directory.ErrDenied
	}
	return now, err
}

// invited does what makes an invitation.
func (s *Service) invited(ctx context.Context, send func(*db.Tx) (directory.Invitation, error)) (directory.Invitation, error) {
	var inv directory.Invitation
	err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		inv, err = send(tx)
		return err
	})
	return inv, err
}

// CountInvitation comes before an invitation is sent to an address: it counts the letter, for an
// actor who invites people, and returns an error if there were too many.
func (s *Service) CountInvitation(ctx context.Context, actor directory.Actor, org directory.OrgID, email string) error {
	_, err := inviter(ctx, s.DB, actor, org)
	if err == nil {
		err = s.countAddress(ctx, org, email)
	}
	if err == nil {
		err = s.countLetters(ctx, org, 1)
	}
	return err
}

func (s *Service) countAddress(ctx context.Context, org directory.OrgID, email string) error {
	address, err := naming.ParseAddress(email)
	if err != nil {
		return nil //nolint:nilerr // Nothing will be sent there, and the directory says why.
	}
	taken, err := limit.Take(ctx, s.DB, s.SignIn.Limits.Key(PerAddressInvitations, limit.Of(org), limit.Of(address.Key)).In(string(org)))
	if err == nil && !taken.Allowed {
		err = ErrAddressLetters.After(taken.Wait)
	}
	return err
}

func (s *Service) countLetters(ctx context.Context, org directory.OrgID, letters int) error {
	taken, err := limit.Take(ctx, s.DB, s.SignIn.Limits.Key(PerOrganizationInvitations, limit.Of(org)).In(string(org)).Times(letters))
	if err == nil && !taken.Allowed {
		err = ErrManyLetters.After(taken.Wait)
	}
	return err
}

// LineFate is what happens, or would happen, to one line of a file.
type LineFate struct {
	sheet.Line
	New     directory.NewInvitation // what the line asks for
	Reasons []*fault.Error          // why nobody is invited by it; none if somebody is
	Sent    string                  // the id of the invitation, once it is sent
}

// Invited reports whether the line's person is invited.
func (f LineFate) Invited() bool { return len(f.Reasons) == 0 }

// PreviewFile returns what would happen to each line of a file.
func (s *Service) PreviewFile(ctx context.Context, actor directory.Actor, org directory.Organization, f sheet.File) ([]LineFate, error) {
	var fates []LineFate
	err := s.DB.View(ctx, func(tx *db.Tx) (err error) {
		fates, err = judgeFile(ctx, tx, actor, org, f, func(directory.Actor, *LineFate) error { return nil })
		return err
	})
	return fates, err
}

// InviteFile invites the people of those lines of a file whose numbers are given: the ones that a
// preview said would be invited. Every line is judged again, in the one transaction that invites
// them all.
func (s *Service) InviteFile(ctx context.Context, actor directory.Actor, org directory.Organization, f sheet.File, numbers []int) ([]LineFate, error) {
	if _, err := inviter(ctx, s.DB, actor, org.ID); err != nil {
		return nil, err
	}
	slow, err := s.countFile(ctx, org.ID, f, numbers)
	if err != nil {
		return nil, err
	}
	var fates []LineFate
	err = s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		fates, err = judgeFile(ctx, tx, actor, org, f, func(now directory.Actor, l *LineFate) error {
			if why := slow[l.Number]; why != nil {
				return why
			}
			if !slices.Contains(numbers, l.Number) {
				return ErrNotPreviewed
			}
			sent, err := s.SignIn.Invites.Send(ctx, tx, now, org, l.New)
			l.Sent = sent.ID
			return err
		})
		return err
	})
	return fates, err
}

// countFile counts the letters of some lines, and returns for which of them the address got too
// many. Too many letters of the organization refuse the file as a whole.
func (s *Service) countFile(ctx context.Context, org directory.OrgID, f sheet.File, numbers []int) (map[int]*fault.Error, error) {
	slow, letters := map[int]*fault.Error{}, 0
	for _, l := range f.Lines {
		if !slices.Contains(numbers, l.Number) {
			continue
		}
		err := s.countAddress(ctx, org, l.Email)
		why, ok := errors.AsType[*fault.Error](err)
		switch {
		case ok:
			slow[l.Number] = why
		case err != nil:
			return nil, err
		default:
			letters++
		}
	}
	if letters == 0 {
		return slow, nil
	}
	return slow, s.countLetters(ctx, org, letters)
}

// judgeFile says of each line why nobody can be invited by it, and calls then for the others.
func judgeFile(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.Organization, f sheet.File, then func(directory.Actor, *LineFate) error) ([]LineFate, error) {
	now, err := inviter(ctx, tx, actor, org.ID)
	if err != nil {
		return nil, err
	}
	fates := proposals(f, now, org)
	for i := range fates {
		l := &fates[i]
		possible := l.New
		if possible.Role.Valid() && !now.Role.Governs(possible.Role) {
			possible.Role = directory.Member // the role is refused already; is anything else wrong?
		}
		err := directory.MayInvite(ctx, tx, now, org.ID, possible)
		if err == nil && l.Invited() {
			err = then(now, l)
		}
		reasons := fault.All(err)
		if err != nil && reasons == nil {
			return nil, fmt.Errorf("line %d: %w", l.Number, err)
		}
		for _, why := range reasons {
			l.Reasons = append(l.Reasons, inFile(why))
		}
	}
	return fates, nil
}

// inFile returns a fault in the words for somebody who wrote a file and did not choose from a list.
func inFile(why *fault.Error) *fault.Error {
	switch why.Key {
	case directory.ErrRoleUnknown.Key:
		return ErrLineRole
	case directory.ErrInvitedLanguage.Key:
		return ErrLineLanguage
	}
	return why
}

// proposals returns the invitations that the lines of a file ask for, with what the file itself
// and the actor's role have against them.
func proposals(f sheet.File, actor directory.Actor, org directory.Organization) []LineFate {
	fates, first := make([]LineFate, 0, len(f.Lines)), map[string]int{}
	for _, l := range f.Lines {
		fate := LineFate{Line: l, New: directory.NewInvitation{
			Email: l.Email, Name: l.Name, Role: directory.Role(cmp.Or(l.Role, string(directory.Member))), Language: cmp.Or(i18n.Tag(l.Language), org.Language),
		}}
		because := func(why *fault.Error) { fate.Reasons = append(fate.Reasons, why) }
		if l.Wide {
			because(ErrLineWide)
		}
		if address, err := naming.ParseAddress(l.Email); err == nil {
			if before, twice := first[address.Key]; twice {
				because(ErrAddressTwice.With("Line", before))
			} else {
				first[address.Key] = l.Number
			}
		}
		switch role := fate.New.Role; {
		case role == directory.Owner:
			because(ErrOwnerFromFile)
		case role.Valid() && !actor.Role.Governs(role):
			because(ErrRoleAbove)
		}
		fates = append(fates, fate)
	}
	return fates
}
