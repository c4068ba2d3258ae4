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

// forgotPage asks for the address to which a letter may be sent and, once asked, says the same
// to everybody.
type forgotPage struct {
	Organization string // its name, as in the page's own address
	Sent         bool
	Question     string // path of the page that asks
}

// Again returns where the question is asked once more, with the organization kept.
func (p forgotPage) Again() string {
	if p.Organization == "" {
		return p.Question
	}
	return p.Question + "?organization=" + url.QueryEscape(p.Organization)
}

// SignIn returns the sign-in page to continue with.
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
	v.FormIf(!p.Sent)
	return v.Render(template, p)
}

// askForPassword answers with a redirect that contains no address: everybody is told the same,
// and reloading the page asks for nothing again.
func (s *Server) askForPassword(v *page.Visitor) error {
	organization := v.Form.Get("organization")
	if answered, err := s.nameElsewhere(v, organization, "/forgot-password"); answered || err != nil {
		return err
	}
	if err := s.signIn.Ask(v.R.Context(), v.Remembered(), credential.AskedPassword, v.Form.Get("email"), organization, v.Language()); err != nil {
		return err
	}
	to := "/forgot-password?sent"
	if organization != "" {
		to += "&organization=" + url.QueryEscape(organization)
	}
	return v.Redirect(to)
}

func (s *Server) askForOrganization(v *page.Visitor) error {
	return v.Done(s.signIn.Ask(v.R.Context(), v.Remembered(), credential.AskedNames, v.Form.Get("email"), "", v.Language()), "/forgot-organization?sent")
}
