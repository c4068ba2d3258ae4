package scim

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/scim/document"
)

const (
	mostOfPage = 200
	// mostJudged is how many resources are looked at one by one, where the database cannot choose.
	mostJudged = 20_000
	// cursorLasts is how long the cursor of a next page can be used.
	cursorLasts = 24 * time.Hour
)

var (
	errTooMany = document.Refusal{Type: document.TooMany, Why: fault.New(fault.Malformed, "scim.too_many")}
	errNumber  = document.Refusal{Type: document.InvalidValue, Why: fault.New(fault.Malformed, "scim.number")}
	errCursor  = document.Refusal{Type: document.InvalidCursor, Why: fault.New(fault.Malformed, "scim.cursor")}
	errExpired = document.Refusal{Type: document.ExpiredCursor, Why: fault.New(fault.Malformed, "scim.cursor_expired")}
	errPage    = document.Refusal{Type: document.InvalidCount, Why: fault.New(fault.Malformed, "scim.count")}
)

// query is what a list is asked for (RFC 7644 §3.4.2, RFC 9865 §2).
type query struct {
	filter, sortBy, sortOrder string
	attributes, excluded      []string
	start, count              int
	cursor                    *string // nil where pages are counted
}

// queryOf reads a query from the address.
func (x *call) queryOf() (q query, err error) {
	v := x.R.URL.Query()
	q = query{filter: v.Get("filter"), sortBy: v.Get("sortBy"), sortOrder: v.Get("sortOrder"), attributes: names(v["attributes"]), excluded: names(v["excludedAttributes"])}
	if v.Has("cursor") {
		q.cursor = new(v.Get("cursor"))
	}
	if q.start, err = number(v.Get("startIndex"), 1); err == nil {
		q.count, err = number(v.Get("count"), mostOfPage)
	}
	return q.bounded(), err
}

func number(s string, otherwise int) (int, error) {
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errNumber
	}
	return n, nil
}

// searchOf reads a query from a body (RFC 7644 §3.4.3).
func (x *call) searchOf() (query, error) {
	v, err := x.body()
	if err != nil {
		return query{}, err
	}
	o, _ := v.(document.Object)
	if err := document.Is(o, document.SearchURI); err != nil {
		return query{}, err
	}
	q := query{start: 1, count: mostOfPage}
	q.filter, _ = document.Get(o, "filter").(string)
	q.sortBy, _ = document.Get(o, "sortBy").(string)
	q.sortOrder, _ = document.Get(o, "sortOrder").(string)
	q.attributes, q.excluded = texts(document.Get(o, "attributes")), texts(document.Get(o, "excludedAttributes"))
	if cursor, ok := document.Get(o, "cursor").(string); ok {
		q.cursor = &cursor
	}
	for name, into := range map[string]*int{"startIndex": &q.start, "count": &q.count} {
		switch v := document.Get(o, name).(type) {
		case nil:
		case json.Number:
			if *into, err = strconv.Atoi(v.String()); err != nil {
				return q, errNumber
			}
		default:
			return q, errNumber
		}
	}
	return q.bounded(), nil
}

func texts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return names([]string{v})
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

func (q query) bounded() query {
	q.start, q.count = max(q.start, 1), min(max(q.count, 0), mostOfPage)
	return q
}

// place is where a page begins, as a cursor is sealed.
type place struct {
	After string    `json:"a,omitempty"` // the id before it
	Skip  int       `json:"s,omitempty"` // or how many are before it
	Count int       `json:"c"`
	Until time.Time `json:"u"`
}

// bound is what a cursor is good for: one source, one list and one query.
func (x *call) bound(q query) string {
	return strings.Join(append([]string{x.source.ID, strings.TrimSuffix(x.R.URL.Path, "/.search"), q.filter, q.sortBy, q.sortOrder}, slices.Concat(q.attributes, q.excluded)...), "\n")
}

// begin returns where a page begins.
func (x *call) begin(q query) (place, error) {
	if q.cursor == nil || *q.cursor == "" {
		return place{Skip: q.start - 1, Count: q.count}, nil
	}
	var p place
	text, err := x.server.places.Open(*q.cursor, x.bound(q))
	if err != nil || json.Unmarshal(text, &p) != nil {
		return p, errCursor
	}
	if x.server.DB.Now().After(p.Until) {
		return p, errExpired
	}
	if q.count != p.Count {
		return p, errPage
	}
	return p, nil
}

// next seals where the next page begins.
func (x *call) next(q query, p place) string {
	p.Count, p.Until = q.count, x.server.DB.Now().Add(cursorLasts)
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // places always encode
	}
	return x.server.places.Seal(text, x.bound(q))
}

// finder reads resources of a kind from the database.
type finder interface {
	// narrow takes what it can look up of the equalities that a filter demands, and reports whether
	// nothing else is to be judged.
	narrow([]document.Equal) bool
	// need says that the filter or the order looks at an attribute.
	need(name string)
	count(context.Context, db.Reader) (int, error)
	// page returns resources in the order of their ids, without what only the answer shows.
	page(ctx context.Context, r db.Reader, p place, limit int) ([]document.Object, error)
	// complete adds what the answer shows of those that it has.
	complete(ctx context.Context, r db.Reader, some []document.Object) error
}

func (r resources) list(ctx context.Context, x *call) (answer, error) {
	q, err := x.queryOf()
	if err != nil {
		return answer{}, err
	}
	return r.answer(ctx, x, q)
}

func (r resources) search(ctx context.Context, x *call) (answer, error) {
	q, err := x.searchOf()
	if err != nil {
		return answer{}, err
	}
	return r.answer(ctx, x, q)
}

func (r resources) answer(ctx context.Context, x *call, q query) (answer, error) {
	found, total, next, err := r.found(ctx, x, q)
	if err != nil {
		return answer{}, err
	}
	return x.listed(ctx, q, found, total, next)
}

// listed answers with a page.
func (x *call) listed(ctx context.Context, q query, found []any, total int, next *place) (answer, error) {
	body := document.Object{"schemas": []any{document.ListURI}, "totalResults": total, "itemsPerPage": len(found), "Resources": found}
	if q.cursor == nil {
		body["startIndex"] = q.start
	} else if next != nil {
		body["nextCursor"] = x.next(q, *next)
	}
	return answer{status: http.StatusOK, body: body}, x.read(ctx)
}

// found returns a page of resources as they are shown, how many there are on all pages, and where
// the next page begins.
func (r resources) found(ctx context.Context, x *call, q query) (shown []any, total int, next *place, err error) {
	show, err := r.kind.ParseShow(q.attributes, q.excluded)
	if err != nil {
		return nil, 0, nil, err
	}
	at, err := x.begin(q)
	if err != nil {
		return nil, 0, nil, err
	}
	f := r.find(x, show)
	var filter *document.Filter
	if q.filter != "" {
		if filter, err = r.kind.ParseFilter(q.filter); err != nil {
			return nil, 0, nil, err
		}
	}
	equals, whole := filter.Equals()
	var some []document.Object
	if exact := f.narrow(equals); exact && whole && q.sortBy == "" {
		some, total, next, err = looked(ctx, x, f, at, q)
	} else {
		some, err = judged(ctx, x, f, filter)
		if err == nil {
			some, err = sorted(r.kind, some, q)
		}
		total = len(some)
		some, next = cut(some, at, q.count)
	}
	if err == nil {
		err = f.complete(ctx, x.server.DB, some)
	}
	shown = make([]any, 0, len(some))
	for _, o := range some {
		shown = append(shown, show.Of(o))
	}
	return shown, total, next, err
}

// looked is a page that the database chooses.
func looked(ctx context.Context, x *call, f finder, at place, q query) (some []document.Object, total int, next *place, err error) {
	if q.count > 0 {
		some, err = f.page(ctx, x.server.DB, at, q.count)
	}
	if total = at.Skip + len(some); err == nil && at.After == "" && 0 < len(some) && len(some) < q.count {
		return some, total, nil, nil // the last page says how many there are
	}
	if err == nil {
		total, err = f.count(ctx, x.server.DB)
	}
	if len(some) > 0 && len(some) == q.count {
		id, _ := some[len(some)-1]["id"].(string)
		next = &place{After: id}
	}
	return some, total, next, err
}

// judged are all resources that a filter asks for, looked at one by one.
func judged(ctx context.Context, x *call, f finder, filter *document.Filter) (some []document.Object, err error) {
	for _, name := range []string{"members", "groups"} {
		if filter.Names(name) {
			f.need(name)
		}
	}
	all, err := f.page(ctx, x.server.DB, place{}, mostJudged+1)
	if err != nil {
		return nil, err
	}
	if len(all) > mostJudged {
		return nil, errTooMany.With("Most", mostJudged)
	}
	for _, o := range all {
		if filter == nil || filter.Match(o) {
			some = append(some, o)
		}
	}
	return some, nil
}

// sorted puts resources in the order that is asked for.
func sorted(kind *document.Kind, all []document.Object, q query) ([]document.Object, error) {
	if q.sortBy == "" {
		return all, nil
	}
	order, err := kind.ParseSort(q.sortBy, q.sortOrder)
	if err == nil {
		order.Apply(all)
	}
	return all, err
}

// cut is a page of resources that are all known.
func cut(all []document.Object, at place, count int) ([]document.Object, *place) {
	from := min(at.Skip, len(all))
	to := min(from+count, len(all))
	if to < len(all) && to > from {
		return all[from:to], &place{Skip: to}
	}
	return all[from:to], nil
}

// listAll and searchAll are lists of people and groups together.
func (s *Server) listAll(ctx context.Context, x *call) (answer, error) {
	q, err := x.queryOf()
	if err != nil {
		return answer{}, err
	}
	return s.all(ctx, x, q)
}

func (s *Server) searchAll(ctx context.Context, x *call) (answer, error) {
	q, err := x.searchOf()
	if err != nil {
		return answer{}, err
	}
	return s.all(ctx, x, q)
}

func (s *Server) all(ctx context.Context, x *call, q query) (answer, error) {
	at, err := x.begin(q)
	if err != nil {
		return answer{}, err
	}
	var some []document.Object
	shows := map[string]document.Show{}
	finders := map[string]finder{}
	for _, r := range []resources{{s.userDeeds(), document.User()}, {s.groupDeeds(), document.Group()}} {
		show, err := r.kind.ParseShow(q.attributes, q.excluded)
		var filter *document.Filter
		if err == nil && q.filter != "" {
			filter, err = r.kind.ParseAny(q.filter)
		}
		if err != nil {
			return answer{}, err
		}
		f := r.find(x, show)
		found, err := judged(ctx, x, f, filter)
		if err == nil {
			found, err = sorted(r.kind, found, q)
		}
		if err != nil {
			return answer{}, err
		}
		some = append(some, found...)
		shows[r.kind.Name], finders[r.kind.Name] = show, f
	}
	total := len(some)
	some, next := cut(some, at, q.count)
	shown := make([]any, 0, len(some))
	for _, o := range some {
		meta, _ := o["meta"].(document.Object)
		kind, _ := meta["resourceType"].(string)
		if err := finders[kind].complete(ctx, s.DB, []document.Object{o}); err != nil {
			return answer{}, err
		}
		shown = append(shown, shows[kind].Of(o))
	}
	return x.listed(ctx, q, shown, total, next)
}
