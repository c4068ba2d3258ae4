package web

import (
	"net/url"

	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/page"
)

var (
	forgotPasswordFields     = page.Fields{"email", "organization", "region"}
	forgotOrganizationFields = page.Fields{"email"}
)

// forgotPage asks for an address to which a letter may go and, once it was sent,
// says the same to everybody.
type forgotPage struct {
	Organization string // its name, as the page's own address has it
	Sent         bool
	Question     string // the path that asks
}

// Again is where the question is asked once more, with the organization kept.
func (p forgotPage) Again() string {
	if p.Organization == "" {
		return p.Question
	}
	return p.Question + "?organization=" + url.QueryEscape(p.Organization)
}

// SignIn is the sign-in page to go on to.
func (p forgotPage) SignIn() string {
	if p.Organization == "" {
		return "/sign-in"
	}
	return directory.Organization{ShortName: p.Organization}.Path()
}

func (s *Server) showForgotPassword(v *page.Visitor) error {
	return s.showForgot(v, "forgot-password", "/forgot-password")
}

func (s *Server) showForgotOrganization(v *page.Visitor) error {
	return s.showForgot(v, "forgot-organization", "/forgot-organization")
}

func (s *Server) showForgot(v *page.Visitor, template, question string) error {
	p := forgotPage{Organization: v.R.URL.Query().Get("organization"), Sent: v.Just("sent"), Question: question}
	if p.Sent {
		v.NoForm()
	}
	return v.Render(template, p)
}

// askForPassword answers with a redirect that holds no address: what is told is
// the same for everybody, and reloading it asks for nothing again.
func (s *Server) askForPassword(v *page.Visitor) error {
	organization := v.Form.Get("organization")
	if err := s.signIn.Ask(v.R.Context(), v.Device(), credential.AskedPassword, v.Form.Get("email"), organization, v.Language()); err != nil {
		return err
	}
	to := "/forgot-password?sent"
	if organization != "" {
		to += "&organization=" + url.QueryEscape(organization)
	}
	return v.Redirect(to)
}

func (s *Server) askForOrganization(v *page.Visitor) error {
	if err := s.signIn.Ask(v.R.Context(), v.Device(), credential.AskedNames, v.Form.Get("email"), "", v.Language()); err != nil {
		return err
	}
	return v.Redirect("/forgot-organization?sent")
}
