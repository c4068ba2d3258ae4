package administration

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/signin"
)

// pageOfPeople is how many people a page of the list has.
const pageOfPeople = 50

// State filters the list of people.
type State string

// The states to filter by; an empty state means everybody except the deleted.
const (
	Active      State = "active"
	Deactivated State = "deactivated"
	Invited     State = "invited"
	Deleted     State = "deleted"
)

// Query selects people of one organization. An empty field excludes nobody.
type Query struct {
	Text              string // a part of a name or an address
	State             State
	Role              directory.Role
	Group             string    // members of the group with this id
	Outside           string    // people outside the group with this id
	WithoutSecondStep bool      // those whom signin.WithoutSecondStep counts
	Since             time.Time // joined or invited at that time or later
	After             Place     // the last line of the page before
}

// invitations reports whether invitations can be among the lines.
func (q Query) invitations() bool {
	return (q.State == "" || q.State == Invited) && q.Group == "" && q.Outside == "" && !q.WithoutSecondStep
}

// Place is the position of a line in the list, newest first.
type Place struct {
	CreatedAt time.Time
	ID        string
}

// Line is a user, or an invitation to somebody who is not a user yet.
type Line struct {
	User       *directory.User
	Invitation *directory.Invitation
}

func (l Line) place() Place {
	if l.User != nil {
		return Place{l.User.CreatedAt, string(l.User.ID)}
	}
	return Place{l.Invitation.CreatedAt, l.Invitation.ID}
}

// Page is one page of the list.
type Page struct {
	Lines []Line
	Next  Place // zero on the last page
}

// People lists users and open invitations of an organization together, newest first. It pages by
// key and not by offset, so that every page costs the same.
func People(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, q Query) (Page, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Page{}, err
	}
	if q.After.ID == "" {
		q.After.CreatedAt = time.UnixMicro(1 << 60)
	}
	if q.Since.IsZero() {
		q.Since = time.UnixMicro(0)
	}
	all, err := users(ctx, r, org, q)
	if err != nil {
		return Page{}, fmt.Errorf("listing users: %w", err)
	}
	if q.invitations() {
		open, err := directory.OpenInvitations(ctx, r, org, directory.InvitationQuery{
			Pattern: pattern(q.Text), Role: q.Role, Since: q.Since, Before: q.After.CreatedAt, BeforeID: q.After.ID, Limit: pageOfPeople + 1,
		})
		if err != nil {
			return Page{}, err
		}
		for i := range open {
			all = append(all, Line{Invitation: &open[i]})
		}
	}
	slices.SortFunc(all, func(a, b Line) int {
		x, y := a.place(), b.place()
		return cmp.Or(y.CreatedAt.Compare(x.CreatedAt), cmp.Compare(y.ID, x.ID))
	})
	page := Page{Lines: all}
	if len(all) > pageOfPeople {
		page.Lines = all[:pageOfPeople]
		page.Next = page.Lines[pageOfPeople-1].place()
	}
	return page, nil
}

func users(ctx context.Context, r db.Reader, org directory.OrgID, q Query) ([]Line, error) {
	if q.State == Invited {
		return nil, nil
	}
	var all []Line
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var u directory.User
		err := scan(u.Targets()...)
		all = append(all, Line{User: &u})
		return err
	}, `
		select `+directory.UserColumns+`
		from users u
		where u.org_id = $1 and (u.created_at, u.id) < ($2, $3) and u.created_at >= $4 and u.search_key like $5 escape '\'
			and (u.deleted_at is not null) = ($6 = 'deleted')
			and ($6 in ('', 'deleted') or (u.deactivated_at is not null) = ($6 = 'deactivated'))
			and ($7 = '' or u.role = $7)
			and ($8 = '' or exists (select 1 from members m where m.org_id = u.org_id and m.group_id = $8 and m.user_id = u.id))
			and ($9 = '' or not exists (select 1 from members m where m.org_id = u.org_id and m.group_id = $9 and m.user_id = u.id))
			and ($10 = '' or `+signin.Lacking+`)
		order by u.created_at desc, u.id desc
		limit $11`,
		string(org), db.Time(q.After.CreatedAt), q.After.ID, db.Time(q.Since), pattern(q.Text), string(q.State),
		string(q.Role), q.Group, q.Outside, onlyIf(q.WithoutSecondStep), pageOfPeople+1)
	return all, err
}

// onlyIf returns the parameter of an optional condition.
func onlyIf(asked bool) string {
	if asked {
		return "asked"
	}
	return ""
}

// pattern returns the pattern that search_key must match.
func pattern(text string) string { return cmp.Or(naming.SearchPattern(text), "%") }

// Everyone lists the users of an organization except the deleted, oldest first.
func Everyone(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]directory.UserID, error) {
	if err := actor.MaySetRules(ctx, r, org); err != nil {
		return nil, err
	}
	return db.List(ctx, r, db.Value[directory.UserID], `
		select id from users
		where org_id = $1 and deleted_at is null
		order by created_at, id`, string(org))
}
