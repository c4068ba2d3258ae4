package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"parvis/cmd/parvis/otlp"
	"parvis/cmd/parvis/serving"
	"parvis/internal/app"
	"parvis/internal/number"
	"parvis/internal/operations"
	"parvis/internal/rotation"
	"parvis/internal/trace"
)

// Where those who watch the program find it unless something is set.
const defaultOperations = "127.0.0.1:9797"

// watched is how the program is watched.
type watched struct {
	listen  string // empty for nowhere
	chosen  bool   // somebody set it
	pprof   bool
	drain   time.Duration  // for how long requests are taken after the program said that it stops
	tracing *otlp.Settings // nil for none
}

// mostDrain is the longest drain: an orchestrator kills what takes longer to end.
const mostDrain = 5 * time.Minute

func (c *configuration) checkOperations(p *plan) {
	o := &c.Operations
	p.watched.listen, p.watched.chosen = o.Listen, o.Listen != ""
	if o.Listen == "" {
		o.Listen, p.watched.listen = defaultOperations, defaultOperations
	}
	o.Pprof, o.Drain = cmp.Or(o.Pprof, "off"), cmp.Or(o.Drain, "0s")
	if p.watched.pprof = o.Pprof == "on"; o.Pprof != "on" && o.Pprof != "off" {
		c.problem(`[operations] pprof is "on" or "off".`)
	}
	d, err := time.ParseDuration(o.Drain)
	if p.watched.drain = d; err != nil || d < 0 || d > mostDrain {
		c.problem(`[operations] drain is a time up to 5 minutes, such as "5s".`)
	}
	var problems []string
	p.watched.tracing, problems = otlp.Read(c.env)
	for _, problem := range problems {
		c.problem("%s", problem)
	}
	if p.watched.listen == "off" {
		if p.watched.listen = ""; p.watched.pprof {
			c.problem(`[operations] pprof is "on", but [operations] listen is "off".`)
		}
		return
	}
	host, port, err := net.SplitHostPort(p.watched.listen)
	_, ok := number.Port(port)
	_, iperr := netip.ParseAddr(host)
	switch {
	case err != nil || !ok && port != "0" || iperr != nil && host != "" && host != "localhost":
		c.problem(`[operations] listen is an address of this machine and a port, such as "127.0.0.1:9797", or "off".`)
	case p.watched.pprof && !isLoopback(host):
		c.problem("[operations] pprof shows what is in memory, keys and passwords too, so it is only for a listener that this machine alone reaches: " +
			"listen on 127.0.0.1, or turn pprof off.")
	case sameListener(p.watched.listen, p.listen):
		c.problem("[operations] listen is where people are served: write another port.")
	}
}

// sameListener reports whether two listeners would take the same connections.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	all := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	return errA == nil && errB == nil && portA != "0" && portA == portB && (hostA == hostB || all(hostA) || all(hostB) || isLoopback(hostA) && isLoopback(hostB))
}

// tracer returns what records traces; nil for nothing.
func (p plan) tracer(log *slog.Logger) *trace.Tracer {
	t := p.watched.tracing
	if t == nil {
		return nil
	}
	log.Info("tracing", "receiver", t.Receiver())
	if t.Open() {
		log.Warn("traces leave this machine without encryption", "do", "give OTEL_EXPORTER_OTLP_ENDPOINT an address with https")
	}
	return trace.New(trace.Settings{Resource: t.Resource, Ratio: t.Ratio, ByParent: t.ByParent, Send: t.Sender(), Log: log})
}

// listenForOperations listens for those who watch; nil for nowhere. Of two servers on a machine, of
// which none was told where, the second one goes without.
func (p plan) listenForOperations(ctx context.Context, log *slog.Logger) (net.Listener, error) {
	if p.watched.listen == "" {
		return nil, nil //nolint:nilnil // None is a value here.
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.watched.listen)
	switch {
	case err == nil:
		return l, nil
	case p.watched.chosen:
		return nil, fmt.Errorf("listening for operations on %s: %w. Choose another address with [operations] listen", p.watched.listen, err)
	}
	log.Warn("health and metrics are not served", "error", err.Error(), "do", `choose an address with [operations] listen, or "off"`)
	return nil, nil //nolint:nilnil // None is a value here.
}

// operations makes what answers those who watch.
func (s *storage) operations(a *app.App, log *slog.Logger) *operations.Handler {
	host, _, _ := net.SplitHostPort(s.plan.watched.listen) // it was checked
	return operations.New(operations.Settings{
		Families: a.Measures(), Pprof: s.plan.watched.pprof, Loopback: isLoopback(host), Log: log,
		Checks: []operations.Check{
			{Name: "database", OK: s.db.Fits},
			{Name: "keys", OK: s.keysAreThose},
		},
	})
}

// keysAreThose returns an error unless the database is one that our keys belong to.
func (s *storage) keysAreThose(ctx context.Context) error {
	known, err := s.db.Noted(ctx, rotation.Note)
	if err == nil && !rotation.Parse(known).Fits(s.keys) {
		err = fmt.Errorf("the database was made with other keys than %s", s.plan.keysPath())
	}
	return err
}

// watch answers those who watch until ctx ends.
func watch(ctx context.Context, log *slog.Logger, l net.Listener, h *operations.Handler) {
	if l == nil {
		return
	}
	log.InfoContext(ctx, "health and metrics are served", "listen", l.Addr().String())
	if host, _, err := net.SplitHostPort(l.Addr().String()); err == nil && !isLoopback(host) {
		log.WarnContext(ctx, "health and metrics are open to the network", "do", "let only those who watch reach this port")
	}
	if err := serving.Run(ctx, log, serving.Server{Listener: l, Handler: h}); err != nil {
		log.ErrorContext(ctx, "health and metrics are served no longer", "error", err.Error())
	}
}
