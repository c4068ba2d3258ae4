package sample

import (
	"fmt"
	"testing"
	"time"
)

func TestWhatIsKeptEndsAndIsBounded(t *testing.T) {
	short := newStore[int](-time.Second)
	short.add("x", 1)
	if _, ok := short.get("x"); ok || !short.add("x", 2) {
		t.Error("what is too old is still there")
	}
	long := newStore[int](time.Hour)
	for i := range mostKept + 5 {
		long.add(fmt.Sprint(i), i)
	}
	if newest, ok := long.take(fmt.Sprint(mostKept + 4)); len(long.kept) != mostKept-1 || !ok || newest != mostKept+4 {
		t.Errorf("%d are kept, the newest is %d, %v", len(long.kept), newest, ok)
	}
}
