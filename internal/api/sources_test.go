package api_test

import (
	"errors"
	"fmt"
	"testing"

	"parvis/internal/access"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/provisioning"
)

// A directory is added, watched, turned on, and what it asked for is decided, by a machine.
func TestADirectoryIsAddedAndLookedAfter(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Registrar", w.alpha.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}
	id := w.call(t, a, "POST", "/sources", `{"name": "Entra", "provider": "entra"}`).want(t, 201).field("id")
	path := "/sources/" + id
	w.call(t, a, "POST", "/sources", `{"name": "ENTRA", "provider": "okta"}`).refused(t, 422, "provisioning.name_taken", "/name")
	w.call(t, a, "POST", "/sources", `{"name": "Third", "provider": "ldap"}`).refused(t, 422, "api.one_of", "/provider")
	shown := w.call(t, a, "PATCH", path, `{"invites": true}`).want(t, 200)
	expect.Equal(t, "invites", shown.json["invites"], any(true))
	expect.Equal(t, "only watches", shown.field("state"), "watching")
	expect.Equal(t, "comes in by", shown.json["connection_id"], nil)
	shown = w.call(t, a, "PATCH", path, `{"connection_id": "`+w.alpha.ids["connections"]+`"}`).want(t, 200)
	expect.Equal(t, "comes in by", shown.field("connection_id"), w.alpha.ids["connections"])
	w.call(t, a, "PATCH", path, `{"connection_id": "`+w.beta.ids["connections"]+`"}`).refused(t, 422, "provisioning.connection_unknown", "/connection_id")
	w.call(t, a, "POST", "/sources", `{"name": "Third", "provider": "okta", "connection_id": "`+w.beta.ids["connections"]+`"}`).refused(t, 422, "provisioning.connection_unknown", "/connection_id")
	expect.Equal(t, "comes in by any", w.call(t, a, "PATCH", path, `{"connection_id": null}`).want(t, 200).json["connection_id"], nil)
	expect.Equal(t, "turned on", w.call(t, a, "POST", path+"/turn-on", "").want(t, 200).field("state"), "on")

	s, err := provisioning.SourceByID(t.Context(), w.DB, directory.Operator(), w.alpha.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	member := w.alpha.users[directory.Member]
	err = w.Sources.Write(t.Context(), s, provisioning.Call{Method: "POST", Path: "/Users"}, func(tx *db.Tx, s provisioning.Source) error {
		_, err := w.Sources.CreatePerson(t.Context(), tx, s, provisioning.Person{Email: member.Email, Active: true})
		return err
	})
	if !errors.Is(err, provisioning.ErrUniqueness) {
		t.Fatal(err)
	}
	calls := w.call(t, a, "GET", path+"/calls", "").want(t, 200)
	expect.Equal(t, "calls", len(calls.json["items"].([]any)), 1)                           //nolint:forcetypeassert // The test fails.
	one := w.call(t, a, "GET", path+"/conflicts", "").want(t, 200).json["items"].([]any)[0] //nolint:forcetypeassert // The test fails.
	conflict := one.(map[string]any)["id"].(string)                                         //nolint:forcetypeassert // The test fails.
	b := as{token: w.machine(t, "Neighbour", w.beta.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}
	w.call(t, b, "POST", path+"/conflicts/"+conflict+"/agree", "").refused(t, 404, "directory.not_found", "")
	expect.Equal(t, "waiting", fmt.Sprint(w.call(t, a, "POST", path+"/conflicts/"+conflict+"/agree", "").want(t, 200).json["waiting"]), "0")
	w.call(t, a, "POST", path+"/conflicts/"+conflict+"/dismiss", "").refused(t, 409, "provisioning.settled", "")
	now, err := directory.UserByID(t.Context(), w.DB, w.alpha.ID, member.ID)
	if err != nil || now.SourceID != id {
		t.Errorf("the member is kept by %q, %v", now.SourceID, err)
	}
	w.call(t, a, "DELETE", path, "").want(t, 204)
}

// Whom a provider may link is a person's decision, made afresh: a token changes what else was chosen of
// a source, alone and by a configuration.
func TestTheConnectionOfADirectoryWantsAFreshProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.users[directory.Owner]
	token := as{token: w.token(t, owner, access.ReadConnections, access.WriteConnections)}
	machine := as{token: w.machine(t, "Registrar", owner, directory.Administrator, access.WriteConnections)}
	path, connection := "/sources/"+w.alpha.ids["sources"], w.alpha.ids["connections"]
	name := w.call(t, token, "GET", "/connections/"+connection, "").want(t, 200).field("name")
	refused := func(by, none string) {
		t.Helper()
		w.call(t, token, "PATCH", path, `{"connection_id": `+by+`}`).refused(t, 403, "api.in_person", "")
		w.call(t, token, "PATCH", path+"?dry_run=true", `{"connection_id": `+by+`}`).refused(t, 403, "api.in_person", "")
		w.call(t, token, "PUT", "/configuration?dry_run=true", ofAlpha+`"sources": [{"id": "`+w.alpha.ids["sources"]+`", "connection": `+none+`}]}`).
			refused(t, 403, "api.in_person", "/sources/0")
	}
	refused(`"`+connection+`"`, `"`+name+`"`)
	w.call(t, token, "PATCH", path, `{"invites": true, "connection_id": null}`).want(t, 200)
	w.call(t, machine, "PATCH", path, `{"connection_id": "`+connection+`"}`).want(t, 200)
	refused("null", "null")
	w.call(t, token, "PATCH", path, `{"name": "Staff", "connection_id": "`+connection+`"}`).want(t, 200)
	expect.Equal(t, "comes in by", w.call(t, token, "GET", path, "").want(t, 200).field("connection_id"), connection)
}

// What a call of a directory would do is told in words, with the address of the directory or without.
func TestACallOfADirectoryIsChecked(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Registrar", w.alpha.users[directory.Owner], directory.Administrator, access.WriteConnections)}
	id := w.call(t, a, "POST", "/sources", `{"name": "Entra", "provider": "entra"}`).want(t, 201).field("id")
	path := "/sources/" + id + "/check"
	b := as{token: w.machine(t, "Neighbour", w.beta.users[directory.Owner], directory.Administrator, access.WriteConnections)}
	before := w.dump(t)
	got := w.call(t, a, "POST", path, `{"method": "POST", "path": "/Users", "body": "{\"userName\": \"lin@alpha.example\"}"}`).want(t, 200)
	expect.Equal(t, "fate", fmt.Sprint(got.json["outcome"], got.json["did"]), "done["+idptest.Sentence(t, "provisioning.did.created", "Name", "lin@alpha.example", "Email", "lin@alpha.example")+"]")
	got = w.call(t, a, "POST", path, `{"method": "POST", "path": "/Users", "body": "{"}`).want(t, 200)
	expect.Equal(t, "what is wrong", fmt.Sprint(got.json["outcome"], got.json["notes"]), "refused["+idptest.Sentence(t, "scim.not_json", "Line", 1, "Column", 2)+"]")
	w.call(t, a, "POST", path, `{"method": "DELETE", "path": "/Bulk"}`).refused(t, 422, "provisioning.sent_path", "/path")
	w.call(t, a, "POST", path, `{"method": "GET", "path": "/Users"}`).refused(t, 422, "api.one_of", "/method")
	w.call(t, b, "POST", path, `{"method": "POST", "path": "/Users", "body": "{}"}`).refused(t, 404, "directory.not_found", "")
	expect.Equal(t, "nothing changed", w.dump(t) == before, true)
}
