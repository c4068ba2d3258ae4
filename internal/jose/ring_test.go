package jose

import (
	"slices"
	"testing"
	"time"
)

type own struct {
	name string
	from time.Time
}

func (o own) SignsFrom() time.Time { return o.from }

func names(keys []own) (all []string) {
	for _, k := range keys {
		all = append(all, k.name)
	}
	return all
}

// Three keys are made one after another, with an overlap longer than the time between them. Each signs
// from its own time on, and is retired an overlap after the next one's time, not after that of the one
// that happens to sign.
func TestEachKeyOfOursSignsAndGoesInItsTurn(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	ring := []own{{"c", start.Add(20 * day)}, {"b", start.Add(10 * day)}, {"a", start}}
	const overlap = 15 * 24 * time.Hour
	for _, c := range []struct {
		at      time.Duration
		signs   string
		retired []string
	}{
		{-day, "a", nil}, // none was published for long enough, so the oldest signs
		{0, "a", nil},
		{10*day - 1, "a", nil},
		{10 * day, "b", nil},
		{20*day - 1, "b", nil},
		{20 * day, "c", nil},
		{25*day - 1, "c", nil},
		{25 * day, "c", []string{"a"}},
		{35*day - 1, "c", []string{"a"}},
		{35 * day, "c", []string{"b", "a"}},
		{1000 * day, "c", []string{"b", "a"}},
	} {
		now := start.Add(c.at)
		if i := Signing(ring, now); ring[i].name != c.signs {
			t.Errorf("after %s %s signs, want %s", c.at, ring[i].name, c.signs)
		}
		if got := names(Retired(ring, now, overlap)); !slices.Equal(got, c.retired) {
			t.Errorf("after %s %v are retired, want %v", c.at, got, c.retired)
		}
	}
	if i := Signing([]own(nil), start); i != -1 {
		t.Errorf("of no keys number %d signs", i)
	}
	for at, want := range map[time.Duration]bool{0: false, 30*day - 1: false, 30 * day: true} {
		if got := Due(ring, start.Add(at), 10*day); got != want {
			t.Errorf("after %s the next is due: %t", at, got)
		}
	}
	if !Due([]own(nil), start, day) {
		t.Error("the first is not due")
	}
}

// Whatever the times of a ring, neither the key that signs is retired, nor one that signed within the
// overlap.
func TestNoKeyGoesThatSignedWithinTheOverlap(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	hours := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	const overlap = 3
	for a := range 6 {
		for b := range 6 {
			for c := range 6 {
				ring := []own{{"c", hours(c)}, {"b", hours(b)}, {"a", hours(a)}}
				for now := range 12 {
					gone := names(Retired(ring, hours(now), overlap*time.Hour))
					for before := max(0, now-overlap); before <= now; before++ {
						if signed := ring[Signing(ring, hours(before))].name; slices.Contains(gone, signed) {
							t.Fatalf("%v: %s signed at %d and is gone at %d", ring, signed, before, now)
						}
					}
				}
			}
		}
	}
}
