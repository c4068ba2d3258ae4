package federation_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/providertest"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

// logoutRequest returns the path by which a provider ends a session; the request names the person
// with the same format as the sign-in.
func logoutRequest(w *world, idp *samltest.IdP, c federation.Connection, id, nameID, index string) string {
	document := fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="%s" Version="2.0" IssueInstant="%s" Destination="%s"><saml:Issuer>%s</saml:Issuer><saml:NameID Format="%s">%s</saml:NameID>`,
		id, w.Clock.Now().UTC().Format(time.RFC3339), c.SLO(w.URL), idp.EntityID(), persistent, nameID)
	if index != "" {
		document += "<samlp:SessionIndex>" + index + "</samlp:SessionIndex>"
	}
	return "/federation/" + c.ID + "/slo?" + idp.SignQuery("SAMLRequest", document+"</samlp:LogoutRequest>", "")
}

// logoutResponse returns the path of the provider's answer to our request.
func logoutResponse(w *world, idp *samltest.IdP, c federation.Connection, to, relayState string) string {
	return "/federation/" + c.ID + "/slo?" + idp.SignQuery("SAMLResponse", fmt.Sprintf(`<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r" Version="2.0" IssueInstant="%s" Destination="%s" InResponseTo="%s"><saml:Issuer>%s</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:LogoutResponse>`,
		w.Clock.Now().UTC().Format(time.RFC3339), c.SLO(w.URL), to, idp.EntityID()), relayState)
}

// session signs a person in with a session index of the provider.
func (w *world) session(idp *samltest.IdP, c federation.Connection, email, index string) *idptest.Browser {
	w.t.Helper()
	b := w.Browser(w.t)
	u := person(email)
	u.SessionIndex = index
	w.inside(w.enter(b, idp, c, u), w.org, "Ada Lovelace")
	return b
}

// tell has some browser carry the provider's message, and returns where it is led.
func (w *world) tell(path string) string {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.still().Do(r).Header.Get("Location")
}

func (w *world) signedIn(b *idptest.Browser) bool {
	return b.Get(w.org.Path("home")).URL.Path == w.org.Path("home")
}

func TestSingleLogoutFromTheProviderEndsTheNamedSessionAlone(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c, other := w.samlConnection(w.org, idp, creates), w.samlConnection(w.org, idp, creates)
	one, two := w.session(idp, c, ada, "first"), w.session(idp, c, ada, "second")
	bob := w.session(idp, c, "bob@alpha.example", "first")
	elsewhere := w.session(idp, other, "eve@alpha.example", "first")

	// The message goes through any browser: one that is not signed in here.
	answer := w.tell(logoutRequest(w, idp, c, "_l1", "id of "+ada, "first"))
	if !strings.HasPrefix(answer, "https://idp.example/slo?SAMLResponse=") {
		t.Errorf("answered to %s", answer)
	}
	expect.Equal(t, "the named session is open", w.signedIn(one), false)
	expect.Equal(t, "another session is open", w.signedIn(two), true)
	expect.Equal(t, "another person's session is open", w.signedIn(bob), true)
	expect.Equal(t, "a session elsewhere is open", w.signedIn(elsewhere), true)
	// A repeated message, and one that names a person of another connection, end nothing.
	again := logoutRequest(w, idp, c, "_l1", "id of "+ada, "second")
	if p := one.Get(again); p.Status != 403 || w.traceOf(w.org, p).Refused != "replay" {
		t.Errorf("replayed: %d %s", p.Status, p.Text())
	}
	w.tell(logoutRequest(w, idp, c, "_l2", "id of eve@alpha.example", ""))
	w.tell(logoutRequest(w, idp, c, "_l3", "id of "+ada, "none of these"))
	if !w.signedIn(two) || !w.signedIn(bob) || !w.signedIn(elsewhere) {
		t.Error("another's session ended")
	}
	// Without a session index, all of the person's sessions end.
	w.tell(logoutRequest(w, idp, c, "_l4", "id of "+ada, ""))
	if w.signedIn(two) || !w.signedIn(bob) {
		t.Error("not the person's sessions ended")
	}
	if n := w.rows(`select count(*) from sessions where end_reason = 'ended by the identity provider'`); n != 2 {
		t.Errorf("%d sessions tell why they ended", n)
	}
}

func TestSML10LogoutMessagesThatAreNotBelievedEndNothing(t *testing.T) {
	w := start(t)
	idp := w.idp()
	hostile := w.idp()
	hostile.Rollover()
	c, other := w.samlConnection(w.org, idp, creates), w.samlConnection(w.org, idp, creates)
	b := w.session(idp, c, ada, "first")
	good := func(id string) string { return logoutRequest(w, idp, c, id, "id of "+ada, "first") }
	unsigned, _, _ := strings.Cut(good("_a"), "&SigAlg=")
	stale := good("_b")
	w.Clock.Advance(3 * time.Minute)
	atOther := strings.Replace(good("_c"), c.ID, other.ID, 1)
	for name, path := range map[string]string{
		"unsigned": unsigned, "signed by another": logoutRequest(w, hostile, c, "_d", "id of "+ada, "first"),
		"stale": stale, "addressed to another connection": atOther,
		"changed":              strings.Replace(good("_e"), "SigAlg=", "RelayState=x&SigAlg=", 1),
		"no body":              "/federation/" + c.ID + "/slo",
		"an answer to nothing": logoutResponse(w, idp, c, "", ""),
	} {
		p := w.Browser(t).Get(path)
		if p.Status != 403 || w.traceOf(w.org, p).Refused == "" {
			t.Errorf("%s: %d %s", name, p.Status, p.Text())
		}
	}
	if p := w.Browser(t).CrossPost("/federation/"+c.ID+"/slo", url.Values{"SAMLRequest": {"PHg+"}}); p.Status != 403 {
		t.Errorf("a form: %d %s", p.Status, p.Text())
	}
	if !w.signedIn(b) {
		t.Error("the session ended")
	}
	path := good("_g")
	w.turnOff(c)
	if p := w.Browser(t).Get(path); p.Status != 404 {
		t.Errorf("of a connection that is off: %d %s", p.Status, p.Text())
	}
}

func TestSigningOutHereLeadsToTheProviderAndBack(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	b := w.session(idp, c, ada, "first")
	p := b.Get("/o/alpha/home").Form("sign-out").Submit("")
	address, err := url.Parse(toProvider(t, p))
	if err != nil {
		t.Fatal(err)
	}
	if w.signedIn(b) {
		t.Fatal("it waits for the provider")
	}
	asked := inflate(t, address.Query().Get("SAMLRequest"))
	for _, part := range []string{"LogoutRequest", "<samlp:SessionIndex>first<", ">id of " + ada + "<", "https://idp.example/slo"} {
		if !strings.Contains(strings.ReplaceAll(asked, "saml2p:", "samlp:"), part) {
			t.Errorf("no %s in %s", part, asked)
		}
	}
	id := requestID.FindStringSubmatch(asked)[1]
	if p := b.Get(logoutResponse(w, idp, c, id, address.Query().Get("RelayState"))); p.Status != 200 || p.URL.Path != "/o/alpha" || p.URL.RawQuery != "signed-out" {
		t.Errorf("back again: %d %s %s", p.Status, p.URL, p.Text())
	}
	if p := b.Get(logoutResponse(w, idp, c, id, address.Query().Get("RelayState"))); p.Status != 403 {
		t.Errorf("the same answer again: %d %s", p.Status, p.URL)
	}
	// A sign-out is no sign-in: its state opens no session.
	b = w.session(idp, c, ada, "second")
	p = b.Get("/o/alpha/home").Form("sign-out").Submit("")
	if address, err = url.Parse(toProvider(t, p)); err != nil {
		t.Fatal(err)
	}
	form := w.respond(idp, c, w.begin(b, c), person(ada))
	form.RelayState = address.Query().Get("RelayState")
	if p := w.post(b, form); p.Status != 403 {
		t.Errorf("the state of a sign-out signs in: %d %s %s", p.Status, p.URL, p.Text())
	}
	w.outside(b, w.org)
}

func TestOpenIDConnectEndsSessionsOnBothSides(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	draft := w.draft(w.org, federation.OIDC)
	provider := w.honest(map[string]map[string]any{"ada": {"email": ada, "email_verified": true}}, draft)
	w.allow(provider.Host())
	c := w.oidcAt(draft, provider.Issuer, "parvis-0")
	b, there := w.Browser(t), providertest.NewBrowser(t)
	query := there.Visit(t, w.begin(b, c), w.URL, "ada")
	w.inside(b.Get("/federation/"+c.ID+"/callback?"+query.Encode()), w.org, "Ada")
	address := toProvider(t, b.Get("/o/alpha/home").Form("sign-out").Submit(""))
	if !strings.HasPrefix(address, provider.Issuer+"/session/end?") || w.signedIn(b) {
		t.Errorf("it leads to %s", address)
	}
	if p := b.Get("/federation/" + c.ID + "/signed-out?state=whatever"); p.URL.Path != "/o/alpha" || p.URL.RawQuery != "signed-out" {
		t.Errorf("back again: %d %s", p.Status, p.URL)
	}
}

func TestRPO8BackChannelLogoutEndsTheNamedSessionAlone(t *testing.T) {
	w := start(t)
	i := w.issuer(nil)
	w.allow(i.host())
	c, other := w.oidcConnection(w.org, i, creates), w.oidcConnection(w.org, i, creates)
	enter := func(c federation.Connection, sub, sid string) *idptest.Browser {
		b := w.Browser(t)
		claims := claimsOf(sub, sub+"@alpha.example")
		claims["sid"] = sid
		w.inside(w.enterOIDC(b, i, c, claims), w.org, "Ada Lovelace")
		return b
	}
	one, two, bob, elsewhere := enter(c, "ada", "s1"), enter(c, "ada", "s2"), enter(c, "bob", "s3"), enter(other, "eve", "s1")
	n := 0
	claims := func(more ...any) map[string]any {
		n++
		all := map[string]any{
			"iss": i.URL, "aud": "parvis", "iat": w.Clock.Now().Unix(), "exp": w.Clock.Now().Add(time.Minute).Unix(), "jti": fmt.Sprint("jti ", n),
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}
		for k := 0; k+1 < len(more); k += 2 {
			if all[more[k].(string)] = more[k+1]; more[k+1] == nil {
				delete(all, more[k].(string))
			}
		}
		return all
	}
	tell := func(c federation.Connection, token string) *idptest.Page {
		return w.Browser(t).CrossPost("/federation/"+c.ID+"/logout", url.Values{"logout_token": {token}})
	}
	hostile := w.issuer(nil)
	for name, token := range map[string]string{
		"an ID token":              i.sign("JWT", claims("sub", "ada")),
		"with a nonce":             i.sign("logout+jwt", claims("sub", "ada", "nonce", "x")),
		"without the event":        i.sign("logout+jwt", claims("sub", "ada", "events", nil)),
		"for another client":       i.sign("logout+jwt", claims("sub", "ada", "aud", "other")),
		"of another issuer":        i.sign("logout+jwt", claims("sub", "ada", "iss", hostile.URL)),
		"by another key":           hostile.sign("logout+jwt", claims("sub", "ada")),
		"of nobody":                i.sign("logout+jwt", claims()),
		"without a name of itself": i.sign("logout+jwt", claims("sub", "ada", "jti", nil)),
		"too old":                  i.sign("logout+jwt", claims("sub", "ada", "iat", w.Clock.Now().Add(-time.Hour).Unix())),
		"nothing":                  "",
	} {
		if p := tell(c, token); p.Status != 400 {
			t.Errorf("%s: %d %s", name, p.Status, p.Body)
		}
	}
	for _, b := range []*idptest.Browser{one, two, bob, elsewhere} {
		if !w.signedIn(b) {
			t.Fatal("a session ended")
		}
	}
	good := i.sign("logout+jwt", claims("sub", "ada", "sid", "s1"))
	if p := tell(c, good); p.Status != 200 {
		t.Errorf("%d %s", p.Status, p.Body)
	}
	expect.Equal(t, "the named session is open", w.signedIn(one), false)
	expect.Equal(t, "another session is open", w.signedIn(two), true)
	expect.Equal(t, "another person's session is open", w.signedIn(bob), true)
	expect.Equal(t, "a session elsewhere is open", w.signedIn(elsewhere), true)
	if p := tell(c, good); p.Status != 400 {
		t.Errorf("replayed: %d", p.Status)
	}
	// With the subject alone, all of the person's sessions of that connection end.
	if p := tell(c, i.sign("logout+jwt", claims("sub", "ada"))); p.Status != 200 || w.signedIn(two) || !w.signedIn(bob) {
		t.Errorf("by the subject: %d", p.Status)
	}
	if p := tell(c, i.sign("logout+jwt", claims("sid", "s3"))); p.Status != 200 || w.signedIn(bob) || !w.signedIn(elsewhere) {
		t.Errorf("by the session's name: %d", p.Status)
	}
}

// One person's name can be written in two ways: a missing or unspecified format and white space do
// not matter, another name or another format does. If nothing matches, the answer is no success, and
// administrators see it.
func TestSML10ANameWrittenOtherwiseEndsTheSession(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	const success, unknown = "status:Success", "status:UnknownPrincipal"
	id := 0
	status := func(nameID string, also ...string) (status string) {
		t.Helper()
		id++
		document := fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_w%d" Version="2.0" IssueInstant="%s" Destination="%s"><saml:Issuer>%s</saml:Issuer>%s%s</samlp:LogoutRequest>`,
			id, w.Clock.Now().UTC().Format(time.RFC3339), c.SLO(w.URL), idp.EntityID(), nameID, strings.Join(also, ""))
		answered, err := url.Parse(w.tell("/federation/" + c.ID + "/slo?" + idp.SignQuery("SAMLRequest", document, "")))
		if err != nil {
			t.Fatal(err)
		}
		deflated, err := base64.StdEncoding.DecodeString(answered.Query().Get("SAMLResponse"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(flate.NewReader(bytes.NewReader(deflated)))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, m := range map[string]struct {
		nameID string
		ends   bool
	}{
		"without a format":      {`<saml:NameID>id of ada@alpha.example</saml:NameID>`, true},
		"an unspecified format": {`<saml:NameID Format="` + saml.FormatUnspecified + `">id of ada@alpha.example</saml:NameID>`, true},
		"white space":           {"<saml:NameID>\n  id of ada@alpha.example\n</saml:NameID>", true},
		"our own qualifier":     {`<saml:NameID NameQualifier="` + idp.EntityID() + `">id of ada@alpha.example</saml:NameID>`, true},
		"another format":        {`<saml:NameID Format="` + saml.FormatEmailAddress + `">id of ada@alpha.example</saml:NameID>`, false},
		"a longer name":         {`<saml:NameID>id of ada@alpha.example.org</saml:NameID>`, false},
		"a part of the name":    {`<saml:NameID>ada@alpha.example</saml:NameID>`, false},
		"another case":          {`<saml:NameID>id of Ada@alpha.example</saml:NameID>`, false},
	} {
		b := w.session(idp, c, ada, "first")
		want := unknown
		if m.ends {
			want = success
		}
		if got := status(m.nameID); !strings.Contains(got, want) {
			t.Errorf("%s is answered with %s, want %s", name, got, want)
		}
		if w.signedIn(b) == m.ends {
			t.Errorf("%s: the session ended: %t, want %t", name, !m.ends, m.ends)
		}
	}
	expect.Equal(t, "refusals for another reason", w.rows(`select count(*) from upstream_traces where refused <> 'logout_session'`), 0)
	if n := w.rows(`select count(*) from upstream_traces where refused = 'logout_session'`); n != 4 {
		t.Errorf("%d traces of what named nobody, want 4", n)
	}

	// Naming a session that has ended already is a success.
	b := w.session(idp, c, ada, "last")
	b.Get("/o/alpha/home").Form("sign-out").Submit("")
	if got := status(`<saml:NameID>id of ada@alpha.example</saml:NameID>`, "<samlp:SessionIndex>last</samlp:SessionIndex>"); !strings.Contains(got, success) {
		t.Errorf("of a session that is over: %s", got)
	}
}

// A provider with no address for logout answers may still send a request; it gets a page.
func TestALogoutRequestOfAProviderWithoutAnAddressForAnswers(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates, func(c *federation.Connection) error {
		c.SAML.SLO = saml.Endpoint{}
		return nil
	})
	b := w.session(idp, c, ada, "first")
	idptest.Want(t, b.Get(logoutRequest(w, idp, c, "_p1", "id of "+ada, "first")), idptest.Status(200), idptest.Path("/o/alpha"), idptest.Says("web.sign_in.signed_out"))
	if w.signedIn(b) {
		t.Error("the session goes on")
	}
	idptest.Want(t, b.Get(logoutRequest(w, idp, c, "_p2", "id of eve@alpha.example", "")), idptest.Status(404), idptest.Says("federation.logout_nobody"))
}
