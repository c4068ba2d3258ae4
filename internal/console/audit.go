package console

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// auditPage lists what was done, newest first.
type auditPage struct {
	Query query
	Rows  []auditRow
	Pages page.Pages
}

// auditRow is an event with the names by which a reader knows the people in it.
type auditRow struct {
	audit.Stored
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

func (s *Server) auditLog(v *page.Viewer) error {
	const filter = "result"
	q, err := readQuery(v, filter, string(audit.Done), string(audit.Refused))
	if err != nil {
		return err
	}
	found, err := audit.List(v.R.Context(), s.site.DB, audit.Query{
		OrgID: string(v.Organization.ID), Search: q.Search, Result: audit.Result(q.Filter),
		Before: audit.Cursor{At: q.Before.At, ID: q.Before.ID},
	})
	if err != nil {
		return err
	}
	p := auditPage{Query: q, Pages: q.pagesOf(v.Path("admin/audit"), filter, page.Place{At: found.Next.At, ID: found.Next.ID})}
	for _, e := range found.Events {
		p.Rows = append(p.Rows, auditRowOf(v, e))
	}
	return v.Render("console-audit", p)
}

func auditRowOf(v *page.Viewer, e audit.Stored) auditRow {
	row := auditRow{Stored: e, Outcome: resultChips[e.Result], Who: e.ActorName, As: otherActors[e.Actor], Path: v.Path("admin/audit", e.ID)}
	if row.Who == e.Actor {
		row.Who = "" // the operator has no name apart from this
	}
	return row
}

// entryPage shows one event in full.
type entryPage struct {
	auditRow
	ActorPath  string // empty where the actor has no page
	TargetPath string
	Changes    []change
}

// change is one field before and after. Values are shown as they were recorded, in no language.
type change struct {
	Key    string // catalogue key of the field's name; empty for a field without one
	Name   string // as recorded
	Before string // empty if there was none, as is After
	After  string
}

func (s *Server) auditEntry(v *page.Viewer) error {
	e, found, err := audit.ByID(v.R.Context(), s.site.DB, string(v.Organization.ID), v.ID())
	if err != nil {
		return err
	}
	if !found {
		return directory.ErrNotFound
	}
	return v.Render("console-entry", entryPage{
		auditRow: auditRowOf(v, e), ActorPath: pathOf(v, e.Actor), TargetPath: pathOf(v, e.Target),
		Changes: changesOf(e.Before, e.After),
	})
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
