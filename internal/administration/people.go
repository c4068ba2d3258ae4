package administration

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
)

const (
	// PageOfPeople is how many people a page of the list has.
	PageOfPeople = 100
	// MostOnPage is how many people a page may have where somebody asks for more or fewer.
	MostOnPage = 200
	// MostCounted is up to where people are counted; MostCounted+1 stands for more.
	MostCounted = 10_000
)

// State filters the list of people.
type State string

// The states to filter by; an empty state means everybody except the deleted.
const (
	Active      State = "active"
	Deactivated State = "deactivated"
	Invited     State = "invited"
	Deleted     State = "deleted"
)

// WayIn filters the list by how people sign in.
type WayIn string

// The ways in. ByPasskey are those who have no password, and ByNothing those who cannot sign in
// by themselves until somebody helps them.
const (
	ByPassword WayIn = "password"
	ByPasskey  WayIn = "passkey"
	ByProvider WayIn = "provider"
	ByNothing  WayIn = "none"
)

// Sort is what the list is sorted by.
type Sort string

// The orders of the list. By role and by state, people follow one another by name within each.
const (
	ByName   Sort = "name"
	BySignIn Sort = "last"
	ByRole   Sort = "role"
	ByState  Sort = "state"
	ByJoined Sort = "joined"
)

// Filter selects people of one organization. An empty field excludes nobody.
type Filter struct {
	Text           string // a part of a name or an address
	State          State
	Role           directory.Role
	Group          string // members of the group with this id
	Outside        string // people outside the group with this id
	SecondStep     directory.SecondStep
	WayIn          WayIn
	OnlyUsers      bool      // nobody who is only invited
	SignedInBefore time.Time // who last signed in before that, or never did
	Since          time.Time // joined or invited at that time or later
	ChangedAfter   time.Time // users who changed after that time
}

// Query is a page of the people that a filter selects.
type Query struct {
	Filter
	Sort  Sort // empty is by name
	Down  bool // the last first
	After Place
	Most  int // of a page, up to MostOnPage; PageOfPeople where zero

	Uncounted bool // how many there are is not asked, or known
}

// Known reports whether the query names only states, roles, second steps, ways and sorts that there are.
func (q Query) Known() bool {
	return (q.State == "" || slices.Contains([]State{Active, Invited, Deactivated, Deleted}, q.State)) &&
		(q.Role == "" || q.Role.Valid()) &&
		(q.SecondStep == "" || slices.Contains(directory.SecondSteps, q.SecondStep)) &&
		(q.WayIn == "" || slices.Contains([]WayIn{ByPassword, ByPasskey, ByProvider, ByNothing}, q.WayIn)) &&
		(q.Sort == "" || slices.Contains([]Sort{ByName, BySignIn, ByRole, ByState, ByJoined}, q.Sort))
}

// Place is the position of a line in the list. Where the list is sorted by names it holds one, so
// it leaves the server only sealed.
type Place struct {
	Part   int    `json:"p,omitempty"` // which role or state it is in
	Text   string `json:"t,omitempty"`
	Number int64  `json:"n,omitempty"`
	ID     string `json:"i"`
}

// Line is a user, or an invitation to somebody who is not a user yet.
type Line struct {
	User       *directory.User
	Invitation *directory.Invitation
}

// Page is one page of the list.
type Page struct {
	Lines []Line
	Next  Place // zero on the last page
	Found int   // how many people there are, up to MostCounted+1
}

// People lists users and open invitations of an organization together. It pages by key and not by
// offset, so that every page costs the same.
func People(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, q Query) (Page, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Page{}, err
	}
	l := lister{r, org, q}
	found, n, err := l.list(ctx, q.After)
	if err != nil {
		return Page{}, err
	}
	page := Page{Found: n}
	if most := q.most(); len(found) > most {
		found = found[:most]
		page.Next = found[most-1].place
	}
	page.Lines, err = l.lines(ctx, found)
	return page, err
}

// most returns how many people a page has.
func (q Query) most() int { return min(cmp.Or(q.Most, PageOfPeople), MostOnPage) }

// CountPeople counts the people that a filter selects, up to most.
func CountPeople(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, f Filter, most int) (int, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return 0, err
	}
	return lister{r, org, Query{Filter: f}}.count(ctx, most)
}

// part is a run of the list that is in one order: all of it, or one role or state.
type part struct {
	states []State
	roles  []directory.Role
}

// everybody reports whether the filter leaves out nobody but the deleted, and perhaps the invited.
func (f Filter) everybody() bool {
	f.OnlyUsers = false
	return f == Filter{}
}

// states returns which states the filter selects. Nobody who is only invited has a second step, a
// way in or a group.
func (f Filter) states() []State {
	if f.State != "" && f.State != Invited {
		return []State{f.State}
	}
	states := []State{Active, Invited, Deactivated}
	if f.State == Invited {
		states = []State{Invited}
	}
	if f.OnlyUsers || f.Group != "" || f.Outside != "" || f.SecondStep != "" || f.WayIn != "" || !f.SignedInBefore.IsZero() || !f.ChangedAfter.IsZero() {
		states = slices.DeleteFunc(states, func(s State) bool { return s == Invited })
	}
	return states
}

func (f Filter) roles() []directory.Role {
	if f.Role != "" {
		return []directory.Role{f.Role}
	}
	return directory.Roles
}

// parts returns the runs of the list, in order.
func (q Query) parts() []part {
	states, roles := q.states(), q.roles()
	parts := []part{{states, roles}}
	switch q.Sort {
	case ByName, BySignIn, ByJoined:
	case ByState:
		parts = nil
		for _, s := range states {
			parts = append(parts, part{[]State{s}, roles})
		}
	case ByRole:
		parts = nil
		for _, role := range roles {
			parts = append(parts, part{states, []directory.Role{role}})
		}
	}
	if q.Down {
		slices.Reverse(parts)
	}
	return parts
}

// ways returns which values of second_step, has_password and linked the filter selects.
func (f Filter) ways() (steps []directory.SecondStep, password, linked []bool) {
	steps, password, linked = directory.SecondSteps, []bool{true, false}, []bool{true, false}
	switch f.WayIn {
	case ByPassword:
		password = []bool{true}
	case ByProvider:
		linked = []bool{true}
	case ByPasskey:
		steps, password = []directory.SecondStep{directory.StepByKey, directory.StepByBoth}, []bool{false}
	case ByNothing:
		steps, password, linked = []directory.SecondStep{directory.NoSecondStep, directory.StepByApp}, []bool{false}, []bool{false}
	}
	if f.SecondStep != "" {
		steps = slices.DeleteFunc(slices.Clone(steps), func(s directory.SecondStep) bool { return s != f.SecondStep })
	}
	return steps, password, linked
}

// before returns signed_in_at of whom the filter selects, exclusively.
func (f Filter) before() int64 {
	if f.SignedInBefore.IsZero() {
		return math.MaxInt64
	}
	return f.SignedInBefore.UnixMicro()
}

// everyone lists the users of an organization except the deleted, oldest first.
func everyone(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]directory.UserID, error) {
	if err := actor.MaySetRules(ctx, r, org); err != nil {
		return nil, err
	}
	return db.List(ctx, r, db.Value[directory.UserID], `
		select id from users
		where org_id = $1 and deleted_at is null
		order by created_at, id`, string(org))
}
