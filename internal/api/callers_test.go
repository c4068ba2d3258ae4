package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// machine registers an application that acts for itself, gives it rights, and takes a token.
func (w *world) machine(t testing.TB, name string, by directory.User, role directory.Role, scopes ...access.Scope) string {
	t.Helper()
	var a application.Application
	var password string
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		a, password, err = application.Register(ctx, tx, directory.System(by.OrgID), w.URL, application.Application{
			OrgID: by.OrgID, Kind: application.Machine, Settings: application.Settings{Name: name, Auth: application.Secret, OwnBehalf: true},
		})
		if err == nil {
			_, err = access.GrantMachine(ctx, tx, by.AsActor(), by.OrgID, a.ID, access.Right{Scopes: scopes, Role: role})
		}
		return err
	})
	return w.tokens(t, url.Values{"grant_type": {"client_credentials"}, "resource": {w.URL + "/api"}}, string(a.ID), password)
}

// person lets the command line act for the person of a browser, and takes a token.
func (w *world) person(t *testing.T, b *idptest.Browser, scopes ...access.Scope) string {
	t.Helper()
	const to, verifier = "http://127.0.0.1:49152/callback", "a-verifier-of-at-least-forty-three-characters-0123"
	sum := sha256.Sum256([]byte(verifier))
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = string(s)
	}
	p := b.Get("/authorize?" + url.Values{
		"client_id": {string(application.CommandLine)}, "redirect_uri": {to}, "response_type": {"code"}, "scope": {strings.Join(texts, " ")},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	p = p.Form("main").Submit("allow")
	var code string
	for _, link := range append(p.Links(), p.Header.Get("Location")) {
		if u, err := url.Parse(link); err == nil && u.Query().Get("code") != "" {
			code = u.Query().Get("code")
		}
	}
	if code == "" {
		t.Fatalf("no code at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return w.tokens(t, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {to}, "code_verifier": {verifier}}, string(application.CommandLine), "")
}

// tokens takes an access token at /token.
func (w *world) tokens(t testing.TB, form url.Values, client, password string) string {
	t.Helper()
	if password == "" {
		form.Set("client_id", client)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if password != "" {
		q.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(password))
	}
	response, err := w.wire.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got struct {
		Token string `json:"access_token"`
		Error string
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("no token but %q (%d, %v)", got.Error, response.StatusCode, err)
	}
	return got.Token
}

// A machine does what its rights name, and nothing for which somebody has to be a person.
func TestAMachineActsByItsRights(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.users[directory.Owner]
	a := as{token: w.machine(t, "Robot", owner, directory.Administrator, access.ReadPeople, access.WritePeople, access.WriteSettings)}
	got := w.call(t, a, "GET", "/me", "").want(t, 200)
	if got.field("kind") != "machine" {
		t.Errorf("the caller is a %s", got.field("kind"))
	}
	member := "/users/" + string(w.alpha.users[directory.Member].ID)
	w.call(t, a, "POST", member+"/deactivate", "").want(t, 200)
	w.call(t, a, "POST", member+"/role", `{"role": "auditor"}`).want(t, 200)
	w.call(t, a, "PATCH", "/organization", `{"contact": "it@alpha.example"}`).want(t, 200)
	w.call(t, a, "POST", member+"/role", `{"role": "owner"}`).refused(t, 403, "directory.denied", "")
	w.call(t, a, "POST", "/users/"+string(owner.ID)+"/deactivate", "").refused(t, 403, "directory.denied", "")
	w.call(t, a, "POST", "/groups", `{"name": "Drivers"}`).refused(t, 403, "api.scope", "")
	w.call(t, a, "GET", "/users/"+string(w.beta.users[directory.Owner].ID), "").refused(t, 404, "directory.not_found", "")
}

func TestAPersonRevokesTheirOwnToken(t *testing.T) {
	t.Parallel()
	w := start(t)
	auditor := w.alpha.users[directory.Auditor]
	a := as{token: w.token(t, auditor, access.ReadAccess, access.WriteAccess)}
	for _, one := range w.call(t, a, "GET", "/api-tokens", "").want(t, 200).items() {
		owner, _ := one["owner"].(map[string]any)
		status := 403
		if owner["id"] == string(auditor.ID) {
			status = 204
		}
		if id := fmt.Sprint(one["id"]); status == 403 || id != w.call(t, a, "GET", "/me", "").field("id") {
			w.call(t, a, "DELETE", "/api-tokens/"+id, "").want(t, status)
		}
	}
	mine := "/api-tokens/" + w.call(t, a, "GET", "/me", "").field("id")
	w.call(t, a, "DELETE", mine, "").want(t, 204)
	w.call(t, a, "GET", "/me", "").refused(t, 401, "api.token", "")
	w.call(t, as{token: w.alpha.tokens[directory.Auditor]}, "GET", "/me", "").refused(t, 401, "api.token", "")
}

// A right is given by a person who proved lately who they are, never by a token or a machine.
func TestOnlyAPersonGivesAMachineItsRight(t *testing.T) {
	t.Parallel()
	w := start(t)
	const right = `{"scopes": ["parvis.groups.read"], "role": "auditor"}`
	path := "/machines/" + w.alpha.ids["machines"]
	owner := w.alpha.users[directory.Owner]
	machine := as{token: w.machine(t, "Boss", owner, directory.Administrator, access.Reach(directory.Administrator)...)}
	w.call(t, machine, "POST", path, right).refused(t, 403, "api.in_person", "")
	w.call(t, as{token: w.alpha.tokens[directory.Owner]}, "POST", path, right).refused(t, 403, "api.in_person", "")
	a := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.WriteAccess)}
	got := w.call(t, a, "POST", path, right).want(t, 200)
	if scopes := fmt.Sprint(got.json["scopes"]); scopes != "[parvis.groups.read]" {
		t.Errorf("the machine has %s", scopes)
	}
	w.call(t, a, "POST", path, `{"scopes": ["parvis.all"], "role": "auditor"}`).want(t, 422)
	w.call(t, a, "POST", path, `{"scopes": ["parvis.groups.read"], "role": "owner"}`).refused(t, 422, "api.one_of", "/role")
	w.call(t, machine, "DELETE", path, "").want(t, 204)
}

// A token gives nobody a role: neither by an invitation nor by sending one again.
func TestATokenInvitesNobodyWithARole(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner]}
	for _, role := range []string{"owner", "administrator", "helpdesk", "auditor"} {
		w.call(t, a, "POST", "/invitations", `{"email": "bo@alpha.example", "role": "`+role+`"}`).refused(t, 403, "api.in_person", "")
	}
	w.call(t, a, "POST", "/invitations", `{"email": "bo@alpha.example", "role": "member"}`).want(t, 201)
	machine := as{token: w.machine(t, "Boss", w.alpha.users[directory.Owner], directory.Administrator, access.WritePeople)}
	id := w.call(t, machine, "POST", "/invitations", `{"email": "cy@alpha.example", "role": "auditor"}`).want(t, 201).field("id")
	w.call(t, a, "POST", "/invitations/"+id+"/resend", "").refused(t, 403, "api.in_person", "")
	w.call(t, machine, "POST", "/invitations/"+id+"/resend", "").want(t, 200)
}

// What wants a fresh proof of a person tells the command line to ask for one (RFC 9470).
func TestAPersonAtTheCommandLineProvesAgain(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.ReadPeople, access.WritePeople)}
	member := "/users/" + string(w.alpha.users[directory.Member].ID)
	w.call(t, a, "POST", member+"/role", `{"role": "helpdesk"}`).want(t, 200)
	w.Clock.Advance(9 * 60e9)
	w.Clock.Advance(2 * 60e9)
	w.call(t, a, "GET", member, "").refused(t, 401, "api.token", "") // ten minutes are over
	a = as{token: w.person(t, w.alpha.browsers[directory.Owner], access.ReadPeople, access.WritePeople)}
	w.call(t, a, "GET", member, "").want(t, 200)
	got := w.call(t, a, "POST", member+"/role", `{"role": "member"}`)
	got.refused(t, 401, "api.fresh", "")
	if want := `Bearer error="insufficient_user_authentication", max_age="600"`; got.Header.Get("WWW-Authenticate") != want {
		t.Errorf("the challenge is %q, want %q", got.Header.Get("WWW-Authenticate"), want)
	}
}
