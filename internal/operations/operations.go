// Package operations answers those who watch the program, on a listener of its own: whether it lives
// (/healthz), whether it can serve (/readyz), what it measured (/metrics) and, where that is turned on,
// profiles (/debug/pprof/). It knows nobody: no cookie, no session, no page.
package operations

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parvis/internal/measure"
)

// A Check is one thing without which nobody can be served.
type Check struct {
	Name string // shown to those who ask
	OK   func(context.Context) error
}

// Settings are what a Handler is made from.
type Settings struct {
	Families []measure.Family
	Checks   []Check
	Pprof    bool
	// Loopback says that the listener is reached from this machine alone. Then a name that is not this
	// machine's was made to lead here, which is how a page in a browser reads what it may not.
	Loopback bool
	Log      *slog.Logger
}

// Handler is an http.Handler.
type Handler struct {
	Settings
	mux    http.ServeMux
	ending atomic.Bool

	mu      sync.Mutex // one look at a time
	looked  *measure.Stopwatch
	failing []string
	told    bool // the log has it
}

const (
	// A look at the checks holds for so long, however many ask.
	looksEvery = time.Second
	// within is how long a check may take: probes wait a second or a few.
	within = 2 * time.Second
)

// New returns a Handler.
func New(s Settings) *Handler {
	h := &Handler{Settings: s}
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok\n") })
	h.mux.HandleFunc("GET /readyz", h.ready)
	h.mux.HandleFunc("GET /metrics", h.metrics)
	if s.Pprof {
		h.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		h.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		h.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		h.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	return h
}

// ServeHTTP refuses browsers that another site sent, and answers everybody else.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "" && site != "none" && site != "same-origin" || r.Header.Get("Origin") != "" || h.Loopback && !ownName(r.Host) {
		say(w, http.StatusForbidden, "This address is for probes and for Prometheus, under its own address.\n")
		return
	}
	h.mux.ServeHTTP(w, r)
}

// ownName reports whether a request names this machine. Probes name an address, whichever it is.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprint(w, text) //nolint:errcheck // Who asked has gone.
}

// End makes the program not ready, from now on: it is about to stop.
func (h *Handler) End() { h.ending.Store(true) }

// ready says what is missing by the names of the checks; why it is missing stands in the log.
func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	if h.ending.Load() {
		say(w, http.StatusServiceUnavailable, "stopping\n")
		return
	}
	if failing := h.look(r.Context()); len(failing) > 0 {
		say(w, http.StatusServiceUnavailable, "not ready: "+strings.Join(failing, ", ")+"\n")
		return
	}
	say(w, http.StatusOK, "ready\n")
}

// look runs the checks, or returns what they said a moment ago.
func (h *Handler) look(ctx context.Context) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looked != nil && h.looked.Took() < looksEvery {
		return h.failing
	}
	// Who asked may go, and the others wait for the same look.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	h.failing = nil
	for _, c := range h.Checks {
		if err := c.OK(ctx); err != nil {
			h.failing = append(h.failing, c.Name)
			if !h.told {
				h.Log.WarnContext(ctx, "not ready", "check", c.Name, "error", err.Error())
			}
		}
	}
	h.told = len(h.failing) > 0
	now := measure.Start()
	h.looked = &now
	return h.failing
}

func (h *Handler) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", measure.ContentType)
	w.Write(measure.Text(h.Families)) //nolint:errcheck // Who asked has gone.
}
