package console

import (
	"slices"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/page"
)

var addApplicationFields = page.Fields{"kind", "name", "redirect_uris", "address"}

// applicationsPage lists what an organization's people can open.
type applicationsPage struct {
	Rows    []applicationRow
	MayAdd  bool
	Removed bool
}

type applicationRow struct {
	application.Placed
	Chips []chip
}

var standingChips = map[application.Standing]chip{
	application.AsRegistered: {"console.application.allowed", "ok"},
	application.Approved:     {"console.application.approved", "ok"},
	application.Forbidden:    {"console.application.forbidden", "bad"},
}

// applicationChips say whether people may open it, and whether it can be opened.
func applicationChips(a application.Placed) []chip {
	chips := []chip{standingChips[a.Place.Standing]}
	switch {
	case !a.FailedAt.IsZero():
		chips = append(chips, chip{"console.application.silent", "bad"})
	case a.Kind != application.Machine && !a.Connected() && len(a.Settings.RedirectURIs) == 0:
		chips = append(chips, chip{"console.application.not_connected", "warn"})
	}
	return chips
}

func (s *Server) applications(v *page.Viewer) error {
	all, err := application.Of(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID)
	if err != nil {
		return err
	}
	p := applicationsPage{MayAdd: rules(v.User.Role), Removed: v.Just("removed")}
	for _, a := range all {
		p.Rows = append(p.Rows, applicationRow{a, applicationChips(a)})
	}
	return v.Render("console-applications", p)
}

// addApplicationPage asks for the kind of application, and then for its name and address.
type addApplicationPage struct {
	Kinds []application.Kind
	Kind  application.Kind // empty until it was chosen

	frame *page.Form
}

// Settings returns what is asked of this kind of application at once.
func (p addApplicationPage) Settings(f page.Frame) (all []setting) {
	a := applicationPage{Placed: application.Placed{Application: application.Application{Kind: p.Kind}}, frame: p.frame}
	for _, name := range addApplicationFields {
		all = append(all, a.settings(f, func(t application.Setting) bool { return t.Name == name })...)
	}
	return all
}

func (s *Server) showAddApplication(v *page.Viewer) error {
	p := addApplicationPage{Kinds: application.Kinds, Kind: application.Kind(v.Form.Get("kind")), frame: v.Form}
	if p.Kind == "" {
		p.Kind = application.Kind(v.R.URL.Query().Get("kind"))
	}
	if !slices.Contains(application.Kinds, p.Kind) {
		p.Kind = ""
		v.NoForm()
	}
	return v.Render("console-add-application", p)
}

func (s *Server) addApplication(v *page.Viewer) error {
	kind := application.Kind(v.Form.Get("kind"))
	settings := application.Defaults(kind)
	keep(v.Form, kind, &settings, func(application.Setting) bool { return true })
	ctx := v.R.Context()
	var c application.Application
	var secret string
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		c, secret, err = application.Register(ctx, tx, v.User.AsActor(), s.base(), application.Application{OrgID: v.User.OrgID, Kind: kind, Settings: settings})
		return err
	}); err != nil {
		return err
	}
	if kind == application.Link {
		return v.Redirect(v.Path("admin/applications", string(c.ID)) + "?added")
	}
	return s.handOver(v, c, secret, true)
}

// handOverPage shows what a developer needs, with a secret that no other page ever shows.
type handOverPage struct {
	application.Application
	Secret    string
	Issuer    string
	Discovery string
	Added     bool // the application is new too
}

func (s *Server) handOver(v *page.Viewer, c application.Application, secret string, added bool) error {
	v.NoForm()
	return v.Render("console-application-secret", handOverPage{c, secret, s.base(), s.Provider.Configuration(), added})
}
