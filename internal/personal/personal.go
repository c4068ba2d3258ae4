// Package personal says what Parvis keeps of one person, and writes it as one file: what somebody is
// given who asks for their data (GDPR, article 15). It has no table. What each table has of a person
// is one list, which is read through db.
package personal

import (
	"context"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
)

// Media is the media type of a file.
const Media = "application/json"

// version is that of the file's form.
const version = 1

// A File is what is kept of a person.
type File struct {
	head   heading
	traces audit.Traces
	again  func(context.Context, db.Reader) (directory.User, error)
	db     *db.DB
}

// heading is the file without its events.
type heading struct {
	Version      int                         `json:"version"`
	ExportedAt   time.Time                   `json:"exported_at"`
	Organization organization                `json:"organization"`
	UserID       string                      `json:"user_id"`
	Tables       map[string][]map[string]any `json:"tables"`
}

type organization struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	ShortName string `json:"short_name"`
}

// Collect reads what is kept of a person, after it recorded that the actor has it. That may be the
// person, or an owner or administrator who governs them: a file says where somebody was and what they
// used, which no page shows to anybody else, so nobody has it of people above themselves.
func Collect(ctx context.Context, d *db.DB, actor directory.Actor, org directory.OrgID, id directory.UserID) (*File, error) {
	may := func(ctx context.Context, r db.Reader) (directory.User, error) {
		u, err := directory.UserByID(ctx, r, org, id)
		switch {
		case err != nil:
		case actor.Is(org, id):
			_, err = actor.In(ctx, r, org)
		default:
			err = actor.MayGovern(ctx, r, u)
		}
		return u, err
	}
	if err := d.Update(ctx, func(tx *db.Tx) error {
		u, err := may(ctx, tx)
		if err != nil {
			return err
		}
		e := actor.Event(org, "user.exported")
		e.Target, e.TargetName = string(id), u.Name
		return audit.Record(ctx, tx, e)
	}); err != nil {
		return nil, err
	}
	f := &File{again: may, db: d}
	err := d.View(ctx, func(tx *db.Tx) (err error) {
		f.head, err = read(ctx, tx, org, id)
		return err
	})
	if err == nil {
		f.traces, err = audit.TracesOf(ctx, d, string(org), string(id))
	}
	return f, err
}

// At returns when the file was made.
func (f *File) At() time.Time { return f.head.ExportedAt }

// read reads everything but the events, all of it of one moment.
func read(ctx context.Context, tx *db.Tx, org directory.OrgID, id directory.UserID) (heading, error) {
	h := heading{Version: version, ExportedAt: tx.Now().UTC(), UserID: string(id), Tables: map[string][]map[string]any{}}
	o, err := directory.OrganizationByID(ctx, tx, org)
	if err != nil {
		return h, err
	}
	h.Organization = organization{string(o.ID), o.DisplayName, o.ShortName}
	u, err := directory.UserByID(ctx, tx, org, id)
	if err != nil {
		return h, err
	}
	known, err := tx.Tables(ctx)
	if err != nil {
		return h, err
	}
	byName := map[string]db.Table{}
	for _, t := range known {
		byName[t.Name] = t
	}
	about := subject{
		"org": string(org), "person": string(id), "email": u.Email, "picture": u.Picture, "call": "/Users/" + string(id) + "%",
	}
	if a, err := naming.ParseAddress(u.Email); err == nil {
		about["key"] = a.Key
	}
	for _, k := range tables {
		if k.where == "" {
			continue
		}
		if h.Tables[k.table], err = k.rows(ctx, tx, byName[k.table], about); err != nil {
			return h, err
		}
	}
	return h, nil
}

// rows reads what a table has of somebody.
func (k kept) rows(ctx context.Context, tx *db.Tx, table db.Table, about subject) ([]map[string]any, error) {
	all := []map[string]any{}
	some, err := table.Only(strings.Fields(k.gives))
	if err != nil {
		return nil, err
	}
	where, args := about.fill(k.where)
	err = tx.Select(ctx, some, where, func(row map[string]any) error {
		for column, value := range row {
			row[column] = readable(column, value)
		}
		all = append(all, row)
		return nil
	}, args...)
	return all, err
}

// subject is whom a file is about, by the names that conditions have for it.
type subject map[string]string

var placed = regexp.MustCompile(`\{(\w+)\}`)

// fill puts placeholders into a condition.
func (s subject) fill(where string) (string, []any) {
	numbers := map[string]string{}
	var args []any
	return placed.ReplaceAllStringFunc(where, func(name string) string {
		if numbers[name] == "" {
			args = append(args, s[strings.Trim(name, "{}")])
			numbers[name] = "$" + strconv.Itoa(len(args))
		}
		return numbers[name]
	}), args
}

// The columns whose numbers are instants, and whose texts are JSON.
var (
	instants = regexp.MustCompile(`(_at|_since|_until)$|^(at|until|day)$`)
	nested   = regexp.MustCompile(`^(checks|claims|details|did|document|notes)$`)
)

// readable returns a value as the file has it.
func readable(column string, value any) any {
	switch v := value.(type) {
	case int64:
		if instants.MatchString(column) {
			return time.UnixMicro(v).UTC()
		}
	case string:
		if nested.MatchString(column) && json.Valid([]byte(v)) {
			return json.RawMessage(v)
		}
	}
	return value
}

// event is an event as the person gets it.
type event struct {
	ID         string       `json:"id"`
	At         time.Time    `json:"at"`
	Action     string       `json:"action"`
	Result     string       `json:"result"`
	Actor      string       `json:"actor"`
	ActorName  string       `json:"actor_name"`
	Target     string       `json:"target"`
	TargetName string       `json:"target_name"`
	Before     audit.Fields `json:"before,omitempty"`
	After      audit.Fields `json:"after,omitempty"`
	Network    string       `json:"network,omitempty"`
	Agent      string       `json:"agent,omitempty"`
}

// told leaves out of an event what is another person's: the values that changed where something was
// done to somebody else, and the place from which somebody known did it.
func (f *File) told(e audit.Stored) event {
	x := event{
		ID: e.ID, At: e.At.UTC(), Action: string(e.Action), Result: string(e.Result), Actor: e.Actor, ActorName: e.ActorName, Target: e.Target, TargetName: e.TargetName,
	}
	if f.traces.About(e) {
		x.Before, x.After = e.Before, e.After
	}
	if e.Actor == audit.Anonymous || f.traces.By(e) {
		x.Network, x.Agent = e.Origin.Network, e.Origin.Agent
	}
	return x
}

// perPage is how many events are read at once. The actor's right is read again before each page.
const perPage = 1000

// Write writes the file. Its events are read while it is written: there may be very many.
func (f *File) Write(ctx context.Context, w io.Writer) error {
	head, err := json.Marshal(f.head)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(head[:len(head)-1], `,"events":[`...)); err != nil {
		return err
	}
	var last audit.Cursor
	for first := true; ; {
		if _, err := f.again(ctx, f.db); err != nil {
			return err
		}
		events, err := f.traces.Events(ctx, f.db, last, perPage)
		if err != nil {
			return err
		}
		var lines []byte
		for _, e := range events {
			line, err := json.Marshal(f.told(e))
			if err != nil {
				return err
			}
			if !first {
				lines = append(lines, ',')
			}
			lines, first, last = append(append(lines, '\n'), line...), false, audit.Cursor{At: e.At, ID: e.ID}
		}
		if len(events) < perPage {
			_, err = w.Write(append(lines, "]}\n"...))
			return err
		}
		if _, err := w.Write(lines); err != nil {
			return err
		}
	}
}
