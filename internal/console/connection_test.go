package console_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
	"parvis/internal/mailbox"
	"parvis/internal/outbound"
)

const singleSignOn = "/o/alpha/admin/single-sign-on"

// published is a host of a provider: a test sets what it answers at each path.
type published struct {
	*httptest.Server
	answers map[string]http.HandlerFunc
}

func publish(t *testing.T) *published {
	t.Helper()
	p := &published{answers: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := p.answers[r.URL.Path]; ok {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *published) text(path, text string) {
	p.answers[path] = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) } //nolint:errcheck // The test reads what became of it.
}

// allowed lets the server fetch from this host, although it is on loopback.
func (p *published) allowed(s *app.Settings) {
	s.Outbound = outbound.New([]string{strings.TrimPrefix(p.URL, "http://")})
}

// metadata returns the metadata of a SAML provider at an address.
func (w *world) metadata(address string) string {
	return string(samltest.New(address, w.Clock.Now).Metadata())
}

// add makes a connection by the pages and returns the path of its page.
func (w *world) add(t *testing.T, b *idptest.Browser, provider, protocol, name string) string {
	t.Helper()
	p := seen(t, b.Get(singleSignOn+"/add?provider="+provider), 200)
	p = seen(t, p.Form("main").Fill("protocol", protocol).Fill("name", name).Submit(""), 200)
	if !strings.HasPrefix(p.URL.Path, "/o/alpha/admin/connections/con_") {
		t.Fatalf("adding %s leads to %s: %s", name, p.URL, p.Text())
	}
	return p.URL.Path
}

// connection returns the connection whose page is at a path.
func (w *world) connection(t *testing.T, path string) federation.Connection {
	t.Helper()
	c, err := federation.ConnectionOf(t.Context(), w.DB, directory.Operator(), w.alpha.ID, path[strings.LastIndex(path, "/")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// passed leaves behind what a successful test does.
func (w *world) passed(t *testing.T, path string) {
	t.Helper()
	c := w.connection(t, path)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update connections set tested_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(c.OrgID), c.ID)
		return err
	})
}

// Journeys 7.1: metadata as text, as a file and by its address make the same connection, and
// each product's page says what to enter there.
func TestMetadataByTextFileAndAddress(t *testing.T) {
	t.Parallel()
	host := publish(t)
	w := start(t, host.allowed)
	b := w.alpha.browsers[directory.Administrator]
	metadata := w.metadata("https://idp.example")
	host.text("/metadata", metadata)
	for name, send := range map[string]func(path string) *idptest.Page{
		"text": func(path string) *idptest.Page { return b.Post(path+"/metadata", url.Values{"metadata": {metadata}}) },
		"file": func(path string) *idptest.Page {
			return b.Upload(path+"/metadata", "metadata_file", []byte(metadata), nil)
		},
		"address": func(path string) *idptest.Page {
			return b.Post(path+"/metadata", url.Values{"metadata_address": {host.URL + "/metadata"}})
		},
	} {
		path := w.add(t, b, "okta", "saml", "By "+name)
		if c := w.connection(t, path); c.Complete() || c.State != federation.Draft || !c.Shown {
			t.Errorf("%s: a new one is %+v", name, c)
		}
		p := seen(t, send(path), 200)
		c := w.connection(t, path)
		idptest.Want(expect.Case(t, "%s: %+v", name, c.SAML), p, idptest.Says("console.sso.saved"))
		if c.SAML.EntityID != "https://idp.example/metadata" || len(c.SAML.Certificates) != 1 || c.SAML.SSO.Location != "https://idp.example/sso" {
			t.Errorf("%s: %+v: %s", name, c.SAML, p.Text())
		}
		if (c.MetadataURL != "") != (name == "address") {
			t.Errorf("%s: renews itself from %q", name, c.MetadataURL)
		}
		for _, value := range []string{c.EntityID(w.URL), c.ACS(w.URL), idptest.Sentence(t, "federation.label.okta.saml.entity_id")} {
			if !p.Says(value) {
				t.Errorf("%s: the page does not say %s", name, value)
			}
		}
	}
	if n := len(w.events(t, w.alpha.ID, "connection.changed")); n != 3 {
		t.Errorf("%d changes are in the audit log, want 3", n)
	}
	list := seen(t, b.Get(singleSignOn), 200)
	idptest.Want(t, list, idptest.Shows("By text"), idptest.Says("console.sso.untested"))
}

// Every product's page is complete, in both protocols and both languages.
func TestEveryGuideIsWhole(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	for _, language := range []string{"en", "fr"} {
		b.Post("/o/alpha/language", url.Values{"do": {"language"}, "language": {language}})
		for _, provider := range federation.Providers {
			for _, protocol := range []federation.Protocol{federation.SAML, federation.OIDC} {
				path := w.add(t, b, string(provider), string(protocol), "One")
				p := seen(t, b.Get(path), 200)
				if p.Lang() != language || !p.Says(w.URL+"/federation/") {
					t.Errorf("%s by %s in %s: %s", provider, protocol, language, p.Text())
				}
				seen(t, b.Post(path, url.Values{"do": {"remove"}, "confirmed": {"yes"}}), 200)
			}
		}
	}
}

// SML-11, RPO-6: bad metadata is refused by name at its field, and nothing of the connection
// changes.
func TestSML11BadMetadataIsRefusedByName(t *testing.T) {
	t.Parallel()
	host := publish(t)
	w := start(t, host.allowed)
	b := w.alpha.browsers[directory.Owner]
	good := w.metadata("https://idp.example")
	host.answers["/redirect"] = func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://127.0.0.1:1/", http.StatusFound)
	}
	host.text("/large", strings.Repeat(" ", 1<<20)+good)
	path := w.add(t, b, "generic", "saml", "Bad")
	seen(t, b.Post(path+"/metadata", url.Values{"metadata": {good}}), 200)
	before := w.connection(t, path)
	entities := `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">` + good + strings.ReplaceAll(good, "idp.example", "other.example") + `</md:EntitiesDescriptor>`
	for name, test := range map[string]struct {
		form url.Values
		says string
	}{
		"nothing":        {url.Values{}, idptest.Sentence(t, "federation.no_metadata")},
		"two ways":       {url.Values{"metadata": {good}, "metadata_address": {host.URL + "/metadata"}}, idptest.Sentence(t, "federation.both_metadata")},
		"two entities":   {url.Values{"metadata": {entities}}, idptest.Sentence(t, "federation.fix.metadata_two_entities")},
		"no XML":         {url.Values{"metadata": {"hello"}}, idptest.Sentence(t, "federation.fix.metadata_not_xml")},
		"a web page":     {url.Values{"metadata": {"<!DOCTYPE html><html></html>"}}, "DOCTYPE"},
		"a service":      {url.Values{"metadata": {strings.ReplaceAll(good, "IDPSSODescriptor", "SPSSODescriptor")}}, idptest.Sentence(t, "federation.fix.metadata_no_provider")},
		"no certificate": {url.Values{"metadata": {strings.ReplaceAll(good, `use="signing"`, `use="encryption"`)}}, idptest.Sentence(t, "federation.fix.metadata_no_certificate")},
		"http":           {url.Values{"metadata": {strings.ReplaceAll(good, "https://idp.example/sso", "http://idp.example/sso")}}, idptest.Sentence(t, "federation.fix.metadata_address")},
		"plain address":  {url.Values{"metadata_address": {"http://idp.example/metadata"}}, idptest.Sentence(t, "federation.outbound.scheme")},
		"file address":   {url.Values{"metadata_address": {"file:///etc/passwd"}}, idptest.Sentence(t, "federation.outbound.scheme")},
		"private":        {url.Values{"metadata_address": {"https://127.0.0.1/metadata"}}, "not public"},
		"decimal":        {url.Values{"metadata_address": {"https://[::ffff:10.0.0.1]/metadata"}}, "not public"},
		"redirect":       {url.Values{"metadata_address": {host.URL + "/redirect"}}, "leads on"},
		"large":          {url.Values{"metadata_address": {host.URL + "/large"}}, "too long"},
		"absent":         {url.Values{"metadata_address": {host.URL + "/absent"}}, idptest.Sentence(t, "federation.outbound.status")},
	} {
		p := seen(t, b.Post(path+"/metadata", test.form), 422)
		if !p.Says(test.says) {
			t.Errorf("%s: %s", name, p.Text())
		}
		for _, typed := range test.form {
			if !strings.Contains(html.UnescapeString(p.Body), typed[0]) {
				t.Errorf("%s: what was typed is lost", name)
			}
		}
	}
	idptest.Want(t, b.Upload(path+"/metadata", "metadata_file", []byte(good+strings.Repeat(" ", 2<<20)), nil),
		idptest.Status(422), idptest.Says("federation.fix.metadata_too_large"))
	if p := b.Upload(path+"/metadata", "metadata_file", make([]byte, 50<<20), nil); p.Status != 413 {
		t.Errorf("50 MB: %d", p.Status)
	}
	if after := w.connection(t, path); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("changed to %+v", after)
	}
}

// Journeys 7.2: a connection is turned on only if it was tested since its last change; what a
// test does not cover may change.
func TestOnlyWhatWasTestedIsTurnedOn(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	path := w.add(t, b, "okta", "saml", "Okta")
	on := func(want int) *idptest.Page {
		t.Helper()
		// As the page shows it: an owner confirms what the connection is trusted with.
		return seen(t, b.Post(path, url.Values{"do": {"on"}, "seen": b.Get(path).Form("turn").Values["seen"]}), want)
	}
	on(409)
	seen(t, b.Post(path+"/metadata", url.Values{"metadata": {w.metadata("https://idp.example")}}), 200)
	on(409)
	w.Clock.Advance(time.Second)
	w.passed(t, path)
	w.Clock.Advance(time.Second)
	// A test does not cover the name and the place on the page.
	seen(t, b.Post(path, url.Values{"name": {"Company account"}}), 200)
	if c := w.connection(t, path); !c.Tested() || c.Shown || c.Name != "Company account" {
		t.Errorf("after another name: %+v", c)
	}
	details := url.Values{"attribute_email": {"mail"}, "want_signed": {"assertion"}, "tolerance": {"90"}, "name_id_format": {""}, "sign_requests": {"yes"}}
	for name, form := range map[string]url.Values{"/details": details, "/people": {"people": {"yes"}, "vouches": {"yes"}}} {
		w.Clock.Advance(time.Second)
		w.passed(t, path)
		w.Clock.Advance(time.Second)
		seen(t, b.Post(path+name, form), 200)
		if w.connection(t, path).Tested() {
			t.Errorf("after %s it still counts as tested", name)
		}
		idptest.Want(expect.Case(t, "after %s", name), on(409), idptest.Says("federation.untested"))
		seen(t, b.Post(path+name, form), 200) // changes nothing
	}
	w.passed(t, path)
	on(200)
	c := w.connection(t, path)
	expect.Equal(t, "State", c.State, federation.On)
	expect.Equal(t, "Tolerance", c.SAML.Tolerance, 90*time.Second)
	expect.Equal(t, "Email", c.Mapping.Email, "mail")
	if !c.Vouches {
		t.Errorf("turned on: %+v", c)
	}
	for _, role := range []string{"owner", "administrator"} {
		says := idptest.Sentence(t, "mail.federation.turned_on.subject", "Organization", "Alpha Freight", "Connection", "Company account")
		if !slices.ContainsFunc(w.LettersTo(t, role+"@alpha.example"), func(l mailbox.Received) bool { return strings.Contains(l.Subject, says) }) {
			t.Errorf("%s got no letter that it was turned on", role)
		}
	}
	if p := b.Post(path, url.Values{"do": {"remove"}, "confirmed": {"yes"}}); p.Status != 409 {
		t.Errorf("removed while on: %d", p.Status)
	}
	seen(t, b.Post(path, url.Values{"do": {"remove"}}), 409) // what would be refused is not asked about
	asked := b.Post(path, url.Values{"do": {"off"}})
	idptest.Want(t, asked, idptest.Says("console.confirm.turn_off", "Name", "Company account"), idptest.Says("console.confirm.linked", "Count", 0))
	if w.connection(t, path).State != federation.On {
		t.Error("turned off before anybody was asked")
	}
	seen(t, presses(t, asked), 200)
	p := seen(t, presses(t, b.Post(path, url.Values{"do": {"remove"}})), 200)
	if p.URL.Path != singleSignOn || !p.Says(idptest.Sentence(t, "console.sso.removed")) {
		t.Errorf("removed, and at %s: %s", p.URL, p.Text())
	}
	for _, action := range []string{"created", "changed", "turned_on", "turned_off", "removed"} {
		if len(w.events(t, w.alpha.ID, audit.Action("connection."+action))) == 0 {
			t.Errorf("connection.%s is not in the audit log", action)
		}
	}
}
