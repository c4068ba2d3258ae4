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

// readQuery reads the query of a list's address. filter is the name of the parameter that filters
// it, and allowed are its values.
func readQuery(values url.Values, filter string, allowed ...string) (query, error) {
	search, err := readSearch(values)
	q := query{Search: search, Filter: values.Get(filter)}
	if err != nil || q.Filter != "" && !slices.Contains(allowed, q.Filter) {
		return query{}, page.ErrQuery
	}
	q.Before, err = page.ParsePlace(values.Get("before"))
	return q, err
}

func readSearch(values url.Values) (string, error) {
	text := strings.TrimSpace(values.Get("q"))
	if utf8.RuneCountInString(text) > longestSearch || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", page.ErrQuery
	}
	return text, nil
}

// people returns what the address asks for, as a query for people, newest first.
func (q query) people() administration.Query {
	p := administration.Query{Filter: administration.Filter{Text: q.Search}, Sort: administration.ByJoined, Down: true}
	if q.Before.ID != "" {
		p.After = administration.Place{Number: q.Before.At.UnixMicro(), ID: q.Before.ID}
	}
	return p
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

// withQuery returns an address with a query, or without one if that is empty.
func withQuery(path string, query url.Values) string {
	return strings.TrimSuffix(path+"?"+query.Encode(), "?")
}

// pagesOf links to the next page and, from any page except the first, back to the first.
func pagesOf(path string, kept url.Values, here, next page.Place) page.Pages {
	var p page.Pages
	if here.ID != "" {
		p.Newest = withQuery(path, kept)
	}
	if next.ID != "" {
		kept.Set("before", next.String())
		p.Older = path + "?" + kept.Encode()
	}
	return p
}
