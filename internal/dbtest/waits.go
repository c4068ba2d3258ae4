package dbtest

import (
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/measure"
)

// LongestWait is how long a writer waited at most, with its write, while something was done.
func LongestWait(b *testing.B, d *db.DB, do func() error) (longest time.Duration) {
	b.Helper()
	var over atomic.Bool
	done := make(chan error)
	go func() {
		err := do()
		over.Store(true)
		done <- err
	}()
	for !over.Load() {
		began := measure.Start()
		if err := d.Update(b.Context(), func(*db.Tx) error { return nil }); err != nil {
			b.Fatal(err)
		}
		longest = max(longest, began.Took())
		time.Sleep(100 * time.Microsecond)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return longest
}
