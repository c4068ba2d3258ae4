package api_test

import (
	"fmt"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// A person whom a directory keeps: what the API shows of them, what it does not change, and the
// invitation that a reset is for them.
func TestAPersonWhomADirectoryKeeps(t *testing.T) {
	t.Parallel()
	w := start(t)
	u := w.Provision(t, w.alpha.Organization, "ada@alpha.example", "Ada Lovelace")
	path := "/users/" + string(u.ID)
	a := as{token: w.machine(t, "Payroll", w.alpha.users[directory.Owner], directory.Administrator, access.ReadPeople, access.WritePeople)}
	shown := w.call(t, a, "GET", path, "").want(t, 200)
	expect.Equal(t, "what is shown", fmt.Sprint(shown.json["source_id"], shown.json["external_id"], shown.json["given_name"], shown.json["has_password"], shown.json["linked"], shown.json["state"]),
		fmt.Sprint(u.SourceID, nil, "", false, false, "active"))
	member := "/users/" + string(w.alpha.users[directory.Member].ID)
	other := w.call(t, a, "PATCH", member, `{"given_name": "Mem", "family_name": "Ber"}`).want(t, 200)
	expect.Equal(t, "somebody else", fmt.Sprintf("%v %v %v", other.json["source_id"], other.json["given_name"], other.json["family_name"]), "<nil> Mem Ber")
	w.call(t, a, "PATCH", member, `{"given_name": "`+strings.Repeat("x", 101)+`"}`).refused(t, 422, "directory.name_long", "/given_name")
	for _, body := range []string{`{"name": "X"}`, `{"given_name": "X"}`, `{"family_name": "X"}`} {
		w.call(t, a, "PATCH", path, body).refused(t, 409, "directory.provisioned", "")
	}
	w.call(t, a, "PATCH", path, `{"time_zone": "Europe/Paris"}`).want(t, 200)
	for _, body := range []string{`{"source_id": null}`, `{"external_id": "9"}`} {
		w.call(t, a, "PATCH", path, body).want(t, 422)
	}
	owner := as{token: w.alpha.tokens[directory.Owner]}
	w.call(t, a, "POST", path+"/send-reset", "").want(t, 200)
	path, found := strings.CutPrefix(w.Link(t, "ada@alpha.example", "/invitation/"), "/invitation/")
	expect.Equal(t, "whether the letter has an invitation", found && path != "", true)
	batch := w.call(t, a, "POST", "/users/batch", `{"deed": "send_reset", "user_ids": ["`+string(u.ID)+`"]}`).want(t, 200)
	expect.Equal(t, "how many a batch invites", fmt.Sprint(batch.json["done"]), "1")
	w.call(t, owner, "POST", "/invitations", `{"email": "ada@alpha.example"}`).refused(t, 422, "directory.already_invited", "/email")
	w.call(t, as{token: w.beta.tokens[directory.Owner]}, "POST", "/users/"+string(u.ID)+"/send-reset", "").refused(t, 404, "directory.not_found", "")
}
