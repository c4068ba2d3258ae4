package console_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const changes = "/o/alpha/admin/people/change"

// idIn returns the id of the person in that role.
func (w *world) idIn(t *testing.T, role directory.Role) string {
	t.Helper()
	return w.idOf(t, w.alpha.ID, "users", string(role)+"@alpha.example")
}

func (w *world) userOf(t *testing.T, org directory.OrgID, id string) directory.User {
	t.Helper()
	u, err := directory.UserByID(t.Context(), w.DB, org, directory.UserID(id))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// does does a deed that is already confirmed.
func does(b *idptest.Browser, deed string, ids ...string) *idptest.Page {
	return b.Post(changes, url.Values{"deed": {deed}, "person[]": ids, "confirmed": {"yes"}})
}

// at reports whether a browser is signed in to an organization.
func at(b *idptest.Browser, org string) bool {
	return b.Get("/o/"+org+"/home").URL.Path == "/o/"+org+"/home"
}

// signIn signs somebody in to alpha in a new browser.
func (w *world) signIn(t *testing.T, email, password string) (*idptest.Browser, *idptest.Page) {
	t.Helper()
	b := w.Browser(t)
	return b, b.Get("/o/alpha").Form("main").Fill("email", email).Fill("password", password).Submit("")
}

// Journey 9.2 for one person: each button first shows what it does.
func TestEveryDeedFromThePersonsPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.browsers[directory.Owner]
	id := w.idIn(t, directory.Member)
	path := "/o/alpha/admin/people/" + id
	if p := seen(t, owner.Get(path), 200); !p.Says("Sessions 1 open Password set on 22 November 2026") {
		t.Errorf("the person's page: %s", p.Text())
	}
	for _, step := range []struct{ deed, warns, says string }{
		{"reset", idptest.Sentence(t, "console.deed.reset_what"), idptest.Sentence(t, "console.deed.reset_done", "Count", 1, "Name", "Person member of alpha")},
		{"new-password", idptest.Sentence(t, "console.deed.password_what"), idptest.Sentence(t, "console.person.password_asked", "When", "22 November 2026, 09:00 UTC")},
		{"end-sessions", idptest.Sentence(t, "console.deed.sessions_what"), idptest.Sentence(t, "console.deed.sessions_done", "Count", 1, "Name", "Person member of alpha")},
		{"deactivate", idptest.Sentence(t, "console.deed.deactivate_what"), idptest.Sentence(t, "console.deed.deactivate_done", "Count", 1, "Name", "Person member of alpha")},
		{"reactivate", idptest.Sentence(t, "console.deed.reactivate_what"), idptest.Sentence(t, "console.deed.reactivate_done", "Count", 1, "Name", "Person member of alpha")},
		{"delete", idptest.Sentence(t, "console.deed.delete_what", "Time", "30 days"), idptest.Sentence(t, "console.deed.delete_done", "Count", 1, "Name", "Person member of alpha")},
		{"restore", idptest.Sentence(t, "console.deed.restore_what"), idptest.Sentence(t, "console.deed.restore_done", "Count", 1, "Name", "Person member of alpha")},
	} {
		page := seen(t, owner.Get(path), 200)
		if !page.Has("button", "value", step.deed) {
			t.Fatalf("%s is not offered: %s", step.deed, page.Text())
		}
		before := w.rows(t, w.alpha.ID)
		preview := seen(t, page.Form("deeds").Check("deed", step.deed).Submit(""), 200)
		idptest.Want(expect.Case(t, "%s: the preview says", step.deed), preview,
			idptest.Shows(step.warns), idptest.Shows("Person member of alpha"), idptest.Says("console.change.will_be_done"))
		if d, _ := administration.DeedNamed(step.deed); preview.Has("button", "class", "button bad") != d.Grave {
			t.Errorf("%s is red: %v", step.deed, !d.Grave)
		}
		if after := w.rows(t, w.alpha.ID); after != before {
			t.Errorf("the preview of %s changed something:\n%s\n--- before:\n%s", step.deed, after, before)
		}
		done := seen(t, preview.Form("main").Submit(""), 200)
		if done.URL.Path != path || !done.Says(step.says) {
			t.Errorf("%s leads to %s: %s", step.deed, done.URL, done.Text())
		}
	}
	page := owner.Get(path)
	if got := page.Form("role").Values.Get("deed"); got != "role-member" {
		t.Errorf("the role form begins with %s", got)
	}
	idptest.Want(expect.Case(t, "the same role"), seen(t, page.Form("role").Submit(""), 409),
		idptest.Says("directory.role_held"), idptest.NoElement("form", "id", "main"))
	page = seen(t, page.Form("role").Fill("deed", "role-auditor").Submit(""), 200)
	idptest.Want(expect.Case(t, "the preview of a role"), page, idptest.Says("console.deed.role_what", "Role", "Auditor"))
	page = seen(t, page.Form("main").Submit(""), 200)
	idptest.Want(expect.Case(t, "after the change of role"), page, idptest.Says("console.deed.role_done", "Count", 1, "Name", "Person member of alpha"), idptest.Shows("Role Auditor"))
	for action, want := range map[audit.Action]int{
		"reset.sent": 1, "password.change_demanded": 1, "session.all_ended": 2, "user.deactivated": 1, "user.reactivated": 1,
		"user.deleted": 1, "user.restored": 1, "user.role_changed": 1,
	} {
		events := w.events(t, w.alpha.ID, action)
		if len(events) != want || events[0].Target != id || events[0].Actor != w.idIn(t, directory.Owner) {
			t.Errorf("%s is %d times in the audit log: %v", action, len(events), events)
		}
	}
	e := w.events(t, w.alpha.ID, "user.role_changed")[0]
	if e.Before["role"] != "member" || e.After["role"] != "auditor" {
		t.Errorf("from %v to %v", e.Before, e.After)
	}
}

// Somebody who is deactivated has nothing open, so ending it would only put a deed that did
// nothing into the audit log; among many people they are left out.
func TestSessionsOfSomebodyDeactivatedAreNotEnded(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner, member, auditor := w.alpha.browsers[directory.Owner], w.idIn(t, directory.Member), w.idIn(t, directory.Auditor)
	idptest.Want(t, does(owner, "deactivate", member), idptest.Status(200))
	idptest.Want(t, does(owner, "end-sessions", member), idptest.Status(409), idptest.Says("directory.user_deactivated"))
	idptest.Want(t, does(owner, "end-sessions", member, auditor), idptest.Status(200), idptest.Says("directory.user_deactivated"))
	for _, e := range w.events(t, w.alpha.ID, "session.all_ended") {
		if e.Target != auditor {
			t.Errorf("the audit log has that the sessions of %s ended", e.Target)
		}
	}
	if at(w.alpha.browsers[directory.Auditor], "alpha") {
		t.Error("the other person's sessions did not end")
	}
}

func TestButtonsAreThoseThatTheFunctionsAllow(t *testing.T) {
	t.Parallel()
	w := start(t)
	for role, b := range w.alpha.browsers {
		if !role.ReadsConsole() {
			continue
		}
		for _, target := range directory.Roles {
			p := seen(t, b.Get("/o/alpha/admin/people/"+w.idIn(t, target)), 200)
			may := role != target && role.Governs(target)
			if p.Has("button", "value", "deactivate") != may || p.Has("form", "id", "role") != (may && role != directory.Helpdesk) {
				t.Errorf("%s looks at %s and may %v: %s", role, target, may, p.Text())
			}
			if p.Has("option", "value", "role-owner") != (may && role == directory.Owner) {
				t.Errorf("%s is offered to make %s an owner", role, target)
			}
			if p.Says(idptest.Sentence(t, "directory.yourself")) != (role == target) {
				t.Errorf("%s looks at %s: %s", role, target, p.Text())
			}
		}
		list := seen(t, b.Get("/o/alpha/admin/people"), 200)
		if list.Has("form", "id", "selection") != (role != directory.Auditor) || list.Has("form", "id", "everyone") != (role.Governs(directory.Administrator)) {
			t.Errorf("%s sees the list as %s", role, list.Text())
		}
	}
}

// SES-3, R-SES-08: everything that a deactivated person has open ends at once on every node, no
// door lets the person in, and reactivating revives nothing.
func TestSES3DeactivationEndsEverythingAndReactivationRevivesNothing(t *testing.T) {
	t.Parallel()
	for _, deeds := range [][]string{{"deactivate", "reactivate"}, {"delete", "restore", "reactivate"}} {
		t.Run(deeds[0], func(t *testing.T) {
			w := start(t)
			node := idptest.StartOn(t, w.DB, w.Clock, w.Keys)
			owner := w.alpha.browsers[directory.Owner]
			const email = "administrator@alpha.example"
			id := w.idIn(t, directory.Administrator)
			here := w.alpha.browsers[directory.Administrator]
			there := node.Browser(t)
			there.SetCookie("__Host-parvis", here.Cookie("__Host-parvis"))
			other, _ := w.signIn(t, email, idptest.Password)
			does(owner, "reset", id)
			link := w.Link(t, email, "/reset/")
			invitation := w.invitationBy(t, id, "friend@alpha.example")
			w.Clock.Advance(11 * time.Minute)
			proof := here.Post("/o/alpha/admin/people/invite", url.Values{"email": {"x@alpha.example"}, "role": {"member"}}).Form("main")
			expect.Equal(t, "Status", w.Browser(t).Get(link).Status, 200)
			if !at(here, "alpha") || !at(there, "alpha") || !at(other, "alpha") {
				t.Fatal("not everything is open to begin with")
			}
			owner = w.freshly(t, directory.Owner)

			closed := func(when string) {
				t.Helper()
				for name, b := range map[string]*idptest.Browser{"this node": here, "the other node": there, "another browser": other} {
					if at(b, "alpha") {
						t.Errorf("%s, the session on %s is open", when, name)
					}
				}
				if p := w.Browser(t).Get(link); p.Status != 410 {
					t.Errorf("%s, the reset link: %d", when, p.Status)
				}
				if p := proof.Fill("password", idptest.Password).Submit(""); at(here, "alpha") || p.URL.Path == "/o/alpha/admin/people/invite" {
					t.Errorf("%s, the attempt leads to %s: %s", when, p.URL, p.Text())
				}
			}
			does(owner, deeds[0], id)
			closed("after " + deeds[0])
			if _, p := w.signIn(t, email, idptest.Password); p.Status != 422 {
				t.Errorf("the right password: %d at %s", p.Status, p.URL)
			}
			if got := w.stateOf(t, w.alpha.ID, invitation); got != directory.InvitationLapsed {
				t.Errorf("the invitation that the person sent is %s", got)
			}
			letters := len(w.LettersTo(t, email))
			w.Browser(t).Get("/forgot-password").Form("main").Fill("email", email).Submit("")
			does(owner, "reset", id)
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(w.LettersTo(t, email)); got != letters {
				t.Errorf("%d letters went to somebody who is out", got-letters)
			}
			if u := w.userOf(t, w.alpha.ID, id); u.Closed() == nil {
				t.Error("a reset let the person in")
			}
			for _, deed := range deeds[1:] {
				does(owner, deed, id)
				closed("after " + deed)
			}
			if b, _ := w.signIn(t, email, idptest.Password); !at(b, "alpha") {
				t.Error("a reactivated person cannot sign in")
			}
		})
	}
}

// freshly returns the browser of somebody who proved a factor just now.
func (w *world) freshly(t *testing.T, role directory.Role) *idptest.Browser {
	t.Helper()
	b, p := w.signIn(t, string(role)+"@alpha.example", idptest.Password)
	if p.URL.Path != "/o/alpha/home" {
		t.Fatalf("%s is at %s: %s", role, p.URL, p.Text())
	}
	return b
}

// invitationBy makes an invitation sent by a user of alpha, who may not exist later.
func (w *world) invitationBy(t *testing.T, id, email string) string {
	t.Helper()
	var inv directory.Invitation
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		u, err := directory.UserByID(ctx, tx, w.alpha.ID, directory.UserID(id))
		if err != nil {
			return err
		}
		inv, err = w.Invitations.Send(ctx, tx, u.AsActor(), w.alpha.Organization, directory.NewInvitation{Email: email, Role: directory.Member, Language: "en"})
		return err
	})
	return inv.ID
}

// TEN-3: rights that were taken away end at the next request, on every node.
func TestTEN3RightsTakenAwayAreGoneAtOnceOnEveryNode(t *testing.T) {
	t.Parallel()
	w := start(t)
	node := idptest.StartOn(t, w.DB, w.Clock, w.Keys)
	owner := w.alpha.browsers[directory.Owner]
	id, member := w.idIn(t, directory.Administrator), w.idIn(t, directory.Member)
	there := node.Browser(t)
	there.SetCookie("__Host-parvis", w.alpha.browsers[directory.Administrator].Cookie("__Host-parvis"))
	preview := seen(t, there.Post(changes, url.Values{"deed": {"deactivate"}, "person[]": {member}}), 200).Form("main")
	cursor := "/o/alpha/admin/audit?before=" + place(w.Clock.Now(), w.alpha.event)
	seen(t, there.Get(cursor), 200)

	does(owner, "role-helpdesk", id)
	if p := there.Get(cursor); p.Status != 403 {
		t.Errorf("the audit log for a helpdesk: %d", p.Status)
	}
	if p := there.Post(changes, url.Values{"deed": {"deactivate"}, "person[]": {w.idIn(t, directory.Auditor)}, "confirmed": {"yes"}}); p.Status != 403 {
		t.Errorf("a helpdesk deactivates an auditor: %d", p.Status)
	}
	does(owner, "role-auditor", id)
	if p := preview.Submit(""); p.Status != 403 {
		t.Errorf("the page that was open does it: %d", p.Status)
	}
	does(owner, "role-member", id)
	if p := there.Get("/o/alpha/admin/people"); p.Status != 403 {
		t.Errorf("the list for a member: %d", p.Status)
	}
	if !at(there, "alpha") {
		t.Error("the member is signed out")
	}
	does(owner, "deactivate", id)
	if at(there, "alpha") {
		t.Error("a deactivated person is signed in")
	}
	if u := w.userOf(t, w.alpha.ID, member); u.Closed() != nil {
		t.Error("somebody without rights deactivated a member")
	}
}

// TEN-4: an administrator of alpha has power over the membership in alpha only.
func TestTEN4AdministratorTouchesOneMembershipOfASharedPerson(t *testing.T) {
	t.Parallel()
	w := start(t)
	const email = "multi@example.org"
	w.Join(t, w.alpha.Organization, email, "Multi", directory.Member)
	beta := w.Join(t, w.beta.Organization, email, "Multi", directory.Administrator)
	administrator := w.alpha.browsers[directory.Administrator]
	id, elsewhere := w.idOf(t, w.alpha.ID, "users", email), w.idOf(t, w.beta.ID, "users", email)
	before, letters := w.rows(t, w.beta.ID), len(w.LettersTo(t, email))
	p := seen(t, administrator.Get("/o/alpha/admin/people/"+id), 200)
	if p.Says("Beta") || p.Says("2 open") || p.Says(elsewhere) {
		t.Errorf("the page shows beta: %s", p.Text())
	}
	for _, deed := range []string{"reset", "new-password", "end-sessions", "role-auditor", "deactivate", "reactivate", "delete", "restore"} {
		if p := does(administrator, deed, id); p.Status != 200 {
			t.Errorf("%s: %d %s", deed, p.Status, p.Text())
		}
		if p := does(administrator, deed, elsewhere); p.Status != 404 {
			t.Errorf("%s in beta: %d", deed, p.Status)
		}
	}
	if after := w.rows(t, w.beta.ID); after != before {
		t.Errorf("beta changed:\n%s\n--- before:\n%s", after, before)
	}
	if !at(beta, "beta") {
		t.Error("the session in beta ended")
	}
	got := w.LettersTo(t, email)
	if len(got) != letters+1 || !strings.Contains(got[0].Subject, "Alpha Freight") {
		t.Errorf("%d letters, the last about %q", len(got)-letters, got[0].Subject)
	}
	// Helpdesk can do nothing to an administrator.
	for _, deed := range []string{"reset", "new-password", "end-sessions", "role-member", "deactivate", "delete"} {
		if p := does(w.alpha.browsers[directory.Helpdesk], deed, w.idIn(t, directory.Administrator)); p.Status != 403 {
			t.Errorf("helpdesk does %s to an administrator: %d", deed, p.Status)
		}
	}
}

// TEN-6: no edited form, extra field or number of people gives anybody more rights than the
// sender has.
func TestTEN6NobodyRisesByEditsFieldsOrMany(t *testing.T) {
	t.Parallel()
	w := start(t)
	ids := map[directory.Role]string{}
	var everybody []string
	for _, role := range directory.Roles {
		ids[role] = w.idIn(t, role)
		everybody = append(everybody, ids[role])
	}
	for _, role := range []directory.Role{directory.Administrator, directory.Helpdesk, directory.Auditor, directory.Member} {
		b := w.alpha.browsers[role]
		for _, target := range directory.Roles {
			if role.Governs(target) {
				continue // whether the sender may give it to them is the next question
			}
			does(b, "role-"+string(target), ids[role])             // oneself
			does(b, "role-"+string(target), ids[directory.Member]) // somebody below
			does(b, "role-"+string(target), everybody...)
			does(b, "role-member", ids[target]) // somebody above
			for _, deed := range []string{"reset", "new-password", "end-sessions", "deactivate", "delete"} {
				if p := does(b, deed, ids[target]); p.Status != 403 {
					t.Errorf("%s does %s to %s: %d", role, deed, target, p.Status)
				}
			}
		}
		for field, value := range map[string]string{"role": "owner", "person[][role]": "owner", "actor": ids[directory.Owner]} {
			if p := b.Post(changes, url.Values{"deed": {"role-member"}, "person[]": {ids[directory.Member]}, "confirmed": {"yes"}, field: {value}}); p.Status != 400 {
				t.Errorf("%s sends %s: %d", role, field, p.Status)
			}
		}
		if p := b.Post(changes, url.Values{"deed": {"role-emperor"}, "person[]": {ids[directory.Member]}, "confirmed": {"yes"}}); p.Status != 400 && p.Status != 403 {
			t.Errorf("%s sends an unknown role: %d", role, p.Status)
		}
	}
	for role, id := range ids {
		if u := w.userOf(t, w.alpha.ID, id); u.Role != role || u.Closed() != nil {
			t.Errorf("the %s became %s, deactivated %v", role, u.Role, u.Closed())
		}
	}
	for _, action := range []audit.Action{"reset.sent", "user.role_changed", "session.all_ended", "user.deactivated"} {
		if n := len(w.events(t, w.alpha.ID, action)); n != 0 {
			t.Errorf("%s happened %d times", action, n)
		}
	}
}

// Several people at once: the preview says what becomes of each, and nothing else happens.
func TestSeveralPeopleAtOnceGetTheFateThatThePreviewShows(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	gone := w.idIn(t, directory.Auditor)
	does(w.alpha.browsers[directory.Owner], "deactivate", gone)
	list := seen(t, b.Get("/o/alpha/admin/people"), 200).Form("selection").Check("deed", "deactivate")
	for _, role := range directory.Roles {
		list.Check("person[]", w.idIn(t, role))
	}
	preview := seen(t, list.Submit(""), 200)
	for _, says := range []string{
		"Deactivate: 2 people", idptest.Sentence(t, "console.change.leaves_out", "Count", 3),
		"left out " + idptest.Sentence(t, "directory.yourself"), "left out Your role does not allow this.", "left out " + idptest.Sentence(t, "directory.user_deactivated"),
		"Person member of alpha member@alpha.example Member " + idptest.Sentence(t, "console.change.will_be_done"), "Person helpdesk of alpha helpdesk@alpha.example Helpdesk " + idptest.Sentence(t, "console.change.will_be_done"),
	} {
		if !preview.Says(says) {
			t.Errorf("the preview does not say %q: %s", says, preview.Text())
		}
	}
	confirm := preview.Form("main")
	if named := confirm.Values["person[]"]; len(named) != 2 {
		t.Errorf("the confirmed form names %v", named)
	}
	// In another language the page is the same.
	if p := seen(t, preview.Form("main").Fill("language", "fr").Submit("language"), 200); p.Lang() != "fr" || len(p.Form("main").Values["person[]"]) != 2 {
		t.Errorf("in French: %s", p.Text())
	}
	b.Post("/o/alpha/language", url.Values{"language": {"en"}, "page": {"/o/alpha/home"}})

	// Meanwhile one of the two became an owner.
	does(w.alpha.browsers[directory.Owner], "role-owner", w.idIn(t, directory.Helpdesk))
	done := seen(t, confirm.Submit(""), 200)
	for _, says := range []string{idptest.Sentence(t, "console.deed.deactivate_done", "Count", 1, "Name", "Person member of alpha"), idptest.Sentence(t, "console.change.left_out", "Count", 1), "Person helpdesk of alpha helpdesk@alpha.example Owner left out Your role does not allow this.", "Member done"} {
		if !done.Says(says) {
			t.Errorf("afterwards the page does not say %q: %s", says, done.Text())
		}
	}
	if at(w.alpha.browsers[directory.Member], "alpha") || !at(w.alpha.browsers[directory.Helpdesk], "alpha") {
		t.Error("what was done is not what the page says")
	}
	if n := len(w.events(t, w.alpha.ID, "request.refused")); n != 1 {
		t.Errorf("%d refusals are in the audit log", n)
	}
	idptest.Want(expect.Case(t, "a second time"), seen(t, confirm.Submit(""), 409),
		idptest.Says("directory.user_deactivated"), idptest.NoElement("form", "id", "main"))
	for name, form := range map[string]url.Values{
		"nobody":              {"deed": {"deactivate"}},
		"nobody, confirmed":   {"deed": {"deactivate"}, "confirmed": {"yes"}},
		"an unknown deed":     {"deed": {"promote"}, "person[]": {gone}},
		"everyone and some":   {"deed": {"end-sessions"}, "person[]": {gone}, "everyone": {"yes"}},
		"everyone is deleted": {"deed": {"delete"}, "everyone": {"yes"}, "confirmed": {"yes"}},
		"too many":            {"deed": {"end-sessions"}, "person[]": slices.Repeat([]string{gone}, 201)},
	} {
		want, says := 400, ""
		switch {
		case strings.HasPrefix(name, "nobody"):
			want, says = 409, idptest.Sentence(t, "console.change.nobody")
		case name == "too many":
			want, says = 409, idptest.Sentence(t, "console.change.too_many", "Most", 200)
		}
		if p := seen(t, b.Post(changes, form), want); says != "" && !p.Says(says) {
			t.Errorf("%s: %s", name, p.Text())
		}
	}
}

// A deed chosen on the list outlives fresh proof: the preview comes back.
func TestStaleProofLeadsBackToThePreview(t *testing.T) {
	t.Parallel()
	w := start(t)
	b, id := w.alpha.browsers[directory.Owner], w.idIn(t, directory.Member)
	preview := seen(t, b.Get("/o/alpha/admin/people/"+id).Form("deeds").Check("deed", "delete").Submit(""), 200)
	w.Clock.Advance(11 * time.Minute)
	p := seen(t, proveAgain(t, preview.Form("main").Submit("")), 200)
	idptest.Want(t, p, idptest.Path(changes), idptest.Says("console.deed.delete_what", "Time", "30 days"), idptest.Element("div", "role", "status"))
	if w.userOf(t, w.alpha.ID, id).Closed() != nil {
		t.Fatalf("after the proof: %s: %s", p.URL, p.Text())
	}
	idptest.Want(expect.Case(t, "confirmed once more"), seen(t, p.Form("main").Submit(""), 200), idptest.Says("console.deed.delete_done", "Count", 1, "Name", "Person member of alpha"))
}

func TestEveryoneIsAskedForANewPassword(t *testing.T) {
	t.Parallel()
	w := start(t)
	const many = 205 // more than one transaction takes
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for i := range many {
			u := directory.User{OrgID: w.alpha.ID, ID: directory.NewUserID(), Email: fmt.Sprintf("m%03d@alpha.example", i), Name: fmt.Sprintf("Many %03d", i), Language: "en"}
			if _, err := directory.CreateFirstOwner(ctx, tx, u); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `update users set role = 'member' where org_id = $1 and id = $2`, string(u.OrgID), string(u.ID)); err != nil {
				return err
			}
			if i%2 == 0 {
				if _, err := tx.Exec(ctx, `insert into passwords (org_id, user_id, hash, set_at, failures) values ($1, $2, 'x', 1, 0)`, string(u.OrgID), string(u.ID)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	dbtest.ByHand(t, w.DB)
	does(w.alpha.browsers[directory.Owner], "deactivate", w.idIn(t, directory.Auditor))
	b, beta := w.alpha.browsers[directory.Administrator], w.rows(t, w.beta.ID)
	if p := w.alpha.browsers[directory.Helpdesk].Post(changes, url.Values{"deed": {"end-sessions"}, "everyone": {"yes"}, "confirmed": {"yes"}}); p.Status != 403 {
		t.Errorf("helpdesk ends everyone's sessions: %d", p.Status)
	}
	preview := seen(t, b.Get("/o/alpha/admin/people").Form("everyone").Check("deed", "new-password").Submit(""), 200)
	// The owner, the administrator and the 102 people without a password are left out.
	idptest.Want(t, preview, idptest.Says("console.confirm.number_hint", "Count", 106), idptest.Says("console.change.leaves_out", "Count", 104),
		idptest.Says("console.change.more", "Count", 10))
	if !at(w.alpha.browsers[directory.Member], "alpha") {
		t.Fatal("the preview ended a session")
	}
	idptest.Want(t, preview, idptest.Field("number"), idptest.Element("button", "class", "button bad"))
	for _, typed := range []string{"", "105", "107", "-106", "all", "0", "1e2", "106x"} {
		p := seen(t, preview.Form("main").Fill("number", typed).Submit(""), 422)
		idptest.Want(expect.Case(t, "%q", typed), p, idptest.Says("directory.people_number", "Count", 106), idptest.Input("number", typed), idptest.Element("input", "aria-invalid", "true"))
	}
	if p := seen(t, b.Post(changes, url.Values{"deed": {"new-password"}, "everyone": {"yes"}, "confirmed": {"yes"}}), 422); !p.Has("input", "name", "number") {
		t.Errorf("without a number: %s", p.Text())
	}
	// Meanwhile one more person has a password: the new number is said and asked for.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `insert into passwords (org_id, user_id, hash, set_at, failures) select org_id, id, 'x', 1, 0 from users where org_id = $1 and email = 'm001@alpha.example'`, string(w.alpha.ID))
		return err
	})
	again := seen(t, preview.Form("main").Fill("number", "106").Submit(""), 422)
	idptest.Want(t, again, idptest.Says("directory.people_number", "Count", 107), idptest.Shows("107 people"))
	if !at(w.alpha.browsers[directory.Member], "alpha") {
		t.Fatal("a wrong number ended a session")
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from passwords where org_id = $1 and hash = 'x' and user_id in (select id from users where org_id = $1 and email = 'm001@alpha.example')`, string(w.alpha.ID))
		return err
	})
	done := seen(t, preview.Form("main").Fill("number", " 106 ").Submit(""), 200)
	idptest.Want(t, done, idptest.Says("console.deed.password_done", "Count", 106), idptest.Says("console.change.left_out", "Count", 104))
	for role, browser := range w.alpha.browsers {
		want := role == directory.Owner || role == directory.Administrator
		if at(browser, "alpha") != want {
			t.Errorf("%s is signed in: %v", role, !want)
		}
		u := w.userOf(t, w.alpha.ID, w.idIn(t, role))
		stored, err := credential.StoredPassword(t.Context(), w.DB, credential.Owner{OrgID: u.OrgID, UserID: u.ID})
		if err != nil || stored.ChangeAt.IsZero() != want {
			t.Errorf("%s must change: %v (%v)", role, !stored.ChangeAt.IsZero(), err)
		}
	}
	// A deactivated person stays out, and must meet the demand once allowed in again.
	if w.userOf(t, w.alpha.ID, w.idIn(t, directory.Auditor)).Closed() == nil {
		t.Error("asking for a new password let somebody in")
	}
	if b, p := w.signIn(t, "member@alpha.example", idptest.Password); !p.Has("input", "name", "repetition") || at(b, "alpha") {
		t.Errorf("the next sign-in is at %s: %s", p.URL, p.Text())
	}
	if w.rows(t, w.beta.ID) != beta {
		t.Error("everyone of alpha is not everyone of beta")
	}
}

// R-REC-07: the link goes to the person alone; the administrator who asks for it neither sees
// nor chooses anything.
func TestREC07AdministratorsSendResetsAndSeeNone(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	id := w.idIn(t, directory.Member)
	mine := len(w.LettersTo(t, "administrator@alpha.example"))
	preview := b.Get("/o/alpha/admin/people/"+id).Form("deeds").Check("deed", "reset").Submit("")
	if len(w.LettersTo(t, "member@alpha.example")) != 1 { // the invitation
		t.Error("the preview sent a letter")
	}
	done := seen(t, preview.Form("main").Submit(""), 200)
	link := w.Link(t, "member@alpha.example", "/reset/")
	token := strings.TrimPrefix(link, "/reset/")
	pages := []*idptest.Page{
		preview, done, b.Get("/o/alpha/admin/people/" + id), b.Get("/o/alpha/admin/audit?q=" + id),
		b.Get("/o/alpha/admin/audit/" + w.events(t, w.alpha.ID, "reset.sent")[0].ID),
	}
	for _, p := range pages {
		if strings.Contains(p.Body, token) || strings.Contains(p.Body, "/reset/") {
			t.Errorf("%s shows the link", p.URL)
		}
	}
	if strings.Contains(w.Log.String(), token) || len(w.LettersTo(t, "administrator@alpha.example")) != mine {
		t.Error("the link is in the log, or went to who asked")
	}
	if !at(w.alpha.browsers[directory.Member], "alpha") {
		t.Error("sending a link ended the session")
	}
	for _, field := range []string{"password", "email", "link"} {
		if p := b.Post(changes, url.Values{"deed": {"reset"}, "person[]": {id}, "confirmed": {"yes"}, field: {"x"}}); p.Status != 400 {
			t.Errorf("a field %s: %d", field, p.Status)
		}
	}
	owners := len(w.LettersTo(t, "owner@alpha.example"))
	if p := does(b, "reset", w.idIn(t, directory.Owner)); p.Status != 403 || len(w.LettersTo(t, "owner@alpha.example")) != owners {
		t.Errorf("an administrator resets an owner: %d", p.Status)
	}
}

// R-TEN-07: somebody who gets a deleted person's address inherits nothing of that person.
func TestNewPersonWithADeletedOnesAddressInheritsNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.browsers[directory.Owner]
	const email = "member@alpha.example"
	old, id := w.alpha.browsers[directory.Member], w.idIn(t, directory.Member)
	does(owner, "reset", id)
	link := w.Link(t, email, "/reset/")
	does(owner, "delete", id)
	if p := seen(t, owner.Get("/o/alpha/admin/people?q=member"), 200); p.Says("Person member of alpha") {
		t.Errorf("a deleted person is in the list: %s", p.Text())
	}
	if p := seen(t, owner.Get("/o/alpha/admin/people?q=member&state=deleted"), 200); !p.Says("Person member of alpha " + email + " Member None deleted") {
		t.Errorf("and not in the list of the deleted: %s", p.Text())
	}
	const password = "Nine badgers dig 7 holes!"
	b := w.Browser(t)
	p := b.Get(w.Invite(t, w.alpha.Organization, email, "Somebody Else", directory.Member)).Form("main").
		Fill("password", password).Fill("repetition", password).Submit("")
	if p.URL.Path != "/o/alpha/home" {
		t.Fatalf("the address is not free: %d %s", p.Status, p.Text())
	}
	if at(old, "alpha") || w.Browser(t).Get(link).Status != 410 {
		t.Error("what the deleted person had works for the new one")
	}
	if _, p := w.signIn(t, email, idptest.Password); p.Status != 422 {
		t.Errorf("the deleted person's password opens: %d at %s", p.Status, p.URL)
	}
	idptest.Want(t, does(owner, "restore", id), idptest.Status(409), idptest.Says("directory.address_gotten"))
	w.Clock.Advance(directory.RestorableFor)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	owner = w.freshly(t, directory.Owner)
	if p := owner.Get("/o/alpha/admin/people/" + id); p.Status != 404 {
		t.Errorf("an erased person's page: %d", p.Status)
	}
	idptest.Want(expect.Case(t, "the audit log"), seen(t, owner.Get("/o/alpha/admin/audit?q="+id), 200),
		idptest.Says("audit.action.user.erased"), idptest.Shows("Person member of alpha"))
	if _, p := w.signIn(t, email, password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("erasing took the new person along: %s", p.URL)
	}
}

// A form that no page of ours sends must not do what the page's form does: least of all when a
// script sends "no".
func TestOnlyWhatTheFormSendsDeactivatesAnybody(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	id := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	before := w.rows(t, w.alpha.ID)
	for _, confirmed := range []string{"no", "false", "0", "off", "null", "on", "true"} {
		p := b.Post("/o/alpha/admin/people/change", url.Values{"deed": {"deactivate"}, "person[]": {id}, "confirmed": {confirmed}})
		idptest.Want(t, p, idptest.Status(400), idptest.Says("page.form_malformed"))
	}
	for _, path := range []string{
		"/o/alpha/admin/people?state=invited&state=deleted", "/o/alpha/admin/people?q=a&q=b", "/o/alpha/admin/audit?q=a&q=b", "/o/alpha/admin/people/" + id + "?done=reset&done=delete",
		"/o/alpha/home?q=a&q=b", "/o/alpha/account/security?added&added", "/o/alpha/admin/people?before=08." + id, "/o/alpha/admin/people?before=%2B8." + id,
	} {
		idptest.Want(t, b.Get(path), idptest.Status(400), idptest.Says("page.query_malformed"))
	}
	for _, typed := range []string{"+8", "08", "8.0", "８"} {
		form := b.Get("/o/alpha/admin/rules/password").Form("main").Fill("minimum_length", typed)
		idptest.Want(t, form.Submit("review"), idptest.Status(422))
	}
	for _, typed := range []string{"+1h0m0s", "01h0m0s", "60m0s"} {
		for path, field := range map[string]string{
			"/o/alpha/admin/organization": "invitation_lifetime", "/o/alpha/admin/rules/sessions": "idle", "/o/alpha/admin/rules/password": "reset_lifetime",
		} {
			idptest.Want(t, b.Get(path).Form("main").Fill(field, typed).Submit("review"), idptest.Status(422))
		}
	}
	if w.rows(t, w.alpha.ID) != before {
		t.Error("something was changed")
	}
}
