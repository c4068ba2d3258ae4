package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// operator is an application of the installation that acts for the operator.
type operator struct {
	id  application.ID
	key jose.SigningKey
}

// operator registers such an application and gives it a right.
func (w *world) operator(t *testing.T, role directory.Role, scopes ...access.Scope) operator {
	t.Helper()
	key := secret.NewECKey()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: string(jose.ES256), Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	var o operator
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		a, _, err := application.Register(ctx, tx, directory.Operator(), w.URL, application.Application{
			Kind: application.Machine, Settings: application.Settings{Name: "Fleet", Auth: application.PrivateKey, Keys: keys, OwnBehalf: true},
		})
		if err == nil {
			_, err = access.GrantOperator(ctx, tx, directory.Operator(), a.ID, access.Right{Scopes: scopes, Role: role})
		}
		o = operator{a.ID, jose.SigningKey{Algorithm: jose.ES256, Key: key}}
		return err
	})
	return o
}

// acts takes a token for the installation or, with its short name, for an organization.
func (w *world) acts(t *testing.T, o operator, organization string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {w.URL + "/api"}}
	if organization != "" {
		form.Set("organization", organization)
	}
	w.proves(t, o, form)
	return w.tokens(t, form, string(o.id), "")
}

// proves adds a proof of the application's key to a call of /token (RFC 7523 §2.2).
func (w *world) proves(t *testing.T, o operator, form url.Values) {
	t.Helper()
	signer, err := jose.NewSigner(o.key, (&jose.SignerOptions{}).WithHeader("kid", "one"))
	if err != nil {
		t.Fatal(err)
	}
	now := w.Clock.Now()
	assertion, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": o.id, "sub": o.id, "aud": w.URL, "jti": secret.NewID("jti"), "iat": now.Unix(), "exp": now.Unix() + 60,
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	form.Set("client_assertion", assertion)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
}

func because(token string) as {
	return as{token: token, more: map[string]string{"Parvis-Reason": "Ticket 4711: the owner asked us by telephone"}}
}

// An operator's machine makes, closes and opens organizations, and sees none from within.
func TestAnOperatorsMachineRunsTheInstallation(t *testing.T) {
	t.Parallel()
	w := start(t)
	o := w.operator(t, directory.Administrator, access.OperatorScopes...)
	a := as{token: w.acts(t, o, "")}
	me := w.call(t, a, "GET", "/me", "").want(t, 200)
	if me.field("kind") != "operator" || me.json["organization"] != nil || me.json["role"] != nil {
		t.Errorf("the caller is %s", me.text)
	}

	made := w.call(t, a, "POST", "/organizations", `{"name": "Gamma Rail", "short_name": "gamma", "owner_email": "olga@gamma.example"}`).want(t, 201)
	id := made.field("id")
	if n := len(w.LettersTo(t, "olga@gamma.example")); n != 1 {
		t.Errorf("the owner got %d letters", n)
	}
	w.call(t, a, "POST", "/organizations", `{"name": "Gamma Rail", "short_name": "gamma", "owner_email": "olga@gamma.example"}`).want(t, 422)
	for _, suspended := range []bool{true, false} {
		deed := map[bool]string{true: "/suspend", false: "/resume"}[suspended]
		if got := w.call(t, a, "POST", "/organizations/"+id+deed, "").want(t, 200); (got.json["suspended_at"] != nil) != suspended {
			t.Errorf("after %s: %s", deed, got.text)
		}
		w.call(t, a, "POST", "/organizations/"+id+deed, "").want(t, 409)
	}
	w.call(t, a, "GET", "/organizations/org_aaaaaaaaaaaaaaaaaaaaaaaaaa", "").want(t, 404)
	w.call(t, a, "POST", "/organizations/org_aaaaaaaaaaaaaaaaaaaaaaaaaa/suspend", "").want(t, 404)
	w.call(t, a, "POST", "/organizations", `{"name": "Delta", "short_name": "delta", "owner_email": "nobody"}`).refused(t, 422, "directory.address_invalid", "/owner_email")

	seen := map[string]bool{}
	for cursor := ""; ; {
		page := w.call(t, a, "GET", "/organizations?limit=2"+cursor, "").want(t, 200)
		for _, item := range page.items() {
			name, _ := item["short_name"].(string)
			if seen[name] {
				t.Errorf("%s is listed twice", name)
			}
			seen[name] = true
		}
		next, more := page.json["next"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
	if len(seen) != 3 {
		t.Errorf("%v are listed", seen)
	}

	for _, o := range w.operations(t) {
		if strings.HasPrefix(o.path, "/organizations") || o.scope == "" {
			continue
		}
		path, body := o.to(w.alpha)
		if got := w.paced(t, a.token, o.method, path, body); got != http.StatusForbidden {
			t.Errorf("%s %s: a token for the installation is answered %d, want 403", o.method, o.path, got)
		}
	}
}

// Within an organization an operator's machine is one of its machines, but says why in each call,
// which the organization reads in its own log (R-TEN-11).
func TestTEN11AnOperatorsMachineSaysWhyItCalls(t *testing.T) {
	t.Parallel()
	w := start(t)
	o := w.operator(t, directory.Administrator, access.OperatorScopes...)
	token := w.acts(t, o, "alpha")
	w.call(t, as{token: token}, "GET", "/users", "").refused(t, 422, "api.reason", "Parvis-Reason")
	for _, reason := range []string{"", " ", strings.Repeat("a", 301), "a\u202eb", "...."} {
		got := w.call(t, as{token: token, more: map[string]string{"Parvis-Reason": reason}}, "GET", "/users", "")
		got.refused(t, 422, got.field("code"), "Parvis-Reason")
	}
	w.call(t, because(token), "GET", "/users", "").want(t, 200)
	w.Clock.Advance(time.Second) // by which the log is in order
	w.call(t, because(token), "GET", "/users/"+w.beta.ids["users"], "").want(t, 404)
	w.Clock.Advance(time.Second)
	w.call(t, because(token), "POST", "/users/"+string(w.alpha.users[directory.Owner].ID)+"/deactivate", "").refused(t, 403, "directory.denied", "")
	w.call(t, because(token), "GET", "/organizations", "").refused(t, 403, "api.scope", "")

	for of, want := range map[directory.OrgID][]string{
		w.alpha.ID: {"users.list", "users.get", "users.deactivate"}, w.beta.ID: nil,
	} {
		found, err := audit.List(t.Context(), w.DB, audit.Query{OrgID: string(of), Action: "operator.called"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range found.Events {
			if e.ActorName != "Fleet" || e.After["reason"] != "Ticket 4711: the owner asked us by telephone" {
				t.Errorf("the log says %+v", e)
			}
			operation, _ := e.After["operation"].(string)
			got = append([]string{operation}, got...)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("the log of %s has the calls %v, want %v", of, got, want)
		}
	}
}

// What an operator's machine may do ends at once: with its right, with the key by which it proves
// itself, and where the organization is closed or does not want it.
func TestTheRightOfAnOperatorsMachineEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	o := w.operator(t, directory.Administrator, access.OperatorScopes...)
	everywhere, within := w.acts(t, o, ""), because(w.acts(t, o, "alpha"))
	calls := func(t *testing.T, installation, organization int) {
		t.Helper()
		w.call(t, as{token: everywhere}, "GET", "/organizations", "").want(t, installation)
		w.call(t, within, "GET", "/users", "").want(t, organization)
	}
	calls(t, 200, 200)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := access.GrantOperator(ctx, tx, directory.Operator(), o.id, access.Right{Scopes: []access.Scope{access.ReadGroups}, Role: directory.Auditor})
		return err
	})
	calls(t, 403, 403)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := access.GrantOperator(ctx, tx, directory.Operator(), o.id, access.Right{Scopes: access.OperatorScopes, Role: directory.Administrator})
		return errors.Join(err, directory.Suspend(ctx, tx, directory.Operator(), w.alpha.ID))
	})
	calls(t, 200, 401)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Resume(ctx, tx, directory.Operator(), w.alpha.ID)
	})
	calls(t, 200, 200)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		a, err := application.ByID(ctx, tx, directory.Operator(), "", o.id)
		if err != nil {
			return err
		}
		s := a.Settings
		s.Auth, s.Keys = application.Secret, nil
		_, err = application.Change(ctx, tx, directory.Operator(), w.URL, a.Application, s)
		return err
	})
	calls(t, 401, 401)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return access.EndOperator(ctx, tx, directory.Operator(), o.id)
	})
	calls(t, 401, 401)
}

// Only the operator in person gives such a right, to an application of the installation that
// proves itself by a key.
func TestWhoBecomesAnOperatorsMachine(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.machine(t, "Robot", w.alpha.users[directory.Owner], directory.Auditor, access.ReadPeople)
	right := access.Right{Scopes: []access.Scope{access.ReadInstallation}, Role: directory.Auditor}
	o := w.operator(t, directory.Auditor, access.ReadInstallation)
	var bySecret application.Application
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		bySecret, _, err = application.Register(ctx, tx, directory.Operator(), w.URL, application.Application{
			Kind: application.Machine, Settings: application.Settings{Name: "By a secret", Auth: application.Secret, OwnBehalf: true},
		})
		return err
	})
	machine := directory.Operator()
	machine.Again = func(context.Context, db.Reader) (directory.Actor, error) { return machine, nil }
	for _, try := range []struct {
		what   string
		by     directory.Actor
		client application.ID
		right  access.Right
		want   error
	}{
		{"a machine gives it", machine, o.id, right, directory.ErrDenied},
		{"an owner gives it", w.alpha.users[directory.Owner].AsActor(), o.id, right, directory.ErrDenied},
		{"who proves itself by a password", directory.Operator(), bySecret.ID, right, access.ErrNotByKey},
		{"an application of an organization", directory.Operator(), application.ID(w.alpha.ids["machines"]), right, application.ErrUnknown},
		{"an owner's role", directory.Operator(), o.id, access.Right{Scopes: right.Scopes, Role: directory.Owner}, access.ErrMachineRole},
		{"no scope", directory.Operator(), o.id, access.Right{Role: directory.Auditor}, access.ErrScopes},
		{"an unknown scope", directory.Operator(), o.id, access.Right{Scopes: []access.Scope{"parvis.all"}, Role: directory.Auditor}, access.ErrScope},
		{"a scope beyond the role", directory.Operator(), o.id, access.Right{Scopes: []access.Scope{access.WritePeople}, Role: directory.Auditor}, access.ErrScopeBeyond},
	} {
		err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, err := access.GrantOperator(t.Context(), tx, try.by, try.client, try.right)
			return err
		})
		if !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", try.what, err, try.want)
		}
	}

	// A person and a machine of an organization get none of these scopes.
	err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
		_, _, err := access.Issue(t.Context(), tx, w.alpha.users[directory.Owner].AsActor(), w.alpha.ID, access.New{Name: "A token", Scopes: []access.Scope{access.WriteInstallation}})
		return err
	})
	if !errors.Is(err, access.ErrScope) {
		t.Errorf("a person's token for the installation: %v", err)
	}
}

// A right that ends after a call was let in does nothing any longer in the call's transaction.
func TestTheRightOfAnOperatorsMachineIsReadAgain(t *testing.T) {
	t.Parallel()
	w := start(t)
	o := w.operator(t, directory.Administrator, access.OperatorScopes...)
	c, err := access.RightOf(t.Context(), w.DB, "", o.id)
	if err != nil {
		t.Fatal(err)
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return access.EndOperator(ctx, tx, directory.Operator(), o.id)
	})
	for what, deed := range map[string]func(ctx context.Context, tx *db.Tx) error{
		"suspending":        func(ctx context.Context, tx *db.Tx) error { return directory.Suspend(ctx, tx, c.Actor, w.alpha.ID) },
		"reading inside it": func(ctx context.Context, tx *db.Tx) error { return c.Actor.MayRead(ctx, tx, w.alpha.ID) },
	} {
		if err := w.DB.Update(t.Context(), func(tx *db.Tx) error { return deed(t.Context(), tx) }); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
