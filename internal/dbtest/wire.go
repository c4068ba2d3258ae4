package dbtest

import (
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
)

// A Wire is the connection between a program and its PostgreSQL. A test can cut it, or let it
// swallow what is sent.
type Wire struct {
	listener net.Listener

	mu     sync.Mutex
	open   []net.Conn
	silent chan struct{} // closed while nothing passes
}

// Wired returns the address of a new database behind a wire. It skips the test on SQLite,
// which has no connections.
func Wired(t testing.TB) (string, *Wire) {
	t.Helper()
	return wired(t, func() func([]byte) { return func([]byte) {} })
}

// wired is Wired, with a listener for what the program sends on each connection.
func wired(t testing.TB, listener func() func([]byte)) (string, *Wire) {
	t.Helper()
	if os.Getenv(PostgresVariable) == "" {
		t.Skip("SQLite has no connection that could break")
	}
	u, err := url.Parse(Address(t))
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{silent: make(chan struct{})}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	behind := u.Host
	t.Cleanup(func() { w.listener.Close(); w.Cut() })
	go func() {
		for {
			near, err := w.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", behind)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, near, far)
			silent := w.silent
			w.mu.Unlock()
			go pass(near, far, silent)
			go pass(far, overheard{near, listener()}, silent)
		}
	}()
	u.Host = w.Address()
	return u.String(), w
}

// pass hands on what comes, until the wire is cut, or swallows it once the wire is silent.
func pass(to, from net.Conn, silent chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-silent:
			_, _ = io.Copy(io.Discard, from)
			return
		default:
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Address returns where the wire begins.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Cut ends every connection.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

// Silence swallows what is sent, without a word to either side.
func (w *Wire) Silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.silent)
}

// Resume lets new connections pass. Those of before stay silent, as where a firewall forgot them.
func (w *Wire) Resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = make(chan struct{})
}
