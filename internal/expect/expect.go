// Package expect lets a test state one fact in one line, and its failure name that fact.
package expect

import (
	"fmt"
	"testing"
)

// Equal compares a fact with what is wanted. Where both are of different types, as a claim of a
// token and a text are, Equal[any] compares them.
func Equal[T comparable](t testing.TB, fact string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", fact, got, want)
	}
}

// Case returns t for one of several cases: what fails by it begins with the case's name, and
// does not end the test, so that the other cases are tried too.
func Case(t testing.TB, format string, args ...any) testing.TB {
	return named{t, fmt.Sprintf(format, args...)}
}

type named struct {
	testing.TB
	name string
}

func (n named) Errorf(format string, args ...any) {
	n.Helper()
	n.TB.Errorf("%s: "+format, append([]any{n.name}, args...)...)
}

func (n named) Fatalf(format string, args ...any) {
	n.Helper()
	n.Errorf(format, args...)
}
