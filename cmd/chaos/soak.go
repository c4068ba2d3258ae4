package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// How much more memory a node may need in the last quarter of a soak than in the second one. The
// first is left out: until then caches fill, and the runtime learns how much it needs.
const (
	mayGrow   = 0.10
	mayGrowBy = 4 << 20
)

// watch samples the resident memory of the nodes.
type watch struct {
	samples [][]float64 // by node, in bytes, each second
}

// watch samples until ctx ends, and returns then.
func (w *world) watch(ctx context.Context, lasts time.Duration) *watch {
	m := &watch{samples: make([][]float64, len(w.nodes))}
	said := time.Now()
	for ctx.Err() == nil {
		for i, n := range w.nodes {
			if bytes := n.memory(); bytes > 0 {
				m.samples[i] = append(m.samples[i], bytes)
			}
		}
		if time.Since(said) > lasts/10 {
			said = time.Now()
			w.judge.say("%s", m)
		}
		time.Sleep(time.Second)
	}
	return m
}

var resident = regexp.MustCompile(`VmRSS:\s+([0-9]+) kB`)

// memory is what the process has in memory, in bytes.
func (n *node) memory() float64 {
	n.mu.Lock()
	process := n.cmd.Process.Pid
	n.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	if err != nil {
		return 0
	}
	m := resident.FindSubmatch(text)
	if m == nil {
		return 0
	}
	kb, _ := strconv.ParseFloat(string(m[1]), 64)
	return kb * 1024
}

func (m *watch) String() string {
	text := "resident memory:"
	for _, all := range m.samples {
		text += fmt.Sprintf(" %.1f MB", last(all)/1e6)
	}
	return text
}

func last(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

// judge compares the median of the last quarter with that of the second.
func (m *watch) judge(j *judge) {
	for i, all := range m.samples {
		before, after, flat := grown(all)
		if j.say("node %d: %.1f MB in the second quarter, %.1f MB in the last", i, before/1e6, after/1e6); !flat {
			j.find("node %d grew from %.1f to %.1f MB, and may grow by %.0f %% and %d MB", i, before/1e6, after/1e6, 100*mayGrow, mayGrowBy>>20)
		}
	}
}

// grown returns the medians of the second and of the last quarter, and whether the last one is no
// more than is allowed.
func grown(samples []float64) (before, after float64, flat bool) {
	if len(samples) < 8 {
		return 0, 0, false
	}
	quarter := len(samples) / 4
	before, after = median(samples[quarter:2*quarter]), median(samples[3*quarter:])
	return before, after, after <= before*(1+mayGrow)+mayGrowBy
}

func median(samples []float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[len(sorted)/2]
}
