package console

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"parvis/internal/administration"
	"parvis/internal/page"
)

// longestSearch is how many characters somebody may search for.
const longestSearch = 200

// query is what the address of a list asks for.
type query struct {
	Search string
	Filter string // empty for no filter
	Before page.Place
}

// Longest is the limit for the search field.
func (query) Longest() int { return longestSearch }

// readQuery reads the address of a list. filter is the name of the parameter that filters it,
// and allowed are its values.
func readQuery(v *page.Viewer, filter string, allowed ...string) (query, error) {
	values := v.R.URL.Query()
	q := query{Search: strings.TrimSpace(values.Get("q")), Filter: values.Get(filter)}
	if utf8.RuneCountInString(q.Search) > longestSearch || !utf8.ValidString(q.Search) || strings.ContainsRune(q.Search, 0) ||
		(q.Filter != "" && !slices.Contains(allowed, q.Filter)) {
		return query{}, page.ErrQuery
	}
	var err error
	q.Before, err = page.ParsePlace(values.Get("before"))
	return q, err
}

// people returns what the address asks for, as a query for people.
func (q query) people() administration.Query {
	return administration.Query{Text: q.Search, After: administration.Place{CreatedAt: q.Before.At, ID: q.Before.ID}}
}

// pagesOf links to the next page and, from any page except the first, back to the first.
func (q query) pagesOf(path, filter string, next page.Place) page.Pages {
	var p page.Pages
	kept := url.Values{}
	for name, value := range map[string]string{"q": q.Search, filter: q.Filter} {
		if value != "" {
			kept.Set(name, value)
		}
	}
	if q.Before.ID != "" {
		p.Newest = strings.TrimSuffix(path+"?"+kept.Encode(), "?")
	}
	if next.ID != "" {
		kept.Set("before", next.String())
		p.Older = path + "?" + kept.Encode()
	}
	return p
}
