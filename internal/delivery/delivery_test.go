package delivery

import (
	"testing"
	"time"
)

func TestScheduleEndsOrRepeatsItsLast(t *testing.T) {
	t.Parallel()
	s := Schedule{time.Second, time.Minute}
	for tries, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: time.Minute, 3: time.Minute} {
		if got := s.Forever(tries); got != want {
			t.Errorf("Forever(%d) = %s, want %s", tries, got, want)
		}
	}
	for tries, want := range map[int]bool{0: false, 1: true, 2: true, 3: false} {
		if _, more := s.After(tries); more != want {
			t.Errorf("After(%d) goes on: %t, want %t", tries, more, want)
		}
	}
}

func TestJitterStaysWithinATenthAndSpreads(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for i := range 1000 {
		w := Jitter(time.Hour, string(rune('a'+i%26))+time.Duration(i).String())
		if w < 54*time.Minute || w > 66*time.Minute {
			t.Fatalf("waits %s", w)
		}
		seen[w] = true
	}
	if len(seen) < 500 {
		t.Errorf("1000 keys wait in only %d ways", len(seen))
	}
}

func TestRoomKeepsEachLimit(t *testing.T) {
	t.Parallel()
	r := NewRoom(Limits{All: 6, Owner: 3, One: 2})
	take := func(owner, one string, want bool) {
		t.Helper()
		if got := r.Take(owner, one); got != want {
			t.Errorf("Take(%q, %q) = %t", owner, one, got)
		}
	}
	take("a", "a1", true)
	take("a", "a1", true)
	take("a", "a1", false) // one
	take("a", "a2", true)
	take("a", "a3", false) // owner
	take("", "x1", true)
	take("", "x2", true)
	take("", "x3", true)
	take("b", "b1", false) // all
	if r.Plan().Take("b", "b1") {
		t.Error("a plan has more room")
	}
	r.Add("a", "a1", -1)
	plan := r.Plan()
	if !plan.Take("b", "b1") || !r.Take("b", "b1") {
		t.Error("what came back gives no room, or a plan takes it")
	}
}
