package federation_test

import (
	"context"
	"net/url"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

// drafted is a SAML connection that is not on.
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

// try tests a connection as an administrator does, and is what came of it.
func (w *world) try(b *idptest.Browser, idp *samltest.IdP, c federation.Connection, u samltest.User) *idptest.Page {
	w.t.Helper()
	p := b.Post("/o/alpha/admin/connections/"+c.ID, url.Values{"do": {"test"}})
	return w.answer(b, idp, c, toProvider(w.t, p), u)
}

func (w *world) isTested(c federation.Connection) bool {
	w.t.Helper()
	now, err := federation.ConnectionOf(w.t.Context(), w.DB, c.OrgID, c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return now.Tested()
}

// A test ends with the admission: it fails where the person could not come in.
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
				idptest.Says("federation.check."+m.check), idptest.Says("federation.fix."+m.check), idptest.ShowsNot("Would come in"), idptest.Shows("id of "))
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

// A test says as whom the person would come in, and leaves nothing of that behind.
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
			idptest.Shows("Would come in as "+m.name+" ("+email+")"), idptest.Shows(m.user.NameID), idptest.Says("console.attempts.is_identity"))
		if now := dump(); now != was {
			t.Fatalf("the test of %s left something behind:\n%s\nbefore:\n%s", email, now, was)
		}
	}
	if !w.isTested(c) {
		t.Fatal("the test does not count")
	}

	// Once somebody came in, the next test knows them by their identity.
	c = w.turnOn(c)
	w.inside(w.enter(w.Browser(t), idp, c, person("new@alpha.example")), w.org, "Ada Lovelace")
	u := person("moved@elsewhere.example")
	u.NameID = person("new@alpha.example").NameID
	idptest.Want(t, w.try(b, idp, c, u), idptest.Says("console.attempts.passed"), idptest.Says("console.attempts.linked"), idptest.Shows("new@alpha.example"))
}

// Of another product nobody knows the names, so the usual ones are tried.
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
		idptest.Want(t, w.try(b, idp, c, u), idptest.Says("console.attempts.passed"), idptest.Shows("Would come in as Lin Wei (new@alpha.example)"))
	}
	// The NameID can be the address as well.
	u := samltest.User{NameID: "new@alpha.example", Format: saml.FormatEmailAddress}
	idptest.Want(t, w.try(b, idp, c, u), idptest.Says("console.attempts.is_identity_and_email"), idptest.Says("console.attempts.new"))
}
