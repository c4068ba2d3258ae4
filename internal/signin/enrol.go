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
	"parvis/internal/mail"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// A second step is enrolled in two places: as a step of an attempt that lacks
// one, and under one's own account after fresh proof. Both are bound to what
// began them, an attempt or a session, and tell the person by mail.

// The faults of changing one's own devices.
var (
	// ErrLastDevice says that the last second step cannot go while one is required.
	ErrLastDevice = fault.New(fault.Conflict, "signin.last_device")
	// ErrLastWayIn says that without this passkey its user could not sign in at all.
	ErrLastWayIn = fault.New(fault.Conflict, "signin.last_way_in")
	// ErrCodesMade says that the codes of a page that was sent twice are made.
	ErrCodesMade = fault.New(fault.Conflict, "signin.codes_made")
	// ErrNotPasswordless says that a password cannot be done without yet.
	ErrNotPasswordless = fault.New(fault.Conflict, "signin.not_passwordless")
	// ErrHasPassword says that there is a password, and so none to create.
	ErrHasPassword = fault.New(fault.Conflict, "signin.has_password")
)

// ErrNothingToReset says that a person has no second step.
var ErrNothingToReset = fault.New(fault.Conflict, "signin.nothing_to_reset")

// PerEnrolment limits wrong codes while an app is enrolled.
var PerEnrolment = limit.Policy{Name: "enrolment", Free: 10, First: time.Second, Most: 15 * time.Minute, Forget: 24 * time.Hour}

// Enroller is who enrols: an attempt at the step EnrolFactor, or a session.
type Enroller struct {
	directory.Candidate
	BoundTo string
}

// EnrollerOf is the enroller of an attempt; ErrAttemptGone where it is not at
// that step.
func (s *Service) EnrollerOf(ctx context.Context, a Attempt) (Enroller, error) {
	if Next(a, s.DB.Now()) != EnrolFactor {
		return Enroller{}, ErrAttemptGone
	}
	who, err := s.Whose(ctx, s.DB, a)
	return Enroller{who, a.ID}, err
}

// EnrollerHere is the enroller of somebody who is signed in.
func EnrollerHere(v session.Visit) Enroller {
	return Enroller{directory.Candidate{User: v.User, Organization: v.Organization}, v.Session.ID}
}

func (e Enroller) owner() credential.Owner {
	return credential.Owner{OrgID: e.User.OrgID, UserID: e.User.ID}
}

// BeginApp makes the secret of an authenticator app.
func (s *Service) BeginApp(ctx context.Context, e Enroller, device string) error {
	name, err := directory.CleanName(device, "device")
	if err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		return s.Authenticators.BeginApp(ctx, tx, e.owner(), e.BoundTo, name)
	})
}

// PendingApp is what the page with the QR code shows.
func (s *Service) PendingApp(ctx context.Context, e Enroller) (credential.Enrolment, error) {
	return s.Authenticators.PendingApp(ctx, s.DB, e.owner(), e.BoundTo, e.Organization.DisplayName, e.User.Email, s.DB.Now())
}

// ConfirmAppHere turns an app on for somebody who is signed in. Its code proves a
// second step too, so the session is raised.
func (s *Service) ConfirmAppHere(ctx context.Context, v session.Visit, d Device, code string) (Opened, error) {
	if err := s.takeEnrolment(ctx, EnrollerHere(v)); err != nil {
		return Opened{}, err
	}
	return s.enrolledHere(ctx, v, d, App, func(tx *db.Tx, e Enroller) error { return s.confirmApp(ctx, tx, e, code) })
}

// ConfirmApp turns the app of an attempt on and goes on with it.
func (s *Service) ConfirmApp(ctx context.Context, a Attempt, b session.Browser, d Device, code string) (Opened, error) {
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
	_, err := s.take(ctx, s.Limits.Key(PerEnrolment, string(e.User.OrgID), string(e.User.ID)))
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
	return s.tellDevice(ctx, tx, e, "device.added", app.ID, app.Name, "app")
}

// AddPasskeyHere stores a passkey for somebody who is signed in.
func (s *Service) AddPasskeyHere(ctx context.Context, v session.Visit, d Device, ceremony, device string, response []byte) (Opened, error) {
	made, name, err := s.finishPasskey(ctx, EnrollerHere(v), ceremony, device, response)
	if err != nil {
		return Opened{}, err
	}
	return s.enrolledHere(ctx, v, d, methodOf(made), func(tx *db.Tx, e Enroller) error { return s.addPasskey(ctx, tx, e, made, name) })
}

// AddPasskey stores the passkey of an attempt and goes on with it.
func (s *Service) AddPasskey(ctx context.Context, a Attempt, b session.Browser, d Device, ceremony, device string, response []byte) (Opened, error) {
	e, err := s.EnrollerOf(ctx, a)
	if err != nil {
		return Opened{}, err
	}
	made, name, err := s.finishPasskey(ctx, e, ceremony, device, response)
	if err != nil {
		return Opened{}, err
	}
	return s.enrolled(ctx, a, b, d, methodOf(made), func(tx *db.Tx, e Enroller) error { return s.addPasskey(ctx, tx, e, made, name) })
}

func (s *Service) finishPasskey(ctx context.Context, e Enroller, ceremony, device string, response []byte) (credential.NewPasskey, string, error) {
	name, err := directory.CleanName(device, "device")
	if err != nil {
		return credential.NewPasskey{}, "", err
	}
	opened, err := s.Passkeys.Open(ceremony, credential.Registration, e.BoundTo, s.DB.Now())
	if err == nil {
		err = s.DB.Update(ctx, func(tx *db.Tx) error { return opened.End(ctx, tx) })
	}
	if err != nil {
		return credential.NewPasskey{}, "", err
	}
	made, err := s.Passkeys.FinishRegistration(opened, response)
	if err != nil {
		s.Log.WarnContext(ctx, "passkey not made", "organization", string(e.User.OrgID), "user", string(e.User.ID), "error", err.Error())
	}
	return made, name, err
}

func methodOf(made credential.NewPasskey) Method {
	if made.Verified() {
		return VerifiedPasskey
	}
	return Passkey
}

func (s *Service) addPasskey(ctx context.Context, tx *db.Tx, e Enroller, made credential.NewPasskey, name string) error {
	key, err := credential.AddPasskey(ctx, tx, e.owner(), made, name)
	if err != nil {
		return err
	}
	return s.tellDevice(ctx, tx, e, "device.added", key.ID, key.Name, "passkey")
}

// enrolled stores the first device of an attempt, which thereby is proved too.
func (s *Service) enrolled(ctx context.Context, a Attempt, b session.Browser, d Device, m Method, store func(*db.Tx, Enroller) error) (Opened, error) {
	var opened Opened
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		now, err := s.Load(ctx, tx, b, a.ID, tx.Now())
		if err != nil {
			return err
		}
		if Next(now, tx.Now()) != EnrolFactor {
			return ErrAttemptGone
		}
		who, err := s.Whose(ctx, tx, now)
		if err != nil {
			return err
		}
		if err := store(tx, Enroller{who, now.ID}); err != nil {
			return err
		}
		now.Evidence = append(now.Evidence, Evidence{m, tx.Now()})
		opened, err = s.goOn(ctx, tx, b, d, now, who)
		return err
	})
	return opened, err
}

// enrolledHere stores a device of somebody who is signed in, who thereby proved it.
func (s *Service) enrolledHere(ctx context.Context, v session.Visit, d Device, m Method, store func(*db.Tx, Enroller) error) (Opened, error) {
	var opened Opened
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := store(tx, EnrollerHere(v)); err != nil {
			return err
		}
		var err error
		opened, err = s.raise(ctx, tx, v, d, Attempt{Evidence: []Evidence{{m, tx.Now()}}})
		return err
	})
	return opened, err
}

// raise notes what was proved in the session of somebody who is signed in, under a
// new token; ErrAttemptGone where that session is gone.
func (s *Service) raise(ctx context.Context, tx *db.Tx, v session.Visit, d Device, a Attempt) (Opened, error) {
	opened := Opened{Organization: v.Organization, User: v.User}
	var raised bool
	var err error
	if opened.Cookie, raised, err = s.Sessions.Raise(ctx, tx, v.Browser, v.User, amr(a), a.second()); err == nil && !raised {
		err = ErrAttemptGone
	}
	if err == nil {
		opened.Device, err = s.remember(d, v.User, tx.Now())
	}
	return opened, err
}

// OwnsSecondStep tells whether somebody who is signed in has a second step, which
// a fresh proof must then be of.
func (s *Service) OwnsSecondStep(ctx context.Context, v session.Visit) (bool, error) {
	owns, _, err := credential.Owned(ctx, s.DB, EnrollerHere(v).owner())
	return owns, err
}

// left says what would be wrong with a user who has only these factors: nothing, or
// why the last of them cannot go.
func (s *Service) left(ctx context.Context, r db.Reader, v session.Visit, f credential.Factors, now time.Time) error {
	rules, err := SecondStepRulesOf(ctx, r, v.User.OrgID)
	if err != nil {
		return err
	}
	password, err := credential.StoredPassword(ctx, r, EnrollerHere(v).owner())
	switch {
	case err != nil:
		return err
	case !password.Exists() && !f.OpenAlone():
		return ErrLastWayIn
	case !f.Any() && rules.RequiredOf(v.User.Role, now):
		return ErrLastDevice
	}
	return nil
}

// MayRemove tells why a device cannot go, if it cannot.
func (s *Service) MayRemove(ctx context.Context, v session.Visit, f credential.Factors, id string) error {
	return s.left(ctx, s.DB, v, f.Without(id), s.DB.Now())
}

// RemoveDevice removes one of the person's own devices, unless it is the last
// and one is required, or nothing else signs the person in. Every other session
// ends: somebody may have the device (journeys 3.3).
func (s *Service) RemoveDevice(ctx context.Context, v session.Visit, id string) error {
	e := EnrollerHere(v)
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		factors, err := s.Authenticators.FactorsOf(ctx, tx, e.owner())
		if err != nil {
			return err
		}
		name := factors.NameOf(id)
		if name == "" {
			return credential.ErrDeviceGone
		}
		if err := s.left(ctx, tx, v, factors.Without(id), tx.Now()); err != nil {
			return err
		}
		if err := credential.RemoveDevice(ctx, tx, e.owner(), id); err != nil {
			return err
		}
		if _, err := s.Sessions.EndOthers(ctx, tx, v, session.DeviceRemoved); err != nil {
			return err
		}
		return s.tellDevice(ctx, tx, e, "device.removed", id, name, "")
	})
}

// RenameDevice gives one of the person's own devices another name.
func (s *Service) RenameDevice(ctx context.Context, v session.Visit, id, device string) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		e := EnrollerHere(v)
		factors, err := s.Authenticators.FactorsOf(ctx, tx, e.owner())
		if err != nil {
			return err
		}
		before := factors.NameOf(id)
		if before == "" {
			return credential.ErrDeviceGone
		}
		after, err := credential.RenameDevice(ctx, tx, e.owner(), id, device)
		if err != nil || after == before {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{
			OrgID: string(v.User.OrgID), Actor: string(v.User.ID), ActorName: v.User.Name, Action: "device.renamed", Target: id, TargetName: after,
			Before: audit.Fields{"name": before}, After: audit.Fields{"name": after},
		})
	})
}

// NewRecoveryCodes makes ten codes in place of earlier ones and returns them, to
// be shown once. seen names the set that the page knew of: sent twice, by a reload
// or from two tabs, it makes one set, and ErrCodesMade.
func (s *Service) NewRecoveryCodes(ctx context.Context, v session.Visit, d Device, seen string) ([]string, error) {
	e := EnrollerHere(v)
	now, err := credential.RecoverySetID(ctx, s.DB, e.owner())
	if err == nil && now != seen {
		err = ErrCodesMade // before ten hashes are spent
	}
	if err != nil {
		return nil, err
	}
	set, err := s.Passwords.NewRecoveryCodes(ctx, source(ctx, d), e.owner())
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		now, err := credential.RecoverySetID(ctx, tx, e.owner())
		if err != nil {
			return err
		}
		if now != seen {
			return ErrCodesMade
		}
		if err := credential.SetRecoveryCodes(ctx, tx, set); err != nil {
			return err
		}
		return s.tellDevice(ctx, tx, e, "recovery_codes.made", string(e.User.ID), "", "recovery")
	})
	if err != nil {
		return nil, err
	}
	return set.Codes, nil
}

// Resettable finds whose second step actor may reset, with what would go:
// somebody who may sign in, has one, and whom actor governs.
func (s *Service) Resettable(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) (directory.User, credential.Factors, error) {
	user, err := directory.Governed(ctx, tx, actor, org, id)
	if err == nil {
		err = user.Closed()
	}
	if err != nil {
		return directory.User{}, credential.Factors{}, err
	}
	factors, err := s.Authenticators.FactorsOf(ctx, tx, credential.Owner{OrgID: user.OrgID, UserID: user.ID})
	if err == nil && !factors.Any() && factors.Recovery == 0 {
		err = ErrNothingToReset
	}
	return user, factors, err
}

// ResetSecondStep removes every second step of a person, for an administrator who
// has made sure of who asks (R-REC-08): with a reason, and a letter to the person.
// What the person has open ends.
func (s *Service) ResetSecondStep(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.Organization, id directory.UserID, reason string) error {
	user, factors, err := s.Resettable(ctx, tx, actor, org.ID, id)
	if err != nil {
		return err
	}
	if reason, err = directory.CleanReason(reason); err != nil {
		return err
	}
	owner := credential.Owner{OrgID: user.OrgID, UserID: user.ID}
	if err := credential.RemoveAllDevices(ctx, tx, owner); err != nil {
		return err
	}
	if user, err = s.Sessions.EndAll(ctx, tx, actor, user, session.EndedByAdministrator); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(user.OrgID), Actor: string(actor.UserID), ActorName: actor.Name, Action: "second_step.reset",
		Target: string(user.ID), TargetName: user.Name,
		Before: audit.Fields{"apps": len(factors.Apps), "passkeys": len(factors.Passkeys), "recovery_codes": factors.Recovery},
		After:  audit.Fields{"reason": reason},
	}); err != nil {
		return err
	}
	notMe, err := directory.NewDisavowal(ctx, tx, user)
	if err != nil {
		return err
	}
	password, err := credential.StoredPassword(ctx, tx, owner)
	if err != nil {
		return err
	}
	letter := mail.SecondStepResetParameters{
		Organization: org.DisplayName, Name: user.Name, When: tx.Now(), NoPassword: !password.Exists(), NotMe: s.notMe(notMe),
	}
	if actor.UserID != audit.Operator {
		letter.Administrator = actor.Name
	}
	if err := s.tell(ctx, tx, user, letter); err != nil || password.Exists() {
		return err
	}
	// Who signed in with passkeys alone has nothing left to come in with.
	return s.Resets.Send(ctx, tx, actor, directory.Candidate{User: user, Organization: org})
}

// tellDevice records what was done to somebody's devices and tells them.
func (s *Service) tellDevice(ctx context.Context, tx *db.Tx, e Enroller, action audit.Action, id, name, kind string) error {
	after := audit.Fields{}
	if kind != "" {
		after["kind"] = kind
	}
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(e.User.OrgID), Actor: string(e.User.ID), ActorName: e.User.Name, Action: action, Target: id, TargetName: name, After: after,
	}); err != nil {
		return err
	}
	device := id
	if action == "recovery_codes.made" {
		device = recoveryCodes
	}
	var notMe secret.Token
	var err error
	if action == "device.removed" {
		notMe, err = directory.NewDisavowal(ctx, tx, e.User)
	} else {
		notMe, err = directory.NewDeviceDisavowal(ctx, tx, e.User, device)
	}
	if err != nil {
		return err
	}
	origin := audit.OriginOf(ctx)
	return s.tell(ctx, tx, e.User, mail.DeviceParameters{
		Organization: e.Organization.DisplayName, Name: e.User.Name, When: tx.Now(), What: string(action), Device: name,
		Network: origin.Network, Agent: origin.Agent, NotMe: s.notMe(notMe),
	})
}
