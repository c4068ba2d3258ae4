package console

import (
	"time"

	"parvis/internal/page"
	"parvis/internal/provisioning"
)

// callsPage lists calls, the newest first.
type callsPage struct {
	provisioning.Source
	Calls []shownCall
	Older string // address of the next page; empty on the last
}

func (s sources) showCalls(v *page.Viewer) error {
	source, err := provisioning.SourceByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return err
	}
	var before provisioning.Call
	query := v.R.URL.Query()
	if at, err := time.Parse(time.RFC3339Nano, query.Get("before")); err == nil {
		before = provisioning.Call{At: at, ID: query.Get("id")}
	}
	p := callsPage{Source: source}
	if p.Calls, err = s.calls(v, source, before, mostCalls); err != nil {
		return err
	}
	if n := len(p.Calls); n == mostCalls {
		last := p.Calls[n-1]
		p.Older = v.Path("admin/provisioning", source.ID, "calls") + "?before=" + last.At.UTC().Format(time.RFC3339Nano) + "&id=" + last.ID
	}
	return v.Render("console-calls", p)
}
