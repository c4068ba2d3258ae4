package console

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
)

// longestSearch is how many characters somebody may search for.
const longestSearch = 200

// errQuery answers an address that no page of ours links to: an unknown filter,
// or a place in a list that is none.
var errQuery = fault.New(fault.Malformed, "console.query_malformed")

// validID is the form of every id that secret.NewID makes. What has another is
// not looked up, so that no strange byte reaches a database.
var validID = regexp.MustCompile(`^[a-z]{3}_[a-z2-7]{26}$`)

// idIn is the id in the path; what cannot be one is as unknown as any other
// that the organization has not.
func idIn(v *page.Viewer) (string, error) {
	id := v.R.PathValue("id")
	if !validID.MatchString(id) {
		return "", directory.ErrNotFound
	}
	return id, nil
}

// query is what the address of a list asks for.
type query struct {
	Search string
	Filter string // empty for no filter
	Before place
}

// Longest is for the search field.
func (query) Longest() int { return longestSearch }

// place is where a page of a list begins: after the line of this instant and id.
//
// It is not signed. The organization comes from the session and stands in every
// statement, and search and filter stand in the address beside it: an edited
// place only moves the reader within what the reader may see anyway (R-API-07).
type place struct {
	At time.Time
	ID string
}

func (p place) String() string {
	if p.ID == "" {
		return ""
	}
	return strconv.FormatInt(p.At.UnixMicro(), 10) + "." + p.ID
}

func parsePlace(s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	at, id, _ := strings.Cut(s, ".")
	us, err := strconv.ParseInt(at, 10, 64)
	if err != nil || us <= 0 || !validID.MatchString(id) {
		return place{}, errQuery
	}
	return place{time.UnixMicro(us).UTC(), id}, nil
}

// readQuery reads the address of a list whose filter is a parameter of that
// name with one of those values.
func readQuery(v *page.Viewer, filter string, allowed ...string) (query, error) {
	values := v.R.URL.Query()
	q := query{Search: strings.TrimSpace(values.Get("q")), Filter: values.Get(filter)}
	if utf8.RuneCountInString(q.Search) > longestSearch || !utf8.ValidString(q.Search) || strings.ContainsRune(q.Search, 0) ||
		(q.Filter != "" && !slices.Contains(allowed, q.Filter)) {
		return query{}, errQuery
	}
	var err error
	q.Before, err = parsePlace(values.Get("before"))
	return q, err
}

// pages are the links from one page of a list to others; empty where there is none.
type pages struct{ Newest, Older string }

// pagesOf links onwards to next and, from any but the first page, back to it.
func (q query) pagesOf(path, filter string, next place) pages {
	var p pages
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
