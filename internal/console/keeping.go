package console

import (
	"context"
	"slices"
	"strconv"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
)

var keepingFields = page.Fields{"days", page.Tick("hold")}

// keptOffered are the days that the page lists, within the bounds that administration checks.
var keptOffered = []int{90, 180, audit.KeptByDefault, 730, 1095, 1826, audit.LongestKept}

// keepingPage says how long the entries of the log are kept.
type keepingPage struct {
	Now       audit.Keeping
	Kept      int // days
	Offered   []int
	MayChange bool
	Saved     bool
}

// Holds reports whether the box of the hold is ticked: as it was sent, or as it is.
func (p keepingPage) Holds(f page.Frame) bool {
	if f.Typed("days", "") != "" {
		return f.Typed("hold", "") == "yes"
	}
	return !p.Now.Held.IsZero()
}

func (j journal) showKeeping(v *page.Viewer) error {
	now, err := audit.KeepingOf(v.R.Context(), j.site.DB, string(v.User.OrgID))
	if err != nil {
		return err
	}
	most := j.site.Administration.Audit.Longest()
	p := keepingPage{Now: now, Kept: now.Kept(most), MayChange: owns(v.User.Role), Saved: v.Just("saved")}
	for _, days := range append(slices.Clone(keptOffered), p.Kept, most) {
		if days <= most && !slices.Contains(p.Offered, days) {
			p.Offered = append(p.Offered, days)
		}
	}
	slices.Sort(p.Offered)
	v.FormIf(p.MayChange)
	return v.Render("console-audit-keeping", p)
}

// typedKeeping returns the days of the form: what is none is out of bounds.
func typedKeeping(f *page.Form) int {
	days, err := strconv.Atoi(f.Get("days"))
	if err != nil {
		return -1
	}
	return days
}

func (j journal) keeps(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return j.site.Administration.SetKeeping(ctx, tx, v.User.AsActor(), v.User.OrgID, typedKeeping(v.Form), v.Form.Ticked("hold"))
	}
}

func (j journal) keep(v *page.Viewer) error {
	return v.Do(j.keeps(v), v.Path("admin/audit/keeping")+"?saved")
}

// keeping asks before entries are removed.
func (s asks) keeping(v *page.Viewer) (bool, error) {
	if v.Form.Ticked("hold") || typedKeeping(v.Form) < audit.ShortestKept {
		return false, nil
	}
	n, err := s.site.Administration.Removed(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, typedKeeping(v.Form))
	if err != nil || n == 0 {
		return false, err
	}
	return s.confirm(v, confirmation{
		Title: v.Text("console.keeping.review"), Affects: []string{v.Text("console.keeping.removes", "Count", n)},
		Follows: []string{v.Text("console.keeping.for_good")}, Button: v.Text("console.keeping.save_anyway"), Grave: true, Back: v.Path("admin/audit/keeping"),
	}, journal(s).keeps(v))
}

// erasable returns the person of an entry about somebody's erasure, whose data its button erases
// from the log; empty for any other entry.
func erasable(e audit.Stored) string {
	if e.Action != "user.erased" {
		return ""
	}
	return e.Target
}

// erase asks before the log loses what it has of a person.
func (s asks) erase(v *page.Viewer) (bool, error) {
	e, found, err := audit.ByID(v.R.Context(), s.site.DB, string(v.Organization.ID), v.ID())
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	if err != nil || v.Form.Asked() != "erase" || erasable(e) == "" {
		return false, err
	}
	c := confirmation{
		Title: v.Text("console.erase.title"), Follows: []string{v.Text("console.erase.what"), v.Text("console.erase.stays")},
		Button: v.Text("console.erase.button"), Grave: true, Back: v.Path("admin/audit", e.ID),
	}
	if e.TargetName != "" {
		c.Title = v.Text("console.erase.title_of", "Name", e.TargetName)
	}
	return s.confirm(v, c)
}

func (j journal) erase(v *page.Viewer) error {
	ctx := v.R.Context()
	e, found, err := audit.ByID(ctx, j.site.DB, string(v.Organization.ID), v.ID())
	switch {
	case err != nil:
		return err
	case !found:
		return directory.ErrNotFound
	case v.Form.Asked() != "erase" || erasable(e) == "":
		return j.auditEntry(v)
	}
	done, err := j.site.Administration.EraseFromLog(ctx, v.User.AsActor(), v.User.OrgID, erasable(e))
	if err != nil {
		return err
	}
	if done.Events == 0 {
		return fault.New(fault.Conflict, "audit.nothing_to_erase")
	}
	return v.Redirect(v.Path("admin/audit", e.ID) + "?erased")
}
