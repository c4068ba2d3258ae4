package web

import (
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/session"
)

var sessionsFields = page.Fields{}

// homePage is where everybody arrives.
type homePage struct {
	Name           string
	Administration bool
}

func (s *Server) home(v *page.Viewer) error {
	return v.Render("home", homePage{v.User.Name, v.User.Role.ReadsConsole()})
}

// accountPage is a page of one's own account.
type accountPage struct {
	User         directory.User
	Organization directory.Organization
	Session      session.Session
	Saved        bool
}

func (s *Server) account(v *page.Viewer) accountPage {
	return accountPage{User: v.User, Organization: v.Organization, Session: v.Session, Saved: v.Just("saved")}
}

func (s *Server) showSessions(v *page.Viewer) error {
	return v.Render("account-sessions", s.account(v))
}

// endSessions signs the user out of every browser, this one included.
func (s *Server) endSessions(v *page.Viewer) error {
	return s.leave(v, func(tx *db.Tx) error {
		_, err := s.site.Sessions.EndAll(v.R.Context(), tx, v.User.AsActor(), v.User, session.EndedElsewhere)
		return err
	})
}

// showSignOut is for a browser whose form was sent by hand or reloaded: it asks.
func (s *Server) showSignOut(v *page.Viewer) error { return v.Render("sign-out", s.account(v)) }

// signOut ends this session here; others of this browser stay.
func (s *Server) signOut(v *page.Viewer) error {
	return s.leave(v, func(tx *db.Tx) error {
		return s.site.Sessions.End(v.R.Context(), tx, v.Visit, session.SignedOut)
	})
}

func (s *Server) leave(v *page.Viewer, end func(*db.Tx) error) error {
	ctx := v.R.Context()
	if err := s.site.DB.Update(ctx, end); err != nil {
		return err
	}
	left, err := v.Visits(ctx)
	if err != nil {
		return err
	}
	v.Forget(len(left) == 0)
	return v.Redirect(v.Organization.Path() + "?signed-out")
}
