package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis/internal/expect"
)

// A driver that finds nothing must be one that would have found something.
func TestWhatNothingExplainsIsFound(t *testing.T) {
	began := time.Now()
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	w := &world{settings: settings{work: t.TempDir()}, judge: newJudge(began)}
	w.judge.faults = []*fault{
		{what: "killed", kind: ofNode, node: 1, after: time.Second, began: at(-100), ended: at(-90)},
		{what: "silent", kind: ofDatabase, node: -1, after: 10 * time.Second, began: at(-60), ended: at(-11)},
	}
	unavailable := func(from time.Time) answer {
		return answer{status: 503, header: http.Header{"Retry-After": {"10"}}, body: "Reference: 7", began: from, node: &node{w: w, number: 1}}
	}
	tests := map[string]struct {
		a     answer
		finds string
	}{
		"a page":                        {answer{status: 200, began: began, node: &node{w: w, number: 1}}, ""},
		"500":                           {answer{status: 500, began: began, node: &node{w: w, number: 1}}, "with 500"},
		"502":                           {answer{status: 502, began: began, node: &node{w: w, number: 1}}, "with 502"},
		"no answer":                     {answer{began: began, node: &node{w: w, number: 1}}, "does not answer"},
		"503 long after the silence":    {unavailable(began), "nothing was wrong with its database"},
		"503 soon after the silence":    {unavailable(at(-2)), ""},
		"503 without a reference":       {answer{status: 503, header: http.Header{"Retry-After": {"10"}}, began: at(-2), node: &node{w: w, number: 1}}, "no reference"},
		"503 that says no time":         {answer{status: 503, header: http.Header{}, body: "reference", began: at(-2), node: &node{w: w, number: 1}}, "Retry-After"},
		"a page that took long":         {answer{status: 200, began: at(-20), node: &node{w: w, number: 1}}, "after 20"},
		"no answer of a killed node":    {answer{began: at(-95), node: &node{w: w, number: 1}}, ""},
		"no answer of another node":     {answer{began: at(-95), node: &node{w: w, number: 0}}, "does not answer"},
		"no answer while it was silent": {answer{began: at(-2), node: &node{w: w, number: 1}}, "does not answer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w.judge.findings = nil
			w.judged(tt.a, "GET /", nil)
			got := strings.Join(w.judge.findings, "\n")
			if (got == "") != (tt.finds == "") || !strings.Contains(got, tt.finds) {
				t.Errorf("found %q, want %q", got, tt.finds)
			}
		})
	}
}

func TestMemoryThatGrowsIsFound(t *testing.T) {
	line := func(from, by float64) (samples []float64) {
		for i := range 400 {
			samples = append(samples, from+by*float64(i))
		}
		return samples
	}
	for name, tt := range map[string]struct {
		samples []float64
		flat    bool
	}{
		"flat":                   {line(60e6, 0), true},
		"it fills caches first":  {append(line(30e6, 3e5)[:100], line(60e6, 0)[:300]...), true},
		"it grows by a little":   {line(60e6, 1e4), true},
		"it grows":               {line(60e6, 1e5), false},
		"nothing was measured":   {nil, false},
		"a peak is no growth":    {append(append(line(60e6, 0)[:370], line(200e6, 0)[:10]...), line(60e6, 0)[:20]...), true},
		"it is high at its end":  {append(line(60e6, 0)[:300], line(90e6, 0)[:100]...), false},
		"it was high before":     {append(line(90e6, 0)[:300], line(60e6, 0)[:100]...), true},
		"of few samples nothing": {line(60e6, 0)[:7], false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, flat := grown(tt.samples)
			expect.Equal(t, "flat", flat, tt.flat)
		})
	}
}
