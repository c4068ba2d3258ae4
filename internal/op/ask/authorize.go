package ask

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
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// authorize takes an authorization request that an application sends by a browser.
func (p *Pages) authorize(v *page.Visitor) error {
	if v.Ahead() {
		v.W.WriteHeader(http.StatusServiceUnavailable) // a browser that only loads ahead gets no code
		return nil
	}
	form, err := url.ParseQuery(v.R.URL.RawQuery)
	if err != nil {
		return p.answerBad(v, &op.Mismatch{Key: "op.mismatch.query"})
	}
	q, err := p.Parse(v.R.Context(), form)
	if err != nil {
		return p.answerBad(v, err)
	}
	return p.goOn(v, q)
}

// postAuthorize takes an authorization request by POST (OIDC Core §3.1.2.1). A form from
// another site brings no cookie, so the request is stored and the browser returns with a GET.
func (p *Pages) postAuthorize(v *page.Visitor) error {
	ctx := v.R.Context()
	v.R.Body = http.MaxBytesReader(v.W, v.R.Body, op.MaxBody)
	if err := v.R.ParseForm(); err != nil {
		return p.answerBad(v, &op.Mismatch{Key: "op.mismatch.query"})
	}
	form := v.R.PostForm
	again := url.Values{"client_id": form["client_id"], "request_uri": form["request_uri"]}
	if !strings.HasPrefix(form.Get("request_uri"), op.RequestURI) {
		q, err := p.Parse(ctx, form)
		if err != nil {
			return p.answerBad(v, err)
		}
		token, err := p.Store(ctx, q.Client, q.Request, true)
		if err != nil {
			return err
		}
		again.Set("request_uri", op.RequestURI+token.Reveal())
	}
	return v.Redirect(op.AuthorizePath + "?" + again.Encode())
}

// resume continues a request that waited for the person.
func (p *Pages) resume(v *page.Visitor) error {
	q, err := p.waiting(v)
	if errors.Is(err, op.ErrRequestGone) {
		return p.resumeAnswered(v)
	}
	if err != nil {
		return err
	}
	return p.goOn(v, q)
}

// goOn decides what a request gets, and gives it.
func (p *Pages) goOn(v *page.Visitor, q op.Pending) error {
	readAt := p.DB.Now()
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	asked, err := p.ask(v.R.Context(), q, visits, readAt)
	if err != nil {
		return err
	}
	asked.Stale = p.stale(q) && q.Client.Target() != ""
	d := application.Decide(asked)
	p.speak(v, q, d.Session)
	switch d.Step {
	case application.Refuse:
		return p.turnAway(v, q, op.WireError(d.Cause))
	case application.Anew:
		return p.startAnew(v, q, d.Session.Organization)
	case application.SignIn:
		return p.leadToSignIn(v, q, d)
	case application.Choose:
		return p.leadTo(v, q, choosePath)
	case application.Consent:
		return p.leadTo(v, q, consentPath)
	case application.Deny:
		return p.showDenied(v, q, d)
	default:
		code, err := p.issue(v, q, d, false)
		if errors.Is(err, op.ErrRequestGone) && q.ID == "" {
			return v.Redirect(v.R.URL.RequestURI()) // something changed meanwhile: the browser asks again
		}
		if errors.Is(err, op.ErrRequestGone) {
			return p.resumeAnswered(v) // another request of this browser was faster
		}
		if err != nil {
			return err
		}
		return p.respond(v, q, nil, code)
	}
}

// issue returns the code for the application. Unless prompt is none, that counts as use of the
// session.
func (p *Pages) issue(v *page.Visitor, q op.Pending, d application.Decision, remembers bool) (string, error) {
	if !slices.Contains(q.Prompt, "none") {
		var err error
		if d.Session, err = v.Used(d.Session); err != nil {
			return "", err
		}
	}
	return p.IssueCode(v.R.Context(), q, d, remembers)
}

// speak sets the language of a request's page to that of the person who is signed in, or else
// to the one that the application asked for.
func (p *Pages) speak(v *page.Visitor, q op.Pending, w session.Visit) {
	v.Prefer(string(w.User.Language), q.Locales)
}

// Speak sets the language of a page during a sign-in that an application began: that of the
// user if known, or else the one that the application asked for.
func (p *Pages) Speak(v *page.Visitor, a signin.Attempt) error {
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
	q, _, err := p.Kept(ctx, p.DB, b, back.Get("request"))
	if err != nil {
		return err
	}
	p.speak(v, q, w)
	return nil
}

// turnAway ends a request, and answers the application with an error.
func (p *Pages) turnAway(v *page.Visitor, q op.Pending, e *op.Error) error {
	if q.ID != "" {
		if err := p.DB.Update(v.R.Context(), func(tx *db.Tx) error {
			_, err := q.Finish(v.R.Context(), tx)
			return err
		}); err != nil {
			return err
		}
	}
	return p.respond(v, q, e, "")
}

// ask collects what application.Decide needs: the parameters of the request, who is signed in
// here, and facts about the session that is meant.
func (p *Pages) ask(ctx context.Context, q op.Pending, visits []session.Visit, readAt time.Time) (application.Question, error) {
	wants := func(prompt string) bool { return slices.Contains(q.Prompt, prompt) }
	visits, err := p.proofsFor(ctx, q.Client, visits)
	if err != nil {
		return application.Question{}, err
	}
	asked := application.Question{
		Asked: q.AskedAt, ReadAt: readAt, Waited: q.ID != "", Hints: p.Hints(q), Open: visits, Lacks: map[directory.OrgID]bool{},
		None: wants("none"), Login: wants("login"), Select: wants("select_account"), Consent: wants("consent"), Two: q.TwoFactors(),
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
		place, err := application.PlacementOf(ctx, p.DB, v.Session.OrgID, q.Client)
		if err != nil {
			return application.Question{}, err
		}
		places[v.Session.OrgID], asked.Lacks[v.Session.OrgID] = place, place.Standing == application.Forbidden
	}
	v, found, _ := asked.Meant()
	if !found {
		return asked, nil
	}
	asked.Known, err = p.known(ctx, q, v, places[v.Session.OrgID])
	return asked, err
}

// proofsFor returns sessions as an application sees them. To the command line, which acts for the
// person, people who own a second step have proved who they are only when they last proved that
// step too: as for the same deeds in the console.
func (p *Pages) proofsFor(ctx context.Context, c application.Application, visits []session.Visit) ([]session.Visit, error) {
	if c.ID != application.CommandLine {
		return visits, nil
	}
	visits = slices.Clone(visits)
	for i := range visits {
		s := &visits[i].Session
		owns, err := p.SignIn.OwnsSecondStep(ctx, visits[i])
		if err != nil {
			return nil, err
		}
		if owns && s.SecondAt.Before(s.ProvedAt) {
			s.ProvedAt = s.SecondAt
		}
	}
	return visits, nil
}

// known reads what application.Decide has to know about a session.
func (p *Pages) known(ctx context.Context, q op.Pending, v session.Visit, place application.Placement) (k application.Known, err error) {
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
	if q.TwoFactors() && k.ACR != session.TwoFactors {
		if k.Provable, err = p.SignIn.OwnsSecondStep(ctx, v); err != nil {
			return application.Known{}, err
		}
		k.Provable = k.Provable || v.Session.ConnectionID != ""
	}
	k.Consented, err = application.Consented(ctx, p.DB, application.Placed{Application: q.Client, Place: place}, v, q.RedirectURI, q.Scope)
	return k, err
}

// leadTo stores a request, and redirects to a page that asks the person.
func (p *Pages) leadTo(v *page.Visitor, q op.Pending, path string) error {
	q, err := p.waitingFor(v, q)
	if err != nil {
		return err
	}
	return v.Redirect(path + "?request=" + q.ID)
}

// leadToSignIn begins a sign-in that returns to the request: for the user of the session that
// is meant, or for anybody whom the hints allow.
func (p *Pages) leadToSignIn(v *page.Visitor, q op.Pending, d application.Decision) error {
	ctx := v.R.Context()
	a := signin.Attempt{ClientID: string(q.Client.ID)}
	if d.Open {
		user := d.Session.User
		a.OrgID, a.UserID, a.Generation, a.Fresh = user.OrgID, user.ID, user.Generation, application.ProvedWithin
	} else {
		org, err := p.OrganizationOf(ctx, q)
		if e, ok := errors.AsType[*op.Error](err); ok {
			return p.turnAway(v, q, e)
		}
		if err != nil {
			return err
		}
		// Otherwise an identity provider would accept a sign-in there from hours ago.
		a.OrgID, a.Anew = org, slices.Contains(q.Prompt, "login") || q.MaxAge != nil
		if address, err := naming.ParseAddress(q.LoginHint); err == nil {
			a.LoginHint = address.Text
		}
	}
	// The attempt comes first, because it is what is limited if nobody is signed in.
	waits := q.ID != ""
	if !waits {
		q.ID = secret.NewID("req")
	}
	a.Return = resumePath + "?request=" + q.ID
	begun, err := v.Begin(a, nil)
	if err == nil && !waits {
		err = p.Keep(ctx, begun.BrowserID, q)
	}
	if err != nil {
		return err
	}
	return v.Redirect("/sign-in/" + begun.ID)
}
