package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"parvis/internal/edge"
	"parvis/internal/secret"
)

// An answer is what came back from the public address.
type answer struct {
	identity
	date  time.Time // of its Date header; zero where it has none
	local bool      // it came from this machine
}

// public asks for the server at its public address, as a browser would: through the proxy, if
// there is one. clockKnown says that the clock was compared already.
func (d *doctor) public(keys secret.Keys, clockKnown bool) {
	const check = "public address"
	nonce := secret.NewID("n")
	a, complaint := d.ask(d.plan.base.String(), nonce)
	switch {
	case complaint != "":
		d.fail(check, "%s: %s", d.plan.base, complaint)
	case len(keys.Lookup) > 0 && !a.isOurs(keys, nonce):
		d.fail(check, "%s is answered by another installation of parvis, which has other keys. Correct public_address, or what its name points to.", d.plan.base)
		return
	default:
		d.ok(check, "%s is answered by this installation, which saw %s ask", d.plan.base, a.SeenAs)
		d.proxy(a)
	}
	if clockKnown {
		return
	}
	if complaint != "" || a.local || a.date.IsZero() {
		d.note("clock", "not compared: neither the database nor the public address is on another machine. Set the time by NTP.")
		return
	}
	d.compare(time.Now(), a.date, "the machine behind the public address") //nolint:forbidigo // It is the clock that is to be judged.
}

// regions asks each other region for a Parvis that is not this one. It is no fault if a region
// cannot be reached from here: only browsers need to reach it.
func (d *doctor) regions(keys secret.Keys) {
	const check = "regions"
	if len(d.plan.regions.All) > 0 {
		d.ok(check, "this is %s, one of %d", d.plan.regions.Here, len(d.plan.regions.All))
	}
	for _, r := range d.plan.others() {
		nonce := secret.NewID("n")
		a, complaint := d.ask(r.Address, nonce)
		switch {
		case complaint != "":
			d.note(check, "no parvis answers this machine for %s at %s. Browsers must reach it, this machine need not.", r.ID, r.Address)
		case len(keys.Lookup) > 0 && a.isOurs(keys, nonce):
			d.fail(check, "%s, at %s, has the keys of this region: correct its address, or give it a data folder of its own.", r.ID, r.Address)
		default:
			d.ok(check, "%s answers at %s, with keys of its own", r.ID, r.Address)
		}
	}
}

// proxy judges how the request arrived.
func (d *doctor) proxy(a answer) {
	const check = "proxy"
	switch a.Forwarded {
	case edge.Ignored:
		d.fail(check, "a proxy forwards requests and is not trusted, so everybody seems to come from it (%s): write trusted_proxies = [%q].", a.SeenAs, a.SeenAs)
	case edge.Silent:
		if isLoopback(d.plan.base.Hostname()) {
			d.note(check, "asked from a trusted proxy's address, without a proxy")
			return
		}
		d.fail(check, "%s is trusted as a proxy, but does not say who sent the request: let it set X-Forwarded-For.", a.SeenAs)
	case edge.Unreadable:
		d.fail(check, "%s is trusted as a proxy, but the client address that it writes cannot be read, so everybody who comes through it counts as one: "+
			"let it write one IP address, with or without a port, at the end of X-Forwarded-For.", a.SeenAs)
	case edge.Believed:
		d.ok(check, "trusted, and says for whom it asks")
	default:
		d.ok(check, "none in between")
	}
}

// mostIdentity is more bytes than an identity has.
const mostIdentity = 4 << 10

// ask fetches the identity of the server that answers at an address. If that fails, the
// complaint says what is wrong and what to do.
func (d *doctor) ask(base, nonce string) (a answer, complaint string) {
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { a.local = isOwn(i.Conn.RemoteAddr()) },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+identityPath+"?nonce="+nonce, nil)
	if err != nil {
		return a, err.Error()
	}
	client := http.Client{
		Transport:     &http.Transport{DialContext: dialPublic, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	w, err := client.Do(r)
	if err != nil {
		return a, unreachable(err)
	}
	defer w.Body.Close()
	if date, err := http.ParseTime(w.Header.Get("Date")); err == nil {
		a.date = date
	}
	if to := w.Header.Get("Location"); to == r.URL.String() {
		return a, "the proxy in front asks the server under another name. Let it pass on the Host header as it came."
	} else if to != "" {
		return a, "it leads elsewhere, to " + to + ". Correct public_address, or let the proxy pass requests on unchanged."
	}
	err = json.NewDecoder(io.LimitReader(w.Body, mostIdentity)).Decode(&a.identity)
	if err != nil || !a.Parvis {
		return a, fmt.Sprintf("something other than parvis answers there, with status %d. Correct public_address, or the proxy that passes requests on.", w.StatusCode)
	}
	return a, ""
}

// unreachable says what to do about a request that got no answer.
func unreachable(err error) string {
	what := "Correct public_address, or open the way to it from this machine."
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there. Start 'parvis serve' and the proxy in front of it, or correct public_address."
	case isDNS:
		return dns.Err + ": " + dns.Name + ". Enter the name in DNS, or correct public_address."
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in " + patience.String() + ". " + what
	case isCertificate:
		what = "Use a certificate for exactly this name from an authority that this machine trusts."
	}
	return errors.Unwrap(err).Error() + ". " + what
}

// dialPublic takes names below localhost for this machine, as browsers do.
func dialPublic(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// isOwn reports whether an address is one of this machine's.
func isOwn(a net.Addr) bool {
	remote, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, o := range own {
		if n, ok := o.(*net.IPNet); ok && n.IP.Equal(remote.IP) {
			return true
		}
	}
	return false
}

// noReplyHost returns the domain of the sender before a mail server is configured: no letter is
// sent then, but pages name the address.
func noReplyHost(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "localhost"
	}
	return host
}
