package ask

import (
	"html/template"
	"net/url"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/signin"
)

// An answered request may come again, by a second click, an old tab or the back button. The application still gets one redirect that works
// (decision 0041).
const (
	answerWaits = 3 * time.Second  // after which an answer counts as lost if its code is unused
	answerAgain = 30 * time.Second // within which a lost answer is given again: half a code's life
)

// waitingPage reloads Address after Seconds, while an application is being opened.
type waitingPage struct {
	Title   string
	Address string // a path of ours
	Seconds int
}

// resumeAnswered answers a browser whose request no longer waits.
func (p *Pages) resumeAnswered(v *page.Visitor) error {
	ctx := v.R.Context()
	b, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	a, found, err := p.Answered(ctx, p.DB, b, v.R.URL.Query().Get("request"))
	if err != nil {
		return err
	}
	age := p.DB.Now().Sub(a.EndedAt)
	switch {
	case !found:
		return p.showGone(v, "")
	case a.Unused && age < answerWaits:
		v.NoForm()
		here := resumePath + "?" + url.Values{"request": {a.ID}}.Encode()
		return v.Render("op-waiting", waitingPage{a.Client.Title(v.Language()), here, int(answerWaits / time.Second)})
	case a.Unused && age < answerAgain && !b.Superseded:
		code, again, err := p.CodeAgain(ctx, a)
		if err != nil || again {
			return orRespond(err, func() error { return p.respond(v, a.Pending, nil, code) })
		}
	}
	return p.startOf(v, a)
}

func orRespond(err error, respond func() error) error {
	if err != nil {
		return err
	}
	return respond()
}

// startOf leads to the start address of the application, which makes a new request. If there
// is none, or the application got no grant, a page says that the request is gone.
func (p *Pages) startOf(v *page.Visitor, a op.AnsweredRequest) error {
	if a.Client.Target() == "" || a.GrantOrg == "" {
		return p.showGone(v, a.Client.Target())
	}
	org, err := directory.OrganizationByID(v.R.Context(), p.DB, a.GrantOrg)
	if err != nil {
		return err
	}
	return p.leadToStart(v, a.Client, org)
}

func (p *Pages) leadToStart(v *page.Visitor, c application.Application, org directory.Organization) error {
	v.NoForm()
	return v.Render("op-going", leadingTo(c.Title(v.Language()), p.way(c, org)))
}

// stale reports whether a request is so old that its application has forgotten it: the
// cookie with which it compares the state has expired.
func (p *Pages) stale(q op.Pending) bool {
	return q.ID != "" && p.DB.Now().Sub(q.AskedAt) >= signin.AttemptLifetime
}

// startAnew ends a request that is stale and leads to the application's own start, which
// finds the person signed in.
func (p *Pages) startAnew(v *page.Visitor, q op.Pending, org directory.Organization) error {
	ctx := v.R.Context()
	if err := p.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := q.Finish(ctx, tx)
		return err
	}); err != nil {
		return err
	}
	return p.leadToStart(v, q.Client, org)
}

// showGone shows that a request no longer waits, with a link to the start of the
// application if it has one.
func (p *Pages) showGone(v *page.Visitor, start string) error {
	v.Status(fault.Gone)
	v.NoForm()
	return v.Render("op-gone", template.URL(start)) //nolint:forbidigo // The address was checked when it was registered.
}
