package safely

import (
	"errors"
	"strings"
	"testing"
)

func TestAPanicIsAnErrorThatSaysWhere(t *testing.T) {
	err := Do(func() error { panic("boom") })
	if err == nil || !strings.Contains(err.Error(), "panic: boom") || !strings.Contains(err.Error(), "safely_test.go") {
		t.Errorf("got %v", err)
	}
	own := errors.New("own")
	if err := Do(func() error { return own }); err != own { //nolint:errorlint // It comes back as it is.
		t.Errorf("got %v", err)
	}
}
