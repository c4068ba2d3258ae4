package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"parvis/internal/api/form"
	"parvis/internal/fault"
)

// listing is what every list may be asked for.
type listing struct {
	Limit  int    `query:"limit"`
	Cursor string `query:"cursor"`
	Count  bool   `query:"count"`
}

const (
	pageOf     = 50
	mostOfPage = 200

	// cursorLasts is how long the cursor of a next page can be used.
	cursorLasts = 24 * time.Hour
)

var (
	errLimit     = fault.Field("", "api.limit")
	errOneProof  = fault.Field("", "api.one_proof")
	errBackwards = fault.Field("", "api.backwards")
	errCursor    = fault.Field("", "api.cursor")
)

// cursor is a place in a list, as it is sealed.
type cursor struct {
	Place json.RawMessage `json:"p"`
	Until time.Time       `json:"u"`
}

// bound is what a cursor is good for: one caller, one list and one query (R-API-07).
func (x *call) bound() string {
	q := x.R.URL.Query()
	q.Del("cursor")
	q.Del("limit")
	q.Del("count")
	return strings.Join([]string{string(x.org()), x.Key, x.R.URL.Path, q.Encode()}, "\n")
}

// begin reads where a page begins into place, and returns how long it is.
func (x *call) begin(l listing, place any) (int, error) {
	if l.Limit < 0 || l.Limit > mostOfPage {
		return 0, wrong{name: "limit", why: errLimit.With("Most", mostOfPage)}
	}
	if l.Limit == 0 {
		l.Limit = pageOf
	}
	if l.Cursor == "" {
		return l.Limit, nil
	}
	refused := wrong{name: "cursor", why: errCursor}
	text, err := x.server.places.Open(l.Cursor, x.bound())
	if err != nil {
		return 0, refused
	}
	var c cursor
	if json.Unmarshal(text, &c) != nil || !x.server.DB.Now().Before(c.Until) || json.Unmarshal(c.Place, place) != nil {
		return 0, refused
	}
	return l.Limit, nil
}

// next returns the cursor of the page that begins at a place, and links to it (RFC 8288).
func (x *call) next(place any) *string {
	at, err := json.Marshal(place)
	if err == nil {
		at, err = json.Marshal(cursor{Place: at, Until: x.server.DB.Now().Add(cursorLasts)})
	}
	if err != nil {
		panic(err) // places always encode
	}
	sealed := x.server.places.Seal(at, x.bound())
	q := x.R.URL.Query()
	q.Set("cursor", sealed)
	to := url.URL{Path: x.R.URL.Path, RawQuery: q.Encode()}
	x.W.Header().Set("Link", "<"+x.server.Base+to.String()+`>; rel="next"`)
	return &sealed
}

// short is a list that is small by nature, and therefore one page.
func short[T, F any](all []T, show func(T) F) form.Page[F] {
	p := form.Page[F]{Items: make([]F, 0, len(all))}
	for _, one := range all {
		p.Items = append(p.Items, show(one))
	}
	return p
}

// moment returns a time as it is sent, or nothing for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// optional returns a text as it is sent, or nothing for the empty one.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
