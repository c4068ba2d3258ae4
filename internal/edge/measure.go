package edge

import (
	"net/http"
	"net/netip"
	"time"

	"parvis/internal/audit"
	"parvis/internal/measure"
	"parvis/internal/trace"
)

// classes are what statuses count as; the first is for a request that was not answered, because its
// client had gone.
var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// measure counts an answered request and ends its span. Both know the route by its pattern, because
// a path may be a secret.
func (e *Edge) measure(span *trace.Span, r *http.Request, status int, took time.Duration) {
	route, class := r.Pattern, 0
	if route == "" {
		route = "none"
	}
	if status/100 < len(classes) {
		class = status / 100
	}
	e.Answers.Of(measure.Labels{route, classes[class]}).Inc()
	e.Took.Of(measure.Labels{route}).Observe(took)
	if span == nil {
		return
	}
	span.Name(route)
	span.Text("http.request.method", methodOf(r))
	span.Text(trace.Route, r.Pattern)
	span.Text(trace.Reference, audit.OriginOf(r.Context()).Request)
	span.Number("http.response.status_code", status)
	if class == 5 {
		span.Fail(classes[class])
	}
	span.End()
}

// methodOf names a method for a span: as OpenTelemetry does, one that is not known is _OTHER, since
// anybody may send anything as one.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return r.Method
	}
	return "_OTHER"
}

// parent is the span of a trusted proxy. Anybody else could have every request of theirs recorded.
func (e *Edge) parent(r *http.Request) trace.Parent {
	if e.Trace == nil {
		return trace.Parent{}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !e.isProxy(peer.Addr().Unmap().WithZone("")) {
		return trace.Parent{}
	}
	return trace.ParseParent(r.Header.Get("traceparent"))
}
