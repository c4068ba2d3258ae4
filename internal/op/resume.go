package op

import (
	"context"
	"html/template"
	"net/url"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// A request that was answered already may come again: the second of two clicks, a tab that
// was left open, the back button. The application still gets one redirect that works
// (decision 0041).
const (
	answerWaits = 3 * time.Second  // after that an answer whose code is unused counts as lost
	answerAgain = 30 * time.Second // within which it may be given again: half a code's life
)

// answeredRequest is a request that was answered, and what became of that.
type answeredRequest struct {
	pending
	client   application.Application
	endedAt  time.Time
	grantOrg directory.OrgID
	grant    string // id; empty where the application got none
	unused   bool   // the code was not used, and the session is open
}

// answered finds a request that this browser brought and that was answered.
func (p *Provider) answered(ctx context.Context, r db.Reader, b session.Browser, id string) (answeredRequest, bool, error) {
	if b.ID == "" || !page.IsID(id) {
		return answeredRequest{}, false, nil
	}
	a := answeredRequest{pending: pending{id: id}}
	var asked string
	var c application.Row
	found, err := r.One(ctx, append(c.Targets(), &asked, (*db.Time)(&a.endedAt), (*db.Text)(&a.grantOrg), (*db.Text)(&a.grant), &a.unused), `
		select `+application.Columns+`, a.asked, a.ended_at, a.grant_org, a.grant_id, s.id is not null
		from authorization_requests a
		join clients c on c.id = a.client_id
		left join grants g on g.org_id = a.grant_org and g.id = a.grant_id and g.code_used_at is null and g.ended_at is null
		left join sessions s on s.org_id = g.org_id and s.id = g.session_id and s.browser_id = a.browser_id and s.ended_at is null
		where a.id = $1 and a.browser_id = $2 and a.ended_at is not null`, id, b.ID)
	if err != nil || !found {
		return answeredRequest{}, false, err
	}
	if a.client, err = c.Read(); err == nil {
		err = readRequest(asked, &a.Request)
	}
	return a, err == nil, err
}

// waitingPage waits for an application that is being opened.
type waitingPage struct {
	Title   string
	Address string // a path of ours
	Seconds int
}

// resumeAnswered answers a browser whose request no longer waits.
func (p *Provider) resumeAnswered(v *page.Visitor) error {
	ctx := v.R.Context()
	b, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	a, found, err := p.answered(ctx, p.DB, b, v.R.URL.Query().Get("request"))
	if err != nil {
		return err
	}
	age := p.DB.Now().Sub(a.endedAt)
	switch {
	case !found:
		return p.showGone(v, "")
	case a.unused && age < answerWaits:
		v.NoForm()
		here := resumePath + "?" + url.Values{"request": {a.id}}.Encode()
		return v.Render("op-waiting", waitingPage{a.client.Title(v.Language()), here, int(answerWaits / time.Second)})
	case a.unused && age < answerAgain && !b.Superseded:
		code, again, err := p.codeAgain(ctx, a)
		if err != nil || again {
			return orRespond(err, func() error { return p.respond(v, a.Request, nil, code, false) })
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

// codeAgain replaces a code that nobody used by a fresh one, which voids the first. It
// reports false if the first was used in the meantime.
func (p *Provider) codeAgain(ctx context.Context, a answeredRequest) (string, bool, error) {
	code := secret.NewToken()
	var done bool
	err := p.DB.Update(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, `
			update grants set code_hash = $1
			where org_id = $2 and id = $3 and code_used_at is null and ended_at is null`,
			code.Hash(secret.Code), string(a.grantOrg), a.grant)
		done = n == 1
		return err
	})
	return code.Reveal(), done, err
}

// startOf leads to the start address of the application, which makes a new request. Where
// there is none, a page says that the request is gone.
func (p *Provider) startOf(v *page.Visitor, a answeredRequest) error {
	if a.client.Target() == "" || a.grantOrg == "" {
		return p.showGone(v, a.client.Target())
	}
	org, err := directory.OrganizationByID(v.R.Context(), p.DB, a.grantOrg)
	if err != nil {
		return err
	}
	return p.leadToStart(v, a.client, org)
}

func (p *Provider) leadToStart(v *page.Visitor, c application.Application, org directory.Organization) error {
	v.NoForm()
	return v.Render("op-going", leadingTo(c.Title(v.Language()), p.way(c, org)))
}

// stale reports whether a request is so old that its application has forgotten it: the
// cookie with which it compares the state has expired.
func (p *Provider) stale(q pending) bool {
	return q.id != "" && p.DB.Now().Sub(q.AskedAt) >= signin.AttemptLifetime
}

// startAnew ends a request that is stale and leads to the application's own start, which
// finds the person signed in.
func (p *Provider) startAnew(v *page.Visitor, c application.Application, q pending, org directory.Organization) error {
	ctx := v.R.Context()
	if err := p.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := q.finish(ctx, tx)
		return err
	}); err != nil {
		return err
	}
	return p.leadToStart(v, c, org)
}

// showGone shows that a request no longer waits, with a link to the start of the
// application if it has one.
func (p *Provider) showGone(v *page.Visitor, start string) error {
	v.Status(fault.Gone)
	v.NoForm()
	return v.Render("op-gone", template.URL(start)) //nolint:forbidigo // An address that was registered and judged then.
}

// gave notes what a request was answered with.
func (q pending) gave(ctx context.Context, tx *db.Tx, g Grant) error {
	if q.id == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `
		update authorization_requests set grant_org = $1, grant_id = $2
		where id = $3`, string(g.OrgID), g.ID, q.id)
	return err
}
