package audit_test

import (
	"context"
	"io"
	"testing"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// BenchmarkExport prints how many events a second are exported.
func BenchmarkExport(b *testing.B) {
	d, _ := dbtest.Open(b)
	l := newLogs()
	const events = 20_000
	for range events / 5000 {
		many(b, d, "org_a", 5000)
		if err := l.Sweep(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]audit.Query{"all": {OrgID: "org_a"}, "filtered": {OrgID: "org_a", Search: "p1"}} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := l.Export(b.Context(), d, audit.Export{Query: q, Into: io.Discard, Again: func(context.Context, db.Reader) error { return nil }}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
