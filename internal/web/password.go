package web

import (
	"context"
	"errors"
	"slices"

	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var newPasswordFields = page.Fields{"password", "repetition"}

// shownRules are an organization's rules on a page with a new password.
type shownRules struct {
	Rules   []credential.Rule
	Minimum int // code points, as Maximum, for the page's script
	Maximum int
}

func allRules(r credential.Rules) shownRules {
	return shownRules{r.List(), r.MinimumLength, r.MaximumLength}
}

// firstRules leaves out the history, which somebody without a password has not.
func firstRules(r credential.Rules) shownRules {
	shown := allRules(r)
	shown.Rules = slices.DeleteFunc(shown.Rules, func(l credential.Rule) bool { return l.Name == "history" })
	return shown
}

// newPasswordPage replaces the password of somebody who has one.
type newPasswordPage struct {
	directory.Candidate
	shownRules
	Replaces *session.Visit // whose session in this browser and organization ends with it
}

func (s *Server) newPasswordPage(ctx context.Context, v *page.Visitor, who directory.Candidate) (newPasswordPage, error) {
	rules, err := credential.RulesOf(ctx, s.site.DB, who.User.OrgID)
	if err != nil {
		return newPasswordPage{}, err
	}
	visits, err := v.Visits(ctx)
	if err != nil {
		return newPasswordPage{}, err
	}
	p := newPasswordPage{Candidate: who, shownRules: allRules(rules)}
	if i := slices.IndexFunc(visits, func(other session.Visit) bool {
		return other.Organization.ID == who.Organization.ID && other.User.ID != who.User.ID
	}); i >= 0 {
		p.Replaces = &visits[i]
	}
	v.ProbeCookies()
	return p, nil
}

// newPassword is what the form of a new password sent.
func (s *Server) newPassword(v *page.Visitor) (signin.NewPassword, error) {
	if err := v.RequireCookies(); err != nil {
		return signin.NewPassword{}, err
	}
	browser, err := v.Browser(v.R.Context())
	return signin.NewPassword{
		Browser: browser, Device: v.Device(), Password: v.Form.Get("password"), Repetition: v.Form.Get("repetition"),
	}, err
}

// showReset changes nothing: mail scanners fetch links.
func (s *Server) showReset(v *page.Visitor) error {
	ctx := v.R.Context()
	found, err := credential.ResetByToken(ctx, s.site.DB, secret.ParseToken(v.R.PathValue("token")), s.site.DB.Now())
	if errors.Is(err, credential.ErrResetDead) {
		return s.linkDead(v, credential.ErrResetDead)
	}
	if err != nil {
		return err
	}
	p, err := s.newPasswordPage(ctx, v, found.Candidate)
	if err != nil {
		return err
	}
	return v.Render("reset", p)
}

func (s *Server) resetPassword(v *page.Visitor) error {
	p, err := s.newPassword(v)
	if err != nil {
		return err
	}
	opened, err := s.signIn.ResetPassword(v.R.Context(), secret.ParseToken(v.R.PathValue("token")), p)
	if errors.Is(err, credential.ErrResetDead) {
		return s.linkDead(v, credential.ErrResetDead)
	}
	if err != nil {
		return err
	}
	return v.Enter(opened)
}

// deadLinkPage is the one page for links of a letter that do nothing any more.
type deadLinkPage struct {
	Why      string // catalogue key
	SignedIn []session.Visit
}

func (s *Server) linkDead(v *page.Visitor, why *fault.Error) error {
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	v.Status(why.Kind)
	v.NoForm()
	return v.Render("link-dead", deadLinkPage{why.Key, visits})
}
