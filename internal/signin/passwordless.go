package signin

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/session"
)

// Passwordless says why somebody who is signed in cannot do without a password: nothing, or
// ErrNotPasswordless. Losing one authenticator must leave a way in: another passkey, or a recovery
// code after a reset's link.
func (s *Service) Passwordless(ctx context.Context, r db.Reader, v session.Visit) error {
	rules, err := SecondStepRulesOf(ctx, r, v.User.OrgID)
	if err != nil {
		return err
	}
	factors, err := s.Authenticators.FactorsOf(ctx, r, EnrollerHere(v).owner())
	if err == nil && (s.Passkeys == nil || !rules.Passwordless || !factors.Passwordless()) {
		err = ErrNotPasswordless
	}
	return err
}

// RemovePassword removes the password of somebody whose passkeys sign in alone: from then on
// every password is a wrong one. Every other session ends, as with a changed password.
func (s *Service) RemovePassword(ctx context.Context, v session.Visit) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := s.Passwordless(ctx, tx, v); err != nil {
			return err
		}
		if err := credential.Remove(ctx, tx, EnrollerHere(v).owner()); err != nil {
			return err
		}
		if err := directory.WithoutPassword(ctx, tx, v.User); err != nil {
			return err
		}
		user, err := s.Sessions.EndOthers(ctx, tx, v, session.PasswordChanged)
		if err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, audit.Event{
			OrgID: string(user.OrgID), Actor: string(user.ID), ActorName: user.Name, Action: "password.removed",
			Target: string(user.ID), TargetName: user.Name,
		}); err != nil {
			return err
		}
		return s.tellDeed(ctx, tx, directory.Candidate{User: user, Organization: v.Organization}, "", func(d mail.Deed) mail.Parameters {
			return mail.PasswordRemovedParameters{Deed: d}
		})
	})
}

// CreatePassword creates a password for somebody who is signed in and has none. A fresh proof,
// which the page asks for, stands in for the current one.
func (s *Service) CreatePassword(ctx context.Context, v session.Visit, p NewPassword) error {
	who := directory.Candidate{User: v.User, Organization: v.Organization}
	owner := credential.Owner{OrgID: v.User.OrgID, UserID: v.User.ID}
	if stored, err := credential.StoredPassword(ctx, s.DB, owner); err != nil {
		return err
	} else if stored.Exists() {
		return ErrHasPassword
	}
	p.voluntary = true
	hashed, err := s.newPassword(ctx, who, p)
	if err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := credential.Set(ctx, tx, hashed); err != nil {
			return err
		}
		var err error
		if who.User, err = s.Sessions.EndOthers(ctx, tx, v, session.PasswordChanged); err != nil {
			return err
		}
		return s.tellPasswordChanged(ctx, tx, who, "created")
	})
}
