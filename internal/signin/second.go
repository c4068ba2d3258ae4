package signin

import (
	"context"
	"errors"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/session"
)

// The limiters of second steps: one count per user across factors, attempts and
// networks, which proving the first factor again does not clear (R-MFA-04).
var (
	PerSecondStep = limit.Policy{Name: "second-step", Free: 5, First: time.Second, Most: 15 * time.Minute, Forget: 24 * time.Hour}
	// PerSecondStepTold is when the person is told: at the tenth.
	PerSecondStepTold = limit.Policy{Name: "second-step-told", Free: 10, First: time.Second, Most: time.Second, Forget: 24 * time.Hour}
	PerNetworkPasskey = limit.Policy{Name: "passkey-network", Free: 100, First: time.Second, Most: time.Minute, Forget: time.Hour}
)

// ErrSecondFailed says that a second step was not right. Which kind was tried
// decides the field.
var (
	ErrCodeFailed     = fault.Field("code", "signin.code_failed")
	ErrRecoveryFailed = fault.Field("recovery_code", "signin.recovery_failed")
)

// SecondProof is a second step offered for an attempt.
type SecondProof struct {
	Browser session.Browser
	Device  Device
	Attempt Attempt // as loaded

	// One of these is set.
	Code     string
	Recovery string
	Ceremony string // sealed, with
	Response []byte // what the authenticator answered
}

// Second proves the second step of an attempt whose first factor is proved, and
// goes on.
func (s *Service) Second(ctx context.Context, p SecondProof) (Opened, error) {
	if Next(p.Attempt, s.DB.Now()) != ProveSecond {
		return Opened{}, ErrAttemptGone
	}
	counted := []limit.Key{
		s.Limits.Key(PerSecondStep, string(p.Attempt.OrgID), string(p.Attempt.UserID)),
		s.Limits.Key(PerSecondStepTold, string(p.Attempt.OrgID), string(p.Attempt.UserID)),
	}
	taken, err := s.take(ctx, counted...)
	if err != nil {
		return Opened{}, err
	}
	prove, err := s.secondProof(ctx, p)
	if err != nil && !errors.Is(err, credential.ErrPasskeyRefused) && !errors.Is(err, credential.ErrCeremonyOver) {
		return Opened{}, err
	}
	refusal := err
	var opened Opened
	txErr := s.DB.Update(ctx, func(tx *db.Tx) error {
		a, err := s.Load(ctx, tx, p.Browser, p.Attempt.ID, tx.Now())
		if err != nil {
			return err
		}
		if Next(a, tx.Now()) != ProveSecond {
			return ErrAttemptGone
		}
		who, err := s.of(ctx, tx, a)
		if err != nil {
			return err
		}
		if prove.use != nil {
			refusal = prove.otherwise
			right, err := prove.use(tx, who)
			if err != nil {
				return err
			}
			if right {
				refusal = nil
			}
		}
		if refusal != nil {
			return s.recordSecondRefusal(ctx, tx, who, prove.method, taken, refusal)
		}
		a.Evidence = append(a.Evidence[:len(a.Evidence):len(a.Evidence)], Evidence{prove.method, tx.Now()})
		opened, err = s.goOn(ctx, tx, p.Browser, p.Device, a, who)
		return err
	})
	if txErr != nil {
		return Opened{}, txErr
	}
	if refusal != nil {
		return Opened{}, refusal
	}
	if err := limit.Release(ctx, s.DB, counted[0], counted...); err != nil {
		s.Log.WarnContext(ctx, "tries not given back", "error", err.Error())
	}
	return opened, nil
}

// aProof is how a second step is used up in the transaction that goes on.
type aProof struct {
	method    Method
	otherwise error // what is said where use finds it wrong
	use       func(tx *db.Tx, who directory.Candidate) (bool, error)
}

// secondProof does what belongs outside a transaction: hashes, and signatures.
func (s *Service) secondProof(ctx context.Context, p SecondProof) (aProof, error) {
	switch o := p.Attempt.owner(); {
	case p.Ceremony != "":
		proof := aProof{method: Passkey, otherwise: credential.ErrPasskeyRefused}
		claimed, err := s.Passkeys.Claim(ctx, s.DB, p.Ceremony, credential.SecondStep, p.Attempt.ID)
		if err != nil {
			return proof, err
		}
		assertion, err := s.Passkeys.FinishAssertion(ctx, s.DB, claimed, p.Response)
		if err != nil {
			return proof, err
		}
		if assertion.Verified {
			proof.method = VerifiedPasskey
		}
		proof.use = func(tx *db.Tx, _ directory.Candidate) (bool, error) {
			if assertion.Owner != o {
				return false, nil
			}
			return credential.UsePasskey(ctx, tx, assertion)
		}
		return proof, nil
	case p.Recovery != "":
		verdict, err := s.Passwords.HashRecoveryCode(ctx, s.DB, source(ctx, p.Device), o, p.Recovery)
		return aProof{Recovery, ErrRecoveryFailed, func(tx *db.Tx, who directory.Candidate) (bool, error) {
			left, right, err := credential.UseRecoveryCode(ctx, tx, verdict)
			if err != nil || !right {
				return false, err
			}
			return true, s.tellRecoveryUsed(ctx, tx, who, left)
		}}, err
	default:
		return aProof{App, ErrCodeFailed, func(tx *db.Tx, who directory.Candidate) (bool, error) {
			rules, err := SecondStepRulesOf(ctx, tx, who.User.OrgID)
			if err != nil {
				return false, err
			}
			_, right, err := s.Authenticators.VerifyCode(ctx, tx, o, p.Code, int64(rules.Tolerance))
			return right, err
		}}, nil
	}
}

func (s *Service) recordSecondRefusal(ctx context.Context, tx *db.Tx, who directory.Candidate, m Method, taken limit.Taken, why error) error {
	e := audit.Event{
		OrgID: string(who.User.OrgID), Actor: audit.Anonymous, Action: "signin.refused", Result: audit.Refused,
		Target: string(who.User.ID), TargetName: who.User.Name, After: audit.Fields{"method": m},
	}
	if refusal, ok := errors.AsType[*credential.PasskeyRefusal](why); ok {
		e.After["reason"] = refusal.Why.Error()
	}
	if slices.Contains(taken.Crossed, PerSecondStep.Name) {
		e.After["slowed"] = taken.Crossed
	}
	if slices.Contains(taken.Crossed, PerSecondStepTold.Name) {
		if err := s.tellSecondGuessed(ctx, tx, who); err != nil {
			return err
		}
	}
	return audit.Record(ctx, tx, e)
}

func (s *Service) tellSecondGuessed(ctx context.Context, tx *db.Tx, who directory.Candidate) error {
	notMe, err := directory.NewDisavowal(ctx, tx, who.User, "")
	if err != nil {
		return err
	}
	origin := audit.OriginOf(ctx)
	return s.tell(ctx, tx, who.User, mail.SecondStepGuessedParameters{
		Organization: who.Organization.DisplayName, Name: who.User.Name, When: tx.Now(), Count: PerSecondStepTold.Free,
		Network: origin.Network, Agent: origin.Agent, NotMe: s.notMe(notMe),
	})
}

func (s *Service) tellRecoveryUsed(ctx context.Context, tx *db.Tx, who directory.Candidate, left int) error {
	notMe, err := directory.NewDisavowal(ctx, tx, who.User, "")
	if err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(who.User.OrgID), Actor: string(who.User.ID), ActorName: who.User.Name, Action: "recovery_code.used",
		Target: string(who.User.ID), TargetName: who.User.Name, After: audit.Fields{"left": left},
	}); err != nil {
		return err
	}
	origin := audit.OriginOf(ctx)
	return s.tell(ctx, tx, who.User, mail.RecoveryUsedParameters{
		Organization: who.Organization.DisplayName, Name: who.User.Name, When: tx.Now(), Left: left,
		Network: origin.Network, Agent: origin.Agent, NotMe: s.notMe(notMe),
	})
}

// PasskeyProof is a passkey offered before anybody is named.
type PasskeyProof struct {
	Browser      session.Browser
	Device       Device
	Attempt      Attempt // zero where this is the first request
	Organization string  // the one whose page it is; empty on the page without
	Ceremony     string
	Response     []byte
}

// PasskeyAlone signs in with a passkey that verified its user: sign-in and second
// step in one (journeys 5.8).
func (s *Service) PasskeyAlone(ctx context.Context, p PasskeyProof) (Opened, error) {
	if _, err := s.take(ctx, s.Limits.Key(PerNetworkPasskey, network(ctx))); err != nil {
		return Opened{}, err
	}
	claimed, err := s.Passkeys.Claim(ctx, s.DB, p.Ceremony, credential.Alone, p.Attempt.ID)
	if err != nil {
		return Opened{}, err
	}
	assertion, refused := s.Passkeys.FinishAssertion(ctx, s.DB, claimed, p.Response)
	if refused != nil && !errors.Is(refused, credential.ErrPasskeyRefused) {
		return Opened{}, refused
	}
	var opened Opened
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		opened = Opened{}
		who, found, err := s.passkeyHolder(ctx, tx, p, assertion, refused)
		if err != nil {
			return err
		}
		if !found {
			return audit.Record(ctx, tx, s.passkeyRefusal(assertion, refused))
		}
		a := p.Attempt
		a.OrgID, a.UserID, a.Generation = who.User.OrgID, who.User.ID, who.User.Generation
		a.Evidence = append(a.Evidence[:len(a.Evidence):len(a.Evidence)], Evidence{VerifiedPasskey, tx.Now()})
		if err := s.describe(ctx, tx, &a); err != nil {
			return err
		}
		opened, err = s.goOn(ctx, tx, p.Browser, p.Device, a, who)
		return err
	})
	if err == nil && opened.User.ID == "" {
		err = credential.ErrPasskeyRefused
	}
	return opened, err
}

// passkeyHolder is whose passkey was shown, if it opens where it was shown: an
// active user of an open organization, of the one that the page is of.
func (s *Service) passkeyHolder(ctx context.Context, tx *db.Tx, p PasskeyProof, a credential.Assertion, refused error) (directory.Candidate, bool, error) {
	if refused != nil || !a.Verified {
		return directory.Candidate{}, false, nil
	}
	user, err := directory.UserByID(ctx, tx, a.Owner.OrgID, a.Owner.UserID)
	if errors.Is(err, directory.ErrNotFound) {
		return directory.Candidate{}, false, nil
	}
	if err != nil {
		return directory.Candidate{}, false, err
	}
	org, err := directory.OrganizationByID(ctx, tx, user.OrgID)
	if err != nil {
		return directory.Candidate{}, false, err
	}
	if !user.DeactivatedAt.IsZero() || !org.SuspendedAt.IsZero() ||
		p.Attempt.OrgID != "" && p.Attempt.OrgID != org.ID || p.Attempt.UserID != "" && p.Attempt.UserID != user.ID {
		return directory.Candidate{}, false, nil
	}
	if p.Organization != "" {
		named, err := directory.OrganizationByName(ctx, tx, p.Organization)
		if errors.Is(err, directory.ErrNotFound) || err == nil && named.ID != org.ID {
			return directory.Candidate{}, false, nil
		}
		if err != nil {
			return directory.Candidate{}, false, err
		}
	}
	used, err := credential.UsePasskey(ctx, tx, a)
	return directory.Candidate{User: user, Organization: org}, used, err
}

func (s *Service) passkeyRefusal(a credential.Assertion, refused error) audit.Event {
	e := audit.Event{
		OrgID: string(a.Owner.OrgID), Actor: audit.Anonymous, Action: "signin.refused", Result: audit.Refused,
		Target: string(a.Owner.UserID), After: audit.Fields{"method": VerifiedPasskey},
	}
	if refusal, ok := errors.AsType[*credential.PasskeyRefusal](refused); ok {
		e.After["reason"] = refusal.Why.Error()
	}
	return e
}
