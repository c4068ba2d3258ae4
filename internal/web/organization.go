package web

import (
	"errors"
	"net/http"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/signin"
)

// organizationFields are the fields of the page that asks which organization is meant.
var organizationFields = page.Fields{"organization", "region"}

// doOrganization is the button of that page among the buttons of an attempt.
const doOrganization = "organization"

var errOrganizationMissing = fault.Field("organization", "web.organization_missing")

// whichPage asks which organization is meant.
type whichPage struct {
	Back   string // the sign-in page that leads here
	Toward string // the application that the sign-in leads to; empty for a page of ours
}

// showOrganization asks which organization is meant, or leads there at once where a link says
// it, such as a link from another region.
func (s *Server) showOrganization(v *page.Visitor) error {
	if named := v.Form.Get("organization"); named != "" && v.R.Method != http.MethodPost {
		org, err := s.signIn.Named(v.R.Context(), named)
		if err == nil {
			return v.Redirect(org.Path())
		}
		refused, ok := errors.AsType[*fault.Error](err)
		if !ok || refused.Field == "" {
			return err
		}
		v.Form.Refuse("organization", named, refused)
		v.Status(refused.Kind)
	}
	return v.Render("organization-which", whichPage{Back: "/sign-in"})
}

// findOrganization leads to the sign-in page of the organization that was named.
func (s *Server) findOrganization(v *page.Visitor) error {
	if answered, err := s.nameElsewhere(v, v.Form.Get("organization"), page.OrganizationPath); answered || err != nil {
		return err
	}
	org, err := s.named(v)
	if err != nil {
		return err
	}
	return v.Redirect(org.Path())
}

func (s *Server) named(v *page.Visitor) (directory.Organization, error) {
	named := v.Form.Get("organization")
	if named == "" {
		return directory.Organization{}, errOrganizationMissing
	}
	return s.signIn.Named(v.R.Context(), named)
}

// chooseOrganization continues an attempt in the organization that was named.
func (s *Server) chooseOrganization(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	if answered, err := s.nameElsewhere(v, v.Form.Get("organization"), page.OrganizationPath); answered || err != nil {
		return err
	}
	org, err := s.named(v)
	if err != nil {
		return err
	}
	browser, err := v.Browser(ctx)
	if err == nil {
		err = s.signIn.ChooseOrganization(ctx, browser, a, org)
	}
	if err != nil {
		return err
	}
	return s.otherStep(v, a)
}
