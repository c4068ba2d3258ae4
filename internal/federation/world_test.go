package federation_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/providertest"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
	"parvis/internal/naming"
	"parvis/internal/outbound"
	"parvis/internal/secret"
)

// world is an organization with a proven domain, on its own server.
type world struct {
	*idptest.Server
	t   *testing.T
	dns *idptest.DNS
	org directory.Organization
}

const (
	ada          = "ada@alpha.example"
	persistent   = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	clientSecret = "a secret of the client, long enough"
)

func start(t *testing.T, change ...func(*app.Settings)) *world {
	t.Helper()
	dns := idptest.StartDNS(t)
	s := idptest.Start(t, append(change, func(s *app.Settings) { s.Resolver = dns.Resolver() })...)
	w := &world{Server: s, t: t, dns: dns}
	w.org = w.organization("Alpha Works", "alpha")
	w.prove(w.org, "alpha.example")
	return w
}

func (w *world) organization(name, short string) directory.Organization {
	return w.Organization(w.t, name, short)
}

// prove has an organization prove a domain.
func (w *world) prove(org directory.Organization, name string) {
	w.t.Helper()
	var d domain.Domain
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		d, err = domain.Add(ctx, tx, directory.Operator(), org.ID, name)
		return err
	})
	w.dns.Set(d.Record(), d.Value())
	if err := w.Domains.Check(w.t.Context(), w.DB, directory.Operator(), org.ID, d.ID); err != nil {
		w.t.Fatal(err)
	}
}

// samlConnection makes a SAML connection that is on.
func (w *world) samlConnection(org directory.Organization, idp *samltest.IdP, change ...federation.Change) federation.Connection {
	w.t.Helper()
	return w.connection(org, federation.SAML, append([]federation.Change{func(c *federation.Connection) error {
		change, err := w.Hub.ReadMetadata(w.t.Context(), *c, federation.Metadata{Text: idp.Metadata()})
		if err != nil {
			return err
		}
		c.Vouches = true
		return change(c)
	}}, change...)...)
}

// creates admits people nobody invited.
func creates(c *federation.Connection) error {
	c.Creates = true
	return nil
}

// connection makes a connection, marks it as tested, and turns it on.
func (w *world) connection(org directory.Organization, p federation.Protocol, change ...federation.Change) federation.Connection {
	w.t.Helper()
	c := w.draft(org, p)
	for _, f := range change {
		c = w.change(c, f)
	}
	return w.turnOn(c)
}

func (w *world) draft(org directory.Organization, p federation.Protocol) (c federation.Connection) {
	w.t.Helper()
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		c, err = w.Hub.Create(ctx, tx, directory.Operator(), org.ID, federation.New{Provider: federation.Generic, Protocol: p, Name: "Door of " + org.DisplayName})
		return err
	})
	return c
}

func (w *world) change(c federation.Connection, f federation.Change) federation.Connection {
	w.t.Helper()
	err := w.DB.Update(w.t.Context(), func(tx *db.Tx) (err error) {
		c, err = w.Hub.Change(w.t.Context(), tx, federation.ByActor(directory.Operator()), c.OrgID, c.ID, f)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// turnOn turns a connection on as if a test had passed.
func (w *world) turnOn(c federation.Connection) federation.Connection {
	w.t.Helper()
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update connections set tested_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(c.OrgID), c.ID); err != nil {
			return err
		}
		return w.Hub.TurnOn(ctx, tx, directory.Operator(), c.OrgID, c.ID, c.ChangedAt)
	})
	c, err := federation.ConnectionOf(w.t.Context(), w.DB, directory.Operator(), c.OrgID, c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) turnOff(c federation.Connection) {
	w.t.Helper()
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.TurnOff(ctx, tx, directory.Operator(), c.OrgID, c.ID)
	})
}

func (w *world) idp() *samltest.IdP { return samltest.New("https://idp.example", w.Clock.Now) }

var refresh = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]+)">`)

// toProvider returns the address that a page leads to.
func toProvider(t *testing.T, p *idptest.Page) string {
	t.Helper()
	m := refresh.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("the page leads to no provider: %d %s: %s", p.Status, p.URL, p.Text())
	}
	return html.UnescapeString(m[1])
}

// metadata returns our metadata for a connection.
func (w *world) metadata(c federation.Connection) []byte {
	p := w.Browser(w.t).Get("/federation/" + c.ID + "/metadata")
	if p.Status != 200 {
		w.t.Fatalf("our metadata: %d %s", p.Status, p.Text())
	}
	return []byte(p.Body)
}

// begin chooses a connection on its organization's page, and returns the provider's address where that
// leads.
func (w *world) begin(b *idptest.Browser, c federation.Connection) string {
	w.t.Helper()
	org, err := directory.OrganizationByID(w.t.Context(), w.DB, c.OrgID)
	if err != nil {
		w.t.Fatal(err)
	}
	return toProvider(w.t, b.Get(org.Path()).Form("ways").Check("connection", c.ID).Submit(""))
}

// respond returns the form in which a provider answers a request with a user.
func (w *world) respond(idp *samltest.IdP, c federation.Connection, address string, u samltest.User) samltest.Form {
	w.t.Helper()
	form, err := idp.Answer(w.metadata(c), saml.Message{Address: address}, u)
	if err != nil {
		w.t.Fatal(err)
	}
	return form
}

// unasked returns a form that answers no request.
func (w *world) unasked(idp *samltest.IdP, c federation.Connection, relayState string, u samltest.User) samltest.Form {
	w.t.Helper()
	form, err := idp.Unasked(w.metadata(c), relayState, u)
	if err != nil {
		w.t.Fatal(err)
	}
	return form
}

// post posts a form to us, as a browser that comes from another site.
func (w *world) post(b *idptest.Browser, form samltest.Form) *idptest.Page {
	w.t.Helper()
	return b.CrossPost(strings.TrimPrefix(form.Address, w.URL), url.Values{"SAMLResponse": {form.SAMLResponse}, "RelayState": {form.RelayState}})
}

// answer posts a provider's answer to a request with a user.
func (w *world) answer(b *idptest.Browser, idp *samltest.IdP, c federation.Connection, address string, u samltest.User) *idptest.Page {
	w.t.Helper()
	return w.post(b, w.respond(idp, c, address, u))
}

func person(email string, more ...string) samltest.User {
	u := samltest.User{NameID: "id of " + email, Format: persistent, Attributes: map[string][]string{"email": {email}, "name": {"Ada Lovelace"}}}
	for i := 0; i+1 < len(more); i += 2 {
		u.Attributes[more[i]] = []string{more[i+1]}
	}
	return u
}

// enter signs a person in by SAML from the organization's page.
func (w *world) enter(b *idptest.Browser, idp *samltest.IdP, c federation.Connection, u samltest.User) *idptest.Page {
	w.t.Helper()
	return w.answer(b, idp, c, w.begin(b, c), u)
}

// issuer is an OpenID Provider that says whatever a test wants; providertest has the honest one.
type issuer struct {
	*httptest.Server
	now func() time.Time

	mu       sync.Mutex
	key      jose.JSONWebKey
	announce map[string]any    // beside what every provider publishes
	redeemed map[string]string // ID token by code
	userInfo map[string]any
	wants    string // the client secret
	down     bool   // the token endpoint fails
	asked    int    // how often a token was requested
}

func (w *world) issuer(announce map[string]any) *issuer {
	i := &issuer{now: w.Clock.Now, announce: announce, wants: clientSecret, redeemed: map[string]string{}}
	i.rollover("one")
	i.Server = httptest.NewServer(http.HandlerFunc(i.serve))
	w.t.Cleanup(i.Close)
	return i
}

func (i *issuer) host() string { return strings.TrimPrefix(i.URL, "http://") }

// rollover gives the provider another key in place of its key.
func (i *issuer) rollover(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = jose.JSONWebKey{Key: secret.NewECKey(), KeyID: id, Algorithm: "ES256", Use: "sig"}
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		document := map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"response_types_supported": []string{"code"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		}
		maps.Copy(document, i.announce)
		answer = document
	case "/keys":
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}}
	case "/token":
		i.asked++
		_, secret, _ := r.BasicAuth()
		token, known := i.redeemed[r.PostFormValue("code")]
		delete(i.redeemed, r.PostFormValue("code"))
		switch {
		case i.down:
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		case secret != url.QueryEscape(i.wants):
			w.WriteHeader(http.StatusUnauthorized)
			answer = map[string]string{"error": "invalid_client", "error_description": "not with " + secret}
		case !known:
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]string{"error": "invalid_grant"}
		default:
			answer = map[string]string{"id_token": token, "access_token": "an access token", "token_type": "Bearer"}
		}
	case "/userinfo":
		answer = i.userInfo
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// sign makes a token of a type.
func (i *issuer) sign(kind string, claims map[string]any) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithType(jose.ContentType(kind)))
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		panic(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return compact
}

// code makes a code for one ID token that has these claims beside the protocol's.
func (i *issuer) code(address string, claims map[string]any) string {
	asked, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	all := map[string]any{
		"iss": i.URL, "aud": asked.Query().Get("client_id"), "nonce": asked.Query().Get("nonce"),
		"iat": i.now().Unix(), "exp": i.now().Add(5 * time.Minute).Unix(), "auth_time": i.now().Unix(),
	}
	maps.Copy(all, claims)
	return i.codeFor(i.sign("JWT", all))
}

func (i *issuer) codeFor(idToken string) string {
	code := secret.NewToken().Reveal()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.redeemed[code] = idToken
	return code
}

// claimsIn returns the claims of a token, unverified.
func claimsIn(token string) (claims map[string]any) {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		panic(err)
	}
	return claims
}

// oidcConnection makes an OpenID Connect connection that is on, with a provider that says what a test wants.
func (w *world) oidcConnection(org directory.Organization, i *issuer, change ...federation.Change) federation.Connection {
	w.t.Helper()
	return w.oidcAt(w.draft(org, federation.OIDC), i.URL, "parvis", change...)
}

// oidcAt sets up a draft for an issuer, and turns it on.
func (w *world) oidcAt(c federation.Connection, issuer, client string, change ...federation.Change) federation.Connection {
	w.t.Helper()
	discovered, err := w.Hub.Discover(w.t.Context(), c, federation.Client{
		Issuer: issuer, ID: client, Method: oidc.ClientSecretBasic, Secret: clientSecret,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range append([]federation.Change{discovered}, change...) {
		c = w.change(c, f)
	}
	return w.turnOn(c)
}

// allow lets the server send requests to these hosts on loopback.
func (w *world) allow(hosts ...string) { w.Hub.Outbound = outbound.New(hosts) }

// back returns the address here to which a provider sends a browser with a code.
func back(c federation.Connection, address, code string, more ...string) string {
	asked, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	query := url.Values{"code": {code}, "state": {asked.Query().Get("state")}}
	for i := 0; i+1 < len(more); i += 2 {
		query[more[i]] = []string{more[i+1]}
	}
	return "/federation/" + c.ID + "/callback?" + query.Encode()
}

// enterOIDC signs a person in by OpenID Connect from the organization's page.
func (w *world) enterOIDC(b *idptest.Browser, i *issuer, c federation.Connection, claims map[string]any) *idptest.Page {
	w.t.Helper()
	address := w.begin(b, c)
	return b.Get(back(c, address, i.code(address, claims)))
}

// claimsOf returns what an honest provider says of an address that it verified.
func claimsOf(sub, email string) map[string]any {
	return map[string]any{"sub": sub, "email": email, "email_verified": true, "name": "Ada Lovelace"}
}

// honest runs a provider that we did not write, with clients for these connections.
func (w *world) honest(accounts map[string]map[string]any, drafts ...federation.Connection) *providertest.Provider {
	o := providertest.Options{Accounts: accounts}
	for n, c := range drafts {
		o.Clients = append(o.Clients, map[string]any{
			"client_id": fmt.Sprint("parvis-", n), "client_secret": clientSecret, "redirect_uris": []string{c.Callback(w.URL)},
			"post_logout_redirect_uris": []string{c.SignedOut(w.URL)},
			"backchannel_logout_uri":    c.Logout(w.URL),
		})
	}
	// The provider uses the real clock.
	w.Clock.Advance(time.Since(w.Clock.Now()))
	return providertest.Start(w.t, o)
}

var reference = regexp.MustCompile(`req_[a-z2-7]+`)

// traceOf returns the trace whose reference a page shows.
func (w *world) traceOf(org directory.Organization, p *idptest.Page) federation.Trace {
	w.t.Helper()
	trace, err := federation.TraceOf(w.t.Context(), w.DB, org.ID, reference.FindString(p.Text()))
	if err != nil {
		w.t.Fatalf("no trace for %d %s: %s (%v)", p.Status, p.URL, p.Text(), err)
	}
	return trace
}

// refused requires that an answer let nobody in: the page has one sentence, a way on, and a reference
// to a trace with the failed check.
func (w *world) refused(b *idptest.Browser, p *idptest.Page, c federation.Connection, check string) federation.Trace {
	w.t.Helper()
	org, err := directory.OrganizationByID(w.t.Context(), w.DB, c.OrgID)
	if err != nil {
		w.t.Fatal(err)
	}
	idptest.Want(expect.Case(w.t, "refused by %s", check), p, idptest.Status(403),
		idptest.Says("federation.refused", "Connection", c.Name, "Organization", org.DisplayName), idptest.Link(org.Path()))
	trace := w.traceOf(org, p)
	if last := trace.Checks[len(trace.Checks)-1]; trace.Refused != check || last.Name != check || last.OK {
		w.t.Errorf("refused by %q (%+v), want %q\n%+v", trace.Refused, last, check, trace)
	}
	w.outside(b, org)
	return trace
}

// inside requires a page of a person's session.
func (w *world) inside(p *idptest.Page, org directory.Organization, name string) {
	w.t.Helper()
	if p.Status != 200 || p.URL.Path != org.Path("home") || !p.Says(name) {
		w.t.Fatalf("%s is not in: %d %s: %s\n%s", name, p.Status, p.URL, p.Text(), w.traces())
	}
}

// outside requires a browser that is not signed in.
func (w *world) outside(b *idptest.Browser, org directory.Organization) {
	w.t.Helper()
	if p := b.Get(org.Path("home")); p.URL.Path == org.Path("home") {
		w.t.Fatalf("the browser is signed in: %s", p.Text())
	}
}

// user returns a user of an organization.
func (w *world) user(org directory.Organization, email string) directory.User {
	w.t.Helper()
	address, err := naming.ParseAddress(email)
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := directory.Candidates(w.t.Context(), w.DB, address, org.ID, 2)
	if err != nil || len(all) != 1 {
		w.t.Fatalf("%d users of %s (%v)", len(all), email, err)
	}
	return all[0].User
}

// rows returns the count that a query selects.
func (w *world) rows(query string, args ...any) (n int) {
	w.t.Helper()
	if _, err := w.DB.One(w.t.Context(), db.Into(&n), query, args...); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// traces returns what administrators would read, for the message of a failed test.
func (w *world) traces() string {
	all, err := federation.TracesOf(w.t.Context(), w.DB, federation.TraceQuery{OrgID: w.org.ID, Most: 10})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%+v", all)
}
