package web

import (
	"errors"
	"slices"
	"strings"

	"parvis/internal/application"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// attemptFields are the fields of all steps; each step reads its own.
var attemptFields = page.Fields{
	"email", "password", "organization", "region", "repetition", "code", "recovery_code", "response", "device", "kind", "connection",
}

// showAttempt shows the page of a stored attempt's next step, and never that of another step.
func (s *Server) showAttempt(v *page.Visitor) error {
	a, err := s.attempt(v)
	if errors.Is(err, signin.ErrAttemptGone) {
		return s.showWhereTo(v)
	}
	if err != nil {
		return err
	}
	switch signin.Next(a, s.site.DB.Now()) {
	case signin.GoUpstream:
		return s.showGoing(v, a)
	case signin.ProveSecond:
		return s.showSecond(v, a)
	case signin.EnrolFactor:
		return s.showEnrolmentStep(v, a)
	case signin.CreatePassword:
		return s.showAsked(v, a)
	default:
		return s.showFirst(v, a)
	}
}

// submitAttempt takes what the page of the next step sends. Anything that another step's page
// sent, from another tab or by hand, does nothing.
func (s *Server) submitAttempt(v *page.Visitor) error {
	a, err := s.attempt(v)
	if err == nil {
		err = s.submitStep(v, a)
	}
	if errors.Is(err, signin.ErrAttemptGone) || errors.Is(err, credential.ErrCeremonyOver) {
		err = s.repeatStep(v, err)
	}
	if errors.Is(err, signin.ErrAttemptGone) {
		return s.submitWhereTo(v)
	}
	return err
}

func (s *Server) submitStep(v *page.Visitor, a signin.Attempt) error {
	switch step := signin.Next(a, s.site.DB.Now()); {
	case v.Form.Has("connection") && (step == signin.GoUpstream || step == signin.ProveFirst || step == signin.Identify):
		return s.goTo(v, a)
	case step == signin.GoUpstream:
		return s.otherStep(v, a)
	case step == signin.ProveSecond:
		return s.proveSecond(v, a)
	case step == signin.EnrolFactor:
		return s.enrolStep(v, a)
	case step == signin.CreatePassword:
		return s.createAsked(v, a)
	default:
		return s.proveFirst(v, a)
	}
}

// repeatStep answers a form that was sent twice with the place where the first one led
// (decision 0041). Any other form is answered with why.
func (s *Server) repeatStep(v *page.Visitor, why error) error {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	p := repetition(v)
	p.Browser = browser
	opened, err := s.signIn.RepeatStep(ctx, v.R.PathValue("attempt"), p)
	if errors.Is(err, signin.ErrAttemptGone) {
		return why
	}
	if err != nil {
		return err
	}
	return s.enterAgain(v, opened)
}

// repetition returns the form that was sent, as something that may have been sent before.
func repetition(v *page.Visitor) signin.Repetition {
	return signin.Repetition{
		Remembered: v.Remembered(), Email: v.Form.Get("email"), Password: v.Form.Get("password"), Code: v.Form.Get("code"),
		Recovery: v.Form.Get("recovery_code"), Ceremony: v.Ceremony(), Response: []byte(v.Form.Get("response")),
	}
}

func (s *Server) enterAgain(v *page.Visitor, opened signin.Opened) error {
	if opened.Enrolled {
		return s.goOnToCodes(v, opened)
	}
	return v.Enter(opened)
}

// otherStep answers a form that does not belong to the next step with the page of the next
// step.
func (s *Server) otherStep(v *page.Visitor, _ signin.Attempt) error {
	return v.Redirect(v.R.URL.Path)
}

func (s *Server) attempt(v *page.Visitor) (signin.Attempt, error) {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return signin.Attempt{}, err
	}
	a, err := s.signIn.Load(ctx, s.site.DB, browser, v.R.PathValue("attempt"), s.site.DB.Now())
	if err == nil {
		err = s.ask.Speak(v, a)
	}
	return a, err
}

// whereTo returns the page that the browser was going to by an attempt that cannot continue.
func (s *Server) whereTo(v *page.Visitor) (signin.Attempt, error) {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return signin.Attempt{}, err
	}
	return s.signIn.WhereTo(ctx, s.site.DB, browser, v.R.PathValue("attempt"), s.site.DB.Now())
}

// showWhereTo continues for an attempt that expired or ended in another tab. If somebody is
// signed in for the page it was going to, or can prove it again there, the browser goes to that
// page, else to the page that asks for a first factor (decision 0042).
func (s *Server) showWhereTo(v *page.Visitor) error {
	a, err := s.whereTo(v)
	if err != nil {
		return s.attemptGone(v, err)
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	if v.Form.Filled() { // refused, and shown again
		visits = nil
	}
	if a.Fresh > 0 || a.LinkRequest != "" || slices.ContainsFunc(visits, func(in session.Visit) bool { return a.OrgID == "" || in.Organization.ID == a.OrgID }) {
		return v.Redirect(a.Return)
	}
	return s.showFirst(v, a)
}

// submitWhereTo takes what the page of an attempt sends that cannot continue: a first factor
// begins a new attempt, and nothing else counts.
func (s *Server) submitWhereTo(v *page.Visitor) error {
	a, err := s.whereTo(v)
	switch {
	case err != nil:
		return s.attemptGone(v, err)
	case a.LinkRequest != "": // a credential that is sent after the proof's end begins nothing
		return v.Redirect(a.Return)
	case v.Form.Has("connection") && a.OrgID != "":
		return s.goTo(v, a)
	case (v.Form.Has("email") || v.Form.Has("response") && v.Form.Get("device") == "" && a.Fresh == 0) && !v.Form.Has("repetition"):
		return s.proveFirst(v, a)
	}
	return v.Redirect(v.R.URL.Path)
}

// attemptGone answers where nothing is known of an attempt, because it is older than a day or
// was begun in another browser: with the sign-in page for everybody.
func (s *Server) attemptGone(v *page.Visitor, err error) error {
	if !errors.Is(err, signin.ErrAttemptGone) {
		return err
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	v.Status(fault.Gone)
	v.NoForm()
	return v.Render("attempt-gone", signInPage{SignedIn: visits})
}

// showFirst asks for a first factor: to return to a page, or to prove for a page that it is
// still the same person.
func (s *Server) showFirst(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	p := signInPage{
		Returning: true, StepUp: a.Fresh > 0, LoginHint: a.LoginHint, WasAway: a.ID == "" && a.EndedAt.IsZero(),
		AskOrganization: a.UserID == "" && (v.Form.Refused() || v.Form.Has("organization")),
		Elsewhere:       a.OpenTo(), ToLink: a.LinkRequest != "",
	}
	var err error
	if p.Toward, err = application.Title(ctx, s.site.DB, a.ClientID, v.Language()); err != nil {
		return err
	}
	if p.Elsewhere && (v.R.URL.Query().Has("more") || v.Form.Do() == doOrganization) {
		return v.Render("organization-which", whichPage{Back: v.R.URL.Path, Toward: p.Toward})
	}
	if a.OrgID == "" { // an application that belongs to no organization led here
		return s.renderSignIn(v, p)
	}
	org, err := directory.OrganizationByID(ctx, s.site.DB, a.OrgID)
	if err != nil {
		return err
	}
	p.Organization = &org
	if p.ToLink {
		if p.ways, err = s.waysOf(v, org, a); err != nil {
			return err
		}
	}
	if a.UserID != "" && (!p.ToLink || len(a.Evidence) > 0) {
		user, err := directory.UserByID(ctx, s.site.DB, a.OrgID, a.UserID)
		if err != nil {
			return err
		}
		p.Known = &user
		if p.StepUp {
			if p.ways, err = s.waysOf(v, org, a); err != nil {
				return err
			}
		}
	}
	return s.renderSignIn(v, p)
}

// proveFirst is the door of an attempt. A person who names another organization than the
// attempt's begins another one.
func (s *Server) proveFirst(v *page.Visitor, a signin.Attempt) error {
	if v.Form.Do() == doOrganization && a.OpenTo() {
		return s.chooseOrganization(v, a)
	}
	if !v.Form.Has("email") && !v.Form.Has("response") || v.Form.Has("repetition") {
		return s.otherStep(v, a)
	}
	named := v.Form.Get("organization")
	if a.UserID == "" && a.OrgID != "" && named != "" {
		meant, err := s.signIn.MayMean(v.R.Context(), named, a.OrgID)
		if err != nil {
			return err
		}
		if !meant {
			a = signin.Attempt{} // there is nothing to return to
		}
	}
	return s.prove(v, a, named)
}

// secondPage asks for one of the second steps that the user has.
type secondPage struct {
	directory.Candidate
	StepUp   bool
	Reset    bool   // before a new password takes effect
	With     string // the step that is asked for; "help" where none can be used
	Path     string // path of the attempt, for the links to the other steps
	Factors  credential.Factors
	Passkeys bool   // the user has some, and this installation accepts them
	Options  string // for the browser's dialogue

	// Helpers are the people who may reset the second step, where no step can be used, and Told
	// says that letters were sent to them. Only a person who proved the first factor sees their
	// names.
	Helpers []directory.User
	Told    bool
}

// Names returns the names of the user's authenticators of the kind that is asked for.
func (p secondPage) Names() string {
	var all []string
	if p.With == withPasskey {
		for _, k := range p.Factors.Passkeys {
			all = append(all, k.Name)
		}
	} else {
		for _, a := range p.Factors.Apps {
			all = append(all, a.Name)
		}
	}
	return strings.Join(all, ", ")
}

// Others reports whether there is another way than the one that is asked for.
func (p secondPage) Others() bool {
	return slices.ContainsFunc([]string{withApp, withPasskey, withRecovery}, func(with string) bool { return with != p.With && p.has(with) })
}

// The values of ?with=, which choose among several second steps.
const (
	withApp      = "app"
	withPasskey  = "passkey"
	withRecovery = "recovery"
	withHelp     = "help"
)

// has reports whether the page can ask for this kind of second step.
func (p secondPage) has(with string) bool {
	switch with {
	case withApp:
		return len(p.Factors.Apps) > 0
	case withPasskey:
		return p.Passkeys
	case withRecovery:
		return p.Factors.Recovery > 0
	}
	return with == withHelp
}

// showSecond asks for the factor that was used last, or for the one named in the address.
func (s *Server) showSecond(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	who, err := signin.Whose(ctx, s.site.DB, a)
	if err != nil {
		return err
	}
	factors, err := s.signIn.Authenticators.FactorsOf(ctx, s.site.DB, credential.Owner{OrgID: a.OrgID, UserID: a.UserID})
	if err != nil {
		return err
	}
	p := secondPage{
		Candidate: who, StepUp: a.Fresh > 0, Reset: a.ResetID != "", Path: "/sign-in/" + a.ID,
		Factors: factors, Passkeys: s.signIn.Passkeys != nil && len(factors.Passkeys) > 0,
	}
	if p.With = v.R.URL.Query().Get("with"); !p.has(p.With) {
		switch {
		case p.Passkeys && (factors.PasskeyLast() || len(factors.Apps) == 0):
			p.With = withPasskey
		case len(factors.Apps) > 0:
			p.With = withApp
		default:
			p.With = withHelp // passkeys that this installation no longer accepts
		}
	}
	if p.With == withPasskey {
		options, ceremony, err := s.signIn.Passkeys.BeginSecondStep(ctx, s.site.DB, who.User, a.ID, s.site.DB.Now())
		if err != nil {
			return err
		}
		p.Options = string(options)
		v.KeepCeremony(ceremony, credential.CeremonyLifetime)
	}
	if p.With == withHelp {
		if p.Helpers, err = directory.AdministratorsFor(ctx, s.site.DB, who.User); err != nil {
			return err
		}
		p.Told = v.Just("told") && len(p.Helpers) > 0
		v.FormIf(!p.Told && len(p.Helpers) > 0)
	}
	return v.Render("second-step", p)
}

func (s *Server) proveSecond(v *page.Visitor, a signin.Attempt) error {
	browser, err := v.Browser(v.R.Context())
	if err != nil {
		return err
	}
	if v.Form.Do() == withHelp {
		return v.Done(s.signIn.AskForHelp(v.R.Context(), browser, a), v.R.URL.Path+"?with="+withHelp+"&told")
	}
	proof := signin.SecondProof{
		Browser: browser, Remembered: v.Remembered(), Attempt: a, Code: v.Form.Get("code"), Recovery: v.Form.Get("recovery_code"),
	}
	switch {
	case v.Form.Has("response"):
		if proof.Ceremony, proof.Response, err = s.answer(v); err != nil {
			return err
		}
	case proof.Code == "" && v.Form.Has("code"):
		return signin.ErrCodeFailed
	case proof.Recovery == "" && v.Form.Has("recovery_code"):
		return signin.ErrRecoveryFailed
	case proof.Code == "" && proof.Recovery == "":
		return s.otherStep(v, a)
	}
	opened, err := s.signIn.Second(v.R.Context(), proof)
	if err != nil {
		return err
	}
	return v.Enter(opened)
}
