package signin

import (
	"context"
	"errors"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// Ask stores what somebody asks for an address without any proof: a new password, or the names
// of its organizations. It answers the same for every address, with the same statements, and
// does not mention a limit either (R-REC-01). It says plainly only that nobody knows the
// organization, or that two have its name.
func (s *Service) Ask(ctx context.Context, d RememberedBrowser, asked credential.Asked, email, organization string, language i18n.Tag) error {
	address, wrong := naming.ParseAddress(email)
	if organization != "" {
		named, err := s.Named(ctx, organization)
		if err != nil && !isFault(err) {
			return err
		}
		wrong, organization = errors.Join(wrong, err), named.ShortName
	}
	if wrong != nil {
		return wrong
	}
	_, err := s.takeInTurn(ctx, s.askedTries(ctx, d, asked, address)...)
	if errors.Is(err, ErrTooOften) {
		s.Log.WarnContext(ctx, "too many letters asked for", "asked", string(asked), "network", network(ctx).String())
		return nil
	}
	if err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		return credential.Ask(ctx, tx, credential.Request{Asked: asked, Address: address, Organization: organization, Language: language})
	})
}

// NewPassword is what the page for a new password sends.
type NewPassword struct {
	Browser    session.Browser
	Remembered RememberedBrowser
	Password   string
	Repetition string

	voluntary bool // nobody demanded it, so it may have to wait (credential.ErrChangedOften)
}

// ResetPassword creates a new password for somebody who holds a link, and signs them in: in one
// transaction the link is claimed, the password set, every other session ended and the new one
// issued (decision 0023). A person with a second step proves it first: an attempt then
// continues with the link (R-REC-04).
func (s *Service) ResetPassword(ctx context.Context, token secret.Token, p NewPassword) (Opened, error) {
	if err := s.TakeLink(ctx); err != nil {
		return Opened{}, err
	}
	opened, err := s.resetPassword(ctx, token, p)
	if errors.Is(err, credential.ErrResetDead) {
		opened, err = s.repeat(ctx, token.Hash(secret.Reset), Repetition{Browser: p.Browser, Remembered: p.Remembered, Password: p.Password}, err)
	}
	if errors.Is(err, credential.ErrResetDead) {
		dead, found, look := credential.DeadReset(ctx, s.DB, token)
		err = errors.Join(err, s.recordDead(ctx, dead, found, look))
	}
	return opened, err
}

func (s *Service) resetPassword(ctx context.Context, token secret.Token, p NewPassword) (Opened, error) {
	found, err := credential.ResetByToken(ctx, s.DB, token, s.DB.Now())
	if err != nil {
		return Opened{}, err
	}
	second, err := s.NeedsSecondStep(ctx, found)
	if err != nil {
		return Opened{}, err
	}
	if second {
		return s.beginReset(ctx, token, p.Browser)
	}
	hashed, err := s.newPassword(ctx, found.Candidate, p)
	if err != nil {
		return Opened{}, err
	}
	var opened Opened
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		used, err := credential.UseReset(ctx, tx, token)
		if err != nil {
			return err
		}
		a := Attempt{
			OrgID: used.User.OrgID, UserID: used.User.ID, Generation: used.User.Generation, Evidence: []Evidence{{Reset, tx.Now()}},
			deed: token.Hash(secret.Reset),
		}
		if err := s.describe(ctx, tx, &a); err != nil {
			return err
		}
		opened, err = s.replacePassword(ctx, tx, p, a, used.Candidate, hashed)
		return err
	})
	return opened, err
}

// beginReset begins the attempt of somebody who holds a link and must prove a second step
// before the new password takes effect. The link stays unused until then.
func (s *Service) beginReset(ctx context.Context, token secret.Token, b session.Browser) (Opened, error) {
	var opened Opened
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		found, err := credential.ResetByToken(ctx, tx, token, tx.Now())
		if err != nil {
			return err
		}
		a := Attempt{
			OrgID: found.User.OrgID, UserID: found.User.ID, Generation: found.User.Generation,
			ResetID: found.ID, Evidence: []Evidence{{Reset, tx.Now()}}, deed: token.Hash(secret.Reset),
		}
		// The link is all that was proved, and it is proved again, because it still works.
		var again bool
		if opened, again, err = s.again(ctx, tx, b, RememberedBrowser{}, a.done()); err == nil && !again {
			opened, err = s.goOn(ctx, tx, b, RememberedBrowser{}, a, found.Candidate)
		}
		return err
	})
	return opened, err
}

// NeedsSecondStep reports whether the holder of a link has a second step to prove first.
func (s *Service) NeedsSecondStep(ctx context.Context, found credential.Reset) (bool, error) {
	now := s.DB.Now()
	a := Attempt{OrgID: found.User.OrgID, UserID: found.User.ID, Evidence: []Evidence{{Reset, now}}}
	err := s.describe(ctx, s.DB, &a)
	return Next(a, now) == ProveSecond, err
}

// CreateAskedPassword creates the password that an attempt was stopped for.
func (s *Service) CreateAskedPassword(ctx context.Context, a Attempt, p NewPassword) (Opened, error) {
	if err := s.TakeLink(ctx); err != nil {
		return Opened{}, err
	}
	who, err := Whose(ctx, s.DB, a)
	if err != nil {
		return Opened{}, err
	}
	hashed, err := s.newPassword(ctx, who, p)
	if err != nil {
		return Opened{}, err
	}
	var opened Opened
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		now, err := s.Load(ctx, tx, p.Browser, a.ID, tx.Now())
		if err != nil {
			return err
		}
		who, err := Whose(ctx, tx, now)
		if err != nil {
			return err
		}
		opened, err = s.replacePassword(ctx, tx, p, now, who, hashed)
		return err
	})
	return opened, err
}

// Whose returns the user whom an attempt has identified.
func Whose(ctx context.Context, r db.Reader, a Attempt) (directory.Candidate, error) {
	user, err := directory.UserByID(ctx, r, a.OrgID, a.UserID)
	if err != nil {
		return directory.Candidate{}, err
	}
	org, err := directory.OrganizationByID(ctx, r, a.OrgID)
	if err == nil && !org.SuspendedAt.IsZero() {
		err = ErrAttemptGone
	}
	return directory.Candidate{User: user, Organization: org}, err
}

// replacePassword sets the password of an attempt that Next stopped for one, and continues the
// attempt.
func (s *Service) replacePassword(ctx context.Context, tx *db.Tx, p NewPassword, a Attempt, who directory.Candidate, hashed credential.Hashed) (Opened, error) {
	if Next(a, tx.Now()) != CreatePassword {
		return Opened{}, ErrAttemptGone
	}
	if a.ResetID != "" {
		if err := credential.UseResetByID(ctx, tx, a.owner(), a.ResetID); err != nil {
			return Opened{}, err
		}
	}
	if err := credential.Set(ctx, tx, hashed); err != nil {
		return Opened{}, err
	}
	user, err := s.Sessions.EndAll(ctx, tx, who.User.AsActor(), who.User, session.PasswordChanged)
	if err != nil {
		return Opened{}, err
	}
	who.User, a.Generation = user, user.Generation
	a.Evidence = append(a.Evidence[:len(a.Evidence):len(a.Evidence)], Evidence{Password, tx.Now()})
	how := "asked"
	if a.has(Reset) {
		how = "reset"
	}
	if err := s.tellPasswordChanged(ctx, tx, who, how); err != nil {
		return Opened{}, err
	}
	return s.goOn(ctx, tx, p.Browser, p.Remembered, a, who)
}

// newPassword checks a password by the rules that apply to somebody and hashes it, outside any
// transaction.
func (s *Service) newPassword(ctx context.Context, who directory.Candidate, p NewPassword) (credential.Hashed, error) {
	var rules credential.Rules
	var past credential.History
	if err := s.DB.View(ctx, func(tx *db.Tx) (err error) {
		if rules, err = credential.RulesOf(ctx, tx, who.User.OrgID); err != nil {
			return err
		}
		past, err = credential.HistoryOf(ctx, tx, rules, credential.Owner{OrgID: who.User.OrgID, UserID: who.User.ID}, tx.Now())
		return err
	}); err != nil {
		return credential.Hashed{}, err
	}
	checked, err := s.Passwords.Check(rules, credential.Context{
		Organization: []string{who.Organization.DisplayName, who.Organization.ShortName}, Name: who.User.Name, Email: who.User.Email,
	}, p.Password)
	if err == nil && !credential.Same(p.Password, p.Repetition) {
		err = ErrRepetition
	}
	if err == nil && p.voluntary {
		err = past.Room()
	}
	if err != nil {
		return credential.Hashed{}, err
	}
	return s.Passwords.Hash(ctx, source(ctx, p.Remembered, who.User.OrgID), past, checked)
}

func (l letters) tellPasswordChanged(ctx context.Context, tx *db.Tx, who directory.Candidate, how string) error {
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(who.User.OrgID), Actor: string(who.User.ID), ActorName: who.User.Name, Action: "password.changed",
		Target: string(who.User.ID), TargetName: who.User.Name, After: audit.Fields{"by": how},
	}); err != nil {
		return err
	}
	return l.tellDeed(ctx, tx, who, "", func(d mail.Deed) mail.Parameters { return mail.PasswordChangedParameters{Deed: d} })
}

// ChangePassword changes the password of a signed-in person who gives the current one, which is
// counted as in a sign-in (R-PWD-08). Every other session ends. A person with a second step has
// proved it recently, because the page asks for it (R-SES-10).
func (s *Service) ChangePassword(ctx context.Context, v session.Visit, current string, p NewPassword) (Opened, error) {
	who := directory.Candidate{User: v.User, Organization: v.Organization}
	address, err := naming.ParseAddress(v.User.Email)
	if err != nil {
		return Opened{}, err
	}
	count := s.passwordTries(ctx, p.Remembered, address, p.Remembered.knows(v.User))
	taken, err := s.takeInTurn(ctx, count.turns...)
	if err != nil {
		return Opened{}, err
	}
	stored, err := credential.StoredPassword(ctx, s.DB, credential.Owner{OrgID: v.User.OrgID, UserID: v.User.ID})
	if err != nil {
		return Opened{}, err
	}
	verdict, err := s.Passwords.Verify(ctx, source(ctx, p.Remembered, v.User.OrgID), stored, current)
	if err != nil {
		return Opened{}, err
	}
	p.voluntary = true
	var hashed credential.Hashed
	if verdict.OK { // only then may the history be compared
		if hashed, err = s.newPassword(ctx, who, p); err != nil {
			count.giveBack(ctx, s.DB, s.Log)
			return Opened{}, err
		}
	}
	opened, refused := Opened{}, false
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		outcome, err := credential.Confirm(ctx, tx, verdict)
		if err != nil {
			return err
		}
		if refused = !outcome.OK; refused {
			return s.recordRefusal(ctx, tx, identified{Candidate: who}, address, taken, outcome)
		}
		if err := credential.Set(ctx, tx, hashed); err != nil {
			return err
		}
		now := v // this closure may run again, with the user as before
		if now.User, err = s.Sessions.EndOthers(ctx, tx, v, session.PasswordChanged); err != nil {
			return err
		}
		if err := s.tellPasswordChanged(ctx, tx, directory.Candidate{User: now.User, Organization: v.Organization}, "change"); err != nil {
			return err
		}
		// The session continues, under a new token.
		if opened, err = s.raise(ctx, tx, now, p.Remembered, Attempt{Evidence: []Evidence{{Password, tx.Now()}}, deed: v.Session.ID}); err != nil {
			return err
		}
		return count.release(ctx, tx, s.Log)
	})
	if err != nil {
		return Opened{}, err
	}
	if refused {
		return Opened{}, ErrCurrentWrong
	}
	return opened, nil
}
