package signin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/authenticator"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/idptest"
	"parvis/internal/secret"
	"parvis/internal/signin"
)

// wait returns how long a fault asks to wait.
func wait(err error) time.Duration {
	if f, ok := errors.AsType[*fault.Error](err); ok && errors.Is(err, signin.ErrTooOften) {
		return f.RetryAfter
	}
	return 0
}

// guess types a wrong code, in an attempt of its own where none is open.
func (p *person) guess() error {
	p.t.Helper()
	if p.attempt == "" || p.s.Clock.Now().Sub(p.begun) > 10*time.Minute {
		*p = *p.elsewhere()
		p.must(p.password(idptest.Password))
		p.begun = p.s.Clock.Now()
	}
	return p.code("000 000")
}

// fails makes a person's app show none of the codes that guess types.
func (p *person) fails() {
	for p.shown() == "000000" {
		p.s.Clock.Advance(time.Minute)
	}
}

func TestMFA4WrongSecondStepsAreCountedAcrossFactorsAndAttempts(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	p, colleague := owning(t, s, org, directory.Member), owning(t, s, org, directory.Member)
	p.fails()
	forged := s.Authenticator()
	forged.Passkeys, forged.Origin = p.key.Passkeys, "https://evil.example"
	for i, try := range []func(b *person) error{
		func(b *person) error { return b.code("000000") },
		func(b *person) error { return b.recovery("AAAA-AAAA-AAAA-AAAA") },
		func(b *person) error { b.key = forged; return b.passkey() },
		func(b *person) error { return b.recovery(colleague.codes[0]) },
		func(b *person) error { return b.code(colleague.shown() + "0") },
	} {
		b := p.elsewhere() // proving the password again, each time
		b.must(b.password(idptest.Password))
		if err := try(b); err == nil || wait(err) > 0 {
			t.Errorf("wrong second step %d: %v", i+1, err)
		}
	}
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	for name, right := range map[string]func() error{
		"the right code": func() error { return b.code(b.shown()) }, "a right recovery code": func() error { return b.recovery(b.codes[0]) },
		"the right passkey": func() error { return b.passkey() },
	} {
		if err := right(); wait(err) != time.Second {
			t.Errorf("%s after five wrong ones: %v", name, err)
		}
	}
	if err := b.alone(""); err != nil {
		t.Errorf("a passkey alone is no second step, and waits for none: %v", err)
	}
	other := colleague.elsewhere()
	other.must(errors.Join(other.password(idptest.Password), other.code(other.shown())))

	s.Clock.Advance(time.Second)
	b = p.elsewhere()
	b.must(errors.Join(b.password(idptest.Password), b.recovery(b.codes[0])))
	// A right one clears no guesses made elsewhere: the next may come, because its wait was over, and
	// begins the wait that it would have begun.
	if err := p.guess(); err == nil || wait(err) > 0 {
		t.Errorf("after a right one: %v", err)
	}
	if err := p.guess(); wait(err) != 2*time.Second {
		t.Errorf("after a wrong one: %v", err)
	}
}

func TestMFA4ThePersonIsToldOnceAtTheTenth(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	p.fails()
	told := func() (n int) {
		for _, l := range s.LettersTo(t, p.email) {
			if idptest.Contains(t, l.Subject, "mail.second_step_guessed.subject") && idptest.Contains(t, l.Text, "mail.second_step_guessed.what", "Count", 10) {
				n++
			}
		}
		return n
	}
	for wrong := 1; wrong <= 14; {
		err := p.guess()
		if w := wait(err); w > 0 {
			for range 20 { // however many are tried meanwhile, no count is lost and the letter is sent
				if wait(p.guess()) == 0 {
					t.Fatal("a wait is no wait")
				}
			}
			s.Clock.Advance(w)
			continue
		}
		if !errors.Is(err, signin.ErrCodeFailed) {
			t.Fatal(err)
		}
		if n := told(); n != min(1, wrong/10) {
			t.Errorf("%d letters after %d wrong codes", n, wrong)
		}
		wrong++
	}
}

// A guess is right by chance three times in a million: there are the steps before, of and after
// now.
func TestMFA4AGuesserOfADayIsBelowOneInTenThousand(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	p.fails()
	tries := 0
	for end := s.Clock.Now().Add(24 * time.Hour); s.Clock.Now().Before(end); {
		switch err := p.guess(); {
		case wait(err) > 0:
			s.Clock.Advance(wait(err))
		case errors.Is(err, signin.ErrCodeFailed):
			tries++
		default:
			t.Fatal(err)
		}
	}
	if tries < 10 || float64(tries)*3/1_000_000 >= 1.0/10_000 {
		t.Errorf("%d codes were compared in a day", tries)
	}
}

func TestMFA2OneCodeFromEightBrowsersOpensOneDoor(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	for _, kind := range []string{"code", "recovery code"} {
		t.Run(kind, func(t *testing.T) {
			p := owning(t, s, org, directory.Member)
			var proofs []signin.SecondProof
			for range 8 {
				b := p.elsewhere()
				b.must(b.password(idptest.Password))
				proof := signin.SecondProof{Browser: b.browser(), Remembered: b.remembered(), Attempt: b.open(), Code: b.shown()}
				if kind != "code" {
					proof.Code, proof.Recovery = "", b.codes[0]
				}
				proofs = append(proofs, proof)
			}
			var wg sync.WaitGroup
			results := make(chan error, len(proofs))
			for _, proof := range proofs {
				wg.Go(func() {
					o, err := s.Site.SignIn.Second(t.Context(), proof)
					if err == nil && o.Attempt != "" {
						err = fmt.Errorf("goes on as attempt %s", o.Attempt)
					}
					results <- err
				})
			}
			wg.Wait()
			close(results)
			opened := 0
			for err := range results {
				switch {
				case err == nil:
					opened++
				case !errors.Is(err, signin.ErrCodeFailed) && !errors.Is(err, signin.ErrRecoveryFailed) && !errors.Is(err, signin.ErrTooOften):
					t.Error(err)
				}
			}
			if opened != 1 {
				t.Errorf("%d doors opened", opened)
			}
		})
	}
}

// MFA-1: a later step out of order, or for another person, leads nowhere.
func TestMFA1StepsAreTakenInOrder(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	p := owning(t, s, org, directory.Member)
	sign := s.Site.SignIn

	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	a := b.open()
	if _, err := sign.EnrollerOf(t.Context(), a); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("enrols in place of proving: %v", err)
	}
	if _, err := sign.ConfirmApp(t.Context(), a, b.browser(), b.remembered(), b.shown()); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("turns an app on in place of proving: %v", err)
	}
	stranger := p.elsewhere()
	stranger.must(stranger.password(idptest.Password))
	proof := signin.SecondProof{Browser: stranger.browser(), Attempt: a, Code: p.shown()}
	if _, err := sign.Second(t.Context(), proof); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("an attempt goes on in another browser: %v", err)
	}
	proof = signin.SecondProof{Browser: b.browser(), Attempt: signin.Attempt{OrgID: a.OrgID, UserID: a.UserID}, Code: p.shown()}
	if _, err := sign.Second(t.Context(), proof); err == nil {
		t.Error("a second step without a first")
	}
	for _, text := range []string{"", " ", "\x00", strings.Repeat("9", 1<<16)} {
		if err := b.code(text); !errors.Is(err, signin.ErrCodeFailed) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	s.Clock.Advance(signin.AttemptLifetime)
	proof = signin.SecondProof{Browser: b.browser(), Attempt: a, Code: p.shown()}
	if _, err := sign.Second(t.Context(), proof); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("after its time: %v", err)
	}
	if _, open := b.visit(); open {
		t.Error("a door is open")
	}
}

// PSK-5, ENU-1: a right passkey that may not sign in is refused as a wrong one is, and the
// organization's log says why.
func TestPSK5PasskeysThatOpenNothingLookAlike(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	elsewhere := s.Organization(t, "Beta Works", "beta")
	change := func(t *testing.T, do func(ctx context.Context, tx *db.Tx) error) { s.Update(t, do) }
	for name, w := range map[string]struct {
		org    directory.Organization
		close  func(t *testing.T, p *person)
		page   string
		reason string
	}{
		"deactivated": {org, func(t *testing.T, p *person) {
			change(t, func(ctx context.Context, tx *db.Tx) error {
				return directory.Deactivate(ctx, tx, directory.Operator(), p.org.ID, p.user().ID)
			})
		}, "", "not active"},
		"suspended": {s.Organization(t, "Gone Works", "gone"), func(t *testing.T, p *person) {
			change(t, func(ctx context.Context, tx *db.Tx) error {
				return directory.Suspend(ctx, tx, directory.Operator(), p.org.ID)
			})
		}, "", "suspended"},
		"of another organization": {org, func(*testing.T, *person) {}, elsewhere.ShortName, "another organization"},
		"on the page of nobody":   {org, func(*testing.T, *person) {}, "nobody-is-called-so", "another organization"},
		"counter went back":       {org, func(_ *testing.T, p *person) { p.key.Counter = 1 }, "", "counter"},
		"not verified":            {org, func(_ *testing.T, p *person) { p.key.Flags = authenticator.Present }, "", "verification"},
	} {
		t.Run(name, func(t *testing.T) {
			p := owning(t, s, w.org, directory.Member)
			w.close(t, p)
			b := p.elsewhere()
			before := dbtest.Dump(t, s.DB, "passkeys")
			err := b.alone(w.page)
			if !errors.Is(err, credential.ErrPasskeyRefused) {
				t.Errorf("%v", err)
			}
			if f, ok := errors.AsType[*fault.Error](err); !ok || len(f.Args) > 0 || f.Key != credential.ErrPasskeyRefused.Key {
				t.Errorf("it says more than that it was refused: %v", err)
			}
			if _, open := b.visit(); open || !b.cookie.IsZero() {
				t.Error("a door is open")
			}
			if dbtest.Dump(t, s.DB, "passkeys") != before {
				t.Error("a refused answer changed the passkey")
			}
			var logged int
			if _, err := s.DB.One(t.Context(), db.Into(&logged), `
				select count(*) from audit_events
				where org_id = $1 and action = 'signin.refused' and result = 'refused' and target = $2 and after like $3`,
				string(p.org.ID), string(p.user().ID), "%"+w.reason+"%"); err != nil || logged != 1 {
				t.Errorf("%d entries say %q, %v", logged, w.reason, err)
			}
		})
	}
}

func TestPSK5PasskeyOfSomebodyElseProvesNobody(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	p, mallory := owning(t, s, org, directory.Member), owning(t, s, org, directory.Member)
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	b.key = mallory.key
	if err := b.alone(""); !errors.Is(err, credential.ErrPasskeyRefused) {
		t.Errorf("an attempt of one goes on with the passkey of another: %v", err)
	}
	if a := b.open(); a.UserID != p.user().ID || signin.Next(a, s.Clock.Now()) != signin.ProveSecond {
		t.Errorf("the attempt is %+v now", a)
	}
	// PSK-2: what was begun for one attempt does not end another.
	options, kept, err := s.Site.SignIn.Passkeys.BeginSecondStep(t.Context(), s.DB, p.user(), b.attempt, s.DB.Now())
	b.must(err)
	other := p.elsewhere()
	other.must(other.password(idptest.Password))
	err = other.second(signin.SecondProof{Ceremony: kept, Response: p.key.Assert(t, options)})
	if !errors.Is(err, credential.ErrCeremonyOver) {
		t.Errorf("the ceremony of another attempt: %v", err)
	}
}

// A hundred refused passkeys slow down their network's next refusals, but nobody who has a
// right one.
func TestPSK4RefusedPasskeysAreCountedAndRightOnesAreNot(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	p := owning(t, s, org, directory.Member)
	thief := s.Authenticator()
	thief.Passkeys, thief.Origin = p.key.Passkeys, "https://evil.example"
	stranger := p.elsewhere()
	stranger.key = thief
	for range 150 {
		p.must(p.elsewhere().alone(""))
	}
	for i := range signin.PerNetworkPasskey.Free {
		if err := stranger.alone(""); !errors.Is(err, credential.ErrPasskeyRefused) {
			t.Fatalf("refusal %d: %v", i+1, err)
		}
	}
	if err := stranger.alone(""); wait(err) == 0 {
		t.Errorf("nothing slows the refused: %v", err)
	}
	p.must(p.elsewhere().alone(""))
}

func TestMFA6AServerWithoutANameTakesNoPasskey(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	p := join(t, s, s.Organization(t, "Alpha Works", "alpha"), "ana", directory.Member)
	p.addApp()
	sign := s.Site.SignIn
	if _, err := sign.PasskeyAlone(t.Context(), signin.PasskeyProof{Ceremony: "x", Response: []byte("{}")}); !errors.Is(err, credential.ErrCeremonyOver) {
		t.Errorf("alone: %v", err)
	}
	if _, err := sign.AddPasskeyHere(t.Context(), p.here(), p.remembered(), "x", "Key", []byte("{}")); !errors.Is(err, credential.ErrCeremonyOver) {
		t.Errorf("new: %v", err)
	}
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	if err := b.second(signin.SecondProof{Ceremony: "x", Response: []byte("{}")}); !errors.Is(err, credential.ErrCeremonyOver) {
		t.Errorf("as a second step: %v", err)
	}
}

func TestUsingARecoveryCodeSaysHowManyAreLeft(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	for used := 1; used <= 10; used++ {
		b := p.elsewhere()
		b.must(errors.Join(b.password(idptest.Password), b.recovery(b.codes[used-1])))
		want := "\n" + idptest.Sentence(t, "mail.recovery_used.left", "Count", 10-used)
		told := 0
		for _, l := range s.LettersTo(t, p.email) {
			if l.Subject == idptest.Sentence(t, "mail.recovery_used.subject", "Organization", "Alpha Works") && strings.Contains(strings.ReplaceAll(l.Text, "\r", ""), want) {
				told++
			}
		}
		if told != 1 {
			t.Errorf("after %d: %d letters say %q", used, told, want)
		}
		if left := p.devices().Recovery; left != 10-used {
			t.Errorf("%d left after %d", left, used)
		}
	}
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	if err := b.recovery(b.codes[0]); !errors.Is(err, signin.ErrRecoveryFailed) {
		t.Errorf("a used one: %v", err)
	}
}

// R-REC-08: the four traces of a reset, and what follows from it.
func TestResetOfASecondStepEndsEverythingAndIsTold(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.SecondStep(t, org, signin.SecondStepRules{RequiredFrom: s.Clock.Now(), Tolerance: 1, Passwordless: true})
	p := owning(t, s, org, directory.Member)
	admin, help := owning(t, s, org, directory.Administrator), owning(t, s, org, directory.Helpdesk)
	reset := func(by *person, whom *person, reason string) error {
		actor, id := by.user().AsActor(), whom.user().ID
		return s.DB.Update(t.Context(), func(tx *db.Tx) error {
			return s.Site.SignIn.ResetSecondStep(t.Context(), tx, actor, org, id, reason)
		})
	}
	for name, err := range map[string]error{
		"a member resets": reset(p, help, "Because"), "helpdesk resets an administrator": reset(help, admin, "Because"),
		"one's own": reset(admin, admin, "Because"), "without a reason": reset(admin, p, " "),
	} {
		if err == nil {
			t.Error(name)
		}
	}
	waiting := p.elsewhere()
	waiting.must(waiting.password(idptest.Password))
	if err := reset(help, p, "Lost her phone, seen at the desk"); err != nil {
		t.Fatal(err)
	}
	if f := p.devices(); f.Any() || f.Recovery > 0 {
		t.Errorf("left: %+v", f)
	}
	if _, open := p.visit(); open {
		t.Error("the session goes on")
	}
	if _, err := s.Site.SignIn.Load(t.Context(), s.DB, waiting.browser(), waiting.attempt, s.DB.Now()); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("the attempt that waited for the second step goes on: %v", err)
	}
	var reason string
	if _, err := s.DB.One(t.Context(), db.Into(&reason), `
		select after from audit_events where org_id = $1 and action = 'second_step.reset' and target = $2`,
		string(org.ID), string(p.user().ID)); err != nil || !strings.Contains(reason, "Lost her phone") {
		t.Errorf("the log says %q, %v", reason, err)
	}
	if l := s.LettersTo(t, p.email); l[0].Subject != idptest.Sentence(t, "mail.second_step_reset.subject", "Organization", "Alpha Works") {
		t.Errorf("the newest letter is %q", l[0].Subject)
	}
	if err := p.elsewhere().alone(""); !errors.Is(err, credential.ErrPasskeyRefused) {
		t.Errorf("the old passkey: %v", err)
	}
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	if step := b.step(); step != signin.EnrolFactor {
		t.Errorf("the next sign-in is at step %d", step)
	}
	b.must(enrolApp(b))
	b.here()
}

// RST-7: somebody who has only the mailbox gets no further than the second step.
func TestRST7AResetProvesTheSecondStepFirst(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	sign := s.Site.SignIn
	p.must(sign.Ask(t.Context(), signin.RememberedBrowser{}, credential.AskedPassword, p.email, "", "en"))
	token := secret.ParseToken(strings.TrimPrefix(s.Link(t, p.email, "/reset/"), "/reset/"))
	const text = "Nine otters glide 4 miles!"
	fresh := func(b *person) signin.NewPassword {
		return signin.NewPassword{Browser: b.browser(), Remembered: b.remembered(), Password: text, Repetition: text}
	}
	b := p.elsewhere()
	b.must(b.take(sign.ResetPassword(t.Context(), token, fresh(b))))
	if _, open := b.visit(); open || b.step() != signin.ProveSecond {
		t.Fatalf("step %d, open %v", b.step(), open)
	}
	if err := b.take(sign.CreateAskedPassword(t.Context(), b.open(), fresh(b))); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("a new password before the second step: %v", err)
	}
	if _, err := sign.EnrollerOf(t.Context(), b.open()); !errors.Is(err, signin.ErrAttemptGone) {
		t.Errorf("a new device in place of the old: %v", err)
	}
	old := p.elsewhere()
	old.must(old.password(idptest.Password)) // nothing has changed yet
	p.here()

	b.must(b.code(b.shown()))
	b.must(b.take(sign.CreateAskedPassword(t.Context(), b.open(), fresh(b))))
	if v := b.here(); v.Session.Methods != "pwd otp mfa" {
		t.Errorf("methods %q", v.Session.Methods)
	}
	if _, open := p.visit(); open {
		t.Error("an earlier session goes on")
	}
	if err := p.elsewhere().password(idptest.Password); !errors.Is(err, signin.ErrFailed) {
		t.Errorf("the old password: %v", err)
	}
	again := p.elsewhere()
	if _, err := sign.ResetPassword(t.Context(), token, fresh(again)); err == nil {
		t.Error("the link works twice")
	}
	if f := p.devices(); len(f.Apps) != 1 || len(f.Passkeys) != 1 {
		t.Errorf("devices %+v", f)
	}
}

func TestMFA7TheLastDeviceStaysWhileOneIsRequired(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Alpha Works", "alpha")
	p := owning(t, s, org, directory.Member)
	s.SecondStep(t, org, signin.SecondStepRules{RequiredFrom: s.Clock.Now(), Tolerance: 1})
	f := p.devices()
	remove := func(id string) error { return s.Site.SignIn.RemoveAuthenticator(t.Context(), p.here(), id) }
	p.must(remove(f.Apps[0].ID))
	if err := remove(f.Passkeys[0].ID); !errors.Is(err, signin.ErrLastAuthenticator) {
		t.Errorf("the last one: %v", err)
	}
	s.SecondStep(t, org, signin.SecondStepRules{RequiredFrom: s.Clock.Now().Add(time.Hour), Tolerance: 1})
	p.must(remove(f.Passkeys[0].ID))
	if err := remove(f.Passkeys[0].ID); !errors.Is(err, credential.ErrAuthenticatorGone) {
		t.Errorf("removed twice: %v", err)
	}
	s.Clock.Advance(time.Hour)
	b := p.elsewhere()
	b.must(b.password(idptest.Password))
	if step := b.step(); step != signin.EnrolFactor {
		t.Errorf("from its day on a sign-in is at step %d", step)
	}
}
