package federation_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

// named is a person with another identifier than person gives.
func named(id, email string) samltest.User {
	u := person(email)
	u.NameID = id
	return u
}

// approve presses the approval button of an attempt.
func (w *world) approve(b *idptest.Browser, trace federation.Trace) *idptest.Page {
	w.t.Helper()
	return b.Post("/o/alpha/admin/single-sign-on/attempts/"+trace.ID, url.Values{"confirmed": {"yes"}})
}

// A second subject with an address that is linked already, as after a person left, waits until an
// administrator approves it.
func TestASecondSubjectOfAConnectionWaitsForApproval(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	admin := w.Join(t, w.org, anton, "Anton", directory.Administrator)
	helper := w.Join(t, w.org, "helper@alpha.example", "Hal", directory.Helpdesk)
	w.inside(w.enter(w.Browser(t), idp, c, person(ada)), w.org, "Ada")
	if n := w.lettersAbout(ada, "mail.federation.linked.subject"); n != 1 {
		t.Errorf("%d letters about the first link, want 1", n)
	}
	b := w.Browser(t)
	trace := w.refused(b, w.enter(b, idp, c, named("somebody else", ada)), c, "second_subject")
	if n := w.lettersAbout(ada, "mail.federation.linked.subject"); n != 1 {
		t.Errorf("a letter about a link that is none")
	}
	page := "/o/alpha/admin/single-sign-on/attempts/" + trace.ID
	idptest.Want(t, helper.Get(page), idptest.Status(200), idptest.Says("console.links.above"))
	idptest.Want(t, w.approve(helper, trace), idptest.Status(403))
	other := w.organization("Beta Works", "beta")
	stranger := w.Join(t, other, "owner@beta.example", "Bea", directory.Owner)
	idptest.Want(t, stranger.Post("/o/beta/admin/single-sign-on/attempts/"+trace.ID, nil), idptest.Status(404))
	b = w.Browser(t)
	w.refused(b, w.enter(b, idp, c, named("somebody else", ada)), c, "second_subject")

	idptest.Want(t, admin.Get(page).Form("main").Submit("").Form("main").Submit(""), idptest.Status(200), idptest.Says("console.links.approved"), idptest.SaysNot("console.links.wanted"))
	w.inside(w.enter(w.Browser(t), idp, c, named("somebody else", ada)), w.org, "Ada")
	w.inside(w.enter(w.Browser(t), idp, c, person(ada)), w.org, "Ada")
	if n := w.lettersAbout(ada, "mail.federation.linked.subject"); n != 2 {
		t.Errorf("%d letters after the approval, want 2", n)
	}
	idptest.Want(t, w.approve(admin, trace), idptest.Status(404))
}

// Nobody becomes an owner or an administrator by a provider's word: they prove a new link by an
// earlier credential, or are approved by somebody who governs them.
func TestOwnersAndAdministratorsProveANewLink(t *testing.T) {
	w := start(t)
	idp, later := w.idp(), samltest.New("https://later.example", w.Clock.Now)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	admin := w.Join(t, w.org, anton, "Anton", directory.Administrator)
	c := w.samlConnection(w.org, idp)

	// The attacker who runs the provider is asked for Olga's credential, and gets no further.
	b := w.Browser(t)
	p := w.enter(b, idp, c, person(owner))
	idptest.Want(t, p, idptest.Status(200), idptest.Says("federation.prove_title", "Name", "Olga"))
	idptest.Want(t, p.Form("main").Submit(""), idptest.Status(200))
	w.outside(b, w.org)
	// A session of another person does not help either.
	mallory := w.Join(t, w.org, "mallory@alpha.example", "Mallory", directory.Member)
	p = w.answer(mallory, idp, c, toProvider(t, mallory.Post("/o/alpha", url.Values{"connection": {c.ID}})), person(owner))
	idptest.Want(t, p, idptest.Says("federation.prove_title", "Name", "Olga"))
	mallory.Post(p.URL.Path, nil)
	if n := w.rows(`select count(*) from identities where user_id = $1`, string(w.user(w.org, owner).ID)); n != 0 {
		t.Fatal("the owner is linked without proof")
	}
	// An administrator cannot approve an owner's link.
	trace := w.newest("own_proof")
	idptest.Want(t, w.approve(admin, trace), idptest.Status(403))

	// Olga proves it by her password.
	b = w.Browser(t)
	p = w.enter(b, idp, c, person(owner))
	p = p.Form("main").Submit("")
	p = p.Form("main").Fill("email", owner).Fill("password", idptest.Password).Submit("")
	idptest.Want(t, p, idptest.Says("federation.link_what", "Name", "Olga", "Connection", c.Name), idptest.Says("federation.link_owner", "Connection", c.Name, "Issuer", idp.EntityID()))
	w.inside(p.Form("main").Submit(""), w.org, "Olga")
	w.inside(w.enter(w.Browser(t), idp, c, person(owner)), w.org, "Olga")
	if n := w.lettersAbout(owner, "mail.federation.linked.subject"); n != 1 {
		t.Errorf("%d letters, want 1", n)
	}

	// She changes to another provider by the link that she has.
	second := w.samlConnection(w.org, later)
	b = w.Browser(t)
	p = w.enter(b, later, second, person(owner)).Form("main").Submit("")
	address := toProvider(t, p.Form("ways").Check("connection", c.ID).Submit(""))
	p = w.answer(b, idp, c, address, person(owner))
	idptest.Want(t, p, idptest.Says("federation.link_what", "Name", "Olga", "Connection", second.Name))
	w.inside(p.Form("main").Submit(""), w.org, "Olga")

	// An old proof does not count, even though the browser is signed in.
	w.Clock.Advance(11 * time.Minute)
	p = w.answer(admin, idp, c, toProvider(t, admin.Post("/o/alpha", url.Values{"connection": {c.ID}})), person(anton))
	idptest.Want(t, p, idptest.Says("federation.prove_title", "Name", "Anton"))
	// An owner approves it.
	olga := w.Browser(t)
	w.inside(password(olga, "/o/alpha", owner, idptest.Password), w.org, "Olga")
	idptest.Want(t, w.approve(olga, w.newest("own_proof")), idptest.Status(200), idptest.Says("console.links.approved"))
	w.inside(w.enter(w.Browser(t), idp, c, person(anton)), w.org, "Anton")
}

// newest returns the newest attempt that a check refused.
func (w *world) newest(refused string) federation.Trace {
	w.t.Helper()
	all, err := federation.TracesOf(w.t.Context(), w.DB, federation.TraceQuery{OrgID: w.org.ID, Most: 50})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, one := range all {
		if one.Refused == refused {
			return one
		}
	}
	w.t.Fatalf("no attempt was refused by %s: %s", refused, w.traces())
	return federation.Trace{}
}

// A person invited to more than membership accepts only by the letter's link, since a provider could
// give the address of anybody who was invited.
func TestAProviderAcceptsNoOwnersInvitation(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	invitation := w.Invite(t, w.org, owner, "Olga", directory.Owner)
	b := w.Browser(t)
	w.refused(b, w.enter(b, idp, c, person(owner)), c, "letter")
	b = w.Browser(t)
	address := toProvider(t, b.Get(invitation).Form("ways").Check("connection", c.ID).Submit(""))
	w.inside(w.answer(b, idp, c, address, person(owner)), w.org, "Ada Lovelace")
	w.Invite(t, w.org, ada, "", directory.Member)
	w.inside(w.enter(w.Browser(t), idp, c, person(ada)), w.org, "Ada Lovelace")
	if n := w.lettersAbout(ada, "mail.federation.linked.subject"); n != 0 {
		t.Error("somebody who was just created got a letter about a link")
	}
}

// The person, and administrators on the person's page and at the connection, see and undo links.
func TestLinksAreListedAndUndone(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	admin := w.Join(t, w.org, anton, "Anton", directory.Administrator)
	adas := w.Join(t, w.org, ada, "Ada", directory.Member)
	const bea = "bea@alpha.example"
	federated := w.Browser(t)
	w.inside(w.enter(federated, idp, c, person(ada)), w.org, "Ada")
	only := w.Browser(t)
	w.inside(w.enter(only, idp, c, person(bea)), w.org, "Ada Lovelace")
	other := w.organization("Beta Works", "beta")
	stranger := w.Join(t, other, "owner@beta.example", "Bea", directory.Owner)

	link := func(email string) (string, federation.Link) {
		t.Helper()
		all, err := federation.LinksOf(t.Context(), w.DB, w.org.ID, w.user(w.org, email).ID)
		if err != nil || len(all) != 1 {
			t.Fatalf("%s has %d links (%v)", email, len(all), err)
		}
		return "/o/alpha/admin/people/" + string(all[0].User.ID), all[0]
	}
	page, l := link(ada)
	// A neighbouring organization reaches none of it, and a member only their own.
	form := url.Values{"link": {l.ID()}, "person": {string(l.User.ID)}}
	for _, path := range []string{"/o/beta/admin/people/" + string(l.User.ID) + "/links", "/o/beta/admin/connections/" + c.ID + "/links"} {
		idptest.Want(t, stranger.Post(path, form), idptest.Status(404))
	}
	idptest.Want(t, stranger.Post("/o/beta/account/security/links", url.Values{"link": {l.ID()}}), idptest.Status(404))
	idptest.Want(t, only.Post("/o/alpha/account/security/links", url.Values{"link": {l.ID()}}), idptest.Status(404))
	link(ada)
	for _, shown := range []string{page, "/o/alpha/admin/connections/" + c.ID} {
		idptest.Want(t, admin.Get(shown), idptest.Says("console.links.title"), idptest.Shows("id of "+ada))
	}
	// Ada undoes her own link; a person who has nothing else keeps theirs.
	idptest.Want(t, adas.Get("/o/alpha/account/security"), idptest.Shows("id of "+ada))
	disabled := func(at string) {
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update passwords set disabled_at = `+at+` where org_id = $1 and user_id = $2`, string(w.org.ID), string(l.User.ID))
			return err
		})
	}
	disabled("1") // a password that opens nothing is no other way in
	idptest.Want(t, adas.Get("/o/alpha/account/security").Form("account/security/links").Submit(""), idptest.Status(409), idptest.Says("federation.last_way"))
	disabled("null")
	idptest.Want(t, adas.Get("/o/alpha/account/security").Form("account/security/links").Submit(""), idptest.Status(200), idptest.Says("console.links.undone"), idptest.ShowsNot("id of "+ada))
	if w.signedIn(federated) || !w.signedIn(adas) {
		t.Error("not the sessions of that provider alone ended")
	}
	if !w.wrote(ada, "mail.federation.unlinked.subject") {
		t.Error("no letter about it")
	}
	idptest.Want(t, only.Get("/o/alpha/account/security").Form("account/security/links").Submit(""), idptest.Status(409), idptest.Says("federation.last_way"))
	// Nor is the passkey of somebody who broke the glass as an owner once, and is a member now.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		id := string(w.user(w.org, bea).ID)
		_, err := tx.Exec(ctx, `insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at)
			values ($1, 'key_bea', $2, '', '', '', '{}', 1)`, string(w.org.ID), id)
		if err == nil {
			_, err = tx.Exec(ctx, `update users set break_glass_since = 1 where org_id = $1 and id = $2`, string(w.org.ID), id)
		}
		return err
	})
	dbtest.ByHand(t, w.DB)
	_, l = link(bea)
	if err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
		return w.Hub.Unlink(t.Context(), tx, w.user(w.org, bea).AsActor(), w.org.ID, l.User.ID, l.ID())
	}); !errors.Is(err, federation.ErrLastWay) {
		t.Errorf("undoing the only way in: %v", err)
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from passkeys where org_id = $1 and id = 'key_bea'`, string(w.org.ID))
		return err
	})
	dbtest.ByHand(t, w.DB)
	// An administrator undoes it, but not an owner's.
	page, l = link(bea)
	idptest.Want(t, admin.Get(page).Form("links").Submit("").Form("main").Submit(""), idptest.Status(200), idptest.Says("console.links.undone"))
	if w.signedIn(only) {
		t.Error("the session of the link goes on")
	}
	w.inside(w.enter(w.Browser(t), idp, c, person(bea)), w.org, "Ada Lovelace")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, directory.Operator(), w.org.ID, l.User.ID, directory.Owner)
	})
	page, l = link(bea)
	idptest.Want(t, admin.Get(page), idptest.Shows("id of "+bea), idptest.SaysNot("console.links.undo"))
	idptest.Want(t, admin.Post(page+"/links", url.Values{"link": {l.ID()}}), idptest.Status(403))
	idptest.Want(t, admin.Post("/o/alpha/admin/connections/"+c.ID+"/links", url.Values{"link": {l.ID()}, "person": {string(l.User.ID)}}), idptest.Status(403))
}

// Where single sign-on is the only way in, our own credentials open no session, but they still prove
// a new link.
func TestCredentialsOfOursProveALinkWhereSingleSignOnIsTheOnlyWay(t *testing.T) {
	w := start(t, idptest.Named) // passkeys need a name
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	w.Join(t, w.org, "otto@alpha.example", "Otto", directory.Owner)
	_, hers := w.withPasskey(anton, "Anton", directory.Administrator)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	w.shut()
	w.ended()

	// asked returns the page that asks for proof, for an answer that names email.
	asked := func(b *idptest.Browser, email string) *idptest.Page {
		t.Helper()
		p := w.enter(b, idp, c, person(email))
		idptest.Want(t, p, idptest.Says("federation.prove_title", "Name", w.user(w.org, email).Name))
		return p.Form("main").Submit("")
	}
	b := w.Browser(t)
	proof := asked(b, owner)
	idptest.Want(t, proof, idptest.Status(200), idptest.Field("password"), idptest.Says("web.sign_in.to_link"), idptest.NoElement("button", "value", c.ID))

	// Neither another person's password nor a wrong one proves it.
	for _, typed := range [][2]string{{ada, idptest.Password}, {"otto@alpha.example", idptest.Password}, {owner, "wrong"}} {
		p := proof.Form("main").Fill("email", typed[0]).Fill("password", typed[1]).Submit("")
		idptest.Want(t, p, idptest.Status(422), idptest.Says("signin.failed"))
	}
	old := b.Copy()
	done := proof.Form("main").Fill("email", owner).Fill("password", idptest.Password).Submit("")
	idptest.Want(t, done, idptest.Says("federation.link_what", "Name", "Olga", "Connection", c.Name))
	if w.wrote(owner, "mail.federation.break_glass.subject") {
		t.Error("a proof for a link is told as a way in")
	}
	w.outside(b, w.org) // it opened no session
	// A browser token from before the proof links nobody.
	p := old.Post(done.URL.Path, nil)
	idptest.Want(t, p, idptest.SaysNot("federation.link_what", "Name", "Olga", "Connection", c.Name))
	p = p.Form("main").Fill("email", owner).Fill("password", idptest.Password).Submit("")
	idptest.Want(t, p, idptest.SaysNot("federation.link_what", "Name", "Olga", "Connection", c.Name))
	w.outside(old, w.org)
	if n := w.rows(`select count(*) from identities where user_id = $1`, string(w.user(w.org, owner).ID)); n != 0 {
		t.Fatal("linked by an old token")
	}
	// The same form again ends where it ended before, even if the first answer was lost, and opens no
	// session.
	again := url.Values{"email": {owner}, "password": {idptest.Password}}
	for _, sender := range []*idptest.Browser{b, old} {
		idptest.Want(t, sender.Post(proof.URL.Path, again), idptest.Says("federation.link_what", "Name", "Olga", "Connection", c.Name))
		w.outside(sender, w.org)
	}
	w.inside(done.Form("main").Submit(""), w.org, "Olga")

	// Elsewhere her password still opens nothing.
	b = w.Browser(t)
	b.Get("/o/alpha")
	b.Post("/o/alpha", url.Values{"email": {owner}, "password": {idptest.Password}}) // leads to the provider
	w.outside(b, w.org)

	// A passkey that signs in alone elsewhere proves it alone, and only for its owner. With a password
	// the second step must be proved too.
	b = w.Browser(t)
	proof = asked(b, anton)
	alone := url.Values{"response": {string(hers.Assert(t, b.PasskeyOptions()))}}
	idptest.Want(t, b.Post(proof.URL.Path, alone), idptest.Says("federation.link_what", "Name", "Anton", "Connection", c.Name))
	w.outside(b, w.org)
	b = w.Browser(t)
	proof = asked(b, "otto@alpha.example")
	idptest.Want(t, b.Post(proof.URL.Path, url.Values{"response": {string(hers.Assert(t, b.PasskeyOptions()))}}), idptest.Says("credential.passkey_refused"))
	w.outside(b, w.org)
	b = w.Browser(t)
	proof = asked(b, anton)
	second := proof.Form("main").Fill("email", anton).Fill("password", idptest.Password).Submit("")
	w.outside(b, w.org)
	done = second.Form("main").Fill("response", string(hers.Assert(t, second.Options()))).Submit("")
	idptest.Want(t, done, idptest.Says("federation.link_what", "Name", "Anton", "Connection", c.Name))
	w.outside(b, w.org)
	w.inside(done.Form("main").Submit(""), w.org, "Anton")
}

// The proof for one answer counts neither for another nor ten minutes later.
func TestAProofForALinkIsForThatAnswer(t *testing.T) {
	w := start(t)
	idp, later := w.idp(), samltest.New("https://later.example", w.Clock.Now)
	c, second := w.samlConnection(w.org, idp), w.samlConnection(w.org, later)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	w.shut()
	w.ended()
	b := w.Browser(t)
	p := w.enter(b, idp, c, person(owner)).Form("main").Submit("")
	done := p.Form("main").Fill("email", owner).Fill("password", idptest.Password).Submit("")
	idptest.Want(t, done, idptest.Says("federation.link_what", "Name", "Olga", "Connection", c.Name))
	idptest.Want(t, w.enter(b, later, second, person(owner)), idptest.Says("federation.prove_title", "Name", "Olga"))
	w.Clock.Advance(11 * time.Minute)
	idptest.Want(t, b.Get(done.URL.Path), idptest.Says("federation.prove_title", "Name", "Olga"))
	idptest.Want(t, done.Form("main").Submit(""), idptest.SaysNot("federation.link_what", "Name", "Olga", "Connection", c.Name))
	w.outside(b, w.org)
}
