package signin_test

import (
	"errors"
	"testing"
	"time"

	"parvis/internal/authenticator"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// What applications read about a session is what was really done for it.
func TestSessionTellsTheMethodsThatWereUsed(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	strict := s.Organization(t, "Beta Works", "beta")
	s.SecondStep(t, strict, signin.SecondStepRules{RequiredFrom: s.Clock.Now(), Tolerance: 1})
	present := authenticator.Present

	type way struct {
		name    string
		org     directory.Organization
		sign    func(p *person) error // in an empty browser, with all authenticators
		methods string
		second  bool
	}
	for _, w := range []way{
		{"password and app", org, func(p *person) error {
			return errors.Join(p.password(idptest.Password), p.code(p.shown()))
		}, "pwd otp mfa", true},
		{"password and recovery code", org, func(p *person) error {
			return errors.Join(p.password(idptest.Password), p.recovery(p.codes[0]))
		}, "pwd otp mfa", true},
		{"password and a passkey that verified", org, func(p *person) error {
			return errors.Join(p.password(idptest.Password), p.passkey())
		}, "pwd hwk user mfa", true},
		{"password and a passkey that did not", org, func(p *person) error {
			p.key.Flags = present
			return errors.Join(p.password(idptest.Password), p.passkey())
		}, "pwd hwk mfa", true},
		{"a wrong code before the right one", org, func(p *person) error {
			err := p.password(idptest.Password)
			if wrong := p.code("000000"); !errors.Is(wrong, signin.ErrCodeFailed) {
				t.Errorf("a wrong code: %v", wrong)
			}
			return errors.Join(err, p.passkey())
		}, "pwd hwk user mfa", true},
		{"a passkey alone", org, func(p *person) error { return p.alone("") }, "hwk user mfa", true},
		{"a passkey alone on the page of the organization", org, func(p *person) error { return p.alone("ALPHA") }, "hwk user mfa", true},
		{"a passkey alone where a password is wanted too", strict, func(p *person) error {
			err := p.alone("")
			if step := p.step(); step != signin.ProveFirst {
				t.Errorf("after the passkey: step %d", step)
			}
			return errors.Join(err, p.password(idptest.Password))
		}, "pwd hwk user mfa", true},
	} {
		t.Run(w.name, func(t *testing.T) {
			p := owning(t, s, w.org, directory.Member)
			b := p.elsewhere()
			b.must(w.sign(b))
			v := b.here()
			expect.Equal(t, "Methods", v.Session.Methods, w.methods)
			if v.Session.SecondAt.IsZero() == w.second || w.second && !v.Session.SecondAt.Equal(s.Clock.Now()) {
				t.Errorf("methods %q, second at %v", v.Session.Methods, v.Session.SecondAt)
			}
			if b.attempt != "" {
				t.Error("an attempt goes on behind the open door")
			}
		})
	}

	t.Run("password alone", func(t *testing.T) {
		b := join(t, s, org, "plain", directory.Member).elsewhere()
		b.must(b.password(idptest.Password))
		if v := b.here(); v.Session.Methods != "pwd" || !v.Session.SecondAt.IsZero() {
			t.Errorf("methods %q, second at %v", v.Session.Methods, v.Session.SecondAt)
		}
	})
}

var people int

// owning returns somebody who owns an authenticator of each kind, and recovery codes, made in
// another browser: where a second step is not required, a password alone opened the session here.
func owning(t *testing.T, s *idptest.Server, org directory.Organization, role directory.Role) *person {
	t.Helper()
	people++
	p := join(t, s, org, "person"+string(rune('a'+people/26))+string(rune('a'+people%26)), role)
	b := p
	if p.attempt != "" { // a second step is required
		p.must(enrolApp(p))
		s.Clock.Advance(time.Minute)
	} else {
		b = p.elsewhere()
		b.must(b.password(idptest.Password))
		b.addApp()
	}
	b.addKey()
	b.addCodes()
	p.app, p.key, p.codes = b.app, b.key, b.codes
	return p
}

// enrolApp enrols an app as the step of an attempt.
func enrolApp(p *person) error {
	p.t.Helper()
	sign := p.s.Site.SignIn
	e, err := sign.EnrollerOf(p.t.Context(), p.open())
	p.must(err)
	p.must(sign.BeginApp(p.t.Context(), e, "Phone"))
	pending, err := sign.PendingApp(p.t.Context(), e)
	p.must(err)
	p.app = pending.Secret
	return p.take(sign.ConfirmApp(p.t.Context(), p.open(), p.browser(), p.remembered(), p.shown()))
}

// enrolKey enrols a passkey as the step of an attempt.
func enrolKey(p *person) error {
	p.t.Helper()
	sign := p.s.Site.SignIn
	a := p.open()
	options, kept, err := sign.Passkeys.BeginRegistration(p.t.Context(), p.s.DB, p.user(), a.ID, p.s.DB.Now())
	p.must(err)
	return p.take(sign.AddPasskey(p.t.Context(), a, p.browser(), p.remembered(), kept, "Key", p.key.Register(p.t, options)))
}

func TestEnrollingIsProofToo(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Beta Works", "beta")
	s.SecondStep(t, org, signin.SecondStepRules{RequiredFrom: s.Clock.Now(), Tolerance: 1, Passwordless: true})
	for name, w := range map[string]struct {
		enrol   func(*person) error
		flags   byte
		methods string
	}{
		"app":         {enrolApp, 0, "pwd otp mfa"},
		"passkey":     {enrolKey, authenticator.Present | authenticator.Verified, "pwd hwk user mfa"},
		"passkey-low": {enrolKey, authenticator.Present, "pwd hwk mfa"},
	} {
		t.Run(name, func(t *testing.T) {
			p := join(t, s, org, name, directory.Member)
			p.key.Flags = w.flags
			if _, open := p.visit(); open || p.step() != signin.EnrolFactor {
				t.Fatal("the door is open before the second step is enrolled")
			}
			p.must(w.enrol(p))
			if v := p.here(); v.Session.Methods != w.methods || v.Session.SecondAt.IsZero() {
				t.Errorf("methods %q, second at %v", v.Session.Methods, v.Session.SecondAt)
			}
			// The person is told about it.
			if letters := s.LettersTo(t, p.email); len(letters) < 2 {
				t.Errorf("%d letters", len(letters))
			}
		})
	}
}

func TestStepUpMergesWhatWasProved(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	for name, w := range map[string]struct {
		prove   func(*person) error
		methods string
		second  bool
	}{
		"app":      {func(p *person) error { return p.code(p.shown()) }, "pwd otp mfa", true},
		"recovery": {func(p *person) error { return p.recovery(p.codes[0]) }, "pwd otp mfa", true},
		"passkey":  {func(p *person) error { return p.passkey() }, "pwd hwk user mfa", true},
		"touch": {func(p *person) error {
			p.key.Flags = authenticator.Present
			err := p.passkey()
			if step := p.step(); step != signin.ProveFirst {
				t.Errorf("after a touch: step %d, want the password beside it", step)
			}
			if v := p.here(); !v.Session.SecondAt.IsZero() {
				t.Error("a touch raised the session")
			}
			return errors.Join(err, p.password(idptest.Password))
		}, "pwd hwk mfa", true},
		"alone": {func(p *person) error { return p.alone("alpha") }, "pwd hwk user mfa", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := owning(t, s, org, directory.Member) // signed in by password before having any
			before := p.here()
			s.Clock.Advance(11 * time.Minute)
			p.stepUp()
			if step := p.step(); step != signin.ProveSecond {
				t.Errorf("step %d, want the second", step)
			}
			p.must(w.prove(p))
			v := p.here()
			expect.Equal(t, "ID", v.Session.ID, before.Session.ID)
			expect.Equal(t, "Methods", v.Session.Methods, w.methods)
			expect.Equal(t, "v.Session.SecondAt.Equal(s.Clock.Now())", v.Session.SecondAt.Equal(s.Clock.Now()), w.second)
			if !v.Session.ProvedAt.Equal(s.Clock.Now()) {
				t.Errorf("%+v, was %+v", v.Session, before.Session)
			}
		})
	}
	t.Run("password of somebody who has nothing else", func(t *testing.T) {
		p := join(t, s, org, "plain", directory.Member)
		s.Clock.Advance(11 * time.Minute)
		p.stepUp()
		p.must(p.password(idptest.Password))
		if v := p.here(); v.Session.Methods != "pwd" || !v.Session.SecondAt.IsZero() || !v.Session.ProvedAt.Equal(s.Clock.Now()) {
			t.Errorf("%+v", v.Session)
		}
	})
	t.Run("password after the second step", func(t *testing.T) {
		p := owning(t, s, org, directory.Member)
		b := p.elsewhere()
		b.must(errors.Join(b.password(idptest.Password), b.code(b.shown())))
		first := b.here().Session.SecondAt
		s.Clock.Advance(11 * time.Minute)
		f := b.devices()
		for _, id := range []string{f.Apps[0].ID, f.Passkeys[0].ID} {
			b.must(s.Site.SignIn.RemoveAuthenticator(t.Context(), b.here(), id))
		}
		if _, open := p.visit(); open {
			t.Error("a session of another browser outlives the device")
		}
		b.stepUp()
		b.must(b.password(idptest.Password))
		if v := b.here(); v.Session.Methods != "pwd otp mfa" || !v.Session.SecondAt.Equal(first) {
			t.Errorf("a password alone made the second factor younger: %+v", v.Session)
		}
	})
}

// MFA-2, MFA-7: a code raises a session that exists, and opens none.
func TestMFA7StepUpByACodeOpensNoSession(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	for name, prove := range map[string]func(*person) error{
		"code": func(p *person) error { return p.code(p.shown()) }, "recovery code": func(p *person) error { return p.recovery(p.codes[0]) },
		"touch and password": func(p *person) error {
			p.key.Flags = authenticator.Present
			return p.passkey()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := owning(t, s, org, directory.Member)
			p.stepUp()
			p.must(s.DB.Update(t.Context(), endOf(t, s, p.here())))
			err := prove(p)
			if name == "touch and password" { // together they would have opened one anywhere
				p.must(err)
				p.must(p.password(idptest.Password))
				p.here()
				return
			}
			if !errors.Is(err, signin.ErrAttemptGone) {
				t.Errorf("%v", err)
			}
			if _, open := p.visit(); open {
				t.Error("a second step alone opened a session")
			}
			// It is used up all the same: otherwise the answer would tell right from wrong.
			b := p.elsewhere()
			b.must(b.password(idptest.Password))
			if err := prove(b); err == nil {
				t.Error("the same proof works again")
			}
		})
	}
}

func TestNewPasswordThatWasAskedForComesAfterTheSecondStep(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	p := owning(t, s, org, directory.Member)
	p.must(s.DB.Update(t.Context(), demandOf(t, s, p)))
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	if step := b.step(); step != signin.ProveSecond {
		t.Fatalf("step %d, want the second step first", step)
	}
	fresh := signin.NewPassword{Password: "Nine otters glide 4 miles!", Repetition: "Nine otters glide 4 miles!"}
	create := func() error {
		n := fresh
		n.Browser, n.Remembered = b.browser(), b.remembered()
		return b.take(s.Site.SignIn.CreateAskedPassword(t.Context(), b.open(), n))
	}
	if err := create(); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("a password is created before the second step: %v", err)
	}
	b.must(b.code(b.shown()))
	if _, open := b.visit(); open || b.step() != signin.CreatePassword {
		t.Fatalf("step %d, open %v", b.step(), open)
	}
	b.must(create())
	if v := b.here(); v.Session.Methods != "pwd otp mfa" {
		t.Errorf("methods %q", v.Session.Methods)
	}
	// A passkey alone proves no password, and is not held up for one.
	p.must(s.DB.Update(t.Context(), demandOf(t, s, p)))
	other := p.elsewhere()
	other.must(other.alone(""))
	other.here()
}
