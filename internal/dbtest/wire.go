package dbtest

import (
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"
)

// A Wire is the connection between a program and its PostgreSQL, or another server. A test can cut
// it, slow it, lead it elsewhere, or let it swallow what is sent.
type Wire struct {
	listener net.Listener
	hears    func() func([]byte) // is told what the program sends, of each connection

	mu     sync.Mutex
	behind string // host and port of the server
	open   []net.Conn
	silent chan struct{} // closed while nothing passes
	delay  time.Duration
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
	w, err := newWire(u.Host, listener)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	u.Host = w.Address()
	return u.String(), w
}

// NewWire starts a wire to the server at host and port.
func NewWire(behind string) (*Wire, error) {
	return newWire(behind, func() func([]byte) { return func([]byte) {} })
}

func newWire(behind string, hears func() func([]byte)) (*Wire, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Wire{listener: listener, behind: behind, hears: hears, silent: make(chan struct{})}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go w.connect(near)
		}
	}()
	return w, nil
}

// connect is a connection from its beginning to its end. Where nobody answers behind the wire it
// ends at once; while the wire is silent it waits.
func (w *Wire) connect(near net.Conn) {
	defer near.Close()
	w.mu.Lock()
	behind, silent := w.behind, w.silent
	w.open = append(w.open, near)
	w.mu.Unlock()
	far, err := net.Dial("tcp", behind)
	if err != nil {
		w.ended(near)
		return
	}
	defer far.Close()
	w.mu.Lock()
	w.open = append(w.open, far)
	w.mu.Unlock()
	hears := w.hears()
	var both sync.WaitGroup
	both.Go(func() { w.pass(near, far, silent) })
	both.Go(func() { w.pass(far, overheard{near, hears}, silent) })
	both.Wait()
	w.ended(near, far)
}

// pass hands on what comes, until one end closes or the wire is cut, or swallows it once the wire
// is silent: then neither side hears that the other is gone.
func (w *Wire) pass(to, from net.Conn, silent chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		time.Sleep(w.waits())
		select {
		case <-silent:
			_, _ = io.Copy(io.Discard, from)
			return
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			from.Close()
			return
		}
	}
}

func (w *Wire) waits() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.delay
}

func (w *Wire) ended(all ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.open[:0]
	for _, c := range w.open {
		if c != all[0] && c != all[len(all)-1] {
			kept = append(kept, c)
		}
	}
	w.open = kept
}

// Address returns where the wire begins.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Close ends the wire with its connections.
func (w *Wire) Close() {
	w.listener.Close()
	w.Cut()
}

// Lead sends connections to another server from now on. Those that are there stay.
func (w *Wire) Lead(behind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behind = behind
}

// Delay has each piece wait for so long, in both directions.
func (w *Wire) Delay(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = by
}

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
	select {
	case <-w.silent: // it is silent already
	default:
		close(w.silent)
	}
}

// Resume lets new connections pass. Those of before stay silent, as where a firewall forgot them.
func (w *Wire) Resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = make(chan struct{})
}
