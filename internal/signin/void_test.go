package signin_test

import (
	"errors"
	"testing"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// voided ends everything that a person has open, as another browser would.
func (p *person) voided() {
	p.t.Helper()
	user := p.user()
	p.must(p.s.DB.Update(p.t.Context(), func(tx *db.Tx) error {
		_, err := p.s.Site.Sessions.EndAll(p.t.Context(), tx, directory.Operator(), user, session.EndedByAdministrator)
		return err
	}))
}

// A request that was under way when its session was voided changes nothing: otherwise it would
// carry its session into the new generation.
func TestINV6ARequestOfAVoidSessionChangesNothing(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	p.s.SecondStep(t, p.org, signin.SecondStepRules{Tolerance: 1, Passwordless: true})
	sign, v, d := s.Site.SignIn, p.here(), p.remembered()
	seen, err := credential.RecoverySetID(t.Context(), s.DB, credential.Owner{OrgID: p.org.ID, UserID: p.id})
	p.must(err)
	p.voided()
	const text = "Nine otters glide 4 miles!"
	kept := func() (all string) {
		for _, table := range []string{"users", "sessions", "passwords", "passkeys", "totp_seeds", "recovery_codes", "letters"} {
			all += dbtest.Dump(t, s.DB, table)
		}
		return all
	}
	for name, deed := range map[string]func() error{
		"removing a device":  func() error { return sign.RemoveAuthenticator(t.Context(), v, p.devices().Apps[0].ID) },
		"new recovery codes": func() error { _, err := sign.NewRecoveryCodes(t.Context(), v, d, seen); return err },
		"another password": func() error {
			_, err := sign.ChangePassword(t.Context(), v, idptest.Password, signin.NewPassword{Browser: v.Browser, Remembered: d, Password: text, Repetition: text})
			return err
		},
		"no password": func() error { return sign.RemovePassword(t.Context(), v) },
		"disowning":   func() error { return sign.DisownHere(t.Context(), v) },
		"ending the others": func() error {
			return s.DB.Update(t.Context(), func(tx *db.Tx) error {
				_, err := s.Site.Sessions.EndOthers(t.Context(), tx, v, session.EndedElsewhere)
				return err
			})
		},
	} {
		before := kept()
		if err := deed(); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
		if kept() != before {
			t.Errorf("%s changed something", name)
		}
		if _, open := p.visit(); open {
			t.Fatalf("%s brought the session back", name)
		}
	}
}

// What an attempt had gathered when a page read it is no proof once it was voided: a first
// factor that comes later does not carry it into the new generation.
func TestINV6AVoidAttemptIsNotCarriedOn(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	sign := s.Site.SignIn

	s.SecondStep(t, p.org, signin.SecondStepRules{Tolerance: 1})
	b := p.elsewhere()
	b.must(b.alone(""))
	if step := b.step(); step != signin.ProveFirst {
		t.Fatalf("a passkey that is not enough alone: step %d", step)
	}
	read := b.open()
	p.voided()
	if _, err := sign.Password(t.Context(), signin.PasswordProof{
		Browser: b.browser(), Remembered: b.remembered(), Attempt: read, Email: p.email, Password: idptest.Password,
	}); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("the password: %v", err)
	}

	s.SecondStep(t, p.org, signin.SecondStepRules{Tolerance: 1, Passwordless: true})
	b = p.elsewhere()
	b.must(b.password(idptest.Password))
	read = b.open()
	p.voided()
	options, kept, err := sign.Passkeys.BeginAlone(s.DB.Now())
	p.must(err)
	proof := signin.PasskeyProof{Browser: b.browser(), Remembered: b.remembered(), Attempt: read, Ceremony: kept, Response: b.key.Assert(t, options)}
	if _, err := sign.PasskeyAlone(t.Context(), proof); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("the passkey: %v", err)
	}
	proof.Attempt = signin.Attempt{}
	if _, err := sign.PasskeyAlone(t.Context(), proof); err == nil {
		t.Error("the passkey that was refused with it is good for another attempt")
	}
	if _, open := b.visit(); open {
		t.Error("a session is open")
	}
}

// SES-1: what was proved under a newer token is not given to an older one, whether or not the
// older was the newest when the request arrived.
func TestSES1TheTokenIsComparedWhereTheProofIsRead(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	arrived, attempt := b.browser(), b.attempt
	b.attempt = ""
	s.Clock.Advance(session.SentTwice)   // sent sooner, it would be the same form sent twice
	b.must(b.password(idptest.Password)) // another tab; the browser has another token now
	if arrived.Superseded || b.browser().ID != arrived.ID {
		t.Fatal("the browser or its token is not what this test is about")
	}
	if _, err := s.Site.SignIn.Load(t.Context(), s.DB, arrived, attempt, s.DB.Now()); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("the older token: %v", err)
	}
	if _, err := s.Site.SignIn.Load(t.Context(), s.DB, b.browser(), attempt, s.DB.Now()); err != nil {
		t.Errorf("the newer one: %v", err)
	}
}
