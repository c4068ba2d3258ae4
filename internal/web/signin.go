package web

import (
	"errors"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var (
	signInFields  = page.Fields{"email", "password", "organization", "region"}
	attemptFields = page.Fields{"email", "password", "organization", "region", "repetition"} // of every step
)

// signInPage is the sign-in page in each of its forms.
type signInPage struct {
	Organization    *directory.Organization // the one that is meant; nil while none is named
	Closed          bool                    // that organization is suspended
	AskOrganization bool                    // show the field for it
	StepUp          *directory.User         // who proves a factor again; nil for a sign-in
	Returning       bool                    // leads back to a page that was asked for
	SignedIn        []session.Visit         // who is signed in to this browser already
	SignedOut       bool                    // comes right after signing out
	Disowned        bool                    // comes right after 'this was not me'
}

// Named is the short name of the organization that is meant, if one is.
func (p signInPage) Named() string {
	if p.Organization == nil {
		return ""
	}
	return p.Organization.ShortName
}

// Action is where the form goes; empty for the address of the page. Where the
// organization can be named, that name counts and not the address.
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
	if len(visits) == 0 {
		return v.Redirect("/sign-in")
	}
	return v.Redirect(visits[0].Organization.Path(path))
}

// showSignIn is the page without an organization. After a failure it always
// asks for one too, whoever was meant (journeys 2.4).
func (s *Server) showSignIn(v *page.Visitor) error {
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	return s.renderSignIn(v, signInPage{
		AskOrganization: v.Form.Refused() || v.Form.Has("organization") || v.R.URL.Query().Has("more"),
		SignedIn:        visits,
	})
}

func (s *Server) proveIn(v *page.Visitor) error {
	return s.prove(v, signin.Attempt{}, v.Form.Get("organization"))
}

// showDoor is the page of one organization, which can be bookmarked.
func (s *Server) showDoor(v *page.Visitor) error {
	ctx := v.R.Context()
	org, err := v.OrganizationInPath()
	if errors.Is(err, directory.ErrNotFound) {
		// An organization's existence is public; the page goes on with the name to correct.
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
	if !org.SuspendedAt.IsZero() {
		v.NoForm()
	}
	return s.renderSignIn(v, signInPage{
		Organization: &org, AskOrganization: v.Form.Refused(),
		Closed: !org.SuspendedAt.IsZero(), SignedOut: v.Just("signed-out"), Disowned: v.Just("disowned"),
	})
}

func (s *Server) proveAtDoor(v *page.Visitor) error {
	// A form that waited while the short name changed goes on to the new one's page,
	// before its password is tried. prove answers for a name that nobody knows.
	if _, err := v.OrganizationInPath(); err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	return s.prove(v, signin.Attempt{}, v.R.PathValue("org"))
}

// showAttempt is the page of what a stored attempt needs next: sign in to get back
// to a page, prove a factor again for one, or create a new password.
func (s *Server) showAttempt(v *page.Visitor) error {
	a, err := s.attempt(v)
	if err != nil {
		return s.attemptGone(v, err)
	}
	if signin.Next(a, s.site.DB.Now()) == signin.CreatePassword {
		return s.showAsked(v, a)
	}
	ctx := v.R.Context()
	org, err := directory.OrganizationByID(ctx, s.site.DB, a.OrgID)
	if err != nil {
		return err
	}
	p := signInPage{Organization: &org, Returning: true, AskOrganization: a.UserID == "" && (v.Form.Refused() || v.Form.Has("organization"))}
	if a.UserID != "" {
		user, err := directory.UserByID(ctx, s.site.DB, a.OrgID, a.UserID)
		if err != nil {
			return err
		}
		p.StepUp = &user
	}
	return s.renderSignIn(v, p)
}

func (s *Server) proveAttempt(v *page.Visitor) error {
	a, err := s.attempt(v)
	if err != nil {
		return s.attemptGone(v, err)
	}
	creates := signin.Next(a, s.site.DB.Now()) == signin.CreatePassword
	switch {
	case creates != v.Form.Has("repetition"), creates == v.Form.Has("email"):
		return v.Redirect("/sign-in/" + a.ID) // sent from the page of another step
	case creates:
		return s.createAsked(v, a)
	}
	named := v.Form.Get("organization")
	if a.UserID == "" && named != "" {
		org, err := directory.OrganizationByID(v.R.Context(), s.site.DB, a.OrgID)
		if err != nil {
			return err
		}
		if directory.OrganizationKey(named) != directory.OrganizationKey(org.ShortName) {
			a = signin.Attempt{} // whoever names another organization has nothing to go back to
		}
	}
	return s.prove(v, a, named)
}

func (s *Server) attempt(v *page.Visitor) (signin.Attempt, error) {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return signin.Attempt{}, err
	}
	return s.signIn.Load(ctx, s.site.DB, browser, v.R.PathValue("attempt"), s.site.DB.Now())
}

// attemptGone goes on where an attempt cannot: expired, ended in another tab,
// or begun in another browser. The sign-in page is the next step for all.
func (s *Server) attemptGone(v *page.Visitor, err error) error {
	if !errors.Is(err, signin.ErrAttemptGone) {
		return err
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	v.Status(fault.Gone)
	v.NoForm()
	return v.Render("attempt-gone", signInPage{SignedIn: visits})
}

// prove offers what was typed and, if that opens the door, goes in.
func (s *Server) prove(v *page.Visitor, a signin.Attempt, organization string) error {
	if err := v.RequireCookies(); err != nil {
		return err
	}
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	proof := signin.PasswordProof{
		Browser: browser, Device: v.Device(), Attempt: a, Organization: organization,
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
	return v.Render("sign-in", p)
}
