package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// discovers makes a host an OpenID Connect provider, as far as what it publishes.
func (p *published) discovers() {
	p.text("/.well-known/openid-configuration", fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q,
		"response_types_supported":["code"],"id_token_signing_alg_values_supported":["ES256"],"code_challenge_methods_supported":["S256"]}`,
		p.URL, p.URL+"/authorize", p.URL+"/token", p.URL+"/keys"))
	// RFC 7517 §A.1.
	p.text("/keys", `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}]}`)
}

func client(issuer string, pairs ...string) url.Values {
	form := url.Values{"issuer": {issuer}, "client_id": {"parvis"}, "method": {"client_secret_basic"}, "client_secret": {"a secret of theirs"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// Journeys 7.1: an issuer and a client make a connection; the secret is sealed, shown to
// nobody, in no log and in no other row, and never sent to another issuer.
func TestRPO6AnIssuerIsAskedAndTheSecretKept(t *testing.T) {
	t.Parallel()
	host, other := publish(t), publish(t)
	host.discovers()
	other.discovers()
	w := start(t, host.allowed)
	b := w.alpha.browsers[directory.Administrator]
	path := w.add(t, b, "generic", "oidc", "OpenID")
	p := seen(t, b.Post(path+"/client", client(host.URL)), 200)
	c := w.connection(t, path)
	idptest.Want(t, p, idptest.Says("console.sso.saved"))
	expect.Equal(t, "ClientID", c.OIDC.ClientID, "parvis")
	expect.Equal(t, "Token", c.Found.Provider.Token, host.URL+"/token")
	if !c.Complete() || !c.HasSecret {
		t.Fatalf("%+v: %s", c, p.Text())
	}
	if all := w.rows(t, w.alpha.ID) + p.Body + w.Log.String(); strings.Contains(all, "a secret of theirs") {
		t.Error("the secret shows")
	}
	// Left empty it stays; for another client it is asked for again.
	w.passed(t, path)
	seen(t, b.Post(path+"/client", client(host.URL, "client_secret", "")), 200)
	if c := w.connection(t, path); !c.Tested() || !c.HasSecret {
		t.Errorf("nothing changed and yet: %+v", c)
	}
	idptest.Want(t, seen(t, b.Post(path+"/client", client(host.URL, "client_secret", "", "client_id", "another")), 422),
		idptest.Says("federation.no_secret"))
	w.Clock.Advance(time.Second)
	seen(t, b.Post(path+"/client", client(host.URL, "client_secret", "another secret")), 200)
	if w.connection(t, path).Tested() {
		t.Error("another secret still counts as tested")
	}
	seen(t, b.Post(path+"/client", client(host.URL, "client_secret", "", "method", "private_key_jwt")), 200)
	if c := w.connection(t, path); c.HasSecret || c.OIDC.Method != "private_key_jwt" {
		t.Errorf("without a secret: %+v", c)
	}
	// Documents that lie, that lead to internal addresses, or that are not documents.
	before := w.connection(t, path)
	host.answers["/inside/.well-known/openid-configuration"] = func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://127.0.0.1:1/", http.StatusFound)
	}
	host.text("/liar/.well-known/openid-configuration", `{"issuer":"https://another.example"}`)
	host.text("/page/.well-known/openid-configuration", `<html>`)
	for issuer, says := range map[string]string{
		"": idptest.Sentence(t, "federation.no_issuer"), "http://idp.example": idptest.Sentence(t, "federation.fix.issuer_address"), "https://127.0.0.1": "not public", "https://169.254.169.254": "not public",
		other.URL: idptest.Sentence(t, "federation.fix.issuer_address"), host.URL + "/inside": "leads on", host.URL + "/liar": "Found: https://another.example", host.URL + "/page": idptest.Sentence(t, "federation.fix.discovery"),
		"https://idp.example/?x=1": idptest.Sentence(t, "federation.fix.issuer_address"),
	} {
		p := seen(t, b.Post(path+"/client", client(issuer)), 422)
		idptest.Want(expect.Case(t, "%s", issuer), p, idptest.Shows(says), idptest.ShowsNot("a secret of theirs"))
		if issuer != "" && !strings.Contains(p.Body, issuer) {
			t.Errorf("%s: %s", issuer, p.Text())
		}
	}
	after := w.connection(t, path)
	before.Found.Keys, after.Found.Keys = oidc.Keys{}, oidc.Keys{} // these hold pointers
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("changed to %+v", after)
	}
	// Requests to other hosts are counted.
	var last *idptest.Page
	for range federation.PerConnectionFetch.Free {
		last = b.Post(path+"/client", client(host.URL+"/page"))
	}
	if last.Status != 429 || last.Header.Get("Retry-After") == "" {
		t.Errorf("after many: %d: %s", last.Status, last.Text())
	}
}

// Removing connections and adding them again does not allow more requests to other hosts.
func TestAskingOtherHostsIsCountedForTheOrganization(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	statuses := map[int]int{}
	for range 4 {
		path := w.add(t, b, "generic", "oidc", "OpenID")
		for range federation.PerConnectionFetch.Free - 1 {
			statuses[b.Post(path+"/client", client("https://127.0.0.1")).Status]++
		}
		seen(t, b.Post(path, url.Values{"do": {"remove"}, "confirmed": {"yes"}}), 200)
	}
	if free := directory.PerOrganizationHosts.Free; statuses[422] != free || statuses[429] != 4*(federation.PerConnectionFetch.Free-1)-free {
		t.Errorf("answers by status: %v", statuses)
	}
}

// TEN-6: no mapping gives a group a role that its author could not give a person, and none
// makes owners.
func TestTEN6AMappingGivesNothingAboveItsAuthor(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, by := range []directory.Role{directory.Owner, directory.Administrator} {
		b := w.alpha.browsers[by]
		path := w.add(t, b, "okta", "saml", "Roles")
		for _, role := range []string{"owner", "member", "root", ""} {
			p := seen(t, b.Post(path+"/people", url.Values{"people": {"yes"}, "group[]": {"Staff"}, "role[]": {role}}), 422)
			idptest.Want(expect.Case(t, "%s gives %q", by, role), p, idptest.Says("federation.group_role"))
			if len(w.connection(t, path).Mapping.Roles) != 0 {
				t.Errorf("%s gives %q: %s", by, role, p.Text())
			}
		}
		seen(t, b.Post(path+"/people", url.Values{"people": {"yes"}, "group[]": {"Admins", "", "Desk"}, "role[]": {"administrator", "", "helpdesk"}}), 200)
		if got := w.connection(t, path).Mapping.Roles; !slices.Equal(got, []federation.GroupRole{{Group: "Admins", Role: directory.Administrator}, {Group: "Desk", Role: directory.Helpdesk}}) {
			t.Errorf("saved %v", got)
		}
	}
}

// A certificate is added beside the old one, and the last one cannot be removed.
func TestCertificatesOverlap(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	path := w.add(t, b, "adfs", "saml", "AD FS")
	seen(t, b.Post(path+"/metadata", url.Values{"metadata": {w.metadata("https://idp.example")}}), 200)
	first := fingerprints(w.connection(t, path))[0]
	idptest.Want(t, seen(t, b.Post(path+"/certificates", url.Values{"do": {"remove"}, "fingerprint": {first}}), 409),
		idptest.Says("federation.last_certificate"))
	w.Clock.Advance(time.Minute) // another certificate of the same key
	_, after, _ := strings.Cut(w.metadata("https://idp.example"), "X509Certificate")
	_, after, _ = strings.Cut(after, ">")
	second, _, _ := strings.Cut(after, "<")
	seen(t, b.Post(path+"/certificates", url.Values{"certificate": {second}}), 200)
	idptest.Want(t, seen(t, b.Post(path+"/certificates", url.Values{"certificate": {second}}), 422), idptest.Says("federation.has_certificate"))
	seen(t, b.Post(path+"/certificates", url.Values{"certificate": {"hello"}}), 422)
	if n := len(w.connection(t, path).SAML.Certificates); n != 2 {
		t.Fatalf("%d certificates", n)
	}
	w.Clock.Advance(990 * time.Hour)
	idptest.Want(expect.Case(t, "near the end"), seen(t, w.fresh(t, b, path), 200), idptest.Says("console.sso.certificate_ends"))
	b.Post(path+"/certificates", url.Values{"do": {"remove"}, "fingerprint": {first}})
	if got := fingerprints(w.connection(t, path)); len(got) != 1 || got[0] == first {
		t.Errorf("left: %v", got)
	}
}

func fingerprints(c federation.Connection) (all []string) {
	for _, der := range c.SAML.Certificates {
		all = append(all, saml.Fingerprint(der))
	}
	return all
}

const passkeyRow = `
	insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at)
	values ($1, $2, $3, 'Key', 'AA', 'AA', '{}', $4)`

// fresh opens a page after time has passed, and proves what is asked for.
func (w *world) fresh(t *testing.T, b *idptest.Browser, path string) *idptest.Page {
	t.Helper()
	p := b.Get(path)
	if p.URL.Path == path {
		return p
	}
	if p.URL.Path == "/o/alpha" || strings.HasPrefix(p.URL.Path, "/sign-in/") {
		f := p.Form("main")
		if f.Values.Get("email") == "" {
			f.Fill("email", "owner@alpha.example")
		}
		f.Fill("password", idptest.Password).Submit("")
	}
	return b.Get(path)
}

// Somebody who has a setup link can set up this one connection and nothing else, until it is
// turned on, the link is withdrawn, or it expires.
func TestASetupLinkOpensOneConnection(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	path := w.add(t, b, "okta", "saml", "Okta")
	p := seen(t, b.Post(path+"/link", url.Values{"email": {"it@alpha.example"}, "letter_language": {"fr"}}), 200)
	if !p.Says("on its way") || !p.Says("it@alpha.example") {
		t.Fatal(p.Text())
	}
	link := w.Link(t, "it@alpha.example", "/connection-setup/")
	if l := w.LettersTo(t, "it@alpha.example")[0]; !strings.Contains(l.Subject, "Installer") {
		t.Errorf("the letter is not in French: %s", l.Subject)
	}
	it := w.Browser(t)
	p = seen(t, it.Get(link), 200)
	idptest.Want(t, p, idptest.SaysNot("console.sso.people"))
	idptest.Want(expect.Case(t, "behind the link"), p,
		idptest.Says("federation.label.okta.saml.entity_id"), idptest.ShowsNot("@alpha.example"),
		idptest.NoElement("button", "value", "on"))
	if len(w.events(t, w.alpha.ID, "connection.link_opened")) != 0 {
		t.Error("opening the page counts as using the link")
	}
	token := strings.TrimPrefix(link, "/connection-setup/")
	part := func(name string) string { return "/connection-setup/" + name + "/" + token }
	seen(t, it.Post(part("metadata"), url.Values{"metadata": {w.metadata("https://idp.example")}}), 200)
	seen(t, it.Post(part("details"), url.Values{"want_signed": {"response"}, "tolerance": {"60"}, "name_id_format": {""}}), 200)
	if c := w.connection(t, path); !c.Complete() || c.SAML.WantSigned != "response" {
		t.Errorf("set up: %+v", c)
	}
	opened := w.events(t, w.alpha.ID, "connection.link_opened")
	changed := w.events(t, w.alpha.ID, "connection.changed")
	if len(opened) != 1 || len(changed) != 2 || changed[0].ActorName != "setup link to it@alpha.example" {
		t.Errorf("in the audit log: %+v %+v", opened, changed)
	}
	// Only the technical part: what the link may not do is not there.
	before := w.rows(t, w.alpha.ID)
	for _, form := range []string{"people", "logo", "link"} {
		if p := it.Post(part(form), url.Values{"people": {"yes"}, "creates": {"yes"}}); p.Status != 404 {
			t.Errorf("%s: %d", form, p.Status)
		}
	}
	for _, do := range []string{"on", "remove", "off"} {
		it.Post(link, url.Values{"do": {do}})
	}
	if p := it.Get(path); p.Status == 200 && strings.HasPrefix(p.URL.Path, "/o/alpha/admin") {
		t.Errorf("the console opens: %s", p.URL)
	}
	c := w.connection(t, path)
	if c.State != federation.Draft || strings.Count(w.rows(t, w.alpha.ID), "\n") != strings.Count(before, "\n") {
		t.Errorf("changed: %+v", c)
	}
	// It sees its own tests and nobody else's.
	var id string
	if found, err := w.DB.One(t.Context(), db.Into(&id), `select id from setup_links where org_id = $1`, string(w.alpha.ID)); err != nil || !found {
		t.Fatal(err)
	}
	own, others := secret.NewID("req"), secret.NewID("req")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if err := w.trace(ctx, tx, w.alpha.ID, c.ID, others, "recipient", "usr_aaaaaaaaaaaaaaaaaaaaaaaaaa"); err != nil {
			return err
		}
		return w.trace(ctx, tx, w.alpha.ID, c.ID, own, "audience", id)
	})
	p = seen(t, it.Get(link), 200)
	idptest.Want(t, p, idptest.Says("federation.fix.audience"), idptest.Shows("lin@wei.example"), idptest.SaysNot("federation.fix.recipient"))
	seen(t, it.Get("/connection-setup/tested/"+own), 200)
	// Once the connection is on, nobody changes it from outside: the link ends.
	w.Clock.Advance(time.Second)
	w.passed(t, path)
	seen(t, b.Post(path, url.Values{"do": {"on"}}), 200)
	was := w.connection(t, path)
	if p := it.Post(part("metadata"), url.Values{"metadata": {w.metadata("https://evil.example")}}); p.Status != 404 {
		t.Errorf("once it is on: %d", p.Status)
	}
	if now := w.connection(t, path); fmt.Sprint(now) != fmt.Sprint(was) {
		t.Errorf("changed to %+v", now)
	}
}

func TestASetupLinkEnds(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	path := w.add(t, b, "okta", "saml", "Okta")
	send := func() string {
		t.Helper()
		seen(t, b.Post(path+"/link", url.Values{"email": {"it@alpha.example"}}), 200)
		return w.Link(t, "it@alpha.example", "/connection-setup/")
	}
	first := send()
	second := send()
	it := w.Browser(t)
	dead := func(link string) {
		t.Helper()
		idptest.Want(t, it.Get(link), idptest.Status(404), idptest.Says("federation.link_over"))
		if p := it.Post(link, nil); p.Status != 404 {
			t.Errorf("sent: %d", p.Status)
		}
	}
	dead(first) // one at a time
	seen(t, it.Get(second), 200)
	asked := b.Post(path+"/link", url.Values{"do": {"withdraw"}})
	idptest.Want(t, asked, idptest.Says("console.confirm.withdraw_link", "Email", "it@alpha.example"))
	seen(t, it.Get(second), 200)
	presses(t, asked)
	dead(second)
	it.Post(second, nil)
	refused := func(what, want string) {
		t.Helper()
		var states []string
		for _, e := range w.events(t, w.alpha.ID, "connection.link_refused") {
			states = append(states, fmt.Sprint(e.After["state"]))
			expect.Equal(t, "result", e.Result, audit.Refused)
		}
		slices.Sort(states)
		expect.Equal(t, "dead links that were used, "+what, strings.Join(states, " "), want)
		expect.Equal(t, "events in the neighbour's log", len(w.events(t, w.beta.ID, "connection.link_refused")), 0)
	}
	refused("one of them twice", "withdrawn withdrawn")
	// A link does not outlive the rights of its sender.
	b = w.alpha.browsers[directory.Administrator]
	sender := directory.UserID(w.idOf(t, w.alpha.ID, "users", "administrator@alpha.example"))
	as := func(role directory.Role) {
		t.Helper()
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return directory.ChangeRole(ctx, tx, directory.Operator(), w.alpha.ID, sender, role)
		})
	}
	third := send()
	// Nothing of a suspended organization can be changed until it is resumed.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), w.alpha.ID)
	})
	idptest.Want(t, it.Get(third), idptest.Status(404))
	idptest.Want(t, it.Post(third, nil), idptest.Status(404))
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Resume(ctx, tx, directory.Operator(), w.alpha.ID)
	})
	seen(t, it.Get(third), 200)
	metadata := strings.Replace(third, "/connection-setup/", "/connection-setup/metadata/", 1)
	if p := it.Post(metadata, url.Values{"metadata_address": {"no address"}}); p.Status != 422 {
		t.Fatalf("a form of a link that works: %d %s", p.Status, p.Text())
	}
	as(directory.Helpdesk)
	dead(third)
	if p := it.Post(metadata, url.Values{"metadata_address": {"no address"}}); p.Status != 404 {
		t.Errorf("a form of a lapsed link: %d", p.Status)
	}
	idptest.Want(t, w.alpha.browsers[directory.Owner].Get(path), idptest.Status(200), idptest.Says("console.setup.lapsed"))
	as(directory.Administrator)
	seen(t, it.Get(third), 200)
	// What no person sent ends with the right it was sent by.
	machine := directory.Actor{Kind: directory.KindMachine, OrgID: w.alpha.ID, ID: "app_setup", Name: "Setup", Role: directory.Administrator}
	machine.Again = func(context.Context, db.Reader) (directory.Actor, error) { return machine, nil }
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.SendSetupLink(ctx, tx, machine, w.alpha.Organization, path[strings.LastIndex(path, "/")+1:], "machine@alpha.example", "en")
	})
	sent := w.Link(t, "machine@alpha.example", "/connection-setup/")
	seen(t, it.Get(sent), 200)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if err := federation.EndRight(ctx, tx, w.alpha.ID, "app_other"); err != nil {
			return err
		}
		return federation.EndRight(ctx, tx, w.beta.ID, machine.ID)
	})
	seen(t, it.Get(sent), 200)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return federation.EndRight(ctx, tx, w.alpha.ID, machine.ID)
	})
	dead(sent)
	fourth := send()
	w.Clock.Advance(federation.SetupLinkLifetime)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), w.alpha.ID)
	})
	dead(fourth)
	dead("/connection-setup/" + strings.Repeat("A", 43))
	dead("/connection-setup/x")
	refused("the last one of a suspended organization, and two that never were", "expired void withdrawn withdrawn withdrawn")
	for _, action := range []audit.Action{"connection.link_sent", "connection.link_withdrawn"} {
		if len(w.events(t, w.alpha.ID, action)) == 0 {
			t.Errorf("%s is not in the audit log", action)
		}
	}
}

// Journeys 7.7: by the reference the administrator finds what was wrong, and what to change;
// another organization finds nothing.
func TestAttemptsAreExplained(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, role := range []directory.Role{directory.Owner, directory.Helpdesk} {
		b := w.alpha.browsers[role]
		p := seen(t, b.Get(singleSignOn+"/attempts?q="+w.alpha.attempt), 200)
		idptest.Want(expect.Case(t, "%s", role), p, idptest.Shows("lin@wei.example"), idptest.Says("federation.check.audience"))
		p = seen(t, b.Get(singleSignOn+"/attempts/"+w.alpha.attempt), 200)
		for _, says := range []string{"Expected: us. Found: them.", idptest.Sentence(t, "federation.fix.audience"), idptest.Sentence(t, "federation.check.issuer"), w.alpha.attempt, idptest.Sentence(t, "console.attempts.is_email"), idptest.Sentence(t, "console.attempts.is_unused")} {
			if !p.Says(says) {
				t.Errorf("%s does not read %q: %s", role, says, p.Text())
			}
		}
		if p := b.Get(singleSignOn + "/attempts?q=" + w.beta.attempt); p.Says("lin@wei.example") {
			t.Errorf("%s reads beta's: %s", role, p.Text())
		}
		if p := b.Get(singleSignOn + "/attempts?connection=" + w.beta.connection); p.Status != 400 {
			t.Errorf("%s filters by beta's: %d", role, p.Status)
		}
	}
}

// Journeys 7.5: single sign-on becomes the only way in only after a recent success and with an
// owner who keeps a passkey, and after the page showed who would lose access.
func TestOnlyWayInWantsASuccessAndABreakGlassOwner(t *testing.T) {
	t.Parallel()
	w := start(t, idptest.Named)
	b := w.alpha.browsers[directory.Administrator]
	const only = singleSignOn + "/only"
	path := w.add(t, b, "okta", "saml", "Okta")
	seen(t, b.Post(path+"/metadata", url.Values{"metadata": {w.metadata("https://idp.example")}}), 200)
	w.passed(t, path)
	seen(t, b.Post(path, url.Values{"do": {"on"}}), 200)
	owner, member := directory.UserID(w.alpha.user), w.alpha.browsers[directory.Member]
	confirmed := url.Values{"do": {"on"}, "confirmed": {"yes"}, "break_glass[]": {string(owner)}}
	p := seen(t, b.Get(only), 200)
	idptest.Want(t, p, idptest.Says("console.only.outside", "Count", 5), idptest.Says("console.only.not_recent"))
	seen(t, b.Post(only, confirmed), 409) // without a success
	success := func() {
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return w.trace(ctx, tx, w.alpha.ID, w.connection(t, path).ID, secret.NewID("req"), "", "")
		})
	}
	success()
	idptest.Want(t, seen(t, b.Post(only, confirmed), 422), idptest.Says("federation.no_break_glass"))
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, passkeyRow, string(w.alpha.ID), "psk_aaaaaaaaaaaaaaaaaaaaaaaaaa", string(owner), db.Time(tx.Now()))
		return err
	})
	dbtest.ByHand(t, w.DB)
	seen(t, b.Post(only, url.Values{"do": {"on"}}), 422)                                                       // what would be refused is not asked about
	seen(t, b.Post(only, url.Values{"do": {"on"}, "confirmed": {"yes"}}), 422)                                 // nobody named
	seen(t, b.Post(only, url.Values{"do": {"on"}, "confirmed": {"yes"}, "break_glass[]": {w.beta.user}}), 422) // a neighbour
	w.Clock.Advance(federation.SuccessFresh)
	if p := w.fresh(t, b, only); !p.Says("First test") {
		t.Errorf("a quarter of an hour later: %s", p.Text())
	}
	success()
	asked := b.Post(only, url.Values{"do": {"on"}, "break_glass[]": {string(owner)}})
	if strings.HasPrefix(asked.URL.Path, "/sign-in/") {
		asked = proveAgain(t, asked)
	}
	idptest.Want(t, asked, idptest.Says("console.confirm.only_on"), idptest.Says("console.only.outside", "Count", 5), idptest.Says("console.confirm.only_kept", "Names", "Person owner of alpha"))
	p = seen(t, presses(t, asked), 200)
	org, err := directory.OrganizationByID(t.Context(), w.DB, w.alpha.ID)
	idptest.Want(t, p, idptest.Says("console.only.turned_on"))
	if err != nil || !org.FederatedOnly() {
		t.Fatalf("not the only way in: %v %s", err, p.Text())
	}
	if p := member.Get("/o/alpha/home"); isHome(p) {
		t.Error("a member who came in by a password is still in")
	}
	if p := w.alpha.browsers[directory.Owner].Get("/o/alpha/home"); !isHome(p) {
		t.Errorf("the break-glass owner is out, at %s", p.URL)
	}
	idptest.Want(expect.Case(t, "the last way in is turned off"), b.Post(path, url.Values{"do": {"off"}}),
		idptest.Status(409), idptest.Says("federation.only_way"))
	p = presses(t, b.Post(only, url.Values{"do": {"off"}}))
	if org, err := directory.OrganizationByID(t.Context(), w.DB, w.alpha.ID); err != nil || org.FederatedOnly() || !p.Says("open again") {
		t.Errorf("still the only way in: %v %s", err, p.Text())
	}
}

// Pasted metadata may be as long as a file of it.
func TestPastedMetadataMayBeAsLongAsAFile(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	path := w.add(t, b, "okta", "saml", "Okta")
	long := w.metadata("https://idp.example") + strings.Repeat("\n", 200<<10)
	idptest.Want(t, b.Upload(path+"/metadata", "metadata_file", nil, url.Values{"metadata": {long}}), idptest.Status(200), idptest.Says("console.sso.saved"))
	if c := w.connection(t, path); c.SAML.EntityID != "https://idp.example/metadata" {
		t.Errorf("%+v", c.SAML)
	}
}
