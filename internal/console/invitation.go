package console

import (
	"context"
	"errors"
	"net/url"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/page"
)

// The field for the invited person's language is not called language: that field is the footer's,
// on every form.
var inviteFields = page.Fields{"email", "name", "role", "invited_language"}

var errOver = fault.New(fault.Conflict, "console.invitation.over")

// invitePage is the form that invites somebody.
type invitePage struct {
	Roles    []directory.Role // that the viewer may give
	Role     directory.Role   // offered first
	Language string           // offered first: the organization's
}

func (s *Server) showInvite(v *page.Viewer) error {
	return v.Render("console-invite", invitePage{v.User.Role.Grants(), directory.Member, string(v.Organization.Language)})
}

func (s *Server) invite(v *page.Viewer) error {
	n := directory.NewInvitation{
		Email: v.Form.Get("email"), Name: v.Form.Get("name"), Role: directory.Role(v.Form.Get("role")), Language: i18n.Tag(v.Form.Get("invited_language")),
	}
	inv, err := s.site.Administration.Invite(v.R.Context(), v.User.AsActor(), v.Organization, n)
	return sent(v, inv, err)
}

// sent leads to the page of an invitation that was sent just now.
func sent(v *page.Viewer, inv directory.Invitation, err error) error {
	return v.Done(err, v.Path("admin/invitations", inv.ID)+"?sent")
}

// invitationPage shows one invitation, open or over. Its link is nowhere on the page: only the
// letter has it (R-INV-03).
type invitationPage struct {
	Invitation  directory.Invitation
	State       chip
	Language    string
	Inviter     string // empty for the operator, or for somebody who no longer exists
	InviterPath string
	Search      string // address of the list with this e-mail address
	JustSent    bool   // shown right after sending
	Unopened    bool   // under way or arrived, as far as we know
	GivenUp     bool   // no mail server accepted its letter in time
	Lapsed      bool   // the person who sent it may no longer invite
	Taken       bool   // somebody has the address by now: it can only be withdrawn
	Open        bool   // not accepted, withdrawn or replaced
	MayChange   bool   // open, and for a role that the viewer may administer
}

func (s *Server) showInvitation(v *page.Viewer) error {
	id := v.ID()
	var p invitationPage
	ctx := v.R.Context()
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		p = invitationPage{}
		if p.Invitation, err = directory.InvitationByID(ctx, tx, v.User.AsActor(), v.Organization.ID, id); err != nil || p.Invitation.By.UserID == "" {
			return err
		}
		inviter, err := directory.UserByID(ctx, tx, v.Organization.ID, p.Invitation.By.UserID)
		if errors.Is(err, directory.ErrNotFound) {
			return nil
		}
		p.Inviter, p.InviterPath = inviter.Name, v.Path("admin/people", string(inviter.ID))
		return err
	}); err != nil {
		return err
	}
	state := p.Invitation.State(s.site.DB.Now())
	p.State, p.Language = invitationChips[state], s.languageName(string(p.Invitation.Language))
	p.Search = v.Path("admin/people") + "?" + url.Values{"q": {p.Invitation.Email}}.Encode()
	p.Unopened = state == directory.InvitationWaiting || state == directory.InvitationSent
	p.JustSent = p.Unopened && v.Just("sent")
	p.GivenUp = state == directory.InvitationGivenUp
	p.Open, p.Lapsed, p.Taken = p.Invitation.Open(), state == directory.InvitationLapsed, state == directory.InvitationTaken
	p.MayChange = p.Open && v.User.Role.Governs(p.Invitation.Role)
	v.FormIf(p.MayChange)
	return v.Render("console-invitation", p)
}

// invitation asks before an invitation is withdrawn.
func (s asks) invitation(v *page.Viewer) (bool, error) {
	i, err := directory.InvitationByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.Organization.ID, v.ID())
	if err != nil {
		return false, err
	}
	c := confirmation{Back: v.Path("admin/invitations", i.ID)}
	switch v.Form.Asked() {
	case "withdraw":
		c.Title, c.Button = v.Text("console.confirm.withdraw", "Email", i.Email), v.Text("console.invitation.withdraw")
		c.Follows = []string{v.Text("console.confirm.withdraw_what", "Email", i.Email)}
		asked, err := s.confirm(v, c, s.withdraw(v))
		return asked, over(err)
	case "resend":
		c.Light, c.Title, c.Button = true, v.Text("console.confirm.resend", "Email", i.Email), v.Text("console.invitation.resend")
		c.Follows = []string{v.Text("console.invitation.resend_what")}
		return s.confirm(v, c)
	}
	return false, nil
}

func (s *Server) changeInvitation(v *page.Viewer) error {
	switch id := v.ID(); v.Form.Asked() {
	case "resend":
		inv, err := s.site.Administration.InviteAgain(v.R.Context(), v.User.AsActor(), v.Organization, id)
		return over(sent(v, inv, err))
	case "withdraw":
		return over(v.Do(s.withdraw(v), v.Path("admin/invitations", id)))
	}
	return s.showInvitation(v)
}

// over answers that an invitation is over as its page does: the directory's sentences are for the
// link's holder.
func over(err error) error {
	for _, over := range []error{directory.ErrInvitationUsed, directory.ErrInvitationWithdrawn, directory.ErrInvitationReplaced, directory.ErrInvitationTaken} {
		if errors.Is(err, over) {
			return errOver
		}
	}
	return err
}

func (s *Server) withdraw(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return s.Invitations.Withdraw(ctx, tx, v.User.AsActor(), v.Organization.ID, v.ID())
	}
}
