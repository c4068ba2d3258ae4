package api_test

import (
	"fmt"
	"testing"

	"parvis/internal/access"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// link links somebody to the organization's connection.
func (w *world) link(t *testing.T, o organization, role directory.Role) {
	t.Helper()
	dbtest.Do(t, w.DB, `update users set linked = true where org_id = $1 and id = $2`, string(o.ID), string(o.users[role].ID))
	dbtest.Do(t, w.DB, `
		insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at)
		values ($1, $2, 'https://provider.example', 'subject-1', $3, 'ana@provider.example', false, 1, 1)`,
		string(o.ID), o.ids["connections"], string(o.users[role].ID))
}

func TestALinkToAProviderIsRemoved(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.link(t, w.alpha, directory.Member)
	w.link(t, w.beta, directory.Member)
	a := as{token: w.machine(t, "Payroll", w.alpha.users[directory.Owner], directory.Administrator, access.ReadPeople, access.WritePeople)}
	path := "/users/" + string(w.alpha.users[directory.Member].ID) + "/links"
	list := w.call(t, a, "GET", path, "").want(t, 200).items()
	expect.Equal(t, "links", len(list), 1)
	expect.Equal(t, "the address at the provider", list[0]["email"], any("ana@provider.example"))
	id := fmt.Sprint(list[0]["id"])
	w.call(t, a, "DELETE", path+"/"+id+"?dry_run=true", "").want(t, 204)
	expect.Equal(t, "links after a dry run", len(w.call(t, a, "GET", path, "").want(t, 200).items()), 1)

	neighbours := "/users/" + string(w.beta.users[directory.Member].ID) + "/links"
	w.call(t, a, "GET", neighbours, "").refused(t, 404, "directory.not_found", "")
	w.call(t, a, "DELETE", neighbours+"/"+id, "").refused(t, 404, "directory.not_found", "")
	w.call(t, a, "DELETE", "/users/"+string(w.alpha.users[directory.Owner].ID)+"/links/"+id, "").refused(t, 403, "directory.denied", "")
	desk := as{token: w.machine(t, "Tickets", w.alpha.users[directory.Owner], directory.Helpdesk, access.ReadPeople, access.WritePeople)}
	w.call(t, desk, "DELETE", path+"/"+id, "").refused(t, 403, "directory.denied", "")
	w.call(t, as{token: w.alpha.tokens[directory.Owner]}, "DELETE", path+"/"+id, "").refused(t, 403, "api.in_person", "")

	w.call(t, a, "DELETE", path+"/"+id, "").want(t, 204)
	w.call(t, a, "DELETE", path+"/"+id, "").refused(t, 404, "directory.not_found", "")
}

func TestTheLogoOfAConnectionIsSet(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Brand", w.alpha.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}
	sent := as{token: a.token, more: map[string]string{"Content-Type": "image/png"}}
	path := "/connections/" + w.alpha.ids["connections"]
	w.call(t, sent, "PUT", path+"/logo", drawing(t)).want(t, 204)
	expect.Equal(t, "the type of the logo", w.call(t, a, "GET", path+"/logo", "").want(t, 200).Header.Get("Content-Type"), "image/png")
	expect.Equal(t, "whether there is a logo", w.call(t, a, "GET", path, "").want(t, 200).json["has_logo"], any(true))
	w.call(t, sent, "PUT", "/connections/"+w.beta.ids["connections"]+"/logo", drawing(t)).refused(t, 404, "directory.not_found", "")
	w.call(t, a, "DELETE", path+"/logo", "").want(t, 204)
	w.call(t, a, "GET", path+"/logo", "").refused(t, 404, "directory.not_found", "")
}
