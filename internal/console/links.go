package console

import (
	"context"

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
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.hub.Unlink(ctx, tx, v.User.AsActor(), v.User.OrgID, directory.UserID(person), v.Form.Get("link"))
	}, next)
}

// approveLink makes the link that was refused to an attempt.
func (s *Server) approveLink(v *page.Viewer) error {
	id := v.ID()
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.hub.Approve(ctx, tx, v.User.AsActor(), v.User.OrgID, id)
	}, v.Path("admin/single-sign-on/attempts", id)+"?approved")
}
