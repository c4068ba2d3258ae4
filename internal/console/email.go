package console

import (
	"context"
	"errors"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
)

var emailFields = page.Fields{"email"}

// emailPage shows the address of somebody whom the viewer may change.
type emailPage struct {
	User      directory.User
	Pending   *directory.EmailChange // the one that waits to be proved; nil if none does
	Requester string                 // who asked for it
	Closed    string                 // catalogue key: why it cannot be changed
	Sent      bool                   // shown right after asking
	Withdrawn bool                   // shown right after withdrawing
}

func (s *Server) showEmail(v *page.Viewer) error {
	ctx, id := v.R.Context(), v.ID()
	var p emailPage
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		p, err = s.emailOf(ctx, tx, v, directory.UserID(id))
		return err
	}); err != nil {
		return err
	}
	p.Sent, p.Withdrawn = p.Pending != nil && v.Just("sent"), v.Just("withdrawn")
	if f, closed := errors.AsType[*fault.Error](p.User.Closed()); closed {
		p.Closed = f.Key
	}
	v.FormIf(p.Closed == "")
	return v.Render("console-email", p)
}

func (s *Server) emailOf(ctx context.Context, tx *db.Tx, v *page.Viewer, id directory.UserID) (p emailPage, err error) {
	if p.User, err = directory.UserByID(ctx, tx, v.User.OrgID, id); err != nil {
		return emailPage{}, err
	}
	switch err := v.User.AsActor().MayChangeEmail(ctx, tx, p.User); {
	case errors.Is(err, directory.ErrProvisioned):
		p.Closed = directory.ErrProvisioned.Key
		return p, nil
	case err != nil:
		return emailPage{}, err
	}
	if p.Pending, err = directory.PendingEmail(ctx, tx, p.User, tx.Now()); err != nil || p.Pending == nil {
		return p, err
	}
	requester, err := directory.UserByID(ctx, tx, v.User.OrgID, p.Pending.By.UserID)
	if errors.Is(err, directory.ErrNotFound) {
		err = nil // no person asked
	}
	p.Requester = requester.Name
	return p, err
}

// email asks before a change is withdrawn.
func (s asks) email(v *page.Viewer) (bool, error) {
	if v.Form.Asked() != "withdraw" {
		return false, nil
	}
	ctx, id := v.R.Context(), directory.UserID(v.ID())
	var p emailPage
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		p, err = s.emailOf(ctx, tx, v, id)
		return err
	}); err != nil || p.Pending == nil {
		return false, err // there is nothing to withdraw, as the page then says
	}
	return s.confirm(v, confirmation{
		Title: v.Text("console.confirm.withdraw_email", "Name", p.User.Name), Button: v.Text("console.email.withdraw"),
		Follows: []string{v.Text("console.confirm.withdraw_email_what", "Email", p.Pending.Email, "Now", p.User.Email)},
		Back:    v.Path("admin/people", string(id), "email"),
	}, s.withdrawEmail(v, p.User))
}

func (s *Server) withdrawEmail(v *page.Viewer, user directory.User) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return s.site.SignIn.Emails.Withdraw(ctx, tx, v.User.AsActor(), user)
	}
}

func (s *Server) changeEmail(v *page.Viewer) error {
	ctx, id := v.R.Context(), v.ID()
	user, err := directory.UserByID(ctx, s.site.DB, v.User.OrgID, directory.UserID(id))
	if err != nil {
		return err
	}
	to := v.Path("admin/people", id, "email")
	if v.Form.Asked() == "withdraw" {
		return v.Do(s.withdrawEmail(v, user), to+"?withdrawn")
	}
	who := directory.Candidate{User: user, Organization: v.Organization}
	if err := s.site.SignIn.CountEmailChange(ctx, v.User.AsActor(), who.User, v.Form.Get("email")); err != nil {
		return err
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.site.SignIn.Emails.Request(ctx, tx, v.User.AsActor(), who, v.Form.Get("email"))
	}, to+"?sent")
}
