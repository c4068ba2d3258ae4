package edge

import (
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

// Pitfall 29: nginx and HAProxy append to a forged header, so trusted proxies are counted from
// the right.
func TestClientAddressIsTheLastThatNoTrustedProxyWrote(t *testing.T) {
	s := New(Settings{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	tests := map[string]struct {
		peer    string
		forward []string
		want    string
	}{
		"no proxy, no header":                {"192.0.2.1:1", nil, "192.0.2.1"},
		"no proxy, forged header":            {"192.0.2.1:1", []string{"203.0.113.9"}, "192.0.2.1"},
		"a proxy":                            {"10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		"a proxy that appended to a forgery": {"10.0.0.1:1", []string{"203.0.113.9, 192.0.2.1"}, "192.0.2.1"},
		"two proxies":                        {"10.0.0.1:1", []string{"203.0.113.9, 192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		"two header lines":                   {"10.0.0.1:1", []string{"203.0.113.9", "192.0.2.1"}, "192.0.2.1"},
		"garbage relaxes nothing":            {"10.0.0.1:1", []string{"<script>"}, "10.0.0.1"},
		"garbage behind a real one":          {"10.0.0.1:1", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		"an empty header":                    {"10.0.0.1:1", []string{""}, "10.0.0.1"},
		"a port":                             {"10.0.0.1:1", []string{"203.0.113.7:51008"}, "203.0.113.7"},
		"a port behind a forgery":            {"10.0.0.1:1", []string{"203.0.113.9:1, 203.0.113.7:51008"}, "203.0.113.7"},
		"a port of a proxy":                  {"10.0.0.1:1", []string{"203.0.113.7:51008, 10.0.0.2:443"}, "203.0.113.7"},
		"IPv6 in brackets":                   {"10.0.0.1:1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv6 with a port":                   {"10.0.0.1:1", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		"IPv6 in full with a port":           {"10.0.0.1:1", []string{"2001:db8:1:2:3:4:5:6:443"}, "2001:db8:1:2:3:4:5:6"},
		"IPv4 in IPv6 with a port":           {"10.0.0.1:1", []string{"[::ffff:192.0.2.1]:443"}, "192.0.2.1"},
		"quoted":                             {"10.0.0.1:1", []string{`"[2001:db8::1]:443"`}, "2001:db8::1"},
		"a zone":                             {"10.0.0.1:1", []string{"fe80::1%eth0"}, "fe80::1"},
		"a proxy with a zone":                {"[fd00::1%eth0]:1", []string{"192.0.2.1"}, "192.0.2.1"},
		"unknown":                            {"10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		"obfuscated":                         {"10.0.0.1:1", []string{"_hidden"}, "10.0.0.1"},
		"obfuscated with a port":             {"10.0.0.1:1", []string{"_hidden:80"}, "10.0.0.1"},
		"a forgery, then nothing":            {"10.0.0.1:1", []string{"203.0.113.9, "}, "10.0.0.1"},
		"a socket":                           {"10.0.0.1:1", []string{"unix:1"}, "10.0.0.1"},
		"no such port":                       {"10.0.0.1:1", []string{"203.0.113.7:99999"}, "10.0.0.1"},
		"an empty port":                      {"10.0.0.1:1", []string{"203.0.113.7:"}, "10.0.0.1"},
		"an open bracket":                    {"10.0.0.1:1", []string{"[2001:db8::1"}, "10.0.0.1"},
		"text after the bracket":             {"10.0.0.1:1", []string{"[2001:db8::1]x"}, "10.0.0.1"},
		"IPv4 in brackets":                   {"10.0.0.1:1", []string{"[192.0.2.1]:80"}, "10.0.0.1"},
		"a quote":                            {"10.0.0.1:1", []string{`"`}, "10.0.0.1"},
		"garbage behind a trusted proxy":     {"10.0.0.1:1", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		"proxies all the way":                {"10.0.0.1:1", []string{"10.0.0.3"}, "10.0.0.3"},
		"an IPv6 client":                     {"[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		"an IPv4 address in IPv6":            {"10.0.0.1:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.peer
			r.Header["X-Forwarded-For"] = tt.forward
			if got, _ := s.Source(r); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatBecomesOfForwardingHeadersIsSaid(t *testing.T) {
	s := New(Settings{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	tests := map[string]struct {
		peer, header, value string
		want                Forwarding
	}{
		"direct":                           {"192.0.2.1:1", "X-Other", "x", NotForwarded},
		"a stranger's":                     {"192.0.2.1:1", "X-Forwarded-For", "203.0.113.9", Ignored},
		"a stranger's Forwarded":           {"192.0.2.1:1", "Forwarded", "for=203.0.113.9", Ignored},
		"a proxy's":                        {"10.0.0.1:1", "X-Forwarded-For", "203.0.113.9:80", Believed},
		"a proxy that says nothing":        {"10.0.0.1:1", "X-Other", "x", Silent},
		"a proxy that says only Forwarded": {"10.0.0.1:1", "Forwarded", "for=203.0.113.9", Silent},
		"a proxy that knows nobody":        {"10.0.0.1:1", "X-Forwarded-For", "unknown", Unreadable},
	}
	for name, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		r.Header.Set(tt.header, tt.value)
		if _, got := s.Source(r); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// However many requests have an unreadable source, one line a minute at most is logged, with
// how many there were.
func TestUnreadableSourcesAreCountedInTheLog(t *testing.T) {
	d, clock := dbtest.Open(t)
	var log strings.Builder
	s := New(Settings{DB: d, Base: &url.URL{Scheme: "https", Host: "parvis.example"}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	ask := func() {
		r := httptest.NewRequest("GET", "https://parvis.example/assets/none", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header.Set("X-Forwarded-For", "unknown")
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range 5 {
		ask()
	}
	clock.Advance(time.Minute)
	ask()
	if n := strings.Count(log.String(), "cannot be read"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	if !strings.Contains(log.String(), "requests=6 counted_as=10.0.0.1") {
		t.Errorf("the log does not count: %s", log.String())
	}
}

func FuzzForwardedHop(f *testing.F) {
	for _, seed := range []string{"203.0.113.7:51008", "[2001:db8::1]:443", `"[::1]"`, "unknown", "_x:1", "[", `"`, ":", "::", "1:2:3:4:5:6:7:8:9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, hop string) {
		ip, ok := parseHop(hop)
		if ok && !ip.IsValid() {
			t.Errorf("%q is no address", hop)
		}
		if ok && (ip.Zone() != "" || ip.Is4In6()) {
			t.Errorf("%q is read as %v", hop, ip)
		}
	})
}

func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/", "//x", "/\\x", "/a?b=c", "https://x", "/%2f%2fx", "/\t/x", "\x00", "/a#b", "/%2f ", "/%5cx "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := LocalPath(s)
		u, err := url.Parse("https://parvis.example/o/x/home")
		if err != nil {
			t.Fatal(err)
		}
		to, err := u.Parse(p)
		if err != nil {
			t.Fatalf("%q leads to %q", s, p)
		}
		expect.Equal(t, "Host", to.Host, "parvis.example")
		expect.Equal(t, "Scheme", to.Scheme, "https")
		if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") {
			t.Errorf("%q leads to %q", s, p)
		}
	})
}
