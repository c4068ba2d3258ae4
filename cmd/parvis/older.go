package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"parvis/cmd/parvis/serving"
	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/secret"
)

// older says what to do about a database that somebody put back by hand.
func older(err error) error {
	return fmt.Errorf("%w.\nIn it, sessions that ended, links that were used and people who were shut out are as they were: nothing is served from it. "+
		"Put the newer database back; or, if it is lost, make this one safe to serve: parvis restore --adopt (docs/operations.md)", err)
}

// current refuses a database that is older than what this node knows of it.
func (s *storage) current(ctx context.Context, a *app.App, log *slog.Logger) error {
	if err := s.askNodes(ctx, a, log); err != nil {
		return err
	}
	blind, err := a.Audit.Watch(ctx, s.db)
	if errors.Is(err, audit.ErrOlder) {
		return older(err)
	}
	if blind {
		log.Warn("this node knows nothing of the audit log yet, so it cannot tell whether an older database was put in place", "file", s.plan.rootsPath())
	}
	return err
}

// newest is current for a command that ends. What this node knows is left to its server to keep.
func (s *storage) newest(ctx context.Context) error {
	err := audit.NewLogs(audit.Settings{Sealing: s.keys.Sealing, File: s.plan.rootsPath(), Since: s.db.Restored}).Newest(ctx, s.db)
	if errors.Is(err, audit.ErrOlder) {
		err = older(err)
	}
	return err
}

// A node that knows nothing waits so long for one that serves, each of which looks so often whether it
// is asked.
const (
	asksNodes = 15 * time.Second
	answers   = time.Second
)

// askNodes takes the roots that this node does not have from another one that serves the same database
// (decision 0085). SQLite has one node.
func (s *storage) askNodes(ctx context.Context, a *app.App, log *slog.Logger) error {
	knows, err := a.Audit.Knows(ctx, s.db)
	if err != nil || knows || s.db.Path() != "" {
		return err
	}
	serves, err := backup.Serving(ctx, s.db)
	if err != nil || !serves {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, asksNodes)
	defer cancel()
	answered, err := a.Audit.Ask(ctx, s.db)
	if errors.Is(err, audit.ErrAltered) { // it stays as blind as it was, and says so
		log.Warn("somebody without the keys of this installation answered for another node", "error", err.Error())
		err = nil
	}
	if answered {
		log.Info("this node knew nothing of the audit log, and took what another node knows", "file", s.plan.rootsPath())
	}
	return err
}

// watches is how often a node looks whether its database was put back.
const watches = 5 * time.Second

// stale reports whether an error of Watch says that nothing may be served on.
func stale(err error) bool {
	return errors.Is(err, audit.ErrOlder) || errors.Is(err, audit.ErrRestored)
}

// watch ends serving once the database is older than what this node knows of it, or was restored.
func (s *storage) watch(ctx context.Context, a *app.App, log *slog.Logger, end context.CancelCauseFunc) {
	serving.Repeat(ctx, log, "watching the database", time.Tick(watches), func() (over bool) {
		_, err := a.Audit.Watch(ctx, s.db)
		switch {
		case errors.Is(err, audit.ErrOlder):
			log.ErrorContext(ctx, "the database was put back by hand: nothing more is served", "error", err.Error(), "do", "parvis restore --adopt")
			end(older(err))
			return true
		case stale(err):
			log.ErrorContext(ctx, "nothing more is served", "error", err.Error(), "do", "start this node again")
			end(fmt.Errorf("%w: start it again", err))
			return true
		case err != nil && !errors.Is(err, context.Canceled):
			log.WarnContext(ctx, "the audit log could not be compared with what this node knows", "error", err.Error())
		}
		return false
	})
}

// knows reports whether this node keeps roots of the audit log of a database that has one.
func (p plan) knows(ctx context.Context, d *db.DB, keys secret.Keys) (bool, error) {
	return audit.NewLogs(audit.Settings{Sealing: keys.Sealing, File: p.rootsPath()}).Knows(ctx, d)
}

// answer tells nodes that ask what this one knows, until ctx ends. SQLite has one node.
func (s *storage) answer(ctx context.Context, a *app.App, log *slog.Logger) {
	if s.db.Path() != "" {
		return
	}
	serving.Repeat(ctx, log, "answering nodes", time.Tick(answers), func() (over bool) {
		if err := a.Audit.Tell(ctx, s.db); err != nil && !errors.Is(err, context.Canceled) {
			log.WarnContext(ctx, "nodes that ask for the roots of the audit log are not answered", "error", err.Error())
		}
		return false
	})
}

// checkLogs checks the audit logs of a database as this node knows them.
func (p plan) checkLogs(ctx context.Context, d *db.DB, keys secret.Keys) (audit.Checked, error) {
	epoch, err := audit.EpochOf(ctx, d, keys.Sealing)
	if err != nil {
		return audit.Checked{}, err
	}
	return audit.NewLogs(audit.Settings{Sealing: keys.Sealing, Host: p.host(), File: p.rootsPath(), Since: epoch.At}).Check(ctx, d)
}
