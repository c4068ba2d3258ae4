package console

import (
	"context"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/page"
)

var onlyFields = page.Fields{"break_glass[]", page.Tick("confirmed")}

var errOnlyNotConfirmed = fault.Field("confirmed", "console.only.not_confirmed")

// outsideShown is how many people the page names.
const outsideShown = 50

// onlyPage says whether single sign-on is the only way in, and whom it would leave outside.
type onlyPage struct {
	Only      bool
	Since     time.Time
	Outside   []directory.User // the first of them
	Count     int
	More      int
	Owners    []directory.User // owners who could be allowed to break the glass
	Recent    bool
	MayChange bool
	Done      string // catalogue key of what was just done
	named     map[directory.UserID]bool
}

// Named reports whether an owner was chosen, or may break the glass already.
func (p onlyPage) Named(u directory.User) bool { return p.named[u.ID] || u.BreaksGlass() }

func (s *Server) showOnly(v *page.Viewer) error {
	ctx := v.R.Context()
	p := onlyPage{
		Only: v.Organization.FederatedOnly(), Since: v.Organization.FederatedSince, MayChange: rules(v.User.Role),
		named: map[directory.UserID]bool{},
	}
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		if p.Outside, err = federation.Outside(ctx, tx, v.User.OrgID); err != nil {
			return err
		}
		if p.Owners, err = federation.BreakGlass(ctx, tx, v.User.OrgID); err != nil {
			return err
		}
		p.Recent, err = federation.Succeeded(ctx, tx, v.User.OrgID)
		return err
	}); err != nil {
		return err
	}
	p.Count = len(p.Outside)
	p.Outside = p.Outside[:min(p.Count, outsideShown)]
	p.More = p.Count - len(p.Outside)
	for _, id := range v.Form.All("break_glass[]") {
		p.named[directory.UserID(id)] = true
	}
	switch {
	case v.Just("on"):
		p.Done = "console.only.turned_on"
	case v.Just("off"):
		p.Done = "console.only.turned_off"
	}
	v.FormIf(p.MayChange && (p.Only || p.Recent && len(p.Owners) > 0))
	return v.Render("console-only", p)
}

func (s *Server) changeOnly(v *page.Viewer) error {
	actor, org := v.User.AsActor(), v.User.OrgID
	if v.Form.Do() == "off" {
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			return directory.EndFederatedOnly(ctx, tx, actor, org, "requested")
		}, v.Path("admin/single-sign-on/only")+"?off")
	}
	if !v.Form.Ticked("confirmed") {
		return errOnlyNotConfirmed
	}
	var owners []directory.UserID
	for _, id := range v.Form.All("break_glass[]") {
		owners = append(owners, directory.UserID(id))
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.hub.MakeOnly(ctx, tx, actor, org, owners)
	}, v.Path("admin/single-sign-on/only")+"?on")
}
