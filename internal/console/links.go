package console

import (
	"context"
	"slices"
	"strings"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/page"
	"parvis/internal/secret"
)

var linksFields = page.Fields{"person", "link"}

// linksShown is how many links the page of a connection names, those used last first. All links
// of a person are on that person's page.
const linksShown = 50

// shownLinks are links that a page lists, with a button for those that may be removed.
type shownLinks struct {
	Rows  []shownLink
	At    string // where the form is sent
	Whose bool   // says whose each link is
}

type shownLink struct {
	federation.Link
	Path    string // path of the person's page
	MayUndo bool
}

func linksShownTo(v *page.Viewer, all []federation.Link) (rows []shownLink) {
	for _, l := range all {
		rows = append(rows, shownLink{
			Link: l, Path: v.Path("admin/people", string(l.User.ID)),
			MayUndo: rules(v.User.Role) && v.User.Role.Governs(l.User.Role) && l.User.ID != v.User.ID,
		})
	}
	return rows
}

// unlink asks before a link is removed, of whichever page.
func (s asks) unlink(person func(*page.Viewer) string) page.Ask {
	return func(v *page.Viewer) (bool, error) {
		id := person(v)
		links, err := federation.LinksOf(v.R.Context(), s.site.DB, v.User.OrgID, directory.UserID(id))
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(links, func(l federation.Link) bool { return l.ID() == v.Form.Get("link") })
		if i < 0 {
			return false, nil // the deed says why it cannot be done
		}
		l := links[i]
		return s.confirm(v, confirmation{
			Title: v.Text("console.confirm.unlink", "Name", l.User.Name, "Connection", l.Provider), Button: v.Text("console.links.undo"), Grave: true,
			Follows: []string{v.Text("console.confirm.unlink_what", "Name", l.User.Name, "Connection", l.Provider, "Subject", l.Subject())},
			Back:    strings.TrimSuffix(v.R.URL.EscapedPath(), "/links"),
		}, s.unlinks(v, id))
	}
}

func personInPath(v *page.Viewer) string { return v.ID() }
func personInForm(v *page.Viewer) string { return v.Form.Get("person") }

// undoLink removes a link of the person whom the path names.
func (s *Server) undoLink(v *page.Viewer) error {
	return s.unlink(v, v.ID(), v.Path("admin/people", v.ID())+"?unlinked")
}

// undoLinkAtConnection removes a link that the page of a connection lists.
func (s *Server) undoLinkAtConnection(v *page.Viewer) error {
	return s.atConsole(func(b bench) error { return s.unlink(v, v.Form.Get("person"), b.path("")+"?saved") })(v)
}

func (s *Server) unlink(v *page.Viewer, person, next string) error {
	if !secret.IsID(person) {
		return directory.ErrNotFound
	}
	return v.Do(s.unlinks(v, person), next)
}

func (s *Server) unlinks(v *page.Viewer, person string) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return s.Hub.Unlink(ctx, tx, v.User.AsActor(), v.User.OrgID, directory.UserID(person), v.Form.Get("link"))
	}
}

// approve asks before a link is made.
func (s asks) approve(v *page.Viewer) (bool, error) {
	l, wanted, err := federation.Wanted(v.R.Context(), s.site.DB, v.User.OrgID, v.ID())
	if err != nil || !wanted {
		return false, err
	}
	return s.confirm(v, confirmation{
		Title: v.Text("console.links.wanted"), Button: v.Text("console.links.approve"), First: v.Text("console.confirm.approve_first", "Name", l.User.Name),
		Follows: []string{v.Text("console.confirm.approve_what", "Name", l.User.Name, "Email", l.User.Email, "Connection", l.Provider, "Subject", l.Subject())},
		Back:    v.Path("admin/single-sign-on/attempts", v.ID()),
	}, s.approves(v))
}

func (s *Server) approves(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return s.Hub.Approve(ctx, tx, v.User.AsActor(), v.User.OrgID, v.ID())
	}
}

// approveLink makes the link that was refused to an attempt.
func (s *Server) approveLink(v *page.Viewer) error {
	return v.Do(s.approves(v), v.Path("admin/single-sign-on/attempts", v.ID())+"?approved")
}
