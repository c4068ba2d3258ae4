package op_test

import (
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
)

// What gives tokens or changes something by the API reads what it depends on (decision 78).
func TestDeedsAskNoMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var used atomic.Int64 // remembered answers
	compare := w.DB.Shadow
	w.DB.Shadow = func(remembered, stored any) {
		used.Add(1)
		compare(remembered, stored)
	}
	robot := w.robot(application.Settings{Scopes: []string{"books:read"}}, access.ReadPeople)
	person := w.allows(w.ana, "parvis.people.read parvis.people.write").text("access_token")
	bearer := func(method string) func() {
		return func() {
			r := w.calls(person)
			r.Method = method
			if _, err := w.Provider.Bearer(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	call := func(path string, form url.Values) func() {
		return func() {
			if r := w.call(robot, path, form); r.Status != http.StatusOK {
				t.Fatalf("%s answers %d %s", path, r.Status, r.Body)
			}
		}
	}
	recalls := func(do func()) bool {
		before := used.Load()
		if err := w.DB.Hear(t.Context()); err != nil {
			t.Fatal(err)
		}
		do()
		return used.Load() > before
	}
	for what, c := range map[string]struct{ reads, does func() }{
		"a secret": {call("/introspect", url.Values{"token": {person}}), call("/token", url.Values{"grant_type": {"client_credentials"}})},
		"a grant":  {bearer(http.MethodGet), bearer(http.MethodPost)},
	} {
		// A slow machine may not believe the last hearing, and a long transaction may have all of it void.
		for until := time.Now().Add(30 * time.Second); !recalls(c.reads); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s is never remembered: this test shows nothing", what)
			}
		}
		if recalls(c.does) {
			t.Errorf("%s: a deed believes what is remembered", what)
		}
	}
}
