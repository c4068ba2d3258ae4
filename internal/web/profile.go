package web

import (
	"context"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/picture"
)

var (
	profileFields = page.Fields{"name", "given_name", "family_name", "preferred_language", "time_zone"}
	pictureFields = page.Fields{page.File("picture")}
)

// profilePage is the page on which users describe themselves.
type profilePage struct {
	User         directory.User
	Organization directory.Organization
	Saved        bool
}

func (s account) showProfile(v *page.Viewer) error {
	return v.Render("account-profile", profilePage{User: v.User, Organization: v.Organization, Saved: v.Just("saved")})
}

func (s account) saveProfile(v *page.Viewer) error {
	language, err := v.Choose(v.Form.Get("preferred_language"))
	if err != nil {
		return err
	}
	profile := v.User.Profile()
	profile.Language, profile.TimeZone = language, v.Form.Get("time_zone")
	for field, into := range map[string]*string{"name": &profile.Name, "given_name": &profile.GivenName, "family_name": &profile.FamilyName} {
		if v.Form.Has(field) { // the page of somebody whose names a directory keeps sends none
			*into = v.Form.Get(field)
		}
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return directory.UpdateProfile(ctx, tx, v.User, profile)
	}, v.Path("account")+"?saved")
}

// savePicture stores a picture, or removes it.
func (s account) savePicture(v *page.Viewer) error {
	portrait, err := v.PictureOrNone(picture.Portrait)
	if err != nil {
		return err
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return directory.SetPicture(ctx, tx, v.User.OrgID, v.User.ID, portrait)
	}, v.Path("account")+"?saved")
}

// picture shows a person's picture to everybody who is signed in to the same organization.
func (s account) picture(v *page.Viewer) error {
	png, err := directory.Image(v.R.Context(), s.site.DB, v.User.OrgID, v.R.PathValue("id"))
	if err != nil {
		return err
	}
	return v.ShowPicture(png, page.KeptNowhere)
}

// logo shows an organization's logo to anybody, as its sign-in page does. It shows none of the
// organization's pictures.
func (s *Server) logo(v *page.Visitor) error {
	org, err := v.OrganizationInPath()
	if err != nil {
		return err
	}
	if org.Logo == "" || org.Logo != v.R.PathValue("id") {
		return directory.ErrNotFound
	}
	png, err := directory.Image(v.R.Context(), s.site.DB, org.ID, org.Logo)
	if err != nil {
		return err
	}
	return v.ShowPicture(png, page.KeptForEver)
}
