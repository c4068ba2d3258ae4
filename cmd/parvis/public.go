package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"parvis/internal/db"
	"parvis/internal/edge"
	"parvis/internal/outbound"
	"parvis/internal/page"
	"parvis/internal/region"
	"parvis/internal/secret"
)

// An answer is what came back from the public address.
type answer struct {
	identity
	date  time.Time // of its Date header; zero where it has none
	local bool      // it came from this machine
	ends  time.Time // when the certificate ends that was shown; zero without TLS
}

// public asks for the server at its public address, as a browser would: through the proxy, if
// there is one. clockKnown says that the clock was compared already.
func (d *doctor) public(keys secret.Keys, clockKnown bool) {
	const check = "public address"
	if d.uncertified {
		return // as every browser, this would be told so first
	}
	nonce := secret.NewID("n")
	a, complaint := d.ask(d.plan.base.String(), nonce)
	switch {
	case complaint != "":
		d.fail(check, "%s: %s", d.plan.base, complaint)
	case keys.Lookup != nil && !d.foreign && !a.isOurs(keys, nonce):
		d.fail(check, "%s is answered by another installation of parvis, which has other keys. Correct public_address, or what its name points to.", d.plan.base)
		return
	default:
		d.ok(check, "%s is answered by this installation, which saw %s ask", d.plan.base, a.SeenAs)
		d.proxy(a)
		d.shown(a)
		d.bodies()
		d.nodes(keys, a, nonce)
	}
	if clockKnown {
		return
	}
	if complaint != "" || a.local || a.date.IsZero() {
		d.ok("clock", "not compared, since neither the database nor the public address is on another machine")
		return
	}
	d.compare(time.Now(), a.date, "the machine behind the public address") //nolint:forbidigo // It is the clock that is to be judged.
}

// nodesAsked is how often the public address is asked which settings are in force: a balancer leads to
// another node each time, as long as it takes turns.
const nodesAsked = 4

// nodes compares the settings of those that answer with these.
func (d *doctor) nodes(keys secret.Keys, a answer, nonce string) {
	differ := a.differs(keys, nonce, d.plan.shared)
	for range nodesAsked - 1 {
		nonce := secret.NewID("n")
		if a, complaint := d.ask(d.plan.base.String(), nonce); complaint == "" {
			differ = append(differ, a.differs(keys, nonce, d.plan.shared)...)
		}
	}
	slices.Sort(differ)
	d.alike(slices.Compact(differ))
}

// regions asks each other region for a Parvis that is not this one, and whether the two understand each
// other. Without a key it is no fault if a region cannot be reached from here: only browsers need to.
func (d *doctor) regions(keys secret.Keys, open *db.DB) {
	const check = "regions"
	if len(d.plan.regions.All) > 0 {
		d.ok(check, "this is %s, one of %d", d.plan.regions.Here, len(d.plan.regions.All))
	}
	for _, r := range d.plan.others() {
		nonce := secret.NewID("n")
		a, complaint := d.ask(r.Address, nonce)
		switch {
		case complaint != "" && d.plan.pairs[r.ID] != nil:
			d.fail(check, "no parvis answers this machine for %s at %s: %s A name of one region is not found in the other until it does.", r.ID, r.Address, complaint)
		case complaint != "":
			d.note(check, "no parvis answers this machine for %s at %s. Browsers must reach it, this machine need not.", r.ID, r.Address)
		case keys.Lookup != nil && a.isOurs(keys, nonce):
			d.fail(check, "%s, at %s, has the keys of this region: correct its address, or give it a data folder of its own.", r.ID, r.Address)
		case d.plan.pairs[r.ID] == nil:
			d.ok(check, "%s answers at %s, with keys of its own", r.ID, r.Address)
			d.note(check, "%s is not asked for names, because no key is shared with it: 'parvis region key' makes one, for region_keys of both.", r.ID)
		default:
			d.greet(r, open)
		}
	}
}

// greet puts the question of regions to one of them, and names what is wrong between the two.
func (d *doctor) greet(r page.Region, open *db.DB) {
	const check = "regions"
	if open == nil {
		return // no clock to sign with
	}
	s := region.New(region.Settings{
		DB: open, Here: d.plan.regions.Here, Outbound: outbound.New(d.plan.allow),
		Peers: []region.Peer{{ID: r.ID, Address: r.Address, Key: d.plan.pairs[r.ID]}},
	})
	err := s.Greet(d.ctx, r.ID)
	trouble, refused := errors.AsType[region.Trouble](err)
	switch {
	case err == nil:
		d.ok(check, "%s answers at %s, with keys of its own, and can be asked for names", r.ID, r.Address)
	case !refused:
		d.fail(check, "%s cannot be asked for names at %s: %v.", r.ID, r.Address, err)
	default:
		d.fail(check, "%s cannot be asked for names: %s", r.ID, d.means(r, trouble))
	}
}

// names lists organizations that two regions have, as both operators learn.
func (d *doctor) names(open *db.DB) {
	const check = "names"
	if open == nil || len(d.plan.pairs) == 0 {
		return
	}
	all, err := region.Checks(d.ctx, open)
	if err != nil {
		d.fail(check, "what other regions said of them cannot be read: %v.", err)
		return
	}
	unasked := map[string]int{}
	for _, c := range all {
		if c.ClashAt.IsZero() {
			unasked[c.Peer]++
			continue
		}
		d.fail(check, "%s (%s) has a name that an organization in %s has too: people of one are not led to it from the other region. Agree with its operator who takes another.",
			c.Name, c.ShortName, c.Peer)
	}
	for _, peer := range slices.Sorted(maps.Keys(unasked)) {
		d.note(check, "%s was asked in vain whether it knows %d of the organizations here; it is asked again each minute.", peer, unasked[peer])
	}
}

// means says what to do about a question that another region refused.
func (d *doctor) means(r page.Region, t region.Trouble) string {
	here := d.plan.regions.Here
	switch t.Why {
	case "key":
		return fmt.Sprintf("it has another key for %s than this region for %s. Make one with 'parvis region key' and set it in region_keys of both.", here, r.ID)
	case "clock":
		whose, off := "ahead of", t.Off
		if off < 0 {
			whose, off = "behind", -off
		}
		return fmt.Sprintf("its clock is %s %s this machine's. Set the time by NTP on both.", off, whose)
	case "same":
		return fmt.Sprintf("the installation at %s is %s too. Two regions have one id: correct region in one of them, or the address.", r.Address, here)
	case "region":
		return fmt.Sprintf("the installation at %s is %s. Correct the address of %s in [[regions]], or region over there.", r.Address, t.Region, r.ID)
	case "stranger":
		return fmt.Sprintf("it shares no key with %s. Set region_keys there, and restart it.", here)
	case "often":
		return "it is asked too often. Wait a minute; if that goes on, look for what asks."
	case "unready":
		return "its database does not answer. Run 'parvis doctor' there."
	}
	return "what answers does not understand the question (" + t.Why + "). Bring both regions to one version."
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
	if w.TLS != nil {
		a.ends = w.TLS.PeerCertificates[0].NotAfter
	}
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
		what = "Use a certificate for exactly this name, with its whole chain, from an authority that this machine trusts."
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
