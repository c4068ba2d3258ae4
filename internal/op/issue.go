package op

import (
	"context"
	"slices"
	"strings"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/secret"
)

// IssueCode stores a grant for a request, and returns its code. If remembers is set, the
// person agreed just now, and the agreement is stored for later requests.
func (p *Provider) IssueCode(ctx context.Context, q Pending, d application.Decision, remembers bool) (string, error) {
	code := secret.NewToken()
	update := p.DB.UpdateLax // the exchange, without which the code is nothing, is durable
	if remembers {
		update = p.DB.Update
	}
	err := update(ctx, func(tx *db.Tx) error {
		mine, err := q.Finish(ctx, tx)
		var opened bool
		if err == nil && mine {
			mine, opened, err = still(ctx, tx, q.Client.ID, d)
		}
		if err == nil && !mine {
			err = ErrRequestGone
		}
		if err != nil {
			return err
		}
		if remembers {
			if err := application.Agree(ctx, tx, q.Client, d.Session, q.Scope); err != nil {
				return err
			}
		}
		g, err := p.grantTo(ctx, tx, q, d, code)
		if err == nil && !opened {
			err = recordOpened(ctx, tx, q, d, g)
		}
		if err != nil {
			return err
		}
		return q.gave(ctx, tx, g)
	})
	return code.Reveal(), err
}

// still reports whether what d was decided on still holds in this transaction: the session is
// open, no other session of the browser was chosen since, and the application is not forbidden. opened
// reports whether the session has opened the application before.
func still(ctx context.Context, tx *db.Tx, c application.ID, d application.Decision) (holds, opened bool, err error) {
	s := d.Session.Session
	holds, err = tx.One(ctx, db.Into(&opened), `
		select exists (select 1 from grants g where g.org_id = s.org_id and g.session_id = s.id and g.client_id = $1)
		from sessions s
		left join client_organizations co on co.org_id = s.org_id and co.client_id = $1
		where s.org_id = $2 and s.id = $3 and s.ended_at is null and coalesce(co.standing, '') <> $4
			and not exists (select 1 from sessions x where x.browser_id = s.browser_id and x.id <> s.id and x.switched_at > $5)`,
		string(c), string(s.OrgID), s.ID, string(application.Forbidden), db.Time(d.ReadAt))
	return holds, opened, err
}

// grantTo stores the grant of a request.
func (p *Provider) grantTo(ctx context.Context, tx *db.Tx, q Pending, d application.Decision, code secret.Token) (Grant, error) {
	c, r, visit := q.Client, q.Request, d.Session
	r.Scope = Within(c, visit, r.Scope)
	g := Grant{
		OrgID: visit.Session.OrgID, ClientID: c.ID, UserID: visit.User.ID, SessionID: visit.Session.ID, Scope: r.Scope,
		EndsAt: tx.Now().Add(p.codeLasts()), // until the code is used
		Details: Details{
			RedirectURI: r.RedirectURI, LeftOut: r.LeftOut, Challenge: r.Challenge, Nonce: r.Nonce, Thumbprint: r.Thumbprint,
			AuthTime: visit.Session.ProvedAt.Unix(), ACR: d.ACR, AMR: strings.Fields(visit.Session.Methods), API: c.ID == application.CommandLine,
		},
	}
	g, err := newGrant(ctx, tx, g, code.Hash(secret.Code))
	if err == nil && !slices.Contains(r.Prompt, "none") { // otherwise no person opened the application
		err = application.CountUse(ctx, tx, c, visit)
	}
	return g, err
}

// recordOpened records the first grant of a session for an application.
func recordOpened(ctx context.Context, tx *db.Tx, q Pending, d application.Decision, g Grant) error {
	visit := d.Session
	return audit.Record(ctx, tx, audit.Event{
		OrgID: string(g.OrgID), Actor: string(visit.User.ID), ActorName: visit.User.Name, Action: "application.opened",
		Target: string(q.Client.ID), TargetName: q.Client.Settings.Name, After: audit.Fields{"scope": strings.Join(g.Scope, " "), "acr": d.ACR},
	})
}
