package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parvis/internal/expect"
)

// calls keeps each call of Write apart.
type calls struct {
	mutex sync.Mutex
	all   []string
}

func (c *calls) Write(b []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.all = append(c.all, string(b))
	return len(b), nil
}

// lines returns how many lines came in each call.
func (c *calls) lines() []int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var all []int
	for _, call := range c.all {
		all = append(all, strings.Count(call, "\n"))
	}
	return all
}

func wrote(t *testing.T, w *calls, want ...int) {
	t.Helper()
	if got := w.lines(); !slices.Equal(got, want) {
		t.Errorf("lines came as %v, want %v", got, want)
	}
}

func TestLinesOfAServerWaitATenthOfASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &calls{}
		log, flush := newServerLog(t.Context(), w, false, slog.LevelInfo)
		defer flush()
		log.Info("one")
		time.Sleep(lineWaits / 2)
		log.Info("two")
		synctest.Wait()
		wrote(t, w)
		time.Sleep(lineWaits / 2)
		synctest.Wait()
		wrote(t, w, 2)
		log.Info("three")
		time.Sleep(lineWaits)
		synctest.Wait()
		wrote(t, w, 2, 1)
	})
}

// A warning comes at once, after the lines before it, also from a log that has attributes of its own.
func TestWarningsOfAServerComeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
			w := &calls{}
			log, flush := newServerLog(t.Context(), w, true, slog.LevelInfo)
			defer flush()
			log.Info("before")
			log.With("a", 1).WithGroup("g").Log(t.Context(), level, "now", "b", 2)
			wrote(t, w, 2)
			expect.Equal(t, "they are in order", strings.Index(w.all[0], "before") < strings.Index(w.all[0], "now a=1 g.b=2"), true)
		}
	})
}

func TestManyLinesOfAServerDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &calls{}
		log, flush := newServerLog(t.Context(), w, true, slog.LevelInfo)
		defer flush()
		line := strings.Repeat("x", linesWaiting/4)
		for range 3 {
			log.Info("many", "line", line)
		}
		wrote(t, w)
		log.Info("many", "line", line)
		wrote(t, w, 4)
	})
}

// Nothing is lost at the end: neither what waits, nor what is logged after the program was told to
// end, when a second signal may kill it.
func TestNoLineOfAServerIsLostAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &calls{}
		ctx, end := context.WithCancel(t.Context())
		log, flush := newServerLog(ctx, w, true, slog.LevelInfo)
		log.Info("one")
		end()
		synctest.Wait()
		wrote(t, w, 1)
		log.Info("two")
		wrote(t, w, 1, 1)
		flush()
		wrote(t, w, 1, 1)

		w = &calls{}
		log, flush = newServerLog(t.Context(), w, true, slog.LevelInfo)
		log.Info("one")
		flush()
		wrote(t, w, 1)
		log.Info("after the end")
		wrote(t, w, 1, 1)
	})
}

// Lines of many requests at once stay whole, and none is lost.
func TestLinesOfManyRequestsStayWhole(t *testing.T) {
	w := &calls{}
	log, flush := newServerLog(t.Context(), w, false, slog.LevelInfo)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				log.Info("request", "from", i, "number", j)
			}
		})
	}
	all.Wait()
	flush()
	lines := strings.Split(strings.TrimSuffix(strings.Join(w.all, ""), "\n"), "\n")
	expect.Equal(t, "lines", len(lines), 8*500)
	for _, line := range lines {
		if !strings.HasPrefix(line, `{"time":`) || !strings.HasSuffix(line, "}") {
			t.Fatalf("a broken line: %s", line)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	for name, log := range map[string]func(io.Writer) *slog.Logger{
		"one by one": func(w io.Writer) *slog.Logger { return slog.New(logHandler(w, false, slog.LevelInfo)) },
		"in batches": func(w io.Writer) *slog.Logger {
			log, flush := newServerLog(b.Context(), w, false, slog.LevelInfo)
			b.Cleanup(flush)
			return log
		},
	} {
		b.Run(name, func(b *testing.B) {
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			go io.Copy(io.Discard, r) //nolint:errcheck // It ends with the test.
			l := log(w)
			for b.Loop() {
				l.LogAttrs(b.Context(), slog.LevelInfo, "request", slog.String("method", "GET"), slog.String("pattern", "GET /o/{org}/home"),
					slog.Int("status", 200), slog.String("reference", "req_abcdefghij"), slog.String("network", "192.0.2.1"))
			}
		})
	}
}
