package serving

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// run runs a server until the test ends or the returned function is called.
func run(t *testing.T, h http.Handler) (address string, end func() error) {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, discard(), Server{Listener: l, Handler: h}) }()
	end = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), end
}

// DOS-2: every time and size is bounded; a field that is zero would be unbounded.
func TestNoLimitIsLeftOpen(t *testing.T) {
	s := newServer(nil, discard())
	for what, bound := range map[string]int{
		"time of a header": int(s.ReadHeaderTimeout), "time of a request": int(s.ReadTimeout), "time of an answer": int(s.WriteTimeout),
		"time of rest": int(s.IdleTimeout), "size of a header": s.MaxHeaderBytes, "number of streams": s.HTTP2.MaxConcurrentStreams,
	} {
		if bound <= 0 {
			t.Errorf("the %s has no bound: %+v", what, s)
		}
	}
}

func TestHeadersBeyondTheLimitAreRefused(t *testing.T) {
	called := false
	address, _ := run(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	for name, head := range map[string]string{
		"one large field":  "X: " + strings.Repeat("x", 2*maxHeader) + "\r\n",
		"100,000 fields":   strings.Repeat("X: y\r\n", 100_000),
		"a large URL line": "",
	} {
		path := "/"
		if head == "" {
			path += strings.Repeat("x", 2*maxHeader)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		go fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, head) // as far as the server reads
		answer, _ := io.ReadAll(c)
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 431 ")) {
			t.Errorf("%s: answered %.60q", name, answer)
		}
		c.Close()
	}
	if called {
		t.Error("a handler was called")
	}
}

func TestOpenRequestsAreFinishedAtTheEnd(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	address, end := run(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		fmt.Fprint(w, "finished")
	}))
	answer := make(chan string, 1)
	go func() {
		w, err := http.Get("http://" + address)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer w.Body.Close()
		body, _ := io.ReadAll(w.Body)
		answer <- string(body)
	}()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	for { // until it takes no new connection
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
	close(release)
	if got := <-answer; got != "finished" {
		t.Errorf("got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMoreConnectionsThanPlacesWait(t *testing.T) {
	l := limit(listen(t), 1)
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			l.state(c, http.StateActive) // one that rests would make way
			accepted <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("the second got in beside the first")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // a second time frees no second place
	second := <-accepted
	if second == nil {
		t.Fatal("the second never got in")
	}
	l.Close() // ends the wait for a place
	for range accepted {
		t.Error("a connection came after the end")
	}
}

func TestWhatConnectionsDoIsLoggedUnderOneMessage(t *testing.T) {
	var b bytes.Buffer
	s := newServer(nil, slog.New(slog.NewTextHandler(&b, nil)))
	s.ErrorLog.Print("http: TLS handshake error from 192.0.2.1:5: EOF")
	if b.Len() > 0 {
		t.Errorf("logged %s", &b)
	}
	s.ErrorLog.Print("http: Accept error: too many open files")
	if !strings.Contains(b.String(), `level=WARN msg="connection failed" detail="http: Accept error: too many open files"`) {
		t.Errorf("logged %s", &b)
	}
}
