package administration

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
)

// lister reads the list of people of one organization.
//
// What few match is found by the index users_list, which holds every column that the list is
// filtered or sorted by, and sorted; its cost is that of the people found. What more than
// MostCounted match is read in its order from another index, until a page is full: then at least
// one in so many fits. A list by role or state is one of parts then, of which each has few or many
// by itself. No order and no filter therefore reads an organization's people one by one.
type lister struct {
	r   db.Reader
	org directory.OrgID
	q   Query
}

// entry is a line of the list before its row is read.
type entry struct {
	invitation bool
	place      Place
}

// Conditions of the list on users u and invitations i. Each list of values has as many as there
// can be, so that there is one statement for all filters; selects fills it up.
const (
	matching = `u.state in ($2, $3, $4) and u.role in ($5, $6, $7, $8, $9)
			and u.second_step in ($10, $11, $12, $13) and u.has_password in ($14, $15) and u.linked in ($16, $17)
			and u.signed_in_at < $18 and u.created_at >= $19 and u.search_key like $20 escape '\'
			and ($21 = '' or not exists (select 1 from members x where x.org_id = u.org_id and x.group_id = $21 and x.user_id = u.id))`
	everybody  = ` from users u where u.org_id = $1 and ` + matching
	ofAGroup   = ` from members m cross join users u where m.org_id = $1 and m.group_id = $22 and u.org_id = m.org_id and u.id = m.user_id and ` + matching
	inAGroup   = everybody + ` and exists (select 1 from members m where m.org_id = u.org_id and m.group_id = $22 and m.user_id = u.id)`
	stillWaits = `'invited' in ($2, $3, $4) and i.role in ($5, $6, $7, $8, $9) and i.created_at >= $19 and i.search_key like $20 escape '\'
			and i.accepted_at is null and i.withdrawn_at is null and i.replaced_at is null`
)

// waits is the condition of invitations. Where users are listed as well, that of a user who has no
// way in yet is no line of its own (decision 0066).
func (l lister) waits() string {
	if l.q.State != "" {
		return stillWaits
	}
	return stillWaits + `
			and not exists (select 1 from users p where p.org_id = i.org_id and p.email_key = i.email_key and p.deleted_at is null and p.role = i.role
				and p.created_at >= $19 and p.search_key like $20 escape '\')`
}

// few returns the tables and the condition of the users of a filter, for finding all of them.
func (f Filter) few() string {
	if f.Group != "" {
		return ofAGroup + f.changed()
	}
	return everybody + f.changed()
}

// many returns the same for reading them in the order of the list.
func (f Filter) many() string {
	if f.Group != "" {
		return inAGroup + f.changed()
	}
	return everybody + f.changed()
}

// changed is a condition of its own, because the index that holds all others has not this column.
func (f Filter) changed() string {
	switch {
	case f.ChangedAfter.IsZero():
		return ``
	case f.Group != "":
		return ` and u.changed_at > $23`
	}
	return ` and u.changed_at > $22`
}

// selects returns the values of the conditions for a part of the list.
func (l lister) selects(p part) []any {
	f := l.q.Filter
	steps, password, linked := f.ways()
	args := []any{string(l.org)}
	args = append(args, upTo(3, p.states)...)
	args = append(args, upTo(5, p.roles)...)
	args = append(args, upTo(4, steps)...)
	args = append(args, upTo(2, password)...)
	args = append(args, upTo(2, linked)...)
	since := int64(0)
	if !f.Since.IsZero() {
		since = f.Since.UnixMicro()
	}
	args = append(args, f.before(), since, cmp.Or(naming.SearchPattern(f.Text), "%"), f.Outside)
	if f.Group != "" {
		args = append(args, f.Group)
	}
	if !f.ChangedAfter.IsZero() {
		args = append(args, f.ChangedAfter.UnixMicro())
	}
	return args
}

// upTo returns n values of which the last stands as often as needed. No value matches nothing.
func upTo[T ~string | ~bool](n int, values []T) []any {
	all := make([]any, n)
	var last any = ""
	for i := range all {
		if i < len(values) {
			switch v := any(values[i]).(type) {
			case bool:
				last = v
			default:
				last = fmt.Sprint(v)
			}
		}
		all[i] = last
	}
	return all
}

// order is how one part of the list is sorted.
type order struct {
	user, invitation string // columns
	rank, waits      string // expressions for the part that a user and an invitation are in
	number           bool   // the columns hold one
	nothing          string // of the same type
	direction, past  string
}

func (q Query) order() order {
	o := order{`u.search_key`, `i.search_key`, `0`, `0`, false, `''`, `asc`, `>`}
	switch q.Sort {
	case BySignIn:
		o.user, o.invitation, o.number, o.nothing = `u.signed_in_at`, `cast(0 as bigint)`, true, `0`
	case ByName:
	case ByRole:
		cases := ranked(q.parts(), func(p part) string { return string(p.roles[0]) })
		o.rank, o.waits = `case u.role`+cases, `case i.role`+cases
	case ByState:
		cases := ranked(q.parts(), func(p part) string { return string(p.states[0]) })
		o.rank, o.waits = `case u.state`+cases, `case 'invited'`+cases
	case ByJoined:
		o.user, o.invitation, o.number, o.nothing = `u.created_at`, `i.created_at`, true, `0`
	}
	if q.Down && q.Sort != ByRole && q.Sort != ByState { // within each by name
		o.direction, o.past = `desc`, `<`
	}
	return o
}

// ranked returns the rest of a case expression for the number of the part that a role or a state
// is in. The names of several parts are constants; that of only one may be what somebody typed into
// an address, and must not become SQL.
func ranked(parts []part, name func(part) string) (cases string) {
	if len(parts) == 1 {
		return ` when '' then 0 else 0 end`
	}
	for i, p := range parts {
		cases += fmt.Sprintf(` when '%s' then %d`, name(p), i)
	}
	return cases + ` else 0 end`
}

// run is a part of the list from a place on, as SQL.
type run struct {
	order
	args   []any
	sorted string
	after  Place
}

func (l lister) run(p part, after Place) run {
	o := l.q.order()
	r := run{o, l.selects(p), fmt.Sprintf(` order by part, key %[1]s, id %[1]s limit %d`, o.direction, l.q.most()+1), after}
	if after.ID != "" {
		from := any(after.Text)
		if o.number {
			from = after.Number
		}
		r.args = append(r.args, from, after.ID)
	}
	return r
}

// beyond is the condition that a line stands after the place.
func (r run) beyond(key, id string) string {
	if r.after.ID == "" {
		return ``
	}
	return fmt.Sprintf(` and (%s, %s) %s ($%d, $%d)`, key, id, r.past, len(r.args)-1, len(r.args))
}

// list returns the lines of the list after a place, one more than a page has, and how many are in
// all of it, up to MostCounted+1 and unless that is not asked.
func (l lister) list(ctx context.Context, after Place) (all []entry, total int, err error) {
	if !l.q.Uncounted {
		whole := l.run(part{l.q.states(), l.q.roles()}, after)
		all, total, err = l.few(ctx, whole, l.q.few(), tooMany)
		if err != nil || total <= MostCounted {
			return all, total, err
		}
		all = nil
	}
	parts := l.q.parts()
	for i := after.Part; i < len(parts) && len(all) <= l.q.most(); i++ {
		from := Place{}
		if i == after.Part {
			from = after
		}
		some, err := l.part(ctx, parts[i], from)
		if err != nil {
			return nil, 0, err
		}
		for j := range some {
			some[j].place.Part = i
		}
		all = append(all, some...)
	}
	return all, MostCounted + 1, nil
}

// part returns the lines of a part after a place, one more than a page has.
func (l lister) part(ctx context.Context, p part, after Place) ([]entry, error) {
	r, among := l.run(p, after), l.q.few()
	if len(l.q.parts()) > 1 {
		// The index users_list begins with state and role, so it finds a part without the rest.
		among = l.q.many()
	} else if l.q.everybody() {
		return l.many(ctx, r)
	}
	few, n, err := l.few(ctx, r, among, mostOfPart)
	if err != nil || n < mostOfPart {
		return few, err
	}
	return l.many(ctx, r)
}

// few finds all lines of a run among some people, unless there are as many as most, and sorts them.
func (l lister) few(ctx context.Context, r run, among string, most int) ([]entry, int, error) {
	limit := ` limit ` + strconv.Itoa(most)
	return l.entries(ctx, r.order, `
		with found as materialized (
			select u.id as id, `+r.rank+` as part, `+r.user+` as key`+among+limit+`
		), waiting as materialized (
			select i.id as id, `+r.waits+` as part, `+r.invitation+` as key
			from invitations i
			where i.org_id = $1 and `+l.waits()+limit+`
		)
		select 0 as line, (select count(*) from found) + (select count(*) from waiting) as part, '' as id, `+r.nothing+` as key
		union all
		select line, part, id, key from (
			select 1 as line, part, id, key from found where true`+r.later()+`
			union all
			select 2, part, id, key from waiting where true`+r.later()+`
			`+r.sorted+`
		) page`, r.args)
}

// later is beyond for all parts.
func (r run) later() string {
	if r.after.ID == "" {
		return ``
	}
	return fmt.Sprintf(` and (part > %d or part = %[1]d%s)`, r.after.Part, r.beyond(`key`, `id`))
}

// many reads the lines of the part in their order until the page is full.
func (l lister) many(ctx context.Context, r run) ([]entry, error) {
	// SQLite takes the index in whose order the list is only where a condition bounds it.
	bound := ` and ` + r.user + ` >= ` + r.nothing
	sorted := strings.Replace(r.sorted, `part, `, ``, 1)
	all, _, err := l.entries(ctx, r.order, `
		select line, 0, id, key from (
			select line, id, key from (
				select 1 as line, u.id as id, `+r.user+` as key`+l.q.many()+bound+r.beyond(r.user, `u.id`)+sorted+`
			) people
			union all
			select line, id, key from (
				select 2 as line, i.id as id, `+r.invitation+` as key
				from invitations i
				where i.org_id = $1 and `+l.waits()+r.beyond(r.invitation, `i.id`)+sorted+`
			) waiting
		) lines`+sorted, r.args)
	return all, err
}

// tooMany is where counting ends, and mostOfPart where a part of a list of too many is read in its
// order instead of being sorted.
const (
	tooMany    = MostCounted + 1
	mostOfPart = 2000
)

// entries reads lines. Where a line begins with 0, the number of all stands in place of the part.
func (l lister) entries(ctx context.Context, o order, sql string, args []any) (all []entry, total int, err error) {
	err = l.r.Rows(ctx, func(scan func(...any) error) error {
		var e entry
		var line, n int
		key := any(&e.place.Text)
		if o.number {
			key = &e.place.Number
		}
		if err := scan(&line, &n, &e.place.ID, key); err != nil {
			return err
		}
		if line == 0 {
			total = min(n, MostCounted+1)
			return nil
		}
		e.invitation, e.place.Part = line == 2, n
		all = append(all, e)
		return nil
	}, sql, args...)
	return all, total, err
}

// count counts whom the filter selects, up to most.
func (l lister) count(ctx context.Context, most int) (n int, err error) {
	f, limit := l.q.Filter, strconv.Itoa(most)
	_, err = l.r.One(ctx, db.Into(&n), `
		select (select count(*) from (select 1`+f.few()+` limit `+limit+`) people)
			+ (select count(*) from (select 1 from invitations i where i.org_id = $1 and `+l.waits()+` limit `+limit+`) waiting)`,
		l.selects(part{f.states(), f.roles()})...)
	return min(n, most), err
}

// lines reads the rows of entries.
func (l lister) lines(ctx context.Context, entries []entry) ([]Line, error) {
	var users, invitations []string
	for _, e := range entries {
		if e.invitation {
			invitations = append(invitations, e.place.ID)
		} else {
			users = append(users, e.place.ID)
		}
	}
	byID := map[string]Line{}
	if len(users) > 0 {
		places, args := db.AnyOf(2, users)
		found, err := db.List(ctx, l.r, (*directory.User).Targets, `
			select `+directory.UserColumns+`
			from users u
			where u.org_id = $1 and u.id in (`+places+`)`, slices.Concat([]any{string(l.org)}, args)...)
		if err != nil {
			return nil, fmt.Errorf("reading users: %w", err)
		}
		for i := range found {
			byID[string(found[i].ID)] = Line{User: &found[i]}
		}
	}
	open, err := directory.InvitationsByID(ctx, l.r, l.org, invitations)
	if err != nil {
		return nil, fmt.Errorf("reading invitations: %w", err)
	}
	for i := range open {
		byID[open[i].ID] = Line{Invitation: &open[i]}
	}
	lines := make([]Line, 0, len(entries))
	for _, e := range entries {
		if line, there := byID[e.place.ID]; there {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
