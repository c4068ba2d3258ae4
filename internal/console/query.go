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

// kept returns the parameters that the pages of a list have in common.
func (q query) kept(filter string) url.Values {
	return parameters("q", q.Search, filter, q.Filter)
}

// parameters are pairs of a name and a value, of which the empty ones are left out.
func parameters(pairs ...string) url.Values {
	kept := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			kept.Set(pairs[i], pairs[i+1])
		}
	}
	return kept
}

func (q query) pagesOf(path, filter string, next page.Place) page.Pages {
	return pagesOf(path, q.kept(filter), q.Before, next)
}

// pagesOf links to the next page and, from any page except the first, back to the first.
func pagesOf(path string, kept url.Values, here, next page.Place) page.Pages {
	var p page.Pages
	if here.ID != "" {
		p.Newest = strings.TrimSuffix(path+"?"+kept.Encode(), "?")
	}
	if next.ID != "" {
		kept.Set("before", next.String())
		p.Older = path + "?" + kept.Encode()
	}
	return p
}
