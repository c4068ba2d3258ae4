package op

import (
	"encoding/json"
	"slices"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/session"
)

var (
	consentFields = page.Fields{"session"}
	chooseFields  = page.Fields{"session"}
)

// asking is what the pages that ask the person show.
type asking struct {
	Request string
	Client  application.Application
	Title   string
	Scopes  []string
	Lasts   time.Duration // how long it goes on being told, where it refreshes
	Visit   session.Visit
	Visits  []session.Visit
	Host    string // where the answer goes
}

// ScopeKey is the catalogue key of what a scope lets an application know; its sentence
// may name the Scope.
func ScopeKey(scope string) string {
	if slices.Contains(application.Scopes, scope) {
		return "op.scope." + scope
	}
	return "op.scope.other"
}

// ScopeKey is that, for a template.
func (asking) ScopeKey(scope string) string { return ScopeKey(scope) }

// asked is a request that waits, and what it gets by now.
func (p *Provider) asked(v *page.Visitor) (q pending, c application.Application, asked application.Question, d application.Decision, err error) {
	if q, c, err = p.waiting(v); err != nil {
		return q, c, asked, d, err
	}
	readAt := p.DB.Now()
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return q, c, asked, d, err
	}
	if asked, err = p.ask(v.R.Context(), c, q, visits, readAt); err != nil {
		return q, c, asked, d, err
	}
	d = application.Decide(asked)
	p.speak(v, q, d.Session)
	return q, c, asked, d, nil
}

// showConsent asks whether an application may know what it asks for.
func (p *Provider) showConsent(v *page.Visitor) error {
	q, c, _, d, err := p.asked(v)
	if err != nil {
		return p.gone(v, err)
	}
	if d.Step != application.Consent {
		return v.Redirect(resumePath + "?request=" + q.id)
	}
	page := asking{Request: q.id, Client: c, Title: c.Title(v.Language()), Scopes: q.Scope, Visit: d.Session, Host: hostOf(q.RedirectURI)}
	if c.Settings.Refreshes {
		page.Lasts = p.refreshLasts(c.Settings)
	}
	return v.Render("op-consent", page)
}

// answerConsent takes the answer: of the person whom the page showed, in the browser
// that brought the request, for this very request, once (R-OPR-09).
func (p *Provider) answerConsent(v *page.Visitor) error {
	q, c, asked, d, err := p.asked(v)
	if err != nil {
		return p.gone(v, err)
	}
	if d.Session.Session.ID != v.Form.Get("session") {
		return p.showGone(v, "") // somebody else is signed in than the page showed
	}
	if d.Step != application.Consent {
		return v.Redirect(resumePath + "?request=" + q.id)
	}
	if v.Form.Do() != "allow" {
		return p.turnAway(v, q, wrong(errAccessDenied, "the person said no"), false)
	}
	asked.Answered = true
	if d = application.Decide(asked); d.Step != application.Issue {
		return v.Redirect(resumePath + "?request=" + q.id)
	}
	code, err := p.issueCode(v, c, q, d, c.Settings.Asks && c.Assured(q.RedirectURI))
	if err != nil {
		return p.gone(v, err)
	}
	return p.respond(v, q.Request, nil, code, false)
}

// chosenLast is the session that was chosen last in this browser, the zero Visit where
// nobody is signed in.
func chosenLast(visits []session.Visit) session.Visit {
	if len(visits) == 0 {
		return session.Visit{}
	}
	return slices.MaxFunc(visits, func(a, b session.Visit) int { return a.Session.ChosenAt().Compare(b.Session.ChosenAt()) })
}

// showChoice lists who is signed in here, for an application that asked to choose.
func (p *Provider) showChoice(v *page.Visitor) error {
	q, c, err := p.waiting(v)
	if err != nil {
		return p.gone(v, err)
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	p.speak(v, q, chosenLast(visits))
	h := p.hints(c, q).Choices()
	return v.Render("op-choose", asking{
		Request: q.id, Client: c, Title: c.Title(v.Language()),
		Visits: slices.DeleteFunc(visits, func(w session.Visit) bool { return !h.Fit(w) }),
	})
}

// answerChoice goes on as one of them, or leads to sign in as somebody else.
func (p *Provider) answerChoice(v *page.Visitor) error {
	ctx := v.R.Context()
	q, c, err := p.waiting(v)
	if err != nil {
		return p.gone(v, err)
	}
	switch v.Form.Do() {
	case "cancel":
		return p.turnAway(v, q, told(application.NotForThem), false)
	case "other":
		return p.leadToOther(v, c, q)
	}
	visits, err := v.Visits(ctx)
	if err != nil {
		return err
	}
	h := p.hints(c, q).Choices()
	i := slices.IndexFunc(visits, func(w session.Visit) bool { return w.Session.ID == v.Form.Get("session") && h.Fit(w) })
	if i < 0 {
		return v.Redirect(choosePath + "?request=" + q.id)
	}
	if err := p.DB.Update(ctx, func(tx *db.Tx) error {
		// Whom the person chose goes before what the application hinted at.
		q.Organization, q.LoginHint, q.Since = "", "", time.Time{}
		asked, err := json.Marshal(q.Request)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			update authorization_requests set session_id = $1, asked = $2
			where id = $3 and ended_at is null`, visits[i].Session.ID, string(asked), q.id)
		return err
	}); err != nil {
		return err
	}
	return v.Redirect(resumePath + "?request=" + q.id)
}

// leadToOther has somebody sign in beside those who are, and takes them: whoever signed
// in last is the one chosen last.
func (p *Provider) leadToOther(v *page.Visitor, c application.Application, q pending) error {
	ctx := v.R.Context()
	q.Prompt = slices.DeleteFunc(q.Prompt, func(s string) bool { return s == "select_account" })
	q.Since, q.sessionID = p.DB.Now(), ""
	asked, err := json.Marshal(q.Request)
	if err != nil {
		return err
	}
	if err := p.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			update authorization_requests set asked = $1, session_id = null
			where id = $2 and ended_at is null`, string(asked), q.id)
		return err
	}); err != nil {
		return err
	}
	return p.leadToSignIn(v, c, q, application.Decision{})
}

// denied is the page of who may not open an application.
type denied struct {
	asking
	Forbidden    bool // nobody of the organization may
	Organization directory.Organization
	Others       []session.Visit // as whom this browser is signed in too
}

// showDenied says that an application is not for this person, and what now.
func (p *Provider) showDenied(v *page.Visitor, c application.Application, q pending, d application.Decision) error {
	q, err := p.waitingFor(v, q)
	if err != nil {
		return err
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	h := p.hints(c, q).Choices()
	here := d.Session.Session.ID
	if err := p.DB.Update(v.R.Context(), func(tx *db.Tx) error {
		return audit.Record(v.R.Context(), tx, audit.Event{
			OrgID: string(d.Session.Session.OrgID), Actor: string(d.Session.User.ID), ActorName: d.Session.User.Name,
			Action: "application.opened", Result: audit.Refused, Target: string(c.ID), TargetName: c.Settings.Name,
		})
	}); err != nil {
		return err
	}
	v.Status(fault.Denied)
	return v.Render("op-denied", denied{
		asking:    asking{Request: q.id, Client: c, Title: c.Title(v.Language()), Visit: d.Session},
		Forbidden: d.Access == application.Absent, Organization: d.Session.Organization,
		Others: slices.DeleteFunc(visits, func(w session.Visit) bool { return w.Session.ID == here || !h.Fit(w) }),
	})
}
