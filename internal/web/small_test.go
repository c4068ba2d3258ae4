package web_test

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"testing"

	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// The target is in docs/performance.md: at most 15 kB in at most 3 requests for a browser that
// comes for the first time, including headers and the script for passkeys.
func TestTheSignInPageIsSmall(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, idptest.Named)
	page, content := travelled(t, s, http.MethodGet, "/sign-in", nil)
	total := page
	loaded := regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllSubmatch(content, -1)
	if n := 1 + len(loaded); n > 3 {
		t.Errorf("it takes %d requests", n)
	}
	for _, m := range loaded {
		n, _ := travelled(t, s, http.MethodGet, string(m[1]), nil)
		t.Logf("%s: %d bytes", m[1], n)
		total += n
	}
	t.Logf("the page itself: %d bytes, with what it loads %d", page, total)
	if total > 15_000 {
		t.Errorf("the sign-in page and what it loads take %d bytes", total)
	}
}

// BREACH: where a request carries a secret of its browser, or a form, the length of the answer
// must follow from its content alone.
func TestNothingOfABrowserIsCompressed(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Member)
	session := http.Header{"Cookie": {"__Host-parvis=" + b.Cookie("__Host-parvis")}}
	other := http.Header{"Cookie": {"unrelated=1"}}
	for what, c := range map[string]struct {
		method, path string
		header       http.Header
		packed       bool
	}{
		"a first visit":                      {http.MethodGet, "/sign-in", nil, true},
		"a page that is not there":           {http.MethodGet, "/nothing", nil, true},
		"a page of somebody who is known":    {http.MethodGet, "/o/meridian/account", session, false},
		"the sign-in page for a browser":     {http.MethodGet, "/sign-in?more", session, false},
		"a page for any cookie":              {http.MethodGet, "/sign-in", other, false},
		"a form":                             {http.MethodPost, "/sign-in", nil, false},
		"a client that names no compression": {http.MethodGet, "/sign-in", http.Header{"Accept-Encoding": {"identity"}}, false},
	} {
		r := request(t, s, c.method, c.path, c.header)
		answer, err := b.Client.Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if packed := answer.Header.Get("Content-Encoding") == "gzip"; packed != c.packed {
			t.Errorf("%s (%d): compressed %t, want %t", what, answer.StatusCode, packed, c.packed)
		}
	}
}

// travelled returns how many bytes of an answer went over the wire, and what it contains.
func travelled(t *testing.T, s *idptest.Server, method, path string, header http.Header) (bytes int, content []byte) {
	t.Helper()
	transport := s.Browser(t).Client.Transport
	answer, err := transport.RoundTrip(request(t, s, method, path, header))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %d", path, answer.StatusCode)
	}
	head, err := httputil.DumpResponse(answer, false)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	plain := request(t, s, method, path, http.Header{"Accept-Encoding": {"identity"}})
	again, err := transport.RoundTrip(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	if content, err = io.ReadAll(again.Body); err != nil {
		t.Fatal(err)
	}
	return len(head) + len(body), content
}

func request(t *testing.T, s *idptest.Server, method, path string, header http.Header) *http.Request {
	t.Helper()
	u, err := url.Parse(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// Set by hand, so that net/http does not decompress the answer.
	r.Header.Set("Accept-Encoding", "gzip, deflate, br")
	r.Header.Set("Accept-Language", "fr")
	if method == http.MethodPost {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	return r
}
