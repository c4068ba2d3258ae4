package serving

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What stands beside the server goes on after a panic, which is logged with a reference.
func TestAPanicBesideTheServerEndsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	ticks := make(chan int, 3)
	ticks <- 1
	ticks <- 2
	ticks <- 3
	n := 0
	Repeat(ctx, slog.New(slog.NewTextHandler(&out, nil)), "counting", ticks, func() (over bool) {
		if n++; n == 2 {
			panic("boom")
		}
		return n == 3
	})
	if n != 3 || ctx.Err() != nil {
		t.Errorf("after a panic %d of 3 ticks were used", n)
	}
	if said := out.String(); strings.Count(said, "panicked beside the server") != 1 || !strings.Contains(said, "work=counting reference=bsd_") || !strings.Contains(said, "boom") {
		t.Errorf("the log says %s", said)
	}
}
