package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"parvis/internal/db"
)

// Selection reads the sealed events of a query in their order, up to the newest one when it was
// made. A query for a time alone selects all between the first and the last event of that time, so
// that nothing inside can be missing unseen.
type Selection struct {
	q      Query
	next   int64 // the first place that was not read
	end    int64
	filter bool
}

// Select begins a selection.
func Select(ctx context.Context, r db.Reader, q Query) (*Selection, error) {
	t, err := treeOf(ctx, r, q.OrgID)
	if err != nil {
		return nil, err
	}
	return selectFrom(ctx, r, q, t)
}

func selectFrom(ctx context.Context, r db.Reader, q Query, t tree) (*Selection, error) {
	s := &Selection{q: q, next: t.first, end: t.size, filter: q.Filtered()}
	// Neighbours in time may have been sealed a second apart, in another order.
	if !q.From.IsZero() {
		var first *int64
		_, err := r.One(ctx, db.Into(&first), `
			select min(leaf) from (
				select leaf from audit_events where org_id = $1 and at >= $2 and leaf is not null order by at, id limit $3) near`,
			q.OrgID, db.Time(q.From), perRead)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = &s.end
		}
		s.next = max(s.next, min(*first, s.end))
	}
	if !q.Until.IsZero() {
		var last *int64
		_, err := r.One(ctx, db.Into(&last), `
			select max(leaf) from (
				select leaf from audit_events where org_id = $1 and at < $2 and leaf is not null order by at desc, id desc limit $3) near`,
			q.OrgID, db.Time(q.Until), perRead)
		if err != nil {
			return nil, err
		}
		if last == nil {
			none := int64(-1)
			last = &none
		}
		s.end = max(s.next, min(s.end, *last+1))
	}
	return s, nil
}

// Filtered reports whether the query leaves out events of its time.
func (q Query) Filtered() bool {
	return q.Search != "" || q.Result != "" || q.Action != "" || q.Way != "" || q.Actor != "" || q.Target != ""
}

// Next returns the next events, at most 1,000, and none at the end. Their fields are only text.
func (s *Selection) Next(ctx context.Context, r db.Reader) ([]Stored, error) {
	var all []Stored
	err := r.Rows(ctx, func(scan func(...any) error) error {
		e := Stored{}
		err := scan(e.targets()...)
		e.OrgID, e.ErasedBy, e.ErasedOf = s.q.OrgID, e.bySalt == "", e.ofSalt == ""
		all = append(all, e)
		return err
	}, `
		select `+columns+`
		from audit_events
		where org_id = $1 and leaf >= $2 and leaf < $3 and ($4 = '' or result = $4) and ($5 = '' or action = $5)
			and ($6 = '' or actor = $6 or $6 = '`+AnyUser+`' and actor like 'usr\_%' escape '\') and ($7 = '' or target = $7)
			and search_key like $8 escape '\' and search_key like $9 escape '\' and search_key like $10 escape '\'
			and (after like $11 escape '\' or after like $12 escape '\')
		order by leaf
		limit $13`,
		s.q.OrgID, s.next, s.end, string(s.q.Result), string(s.q.Action), s.q.Actor, s.q.Target,
		pattern(s.q.Search, 0), pattern(s.q.Search, 1), pattern(s.q.Search, 2), s.q.Way.pattern(0), s.q.Way.pattern(1), perRead)
	if len(all) > 0 {
		s.next = all[len(all)-1].Leaf + 1
	}
	return all, err
}

// Texts returns the fields of an event as they are stored: JSON, or nothing.
func (e *Stored) Texts() (before, after string) { return e.before, e.after }

// Export is an export of a log as JSON Lines, which cmd/auditverify checks.
type Export struct {
	Query Query
	Into  io.Writer
	// Again says before each read whether the reader still may.
	Again func(context.Context, db.Reader) error
}

// Export writes a log's sealed events: a line that begins it with a checkpoint, a line for each
// event, a line for each gap with the hashes that fill it, and a line at the end, without which it
// is not whole.
func (l *Logs) Export(ctx context.Context, d *db.DB, x Export) error {
	c, err := l.Checkpoint(ctx, d, x.Query.OrgID)
	if err != nil {
		return err
	}
	t, err := treeOf(ctx, d, x.Query.OrgID)
	if err != nil {
		return err
	}
	t.size = c.Size
	s, err := selectFrom(ctx, d, x.Query, t)
	if err != nil {
		return err
	}
	file := &exported{w: bufio.NewWriterSize(x.Into, 64<<10), tiles: newTiles(ctx, d, x.Query.OrgID), size: c.Size}
	file.object("begin", beginning{Version: leafVersion, Log: l.origin(x.Query.OrgID), Checkpoint: c.Note, ExportedAt: d.Now().UTC().Format(instantFormat), Filter: x.Query.Text()})
	if !s.filter {
		file.skip(s.next)
	}
	for file.err == nil {
		if err := x.Again(ctx, d); err != nil {
			return err
		}
		events, err := s.Next(ctx, d)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			break
		}
		for i := range events {
			if s.filter {
				file.skip(events[i].Leaf)
			}
			file.event(&events[i])
		}
	}
	if !s.filter {
		file.at = s.end
	}
	file.skip(c.Size)
	file.object("end", map[string]int64{"events": file.events})
	if file.err == nil {
		file.err = file.w.Flush()
	}
	if file.err != nil {
		return fmt.Errorf("writing an export: %w", file.err)
	}
	return nil
}

// beginning is what the first line has.
type beginning struct {
	Version    string `json:"version"`
	Log        string `json:"log"`
	Checkpoint string `json:"checkpoint"`
	ExportedAt string `json:"exported_at"`
	Filter     string `json:"filter"`
}

// gap says which events are not in a file, with the hashes of the complete subtrees that they fill.
type gap struct {
	From   int64    `json:"from"`
	To     int64    `json:"to"`
	Hashes []string `json:"hashes"`
}

// exported is a file that is being written.
type exported struct {
	w      *bufio.Writer
	tiles  *tiles
	size   int64 // of the tree
	at     int64 // the first place that the file has nothing of
	events int64
	line   []byte
	err    error
}

// object writes a line with one member.
func (f *exported) object(name string, value any) {
	if f.err == nil {
		f.err = json.NewEncoder(f.w).Encode(map[string]any{name: value})
	}
}

// skip leaves out the events up to a place.
func (f *exported) skip(to int64) {
	if f.err != nil || to <= f.at {
		return
	}
	g := gap{From: f.at, To: to}
	for _, s := range spans(f.at, to) {
		h, err := f.tiles.subtree(s.level, s.n)
		if err != nil {
			f.err = err
			return
		}
		g.Hashes = append(g.Hashes, h.String())
	}
	f.object("gap", g)
	f.at = to
}

// event writes a line with everything that the leaf of an event is made from: its own members, and
// the salts and texts of the halves that were not erased.
func (f *exported) event(e *Stored) {
	if f.err != nil {
		return
	}
	stored, err := f.tiles.subtree(0, e.Leaf)
	if err != nil {
		f.err = err
		return
	}
	b := strconv.AppendInt(append(f.line[:0], `{"leaf":`...), e.Leaf, 10)
	b = quote(append(b, `,"hash":`...), stored.String())
	if full := int64(1) << tileHeight; (e.Leaf+1)%full == 0 {
		above, err := f.tiles.subtree(tileHeight, e.Leaf/full)
		if err != nil {
			f.err = err
			return
		}
		b = quote(append(b, `,"tile":`...), above.String())
	}
	b = e.leaf().members(append(b, ','))
	if !e.ErasedBy {
		b = quote(append(b, `,"by_salt":`...), e.bySalt)
		b = quote(append(b, `,"actor_name":`...), e.ActorName)
		b = quote(append(b, `,"network":`...), e.Origin.Network)
		b = quote(append(b, `,"agent":`...), e.Origin.Agent)
		b = quote(append(b, `,"session":`...), e.Session)
		b = quote(append(b, `,"method":`...), e.Method)
		b = quote(append(b, `,"region":`...), e.Region)
	}
	if !e.ErasedOf {
		b = quote(append(b, `,"of_salt":`...), e.ofSalt)
		b = quote(append(b, `,"target_name":`...), e.TargetName)
		b = object(append(b, `,"before":`...), e.before)
		b = object(append(b, `,"after":`...), e.after)
	}
	f.line = append(b, '}', '\n')
	_, f.err = f.w.Write(f.line)
	f.at, f.events = e.Leaf+1, f.events+1
}

// object appends fields as they are stored. What cannot be read as JSON becomes a text, and does
// not fit its hash.
func object(b []byte, text string) []byte {
	if text == "" {
		return append(b, "null"...)
	}
	var whole bytes.Buffer
	if json.Compact(&whole, []byte(text)) != nil {
		return quote(b, strings.ToValidUTF8(text, "�"))
	}
	return append(b, whole.Bytes()...)
}

// Text says in a line what a query is for. A search may be personal, and is left out.
func (q Query) Text() string {
	var all []string
	for _, part := range []struct{ name, value string }{
		{"result", string(q.Result)}, {"action", string(q.Action)}, {"way", string(q.Way)}, {"actor", q.Actor}, {"target", q.Target},
		{"from", instantText(q.From)}, {"until", instantText(q.Until)},
	} {
		if part.value != "" {
			all = append(all, part.name+": "+part.value)
		}
	}
	return strings.Join(all, ", ")
}

func instantText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(instantFormat)
}
