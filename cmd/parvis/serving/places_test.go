package serving

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// from connects from one of the loopback's addresses, each of which is a network.
func from(t *testing.T, network, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(network)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a request and returns the status line of its answer, or an error's text.
func ask(c net.Conn, request string) string {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

const plain = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func ok(http.ResponseWriter, *http.Request) {}

// DOS-2: connections that send nothing lock nobody out, nor do those that have sent something.
func TestRestingConnectionsOfOneNetworkKeepNobodyOut(t *testing.T) {
	address, _ := run(t, http.HandlerFunc(ok))
	for i := range mostOfNetwork + 200 {
		c := from(t, "127.0.0.1", address)
		if i%2 == 0 {
			if got := ask(c, plain); got != "HTTP/1.1 200 OK" {
				t.Fatalf("connection %d is answered %s", i, got)
			}
		}
	}
	for _, network := range []string{"127.0.0.2", "127.0.0.1"} {
		if got := ask(from(t, network, address), plain); got != "HTTP/1.1 200 OK" {
			t.Errorf("a new connection from %s is answered %s", network, got)
		}
	}
}

// hangs returns a handler whose requests go on until the test ends, and what it has begun.
func hangs(t *testing.T) (http.Handler, chan struct{}) {
	begun, release := make(chan struct{}, 2*mostOfNetwork), make(chan struct{})
	t.Cleanup(func() { close(release) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			begun <- struct{}{}
			<-release
		}
	}), begun
}

func TestANetworkThatUsesAllItsConnectionsGetsNoMore(t *testing.T) {
	for name, proxies := range map[string][]netip.Prefix{"a client": nil, "a trusted proxy": {netip.MustParsePrefix("127.0.0.1/32")}} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h, begun := hangs(t)
			go func() { _ = Run(ctx, discard(), Server{Listener: l, Handler: h, Proxies: proxies}) }()
			for range mostOfNetwork {
				fmt.Fprint(from(t, "127.0.0.1", l.Addr().String()), "GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			for range mostOfNetwork {
				<-begun
			}
			got := ask(from(t, "127.0.0.1", l.Addr().String()), plain)
			if answered := got == "HTTP/1.1 200 OK"; answered != (proxies != nil) {
				t.Errorf("one more is answered %s", got)
			}
			if got := ask(from(t, "127.0.0.2", l.Addr().String()), plain); got != "HTTP/1.1 200 OK" {
				t.Errorf("another network is answered %s", got)
			}
		})
	}
}

// Where places get scarce, the network with most connections that rest gives up the longest.
func TestRestingConnectionsGoWherePlacesAreScarce(t *testing.T) {
	l := limit(listen(t), 20)
	server := newServer(http.HandlerFunc(ok), discard())
	server.ConnState = l.state
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	address := l.Addr().String()
	small := from(t, "127.0.0.9", address)
	if got := ask(small, plain); got != "HTTP/1.1 200 OK" {
		t.Fatal(got)
	}
	for i := range 60 {
		if got := ask(from(t, fmt.Sprintf("127.0.0.%d", 1+i%3), address), plain); got != "HTTP/1.1 200 OK" {
			t.Fatalf("connection %d is answered %s", i, got)
		}
	}
	if got := ask(small, plain); got != "HTTP/1.1 200 OK" {
		t.Errorf("the network with one connection lost it: %s", got)
	}
}

func TestRequestsOfOneClientBehindAProxyAreBounded(t *testing.T) {
	h, begun := hangs(t)
	var refused atomic.Int64
	guarded := guard(h, func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }, func() { refused.Add(1) })
	l := listen(t)
	server := newServer(guarded, discard())
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	of := func(client, path string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + client + "\r\n\r\n"
	}
	for range mostAtOnce {
		fmt.Fprint(from(t, "127.0.0.1", l.Addr().String()), of("192.0.2.1", "/hang"))
	}
	for range mostAtOnce {
		<-begun
	}
	for client, want := range map[string]string{"192.0.2.1": "HTTP/1.1 429 Too Many Requests", "192.0.2.2": "HTTP/1.1 200 OK"} {
		if got := ask(from(t, "127.0.0.1", l.Addr().String()), of(client, "/")); got != want {
			t.Errorf("%s is answered %s, want %s", client, got, want)
		}
	}
	if n := refused.Load(); n != 1 {
		t.Errorf("%d refusals were told of, want 1", n)
	}
}

// SMG: which of the two a proxy believed cannot be known.
func TestARequestWithTwoLengthsIsRefusedAndItsConnectionClosed(t *testing.T) {
	address, _ := run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	const chunked, length = "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"
	for _, one := range []struct {
		name, headers, body, want string
	}{
		{"both", length + chunked, "0\r\n\r\n", "400"},
		{"both, the other way round", chunked + length, "0\r\n\r\n", "400"},
		{"in small letters", "content-length:5\r\ntransfer-encoding:chunked\r\n", "0\r\n\r\n", "400"},
		{"chunks", chunked, "5\r\nabcde\r\n0\r\n\r\n", "200"},
		{"chunks that hold a length", chunked, "14\r\n\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "200"},
		{"a length", length, "abcde", "200"},
		{"longer names", "Content-Length-Of-It: 5\r\n" + chunked, "0\r\n\r\n", "200"},
	} {
		request := "POST / HTTP/1.1\r\nHost: x\r\n" + one.headers + "\r\n" + one.body
		for _, before := range []int{0, 2} {
			for _, step := range []int{len(request), 1} {
				c := from(t, "127.0.0.1", address)
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				r := bufio.NewReader(c)
				for range before {
					fmt.Fprint(c, plain)
					if w, err := http.ReadResponse(r, nil); err != nil || w.StatusCode != http.StatusOK { //nolint:bodyclose // Its connection is closed below.
						t.Fatalf("a plain request: %v", err)
					}
				}
				for i := 0; i < len(request); i += step {
					fmt.Fprint(c, request[i:min(i+step, len(request))])
				}
				w, err := http.ReadResponse(r, nil) //nolint:bodyclose // Its connection is closed below.
				if err != nil || !strings.HasPrefix(w.Status, one.want) {
					t.Errorf("%s after %d others, %d bytes at once: %v, %v; want %s", one.name, before, step, w, err, one.want)
					continue
				}
				if one.want != "400" {
					c.Close()
					continue
				}
				if _, err := r.ReadByte(); err != io.EOF {
					t.Errorf("%s: the connection goes on (%v)", one.name, err)
				}
				c.Close()
			}
		}
	}
}
