package api_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"parvis/internal/directory"
	"parvis/internal/idptest"
)

var update = flag.Bool("update", false, "rewrite docs/openapi.json")

// The document in docs is the one that the server serves. Its differences show every change of
// the API: read them.
func TestTheDocumentIsTheOneInDocs(t *testing.T) {
	t.Parallel()
	w := start(t)
	page := w.Browser(t).Get("/api/openapi.json")
	got := []byte(strings.ReplaceAll(page.Body, w.URL, "https://id.example.com"))
	const file = "../../docs/openapi.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.json is another document (%v): read the difference that this command makes: go test ./internal/api -run TheDocument -update", err)
	}
}

// Events are pulled without a gap, and the export that the API gives is the one that anybody can
// check.
func TestEventsArePulledInOrder(t *testing.T) {
	t.Parallel()
	w := start(t)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := as{token: w.alpha.tokens[directory.Auditor]}
	next, after := 0, ""
	for {
		page := w.call(t, a, "GET", "/events?limit=5"+after, "").want(t, 200)
		for _, e := range page.items() {
			if got := fmt.Sprint(e["sequence"]); got != strconv.Itoa(next) {
				t.Fatalf("the next event has the sequence %s, want %d", got, next)
			}
			next++
		}
		if len(page.items()) < 5 {
			break
		}
		after = "&after=" + strconv.Itoa(next-1)
	}
	if next < 5 {
		t.Errorf("%d events were pulled", next)
	}
	c := w.call(t, a, "GET", "/events/checkpoint", "").want(t, 200)
	if got := fmt.Sprint(c.json["size"]); got != strconv.Itoa(next) {
		t.Errorf("the checkpoint is of %s events, want %d", got, next)
	}
	w.call(t, a, "GET", "/events/proof?sequence=0", "").want(t, 200)
	w.call(t, a, "GET", "/events/proof?since=1", "").want(t, 200)
	w.call(t, a, "GET", "/events/proof?sequence=100000", "").want(t, 404)
	w.call(t, a, "GET", "/events/proof", "").refused(t, 422, "api.one_proof", "sequence")
	w.call(t, a, "GET", "/events/export?from=2026-11-30T00:00:00Z&to=2026-11-29T00:00:00Z", "").refused(t, 422, "api.backwards", "to")
}

// The reference is read without a script: every operation stands on the page, with its sentence.
func TestTheReferenceShowsEveryOperation(t *testing.T) {
	t.Parallel()
	w := start(t)
	page := w.Browser(t).Get("/api")
	idptest.Want(t, page, idptest.Status(200), idptest.Says("api.title"), idptest.Says("api.operation.users.list"), idptest.Says("api.area.rules"))
	for _, o := range w.operations(t) {
		if !strings.Contains(page.Text(), o.method+" /api/v1"+o.path) {
			t.Errorf("the reference does not show %s %s", o.method, o.path)
		}
	}
	problem := w.Browser(t).Get("/api/problems/api.limit")
	idptest.Want(t, problem, idptest.Status(200), idptest.Says("api.problem_title"))
	idptest.Want(t, w.Browser(t).Get("/api/problems/api.nothing_of_the_kind"), idptest.Status(404))
}
