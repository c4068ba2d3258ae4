package federation_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"parvis/internal/authenticator"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// makeOnly makes single sign-on the only way in, as the page does. Somebody must have signed in by the
// provider just now.
func (w *world) makeOnly(breakGlass ...string) {
	w.t.Helper()
	var ids []directory.UserID
	for _, email := range breakGlass {
		ids = append(ids, w.user(w.org, email).ID)
	}
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.MakeOnly(ctx, tx, directory.Operator(), w.org.ID, ids)
	})
}

// withPasskey joins a person who has added a passkey.
func (w *world) withPasskey(email, name string, role directory.Role) (*idptest.Browser, *authenticator.Authenticator) {
	w.t.Helper()
	b, a := w.Join(w.t, w.org, email, name, role), w.Authenticator()
	if p := w.EnrolPasskey(w.t, b.Get("/o/alpha/account/security/add"), "Laptop", a); p.Status != 200 || !p.Says("Laptop") {
		w.t.Fatalf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	return b, a
}

var lengths = regexp.MustCompile(`Content-Length:\[[0-9]+\]`)

// answered returns an answer without what differs between any two answers.
func answered(p *idptest.Page, email string) string {
	h := p.Header.Clone()
	h.Del("Date")
	text := fmt.Sprintf("%d %s %v\n%s", p.Status, p.URL.Path, h, reference.ReplaceAllString(p.Body, ""))
	return lengths.ReplaceAllString(strings.ReplaceAll(text, email, "somebody"), "")
}

func password(b *idptest.Browser, path, email, password string) *idptest.Page {
	return b.Get(path).Form("main").Fill("email", email).Fill("password", password).Submit("")
}

func TestRPO9WhereSingleSignOnIsTheOnlyWayNoOtherDoorOpens(t *testing.T) {
	w := start(t, idptest.Named)
	// People of an unproven domain, whom nothing leads to a provider before they try a way in.
	const member, owner, guest = "mia@elsewhere.example", "olga@elsewhere.example", "gus@elsewhere.example"
	native, theirs := w.withPasskey(member, "Mia", directory.Member)
	ownerHere, glass := w.withPasskey(owner, "Olga", directory.Owner)
	w.Join(t, w.org, "anton@elsewhere.example", "Anton", directory.Administrator)
	w.Join(t, w.org, "otto@elsewhere.example", "Otto", directory.Owner)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	federated := w.session(idp, c, ada, "one")
	invitation := w.Invite(t, w.org, guest, "", directory.Member)
	forgot := func(email string) {
		w.Browser(t).Get("/forgot-password").Form("main").Fill("email", email).Submit("")
	}
	forgot("anton@elsewhere.example")
	reset := w.Link(t, "anton@elsewhere.example", "/reset/")

	// Begun before: a sign-in whose second step is still to come, a reset and an invitation on the
	// screen, and fresh proof still to be given.
	half := w.Browser(t)
	second := password(half, "/o/alpha", member, idptest.Password)
	if !strings.HasPrefix(second.URL.Path, "/sign-in/") || second.Options() == nil {
		t.Fatalf("no second step: %d %s", second.Status, second.URL)
	}
	halfReset := w.Browser(t).Get(reset).Form("main")
	halfInvited := w.Browser(t).Get(invitation).Form("main")
	halfSignIn := w.Browser(t).Get("/o/alpha").Form("main").Fill("email", "anton@elsewhere.example").Fill("password", idptest.Password)

	w.makeOnly(owner)
	if w.signedIn(native) || !w.signedIn(federated) || !w.signedIn(ownerHere) {
		t.Error("not the native sessions alone ended")
	}
	closed := func(name string, p *idptest.Page) {
		t.Helper()
		if p.Status >= 500 || p.URL.Path == "/o/alpha/home" {
			t.Errorf("%s: %d %s: %s", name, p.Status, p.URL, p.Text())
		}
	}
	sessions := w.sessions()
	closed("a half sign-in", second.Form("main").Fill("response", string(theirs.Assert(t, second.Options()))).Submit(""))
	closed("a half reset", halfReset.Fill("password", "Nine otters sing 4 songs!").Fill("repetition", "Nine otters sing 4 songs!").Submit(""))
	closed("a half invitation", halfInvited.Fill("name", "Gus").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit(""))
	closed("a form that waited", halfSignIn.Submit(""))
	closed("an old reset", w.Browser(t).Get(reset))

	// A right password is answered like a wrong one: everywhere, byte by byte.
	for _, email := range []string{member, owner, "otto@elsewhere.example"} {
		nobody := "no-" + email // tried as often as the other, since failures are counted
		for _, path := range []string{"/sign-in", "/o/alpha"} {
			for _, typed := range []string{idptest.Password, "wrong"} {
				b := w.Browser(t)
				got, want := answered(passwordPost(b, path, email, typed), email), answered(passwordPost(w.Browser(t), path, nobody, typed), nobody)
				if got != want {
					t.Errorf("%s at %s with %q is answered otherwise:\n%s\nwant\n%s", email, path, typed, got, want)
				}
				w.outside(b, w.org)
			}
		}
	}
	deep := w.Browser(t)
	page := deep.Get("/o/alpha/account")
	closed("an attempt", deep.Post(page.URL.Path, url.Values{"email": {member}, "password": {idptest.Password}}))
	w.outside(deep, w.org)

	// A member's passkey opens nothing, on any page.
	for _, path := range []string{"/sign-in", "/o/alpha"} {
		b := w.Browser(t)
		b.Get(path)
		p := b.Post(path, url.Values{"response": {string(theirs.Assert(t, b.PasskeyOptions()))}})
		closed("a member's passkey", p)
		w.outside(b, w.org)
	}
	// A reset is not sent: the letter explains.
	before := len(w.LettersTo(t, member))
	forgot(member)
	letters := w.LettersTo(t, member)
	if len(letters) != before+1 {
		t.Fatalf("%d letters", len(letters)-before)
	}
	for _, link := range letters[0].Links {
		if strings.Contains(link, "/reset/") {
			t.Errorf("a reset was sent: %v", letters[0].Links)
		}
	}
	// Invitations offer no password, and ignore one that is posted.
	b := w.Browser(t)
	if p := b.Get(invitation); p.Has("input", "name", "password") {
		t.Error("the invitation asks for a password")
	}
	closed("an invitation's password", b.Post(invitation, url.Values{"name": {"Gus"}, "password": {idptest.Password}, "repetition": {idptest.Password}}))
	if n := w.rows(`select count(*) from users where email_key = $1`, guest); n != 0 {
		t.Error("a password accepted an invitation")
	}
	// Nobody sets one either, even when signed in by the provider.
	for _, path := range []string{"/o/alpha/account/password", "/o/alpha/account/security/add"} {
		p := federated.Post(path, url.Values{"current": {idptest.Password}, "password": {idptest.Password}, "repetition": {idptest.Password}, "device": {"Phone"}, "kind": {"app"}})
		if p.Status >= 500 {
			t.Errorf("%s: %d %s", path, p.Status, p.Text())
		}
	}
	if n := w.rows(`select count(*) from passwords where user_id = $1`, string(w.user(w.org, ada).ID)); n != 0 {
		t.Error("somebody who came by a provider has a password now")
	}
	if got := w.sessions(); got != sessions {
		t.Errorf("%d sessions more", got-sessions)
	}
	// The pages have no password field.
	if p := w.Browser(t).Get("/o/alpha"); p.Has("input", "name", "password") || !p.Has("form", "id", "ways") {
		t.Errorf("the organization's page: %s", p.Text())
	}

	// The break-glass owner's passkey opens a session, and the administrators hear of it.
	b = w.Browser(t)
	b.Get("/o/alpha")
	p := b.Post("/o/alpha", url.Values{"response": {string(glass.Assert(t, b.PasskeyOptions()))}})
	w.inside(p, w.org, "Olga")
	for _, email := range []string{owner, "anton@elsewhere.example", "otto@elsewhere.example"} {
		if l := w.LettersTo(t, email); len(l) == 0 || !strings.Contains(l[0].Text, "Olga") {
			t.Errorf("%s has no letter of it: %+v", email, l)
		}
	}
	if n := len(w.LettersTo(t, member)); n != len(letters) {
		t.Error("a member got a letter of it")
	}

	// The last break-glass owner remains.
	id := w.user(w.org, owner).ID
	for name, f := range map[string]func(ctx context.Context, tx *db.Tx) error{
		"lowered": func(ctx context.Context, tx *db.Tx) error {
			return directory.ChangeRole(ctx, tx, directory.Operator(), w.org.ID, id, directory.Member)
		},
		"deactivated": func(ctx context.Context, tx *db.Tx) error {
			return directory.Deactivate(ctx, tx, directory.Operator(), w.org.ID, id)
		},
		"deleted": func(ctx context.Context, tx *db.Tx) error {
			return directory.Delete(ctx, tx, directory.Operator(), w.org.ID, id)
		},
	} {
		if err := w.DB.Update(t.Context(), func(tx *db.Tx) error { return f(t.Context(), tx) }); !errors.Is(err, directory.ErrLastBreakGlass) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// An invitation leads to the provider, whose answer accepts it.
	b = w.Browser(t)
	w.inside(w.answer(b, idp, c, toProvider(t, b.Get(invitation).Form("ways").Check("connection", c.ID).Submit("")), person(guest)), w.org, "Ada Lovelace")

	// After it is turned off, passwords work as before.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.EndFederatedOnly(ctx, tx, directory.Operator(), w.org.ID, "requested")
	})
	w.inside(password(w.Browser(t), "/o/alpha", "anton@elsewhere.example", idptest.Password), w.org, "Anton")
}

// passwordPost posts a password even if the page has no field for it.
func passwordPost(b *idptest.Browser, path, email, password string) *idptest.Page {
	b.Get(path)
	return b.Post(path, url.Values{"email": {email}, "password": {password}})
}
