//go:build unix

package audit_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// cpuTime returns the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkSealing prints what a sealed event costs, in time and in processor time of this process: in batches of 100 of one log, and alone in its
// log while 2,000 organizations write at once. On PostgreSQL: with PARVIS_TEST_POSTGRES.
func BenchmarkSealing(b *testing.B) {
	for _, c := range []struct {
		name       string
		orgs, each int
	}{{"100 of one log", 1, 100}, {"1 of each of 2000 logs", 2000, 1}} {
		b.Run(c.name, func(b *testing.B) {
			d, _ := dbtest.Open(b)
			l := newLogs()
			fill := func() {
				if err := d.Update(b.Context(), func(tx *db.Tx) error {
					for i := range c.orgs * c.each {
						e := audit.Event{OrgID: fmt.Sprintf("org_%d", i%c.orgs), Actor: "usr_abcdefghijklmnopqrstuvwxyz", ActorName: "Ada Lovelace", Action: "user.profile_changed",
							Target: "usr_abcdefghijklmnopqrstuvwxyz", TargetName: "Ada Lovelace", Before: audit.Fields{"name": "Ada"}, After: audit.Fields{"name": "Ada Lovelace"}}
						if err := audit.Record(b.Context(), tx, e); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			for range 3 { // trees that have begun
				fill()
				if err := l.Sweep(b.Context(), d); err != nil {
					b.Fatal(err)
				}
			}
			var cpu time.Duration
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				fill()
				b.StartTimer()
				before := cpuTime(b)
				if err := l.Sweep(b.Context(), d); err != nil {
					b.Fatal(err)
				}
				cpu += cpuTime(b) - before
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*c.orgs*c.each), "µs/event")
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N*c.orgs*c.each), "µs-cpu/event")
		})
	}
}
