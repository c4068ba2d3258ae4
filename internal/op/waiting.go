package op

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"parvis/internal/application"
	"parvis/internal/application/redirect"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// pending is a request that waits for the person, in one browser.
type pending struct {
	Request
	id        string
	sessionID string // that the person picked
}

// errRequestGone says that what an application asked waits no more.
var errRequestGone = fault.New(fault.Gone, "op.request_gone")

// waitingFor stores a request for this browser, where it is not stored yet.
func (p *Provider) waitingFor(v *page.Visitor, q pending) (pending, error) {
	if q.id != "" {
		return q, nil
	}
	ctx := v.R.Context()
	b, err := v.BrowserOrNew(ctx)
	if err != nil {
		return pending{}, err
	}
	q.id = secret.NewID("req")
	return q, p.keep(ctx, b.ID, q)
}

// keep stores a request for a browser.
func (p *Provider) keep(ctx context.Context, browserID string, q pending) error {
	asked, err := json.Marshal(q.Request)
	if err != nil {
		return err
	}
	return p.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			delete from authorization_requests
			where browser_id = $1 and id in (
				select o.id from authorization_requests o
				where o.browser_id = $1
				order by o.created_at desc, o.id
				limit 1000 offset $2)`, browserID, signin.MostWhereTo-1)
		if err != nil {
			return fmt.Errorf("making room for a request of %s: %w", q.ClientID, err)
		}
		_, err = tx.Exec(ctx, `
			insert into authorization_requests (id, browser_id, client_id, asked, created_at)
			values ($1, $2, $3, $4, $5)`, q.id, browserID, string(q.ClientID), string(asked), db.Time(tx.Now()))
		if err != nil {
			return fmt.Errorf("keeping a request of %s: %w", q.ClientID, err)
		}
		return nil
	})
}

// kept finds a request that waits, in the browser that brought it.
func (p *Provider) kept(ctx context.Context, r db.Reader, b session.Browser, id string) (pending, application.Application, bool, error) {
	if b.ID == "" || !page.IsID(id) {
		return pending{}, application.Application{}, false, nil
	}
	q := pending{id: id}
	var asked string
	var c application.Row
	found, err := r.One(ctx, append(c.Targets(), &asked, (*db.Text)(&q.sessionID)), `
		select `+application.Columns+`, a.asked, a.session_id
		from authorization_requests a
		join clients c on c.id = a.client_id
		where a.id = $1 and a.browser_id = $2 and a.ended_at is null and a.created_at > $3`,
		id, b.ID, db.Time(p.DB.Now().Add(-RequestLasts)))
	if err != nil || !found {
		return pending{}, application.Application{}, false, err
	}
	if err := readRequest(asked, &q.Request); err != nil {
		return pending{}, application.Application{}, false, err
	}
	client, err := c.Read()
	return q, client, err == nil && q.holds(client), err
}

func readRequest(asked string, r *Request) error {
	if err := json.Unmarshal([]byte(asked), r); err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	return nil
}

// holds reports whether what was asked is registered still, and leaves out scopes that
// are not.
func (r *Request) holds(c application.Application) bool {
	r.Scope = slices.DeleteFunc(r.Scope, func(s string) bool { return !c.Has(s) })
	return len(r.Scope) > 0 && r.protected(c) == nil && redirect.Match(c.Settings.RedirectURIs, r.RedirectURI, c.Kind == application.Native)
}

// waiting is the request that this browser's address names.
func (p *Provider) waiting(v *page.Visitor) (pending, application.Application, error) {
	ctx := v.R.Context()
	b, err := v.Browser(ctx)
	if err != nil {
		return pending{}, application.Application{}, err
	}
	q, c, found, err := p.kept(ctx, p.DB, b, v.R.URL.Query().Get("request"))
	if err == nil && !found {
		err = errRequestGone
	}
	return q, c, err
}

// gone sends the browser on if the error is that its request no longer waits.
func (p *Provider) gone(v *page.Visitor, err error) error {
	if !errors.Is(err, errRequestGone) {
		return err
	}
	return v.Redirect(resumePath + "?" + url.Values{"request": {v.R.URL.Query().Get("request")}}.Encode())
}

// finish claims the end of a request that waits: of two tabs that answer it one does.
func (q pending) finish(ctx context.Context, tx *db.Tx) (bool, error) {
	if q.id == "" {
		return true, nil
	}
	n, err := tx.Exec(ctx, `update authorization_requests set ended_at = $1 where id = $2 and ended_at is null`, db.Time(tx.Now()), q.id)
	return n == 1, err
}
