package audit

import (
	"strconv"
	"testing"
	"time"

	"parvis/internal/expect"
)

// Who makes up thousands of things fills no memory, and hides nothing that comes after.
func TestAFloodOfThingsBlindsNobody(t *testing.T) {
	t.Parallel()
	var s Sparing
	now := time.Unix(0, 0)
	for i := range mostRemembered + 1 {
		if i%mostSpared == 0 {
			now = now.Add(time.Minute)
		}
		if !s.first(strconv.Itoa(i), 30*24*time.Hour, now) {
			t.Fatalf("thing %d is not recorded", i)
		}
	}
	expect.Equal(t, "whether memory is bounded", len(s.until) <= mostRemembered, true)
	expect.Equal(t, "the same thing again", s.first(strconv.Itoa(mostRemembered), time.Hour, now), false)
}
