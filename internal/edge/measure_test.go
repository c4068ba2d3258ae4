package edge

import (
	"net/http/httptest"
	"testing"

	"parvis/internal/expect"
)

// What somebody sends as a method is theirs, and a span holds nothing of that.
func TestASpanNamesOnlyKnownMethods(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{"POST": "POST", "post": "_OTHER", "ana-lima": "_OTHER"} {
		expect.Equal(t, sent, methodOf(httptest.NewRequest(sent, "/", nil)), want)
	}
}
