package edge

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
)

// Forwarding says what became of the forwarding headers of a request.
type Forwarding string

// What can become of forwarding headers.
const (
	NotForwarded Forwarding = "absent"     // the request came directly, or through something that adds none
	Believed     Forwarding = "believed"   // from a trusted proxy
	Ignored      Forwarding = "ignored"    // from somebody who is not trusted
	Silent       Forwarding = "missing"    // from a trusted proxy that sends no X-Forwarded-For
	Unreadable   Forwarding = "unreadable" // from a trusted proxy that sends text that is not an address
)

// Source returns who sent the request, and what became of its forwarding headers: the direct
// peer or, if that is a configured proxy, the last address in X-Forwarded-For that is not such
// a proxy, counted from the right because proxies append.
//
// If an address cannot be read, the proxy that wrote it counts as the sender, because it is the
// last one with a known address. The unreadable text never counts as a sender, because a client
// could make up another one for each request.
func (e *Edge) Source(r *http.Request) (string, Forwarding) {
	said := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	at := peer.Addr().Unmap().WithZone("")
	switch {
	case err != nil:
		return r.RemoteAddr, NotForwarded
	case !e.isProxy(at) && (said != "" || r.Header.Get("Forwarded") != ""):
		return at.String(), Ignored
	case !e.isProxy(at):
		return at.String(), NotForwarded
	case strings.TrimSpace(said) == "":
		return at.String(), Silent
	}
	for _, hop := range slices.Backward(strings.Split(said, ",")) {
		ip, ok := parseHop(hop)
		if !ok {
			return at.String(), Unreadable
		}
		at = ip
		if !e.isProxy(at) {
			break
		}
	}
	return at.String(), Believed
}

// parseHop reads an address as proxies write it: alone, with a port (IIS, Azure, AWS), in
// brackets, or in quotes (RFC 7239 §6). 'unknown', names that begin with an underscore (RFC
// 7239 §6.3) and sockets are not addresses.
func parseHop(hop string) (netip.Addr, bool) {
	hop = strings.TrimSpace(hop)
	if len(hop) > 1 && hop[0] == '"' && hop[len(hop)-1] == '"' {
		hop = hop[1 : len(hop)-1]
	}
	if inner, ok := strings.CutPrefix(hop, "["); ok {
		address, port, closed := strings.Cut(inner, "]")
		if !closed || !strings.Contains(address, ":") || port != "" && !isPort(port) {
			return netip.Addr{}, false
		}
		hop = address
	} else if i := strings.LastIndexByte(hop, ':'); i >= 0 && isPort(hop[i:]) {
		// An IPv6 address has colons of its own: a text that is one as a whole has no port.
		if _, err := netip.ParseAddr(hop); err != nil {
			hop = hop[:i]
		}
	}
	ip, err := netip.ParseAddr(hop)
	return ip.Unmap().WithZone(""), err == nil
}

// isPort reports whether a text is a colon and a port.
func isPort(s string) bool {
	_, err := strconv.ParseUint(s[1:], 10, 16)
	return s[0] == ':' && err == nil
}

func (e *Edge) isProxy(ip netip.Addr) bool {
	return slices.ContainsFunc(e.Proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// noteSource logs forwarding headers that probably do not work as intended: once for a peer that
// is not trusted and, if a client's address cannot be read, one line a minute at most, with how
// many requests there were.
func (e *Edge) noteSource(r *http.Request, address string, f Forwarding) {
	switch f {
	case NotForwarded, Believed, Silent:
	case Ignored:
		if !e.seen.ignored.Swap(true) {
			e.Log.WarnContext(r.Context(), "forwarding headers of an untrusted peer are ignored", "peer", r.RemoteAddr,
				"do", "if the peer is your proxy, add its address to trusted_proxies")
		}
	case Unreadable:
		n, minute := e.seen.unreadable.Add(1), e.DB.Now().Unix()/60
		if e.seen.minute.Swap(minute) != minute {
			e.Log.WarnContext(r.Context(), "the client's address that a proxy names cannot be read, so the proxy's own counts", "requests", n, "counted_as", address,
				"header", cut(strings.Join(r.Header.Values("X-Forwarded-For"), ", "), 100), "do", "let the proxy write one IP address, with or without a port, at the end of X-Forwarded-For")
		}
	}
}

// sitesEvery is how often the log has a form of another site from one network, for one organization.
const sitesEvery = time.Hour

// noteSite records that a form of another site was refused: in the log of the organization that its
// address names, or of the installation.
func (e *Edge) noteSite(r *http.Request, refused error) {
	if !errors.Is(refused, errCrossSite) || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return // what a page of another site loads is no form
	}
	ctx, organization := r.Context(), ""
	if parts := strings.Split(r.URL.Path, "/"); len(parts) > 2 && parts[1] == "o" {
		organization = cut(parts[2], 60)
	}
	err := e.sites.Record(ctx, e.DB, audit.OriginOf(ctx).Network+" "+organization, sitesEvery, func(tx *db.Tx) (audit.Event, error) {
		_, pattern := e.mux.Handler(r) // the path itself may have the secret of a link
		v := audit.Event{
			Actor: audit.Anonymous, ActorName: audit.Anonymous, Action: "request.refused", Result: audit.Refused, TargetName: pattern,
			After: audit.Fields{"check": "other_site", "address": cut(strings.ToValidUTF8(r.Header.Get("Origin"), "?"), 100)},
		}
		if organization == "" || e.Organization == nil {
			return v, nil
		}
		var err error
		v.OrgID, err = e.Organization(ctx, tx, organization)
		return v, err
	})
	if err != nil {
		e.Log.WarnContext(ctx, "a form of another site is not in the audit log", "reference", audit.OriginOf(ctx).Request, "error", err.Error())
	}
}

// cut shortens a text to at most this many bytes.
func cut(s string, most int) string { return s[:min(len(s), most)] }
