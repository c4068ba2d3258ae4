package web

import (
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
)

var profileFields = page.Fields{"name", "preferred_language"}

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

func (s *Server) showProfile(v *page.Viewer) error { return v.Render("account-profile", s.account(v)) }

func (s *Server) saveProfile(v *page.Viewer) error {
	language, err := v.Choose(v.Form.Get("preferred_language"))
	if err != nil {
		return err
	}
	ctx := v.R.Context()
	err = s.site.DB.Update(ctx, func(tx *db.Tx) error {
		return directory.UpdateProfile(ctx, tx, v.User, v.Form.Get("name"), language)
	})
	if err != nil {
		return err
	}
	return v.Redirect(v.Path("account") + "?saved")
}
