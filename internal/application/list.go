package application

import (
	"context"
	"errors"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
)

// Placed is an application as an organization's administrators see it.
type Placed struct {
	Application
	Place  Placement
	Users  int       // people who ever opened it
	UsedAt time.Time // last use by anybody; zero if none
}

// Of lists the applications of an organization and those of the installation, with what the
// organization decided about them. If org is empty, it lists only those of the installation.
func Of(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Placed, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return placed(ctx, r, org, "")
}

// ByID returns one of the applications that Of lists, or ErrUnknown.
func ByID(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id ID) (Placed, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Placed{}, err
	}
	if !isID(string(id)) {
		return Placed{}, ErrUnknown
	}
	all, err := placed(ctx, r, org, id)
	if err == nil && len(all) == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return Placed{}, err
	}
	return all[0], nil
}

// Within lists the same applications as Of, without what was decided about them and who opened
// them.
func Within(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Application, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return db.List(ctx, r, (*Application).Targets, `
		select `+Columns+`
		from clients c
		where (c.org_id = $1 or c.org_id is null) and c.id <> '`+string(CommandLine)+`'
		order by c.org_id is null, c.created_at, c.id`, string(org))
}

func placed(ctx context.Context, r db.Reader, org directory.OrgID, id ID) ([]Placed, error) {
	return db.List(ctx, r, func(a *Placed) []any {
		return slices.Concat(a.Application.Targets(), a.Place.Targets(), db.Into(&a.Users, (*db.Time)(&a.UsedAt)))
	}, `
		select `+Columns+`, `+PlaceColumns+`,
			(select count(*) from client_uses cu where cu.org_id = $1 and cu.client_id = c.id),
			(select max(cu.used_at) from client_uses cu where cu.org_id = $1 and cu.client_id = c.id)
		from clients c
		left join client_organizations co on co.org_id = $1 and co.client_id = c.id
		where (c.org_id = $1 or c.org_id is null) and ($2 = '' or c.id = $2) and c.id <> '`+string(CommandLine)+`'
		order by c.org_id is null, c.created_at, c.id`, string(org), string(id))
}

// Openable is an application that a person may open, with how often they did.
type Openable struct {
	Application
	place  Placement
	Uses   int
	UsedAt time.Time // zero before the first time
}

// ForPerson lists the applications that have a tile for a person. An application without an
// address yet is only for people who read the administration.
func ForPerson(ctx context.Context, r db.Reader, u directory.User) ([]Openable, error) {
	groups, err := GroupIDs(ctx, r, u.OrgID, u.ID)
	if err != nil {
		return nil, err
	}
	all, err := db.List(ctx, r, func(o *Openable) []any {
		return slices.Concat(o.Application.Targets(), o.place.Targets(), db.Into(&o.Uses, (*db.Time)(&o.UsedAt)))
	}, `
		select `+Columns+`, `+PlaceColumns+`, coalesce(cu.uses, 0), cu.used_at
		from clients c
		left join client_organizations co on co.org_id = $1 and co.client_id = c.id
		left join client_uses cu on cu.org_id = $1 and cu.client_id = c.id and cu.user_id = $2
		where (c.org_id = $1 or c.org_id is null) and c.id <> '`+string(CommandLine)+`'`, string(u.OrgID), string(u.ID))
	return slices.DeleteFunc(all, func(o Openable) bool {
		return !o.Code() && o.Kind != Link || o.place.Audience == Nobody || o.place.Admits(groups) != Allowed ||
			!o.Connected() && !u.Role.ReadsConsole()
	}), err
}

// Title returns the title of the application that a sign-in leads to; empty if there is none.
func Title(ctx context.Context, r db.Reader, id string, tag i18n.Tag) (string, error) {
	if id == "" {
		return "", nil
	}
	c, err := Registered(ctx, r, id)
	if errors.Is(err, ErrUnknown) {
		return "", nil
	}
	return c.Title(tag), err
}
