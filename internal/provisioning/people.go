package provisioning

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
)

// Provisioned is a user whom a source keeps, and what it sent of them.
type Provisioned struct {
	User     directory.User
	Document []byte            // JSON; empty for a person who was adopted and not sent since
	Groups   []directory.Group // of the same source, where asked for
}

// PeopleQuery chooses people of a source. Empty fields choose nobody away.
type PeopleQuery struct {
	Email      string // an address, in any case
	ExternalID string
	ID         string
	Active     *bool
	AfterID    string // only ids above it
	Offset     int
	Limit      int
	Groups     bool // each with their groups
}

// where returns the condition, whose arguments follow others.
func (q PeopleQuery) where(s Source) (string, []any, bool) {
	args := []any{string(s.OrgID), s.ID}
	text := `u.source_id = $2 and u.deleted_at is null`
	add := func(condition string, arg any) {
		args = append(args, arg)
		text += " and " + strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args)))
	}
	if q.Email != "" {
		address, err := naming.ParseAddress(q.Email)
		if err != nil {
			return "", nil, false // nobody has another
		}
		add("u.email_key = ?", address.Key)
	}
	if q.ExternalID != "" {
		add("u.external_id = ?", q.ExternalID)
	}
	if q.ID != "" {
		add("u.id = ?", q.ID)
	}
	if q.AfterID != "" {
		add("u.id > ?", q.AfterID)
	}
	if q.Active != nil && *q.Active {
		text += " and u.deactivated_at is null"
	} else if q.Active != nil {
		text += " and u.deactivated_at is not null"
	}
	return text, args, true
}

func (p *Provisioned) targets() []any { return append(p.User.Targets(), (*document)(&p.Document)) }

// People lists people whom the source keeps, in the order of their ids.
func (s Source) People(ctx context.Context, r db.Reader, q PeopleQuery) ([]Provisioned, error) {
	where, args, some := q.where(s)
	if !some {
		return nil, nil
	}
	args = append(args, q.Limit, q.Offset)
	all, err := db.List(ctx, r, (*Provisioned).targets, `
		select `+directory.UserColumns+`, p.document
		from users u
		left join provisioned p on p.org_id = u.org_id and p.user_id = u.id
		where u.org_id = $1 and `+where+`
		order by u.id
		limit $`+strconv.Itoa(len(args)-1)+` offset $`+strconv.Itoa(len(args)), args...)
	if err == nil && q.Groups {
		err = s.withGroups(ctx, r, all)
	}
	return all, err
}

// CountPeople counts the people whom People lists, whatever its limit.
func (s Source) CountPeople(ctx context.Context, r db.Reader, q PeopleQuery) (n int, err error) {
	q.AfterID = ""
	where, args, some := q.where(s)
	if !some {
		return 0, nil
	}
	_, err = r.One(ctx, db.Into(&n), `select count(*) from users u where u.org_id = $1 and `+where, args...)
	return n, err
}

// withGroups reads the groups of people, in pieces that each database takes. It is a cross join for the
// reason that directory.GroupsOf has.
func (s Source) withGroups(ctx context.Context, r db.Reader, people []Provisioned) error {
	at := map[string]int{}
	for i, p := range people {
		at[string(p.User.ID)] = i
	}
	type membership struct {
		user  string
		group directory.Group
	}
	for begin := 0; begin < len(people); begin += mostIDs {
		var ids []directory.UserID
		for _, p := range people[begin:min(begin+mostIDs, len(people))] {
			ids = append(ids, p.User.ID)
		}
		places, args := db.AnyOf(3, ids)
		found, err := db.List(ctx, r, func(m *membership) []any { return append(db.Into(&m.user), m.group.Targets()...) }, `
			select m.user_id, `+directory.GroupColumns+`
			from members m
			cross join groups g
			where m.org_id = $1 and m.user_id in (`+places+`) and g.org_id = m.org_id and g.id = m.group_id and g.source_id = $2
			order by g.name_key`, slices.Concat([]any{string(s.OrgID), s.ID}, args)...)
		if err != nil {
			return err
		}
		for _, m := range found {
			i := at[m.user]
			people[i].Groups = append(people[i].Groups, m.group)
		}
	}
	return nil
}

// mostIDs is how many ids one statement names.
const mostIDs = 500

// Person returns a person whom the source keeps, with their groups, or ErrNotFound.
func (s Source) Person(ctx context.Context, r db.Reader, id string) (Provisioned, error) {
	if id == "" {
		return Provisioned{}, directory.ErrNotFound
	}
	found, err := s.People(ctx, r, PeopleQuery{ID: id, Limit: 1, Groups: true})
	if err == nil && len(found) == 0 {
		err = directory.ErrNotFound
	}
	if err != nil {
		return Provisioned{}, err
	}
	return found[0], nil
}

// document is a JSON text that may be null.
type document []byte

func (d *document) Scan(v any) error {
	var text db.Text
	err := text.Scan(v)
	*d = document(text)
	return err
}
