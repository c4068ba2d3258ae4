package op_test

import (
	"context"
	"encoding/json"
	"net/url"
	"reflect"
	"testing"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// group makes a group at Meridian with these members, and returns its id.
func (w *world) group(name string, members ...directory.UserID) string {
	w.t.Helper()
	var g directory.Group
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		if g, err = directory.CreateGroup(ctx, tx, directory.Operator(), w.org.ID, name); err == nil {
			_, err = directory.AddMembers(ctx, tx, directory.Operator(), w.org.ID, g.ID, members)
		}
		return err
	})
	return g.ID
}

// told returns the claims of UserInfo about Bo for an application, without sub and org.
func (w *world) told(c client, more ...string) map[string]any {
	w.t.Helper()
	says := w.userInfo(w.enter(w.bo, c, more...).text("access_token")).JSON
	for _, always := range []string{"sub", "org"} {
		if says[always] == nil {
			w.t.Errorf("UserInfo lacks %s: %v", always, says)
		}
		delete(says, always)
	}
	return says
}

// equals compares a claim with JSON.
func (w *world) equals(what string, got any, want string) {
	w.t.Helper()
	var expected any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		w.t.Fatal(err)
	}
	if !reflect.DeepEqual(got, expected) {
		w.t.Errorf("%s: told %v, not %s", what, got, want)
	}
}

// An application gets groups and roles only if it is registered for them and asks for them: its
// own ones, as they are now.
func TestGroupsAndRolesAreToldInTheirScopeAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bo := w.userOf(w.org, "bo@meridian.example")
	drivers, clerks := w.group("Drivers", bo), w.group("Clerks", bo)
	board := w.group("Board")
	s := web()
	s.Scopes = []string{application.OpenID, application.GroupsInfo, application.RolesInfo}
	s.Roles = []application.RoleOf{{Group: clerks, Role: "approver"}, {Group: drivers, Role: "approver"}, {Group: board, Role: "admin"}}
	c := w.register("", application.Web, s)
	w.equals("all scopes", w.told(c), `{"groups": ["Clerks", "Drivers"], "roles": ["approver"]}`)
	w.equals("groups", w.told(c, "scope", "openid groups"), `{"groups": ["Clerks", "Drivers"]}`)
	w.equals("roles", w.told(c, "scope", "openid roles"), `{"roles": ["approver"]}`)
	w.equals("neither", w.told(c, "scope", "openid"), `{}`)
	w.equals("not registered", w.told(w.books(), "scope", "openid groups roles"), `{}`)
	for what, r := range map[string]reply{"at first": w.enter(w.bo, c), "refreshed": w.refresh(c, w.enter(w.bo, c).text("refresh_token"))} {
		for kind, token := range map[string]string{"JWT": r.text("id_token"), "at+jwt": r.text("access_token")} {
			if says := w.claims(token, kind); says["groups"] != nil || says["roles"] != nil {
				t.Errorf("%s a token of type %s says %v", what, kind, says)
			}
		}
	}

	s.InIDToken, s.Scopes = true, append(s.Scopes, application.EmailInfo)
	id := w.claims(w.enter(w.bo, w.register("", application.Web, s)).text("id_token"), "JWT")
	w.equals("in the ID token", []any{id["groups"], id["roles"], id["email"]}, `[["Clerks", "Drivers"], ["approver"], "bo@meridian.example"]`)

	// An application that is for some groups learns only about those.
	token := w.enter(w.bo, c).text("access_token")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Audience: application.SomeGroups, Groups: []string{drivers, board}})
	})
	w.equals("for some groups", w.userInfo(token).JSON["groups"], `["Drivers"]`)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := directory.RemoveMembers(ctx, tx, directory.Operator(), w.org.ID, clerks, []directory.UserID{bo})
		return err
	})
	s.InIDToken = false
	w.equals("after leaving", w.told(w.register("", application.Web, s)), `{"groups": ["Drivers"], "roles": ["approver"], "email": "bo@meridian.example", "email_verified": true, "preferred_username": "bo@meridian.example"}`)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := directory.RemoveMembers(ctx, tx, directory.Operator(), w.org.ID, drivers, []directory.UserID{bo})
		return err
	})
	if r := w.userInfo(token); r.Status != 401 {
		t.Errorf("whom the application is not for any more is told: %d %s", r.Status, r.Body)
	}
}

// Claims with names of an application's own reveal no more than its scopes do. Reserved names
// cannot be registered (R-OPR-08).
func TestClaimsHaveTheNamesThatAnApplicationWants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("Drivers", w.userOf(w.org, "bo@meridian.example"))
	s := web()
	s.Scopes, s.InIDToken = application.Scopes, true
	for _, source := range application.Sources {
		s.Claims = append(s.Claims, application.Claim{Name: "https://books.example/" + source, Source: source, Value: "of " + source})
	}
	c := w.register("", application.Web, s)
	want := `{"name": "Bo Lind", "email": "bo@meridian.example", "role": "member", "language": "en", "groups": ["Drivers"], "organization": "meridian", "fixed": "of fixed"}`
	r := w.enter(w.bo, c)
	for kind, says := range map[string]map[string]any{"UserInfo": w.userInfo(r.text("access_token")).JSON, "the ID token": w.claims(r.text("id_token"), "JWT")} {
		own := map[string]any{}
		for _, source := range application.Sources {
			own[source] = says["https://books.example/"+source]
		}
		if own["user_id"] != says["sub"] {
			t.Errorf("%s names %v", kind, own["user_id"])
		}
		delete(own, "user_id")
		w.equals(kind, own, want)
	}
	if says := w.told(c, "scope", "openid"); len(says) != 3 { // user_id, organization, fixed
		t.Errorf("with openid alone UserInfo says %v", says)
	}
	for _, taken := range []string{"sub", "iss", "aud", "org", "acr", "email_verified", "roles", "at_hash", "cnf"} {
		s.Claims = []application.Claim{{Name: taken, Source: "fixed", Value: "x"}}
		if err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, _, err := application.Register(t.Context(), tx, directory.Operator(), w.URL, application.Application{Kind: application.Web, Settings: s})
			return err
		}); err == nil {
			t.Errorf("%s may be anything", taken)
		}
	}
}

// With pairwise subjects, applications of different hosts cannot recognize a person by comparing
// (OIDC Core §8.1).
func TestPairwiseSubjectsDifferByHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(address string, pairwise bool) client {
		s := web()
		s.RedirectURIs, s.Pairwise, s.PostLogoutURIs = []string{address}, pairwise, nil
		return w.register("", application.Web, s)
	}
	subject := func(c client) string {
		t.Helper()
		r := w.enter(w.bo, c)
		sub, _ := w.claims(r.text("id_token"), "JWT")["sub"].(string)
		again := w.refresh(c, r.text("refresh_token"))
		for what, got := range map[string]any{
			"UserInfo":     w.userInfo(r.text("access_token")).JSON["sub"],
			"access token": w.claims(r.text("access_token"), "at+jwt")["sub"],
			"refreshed":    w.claims(again.text("id_token"), "JWT")["sub"],
		} {
			if got != sub || sub == "" {
				t.Errorf("%s says %v, the ID token %s", what, got, sub)
			}
		}
		if got := answer(authorize(w.bo, c.request("prompt", "none", "id_token_hint", r.text("id_token")))); got.Get("code") == "" {
			t.Errorf("its own ID token is no hint: %v", got)
		}
		return sub
	}
	public, one, same, other := subject(w.books()), subject(at("https://one.example/callback", true)), subject(at("https://one.example/other", true)), subject(at("https://other.example/callback", true))
	expect.Equal(t, "subject at the same host", one, same)
	expect.Equal(t, "public subject at one host", subject(at("https://one.example/callback", false)), public)
	if one == other || one == public || other == public {
		t.Errorf("public %s, at one host %s and %s, at another %s", public, one, same, other)
	}
	if got := answer(authorize(w.bo, at("https://other.example/callback", true).request("prompt", "none", "id_token_hint", w.enter(w.bo, w.books()).text("id_token")))); got.Get("error") == "" {
		t.Errorf("another application's ID token is a hint: %v", got)
	}
}

// Signed UserInfo names its issuer and its audience (OIDC Core §5.3.2).
func TestUserInfoIsSignedWhereThatWasRegistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := web()
	s.SignsInfo = true
	c := w.register("", application.Web, s)
	r := w.userInfo(w.enter(w.bo, c).text("access_token"))
	says := w.claims(r.Body, "userinfo+jwt")
	expect.Equal(t, "Content-Type", r.Header.Get("Content-Type"), "application/jwt")
	expect.Equal[any](t, "iss", says["iss"], w.URL)
	expect.Equal[any](t, "aud", says["aud"], string(c.ID))
	expect.Equal[any](t, "email", says["email"], "bo@meridian.example")
	if r := w.userInfo(r.Body); r.Status != 401 {
		t.Errorf("it passes for an access token: %d %s", r.Status, r.Body)
	}
	if got := answer(authorize(w.bo, c.request("id_token_hint", r.Body))); got.Get("error") != "invalid_request" {
		t.Errorf("it passes for an ID token: %v", got)
	}
	if p := w.bo.Get("/end-session?" + url.Values{"id_token_hint": {r.Body}}.Encode()); p.Status != 400 {
		t.Errorf("it passes for an ID token: %d %s", p.Status, p.URL)
	}
}
