package db_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// A long transaction meets short ones that read what it writes and write what it read, one after the
// other. It loses to each that commits first, and gets in all the same.
func TestALongTransactionGetsInAmongShortOnes(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	ctx, stop := context.WithCancel(t.Context())
	writes := func(name string, takes time.Duration) error {
		return d.Update(ctx, func(tx *db.Tx) error {
			if _, err := db.List(ctx, tx, db.Value[string], `select name from leases`); err != nil {
				return err
			}
			time.Sleep(takes)
			_, err := tx.Exec(ctx, `insert into leases (name, holder, ends_at) values ($1, '', 0) on conflict (name) do update set ends_at = leases.ends_at + 1`, name)
			return err
		})
	}
	var done atomic.Int64
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			for ctx.Err() == nil {
				if writes(name, 0) == nil {
					done.Add(1)
				}
			}
		})
	}
	for done.Load() < 20 {
		time.Sleep(time.Millisecond)
	}
	for i := range 3 {
		if err := writes("long", 100*time.Millisecond); err != nil {
			t.Errorf("long transaction %d: %v", i, err)
		}
	}
	stop()
	all.Wait()
}
