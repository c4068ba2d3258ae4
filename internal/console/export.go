package console

import (
	"io"
	"maps"
	"net/url"
	"slices"

	"parvis/internal/administration"
	"parvis/internal/administration/sheet"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/personal"
)

// The filter is that of the list, as its address has it.
var exportFields = page.Fields{"filter"}

const csvMedia = "text/csv; charset=utf-8"

// exportPage says who would be exported.
type exportPage struct {
	Filter string // as the address of the list has it
	Search string
	Among  []string // catalogue keys: what the list is filtered by
	Count  int
	Back   string
}

// Many reports whether there are more people than were counted.
func (p exportPage) Many() bool { return p.Count > administration.ExportedFreely }

// Freely returns up to how many people were counted.
func (exportPage) Freely() int { return administration.ExportedFreely }

// exported returns what is to be exported.
func exported(v *page.Viewer) (peopleQuery, error) {
	filter := v.R.URL.Query()
	if v.Form.Filled() {
		var err error
		filter, err = url.ParseQuery(v.Form.Get("filter"))
		if err != nil || slices.ContainsFunc(slices.Collect(maps.Values(filter)), func(all []string) bool { return len(all) > 1 }) {
			return peopleQuery{}, page.ErrQuery
		}
	}
	q, err := readPeopleQuery(v, filter)
	q.asked.After = administration.Place{} // from whatever page of the list it was asked for
	return q, err
}

func (s *Server) showExport(v *page.Viewer) error {
	q, err := exported(v)
	if err != nil {
		return err
	}
	kept := q.kept()
	p := exportPage{Filter: kept.Encode(), Search: q.Search, Among: q.chosen(), Back: withQuery(v.Path("admin/people"), kept)}
	if p.Count, err = administration.CountPeople(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, q.asked.Filter, administration.ExportedFreely+1); err != nil {
		return err
	}
	v.FormIf(p.Count > 0)
	return v.Render("console-export", p)
}

// maxExport is more people than any organization has.
const maxExport = 10_000_000

// export answers with the file. More than a few people need a fresh proof; after it, this page
// stands there again with its button.
func (s *Server) export(v *page.Viewer) error {
	q, err := exported(v)
	if err != nil {
		return err
	}
	ctx, actor := v.R.Context(), v.User.AsActor()
	n, err := administration.CountPeople(ctx, s.site.DB, actor, v.User.OrgID, q.asked.Filter, maxExport)
	if err != nil {
		return err
	}
	if n > administration.ExportedFreely {
		if fresh, err := v.Fresh(); err != nil {
			return err
		} else if !fresh {
			return v.ProveAgain()
		}
	}
	name := "parvis-people-" + dayOf(s.site.DB.Now(), v) + ".csv"
	return v.Download(name, csvMedia, func(w io.Writer) error {
		return s.site.Administration.ExportPeople(ctx, actor, v.User.OrgID, administration.Export{Query: q.asked, Rows: n, Into: sheet.NewTable(w, separator(v))})
	})
}

// personExport has the page that exports one person.
type personExport struct{ *Server }

func (s personExport) show(v *page.Viewer) error {
	u, err := directory.UserByID(v.R.Context(), s.site.DB, v.User.OrgID, directory.UserID(v.ID()))
	if err == nil && !v.User.Role.Governs(u.Role) {
		err = directory.ErrDenied
	}
	if err != nil {
		return err
	}
	return v.Render("console-person-export", u)
}

// export answers with everything that is kept of a person.
func (s personExport) export(v *page.Viewer) error {
	ctx := v.R.Context()
	f, err := personal.Collect(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID, directory.UserID(v.ID()))
	if err != nil {
		return err
	}
	name := "parvis-person-" + dayOf(s.site.DB.Now(), v) + ".json"
	return v.Download(name, personal.Media, func(w io.Writer) error { return f.Write(ctx, w) })
}

// separator returns what separates the cells of a file that the viewer's spreadsheet opens: a
// semicolon where a comma is the decimal sign.
func separator(v *page.Viewer) string {
	if v.Text("language.separator") == "semicolon" {
		return ";"
	}
	return ","
}
