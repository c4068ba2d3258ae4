// Package api is the administration's API: JSON under /api/v1, for machines and for the command
// line. A call is judged in one order, whatever it asks for: the host name, the
// token, how many calls came, the scope, how lately a person proved their identity, and what was
// sent. Then a function of the core does it, which asks the role again inside its transaction.
//
//	/api/v1/…          the operations, one table for routes, reference, document and tests
//	/api/openapi.json  the document
//	/api               the reference for people
package api

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/domain"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/i18n"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/provisioning"
	"parvis/internal/region"
	"parvis/internal/secret"
	"parvis/internal/webhook"
)

// Root is where the operations stand, under the public address.
const Root = "/api/v1"

// Parts are what a Server works with.
type Parts struct {
	DB             *db.DB
	Administration *administration.Service
	Domains        *domain.Prover
	Hub            *federation.Hub
	Sources        *provisioning.Service
	Provider       *op.Provider // judges the tokens that it issued
	Webhooks       *webhook.Sender
	Regions        *region.Service
	Base           string // the configured public address, without a slash at its end
	Catalogue      *i18n.Catalogue
}

// Server answers calls.
type Server struct {
	Parts

	site   *page.Site
	edge   *edge.Edge
	places secret.Box // of lists: names stand in them
	pace   edge.Pace
	queues [64]sync.Mutex // of requests that may be repeated, by their keys
	ring   *secret.Ring   // of the hashes of idempotency keys, requests and ETags
}

// Mount adds the API and its pages to a site.
func Mount(site *page.Site, p Parts, keys secret.Keys) {
	e := site.Edge
	s := &Server{Parts: p, site: site, edge: e, places: secret.NewBox(keys.Sealing, "api places"), ring: keys.Lookup.For("api once"), pace: edge.Pace{PerSecond: perSecond, Burst: burst, Refused: e.Refusals(edge.OfCaller)}}
	for _, o := range operations {
		e.HandleProgram(o.Method+" "+Root+o.Path, s.serve(o))
	}
	e.HandleProgram(Root+"/", e.Serve(func(q *edge.Request) error {
		x := s.callOf(q, nil)
		x.refuse(q.R.Context(), cmp.Or(x.here(), x.nowhere()))
		return nil
	}))
	s.mountReference(site)
}

// operations are all that the API does.
var operations = slices.Concat(meOperations, organizationOperations, peopleOperations, personOperations, linkOperations, invitationOperations, invitationBatchOperations, groupOperations, rulesOperations, domainOperations, connectionOperations, sourceOperations, applicationOperations, logoOperations, accessOperations, webhookOperations, eventOperations, configurationOperations, organizationsOperations)

var (
	errNowhere = fault.New(fault.NotFound, "api.nowhere")
	errMethod  = fault.New(fault.Method, "api.method")
)

// nowhere says why no operation fits: there is none at the path, or none by the method.
func (x *call) nowhere() error {
	var methods []string
	for _, o := range operations {
		if matches(Root+o.Path, x.R.URL.Path) && !slices.Contains(methods, o.Method) {
			methods = append(methods, o.Method)
		}
	}
	if methods == nil {
		return errNowhere
	}
	slices.Sort(methods)
	x.W.Header().Set("Allow", strings.Join(methods, ", "))
	return errMethod.With("Methods", strings.Join(methods, ", "))
}

// matches reports whether a path is one of a pattern's, whose parts in braces match any one part.
func matches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	return len(want) == len(got) && !slices.ContainsFunc(want, func(part string) bool {
		i := slices.Index(want, part)
		return !strings.HasPrefix(part, "{") && got[i] != part
	})
}
