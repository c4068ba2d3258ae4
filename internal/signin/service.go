package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/lifetime"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// The faults of signing in. ErrFailed is the one sentence for an unknown address, a wrong
// password, an ambiguous address, and every state of a user in which the right password does
// not sign in (R-AUT-01).
var (
	ErrFailed              = fault.New(fault.Invalid, "signin.failed")
	ErrOrganizationUnknown = fault.Field("organization", "signin.organization_unknown")
	ErrOrganizationUnclear = fault.Field("organization", "signin.organization_unclear") // Args: fault.Choices
	ErrTooOften            = fault.New(fault.Throttled, "signin.too_often")
	ErrRepetition          = fault.Field("repetition", "signin.repetition")
	ErrCurrentWrong        = fault.Field("current_password", "signin.current_wrong")
)

// Parts are what a service works with.
type Parts struct {
	DB             *db.DB
	Passwords      *credential.Store
	Sessions       *session.Door
	Limits         *limit.Limiter
	Authenticators *credential.Authenticators
	Passkeys       *credential.Passkeys
	Invites        *directory.Invitations
	Emails         *directory.EmailChanges
	Resets         *credential.Resets
	Outbox         *mail.Outbox
	Base           string // the configured public address, without a slash at its end
	Log            *slog.Logger
	Lifetimes      lifetime.Overrides
}

// Service proves factors and ends attempts.
type Service struct {
	Parts
	letters

	forms    secret.Box
	browsers secret.Box
	dead     *audit.Sparing // links
	lookup   *secret.Ring   // hides the addresses in a remembered browser
}

// NewService makes a service that seals, under keys, what was typed and what browsers remember.
func NewService(p Parts, keys secret.Keys) *Service {
	return &Service{
		Parts:    p,
		letters:  letters{p.Outbox, p.Base},
		forms:    secret.NewBox(keys.Sealing, "signin forms"),
		browsers: secret.NewBox(keys.Sealing, "signin devices"),
		dead:     new(audit.Sparing),
		lookup:   keys.Lookup.For("signin devices"),
	}
}

func (s *Service) attemptLifetime() time.Duration {
	return cmp.Or(s.Lifetimes.Attempt, AttemptLifetime)
}

// Opened is what a completed attempt gives to the page.
type Opened struct {
	Cookie       secret.Token // the browser's new token
	Remembered   string       // what the browser remembers from now on, sealed
	Attempt      string       // id of the attempt that goes on; empty where a session is open
	Organization directory.Organization
	User         directory.User
	Return       string // path on our own origin
	Session      string // id of the session that was issued; empty where one was raised, or the attempt goes on
	Enrolled     bool   // a form that enrolled an authenticator, sent twice
}

// PasswordProof is a password offered for an address.
type PasswordProof struct {
	Browser      session.Browser   // zero where the browser is new
	Remembered   RememberedBrowser // what the browser remembers
	Attempt      Attempt           // zero where this is the first request
	Email        string            // as typed
	Organization string            // as typed; empty where none was named
	Password     string
}

// Password proves a first factor and, if Next then says Done, opens a session.
//
// Its work is the same whether the address is unknown, known, ambiguous or closed: one read,
// one count, one hash, one write.
func (s *Service) Password(ctx context.Context, p PasswordProof) (Opened, error) {
	address, err := naming.ParseAddress(p.Email)
	if err != nil {
		return Opened{}, err
	}
	who, err := s.identify(ctx, p, address)
	if err != nil {
		return Opened{}, err
	}
	count := s.passwordTries(ctx, p.Remembered, address, who.known)
	taken, err := s.takeInTurn(ctx, count.turns...)
	if err != nil {
		return Opened{}, err
	}
	verdict, err := s.Passwords.Verify(ctx, source(ctx, p.Remembered, cmp.Or(who.named, s.remembered(p.Remembered, address))), who.stored, p.Password)
	if err != nil {
		return Opened{}, err
	}
	var opened Opened
	var refused bool // returned after the commit: a refusal must not roll back its own count
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		outcome, err := credential.Confirm(ctx, tx, verdict)
		if err != nil {
			return err
		}
		if refused = !outcome.OK; refused {
			return s.recordRefusal(ctx, tx, who, address, taken, outcome)
		}
		if opened, err = s.provedOnce(ctx, tx, p.Browser, p.Remembered, p.Attempt, who.Candidate, Password); err != nil {
			return err
		}
		return count.release(ctx, tx, s.Log)
	})
	if err != nil {
		return Opened{}, err
	}
	if refused && who.unclear != nil {
		return Opened{}, who.unclear
	}
	if refused {
		return Opened{}, ErrFailed
	}
	return opened, nil
}

// identified is the user whom an address and an organization name, as far as they name anybody.
type identified struct {
	directory.Candidate                   // zero where nobody, or more than one, is meant
	stored              credential.Stored // zero where there is no password to compare
	named               directory.OrgID   // the organization that was named
	known               bool              // the browser has signed in as this user before
	unclear             error             // asks which organization is meant, where two have the name
}

// identify finds the user who is meant: in the organization that was named, else in the one
// that this browser remembers for the address, else in the only one that knows it (decision
// 0022).
func (s *Service) identify(ctx context.Context, p PasswordProof, address naming.Address) (identified, error) {
	remembered := s.remembered(p.Remembered, address)
	named := p.Attempt.OrgID
	if named == "" && p.Organization != "" {
		o, err := s.Named(ctx, p.Organization)
		if errors.Is(err, ErrOrganizationUnclear) {
			// Asked after the same work as any other answer, no matter who has the address.
			return identified{unclear: err}, nil
		}
		if err != nil {
			return identified{}, err
		}
		named = o.ID
	}
	// Three statements, and no snapshot of them: the transaction that goes on asks again what may
	// have changed since.
	who := identified{named: named}
	candidates, err := directory.Candidates(ctx, s.DB, address, who.named, mostCandidates)
	if err != nil {
		return identified{}, err
	}
	if i := slices.IndexFunc(candidates, func(c directory.Candidate) bool { return c.User.OrgID == remembered }); i >= 0 {
		candidates = candidates[i : i+1]
	} else if len(candidates) > 1 { // whom a directory named, and who never came, makes nobody say where
		candidates = slices.DeleteFunc(candidates, func(c directory.Candidate) bool { return !c.User.HasWayIn() })
	}
	if len(candidates) == 1 && (p.Attempt.UserID == "" || p.Attempt.UserID == candidates[0].User.ID) {
		who.Candidate = candidates[0]
		// The browser knows this user, not the address: somebody who makes a user with
		// another person's address elsewhere is a stranger here.
		who.known = p.Remembered.knows(who.User)
	}
	read := credential.StoredPassword
	if p.Attempt.LinkRequest != "" {
		read = credential.PasswordToLink
	}
	stored, err := read(ctx, s.DB, credential.Owner{OrgID: who.User.OrgID, UserID: who.User.ID})
	if err != nil {
		return identified{}, err
	}
	who.stored, err = s.Passwords.AsCostly(ctx, s.DB, stored, address.Key)
	return who, err
}

// Named returns the organization that somebody named. A name that nobody has is said plainly;
// where two organizations have it, the fault asks which is meant. Neither reveals anything
// about people: it is public which organizations exist.
func (s *Service) Named(ctx context.Context, typed string) (directory.Organization, error) {
	all, err := directory.OrganizationsNamed(ctx, s.DB, typed)
	switch {
	case err != nil:
		return directory.Organization{}, err
	case len(all) == 0:
		return directory.Organization{}, s.UnknownOrganization(ctx)
	case len(all) > 1:
		return directory.Organization{}, ErrOrganizationUnclear.With(fault.Choices, all)
	}
	return all[0], nil
}

// MayMean reports whether a name that somebody typed may mean the organization that the page,
// or the address beside it, already belongs to.
func (s *Service) MayMean(ctx context.Context, typed string, id directory.OrgID) (bool, error) {
	return mayMean(ctx, s.DB, typed, id)
}

func mayMean(ctx context.Context, r db.Reader, typed string, id directory.OrgID) (bool, error) {
	all, err := directory.OrganizationsNamed(ctx, r, typed)
	return slices.ContainsFunc(all, func(o directory.Organization) bool { return o.ID == id }), err
}

// mostCandidates is how many organizations of one address are compared with a browser's memory;
// it remembers fewer.
const mostCandidates = 50

// UnknownOrganization says plainly that nobody knows the name: it is public which organizations
// exist. It is counted, in forms and in addresses alike, so that names cannot be listed fast,
// and apart from passwords, so that names slow no sign-in.
func (s *Service) UnknownOrganization(ctx context.Context) error {
	if err := s.CountUnknown(ctx); err != nil {
		return err
	}
	return ErrOrganizationUnknown
}

// recordRefusal records a failed proof. What was typed as an address is not kept: it may be a
// password in the wrong field.
func (s *Service) recordRefusal(ctx context.Context, tx *db.Tx, who identified, address naming.Address, taken limit.Taken, o credential.Outcome) error {
	e := audit.Event{
		OrgID: string(cmp.Or(who.User.OrgID, who.named)), Actor: audit.Anonymous, Action: "signin.refused", Result: audit.Refused,
		Target: string(who.User.ID), TargetName: who.User.Name,
		After: audit.Fields{"method": Password},
	}
	if len(taken.Crossed) > 0 {
		e.After["slowed"] = taken.Crossed
	}
	if slices.Contains(taken.Crossed, PerAddress.Name) {
		// This is done for every address alike: a sweep finds out whether somebody has it.
		if err := credential.Ask(ctx, tx, credential.Request{Asked: credential.AskedGuessed, Address: address}); err != nil {
			return err
		}
	}
	if o.Disabled {
		e.After["password"] = "disabled"
		if err := s.tell(ctx, tx, who.User, mail.PasswordDisabledParameters{
			Organization: who.Organization.DisplayName, Name: who.User.Name, Failures: o.Failures, ResetPage: credential.ForgotPage(s.Base, who.Organization),
		}); err != nil {
			return err
		}
	}
	return audit.Record(ctx, tx, e)
}

// goOn takes an attempt one step further: to its end, or to the page that it needs next.
func (s *Service) goOn(ctx context.Context, tx *db.Tx, b session.Browser, d RememberedBrowser, a Attempt, who directory.Candidate) (Opened, error) {
	if err := s.describe(ctx, tx, &a); err != nil {
		return Opened{}, err
	}
	if Next(a, tx.Now()) == Done {
		return s.complete(ctx, tx, b, d, a, who)
	}
	opened := Opened{Organization: who.Organization, User: who.User}
	done, stored := a.done(), a.ID != ""
	if !stored {
		a.ID = newAttemptID()
	}
	b, cookie, _, err := s.Sessions.Renew(ctx, tx, b, session.Deed{Done: done, Gained: a.ID})
	if err != nil {
		return Opened{}, err
	}
	opened.Cookie, opened.Attempt = cookie, a.ID
	if stored {
		return opened, advance(ctx, tx, a, b)
	}
	if a.Return == "" {
		a.Return = who.Organization.Path("home")
	}
	_, err = s.Begin(ctx, tx, b, a, nil)
	return opened, err
}

// complete ends an attempt for which Next says Done: a session is issued or, if the browser is
// already signed in as this user and fresh proof was wanted, raised. There is no other way to a
// session. A proof for a link opens none.
func (s *Service) complete(ctx context.Context, tx *db.Tx, b session.Browser, d RememberedBrowser, a Attempt, who directory.Candidate) (Opened, error) {
	if step := Next(a, tx.Now()); step != Done {
		return Opened{}, fmt.Errorf("attempt %s is not done but at step %d", a.ID, step)
	}
	if err := finish(ctx, tx, a); err != nil {
		return Opened{}, err
	}
	opened := Opened{Organization: who.Organization, User: who.User, Return: a.Return}
	e := audit.Event{
		OrgID: string(who.User.OrgID), Actor: string(who.User.ID), ActorName: who.User.Name,
		After: audit.Fields{"methods": a.proof().Methods},
	}
	var raised bool
	var err error
	if a.Fresh > 0 {
		opened.Cookie, raised, err = s.Sessions.Raise(ctx, tx, b, who.User, a.proof())
		e.Action = "signin.proved_again"
		if a.Fresh = 0; err == nil && !raised && Next(a, tx.Now()) != Done {
			// The session to raise has ended, and what was proved opens none.
			return Opened{}, ErrAttemptGone
		}
	}
	switch {
	case err != nil || raised:
	case a.LinkRequest != "":
		opened.Cookie, err = s.keepProof(ctx, tx, b, a)
		e.Action = "signin.proved_again"
	default:
		var made session.Session
		made, opened.Cookie, err = s.Sessions.Issue(ctx, tx, b, who.User, a.proof())
		e.Action, e.Target, opened.Session = "signin.done", made.ID, made.ID
		e.After["method"] = a.way()
	}
	if err == nil && !raised && !d.knows(who.User) && !a.has(Invitation) && !a.has(Reset) && !a.has(Federated) {
		e.After["new_device"] = true
		err = s.tellDeed(ctx, tx, who, "", func(d mail.Deed) mail.Parameters { return mail.NewDeviceParameters{Deed: d} })
	}
	if err == nil && opened.Session != "" && who.Organization.FederatedOnly() && !a.has(Federated) {
		e.After["break_glass"] = true
		err = s.tellBrokenGlass(ctx, tx, who)
	}
	if err == nil && d.Language != "" { // becomes the user's (journeys 1.3)
		err = directory.ChooseLanguage(ctx, tx, who.User, d.Language)
	}
	if err == nil {
		opened.Remembered, err = s.remember(d, who.User, tx.Now())
	}
	if err != nil {
		return Opened{}, err
	}
	return opened, audit.Record(ctx, tx, e)
}

// proof returns what a session keeps of the attempt. What a provider vouched for says nothing
// about factors that it did not name (R-RPO-06).
func (a Attempt) proof() session.Proof {
	p := session.Proof{Methods: amr(a), Second: a.second()}
	if a.has(Federated) {
		p = a.vouched
	}
	p.Deed = a.done()
	return p
}

// has reports whether a method was used, however long ago.
func (a Attempt) has(m Method) bool {
	return slices.ContainsFunc(a.Evidence, func(e Evidence) bool { return e.Method == m })
}

// second reports whether the attempt proved a second factor, in whatever order.
func (a Attempt) second() bool {
	return a.has(App) || a.has(Passkey) || a.has(VerifiedPasskey) || a.has(Recovery)
}

// amr names the methods that were really used (RFC 8176 §2): a password is pwd, a code or a
// recovery code otp, a passkey hwk, with user if its authenticator verified its user; two
// factors are mfa.
func amr(a Attempt) []string {
	var all []string
	add := func(m string, used bool) {
		if used {
			all = append(all, m)
		}
	}
	add("pwd", a.has(Password))
	add("otp", a.has(App) || a.has(Recovery))
	add("hwk", a.has(Passkey) || a.has(VerifiedPasskey))
	add("user", a.has(VerifiedPasskey))
	add("mfa", a.has(VerifiedPasskey) || a.has(Password) && a.second())
	return all
}
