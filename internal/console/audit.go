package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// auditPage lists what was done, newest first.
type auditPage struct {
	Query  auditQuery
	Kinds  []actionKind
	Spans  []span
	Rows   []auditRow
	Pages  page.Pages
	Export string // address of the page that exports what is listed
}

// auditQuery is what the address of the log asks for. A link to it can be sent to somebody: it
// has no more in it than what was chosen.
type auditQuery struct {
	query
	Action, By string
	Way        audit.Way       // of sign-ins; the overview links with it
	UTC        bool            // the days are those of UTC, as the overview counts them
	From, To   string          // days, both included, as 2026-11-22 in the reader's time zone
	NoDay      map[string]bool // the fields whose text is no day
	from       time.Time
	until      time.Time // the day after To
}

// Narrow reports whether one of the rarer filters is used.
func (q auditQuery) Narrow() bool { return q.By != "" || q.From != "" || q.To != "" }

// zone returns the parameter of UTC.
func (q auditQuery) zone() string {
	if q.UTC {
		return "utc"
	}
	return ""
}

// Unread reports whether a day could not be read, so that there is no list.
func (q auditQuery) Unread() bool { return q.NoDay["from"] || q.NoDay["to"] }

// actionKind is a part of the list of actions.
type actionKind struct {
	About   string // the end of a catalogue key
	Actions []audit.Action
}

// A span is a link to the entries since some day.
type span struct {
	Key, Path string
	Current   bool
}

// auditRow is an event with the names by which a reader knows the people in it.
type auditRow struct {
	audit.Stored
	Changed []string // catalogue keys of the fields that had another value before
	Outcome chip
	Who     string // the actor's name, as it was then
	As      string // catalogue key of what an actor is who is not a user
	Path    string
}

var resultChips = map[audit.Result]chip{
	audit.Done:    {"audit.result.done", "ok"},
	audit.Refused: {"audit.result.refused", "bad"},
}

var otherActors = map[string]string{
	audit.Operator:  "audit.actor.operator",
	audit.System:    "audit.actor.system",
	audit.Anonymous: "audit.actor.anonymous",
}

const auditFilter = "result"

// readAuditQuery reads the address of the log. A day that is none may have been typed, and is said
// beside its field; nobody types an action.
func readAuditQuery(v *page.Viewer, values url.Values) (auditQuery, error) {
	q, err := readQuery(values, auditFilter, string(audit.Done), string(audit.Refused))
	if err != nil {
		return auditQuery{}, err
	}
	a := auditQuery{
		query: q, Action: values.Get("action"), By: values.Get("by"), From: values.Get("from"), To: values.Get("to"),
		Way: audit.Way(values.Get("way")), UTC: values.Get("zone") == "utc",
	}
	if a.Way != "" && !a.Way.Known() {
		return auditQuery{}, page.ErrQuery
	}
	if _, known := audit.Actions[audit.Action(a.Action)]; !known && a.Action != "" {
		return auditQuery{}, page.ErrQuery
	}
	if a.By != "" && a.By != audit.AnyUser && otherActors[a.By] == "" {
		return auditQuery{}, page.ErrQuery
	}
	var isDay, wasDay bool
	begins := beginning
	if a.UTC {
		begins = func(_ *page.Viewer, text string) (time.Time, bool) { return dayIn(time.UTC, text) }
	}
	a.from, wasDay = begins(v, a.From)
	a.until, isDay = begins(v, a.To)
	if a.To != "" {
		a.until = a.until.AddDate(0, 0, 1)
	}
	a.NoDay = map[string]bool{"from": !wasDay, "to": !isDay}
	return a, nil
}

// beginning returns when a day begins for the reader; the zero time for an empty text.
func beginning(v *page.Viewer, text string) (time.Time, bool) { return dayIn(v.Zone(), text) }

func dayIn(zone *time.Location, text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	day, err := time.ParseInLocation(time.DateOnly, text, zone)
	return day, err == nil && day.Year() > 0
}

func (s *Server) auditLog(v *page.Viewer) error {
	q, err := readAuditQuery(v, v.R.URL.Query())
	if err != nil {
		return err
	}
	p := auditPage{Query: q, Kinds: actionKinds(v), Spans: q.spans(v, s.site.DB.Now())}
	if q.Unread() {
		v.Status(fault.Invalid)
		return v.Render("console-audit", p)
	}
	found, err := audit.List(v.R.Context(), s.site.DB, q.events(v))
	if err != nil {
		return err
	}
	p.Export = withQuery(v.Path("admin/audit/export"), q.kept())
	p.Pages = pagesOf(v.Path("admin/audit"), q.kept(), q.Before, page.Place{At: found.Next.At, ID: found.Next.ID})
	for _, e := range found.Events {
		p.Rows = append(p.Rows, auditRowOf(v, e))
	}
	return v.Render("console-audit", p)
}

// kept are the parameters that the pages of a list have in common.
func (q auditQuery) kept() url.Values {
	return parameters("q", q.Search, auditFilter, q.Filter, "action", q.Action, "by", q.By, "from", q.From, "to", q.To, "way", string(q.Way), "zone", q.zone())
}

// events returns the query for what the address asks for.
func (q auditQuery) events(v *page.Viewer) audit.Query {
	return audit.Query{
		OrgID: string(v.Organization.ID), Search: q.Search, Result: audit.Result(q.Filter),
		Action: audit.Action(q.Action), Way: q.Way, Actor: q.By, From: q.from, Until: q.until,
		Before: audit.Cursor{At: q.Before.At, ID: q.Before.ID},
	}
}

// actionKinds lists all actions by what they are about, each kind in the order of its sentences.
func actionKinds(v *page.Viewer) []actionKind {
	about := map[audit.Object][]audit.Action{}
	for action, meaning := range audit.Actions {
		about[meaning.Object] = append(about[meaning.Object], action)
	}
	var kinds []actionKind
	for _, object := range audit.Objects {
		slices.SortFunc(about[object], func(a, b audit.Action) int {
			return strings.Compare(v.Text("audit.action."+string(a)), v.Text("audit.action."+string(b)))
		})
		kinds = append(kinds, actionKind{cmp.Or(string(object), "nothing"), about[object]})
	}
	return kinds
}

// spans links to the entries of today, of seven and of thirty days, with the other choices kept.
func (q auditQuery) spans(v *page.Viewer, now time.Time) []span {
	var all []span
	for _, s := range []struct {
		key  string
		days int
	}{{"console.audit.today", 1}, {"console.audit.week", 7}, {"console.audit.month", 30}} {
		since := dayOf(now.AddDate(0, 0, 1-s.days), v)
		kept := parameters("q", q.Search, auditFilter, q.Filter, "action", q.Action, "by", q.By, "from", since, "way", string(q.Way))
		all = append(all, span{s.key, v.Path("admin/audit") + "?" + kept.Encode(), q.From == since && q.To == ""})
	}
	return all
}

func auditRowOf(v *page.Viewer, e audit.Stored) auditRow {
	row := auditRow{Stored: e, Outcome: resultChips[e.Result], Who: e.ActorName, As: otherActors[e.Actor], Path: v.Path("admin/audit", e.ID)}
	if row.Who == e.Actor {
		row.Who = "" // the operator has no name apart from this
	}
	for _, name := range slices.Sorted(maps.Keys(e.Before)) {
		if slices.Contains(fieldNames, name) {
			row.Changed = append(row.Changed, "audit.field."+name)
		}
	}
	return row
}

// entryPage shows one event in full.
type entryPage struct {
	auditRow
	ActorPath  string // empty where the actor has no page
	TargetPath string
	Changes    []change
	MayErase   bool // what the log has of the person of the entry, who was erased
	Erased     bool // just now
}

// change is one field before and after. Values are shown as they were recorded, in no language.
type change struct {
	Key    string // catalogue key of the field's name; empty for a field without one
	Name   string // as recorded
	Before string // empty if there was none, as is After
	After  string
	Deeds  []redone // in place of After, of what a restore did
}

// redone is something that a restore did again, or made void.
type redone struct {
	Key  string // catalogue key of the action; empty for how many more there are
	Name string // of the person it was about; of anything else, the id
	Path string
}

func (s *Server) auditEntry(v *page.Viewer) error {
	e, found, err := audit.ByID(v.R.Context(), s.site.DB, string(v.Organization.ID), v.ID())
	if err != nil {
		return err
	}
	if !found {
		return directory.ErrNotFound
	}
	changes := changesOf(e.Before, e.After)
	for i, c := range changes {
		if c.Name == "done_again" || c.Name == "voided" {
			if changes[i].Deeds, err = redoneOf(v, s.site.DB, e.After[c.Name]); err != nil {
				return err
			}
		}
	}
	may := owns(v.User.Role) && erasable(e) != "" && !e.ErasedOf
	v.FormIf(may)
	return v.Render("console-entry", entryPage{
		auditRow: auditRowOf(v, e), ActorPath: pathOf(v, e.Actor), TargetPath: pathOf(v, e.Target),
		Changes: changes, MayErase: may, Erased: v.Just("erased"),
	})
}

// redoneOf reads the list that a restore left in its entry: texts of an action and an id. People have
// the names that they have now; the entry itself has none, which would be there to be erased.
func redoneOf(v *page.Viewer, r db.Reader, list any) ([]redone, error) {
	texts, _ := list.([]any)
	var all []redone
	var people []directory.UserID
	for _, t := range texts {
		text, _ := t.(string)
		action, id, found := strings.Cut(text, " ")
		if _, known := audit.Actions[audit.Action(action)]; !found || !known {
			all = append(all, redone{Name: text})
			continue
		}
		if strings.HasPrefix(id, "usr_") {
			people = append(people, directory.UserID(id))
		}
		all = append(all, redone{Key: "audit.action." + action, Name: id, Path: pathOf(v, id)})
	}
	users, err := directory.UsersByID(v.R.Context(), r, v.User.OrgID, people)
	for i, one := range all {
		if u, found := users[directory.UserID(one.Name)]; found {
			all[i].Name = u.Name
		} else if strings.HasPrefix(one.Name, "usr_") {
			all[i].Path = ""
		}
	}
	return all, err
}

// pathOf returns the page of what an id names, if it has one.
func pathOf(v *page.Viewer, id string) string {
	switch {
	case !secret.IsID(id):
	case strings.HasPrefix(id, "usr_"):
		return v.Path("admin/people", id)
	case strings.HasPrefix(id, "inv_"):
		return v.Path("admin/invitations", id)
	case strings.HasPrefix(id, "grp_"):
		return v.Path("admin/groups", id)
	}
	return ""
}

var fieldNames = audit.FieldNames()

func changesOf(before, after audit.Fields) []change {
	all := maps.Clone(before)
	if all == nil {
		all = audit.Fields{}
	}
	maps.Copy(all, after)
	var changes []change
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := change{Name: name, Before: valueText(before, name), After: valueText(after, name)}
		if slices.Contains(fieldNames, name) {
			c.Key = "audit.field." + name
		}
		changes = append(changes, c)
	}
	return changes
}

// valueText returns a recorded value as text: a string as it is, anything else as JSON.
func valueText(fields audit.Fields, name string) string {
	v, ok := fields[name]
	if !ok {
		return ""
	}
	if s, ok := v.(string); ok {
		return s
	}
	var b strings.Builder
	text := json.NewEncoder(&b)
	text.SetEscapeHTML(false) // the template escapes, once
	if err := text.Encode(v); err != nil {
		return "" // it was read from JSON, so it can be written as JSON
	}
	return strings.TrimSpace(b.String())
}
