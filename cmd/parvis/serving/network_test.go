package serving

import (
	"net/netip"
	"testing"
)

// One customer has an IPv4 address, however it is written, or a whole IPv6 /64.
func TestNetworks(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1":          "192.0.2.1/32",
		"::ffff:192.0.2.1":   "192.0.2.1/32",
		"2001:db8:1:2::1":    "2001:db8:1:2::/64",
		"2001:db8:1:2:ff::1": "2001:db8:1:2::/64",
		"fe80::1%eth0":       "fe80::/64",
	} {
		if got := networkAt(netip.MustParseAddr(ip)).String(); got != want {
			t.Errorf("%s is of %s, want %s", ip, got, want)
		}
	}
}
