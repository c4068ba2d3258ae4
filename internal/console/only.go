package console

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/page"
)

var onlyFields = page.Fields{"break_glass[]"}

// onlyPage says whether single sign-on is the only way in, whom it would leave outside, and what is
// missing before it can be.
type onlyPage struct {
	Only      bool
	Since     time.Time
	Outside   int
	List      string           // address of the list of these people
	Owners    []directory.User // owners who could be allowed to break the glass
	Recent    bool
	MayChange bool
	Done      string // catalogue key of what was just done
	named     map[directory.UserID]bool
}

// Missing reports whether something must be done before it can be the only way.
func (p onlyPage) Missing() bool { return !p.Recent || len(p.Owners) == 0 }

// Named reports whether an owner was chosen, or may break the glass already.
func (p onlyPage) Named(u directory.User) bool { return p.named[u.ID] || u.BreaksGlass() }

func (s *Server) showOnly(v *page.Viewer) error {
	p, err := s.onlyOf(v)
	if err != nil {
		return err
	}
	for _, id := range v.Form.All("break_glass[]") {
		p.named[directory.UserID(id)] = true
	}
	switch {
	case v.Just("on"):
		p.Done = "console.only.turned_on"
	case v.Just("off"):
		p.Done = "console.only.turned_off"
	}
	v.FormIf(p.MayChange && (p.Only || !p.Missing()))
	return v.Render("console-only", p)
}

func (s *Server) onlyOf(v *page.Viewer) (p onlyPage, err error) {
	ctx := v.R.Context()
	p = onlyPage{
		Only: v.Organization.FederatedOnly(), Since: v.Organization.FederatedSince, MayChange: rules(v.User.Role),
		List: v.Path("admin/single-sign-on/only/people"), named: map[directory.UserID]bool{},
	}
	err = s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		outside, err := federation.Outside(ctx, tx, v.User.OrgID)
		if err != nil {
			return err
		}
		p.Outside = len(outside)
		if p.Owners, err = federation.BreakGlass(ctx, tx, v.User.OrgID); err != nil {
			return err
		}
		p.Recent, err = federation.Succeeded(ctx, tx, v.User.OrgID)
		return err
	})
	return p, err
}

// outsidePage lists the people who would lose access.
type outsidePage struct {
	Rows      []personRow
	Pages     page.Pages
	MayChange bool // nobody is ticked here
}

// outsideShown is how many people a page of the list has.
const outsideShown = 50

func (s *Server) outside(v *page.Viewer) error {
	before, err := page.ParsePlace(v.R.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	all, err := federation.Outside(v.R.Context(), s.site.DB, v.User.OrgID)
	if err != nil {
		return err
	}
	rest := all[slices.IndexFunc(all, func(u directory.User) bool { return string(u.ID) == before.ID })+1:]
	var p outsidePage
	var next page.Place
	for i, u := range rest {
		if i == outsideShown {
			last := rest[i-1]
			next = page.Place{At: last.CreatedAt, ID: string(last.ID)}
			break
		}
		p.Rows = append(p.Rows, rowOf(v, administration.Line{User: &u}, s.site.DB.Now()))
	}
	p.Pages = pagesOf(v.Path("admin/single-sign-on/only/people"), url.Values{}, before, next)
	return v.Render("console-outside", p)
}

// only asks before the ways into the organization change.
func (s asks) only(v *page.Viewer) (bool, error) {
	c := confirmation{Back: v.Path("admin/single-sign-on/only")}
	switch v.Form.Asked() {
	case "off":
		c.Title, c.Button, c.Follows = v.Text("console.confirm.only_off"), v.Text("console.only.turn_off"), []string{v.Text("console.only.turn_off_what")}
		return s.confirm(v, c, endsOnly(v))
	case "on":
		p, err := s.onlyOf(v)
		if err != nil {
			return false, err
		}
		c.Title, c.Button, c.Grave = v.Text("console.confirm.only_on"), v.Text("console.only.turn_on"), true
		if c.Affects = []string{v.Text("console.only.nobody_outside")}; p.Outside > 0 {
			c.Affects, c.List = []string{v.Text("console.only.outside", "Count", p.Outside)}, p.List
		}
		var kept []string
		for _, o := range p.Owners {
			if slices.Contains(v.Form.All("break_glass[]"), string(o.ID)) {
				kept = append(kept, o.Name)
			}
		}
		c.Follows = []string{v.Text("console.only.what"), v.Text("console.confirm.only_kept", "Names", strings.Join(kept, ", ")), v.Text("console.only.reverts")}
		return s.confirm(v, c, s.makesOnly(v))
	}
	return false, nil
}

func endsOnly(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return directory.EndFederatedOnly(ctx, tx, v.User.AsActor(), v.User.OrgID, "requested")
	}
}

func (s *Server) makesOnly(v *page.Viewer) func(context.Context, *db.Tx) error {
	var owners []directory.UserID
	for _, id := range v.Form.All("break_glass[]") {
		owners = append(owners, directory.UserID(id))
	}
	return func(ctx context.Context, tx *db.Tx) error {
		return s.Hub.MakeOnly(ctx, tx, v.User.AsActor(), v.User.OrgID, owners)
	}
}

func (s *Server) changeOnly(v *page.Viewer) error {
	here := v.Path("admin/single-sign-on/only")
	switch v.Form.Asked() {
	case "off":
		return v.Do(endsOnly(v), here+"?off")
	case "on":
		return v.Do(s.makesOnly(v), here+"?on")
	}
	return s.showOnly(v)
}
