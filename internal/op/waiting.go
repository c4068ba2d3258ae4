package op

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"parvis/internal/application"
	"parvis/internal/application/redirect"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Pending is a request with its application. It is stored while it waits for the person.
type Pending struct {
	Request
	Client    application.Application
	ID        string // empty if it is not stored
	SessionID string // that the person picked
}

// ErrRequestGone means that a request no longer waits: it was answered, or expired.
var ErrRequestGone = fault.New(fault.Gone, "op.request_gone")

// Keep stores a request for a browser, and deletes its oldest ones beyond the limit.
func (p *Provider) Keep(ctx context.Context, browserID string, q Pending) error {
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
			values ($1, $2, $3, $4, $5)`, q.ID, browserID, string(q.ClientID), string(asked), db.Time(tx.Now()))
		if err != nil {
			return fmt.Errorf("keeping a request of %s: %w", q.ClientID, err)
		}
		return nil
	})
}

// Rewrite updates a stored request after the person chose something.
func (p *Provider) Rewrite(ctx context.Context, q Pending) error {
	asked, err := json.Marshal(q.Request)
	if err != nil {
		return err
	}
	return p.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			update authorization_requests set session_id = $1, asked = $2
			where id = $3 and ended_at is null`, db.Text(q.SessionID), string(asked), q.ID)
		return err
	})
}

// Kept finds a waiting request by its ID, for the browser that brought it.
func (p *Provider) Kept(ctx context.Context, r db.Reader, b session.Browser, id string) (Pending, bool, error) {
	if b.ID == "" || !secret.IsID(id) {
		return Pending{}, false, nil
	}
	q := Pending{ID: id}
	found, err := r.One(ctx, append(q.Client.Targets(), db.JSON(&q.Request), (*db.Text)(&q.SessionID)), `
		select `+application.Columns+`, a.asked, a.session_id
		from authorization_requests a
		join clients c on c.id = a.client_id
		where a.id = $1 and a.browser_id = $2 and a.ended_at is null and a.created_at > $3`,
		id, b.ID, db.Time(p.DB.Now().Add(-RequestLasts)))
	return q, found && q.holds(q.Client), err
}

// holds reports whether the client may still make this request. It removes scopes that are no
// longer registered.
func (r *Request) holds(c application.Application) bool {
	r.Scope = slices.DeleteFunc(r.Scope, func(s string) bool { return !c.Has(s) })
	return len(r.Scope) > 0 && r.protected(c) == nil && redirect.Match(c.Settings.RedirectURIs, r.RedirectURI, c.Kind == application.Native)
}

// Finish ends a waiting request, and reports whether this call ended it: if two tabs answer,
// only one does.
func (q Pending) Finish(ctx context.Context, tx *db.Tx) (bool, error) {
	if q.ID == "" {
		return true, nil
	}
	n, err := tx.Exec(ctx, `update authorization_requests set ended_at = $1 where id = $2 and ended_at is null`, db.Time(tx.Now()), q.ID)
	return n == 1, err
}

// AnsweredRequest is a request that was answered, with its grant if there is one.
type AnsweredRequest struct {
	Pending
	EndedAt  time.Time
	GrantOrg directory.OrgID
	grant    string // id; empty where the application got none
	Unused   bool   // the code was not used yet, and the session is open
}

// Answered finds a request that this browser brought and that was answered.
func (p *Provider) Answered(ctx context.Context, r db.Reader, b session.Browser, id string) (AnsweredRequest, bool, error) {
	if b.ID == "" || !secret.IsID(id) {
		return AnsweredRequest{}, false, nil
	}
	a := AnsweredRequest{Pending: Pending{ID: id}}
	found, err := r.One(ctx, append(a.Client.Targets(), db.JSON(&a.Request), (*db.Time)(&a.EndedAt), (*db.Text)(&a.GrantOrg), (*db.Text)(&a.grant), &a.Unused), `
		select `+application.Columns+`, a.asked, a.ended_at, a.grant_org, a.grant_id, s.id is not null
		from authorization_requests a
		join clients c on c.id = a.client_id
		left join grants g on g.org_id = a.grant_org and g.id = a.grant_id and g.code_used_at is null and g.ended_at is null
		left join sessions s on s.org_id = g.org_id and s.id = g.session_id and s.browser_id = a.browser_id and s.ended_at is null
		where a.id = $1 and a.browser_id = $2 and a.ended_at is not null`, id, b.ID)
	return a, found, err
}

// CodeAgain replaces an unused code by a new one, after which the first is void. It reports
// false if the first was used meanwhile.
func (p *Provider) CodeAgain(ctx context.Context, a AnsweredRequest) (string, bool, error) {
	code := secret.NewToken()
	var done bool
	err := p.DB.Update(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, `
			update grants set code_hash = $1
			where org_id = $2 and id = $3 and code_used_at is null and ended_at is null`,
			code.Hash(secret.Code), string(a.GrantOrg), a.grant)
		done = n == 1
		return err
	})
	return code.Reveal(), done, err
}

// gave stores with which grant a request was answered.
func (q Pending) gave(ctx context.Context, tx *db.Tx, g Grant) error {
	if q.ID == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `
		update authorization_requests set grant_org = $1, grant_id = $2
		where id = $3`, string(g.OrgID), g.ID, q.ID)
	return err
}
