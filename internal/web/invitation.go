package web

import (
	"errors"
	"slices"

	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/region"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var (
	invitationFields = page.Fields{"name", "password", "repetition", "connection"}
	foundingFields   = page.Fields{"organization", "short_name", "name", "email", "password", "repetition"}
)

// invitationPage is the page behind an invitation's link, whether it works or not.
type invitationPage struct {
	Invitation   directory.Invitation
	Organization directory.Organization
	Named        directory.User  // the user whom the invitation is to, who has a name already; zero where it makes one
	Others       []session.Visit // who is signed in to this browser: joining leaves them as they are
	Dead         string          // catalogue key that says why the link is dead; empty while it works
	Renewable    bool            // a new letter can be asked for
	Renewed      bool            // a new letter was asked for
	shownRules
	ways
}

// deadInvitation lists the answers for a link that does not work, or no longer does. Only the
// holder of the right token learns which it is; everybody else gets the first.
var deadInvitation = []*fault.Error{
	directory.ErrInvitationUnknown, directory.ErrInvitationUsed, directory.ErrInvitationExpired,
	directory.ErrInvitationWithdrawn, directory.ErrInvitationRefused, directory.ErrInvitationReplaced, directory.ErrInvitationTaken,
}

// showInvitation changes nothing, because mail scanners fetch links (R-INV-04).
func (s *Server) showInvitation(v *page.Visitor) error {
	ctx := v.R.Context()
	inv, org, err := directory.InvitationByToken(ctx, s.site.DB, secret.ParseToken(v.R.PathValue("token")))
	if err == nil {
		err = inv.Usable(s.site.DB.Now())
	}
	p := invitationPage{Invitation: inv, Organization: org}
	if err != nil {
		return s.showDeadInvitation(v, p, err)
	}
	if inv.UserID != "" {
		if p.Named, err = directory.UserByID(ctx, s.site.DB, org.ID, inv.UserID); err != nil {
			return err
		}
	}
	rules, err := credential.RulesOf(ctx, s.site.DB, org.ID)
	if err != nil {
		return err
	}
	if p.Others, err = v.Visits(ctx); err != nil {
		return err
	}
	p.shownRules = firstRules(rules)
	if p.ways, err = s.waysInto(v, org); err != nil {
		return err
	}
	v.ProbeCookies()
	return v.Render("invitation", p)
}

func (s *Server) showDeadInvitation(v *page.Visitor, p invitationPage, err error) error {
	i := slices.IndexFunc(deadInvitation, func(f *fault.Error) bool { return errors.Is(err, f) })
	if i < 0 {
		return err
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	p.Others, p.Dead = visits, deadInvitation[i].Key
	p.Renewable = p.Invitation.Renewable(s.site.DB.Now())
	v.Status(deadInvitation[i].Kind)
	v.FormIf(p.Renewable)
	return v.Render("invitation-dead", p)
}

func (s *Server) acceptInvitation(v *page.Visitor) error {
	token := secret.ParseToken(v.R.PathValue("token"))
	if v.Form.Do() == "renew" {
		return s.renewInvitation(v, token)
	}
	if v.Form.Has("connection") {
		return s.acceptFederated(v)
	}
	f, err := s.firstCredential(v, token)
	if err != nil {
		return err
	}
	opened, err := s.signIn.Accept(v.R.Context(), f)
	if slices.ContainsFunc(deadInvitation, func(dead *fault.Error) bool { return errors.Is(err, dead) }) {
		return s.showInvitation(v) // which says why, and what to do
	}
	if err != nil {
		return err
	}
	return v.Enter(opened)
}

// renewInvitation sends a new letter to the invited address, whoever asks for it: the address
// is taken from the record, so the holder of the link gains nothing (decision 0007).
func (s *Server) renewInvitation(v *page.Visitor, token secret.Token) error {
	inv, err := s.signIn.Renew(v.R.Context(), token)
	if slices.ContainsFunc(deadInvitation, func(dead *fault.Error) bool { return errors.Is(err, dead) }) {
		return s.showInvitation(v)
	}
	if err != nil {
		return err
	}
	v.NoForm()
	return v.Render("invitation-dead", invitationPage{Invitation: inv, Renewed: true})
}

func (s *Server) firstCredential(v *page.Visitor, token secret.Token) (signin.FirstCredential, error) {
	if err := v.RequireCookies(); err != nil {
		return signin.FirstCredential{}, err
	}
	browser, err := v.Browser(v.R.Context())
	return signin.FirstCredential{
		Browser: browser, Remembered: v.Remembered(), Token: token, Language: v.Language(), TimeZone: v.TimeZone(),
		Name: v.Form.Get("name"), Password: v.Form.Get("password"), Repetition: v.Form.Get("repetition"),
	}, err
}

// showSetup is the page that makes the first organization and its owner.
func (s *Server) showSetup(v *page.Visitor) error {
	token := secret.ParseToken(v.R.PathValue("token"))
	if err := directory.BootstrapUsable(v.R.Context(), s.site.DB, token, s.site.DB.Now()); err != nil {
		return err
	}
	v.ProbeCookies()
	return v.Render("setup", firstRules(credential.Classic))
}

func (s *Server) setup(v *page.Visitor) error {
	f, err := s.firstCredential(v, secret.ParseToken(v.R.PathValue("token")))
	if err != nil {
		return err
	}
	if err := s.freeElsewhere(v, f.Token); err != nil {
		return err
	}
	opened, err := s.signIn.Found(v.R.Context(), signin.Founding{
		FirstCredential: f, Organization: v.Form.Get("organization"),
		ShortName: v.Form.Get("short_name"), Email: v.Form.Get("email"),
	})
	if err != nil {
		return err
	}
	return v.Enter(opened)
}

// freeElsewhere refuses names of the first organization that another region knows. One that does not
// answer keeps nobody: the first region is there before the second one.
func (s *Server) freeElsewhere(v *page.Visitor, token secret.Token) error {
	ctx := v.R.Context()
	if directory.BootstrapUsable(ctx, s.site.DB, token, s.site.DB.Now()) != nil {
		return nil //nolint:nilerr // Found says what is wrong with it.
	}
	err := s.regions.Free(ctx, v.Form.Get("organization"), v.Form.Get("short_name"))
	if errors.Is(err, region.ErrUnasked) {
		return nil
	}
	return err
}
