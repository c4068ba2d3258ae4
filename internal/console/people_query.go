package console

import (
	"net/url"
	"strings"

	"parvis/internal/administration"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// mostGroups is how many groups the list of people offers to filter by. The pages of others link
// to their members.
const mostGroups = 100

// peopleQuery is what the address of the list of people asks for.
type peopleQuery struct {
	query
	State, Role, Group, Second, Way string
	Last                            string // a day, as typed: last signed in before, or never
	NoDay                           bool   // it is none
	Sort                            string // a minus before it is the other way round

	asked administration.Query
	later bool // not the first page
}

// natural says which sorts begin with the greatest.
var natural = map[administration.Sort]bool{administration.BySignIn: true, administration.ByJoined: true}

// readPeopleQuery reads the query of the list's address. A day that is none may have been typed
// and is said beside its field; nothing else is typed there.
func readPeopleQuery(v *page.Viewer, values url.Values) (peopleQuery, error) {
	before := values.Get("before")
	values.Del("before")
	search, err := readSearch(values)
	if err != nil {
		return peopleQuery{}, err
	}
	q := peopleQuery{
		query: query{Search: search}, State: values.Get("state"), Role: values.Get("role"), Group: values.Get("group"),
		Second: values.Get("second"), Way: values.Get("way"), Last: values.Get("last"), Sort: values.Get("sort"), later: before != "",
	}
	sort, down := strings.CutPrefix(q.Sort, "-")
	q.asked = administration.Query{
		Filter: administration.Filter{
			Text: q.Search, State: administration.State(q.State), Role: directory.Role(q.Role), Group: q.Group,
			SecondStep: directory.SecondStep(q.Second), WayIn: administration.WayIn(q.Way),
		},
		Sort: administration.Sort(sort), Down: down,
	}
	if !q.asked.Known() || q.Group != "" && !secret.IsID(q.Group) {
		return peopleQuery{}, page.ErrQuery
	}
	day, isDay := beginning(v, q.Last)
	q.asked.SignedInBefore, q.NoDay = day, !isDay
	return q, v.OpenPlace("people?"+q.kept().Encode(), before, &q.asked.After)
}

// Filtered reports whether the list leaves anybody out.
func (q peopleQuery) Filtered() bool { return q.asked.Filter != administration.Filter{} }

// More reports whether a filter is in use that stands behind 'More filters'.
func (q peopleQuery) More() bool { return q.Group != "" || q.Way != "" || q.Last != "" }

// kept returns the parameters that the pages of the list have in common.
func (q peopleQuery) kept() url.Values {
	return parameters("q", q.Search, "state", q.State, "role", q.Role, "group", q.Group, "second", q.Second, "way", q.Way, "last", q.Last, "sort", q.Sort)
}

func (q peopleQuery) pages(v *page.Viewer, next administration.Place) page.Pages {
	kept, path := q.kept(), v.Path("admin/people")
	var p page.Pages
	if q.later {
		p.Newest = strings.TrimSuffix(path+"?"+kept.Encode(), "?")
	}
	if next.ID != "" {
		place := v.SealPlace("people?"+kept.Encode(), next)
		kept.Set("before", place)
		p.Older = path + "?" + kept.Encode()
	}
	return p
}

// head is the head of a column, which sorts by it.
type head struct {
	Key  string // catalogue key
	Aria string // how the list is sorted by it now; empty if it is not
	Path string // sorts by it, or the other way round; empty where it cannot be sorted by
	Wide bool   // left out where there is no room
}

// heads returns the heads of the columns.
func (q peopleQuery) heads() []head {
	var all []head
	for _, c := range []struct {
		key  string
		sort administration.Sort
		wide bool
	}{
		{"console.column.name", administration.ByName, false},
		{"console.column.role", administration.ByRole, true},
		{"console.rules.second_step", "", true},
		{"console.column.state", administration.ByState, false},
		{"console.column.last_sign_in", administration.BySignIn, true},
	} {
		h := head{Key: c.key, Wide: c.wide}
		if c.sort != "" {
			down := natural[c.sort]
			if q.sorted() == c.sort {
				if h.Aria, down = "ascending", true; q.asked.Down {
					h.Aria, down = "descending", false
				}
			}
			kept := q.kept()
			if kept.Set("sort", string(c.sort)); down {
				kept.Set("sort", "-"+string(c.sort))
			}
			if kept.Get("sort") == string(administration.ByName) {
				kept.Del("sort")
			}
			h.Path = "?" + kept.Encode()
		}
		all = append(all, h)
	}
	return all
}

func (q peopleQuery) sorted() administration.Sort {
	if q.asked.Sort == "" {
		return administration.ByName
	}
	return q.asked.Sort
}

// filter is a list of what the people can be filtered by.
type filter struct {
	Name    string // of the parameter
	Label   string // catalogue keys: what it filters by,
	Any     string // and the choice that leaves nobody out
	Choices []choice
}

type choice struct {
	Value, Key string
	Chosen     bool
}

func choices[T ~string](chosen string, key func(T) string, values ...T) []choice {
	var all []choice
	for _, value := range values {
		all = append(all, choice{string(value), key(value), string(value) == chosen})
	}
	return all
}

// chosen returns the keys of what the list is filtered by.
func (q peopleQuery) chosen() (keys []string) {
	p := peoplePage{Query: q}
	for _, f := range []filter{p.StateFilter(), p.RoleFilter(), p.StepFilter(), p.WayFilter()} {
		for _, c := range f.Choices {
			if c.Chosen {
				keys = append(keys, c.Key)
			}
		}
	}
	return keys
}

// StateFilter filters by state.
func (p peoplePage) StateFilter() filter {
	key := func(s administration.State) string { return "console.people.state." + string(s) }
	return filter{"state", "console.column.state", "console.people.any_state", choices(p.Query.State, key,
		administration.Active, administration.Invited, administration.Deactivated, administration.Deleted)}
}

// RoleFilter filters by role.
func (p peoplePage) RoleFilter() filter {
	key := func(r directory.Role) string { return "console.role." + string(r) }
	return filter{"role", "console.column.role", "console.people.any_role", choices(p.Query.Role, key, directory.Roles...)}
}

// StepFilter filters by second step.
func (p peoplePage) StepFilter() filter {
	key := func(s directory.SecondStep) string { return "console.people.steps." + string(s) }
	return filter{"second", "console.rules.second_step", "console.people.any_step", choices(p.Query.Second, key, directory.SecondSteps...)}
}

// WayFilter filters by way in.
func (p peoplePage) WayFilter() filter {
	key := func(w administration.WayIn) string { return "console.people.way." + string(w) }
	return filter{"way", "console.people.way", "console.people.any_way", choices(p.Query.Way, key,
		administration.ByPassword, administration.ByPasskey, administration.ByProvider, administration.ByNothing)}
}
