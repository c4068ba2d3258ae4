package web

import (
	"context"
	"errors"
	"slices"
	"time"

	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var (
	newPasswordFields    = page.Fields{"password", "repetition"}
	changePasswordFields = page.Fields{"current_password", "password", "repetition"}
)

// shownRules are an organization's password rules as a page for a new password shows them.
type shownRules struct {
	Rules   []credential.Rule
	Minimum int // in code points, as is Maximum, for the page's script
	Maximum int
}

func allRules(r credential.Rules) shownRules {
	return shownRules{r.List(), r.MinimumLength, r.MaximumLength}
}

// firstRules leaves out the history, which somebody without a password does not have.
func firstRules(r credential.Rules) shownRules {
	shown := allRules(r)
	shown.Rules = slices.DeleteFunc(shown.Rules, func(l credential.Rule) bool { return l.Name == "history" })
	return shown
}

// newPasswordPage creates the password of somebody, or replaces it.
type newPasswordPage struct {
	directory.Candidate
	shownRules
	Replaces *session.Visit // somebody else's session in this browser and organization, which ends by it
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

// newPassword returns what the form for a new password sent.
func (s *Server) newPassword(v *page.Visitor) (signin.NewPassword, error) {
	if err := v.RequireCookies(); err != nil {
		return signin.NewPassword{}, err
	}
	browser, err := v.Browser(v.R.Context())
	return signin.NewPassword{
		Browser: browser, Remembered: v.Remembered(), Password: v.Form.Get("password"), Repetition: v.Form.Get("repetition"),
	}, err
}

// showReset changes nothing, because mail scanners fetch links.
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
	second, err := s.signIn.NeedsSecondStep(ctx, found)
	if err != nil {
		return err
	}
	if second {
		return v.Render("reset-second", p)
	}
	return v.Render("reset", p)
}

// resetPassword creates the new password or, where the person has a second step, leads to that
// first.
func (s *Server) resetPassword(v *page.Visitor) error {
	p, err := s.newPassword(v)
	if err != nil {
		return err
	}
	opened, err := s.signIn.ResetPassword(v.R.Context(), secret.ParseToken(v.R.PathValue("token")), p)
	switch {
	case errors.Is(err, credential.ErrResetDead):
		return s.linkDead(v, credential.ErrResetDead)
	case errors.Is(err, signin.ErrAttemptGone):
		return s.showReset(v) // a second step was added a moment ago
	case err != nil:
		return err
	}
	return v.Enter(opened)
}

// deadLinkPage is the one page for all links of letters that no longer work.
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

// showAsked is the step that creates a new password: after the second step of a reset, or
// because an administrator demanded a new one.
func (s *Server) showAsked(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	who, err := signin.Whose(ctx, s.site.DB, a)
	if err != nil {
		return err
	}
	p, err := s.newPasswordPage(ctx, v, who)
	if err != nil {
		return err
	}
	if a.ResetID != "" {
		return v.Render("reset", p)
	}
	return v.Render("asked-password", p)
}

func (s *Server) createAsked(v *page.Visitor, a signin.Attempt) error {
	if !v.Form.Has("repetition") || v.Form.Has("email") {
		return s.otherStep(v, a)
	}
	p, err := s.newPassword(v)
	if err != nil {
		return err
	}
	opened, err := s.signIn.CreateAskedPassword(v.R.Context(), a, p)
	if errors.Is(err, credential.ErrResetDead) {
		return s.linkDead(v, credential.ErrResetDead)
	}
	if err != nil {
		return err
	}
	return v.Enter(opened)
}

// passwordPage is the user's password in their own account.
type passwordPage struct {
	User         directory.User
	Organization directory.Organization
	SetAt        time.Time // zero where there is none
	Disabled     bool      // until a reset brings a new one
	Saved        bool
	shownRules
}

// Usable reports whether there is a password that signs in, and so may be changed.
func (p passwordPage) Usable() bool { return !p.SetAt.IsZero() && !p.Disabled }

// None reports whether there is no password, so that one may be created.
func (p passwordPage) None() bool { return p.SetAt.IsZero() }

// showPassword asks for fresh proof before anything is typed, because typed text would be lost
// if the proof were asked for later.
func (s account) showPassword(v *page.Viewer) error {
	if v.Organization.FederatedOnly() {
		return directory.ErrFederatedOnly
	}
	ctx := v.R.Context()
	stored, err := credential.StoredPassword(ctx, s.site.DB, owner(v))
	if err != nil {
		return err
	}
	if proved, err := s.provedForPassword(v, stored); err != nil {
		return err
	} else if !proved {
		return v.ProveAgain()
	}
	rules, err := credential.RulesOf(ctx, s.site.DB, v.User.OrgID)
	if err != nil {
		return err
	}
	p := passwordPage{
		User: v.User, Organization: v.Organization, SetAt: stored.SetAt, Disabled: !stored.DisabledAt.IsZero(),
		Saved: v.Just("saved"), shownRules: allRules(rules),
	}
	v.FormIf(!p.Disabled)
	return v.Render("account-password", p)
}

// provedForPassword reports whether a password may be changed or created now. The current one
// is proof enough for people who have nothing else; otherwise a second step or, where there is
// no current one, any factor must have been proved recently (R-PWD-08).
func (s account) provedForPassword(v *page.Viewer, stored credential.Stored) (bool, error) {
	if stored.Exists() {
		owns, err := s.signIn.OwnsSecondStep(v.R.Context(), v.Visit)
		if err != nil || !owns {
			return !owns, err
		}
	}
	return v.Fresh()
}

func (s account) changePassword(v *page.Viewer) error {
	if v.Organization.FederatedOnly() {
		return directory.ErrFederatedOnly
	}
	ctx := v.R.Context()
	p, err := s.newPassword(v.Visitor)
	if err != nil {
		return err
	}
	stored, err := credential.StoredPassword(ctx, s.site.DB, owner(v))
	if err != nil {
		return err
	}
	if answered, err := s.passwordChanged(v, p.Remembered); answered || err != nil {
		return err
	}
	if proved, err := s.provedForPassword(v, stored); err != nil {
		return err
	} else if !proved {
		return v.ProveAgain()
	}
	if !v.Form.Has("current_password") && !stored.Exists() {
		return v.Done(s.signIn.CreatePassword(ctx, v.Visit, p), v.Path("account/security")+"?password-created")
	}
	opened, err := s.signIn.ChangePassword(ctx, v.Visit, v.Form.Get("current_password"), p)
	if errors.Is(err, signin.ErrCurrentWrong) {
		if answered, err := s.passwordChanged(v, p.Remembered); answered || err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return s.saved(v, opened)
}

func (s account) saved(v *page.Viewer, opened signin.Opened) error {
	opened.Return = v.Path("account/password") + "?saved"
	return v.Enter(opened)
}

// passwordChanged answers a form that was sent twice, if it changed the password a moment ago.
// It reports whether it answered.
func (s account) passwordChanged(v *page.Viewer, d signin.RememberedBrowser) (bool, error) {
	opened, err := s.signIn.RepeatHere(v.R.Context(), v.Visit, signin.Repetition{Remembered: d, Password: v.Form.Get("password")})
	if errors.Is(err, signin.ErrAttemptGone) {
		return false, nil
	}
	if err == nil {
		err = s.saved(v, opened)
	}
	return true, err
}

// showRemovePassword says what it means to have no password, or what has to be done before it
// can be removed.
func (s account) showRemovePassword(v *page.Viewer) error {
	stored, err := credential.StoredPassword(v.R.Context(), s.site.DB, owner(v))
	if err != nil {
		return err
	}
	if !stored.Exists() {
		return v.Redirect(v.Path("account/security"))
	}
	why := s.signIn.Passwordless(v.R.Context(), s.site.DB, v.Visit)
	if why != nil && !errors.Is(why, signin.ErrNotPasswordless) {
		return why
	}
	v.FormIf(why == nil)
	return v.Render("remove-password", why == nil)
}

func (s account) removePassword(v *page.Viewer) error {
	return v.Done(s.signIn.RemovePassword(v.R.Context(), v.Visit), v.Path("account/security")+"?password-removed")
}

// findPassword answers at the address where password managers look for the page that changes a
// password (W3C, A Well-Known URL for Changing Passwords).
func (s *Server) findPassword(v *page.Visitor) error {
	return s.lastVisited(v, "account/password")
}
