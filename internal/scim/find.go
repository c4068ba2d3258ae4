package scim

import (
	"context"
	"strings"

	"parvis/internal/db"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
)

// people finds people of the source.
type people struct {
	*call

	query provisioning.PeopleQuery
}

func findPeople(x *call, show document.Show) finder {
	return &people{x, provisioning.PeopleQuery{Groups: show.Has("groups")}}
}

func (f *people) narrow(equals []document.Equal) bool {
	exact := true
	for _, e := range equals {
		s, _ := e.Value.(string)
		switch e.Name {
		case "id":
			f.query.ID = otherwise(s)
		case "externalId":
			f.query.ExternalID = otherwise(s)
		case "active":
			active, _ := e.Value.(bool)
			f.query.Active = &active
		case "userName":
			// A name with an @ is the address. Another one stands in the document only.
			switch exact = false; {
			case strings.Contains(s, "@"):
				f.query.Email = s
			case !f.source.Brake:
				f.query.Email = invented(s)
			}
		default:
			exact = false
		}
	}
	return exact
}

// otherwise keeps an empty text from asking for everybody: nobody has this one.
func otherwise(s string) string {
	if s == "" {
		return " "
	}
	return s
}

func (f *people) need(name string) { f.query.Groups = f.query.Groups || name == "groups" }

func (f *people) count(ctx context.Context, r db.Reader) (int, error) {
	return f.source.CountPeople(ctx, r, f.query)
}

func (f *people) page(ctx context.Context, r db.Reader, p place, limit int) ([]document.Object, error) {
	q := f.query
	q.AfterID, q.Offset, q.Limit = p.After, p.Skip, limit
	found, err := f.source.People(ctx, r, q)
	if err != nil {
		return nil, err
	}
	all := make([]document.Object, 0, len(found))
	for _, p := range found {
		o, _, err := f.user(p)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

func (f *people) complete(context.Context, db.Reader, []document.Object) error { return nil }

// groups finds groups of the source.
type groups struct {
	*call

	query  provisioning.GroupQuery
	show   bool // the members, in the answer
	needed bool // to judge
}

func findGroups(x *call, show document.Show) finder {
	return &groups{call: x, show: show.Has("members")}
}

func (f *groups) narrow(equals []document.Equal) bool {
	exact := true
	for _, e := range equals {
		s, _ := e.Value.(string)
		switch s = otherwise(s); e.Name {
		case "id":
			f.query.ID = s
		case "externalId":
			f.query.ExternalID = s
		case "displayName":
			f.query.Name = s
		case "members.value":
			f.query.Member = s
		default:
			exact = false
		}
	}
	return exact
}

func (f *groups) need(name string) { f.needed = f.needed || name == "members" }

func (f *groups) count(ctx context.Context, r db.Reader) (int, error) {
	return f.source.CountGroups(ctx, r, f.query)
}

func (f *groups) page(ctx context.Context, r db.Reader, p place, limit int) ([]document.Object, error) {
	q := f.query
	q.AfterID, q.Offset, q.Limit = p.After, p.Skip, limit
	found, err := f.source.Groups(ctx, r, q)
	if err != nil {
		return nil, err
	}
	all := make([]document.Object, 0, len(found))
	for _, g := range found {
		o, _ := f.group(g)
		all = append(all, o)
	}
	if f.needed {
		err = f.fill(ctx, r, all)
	}
	return all, err
}

func (f *groups) complete(ctx context.Context, r db.Reader, some []document.Object) error {
	if !f.show || f.needed {
		return nil
	}
	return f.fill(ctx, r, some)
}

// mostListed is how many members the groups of one list may have together. Providers that keep
// large groups ask for lists without members.
const mostListed = 50_000

func (f *groups) fill(ctx context.Context, r db.Reader, some []document.Object) error {
	sum := 0
	for _, o := range some {
		id, _ := o["id"].(string)
		members, err := f.members(ctx, r, id)
		if err != nil {
			return err
		}
		if sum += len(members); sum > mostListed {
			return errTooMany.With("Most", mostListed)
		}
		if len(members) > 0 {
			o["members"] = members
		}
	}
	return nil
}
