package web

import (
	"parvis/internal/directory"
	"parvis/internal/page"
)

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
	Saved        bool
}

func (s *Server) account(v *page.Viewer) accountPage {
	return accountPage{User: v.User, Organization: v.Organization, Saved: v.Just("saved")}
}
