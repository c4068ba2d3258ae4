package console

import (
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
)

var organizationFields = page.Fields{"invitation_lifetime"}

// offered are the lifetimes of an invitation's link that the page lists, within
// the bounds that directory checks; what is in force is listed too.
var offered = []time.Duration{
	time.Hour, 6 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 30 * 24 * time.Hour,
}

// organizationPage is what an organization has to say about itself.
type organizationPage struct {
	Lifetimes []time.Duration
	MayChange bool
	Saved     bool
}

func (s *Server) showOrganization(v *page.Viewer) error {
	if !rules(v.User.Role) {
		v.NoForm()
	}
	return v.Render("console-organization", organizationPage{
		withOwn(offered, v.Organization.InvitationLifetime), rules(v.User.Role), v.Just("saved"),
	})
}

func (s *Server) saveOrganization(v *page.Viewer) error {
	lifetime, err := time.ParseDuration(v.Form.Get("invitation_lifetime"))
	if err != nil {
		return directory.ErrLifetime
	}
	ctx := v.R.Context()
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) error {
		return directory.SetInvitationLifetime(ctx, tx, v.User.AsActor(), v.User.OrgID, lifetime)
	}); err != nil {
		return err
	}
	return v.Redirect(v.Path("admin/organization") + "?saved")
}
