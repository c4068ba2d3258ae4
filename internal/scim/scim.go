// Package scim is where customers' directories keep people and groups (RFC 7643, RFC 7644, RFC
// 9865): /scim/v2/{source}. It reads and writes what SCIM says, in the room document; what a source
// may do is decided by provisioning alone.
//
//	/scim/v2/{source}/Users, /Groups    people and groups that the source keeps
//	/scim/v2/{source}/Bulk              several changes in one request, each by itself
//	/scim/v2/{source}/.search           a list whose query does not stand in the address
//	/scim/v2/{source}/Schemas, …        what is supported here, for anybody
package scim

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"parvis/internal/db"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

// Root is where sources have their addresses, under the public address.
const Root = "/scim/v2/"

// The pace of each source, on each process. A first sync calls as fast as it is answered.
const (
	perSecond = 400
	burst     = 800
)

// Parts are what a Server works with.
type Parts struct {
	DB        *db.DB
	Sources   *provisioning.Service
	Base      string // the configured public address, without a slash at its end
	Catalogue *i18n.Catalogue
}

// Server answers calls of sources.
type Server struct {
	Parts

	edge    *edge.Edge
	places  secret.Box   // of lists
	key     *secret.Ring // of ETags
	pace    edge.Pace
	about   document.Discovery
	judging chan struct{} // taken by the one list whose resources are looked at one by one
}

// route is one thing that a source may ask for.
type route struct {
	method, path string
	do           func(context.Context, *call) (answer, error)
	open         bool // asked by anybody, without a token
}

// routes are all that sources may ask for. A handler that reads keeps the call; one that writes
// does so in its transaction.
func (s *Server) routes() []route {
	users, groups := resources{s.userDeeds(), document.User()}, resources{s.groupDeeds(), document.Group()}
	all := []route{
		{"GET", "/ServiceProviderConfig", s.config, true},
		{"GET", "/ResourceTypes", s.resourceTypes, true},
		{"GET", "/ResourceTypes/{id}", s.resourceTypes, true},
		{"GET", "/Schemas", s.schemas, true},
		{"GET", "/Schemas/{id}", s.schemas, true},
		{"GET", "", s.listAll, false},
		{"GET", "/{$}", s.listAll, false},
		{"POST", "/.search", s.searchAll, false},
		{"POST", "/Bulk", s.bulk, false},
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		all = append(all, route{method, "/Me", nobody, false})
	}
	return append(append(all, users.routes()...), groups.routes()...)
}

// Mount adds the addresses of sources, and lets administrators ask what a call would do.
func Mount(e *edge.Edge, p Parts, keys secret.Keys) {
	s := &Server{
		Parts: p, edge: e, places: secret.NewBox(keys.Sealing, "scim places"), key: keys.Lookup.For("scim etags"),
		pace: edge.Pace{PerSecond: perSecond, Burst: burst, Refused: e.Refusals(edge.OfSource)}, about: document.Discover(), judging: make(chan struct{}, 1),
	}
	p.Sources.Speak = s.Speak
	for _, r := range s.routes() {
		e.HandleProgram(r.method+" "+Root+"{source}"+r.path, s.serve(r))
	}
	e.HandleProgram(Root, e.Serve(func(q *edge.Request) error {
		x, ctx := s.callOf(q), db.AfterPeople(q.R.Context())
		err := x.here()
		if err == nil {
			err = s.nowhere(ctx, x)
		}
		x.refuse(ctx, err)
		return nil
	}))
}

var (
	errNowhere = fault.New(fault.NotFound, "scim.nowhere")
	errMethod  = fault.New(fault.Method, "scim.method")
	errMe      = fault.New(fault.Unsupported, "scim.me")
)

// nobody answers /Me: a source is no person.
func nobody(context.Context, *call) (answer, error) { return answer{}, errMe }

// nowhere says why nothing fits: there is nothing at the address, or nothing by the method. Some
// programs put an address from an answer after the one they were set up with, and mean the former.
func (s *Server) nowhere(ctx context.Context, x *call) error {
	source, rest, _ := strings.Cut(strings.TrimPrefix(x.R.URL.Path, Root), "/")
	if i := strings.Index(rest, Root+source+"/"); i >= 0 {
		x.R.URL.Path = rest[i:]
		x.id = source
		x.R.SetPathValue("source", source)
		for _, r := range s.routes() {
			if r.method == x.R.Method && x.matches(r.path, strings.TrimPrefix(x.R.URL.Path, Root+source)) {
				return s.run(ctx, x, r)
			}
		}
	}
	var methods []string
	for _, r := range s.routes() {
		if x.matches(strings.TrimSuffix(r.path, "{$}"), "/"+rest) && !slices.Contains(methods, r.method) {
			methods = append(methods, r.method)
		}
	}
	if methods == nil {
		return errNowhere
	}
	x.W.Header().Set("Allow", strings.Join(methods, ", "))
	return errMethod.With("Methods", strings.Join(methods, ", "))
}

// matches reports whether a path is one of a pattern's, and takes the id from it.
func (x *call) matches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i, part := range want {
		if part == "{id}" && got[i] != "" {
			x.R.SetPathValue("id", got[i])
		} else if part != got[i] {
			return false
		}
	}
	return true
}

func (s *Server) serve(r route) http.Handler {
	return s.edge.Serve(func(q *edge.Request) error {
		x, ctx := s.callOf(q), db.AfterPeople(q.R.Context())
		x.refuse(ctx, s.run(ctx, x, r))
		return nil
	})
}

// run judges whether the call may be made at all, makes it, and answers.
func (s *Server) run(ctx context.Context, x *call, r route) error {
	if err := x.here(); err != nil {
		return err
	}
	if !r.open {
		if err := x.authenticate(ctx); err != nil {
			return err
		}
	}
	a, err := r.do(ctx, x)
	if err != nil {
		return err
	}
	return x.answer(a)
}
