package idptest

import (
	"testing"

	"golang.org/x/net/html"

	"parvis/internal/authenticator"
)

// Options returns what the page hands to the browser's dialogue for passkeys; nothing if it
// offers no dialogue.
func (p *Page) Options() []byte {
	if n := p.find(func(n *html.Node) bool { return has(n, "data-options") }); n != nil {
		return []byte(attribute(n, "data-options"))
	}
	return nil
}

// PasskeyOptions fetches the options of a sign-in page, as its script does.
func (b *Browser) PasskeyOptions() []byte {
	b.t.Helper()
	p := b.Post("/sign-in/passkey", nil)
	if p.Status != 200 || p.Header.Get("Content-Type") != "application/json" {
		b.t.Fatalf("asking for options: %d %s", p.Status, p.Text())
	}
	return []byte(p.Body)
}

// EnrolPasskey enrols a passkey on the page that asks for a first second step, and returns the
// page that follows.
func (s *Server) EnrolPasskey(t testing.TB, p *Page, device string, a *authenticator.Authenticator) *Page {
	t.Helper()
	p = p.Form("main").Fill("device", device).Fill("kind", "passkey").Submit("")
	if p.Options() == nil {
		t.Fatalf("no options on %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return p.Form("main").Fill("response", string(a.Register(t, p.Options()))).Submit("").Later()
}

// Answer sends an authenticator's answer to the page that asks for a passkey as a second step.
func (p *Page) Answer(a *authenticator.Authenticator) *Page {
	p.b.t.Helper()
	return p.Form("main").Fill("response", string(a.Assert(p.b.t, p.Options()))).Submit("")
}

// EnterWithPasskey signs in at a sign-in page with a passkey alone.
func (b *Browser) EnterWithPasskey(path string, a *authenticator.Authenticator) *Page {
	b.t.Helper()
	form := b.Get(path).Form("passkey")
	return form.Fill("response", string(a.Assert(b.t, b.PasskeyOptions()))).Submit("")
}
