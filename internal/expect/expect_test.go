package expect_test

import (
	"fmt"
	"slices"
	"testing"

	"parvis/internal/expect"
)

// failures is a test that keeps what it is told.
type failures struct {
	testing.TB
	said []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func TestFailuresNameTheFactAndTheCase(t *testing.T) {
	failed := &failures{TB: t}
	expect.Equal(failed, "number", 7, 7)
	expect.Equal(failed, "number", 7, 8)
	expect.Equal[any](failed, "kind", 7, "7")
	c := expect.Case(failed, "case %d", 3)
	expect.Equal(c, "number", 1, 1)
	expect.Equal(c, "number", 1, 2)
	c.Fatalf("over: %s", "here") // does not end this test
	want := []string{"number is 7, want 8", "kind is 7, want 7", "case 3: number is 1, want 2", "case 3: over: here"}
	if !slices.Equal(failed.said, want) {
		t.Errorf("said %q, want %q", failed.said, want)
	}
}
