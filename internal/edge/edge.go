// Package edge is the first to handle every request, for pages and endpoints alike: where it
// came from, its reference, the headers of every answer, what other sites may send, cookies, and
// how an error is answered. It knows no page and no protocol; those mount their handlers here.
package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/measure"
	"parvis/internal/secret"
	"parvis/internal/trace"
)

// Settings are what an Edge is made from.
type Settings struct {
	DB      *db.DB         // whose clock is used
	Base    *url.URL       // the configured public address; nothing is built from a request's host
	Proxies []netip.Prefix // peers whose X-Forwarded-* headers are trusted
	Log     *slog.Logger
	Trace   *trace.Tracer // nil where nothing is traced

	// Organization returns the id of the organization that a path names, or an empty one.
	Organization func(ctx context.Context, r db.Reader, name string) (string, error)
}

// Edge is an http.Handler.
type Edge struct {
	Settings
	// Fail answers a request whose handler returned an error, or that reached none.
	Fail func(http.ResponseWriter, *http.Request, error)

	mux      *http.ServeMux
	fixed    []header // of every answer
	routes   []Route
	foreign  map[string]bool // patterns that other sites may post to
	programs map[string]bool // those of them that programs call with a token
	reported atomic.Int64    // the second in which the last policy report was logged
	seen     seenSources
	sites    audit.Sparing // other sites whose forms were refused

	// What was answered, by the route's pattern and the class of the status, and how long it took.
	// Panics are handlers' that ended so.
	Answers measure.By[measure.Counter]
	Took    measure.By[measure.Timer]
	Panics  measure.Counter
	Refused measure.By[measure.Counter] // by the name of one of Limiters
}

// seenSources remembers which forwarding headers were seen, for the log.
type seenSources struct {
	ignored    atomic.Bool
	unreadable atomic.Int64 // requests
	minute     atomic.Int64 // of the last line about them
}

// Route is one line of the route table, for the inventory test and for readers.
type Route struct{ Pattern, Access string }

// New returns an Edge that answers nothing yet but policy reports.
func New(s Settings) *Edge {
	e := &Edge{Settings: s, mux: http.NewServeMux(), foreign: map[string]bool{}, programs: map[string]bool{}}
	e.fixed = e.fixedHeaders()
	e.Handle("POST /csp-report", "anyone", http.HandlerFunc(e.cspReport))
	return e
}

// ServeHTTP is the edge of the site: it gives the request a reference, finds out where it came
// from, sets the headers that every answer carries, refuses what other sites send, and logs one
// line.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := e.DB.Now()
	network, forwarding := e.Source(r)
	origin := audit.Origin{Network: network, Agent: r.UserAgent(), Request: secret.NewID("req")[:14]}
	ctx, span := e.Trace.Request(audit.WithOrigin(db.Answering(r.Context()), origin), r.Method, e.parent(r))
	r = r.WithContext(ctx)
	e.noteSource(r, network, forwarding)
	rec := &recorder{ResponseWriter: w}
	e.setHeaders(rec.Header())
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http panics with this very value.
				panic(p)
			}
			e.Panics.Inc()
			e.Log.ErrorContext(r.Context(), "handler panicked", "reference", origin.Request, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if rec.status == 0 {
				e.Fail(rec, r, errors.New("panic"))
			}
		}
		took := e.DB.Now().Sub(began)
		e.measure(span, r, rec.status, took)
		line := []slog.Attr{
			slog.String("method", r.Method), slog.String("pattern", r.Pattern), slog.Int("status", rec.status),
			slog.String("reference", origin.Request), slog.String("network", origin.Network), slog.Duration("took", took),
		}
		if span != nil {
			line = append(line, slog.String("trace", span.Trace()))
		}
		e.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", line...)
	}()
	err, to := e.admit(r), e.misdirected(r)
	if (err != nil || to != "") && e.ofPrograms(r) {
		err, to = nil, ""
	}
	if err != nil {
		e.noteSite(r, err)
		e.Fail(rec, r, err)
		return
	}
	if to != "" {
		http.Redirect(rec, r, to, http.StatusTemporaryRedirect)
		return
	}
	e.mux.ServeHTTP(rec, r)
}

// recorder remembers the status for the log line.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Policy lets a page load its own files and nothing else. No page contains a script or a style,
// so it needs no nonce (R-WEB-01).
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; report-uri /csp-report"

// header is a header line with its name in canonical form. All answers share its values, of which
// there is one: setting it again or adding to it makes another slice.
type header struct {
	name   string
	values []string
}

// fixedHeaders returns what every answer carries, unless its handler sets something else.
func (e *Edge) fixedHeaders() []header {
	all := []header{
		{"Content-Security-Policy", []string{Policy}},
		{"X-Content-Type-Options", []string{"nosniff"}},
		{"X-Frame-Options", []string{"DENY"}}, // for browsers that do not know frame-ancestors
		{"Referrer-Policy", []string{"no-referrer"}},
		{"Cross-Origin-Opener-Policy", []string{"same-origin"}},
		{"Cross-Origin-Resource-Policy", []string{"same-origin"}},
		{"Permissions-Policy", []string{"camera=(), geolocation=(), microphone=(), payment=()"}},
		{"Cache-Control", []string{"no-store"}},
	}
	if e.Base != nil && e.Secure() {
		all = append(all, header{"Strict-Transport-Security", []string{"max-age=31536000; includeSubDomains"}})
	}
	return all
}

func (e *Edge) setHeaders(h http.Header) {
	for _, f := range e.fixed {
		h[f.name] = f.values
	}
}

var (
	errCrossSite = fault.New(fault.Denied, "page.cross_site")
	errOtherHost = fault.New(fault.Malformed, "page.other_host")
)

// misdirected returns the address under our public name of a page that was requested under
// another name, such as 127.0.0.1 for localhost, because cookies belong to a name.
func (e *Edge) misdirected(r *http.Request) string {
	if r.Host == e.Base.Host || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		return ""
	}
	return e.Base.Scheme + "://" + e.Base.Host + LocalPath(r.URL.RequestURI())
}

// admit refuses what another site sends (decision 0004). A browser says where a request comes
// from in Sec-Fetch-Site, an older one in Origin; a request that carries a cookie of ours and
// has neither is refused.
func (e *Edge) admit(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		// Another site may lead a person here, and nothing else: requests of its images and
		// frames would only count against the person's network.
		h := r.Header
		if h.Get("Sec-Fetch-Site") == "cross-site" && (h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Dest") != "document") && !e.fromElsewhere(r) {
			return errCrossSite
		}
		return nil
	}
	if r.Host != e.Base.Host {
		return errOtherHost
	}
	if e.fromElsewhere(r) {
		return nil
	}
	site, origin := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	switch {
	case len(site) > 0:
		if len(site) > 1 || (site[0] != "same-origin" && site[0] != "none") {
			return errCrossSite
		}
	case len(origin) > 0:
		if len(origin) > 1 || origin[0] != e.Base.Scheme+"://"+e.Base.Host {
			return errCrossSite
		}
	case slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return strings.Contains(c.Name, BrowserCookie) }):
		return errCrossSite
	}
	return nil
}

// maxReport is how many bytes of a browser's policy report are looked at.
const maxReport = 8 << 10

// cspReport logs that a page tried to load what the policy forbids.
func (e *Edge) cspReport(w http.ResponseWriter, r *http.Request) {
	second := e.DB.Now().Unix()
	if e.reported.Swap(second) == second { // one a second is enough to notice, and does not fill a disk
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err == nil {
		e.Log.WarnContext(r.Context(), "content security policy report", "reference", audit.OriginOf(r.Context()).Request, "report", fmt.Sprintf("%q", body))
	}
	w.WriteHeader(http.StatusNoContent)
}

// HandleForeign mounts a handler for what other sites' pages, frames and servers send. They send
// no cookie, and the handler trusts only what the message itself proves.
func (e *Edge) HandleForeign(pattern string, h http.Handler) {
	e.foreign[pattern] = true
	e.Handle(pattern, "another site", h)
}

// HandleProgram mounts a handler of what programs call with a token and without a cookie. It judges
// the name that a call was sent to by itself: a program that is led to the right one has
// already sent its token to the wrong one.
func (e *Edge) HandleProgram(pattern string, h http.Handler) {
	e.programs[pattern] = true
	e.Handle(pattern, "a token", h)
}

func (e *Edge) ofPrograms(r *http.Request) bool {
	_, pattern := e.mux.Handler(r)
	return e.programs[pattern]
}

// fromElsewhere reports whether a request is for a page that other sites may post to.
func (e *Edge) fromElsewhere(r *http.Request) bool {
	_, pattern := e.mux.Handler(r)
	return e.foreign[pattern]
}

// Routes lists what is mounted, in the order of mounting.
func (e *Edge) Routes() []Route { return e.routes }

// Handle mounts a handler; access says who may pass, for the list of routes.
func (e *Edge) Handle(pattern, access string, h http.Handler) {
	e.routes = append(e.routes, Route{pattern, access})
	e.mux.Handle(pattern, h)
}

// Secure reports whether cookies carry Secure and the __Host- prefix. Only a public address
// that is plain http on loopback goes without, because Safari refuses them there.
func (e *Edge) Secure() bool { return e.Base.Scheme == "https" }
