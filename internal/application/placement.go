package application

import (
	"context"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/session"
)

// GroupIDs returns the ids of a person's groups.
func GroupIDs(ctx context.Context, r db.Reader, org directory.OrgID, user directory.UserID) ([]string, error) {
	all, err := directory.GroupsOf(ctx, r, org, user)
	ids := make([]string, len(all))
	for i, g := range all {
		ids[i] = string(g.ID)
	}
	return ids, err
}

// Standing is what an organization decided about an application.
type Standing string

// The standings.
const (
	AsRegistered Standing = ""          // people are asked if the registration says so
	Approved     Standing = "approved"  // nobody is asked
	Forbidden    Standing = "forbidden" // nobody of the organization can sign in to it
)

// Audience is who sees an application's tile.
type Audience string

// The audiences.
const (
	Everyone   Audience = "everyone"
	SomeGroups Audience = "groups" // nobody else can sign in to it
	Nobody     Audience = "nobody" // it has no tile, but everybody can sign in to it
)

// Audiences lists all.
var Audiences = []Audience{Everyone, SomeGroups, Nobody}

// Placement is what one organization decided about an application.
type Placement struct {
	Standing Standing
	Audience Audience
	Groups   []string // ids, of SomeGroups
}

// PlaceColumns are the columns of client_organizations, joined as co, for Placement.Targets.
const PlaceColumns = `co.standing, coalesce(co.audience, 'everyone'), co.groups`

// Targets returns where PlaceColumns are scanned to. An organization that decided nothing has
// no row.
func (p *Placement) Targets() []any {
	return db.Into((*db.Text)(&p.Standing), &p.Audience, db.Words(&p.Groups))
}

// PlacementOf reads what an organization decided about a client.
func PlacementOf(ctx context.Context, r db.Reader, org directory.OrgID, c Application) (Placement, error) {
	if c.OrgID != "" && c.OrgID != org {
		return Placement{Standing: Forbidden, Audience: Nobody}, nil
	}
	p := Placement{Audience: Everyone}
	_, err := r.One(ctx, p.Targets(), `
		select `+PlaceColumns+` from client_organizations co
		where co.org_id = $1 and co.client_id = $2`, string(org), string(c.ID))
	return p, err
}

// Admits returns whether a person of these groups may sign in.
func (p Placement) Admits(groups []string) Access {
	switch {
	case p.Standing == Forbidden:
		return Absent
	case p.Audience == SomeGroups && !slices.ContainsFunc(p.Groups, func(g string) bool { return slices.Contains(groups, g) }):
		return NotYours
	}
	return Allowed
}

// Access says whether a person may sign in to an application.
type Access int

const (
	Allowed  Access = iota
	Absent          // the organization does not have it, or turned it off
	NotYours        // it is for groups, and the person is not in one of them
)

// ownGroups refuses the id of a group that is not the organization's.
func ownGroups(ctx context.Context, r db.Reader, org directory.OrgID, field string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	known, err := directory.Groups(ctx, r, directory.System(org), org)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(known, func(g directory.Group) bool { return g.ID == id }) {
			return fault.Field(field, "op.field.groups_unknown")
		}
	}
	return nil
}

// Place stores what an organization decides about an application, its own or the
// installation's. When it is forbidden, all of its grants in the organization end at once:
// statements compare forbidden_at, which stays when the application is allowed again.
func Place(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, c Application, pl Placement) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	if c.OrgID != "" && c.OrgID != org {
		return ErrUnknown
	}
	before, err := PlacementOf(ctx, tx, org, c)
	if err != nil {
		return err
	}
	if err := pl.check(ctx, tx, org); err != nil {
		return err
	}
	var forbidden time.Time
	if pl.Standing == Forbidden && before.Standing != Forbidden {
		forbidden = tx.Now()
	}
	if _, err = tx.Exec(ctx, `
		insert into client_organizations (org_id, client_id, standing, audience, groups, forbidden_at) values ($1, $2, $3, $4, $5, $6)
		on conflict (org_id, client_id) do update set standing = excluded.standing, audience = excluded.audience, groups = excluded.groups,
			forbidden_at = coalesce(excluded.forbidden_at, client_organizations.forbidden_at)`,
		string(org), string(c.ID), string(pl.Standing), string(pl.Audience), strings.Join(pl.Groups, " "), db.Time(forbidden)); err != nil {
		return err
	}
	e := c.by(actor, "application.placed", before.fields(), pl.fields())
	e.OrgID = string(org)
	return audit.Record(ctx, tx, e)
}

func (p Placement) check(ctx context.Context, r db.Reader, org directory.OrgID) error {
	if !slices.Contains([]Standing{AsRegistered, Approved, Forbidden}, p.Standing) {
		return fault.Field("standing", "op.field.standing")
	}
	if !slices.Contains(Audiences, p.Audience) {
		return fault.Field("audience", "op.field.audience")
	}
	if p.Audience == SomeGroups && len(p.Groups) == 0 {
		return fault.Field("groups", "op.field.groups")
	}
	return ownGroups(ctx, r, org, "groups", p.Groups)
}

func (p Placement) fields() audit.Fields {
	return audit.Fields{"standing": p.Standing, "audience": p.Audience, "groups": p.Groups}
}

// May returns whether the person of a visit may sign in to an application.
func May(ctx context.Context, r db.Reader, c Application, v session.Visit) (Access, error) {
	place, err := PlacementOf(ctx, r, v.Session.OrgID, c)
	if err != nil {
		return Absent, err
	}
	var groups []string
	if place.Audience == SomeGroups {
		groups, err = GroupIDs(ctx, r, v.Session.OrgID, v.User.ID)
	}
	return place.Admits(groups), err
}
