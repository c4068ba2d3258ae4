package console

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"net/url"
	"slices"

	"parvis/internal/administration"
	"parvis/internal/administration/sheet"
	"parvis/internal/audit"
	"parvis/internal/page"
)

// journal has the pages that are about the whole audit log.
type journal struct{ *Server }

func (j journal) mount(ask asks) {
	j.site.Console(readsAudit, "GET /o/{org}/admin/audit", j.auditLog)
	j.site.ReadingForm(readsAudit, "/o/{org}/admin/audit/export", eventExportFields, j.showExport, j.export)
	j.site.Console(readsAudit, "GET /o/{org}/admin/audit/check", j.check)
	j.site.ConsoleForm(readsAudit, owns, "/o/{org}/admin/audit/keeping", keepingFields, j.showKeeping, j.keep, ask.keeping)
	j.site.ConsoleForm(readsAudit, owns, "/o/{org}/admin/audit/{id}", nil, j.auditEntry, j.erase, ask.erase)
}

var eventExportFields = page.Fields{"filter", "format"}

// The formats of an export: one that can be checked, and one for spreadsheets.
const (
	linesFormat = "jsonl"
	tableFormat = "csv"
)

const linesMedia = "application/jsonl; charset=utf-8"

// eventExportPage says what would be exported.
type eventExportPage struct {
	Filter string     // as the address of the log has it
	Among  []fact     // what the log is filtered by
	Back   string     // to the log
	Query  auditQuery // an export by more than a time cannot show that nothing is missing
}

// fact is a name and a value, both in the viewer's language.
type fact struct{ Name, Value string }

// selected returns what is to be exported: the log as its address has it.
func (j journal) selected(v *page.Viewer) (auditQuery, error) {
	filter := v.R.URL.Query()
	if v.Form.Filled() {
		var err error
		filter, err = url.ParseQuery(v.Form.Get("filter"))
		if err != nil || slices.ContainsFunc(slices.Collect(maps.Values(filter)), func(all []string) bool { return len(all) > 1 }) {
			return auditQuery{}, page.ErrQuery
		}
	}
	q, err := readAuditQuery(v, filter)
	if err == nil && q.Unread() {
		err = page.ErrQuery
	}
	return q, err
}

func (j journal) showExport(v *page.Viewer) error {
	q, err := j.selected(v)
	if err != nil {
		return err
	}
	v.FormIf(true)
	kept := q.kept()
	return v.Render("console-audit-export", eventExportPage{Filter: kept.Encode(), Among: q.facts(v), Back: withQuery(v.Path("admin/audit"), kept), Query: q})
}

func (j journal) export(v *page.Viewer) error {
	q, err := j.selected(v)
	if err != nil {
		return err
	}
	format := cmp.Or(v.Form.Get("format"), linesFormat)
	if format != linesFormat && format != tableFormat {
		return page.ErrQuery
	}
	media := linesMedia
	if format == tableFormat {
		media = csvMedia
	}
	return v.Download("parvis-audit-"+dayOf(j.site.DB.Now(), v)+"."+format, media, func(w io.Writer) error {
		x := administration.EventExport{Query: q.events(v)}
		if format == tableFormat {
			x.Table = sheet.NewTable(w, separator(v))
		} else {
			x.Lines = w
		}
		return j.site.Administration.ExportEvents(v.R.Context(), v.User.AsActor(), v.User.OrgID, x)
	})
}

// facts says in words what the log is filtered by.
func (q auditQuery) facts(v *page.Viewer) (all []fact) {
	add := func(name, value string) {
		if value != "" {
			all = append(all, fact{v.Text(name), value})
		}
	}
	add("console.search", q.Search)
	if q.Action != "" {
		add("console.column.action", v.Text("audit.action."+q.Action))
	}
	if q.Filter != "" {
		add("console.column.result", v.Text("audit.result."+q.Filter))
	}
	switch key := otherActors[q.By]; {
	case q.By == audit.AnyUser:
		add("console.column.actor", v.Text("console.audit.a_person"))
	case key != "":
		add("console.column.actor", v.Text(key))
	}
	if q.Way != "" {
		add("audit.field.method", v.Text("console.overview.way."+string(q.Way)))
	}
	add("console.audit.from", q.From)
	add("console.audit.to", q.To)
	return all
}

// checkPage has what somebody needs to check the log without trusting us.
type checkPage struct {
	audit.Checkpoint
	Command string
	Altered bool // the log is not the one that this server knows
}

func (j journal) check(v *page.Viewer) error {
	c, err := j.site.Administration.Audit.Checkpoint(v.R.Context(), j.site.DB, string(v.User.OrgID))
	altered := errors.Is(err, audit.ErrAltered)
	if err != nil && !altered {
		return err
	}
	return v.Render("console-audit-check", checkPage{Checkpoint: c, Command: "go run ./cmd/auditverify -key '" + c.Key + "' export.jsonl", Altered: altered})
}
