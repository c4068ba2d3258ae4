// Package naming judges the names and addresses that people type, and makes the keys by
// which they are looked up and compared. It is pure: it knows no table.
package naming

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"parvis/internal/fault"
)

// What can be wrong with an address.
var (
	ErrAddressMissing = fault.Field("email", "directory.address_missing")
	ErrAddressInvalid = fault.Field("email", "directory.address_invalid")
)

const (
	maxTyped   = 1000 // bytes of what was typed, before it is looked at: normalizing is expensive
	maxLocal   = 64   // RFC 5321 §4.5.3.1.1
	maxAddress = 254  // RFC 5321 §4.5.3.1.3, without the angle brackets
	maxLabel   = 63   // RFC 1035 §2.3.4
)

// Address is an e-mail address in the one form in which it is stored, looked up, counted and
// written to.
type Address struct {
	Text   string // the local part as typed, the domain as Domain
	Key    string // Text with its ASCII letters in lower case: what is compared
	Domain string // A-labels in lower case
}

// ParseAddress is the only function that canonicalizes e-mail addresses (R-INP-07). Before the @ it
// takes ASCII dot-atoms, and refuses what mail programs read in different ways: quotes, comments,
// encoded words, and the % and ! of routes. It refuses other letters there too: few servers take
// them, and folding them could turn one person's address into another's.
func ParseAddress(s string) (Address, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Address{}, ErrAddressMissing
	}
	if len(s) > maxTyped {
		return Address{}, ErrAddressInvalid
	}
	local, domain, _ := strings.Cut(s, "@")
	domain, ok := ParseHost(domain)
	text := local + "@" + domain
	if !ok || !isDotAtom(local) || len(text) > maxAddress {
		return Address{}, ErrAddressInvalid
	}
	return Address{Text: text, Key: LowerASCII(text), Domain: domain}, nil
}

// isDotAtom reports whether s is a local part that every mail program reads alike.
func isDotAtom(s string) bool {
	// RFC 2047 §2: an encoded word begins with =? and is made of atext alone.
	if len(s) > maxLocal || strings.Contains(s, "=?") {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			// RFC 5322 §3.2.3 atext, without % and !, which some relays take for a route.
			if c := atom[i]; !isAlphanumeric(c) && strings.IndexByte("#$&'*+-/=?^_`{|}~", c) < 0 {
				return false
			}
		}
	}
	return true
}

// ParseHost returns a mail domain as A-labels in lower case.
func ParseHost(typed string) (string, bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	labels := strings.Split(typed, ".")
	for i, label := range labels {
		var ok bool
		if labels[i], ok = parseLabel(label); !ok {
			return "", false
		}
	}
	// A top-level domain consists of letters; a name that ends in a number is a network address.
	// A name without a dot means something different on every network.
	top := labels[len(labels)-1]
	if len(labels) < 2 || strings.ContainsAny(top, "0123456789-") && !strings.HasPrefix(top, "xn--") {
		return "", false
	}
	// This looks inside A-labels, typed ones too, as RFC 5891 §5.4 demands. Its rule for
	// right-to-left scripts needs all labels at once.
	domain := strings.Join(labels, ".")
	again, err := idna.Lookup.ToASCII(domain)
	return domain, err == nil && again == domain
}

// parseLabel returns an A-label in lower case. Only case, and whether letters are composed, may get
// lost. IDNA's mapping for look-up would also turn full-width letters, the Kelvin sign, other dots
// and invisible characters into plain names, which belong to somebody else.
func parseLabel(typed string) (string, bool) {
	label := LowerASCII(typed)
	if !isASCII(typed) {
		for _, r := range typed {
			if r >= utf8.RuneSelf && isASCII(norm.NFC.String(string(r))) {
				return "", false // the Kelvin sign is canonically a K
			}
		}
		var err error
		if label, err = idna.Lookup.ToASCII(typed); err != nil {
			return "", false
		}
		want := norm.NFC.String(strings.ToLower(norm.NFC.String(typed)))
		if shown, err := idna.Lookup.ToUnicode(label); err != nil || shown != want {
			return "", false
		}
	}
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return "", false
	}
	for i := range len(label) {
		if !isAlphanumeric(label[i]) && label[i] != '-' {
			return "", false
		}
	}
	return label, true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// LowerASCII lowers ASCII letters only. strings.ToLower would also turn the Kelvin sign into k, and
// so one person's address into another's.
func LowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
