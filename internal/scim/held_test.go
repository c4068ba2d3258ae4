package scim_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
)

// waiting returns what waits for an administrator: each kind with its subject, in order.
func (s *source) waiting(t testing.TB) (all []string) {
	t.Helper()
	found, err := provisioning.WaitingFor(t.Context(), s.w.DB, directory.Operator(), s.Source, 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range found {
		all = append(all, string(w.Kind)+" "+w.Subject)
	}
	slices.Sort(all)
	return all
}

// agree settles what waits of a kind.
func (s *source) agree(t testing.TB, kind provisioning.Kind) {
	t.Helper()
	all, err := provisioning.WaitingFor(t.Context(), s.w.DB, directory.Operator(), s.Source, 50)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(w provisioning.Waiting) bool { return w.Kind == kind })
	if i < 0 {
		t.Fatalf("no %s waits", kind)
	}
	s.w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return s.w.Sources.Settle(ctx, tx, directory.Operator(), s.Source, all[i].ID, true)
	})
}

// said returns what is kept of the calls that ended in a way: method, path, what was done and what
// was wrong, in order.
func (s *source) said(t testing.TB, outcome provisioning.Outcome) (all []string) {
	t.Helper()
	calls, err := provisioning.Calls(t.Context(), s.w.DB, directory.Operator(), s.Source, provisioning.Call{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		if c.Outcome != outcome {
			continue
		}
		one := c.Method + " " + c.Path
		for _, r := range slices.Concat(c.Did, c.Notes) {
			one += " " + r.Key
		}
		all = append(all, one)
	}
	slices.Sort(all)
	return all
}

// A deletion beyond the measure is answered 202: the person is shut out and stays, until somebody
// agrees. The source's calls say that it waits.
func TestADeletionThatIsHeldIsAccepted(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	var ids []string
	for i := range 13 {
		ids = append(ids, s.hire(t, fmt.Sprintf("p%02d@alpha.example", i)).id())
	}
	ben := w.beta.hire(t, "ben@beta.example").id()
	w.Clock.Advance(time.Second) // or they would be people who were never in
	for _, id := range ids[:10] {
		s.must(t, 204, "DELETE", "/Users/"+id, "")
	}
	expect.Equal(t, "held of ten", strings.Join(s.said(t, provisioning.Held), ", "), "")
	at := "/Users/" + ids[10]
	expect.Equal(t, "the answer", s.must(t, 202, "DELETE", at, "").text, "")
	expect.Equal(t, "shut out, and there", s.must(t, 200, "GET", at, "").get("active"), any(false))
	expect.Equal(t, "the call", strings.Join(s.said(t, provisioning.Held), ", "),
		"DELETE "+at+" provisioning.did.shut_out provisioning.did.waits.whole_batch provisioning.did.waits.delete_person")
	bulk := s.must(t, 200, "POST", "/Bulk", bulkOf(`{"method":"DELETE","path":"/Users/`+ids[11]+`"}`))
	if !strings.Contains(bulk.text, `"202"`) {
		t.Errorf("in bulk: %s", bulk.text)
	}
	expect.Equal(t, "what waits", strings.Join(s.waiting(t), ", "), strings.Join(sorted([]string{"delete_person " + ids[10], "delete_person " + ids[11], "whole_batch " + s.ID}), ", "))
	expect.Equal(t, "calls that wait", len(s.said(t, provisioning.Held)), 2)
	s.must(t, 202, "DELETE", at, "")
	expect.Equal(t, "what waits, asked again", len(s.waiting(t)), 3)
	w.beta.must(t, 204, "DELETE", "/Users/"+ben, "") // the measure is of one source
	s.agree(t, provisioning.DeletePerson)
	s.agree(t, provisioning.DeletePerson)
	s.refused(t, 404, "", "GET", at, "")
	s.refused(t, 404, "", "GET", "/Users/"+ids[11], "")
}

// The same of groups that would lose many: they stay as they are.
func TestAGroupThatIsHeldIsAccepted(t *testing.T) {
	t.Parallel()
	s := start(t).alpha
	var ids []string
	for i := range 12 {
		ids = append(ids, s.hire(t, fmt.Sprintf("p%02d@alpha.example", i)).id())
	}
	g := s.must(t, 201, "POST", "/Groups", group("Drivers", ids...)).id()
	at := "/Groups/" + g
	s.must(t, 202, "PATCH", at, patch(`{"op":"replace","path":"members","value":[]}`))
	put := s.must(t, 202, "PUT", at, group("Drivers"))
	members, _ := put.get("members").([]any)
	expect.Equal(t, "the answer has whom it keeps", len(members), 12)
	s.must(t, 202, "DELETE", at, "")
	members, _ = s.must(t, 200, "GET", at, "").get("members").([]any)
	expect.Equal(t, "they stay", len(members), 12)
	expect.Equal(t, "what waits", strings.Join(s.waiting(t), ", "), "delete_group "+g+", remove_members "+g)
	expect.Equal(t, "the calls", strings.Join(s.said(t, provisioning.Held), ", "),
		"DELETE "+at+" provisioning.did.waits.delete_group, PATCH "+at+" provisioning.did.waits.remove_members, PUT "+at+" provisioning.did.waits.remove_members")
	s.agree(t, provisioning.RemoveMembers)
	if left := s.must(t, 200, "GET", at, "").get("members"); left != nil {
		t.Errorf("once agreed: %v", left)
	}
	s.agree(t, provisioning.DeleteGroup)
	s.refused(t, 404, "", "GET", at, "")
}

// SCM-4: an owner is shut out by no call. It is refused, said in the call log, and told to the owners once.
func TestSCM4NoCallShutsOutAnOwner(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	ana := s.hire(t, "ana@alpha.example", `"displayName":"Ana"`).id()
	dbtest.GivePassword(t, w.DB, string(s.org.ID), ana)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, directory.Operator(), s.org.ID, directory.UserID(ana), directory.Owner)
	})
	tables := func() (all string) {
		for _, table := range []string{"users", "provisioned", "audit_events"} {
			all += dbtest.Dump(t, w.DB, table)
		}
		return all
	}
	at, before := "/Users/"+ana, tables()
	s.refused(t, 403, "", "PATCH", at, patch(`{"op":"replace","path":"active","value":false}`))
	s.refused(t, 403, "", "PATCH", at, patch(`{"op":"replace","value":{"active":false,"displayName":"X"}}`))
	s.refused(t, 403, "", "PUT", at, user("ana@alpha.example", `"active":false`))
	s.refused(t, 403, "", "DELETE", at, "")
	bulk := s.must(t, 200, "POST", "/Bulk", bulkOf(`{"method":"DELETE","path":"`+at+`"}`))
	if !strings.Contains(bulk.text, `"403"`) {
		t.Errorf("in bulk: %s", bulk.text)
	}
	if tables() != before {
		t.Error("something changed")
	}
	expect.Equal(t, "still in", s.must(t, 200, "GET", at, "").get("active"), any(true))
	expect.Equal(t, "what waits", strings.Join(s.waiting(t), ", "), "shut_out_owner "+ana)
	refused := s.said(t, provisioning.Refused)
	expect.Equal(t, "calls that were refused", len(refused), 5)
	for _, one := range refused {
		if !strings.HasSuffix(one, at+" provisioning.did.waits.shut_out_owner provisioning.owner") {
			t.Errorf("a call that was refused: %s", one)
		}
	}
	expect.Equal(t, "calls that wait", len(s.said(t, provisioning.Held)), 0)
	expect.Equal(t, "letters to the owner", len(w.LettersTo(t, "ana@alpha.example")), 1)
	said := s.must(t, 200, "PATCH", at, patch(`{"op":"replace","path":"displayName","value":"Somebody Else"}`))
	expect.Equal(t, "what the directory said, as it is kept", said.get("displayName"), any("Somebody Else"))
	now, err := directory.UserByID(t.Context(), w.DB, s.org.ID, directory.UserID(ana))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "her name", now.Name, "Ana")
}

// Whom a call shuts out is out, whatever else it says that is refused; that stays as it was, in the
// answer too. Of somebody who is out already, or stays in, the same is refused. A PATCH of which an
// operation fails is refused whole (RFC 7644 §3.5.2).
func TestWhoIsShutOutIsOutWhateverElseIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	name := strings.Repeat("N", 1000)
	large := strings.Repeat("x", 30_000) // thrice is more than is kept of a person
	for what, c := range map[string]struct{ method, body string }{
		"a name":         {"PATCH", patch(`{"op":"replace","value":{"active":false,"displayName":"` + name + `"}}`)},
		"a name by PUT":  {"PUT", user("{email}", `"active":false`, `"displayName":"`+name+`"`)},
		"too much":       {"PUT", user("{email}", `"active":false`, `"title":"`+large+`"`, `"nickName":"`+large+`"`, `"userType":"`+large+`"`)},
		"no address":     {"PUT", `{"schemas":["` + document.UserURI + `"],"userName":"ana","active":false}`},
		"address, names": {"PATCH", patch(`{"op":"replace","value":{"active":"False","userName":"no@such@address","name.givenName":"` + name + `"}}`)},
	} {
		t.Run(what, func(t *testing.T) {
			email := strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(what)) + "@alpha.example"
			before := s.hire(t, email, `"displayName":"Ana"`)
			at := "/Users/" + before.id()
			body := strings.ReplaceAll(c.body, "{email}", email)
			in := strings.NewReplacer(`"active":false`, `"active":true`, `"active":"False"`, `"active":"True"`).Replace(body)
			if got := s.call(t, c.method, at, in); got.status < 400 || got.status > 499 {
				t.Errorf("refused with %d: %s", got.status, got.text)
			}
			expect.Equal(t, "in after it was refused", s.must(t, 200, "GET", at, "").get("active"), any(true))
			got := s.must(t, 200, c.method, at, body)
			expect.Equal(t, "out", got.get("active"), any(false))
			expect.Equal(t, "the address", got.get("userName"), any(email))
			expect.Equal(t, "the name", got.get("displayName"), any("Ana"))
			now, err := directory.UserByID(t.Context(), w.DB, s.org.ID, directory.UserID(before.id()))
			if err != nil || now.DeactivatedAt.IsZero() {
				t.Errorf("stored: %+v, %v", now, err)
			}
			expect.Equal(t, "the stored name and address", now.Name+" "+now.Email, "Ana "+email)
		})
	}
	at := "/Users/" + s.hire(t, "half@alpha.example").id()
	s.refused(t, 400, "invalidPath", "PATCH", at, patch(`{"op":"replace","path":"active","value":false}`, `{"op":"replace","path":"no.such","value":"x"}`))
	expect.Equal(t, "in, since an operation failed", s.must(t, 200, "GET", at, "").get("active"), any(true))
}

// What a directory asked for no longer waits once it says the opposite, or once another directory keeps
// whom it is about: nobody is let in, deleted or taken out of a group by what is no longer meant.
func TestWhatIsNoLongerMeantWaitsForNobody(t *testing.T) {
	t.Parallel()
	w := start(t)
	s, other := w.alpha, w.source(t, w.alpha.org, provisioning.On, true)
	ids := make([]string, 13)
	for i := range ids {
		ids[i] = s.hire(t, fmt.Sprintf("p%02d@alpha.example", i)).id()
	}
	active := func(value, id string) {
		t.Helper()
		s.must(t, 200, "PATCH", "/Users/"+id, patch(`{"op":"Replace","path":"active","value":"`+value+`"}`))
	}
	waits := func(want ...string) {
		t.Helper()
		expect.Equal(t, "what waits", strings.Join(s.waiting(t), ", "), strings.Join(sorted(want), ", "))
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, directory.Operator(), s.org.ID, directory.UserID(ids[0]))
	})
	active("True", ids[0])
	s.must(t, 200, "PATCH", "/Users/"+ids[0], patch(`{"op":"Replace","path":"title","value":"Driver"}`))
	waits("let_in_again " + ids[0]) // a title says nothing about it
	active("False", ids[0])
	waits()
	active("True", ids[0])
	s.must(t, 200, "PUT", "/Users/"+ids[0], user("p00@alpha.example", `"title":"Driver"`))
	waits("let_in_again " + ids[0])
	s.must(t, 200, "PUT", "/Users/"+ids[0], user("p00@alpha.example", `"active":false`))
	waits()
	active("True", ids[0])
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Reactivate(ctx, tx, directory.Operator(), s.org.ID, directory.UserID(ids[0]))
	})
	waits("let_in_again " + ids[0])
	active("False", ids[0]) // an administrator who agreed to it by now would undo that
	waits()

	gone := s.must(t, 201, "POST", "/Users", user("gone@alpha.example")).id()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, directory.Operator(), s.org.ID, directory.UserID(gone))
	})
	active("True", gone)
	waits("let_in_again " + gone)
	s.must(t, 204, "DELETE", "/Users/"+gone, "")
	waits()
	w.Clock.Advance(2 * time.Hour)

	g := s.must(t, 201, "POST", "/Groups", group("Drivers", ids...)).id()
	s.must(t, 202, "PATCH", "/Groups/"+g, patch(`{"op":"replace","path":"members","value":[]}`))
	add := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			s.must(t, 204, "PATCH", "/Groups/"+g, patch(`{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`))
		}
	}
	add(ids[1])
	s.agree(t, provisioning.RemoveMembers)
	members, _ := s.must(t, 200, "GET", "/Groups/"+g, "").get("members").([]any)
	expect.Equal(t, "members", len(members), 1)
	s.must(t, 204, "PATCH", "/Groups/"+g, patch(`{"op":"add","path":"members","value":[{"value":"`+strings.Join(ids[2:], `"},{"value":"`)+`"}]}`))
	s.must(t, 202, "PUT", "/Groups/"+g, group("Drivers"))
	waits("remove_members " + g)
	add(ids[1:]...)
	waits()

	w.Clock.Advance(time.Second)
	for _, id := range ids[1:11] {
		s.must(t, 204, "DELETE", "/Users/"+id, "")
	}
	s.must(t, 202, "DELETE", "/Users/"+ids[11], "")
	s.must(t, 202, "DELETE", "/Users/"+ids[12], "")
	waits("whole_batch "+s.ID, "delete_person "+ids[11], "delete_person "+ids[12])
	active("True", ids[11])
	waits("whole_batch "+s.ID, "delete_person "+ids[12])
	other.refused(t, 409, "uniqueness", "POST", "/Users", user("p12@alpha.example"))
	other.agree(t, provisioning.AdoptPerson)
	waits("whole_batch " + s.ID)
}

// Another address of somebody with a role waits no longer once the directory says the one that they
// have. What it says of anything else, or of a second address, leaves it waiting.
func TestAnAddressThatIsNoLongerMeantWaitsForNobody(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	s.proves(t, "alpha.example")
	id := s.hire(t, "ana@alpha.example").id()
	dbtest.GivePassword(t, w.DB, string(s.org.ID), id)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, directory.Operator(), s.org.ID, directory.UserID(id), directory.Helpdesk)
	})
	at := "/Users/" + id
	says := func(body, want string) {
		t.Helper()
		w.Clock.Advance(time.Second)
		s.must(t, 200, "PATCH", at, patch(body))
		expect.Equal(t, "what waits", strings.Join(s.waiting(t), ", "), want)
	}
	const waits = "change_address "
	says(`{"op":"replace","path":"userName","value":"ben@alpha.example"}`, waits+id)
	says(`{"op":"replace","path":"title","value":"Driver"}`, waits+id)
	says(`{"op":"add","path":"emails","value":[{"type":"home","value":"ana@alpha.example"}]}`, waits+id)
	says(`{"op":"replace","path":"userName","value":"ANA@alpha.example"}`, "")
	says(`{"op":"replace","path":"userName","value":"ben@alpha.example"}`, waits+id)
	s.must(t, 200, "PUT", at, user("ana@alpha.example"))
	expect.Equal(t, "what waits after PUT", strings.Join(s.waiting(t), ", "), "")
	var settled int
	if _, err := w.DB.One(t.Context(), db.Into(&settled), `select count(*) from audit_events where org_id = $1 and action = 'source.settled' and actor = $2`,
		string(s.org.ID), s.ID); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "withdrawals that were recorded", settled, 2)
}

func bulkOf(operations ...string) string {
	return `{"schemas":["` + document.BulkURI + `"],"Operations":[` + strings.Join(operations, ",") + `]}`
}
