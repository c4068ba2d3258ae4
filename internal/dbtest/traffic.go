package dbtest

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"parvis/internal/db"
)

// Traffic is what a program sends to its database: as package db says, and on PostgreSQL as it
// passes the wire.
type Traffic struct {
	mu    sync.Mutex
	sent  []Sent
	trips []string
}

// Sent is a statement with its values, or the beginning or end of a transaction.
type Sent struct {
	Text string
	Args []any
}

// Heard returns a database as Open does, and its traffic.
func Heard(t testing.TB) (*db.DB, *Clock, *Traffic) {
	t.Helper()
	traffic := &Traffic{}
	address := ""
	if os.Getenv(PostgresVariable) == "" {
		address = Address(t)
	} else {
		address, _ = wired(t, func() func([]byte) {
			w := &wireOf{texts: map[string]string{}, waits: traffic.waits}
			return w.hear
		})
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = "sslmode=disable" // what is enciphered cannot be counted
		address = u.String()
	}
	d, clock := OpenAt(t, address), NewClock()
	d.Clock, d.Sent = clock.Now, traffic.told
	return d, clock, traffic
}

// Take returns what was sent since the last call, and how often the program waited for PostgreSQL to
// answer. What a program does at its own times is left out: hearing what others changed, announcing
// itself, and asking a connection that rested whether it is alive.
func (t *Traffic) Take() (sent []Sent, trips []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sent, trips = t.sent, t.trips
	t.sent, t.trips = nil, nil
	return slices.DeleteFunc(sent, func(s Sent) bool { return atItsTimes(s.Text) }), slices.DeleteFunc(trips, atItsTimes)
}

func atItsTimes(text string) bool {
	return strings.Contains(text, "pg_postmaster_start_time()") || strings.Contains(text, "insert into nodes ") || text == "-- ping"
}

func (t *Traffic) told(text string, args []any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = append(t.sent, Sent{text, slices.Clone(args)})
}

func (t *Traffic) waits(asked string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trips = append(t.trips, asked)
}

// wireOf reads what a client sends on one connection to PostgreSQL, and tells what it asked each
// time it waits for the answer (postgresql.org/docs/current/protocol-message-formats.html).
type wireOf struct {
	rest  []byte
	begun bool              // the message without a type, by which a connection begins, has passed
	texts map[string]string // of prepared statements
	asked string            // since the last answer
	waits func(asked string)
}

// overheard is a connection of which is told what comes from it.
type overheard struct {
	net.Conn
	hear func([]byte)
}

func (o overheard) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.hear(b[:n])
	return n, err
}

func (w *wireOf) hear(b []byte) {
	w.rest = append(w.rest, b...)
	for {
		head := 5 // a type and a length
		if !w.begun {
			head = 4
		}
		if len(w.rest) < head {
			return
		}
		end := head - 4 + int(binary.BigEndian.Uint32(w.rest[head-4:]))
		if len(w.rest) < end {
			return
		}
		kind, body := w.rest[0], w.rest[head:end]
		if w.begun {
			w.message(kind, body)
		}
		w.begun, w.rest = true, w.rest[end:]
	}
}

// message notes the messages that ask something. A simple query is answered at once, others by the
// next Sync.
func (w *wireOf) message(kind byte, body []byte) {
	text := func() string {
		one, rest, _ := bytes.Cut(body, []byte{0})
		body = rest
		return string(one)
	}
	switch kind {
	case 'Q':
		w.waits(text())
	case 'P':
		name := text()
		w.texts[name] = text()
		w.asked = "prepare"
	case 'B':
		text() // the portal
		w.asked = w.texts[text()]
	case 'S':
		w.waits(w.asked)
		w.asked = ""
	}
}
