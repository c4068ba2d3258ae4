package op_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// refuses checks that an application is refused with this sentence, or registered if key is
// empty.
func (w *world) refuses(what string, org directory.OrgID, kind application.Kind, s application.Settings, key string) {
	w.t.Helper()
	_ = w.refusal(what, org, kind, s, key)
}

// refusal does what refuses does, and returns the fault.
func (w *world) refusal(what string, org directory.OrgID, kind application.Kind, s application.Settings, key string) *fault.Error {
	w.t.Helper()
	s = w.distinct(s)
	err := w.DB.Update(w.t.Context(), func(tx *db.Tx) error {
		_, _, err := application.Register(w.t.Context(), tx, directory.Operator(), w.URL, application.Application{OrgID: org, Kind: kind, Settings: s})
		return err
	})
	f, _ := errors.AsType[*fault.Error](err)
	switch {
	case key == "" && err != nil:
		w.t.Errorf("%s is refused: %v", what, err)
	case key != "" && (f == nil || f.Key != key):
		w.t.Errorf("%s: %v, want %s", what, err, key)
	}
	return f
}

// stored changes the settings of an application in the database, as an earlier version may have
// left them.
func (w *world) stored(c client, change func(*application.Settings)) {
	w.t.Helper()
	s := c.Settings
	change(&s)
	text, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update clients set settings = $1 where id = $2`, string(text), string(c.ID))
		return err
	})
}

// R-OPR-08: a name that some reader may take for a reserved one is reserved too. Go's JSON ignores
// letter case, a header has no punctuation except the hyphen, and a dot leads into an object.
func TestOPR5ReservedClaimsAreReservedHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claim := func(name string) application.Settings {
		return settings(func(s *application.Settings) {
			s.Claims = []application.Claim{{Name: name, Source: "fixed", Value: "x"}}
		})
	}
	for _, name := range []string{
		"EMAIL", "Email", "Sub", "SUB", "Amr", "aMR", "Org", "org.id", "ORG.Id", "email-verified", "email.verified", "Email_Verified", "email:verified", "auth-time", "At-Hash",
		"Preferred_Username", "preferred-username", "Updated_At", "groups.0",
	} {
		w.refuses(name, "", application.Web, claim(name), "op.field.claims_reserved")
	}
	for _, name := range []string{"preferred_username", "updated_at", "mail", "orgs", "organization", "subject", "https://books.example/email", "my.email"} {
		w.refuses(name, "", application.Web, claim(name), "")
	}
	w.refuses("the same twice", "", application.Web, settings(func(s *application.Settings) {
		s.Claims = []application.Claim{{Name: "shoe_size", Source: "fixed", Value: "44"}, {Name: "Shoe-Size", Source: "fixed", Value: "45"}}
	}), "op.field.claims_twice")

	// A claim that was registered before has no effect.
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.InIDToken = true }))
	w.stored(c, func(s *application.Settings) {
		s.Claims = []application.Claim{{Name: "Sub", Source: "fixed", Value: "ana"}, {Name: "EMAIL", Source: "fixed", Value: "ana@meridian.example"}, {Name: "shoe", Source: "fixed", Value: "44"}}
	})
	r := w.enter(w.bo, c)
	for kind, says := range map[string]map[string]any{"UserInfo": w.userInfo(r.text("access_token")).JSON, "the ID token": w.claims(r.text("id_token"), "JWT")} {
		for _, name := range []string{"Sub", "EMAIL"} {
			if says[name] != nil {
				t.Errorf("%s says %s: %v", kind, name, says[name])
			}
		}
		if says["shoe"] != "44" {
			t.Errorf("%s says shoe: %v", kind, says["shoe"])
		}
	}
}

// R-OPR-13: every token is for the issuer, so nothing may be registered under the issuer's address,
// in any spelling.
func TestOPR5WhatIsUnderTheIssuerIsReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := strings.TrimPrefix(w.URL, "https://")
	for _, audience := range []string{w.URL, w.URL + "/", w.URL + "/userinfo", strings.ToUpper(w.URL), "https://" + host, host, "http://x@" + host + "/", w.URL + "?x", "HTTP://" + host + "/API"} {
		w.refuses(audience, "", application.Web, settings(func(s *application.Settings) { s.Audience = audience }), "op.field.of_issuer")
	}
	w.refuses("a permission", "", application.Web, settings(func(s *application.Settings) { s.Scopes = append(s.Scopes, w.URL+"/admin") }), "op.field.of_issuer")
	w.refuses("a claim", "", application.Web, settings(func(s *application.Settings) { s.Claims = []application.Claim{{Name: w.URL + "/role", Source: "role"}} }), "op.field.of_issuer")
	w.refuses("a neighbour", "", application.Web, settings(func(s *application.Settings) { s.Audience = "https://api." + host }), "")

	// An application that had it before learns nothing about tokens of others.
	books, spy := w.books(), w.register("", application.Web, settings(func(s *application.Settings) { s.Name = "Spy" }))
	for _, audience := range []string{w.URL, w.URL + "/"} {
		w.stored(spy, func(s *application.Settings) { s.Audience = audience })
		token := w.enter(w.bo, books).text("access_token")
		if r := w.call(spy, "/introspect", url.Values{"token": {token}}); r.Status != http.StatusOK || r.JSON["active"] != false {
			t.Errorf("with the audience %s it learns %s", audience, r.Body)
		}
		own := w.enter(w.bo, spy).text("access_token")
		if r := w.call(spy, "/introspect", url.Values{"token": {own}}); r.JSON["active"] != true {
			t.Errorf("of its own it learns %s", r.Body)
		}
	}
	var old []application.Outdated
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		old, err = application.FindOutdated(ctx, tx, w.URL)
		return err
	})
	if len(old) != 1 || old[0].ID != spy.ID || !errors.Is(old[0].Fault, fault.Field("", "op.field.of_issuer")) {
		t.Errorf("what would be refused today: %v", old)
	}
}

// Two organizations may use the same audiences and permissions, but not those of the installation.
// A refusal reveals nothing about another organization.
func TestOPR5AudiencesAndPermissionsOfTwoOrganizations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := func(name, audience, scope string) application.Settings {
		return settings(func(s *application.Settings) { s.Name, s.Audience, s.Scopes = name, audience, append(s.Scopes, scope) })
	}
	meridians := w.register(w.org.ID, application.Web, api("Meridian's", "https://api.example", "orders:read"))
	if f := w.refusal("the installation, where an organization has it", "", application.Web, api("Ours", "https://api.example", "ours:read"), "op.field.audience_taken"); f != nil && f.Args["Application"] != "Meridian's" {
		t.Errorf("the operator is told of %v", f.Args)
	}
	if f := w.refusal("another organization's", w.other.ID, application.Web, api("Lumen's", "https://api.example", "orders:read"), ""); f != nil {
		t.Fatal("Lumen learns what Meridian has")
	}
	suite := w.register("", application.Web, api("Suite", "https://suite.example", "suite:read"))
	w.refuses("the installation's audience", w.org.ID, application.Web, api("One", "https://suite.example", "one:read"), "op.field.audience_taken")
	w.refuses("the installation's client ID as audience", w.org.ID, application.Web, api("Two", string(suite.ID), "one:read"), "op.field.audience_taken")
	w.refuses("the installation's permission", w.org.ID, application.Web, api("Three", "https://three.example", "suite:read"), "op.field.scopes_taken")
	w.refuses("another of the installation", "", application.Web, api("Suite's API", "https://suite.example", "suite:read"), "")

	// If two have the same, neither can introspect the other's tokens.
	lumens := w.register(w.other.ID, application.Web, api("Lumen's other", "https://api.example", "orders:read"))
	token := w.enter(w.bo, meridians).text("access_token")
	if r := w.call(lumens, "/introspect", url.Values{"token": {token}}); r.JSON["active"] != false {
		t.Errorf("Lumen's application learns %s", r.Body)
	}
}
