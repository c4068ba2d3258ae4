package ask

import (
	"slices"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/session"
)

var (
	consentFields = page.Fields{"session"}
	chooseFields  = page.Fields{"session"}
)

// asking is the data of the pages that ask the person.
type asking struct {
	Request string
	Client  application.Application
	Title   string
	Scopes  []string
	Lasts   time.Duration // how long the application keeps access; zero if it does not refresh
	Visit   session.Visit
	Visits  []session.Visit
	Host    string // where the answer goes
}

// Acts reports whether the application acts for the person in the administration.
func (a asking) Acts() bool { return a.Client.ID == application.CommandLine }

// ScopeKey returns the catalogue key of a scope, for a template.
func (asking) ScopeKey(scope string) string { return application.ScopeKey(scope) }

// asked returns a waiting request, and what it would get now.
func (p *Pages) asked(v *page.Visitor) (q op.Pending, asked application.Question, d application.Decision, err error) {
	if q, err = p.waiting(v); err != nil {
		return q, asked, d, err
	}
	readAt := p.DB.Now()
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return q, asked, d, err
	}
	if asked, err = p.ask(v.R.Context(), q, visits, readAt); err != nil {
		return q, asked, d, err
	}
	d = application.Decide(asked)
	p.speak(v, q, d.Session)
	return q, asked, d, nil
}

// showConsent asks whether an application may know what it asks for.
func (p *Pages) showConsent(v *page.Visitor) error {
	q, _, d, err := p.asked(v)
	if err != nil {
		return p.gone(v, err)
	}
	if d.Step != application.Consent {
		return v.Redirect(resumePath + "?request=" + q.ID)
	}
	page := asking{Request: q.ID, Client: q.Client, Title: q.Client.Title(v.Language()), Scopes: op.Within(q.Client, d.Session, q.Scope), Visit: d.Session, Host: hostOf(q.RedirectURI)}
	if q.Client.Settings.Refreshes {
		page.Lasts = p.RefreshLasts(q.Client.Settings)
	}
	return v.Render("op-consent", page)
}

// answerConsent takes the person's answer, once. It counts only from the person whom the page
// showed, in the browser that brought the request, and only for this request (R-OPR-09).
func (p *Pages) answerConsent(v *page.Visitor) error {
	q, asked, d, err := p.asked(v)
	if err != nil {
		return p.gone(v, err)
	}
	if d.Session.Session.ID != v.Form.Get("session") {
		return p.showGone(v, "") // somebody else is signed in than the page showed
	}
	if d.Step != application.Consent {
		return v.Redirect(resumePath + "?request=" + q.ID)
	}
	if v.Form.Do() != "allow" {
		return p.turnAway(v, q, op.Wrong(op.AccessDenied, "the person said no"))
	}
	asked.Answered = true
	if d = application.Decide(asked); d.Step != application.Issue {
		return v.Redirect(resumePath + "?request=" + q.ID)
	}
	code, err := p.issue(v, q, d, q.Client.Settings.Asks && q.Client.Assured(q.RedirectURI))
	if err != nil {
		return p.gone(v, err)
	}
	return p.respond(v, q, nil, code)
}

// chosenLast returns the session that was chosen last, or the zero Visit if nobody is signed
// in.
func chosenLast(visits []session.Visit) session.Visit {
	if len(visits) == 0 {
		return session.Visit{}
	}
	return slices.MaxFunc(visits, func(a, b session.Visit) int { return a.Session.ChosenAt().Compare(b.Session.ChosenAt()) })
}

// showChoice lists who is signed in here, for an application that asked to choose.
func (p *Pages) showChoice(v *page.Visitor) error {
	q, err := p.waiting(v)
	if err != nil {
		return p.gone(v, err)
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	p.speak(v, q, chosenLast(visits))
	h := p.Hints(q).Choices()
	return v.Render("op-choose", asking{
		Request: q.ID, Client: q.Client, Title: q.Client.Title(v.Language()),
		Visits: slices.DeleteFunc(visits, func(w session.Visit) bool { return !h.Fit(w) }),
	})
}

// answerChoice continues as the chosen person, or leads to sign in as somebody else.
func (p *Pages) answerChoice(v *page.Visitor) error {
	ctx := v.R.Context()
	q, err := p.waiting(v)
	if err != nil {
		return p.gone(v, err)
	}
	switch v.Form.Do() {
	case "cancel":
		return p.turnAway(v, q, op.Wrong(op.AccessDenied, "the person cancelled"))
	case "other":
		return p.leadToOther(v, q)
	}
	visits, err := v.Visits(ctx)
	if err != nil {
		return err
	}
	h := p.Hints(q).Choices()
	i := slices.IndexFunc(visits, func(w session.Visit) bool { return w.Session.ID == v.Form.Get("session") && h.Fit(w) })
	if i < 0 {
		return v.Redirect(choosePath + "?request=" + q.ID)
	}
	// The person's choice outranks the hints of the application.
	q.Organization, q.LoginHint, q.Since, q.SessionID = "", "", time.Time{}, visits[i].Session.ID
	if err := p.Rewrite(ctx, q); err != nil {
		return err
	}
	return v.Redirect(resumePath + "?request=" + q.ID)
}

// leadToOther leads to sign in as one more person. The request then continues as that person,
// because only a session that is proved after Since fits it.
func (p *Pages) leadToOther(v *page.Visitor, q op.Pending) error {
	ctx := v.R.Context()
	q.Prompt = slices.DeleteFunc(q.Prompt, func(s string) bool { return s == "select_account" })
	q.Since, q.SessionID = p.DB.Now(), ""
	if err := p.Rewrite(ctx, q); err != nil {
		return err
	}
	return p.leadToSignIn(v, q, application.Decision{})
}

// denied is the data of the page for a person who may not open an application.
type denied struct {
	asking
	Forbidden    bool // nobody of the organization may
	Organization directory.Organization
	Others       []session.Visit // other people signed in here whom the request allows
}

// showDenied says that an application is not for this person, and what they can do.
func (p *Pages) showDenied(v *page.Visitor, q op.Pending, d application.Decision) error {
	q, err := p.waitingFor(v, q)
	if err != nil {
		return err
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	h := p.Hints(q).Choices()
	here := d.Session.Session.ID
	if err := p.DB.Update(v.R.Context(), func(tx *db.Tx) error {
		return audit.Record(v.R.Context(), tx, audit.Event{
			OrgID: string(d.Session.Session.OrgID), Actor: string(d.Session.User.ID), ActorName: d.Session.User.Name,
			Action: "application.opened", Result: audit.Refused, Target: string(q.Client.ID), TargetName: q.Client.Settings.Name,
		})
	}); err != nil {
		return err
	}
	v.Status(fault.Denied)
	return v.Render("op-denied", denied{
		asking:    asking{Request: q.ID, Client: q.Client, Title: q.Client.Title(v.Language()), Visit: d.Session},
		Forbidden: d.Access == application.Absent, Organization: d.Session.Organization,
		Others: slices.DeleteFunc(visits, func(w session.Visit) bool { return w.Session.ID == here || !h.Fit(w) }),
	})
}
