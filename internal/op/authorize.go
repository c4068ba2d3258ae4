package op

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// authorize is where an application sends a browser to learn who sits there.
func (p *Provider) authorize(v *page.Visitor) error {
	if v.Ahead() {
		v.W.WriteHeader(http.StatusServiceUnavailable) // a code is for a browser that means to go there
		return nil
	}
	form, err := url.ParseQuery(v.R.URL.RawQuery)
	if err != nil {
		return p.answerBad(v, &Mismatch{Key: "op.mismatch.query"})
	}
	c, r, err := p.parse(v.R.Context(), form)
	if err != nil {
		return p.answerBad(v, err)
	}
	return p.goOn(v, c, pending{Request: r})
}

// postAuthorize takes the same by a form of the application's (OIDC Core §3.1.2.1). A
// form from another site brings no cookie, so it is kept, and the browser comes back
// with a GET.
func (p *Provider) postAuthorize(v *page.Visitor) error {
	ctx := v.R.Context()
	v.R.Body = http.MaxBytesReader(v.W, v.R.Body, maxBody)
	if err := v.R.ParseForm(); err != nil {
		return p.answerBad(v, &Mismatch{Key: "op.mismatch.query"})
	}
	form := v.R.PostForm
	again := url.Values{"client_id": form["client_id"], "request_uri": form["request_uri"]}
	if !strings.HasPrefix(form.Get("request_uri"), requestURI) {
		c, r, err := p.parse(ctx, form)
		if err != nil {
			return p.answerBad(v, err)
		}
		token, err := p.store(ctx, c, r, true)
		if err != nil {
			return err
		}
		again.Set("request_uri", requestURI+token.Reveal())
	}
	return v.Redirect(authorizePath + "?" + again.Encode())
}

// resume goes on with a request that waited for the person.
func (p *Provider) resume(v *page.Visitor) error {
	q, c, err := p.waiting(v)
	if errors.Is(err, errRequestGone) {
		return p.resumeAnswered(v)
	}
	if err != nil {
		return err
	}
	return p.goOn(v, c, q)
}

// goOn decides what a request gets, and gives it.
func (p *Provider) goOn(v *page.Visitor, c application.Application, q pending) error {
	direct, readAt := q.id == "", p.DB.Now()
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	asked, err := p.ask(v.R.Context(), c, q, visits, readAt)
	if err != nil {
		return err
	}
	asked.Stale = p.stale(q) && c.Target() != ""
	d := application.Decide(asked)
	p.speak(v, q, d.Session)
	switch d.Step {
	case application.Refuse:
		return p.turnAway(v, q, told(d.Cause), direct)
	case application.Anew:
		return p.startAnew(v, c, q, d.Session.Organization)
	case application.SignIn:
		return p.leadToSignIn(v, c, q, d)
	case application.Choose:
		return p.leadTo(v, q, choosePath)
	case application.Consent:
		return p.leadTo(v, q, consentPath)
	case application.Deny:
		return p.showDenied(v, c, q, d)
	default:
		code, err := p.issueCode(v, c, q, d, false)
		if errors.Is(err, errRequestGone) && direct {
			return v.Redirect(v.R.URL.RequestURI()) // something changed in between: it is asked anew
		}
		if errors.Is(err, errRequestGone) {
			return p.resumeAnswered(v) // another request of this browser was faster
		}
		if err != nil {
			return err
		}
		return p.respond(v, q.Request, nil, code, direct)
	}
}

// speak makes a page of a request speak the language of the person who is signed in,
// else the one that the application asked for.
func (p *Provider) speak(v *page.Visitor, q pending, w session.Visit) {
	v.Prefer(string(w.User.Language), q.Locales)
}

// Speak makes a page of an attempt that an application began speak the language of its
// user, where one is known, else the one that the application asked for.
func (p *Provider) Speak(v *page.Visitor, a signin.Attempt) error {
	if a.ClientID == "" {
		return nil
	}
	ctx := v.R.Context()
	var w session.Visit
	if a.UserID != "" {
		user, err := directory.UserByID(ctx, p.DB, a.OrgID, a.UserID)
		if err != nil {
			return err
		}
		w.User = user
	}
	b, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	_, query, _ := strings.Cut(a.Return, "?")
	back, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	q, _, _, err := p.kept(ctx, p.DB, b, back.Get("request"))
	if err != nil {
		return err
	}
	p.speak(v, q, w)
	return nil
}

// turnAway tells the application that it gets nothing.
func (p *Provider) turnAway(v *page.Visitor, q pending, e *Error, direct bool) error {
	if q.id != "" {
		if err := p.DB.Update(v.R.Context(), func(tx *db.Tx) error {
			_, err := q.finish(v.R.Context(), tx)
			return err
		}); err != nil {
			return err
		}
	}
	return p.respond(v, q.Request, e, "", direct)
}

// told translates why an application gets nothing into the error that it gets.
func told(why application.Cause) *Error {
	switch why {
	case application.NobodyFits:
		return wrong(errLoginRequired, "nobody is signed in here who fits, or not lately enough")
	case application.SomebodyElse:
		return wrong(errLoginRequired, "somebody else signed in than id_token_hint names")
	case application.MustChoose:
		return wrong(errAccountSelectionRequired, "the person would have to choose who they are")
	case application.NotForThem:
		return wrong(errAccessDenied, "the application is not for this person")
	case application.MustProve:
		return wrong(errInteractionRequired, "the person would have to prove a second factor")
	case application.CannotProve:
		return wrong(errUnmetAuthentication, "the person has no second factor that would reach this acr")
	case application.MustConsent:
		return wrong(errConsentRequired, "the person would have to be asked")
	case application.NotRefused:
	}
	return wrong(errServerError, "refused without a reason")
}

// ask collects what decide looks at: the request's wishes, who is signed in here, and what
// has to be read about the session that is meant.
func (p *Provider) ask(ctx context.Context, c application.Application, q pending, visits []session.Visit, readAt time.Time) (application.Question, error) {
	wants := func(prompt string) bool { return slices.Contains(q.Prompt, prompt) }
	asked := application.Question{
		Asked: q.AskedAt, ReadAt: readAt, Waited: q.id != "", Hints: p.hints(c, q), Open: visits, Lacks: map[directory.OrgID]bool{},
		None: wants("none"), Login: wants("login"), Select: wants("select_account"), Consent: wants("consent"), Two: q.twoFactors(),
	}
	if q.MaxAge != nil {
		age := time.Duration(*q.MaxAge) * time.Second
		asked.MaxAge = &age
	}
	places, possible := map[directory.OrgID]application.Placement{}, asked.Hints.Choices()
	for _, v := range visits {
		if _, read := places[v.Session.OrgID]; read || !possible.Fit(v) {
			continue
		}
		place, err := application.PlacementOf(ctx, p.DB, v.Session.OrgID, c)
		if err != nil {
			return application.Question{}, err
		}
		places[v.Session.OrgID], asked.Lacks[v.Session.OrgID] = place, place.Standing == application.Forbidden
	}
	v, found, _ := asked.Meant()
	if !found {
		return asked, nil
	}
	var err error
	asked.Known, err = p.known(ctx, c, q, v, places[v.Session.OrgID])
	return asked, err
}

// known reads what decide has to know about a session.
func (p *Provider) known(ctx context.Context, c application.Application, q pending, v session.Visit, place application.Placement) (k application.Known, err error) {
	var groups []string
	if place.Audience == application.SomeGroups {
		if groups, err = application.GroupIDs(ctx, p.DB, v.Session.OrgID, v.User.ID); err != nil {
			return application.Known{}, err
		}
	}
	k.Access = place.Admits(groups)
	if k.ACR, err = p.SignIn.Assurance(ctx, v); err != nil {
		return application.Known{}, err
	}
	if q.twoFactors() && k.ACR != session.TwoFactors {
		if k.Provable, err = p.SignIn.OwnsSecondStep(ctx, v); err != nil {
			return application.Known{}, err
		}
		k.Provable = k.Provable || v.Session.ConnectionID != ""
	}
	k.Consented, err = application.Consented(ctx, p.DB, application.Placed{Application: c, Place: place}, v, q.RedirectURI, q.Scope)
	return k, err
}

// leadTo goes on at a page that asks the person.
func (p *Provider) leadTo(v *page.Visitor, q pending, path string) error {
	q, err := p.waitingFor(v, q)
	if err != nil {
		return err
	}
	return v.Redirect(path + "?request=" + q.id)
}

// leadToSignIn begins an attempt that comes back to the request: of the user whose
// session is there, or of the person whom the hints mean.
func (p *Provider) leadToSignIn(v *page.Visitor, c application.Application, q pending, d application.Decision) error {
	ctx := v.R.Context()
	a := signin.Attempt{ClientID: string(c.ID)}
	if d.Open {
		user := d.Session.User
		a.OrgID, a.UserID, a.Generation, a.Fresh = user.OrgID, user.ID, user.Generation, application.ProvedWithin
	} else {
		org, err := p.meant(ctx, c, q)
		if e, ok := errors.AsType[*Error](err); ok {
			return p.turnAway(v, q, e, q.id == "")
		}
		if err != nil {
			return err
		}
		// A provider would otherwise let in whoever proved something there hours ago.
		a.OrgID, a.Anew = org, slices.Contains(q.Prompt, "login") || q.MaxAge != nil
		if address, err := naming.ParseAddress(q.LoginHint); err == nil {
			a.LoginHint = address.Text
		}
	}
	// The attempt comes first: it is what is counted, where nobody is signed in.
	waits := q.id != ""
	if !waits {
		q.id = secret.NewID("req")
	}
	a.Return = resumePath + "?request=" + q.id
	begun, err := v.Begin(a, nil)
	if err == nil && !waits {
		err = p.keep(ctx, begun.BrowserID, q)
	}
	if err != nil {
		return err
	}
	return v.Redirect("/sign-in/" + begun.ID)
}

// meant is the organization to sign in to, where the request names one.
func (p *Provider) meant(ctx context.Context, c application.Application, q pending) (directory.OrgID, error) {
	switch {
	case q.Organization != "":
		org, err := organizationNamed(ctx, p.DB, q.Organization)
		if isFault(err) {
			return "", wrong(errInvalidRequest, "organization names none that is here")
		}
		if err == nil && c.OrgID != "" && c.OrgID != org.ID {
			return "", wrong(errInvalidRequest, "organization names one that does not have this application")
		}
		return org.ID, err
	case c.OrgID != "":
		return c.OrgID, nil
	case q.SubjectOrg != "":
		if _, err := directory.OrganizationByID(ctx, p.DB, q.SubjectOrg); isFault(err) {
			return "", nil
		}
	}
	return q.SubjectOrg, nil
}
