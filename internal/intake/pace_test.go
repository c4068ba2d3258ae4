package intake

import (
	"testing"
	"time"

	"parvis/internal/expect"
)

// How many people a transaction makes follows how long the last ones took: others wait for the writer
// meanwhile.
func TestTransactionsOfAnImportShrinkWhereTheyTakeLong(t *testing.T) {
	t.Parallel()
	const short, right, long = shortly / 2, shortly * 9 / 10, shortly * 2
	for _, c := range []struct {
		what   string
		at     int
		took   []time.Duration
		people int
	}{
		{"quick", 200, []time.Duration{short}, 250},
		{"about as long as they may", 200, []time.Duration{right, right, right}, 200},
		{"one that took long", 200, []time.Duration{long}, 200},
		{"two that took long", 200, []time.Duration{long, long}, 100},
		{"two that took long, not one after the other", 200, []time.Duration{long, right, long}, 200},
		{"as few as may be", AtOnce, []time.Duration{long, long, long}, AtOnce},
		{"as many as may be", mostAtOnce, []time.Duration{short}, mostAtOnce},
	} {
		r := &run{atOnce: c.at}
		for _, took := range c.took {
			r.pace(took)
		}
		expect.Equal(t, c.what, r.atOnce, c.people)
	}
}
