package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"

	"parvis/cmd/parvis/serving"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/rotation"
)

// A reloader reads the configuration again at SIGHUP. What can change while the server runs changes; the
// log names the rest. A configuration with a problem changes nothing.
type reloader struct {
	read        func() *configuration
	started     *configuration // with what the server started
	level       *slog.LevelVar
	passwords   *credential.Store
	certificate *certificate // nil where somebody else does TLS
	keys        *rotation.Server
	db          *db.DB
	log         *slog.Logger
}

// hangups receives SIGHUP, which ends the program no longer: closing a terminal stops nobody's sign-in.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// run reads again at each signal until ctx ends.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal) {
	serving.Repeat(ctx, r.log, "reading the configuration again", hangups, func() (over bool) {
		r.again(ctx)
		return false
	})
}

func (r *reloader) again(ctx context.Context) {
	if err := r.keys.Reload(ctx); err != nil {
		r.log.ErrorContext(ctx, "keys not read again: those that were in force still are", "error", err.Error())
	}
	next := r.read()
	p := next.check()
	if err := next.err(); err != nil {
		r.unread(ctx, p.unreadable)
		r.log.ErrorContext(ctx, "configuration not read again: what was in force still is", "problems", next.problems)
		return
	}
	if err := r.passwords.ReadBreached(p.breached); err != nil {
		r.unread(ctx, err)
		r.log.ErrorContext(ctx, "configuration not read again: what was in force still is", "problems", []string{err.Error()})
		return
	}
	r.level.Set(p.level)
	if r.certificate != nil && p.secured {
		r.certificate.use(p.cert, p.key)
	}
	if waits := r.waits(next); len(waits) > 0 {
		r.log.WarnContext(ctx, "some settings changed that are read at the start only", "settings", strings.Join(waits, ", "), "do", "restart")
	}
	r.log.InfoContext(ctx, "configuration read again", "file", orNone(next.path))
}

// unread records why the list of breached passwords could not be read, if it could not. That of the
// start is still in force, so passwords that the new one names are taken.
func (r *reloader) unread(ctx context.Context, why error) {
	if why == nil {
		return
	}
	if err := r.db.Update(ctx, func(tx *db.Tx) error {
		return audit.Record(ctx, tx, audit.Event{
			Actor: audit.System, ActorName: audit.System, Action: "password.list_unreadable", Result: audit.Refused,
			After: audit.Fields{"reason": why.Error()},
		})
	}); err != nil {
		r.log.ErrorContext(ctx, "recording that the list of breached passwords could not be read", "error", err.Error())
	}
}

// changeable reports whether a setting is taken over while the server runs. Turning TLS on or off is not.
func (c *configuration) changeable(s *setting, with *configuration) bool {
	switch s.value.Addr().Interface() {
	case &c.Log.Level, &c.BreachedPasswords:
		return true
	case &c.TLS.Certificate, &c.TLS.Key:
		return (c.TLS.Certificate == "") == (with.TLS.Certificate == "")
	}
	return false
}

// waits lists the settings that differ from those of the start, and wait for a restart.
func (r *reloader) waits(next *configuration) (titles []string) {
	for i, s := range r.started.settings {
		if !r.started.changeable(s, next) && !reflect.DeepEqual(s.value.Interface(), next.settings[i].value.Interface()) {
			titles = append(titles, s.title())
		}
	}
	return titles
}
