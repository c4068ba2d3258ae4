package console

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode"

	"parvis/internal/administration"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/number"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// peopleAtOnce is how many people one form names and one page shows.
const peopleAtOnce = administration.AtOnce

// The people to change are in person[], or everyone stands for all of them.
var changeFields = page.Fields{"deed", "person[]", page.Tick("everyone"), "number"}

var (
	errNobody  = fault.New(fault.Invalid, "console.change.nobody")
	errTooMany = fault.New(fault.Invalid, "console.change.too_many")
	errDeed    = fault.New(fault.Malformed, "console.change.unknown")
)

// changePage shows what became of people, or that a deed can be done to none of them.
type changePage struct {
	Deed    deed
	Over    bool                  // it was done
	Fates   []administration.Fate // people who are left out come first
	More    int                   // not shown
	Ready   int                   // to how many it was done
	LeftOut int
	Whom    string // the one person to whom it was done; used where it is one
}

// request is what a form asks for.
type request struct {
	deed deed
	administration.Task
}

// back returns where the person came from.
func (q request) back(v *page.Viewer) string {
	if len(q.People) == 1 {
		return v.Path("admin/people", string(q.People[0]))
	}
	return v.Path("admin/people")
}

// requested reads a form. A form that no page of ours sends is refused as a whole.
func requested(v *page.Viewer) (request, error) {
	d, known := administration.DeedNamed(v.Form.Get("deed"))
	q := request{shownDeed(d), administration.Task{Deed: d, Everyone: v.Form.Ticked("everyone")}}
	named := len(v.Form.All("person[]"))
	switch {
	case !known || q.Everyone && (!d.Everyone || named > 0):
		return request{}, errDeed
	case q.Everyone:
		q.Number = numberIn(v.Form.Get(numberField))
		return q, nil
	case named == 0:
		return q, errNobody
	}
	var err error
	q.People, err = tickedIn(v)
	return q, err
}

// numberIn reads a number that a person copied from a page, with what separates its thousands
// there; zero is none.
func numberIn(typed string) int {
	n, _ := number.Parse(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune(",.'’", r) {
			return -1
		}
		return r
	}, typed))
	return n
}

// tickedIn returns the people whom a form names, each once.
func tickedIn(v *page.Viewer) ([]directory.UserID, error) {
	named := v.Form.All("person[]")
	if len(named) > peopleAtOnce {
		return nil, errTooMany.With("Most", peopleAtOnce)
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

// showChange leads to the list: what is done to people is asked for there, or on a person's page.
func (s *Server) showChange(v *page.Viewer) error {
	q, err := requested(v)
	if v.Form.Filled() && (errors.Is(err, errNobody) || errors.Is(err, errTooMany)) {
		v.NoForm()
		v.Status(fault.Conflict)
		return v.Render("console-change", changePage{Deed: q.deed})
	}
	return v.Redirect(v.Path("admin/people"))
}

// change shows what would become of everybody.
func (s asks) change(v *page.Viewer) (bool, error) {
	q, err := requested(v)
	if err != nil {
		return false, err
	}
	q.Dry = true
	fates, err := s.done(v, q)
	if err != nil {
		return false, err
	}
	ready := administration.Ready(fates)
	if ready == 0 {
		return true, renderChange(v, q, fates)
	}
	c := confirmation{
		Title: v.Text("console.confirm.deed", "Deed", v.Text(q.deed.Button), "Whom", v.Text("console.confirm.people", "Count", ready)),
		Grave: q.deed.Grave || q.Everyone, Back: q.back(v), Button: v.Text(q.deed.Button),
	}
	if len(q.People) == 1 {
		c.Title = v.Text("console.confirm.deed", "Deed", v.Text(q.deed.Button), "Whom", fates[0].User.Name)
	}
	if left := len(fates) - ready; left > 0 {
		c.Affects = append(c.Affects, v.Text("console.change.leaves_out", "Count", left))
	}
	role := ""
	if q.deed.Role != "" {
		role = v.Text(roleKey(q.deed.Role))
	}
	c.Follows = []string{v.Text(q.deed.What, "Role", role, "Time", v.Duration(directory.RestorableFor))}
	c.Send = []page.Pair{{Name: "deed", Value: q.deed.Name}}
	if q.Everyone {
		c.Number, c.Send = ready, append(c.Send, page.Pair{Name: "everyone", Value: "yes"})
	}
	for _, f := range fates {
		if f.Done() && !q.Everyone { // people who are left out now stay so
			c.Send = append(c.Send, page.Pair{Name: "person[]", Value: string(f.User.ID)})
		}
	}
	c.Fates, c.More = shownFates(fates)
	return s.confirm(v, c)
}

// done does a deed, or a dry run of it. What an actor is refused is recorded.
func (s *Server) done(v *page.Viewer, q request) ([]administration.Fate, error) {
	ctx := v.R.Context()
	fates, err := s.site.Administration.Do(ctx, v.User.AsActor(), v.User.OrgID, q.Task)
	if err != nil {
		return nil, err
	}
	denied := slices.ContainsFunc(fates, func(f administration.Fate) bool { return !f.Done() && errors.Is(f.Reason, directory.ErrDenied) })
	switch {
	case len(fates) == 1 && denied:
		return nil, fates[0].Reason
	case !q.Dry && denied:
		// No page of ours sends this, unless somebody got a higher role in the meantime.
		err = s.site.Administration.Refused(ctx, v.User.AsActor(), v.R.Method+" "+v.R.URL.Path)
	}
	return fates, err
}

// changePeople does a deed and shows what became of everybody. A person to whom it no longer can
// be done is shown as left out.
func (s *Server) changePeople(v *page.Viewer) error {
	q, err := requested(v)
	if err != nil {
		return err
	}
	fates, err := s.done(v, q)
	if err != nil {
		return err
	}
	if len(q.People) == 1 && administration.Ready(fates) == 1 {
		return v.Redirect(q.back(v) + "?done=" + q.deed.Name)
	}
	return renderChange(v, q, fates)
}

// shownFates returns the fates that a page shows, people who are left out first, and how many it
// does not show.
func shownFates(fates []administration.Fate) (some []administration.Fate, more int) {
	slices.SortStableFunc(fates, func(a, b administration.Fate) int { return cmp.Compare(rank(a), rank(b)) })
	some = fates[:min(len(fates), peopleAtOnce)]
	return some, len(fates) - len(some)
}

func rank(f administration.Fate) int {
	if f.Done() {
		return 1
	}
	return 0
}

func renderChange(v *page.Viewer, q request, fates []administration.Fate) error {
	p := changePage{Deed: q.deed, Over: !q.Dry, Ready: administration.Ready(fates)}
	p.LeftOut = len(fates) - p.Ready
	p.Fates, p.More = shownFates(fates)
	if i := slices.IndexFunc(fates, administration.Fate.Done); i >= 0 {
		p.Whom = fates[i].User.Name
	}
	v.NoForm()
	if p.Ready == 0 {
		v.Status(fault.Conflict)
	}
	return v.Render("console-change", p)
}
