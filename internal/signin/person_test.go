package signin_test

import (
	"testing"
	"time"

	"parvis/internal/authenticator"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// person signs in without pages. It holds what their browser keeps, and the authenticators that they
// own.
type person struct {
	t     testing.TB
	s     *idptest.Server
	org   directory.Organization
	email string
	id    directory.UserID

	cookie  secret.Token
	device  string
	attempt string // the one that waits for its next step
	begun   time.Time

	app   string // secret of the authenticator app
	key   *authenticator.Authenticator
	codes []string
}

// join makes a user with a password who has not signed in with this browser since.
func join(t testing.TB, s *idptest.Server, org directory.Organization, name string, role directory.Role) *person {
	t.Helper()
	p := &person{t: t, s: s, org: org, email: name + "@" + org.ShortName + ".example", key: s.Authenticator()}
	link := s.Invite(t, org, p.email, name, role)
	o, err := s.Site.SignIn.Accept(t.Context(), signin.FirstCredential{
		Token: secret.ParseToken(link[len("/invitation/"):]), Name: name, Language: "en",
		Password: idptest.Password, Repetition: idptest.Password,
	})
	p.must(p.take(o, err))
	p.id = o.User.ID
	return p
}

// elsewhere returns the same person at an empty browser, with all their authenticators.
func (p person) elsewhere() *person {
	p.cookie, p.device, p.attempt = secret.Token{}, "", ""
	return &p
}

func (p *person) take(o signin.Opened, err error) error {
	if err != nil {
		return err
	}
	if !o.Cookie.IsZero() {
		p.cookie = o.Cookie
	}
	p.attempt = o.Attempt
	if o.Remembered != "" {
		p.device = o.Remembered
	}
	return nil
}

func (p *person) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) browser() session.Browser {
	p.t.Helper()
	b, _, err := p.s.Site.Sessions.BrowserOf(p.t.Context(), p.s.DB, p.cookie, p.s.DB.Now())
	p.must(err)
	return b
}

func (p *person) remembered() signin.RememberedBrowser {
	return p.s.Site.SignIn.OpenRemembered(p.device)
}

// open returns the attempt that waits; the zero one where none does.
func (p *person) open() signin.Attempt {
	p.t.Helper()
	if p.attempt == "" {
		return signin.Attempt{}
	}
	a, err := p.s.Site.SignIn.Load(p.t.Context(), p.s.DB, p.browser(), p.attempt, p.s.DB.Now())
	p.must(err)
	return a
}

// step returns what the waiting attempt needs next.
func (p *person) step() signin.Step {
	p.t.Helper()
	return signin.Next(p.open(), p.s.DB.Now())
}

func (p *person) password(text string) error {
	p.t.Helper()
	return p.take(p.s.Site.SignIn.Password(p.t.Context(), signin.PasswordProof{
		Browser: p.browser(), Remembered: p.remembered(), Attempt: p.open(), Email: p.email, Password: text,
	}))
}

func (p *person) second(proof signin.SecondProof) error {
	p.t.Helper()
	proof.Browser, proof.Remembered, proof.Attempt = p.browser(), p.remembered(), p.open()
	return p.take(p.s.Site.SignIn.Second(p.t.Context(), proof))
}

func (p *person) code(typed string) error {
	p.t.Helper()
	return p.second(signin.SecondProof{Code: typed})
}

// shown returns the code that the app shows now.
func (p *person) shown() string { return idptest.Code(p.app, p.s.Clock.Now()) }

func (p *person) recovery(typed string) error {
	p.t.Helper()
	return p.second(signin.SecondProof{Recovery: typed})
}

// passkey answers as the second step.
func (p *person) passkey() error {
	p.t.Helper()
	a := p.open()
	who, err := signin.Whose(p.t.Context(), p.s.DB, a)
	p.must(err)
	options, kept, err := p.s.Site.SignIn.Passkeys.BeginSecondStep(p.t.Context(), p.s.DB, who.User, a.ID, p.s.DB.Now())
	p.must(err)
	return p.second(signin.SecondProof{Ceremony: kept, Response: p.key.Assert(p.t, options)})
}

// alone signs in with a passkey before anybody is named, on the page of an organization or, if
// it is empty, on the page without one.
func (p *person) alone(organization string) error {
	p.t.Helper()
	options, kept, err := p.s.Site.SignIn.Passkeys.BeginAlone(p.s.DB.Now())
	p.must(err)
	return p.take(p.s.Site.SignIn.PasskeyAlone(p.t.Context(), signin.PasskeyProof{
		Browser: p.browser(), Remembered: p.remembered(), Attempt: p.open(), Organization: organization,
		Ceremony: kept, Response: p.key.Assert(p.t, options),
	}))
}

// visit returns the session that is open here.
func (p *person) visit() (session.Visit, bool) {
	p.t.Helper()
	v, found, err := p.s.Site.Sessions.Find(p.t.Context(), p.s.DB, p.cookie, p.org.ShortName, p.s.DB.Now())
	p.must(err)
	return v, found == session.Open
}

func (p *person) here() session.Visit {
	p.t.Helper()
	v, open := p.visit()
	if !open {
		p.t.Fatal("no session is open")
	}
	return v
}

func (p *person) user() directory.User {
	p.t.Helper()
	u, err := directory.UserByID(p.t.Context(), p.s.DB, p.org.ID, p.id)
	p.must(err)
	return u
}

// addApp turns an app on in the user's account. Its first code is used up and has expired
// afterwards.
func (p *person) addApp() {
	p.t.Helper()
	e := signin.EnrollerHere(p.here())
	p.must(p.s.Site.SignIn.BeginApp(p.t.Context(), e, "Phone"))
	pending, err := p.s.Site.SignIn.PendingApp(p.t.Context(), e)
	p.must(err)
	p.app = pending.Secret
	p.must(p.take(p.s.Site.SignIn.ConfirmAppHere(p.t.Context(), p.here(), p.remembered(), p.shown())))
	p.s.Clock.Advance(time.Minute)
}

// addKey makes a passkey in the user's account.
func (p *person) addKey() {
	p.t.Helper()
	v := p.here()
	options, kept, err := p.s.Site.SignIn.Passkeys.BeginRegistration(p.t.Context(), p.s.DB, v.User, v.Session.ID, p.s.DB.Now())
	p.must(err)
	p.must(p.take(p.s.Site.SignIn.AddPasskeyHere(p.t.Context(), v, p.remembered(), kept, "Key", p.key.Register(p.t, options))))
}

// addCodes makes recovery codes in the user's account.
func (p *person) addCodes() {
	p.t.Helper()
	seen, err := credential.RecoverySetID(p.t.Context(), p.s.DB, credential.Owner{OrgID: p.org.ID, UserID: p.id})
	p.must(err)
	p.codes, err = p.s.Site.SignIn.NewRecoveryCodes(p.t.Context(), p.here(), p.remembered(), seen)
	p.must(err)
}

// stepUp begins an attempt that wants fresh proof, as a page of the console does.
func (p *person) stepUp() {
	p.t.Helper()
	v := p.here()
	cookie, a, err := p.s.Site.SignIn.BeginFor(p.t.Context(), p.cookie, signin.Attempt{
		OrgID: v.User.OrgID, UserID: v.User.ID, Generation: v.User.Generation, Fresh: 10 * time.Minute, Return: p.org.Path("home"),
	}, nil)
	p.must(err)
	if !cookie.IsZero() {
		p.t.Fatal("the browser is not known")
	}
	p.attempt = a.ID
}

// authenticators returns the authenticators that the person owns.
func (p *person) devices() credential.Factors {
	p.t.Helper()
	u := p.user()
	f, err := p.s.Site.SignIn.Authenticators.FactorsOf(p.t.Context(), p.s.DB, credential.Owner{OrgID: u.OrgID, UserID: u.ID})
	p.must(err)
	return f
}

// endOf ends a session as another tab does.
func endOf(t testing.TB, s *idptest.Server, v session.Visit) func(*db.Tx) error {
	return func(tx *db.Tx) error { return s.Site.Sessions.End(t.Context(), tx, v, session.SignedOut) }
}

// demandOf demands a new password of somebody, as the operator does.
func demandOf(t testing.TB, s *idptest.Server, p *person) func(*db.Tx) error {
	user := p.user()
	return func(tx *db.Tx) error {
		_, err := credential.DemandChange(t.Context(), tx, directory.Operator(), user.OrgID, user.ID)
		return err
	}
}
