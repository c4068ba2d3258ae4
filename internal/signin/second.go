package signin

import (
	"context"
	"errors"
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

// The limits of second steps: one count per user across factors, attempts and networks, which
// proving the first factor again does not clear (R-MFA-04). The longest wait leaves a guesser
// fewer than 30 codes a day, and three in a million codes are right at any time: a chance of
// less than 1 in 10,000 (MFA-4).
var (
	PerSecondStep = limit.Policy{Name: "second-step", Free: 5, First: time.Second, Most: 2 * time.Hour, Forget: 24 * time.Hour}
	// PerSecondStepHere counts in its place in a browser that remembers the user: guesses made
	// elsewhere do not slow the owner, and the owner's successes do not clear them.
	PerSecondStepHere = limit.Policy{Name: "second-step-browser", Free: 5, First: time.Second, Most: 2 * time.Hour, Forget: 24 * time.Hour}
	PerNetworkPasskey = limit.Policy{Name: "passkey-network", Free: 100, First: time.Second, Most: time.Minute, Forget: time.Hour}
)

// TellGuessedAt is the number of wrong second steps in a row at which the person is told.
const TellGuessedAt = 10

// The faults of a wrong second step, for the field of its kind.
var (
	ErrCodeFailed     = fault.Field("code", "signin.code_failed")
	ErrRecoveryFailed = fault.Field("recovery_code", "signin.recovery_failed")
)

// SecondProof is a second step offered for an attempt.
type SecondProof struct {
	Browser    session.Browser
	Remembered RememberedBrowser
	Attempt    Attempt // as loaded

	// One of these is set.
	Code     string
	Recovery string
	Ceremony string // sealed, with
	Response []byte // what the authenticator answered
}

// Second proves the second step of an attempt whose first factor is proved, and continues the
// attempt.
func (s *Service) Second(ctx context.Context, p SecondProof) (Opened, error) {
	if Next(p.Attempt, s.DB.Now()) != ProveSecond {
		return Opened{}, ErrAttemptGone
	}
	user, err := directory.UserByID(ctx, s.DB, p.Attempt.OrgID, p.Attempt.UserID)
	if err != nil {
		return Opened{}, err
	}
	counted, count := s.secondTries(p.Remembered, user)
	taken, err := s.take(ctx, counted)
	if err != nil {
		return Opened{}, err
	}
	// What was counted is finished and recorded, even if nobody waits for the answer.
	ctx = context.WithoutCancel(ctx)
	method, use, err := s.secondProof(ctx, p)
	if err != nil {
		return Opened{}, err
	}
	var opened Opened
	var refusal error // returned after the commit, so that its count stays and its ceremony ends
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		refusal = nil
		a, err := s.Load(ctx, tx, p.Browser, p.Attempt.ID, tx.Now())
		if err != nil {
			return err
		}
		if Next(a, tx.Now()) != ProveSecond {
			return ErrAttemptGone
		}
		who, err := Whose(ctx, tx, a)
		if err != nil {
			return err
		}
		err = use(tx, who)
		if isFault(err) {
			refusal = err
			return s.recordSecondRefusal(ctx, tx, who, method, taken, refusal)
		}
		if err != nil {
			return err
		}
		a.Evidence = append(a.Evidence[:len(a.Evidence):len(a.Evidence)], Evidence{method, tx.Now()})
		opened, err = s.goOn(ctx, tx, p.Browser, p.Remembered, a, who)
		if errors.Is(err, ErrAttemptGone) {
			refusal = err // the proof is used up all the same
			return nil
		}
		if err != nil {
			return err
		}
		return count.release(ctx, tx, s.Log)
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return Opened{}, err
	}
	return opened, nil
}

// secondTries returns the key by which a user's second steps are counted, and what a success gives
// back: its own try, and all that this browser counted. If it cleared more, each sign-in of the
// owner would give a guesser new tries.
func (s *Service) secondTries(d RememberedBrowser, u directory.User) (limit.Key, tries) {
	if d.knows(u) {
		here := s.Limits.Key(PerSecondStepHere, limit.Of(u.OrgID), limit.Of(u.ID), limit.Of(d.ID)).In(string(u.OrgID))
		return here, tries{own: []limit.Key{here}}
	}
	all := s.Limits.Key(PerSecondStep, limit.Of(u.OrgID), limit.Of(u.ID)).In(string(u.OrgID))
	return all, tries{shared: all}
}

// secondProof does the part that belongs outside a transaction: hashes, and signatures. The
// function that it returns is for the transaction that goes on: it uses the proof up, or
// returns the fault that refuses it.
func (s *Service) secondProof(ctx context.Context, p SecondProof) (Method, func(*db.Tx, directory.Candidate) error, error) {
	switch {
	case p.Ceremony != "":
		return s.passkeyProof(ctx, p)
	case p.Recovery != "":
		verdict, err := s.Passwords.HashRecoveryCode(ctx, s.DB, source(ctx, p.Remembered, p.Attempt.OrgID), p.Attempt.owner(), p.Recovery)
		return Recovery, func(tx *db.Tx, who directory.Candidate) error {
			left, right, err := credential.UseRecoveryCode(ctx, tx, verdict)
			if err == nil && !right {
				err = ErrRecoveryFailed
			}
			if err != nil {
				return err
			}
			return s.tellRecoveryUsed(ctx, tx, who, left)
		}, err
	default:
		return App, func(tx *db.Tx, who directory.Candidate) error {
			rules, err := SecondStepRulesOf(ctx, tx, who.User.OrgID)
			if err != nil {
				return err
			}
			_, right, err := s.Authenticators.VerifyCode(ctx, tx, p.Attempt.owner(), p.Code, int64(rules.Tolerance))
			if err == nil && !right {
				err = ErrCodeFailed
			}
			return err
		}, nil
	}
}

func (s *Service) passkeyProof(ctx context.Context, p SecondProof) (Method, func(*db.Tx, directory.Candidate) error, error) {
	ceremony, over := s.Passkeys.Open(p.Ceremony, credential.SecondStep, p.Attempt.ID, s.DB.Now())
	if over != nil {
		return Passkey, func(*db.Tx, directory.Candidate) error { return over }, nil //nolint:nilerr // The transaction that records it returns it.
	}
	assertion, refused := s.Passkeys.FinishAssertion(ctx, s.DB, ceremony, p.Response)
	if refused != nil && !errors.Is(refused, credential.ErrPasskeyRefused) {
		return Passkey, nil, refused
	}
	method := Passkey
	if assertion.Verified {
		method = VerifiedPasskey
	}
	return method, func(tx *db.Tx, who directory.Candidate) error {
		if err := ceremony.End(ctx, tx); err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
		return usePasskey(ctx, tx, assertion)
	}, nil
}

func (s *Service) recordSecondRefusal(ctx context.Context, tx *db.Tx, who directory.Candidate, m Method, taken limit.Taken, why error) error {
	e := refusedEvent(who, m, why)
	if len(taken.Crossed) > 0 {
		e.After["slowed"] = taken.Crossed
	}
	if taken.Counts[PerSecondStep.Name] == TellGuessedAt || taken.Counts[PerSecondStepHere.Name] == TellGuessedAt {
		if err := s.tellSecondGuessed(ctx, tx, who); err != nil {
			return err
		}
	}
	return audit.Record(ctx, tx, e)
}

func (l letters) tellSecondGuessed(ctx context.Context, tx *db.Tx, who directory.Candidate) error {
	return l.tellDeed(ctx, tx, who, "", func(d mail.Deed) mail.Parameters {
		return mail.SecondStepGuessedParameters{Deed: d, Count: TellGuessedAt}
	})
}

func (l letters) tellRecoveryUsed(ctx context.Context, tx *db.Tx, who directory.Candidate, left int) error {
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(who.User.OrgID), Actor: string(who.User.ID), ActorName: who.User.Name, Action: "recovery_code.used",
		Target: string(who.User.ID), TargetName: who.User.Name, After: audit.Fields{"left": left},
	}); err != nil {
		return err
	}
	return l.tellDeed(ctx, tx, who, "", func(d mail.Deed) mail.Parameters { return mail.RecoveryUsedParameters{Deed: d, Left: left} })
}

// PasskeyProof is a passkey offered before anybody is named.
type PasskeyProof struct {
	Browser      session.Browser
	Remembered   RememberedBrowser
	Attempt      Attempt // zero where this is the first request
	Organization string  // organization of the page; empty on the page without one
	Ceremony     string
	Response     []byte
}

// PasskeyAlone signs in with a passkey that verified its user: sign-in and second step in one
// (journeys 5.8). A passkey is no guess, so only refused ones are counted, before the refusal
// is recorded: one that signs in is one durable write.
func (s *Service) PasskeyAlone(ctx context.Context, p PasskeyProof) (Opened, error) {
	opened, err := s.passkeyAlone(ctx, p)
	if errors.Is(err, credential.ErrCeremonyOver) && p.Attempt.ID == "" {
		return s.passkeyAgain(ctx, p, err)
	}
	return opened, err
}

// passkeyAgain answers a challenge that was answered before, if that was the same form;
// otherwise it returns gone.
func (s *Service) passkeyAgain(ctx context.Context, p PasskeyProof, gone error) (Opened, error) {
	owner, err := s.Passkeys.OwnerOf(ctx, s.DB, p.Response)
	if err != nil {
		return Opened{}, gone
	}
	what := string(owner.OrgID) + " " + string(owner.UserID)
	opened, err := s.repeat(ctx, what, Repetition{Browser: p.Browser, Remembered: p.Remembered, Ceremony: p.Ceremony, Response: p.Response}, gone)
	opened.Return = p.Attempt.Return
	return opened, err
}

func (s *Service) passkeyAlone(ctx context.Context, p PasskeyProof) (Opened, error) {
	ceremony, err := s.Passkeys.Open(p.Ceremony, credential.Alone, "", s.DB.Now())
	if err != nil {
		return Opened{}, err
	}
	assertion, refused := s.Passkeys.FinishAssertion(ctx, s.DB, ceremony, p.Response)
	judge := func(r db.Reader) (directory.Candidate, error) {
		who, err := holder(ctx, r, assertion.Owner)
		if err == nil {
			err = refused
		}
		if err == nil {
			err = opensAlone(ctx, r, p, assertion, who)
		}
		return who, err
	}
	if _, err := judge(s.DB); isFault(err) {
		if _, err := s.take(ctx, s.Limits.Key(PerNetworkPasskey, network(ctx))); err != nil {
			return Opened{}, err
		}
	}
	var opened Opened
	var refusal error // returned after the commit, so that its ceremony ends
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		refusal = nil
		if err := ceremony.End(ctx, tx); err != nil {
			return err
		}
		who, err := judge(tx)
		if err == nil {
			err = usePasskey(ctx, tx, assertion)
		}
		if isFault(err) {
			refusal = err
			return audit.Record(ctx, tx, refusedEvent(who, VerifiedPasskey, refusal))
		}
		if err != nil {
			return err
		}
		opened, err = s.provedOnce(ctx, tx, p.Browser, p.Remembered, p.Attempt, who, VerifiedPasskey)
		if errors.Is(err, ErrAttemptGone) {
			refusal, err = err, nil // the passkey is used up all the same
		}
		return err
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return Opened{}, err
	}
	return opened, nil
}

// isFault reports whether an error is a refusal and not a mistake of ours.
func isFault(err error) bool {
	_, is := errors.AsType[*fault.Error](err)
	return is
}

// usePasskey uses up a passkey that was judged.
func usePasskey(ctx context.Context, tx *db.Tx, a credential.Assertion) error {
	used, err := credential.UsePasskey(ctx, tx, a)
	if err == nil && !used {
		err = &credential.PasskeyRefusal{Why: errors.New("it was removed or used in between")}
	}
	return err
}

// holder returns the user who owns a passkey; zero if nobody does any longer.
func holder(ctx context.Context, r db.Reader, o credential.Owner) (directory.Candidate, error) {
	user, err := directory.UserByID(ctx, r, o.OrgID, o.UserID)
	if errors.Is(err, directory.ErrNotFound) {
		return directory.Candidate{}, nil
	}
	if err != nil {
		return directory.Candidate{}, err
	}
	org, err := directory.OrganizationByID(ctx, r, user.OrgID)
	return directory.Candidate{User: user, Organization: org}, err
}

// opensAlone refuses a passkey unless it may sign in where it was shown: it must belong to an
// active user of an open organization, and this must be the organization of the page and of the
// attempt.
func opensAlone(ctx context.Context, r db.Reader, p PasskeyProof, a credential.Assertion, who directory.Candidate) error {
	refuse := func(why string) error { return &credential.PasskeyRefusal{Why: errors.New(why)} }
	meant := p.Organization == ""
	if !meant {
		var err error
		if meant, err = mayMean(ctx, r, p.Organization, who.Organization.ID); err != nil {
			return err
		}
	}
	switch {
	case !a.Verified:
		return refuse("the user was not verified")
	case who.User.ID == "" || !who.User.DeactivatedAt.IsZero():
		return refuse("the user is not active")
	case who.Organization.FederatedOnly() && !who.User.BreaksGlass() && p.Attempt.LinkRequest == "":
		return refuse("single sign-on is the only way in")
	case !who.Organization.SuspendedAt.IsZero():
		return refuse("the organization is suspended")
	case !meant, p.Attempt.OrgID != "" && p.Attempt.OrgID != who.Organization.ID:
		return refuse("a passkey of another organization")
	case p.Attempt.UserID != "" && p.Attempt.UserID != who.User.ID:
		return refuse("a passkey of somebody else")
	}
	return nil
}

// refusedEvent returns what the audit log keeps about a refused proof.
func refusedEvent(who directory.Candidate, m Method, why error) audit.Event {
	e := audit.Event{
		OrgID: string(who.User.OrgID), Actor: audit.Anonymous, Action: "signin.refused", Result: audit.Refused,
		Target: string(who.User.ID), TargetName: who.User.Name, After: audit.Fields{"method": m},
	}
	if refusal, ok := errors.AsType[*credential.PasskeyRefusal](why); ok {
		e.After["reason"] = refusal.Why.Error()
	}
	return e
}
