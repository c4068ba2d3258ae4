package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/region"
)

func TestASweepThatPanicsIsLoggedAndRunsAgain(t *testing.T) {
	d, _ := dbtest.Open(t)
	var log bytes.Buffer
	a := &App{Regions: region.New(region.Settings{}), db: d, log: slog.New(slog.NewTextHandler(&log, nil)), node: "node_1"}
	ctx, stop := context.WithCancel(t.Context())
	runs := 0
	broken := newSweep("breaks", time.Millisecond, func(context.Context, *db.DB) error {
		if runs++; runs == 2 {
			stop()
			return nil
		}
		panic("boom")
	})
	a.sweeps = []*sweep{broken}
	a.Run(ctx)
	if runs != 2 {
		t.Errorf("it ran %d times, want 2", runs)
	}
	if n := broken.panics.Value(); n != 1 {
		t.Errorf("%v panics were counted, want 1", n)
	}
	if !strings.Contains(log.String(), "panic=boom") || !strings.Contains(log.String(), "reference=swp_") {
		t.Errorf("the log says %s", log.String())
	}
}
