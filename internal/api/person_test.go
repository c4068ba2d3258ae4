package api_test

import (
	"fmt"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

func TestOneSessionOfAPersonIsEnded(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.token(t, w.alpha.users[directory.Helpdesk], access.ReadPeople, access.WritePeople)}
	b := w.alpha.browsers[directory.Member]
	member := "/users/" + string(w.alpha.users[directory.Member].ID) + "/sessions"
	open := w.call(t, a, "GET", member, "").want(t, 200).items()
	expect.Equal(t, "open sessions", len(open), 1)
	expect.Equal(t, "the methods of the session", fmt.Sprint(open[0]["methods"]), "[pwd]")
	id := fmt.Sprint(open[0]["id"])
	w.call(t, a, "DELETE", member+"/"+id+"?dry_run=true", "").want(t, 204)
	expect.Equal(t, "the page after a dry run", b.Get("/o/alpha/account").URL.Path, "/o/alpha/account")

	owner := "/users/" + string(w.alpha.users[directory.Owner].ID) + "/sessions"
	other := fmt.Sprint(w.call(t, a, "GET", owner, "").want(t, 200).items()[0]["id"])
	w.call(t, a, "DELETE", owner+"/"+other, "").refused(t, 403, "directory.denied", "")
	w.call(t, a, "DELETE", member+"/"+other, "").refused(t, 404, "directory.not_found", "") // another person's
	neighbours := "/users/" + string(w.beta.users[directory.Member].ID) + "/sessions"
	w.call(t, a, "DELETE", neighbours+"/"+id, "").refused(t, 404, "directory.not_found", "")
	w.call(t, a, "GET", neighbours, "").refused(t, 404, "directory.not_found", "")

	w.call(t, a, "DELETE", member+"/"+id, "").want(t, 204)
	if got := b.Get("/o/alpha/account").URL.Path; got == "/o/alpha/account" {
		t.Error("the session goes on")
	}
	expect.Equal(t, "open sessions", len(w.call(t, a, "GET", member, "").want(t, 200).items()), 0)
	w.call(t, a, "DELETE", member+"/"+id, "").refused(t, 404, "directory.not_found", "")
}

func TestSecondStepsAreCountedAndNotNamed(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Auditor]}
	path := "/users/" + string(w.alpha.users[directory.Member].ID) + "/authenticators"
	const none = `{"apps":{"count":0,"last_used_at":null},"passkeys":{"count":0,"last_used_at":null},"recovery_codes":0,"required":false}`
	expect.Equal(t, "the second steps of who has none", strings.TrimSpace(string(w.call(t, a, "GET", path, "").want(t, 200).text)), none)
	w.EnrolApp(t, w.alpha.browsers[directory.Member].Get("/o/alpha/account/security/add"), "Ana's phone")
	got := w.call(t, a, "GET", path, "").want(t, 200)
	apps, _ := got.json["apps"].(map[string]any)
	expect.Equal(t, "apps", fmt.Sprint(apps["count"]), "1")
	if strings.Contains(string(got.text), "Ana") {
		t.Errorf("the answer names a device: %s", got.text)
	}
	w.call(t, a, "GET", "/users/"+string(w.beta.users[directory.Member].ID)+"/authenticators", "").refused(t, 404, "directory.not_found", "")
}

func TestAPersonIsExported(t *testing.T) {
	t.Parallel()
	w := start(t)
	path := "/users/" + string(w.alpha.users[directory.Member].ID) + "/export"
	a := as{token: w.machine(t, "Requests", w.alpha.users[directory.Owner], directory.Administrator, access.ReadPeople, access.ReadAudit)}
	got := w.call(t, a, "GET", path, "").want(t, 200)
	expect.Equal(t, "media type", got.Header.Get("Content-Type"), "application/json")
	expect.Equal(t, "person", got.json["user_id"], any(string(w.alpha.users[directory.Member].ID)))
	tables, _ := got.json["tables"].(map[string]any)
	expect.Equal(t, "sessions", len(tables["sessions"].([]any)), 1)
	w.call(t, a, "GET", "/users/"+string(w.beta.users[directory.Member].ID)+"/export", "").refused(t, 404, "directory.not_found", "")
	w.call(t, a, "GET", "/users/"+string(w.alpha.users[directory.Owner].ID)+"/export", "").refused(t, 403, "directory.denied", "")
	w.call(t, as{token: w.alpha.tokens[directory.Owner]}, "GET", path, "").refused(t, 403, "api.in_person", "")
	desk := as{token: w.machine(t, "Tickets", w.alpha.users[directory.Owner], directory.Helpdesk, access.ReadPeople)}
	w.call(t, desk, "GET", path, "").refused(t, 403, "api.scope", "")
}

func TestTheLogoOfTheOrganizationIsSet(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Brand", w.alpha.users[directory.Owner], directory.Administrator, access.ReadSettings, access.WriteSettings)}
	sent := as{token: a.token, more: map[string]string{"Content-Type": "image/png"}}
	w.call(t, a, "GET", "/organization/logo", "").refused(t, 404, "directory.not_found", "")
	w.call(t, sent, "PUT", "/organization/logo", drawing(t)).want(t, 204)
	expect.Equal(t, "the type of the logo", w.call(t, a, "GET", "/organization/logo", "").want(t, 200).Header.Get("Content-Type"), "image/png")
	expect.Equal(t, "whether there is a logo", w.call(t, a, "GET", "/organization", "").want(t, 200).json["has_logo"], any(true))
	neighbour := as{token: w.beta.tokens[directory.Owner]}
	w.call(t, neighbour, "GET", "/organization/logo", "").refused(t, 404, "directory.not_found", "")
	w.call(t, as{token: w.alpha.tokens[directory.Owner], more: sent.more}, "PUT", "/organization/logo", drawing(t)).refused(t, 403, "api.in_person", "")
	w.call(t, a, "DELETE", "/organization/logo", "").want(t, 204)
	w.call(t, a, "GET", "/organization/logo", "").want(t, 404)
}

// A batch is judged as the console's file of people is: each beside all the others.
func TestABatchOfInvitationsIsJudgedWhole(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Payroll", w.alpha.users[directory.Owner], directory.Administrator, access.ReadPeople, access.WritePeople)}
	const batch = `{"invitations": [
		{"email": "ana@alpha.example", "name": "Ana Duarte", "role": "auditor", "language": "fr"},
		{"email": "ANA@alpha.example"},
		{"email": "no address"},
		{"email": "boss@alpha.example", "role": "owner"},
		{"email": "lin@alpha.example", "language": "tlh"},
		{"email": "member@alpha.example"},
		{"email": "lin@alpha.example"},
		{"email": "lia@alpha.example"}
	]}`
	want := []string{"", "/invitations/1/email administration.address_twice", "/invitations/2/email directory.address_invalid", "/invitations/3/role administration.owner_from_file",
		"/invitations/4/language administration.language_unknown", "/invitations/5/email directory.already_member", "/invitations/6/email administration.address_twice", ""}
	judged := func(got answer) {
		t.Helper()
		expect.Equal(t, "how many are invited", fmt.Sprint(got.json["done"]), "2")
		for i, item := range got.items() {
			var all []string
			errors, _ := item["errors"].([]any)
			for _, one := range errors {
				e, _ := one.(map[string]any)
				all = append(all, fmt.Sprint(e["pointer"], " ", e["code"]))
			}
			expect.Equal(t, fmt.Sprint("what is wrong with line ", i), strings.Join(all, ", "), want[i])
			expect.Equal(t, fmt.Sprint("whether line ", i, " is invited"), item["done"] == true, want[i] == "")
		}
	}
	before := dbtest.Dump(t, w.DB, "invitations")
	dry := w.call(t, a, "POST", "/invitations/batch?dry_run=true", batch).want(t, 200)
	judged(dry)
	expect.Equal(t, "the invitations after a dry run", dbtest.Dump(t, w.DB, "invitations"), before)
	expect.Equal(t, "the id of an invitation that was not sent", dry.items()[0]["invitation_id"], nil)
	got := w.call(t, a, "POST", "/invitations/batch", batch).want(t, 200)
	want[1] += ", /invitations/1/email directory.already_invited" // by the first line
	judged(got)
	sent := w.call(t, a, "GET", "/invitations/"+fmt.Sprint(got.items()[0]["invitation_id"]), "").want(t, 200)
	expect.Equal(t, "the role of the invitation", sent.field("role"), "auditor")

	w.call(t, a.keyed("one"), "POST", "/invitations/batch", batch).refused(t, 400, "api.no_idempotency_key", "")
	w.call(t, a, "POST", "/invitations/batch", `{"invitations": []}`).refused(t, 422, "api.no_invitation", "/invitations")
	w.call(t, a, "POST", "/invitations/batch", `{"invitations": [`+strings.Repeat(`{"email": "x@alpha.example"},`, 500)+`{"email": "x@alpha.example"}]}`).refused(t, 422, "api.many_invitations", "/invitations")
	w.call(t, a, "POST", "/invitations/batch", `{"invitations": [{"email": "x@alpha.example", "rank": 1}]}`).refused(t, 422, "api.unknown_field", "/invitations/0/rank")
	// A role with rights wants a fresh proof, as for one invitation.
	token := as{token: w.alpha.tokens[directory.Owner]}
	w.call(t, token, "POST", "/invitations/batch", `{"invitations": [{"email": "x@alpha.example"}, {"email": "y@alpha.example", "role": "auditor"}]}`).refused(t, 403, "api.in_person", "")
	w.call(t, token, "POST", "/invitations/batch", `{"invitations": [{"email": "x@alpha.example", "role": "member"}]}`).want(t, 200)
	desk := as{token: w.token(t, w.alpha.users[directory.Helpdesk], access.ReadPeople, access.WritePeople)}
	w.call(t, desk, "POST", "/invitations/batch", `{"invitations": [{"email": "z@alpha.example"}]}`).want(t, 200)
}
