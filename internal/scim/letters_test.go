package scim_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/naming"
	"parvis/internal/provisioning"
)

// invites turns the switch of a source that invites whom no connection lets in.
func (s *source) invites(t testing.TB, on bool) {
	t.Helper()
	n := s.Settings()
	n.Invites = on
	s.w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		s.Source, err = s.w.Sources.Change(ctx, tx, directory.Operator(), s.org.ID, s.ID, n)
		return err
	})
}

// proves makes a domain the organization's.
func (s *source) proves(t testing.TB, name string) {
	t.Helper()
	s.w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		d, err := domain.Add(ctx, tx, directory.Operator(), s.org.ID, name)
		if err == nil {
			_, err = tx.Exec(ctx, `update domains set proven_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(s.org.ID), d.ID)
		}
		return err
	})
}

// connects gives the organization a connection that lets in people with an address of its domains.
func (s *source) connects(t testing.TB) {
	t.Helper()
	s.w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		c, err := new(federation.Hub).Create(ctx, tx, directory.Operator(), s.org.ID, federation.New{Provider: federation.Okta, Protocol: federation.SAML, Name: "Okta"})
		if err == nil {
			_, err = tx.Exec(ctx, `update connections set state = 'on', vouches = $1 where org_id = $2 and id = $3`, true, string(s.org.ID), c.ID)
		}
		return err
	})
}

// draft gives the organization a connection that is not on, and returns its id.
func (s *source) draft(t testing.TB) (id string) {
	t.Helper()
	s.w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		c, err := new(federation.Hub).Create(ctx, tx, directory.Operator(), s.org.ID, federation.New{Provider: federation.Entra, Protocol: federation.SAML, Name: "Entra"})
		id = c.ID
		return err
	})
	return id
}

// letters counts all letters that were written.
func (w *world) letters(t testing.TB) (n int) {
	t.Helper()
	if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from letters`); err != nil {
		t.Fatal(err)
	}
	return n
}

// Who comes in by a connection is mailed nothing, whatever the switch says. Anybody else is invited
// where the switch is on, and the invitation leads to the user who was made.
func TestTheSwitchThatInvites(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	s.hire(t, "off@alpha.example")
	expect.Equal(t, "letters with the switch off", w.letters(t), 0)
	s.invites(t, true)
	s.proves(t, "alpha.example")
	s.hire(t, "first@alpha.example")
	expect.Equal(t, "without a connection", len(w.LettersTo(t, "first@alpha.example")), 1)
	s.connects(t)
	s.hire(t, "linked@alpha.example")
	expect.Equal(t, "by a connection that lets them in", len(w.LettersTo(t, "linked@alpha.example")), 0)
	s.hire(t, "partner@elsewhere.example")
	expect.Equal(t, "outside the proven domains", len(w.LettersTo(t, "partner@elsewhere.example")), 1)
	s.hire(t, "gone@elsewhere.example", `"active":false`)
	expect.Equal(t, "who is shut out", len(w.LettersTo(t, "gone@elsewhere.example")), 0)
	s.refused(t, 409, "uniqueness", "POST", "/Users", user("partner@elsewhere.example"))
	expect.Equal(t, "who is there already", len(w.LettersTo(t, "partner@elsewhere.example")), 1)
	// One that the source names is the only one that lets its people in; it is on, or they are invited.
	n := s.Settings()
	n.ConnectionID = s.draft(t)
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		s.Source, err = w.Sources.Change(ctx, tx, directory.Operator(), s.org.ID, s.ID, n)
		return err
	})
	s.hire(t, "drafted@alpha.example")
	expect.Equal(t, "by another connection than the source names", len(w.LettersTo(t, "drafted@alpha.example")), 1)
	s.invites(t, false)
	s.hire(t, "visitor@elsewhere.example")
	expect.Equal(t, "with the switch off again", len(w.LettersTo(t, "visitor@elsewhere.example")), 0)
	expect.Equal(t, "letters of all", w.letters(t), 3)
	w.beta.hire(t, "partner@elsewhere.example") // the neighbour's switch is its own
	expect.Equal(t, "letters of the neighbour", w.letters(t), 3)
	expect.Equal(t, "calls that say so", strings.Count(strings.Join(s.said(t, provisioning.Done), "\n"), "provisioning.did.invited"), 3)
}

// Somebody who has not joined is invited at a changed address, once, and no longer at the former one.
func TestAChangedAddressIsInvitedOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	s.invites(t, true)
	at := "/Users/" + s.hire(t, "partner@elsewhere.example").id()
	former := w.Link(t, "partner@elsewhere.example", "/invitation/")
	w.Clock.Advance(time.Minute)
	s.must(t, 200, "PATCH", at, patch(`{"op":"replace","path":"userName","value":"partner@other.example"}`))
	s.must(t, 200, "PATCH", at, patch(`{"op":"replace","path":"userName","value":"Partner@Other.example"}`, `{"op":"add","path":"title","value":"Guest"}`))
	s.must(t, 200, "PUT", at, user("partner@other.example", `"displayName":"Partner"`))
	expect.Equal(t, "letters to the new address", len(w.LettersTo(t, "partner@other.example")), 1)
	expect.Equal(t, "letters of all", w.letters(t), 2)
	b := w.Browser(t)
	idptest.Want(t, b.Get(former), idptest.NoField("password"))
	p := b.Get(w.Link(t, "partner@other.example", "/invitation/")).Form("main").
		Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	idptest.Want(t, p, idptest.Path("/o/alpha/home"))
	found, err := directory.Addressed(t.Context(), w.DB, s.org.ID, []string{"partner@other.example", "partner@elsewhere.example"})
	if err != nil || len(found) != 1 {
		t.Fatalf("who came in: %+v, %v", found, err)
	}
	expect.Equal(t, "who came in", "/Users/"+string(found[0].ID), at)
	expect.Equal(t, "their way in", found[0].HasWayIn(), true)
	s.invites(t, false)
	at = "/Users/" + s.hire(t, "quiet@elsewhere.example").id()
	s.must(t, 200, "PATCH", at, patch(`{"op":"replace","path":"userName","value":"quiet@other.example"}`))
	expect.Equal(t, "letters with the switch off", len(w.LettersTo(t, "quiet@other.example")), 0)
}

// Who is shut out and moved in one call is written nothing. They are told when an administrator lets
// them in again.
func TestWhoWasMovedWhileShutOutIsToldAfterwards(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	s.proves(t, "alpha.example")
	id := s.hire(t, "ana@alpha.example").id()
	dbtest.GivePassword(t, w.DB, string(s.org.ID), id)
	s.must(t, 200, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"gone.ana@alpha.example"}`, `{"op":"replace","path":"active","value":false}`))
	expect.Equal(t, "letters to who is shut out", w.letters(t), 0)
	reactivate, _ := administration.DeedNamed("reactivate")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return w.Site.Administration.DoTo(ctx, tx, directory.Operator(), s.org.ID, reactivate, directory.UserID(id))
	})
	for _, email := range []string{"ana@alpha.example", "gone.ana@alpha.example"} {
		expect.Equal(t, "letters to "+email, len(w.LettersTo(t, email)), 1)
	}
	// Nobody is moved back by the letter: the directory would only say it again.
	w.Browser(t).Get(w.NotMe(t, "ana@alpha.example", idptest.Sentence(t, "mail.email_changed.subject", "Organization", s.org.DisplayName))).Form("main").Submit("")
	now, err := directory.UserByID(t.Context(), w.DB, s.org.ID, directory.UserID(id))
	if err != nil || now.Email != "gone.ana@alpha.example" || now.DisownedAt.IsZero() {
		t.Errorf("after the link: %s, disowned at %s, %v", now.Email, now.DisownedAt, err)
	}
}

// A changed address of somebody who signs in is written to both addresses, and nobody is invited.
func TestAChangedAddressIsToldToBoth(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	s.invites(t, true)
	s.proves(t, "alpha.example")
	s.proves(t, "alpha.test")
	id := s.hire(t, "ana@alpha.example").id()
	dbtest.GivePassword(t, w.DB, string(s.org.ID), id)
	at, before := "/Users/"+id, w.letters(t) // the invitation
	s.must(t, 200, "PATCH", at, patch(`{"op":"replace","path":"userName","value":"ana@alpha.test"}`))
	expect.Equal(t, "letters more", w.letters(t)-before, 2)
	expect.Equal(t, "letters to the former address, with the invitation", len(w.LettersTo(t, "ana@alpha.example")), 2)
	told := w.LettersTo(t, "ana@alpha.test")
	expect.Equal(t, "letters to the new address", len(told), 1)
	if len(told) > 0 && strings.Contains(told[0].Text, "/invitation/") {
		t.Errorf("who signs in is invited: %s", told[0].Text)
	}
	// The same address, written otherwise or sent again, is no other one.
	s.must(t, 200, "PUT", at, user("ANA@alpha.test", `"title":"Driver"`))
	s.refused(t, 400, "invalidValue", "PATCH", at, patch(`{"op":"replace","path":"userName","value":"ana@elsewhere.example"}`))
	expect.Equal(t, "letters more in the end", w.letters(t)-before, 2)
	address, err := naming.ParseAddress("ana@alpha.test")
	if err != nil {
		t.Fatal(err)
	}
	now, err := directory.UserByID(t.Context(), w.DB, s.org.ID, directory.UserID(id))
	if err != nil || now.AddressKey() != address.Key {
		t.Errorf("her address: %q, %v", now.Email, err)
	}
}
