// Package outbound is how this program speaks to hosts that somebody else named: the
// addresses of identity providers and of what they publish. Whoever may type an
// address may try to reach what only this machine reaches, so there is one client,
// and it refuses that (R-RPO-07).
package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
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
)

// Refused is the error of a request that was not made or not answered as it should.
// Its text is shown to who typed the address, so it tells nothing of what is there.
type Refused string

// The reasons.
const (
	Scheme      Refused = "scheme"      // the address is not https, or is none
	Address     Refused = "address"     // the name leads into a network that is not public
	Redirect    Refused = "redirect"    // the answer leads elsewhere
	TooLarge    Refused = "too_large"   // the answer does not end in time to be read
	Timeout     Refused = "timeout"     // there was no answer in time
	Unreachable Refused = "unreachable" // nobody answers there, or not with HTTP
	TLS         Refused = "tls"         // the certificate is not this name's, or the protocol is old
	Status      Refused = "status"      // another status than was wanted
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
}

// New makes a client. For the hosts of allow, each host:port in small letters,
// http will do and the network may be a private one.
func New(allow []string) *Client {
	c := &Client{allow: allow, patience: Patience}
	// Neither a proxy of the environment nor HTTP/2, connections that are kept or
	// encodings that unfold: each call is judged anew, and little can go wrong in it.
	c.transport = http.Transport{
		DialContext: c.dial, DialTLSContext: c.dialTLS, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	return c
}

// And is a client that may also reach the host of one address more, whatever its
// network: who may name that host has said so.
func (c *Client) And(address string) *Client {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return c
	}
	more := New(append(slices.Clone(c.allow), strings.ToLower(net.JoinHostPort(u.Hostname(), portOf(u)))))
	more.patience, more.dialer = c.patience, c.dialer
	if c.transport.TLSClientConfig != nil {
		more.transport.TLSClientConfig = c.transport.TLSClientConfig
	}
	return more
}

// Response is an answer that was read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// StatusText is the status as people read it.
func (r Response) StatusText() string {
	return strings.TrimSpace(fmt.Sprint(r.Status, " ", http.StatusText(r.Status)))
}

// Get fetches what an address answers with status 200, at most so many bytes.
func (c *Client) Get(ctx context.Context, address string, most int64) (Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Response{}, Scheme // its text would repeat the address
	}
	w, err := c.Do(r, most)
	if err == nil && w.Status != http.StatusOK {
		return Response{}, Status
	}
	return w, err
}

// Do sends a request and reads the answer, whatever its status, unless that leads
// elsewhere.
func (c *Client) Do(r *http.Request, most int64) (Response, error) {
	if !c.admits(r.URL) {
		return Response{}, Scheme
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.patience)
	defer cancel()
	// Without an http.Client nothing is followed and no cookie is kept.
	w, err := c.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return Response{}, reason(ctx, err)
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

// Admits tells that an address is one that people may be sent to, and this client
// may ask: https, or a host that is allowed.
func (c *Client) Admits(address string) bool {
	u, err := url.Parse(address)
	return err == nil && c.admits(u)
}

// Reaches returns Scheme or Address where this client would never ask an address: by
// what it says, or since its name leads to networks that are not public only. A name
// that is not found now is no reason.
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

// dial looks at the address that a name led to when the connection is made: what
// it led to before, or will after, does not matter.
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

// public lets through only connections to addresses of the public Internet.
func public(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(to.Addr()) {
		return Address
	}
	return nil
}

// notPublic are the blocks of IANA's special-purpose registries that are not
// reached over the Internet or lead on into such ones, and an address that answers
// only Azure's own machines. Of IPv6 only the one block is public that is given out
// at all, so that link-local, unique local, mapped and NAT64 addresses are not.
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

// reason names what went wrong and keeps nothing else of it.
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
