package console

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"parvis/internal/administration"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// peopleAtOnce is how many people one form names and one page shows.
const peopleAtOnce = administration.AtOnce

// The people to change are in person[], or everyone stands for all of them.
var changeFields = page.Fields{"deed", "person[]", page.Tick("everyone"), page.Tick("confirmed")}

var (
	errNobody = fault.New(fault.Invalid, "console.change.nobody")
	errDeed   = fault.New(fault.Malformed, "console.change.unknown")
)

// changePage shows what would become of people before a deed is done, and what became of them
// afterwards. Nothing happens to anybody who is not on it.
type changePage struct {
	Deed     deed
	Over     bool // it was done
	Everyone bool
	Fates    []administration.Fate // people who are left out come first
	More     int                   // not shown
	Ready    int                   // to how many it is done
	LeftOut  int
	Back     string // address of the page where the person came from
}

// Names returns the ids that the confirmed form sends: of the people to whom it is done.
func (p changePage) Names() (ids []directory.UserID) {
	for _, f := range p.Fates {
		if f.Done() && !p.Everyone {
			ids = append(ids, f.User.ID)
		}
	}
	return ids
}

// RestorableFor returns how long deleting can be undone.
func (changePage) RestorableFor() time.Duration { return directory.RestorableFor }

// request is what a form asks for.
type request struct {
	deed     deed
	everyone bool
	ids      []directory.UserID
}

// requested reads a form. A form that no page of ours sends is refused as a whole.
func (s *Server) requested(v *page.Viewer) (request, error) {
	d, known := administration.DeedNamed(v.Form.Get("deed"))
	q := request{deed: shownDeed(d), everyone: v.Form.Ticked("everyone")}
	named := len(v.Form.All("person[]"))
	switch {
	case !known || q.everyone && (!d.Everyone || named > 0):
		return request{}, errDeed
	case q.everyone:
		var err error
		q.ids, err = administration.Everyone(v.R.Context(), s.site.DB, v.User.AsActor(), v.Organization.ID)
		return q, err
	case named == 0:
		return q, errNobody
	}
	var err error
	q.ids, err = tickedIn(v)
	return q, err
}

// tickedIn returns the people whom a form names, each once.
func tickedIn(v *page.Viewer) ([]directory.UserID, error) {
	named := v.Form.All("person[]")
	if len(named) > peopleAtOnce {
		return nil, errDeed
	}
	var ids []directory.UserID
	for _, id := range named {
		if !secret.IsID(id) || !strings.HasPrefix(id, "usr_") {
			return nil, directory.ErrNotFound
		}
		if !slices.Contains(ids, directory.UserID(id)) {
			ids = append(ids, directory.UserID(id))
		}
	}
	return ids, nil
}

// showChange shows the preview.
func (s *Server) showChange(v *page.Viewer) error {
	if !v.Form.Filled() {
		return v.Redirect(v.Path("admin/people"))
	}
	q, err := s.requested(v)
	if errors.Is(err, errNobody) {
		if !v.Form.Refused() {
			return err
		}
		return s.renderChange(v, changePage{Deed: q.deed})
	}
	if err != nil {
		return err
	}
	return s.change(v, q, false)
}

func (s *Server) changePeople(v *page.Viewer) error {
	q, err := s.requested(v)
	if err != nil {
		return err
	}
	return s.change(v, q, v.Form.Ticked("confirmed"))
}

// change does a deed, or a dry run of it, and shows what became of everybody. A person to whom
// it no longer can be done is shown afterwards as left out.
func (s *Server) change(v *page.Viewer, q request, really bool) error {
	ctx := v.R.Context()
	fates, err := s.site.Administration.Do(ctx, v.User.AsActor(), v.User.OrgID, administration.Task{Deed: q.deed.Deed, People: q.ids, Dry: !really})
	if err != nil {
		return err
	}
	p := changePage{Deed: q.deed, Over: really, Everyone: q.everyone}
	for _, f := range fates {
		if f.Done() {
			p.Ready++
		}
	}
	p.LeftOut = len(fates) - p.Ready
	if len(q.ids) == 1 && !q.everyone {
		p.Back = v.Path("admin/people", string(q.ids[0]))
	}
	denied := slices.ContainsFunc(fates, func(f administration.Fate) bool { return !f.Done() && errors.Is(f.Reason, directory.ErrDenied) })
	switch {
	case len(fates) == 1 && denied:
		return fates[0].Reason
	case really && denied:
		// No page of ours sends this, unless somebody got a higher role in the meantime.
		if err := s.site.Administration.Refused(ctx, v.User.AsActor(), v.R.Method+" "+v.R.URL.Path); err != nil {
			return err
		}
	case really && p.Back != "" && p.Ready == 1:
		return v.Redirect(p.Back + "?done=" + q.deed.Name)
	}
	slices.SortStableFunc(fates, func(a, b administration.Fate) int { return cmp.Compare(rank(a), rank(b)) })
	p.Fates = fates[:min(len(fates), peopleAtOnce)]
	p.More = len(fates) - len(p.Fates)
	return s.renderChange(v, p)
}

func rank(f administration.Fate) int {
	if f.Done() {
		return 1
	}
	return 0
}

func (s *Server) renderChange(v *page.Viewer, p changePage) error {
	if p.Back == "" {
		p.Back = v.Path("admin/people")
	}
	v.FormIf(!p.Over && p.Ready > 0)
	if p.Ready == 0 {
		v.Status(fault.Conflict)
	}
	return v.Render("console-change", p)
}
