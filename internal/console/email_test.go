package console_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

func emailOf(id string) string { return "/o/alpha/admin/people/" + id + "/email" }

// setRole gives somebody of alpha another role.
func (w *world) setRole(t *testing.T, id string, role directory.Role) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set role = $1 where org_id = $2 and id = $3`, string(role), string(w.alpha.ID), id)
		return err
	})
}

func (w *world) signsIn(t *testing.T, org, email string) bool {
	t.Helper()
	p := w.Browser(t).Get("/o/"+org).Form("main").Fill("email", email).Fill("password", idptest.Password).Submit("")
	return strings.HasSuffix(p.URL.Path, "/home")
}

// Journeys 8.1: an administrator can change an address too, with the same proof from the new
// one, and the person is told and may object.
func TestAnAdministratorChangesAnAddress(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	id := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	if !slices.Contains(seen(t, b.Get("/o/alpha/admin/people/"+id), 200).Links(), emailOf(id)) {
		t.Error("the person's page does not lead there")
	}
	form := b.Get(emailOf(id)).Form("main")
	idptest.Want(expect.Case(t, "an address that is taken"), form.Fill("email", "Helpdesk@alpha.example").Submit(""),
		idptest.Status(422), idptest.Says("directory.address_taken"))
	if p := form.Fill("email", "nonsense").Submit(""); p.Status != 422 || p.Form("main").Values.Get("email") != "nonsense" {
		t.Errorf("no address: %d", p.Status)
	}
	p := seen(t, form.Fill("email", "moved@alpha.example").Submit(""), 200)
	idptest.Want(t, p, idptest.Says("console.email.sent", "Email", "moved@alpha.example"))
	if !p.Says(idptest.Sentence(t, "console.email.requester") + " Person administrator of alpha") {
		t.Fatalf("after asking: %s", p.Text())
	}
	told := w.LettersTo(t, "member@alpha.example")[0]
	if !strings.Contains(told.Text, idptest.Sentence(t, "mail.email_asked.by_administrator",
		"When", "22 November 2026, 09:00 UTC", "Organization", "Alpha Freight", "New", "moved@\u200balpha.\u200bexample")) || strings.Contains(told.Text, "127.0.0.1, ") || !strings.Contains(told.Text, "/not-me/") {
		t.Errorf("the person is told:\n%s", told.Text)
	}
	own := w.alpha.browsers[directory.Member]
	idptest.Want(expect.Case(t, "the person does not see what waits"), own.Get("/o/alpha/account/email"),
		idptest.Says("web.email_change.by_administrator"), idptest.Shows("moved@alpha.example"))
	if !w.signsIn(t, "alpha", "member@alpha.example") {
		t.Error("the old address is out of force before the proof")
	}
	link := w.Link(t, "moved@alpha.example", "/email/")
	if p := w.Browser(t).Get(link).Form("main").Submit(""); p.Status != 200 || !w.signsIn(t, "alpha", "moved@alpha.example") || w.signsIn(t, "alpha", "member@alpha.example") {
		t.Errorf("after the proof: %d", p.Status)
	}
	e := w.events(t, w.alpha.ID, "user.email_changed")
	if len(e) != 1 || e[0].Actor != id || e[0].After["requested_by"] != w.idOf(t, w.alpha.ID, "users", "administrator@alpha.example") {
		t.Errorf("recorded as %+v", e)
	}
	// The person withdraws what an administrator asked for, and the other way round.
	for name, withdraw := range map[string]func() *idptest.Page{
		"the person":       func() *idptest.Page { return own.Get("/o/alpha/account/email").Form("withdraw").Submit("withdraw") },
		"an administrator": func() *idptest.Page { return presses(t, b.Get(emailOf(id)).Form("withdraw").Submit("withdraw")) },
	} {
		b.Get(emailOf(id)).Form("main").Fill("email", "again@alpha.example").Submit("")
		link := w.Link(t, "again@alpha.example", "/email/")
		if p := seen(t, withdraw(), 200); p.Says("again@alpha.example") {
			t.Errorf("%s does not withdraw: %s", name, p.Text())
		}
		if p := w.Browser(t).Get(link); p.Status != 410 {
			t.Errorf("withdrawn by %s, the link works: %d", name, p.Status)
		}
	}
	if n := len(w.events(t, w.alpha.ID, "email_change.withdrawn")); n != 2 {
		t.Errorf("%d withdrawals are in the audit log", n)
	}
}

// TEN-4, TEN-6: nobody changes the address of somebody above their own role, or in another
// organization.
func TestTEN4AddressesAreForThoseWhoGovernTheRole(t *testing.T) {
	t.Parallel()
	w := start(t)
	before := w.rows(t, w.beta.ID)
	for role, b := range w.alpha.browsers {
		for _, target := range directory.Roles {
			id := w.idOf(t, w.alpha.ID, "users", string(target)+"@alpha.example")
			want := 403
			if role != directory.Helpdesk && role.Governs(target) || role == target && role == directory.Helpdesk { // oneself
				want = 200
			}
			get, post := b.Get(emailOf(id)), b.Post(emailOf(id), url.Values{"email": {"x-" + string(role) + "-" + string(target) + "@alpha.example"}})
			if get.Status != want || post.Status != want {
				t.Errorf("%s on %s: %d and %d, want %d", role, target, get.Status, post.Status, want)
			}
			if want == 403 {
				if p := b.Post(emailOf(id), url.Values{"do": {"withdraw"}}); p.Status != 403 {
					t.Errorf("%s withdraws for %s: %d", role, target, p.Status)
				}
			}
		}
		if p := b.Post(emailOf(w.beta.user), url.Values{"email": {"thief@alpha.example"}}); p.Status != 404 && p.Status != 403 {
			t.Errorf("%s on beta's owner: %d", role, p.Status)
		}
	}
	if after := w.rows(t, w.beta.ID); after != before {
		t.Error("beta changed")
	}
}

// A change must not outlive the authority it rests on, nor apply to somebody who has got a
// higher role since: the link in the administrator's own mailbox would give access to an
// owner's account.
func TestTEN6AChangeOfAddressEndsWithTheAuthorityOfWhoAsked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world, t *testing.T, member, asker string){
		"the person becomes an owner":      func(w *world, t *testing.T, member, _ string) { w.setRole(t, member, directory.Owner) },
		"who asked is only a member now":   func(w *world, t *testing.T, _, asker string) { w.setRole(t, asker, directory.Member) },
		"who asked is deactivated by then": func(w *world, t *testing.T, _, asker string) { w.deactivate(t, asker) },
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			member, asker := w.idOf(t, w.alpha.ID, "users", "member@alpha.example"), w.idOf(t, w.alpha.ID, "users", "administrator@alpha.example")
			w.alpha.browsers[directory.Administrator].Get(emailOf(member)).Form("main").Fill("email", "mallory@evil.example").Submit("")
			link := w.Link(t, "mallory@evil.example", "/email/")
			change(w, t, member, asker)
			if p := w.Browser(t).Post(link, nil); p.Status != 410 {
				t.Errorf("the link still works: %d", p.Status)
			}
			if !w.signsIn(t, "alpha", "member@alpha.example") {
				t.Error("the address changed")
			}
			if p := w.alpha.browsers[directory.Owner].Get(emailOf(member)); p.Says("mallory") {
				t.Errorf("a dead change is shown as waiting: %s", p.Text())
			}
		})
	}
}

func (w *world) deactivate(t *testing.T, id string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, directory.Operator(), w.alpha.ID, directory.UserID(id))
	})
}

func TestAClosedUsersAddressStays(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	id := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	w.deactivate(t, id)
	idptest.Want(t, seen(t, b.Get(emailOf(id)), 200), idptest.NoElement("form", "id", "main"), idptest.Says("directory.user_deactivated"))
	if p := b.Post(emailOf(id), url.Values{"email": {"new@alpha.example"}}); p.Status != 409 {
		t.Errorf("asked all the same: %d", p.Status)
	}
	if n := len(w.LettersTo(t, "new@alpha.example")); n != 0 {
		t.Errorf("%d letters were sent", n)
	}
}

func TestAStaleProofGivesTheNewAddressBack(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	id := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	form := b.Get(emailOf(id)).Form("main").Fill("email", "new@alpha.example")
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, form.Submit(""))
	if p.URL.Path != emailOf(id) || p.Form("main").Values.Get("email") != "new@alpha.example" {
		t.Fatalf("back at %s: %s", p.URL, p.Text())
	}
	idptest.Want(t, p.Form("main").Submit(""), idptest.Says("console.email.sent", "Email", "new@alpha.example"))
}
