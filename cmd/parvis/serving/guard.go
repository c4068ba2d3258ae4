package serving

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// mostAtOnce is how many requests of one network are on the way at once, by as few connections of
// HTTP/2, or of a proxy, as it likes.
const mostAtOnce = 500

type placeKey struct{}

// withPlace hands the connection of a request on to guard. It is a hook of net/http.
func withPlace(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, placeKey{}, c)
}

// guard refuses what no handler should see; refused is called for each request of a network that has
// too many on the way.
func guard(h http.Handler, client func(*http.Request) string, refused func()) http.Handler {
	c := &counts{of: map[netip.Prefix]int{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ambiguous(r) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.TLS != nil && len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close") // RFC 9112 §6.1: it may have had a length too, and then hide a request
		}
		if client == nil {
			h.ServeHTTP(w, r)
			return
		}
		ip, err := netip.ParseAddr(client(r))
		of := networkAt(ip)
		if err == nil && !c.enter(of) {
			if refused != nil {
				refused()
			}
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if err == nil {
			defer c.leave(of)
		}
		h.ServeHTTP(w, r)
	})
}

// counts are of the requests on the way, by the network that they came from.
type counts struct {
	mu sync.Mutex
	of map[netip.Prefix]int
}

func (c *counts) enter(of netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[of] >= mostAtOnce {
		return false
	}
	c.of[of]++
	return true
}

func (c *counts) leave(of netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[of]--; c.of[of] == 0 {
		delete(c.of, of)
	}
}

// ambiguous reports whether two readers could see the end of a request, or of its lines, in two
// places, which net/http mends in silence (RFC 9112 §5.2, §6.1: an attempt to smuggle a second request
// past a proxy that reads it otherwise). A chunked request whose head came before the last answer was
// sent was not seen, and is ambiguous too. Inside TLS nothing is seen.
func ambiguous(r *http.Request) bool {
	p, ok := r.Context().Value(placeKey{}).(*place)
	switch {
	case len(r.Header["Content-Length"]) > 1: // by HTTP/2, of which net/http believes the first
		return true
	case !ok:
		return false
	case p.head.loose:
		return true
	case len(r.TransferEncoding) > 0:
		return p.head.length || !p.head.encoding
	}
	return p.head.encoding // of HTTP/1.0, in which net/http overlooks it
}

// head is what is seen of the head of a request while it is read.
type head struct {
	length, encoding bool // whether it has Content-Length, and Transfer-Encoding
	loose            bool // whether a line of it ends without CR, or goes on in the next one
	begun, whole     bool
	line             [18]byte // the beginning of the current line, as far as the longer name and its colon
	n                int      // of it
	last             byte     // of the current line, before its LF
}

// see looks at more bytes of the head.
func (h *head) see(b []byte) {
	for len(b) > 0 && !h.whole {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		h.n += copy(h.line[h.n:], line)
		if len(line) > 0 {
			h.last = line[len(line)-1]
		}
		b = rest
		if !ended {
			return
		}
		h.end()
	}
}

// end judges the line that ended.
func (h *head) end() {
	line, filled := h.line[:h.n], h.n > 1 || h.n == 1 && h.line[0] != '\r'
	if h.begun || filled {
		h.loose = h.loose || h.last != '\r' || h.begun && (line[0] == ' ' || line[0] == '\t')
	}
	h.n, h.last = 0, 0
	name, _, _ := bytes.Cut(line, []byte{':'})
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		h.length = true
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.encoding = true
	case !filled:
		// Empty lines before a request are skipped by net/http, and end nothing.
		h.whole = h.length || h.encoding || h.begun
	}
	h.begun = h.begun || filled
}
