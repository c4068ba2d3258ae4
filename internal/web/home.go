package web

import "parvis/internal/page"

// homePage is where everybody arrives.
type homePage struct {
	Name           string
	Administration bool
	Reminder       reminder
}

func (s *Server) home(v *page.Viewer) error {
	due, err := s.reminder(v)
	if err != nil {
		return err
	}
	return v.Render("home", homePage{v.User.Name, v.User.Role.ReadsConsole(), due})
}
