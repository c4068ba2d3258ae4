package federation_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/federation/providertest"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

func TestSomebodyWhoIsHereComesInBySAML(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	w.inside(w.enter(w.Browser(t), idp, c, person(ada)), w.org, "Ada")
	// The second time they are known by the subject, whatever address the provider gives now.
	u := person(ada)
	u.Attributes["email"] = []string{"other@elsewhere.example"}
	w.inside(w.enter(w.Browser(t), idp, c, u), w.org, "Ada")
}

func TestAnAddressOfAProvenDomainLeadsToItsProvider(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	b := w.Browser(t)
	p := b.Get("/sign-in").Form("main").Fill("email", "new@alpha.example").Submit("")
	w.inside(w.answer(b, idp, c, toProvider(t, p), person("new@alpha.example")), w.org, "Ada Lovelace")
	if p := w.Browser(t).Get("/sign-in").Form("main").Fill("email", "new@beta.example").Fill("password", "x").Submit(""); p.Status != 422 {
		t.Errorf("another domain: %d %s", p.Status, p.Text())
	}
}

func TestComingInByOpenIDConnect(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	draft := w.draft(w.org, federation.OIDC)
	provider := w.honest(map[string]map[string]any{"sub-ada": {"email": ada, "email_verified": true, "name": "Ada L."}}, draft)
	w.allow(provider.Host())
	c := w.oidcAt(draft, provider.Issuer, "parvis-0")
	b, there := w.Browser(t), providertest.NewBrowser(t)
	query := there.Visit(t, w.begin(b, c), w.URL, "sub-ada")
	address := "/federation/" + c.ID + "/callback?" + query.Encode()
	w.inside(b.Get(address), w.org, "Ada")
	if p := b.Get(address); p.Status != 403 {
		t.Errorf("the same answer again: %d %s", p.Status, p.URL)
	}
}

func TestWhoIsMadeIsAMemberWithTheMappedRoleAndNeverAnOwner(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates, func(c *federation.Connection) error {
		c.Mapping.Roles = []federation.GroupRole{{Group: "admins", Role: directory.Administrator}, {Group: "desk", Role: directory.Helpdesk}}
		return nil
	})
	// An owner's role in a mapping makes no owner, however it got into the row.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update connections set mapping = $1 where org_id = $2 and id = $3`,
			`{"email":"email","name":"name","groups":"groups","roles":[{"group":"owners","role":"owner"},{"group":"admins","role":"administrator"},{"group":"desk","role":"helpdesk"}]}`,
			string(c.OrgID), c.ID)
		return err
	})
	for _, made := range []struct {
		email, name, groups string
		want                directory.Role
	}{
		{"plain@alpha.example", "Plain", "", directory.Member},
		{"unknown@alpha.example", "Unknown", "Admins", directory.Member}, // another group than admins
		{"chief@alpha.example", "Chief", "owners", directory.Member},
		{"admin@alpha.example", "Admin", "admins", directory.Administrator},
		{"desk@alpha.example", "", "desk", directory.Helpdesk},
	} {
		u := person(made.email, "name", made.name, "groups", made.groups)
		name := made.name
		if name == "" {
			name = "desk" // the local part
		}
		w.inside(w.enter(w.Browser(t), idp, c, u), w.org, name)
		if got := w.user(w.org, made.email); got.Role != made.want || got.Name != name {
			t.Errorf("%s is %s, %s", made.email, got.Role, got.Name)
		}
	}

	// At the next sign-in the groups count again for a person the connection created.
	w.inside(w.enter(w.Browser(t), idp, c, person("admin@alpha.example", "groups", "desk")), w.org, "Admin")
	if got := w.user(w.org, "admin@alpha.example"); got.Role != directory.Helpdesk {
		t.Errorf("the role did not follow the groups: %s", got.Role)
	}
	// A person who was here before keeps the role that an administrator gave.
	w.Join(t, w.org, ada, "Ada", directory.Auditor)
	for range 2 {
		w.inside(w.enter(w.Browser(t), idp, c, person(ada, "groups", "admins")), w.org, "Ada")
	}
	if got := w.user(w.org, ada); got.Role != directory.Auditor {
		t.Errorf("the mapping changed whom it did not make: %s", got.Role)
	}
	// And an owner stays one.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set role = 'owner' where org_id = $1 and email_key = $2`, string(w.org.ID), "admin@alpha.example")
		return err
	})
	w.inside(w.enter(w.Browser(t), idp, c, person("admin@alpha.example", "groups", "admins")), w.org, "Admin")
	if got := w.user(w.org, "admin@alpha.example"); got.Role != directory.Owner {
		t.Errorf("a mapping unmade an owner: %s", got.Role)
	}
}

func TestOddNamesOfAProviderKeepNobodyOut(t *testing.T) {
	w := start(t)
	i := w.issuer(nil)
	w.allow(i.host())
	c := w.oidcConnection(w.org, i, creates)
	for n, name := range []any{strings.Repeat("x", 5000), "\x00\x07", "\u202eeve", "  ", 7, []string{"a", "b"}, "<script>alert(1)</script>"} {
		claims := claimsOf("odd-"+string(rune('a'+n)), "odd"+string(rune('a'+n))+"@alpha.example")
		claims["name"] = name
		p := w.enterOIDC(w.Browser(t), i, c, claims)
		if p.URL.Path != "/o/alpha/home" || strings.Contains(p.Body, "<script>alert") {
			t.Errorf("%q: %d %s %s", name, p.Status, p.URL, p.Text())
		}
	}
}

func TestAnInvitationIsAcceptedByAProvider(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	invite := func(email string, role directory.Role) string { return w.Invite(t, w.org, email, "", role) }
	lead := func(b *idptest.Browser, path string) string {
		return toProvider(t, b.Get(path).Form("ways").Check("connection", c.ID).Submit(""))
	}

	// Even with an address of an unproven domain, the invitation vouches for the person.
	b := w.Browser(t)
	path := invite("guest@elsewhere.example", directory.Administrator)
	w.inside(w.answer(b, idp, c, lead(b, path), person("Guest@elsewhere.example")), w.org, "Ada Lovelace")
	if got := w.user(w.org, "guest@elsewhere.example"); got.Role != directory.Administrator {
		t.Errorf("the invited role is %s", got.Role)
	}
	if p := w.Browser(t).Get(path); p.Status != 410 {
		t.Errorf("the used invitation: %d %s", p.Status, p.Text())
	}

	// If the provider gives no name, the invited one is used.
	path = w.Invite(t, w.org, "quiet@elsewhere.example", "Grace", directory.Member)
	b = w.Browser(t)
	w.inside(w.answer(b, idp, c, lead(b, path), person("quiet@elsewhere.example", "name", "")), w.org, "Grace")

	// If the address is another one, both are shown, and only a form goes on.
	b = w.Browser(t)
	p := w.answer(b, idp, c, lead(b, invite("work@elsewhere.example", directory.Member)), person("home@private.example"))
	idptest.Want(t, p, idptest.Status(200), idptest.Shows("work@elsewhere.example"), idptest.Shows("home@private.example"))
	if !strings.Contains(p.URL.Path, "/confirm/") {
		t.Fatalf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	w.outside(b, w.org)
	other := w.Browser(t)
	other.Get("/sign-in")
	if p := other.Get(p.URL.Path); p.Status != 410 {
		t.Errorf("another browser reads the confirmation: %d %s", p.Status, p.Text())
	}
	if p := other.Post(p.URL.Path, nil); p.Status != 410 {
		t.Errorf("another browser confirms: %d %s", p.Status, p.Text())
	}
	w.inside(p.Form("main").Submit(""), w.org, "Ada Lovelace")
	if p := b.Post(p.URL.Path, nil); p.Status != 410 {
		t.Errorf("confirmed twice: %d %s", p.Status, p.Text())
	}
	w.user(w.org, "work@elsewhere.example")

	// The invitation is used, withdrawn or ended between the request and the answer.
	b = w.Browser(t)
	path = invite("late@elsewhere.example", directory.Member)
	address := lead(b, path)
	w.Browser(t).Get(path).Form("main").Fill("name", "Late").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	w.refused(b, w.answer(b, idp, c, address, person("late@elsewhere.example")), c, "invitation")
}

func TestAnInvitationByTwoProvidersAtOnceMakesOneUser(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	path := w.Invite(t, w.org, "guest@elsewhere.example", "", directory.Member)
	var browsers []*idptest.Browser
	var forms []samltest.Form
	for n := range 4 {
		b := w.Browser(t)
		u := person("guest@elsewhere.example")
		u.NameID = "subject " + string(rune('a'+n))
		forms = append(forms, w.respond(idp, c, toProvider(t, b.Get(path).Form("ways").Check("connection", c.ID).Submit("")), u))
		browsers = append(browsers, b)
	}
	in := w.together(len(browsers), func(n int) bool { return w.post(browsers[n], forms[n]).URL.Path == "/o/alpha/home" })
	if in != 1 || w.rows(`select count(*) from users where org_id = $1`, string(w.org.ID)) != 1 {
		t.Errorf("%d came in: %s", in, dbtest.Dump(t, w.DB, "users"))
	}
}

// together does something n times at once, and counts how often it returned true.
func (w *world) together(n int, do func(int) bool) int {
	var mu sync.Mutex
	var group sync.WaitGroup
	var count int
	for i := range n {
		group.Go(func() {
			if do(i) {
				mu.Lock()
				defer mu.Unlock()
				count++
			}
		})
	}
	group.Wait()
	return count
}

// RPO-4: an address counts only if it was verified, in a proven domain, and only the first time.
func TestRPO4AnAddressMatchesNobodyUnlessItIsVerifiedAndItsDomainProven(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Owner)
	w.Join(t, w.org, "bob@elsewhere.example", "Bob", directory.Administrator)
	i := w.issuer(nil)
	w.allow(i.host())
	c := w.oidcConnection(w.org, i, creates)
	for name, said := range map[string]struct {
		email, verified any
		check           string
	}{
		"absent":                   {ada, nil, "email_verified"},
		"false":                    {ada, false, "email_verified"},
		"a text":                   {ada, "true", "email_verified"},
		"a number":                 {ada, 1, "email_verified"},
		"a list":                   {ada, []bool{true}, "email_verified"},
		"of another domain":        {"bob@elsewhere.example", true, "domain"},
		"of a domain below":        {"ada@sub.alpha.example", true, "domain"},
		"of a domain that ends so": {"ada@evilalpha.example", true, "domain"},
		"two at once":              {"ada@alpha.example@evil.example", true, "email"},
		"two at once the other":    {"evil@evil.example@alpha.example", true, "email"},
		"with a comma":             {"evil@evil.example,ada@alpha.example", true, "email"},
		"two in a list":            {[]string{ada, "eve@alpha.example"}, true, "email"},
		"quoted":                   {`"ada@alpha.example "@evil.example`, true, "email"},
		"none":                     {"", true, "email"},
		"with a name":              {"Ada <ada@alpha.example>", true, "email"},
		"with a line":              {"ada@alpha.example\r\nbcc: x", true, "email"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := map[string]any{"sub": "sub of " + name, "email": said.email}
			if said.verified != nil {
				claims["email_verified"] = said.verified
			}
			b := w.Browser(t)
			w.refused(b, w.enterOIDC(b, i, c, claims), c, said.check)
		})
	}
	if n := w.rows(`select count(*) from identities`); n != 0 {
		t.Errorf("%d links were made: %s", n, dbtest.Dump(t, w.DB, "identities"))
	}

	// A known subject stays the same person, even with the owner's address.
	w.inside(w.enterOIDC(w.Browser(t), i, c, claimsOf("eve", "eve@alpha.example")), w.org, "Ada Lovelace")
	claims := claimsOf("eve", ada)
	claims["name"] = "Somebody else"
	w.inside(w.enterOIDC(w.Browser(t), i, c, claims), w.org, "Ada Lovelace")
	if n := w.rows(`select count(*) from identities i join users u on u.org_id = i.org_id and u.id = i.user_id where u.email_key = $1`, ada); n != 0 {
		t.Error("the changed address took over the owner")
	}
}

// RPO-5: a person is identified by connection, issuer and subject together, byte by byte.
func TestRPO5TheSameSubjectElsewhereIsSomebodyElse(t *testing.T) {
	w := start(t)
	beta := w.organization("Beta Labs", "beta")
	w.prove(beta, "beta.example")
	one, two := w.issuer(nil), w.issuer(nil)
	w.allow(one.host(), two.host())
	idp := w.idp()
	first, second := w.oidcConnection(w.org, one, creates), w.oidcConnection(w.org, one, creates)
	other, foreign := w.oidcConnection(w.org, two, creates), w.oidcConnection(beta, one, creates)
	byAddress := w.samlConnection(w.org, idp, creates)
	w.Join(t, w.org, ada, "Ada", directory.Owner)
	owner := w.user(w.org, ada)

	names := 0
	// Each comes first with their own address, and is then known by the subject.
	come := func(org directory.Organization, i *issuer, c federation.Connection, sub any) {
		t.Helper()
		names++
		name := "Person " + string(rune('A'+names))
		claims := claimsOf("", "p"+string(rune('a'+names))+"@"+org.ShortName+".example")
		claims["sub"], claims["name"] = sub, name
		for range 2 {
			w.inside(w.enterOIDC(w.Browser(t), i, c, claims), org, name)
			delete(claims, "email")
		}
	}
	come(w.org, one, first, "same")
	come(w.org, one, second, "same")
	come(w.org, two, other, "same")
	come(beta, one, foreign, "same")
	come(w.org, one, first, "SAME")
	come(w.org, one, first, "same ")
	come(w.org, one, first, "123")
	come(w.org, one, first, "0123")
	come(w.org, one, first, string(owner.ID))
	come(w.org, one, first, ada)
	come(w.org, one, first, strings.Repeat("s", 255))
	saml := person("saml@alpha.example", "name", "By SAML")
	saml.NameID = "same"
	w.inside(w.enter(w.Browser(t), idp, byAddress, saml), w.org, "By SAML")
	if n := w.rows(`select count(distinct user_id) from identities`); n != names+1 {
		t.Errorf("%d people for %d subjects", n, names+1)
	}
	if n := w.rows(`select count(*) from identities where user_id = $1`, string(owner.ID)); n != 0 {
		t.Error("a subject that is the owner's id or address is the owner")
	}
	for _, sub := range []any{123, nil, "", strings.Repeat("s", 256), "é", []string{"same"}} {
		claims := claimsOf("", "none@alpha.example")
		claims["sub"] = sub
		b := w.Browser(t)
		w.refused(b, w.enterOIDC(b, one, first, claims), first, "subject")
	}
	// The same name in another format is another person.
	saml.Format, saml.Attributes = "urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos", map[string][]string{}
	b := w.Browser(t)
	w.refused(b, w.enter(b, idp, byAddress, saml), byAddress, "email")
	// A name of any length is a name.
	saml.NameID, saml.Attributes = strings.Repeat("ü", 512), map[string][]string{"email": {"long@alpha.example"}, "name": {"Long"}}
	w.inside(w.enter(w.Browser(t), idp, byAddress, saml), w.org, "Long")
	saml.NameID = strings.Repeat("x", 1025)
	b = w.Browser(t)
	w.refused(b, w.enter(b, idp, byAddress, saml), byAddress, "name_id")
}

// RPO-8: a deactivated or deleted person does not come back by a provider, though it creates people.
func TestRPO8NobodyIsRevivedByAProvider(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	i := w.issuer(nil)
	w.allow(i.host())
	o := w.oidcConnection(w.org, i, creates)
	do := func(f func(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) error, email string) {
		t.Helper()
		id := w.user(w.org, email).ID
		w.Update(t, func(ctx context.Context, tx *db.Tx) error { return f(ctx, tx, directory.Operator(), w.org.ID, id) })
	}
	for _, email := range []string{"linked@alpha.example", "deleted@alpha.example"} {
		w.inside(w.enter(w.Browser(t), idp, c, person(email)), w.org, "Ada Lovelace")
	}
	signedIn := w.Browser(t)
	w.inside(w.enter(signedIn, idp, c, person("linked@alpha.example")), w.org, "Ada Lovelace")
	w.Join(t, w.org, "native@alpha.example", "Native", directory.Member)
	w.Join(t, w.org, "removed@alpha.example", "Removed", directory.Member)
	half := w.Browser(t)
	address := w.begin(half, c)
	linked := w.user(w.org, "linked@alpha.example").ID
	do(directory.Deactivate, "linked@alpha.example")
	do(directory.Deactivate, "native@alpha.example")
	do(directory.Delete, "deleted@alpha.example")
	do(directory.Delete, "removed@alpha.example")
	w.outside(signedIn, w.org)

	w.refused(half, w.answer(half, idp, c, address, person("linked@alpha.example")), c, "active")
	for _, email := range []string{"linked@alpha.example", "native@alpha.example", "deleted@alpha.example", "removed@alpha.example"} {
		for sub := range 2 { // the earlier subject, and another one
			u := person(email)
			if sub == 1 {
				u.NameID = "another of " + email
			}
			b := w.Browser(t)
			w.refused(b, w.enter(b, idp, c, u), c, "active")
		}
		b := w.Browser(t)
		w.refused(b, w.enterOIDC(b, i, o, claimsOf("sub of "+email, email)), o, "active")
	}
	if n := w.rows(`select count(*) from users where org_id = $1 and deactivated_at is null`, string(w.org.ID)); n != 0 {
		t.Errorf("%d people are active again", n)
	}
	if n := w.rows(`select count(*) from audit_events where org_id = $1 and action = 'signin.refused'`, string(w.org.ID)); n == 0 {
		t.Error("nothing of it in the audit log")
	}

	// Reactivated people are who they were.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Reactivate(ctx, tx, directory.Operator(), w.org.ID, linked)
	})
	w.inside(w.enter(w.Browser(t), idp, c, person("linked@alpha.example")), w.org, "Ada Lovelace")

	// After erasure, the same subject and address are a new person.
	was := w.rows(`select count(*) from identities where org_id = $1`, string(w.org.ID))
	w.Clock.Advance(directory.RestorableFor + time.Hour)
	if err := directory.EraseDeleted(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	if n := w.rows(`select count(*) from identities where org_id = $1`, string(w.org.ID)); n >= was {
		t.Errorf("%d links of %d are left", n, was)
	}
	w.inside(w.enter(w.Browser(t), idp, c, person("deleted@alpha.example", "name", "Newcomer")), w.org, "Newcomer")

	// In a suspended organization nobody comes in.
	b := w.Browser(t)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), w.org.ID)
	})
	if p := b.Get("/federation/" + c.ID + "/callback"); p.Status != 404 {
		t.Errorf("suspended: %d %s", p.Status, p.Text())
	}
	if p := b.CrossPost("/federation/"+c.ID+"/acs", nil); p.Status != 404 {
		t.Errorf("suspended: %d %s", p.Status, p.Text())
	}
}

// A provider of one organization gives the address of every other person.
func TestAHostileProviderReachesNobodyElsewhere(t *testing.T) {
	w := start(t)
	evil := w.organization("Evil Corporation", "evil")
	w.prove(evil, "evil.example")
	beta := w.organization("Beta Labs", "beta")
	w.prove(beta, "beta.example")
	for _, role := range []directory.Role{directory.Owner, directory.Administrator, directory.Member} {
		w.Join(t, w.org, string(role)+"@alpha.example", string(role), role)
		w.Join(t, beta, string(role)+"@beta.example", string(role), role)
	}
	invitation := w.Invite(t, beta, "invited@beta.example", "", directory.Administrator)
	w.Invite(t, w.org, "guest@nowhere.example", "", directory.Owner)
	honest := w.idp()
	theirs := w.samlConnection(w.org, honest)
	w.inside(w.enter(w.Browser(t), honest, theirs, person("member@alpha.example")), w.org, "member")

	// It has the same name and subjects as the honest one.
	hostile := w.idp()
	hostile.Rollover()
	i := w.issuer(map[string]any{})
	w.allow(i.host())
	s, o := w.samlConnection(evil, hostile, creates), w.oidcConnection(evil, i, creates)
	tables := []string{"users", "identities", "invitations", "sessions", "passwords", "upstream_sessions", "organizations", "domains"}
	dump := func() (all string) {
		for _, table := range tables {
			all += table + "\n" + dbtest.Dump(t, w.DB, table) + "\n"
		}
		return all
	}
	before := dump()
	for _, email := range []string{
		"owner@alpha.example", "administrator@alpha.example", "member@alpha.example", "owner@beta.example", "invited@beta.example",
		"guest@nowhere.example", "new@alpha.example", "new@beta.example",
	} {
		b := w.Browser(t)
		w.refused(b, w.enter(b, hostile, s, person(email)), s, "domain")
		b = w.Browser(t)
		w.refused(b, w.enterOIDC(b, i, o, claimsOf("id of "+email, email)), o, "domain")
		for _, org := range []directory.Organization{w.org, beta} {
			w.outside(b, org)
		}
	}
	// Its answer at the other connection's address is signed with its own key.
	b := w.Browser(t)
	address := w.begin(b, theirs)
	w.refused(b, w.answer(b, hostile, theirs, address, person("owner@alpha.example")), theirs, "signature")
	if after := dump(); after != before {
		t.Errorf("something changed:\n%s\nbefore:\n%s", after, before)
	}
	// An invitation to another organization does not lead to this one's providers.
	if p := w.Browser(t).Post(invitation, map[string][]string{"connection": {s.ID}}); p.Status < 400 {
		t.Errorf("an invitation leads to a foreign provider: %d %s", p.Status, p.Text())
	}
	if p := w.Browser(t).Post("/o/beta", map[string][]string{"connection": {s.ID}}); p.Status < 400 {
		t.Errorf("a page leads to a foreign provider: %d %s", p.Status, p.Text())
	}
}
