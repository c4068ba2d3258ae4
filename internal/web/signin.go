package web

import (
	"errors"
	"net/http"

	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var signInFields = page.Fields{"email", "password", "organization", "response", "connection"}

// signInPage is the sign-in page in each of its forms.
type signInPage struct {
	Organization    *directory.Organization // the one that is meant; nil while none is named
	Closed          bool                    // that organization is suspended
	AskOrganization bool                    // show the field for it
	Named           string                  // what the field holds at first, and what links carry
	Known           *directory.User         // the user who is meant already; nil where anybody may sign in
	StepUp          bool                    // that user is signed in and proves it again
	WasAway         bool                    // was away longer than an attempt lasts
	Returning       bool                    // leads back to a page that was asked for
	Elsewhere       bool                    // may have a user in another organization too
	ToLink          bool                    // proves whose a provider's new subject is, and opens nothing
	Toward          string                  // the application that it leads to; empty for a page of ours
	LoginHint       string                  // who probably signs in: named by the application, or here before
	SignedIn        []session.Visit         // who is signed in to this browser already
	SignedOut       bool                    // shown right after signing out
	Disowned        bool                    // shown right after 'this was not me'
	Away            *session.Away           // the user whose session here ended because nobody used it
	Passkeys        bool                    // this installation accepts them
	Removed         string                  // for the browser: a passkey that nobody has here
	ways
}

// Autofill says what the browser may offer in the address field: passkeys too, where there are
// any.
func (p signInPage) Autofill() string {
	if p.Passkeys {
		return "username webauthn"
	}
	return "username"
}

// Action says where the form is sent; empty for the address of the page. Where the organization
// can be named in the form, that name counts and not the address.
func (p signInPage) Action() string {
	switch {
	case p.Returning:
		return ""
	case p.Organization == nil || p.AskOrganization:
		return "/sign-in"
	}
	return p.Organization.Path()
}

// front leads to where this browser was last, or to the sign-in page.
func (s *Server) front(v *page.Visitor) error { return s.lastVisited(v, "home") }

func (s *Server) lastVisited(v *page.Visitor, path string) error {
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	if len(visits) > 0 {
		return v.Redirect(visits[0].Organization.Path(path))
	}
	org, found, err := s.leftIdle(v)
	switch {
	case err != nil:
		return err
	case found:
		return v.Redirect(org.Path(path))
	}
	return v.Redirect("/sign-in")
}

// leftIdle returns the organization that this browser used last, if its session ended because
// nobody used it.
func (s *Server) leftIdle(v *page.Visitor) (directory.Organization, bool, error) {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil || browser.ID == "" {
		return directory.Organization{}, false, err
	}
	id, err := s.site.Sessions.LastIn(ctx, s.site.DB, browser)
	if err != nil || id == "" {
		return directory.Organization{}, false, err
	}
	away, err := s.away(v, id)
	if err != nil || away == nil {
		return directory.Organization{}, false, err
	}
	org, err := directory.OrganizationByID(ctx, s.site.DB, id)
	return org, err == nil, err
}

// away returns who was signed in to an organization in this browser until that session was not
// used for too long. Only the browser that shows its newest token learns it: a copy of an older
// one does not.
func (s *Server) away(v *page.Visitor, org directory.OrgID) (*session.Away, error) {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil || browser.ID == "" || browser.Superseded {
		return nil, err
	}
	away, left, err := s.site.Sessions.LeftIdle(ctx, s.site.DB, browser.ID, org, s.site.DB.Now())
	if err != nil || !left {
		return nil, err
	}
	return &away, nil
}

// showSignIn is the page without an organization. After a failure it always asks for an
// organization too, no matter who was meant (journeys 2.4). A link that names one, or asks for more
// ways to sign in, leads on to the page that answers it.
func (s *Server) showSignIn(v *page.Visitor) error {
	if query := v.R.URL.Query(); v.R.Method != http.MethodPost && (query.Has("more") || query.Has("organization")) {
		return v.Redirect(page.OrganizationLink(query.Get("organization")))
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	return s.renderSignIn(v, signInPage{
		AskOrganization: v.Form.Refused() || v.Form.Has("organization"),
		SignedIn:        visits,
	})
}

// proveAnybody is the door for anybody, in the organization that the form names.
func (s *Server) proveAnybody(v *page.Visitor) error {
	return s.prove(v, signin.Attempt{}, v.Form.Get("organization"))
}

// showDoor is the page of one organization, which can be bookmarked.
func (s *Server) showDoor(v *page.Visitor) error {
	ctx := v.R.Context()
	org, err := v.OrganizationInPath()
	if errors.Is(err, directory.ErrNotFound) {
		// It is public which organizations exist; the page continues with the name, to be
		// corrected.
		if answered, err := s.nameElsewhere(v, v.R.PathValue("org"), "/sign-in"); answered || err != nil {
			return err
		}
		unknown := s.signIn.UnknownOrganization(ctx)
		if !errors.Is(unknown, signin.ErrOrganizationUnknown) {
			return unknown
		}
		v.Status(fault.NotFound)
		v.Form.Refuse("organization", v.R.PathValue("org"), signin.ErrOrganizationUnknown)
		return s.renderSignIn(v, signInPage{AskOrganization: true})
	}
	if err != nil {
		return err
	}
	if !v.Form.Filled() {
		visits, err := v.Visits(ctx)
		if err != nil {
			return err
		}
		for _, visit := range visits {
			if visit.Organization.ID == org.ID {
				return v.Redirect(org.Path("home"))
			}
		}
	}
	v.FormIf(org.SuspendedAt.IsZero())
	return s.renderSignIn(v, signInPage{
		Organization: &org, AskOrganization: v.Form.Refused(),
		Closed: !org.SuspendedAt.IsZero(), SignedOut: v.Just("signed-out"), Disowned: v.Just("disowned"),
	})
}

// proveAtDoor is the door for people of the organization that the path names.
func (s *Server) proveAtDoor(v *page.Visitor) error {
	// A form sent after the short name changed leads to the page of the new name, before its
	// password is tried.
	org, err := v.OrganizationInPath()
	if errors.Is(err, directory.ErrNotFound) {
		return s.signIn.UnknownOrganization(v.R.Context())
	}
	if err != nil {
		return err
	}
	if v.Form.Has("connection") && org.SuspendedAt.IsZero() {
		return s.goTo(v, signin.Attempt{OrgID: org.ID, Return: org.Path("home")})
	}
	return s.prove(v, signin.Attempt{OrgID: org.ID}, "")
}

// prove tries what was typed and, if that is enough, signs in. Its three doors say for whom:
// proveAnybody, proveAtDoor, and proveFirst for the person who began an attempt.
func (s *Server) prove(v *page.Visitor, a signin.Attempt, organization string) error {
	if err := v.RequireCookies(); err != nil {
		return err
	}
	if answered, err := s.nameElsewhere(v, organization, "/sign-in"); answered || err != nil {
		return err
	}
	if v.Form.Has("response") {
		return s.provePasskey(v, a, organization)
	}
	if answered, err := s.route(v, a, organization); answered || err != nil {
		return err
	}
	if organization == "" && a.OrgID == "" && a.Return == "" { // an application's request stays here
		if answered, err := s.domainElsewhere(v); answered || err != nil {
			return err
		}
	}
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	proof := signin.PasswordProof{
		Browser: browser, Remembered: v.Remembered(), Attempt: a, Organization: organization,
		Email: v.Form.Get("email"), Password: v.Form.Get("password"),
	}
	opened, err := s.signIn.Password(ctx, proof)
	if err != nil {
		return err
	}
	return v.Enter(opened)
}

func (s *Server) renderSignIn(v *page.Visitor, p signInPage) error {
	v.ProbeCookies()
	if p.Organization != nil && !p.Closed && p.Known == nil && !p.ToLink {
		shown, err := s.waysInto(v, *p.Organization)
		if err != nil {
			return err
		}
		p.ways = shown
	}
	if p.Organization != nil && p.Known == nil && !p.Closed && !p.SignedOut && !p.Disowned {
		var err error
		if p.Away, err = s.away(v, p.Organization.ID); err != nil {
			return err
		}
		if p.Away != nil && p.LoginHint == "" {
			p.LoginHint = p.Away.Email
		}
	}
	if p.Organization != nil {
		named, err := directory.NameFor(v.R.Context(), s.site.DB, *p.Organization)
		if err != nil {
			return err
		}
		p.Named = named
	}
	p.Passkeys = s.signIn.Passkeys != nil && p.Known == nil
	if unknown := v.Form.Detail(credential.UnknownPasskey); p.Passkeys && unknown != "" {
		p.Removed = s.signIn.Passkeys.Removed(unknown)
	}
	return v.Render("sign-in", p)
}
