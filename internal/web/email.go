package web

import (
	"context"
	"errors"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/secret"
)

var emailFields = page.Fields{"email"}

// emailPage shows the user's address, and a new one that waits to be proved.
type emailPage struct {
	User      directory.User
	Pending   *directory.EmailChange // nil where none waits
	Own       bool                   // asked for by the person, not by an administrator
	Sent      bool                   // shown right after asking
	Withdrawn bool                   // shown right after withdrawing
}

func (s account) showEmail(v *page.Viewer) error {
	p := emailPage{User: v.User, Withdrawn: v.Just("withdrawn")}
	var err error
	if p.Pending, err = directory.PendingEmail(v.R.Context(), s.site.DB, v.User, s.site.DB.Now()); err != nil {
		return err
	}
	if p.Pending != nil {
		p.Own, p.Sent = p.Pending.By.UserID == v.User.ID, v.Just("sent")
	}
	v.FormIf(!v.User.Provisioned())
	return v.Render("account-email", p)
}

func (s account) changeEmail(v *page.Viewer) error {
	ctx := v.R.Context()
	if v.Form.Do() == "withdraw" {
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			return s.signIn.Emails.Withdraw(ctx, tx, v.User.AsActor(), v.User)
		}, v.Path("account/email")+"?withdrawn")
	}
	who := directory.Candidate{User: v.User, Organization: v.Organization}
	if err := s.signIn.CountEmailChange(ctx, v.User.AsActor(), who.User, v.Form.Get("email")); err != nil {
		return err
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.signIn.Emails.Request(ctx, tx, v.User.AsActor(), who, v.Form.Get("email"))
	}, v.Path("account/email")+"?sent")
}

// emailProofPage is the page behind the link that was sent to a new address.
type emailProofPage struct {
	Organization directory.Organization
	Email        string
	Proved       bool // by this form
}

// showEmailProof changes nothing, because mail scanners fetch links.
func (s *Server) showEmailProof(v *page.Visitor) error {
	who, change, err := directory.EmailChangeByToken(v.R.Context(), s.site.DB, secret.ParseToken(v.R.PathValue("token")), s.site.DB.Now())
	if errors.Is(err, directory.ErrEmailChangeDead) {
		return s.linkDead(v, directory.ErrEmailChangeDead)
	}
	if err != nil {
		return err
	}
	v.ProbeCookies()
	return v.Render("email-proof", emailProofPage{Organization: who.Organization, Email: change.Email})
}

// proveEmail works in any browser: a person who reads the letter has the address.
func (s *Server) proveEmail(v *page.Visitor) error {
	browser, err := v.Browser(v.R.Context())
	if err != nil {
		return err
	}
	who, err := s.signIn.ProveEmail(v.R.Context(), browser, secret.ParseToken(v.R.PathValue("token")))
	if errors.Is(err, directory.ErrEmailChangeDead) {
		return s.linkDead(v, directory.ErrEmailChangeDead)
	}
	if err != nil {
		return err
	}
	v.NoForm()
	return v.Render("email-proof", emailProofPage{who.Organization, who.User.Email, true})
}
