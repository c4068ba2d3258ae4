package directory

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// mostGroups is how many groups an organization may have.
const mostGroups = 500

// The faults of groups.
var (
	ErrGroupTaken    = fault.Field("name", "directory.group_taken")
	ErrTooManyGroups = fault.Field("name", "directory.too_many_groups")
)

// Group is a named set of people of an organization. It gives no right in the administration, so
// nobody rises there by being put into one (R-TEN-06).
type Group struct {
	OrgID     OrgID
	ID        string // grp_ and 26 characters
	Name      string // unique in the organization when folded
	CreatedAt time.Time
	Members   int // without the deleted; GroupsOf does not count them

	SourceID   string    // the customer's directory that keeps this group here; empty for none
	ExternalID string    // the id by which that directory knows the group; may be empty
	ChangedAt  time.Time // when its name or its members last changed
}

// A deleted user stays a member until erased, so that restoring them restores their groups, but
// is neither counted nor shown.
const groupColumns = GroupColumns + `, (
	select count(*) from members m
	join users u on u.org_id = m.org_id and u.id = m.user_id and u.deleted_at is null
	where m.org_id = g.org_id and m.group_id = g.id)`

// GroupColumns are the columns of groups, as g, that Group.Targets scans. Other packages use them
// in joins.
const GroupColumns = `g.org_id, g.id, g.name, g.created_at, g.source_id, g.external_id, g.changed_at`

// Targets scans GroupColumns.
func (g *Group) Targets() []any {
	return db.Into(&g.OrgID, &g.ID, &g.Name, (*db.Time)(&g.CreatedAt), (*db.Text)(&g.SourceID), (*db.Text)(&g.ExternalID), (*db.Time)(&g.ChangedAt))
}

func (g *Group) targets() []any { return append(g.Targets(), &g.Members) }

// Groups lists the groups of an organization by name.
func Groups(ctx context.Context, r db.Reader, actor Actor, org OrgID) ([]Group, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return db.List(ctx, r, (*Group).targets, `
		select `+groupColumns+`
		from groups g
		where g.org_id = $1
		order by g.name_key`, string(org))
}

// GroupByID returns a group of an organization, or ErrNotFound.
func GroupByID(ctx context.Context, r db.Reader, actor Actor, org OrgID, id string) (Group, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Group{}, err
	}
	return groupByID(ctx, r, org, id)
}

func groupByID(ctx context.Context, r db.Reader, org OrgID, id string) (Group, error) {
	var g Group
	found, err := r.One(ctx, g.targets(), `
		select `+groupColumns+`
		from groups g
		where g.org_id = $1 and g.id = $2`, string(org), id)
	if err == nil && !found {
		err = ErrNotFound
	}
	return g, err
}

// GroupNames lists groups of an organization by name, at most so many, without their sizes.
func GroupNames(ctx context.Context, r db.Reader, org OrgID, most int) ([]Group, error) {
	return db.List(ctx, r, func(g *Group) []any { return db.Into(&g.ID, &g.Name) }, `
		select id, name from groups
		where org_id = $1
		order by name_key
		limit $2`, string(org), most)
}

// GroupsOf lists the groups that a user is in, by name. SQLite keeps the order of a cross join: it
// would go through all groups of the organization by their names, rather than sort a few.
func GroupsOf(ctx context.Context, r db.Reader, org OrgID, user UserID) ([]Group, error) {
	return db.List(ctx, r, (*Group).Targets, `
		select `+GroupColumns+`
		from members m
		cross join groups g
		where m.org_id = $1 and m.user_id = $2 and g.org_id = m.org_id and g.id = m.group_id
		order by g.name_key`, string(org), string(user))
}

// CreateGroup makes a group without members.
func CreateGroup(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, name string) (Group, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return Group{}, err
	}
	return insertGroup(ctx, tx, actor, Group{OrgID: org}, name)
}

func insertGroup(ctx context.Context, tx *db.Tx, actor Actor, g Group, name string) (Group, error) {
	g.ID, g.CreatedAt, g.ChangedAt = secret.NewID("grp"), tx.Now(), tx.Now()
	var err error
	if g.Name, err = freeGroupName(ctx, tx, g, name); err != nil {
		return Group{}, err
	}
	var count int
	if _, err := tx.One(ctx, db.Into(&count), `select count(*) from groups where org_id = $1`, string(g.OrgID)); err != nil {
		return Group{}, err
	}
	if count >= mostGroups {
		return Group{}, ErrTooManyGroups.With("Most", mostGroups)
	}
	if _, err := tx.Exec(ctx, `
		insert into groups (org_id, id, name, name_key, created_at, changed_at, source_id, external_id)
		values ($1, $2, $3, $4, $5, $5, $6, $7)`, string(g.OrgID), g.ID, g.Name, naming.Fold(g.Name), db.Time(g.CreatedAt),
		db.Text(g.SourceID), db.Text(g.ExternalID)); err != nil {
		return Group{}, fmt.Errorf("inserting group %s: %w", g.ID, err)
	}
	return g, g.record(ctx, tx, actor, "group.created", nil, audit.Fields{"name": g.Name})
}

// RenameGroup gives a group another name. Others should keep its id, which stays.
func RenameGroup(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id, name string) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	g, err := changeableGroup(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	before := g.Name
	if g.Name, err = freeGroupName(ctx, tx, g, name); err != nil || g.Name == before {
		return err
	}
	if _, err := tx.Exec(ctx, `
		update groups set name = $1, name_key = $2, changed_at = $3
		where org_id = $4 and id = $5`, g.Name, naming.Fold(g.Name), db.Time(tx.Now()), string(org), id); err != nil {
		return fmt.Errorf("renaming group %s: %w", id, err)
	}
	return g.record(ctx, tx, actor, "group.renamed", audit.Fields{"name": before}, audit.Fields{"name": g.Name})
}

// freeGroupName cleans a name, and requires that no other group of the organization has it.
func freeGroupName(ctx context.Context, tx *db.Tx, g Group, typed string) (string, error) {
	name, err := naming.CleanGroupName(typed)
	if err != nil {
		return "", err
	}
	var other string
	taken, err := tx.One(ctx, db.Into(&other), `
		select id from groups
		where org_id = $1 and name_key = $2 and id <> $3`, string(g.OrgID), naming.Fold(name), g.ID)
	if err == nil && taken {
		err = ErrGroupTaken
	}
	return name, err
}

// DeleteGroup removes a group; its members stay users.
func DeleteGroup(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id string) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	g, err := changeableGroup(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from groups where org_id = $1 and id = $2`, string(org), id); err != nil {
		return fmt.Errorf("deleting group %s: %w", id, err)
	}
	return g.record(ctx, tx, actor, "group.deleted", audit.Fields{"name": g.Name, "members": g.Members}, nil)
}

// AddMembers puts users into a group, and returns how many were not in it yet. It takes deactivated
// users, and refuses deleted ones.
func AddMembers(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id string, ids []UserID) (added int, err error) {
	g, users, err := groupAndUsers(ctx, tx, actor, org, id, ids)
	if err != nil {
		return 0, err
	}
	for _, u := range users {
		if !u.DeletedAt.IsZero() {
			return 0, ErrDeleted
		}
		n, err := tx.Exec(ctx, `
			insert into members (org_id, group_id, user_id, added_at)
			values ($1, $2, $3, $4)
			on conflict do nothing`, string(org), g.ID, string(u.ID), db.Time(tx.Now()))
		if err != nil {
			return 0, fmt.Errorf("adding %s to group %s: %w", u.ID, g.ID, err)
		}
		if n == 0 {
			continue
		}
		added++
		if err := g.recordMember(ctx, tx, actor, u, "group.member_added", nil, g.asField()); err != nil {
			return 0, err
		}
	}
	return added, g.touch(ctx, tx, added)
}

// RemoveMembers takes users out of a group, and returns how many were in it.
func RemoveMembers(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id string, ids []UserID) (removed int, err error) {
	g, users, err := groupAndUsers(ctx, tx, actor, org, id, ids)
	if err != nil {
		return 0, err
	}
	for _, u := range users {
		n, err := tx.Exec(ctx, `
			delete from members
			where org_id = $1 and group_id = $2 and user_id = $3`, string(org), g.ID, string(u.ID))
		if err != nil {
			return 0, fmt.Errorf("removing %s from group %s: %w", u.ID, g.ID, err)
		}
		if n == 0 {
			continue
		}
		removed++
		if err := g.recordMember(ctx, tx, actor, u, "group.member_removed", g.asField(), nil); err != nil {
			return 0, err
		}
	}
	return removed, g.touch(ctx, tx, removed)
}

// groupAndUsers returns a group that actor may change, and users of its organization.
func groupAndUsers(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id string, ids []UserID) (Group, []User, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return Group{}, nil, err
	}
	g, err := changeableGroup(ctx, tx, actor, org, id)
	if err != nil {
		return Group{}, nil, err
	}
	users := make([]User, len(ids))
	for i, user := range ids {
		if users[i], err = UserByID(ctx, tx, org, user); err != nil {
			return Group{}, nil, err
		}
	}
	return g, users, nil
}

func (g Group) record(ctx context.Context, tx *db.Tx, actor Actor, action audit.Action, before, after audit.Fields) error {
	e := actor.Event(g.OrgID, action)
	e.Target, e.TargetName, e.Before, e.After = g.ID, g.Name, before, after
	return audit.Record(ctx, tx, e)
}

// recordMember records that a user joined or left g. The entry is about the user, whose own
// activity shows it too.
func (g Group) recordMember(ctx context.Context, tx *db.Tx, actor Actor, u User, action audit.Action, before, after audit.Fields) error {
	e := actor.Event(g.OrgID, action)
	e.Target, e.TargetName, e.Before, e.After = string(u.ID), u.Name, before, after
	return audit.Record(ctx, tx, e)
}

func (g Group) asField() audit.Fields { return audit.Fields{"group": g.Name, "group_id": g.ID} }
