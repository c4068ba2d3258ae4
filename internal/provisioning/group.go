package provisioning

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// The faults of what a source says of a group.
var (
	// ErrMember answers a source that names a member whom it does not keep.
	ErrMember = fault.Field("members", "provisioning.member_unknown")
	// ErrGroupUniqueness answers a source that would make a group that is there already.
	ErrGroupUniqueness = fault.New(fault.Conflict, "provisioning.group_uniqueness")
)

// Member is somebody in a group.
type Member struct {
	ID   string
	Name string
}

// Group is a group that a source keeps.
type Group struct {
	directory.Group

	People []Member // only where asked for
}

// GroupQuery chooses groups of a source. Empty fields choose none away.
type GroupQuery struct {
	Name       string // in any case
	ExternalID string
	ID         string
	Member     string // id of a user
	AfterID    string // only ids above it
	Offset     int
	Limit      int
}

func (q GroupQuery) where(s Source) (string, []any) {
	args := []any{string(s.OrgID), s.ID}
	text := `g.source_id = $2`
	add := func(condition string, arg any) {
		args = append(args, arg)
		text += " and " + strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args)))
	}
	if q.Name != "" {
		add("g.name_key = ?", naming.Fold(q.Name))
	}
	if q.ExternalID != "" {
		add("g.external_id = ?", q.ExternalID)
	}
	if q.ID != "" {
		add("g.id = ?", q.ID)
	}
	if q.Member != "" {
		add("exists (select 1 from members m where m.org_id = g.org_id and m.group_id = g.id and m.user_id = ?)", q.Member)
	}
	if q.AfterID != "" {
		add("g.id > ?", q.AfterID)
	}
	return text, args
}

// Groups lists groups that the source keeps, in the order of their ids.
func (s Source) Groups(ctx context.Context, r db.Reader, q GroupQuery) ([]Group, error) {
	where, args := q.where(s)
	args = append(args, q.Limit, q.Offset)
	return db.List(ctx, r, func(g *Group) []any { return g.Targets() }, `
		select `+directory.GroupColumns+`
		from groups g
		where g.org_id = $1 and `+where+`
		order by g.id
		limit $`+strconv.Itoa(len(args)-1)+` offset $`+strconv.Itoa(len(args)), args...)
}

// CountGroups counts the groups that Groups lists, whatever its limit.
func (s Source) CountGroups(ctx context.Context, r db.Reader, q GroupQuery) (n int, err error) {
	q.AfterID = ""
	where, args := q.where(s)
	_, err = r.One(ctx, db.Into(&n), `select count(*) from groups g where g.org_id = $1 and `+where, args...)
	return n, err
}

// Group returns a group that the source keeps, without its people, or ErrNotFound.
func (s Source) Group(ctx context.Context, r db.Reader, id string) (Group, error) {
	if id == "" {
		return Group{}, directory.ErrNotFound
	}
	found, err := s.Groups(ctx, r, GroupQuery{ID: id, Limit: 1})
	if err == nil && len(found) == 0 {
		err = directory.ErrNotFound
	}
	if err != nil {
		return Group{}, err
	}
	return found[0], nil
}

// Members lists people of a group, in the order of their ids: those whom the source keeps.
func (s Source) Members(ctx context.Context, r db.Reader, group, after string, limit int) ([]Member, error) {
	return db.List(ctx, r, func(m *Member) []any { return db.Into(&m.ID, &m.Name) }, `
		select u.id, u.display_name
		from members m
		join users u on u.org_id = m.org_id and u.id = m.user_id and u.source_id = $1 and u.deleted_at is null
		where m.org_id = $2 and m.group_id = $3 and m.user_id > $4
		order by m.user_id
		limit $5`, s.ID, string(s.OrgID), group, after, limit)
}

// GroupChange is what a source says of a group. Nil leaves as it is.
type GroupChange struct {
	Name       *string
	ExternalID *string
	Members    *[]string // all of them, by id
	Add        []string
	Remove     []string // of others: nothing happens
}

// CreateGroup makes a group that the source names. A group of that name that others made is not
// taken over: it waits for an administrator.
func (s *Service) CreateGroup(ctx context.Context, tx *db.Tx, source Source, c GroupChange) (Group, error) {
	var name, external string
	if c.Name != nil {
		name = *c.Name
	}
	if c.ExternalID != nil {
		external = *c.ExternalID
	}
	g, err := directory.ProvisionGroup(ctx, tx, source.Actor(), source.OrgID, name, external)
	if errors.Is(err, directory.ErrGroupTaken) {
		return Group{}, source.groupTaken(ctx, tx, name, external)
	}
	if err != nil {
		return Group{}, err
	}
	source.did("group_created", "Name", g.Name)
	add := slices.Clone(c.Add)
	if c.Members != nil {
		add = append(add, *c.Members...)
	}
	if err := source.add(ctx, tx, g, add); err != nil {
		return Group{}, err
	}
	return source.Group(ctx, tx, g.ID)
}

func (s Source) groupTaken(ctx context.Context, tx *db.Tx, name, external string) error {
	var g directory.Group
	found, err := tx.One(ctx, g.Targets(), `
		select `+directory.GroupColumns+`
		from groups g
		where g.org_id = $1 and g.name_key = $2`, string(s.OrgID), naming.Fold(name))
	if err != nil {
		return err
	}
	if found && g.SourceID != s.ID {
		s.waitFor(AdoptGroup, g.ID, g.Name, Details{ExternalID: external})
	}
	return ErrGroupUniqueness.With("Name", name)
}

// ChangeGroup changes a group of the source. Memberships beyond the measure are kept until an
// administrator agrees.
func (s *Service) ChangeGroup(ctx context.Context, tx *db.Tx, source Source, id string, c GroupChange) (held bool, err error) {
	g, err := source.Group(ctx, tx, id)
	if err != nil {
		return false, err
	}
	if c.Name != nil && *c.Name != g.Name {
		err := directory.RenameGroup(ctx, tx, source.Actor(), source.OrgID, id, *c.Name)
		if errors.Is(err, directory.ErrGroupTaken) {
			err = ErrGroupUniqueness.With("Name", *c.Name)
		}
		if err != nil {
			return false, err
		}
		source.did("group_renamed", "Name", *c.Name)
	}
	if c.ExternalID != nil {
		if err := directory.SetGroupSource(ctx, tx, source.Actor(), g.Group, source.ID, *c.ExternalID); err != nil {
			return false, err
		}
	}
	add, remove := c.Add, c.Remove
	if c.Members != nil {
		have, err := source.memberIDs(ctx, tx, id)
		if err != nil {
			return false, err
		}
		add, remove = differ(have, *c.Members)
	}
	if err := source.add(ctx, tx, g.Group, add); err != nil {
		return false, err
	}
	if c.Members != nil {
		add = *c.Members
	}
	if err := source.stay(ctx, tx, id, add); err != nil {
		return false, err
	}
	return source.remove(ctx, tx, g.Group, remove)
}

// stay takes people whom the source wants in a group from those whose removal waits.
func (s Source) stay(ctx context.Context, tx *db.Tx, group string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	var w Waiting
	held, err := tx.One(ctx, w.targets(), `
		select `+waitingColumns+`
		from source_waiting
		where org_id = $1 and source_id = $2 and kind = $3 and subject = $4 and settled_at is null`, string(s.OrgID), s.ID, string(RemoveMembers), group)
	if err != nil || !held {
		return err
	}
	before := len(w.Details.Members)
	w.Details.Members = slices.DeleteFunc(w.Details.Members, func(id string) bool { return slices.Contains(ids, id) })
	switch len(w.Details.Members) {
	case before:
		return nil
	case 0:
		return s.overtake(ctx, tx, RemoveMembers, group)
	}
	details, err := json.Marshal(w.Details)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `update source_waiting set details = $1 where org_id = $2 and id = $3`, string(details), string(s.OrgID), w.ID)
	return err
}

// differ returns who is wanted and not there, and who is there and not wanted.
func differ(have, want []string) (add, remove []string) {
	there, wanted := map[string]bool{}, map[string]bool{}
	for _, id := range have {
		there[id] = true
	}
	for _, id := range want {
		if !there[id] && !wanted[id] {
			add = append(add, id)
		}
		wanted[id] = true
	}
	for _, id := range have {
		if !wanted[id] {
			remove = append(remove, id)
		}
	}
	return add, remove
}

// DeleteGroup deletes a group of the source, or keeps it beyond the measure.
func (s *Service) DeleteGroup(ctx context.Context, tx *db.Tx, source Source, id string) (held bool, err error) {
	g, err := source.Group(ctx, tx, id)
	if err != nil {
		return false, err
	}
	have, err := source.memberIDs(ctx, tx, id)
	if err != nil {
		return false, err
	}
	held, err = source.takes(ctx, tx, len(have))
	if err != nil {
		return false, err
	}
	if held {
		source.waitFor(DeleteGroup, g.ID, g.Name, Details{})
		source.held()
		return true, nil
	}
	if err := directory.DeleteGroup(ctx, tx, source.Actor(), source.OrgID, id); err != nil {
		return false, err
	}
	source.did("group_deleted", "Name", g.Name)
	return false, nil
}

func (s Source) memberIDs(ctx context.Context, r db.Reader, group string) ([]string, error) {
	return db.List(ctx, r, db.Value[string], `
		select m.user_id
		from members m
		join users u on u.org_id = m.org_id and u.id = m.user_id and u.source_id = $1 and u.deleted_at is null
		where m.org_id = $2 and m.group_id = $3`, s.ID, string(s.OrgID), group)
}

// kept returns those of some ids whom the source keeps.
func (s Source) kept(ctx context.Context, r db.Reader, ids []string) (map[string]directory.UserID, error) {
	found := map[string]directory.UserID{}
	for some := range slices.Chunk(ids, mostIDs) {
		places, args := db.AnyOf(3, some)
		all, err := db.List(ctx, r, db.Value[string], `
			select id from users
			where org_id = $1 and source_id = $2 and deleted_at is null and id in (`+places+`)`, slices.Concat([]any{string(s.OrgID), s.ID}, args)...)
		if err != nil {
			return nil, err
		}
		for _, id := range all {
			found[id] = directory.UserID(id)
		}
	}
	return found, nil
}

func (s Source) add(ctx context.Context, tx *db.Tx, g directory.Group, ids []string) error {
	found, err := s.kept(ctx, tx, ids)
	if err != nil {
		return err
	}
	users := make([]directory.UserID, 0, len(ids))
	for _, id := range ids {
		u, kept := found[id]
		if !kept {
			return ErrMember.With("ID", id[:min(len(id), 64)])
		}
		users = append(users, u)
	}
	added, err := directory.AddMembers(ctx, tx, s.Actor(), s.OrgID, g.ID, users)
	if err == nil && added > 0 {
		s.did("added", "Count", added, "Name", g.Name)
	}
	return err
}

func (s Source) remove(ctx context.Context, tx *db.Tx, g directory.Group, ids []string) (held bool, err error) {
	users, err := s.members(ctx, tx, g.ID, ids)
	if err != nil {
		return false, err
	}
	if held, err = s.takes(ctx, tx, len(users)); err != nil {
		return false, err
	}
	if held {
		names := make([]string, len(users))
		for i, id := range users {
			names[i] = string(id)
		}
		s.waitFor(RemoveMembers, g.ID, g.Name, Details{Members: names})
		s.held()
		return true, nil
	}
	removed, err := directory.RemoveMembers(ctx, tx, s.Actor(), s.OrgID, g.ID, users)
	if err == nil && removed > 0 {
		s.did("removed", "Count", removed, "Name", g.Name)
	}
	return false, err
}

// members returns those of some ids who are in a group, and whom the source keeps.
func (s Source) members(ctx context.Context, r db.Reader, group string, ids []string) ([]directory.UserID, error) {
	var all []directory.UserID
	for some := range slices.Chunk(ids, mostIDs) {
		places, args := db.AnyOf(4, some)
		found, err := db.List(ctx, r, db.Value[directory.UserID], `
			select m.user_id
			from members m
			join users u on u.org_id = m.org_id and u.id = m.user_id and u.source_id = $1 and u.deleted_at is null
			where m.org_id = $2 and m.group_id = $3 and m.user_id in (`+places+`)`, slices.Concat([]any{s.ID, string(s.OrgID), group}, args)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// removeHeld takes those out of a group of whom an administrator agreed that they go.
func (s Source) removeHeld(ctx context.Context, tx *db.Tx, w Waiting) error {
	users, err := s.members(ctx, tx, w.Subject, w.Details.Members)
	if err != nil {
		return err
	}
	_, err = directory.RemoveMembers(ctx, tx, s.Actor(), s.OrgID, w.Subject, users)
	return err
}
