package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// checkLog checks how the log is written, and how much of it.
func (c *configuration) checkLog(p *plan) {
	c.Log.Format = cmp.Or(c.Log.Format, "json")
	if p.text = c.Log.Format == "text"; !p.text && c.Log.Format != "json" {
		c.problem(`[log] format is "json" or "text".`)
	}
	c.Log.Level = cmp.Or(c.Log.Level, "info")
	known := false
	if p.level, known = levels[c.Log.Level]; !known {
		c.problem(`[log] level is "debug", "info", "warn" or "error".`)
	}
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

func logHandler(w io.Writer, text bool, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if text {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

// The bounds of what a server's log has not written yet.
const (
	lineWaits    = 100 * time.Millisecond
	linesWaiting = 16 << 10 // bytes
)

// newServerLog returns a log that writes several lines in one call, because a call for each
// request costs a tenth of what a small request does. A warning or an error is written at once,
// with what came before it. So is every line once ctx has ended, since a second signal kills the
// program. The function writes what is left, and is called before the program ends.
func newServerLog(ctx context.Context, w io.Writer, text bool, level slog.Leveler) (*slog.Logger, func()) {
	b := &batch{to: w}
	context.AfterFunc(ctx, b.stop)
	return slog.New(batching{logHandler(b, text, level), b}), b.stop
}

// batching is a handler that writes into a batch.
type batching struct {
	slog.Handler
	batch *batch
}

// Handle implements slog.Handler.
func (h batching) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.batch.write()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h batching) WithAttrs(attrs []slog.Attr) slog.Handler {
	return batching{h.Handler.WithAttrs(attrs), h.batch}
}

// WithGroup implements slog.Handler.
func (h batching) WithGroup(name string) slog.Handler {
	return batching{h.Handler.WithGroup(name), h.batch}
}

// batch gathers lines for a writer.
type batch struct {
	to io.Writer

	mutex   sync.Mutex
	lines   []byte
	due     *time.Timer // of the oldest line; nil if none waits
	stopped bool        // nothing waits any longer
}

// Write takes one line.
func (b *batch) Write(line []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.lines = append(b.lines, line...)
	switch {
	case b.stopped || len(b.lines) >= linesWaiting:
		b.empty()
	case b.due == nil:
		b.due = time.AfterFunc(lineWaits, b.write)
	}
	return len(line), nil
}

// write writes what waits.
func (b *batch) write() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.empty()
}

// stop writes what waits, and has every later line written at once.
func (b *batch) stop() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.stopped = true
	b.empty()
}

// empty writes what waits. The caller holds the mutex.
func (b *batch) empty() {
	if b.due != nil {
		b.due.Stop()
		b.due = nil
	}
	if len(b.lines) > 0 {
		_, _ = b.to.Write(b.lines) // as slog does: a log that cannot be written must stop nobody
		b.lines = b.lines[:0]
	}
}
