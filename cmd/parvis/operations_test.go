package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/loopback"
)

// fetch asks one of a server's listeners, and returns the status and the answer.
func fetch(t *testing.T, address string) (int, string) {
	t.Helper()
	w, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, string(body)
}

// SEC-5: what is for those who watch is not on the public listener, and nothing else is on theirs. On
// SIGTERM the server first says "stopping", and then finishes what has begun.
func TestServeIsWatchedOnAListenerOfItsOwn(t *testing.T) {
	base, watch := "http://localhost:"+loopback.Port(), "127.0.0.1:"+loopback.Port()
	env := environment("PARVIS_OPERATIONS_LISTEN="+watch, "PARVIS_OPERATIONS_PPROF=on")
	if onPostgres() {
		env = append(env, "PARVIS_DATABASE="+dbtest.Address(t))
	}
	p := start(t, t.TempDir(), base, env)
	watch = "http://" + watch
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/metrics": "# HELP parvis_http_requests_total", "/debug/pprof/": "goroutine"} {
		status, body := fetch(t, watch+path)
		if status != http.StatusOK || !strings.Contains(body, want) && path != "/metrics" {
			t.Errorf("%s is answered %d: %.200s", path, status, body)
		}
		if status, _ := fetch(t, base+path); status != http.StatusNotFound {
			t.Errorf("%s of the public listener is answered %d", path, status)
		}
	}
	for _, path := range []string{"/debug/vars", "/.git/config", "/assets/", "/assets", "/parvis.js.map", "/version", "/letters", "/server-status"} { // R-CFG-03
		if status, _ := fetch(t, base+path); status != http.StatusNotFound {
			t.Errorf("%s of the public listener is answered %d", path, status)
		}
	}
	for _, path := range []string{"/", "/sign-in", "/api/v1/people"} {
		if status, _ := fetch(t, watch+path); status != http.StatusNotFound {
			t.Errorf("%s of the other listener is answered %d", path, status)
		}
	}
	if _, body := fetch(t, watch+"/metrics"); !strings.Contains(body, `parvis_http_requests_total{route="/",status="4xx"}`) {
		t.Errorf("the metrics say\n%.3000s", body)
	}

	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const form = "email=somebody%40nowhere.test&password=x"
	fmt.Fprintf(c, "POST /sign-in HTTP/1.1\r\nHost: %s\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		strings.TrimPrefix(base, "http://"), len(form), form[:10])
	time.Sleep(100 * time.Millisecond) // the request has begun, whatever of it has been read
	ended := make(chan error, 1)
	go func() { ended <- p.stop() }()
	said := ""
	for until := time.Now().Add(10 * time.Second); said != "stopping\n" && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		_, said = fetch(t, watch+"/readyz")
	}
	expect.Equal(t, "readiness", said, "stopping\n")
	if status, _ := fetch(t, watch+"/healthz"); status != http.StatusOK {
		t.Errorf("a server that stops lives: %d", status)
	}
	fmt.Fprint(c, form[10:])
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 ") || strings.HasPrefix(line, "HTTP/1.1 5") {
		t.Errorf("the request that had begun is answered %q, %v", line, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v\n%s", err, p.log)
	}
}

// A server that drains still takes requests after it said that it stops.
func TestADrainingServerTakesRequests(t *testing.T) {
	base, watch := "http://localhost:"+loopback.Port(), "127.0.0.1:"+loopback.Port()
	p := start(t, t.TempDir(), base, environment("PARVIS_OPERATIONS_LISTEN="+watch, "PARVIS_OPERATIONS_DRAIN=2s"))
	ended := make(chan error, 1)
	go func() { ended <- p.stop() }()
	for said := ""; said != "stopping\n"; time.Sleep(5 * time.Millisecond) {
		_, said = fetch(t, "http://"+watch+"/readyz")
	}
	if status, _ := fetch(t, base+"/sign-in"); status != http.StatusOK {
		t.Errorf("a draining server answers %d", status)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A second server on a machine serves people, without health and metrics.
func TestASecondServerGoesWithoutTheDefaultListener(t *testing.T) {
	l, err := net.Listen("tcp", defaultOperations)
	if err == nil {
		defer l.Close()
	}
	p := start(t, t.TempDir(), "http://localhost:"+loopback.Port(), environment())
	if !strings.Contains(p.log.String(), "health and metrics are not served") {
		t.Errorf("the log says %s", p.log)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}
