package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"parvis/internal/db"
)

// perRead is how many events are read at once where all are.
const perRead = 1000

// pageSize is how many events a list shows at once.
const pageSize = 50

// Query selects events of one organization. A zero field does not restrict the selection.
type Query struct {
	OrgID string
	// Search is a piece of a name, an address, an action or a reference; every
	// word must occur.
	Search string
	Result Result
	Action Action
	// Way is that of a sign-in.
	Way Way
	// Actor is a user's id, Operator, System, Anonymous, or AnyUser.
	Actor string
	// Target is the id of what was acted on.
	Target string
	// From and Until bound the time; the moment of Until is outside.
	From, Until time.Time
	// Before is the cursor of the page before: Page.Next of it.
	Before Cursor
}

// AnyUser selects the events of all users.
const AnyUser = "user"

// Cursor is the place of an event in the list, newest first.
type Cursor struct {
	At time.Time
	ID string
}

// Page is one page of events, newest first.
type Page struct {
	Events []Stored
	Next   Cursor // zero on the last page
}

const columns = `id, at, actor, actor_name, action, result, target, target_name, network, agent, request, before, after, leaf,
	by_salt, by_hash, of_salt, of_hash, session, method, region`

// List returns one page of an organization's events.
func List(ctx context.Context, r db.Reader, q Query) (Page, error) {
	q.Before = q.Before.orNewest()
	if !q.Until.IsZero() && q.Until.Before(q.Before.At) {
		q.Before = Cursor{At: q.Until}
	}
	var from int64
	if !q.From.IsZero() {
		from = q.From.UnixMicro()
	}
	page := Page{}
	err := r.Rows(ctx, page.add(q.OrgID), `
		select `+columns+`
		from audit_events
		where org_id = $1 and (at, id) < ($2, $3) and at >= $4 and ($5 = '' or result = $5) and ($6 = '' or action = $6)
			and ($7 = '' or actor = $7 or $7 = '`+AnyUser+`' and actor like 'usr\_%' escape '\')
			and search_key like $8 escape '\' and search_key like $9 escape '\' and search_key like $10 escape '\'
			and (after like $11 escape '\' or after like $12 escape '\') and ($13 = '' or target = $13)
		order by at desc, id desc
		limit $14`,
		q.OrgID, db.Time(q.Before.At), q.Before.ID, from, string(q.Result), string(q.Action), q.Actor,
		pattern(q.Search, 0), pattern(q.Search, 1), pattern(q.Search, 2), q.Way.pattern(0), q.Way.pattern(1), q.Target, pageSize+1)
	return page.cut(), err
}

// Concerning returns one page of the events in which a user of an organization is the
// actor or the target. Each of the two is read from the end of an index.
func Concerning(ctx context.Context, r db.Reader, orgID, user string, before Cursor) (Page, error) {
	before = before.orNewest()
	page := Page{}
	err := r.Rows(ctx, page.add(orgID), `
		select `+columns+` from (
			select `+columns+`
			from audit_events
			where org_id = $1 and actor = $2 and (at, id) < ($3, $4)
			order by at desc, id desc
			limit $5) did
		union
		select `+columns+` from (
			select `+columns+`
			from audit_events
			where org_id = $1 and target = $2 and (at, id) < ($3, $4)
			order by at desc, id desc
			limit $5) suffered
		order by at desc, id desc
		limit $5`, orgID, user, db.Time(before.At), before.ID, pageSize+1)
	return page.cut(), err
}

// orNewest returns c or, where c is zero, the place before the newest event.
func (c Cursor) orNewest() Cursor {
	if c.ID == "" {
		c.At = Everything
	}
	return c
}

// add reads one row into the page.
func (p *Page) add(orgID string) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		e, err := scanStored(scan)
		e.OrgID = orgID
		p.Events = append(p.Events, e)
		return err
	}
}

// cut removes the extra event that was read only to find out whether another page follows.
func (p Page) cut() Page {
	if len(p.Events) > pageSize {
		p.Events = p.Events[:pageSize]
		last := p.Events[pageSize-1]
		p.Next = Cursor{last.At, last.ID}
	}
	return p
}

// pattern returns the like pattern for word i of a search, or '%' if there is no such word.
func pattern(search string, word int) string {
	words := strings.Fields(strings.ToLower(search))
	if word >= len(words) {
		return "%"
	}
	w := words[word]
	if word == 2 {
		w = strings.Join(words[2:], " ")
	}
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(w) + "%"
}

// ByID returns one event of an organization, and false if the organization has no event with that id.
func ByID(ctx context.Context, r db.Reader, orgID, id string) (Stored, bool, error) {
	var e Stored
	found := false
	err := r.Rows(ctx, func(scan func(...any) error) (err error) {
		found = true
		e, err = scanStored(scan)
		return err
	}, `select `+columns+` from audit_events where org_id = $1 and id = $2`, orgID, id)
	if err != nil || !found {
		return e, found, err
	}
	e.OrgID = orgID
	e.Sequence, err = SequenceOf(ctx, r, orgID, e.Leaf)
	return e, found, err
}

func scanStored(scan func(...any) error) (Stored, error) {
	var e Stored
	if err := scan(e.targets()...); err != nil {
		return Stored{}, err
	}
	return e, e.read()
}

// targets are what columns are scanned into.
func (e *Stored) targets() []any {
	return db.Into(&e.ID, (*db.Time)(&e.At), &e.Actor, &e.ActorName, &e.Action, &e.Result, &e.Target, &e.TargetName,
		&e.Origin.Network, &e.Origin.Agent, &e.Origin.Request, &e.before, &e.after, (*place)(e), &e.bySalt, &e.byHash, &e.ofSalt, &e.ofHash,
		&e.Session, &e.Method, &e.Region)
}

// place scans the place of an event in its tree.
type place Stored

func (p *place) Scan(v any) error {
	p.Leaf, p.Sealed = v.(int64)
	return nil
}

// read reads what was scanned as text.
func (e *Stored) read() error {
	e.ErasedBy, e.ErasedOf = e.Sealed && e.bySalt == "", e.Sealed && e.ofSalt == ""
	for _, f := range []struct {
		text string
		into *Fields
	}{{e.before, &e.Before}, {e.after, &e.After}} {
		if f.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(f.text), f.into); err != nil {
			return fmt.Errorf("reading the fields of %s: %w", e.ID, err)
		}
	}
	return nil
}

// After returns an organization's sealed events after a place of its log, oldest first: -1 is
// before the first. Nobody who asks again after the last of them misses one.
func After(ctx context.Context, r db.Reader, orgID string, place int64, limit int) ([]Stored, error) {
	var all []Stored
	err := r.Rows(ctx, func(scan func(...any) error) error {
		e, err := scanStored(scan)
		e.OrgID = orgID
		all = append(all, e)
		return err
	}, `
		select `+columns+`
		from audit_events
		where org_id = $1 and leaf > $2
		order by leaf
		limit $3`, orgID, place, limit)
	if err != nil {
		return all, err
	}
	return all, sequences(ctx, r, orgID, all)
}

// SizeOf returns how many events of an organization were sealed: the next one gets this place.
func SizeOf(ctx context.Context, r db.Reader, orgID string) (int64, error) {
	var size int64
	_, err := r.One(ctx, db.Into(&size), `select size from audit_logs where org_id = $1`, orgID)
	return size, err
}

// PlaceAt returns the place of the first of an organization's sealed events since a time, or that
// of the next one to come.
func PlaceAt(ctx context.Context, r db.Reader, orgID string, since time.Time) (int64, error) {
	// Neighbours in time may have been sealed a second apart, in another order.
	var first *int64
	_, err := r.One(ctx, db.Into(&first), `
		select min(leaf) from (
			select leaf from audit_events where org_id = $1 and at >= $2 and leaf is not null order by at, id limit $3) near`,
		orgID, db.Time(since), perRead)
	switch {
	case err != nil:
		return 0, err
	case first != nil:
		return *first, nil
	}
	return SizeOf(ctx, r, orgID)
}
