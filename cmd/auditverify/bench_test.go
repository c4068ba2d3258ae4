package main

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"parvis/internal/audit"
	"parvis/internal/audit/verify"
)

// BenchmarkVerifier prints how many events a second are verified.
func BenchmarkVerifier(b *testing.B) {
	l := newLog(b, 0)
	const events = 5000
	l.fill(events)
	file := strings.Join(l.export(audit.Query{}), "") + "\n"
	key, err := note.NewVerifier(l.checkpoint().Key)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		v := verify.Verifier{Key: key}
		if _, err := v.Verify(strings.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
}
