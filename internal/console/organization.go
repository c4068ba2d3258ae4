package console

import (
	"context"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/number"
	"parvis/internal/page"
	"parvis/internal/picture"
	"parvis/internal/region"
)

var (
	// The field for the language of new people is not called language: that field is the
	// footer's.
	organizationFields = page.Fields{"organization", "short_name", "people_language", "contact", "invitation_lifetime"}
	logoFields         = page.Fields{page.File("logo")}
)

// offered are the lifetimes of an invitation's link that the page lists, within the bounds that
// directory checks; the one in force is listed too.
var offered = []time.Duration{
	time.Hour, 6 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 30 * 24 * time.Hour,
}

// organizationPage shows what an organization says about itself.
type organizationPage struct {
	Language  string // its name in the language itself
	Lifetimes []time.Duration
	MayChange bool
	Saved     bool
	Kept      time.Duration // how long a former short name redirects
}

func (s *Server) showOrganization(v *page.Viewer) error {
	v.FormIf(rules(v.User.Role))
	return v.Render("console-organization", organizationPage{
		s.languageName(string(v.Organization.Language)), withOwn(offered, v.Organization.InvitationLifetime),
		rules(v.User.Role), v.Just("saved"), directory.FormerShortName,
	})
}

func (s *Server) saveOrganization(v *page.Viewer) error {
	p := directory.OrganizationProfile{
		DisplayName: v.Form.Get("organization"), ShortName: v.Form.Get("short_name"), Contact: v.Form.Get("contact"),
		Language: i18n.Tag(v.Form.Get("people_language")),
	}
	if d, ok := number.Duration(v.Form.Get("invitation_lifetime")); ok {
		p.InvitationLifetime = d // a text that is no duration is one that the directory refuses
	}
	ctx := v.R.Context()
	if err := freeElsewhere(v, s.site.DB, s.Regions, p); err != nil {
		return err
	}
	var org directory.Organization
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		org, err = directory.ChangeOrganization(ctx, tx, v.User.AsActor(), v.User.OrgID, p)
		return err
	}); err != nil {
		return err
	}
	return v.Redirect(org.Path("admin/organization") + "?saved")
}

// freeElsewhere refuses new names that an organization of another region has. Nobody would be led from
// here to that one any more (decision 0077).
func freeElsewhere(v *page.Viewer, r db.Reader, regions *region.Service, p directory.OrganizationProfile) error {
	ctx := v.R.Context()
	if p.DisplayName == v.Organization.DisplayName && p.ShortName == v.Organization.ShortName {
		return nil
	}
	if err := v.User.AsActor().MaySetRules(ctx, r, v.User.OrgID); err != nil {
		return err
	}
	return regions.Free(ctx, p.DisplayName, p.ShortName)
}

// saveLogo stores a logo, or removes it.
func (s *Server) saveLogo(v *page.Viewer) error {
	logo, err := v.PictureOrNone(picture.Logo)
	if err != nil {
		return err
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return directory.SetLogo(ctx, tx, v.User.AsActor(), v.User.OrgID, logo)
	}, v.Path("admin/organization")+"?saved")
}
