// Package outbound connects to hosts that somebody else named, such as identity providers
// and the addresses that they publish. A person who may enter an address may try to reach
// hosts that only this machine can reach. So there is one client, which refuses such hosts
// (R-RPO-07).
package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"parvis/internal/measure"
)

// Refused is the error of a request that was not made, or whose answer was not acceptable.
// Its text is shown to the person who typed the address, so it reveals nothing about the host.
type Refused string

// The reasons.
const (
	Scheme      Refused = "scheme"      // the text is no https address
	Address     Refused = "address"     // the name resolves to an address that is not public
	Redirect    Refused = "redirect"    // the answer is a redirect
	TooLarge    Refused = "too_large"   // the answer is longer than allowed
	Timeout     Refused = "timeout"     // there was no answer in time
	Unreachable Refused = "unreachable" // nothing answers there, or not with HTTP
	TLS         Refused = "tls"         // the certificate is not valid for this name, or the version of TLS is too old
	Status      Refused = "status"      // the status is not the expected one
)

func (r Refused) Error() string { return "outbound: " + string(r) }

// Patience is how long a whole exchange may take, from looking up the name to the last
// byte.
const Patience = 10 * time.Second

const (
	mostBytes      = 1 << 20 // of an answer
	lookupPatience = 3 * time.Second
)

// Client is the one client for other hosts.
type Client struct {
	allow     []string
	dialer    net.Dialer
	transport http.Transport
	patience  time.Duration
	purpose   string // what its calls are for
	calls     *measure.By[measure.Timer]
}

// New makes a client. The hosts in allow, each written as host:port in lower case, may also
// be asked by http and in a private network.
func New(allow []string) *Client {
	c := &Client{allow: allow, patience: Patience, calls: new(measure.By[measure.Timer])}
	// No proxy from the environment, no HTTP/2, no kept connections, no compression: each
	// call is checked by itself, and little can go wrong in it.
	c.transport = http.Transport{
		DialContext: c.dial, DialTLSContext: c.dialTLS, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	return c
}

// And returns a client that may also reach the host of this address, in any network. The
// caller must know that a person entitled to name that host did so.
func (c *Client) And(address string) *Client {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return c
	}
	more := c.as(append(slices.Clone(c.allow), strings.ToLower(net.JoinHostPort(u.Hostname(), portOf(u)))))
	if c.transport.TLSClientConfig != nil {
		more.transport.TLSClientConfig = c.transport.TLSClientConfig
	}
	return more
}

// Peer returns a client for one host that the configuration names, in any network, which keeps its
// connections open: a question to another continent would otherwise take four journeys there.
func (c *Client) Peer(address string) *Client {
	more := c.And(address)
	if more == c {
		return c
	}
	more.transport.DisableKeepAlives = false
	more.transport.MaxIdleConnsPerHost, more.transport.IdleConnTimeout = 8, time.Minute
	return more
}

// Trusting returns a client that believes only these authorities. Only tests need it.
func (c *Client) Trusting(roots *x509.CertPool) *Client {
	more := c.as(c.allow)
	more.transport.TLSClientConfig = more.transport.TLSClientConfig.Clone()
	more.transport.TLSClientConfig.RootCAs = roots
	return more
}

// For returns a client that counts its calls with those of others: by their purpose, and by how each
// ended, which is the class of the status or why there was no answer.
func (c *Client) For(purpose string, calls *measure.By[measure.Timer]) *Client {
	more := c.as(c.allow)
	more.transport.TLSClientConfig = c.transport.TLSClientConfig
	more.purpose, more.calls = purpose, calls
	return more
}

// as returns a client like this one for these hosts.
func (c *Client) as(allow []string) *Client {
	more := New(allow)
	more.patience, more.dialer, more.purpose, more.calls = c.patience, c.dialer, c.purpose, c.calls
	return more
}

// Response is an answer that was read completely.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// StatusText returns the status in words.
func (r Response) StatusText() string {
	return strings.TrimSpace(fmt.Sprint(r.Status, " ", http.StatusText(r.Status)))
}

// Get returns the answer of an address, which must have status 200 and at most so many bytes.
func (c *Client) Get(ctx context.Context, address string, most int64) (Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Response{}, Scheme // the text of err would repeat the address
	}
	w, err := c.Do(r, most)
	if err == nil && w.Status != http.StatusOK {
		return Response{}, Status
	}
	return w, err
}

// Do sends a request and reads the answer. It accepts any status but a redirect.
func (c *Client) Do(r *http.Request, most int64) (Response, error) {
	return c.measured(r, func(r *http.Request) (Response, error) { return c.do(r, most) })
}

func (c *Client) do(r *http.Request, most int64) (Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), c.patience)
	defer cancel()
	w, err := c.send(ctx, r)
	if err != nil {
		return Response{}, err
	}
	defer w.Body.Close()
	if w.StatusCode >= 300 && w.StatusCode < 400 {
		return Response{}, Redirect
	}
	most = min(most, mostBytes)
	body, err := io.ReadAll(io.LimitReader(w.Body, most+1))
	switch {
	case err != nil:
		return Response{}, reason(ctx, err)
	case int64(len(body)) > most:
		return Response{}, TooLarge
	}
	return Response{Status: w.StatusCode, Header: w.Header, Body: body}, nil
}

// Tell sends a request of which only the status and the header of the answer matter. It accepts any
// status, follows no redirect, and reads so many bytes of the body at most, for a receiver that
// would take a connection closed too early for a failure.
func (c *Client) Tell(r *http.Request, most int64) (Response, error) {
	return c.measured(r, func(r *http.Request) (Response, error) { return c.tell(r, most) })
}

func (c *Client) tell(r *http.Request, most int64) (Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), c.patience)
	defer cancel()
	w, err := c.send(ctx, r)
	if err != nil {
		return Response{}, err
	}
	defer w.Body.Close()
	// The status says all: what fails after it changes nothing.
	_, _ = io.CopyN(io.Discard, w.Body, min(most, mostBytes))
	return Response{Status: w.StatusCode, Header: w.Header}, nil
}

// send sends a request to an address that this client admits. A Transport, unlike an http.Client,
// follows no redirect and keeps no cookie.
func (c *Client) send(ctx context.Context, r *http.Request) (*http.Response, error) {
	if !c.admits(r.URL) {
		return nil, Scheme
	}
	w, err := c.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, reason(ctx, err)
	}
	return w, nil
}

// Admits reports whether people may be sent to an address and this client may ask it: an
// address with https, or of a host that New was told to allow.
func (c *Client) Admits(address string) bool {
	u, err := url.Parse(address)
	return err == nil && c.admits(u)
}

// Reaches returns Scheme or Address if this client would never ask an address, either
// because of the text or because its name resolves only to addresses that are not public. It
// returns nil for a name that cannot be resolved now.
func (c *Client) Reaches(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || !c.admits(u) {
		return Scheme
	}
	host := u.Hostname()
	if c.allowed(net.JoinHostPort(host, portOf(u))) {
		return nil
	}
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return Address // RFC 6761 §6.3, whatever a resolver says
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	found, err := cmp.Or(c.dialer.Resolver, net.DefaultResolver).LookupNetIP(ctx, "ip", host)
	if err != nil || slices.ContainsFunc(found, isPublic) {
		return nil
	}
	return Address
}

func (c *Client) admits(u *url.URL) bool {
	if u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && c.allowed(net.JoinHostPort(u.Hostname(), portOf(u)))
}

func portOf(u *url.URL) string {
	if u.Port() == "" {
		return map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Port()
}

func (c *Client) allowed(hostPort string) bool {
	return slices.Contains(c.allow, strings.ToLower(hostPort))
}

// dial checks the very IP address that it connects to. What the name resolved to before, or
// will resolve to later, does not matter.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := c.dialer
	if !c.allowed(address) {
		d.Control = public
	} else if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(strings.ToLower(host), ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port) // as browsers do; Go asks the resolver
	}
	return d.DialContext(ctx, network, address)
}

func (c *Client) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := c.transport.TLSClientConfig.Clone()
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(TLS, err, raw.Close())
	}
	return conn, nil
}

// public allows connections only to addresses of the public Internet.
func public(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(to.Addr()) {
		return Address
	}
	return nil
}

// notPublic are the blocks of IANA's special-purpose registries that cannot be reached over
// the Internet, or that lead to such blocks, and an address that answers only machines in
// Azure. Of IPv6 only the block that is assigned at all is public, which excludes
// link-local, unique local, mapped and NAT64 addresses.
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var givenOut = netip.MustParsePrefix("2000::/3")

func prefixes(all ...string) (list []netip.Prefix) {
	for _, text := range all {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	return (a.Is4() || givenOut.Contains(a)) &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) })
}

// reason maps an error to a Refused and drops its text.
func reason(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, Address):
		return Address
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Timeout
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, TLS):
		return TLS
	}
	return Unreachable
}
