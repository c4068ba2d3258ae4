package op

import (
	"context"
	"errors"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/session"
)

// Given is what an application was given by a person.
type Given struct {
	Client  Client
	Scope   []string  // agreed to, or told without asking
	GivenAt time.Time // when the person agreed; zero where nobody was asked
	UsedAt  time.Time
	Open    bool // holds something now
}

// GivenBy lists the applications that somebody opened or let know something.
func (p *Provider) GivenBy(ctx context.Context, r db.Reader, v session.Visit) ([]Given, error) {
	var all []Given
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var w clientRow
		var g Given
		var scope db.Text
		if err := scan(append(w.targets(), &scope, (*db.Time)(&g.GivenAt), (*db.Time)(&g.UsedAt), &g.Open)...); err != nil {
			return err
		}
		var err error
		g.Client, err = w.client()
		if g.Scope = strings.Fields(string(scope)); len(g.Scope) == 0 {
			g.Scope = g.Client.Settings.Scopes
		}
		all = append(all, g)
		return err
	}, `
		select `+clientColumns+`, n.scope, n.given_at, cu.used_at, exists (
			select 1 from grants g
			where g.org_id = $1 and g.user_id = $2 and g.client_id = c.id and g.ended_at is null and g.ends_at > $3)
		from clients c
		left join client_uses cu on cu.org_id = $1 and cu.user_id = $2 and cu.client_id = c.id
		left join consents n on n.org_id = $1 and n.user_id = $2 and n.client_id = c.id
		where (c.org_id = $1 or c.org_id is null) and (cu.used_at is not null or n.given_at is not null) and c.kind <> 'link'
		order by cu.used_at desc, c.id`, string(v.User.OrgID), string(v.User.ID), db.Time(p.DB.Now()))
	return all, err
}

// Withdraw takes back what an application was given: it holds nothing any more, is told
// so, and asks again next time.
func Withdraw(ctx context.Context, tx *db.Tx, v session.Visit, id ClientID) error {
	var w clientRow
	found, err := tx.One(ctx, w.targets(), `select `+clientColumns+` from clients c where c.id = $1`, string(id))
	if err == nil && !found {
		err = ErrNoClient
	}
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `
		delete from consents
		where org_id = $1 and user_id = $2 and client_id = $3`, string(v.User.OrgID), string(v.User.ID), string(id))
	if err != nil {
		return err
	}
	ended, err := endOf(ctx, tx, v.User.OrgID, v.User.ID, id, withdrawn)
	if err != nil || n == 0 && ended == 0 {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{
		OrgID: string(v.User.OrgID), Actor: string(v.User.ID), ActorName: v.User.Name, Action: "consent.withdrawn",
		Target: string(id), TargetName: w.nameOf(), After: audit.Fields{"ended": ended},
	})
}

func (w *clientRow) nameOf() string {
	if c, err := w.client(); err == nil {
		return c.Settings.Name
	}
	return string(w.ID)
}

// Application is one as an organization's administrators see it.
type Application struct {
	Client
	Place  Placement
	Users  int       // who ever opened it
	UsedAt time.Time // by anybody; zero before
}

// Applications lists those of an organization and of the installation, as the
// organization has them. Of the installation alone where org is empty.
func Applications(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Application, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return applications(ctx, r, org, "")
}

// ApplicationOf is one of them; ErrNoClient for a neighbour's too.
func ApplicationOf(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id ClientID) (Application, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Application{}, err
	}
	if !isClientID(string(id)) {
		return Application{}, ErrNoClient
	}
	all, err := applications(ctx, r, org, id)
	if err == nil && len(all) == 0 {
		err = ErrNoClient
	}
	if err != nil {
		return Application{}, err
	}
	return all[0], nil
}

func applications(ctx context.Context, r db.Reader, org directory.OrgID, id ClientID) ([]Application, error) {
	var all []Application
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var w clientRow
		var a Application
		var standing, audience, groups db.Text
		if err := scan(append(w.targets(), &standing, &audience, &groups, &a.Users, (*db.Time)(&a.UsedAt))...); err != nil {
			return err
		}
		var err error
		a.Client, err = w.client()
		a.Place = Placement{Standing(standing), Audience(orText(audience, string(Everyone))), strings.Fields(string(groups))}
		all = append(all, a)
		return err
	}, `
		select `+clientColumns+`, co.standing, co.audience, co.groups,
			(select count(*) from client_uses cu where cu.org_id = $1 and cu.client_id = c.id),
			(select max(cu.used_at) from client_uses cu where cu.org_id = $1 and cu.client_id = c.id)
		from clients c
		left join client_organizations co on co.org_id = $1 and co.client_id = c.id
		where (c.org_id = $1 or c.org_id is null) and ($2 = '' or c.id = $2)
		order by c.org_id is null, c.created_at, c.id`, string(org), string(id))
	return all, err
}

// Asked is what an application asked for last, of anybody in an organization, and how
// much of what it got is open. A machine asks for itself.
type Asked struct {
	Scope []string
	At    time.Time // zero where it asked nothing for long
	Open  int
}

// LastAsked is that.
func LastAsked(ctx context.Context, r db.Reader, org directory.OrgID, id ClientID, now time.Time) (Asked, error) {
	var a Asked
	var scope string
	_, err := r.One(ctx, db.Into(&scope, (*db.Time)(&a.At), &a.Open), `
		select g.scope, g.created_at, (
			select count(*) from grants o
			where o.org_id = $1 and o.client_id = $2 and o.ended_at is null and o.ends_at > $3)
		from grants g
		where g.org_id = $1 and g.client_id = $2
		order by g.created_at desc, g.id
		limit 1`, string(org), string(id), db.Time(now))
	a.Scope = strings.Fields(scope)
	return a, err
}

// TitleOf is what an application is called that a sign-in leads to; empty for none.
func (p *Provider) TitleOf(ctx context.Context, id string, tag i18n.Tag) (string, error) {
	if id == "" {
		return "", nil
	}
	c, err := clientByID(ctx, p.DB, id)
	if errors.Is(err, ErrNoClient) {
		return "", nil
	}
	return c.Title(tag), err
}
