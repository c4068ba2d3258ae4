package web

import "parvis/internal/page"

// homePage is where everybody arrives.
type homePage struct {
	Name           string
	Administration bool
}

func (s *Server) home(v *page.Viewer) error {
	return v.Render("home", homePage{v.User.Name, v.User.Role.ReadsConsole()})
}
