package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A host is a server on this machine that counts its requests.
type host struct {
	*httptest.Server
	reached atomic.Int32
}

func (h *host) name() string { return h.Listener.Addr().String() }

func (h *host) port() string { return h.name()[strings.LastIndex(h.name(), ":"):] }

func newHost(t *testing.T, secured bool, answer http.HandlerFunc) *host {
	t.Helper()
	h := &host{}
	h.Server = httptest.NewUnstartedServer(answer)
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.reached.Add(1)
		}
	}
	h.Config.ErrorLog = nil
	if secured {
		h.StartTLS()
	} else {
		h.Start()
	}
	t.Cleanup(h.Close)
	return h
}

func hello(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) } //nolint:errcheck // The test reads it.

func wantRefused(t *testing.T, err error, want Refused) {
	t.Helper()
	if err != want { //nolint:errorlint // The error must be the bare reason, with nothing wrapped.
		t.Errorf("%v, want %v", err, want)
	}
}

func TestAnAllowedHostIsReachedAndReadToItsEnd(t *testing.T) {
	h := newHost(t, false, hello)
	for _, address := range []string{h.URL, "http://sub.localhost" + h.port(), "http://SUB.localhost" + h.port() + "/x"} {
		c := New([]string{h.name(), "sub.localhost" + h.port()})
		w, err := c.Get(t.Context(), address, 5)
		if err != nil || string(w.Body) != "hello" || w.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %q, %v", address, w.Body, err)
		}
		if !c.Admits(address) {
			t.Errorf("%s is not admitted", address)
		}
	}
}

func TestRPO6AddressesThatAreNoneOrNotEncryptedAreNotAsked(t *testing.T) {
	h := newHost(t, false, hello)
	c := New([]string{"127.0.0.1:1"})
	for _, address := range []string{
		h.URL, "http://your-company.com", "file:///etc/passwd", "gopher://127.0.0.1:1/", "https:///keys", "//127.0.0.1:1/", "", "keys",
		"https:keys", "https://user@your-company.com/", "https://user:password@your-company.com/", "http://127.0.0.1:1@your-company.com/",
		"http://127.0.0.1", "http://127.0.0.1:10/", "https://a b/", "https://[::1", "\x00",
	} {
		_, err := c.Get(t.Context(), address, mostBytes)
		wantRefused(t, err, Scheme)
		if c.Admits(address) {
			t.Errorf("%q is admitted", address)
		}
	}
	if h.reached.Load() > 0 {
		t.Error("the host was reached")
	}
}

func TestRPO6NamesAndNumbersOfThisMachineAreRefusedBeforeTheyAreReached(t *testing.T) {
	h := newHost(t, true, hello)
	c := New(nil)
	for _, name := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::1]", "[::]", "169.254.169.254"} {
		_, err := c.Get(t.Context(), "https://"+name+h.port(), mostBytes)
		if err == Unreachable && strings.HasPrefix(name, "[::") && !hasIPv6() { //nolint:errorlint // See wantRefused.
			continue
		}
		wantRefused(t, err, Address)
	}
	// To Go, decimal, octal and short forms are not addresses; a resolver may accept them.
	for _, name := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1"} {
		if _, err := c.Get(t.Context(), "https://"+name+h.port(), mostBytes); err != Address && err != Unreachable { //nolint:errorlint // See wantRefused.
			t.Errorf("%s: %v", name, err)
		}
	}
	if h.reached.Load() > 0 {
		t.Error("the host was reached")
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// A name is judged by the address that it resolves to now, not when it was typed.
func TestRPO6ANameIsJudgedByWhereItLeadsWhenItIsDialled(t *testing.T) {
	h := newHost(t, true, hello)
	c := New(nil)
	c.dialer.Resolver = rebinding(t)
	_, err := c.Get(t.Context(), "https://rebinding.your-company.com"+h.port(), mostBytes)
	wantRefused(t, err, Address)
	told, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://rebinding.your-company.com"+h.port(), strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Tell(told, mostBytes)
	wantRefused(t, err, Address)
	if h.reached.Load() > 0 {
		t.Error("the host was reached")
	}
	c.allow = []string{"rebinding.your-company.com" + h.port()} // which shows that the name does resolve there
	if _, err = c.Get(t.Context(), "https://rebinding.your-company.com"+h.port(), mostBytes); h.reached.Load() == 0 {
		t.Error(err)
	}
}

func TestRPO6OnlyPublicAddressesAreOpen(t *testing.T) {
	for text, open := range map[string]bool{
		"9.9.9.9": true, "172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true, "100.128.0.0": true, "2606:4700:4700::1111": true,
		"2620:fe::fe": true, "::ffff:9.9.9.9": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.100.100.200": false, "127.0.0.1": false, "127.255.255.254": false,
		"169.254.169.254": false, "169.254.170.2": false, "168.63.129.16": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false,
		"192.168.1.1": false, "198.18.0.1": false, "224.0.0.1": false, "239.255.255.255": false, "255.255.255.255": false, "240.0.0.1": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "64:ff9b::a00:1": false,
		"64:ff9b:1::a00:1": false, "2002:a00:1::": false, "2001:0:1::": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fc00::1": false,
		"fd00:ec2::254": false, "ff02::1": false, "2001:db8::1": false,
	} {
		if err := public("tcp", netip.AddrPortFrom(netip.MustParseAddr(text), 443).String(), nil); (err == nil) != open {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRPO6ARedirectIsNotFollowed(t *testing.T) {
	inside := newHost(t, false, hello)
	for _, status := range []int{301, 302, 303, 307, 308, 300} {
		h := newHost(t, false, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL, status) })
		_, err := New([]string{h.name(), inside.name()}).Get(t.Context(), h.URL, mostBytes)
		wantRefused(t, err, Redirect)
	}
	if inside.reached.Load() > 0 {
		t.Error("it was followed")
	}
}

func TestRPO6AnswersAreBounded(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write(make([]byte, 1<<16)) //nolint:errcheck // It writes until the client hangs up.
		}
	}
	h := newHost(t, false, endless)
	for _, most := range []int64{10, mostBytes, 50 << 20} {
		_, err := New([]string{h.name()}).Get(t.Context(), h.URL, most)
		wantRefused(t, err, TooLarge)
	}
	// No caller can allow more than a mebibyte.
	h = newHost(t, false, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, mostBytes+1)) }) //nolint:errcheck // The test reads it.
	_, err := New([]string{h.name()}).Get(t.Context(), h.URL, 50<<20)
	wantRefused(t, err, TooLarge)
	// A compressed answer is not decompressed.
	h = newHost(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Error("it asks for encodings")
		}
		w.Header().Set("Content-Encoding", "gzip")
		hello(w, r)
	})
	if w, err := New([]string{h.name()}).Get(t.Context(), h.URL, 5); err != nil || string(w.Body) != "hello" {
		t.Errorf("%q, %v", w.Body, err)
	}
	h = newHost(t, false, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<17)) })
	_, err = New([]string{h.name()}).Get(t.Context(), h.URL, 5)
	wantRefused(t, err, Unreachable)
}

func TestRPO6WhoDoesNotAnswerIsLeft(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"silence": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a byte now and then": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write([]byte(" ")) //nolint:errcheck // It writes until the client hangs up.
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond) // slow
			}
		},
	} {
		h := newHost(t, false, answer)
		c := New([]string{h.name()})
		if c.patience > 10*time.Second {
			t.Error("it waits too long")
		}
		c.patience = 100 * time.Millisecond
		_, err := c.Get(t.Context(), h.URL, mostBytes)
		if err != Timeout { //nolint:errorlint // See wantRefused.
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New([]string{"127.0.0.1:1"}).Get(ctx, "http://127.0.0.1:1", 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRPO6BadTLSIsRefused(t *testing.T) {
	h := newHost(t, true, hello)
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	get := func(c *Client, name string) error {
		_, err := c.Get(t.Context(), "https://"+name+h.port(), mostBytes)
		return err
	}
	c := New([]string{h.name(), "other.localhost" + h.port()})
	wantRefused(t, get(c, "127.0.0.1"), TLS) // an unknown authority
	c.transport.TLSClientConfig.RootCAs = pool
	wantRefused(t, get(c, "other.localhost"), TLS) // a certificate for another name
	if err := get(c, "127.0.0.1"); err != nil {
		t.Error(err)
	}
	old := newHost(t, false, hello)
	old.Close()
	old.Server = httptest.NewUnstartedServer(http.HandlerFunc(hello))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // That is what is refused.
	old.StartTLS()
	t.Cleanup(old.Close)
	c.allow = append(c.allow, old.name())
	_, err := c.Get(t.Context(), old.URL, mostBytes)
	wantRefused(t, err, TLS)
	plain := newHost(t, false, hello)
	c.allow = append(c.allow, plain.name())
	_, err = c.Get(t.Context(), "https://"+plain.name(), mostBytes)
	wantRefused(t, err, TLS)
}

func TestAnotherStatusAndNobodyAreNamed(t *testing.T) {
	h := newHost(t, false, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "details", http.StatusTeapot) })
	c := New([]string{h.name(), "nobody.invalid:80"})
	_, err := c.Get(t.Context(), h.URL, mostBytes)
	wantRefused(t, err, Status)
	_, err = c.Get(t.Context(), "http://nobody.invalid", mostBytes)
	wantRefused(t, err, Unreachable)
	h.Close()
	_, err = c.Get(t.Context(), h.URL, mostBytes)
	wantRefused(t, err, Unreachable)
}

// A proxy from the environment would see our secrets.
func TestNoProxyOfTheEnvironmentIsUsed(t *testing.T) {
	proxy := newHost(t, false, hello)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	_, err := New([]string{"nobody.invalid:80"}).Get(t.Context(), "http://nobody.invalid", mostBytes)
	wantRefused(t, err, Unreachable)
	if proxy.reached.Load() > 0 {
		t.Error("it was used")
	}
}

func TestReachesSaysWhatIsNeverAsked(t *testing.T) {
	c := New([]string{"idp.lan:443", "127.0.0.1:8080"})
	for address, want := range map[string]error{
		"https://1.1.1.1/": nil, "https://idp.lan/": nil, "http://127.0.0.1:8080/": nil,
		"http://1.1.1.1/": Scheme, "ftp://1.1.1.1/": Scheme, "": Scheme,
		"https://127.0.0.1/": Address, "https://localhost/": Address, "https://A.LOCALHOST:1/": Address, "https://[::1]/": Address, "https://192.168.0.1/": Address,
	} {
		if got := c.Reaches(t.Context(), address); !errors.Is(got, want) {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
	rebound := New(nil)
	rebound.dialer.Resolver = rebinding(t)
	if got := rebound.Reaches(t.Context(), "https://public.example/"); !errors.Is(got, Address) {
		t.Errorf("a name that leads to this machine: %v, want %v", got, Address)
	}
}

// Where only the status matters, a redirect is one, and a long answer is not read to its end.
func TestTellingSeesTheStatusAndNothingElse(t *testing.T) {
	elsewhere := newHost(t, false, hello)
	h := newHost(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			return
		}
		for range 64 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	c := New([]string{h.name(), elsewhere.name()})
	for path, want := range map[string]int{"/redirect": http.StatusFound, "/long": http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		w, err := c.Tell(r, 1000)
		if err != nil || w.Status != want {
			t.Errorf("%s: %d, %v", path, w.Status, err)
		}
	}
	if n := elsewhere.reached.Load(); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, elsewhere.URL, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(nil).Tell(r, 1000)
	wantRefused(t, err, Scheme)
}
