package serving

import (
	"context"
	"log/slog"
	"time"

	"parvis/internal/safely"
	"parvis/internal/secret"
)

// Repeat does work at each tick until ctx ends or work reports the end. A panic in it is logged
// with a reference, and the next tick has the next try: what stands beside the server ends neither it
// nor the sweeps.
func Repeat[T any](ctx context.Context, log *slog.Logger, name string, ticks <-chan T, work func() (over bool)) {
	for over := false; !over; {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		guarded(ctx, log, name, func() { over = work() })
	}
}

// Keep does work until it comes to its end; after a panic it begins again.
func Keep(ctx context.Context, log *slog.Logger, name string, work func(context.Context)) {
	for !guarded(ctx, log, name, func() { work(ctx) }) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
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
