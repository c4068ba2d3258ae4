package signin

import (
	"context"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/session"
)

// OwnsSecondStep reports whether a signed-in person has a second step, which a fresh proof must
// then include.
func (s *Service) OwnsSecondStep(ctx context.Context, v session.Visit) (bool, error) {
	return ownsSecondStep(ctx, s.DB, v)
}

func ownsSecondStep(ctx context.Context, r db.Reader, v session.Visit) (bool, error) {
	if v.Organization.FederatedOnly() && !v.User.BreaksGlass() {
		return false, nil // as Next sees it
	}
	owns, _, err := credential.Owned(ctx, r, EnrollerHere(v).owner())
	return owns, err
}

// Assurance returns what applications are told about a session as acr. Under the modern rules
// it decays (R-SES-04).
func (s *Service) Assurance(ctx context.Context, v session.Visit) (string, error) {
	if v.Session.SecondAt.IsZero() {
		return session.OneFactor, nil
	}
	rules, err := credential.RulesOf(ctx, s.DB, v.Session.OrgID)
	return v.Session.ACR(rules.Preset == credential.PresetModern, s.DB.Now()), err
}

// mayLose says what would be wrong with a user who had only these factors: nothing, or why the
// last of the others cannot be removed.
func mayLose(ctx context.Context, r db.Reader, v session.Visit, f credential.Factors, now time.Time) error {
	rules, err := SecondStepRulesOf(ctx, r, v.User.OrgID)
	if err != nil {
		return err
	}
	password, err := credential.StoredPassword(ctx, r, EnrollerHere(v).owner())
	switch {
	case err != nil:
		return err
	case v.Organization.FederatedOnly() && v.User.BreaksGlass() && !f.OpenAlone():
		return ErrLastWayIn
	case v.Organization.FederatedOnly():
		return nil
	case !password.Exists() && !f.OpenAlone() && v.Session.ConnectionID == "":
		return ErrLastWayIn
	case !f.Any() && rules.RequiredOf(v.User.Role, now):
		return ErrLastAuthenticator
	}
	return nil
}

// MayRemove says why an authenticator cannot be removed, if it cannot.
func (s *Service) MayRemove(ctx context.Context, v session.Visit, f credential.Factors, id string) error {
	return mayLose(ctx, s.DB, v, f.Without(id), s.DB.Now())
}

// RemoveAuthenticator removes one of the person's own authenticators, unless it is the last and one
// is required, or nothing else signs the person in. Every other session ends, because somebody else
// may have the authenticator (journeys 3.3).
func (s *Service) RemoveAuthenticator(ctx context.Context, v session.Visit, id string) error {
	e := EnrollerHere(v)
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		factors, err := s.Authenticators.FactorsOf(ctx, tx, e.owner())
		if err != nil {
			return err
		}
		name := factors.NameOf(id)
		if name == "" {
			return credential.ErrAuthenticatorGone
		}
		if err := mayLose(ctx, tx, v, factors.Without(id), tx.Now()); err != nil {
			return err
		}
		if err := credential.RemoveAuthenticator(ctx, tx, e.owner(), id); err != nil {
			return err
		}
		if _, err := s.Sessions.EndOthers(ctx, tx, v, session.AuthenticatorRemoved); err != nil {
			return err
		}
		after := audit.Fields{}
		if factors.Recovery > 0 && !factors.Without(id).Any() {
			after["recovery_codes"] = 0 // they went with the last authenticator
		}
		return s.tellAuthenticator(ctx, tx, e, "device.removed", id, name, after)
	})
}

// RenameAuthenticator gives one of the person's own authenticators another name.
func (s *Service) RenameAuthenticator(ctx context.Context, v session.Visit, id, name string) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		e := EnrollerHere(v)
		factors, err := s.Authenticators.FactorsOf(ctx, tx, e.owner())
		if err != nil {
			return err
		}
		before := factors.NameOf(id)
		if before == "" {
			return credential.ErrAuthenticatorGone
		}
		after, err := credential.RenameAuthenticator(ctx, tx, e.owner(), id, name)
		if err != nil || after == before {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{
			OrgID: string(v.User.OrgID), Actor: string(v.User.ID), ActorName: v.User.Name, Action: "device.renamed", Target: id, TargetName: after,
			Before: audit.Fields{"name": before}, After: audit.Fields{"name": after},
		})
	})
}

// NewRecoveryCodes makes ten codes in place of earlier ones and returns them, to be shown once, to
// somebody who has an authenticator that they stand in for. seen names the set that the page knew:
// a form sent twice, by a reload or from two tabs, makes one set, and gets ErrCodesMade.
func (s *Service) NewRecoveryCodes(ctx context.Context, v session.Visit, d RememberedBrowser, seen string) ([]string, error) {
	e := EnrollerHere(v)
	if err := mayMakeCodes(ctx, s.DB, v, seen); err != nil {
		return nil, err // before ten hashes are spent
	}
	set, err := s.Passwords.NewRecoveryCodes(ctx, source(ctx, d, v.User.OrgID), e.owner())
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := directory.Current(ctx, tx, v.User); err != nil {
			return err
		}
		if err := mayMakeCodes(ctx, tx, v, seen); err != nil {
			return err
		}
		if err := credential.SetRecoveryCodes(ctx, tx, set); err != nil {
			return err
		}
		return s.tellAuthenticator(ctx, tx, e, "recovery_codes.made", string(e.User.ID), "", audit.Fields{"kind": "recovery"})
	})
	if err != nil {
		return nil, err
	}
	return set.Codes, nil
}

func mayMakeCodes(ctx context.Context, r db.Reader, v session.Visit, seen string) error {
	owns, err := ownsSecondStep(ctx, r, v)
	if err != nil {
		return err
	}
	if !owns {
		return ErrNoAuthenticator
	}
	now, err := credential.RecoverySetID(ctx, r, EnrollerHere(v).owner())
	if err == nil && now != seen {
		err = ErrCodesMade
	}
	return err
}

// Resettable returns the user whose second step actor wants to reset, with what would be
// removed: somebody who may sign in, has a second step, and whom actor may administer.
func (s *Service) Resettable(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) (directory.User, credential.Factors, error) {
	user, err := directory.Governed(ctx, tx, actor, org, id)
	if err == nil {
		err = user.Closed()
	}
	if err != nil {
		return directory.User{}, credential.Factors{}, err
	}
	factors, err := s.Authenticators.FactorsOf(ctx, tx, credential.Owner{OrgID: user.OrgID, UserID: user.ID})
	if err == nil && !factors.Any() {
		err = ErrNothingToReset
	}
	return user, factors, err
}

// ResetSecondStep removes every second step of a person, for an administrator who has made sure
// who is asking (R-REC-08): with a reason, and a letter to the person. Everything that the
// person has open ends.
func (s *Service) ResetSecondStep(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.Organization, id directory.UserID, reason string) error {
	user, factors, err := s.Resettable(ctx, tx, actor, org.ID, id)
	if err != nil {
		return err
	}
	if reason, err = naming.CleanReason(reason); err != nil {
		return err
	}
	owner := credential.Owner{OrgID: user.OrgID, UserID: user.ID}
	if err := credential.RemoveAuthenticators(ctx, tx, owner); err != nil {
		return err
	}
	if user, err = s.Sessions.EndAll(ctx, tx, actor, user, session.EndedByAdministrator); err != nil {
		return err
	}
	e := actor.Event(user.OrgID, "second_step.reset")
	e.Target, e.TargetName = string(user.ID), user.Name
	e.Before = audit.Fields{"apps": len(factors.Apps), "passkeys": len(factors.Passkeys), "recovery_codes": factors.Recovery}
	e.After = audit.Fields{"reason": reason}
	if err := audit.Record(ctx, tx, e); err != nil {
		return err
	}
	deed, err := s.deed(ctx, tx, directory.Candidate{User: user, Organization: org}, "")
	if err != nil {
		return err
	}
	deed.Network, deed.Agent = "", "" // where an administrator sits is nobody else's business
	password, err := credential.StoredPassword(ctx, tx, owner)
	if err != nil {
		return err
	}
	// Where single sign-on is the only way in, no password counts, and none is created.
	federated := org.FederatedOnly()
	letter := mail.SecondStepResetParameters{Deed: deed, NoPassword: !password.Exists() && !federated, Federated: federated}
	if actor.Kind != directory.KindOperator {
		letter.Administrator = actor.Name
	}
	if err := s.tell(ctx, tx, user, letter); err != nil || !letter.NoPassword {
		return err
	}
	// Somebody who signed in with passkeys alone has nothing left to sign in with.
	return s.Resets.Send(ctx, tx, actor, directory.Candidate{User: user, Organization: org})
}

// tellAuthenticator records what was done to somebody's authenticators and tells them.
func (l letters) tellAuthenticator(ctx context.Context, tx *db.Tx, e Enroller, action audit.Action, id, name string, after audit.Fields) error {
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(e.User.OrgID), Actor: string(e.User.ID), ActorName: e.User.Name, Action: action, Target: id, TargetName: name, After: after,
	}); err != nil {
		return err
	}
	authenticator := id // what disowning takes back
	switch action {
	case "recovery_codes.made":
		authenticator = recoveryCodes
	case "device.removed":
		authenticator = ""
	default: // the authenticator itself
	}
	return l.tellDeed(ctx, tx, e.Candidate, authenticator, func(d mail.Deed) mail.Parameters {
		return mail.AuthenticatorParameters{Deed: d, What: string(action), Device: name}
	})
}
