package federation_test

import (
	"context"
	"net/url"
	"slices"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

// drafted makes a SAML connection that is not on.
func (w *world) drafted(idp *samltest.IdP, change ...federation.Change) federation.Connection {
	w.t.Helper()
	c := w.samlConnection(w.org, idp, change...)
	w.turnOff(c)
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update connections set tested_at = null, state = 'draft' where org_id = $1 and id = $2`, string(c.OrgID), c.ID)
		return err
	})
	return c
}

// try tests a connection as an administrator does, and returns the result page.
func (w *world) try(b *idptest.Browser, idp *samltest.IdP, c federation.Connection, u samltest.User) *idptest.Page {
	w.t.Helper()
	p := b.Post("/o/alpha/admin/connections/"+c.ID, url.Values{"do": {"test"}})
	return w.answer(b, idp, c, toProvider(w.t, p), u)
}

func (w *world) isTested(c federation.Connection) bool {
	w.t.Helper()
	now, err := federation.ConnectionOf(w.t.Context(), w.DB, directory.Operator(), c.OrgID, c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return now.Tested()
}

// A test includes the admission: it fails if the person could not come in.
func TestATestFailsWhereNobodyCouldComeIn(t *testing.T) {
	w := start(t)
	b := w.Join(t, w.org, ada, "Ada", directory.Owner)
	idp := w.idp()
	const stranger = "new@alpha.example"
	for _, m := range []struct {
		name, check string
		here        federation.Change
		user        samltest.User
		change      func(*samltest.User)
	}{
		{name: "no address", check: "email", user: person(ada), change: func(u *samltest.User) { delete(u.Attributes, "email") }},
		{name: "a passing identifier", check: "lasting_subject", user: person(ada), change: func(u *samltest.User) { u.Format = saml.FormatTransient }},
		{name: "nobody vouches", check: "email_verified", user: person(ada), here: func(c *federation.Connection) error {
			c.Vouches = false
			return nil
		}},
		{name: "an unproven domain", check: "domain", user: person("ada@elsewhere.example"), here: creates},
		{name: "an unknown person where nobody is made", check: "known", user: person(stranger)},
	} {
		t.Run(m.name, func(t *testing.T) {
			w := &world{w.Server, t, w.dns, w.org}
			var here []federation.Change
			if m.here != nil {
				here = append(here, m.here)
			}
			c := w.drafted(idp, here...)
			if m.change != nil {
				m.change(&m.user)
			}
			p := idptest.Want(t, w.try(b, idp, c, m.user), idptest.Status(200), idptest.Says("console.attempts.test_refused"),
				idptest.Says("federation.check."+m.check), idptest.Says("federation.fix."+m.check), idptest.SaysNot("console.attempts.would"), idptest.Shows("id of "))
			if trace := w.traceOf(w.org, p); trace.Refused != m.check || trace.Rehearsal.Subject != m.user.NameID {
				t.Errorf("%+v", trace)
			}
			if w.isTested(c) {
				t.Error("the test counts")
			}
			if p := b.Post("/o/alpha/admin/connections/"+c.ID, url.Values{"do": {"on"}}); p.Status != 409 {
				t.Errorf("it is turned on: %d %s", p.Status, p.Text())
			}
		})
	}
}

// A test says as which user the person would come in, and leaves nothing of that behind.
func TestATestRehearsesTheAdmission(t *testing.T) {
	w := start(t)
	b := w.Join(t, w.org, ada, "Ada", directory.Owner)
	w.Invite(t, w.org, "guest@alpha.example", "Grace", directory.Helpdesk)
	idp := w.idp()
	before := func(c *federation.Connection) error {
		c.Mapping.Groups, c.Mapping.Roles = "groups", []federation.GroupRole{{Group: "Desk", Role: directory.Helpdesk}}
		return creates(c)
	}
	c := w.drafted(idp, before)
	tables := []string{"users", "identities", "invitations", "audit_events", "letters", "sessions"}
	dump := func() (all string) {
		for _, table := range tables {
			all += dbtest.Dump(t, w.DB, table)
		}
		return all
	}
	was := dump()
	for _, m := range []struct {
		user            samltest.User
		name, role, how string
	}{
		{user: person(ada), name: "Ada", role: "console.role.owner", how: "console.attempts.known"},
		{user: person("guest@alpha.example", "name", ""), name: "Grace", role: "console.role.helpdesk", how: "console.attempts.invited"},
		{user: person("new@alpha.example"), name: "Ada Lovelace", role: "console.role.member", how: "console.attempts.new"},
		{user: person("desk@alpha.example", "groups", "Desk"), name: "Ada Lovelace", role: "console.role.helpdesk", how: "console.attempts.new"},
	} {
		email := m.user.Attributes["email"][0]
		p := w.try(b, idp, c, m.user)
		idptest.Want(t, p, idptest.Status(200), idptest.Says("console.attempts.passed"), idptest.Says(m.role), idptest.Says(m.how),
			idptest.Says("console.attempts.would", "Name", m.name, "Email", email, "Role", idptest.Sentence(t, m.role), "How", idptest.Sentence(t, m.how)), idptest.Shows(m.user.NameID), idptest.Says("console.attempts.is_identity"))
		if now := dump(); now != was {
			t.Fatalf("the test of %s left something behind:\n%s\nbefore:\n%s", email, now, was)
		}
	}
	if !w.isTested(c) {
		t.Fatal("the test does not count")
	}

	// Once a person has come in, the next test knows them by their identity.
	c = w.turnOn(c)
	w.inside(w.enter(w.Browser(t), idp, c, person("new@alpha.example")), w.org, "Ada Lovelace")
	u := person("moved@elsewhere.example")
	u.NameID = person("new@alpha.example").NameID
	idptest.Want(t, w.try(b, idp, c, u), idptest.Says("console.attempts.passed"), idptest.Says("console.attempts.linked"), idptest.Shows("new@alpha.example"))
}

// For any other product the usual names are tried.
func TestAnotherProductIsReadByTheUsualNames(t *testing.T) {
	w := start(t)
	b := w.Join(t, w.org, ada, "Ada", directory.Owner)
	idp := w.idp()
	c := w.drafted(idp, creates)
	if c.Mapping.Email+c.Mapping.Name+c.Mapping.Groups != "" {
		t.Errorf("the mapping is %+v", c.Mapping)
	}
	for name, display := range map[string]string{
		"urn:oid:0.9.2342.19200300.100.1.3":                                  "urn:oid:2.16.840.1.113730.3.1.241",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress": "http://schemas.microsoft.com/identity/claims/displayname",
		"mail": "cn",
	} {
		u := samltest.User{NameID: "id of " + name, Format: persistent, Attributes: map[string][]string{name: {"new@alpha.example"}, display: {"Lin Wei"}}}
		idptest.Want(t, w.try(b, idp, c, u), idptest.Says("console.attempts.passed"), idptest.Says("console.attempts.would", "Name", "Lin Wei", "Email", "new@alpha.example", "Role", idptest.Sentence(t, "console.role.member"), "How", idptest.Sentence(t, "console.attempts.new")))
	}
	// The NameID can be the address as well.
	u := samltest.User{NameID: "new@alpha.example", Format: saml.FormatEmailAddress}
	idptest.Want(t, w.try(b, idp, c, u), idptest.Says("console.attempts.is_identity_and_email"), idptest.Says("console.attempts.new"))
}

// What is shown of a successful sign-in has no unexplained repetition, and nothing that looks wrong.
func TestRowsOfATraceAreReadable(t *testing.T) {
	w := start(t)
	b := w.Join(t, w.org, ada, "Ada", directory.Owner)
	idp := w.idp()
	saml := w.drafted(idp, creates)
	i := w.issuer(nil)
	i.announce = map[string]any{"userinfo_endpoint": i.URL + "/userinfo"}
	i.userInfo = map[string]any{"sub": "ada", "groups": []string{"Desk"}}
	w.allow(i.host())
	oidc := w.oidcConnection(w.org, i, mapsGroups)
	p := w.try(b, idp, saml, person(ada))
	traces := []federation.Trace{w.traceOf(w.org, p)}
	idptest.Want(t, p, idptest.Shows("SubjectConfirmationData"), idptest.Shows("Conditions"))
	w.Clock.Advance(time.Second)
	w.Join(t, w.org, "bea@alpha.example", "Bea", directory.Member)
	i.userInfo = map[string]any{"sub": "bea", "groups": []string{"Desk"}}
	w.inside(w.enterOIDC(w.Browser(t), i, oidc, claimsOf("bea", "bea@alpha.example")), w.org, "Bea")
	traces = append(traces, w.latest())
	for _, trace := range traces {
		seen := map[string]bool{}
		for _, c := range trace.Checks {
			if key := c.Name + " " + c.About; seen[key] {
				t.Errorf("%s is asked twice of the same", key)
			} else {
				seen[key] = true
			}
			if !c.OK || slices.Contains([]string{"none", "draft", "crit"}, c.Found) {
				t.Errorf("reads oddly: %+v", c)
			}
		}
	}
}

// A missing value is called missing, with what to add.
func TestWhatIsMissingIsSaid(t *testing.T) {
	w := start(t)
	b := w.Join(t, w.org, ada, "Ada", directory.Owner)
	idp := w.idp()
	c := w.drafted(idp)
	for name, m := range map[string]struct {
		change func(*crewjam.Assertion)
		check  string
		advice string
		about  string
	}{
		"NotBefore": {func(a *crewjam.Assertion) { a.Conditions.NotBefore = time.Time{} }, "not_before", "federation.fix.not_before.missing", "Conditions"},
		"NotOnOrAfter": {func(a *crewjam.Assertion) {
			a.Subject.SubjectConfirmations[0].SubjectConfirmationData.NotOnOrAfter = time.Time{}
		}, "not_on_or_after", "federation.fix.not_on_or_after.missing", "SubjectConfirmationData"},
		"NameID": {func(a *crewjam.Assertion) { a.Subject.NameID = nil }, "name_id", "federation.fix.name_id.missing", ""},
	} {
		u := person(ada)
		u.Change = m.change
		p := w.try(b, idp, c, u)
		if got := w.traceOf(w.org, p).Refused; got != m.check {
			t.Errorf("without %s it is refused by %s, want %s", name, got, m.check)
		}
		idptest.Want(t, p, idptest.Says(m.advice), idptest.Shows(m.about))
	}
	// The response around the assertion is not signed, so it can be changed on the way.
	p := b.Post("/o/alpha/admin/connections/"+c.ID, url.Values{"do": {"test"}})
	form := replaced(`(?s)<saml:Issuer[^>]*>[^<]*</saml:Issuer>(<ds:Signature|<Signature|<samlp:Status)`, `$1`)(w.respond(idp, c, toProvider(t, p), person(ada)))
	idptest.Want(t, w.post(b, form), idptest.Says("federation.check.issuer"), idptest.Says("federation.fix.issuer.saml.missing"))
}

// Journeys 7.7: attempts are found by person, address and connection.
func TestAttemptsAreSearched(t *testing.T) {
	w := start(t)
	b := w.Join(t, w.org, ada, "Ada", directory.Owner)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	w.inside(w.enter(w.Browser(t), idp, c, person("lin@alpha.example", "name", "Lín Wei")), w.org, "Lín Wei")
	w.Clock.Advance(time.Second)
	stranger := w.Browser(t)
	w.refused(stranger, w.enter(stranger, idp, c, person("Mallory@elsewhere.example")), c, "domain")
	found := func(search string, wants ...string) {
		t.Helper()
		p := b.Get("/o/alpha/admin/single-sign-on/attempts?q=" + url.QueryEscape(search))
		for _, address := range []string{"lin@alpha.example", "Mallory@elsewhere.example"} {
			check := idptest.ShowsNot(address)
			for _, want := range wants {
				if want == address {
					check = idptest.Shows(address)
				}
			}
			idptest.Want(t, p, idptest.Status(200), check)
		}
	}
	found("LIN@alpha", "lin@alpha.example")
	found("lín w", "lin@alpha.example")
	found("mallory", "Mallory@elsewhere.example")
	found("door of alpha", "lin@alpha.example", "Mallory@elsewhere.example")
	found("%")
	found("nobody at all")
	found(w.latest().ID, w.latest().Who)
}
