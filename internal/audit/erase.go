package audit

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/db"
)

// ErasedAfter is how old an event is when what it has of an erased person is erased by itself.
const ErasedAfter = 90 * 24 * time.Hour

// userErased is recorded when a user is erased: from then on nothing new is recorded of the person.
const userErased Action = "user.erased"

// Everything is an instant that every event is before.
var Everything = time.UnixMicro(1 << 60)

// Erased is how many events an erasure took something from, and whether the person's name as an
// actor stayed, because they were an owner or an administrator.
type Erased struct {
	Events    int64
	KeptActor bool
}

// WasErased reports whether an organization's user was erased.
func WasErased(ctx context.Context, r db.Reader, orgID, userID string) (bool, error) {
	var id string
	return r.One(ctx, db.Into(&id), `select id from audit_events where org_id = $1 and target = $2 and action = $3 limit 1`, orgID, userID, string(userErased))
}

// Erase takes from sealed events before an instant what they have of a person: their name, networks
// and browsers where they acted, and their name and all values where something was done to them, to
// their invitations or to their links. The events themselves stay, and the tree still verifies. Who
// owned or administered the organization stays named as an actor.
func (t Traces) Erase(ctx context.Context, tx *db.Tx, before time.Time) (Erased, error) {
	e := Erased{KeptActor: t.privileged}
	add := func(n int64, err error) error {
		e.Events += n
		return err
	}
	for _, actor := range t.actors {
		if t.privileged {
			break
		}
		if err := add(tx.Exec(ctx, `
			update audit_events set actor_name = '', network = '', agent = '', session = '', method = '', region = '', by_salt = '', search_key = ''
			where org_id = $1 and actor = $2 and at < $3 and leaf is not null and by_salt <> ''`, t.org, actor, db.Time(before))); err != nil {
			return e, err
		}
	}
	const emptied = `update audit_events set target_name = '', before = '', after = '', of_salt = '', search_key = ''
			where org_id = $1 and at < $2 and leaf is not null and of_salt <> '' and action <> 'audit.erased' and `
	for _, target := range t.targets {
		if err := add(tx.Exec(ctx, emptied+`target = $3`, t.org, db.Time(before), target)); err != nil {
			return e, err
		}
	}
	for _, id := range t.named {
		if err := add(tx.Exec(ctx, emptied+`id = $3`, t.org, db.Time(before), id)); err != nil {
			return e, err
		}
	}
	return e, nil
}

// dataErased is recorded of each erasure. It has nothing personal, and says for the next one
// whether the actor's name stays.
const dataErased Action = "audit.erased"

// RecordErased records an erasure.
func RecordErased(ctx context.Context, tx *db.Tx, e Event, erased Erased) error {
	e.Action, e.TargetName, e.After = dataErased, "", Fields{"events": erased.Events, "kept_actor": erased.KeptActor}
	return Record(ctx, tx, e)
}

// aboutUser returns the like pattern for fields that name a user. The text is JSON of our own, in
// which a value cannot look like a field.
func aboutUser(userID string) string {
	return `%"user":"` + strings.ReplaceAll(userID, "_", `\_`) + `"%`
}

// Traces are where a person is in a log: as an actor, as what something was done to, and in the
// fields of other events, by their ids.
type Traces struct {
	org                    string
	actors, targets, named []string
	privileged             bool
}

// TracesOf finds the traces of an organization's user: nothing but the log knows of an erased one.
// It reads the whole log, so it is called outside of the transaction that erases.
func TracesOf(ctx context.Context, r db.Reader, orgID, userID string) (Traces, error) {
	p := Traces{org: orgID, actors: []string{userID}, targets: []string{userID}}
	var emails []string
	type known struct {
		id                                string
		action                            Action
		target, targetName, before, after string
	}
	all, err := db.List(ctx, r, func(k *known) []any {
		return db.Into(&k.id, &k.action, &k.target, &k.targetName, &k.before, &k.after)
	}, `
		select id, action, target, target_name, before, after
		from audit_events
		where org_id = $1 and (target = $2 or actor = $2 and action = 'token.issued' or before like $3 escape '\' or after like $3 escape '\')`,
		orgID, userID, aboutUser(userID))
	for _, k := range all {
		switch {
		case k.action == "token.issued":
			p.actors = append(p.actors, k.target)
		case Actions[k.action].Object == Invitation:
			p.targets = append(p.targets, k.target)
		case k.target != userID:
			p.named = append(p.named, k.id)
		}
		if strings.HasPrefix(string(k.action), "email_change.") {
			continue // an address that they asked for and did not prove is another's, with its invitations
		}
		if strings.Contains(k.targetName, "@") {
			emails = append(emails, k.targetName)
		}
		for _, text := range []string{k.before, k.after} {
			var fields struct {
				Email, Role any
				KeptActor   bool `json:"kept_actor"`
			}
			if text == "" || json.Unmarshal([]byte(text), &fields) != nil {
				continue
			}
			if email, ok := fields.Email.(string); ok {
				emails = append(emails, email)
			}
			p.privileged = p.privileged || fields.Role == "owner" || fields.Role == "administrator" || fields.KeptActor
		}
	}
	slices.Sort(emails)
	for _, email := range slices.Compact(emails) {
		if err != nil {
			break
		}
		var invitations []string
		invitations, err = db.List(ctx, r, db.Value[string], `
			select distinct target from audit_events where org_id = $1 and target like 'inv\_%' escape '\' and target_name = $2`, orgID, email)
		p.targets = append(p.targets, invitations...)
	}
	slices.Sort(p.targets)
	p.targets = slices.Compact(p.targets)
	return p, err
}

// By reports whether the person, or a token of theirs, is the actor of an event.
func (t Traces) By(e Stored) bool { return slices.Contains(t.actors, e.Actor) }

// About reports whether an event is about the person, an invitation or a link of theirs.
func (t Traces) About(e Stored) bool {
	return slices.Contains(t.targets, e.Target) || slices.Contains(t.named, e.ID)
}

// Events returns the events in which the person has traces, oldest first, after one of them: the zero
// Cursor is before the first.
func (t Traces) Events(ctx context.Context, r db.Reader, after Cursor, limit int) ([]Stored, error) {
	var since int64
	if !after.At.IsZero() {
		since = after.At.UnixMicro()
	}
	args, limited := []any{t.org, since, after.ID}, ""
	// Each part is read from an index, and no further than the limit, whose place is behind the first
	// list: SQLite numbers placeholders as they come.
	part := func(column, since string, ids []string) string {
		list, values := db.AnyOf(len(args)+1, ids)
		args = append(args, values...)
		if limited == "" {
			args = append(args, limit)
			limited = " limit $" + strconv.Itoa(len(args))
		}
		return `
			select ` + columns + ` from (
				select ` + columns + `
				from audit_events
				where org_id = $1 and ` + since + ` > ($2, $3) and ` + column + ` in (` + list + `)
				order by at, id` + limited + `) ` + column + `s`
	}
	// Of ids the sum keeps SQLite from an index of times, which finds all that came since.
	found := part("actor", `(at, id)`, t.actors) + ` union ` + part("target", `(at, id)`, t.targets) + ` union ` + part("id", `(at + 0, id)`, append([]string{""}, t.named...))
	var all []Stored
	err := r.Rows(ctx, func(scan func(...any) error) error {
		e, err := scanStored(scan)
		e.OrgID = t.org
		all = append(all, e)
		return err
	}, found+` order by at, id`+limited, args...)
	return all, err
}

// toErase is somebody who was erased.
type toErase struct {
	org, user string
	at        time.Time
	last      *int64 // when the log last lost something of them
}

// SweepErased erases from the log what it has of people who were erased: in the first day what is
// older than ErasedAfter, and the rest when all of it is. Then the entry that says so is erased too,
// by which the next sweep knows that nothing is left.
func SweepErased(ctx context.Context, d *db.DB) error {
	all, err := db.List(ctx, d, func(e *toErase) []any {
		return db.Into(&e.org, &e.user, (*db.Time)(&e.at), &e.last)
	}, `
		select e.org_id, e.target, e.at, (
			select max(x.at) from audit_events x where x.org_id = e.org_id and x.target = e.target and x.action = $1)
		from audit_events e
		where e.action = 'user.erased' and e.of_salt <> '' and e.leaf is not null
		order by e.at`, string(dataErased))
	for _, e := range all {
		rest := e.at.Add(ErasedAfter)
		if err != nil {
			break
		}
		if first := e.last == nil && d.Now().Sub(e.at) < day; !first && d.Now().Before(rest) {
			continue
		}
		var traces Traces
		if traces, err = TracesOf(ctx, d, e.org, e.user); err != nil {
			break
		}
		err = d.Update(ctx, func(tx *db.Tx) error {
			before := tx.Now().Add(-ErasedAfter)
			if !tx.Now().Before(rest) {
				before = Everything
			}
			erased, err := traces.Erase(ctx, tx, before)
			if err != nil || erased.Events == 0 {
				return err
			}
			return RecordErased(ctx, tx, Event{OrgID: e.org, Actor: System, ActorName: System, Target: e.user}, erased)
		})
	}
	return err
}
