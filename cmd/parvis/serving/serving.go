// Package serving runs HTTP servers with every limit set: on bytes, times and
// connections, before any work starts (R-RES-01).
package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// The limits of a listener. Pages are small and forms are short, so a request that takes longer
// is not a person waiting.
const (
	maxHeader     = 32 << 10
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 90 * time.Second
	maxStreams    = 100 // at once in one HTTP/2 connection

	// goodbye is how long requests may take to finish when the server is told to end.
	goodbye = 15 * time.Second
)

// A Server answers the connections of one listener.
type Server struct {
	Listener net.Listener
	TLS      *tls.Config // nil if the connections are plain
	Handler  http.Handler
	// Client returns the address that a request came from, beyond a proxy that is trusted. If it
	// is nil, requests are not counted by it.
	Client func(*http.Request) string
	// Refused is called for each request that is answered 429 here, for those who watch; nil for nobody.
	Refused func()
	// Proxies are trusted, and have as many connections as they need.
	Proxies []netip.Prefix
}

// Run serves until ctx ends or a server fails, then lets open requests finish.
func Run(ctx context.Context, log *slog.Logger, servers ...Server) error {
	var running []*http.Server
	failed := make(chan error, len(servers))
	for _, s := range servers {
		l := limit(s.Listener, maxConnections)
		l.proxies, l.secured, l.log = s.Proxies, s.TLS != nil, log
		server := newServer(guard(s.Handler, s.Client, s.Refused), log)
		server.ConnState, server.ConnContext = l.state, withPlace
		running = append(running, server)
		go func() {
			if s.TLS == nil {
				failed <- server.Serve(l)
				return
			}
			server.TLSConfig = s.TLS
			failed <- server.ServeTLS(l, "", "") // this speaks HTTP/2 too
		}()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	for _, server := range running {
		if e := server.Shutdown(ending); e != nil {
			err = errors.Join(err, server.Close())
			log.WarnContext(ctx, "requests were cut off at the end", "error", e.Error())
		}
	}
	return err
}

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(connectionLog{log.Handler()}, slog.LevelWarn),
	}
}

// connectionLog gives what net/http says about its connections a constant message. Clients that
// do not finish a handshake are common, and no reason for a warning.
type connectionLog struct{ slog.Handler }

// Handle implements slog.Handler.
func (c connectionLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "TLS handshake error") {
		r.Level = slog.LevelDebug
	}
	if !c.Enabled(ctx, r.Level) {
		return nil
	}
	told := slog.NewRecord(r.Time, r.Level, "connection failed", 0)
	told.AddAttrs(slog.String("detail", strings.TrimSpace(r.Message)))
	return c.Handler.Handle(ctx, told)
}
