package federation_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/providertest"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
	"parvis/internal/outbound"
)

// world is an organization with a proven domain, at a server of its own.
type world struct {
	*idptest.Server
	t   *testing.T
	dns *idptest.DNS
	org directory.Organization
}

const (
	ada        = "ada@alpha.example"
	persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
)

func start(t *testing.T, change ...func(*app.Settings)) *world {
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

// prove makes a domain an organization's.
func (w *world) prove(org directory.Organization, domain string) {
	w.t.Helper()
	var d directory.Domain
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		d, err = directory.AddDomain(ctx, tx, directory.Operator(), org.ID, domain)
		return err
	})
	w.dns.Set(d.Record(), d.Value())
	if err := w.Domains.Check(w.t.Context(), w.DB, directory.Operator(), org.ID, d.ID); err != nil {
		w.t.Fatal(err)
	}
}

// samlConnection is one that is on, with a provider of its own.
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

// connection makes one, tests it by its own word, and turns it on.
func (w *world) connection(org directory.Organization, p federation.Protocol, change ...federation.Change) federation.Connection {
	w.t.Helper()
	var c federation.Connection
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		c, err = w.Hub.Create(ctx, tx, directory.Operator(), org.ID, federation.New{Provider: federation.Generic, Protocol: p, Name: "Door of " + org.DisplayName})
		return err
	})
	for _, f := range change {
		var err error
		if c, err = w.Hub.Change(w.t.Context(), federation.ByActor(directory.Operator()), org.ID, c.ID, f); err != nil {
			w.t.Fatal(err)
		}
	}
	w.turnOn(c)
	c, err := federation.ConnectionOf(w.t.Context(), w.DB, org.ID, c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// turnOn turns a connection on as if a test had passed.
func (w *world) turnOn(c federation.Connection) {
	w.t.Helper()
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update connections set tested_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(c.OrgID), c.ID); err != nil {
			return err
		}
		return w.Hub.TurnOn(ctx, tx, directory.Operator(), c.OrgID, c.ID)
	})
}

func (w *world) idp() *samltest.IdP { return samltest.New("https://idp.example", w.Clock.Now) }

var refresh = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]+)">`)

// toProvider is the address that a page leads to.
func toProvider(t *testing.T, p *idptest.Page) string {
	t.Helper()
	m := refresh.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("the page leads to no provider: %d %s: %s", p.Status, p.URL, p.Text())
	}
	return html.UnescapeString(m[1])
}

// metadata is ours, for a connection.
func (w *world) metadata(c federation.Connection) []byte {
	p := w.Browser(w.t).Get("/federation/" + c.ID + "/metadata")
	if p.Status != 200 {
		w.t.Fatalf("our metadata: %d %s", p.Status, p.Text())
	}
	return []byte(p.Body)
}

// answer posts what a provider says about a user to us, as a browser does that comes
// from another site.
func (w *world) answer(b *idptest.Browser, idp *samltest.IdP, c federation.Connection, address string, u samltest.User) *idptest.Page {
	w.t.Helper()
	form, err := idp.Answer(w.metadata(c), saml.Message{Address: address}, u)
	if err != nil {
		w.t.Fatal(err)
	}
	return b.CrossPost(strings.TrimPrefix(form.Address, w.URL), url.Values{"SAMLResponse": {form.SAMLResponse}, "RelayState": {form.RelayState}})
}

func person(email string, more ...string) samltest.User {
	u := samltest.User{NameID: "id of " + email, Format: persistent, Attributes: map[string][]string{"email": {email}, "name": {"Ada Lovelace"}}}
	for i := 0; i+1 < len(more); i += 2 {
		u.Attributes[more[i]] = []string{more[i+1]}
	}
	return u
}

// enter signs somebody in by SAML from the organization's page.
func (w *world) enter(b *idptest.Browser, idp *samltest.IdP, c federation.Connection, u samltest.User) *idptest.Page {
	w.t.Helper()
	door := b.Get("/o/" + w.org.ShortName)
	return w.answer(b, idp, c, toProvider(w.t, door.Form("ways").Check("connection", c.ID).Submit("")), u)
}

func TestSomebodyWhoIsHereComesInBySAML(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	b := w.Browser(t)
	if p := w.enter(b, idp, c, person(ada)); p.URL.Path != "/o/alpha/home" || !p.Says("Ada") {
		t.Fatalf("%d %s: %s\n%s", p.Status, p.URL, p.Text(), w.traces())
	}
	// The second time by the subject, whatever address the provider says now.
	u := person(ada)
	u.Attributes["email"] = []string{"other@elsewhere.example"}
	if p := w.enter(w.Browser(t), idp, c, u); p.URL.Path != "/o/alpha/home" || !p.Says("Ada") {
		t.Fatalf("again: %d %s: %s", p.Status, p.URL, p.Text())
	}
}

func TestAnAddressOfAProvenDomainLeadsToItsProvider(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, func(c *federation.Connection) error { c.Creates = true; return nil })
	b := w.Browser(t)
	p := b.Get("/sign-in").Form("main").Fill("email", "new@alpha.example").Submit("")
	if p = w.answer(b, idp, c, toProvider(t, p), person("new@alpha.example")); p.URL.Path != "/o/alpha/home" || !p.Says("Ada Lovelace") {
		t.Fatalf("%d %s: %s\n%s", p.Status, p.URL, p.Text(), w.traces())
	}
	if p := w.Browser(t).Get("/sign-in").Form("main").Fill("email", "new@beta.example").Fill("password", "x").Submit(""); p.Status != 422 {
		t.Errorf("another domain: %d %s", p.Status, p.Text())
	}
}

func TestComingInByOpenIDConnect(t *testing.T) {
	options := providertest.Options{
		Accounts: map[string]map[string]any{"sub-ada": {"email": ada, "email_verified": true, "name": "Ada L."}},
	}
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	var c federation.Connection
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		c, err = w.Hub.Create(ctx, tx, directory.Operator(), w.org.ID, federation.New{Provider: federation.Generic, Protocol: federation.OIDC, Name: "Provider"})
		return err
	})
	options.Clients = []map[string]any{{
		"client_id": "parvis", "client_secret": "a secret of the client, long enough", "redirect_uris": []string{c.Callback(w.URL)},
		"post_logout_redirect_uris": []string{c.SignedOut(w.URL)},
	}}
	provider := providertest.Start(t, options)
	*w.Hub.Outbound = *outbound.New([]string{provider.Host()})
	changed, err := w.Hub.Discover(t.Context(), c, federation.Client{
		Issuer: provider.Issuer, ID: "parvis", Method: oidc.ClientSecretBasic, Secret: "a secret of the client, long enough",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err = w.Hub.Change(t.Context(), federation.ByActor(directory.Operator()), w.org.ID, c.ID, changed); err != nil {
		t.Fatal(err)
	}
	w.turnOn(c)
	w.Clock.Advance(time.Since(w.Clock.Now())) // the provider's is the real one
	b, there := w.Browser(t), providertest.NewBrowser(t)
	address := toProvider(t, b.Get("/o/alpha").Form("ways").Check("connection", c.ID).Submit(""))
	back := there.Visit(t, address, w.URL, "sub-ada")
	p := b.Get("/federation/" + c.ID + "/callback?" + back.Encode())
	if p.URL.Path != "/o/alpha/home" || !p.Says("Ada") {
		t.Fatalf("%d %s: %s\n%v", p.Status, p.URL, p.Text(), w.traces())
	}
	if p := b.Get("/federation/" + c.ID + "/callback?" + back.Encode()); p.Status != 403 {
		t.Errorf("the same answer again: %d %s", p.Status, p.URL)
	}
}

// traces are what administrators would read.
func (w *world) traces() string {
	all, err := federation.TracesOf(w.t.Context(), w.DB, w.org.ID, "", time.Time{}, 10)
	if err != nil {
		w.t.Fatal(errors.Join(err))
	}
	return fmt.Sprintf("%+v", all)
}
