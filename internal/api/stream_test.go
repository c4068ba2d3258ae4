package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/expect"
)

// patient is a connection that remembers whether each piece got a deadline of its own.
type patient struct {
	*httptest.ResponseRecorder
	bounded, unbounded bool // what was written last had one; something was written without one
	pieces             int
}

func (p *patient) SetWriteDeadline(at time.Time) error {
	p.bounded = !at.IsZero()
	return nil
}

func (p *patient) Write(b []byte) (int, error) {
	p.pieces++
	p.unbounded = p.unbounded || !p.bounded
	return p.ResponseRecorder.Write(b)
}

// Exports of the API and of the console take as long as they are read (R-RES-01).
func TestExportsGiveEachPieceItsTime(t *testing.T) {
	t.Parallel()
	w := start(t)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, export := range []struct{ method, path, body string }{
		{"GET", "/api/v1/events/export", ""},
		{"GET", "/api/v1/events/export?format=csv", ""},
		{"POST", "/o/alpha/admin/audit/export", "format=jsonl"},
		{"POST", "/o/alpha/admin/audit/export", "format=csv"},
		{"POST", "/o/alpha/admin/people/export", "filter="},
	} {
		r := httptest.NewRequestWithContext(t.Context(), export.method, w.URL+export.path, strings.NewReader(export.body))
		if export.method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			for _, c := range w.alpha.browsers[directory.Owner].Client.Jar.Cookies(base) {
				r.AddCookie(c)
			}
		} else {
			r.Header.Set("Authorization", "Bearer "+w.alpha.tokens[directory.Auditor])
		}
		to := &patient{ResponseRecorder: httptest.NewRecorder()}
		w.Site.Edge.ServeHTTP(to, r)
		t := expect.Case(t, "%s %s %s", export.method, export.path, export.body)
		expect.Equal(t, "status", to.Code, http.StatusOK)
		expect.Equal(t, "something arrived", to.pieces > 0, true)
		expect.Equal(t, "something was written without a deadline", to.unbounded, false)
		expect.Equal(t, "a deadline at the end", to.bounded, true)
	}
}
