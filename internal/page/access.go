package page

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/naming"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// What a page demands of a session beyond its being open (decision 0009).
const (
	consoleProof = 12 * time.Hour // to read the administration: a factor was proved within this time, and no session.Pause since
	// ChangeProof is for changing anything there, or an address or factor that gives access to
	// an account: a factor was proved within this time (R-SES-10).
	ChangeProof = 10 * time.Minute
)

var errNotForRole = fault.New(fault.Denied, "page.denied")

// Anyone mounts a page for which nobody has to be signed in.
func (s *Site) Anyone(pattern string, h func(*Visitor) error) {
	s.Protocol(pattern, func(v *Visitor) error {
		if err := v.oneEach(); err != nil {
			return err
		}
		return h(v)
	})
}

// Protocol mounts a page for which nobody has to be signed in, at an address that another
// program writes: its handler judges a parameter that comes twice, by the rules of that
// protocol.
func (s *Site) Protocol(pattern string, h func(*Visitor) error) {
	s.Handle(pattern, "anyone", s.serve(h))
}

// AnyoneForm mounts a form for which nobody has to be signed in: show answers GET and shows a
// refused form again; submit answers POST. Fields other than the named ones are refused.
func (s *Site) AnyoneForm(path string, fields Fields, show, submit func(*Visitor) error) {
	s.Anyone("GET "+path, func(v *Visitor) error {
		v.hasForm = true
		v.arrive(fields)
		return show(v)
	})
	s.Anyone("POST "+path, func(v *Visitor) error {
		if err := v.readForm(fields); err != nil {
			return err
		}
		return v.post(func() error { return show(v) }, func() error { return submit(v) })
	})
}

// SignedIn mounts a page for people who are signed in to the organization in its path.
func (s *Site) SignedIn(pattern string, h func(*Viewer) error) {
	s.Handle(pattern, "signed in", s.serve(func(v *Visitor) error { return s.withViewer(v, h) }))
}

// SignedInForm mounts a form for people who are signed in.
func (s *Site) SignedInForm(path string, fields Fields, show, submit func(*Viewer) error) {
	s.SignedIn("GET "+path, s.showTyped(show))
	s.Handle("POST "+path, "signed in", s.serve(func(v *Visitor) error {
		return v.withForm(fields, s.withViewer, func(v *Viewer) error {
			return v.post(func() error { return show(v) }, func() error { return submit(v) })
		})
	}))
}

// withForm reads a form before it asks who sent it, so that nothing typed is lost when a session
// has ended. A form with a file is read after asking, so that strangers cannot make us hold a
// megabyte; a file is not kept over a sign-in anyway.
func (v *Visitor) withForm(fields Fields, ask func(*Visitor, func(*Viewer) error) error, then func(*Viewer) error) error {
	if fields.file() == "" {
		if err := v.readForm(fields); err != nil {
			return err
		}
		return ask(v, then)
	}
	return ask(v, func(v *Viewer) error {
		if err := v.readForm(fields); err != nil {
			return err
		}
		return then(v)
	})
}

// ProvedForm is SignedInForm for what must not be changed in a browser that was left open, such
// as an address to which links are sent. Sending it needs a proof within ten minutes; an older
// session asks for proof and returns to the filled-in form.
func (s *Site) ProvedForm(path string, fields Fields, show, submit func(*Viewer) error) {
	s.SignedInForm(path, fields, show, s.proved(submit))
}

// proved asks for fresh proof before it calls submit.
func (s *Site) proved(submit func(*Viewer) error) func(*Viewer) error {
	return func(v *Viewer) error {
		fresh, err := v.Fresh()
		if err != nil {
			return err
		}
		if !fresh {
			return v.ProveAgain()
		}
		return submit(v)
	}
}

// Fresh reports whether a factor was proved within ten minutes, and a second one where the
// person has one: a session from before it was enrolled, or enrolled in another browser, proves
// it first (R-MFA-05).
func (v *Viewer) Fresh() (bool, error) {
	if !onlyReads(v.R) {
		return v.FreshIn(v.Visit)
	}
	// The visit may be a remembered one, and a proof counts only if it is stored.
	now, found, err := v.site.Sessions.Find(v.R.Context(), v.site.DB, v.cookieToken(), naming.OrganizationKey(v.R.PathValue("org")), v.site.DB.Now())
	if err != nil || found != session.Open {
		return false, err
	}
	return v.FreshIn(now)
}

// FreshIn is Fresh for any session of this browser.
func (v *Visitor) FreshIn(visit session.Visit) (bool, error) {
	now := v.site.DB.Now()
	if !visit.Proved(ChangeProof, now) || visit.SecondProved(ChangeProof, now) {
		return visit.Proved(ChangeProof, now), nil
	}
	owns, err := v.site.SignIn.OwnsSecondStep(v.R.Context(), visit)
	return !owns, err
}

// ProveAgain asks for that proof, and returns to this page.
func (v *Viewer) ProveAgain() error { return v.stepUp(ChangeProof) }

// withViewer finds the person who is signed in to the organization in the path, by this
// browser's session there and no other (decision 0001).
func (s *Site) withViewer(v *Visitor, h func(*Viewer) error) error {
	if err := v.oneEach(); err != nil {
		return err
	}
	ctx := v.R.Context()
	key := naming.OrganizationKey(v.R.PathValue("org"))
	visit, found, err := s.find(v, key)
	switch {
	case err != nil:
		return err
	case found == session.Stolen:
		if err := v.endCopied(ctx, visit); err != nil {
			return err
		}
		return v.signInFirst()
	case found == session.Nothing:
		return v.signInFirst()
	}
	if v.PersonActs() {
		if visit, err = s.Sessions.Touch(ctx, s.DB, visit); err != nil {
			return err
		}
	}
	w := &Viewer{Visitor: v, Visit: visit}
	v.viewer = w
	v.syncLanguage(visit.User.Language)
	err = h(w)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Denied {
		// Every page's refusals are audited here (decision 0012).
		if err := s.Administration.Refused(ctx, visit.User.AsActor(), v.R.Method+" "+v.R.URL.Path); err != nil {
			return err
		}
	}
	return err
}

// find returns the visit of a cookie, as it is stored where the request may change something.
func (s *Site) find(v *Visitor, organization string) (session.Visit, session.Found, error) {
	ctx, token, now := v.R.Context(), v.cookieToken(), s.DB.Now()
	if onlyReads(v.R) {
		return s.Sessions.Recalled(ctx, s.DB, token, organization, now)
	}
	return s.Sessions.Find(ctx, s.DB, token, organization, now)
}

func onlyReads(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// oneEach refuses an address with a parameter that comes twice, because one reader would take
// the first value and another the last.
func (v *Visitor) oneEach() error {
	for _, values := range v.R.URL.Query() {
		if len(values) > 1 {
			return ErrQuery
		}
	}
	return nil
}

// signInFirst leads to the organization's sign-in page and from there back to this page, with
// what was typed (journeys 4.2). If there is nothing to return to, only the home page or a single
// button, it leads to the sign-in page without an attempt.
func (v *Visitor) signInFirst() error {
	ctx := v.R.Context()
	org, err := v.OrganizationInPath()
	if errors.Is(err, directory.ErrNotFound) {
		if slow := v.site.SignIn.UnknownOrganization(ctx); errors.Is(slow, signin.ErrTooOften) {
			return slow
		}
	}
	if err != nil {
		return err
	}
	door := org.Path()
	if !org.SuspendedAt.IsZero() {
		return v.Redirect(door)
	}
	nothing := len(v.Form.withoutSecrets()) == 0
	if v.R.Method != http.MethodPost {
		nothing = v.R.URL.Path == door+"/home" || !v.PersonActs()
	}
	if nothing {
		return v.Redirect(door)
	}
	a := signin.Attempt{OrgID: org.ID, Return: v.Here()}
	return v.begin(a, door)
}

// movedTo is an error that redirects a path under another name of its organization, such as a
// former short name, to the same page under the present one. The status keeps method and form, so
// that a form of an old tab arrives, and browsers do not remember the redirect for good.
type movedTo string

func (movedTo) Error() string { return "the organization has another short name" }

// OrganizationInPath returns the organization that the path names, or ErrNotFound. A handler
// returns its error: for a name that was given up, and for a display name, the error redirects
// to the short name.
func (v *Visitor) OrganizationInPath() (directory.Organization, error) {
	typed := v.R.PathValue("org")
	ctx := v.R.Context()
	org, err := directory.OrganizationByName(ctx, v.site.DB, typed)
	if errors.Is(err, directory.ErrNotFound) {
		var named []directory.Organization
		if named, err = directory.OrganizationsNamed(ctx, v.site.DB, typed); err == nil && len(named) != 1 {
			err = directory.ErrNotFound
		}
		if err == nil {
			org = named[0]
		}
	}
	if err != nil || org.Called(typed) {
		return org, err
	}
	here := strings.TrimPrefix(v.Here(), "/o/")
	if end := strings.IndexAny(here, "/?"); end >= 0 {
		return org, movedTo(org.Path() + here[end:])
	}
	return org, movedTo(org.Path())
}

// stepUp asks a person who is signed in to prove a factor again.
func (v *Viewer) stepUp(within time.Duration) error {
	a := signin.Attempt{OrgID: v.User.OrgID, UserID: v.User.ID, Generation: v.User.Generation, Fresh: within, Return: v.Here()}
	return v.begin(a, v.Path("home"))
}

// begin stores an attempt with what was typed, and leads to its page. If the network has begun too
// many attempts, it leads to otherwise instead.
func (v *Visitor) begin(a signin.Attempt, otherwise string) error {
	var form url.Values
	if v.R.Method == http.MethodPost {
		a.Return = v.R.URL.EscapedPath()
		form = v.Form.withoutSecrets()
		if do := v.Form.Asked(); do != "" {
			form.Set(askedField, do)
		}
	}
	begun, err := v.Begin(a, form)
	if errors.Is(err, signin.ErrTooOften) {
		return v.Redirect(otherwise)
	}
	if err != nil {
		return err
	}
	return v.Redirect("/sign-in/" + begun.ID)
}

// Begin stores an attempt for this browser, and gives a browser without a token one.
func (v *Visitor) Begin(a signin.Attempt, form url.Values) (signin.Attempt, error) {
	cookie, begun, err := v.site.SignIn.BeginFor(v.R.Context(), v.cookieToken(), a, form)
	if err == nil && !cookie.IsZero() {
		v.known(cookie)
	}
	return begun, err
}

// known lets the browser keep its token, and uses it in the rest of this request.
func (v *Visitor) known(token secret.Token) {
	v.token = token
	v.SetCookie(edge.BrowserCookie, token.Reveal(), browserCookieAge)
}

// BrowserOrNew returns this browser, or a new one if there is none, for requests that need a
// browser although nobody has signed in.
func (v *Visitor) BrowserOrNew(ctx context.Context) (session.Browser, error) {
	b, err := v.Browser(ctx)
	if err != nil || b.ID != "" {
		return b, err
	}
	var token secret.Token
	err = v.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		b, token, err = v.site.Sessions.NewBrowser(ctx, tx)
		return err
	})
	if err == nil {
		v.known(token)
	}
	return b, err
}

// showTyped fills a form with what was typed before fresh proof was asked for.
func (s *Site) showTyped(show func(*Viewer) error) func(*Viewer) error {
	return func(v *Viewer) error {
		v.hasForm = true
		id := v.R.URL.Query().Get("typed")
		if id == "" {
			return show(v)
		}
		typed, err := s.SignIn.Typed(v.R.Context(), s.DB, v.Visit, id, v.R.URL.EscapedPath(), s.DB.Now())
		if errors.Is(err, signin.ErrAttemptGone) {
			return show(v)
		}
		if err != nil {
			return err
		}
		v.Form = &Form{values: typed, returned: true}
		return show(v)
	}
}

// cookieToken returns the browser's token: one that this request made, or the cookie's if that
// holds one.
func (v *Visitor) cookieToken() secret.Token {
	if !v.token.IsZero() {
		return v.token
	}
	return secret.ParseToken(v.Cookie(edge.BrowserCookie))
}

// Browser returns the browser of the cookie. It has no id if there is no cookie yet, or if the
// cookie was superseded too long ago.
func (v *Visitor) Browser(ctx context.Context) (session.Browser, error) {
	if v.cookieToken().IsZero() {
		return session.Unknown(v.probe()), nil
	}
	b, _, err := v.site.Sessions.BrowserOf(ctx, v.site.DB, v.cookieToken(), v.site.DB.Now())
	return b, err
}

// Visits lists who is signed in to this browser, the last used first.
func (v *Visitor) Visits(ctx context.Context) ([]session.Visit, error) {
	open, stolen, err := v.site.Sessions.Visits(ctx, v.site.DB, v.cookieToken(), v.site.DB.Now())
	if err == nil && stolen != nil {
		err = v.endCopied(ctx, *stolen)
	}
	return open, err
}

// endCopied answers a cookie that was superseded long ago: every session of that browser ends,
// and its users get a letter.
func (v *Visitor) endCopied(ctx context.Context, visit session.Visit) error {
	v.ClearCookie(edge.BrowserCookie)
	v.SetCookie(probeCookie, secret.NewToken().Reveal(), probeCookieAge) // so that the next form is not mistaken for one from a browser without cookies
	return v.site.DB.Update(ctx, func(tx *db.Tx) error { return v.site.Sessions.EndCopied(ctx, tx, visit) })
}

// Path returns a path of the viewer's organization, below /o/SHORT-NAME/.
func (v *Viewer) Path(parts ...string) string {
	return v.Organization.Path(parts...)
}
