package web

import (
	"errors"
	"slices"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/naming"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// ways are the buttons for identity providers on a page.
type ways struct {
	Ways []federation.Way
	Only bool // there is no other way in
}

// waysInto returns an organization's providers for its sign-in page, and the one that a
// provider's portal named.
func (s *Server) waysInto(v *page.Visitor, org directory.Organization) (ways, error) {
	all, err := federation.WaysInto(v.R.Context(), s.site.DB, org.ID)
	if err != nil {
		return ways{}, err
	}
	named, shown := v.R.URL.Query().Get("with"), ways{Only: org.FederatedOnly()}
	for _, w := range all {
		switch {
		case w.ID == named:
			shown.Ways = append([]federation.Way{w}, shown.Ways...)
		case w.Shown:
			shown.Ways = append(shown.Ways, w)
		}
	}
	return shown, nil
}

// waysOf returns the providers that an attempt's page shows. A person who is signed in here and
// proves it again is shown their own providers, and a password if they have one; somebody who
// holds the attempt without being signed in learns of neither. A person who proves a new link
// is shown every provider except the one that the link is with.
func (s *Server) waysOf(v *page.Visitor, org directory.Organization, a signin.Attempt) (ways, error) {
	if a.LinkRequest != "" {
		shown, err := s.waysInto(v, org)
		if err != nil {
			return ways{}, err
		}
		asking, err := federation.RequestedAt(v.R.Context(), s.site.DB, org.ID, a.LinkRequest)
		shown.Ways = slices.DeleteFunc(shown.Ways, func(w federation.Way) bool { return w.ID == asking })
		shown.Only = false
		return shown, err
	}
	if a.Fresh == 0 {
		return s.waysInto(v, org)
	}
	ctx := v.R.Context()
	visits, err := v.Visits(ctx)
	if err != nil {
		return ways{}, err
	}
	i := slices.IndexFunc(visits, func(in session.Visit) bool { return in.User.OrgID == org.ID && in.User.ID == a.UserID })
	if i < 0 {
		return s.waysInto(v, org)
	}
	theirs, err := federation.WaysOf(ctx, s.site.DB, visits[i].User, visits[i].Session.ConnectionID)
	if err != nil {
		return ways{}, err
	}
	password, err := credential.StoredPassword(ctx, s.site.DB, credential.Owner{OrgID: org.ID, UserID: a.UserID})
	return ways{theirs, org.FederatedOnly() || len(theirs) > 0 && !password.Exists()}, err
}

// goTo begins an attempt at the provider that the form names, or sends a stored attempt there.
func (s *Server) goTo(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	if err := v.RequireCookies(); err != nil {
		return err
	}
	c, err := federation.ConnectionOf(ctx, s.site.DB, directory.System(a.OrgID), a.OrgID, v.Form.Get("connection"))
	if errors.Is(err, directory.ErrNotFound) || err == nil && c.State != federation.On {
		err = federation.ErrOff // nobody signs in by a provider that does not exist either
	}
	if err != nil {
		return err
	}
	return s.leadTo(v, a, c.ID)
}

func (s *Server) leadTo(v *page.Visitor, a signin.Attempt, connection string) error {
	ctx := v.R.Context()
	a.ConnectionID = connection
	if a.ID == "" {
		begun, err := v.Begin(a, nil)
		if err != nil {
			return err
		}
		return s.hub.Lead(v, begun)
	}
	b, err := v.Browser(ctx)
	if err == nil {
		err = s.signIn.Choose(ctx, b, a, connection)
	}
	if err != nil {
		return err
	}
	return s.hub.Lead(v, a)
}

// route leads an address of a proven domain to its organization's providers. It looks at the
// domain only, not at who has the address (journeys 2.6). It reports whether it answered.
func (s *Server) route(v *page.Visitor, a signin.Attempt, named string) (bool, error) {
	address, err := naming.ParseAddress(v.Form.Get("email"))
	if err != nil {
		return false, nil //nolint:nilerr // What is no address leads nowhere; the form says so.
	}
	ctx := v.R.Context()
	holder, held, err := domain.Holder(ctx, s.site.DB, address)
	if err != nil || !held || a.OrgID != "" && a.OrgID != holder || a.UserID != "" {
		return false, err
	}
	org, err := directory.OrganizationByID(ctx, s.site.DB, holder)
	if err != nil {
		return false, err
	}
	if named != "" {
		if meant, err := s.signIn.MayMean(ctx, named, org.ID); err != nil || !meant {
			return false, err
		}
	}
	if !org.FederatedOnly() && v.Form.Get("password") != "" {
		return false, nil // somebody who typed a password means to use it
	}
	all, err := federation.WaysInto(ctx, s.site.DB, org.ID)
	if err != nil || len(all) == 0 {
		return false, err
	}
	if err := v.RequireCookies(); err != nil {
		return false, err
	}
	if len(all) > 1 {
		return true, v.Redirect(org.Path())
	}
	a.OrgID = org.ID
	if a.Return == "" {
		a.Return = org.Path("home")
	}
	return true, s.leadTo(v, a, all[0].ID)
}

// showGoing is the page of an attempt that chose a provider and has not been there yet, or came
// back without an answer.
func (s *Server) showGoing(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	org, err := directory.OrganizationByID(ctx, s.site.DB, a.OrgID)
	if err != nil {
		return err
	}
	shown, err := s.waysOf(v, org, a)
	if err != nil {
		return err
	}
	c, err := federation.ConnectionOf(ctx, s.site.DB, directory.System(a.OrgID), a.OrgID, a.ConnectionID)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	if err == nil && c.State == federation.On {
		chosen := federation.Way{ID: c.ID, Name: c.Name, Logo: c.Logo, Provider: c.Provider}
		others := shown.Ways
		shown.Ways = []federation.Way{chosen}
		for _, w := range others {
			if w.ID != c.ID {
				shown.Ways = append(shown.Ways, w)
			}
		}
	}
	return v.Render("sign-in-going", goingPage{org, shown})
}

type goingPage struct {
	Organization directory.Organization
	ways
}

// acceptFederated begins the attempt of an invited person who signs in by a provider; the
// provider's answer accepts the invitation (decision 0032).
func (s *Server) acceptFederated(v *page.Visitor) error {
	ctx := v.R.Context()
	inv, org, err := directory.InvitationByToken(ctx, s.site.DB, secret.ParseToken(v.R.PathValue("token")))
	if err == nil {
		err = inv.Usable(s.site.DB.Now())
	}
	if err != nil {
		return s.showInvitation(v) // which says why, and what to do
	}
	// 'Opened' means here that the form was sent.
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) error { return directory.OpenInvitation(ctx, tx, inv) }); err != nil {
		return err
	}
	return s.goTo(v, signin.Attempt{OrgID: org.ID, InvitationID: inv.ID, Return: org.Path("home")})
}

// leaveProvider also signs out of the provider that vouched for a session that just ended. It
// reports whether it answered.
func (s account) leaveProvider(v *page.Viewer) (bool, error) {
	return s.hub.SignOut(v.Visitor, v.Session, "")
}
