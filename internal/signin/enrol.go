package signin

import (
	"context"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/session"
)

// A second step is enrolled in two places: as a step of an attempt that lacks one, and in the
// user's own account after fresh proof. Both are bound to what began them, an attempt or a
// session, and tell the person by mail.

// The faults of changing one's own authenticators.
var (
	// ErrLastAuthenticator says that the last second step cannot be removed while one is required.
	ErrLastAuthenticator = fault.New(fault.Conflict, "signin.last_device")
	// ErrLastWayIn says that without this passkey its user could not sign in at all.
	ErrLastWayIn = fault.New(fault.Conflict, "signin.last_way_in")
	// ErrCodesMade says that the codes were made already, by a page that was sent twice.
	ErrCodesMade = fault.New(fault.Conflict, "signin.codes_made")
	// ErrNoAuthenticator says that there is no authenticator that recovery codes could stand in for.
	ErrNoAuthenticator = fault.New(fault.Conflict, "signin.no_device")
	// ErrNotPasswordless says that the user cannot do without a password yet.
	ErrNotPasswordless = fault.New(fault.Conflict, "signin.not_passwordless")
	// ErrHasPassword says that there is a password, so none can be created.
	ErrHasPassword = fault.New(fault.Conflict, "signin.has_password")
)

// ErrNothingToReset says that a person has no second step.
var ErrNothingToReset = fault.New(fault.Conflict, "signin.nothing_to_reset")

// PerEnrolment limits wrong codes while an app is enrolled.
var PerEnrolment = limit.Policy{Name: "enrolment", Free: 10, First: time.Second, Most: 15 * time.Minute, Forget: 24 * time.Hour}

// Enroller is what enrols: an attempt at the step EnrolFactor, or a session.
type Enroller struct {
	directory.Candidate
	BoundTo string
}

// EnrollerOf returns the enroller of an attempt; ErrAttemptGone if the attempt is not at that
// step.
func (s *Service) EnrollerOf(ctx context.Context, a Attempt) (Enroller, error) {
	if Next(a, s.DB.Now()) != EnrolFactor {
		return Enroller{}, ErrAttemptGone
	}
	who, err := Whose(ctx, s.DB, a)
	return Enroller{who, a.ID}, err
}

// EnrollerHere returns the enroller for somebody who is signed in.
func EnrollerHere(v session.Visit) Enroller {
	return Enroller{directory.Candidate{User: v.User, Organization: v.Organization}, v.Session.ID}
}

func (e Enroller) owner() credential.Owner {
	return credential.Owner{OrgID: e.User.OrgID, UserID: e.User.ID}
}

// BeginApp makes the secret of an authenticator app.
func (s *Service) BeginApp(ctx context.Context, e Enroller, name string) error {
	name, err := naming.CleanName(name, "device")
	if err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		return s.Authenticators.BeginApp(ctx, tx, e.owner(), e.BoundTo, name)
	})
}

// PendingApp returns what the page with the QR code shows.
func (s *Service) PendingApp(ctx context.Context, e Enroller) (credential.Enrolment, error) {
	return s.Authenticators.PendingApp(ctx, s.DB, e.owner(), e.BoundTo, e.Organization.DisplayName, e.User.Email, s.DB.Now())
}

// ConfirmAppHere turns an app on for somebody who is signed in. Its code also proves a second
// step, so the session is raised.
func (s *Service) ConfirmAppHere(ctx context.Context, v session.Visit, d RememberedBrowser, code string) (Opened, error) {
	if err := s.takeEnrolment(ctx, EnrollerHere(v)); err != nil {
		return Opened{}, err
	}
	return s.enrolledHere(ctx, v, d, App, func(tx *db.Tx, e Enroller) error { return s.confirmApp(ctx, tx, e, code) })
}

// ConfirmApp turns the app of an attempt on and continues the attempt.
func (s *Service) ConfirmApp(ctx context.Context, a Attempt, b session.Browser, d RememberedBrowser, code string) (Opened, error) {
	e, err := s.EnrollerOf(ctx, a)
	if err != nil {
		return Opened{}, err
	}
	if err := s.takeEnrolment(ctx, e); err != nil {
		return Opened{}, err
	}
	return s.enrolled(ctx, a, b, d, App, func(tx *db.Tx, e Enroller) error { return s.confirmApp(ctx, tx, e, code) })
}

func (s *Service) takeEnrolment(ctx context.Context, e Enroller) error {
	_, err := s.take(ctx, s.Limits.Key(PerEnrolment, limit.Of(e.User.OrgID), limit.Of(e.User.ID)).In(string(e.User.OrgID)))
	return err
}

func (s *Service) confirmApp(ctx context.Context, tx *db.Tx, e Enroller, code string) error {
	rules, err := SecondStepRulesOf(ctx, tx, e.User.OrgID)
	if err != nil {
		return err
	}
	app, err := s.Authenticators.ConfirmApp(ctx, tx, e.owner(), e.BoundTo, code, int64(rules.Tolerance))
	if err != nil {
		return err
	}
	return s.tellAuthenticator(ctx, tx, e, "device.added", app.ID, app.Name, audit.Fields{"kind": "app"})
}

// AddPasskeyHere stores a passkey for somebody who is signed in.
func (s *Service) AddPasskeyHere(ctx context.Context, v session.Visit, d RememberedBrowser, ceremony, name string, response []byte) (Opened, error) {
	m, add, err := s.finishPasskey(ctx, EnrollerHere(v), ceremony, name, response)
	if err != nil {
		return Opened{}, err
	}
	return s.enrolledHere(ctx, v, d, m, add)
}

// AddPasskey stores the passkey of an attempt and continues the attempt.
func (s *Service) AddPasskey(ctx context.Context, a Attempt, b session.Browser, d RememberedBrowser, ceremony, name string, response []byte) (Opened, error) {
	e, err := s.EnrollerOf(ctx, a)
	if err != nil {
		return Opened{}, err
	}
	m, add, err := s.finishPasskey(ctx, e, ceremony, name, response)
	if err != nil {
		return Opened{}, err
	}
	return s.enrolled(ctx, a, b, d, m, add)
}

// finishPasskey judges a new passkey. The function that it returns stores it, in the
// transaction that goes on: the answer is used up there too, so that a second request finds the
// result of the first.
func (s *Service) finishPasskey(ctx context.Context, e Enroller, ceremony, name string, response []byte) (Method, func(*db.Tx, Enroller) error, error) {
	name, err := naming.CleanName(name, "device")
	if err != nil {
		return "", nil, err
	}
	opened, err := s.Passkeys.Open(ceremony, credential.Registration, e.BoundTo, s.DB.Now())
	if err != nil {
		return "", nil, err
	}
	made, err := s.Passkeys.FinishRegistration(opened, response)
	if err != nil {
		s.Log.WarnContext(ctx, "passkey not made", "organization", string(e.User.OrgID), "user", string(e.User.ID), "error", err.Error())
		if over := s.DB.Update(ctx, func(tx *db.Tx) error { return opened.End(ctx, tx) }); over != nil {
			err = over // a refused answer is used up as well
		}
		return "", nil, err
	}
	method := Passkey
	if made.Verified() {
		method = VerifiedPasskey
	}
	return method, func(tx *db.Tx, e Enroller) error {
		if err := opened.End(ctx, tx); err != nil {
			return err
		}
		key, err := credential.AddPasskey(ctx, tx, e.owner(), made, name)
		if err != nil {
			return err
		}
		return s.tellAuthenticator(ctx, tx, e, "device.added", key.ID, key.Name, audit.Fields{"kind": "passkey"})
	}, nil
}

// enrolled stores the first authenticator of an attempt, which is proved by that too.
func (s *Service) enrolled(ctx context.Context, a Attempt, b session.Browser, d RememberedBrowser, m Method, store func(*db.Tx, Enroller) error) (Opened, error) {
	var opened Opened
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		now, err := s.Load(ctx, tx, b, a.ID, tx.Now())
		if err != nil {
			return err
		}
		if Next(now, tx.Now()) != EnrolFactor {
			return ErrAttemptGone
		}
		who, err := Whose(ctx, tx, now)
		if err != nil {
			return err
		}
		if err := store(tx, Enroller{who, now.ID}); err != nil {
			return err
		}
		now.Evidence, now.deed = append(now.Evidence, Evidence{m, tx.Now()}), enrolledOr(now.ID, true)
		opened, err = s.goOn(ctx, tx, b, d, now, who)
		return err
	})
	return opened, err
}

// enrolledHere stores an authenticator of somebody who is signed in, and who proved it by that.
func (s *Service) enrolledHere(ctx context.Context, v session.Visit, d RememberedBrowser, m Method, store func(*db.Tx, Enroller) error) (Opened, error) {
	var opened Opened
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := store(tx, EnrollerHere(v)); err != nil {
			return err
		}
		var err error
		opened, err = s.raise(ctx, tx, v, d, Attempt{Evidence: []Evidence{{m, tx.Now()}}, deed: enrolledOr(v.Session.ID, true)})
		return err
	})
	return opened, err
}

// raise notes what was proved in the session of somebody who is signed in, under a new token;
// ErrAttemptGone if that session has ended.
func (s *Service) raise(ctx context.Context, tx *db.Tx, v session.Visit, d RememberedBrowser, a Attempt) (Opened, error) {
	opened := Opened{Organization: v.Organization, User: v.User}
	var raised bool
	var err error
	if opened.Cookie, raised, err = s.Sessions.Raise(ctx, tx, v.Browser, v.User, a.proof()); err == nil && !raised {
		err = ErrAttemptGone
	}
	if err == nil {
		opened.Remembered, err = s.remember(d, v.User, tx.Now())
	}
	return opened, err
}
