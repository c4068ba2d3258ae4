package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"parvis/internal/expect"
)

// statuses sends bytes over a connection of its own, and returns the statuses that came back until the
// other side closed it.
func statuses(t *testing.T, c net.Conn, sent string) (all []int) {
	t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(c, sent) //nolint:errcheck // The other side reads as much as it likes.
	r := bufio.NewReader(c)
	for {
		w, err := http.ReadResponse(r, nil)
		if err != nil {
			if len(all) == 0 {
				t.Errorf("%.60q is not answered: %v", sent, err)
			}
			return all
		}
		_, _ = io.Copy(io.Discard, w.Body)
		w.Body.Close()
		all = append(all, w.StatusCode)
	}
}

// R-API-04: a request that can be read in two ways is refused, its connection ends, and what it hides
// is answered by nobody. The server's own part is TestARequestThatTwoReadersReadInTwoWaysIsRefused.
func framed(t *testing.T, dial func() net.Conn, host string) {
	t.Helper()
	post := "POST /sign-in HTTP/1.1\r\nHost: " + host + "\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	hidden := "GET /sign-in HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
	const chunked = "Transfer-Encoding: chunked\r\n"
	for name, request := range map[string]string{
		"a length and chunks":                  post + "Content-Length: 5\r\n" + chunked + "\r\n0\r\n\r\n",
		"chunks and a length":                  post + chunked + "Content-Length: 5\r\n\r\n0\r\n\r\n",
		"chunks of HTTP/1.0":                   strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1) + "Connection: keep-alive\r\nContent-Length: 5\r\n" + chunked + "\r\n0\r\n\r\n",
		"two lengths":                          post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
		"a list of lengths":                    post + "Content-Length: 5, 6\r\n\r\nabcde",
		"a length with a sign":                 post + "Content-Length: +5\r\n\r\nabcde",
		"a space before the colon":             post + "Content-Length : 5\r\n\r\nabcde",
		"an encoding that nobody knows":        post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two encodings":                        post + chunked + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"a chunk with a prefix":                post + chunked + "\r\n0x5\r\nabcde\r\n0\r\n\r\n",
		"a chunk that overflows":               post + chunked + "\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n",
		"a chunk that is longer than its size": post + chunked + "\r\n4\r\nabcde\r\n0\r\n\r\n",
		"NUL in a value":                       post + "X: a\x00b\r\nContent-Length: 0\r\n\r\n",
		"a control in a name":                  post + "X\x01: a\r\nContent-Length: 0\r\n\r\n",
		"no host":                              "GET /sign-in HTTP/1.1\r\n\r\n",
		"two hosts":                            "GET /sign-in HTTP/1.1\r\nHost: " + host + "\r\nHost: evil.test\r\n\r\n",
		"a target of two words":                "GET /sign-in x HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"another version":                      "GET /sign-in HTTP/3.0\r\nHost: " + host + "\r\n\r\n",
		"HTTP/2 without being asked":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"an address of 100 kB":                 "GET /sign-in?" + strings.Repeat("x", 100_000) + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"a field of 100 kB":                    "GET /sign-in HTTP/1.1\r\nHost: " + host + "\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n",
	} {
		if got := statuses(t, dial(), request+hidden); len(got) != 1 || got[0] < 400 {
			t.Errorf("%s is answered %v, want one refusal", name, got)
		}
	}
	if got := fmt.Sprint(statuses(t, dial(), post+chunked+"\r\n7\r\nemail=x\r\n0\r\n\r\n"+hidden)); got != "[422 200]" {
		t.Errorf("two ordinary ones are answered %s", got) // so the others were refused for what they are
	}
}

// R-API-03: whatever a client says of itself, it is who the last trusted proxy saw, and links lead home.
func sourced(t *testing.T, dial func() net.Conn, host, client string) {
	t.Helper()
	for _, claim := range []string{
		"", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: unknown", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.10",
		"X-Forwarded-For: , ,\x0b", "X-Forwarded-For: [::1]:80, fe80::1%eth0", "X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9;host=evil.test;proto=http", "True-Client-IP: 203.0.113.9",
		"X_Forwarded_For: 203.0.113.9", "X-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil",
		"Remote-User: ana@meridian.test\r\nX-Forwarded-User: ana@meridian.test\r\nX-Forwarded-Email: ana@meridian.test", "X-Original-URL: /o/meridian/home\r\nX-Rewrite-URL: /o/meridian/home",
	} {
		head := " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n"
		if claim != "" {
			head += claim + "\r\n"
		}
		c := dial()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(c, "GET "+identityPath+head+"\r\n")
		w, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%q: %v", claim, err)
		}
		var seen identity
		err = json.NewDecoder(w.Body).Decode(&seen)
		w.Body.Close()
		c.Close()
		if strings.Contains(claim, "\x0b") && w.StatusCode == http.StatusBadRequest {
			continue // the server refuses such a header, and so may a proxy
		}
		if err != nil || seen.SeenAs != client {
			t.Errorf("%q: seen as %q (%d, %v), want %s", claim, seen.SeenAs, w.StatusCode, err, client)
		}
		if got := statuses(t, dial(), "GET /o/meridian/home"+head+"\r\n"); len(got) != 1 || got[0] == http.StatusOK {
			t.Errorf("%q: a page of people who are signed in is answered %v", claim, got)
		}
	}
}

// from returns what connects from one of this machine's addresses.
func from(t *testing.T, network, to string) func() net.Conn {
	return func() net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(network)}, Timeout: 10 * time.Second}
		c, err := d.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// judgeProxy probes the server of a ward, and the proxy before it, from outside.
func (w *ward) judgeProxy(t *testing.T, front, root string) {
	back, host := strings.TrimPrefix(w.at, "http://"), strings.TrimPrefix(w.base, "https://")
	pem, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	expect.Equal(t, "certificate is read", pool.AppendCertsFromPEM(pem), true)
	through := func() net.Conn {
		return tls.Client(from(t, "127.0.0.2", front)(), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	}
	t.Run("framing, directly", func(t *testing.T) { framed(t, from(t, "127.0.0.2", back), host) })
	t.Run("framing, through it", func(t *testing.T) { framed(t, through, host) })
	t.Run("sources, directly", func(t *testing.T) { sourced(t, from(t, "127.0.0.2", back), host, "127.0.0.2") })
	t.Run("sources, through it", func(t *testing.T) { sourced(t, through, host, "127.0.0.2") })
}
