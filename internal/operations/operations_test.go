package operations

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parvis/internal/expect"
	"parvis/internal/measure"
)

func ask(h http.Handler, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "10.4.0.7:9797" // the pod's, as Kubernetes asks
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestReadyIsWhatEveryCheckSays(t *testing.T) {
	var log bytes.Buffer
	var broken error
	h := New(Settings{Log: slog.New(slog.NewTextHandler(&log, nil)), Checks: []Check{
		{"database", func(context.Context) error { return broken }},
		{"keys", func(context.Context) error { return nil }},
	}})
	state := func(status int, says string) {
		t.Helper()
		h.looked = nil // a look holds for a second
		w := ask(h, "/readyz")
		expect.Equal(t, "status", w.Code, status)
		expect.Equal(t, "answer", w.Body.String(), says)
		expect.Equal(t, "status of life", ask(h, "/healthz").Code, http.StatusOK)
	}
	state(http.StatusOK, "ready\n")
	broken = errors.New("connection refused at postgres://parvis:hunter2@db")
	state(http.StatusServiceUnavailable, "not ready: database\n")
	state(http.StatusServiceUnavailable, "not ready: database\n")
	expect.Equal(t, "lines in the log", strings.Count(log.String(), "msg=\"not ready\""), 1)
	broken = nil
	state(http.StatusOK, "ready\n")
	h.End()
	state(http.StatusServiceUnavailable, "stopping\n")
}

func TestALookHoldsForAMoment(t *testing.T) {
	looks := 0
	h := New(Settings{Log: slog.New(slog.DiscardHandler), Checks: []Check{{"database", func(context.Context) error { looks++; return nil }}}})
	for range 100 {
		ask(h, "/readyz")
	}
	if looks > 5 {
		t.Errorf("100 probes looked %d times", looks)
	}
}

// A page that somebody opens on this machine cannot read what is here, by any name that leads here.
func TestBrowsersOfOtherSitesAreRefused(t *testing.T) {
	closed, open := New(Settings{Loopback: true}), New(Settings{})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for name, one := range map[string]struct {
		handler http.Handler
		change  func(*http.Request)
		want    int
	}{
		"a probe by address":                     {closed, host("127.0.0.1:9797"), http.StatusOK},
		"a probe by an IPv6 address":             {closed, host("[::1]:9797"), http.StatusOK},
		"a probe by the pod's address":           {open, host("10.4.0.7:9797"), http.StatusOK},
		"localhost":                              {closed, host("localhost:9797"), http.StatusOK},
		"another name that leads to loopback":    {closed, host("rebound.attacker.test:9797"), http.StatusForbidden},
		"the name of a service on the network":   {open, host("parvis.monitoring.svc:9797"), http.StatusOK},
		"a script of another site":               {open, header("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"a script of another port":               {closed, header("Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		"a script that says where it comes from": {open, header("Origin", "https://attacker.test"), http.StatusForbidden},
		"an address that was typed":              {closed, header("Sec-Fetch-Site", "none"), http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/healthz", "/metrics", "/readyz"} {
				w := ask(one.handler, path, one.change)
				expect.Equal(t, "status of "+path, w.Code, one.want)
				expect.Equal(t, "cookies", len(w.Result().Cookies()), 0)
			}
		})
	}
}

func TestProfilesAreThereOnlyWhereTheyAreTurnedOn(t *testing.T) {
	for _, on := range []bool{false, true} {
		h := New(Settings{Pprof: on})
		want := http.StatusNotFound
		if on {
			want = http.StatusOK
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1"} {
			expect.Equal(t, "status of "+path, ask(h, path).Code, want)
		}
	}
}

func TestWhatIsMeasuredIsWritten(t *testing.T) {
	var c measure.Counter
	c.Inc()
	h := New(Settings{Families: []measure.Family{{Name: "some_total", Kind: measure.Count, Help: "Some.", Read: measure.One(c.Value)}}})
	w := ask(h, "/metrics")
	expect.Equal(t, "type", w.Header().Get("Content-Type"), measure.ContentType)
	expect.Equal(t, "text", w.Body.String(), "# HELP some_total Some.\n# TYPE some_total counter\nsome_total 1\n")
	expect.Equal(t, "status of anything else", ask(h, "/sign-in").Code, http.StatusNotFound)
}
