// Package redirect checks addresses of applications: whether an address may be registered, and
// whether an address that was sent is a registered one. It knows neither clients nor requests.
//
// An address may be registered in one spelling only. So it is enough to compare bytes, and no
// browser, proxy or library finds another host in it.
package redirect

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Reason is an error that says why an address may not be registered.
type Reason string

// The reasons.
const (
	Missing       Reason = "missing"
	TooLong       Reason = "too_long"
	Characters    Reason = "characters"     // one that is not allowed in addresses, or a % without two digits
	Wildcard      Reason = "wildcard"       // * anywhere
	NoScheme      Reason = "no_scheme"      // it does not begin with https: or another scheme
	Scheme        Reason = "scheme"         // one that browsers run or open by themselves
	PrivateScheme Reason = "private_scheme" // the own scheme of a native application must be like com.example.app:/path
	Insecure      Reason = "insecure"       // http, and not on the developer's machine
	UserInfo      Reason = "user_info"      // an @ before the path
	LetterCase    Reason = "letter_case"    // capitals in scheme or host
	Host          Reason = "host"           // missing, or not as browsers write it
	Port          Reason = "port"           // not a number from 1 to 65535, or the usual one of the scheme
	Path          Reason = "path"           // . or .. or encoded characters that servers read in several ways
	Fragment      Reason = "fragment"       // a # and the text after it
)

func (r Reason) Error() string { return "redirect: " + string(r) }

const (
	mostBytes = 2000 // of an address
	mostHost  = 253  // RFC 1035 §2.3.4, as text
	mostLabel = 63
)

// Check returns why an application may not register a redirect address, or nil if it may
// (R-OPR-01). Native applications may have a scheme of their own (RFC 8252 §7.1).
func Check(address string, native bool) error { return check(address, native, false) }

// CheckWeb is Check for addresses that are not redirect addresses, such as the one for logout
// tokens.
func CheckWeb(address string) error { return check(address, false, false) }

// CheckTile is CheckWeb for the address of a tile, which may have a fragment.
func CheckTile(address string) error { return check(address, false, true) }

func check(address string, native, fragment bool) error {
	switch {
	case address == "":
		return Missing
	case len(address) > mostBytes:
		return TooLong
	case strings.Contains(address, "*"):
		return Wildcard
	case !spelled(address):
		return Characters
	}
	p := split(address)
	switch {
	case p.scheme == "":
		return NoScheme
	case hasCapital(p.scheme) || strings.HasPrefix(p.scheme, "http") && hasCapital(p.host):
		return LetterCase
	case p.fragment != "" && !fragment:
		return Fragment // RFC 6749 §3.1.2
	}
	if p.scheme != "https" && p.scheme != "http" {
		return checkPrivate(p, native)
	}
	if p.user != "" {
		return UserInfo // RFC 9700 §4.1.3: it hides where the host begins
	}
	if !isHost(p.host) {
		return Host
	}
	if p.scheme == "http" && !isLoopback(p.host) {
		return Insecure
	}
	if !isPort(p) {
		return Port
	}
	return checkPath(p.path)
}

// checkPrivate requires a scheme that is a reversed domain name. A scheme without a dot belongs
// to nobody, or runs the text after it, as javascript does (RFC 8252 §7.1, §8.4).
func checkPrivate(p parts, native bool) error {
	first, rest, dotted := strings.Cut(p.scheme, ".")
	switch {
	case !dotted:
		return Scheme
	case !native:
		return PrivateScheme
	case len(first) < 2 || strings.Trim(first, letters) != "" || strings.Contains(p.scheme, "+"):
		return PrivateScheme // the first part is not a top-level domain
	case slices.Contains(strings.Split(rest, "."), ""):
		return PrivateScheme
	case p.slashes == "" && !strings.HasPrefix(p.path, "/"):
		return PrivateScheme
	case p.slashes != "" && (p.host == "" || p.user != "" || p.port != "" || strings.Trim(p.host, letters+capitals+digits+"-._") != ""):
		// com.example.app://callback, with a word in place of the host, does not follow RFC 8252
		// §7.1, but many libraries use it. It is compared byte for byte like the rest.
		return PrivateScheme
	}
	return checkPath(p.path)
}

// parts are the parts of an address (RFC 3986 appendix B), not decoded.
type parts struct {
	scheme   string
	slashes  string // before the authority
	user     string // with its @
	host     string
	port     string // with its colon
	path     string
	query    string // with its question mark
	fragment string // with its hash
}

func split(address string) (p parts) {
	if i := strings.IndexByte(address, '#'); i >= 0 {
		address, p.fragment = address[:i], address[i:]
	}
	if i := strings.IndexByte(address, '?'); i >= 0 {
		address, p.query = address[:i], address[i:]
	}
	if i := strings.IndexByte(address, ':'); i > 0 && strings.Trim(address[:i], letters+capitals+digits+"+-.") == "" &&
		strings.Contains(letters+capitals, address[:1]) {
		p.scheme, address = address[:i], address[i+1:]
	}
	after, ok := strings.CutPrefix(address, "//")
	if !ok {
		p.path = address
		return p
	}
	p.slashes, p.host = "//", after
	if i := strings.IndexByte(after, '/'); i >= 0 {
		p.host, p.path = after[:i], after[i:]
	}
	if i := strings.LastIndexByte(p.host, '@'); i >= 0 {
		p.user, p.host = p.host[:i+1], p.host[i+1:]
	}
	if i := strings.LastIndexByte(p.host, ':'); i >= 0 && !strings.HasSuffix(p.host, "]") {
		p.host, p.port = p.host[:i], p.host[i:]
	}
	return p
}

const (
	letters  = "abcdefghijklmnopqrstuvwxyz"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits   = "0123456789"
)

// spelled reports whether an address has only the characters that RFC 3986 §2 allows. A
// backslash, which browsers read as a slash, is not one of them.
func spelled(s string) bool {
	if strings.Trim(s, letters+capitals+digits+"-._~:/?#[]@!$&'()*+,;=%") != "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c == '%' {
			if _, ok := encoded(s[i:]); !ok {
				return false
			}
		}
	}
	return true
}

// encoded returns the byte that %XX at the beginning of s stands for.
func encoded(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(n), err == nil
}

func hasCapital(s string) bool { return strings.ContainsAny(s, capitals) }

// isHost reports whether a host is written as browsers write it: a name of A-labels without
// a dot at its end, or a network address.
func isHost(host string) bool {
	if inside, ok := strings.CutPrefix(host, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		ip, err := netip.ParseAddr(inside)
		return ok && err == nil && ip.Is6() && !ip.Is4In6() && ip.Zone() == "" && ip.String() == inside
	}
	list := strings.Split(host, ".")
	for _, label := range list {
		if label == "" || len(label) > mostLabel || strings.Trim(label, letters+digits+"-") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	// Browsers read 0x7f.1 and 2130706433 as network addresses, while other programs look up a
	// name (WHATWG URL, "ends in a number").
	last := list[len(list)-1]
	if strings.Trim(last, digits) == "" || strings.HasPrefix(last, "0x") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return len(host) <= mostHost
}

// isLoopback reports whether a host is the machine on which the browser runs.
func isLoopback(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || isLoopbackIP(host)
}

func isLoopbackIP(host string) bool { return host == "127.0.0.1" || host == "[::1]" }

func isPort(p parts) bool {
	if p.port == "" {
		return true
	}
	n, err := strconv.ParseUint(p.port[1:], 10, 16)
	usual := map[string]uint64{"https": 443, "http": 80}[p.scheme]
	return err == nil && n > 0 && n != usual && strconv.FormatUint(n, 10) == p.port[1:]
}

// checkPath refuses a path that some server or proxy may read as another one or as a control
// character: dot segments, also with parameters (/..;/), and encoded slashes, dots and percent
// signs.
func checkPath(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return Path
		}
	}
	for i := range len(path) {
		if path[i] == '%' {
			if c, _ := encoded(path[i:]); c < ' ' || c == 0x7f || strings.IndexByte(`./\%`, c) >= 0 {
				return Path
			}
		}
	}
	return nil
}

// Match reports whether an address that was sent is byte for byte a registered one. On a
// loopback address the port of a native application may differ, because it listens on any free
// port (RFC 8252 §7.3). The name localhost does not count as one, as §8.3 advises.
func Match(registered []string, sent string, native bool) bool {
	if slices.Contains(registered, sent) {
		return true
	}
	if !native || Check(sent, true) != nil {
		return false
	}
	p := split(sent)
	return p.scheme == "http" && isLoopbackIP(p.host) && slices.ContainsFunc(registered, func(r string) bool {
		q := split(r)
		q.port = p.port
		return p == q
	})
}

// Origin returns the origin of an address as browsers send it. An application's own scheme has
// none.
func Origin(address string) (string, bool) {
	if CheckTile(address) != nil {
		return "", false
	}
	p := split(address)
	return p.scheme + "://" + p.host + p.port, true
}
