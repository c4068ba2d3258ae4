package moving

import (
	"strings"
	"testing"
	"unicode"

	"parvis/internal/intake/dump"
)

// The name of a column is what a file says, and a terminal would obey it.
func TestWhatAFileSaysIsSafeToPrint(t *testing.T) {
	t.Parallel()
	r := &report{At: At{English: func(error) string { return "The column \x1b[2Jpasword\r\n\u202e is not known." }}}
	got := r.ends(dump.ErrColumn).Error()
	if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) || !strings.Contains(got, "pasword") {
		t.Errorf("printed %q", got)
	}
}
