package federation_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/providertest"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

func unsolicited(c *federation.Connection) error {
	c.SAML.AllowUnsolicited = true
	return nil
}

func (w *world) sessions() int {
	w.t.Helper()
	return w.rows(`select count(*) from sessions where ended_at is null`)
}

// responseCookie names the cookie that finds a parked response.
const responseCookie = "__Host-parvis-answer"

// still returns a browser that follows no redirect.
func (w *world) still() *idptest.Browser {
	b := w.Browser(w.t)
	b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}

// park posts a form without following the redirect, and returns the cookie.
func (w *world) park(form samltest.Form) string {
	w.t.Helper()
	b := w.still()
	body := url.Values{"SAMLResponse": {form.SAMLResponse}, "RelayState": {form.RelayState}}.Encode()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, form.Address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	b.Do(r)
	cookie := b.Cookie(responseCookie)
	if cookie == "" {
		w.t.Fatal("nothing was parked")
	}
	return cookie
}

func TestSML6AResponseOpensOneSessionHoweverOftenItIsPosted(t *testing.T) {
	w := start(t, idptest.Named)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	native := w.sessions()

	b := w.Browser(t)
	form := w.respond(idp, c, w.begin(b, c), person(ada))
	copies := make([]*idptest.Browser, 8)
	for n := range copies {
		copies[n] = b.Copy()
	}
	if in := w.together(len(copies), func(n int) bool { return w.post(copies[n], form).URL.Path == "/o/alpha/home" }); in != 1 {
		t.Errorf("in parallel %d came in", in)
	}
	node := idptest.StartOn(t, w.DB, w.Clock, w.Keys, idptest.Named)
	for name, elsewhere := range map[string]*idptest.Browser{"the same node": w.Browser(t), "another node, or after a restart": node.Browser(t)} {
		elsewhere.Client.Jar = b.Client.Jar
		p := w.post(elsewhere, form)
		if p.Status != 403 || w.traceOf(w.org, p).Refused != "request" {
			t.Errorf("at %s: %d %s", name, p.Status, p.Text())
		}
	}
	other := form
	other.RelayState = "another"
	if p := w.post(b, other); p.Status != 403 {
		t.Errorf("with another RelayState: %d %s", p.Status, p.Text())
	}
	w.begin(b, c)
	address, err := url.Parse(w.begin(b, c))
	if err != nil {
		t.Fatal(err)
	}
	other.RelayState = address.Query().Get("RelayState")
	w.refused(b, w.post(b, other), c, "in_response_to")
	if got := w.sessions() - native; got != 1 {
		t.Errorf("%d sessions", got)
	}
	w.post(b, form)
	if p := b.Get("/federation/" + c.ID + "/callback"); p.URL.Path != "/o/alpha" {
		t.Errorf("the callback reloaded: %d %s", p.Status, p.URL)
	}
}

func TestSML6AnUnaskedResponseIsTakenOnceOnEveryNode(t *testing.T) {
	w := start(t, idptest.Named)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, unsolicited)
	node := idptest.StartOn(t, w.DB, w.Clock, w.Keys, idptest.Named)
	form := w.unasked(idp, c, "", person(ada))
	browsers := make([]*idptest.Browser, 8)
	for n := range browsers {
		browsers[n] = []*idptest.Server{w.Server, node}[n%2].Browser(t)
	}
	if shown := w.together(len(browsers), func(n int) bool { return strings.Contains(w.post(browsers[n], form).URL.Path, "/confirm/") }); shown != 1 {
		t.Errorf("%d of 8 were asked", shown)
	}
	// In another wrapper, and with another RelayState.
	document, err := base64.StdEncoding.DecodeString(form.SAMLResponse)
	if err != nil {
		t.Fatal(err)
	}
	form.RelayState = "something"
	w.refused(browsers[0], w.post(browsers[0], form), c, "replay")
	id := strings.Index(string(document), `ID="`) + len(`ID="`)
	document[id+5] ^= 1
	form.SAMLResponse = base64.StdEncoding.EncodeToString(document)
	if p := w.post(browsers[0], form); p.Status != 403 {
		t.Errorf("in another wrapper: %d %s", p.Status, p.Text())
	}
	// Once it has expired, it is refused for that.
	late := w.unasked(idp, c, "", person(ada))
	w.Clock.Advance(time.Hour)
	w.refused(browsers[0], w.post(browsers[0], late), c, "not_on_or_after")
}

// The attacker's own answer in the victim's browser would sign the victim in as the attacker.
func TestRPO2AnAnswerIsForTheBrowserThatAsked(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, "eve@alpha.example", "Eve", directory.Member)
	idp := w.idp()
	i := w.issuer(nil)
	w.allow(i.host())
	c, o := w.samlConnection(w.org, idp), w.oidcConnection(w.org, i)
	victims := map[string]func() *idptest.Browser{
		"one that was never here": func() *idptest.Browser { return w.Browser(t) },
		"one that began too":      func() *idptest.Browser { b := w.Browser(t); w.begin(b, c); w.begin(b, o); return b },
	}
	for name, victim := range victims {
		t.Run(name, func(t *testing.T) {
			eve := w.Browser(t)
			form := w.respond(idp, c, w.begin(eve, c), person("eve@alpha.example"))
			b := victim()
			w.refused(b, w.post(b, form), c, "request")
			// Eve uses it only now: nobody else could have used it up.
			w.inside(w.post(eve, form), w.org, "Eve")

			// An answer that she had posted is found by its cookie, and judged for the browser.
			eve = w.Browser(t)
			form = w.respond(idp, c, w.begin(eve, c), person("eve@alpha.example"))
			b = victim()
			b.SetCookie(responseCookie, w.park(form))
			w.refused(b, b.Get("/federation/"+c.ID+"/callback"), c, "request")
			if p := b.Get("/federation/" + c.ID + "/callback"); p.URL.Path != "/o/alpha" {
				t.Errorf("what was parked is there twice: %d %s", p.Status, p.URL)
			}

			eve = w.Browser(t)
			address := w.begin(eve, o)
			code := i.code(address, claimsOf("eve", "eve@alpha.example"))
			b = victim()
			asked := i.asked
			w.refused(b, b.Get(back(o, address, code)), o, "request")
			if i.asked != asked {
				t.Error("the code was redeemed")
			}
			// With a state of the victim's own, the nonce does not match.
			mine := w.begin(b, o)
			w.refused(b, b.Get(back(o, mine, code)), o, "nonce")
			w.inside(w.enterOIDC(eve, i, o, claimsOf("eve", "eve@alpha.example")), w.org, "Eve")
		})
	}
}

func TestRPO2AStateIsGoodOnceAndForItsConnection(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	beta := w.organization("Beta Labs", "beta")
	i := w.issuer(nil)
	w.allow(i.host())
	c, other, foreign := w.oidcConnection(w.org, i), w.oidcConnection(w.org, i), w.oidcConnection(beta, i)
	b := w.Browser(t)
	address := w.begin(b, c)
	for _, wrong := range []federation.Connection{other, foreign} {
		w.refused(b, b.Get(back(wrong, address, i.code(address, claimsOf("ada", ada)))), wrong, "request")
	}
	at := "/federation/" + c.ID + "/callback"
	w.refused(b, b.Get(at), c, "request")
	w.refused(b, b.Get(at+"?code=x&state="), c, "request")
	w.refused(b, b.Get(at+"?code=x&state="+strings.Repeat("A", 43)), c, "request")

	copies := make([]*idptest.Browser, 8)
	codes := make([]string, 8)
	for n := range copies {
		copies[n], codes[n] = b.Copy(), i.code(address, claimsOf("ada", ada))
	}
	if in := w.together(8, func(n int) bool { return copies[n].Get(back(c, address, codes[n])).URL.Path == "/o/alpha/home" }); in != 1 {
		t.Errorf("%d came in at once", in)
	}

	// A refusal ends the request that it answers, and its text is shown as text.
	b = w.Browser(t)
	address = w.begin(b, c)
	p := b.Get(back(c, address, "", "error", "access_denied", "error_description", "<script>alert(1)</script>"))
	trace := w.refused(b, p, c, "provider")
	if strings.Contains(p.Body, "alert(1)") || !strings.Contains(trace.Checks[len(trace.Checks)-1].Found, "<script>") {
		t.Errorf("the provider's text: %s\n%+v", p.Body, trace)
	}
	w.refused(b, b.Get(back(c, address, i.code(address, claimsOf("ada", ada)))), c, "request")

	// An answer that is too late counts for nothing, and its sign-in page goes on.
	address = w.begin(b, c)
	w.Clock.Advance(federation.RequestLasts + time.Second)
	late := back(c, address, i.code(address, claimsOf("ada", ada)))
	idptest.Want(t, b.Get(late), idptest.Status(200), idptest.Element("button", "name", "connection"))
	w.outside(b, w.org)
	stranger := w.Browser(t)
	w.refused(stranger, stranger.Get(late), c, "request")
	// So too hours later, when nothing is left of the request.
	w.Clock.Advance(2 * time.Hour)
	if err := w.Hub.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	if n := w.rows(`select count(*) from upstream_requests where asked <> '' or ended_at is not null`); n != 0 {
		t.Errorf("%d requests of hours ago hold more than which browser asked", n)
	}
	idptest.Want(t, b.Get(late), idptest.Status(200), idptest.Element("button", "name", "connection"))
}

func TestSML5AResponseOfAnotherConnectionIsRefused(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	beta := w.organization("Beta Labs", "beta")
	idp := w.idp()
	c, other, foreign := w.samlConnection(w.org, idp), w.samlConnection(w.org, idp), w.samlConnection(beta, idp)
	for _, wrong := range []federation.Connection{other, foreign} {
		b := w.Browser(t)
		form := w.respond(idp, c, w.begin(b, c), person(ada))
		form.Address = wrong.ACS(w.URL)
		w.refused(b, w.post(b, form), wrong, "request")
		// For a request of that connection, the answer is addressed to the wrong one.
		address, err := url.Parse(w.begin(b, wrong))
		if err != nil {
			t.Fatal(err)
		}
		form.RelayState = address.Query().Get("RelayState")
		w.refused(b, w.post(b, form), wrong, "destination")
	}
}

func TestAnAnswerAfterTheConnectionWasTurnedOffOrItsAttemptEnded(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	idp := w.idp()
	i := w.issuer(nil)
	w.allow(i.host())
	c, o := w.samlConnection(w.org, idp, unsolicited), w.oidcConnection(w.org, i)

	// Of two tabs of one attempt, the second finds it over.
	b := w.Browser(t)
	page := b.Get("/o/alpha/account")
	tab := func() string { return toProvider(t, page.Form("ways").Check("connection", c.ID).Submit("")) }
	one, two := tab(), tab()
	if p := w.answer(b, idp, c, one, person(ada)); p.URL.Path != "/o/alpha/account" {
		t.Fatalf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	sessions := w.sessions()
	if p := w.answer(b, idp, c, two, person(ada)); p.Status != 410 || w.sessions() != sessions {
		t.Errorf("the second tab: %d %s: %s", p.Status, p.URL, p.Text())
	}

	b = w.Browser(t)
	saml, open := w.begin(b, c), w.begin(b, o)
	waiting := w.Browser(t)
	confirm := w.post(waiting, w.unasked(idp, c, "", person(ada)))
	late := w.Browser(t).Get("/o/alpha").Form("ways").Check("connection", c.ID)
	w.turnOff(c)
	w.turnOff(o)
	w.refused(b, w.answer(b, idp, c, saml, person(ada)), c, "connection")
	w.refused(b, b.Get(back(o, open, i.code(open, claimsOf("ada", ada)))), o, "connection")
	w.refused(b, w.post(b, w.unasked(idp, c, "", person(ada))), c, "connection")
	if p := confirm.Form("main").Submit(""); p.Status != 409 {
		t.Errorf("confirmed at one that is off: %d %s", p.Status, p.Text())
	}
	w.outside(waiting, w.org)
	if p := late.Submit(""); p.Status != 409 {
		t.Errorf("chosen when it is off: %d %s", p.Status, p.Text())
	}
	if p := w.Browser(t).Get("/o/alpha"); strings.Contains(p.Body, c.ID) {
		t.Error("the page shows a connection that is off")
	}
}

func TestSML10UnaskedResponsesNeedTheSwitchAndAClick(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	w.Join(t, w.org, "eve@alpha.example", "Eve", directory.Member)
	idp := w.idp()
	off, on := w.samlConnection(w.org, idp), w.samlConnection(w.org, idp, unsolicited)
	for _, state := range []string{"", "https://evil.example/", "/o/alpha/home"} {
		b := w.Browser(t)
		trace := w.refused(b, w.post(b, w.unasked(idp, off, state, person(ada))), off, "request")
		if trace.Checks[0].Found != "unsolicited" {
			t.Errorf("the trace does not say why: %+v", trace)
		}
	}
	for _, state := range []string{"", "https://evil.example/", "//evil.example", "javascript:alert(1)", `/\evil.example`, "x\x00y", strings.Repeat("x", 9000)} {
		b := w.Browser(t)
		p := w.post(b, w.unasked(idp, on, state, person(ada)))
		idptest.Want(expect.Case(t, "%q", state), p,
			idptest.Status(200), idptest.Shows(ada), idptest.SourceNot("evil.example"), idptest.SourceNot("alert(1)"))
		b.Get(p.URL.Path)
		w.outside(b, w.org)
		w.inside(p.Form("main").Submit(""), w.org, "Ada")
	}

	// In the browser of somebody who is signed in, the page shows both people.
	b := w.Browser(t)
	w.inside(w.enter(b, idp, on, person(ada)), w.org, "Ada")
	p := w.post(b, w.unasked(idp, on, "", person("eve@alpha.example")))
	if !p.Says("eve@alpha.example") || !p.Says("Ada") {
		t.Errorf("it does not say who: %s", p.Text())
	}
	w.inside(b.Get("/o/alpha/home"), w.org, "Ada")
	// What the answer says of the person is shown as text.
	p = w.post(w.Browser(t), w.unasked(idp, on, "", person("<script>alert(1)</script>")))
	if strings.Contains(p.Body, "<script>alert") {
		t.Error("the address is not escaped")
	}
	// An answer to another person's request does not count as unsolicited.
	form := w.respond(idp, on, w.begin(w.Browser(t), on), person("eve@alpha.example"))
	form.RelayState = ""
	b = w.Browser(t)
	w.refused(b, w.post(b, form), on, "unsolicited")
	// A portal's link leads to the organization's page, from which the person goes on.
	if p := w.Browser(t).Get("/federation/" + on.ID + "/start"); p.URL.Path != "/o/alpha" || refresh.MatchString(p.Body) {
		t.Errorf("the portal's link: %d %s", p.Status, p.URL)
	}
}

// RPO-1: an answer of one provider at the callback of another.
func TestRPO1MixUpOfTwoProviders(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	drafts := []federation.Connection{w.draft(w.org, federation.OIDC), w.draft(w.org, federation.OIDC)}
	accounts := map[string]map[string]any{"ada": {"email": ada, "email_verified": true}}
	honest, other := w.honest(accounts, drafts[:1]...), w.honest(accounts, drafts[1:]...)
	evil := w.issuer(nil)
	w.allow(honest.Host(), other.Host(), evil.host())
	a, b := w.oidcAt(drafts[0], honest.Issuer, "parvis-0"), w.oidcAt(drafts[1], other.Issuer, "parvis-0")
	e := w.oidcConnection(w.org, evil)

	// Begun at one provider, answered by the other, with the state of each.
	browser, there := w.Browser(t), providertest.NewBrowser(t)
	first := w.begin(browser, a)
	w.begin(browser, b)
	fromB := providertest.NewBrowser(t).Visit(t, w.begin(browser, b), w.URL, "ada")
	state := func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("state")
	}
	mixed := url.Values{"code": fromB["code"], "iss": fromB["iss"], "state": {state(first)}}
	w.refused(browser, browser.Get("/federation/"+a.ID+"/callback?"+mixed.Encode()), a, "callback_issuer")
	for name, change := range map[string]func(url.Values){
		"absent": func(v url.Values) { v.Del("iss") },
		"empty":  func(v url.Values) { v.Set("iss", "") },
		"wrong":  func(v url.Values) { v.Set("iss", honest.Issuer+"/") },
	} {
		query := there.Visit(t, w.begin(browser, a), w.URL, "ada")
		change(query)
		trace := w.refused(browser, browser.Get("/federation/"+a.ID+"/callback?"+query.Encode()), a, "callback_issuer")
		if len(trace.Checks) > 3 {
			t.Errorf("%s: something else was asked first: %+v", name, trace)
		}
	}
	query := there.Visit(t, w.begin(browser, a), w.URL, "ada")
	query.Add("iss", honest.Issuer)
	w.refused(browser, browser.Get("/federation/"+a.ID+"/callback?"+query.Encode()), a, "callback")

	// The honest provider's code never reaches the evil one.
	query = there.Visit(t, w.begin(browser, a), w.URL, "ada")
	query.Set("state", state(w.begin(browser, e)))
	w.refused(browser, browser.Get("/federation/"+e.ID+"/callback?"+query.Encode()), e, "callback_issuer")
	if evil.asked != 0 {
		t.Error("a code was sent to the wrong provider")
	}
	query = there.Visit(t, w.begin(browser, a), w.URL, "ada")
	w.inside(browser.Get("/federation/"+a.ID+"/callback?"+query.Encode()), w.org, "Ada")
}

// Every refused answer is recorded, so there is a limit: nobody can have us record without end.
func TestAnswersOfANetworkAreCounted(t *testing.T) {
	w := start(t)
	i := w.issuer(nil)
	w.allow(i.host())
	c := w.oidcConnection(w.org, i)
	b := w.Browser(t)
	if p := b.CrossPost("/federation/"+c.ID+"/acs", nil); p.Status != 404 {
		t.Errorf("a SAML response for OpenID Connect: %d %s", p.Status, p.URL)
	}
	// The last free one is recorded as taken; thousands of further requests would add nothing.
	for range 2 {
		if p := b.Get("/federation/" + c.ID + "/callback?state=x"); p.Status != 403 {
			t.Errorf("an answer of nobody: %d %s", p.Status, p.URL)
		}
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.Exec(ctx, `update limits set taken = $1 where id like 'upstream-network.%'`, signin.PerNetworkUpstream.Free)
		if err == nil && n != 1 {
			t.Errorf("%d counts of the network, want one", n)
		}
		return err
	})
	b.Get("/federation/" + c.ID + "/callback?state=x")
	if p := b.Get("/federation/" + c.ID + "/callback?state=x"); p.Status != 429 {
		t.Errorf("one more than is free: %d %s", p.Status, p.URL)
	}
}

// A response of before a restore is refused as one that came before: whether it did is not remembered.
func TestSML6AResponseOfBeforeARestoreIsRefused(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, unsolicited)
	before := w.unasked(idp, c, "", person(ada))
	w.Clock.Advance(10 * time.Second)
	w.DB.Restored = w.Clock.Now()
	b := w.Browser(t)
	w.refused(b, w.post(b, before), c, "replay")
	w.Clock.Advance(30 * time.Second)
	b = w.Browser(t)
	w.refused(b, w.post(b, w.unasked(idp, c, "", person(ada))), c, "replay") // perhaps of before, by a clock ahead
	w.Clock.Advance(30 * time.Second)
	if p := w.post(w.Browser(t), w.unasked(idp, c, "", person(ada))); !strings.Contains(p.URL.Path, "/confirm/") {
		t.Errorf("one of a minute afterwards leads to %s", p.URL)
	}
}
