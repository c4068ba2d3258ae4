package main

import (
	"context"
	"log/slog"

	"parvis/internal/safely"
	"parvis/internal/secret"
)

// repeat does work at each tick until ctx ends or work says that it is over. A panic in it is logged
// with a reference, and the next tick has the next try: what stands beside the server ends neither it
// nor the sweeps.
func repeat[T any](ctx context.Context, log *slog.Logger, name string, ticks <-chan T, work func() (over bool)) {
	for over := false; !over; {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		guarded(ctx, log, name, func() { over = work() })
	}
}

// guarded does work, and reports whether it came to its end.
func guarded(ctx context.Context, log *slog.Logger, name string, work func()) bool {
	err := safely.Do(func() error { work(); return nil })
	if err != nil {
		log.ErrorContext(ctx, "panicked beside the server", "work", name, "reference", secret.NewID("bsd")[:14], "panic", err.Error())
	}
	return err == nil
}
