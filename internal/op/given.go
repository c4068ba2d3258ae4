package op

import (
	"context"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/session"
)

// Given is an application and what one person let it know.
type Given struct {
	Client  application.Application
	Scope   []string  // agreed to, or given without asking
	GivenAt time.Time // when the person agreed; zero where nobody was asked
	UsedAt  time.Time
	Open    bool // has an open grant
}

// GivenBy lists the applications that a person opened or agreed to, the last used first.
func (p *Provider) GivenBy(ctx context.Context, r db.Reader, v session.Visit) ([]Given, error) {
	all, err := db.List(ctx, r, func(g *Given) []any {
		return append(g.Client.Targets(), db.Words(&g.Scope), (*db.Time)(&g.GivenAt), (*db.Time)(&g.UsedAt), &g.Open)
	}, `
		select `+application.Columns+`, n.scope, n.given_at, cu.used_at, exists (
			select 1 from grants g
			where g.org_id = $1 and g.user_id = $2 and g.client_id = c.id and g.ended_at is null and g.ends_at > $3)
		from clients c
		left join client_uses cu on cu.org_id = $1 and cu.user_id = $2 and cu.client_id = c.id
		left join consents n on n.org_id = $1 and n.user_id = $2 and n.client_id = c.id
		where (c.org_id = $1 or c.org_id is null) and (cu.used_at is not null or n.given_at is not null) and c.kind <> 'link'
		order by cu.used_at desc, c.id`, string(v.User.OrgID), string(v.User.ID), db.Time(p.DB.Now()))
	for i := range all {
		if len(all[i].Scope) == 0 {
			all[i].Scope = all[i].Client.Settings.Scopes
		}
	}
	return all, err
}

// Withdraw takes back what a person gave to an application: its grants end, it is told so, and
// the person is asked again next time.
func Withdraw(ctx context.Context, tx *db.Tx, v session.Visit, id application.ID) error {
	c, err := application.Registered(ctx, tx, string(id))
	if err != nil {
		return err
	}
	agreed, err := application.TakeBack(ctx, tx, c, v)
	if err != nil {
		return err
	}
	ended, err := endOf(ctx, tx, v, id)
	if err != nil || !agreed && ended == 0 {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{
		OrgID: string(v.User.OrgID), Actor: string(v.User.ID), ActorName: v.User.Name, Action: "consent.withdrawn",
		Target: string(id), TargetName: c.Settings.Name, After: audit.Fields{"ended": ended},
	})
}

// Asked is the most recent request of a client in an organization, for a person or for
// itself, and how many of its grants are open.
type Asked struct {
	Scope []string
	At    time.Time // zero if it did not ask for a long time
	Open  int
}

// LastAsked returns the most recent request of a client in an organization.
func LastAsked(ctx context.Context, r db.Reader, org directory.OrgID, id application.ID, now time.Time) (Asked, error) {
	var a Asked
	_, err := r.One(ctx, db.Into(db.Words(&a.Scope), (*db.Time)(&a.At), &a.Open), `
		select g.scope, g.created_at, (
			select count(*) from grants o
			where o.org_id = $1 and o.client_id = $2 and o.ended_at is null and o.ends_at > $3)
		from grants g
		where g.org_id = $1 and g.client_id = $2
		order by g.created_at desc, g.id
		limit 1`, string(org), string(id), db.Time(now))
	return a, err
}
