package signin

import (
	"context"
	"errors"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/session"
)

// A form that is sent twice within thirty seconds, by two clicks or because the first answer was
// lost, leads where one leads (decision 0041). The second request proves its secret as the
// first did, for the same step, and shows the token that the first one showed; it does nothing,
// and is answered with the result of the first.

// done names what this request does: the link or page that it uses up, or the step of an
// attempt, or the user whose factor is proved where there is no attempt. The method is part of
// the name, so that a password never stands for the code that came after it.
func (a Attempt) done() string {
	what := a.deed
	switch {
	case what != "":
	case a.ID != "":
		what = a.ID
	default:
		what = string(a.OrgID) + " " + string(a.UserID)
	}
	if n := len(a.Evidence); n > 0 {
		what += " " + string(a.Evidence[n-1].Method)
	}
	return what
}

// doneFor is done for a factor that a user proves without a stored attempt.
func doneFor(u directory.User, m Method) string {
	return Attempt{OrgID: u.OrgID, UserID: u.ID, Evidence: []Evidence{{Method: m}}}.done()
}

// cameOf is the result of a deed, as far as it still holds: an attempt that goes on, an open
// session, or a proof for a link; and the user it belongs to.
type cameOf struct {
	session.Came
	who     directory.Candidate
	attempt string // id; empty where a session is open, or
	link    bool   // where the person proved who a provider's new subject is
}

// cameOf finds the result of a deed. A result that ended since, or that a later generation of
// its user voided, is not found: the joins leave it out.
func (s *Service) cameOf(ctx context.Context, r db.Reader, b session.Browser, done string, now time.Time) (c cameOf, found bool, err error) {
	if c.Came, found, err = s.Sessions.Again(ctx, r, b, done, now); err != nil || !found {
		return cameOf{}, false, err
	}
	if !attemptID.MatchString(c.Gained) {
		visit, open, err := c.Open(ctx, r, s.Sessions, now)
		c.who = directory.Candidate{User: visit.User, Organization: visit.Organization}
		return c, open, err
	}
	a, _, err := s.load(ctx, r, c.Browser, c.Gained)
	switch {
	case err != nil:
	case s.goesOn(a, now):
		c.attempt = a.ID
	case a.LinkRequest != "" && !a.EndedAt.IsZero():
		c.link = true
	default:
		err = ErrAttemptGone
	}
	if err == nil {
		c.who, err = Whose(ctx, r, a)
	}
	if errors.Is(err, ErrAttemptGone) {
		return cameOf{}, false, nil
	}
	return c, err == nil, err
}

// again answers a deed that was done a moment ago, and was proved again in this transaction.
func (s *Service) again(ctx context.Context, tx *db.Tx, b session.Browser, d RememberedBrowser, done string) (Opened, bool, error) {
	c, found, err := s.cameOf(ctx, tx, b, done, tx.Now())
	if err != nil || !found {
		return Opened{}, false, err
	}
	opened := Opened{Cookie: c.Token, Attempt: c.attempt, Organization: c.who.Organization, User: c.who.User}
	if c.attempt == "" {
		opened.Remembered, err = s.remember(d, c.who.User, tx.Now())
	}
	return opened, true, err
}

// provedOnce goes on with a new piece of evidence for user who, unless the same browser proved
// the same a moment ago.
func (s *Service) provedOnce(ctx context.Context, tx *db.Tx, b session.Browser, d RememberedBrowser, a Attempt, who directory.Candidate, m Method) (Opened, error) {
	if a.ID == "" {
		opened, found, err := s.again(ctx, tx, b, d, doneFor(who.User, m))
		if err != nil || found {
			opened.Return = a.Return
			return opened, err
		}
	}
	a, err := s.proved(ctx, tx, b, a, who.User, m)
	if err != nil {
		return Opened{}, err
	}
	return s.goOn(ctx, tx, b, d, a, who)
}

// Repetition is a form whose deed is done already, with everything that it may have sent.
type Repetition struct {
	Browser    session.Browser
	Remembered RememberedBrowser
	Email      string // with Password, where the form asked for it
	Password   string
	Code       string
	Recovery   string
	Ceremony   string // sealed, with
	Response   []byte // what the authenticator answered
}

// RepeatHere answers a form by which a signed-in person proved something in their session;
// ErrAttemptGone as for RepeatStep.
func (s *Service) RepeatHere(ctx context.Context, v session.Visit, p Repetition) (Opened, error) {
	p.Browser = v.Browser
	return s.repeat(ctx, v.Session.ID, p, ErrAttemptGone)
}

// RepeatStep answers a form of an attempt that was sent twice; ErrAttemptGone if it was not, or
// proves something else.
func (s *Service) RepeatStep(ctx context.Context, id string, p Repetition) (Opened, error) {
	if !attemptID.MatchString(id) {
		return Opened{}, ErrAttemptGone
	}
	opened, err := s.repeat(ctx, id, p, ErrAttemptGone)
	if err == nil && opened.Attempt == "" {
		_, err = s.DB.One(ctx, db.Into(&opened.Return), `select return_path from attempts where id = $1`, id)
	}
	return opened, err
}

// repeat answers a form that was sent twice, or else returns gone. what is its deed without the
// method; the deed of a link has no method.
func (s *Service) repeat(ctx context.Context, what string, p Repetition, gone error) (Opened, error) {
	for _, m := range p.methods() {
		for _, enrolled := range []bool{false, true} {
			done := enrolledOr(what, enrolled) + " " + string(m)
			c, found, err := s.cameOf(ctx, s.DB, p.Browser, done, s.DB.Now())
			if err != nil {
				return Opened{}, err
			}
			if found {
				opened, err := s.proveAgain(ctx, done, c, p, gone)
				opened.Enrolled = enrolled
				return opened, err
			}
		}
	}
	return Opened{}, gone
}

// enrolledOr names a deed that proves an authenticator by enrolling it.
func enrolledOr(what string, enrolled bool) string {
	if enrolled {
		return what + " enrolled"
	}
	return what
}

// methods returns what the form may have proved.
func (p Repetition) methods() []Method {
	switch {
	case len(p.Response) > 0:
		return []Method{Passkey, VerifiedPasskey}
	case p.Recovery != "":
		return []Method{Recovery}
	case p.Code != "":
		return []Method{App}
	case p.Password != "":
		return []Method{Password}
	}
	return nil
}

// proveAgain proves again what a deed was done with, and counts it like any other proof.
func (s *Service) proveAgain(ctx context.Context, done string, c cameOf, p Repetition, gone error) (Opened, error) {
	address, err := naming.ParseAddress(c.who.User.Email)
	if err != nil {
		return Opened{}, err
	}
	if typed, err := naming.ParseAddress(p.Email); p.Email != "" && (err != nil || typed.Key != address.Key) {
		return Opened{}, gone
	}
	count := s.passwordTries(ctx, p.Remembered, address, p.Remembered.knows(c.who.User))
	if p.Password == "" {
		own, _ := s.secondTries(p.Remembered, c.who.User)
		count = tries{turns: [][]limit.Key{{own}}, shared: own}
	}
	taken, err := s.takeInTurn(ctx, count.turns...)
	if err != nil {
		return Opened{}, err
	}
	same, err := s.sameProof(ctx, done, c, p)
	if err != nil {
		return Opened{}, err
	}
	var opened Opened
	var found bool // returned after the commit: a refusal must keep its count
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		opened, found = Opened{}, false
		outcome, err := same(tx)
		if err != nil {
			return err
		}
		switch {
		case !outcome.OK && p.Password != "":
			return s.recordRefusal(ctx, tx, identified{Candidate: c.who}, address, taken, outcome)
		case !outcome.OK:
			return audit.Record(ctx, tx, refusedEvent(c.who, p.methods()[0], gone))
		}
		if opened, found, err = s.again(ctx, tx, p.Browser, p.Remembered, done); err != nil || !found {
			return err
		}
		return count.release(ctx, tx, s.Log)
	})
	if err == nil && !found {
		err = gone
	}
	if err != nil {
		return Opened{}, err
	}
	return opened, nil
}

// sameProof does the part that belongs outside a transaction. The function that it returns says
// whether this is the proof by which the deed was done: the password against the hash stored
// now, the code used last, a passkey's answer to the same challenge.
func (s *Service) sameProof(ctx context.Context, done string, c cameOf, p Repetition) (func(*db.Tx) (credential.Outcome, error), error) {
	owner := credential.Owner{OrgID: c.who.User.OrgID, UserID: c.who.User.ID}
	yes := func(ok bool, err error) (credential.Outcome, error) { return credential.Outcome{OK: ok}, err }
	switch {
	case len(p.Response) > 0:
		bound, _, _ := strings.Cut(done, " ")
		ok, err := s.Passkeys.Repeats(ctx, s.DB, owner, p.Ceremony, bound, p.Response, s.DB.Now())
		return func(*db.Tx) (credential.Outcome, error) { return yes(ok, nil) }, err
	case p.Recovery != "":
		verdict, err := s.Passwords.HashRecoveryCode(ctx, s.DB, source(ctx, p.Remembered, owner.OrgID), owner, p.Recovery)
		return func(tx *db.Tx) (credential.Outcome, error) {
			return yes(credential.RepeatsRecoveryCode(ctx, tx, verdict, c.At))
		}, err
	case p.Code != "":
		return func(tx *db.Tx) (credential.Outcome, error) {
			return yes(s.Authenticators.RepeatsCode(ctx, tx, owner, p.Code, c.At))
		}, nil
	}
	read := credential.StoredPassword
	if c.link {
		read = credential.PasswordToLink
	}
	stored, err := read(ctx, s.DB, owner)
	if err != nil {
		return nil, err
	}
	verdict, err := s.Passwords.Verify(ctx, source(ctx, p.Remembered, owner.OrgID), stored, p.Password)
	return func(tx *db.Tx) (credential.Outcome, error) { return credential.Confirm(ctx, tx, verdict) }, err
}
