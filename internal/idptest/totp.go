package idptest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238 §1.2.
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Code returns what an authenticator app shows for a secret at an instant (RFC 6238), by code
// that shares nothing with the server's. The secret is the one on the page, with or without its
// spaces.
func Code(secret string, at time.Time) string {
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		panic(err) // the server showed it
	}
	m := hmac.New(sha1.New, seed)
	if err := binary.Write(m, binary.BigEndian, at.Unix()/30); err != nil {
		panic(err) // a hash accepts everything
	}
	sum := m.Sum(nil)
	at4 := sum[sum[len(sum)-1]&15:]
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(at4)&0x7fffffff)%1_000_000)
}

// SecretIn returns the secret of the authenticator app that a page shows; empty if it shows
// none.
func SecretIn(body string) string {
	if m := spelled.FindStringSubmatch(body); m != nil {
		return tags.ReplaceAllString(m[1], "")
	}
	return ""
}

var (
	spelled = regexp.MustCompile(`<code class="spell"[^>]*>(.+?)</code>`)
	tags    = regexp.MustCompile(`<[^>]*>`)
)

// Secret is SecretIn of this page.
func (p *Page) Secret() string { return SecretIn(p.Body) }

// Later continues from the page that offers recovery codes after a first authenticator, without making
// any; it leaves any other page alone.
func (p *Page) Later() *Page {
	if next := p.URL.Query().Get("next"); strings.HasSuffix(p.URL.Path, "/account/security/codes") && next != "" {
		return p.b.Get(next)
	}
	return p
}

// EnrolApp enrols an authenticator app on the page that asks for a first second step, and
// returns the page that follows and the app's secret. The app's current code is then used up.
// Recovery codes are not made.
func (s *Server) EnrolApp(t testing.TB, p *Page, device string) (next *Page, secret string) {
	t.Helper()
	p = p.Form("main").Fill("device", device).Fill("kind", "app").Submit("")
	if secret = p.Secret(); secret == "" {
		t.Fatalf("no secret on %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return p.Form("main").Fill("code", Code(secret, s.Clock.Now())).Submit("").Later(), secret
}
