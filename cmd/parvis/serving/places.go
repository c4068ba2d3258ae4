package serving

import (
	"container/list"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// How many connections there may be. One that has no request on the way, or has not sent its
// first one as a whole, rests.
const (
	maxConnections = 4000
	// scarce is how many leave so few places that one that rests goes for each that comes.
	scarce = maxConnections * 9 / 10
	// mostOfNetwork is how many one network has. A company behind one address has more people than
	// that, but hardly as many who are waiting for an answer.
	mostOfNetwork = 500
)

// limit lets a listener have n open connections; others wait outside.
func limit(l net.Listener, n int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{}), networks: map[netip.Prefix]*network{}}
}

type limited struct {
	net.Listener
	places  chan struct{}
	closed  chan struct{}
	once    sync.Once
	proxies []netip.Prefix
	secured bool // by TLS
	log     *slog.Logger

	mu       sync.Mutex
	networks map[netip.Prefix]*network
	told     time.Time // when a refusal was logged last
}

// A network is an IPv4 address, or the IPv6 /64 that one customer has as a whole.
type network struct {
	open    int
	resting list.List // of *place, the longest first
}

// Accept waits for a place, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	for {
		if len(l.places) >= cap(l.places)*scarce/maxConnections {
			l.makeRoom()
		}
		select {
		case l.places <- struct{}{}:
		case <-l.closed:
			return nil, net.ErrClosed
		}
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.places
			return nil, err
		}
		if p := l.seat(c); p != nil {
			return p, nil
		}
		c.Close() //nolint:errcheck,gosec // It was refused.
		<-l.places
	}
}

// seat gives a connection its place. In a network that has as many as it may, the one that rests
// for longest makes way; if none rests, the new one is refused with nil.
func (l *limited) seat(c net.Conn) *place {
	of := networkOf(c)
	p := &place{Conn: c, l: l, of: of}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.networks[of]
	if n == nil {
		n = &network{}
		l.networks[of] = n
	}
	if n.open >= mostOfNetwork && !slices.ContainsFunc(l.proxies, func(t netip.Prefix) bool { return t.Contains(of.Addr()) }) {
		longest := n.resting.Front()
		if longest == nil {
			l.tell(of)
			return nil
		}
		l.endResting(n, longest)
	}
	n.open++
	p.rests = n.resting.PushBack(p)
	return p
}

// tell logs, at most once a minute, that a network has all its places in use.
func (l *limited) tell(of netip.Prefix) {
	now := time.Now() //nolint:forbidigo // Connections are this process's own, and never in the database.
	if l.log != nil && now.Sub(l.told) > time.Minute {
		l.told = now
		l.log.Warn("connections were refused: a network has as many as it may have, and uses them all", "network", of.String(), "most", mostOfNetwork)
	}
}

// makeRoom ends the connection that rests for longest in the network with most that rest.
func (l *limited) makeRoom() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var largest *network
	for _, n := range l.networks {
		if n.resting.Len() > 0 && (largest == nil || n.resting.Len() > largest.resting.Len()) {
			largest = n
		}
	}
	if largest != nil {
		l.endResting(largest, largest.resting.Front())
	}
}

// endResting closes a connection at once, and frees its place before the server notices.
func (l *limited) endResting(n *network, e *list.Element) {
	p := n.resting.Remove(e).(*place)
	p.rests = nil
	l.leave(p)
	go p.Conn.Close() //nolint:errcheck // It waits until a Read has noticed, and l.mu is held.
}

// leave frees the place of a connection, once. l.mu is held.
func (l *limited) leave(p *place) {
	if p.left {
		return
	}
	p.left = true
	n := l.networks[p.of]
	if p.rests != nil {
		n.resting.Remove(p.rests)
		p.rests = nil
	}
	if n.open--; n.open == 0 {
		delete(l.networks, p.of)
	}
	<-l.places
}

// state notes which connections rest. It is a hook of net/http.
func (l *limited) state(c net.Conn, s http.ConnState) {
	p := placeOf(c)
	if p == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.left {
		return
	}
	n := l.networks[p.of]
	switch s {
	case http.StateActive, http.StateHijacked:
		if p.rests != nil {
			n.resting.Remove(p.rests)
			p.rests = nil
		}
	case http.StateIdle:
		if !l.secured {
			p.head = head{} // nobody reads between two requests of HTTP/1.1
		}
		if p.rests == nil {
			p.rests = n.resting.PushBack(p)
		}
		if len(l.places) == cap(l.places) { // somebody may wait outside
			l.endResting(n, p.rests)
		}
	case http.StateNew, http.StateClosed:
	}
}

// Close also ends the wait for a place.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A place is a connection that was let in.
type place struct {
	net.Conn
	l     *limited
	of    netip.Prefix
	head  head
	rests *list.Element // in its network; nil while a request is on the way
	left  bool
}

// Read looks at the head of a request that passes, too. Inside TLS there is nothing to be seen.
func (p *place) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if !p.l.secured {
		p.head.see(b[:n])
	}
	return n, err
}

// Close gives the place to the next connection.
func (p *place) Close() error {
	p.l.mu.Lock()
	p.l.leave(p)
	p.l.mu.Unlock()
	return p.Conn.Close()
}

func placeOf(c net.Conn) *place {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	p, _ := c.(*place)
	return p
}

// networkOf returns the network of a peer; the zero one if that has no address.
func networkOf(c net.Conn) netip.Prefix {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	return networkAt(at.Addr())
}

func networkAt(ip netip.Addr) netip.Prefix {
	bits := 64
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		bits = 32
	}
	n, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return n
}
