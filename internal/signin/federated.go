package signin

import (
	"context"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/session"
)

// Choose makes a stored attempt lead to an identity provider.
func (s *Service) Choose(ctx context.Context, b session.Browser, a Attempt, connection string) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := s.Load(ctx, tx, b, a.ID, tx.Now()); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `
			update attempts set connection_id = $1
			where id = $2 and browser_id = $3 and ended_at is null`, connection, a.ID, a.BrowserID)
		if err == nil && n == 0 {
			err = ErrAttemptGone
		}
		return err
	})
}

// ChooseOrganization makes a stored attempt, in which nobody has proved anything yet, belong to
// an organization.
func (s *Service) ChooseOrganization(ctx context.Context, b session.Browser, a Attempt, org directory.Organization) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		loaded, err := s.Load(ctx, tx, b, a.ID, tx.Now())
		if err == nil && !loaded.OpenTo() {
			err = ErrAttemptGone
		}
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `
			update attempts set org_id = $1
			where id = $2 and browser_id = $3 and ended_at is null`, string(org.ID), loaded.ID, loaded.BrowserID)
		if err == nil && n == 0 {
			err = ErrAttemptGone
		}
		return err
	})
}

// OpenTo reports whether another organization may still be chosen for an attempt: it leads to
// an application, and nobody has proved anything in it.
func (a Attempt) OpenTo() bool {
	return a.ClientID != "" && a.UserID == "" && a.ConnectionID == "" && len(a.Evidence) == 0
}

// Vouched is what an identity provider said, and we accepted, for an attempt that led to it.
type Vouched struct {
	Browser    session.Browser
	Remembered RememberedBrowser
	Attempt    string // id of the attempt
	Who        directory.Candidate
	Proof      session.Proof
}

// Vouch ends an attempt with what a provider vouched for. The caller has judged the answer,
// found its user, and does the rest of the sign-in in tx.
func (s *Service) Vouch(ctx context.Context, tx *db.Tx, v Vouched) (Opened, error) {
	a, err := s.Load(ctx, tx, v.Browser, v.Attempt, tx.Now())
	if err == nil && (a.ConnectionID == "" || a.ConnectionID != v.Proof.ConnectionID || !v.Who.Organization.SuspendedAt.IsZero() || v.Who.User.Closed() != nil) {
		err = ErrAttemptGone
	}
	if err == nil {
		a, err = s.proved(ctx, tx, v.Browser, a, v.Who.User, Federated)
	}
	if err != nil {
		return Opened{}, err
	}
	a.vouched = v.Proof
	return s.goOn(ctx, tx, v.Browser, v.Remembered, a, v.Who)
}

// tellBrokenGlass sounds the alarm that the last way in was used (R-AUT-07).
func (l letters) tellBrokenGlass(ctx context.Context, tx *db.Tx, who directory.Candidate) error {
	return l.tellAdministrators(ctx, tx, who.Organization, func(a directory.User) mail.Parameters {
		return mail.FederationParameters{
			Organization: who.Organization.DisplayName, Name: a.Name, What: mail.BreakGlassUsed,
			Person: who.User.Name, Email: who.User.Email, When: tx.Now(), Link: l.base + who.Organization.Path("admin", "audit"),
		}
	})
}
