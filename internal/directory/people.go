package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"parvis/internal/db"
)

// peoplePage is how many people a list shows at once. PeopleRead is how many lines
// of it are read: one more tells that there is another page.
const (
	peoplePage = 50
	PeopleRead = peoplePage + 1
)

// PeopleState filters the list of people.
type PeopleState string

// What can be asked for; empty asks for everybody but the deleted.
const (
	PeopleActive      PeopleState = "active"
	PeopleDeactivated PeopleState = "deactivated"
	PeopleInvited     PeopleState = "invited"
	PeopleDeleted     PeopleState = "deleted"
)

// PeopleQuery selects people of one organization.
type PeopleQuery struct {
	OrgID  OrgID
	Search string // a piece of a name or an address
	State  PeopleState
	Before PeopleCursor
}

// PeopleCursor is a place in the list, newest first.
type PeopleCursor struct {
	CreatedAt time.Time
	ID        string
}

// From is the place after which the list goes on.
func (q PeopleQuery) From() PeopleCursor {
	if q.Before.ID == "" {
		return PeopleCursor{CreatedAt: time.UnixMicro(1 << 60)}
	}
	return q.Before
}

// Pattern is what search_key must be like.
func (q PeopleQuery) Pattern() string {
	if pattern := SearchPattern(q.Search); pattern != "" {
		return pattern
	}
	return "%"
}

// Person is a line of the list: a user, or an invitation that waits for one.
type Person struct {
	User       *User
	Invitation *Invitation
}

// Place is where the line stands in the list.
func (p Person) Place() PeopleCursor {
	if p.User != nil {
		return PeopleCursor{p.User.CreatedAt, string(p.User.ID)}
	}
	return PeopleCursor{p.Invitation.CreatedAt, p.Invitation.ID}
}

// PeoplePage is one page of the list.
type PeoplePage struct {
	People []Person
	Next   PeopleCursor // zero on the last page
}

// People lists users and open invitations of an organization as one, newest
// first, by key and not by offset, so that a page costs the same wherever it is.
func People(ctx context.Context, r db.Reader, actor Actor, q PeopleQuery) (PeoplePage, error) {
	if err := actor.MayRead(ctx, r, q.OrgID); err != nil {
		return PeoplePage{}, err
	}
	var all []Person
	from, pattern := q.From(), q.Pattern()
	if q.State != PeopleInvited {
		err := r.Rows(ctx, func(scan func(...any) error) error {
			var u User
			err := scan(u.Targets()...)
			all = append(all, Person{User: &u})
			return err
		}, `
			select `+UserColumns+`
			from users u
			where u.org_id = $1 and (u.created_at, u.id) < ($2, $3) and u.search_key like $4 escape '\'
				and (u.deleted_at is not null) = ($5 = 'deleted')
				and ($5 in ('', 'deleted') or (u.deactivated_at is not null) = ($5 = 'deactivated'))
			order by u.created_at desc, u.id desc
			limit $6`, string(q.OrgID), db.Time(from.CreatedAt), from.ID, pattern, string(q.State), PeopleRead)
		if err != nil {
			return PeoplePage{}, fmt.Errorf("listing users: %w", err)
		}
	}
	if q.State == "" || q.State == PeopleInvited {
		err := r.Rows(ctx, func(scan func(...any) error) error {
			var i Invitation
			err := scan(i.targets()...)
			all = append(all, Person{Invitation: &i})
			return err
		}, `select `+invitationColumns+invitationTables+`
			where i.org_id = $1 and (i.created_at, i.id) < ($2, $3) and i.search_key like $4 escape '\'
				and i.accepted_at is null and i.withdrawn_at is null and i.replaced_at is null
			order by i.created_at desc, i.id desc
			limit $5`, string(q.OrgID), db.Time(from.CreatedAt), from.ID, pattern, PeopleRead)
		if err != nil {
			return PeoplePage{}, fmt.Errorf("listing invitations: %w", err)
		}
	}
	slices.SortFunc(all, func(a, b Person) int {
		x, y := a.Place(), b.Place()
		return cmp.Or(y.CreatedAt.Compare(x.CreatedAt), cmp.Compare(y.ID, x.ID))
	})
	return PageOf(all), nil
}

// PageOf is the page of a list of which PeopleRead lines, or all that there are,
// were read.
func PageOf(all []Person) PeoplePage {
	page := PeoplePage{People: all}
	if len(all) > peoplePage {
		page.People = all[:peoplePage]
		page.Next = page.People[peoplePage-1].Place()
	}
	return page
}

// Everyone lists the users of an organization, the deleted apart, oldest first.
func Everyone(ctx context.Context, r db.Reader, actor Actor, org OrgID) ([]UserID, error) {
	if err := actor.MaySetRules(ctx, r, org); err != nil {
		return nil, err
	}
	var all []UserID
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var id UserID
		err := scan(&id)
		all = append(all, id)
		return err
	}, `
		select id from users
		where org_id = $1 and deleted_at is null
		order by created_at, id`, string(org))
	if err != nil {
		return nil, fmt.Errorf("listing everyone: %w", err)
	}
	return all, nil
}
