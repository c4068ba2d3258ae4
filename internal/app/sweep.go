package app

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"parvis/internal/db"
	"parvis/internal/measure"
	"parvis/internal/secret"
	"parvis/internal/trace"
)

// sweep is work that is repeated: a plain function of the package that owns the rows.
type sweep struct {
	name  string
	every time.Duration
	run   func(context.Context, *db.DB) error

	failures, panics measure.Counter
	succeeded, took  atomic.Int64 // when it last did, in seconds of Unix time, 0 for never on this node; and how long it took then
}

func newSweep(name string, every time.Duration, run func(context.Context, *db.DB) error) *sweep {
	return &sweep{name: name, every: every, run: run}
}

// once runs a sweep. This is the one place where sweeps are measured.
func (s *sweep) once(ctx context.Context, d *db.DB) error {
	watch := measure.Start()
	err := s.run(ctx, d)
	if err == nil {
		s.took.Store(int64(watch.Took()))
		s.succeeded.Store(d.Now().Unix())
	}
	return err
}

// leaseLasts is how long a node that died keeps the others from its sweeps.
const leaseLasts = 30 * time.Second

// firstSweep is how long a server that starts answers people before it does what is done less often
// than each second. Letters wait for it no longer than after any other restart.
const firstSweep = time.Second

// Run sweeps until ctx ends; one node at a time does each sweep.
func (a *App) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { a.Regions.Run(ctx) })
	for _, s := range a.sweeps {
		wg.Go(func() {
			first := firstSweep
			if s.every <= firstSweep {
				first = time.Millisecond
			}
			tick := time.NewTicker(first)
			defer tick.Stop()
			for begins := true; ; begins = false {
				select {
				case <-ctx.Done():
					a.endLease(context.WithoutCancel(ctx), s)
					return
				case <-tick.C:
				}
				if begins {
					tick.Reset(s.every)
				}
				a.sweepOnce(ctx, s)
			}
		})
	}
	wg.Wait()
}

// sweepOnce runs a sweep if it is this node's turn. A sweep that panics is logged, and runs
// again when its time comes: other sweeps and requests go on.
func (a *App) sweepOnce(ctx context.Context, s *sweep) {
	ctx, span := a.trace.Work(db.AfterPeople(ctx), "sweep "+s.name)
	reference := secret.NewID("swp")[:14]
	span.Text(trace.Reference, reference)
	defer span.End()
	defer func() {
		if p := recover(); p != nil {
			s.panics.Inc()
			span.Fail("panic")
			a.log.ErrorContext(ctx, "sweep panicked", "sweep", s.name, "reference", reference, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	mine, err := a.db.Lease(ctx, s.name, a.node, max(leaseLasts, 2*s.every))
	if err == nil && mine {
		err = s.once(ctx, a.db)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		s.failures.Inc()
		span.Fail("error")
		a.log.ErrorContext(ctx, "sweep failed", "sweep", s.name, "reference", reference, "error", err.Error())
	}
}

func (a *App) endLease(ctx context.Context, s *sweep) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := a.db.EndLease(ctx, s.name, a.node); err != nil {
		a.log.WarnContext(ctx, "lease not given back", "sweep", s.name, "error", err.Error())
	}
}

// Sweep runs every sweep once, for tests and for commands that end.
func (a *App) Sweep(ctx context.Context) error {
	var all error
	for _, s := range a.sweeps {
		all = errors.Join(all, s.once(ctx, a.db))
	}
	return all
}
