package op_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/application"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// logoutPlan is oidcc-rp-initiated-logout-certification-test-plan. Its last two rows are modules
// of the suite that are not in that plan.
var logoutPlan = []struct {
	module string
	run    func(*module)
}{
	{"oidcc-rp-initiated-logout-discovery-endpoint-verification", func(m *module) { m.supports() }},
	{"oidcc-rp-initiated-logout", func(m *module) {
		m.goesBack(m.leave(m.enters()), bye+"?"+url.Values{"state": {long}}.Encode())
		m.isOut()
	}},
	{"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", func(m *module) {
		m.staysHere(m.leave(m.enters(), "post_logout_redirect_uri", "https://books.example/elsewhere"))
	}},
	{"oidcc-rp-initiated-logout-modified-id-token-hint", func(m *module) {
		e := m.enters()
		m.staysHere(m.leave(e, "id_token_hint", unsigned(e.id)))
	}},
	{"oidcc-rp-initiated-logout-no-id-token-hint", func(m *module) {
		m.staysHere(m.leave(m.enters(), "id_token_hint", "-"))
	}},
	{"oidcc-rp-initiated-logout-no-params", func(m *module) {
		m.confirms(m.leave(m.enters(), "id_token_hint", "-", "post_logout_redirect_uri", "-", "state", "-"))
	}},
	{"oidcc-rp-initiated-logout-no-post-logout-redirect-uri", func(m *module) {
		m.says(m.leave(m.enters(), "post_logout_redirect_uri", "-"))
		m.isOut()
	}},
	{"oidcc-rp-initiated-logout-no-state", func(m *module) {
		m.goesBack(m.leave(m.enters(), "state", "-"), bye)
		m.isOut()
	}},
	{"oidcc-rp-initiated-logout-only-state", func(m *module) {
		m.confirms(m.leave(m.enters(), "id_token_hint", "-", "post_logout_redirect_uri", "-"))
	}},
	{"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", func(m *module) {
		m.staysHere(m.leave(m.enters(), "post_logout_redirect_uri", bye+"?foo=bar"))
	}},
	{"oidcc-rp-initiated-logout-bad-id-token-hint", func(m *module) {
		e := m.enters()
		m.staysHere(m.leave(e, "id_token_hint", sign(m.t, secret.NewECKey(), (&jose.SignerOptions{}).WithType("JWT"), e.id)))
	}},
}

func TestLogoutPlanOfTheConformanceSuite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, row := range logoutPlan {
		t.Run(row.module, func(t *testing.T) {
			m := w.module(t)
			m.b = stopping(m.Browser(t))
			row.run(m)
			w.Clock.Advance(time.Minute)
		})
	}
}

// leave sends the browser to the end_session_endpoint (CreateEndSessionEndpointRequest).
func (m *module) leave(e entered, more ...string) *idptest.Page {
	m.t.Helper()
	return m.b.Get("/end-session?" + with(url.Values{
		"id_token_hint": {e.text("id_token")}, "post_logout_redirect_uri": {bye}, "state": {long},
	}, more...).Encode())
}

// goesBack checks what CheckPostLogoutState and
// CheckForUnexpectedParametersInPostLogoutRedirect check.
func (m *module) goesBack(p *idptest.Page, to string) {
	m.t.Helper()
	if p.Status != http.StatusSeeOther || p.Header.Get("Location") != to {
		m.t.Errorf("answered %d to %q", p.Status, p.Header.Get("Location"))
	}
}

// isOut requires that a request with prompt=none fails.
func (m *module) isOut() {
	m.t.Helper()
	m.refused([]string{"login_required"}, "prompt", "none")
}

// says requires the page that says so and leads to no application.
func (m *module) says(p *idptest.Page) {
	m.t.Helper()
	idptest.Want(m.t, p, idptest.Status(http.StatusOK), idptest.Says("op.signed_out.title"), idptest.SourceNot(bye))
}

// staysHere requires a page that says what is wrong; nobody is sent back or signed out.
func (m *module) staysHere(p *idptest.Page) {
	m.t.Helper()
	if p.Status != http.StatusBadRequest || p.Header.Get("Location") != "" || strings.Contains(strings.Join(p.Links(), " "), "books.example") {
		m.t.Errorf("%d at %s: %s", p.Status, p.URL, p.Text())
	}
	if got, signedIn := m.asks(m.c.request("prompt", "none")); signedIn || got.Get("code") == "" {
		m.t.Errorf("signed out by it: %v", got)
	}
}

// confirms requires that the person is asked first, because any site may send a browser here.
func (m *module) confirms(p *idptest.Page) {
	m.t.Helper()
	mine := regexp.MustCompile(`name="session" value="([^"]+)"`).FindStringSubmatch(p.Body)
	if p.Status != http.StatusOK || mine == nil {
		m.t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Text())
	}
	m.says(p.Form("main").Check("session", mine[1]).Submit(""))
	m.isOut()
}

// supports checks CheckDiscEndSessionEndpoint, and that each of these is true in discovery.
func (m *module) supports(all ...string) {
	m.t.Helper()
	c := m.discovery()
	if c.text("end_session_endpoint") != m.URL+"/end-session" {
		m.t.Errorf("end_session_endpoint is %q", c.text("end_session_endpoint"))
	}
	for _, name := range all {
		if c.JSON[name] != true {
			m.t.Errorf("%s is %v", name, c.JSON[name])
		}
	}
}

// TestBackChannelPlanOfTheConformanceSuite is
// oidcc-backchannel-rp-initiated-logout-certification-test-plan.
func TestBackChannelPlanOfTheConformanceSuite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("oidcc-backchannel-logout-discovery-endpoint-verification", func(t *testing.T) {
		w.module(t).supports("backchannel_logout_supported", "backchannel_logout_session_supported")
	})
	t.Run("oidcc-backchannel-rp-initiated-logout", func(t *testing.T) { backChannel(w.module(t)) })
}

func backChannel(m *module) {
	s := web()
	there := m.receiver(http.StatusOK)
	s.BackChannel = there.URL
	s.Protection = application.NoProtection
	m.c = m.register("", application.Web, s)
	e := m.enters()
	m.goesBack(m.leave(e, "state", "-"), bye)
	m.sweep()
	token := m.claims(there.token(m.t, 0), "logout+jwt")
	events, _ := token["events"].(map[string]any)
	event, is := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	issued, _ := token["iat"].(float64)
	expect.Equal[any](m.t, "iss", token["iss"], m.URL)
	expect.Equal[any](m.t, "aud", token["aud"], string(m.c.ID))
	expect.Equal[any](m.t, "sub", token["sub"], e.id["sub"])
	expect.Equal[any](m.t, "sid", token["sid"], e.id["sid"])
	expect.Equal[any](m.t, "nonce", token["nonce"], nil)
	if len(events) != 1 || !is || len(event) != 0 {
		m.t.Errorf("the events are %v", events)
	}
	if issued > float64(m.Clock.Now().Unix()) || token["jti"] == nil || token["sid"] == nil {
		m.t.Errorf("the logout token says %v", token)
	}
	m.isOut()
	m.Clock.Advance(time.Hour)
	m.sweep()
	if there.times() != 1 {
		m.t.Error("was told again")
	}
}

// TestFrontChannelPlanOfTheConformanceSuite is
// oidcc-frontchannel-rp-initiated-logout-certification-test-plan.
func TestFrontChannelPlanOfTheConformanceSuite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("oidcc-frontchannel-logout-discovery-endpoint-verification", func(t *testing.T) {
		w.module(t).supports("frontchannel_logout_supported", "frontchannel_logout_session_supported")
	})
	t.Run("oidcc-frontchannel-rp-initiated-logout", func(t *testing.T) { frontChannel(w.module(t)) })
}

func frontChannel(m *module) {
	s := web()
	s.FrontChannel = "https://books.example/frontchannel_logout"
	s.Protection = application.NoProtection
	m.c = m.register("", application.Web, s)
	e := m.enters()
	p := m.leave(e)
	frame := regexp.MustCompile(`<iframe[^>]* src="([^"]+)"`).FindStringSubmatch(p.Body)
	if frame == nil {
		m.t.Fatalf("no frame: %s", p.Body)
	}
	loaded, err := url.Parse(html.UnescapeString(frame[1]))
	if err != nil {
		m.t.Fatal(err)
	}
	q := loaded.Query()
	expect.Equal(m.t, "address", loaded.Host+loaded.Path, "books.example/frontchannel_logout")
	expect.Equal(m.t, "number of q", len(q), 2)
	expect.Equal(m.t, "iss", q.Get("iss"), m.URL)
	expect.Equal[any](m.t, "sid", q.Get("sid"), e.id["sid"])
	if !strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-src https://books.example") {
		m.t.Errorf("the policy is %s", p.Header.Get("Content-Security-Policy"))
	}
	// The page with the frame leads back to the application a moment later.
	on := regexp.MustCompile(`http-equiv="refresh" content="\d+; url=([^"]+)"`).FindStringSubmatch(p.Body)
	back := bye + "?" + url.Values{"state": {long}}.Encode()
	if on == nil || html.UnescapeString(on[1]) != back {
		m.t.Errorf("it goes on to %v, not to %s", on, back)
	}
	m.isOut()
}
