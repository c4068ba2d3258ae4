// Package machine looks at what stands around an installation: its certificate, who owns its files,
// the unit that starts it, how many files its process may open, and what a proxy lets through. Each
// look says what is wrong and what to write, in a sentence, or nothing.
package machine

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Loose reports whether others than the owner may do something with a file.
func Loose(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// EndsSoon is how long before its end a certificate is spoken of. Who renews by a program does so
// earlier.
const EndsSoon = 14 * 24 * time.Hour

// Ended says what is wrong with a certificate, called what, that browsers see at a host.
func Ended(leaf *x509.Certificate, what, host string, now time.Time) string {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("%s ended on %s: renew it, and write both files of [tls]. The server takes them within a minute.", what, day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("%s is valid from %s on, and no earlier. Is this machine's clock right? Set the time by NTP.", what, day(leaf.NotBefore))
	}
	if err := leaf.VerifyHostname(host); err != nil {
		names := leaf.DNSNames
		for _, ip := range leaf.IPAddresses {
			names = append(names, ip.String())
		}
		return fmt.Sprintf("%s is for %q and not for %s, the host of public_address: get one for this name, and write both files of [tls].",
			what, strings.Join(names, ", "), host)
	}
	return ""
}

// EndingSoon says so of a certificate.
func EndingSoon(ends time.Time, what string, now time.Time) string {
	if ends.IsZero() || ends.Sub(now) > EndsSoon {
		return ""
	}
	return fmt.Sprintf("%s ends on %s: renew it, and see why nothing renewed it before.", what, day(ends))
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

// FewFiles is how many files are too few for a server: it takes 4,000 connections, each of which is
// one, and opens others beside.
const FewFiles = 4500

// OpenFiles returns how many files the process may open whose metrics are at an address; 0 if it does
// not say.
func OpenFiles(ctx context.Context, listen string) int {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return 0
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/metrics", nil)
	if err != nil {
		return 0
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	w, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer w.Body.Close()
	for lines := bufio.NewScanner(io.LimitReader(w.Body, 4<<20)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "process_max_fds "); ok {
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				return int(n)
			}
		}
	}
	return 0
}

// MostSent is the largest body that the server takes (docs/limits.md): the metadata of a provider.
const MostSent = 2 << 20

// errUnsent ends a request whose body was only announced.
var errUnsent = errors.New("nothing is sent")

type unsent struct{}

func (unsent) Read([]byte) (int, error) { return 0, errUnsent }
func (unsent) Close() error             { return nil }

// TakesBodies reports whether what answers at an address would take the largest body: it is announced,
// and never sent.
func TakesBodies(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, unsent{})
	if err != nil {
		return true
	}
	r.ContentLength = MostSent
	r.Header.Set("Expect", "100-continue")
	client := http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true, ExpectContinueTimeout: 2 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	w, err := client.Do(r)
	if err != nil {
		return true // it waits for the body, or does not answer, which is said elsewhere
	}
	w.Body.Close()
	return w.StatusCode != http.StatusRequestEntityTooLarge
}
