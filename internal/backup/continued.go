package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"parvis/internal/audit"
	"parvis/internal/audit/verify"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// An Export is an audit export that somebody has kept.
type Export struct {
	Name string // of its file
	Open Source
}

// What is wrong with an audit export. Nothing was written when one of these is returned.
var (
	ErrExportAltered  = errors.New("the audit export was damaged or altered since it was made")
	ErrExportFiltered = errors.New("the audit export leaves out entries since the backup: export the whole log, unfiltered")
	ErrExportForeign  = errors.New("the backup has no key for the log of this audit export: it is of another installation or address, of a time since another restore, " +
		"or of an organization whose log was not signed before the backup")
	ErrExportApart = errors.New("the audit export does not continue what the backup has of this log")
	ErrExportOlder = errors.New("the audit export is older than the backup")
	ErrExportTwice = errors.New("two audit exports are of one log: name the newer one alone")
	ErrOwnerless   = errors.New("after what the audit export says, an organization has no owner who is active, and nobody could make one: restore without it")
	ErrExportNewer = errors.New("the audit export has an action that this version of parvis does not know: restore with the version that made it")
)

// Logs is what a backup, or a database, knows of its logs: what an export must continue.
type Logs struct {
	sealing *secret.Ring
	epoch   string
	logs    map[string]verify.Checkpoint // by organization
	keys    map[string]logKey            // by name
	waits   map[string]bool              // the ids of events without a place
}

type logKey struct{ org, sealed string }

// Continued is an export that goes on where a backup ends.
type Continued struct {
	Name  string
	Org   string // empty for the installation's log
	Size  int64  // of the log, as far as the export knows it
	Since int64  // how many events it has since the backup
	Until time.Time
	Done  []Item // what Restore and Adopt did, in the order of the events

	events []Event // about which something is to be done
	erased []Event // those of them after which the log is to lose something
	owners []Event // the last of those whom the log made owners
}

// An Item is something that was done about an event.
type Item struct {
	Event
	Again bool // it was done again; otherwise what it may have ended is void
}

// LogsOf reads what a backup has of its logs, once Check found it whole.
func LogsOf(from Source, keys secret.Keys) (*Logs, error) {
	in, err := from()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	r, err := open(in, keys)
	if err != nil {
		return nil, err
	}
	l := newLogs(keys.Sealing)
	var now db.Table
	return l, r.lines(func(line []byte) error {
		if strings.HasPrefix(string(line), "[") {
			return l.row(now, line)
		}
		now = db.Table{}
		if err := json.Unmarshal(line, &now); err != nil {
			return ErrDamaged
		}
		return nil
	})
}

// LogsIn is LogsOf for a database.
func LogsIn(ctx context.Context, d *db.DB, keys secret.Keys) (*Logs, error) {
	l := newLogs(keys.Sealing)
	return l, d.View(ctx, func(tx *db.Tx) error {
		if err := tx.Unhurried(ctx); err != nil {
			return err
		}
		tables, err := tx.Tables(ctx)
		for _, t := range tables {
			if err == nil && l.reads(t.Name) {
				err = tx.Copy(ctx, t, func(line []byte) error { return l.row(t, line) })
			}
		}
		return err
	})
}

func newLogs(sealing *secret.Ring) *Logs {
	return &Logs{sealing: sealing, logs: map[string]verify.Checkpoint{}, keys: map[string]logKey{}, waits: map[string]bool{}}
}

func (l *Logs) reads(table string) bool {
	return slices.Contains([]string{"audit_logs", "audit_keys", "audit_events", "installation"}, table)
}

// row takes a row of a table, as Copy writes it.
func (l *Logs) row(t db.Table, line []byte) error {
	if !l.reads(t.Name) {
		return nil
	}
	var values []json.RawMessage
	if err := json.Unmarshal(line, &values); err != nil || len(values) != len(t.Columns) {
		return ErrDamaged
	}
	text := func(column string) string {
		var v string
		if i := slices.Index(t.Columns, column); i >= 0 && json.Unmarshal(values[i], &v) != nil {
			v = string(values[i]) // a number
		}
		return v
	}
	switch t.Name {
	case "audit_keys":
		l.keys[text("name")] = logKey{text("org_id"), text("seed")}
	case "audit_events":
		if leaf := text("leaf"); leaf == "" {
			l.waits[text("id")] = true
		}
	case "installation":
		var e audit.Epoch
		if text("name") == audit.EpochNote && json.Unmarshal([]byte(text("value")), &e) == nil {
			l.epoch = audit.EpochName(e.At)
		}
	case "audit_logs":
		var c verify.Checkpoint
		var err error
		if c.Root, err = tlog.ParseHash(text("root")); err != nil {
			return ErrDamaged
		}
		if err := json.Unmarshal([]byte(text("size")), &c.Size); err != nil {
			return ErrDamaged
		}
		l.logs[text("org_id")] = c
	}
	return nil
}

// Continue reads exports, each of which must be signed by the key that its log had at the backup, and
// go on from there without a gap.
func (l *Logs) Continue(exports []Export) ([]*Continued, error) {
	var all []*Continued
	for _, x := range exports {
		c, err := l.goOn(x)
		if err == nil && slices.ContainsFunc(all, func(o *Continued) bool { return o.Org == c.Org }) {
			err = ErrExportTwice
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.Name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (l *Logs) goOn(x Export) (*Continued, error) {
	key, size, org, err := l.keyFor(x)
	if err != nil {
		return nil, err
	}
	base, sealed := l.logs[org]
	if !sealed {
		base = verify.Empty
	}
	in, err := x.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	c := &Continued{Name: x.Name, Org: org}
	next, latest := base.Size, map[string]int{}
	check := verify.Verifier{Key: key, Since: &base, Each: func(e *verify.Event) error {
		if *e.Leaf < base.Size {
			return nil
		}
		if *e.Leaf != next {
			return ErrExportFiltered
		}
		next++
		return c.take(e, latest, l.waits)
	}}
	found, err := check.Verify(in)
	switch {
	case errors.Is(err, verify.ErrSince) && size < base.Size:
		return nil, fmt.Errorf("%w: it covers %d entries of the log, and the backup has %d", ErrExportOlder, size, base.Size)
	case errors.Is(err, verify.ErrSince):
		return nil, ErrExportApart
	case errors.Is(err, verify.ErrPart), err == nil && next != found.Size:
		return nil, ErrExportFiltered
	case err != nil:
		return nil, explained(err)
	}
	c.Size, c.Since = found.Size, found.Size-base.Size
	c.events = slices.DeleteFunc(c.events, func(e Event) bool { return e.Action == "" })
	return c, nil
}

// explained calls altered whatever does not fit, unless it has a name of its own.
func explained(err error) error {
	_, ofDisk := errors.AsType[*fs.PathError](err)
	if ofDisk || errors.Is(err, ErrExportNewer) || errors.Is(err, ErrExportFiltered) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrExportAltered, err)
}

// keyFor finds by the first line of an export what it must be signed with, and whose log it is of how
// many entries. The key is that of the epoch of the backup: a log that was restored since has another.
func (l *Logs) keyFor(x Export) (key note.Verifier, size int64, org string, err error) {
	in, err := x.Open()
	if err != nil {
		return nil, 0, "", err
	}
	name, size, err := verify.Begins(in)
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, 0, "", explained(err)
	}
	k, known := l.keys[name]
	tail := "/audit"
	for _, part := range []string{k.org, l.epoch} {
		if part != "" {
			tail += "/" + part
		}
	}
	if !known || !strings.HasSuffix(name, tail) {
		return nil, 0, "", ErrExportForeign
	}
	key, err = audit.KeyOf(l.sealing, name, k.sealed)
	return key, size, k.org, err
}

// take notes an event about which something is to be done. Of what waited to be sealed at the backup, the
// backup has the events, and so what they are about.
func (c *Continued) take(v *verify.Event, latest map[string]int, waited map[string]bool) error {
	d, known := deedOf(audit.Action(v.Action))
	if !known {
		return fmt.Errorf("%w: %s", ErrExportNewer, v.Action)
	}
	at, err := time.Parse(time.RFC3339, v.At)
	if err != nil || v.Organization != c.Org {
		return ErrExportAltered
	}
	c.Until = at
	if v.Result != string(audit.Done) || waited[v.ID] {
		return nil
	}
	if about := d.subject + " " + v.Target; d.subject != "" {
		if i, earlier := latest[about]; earlier {
			c.events[i] = Event{}
		}
		latest[about] = len(c.events)
		c.events = append(c.events, Event{})
	}
	if d.kind == passes {
		return nil
	}
	e := Event{Org: c.Org, ID: v.ID, Actor: v.Actor, Target: v.Target, Name: v.TargetName, Action: d.action, At: at}
	if !v.Erased() {
		e.fields, e.before = map[string]any{}, map[string]any{}
		for into, half := range map[*map[string]any]json.RawMessage{&e.before: v.Before, &e.fields: v.After} {
			if len(half) > 0 && string(half) != "null" && json.Unmarshal(half, into) != nil {
				return ErrExportAltered
			}
		}
		if len(e.fields) == 0 {
			e.fields = e.before
		}
	}
	if e.Action == roleChanged {
		c.owners = slices.DeleteFunc(c.owners, func(o Event) bool { return o.Target == e.Target })
		if e.text("role") == string(directory.Owner) {
			c.owners = append(c.owners, e)
		}
	}
	if d.subject != "" {
		c.events[len(c.events)-1] = e
	} else {
		c.events = append(c.events, e)
	}
	return nil
}
