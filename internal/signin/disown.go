package signin

import (
	"context"
	"errors"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// Disown does what a person asks for by 'this was not me': every session ends, the password no
// longer signs in, since somebody else may know it, a changed address is changed back, and the
// administrators are told (decision 0023).
func (s *Service) Disown(ctx context.Context, token secret.Token) (directory.Candidate, error) {
	if err := s.TakeLink(ctx); err != nil {
		return directory.Candidate{}, err
	}
	var who directory.Candidate
	err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		var authenticator string
		if who, authenticator, err = directory.UseDisavowal(ctx, tx, token); err != nil {
			return err
		}
		audit.Admitted(ctx, audit.Admission{Actor: string(who.User.ID), Method: audit.ByLink})
		if authenticator != "" {
			if err := takeBack(ctx, tx, who, authenticator); err != nil {
				return err
			}
		}
		return s.disown(ctx, tx, who)
	})
	if errors.Is(err, directory.ErrDisavowalDead) {
		dead, found, look := directory.DeadDisavowal(ctx, s.DB, token)
		err = errors.Join(err, s.recordDead(ctx, dead, found, look))
	}
	return who, err
}

// takeBack removes the authenticator that a letter was about, if it still exists: otherwise the
// person who enrolled it would sign in by it alone. Recovery codes are removed with the last
// authenticator, or when the letter was about them.
func takeBack(ctx context.Context, tx *db.Tx, who directory.Candidate, authenticator string) error {
	owner := credential.Owner{OrgID: who.User.OrgID, UserID: who.User.ID}
	var err error
	if authenticator == recoveryCodes {
		err = credential.RemoveRecoveryCodes(ctx, tx, owner)
	} else {
		err = credential.RemoveAuthenticator(ctx, tx, owner, authenticator)
	}
	if err != nil && !errors.Is(err, credential.ErrAuthenticatorGone) {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{
		OrgID: string(who.User.OrgID), Actor: string(who.User.ID), ActorName: who.User.Name, Action: "device.removed", Target: authenticator,
		After: audit.Fields{"by": "not me"},
	})
}

// recoveryCodes stands for them in place of an authenticator's id.
const recoveryCodes = "recovery_codes"

func (s *Service) disown(ctx context.Context, tx *db.Tx, who directory.Candidate) error {
	if err := credential.Disable(ctx, tx, credential.Owner{OrgID: who.User.OrgID, UserID: who.User.ID}); err != nil {
		return err
	}
	if _, err := s.Sessions.EndAll(ctx, tx, who.User.AsActor(), who.User, session.Disowned); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(who.User.OrgID), Actor: string(who.User.ID), ActorName: who.User.Name, Action: "user.disowned",
		Target: string(who.User.ID), TargetName: who.User.Name,
	}); err != nil {
		return err
	}
	return s.tellAdministrators(ctx, tx, who.Organization, func(a directory.User) mail.Parameters {
		return mail.DisownedParameters{
			Organization: who.Organization.DisplayName, Name: a.Name, Person: who.User.Name, Email: who.User.Email, When: tx.Now(),
			Link: s.Base + who.Organization.Path("admin", "people", string(who.User.ID)), Federated: who.Organization.FederatedOnly(),
		}
	})
}

// DisownHere is Disown for somebody who is signed in and saw in their own activity something
// that they did not do.
func (s *Service) DisownHere(ctx context.Context, v session.Visit) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := directory.Disown(ctx, tx, v.User); err != nil {
			return err
		}
		return s.disown(ctx, tx, directory.Candidate{User: v.User, Organization: v.Organization})
	})
}
