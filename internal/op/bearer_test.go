package op_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/op"
	"parvis/internal/secret"
)

// person returns a user of Meridian as an actor.
func (w *world) person(email string) directory.Actor {
	w.t.Helper()
	u, err := directory.UserByID(w.t.Context(), w.DB, w.org.ID, w.userOf(w.org, email))
	if err != nil {
		w.t.Fatal(err)
	}
	return u.AsActor()
}

// robot registers a machine of Meridian, and gives it a right.
func (w *world) robot(s application.Settings, scopes ...access.Scope) client {
	w.t.Helper()
	s.Name, s.Auth, s.OwnBehalf = "Robot", application.Secret, true
	c := w.register(w.org.ID, application.Machine, s)
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		_, err := access.GrantMachine(ctx, tx, w.person("ana@meridian.example"), w.org.ID, c.ID, access.Right{Scopes: scopes, Role: directory.Administrator})
		return err
	})
	return c
}

// forAPI asks for a machine's token for the API.
func (w *world) forAPI(c client, scope string, more ...string) reply {
	w.t.Helper()
	return w.call(c, "/token", with(url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "resource": {w.URL + "/api"}}, more...))
}

// calls returns a call of the API with a token, changed by more: names and values of headers.
func (w *world) calls(token string, more ...string) *http.Request {
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, w.URL+"/api/v1/me", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	return r
}

// bearer returns role and scopes with which a token calls; "unknown" if it does not.
func (w *world) bearer(token string) string {
	w.t.Helper()
	c, err := w.Provider.Bearer(w.calls(token))
	if errors.Is(err, access.ErrUnknown) {
		return "unknown"
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(c.Actor.Kind, " ", c.Actor.Role, " ", c.Scopes)
}

func TestAMachineCallsTheAPIByItsRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.robot(application.Settings{Scopes: []string{"books:read"}}, access.ReadPeople, access.WritePeople)
	got := w.forAPI(c, "")
	expect.Equal(t, "everything that it may, if it names nothing", got.text("scope"), "parvis.people.read parvis.people.write")
	expect.Equal[any](t, "seconds that the token lasts", got.JSON["expires_in"], 600.0)
	said := w.claims(got.text("access_token"), "at+jwt")
	expect.Equal(t, "whom the token is for", fmt.Sprint(said["aud"]), fmt.Sprint([]string{w.URL + "/api"}))
	expect.Equal(t, "who calls", w.bearer(got.text("access_token")), "machine administrator [parvis.people.read parvis.people.write]")
	token := w.forAPI(c, "parvis.people.read").text("access_token")
	for _, text := range []string{token, got.text("access_token")} {
		caller, err := w.Provider.Bearer(w.calls(text))
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "what its calls are counted by, whichever token it takes", caller.Key, string(c.ID))
	}
	expect.Equal(t, "who calls with less", w.bearer(token), "machine administrator [parvis.people.read]")
	if w.userInfo(token).Status == http.StatusOK {
		t.Error("the token opens UserInfo")
	}
	// What is taken away is gone from the token at once.
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := access.GrantMachine(ctx, tx, w.person("ana@meridian.example"), w.org.ID, c.ID, access.Right{Scopes: []access.Scope{access.ReadAudit}, Role: directory.Auditor})
		return err
	})
	expect.Equal(t, "who calls once it may something else", w.bearer(token), "machine auditor []")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return access.EndMachine(ctx, tx, w.person("ana@meridian.example"), w.org.ID, c.ID)
	})
	expect.Equal(t, "who calls once it may nothing", w.bearer(token), "unknown")
	w.wantError("a token without a right", w.forAPI(c, ""), http.StatusBadRequest, "unauthorized_client")
}

func TestAMachinesTokenEndsWithItsRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.robot(application.Settings{}, access.ReadPeople)
	w.Clock.Advance(access.MachineLasts - time.Minute)
	got := w.forAPI(c, "")
	expect.Equal[any](t, "seconds that the token lasts", got.JSON["expires_in"], 60.0)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Standing: application.Forbidden, Audience: application.Everyone})
	})
	expect.Equal(t, "who calls once the application is forbidden", w.bearer(got.text("access_token")), "unknown")
}

// The scopes of the administration and all others do not mix, and neither do their tokens.
func TestReservedScopesAreOnlyForTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuses("a reserved scope", w.org.ID, application.Machine, application.Settings{
		Name: "Sly", Auth: application.Secret, OwnBehalf: true, Scopes: []string{"parvis.people.read"},
	}, "op.field.scopes_reserved")
	c := w.robot(application.Settings{Scopes: []string{"books:read"}}, access.ReadPeople)
	for what, r := range map[string]reply{
		"a scope beyond its right":        w.forAPI(c, "parvis.people.read parvis.people.write"),
		"a scope of another kind beside":  w.forAPI(c, "parvis.people.read books:read"),
		"only a scope of another kind":    w.forAPI(c, "books:read"),
		"a reserved scope for no API":     w.forAPI(c, "parvis.people.read", "resource", "-"),
		"a scope that nobody knows":       w.forAPI(c, "parvis.operator.write"),
		"an audience that begins with it": w.forAPI(c, "", "resource", w.URL+"/api/v1"),
	} {
		if r.Status != http.StatusBadRequest {
			t.Errorf("%s: answered %d %s", what, r.Status, r.Body)
		}
	}
	// One that was registered before it was reserved gives nothing.
	old := w.register(w.org.ID, application.Machine, application.Settings{Name: "Old", Auth: application.Secret, OwnBehalf: true})
	w.stored(old, func(s *application.Settings) { s.Scopes, s.Audience = []string{"parvis.people.read"}, w.URL+"/api" })
	w.wantError("a reserved scope from before", w.forAPI(old, "parvis.people.read", "resource", "-"), http.StatusBadRequest, "invalid_scope")
	expect.Equal(t, "who calls with the audience from before", w.bearer(w.forAPI(old, "", "resource", "-").text("access_token")), "unknown")
}

// Of all that can be shown, only a token for the API, in its header, is let in.
func TestBearerTakesOnlyTokensForTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.robot(application.Settings{Scopes: []string{"books:read"}}, access.ReadPeople)
	token, books := w.forAPI(c, "").text("access_token"), w.enter(w.ana, w.books())
	header, payload, _ := strings.Cut(token, ".")
	for what, shown := range map[string]string{
		"nothing": "", "noise": "x.y.z", "a machine's token for something else": w.ofItself(c, "books:read"),
		"a person's token for another application": books.text("access_token"), "an ID token": books.text("id_token"),
		"a refresh token": books.text("refresh_token"), "a changed token": header + "." + strings.ToUpper(payload), "a token cut off": token[:len(token)-1],
	} {
		expect.Equal(t, what, w.bearer(shown), "unknown")
	}
	inAddress, twice, inCookie := w.calls(token), w.calls(token), w.calls(token)
	inAddress.URL.RawQuery = "access_token=" + token
	inForm := httptest.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/api/v1/me", strings.NewReader("access_token="+token))
	inForm.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	twice.Header.Add("Authorization", "Bearer "+token)
	inCookie.Header.Del("Authorization")
	inCookie.AddCookie(&http.Cookie{Name: "access_token", Value: token})
	for what, r := range map[string]*http.Request{"in the address": inAddress, "in a form": inForm, "twice": twice, "in a cookie": inCookie, "by another scheme": w.calls("", "Authorization", "Basic "+token)} {
		if c, err := w.Provider.Bearer(r); err == nil {
			t.Errorf("a token %s calls as %+v", what, c)
		}
	}
	w.Clock.Advance(10 * time.Minute)
	expect.Equal(t, "after ten minutes", w.bearer(token), "unknown")
}

func TestAMachinesBoundTokenNeedsItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.robot(application.Settings{BoundOnly: true}, access.ReadPeople)
	w.wantError("without a proof", w.forAPI(c, ""), http.StatusBadRequest, "invalid_dpop_proof")
	key := secret.NewECKey()
	got := w.prove(c, "/token", url.Values{"grant_type": {"client_credentials"}, "resource": {w.URL + "/api"}}, w.proof(key, "POST", "/token", "", nil))
	token := got.text("access_token")
	fits := w.proof(key, "GET", "/api/v1/me", token, nil)
	for _, tt := range []struct {
		what string
		r    *http.Request
		ok   bool
	}{
		{"as a bearer", w.calls(token), false},
		{"without a proof", w.calls("", "Authorization", "DPoP "+token), false},
		{"with another key", w.calls("", "Authorization", "DPoP "+token, "DPoP", w.proof(secret.NewECKey(), "GET", "/api/v1/me", token, nil)), false},
		{"for users", w.calls("", "Authorization", "DPoP "+token, "DPoP", w.proof(key, "GET", "/api/v1/users", token, nil)), false},
		{"as it should be", w.calls("", "Authorization", "DPoP "+token, "DPoP", fits), true},
		{"with a proof that was used", w.calls("", "Authorization", "DPoP "+token, "DPoP", fits), false},
	} {
		_, err := w.Provider.Bearer(tt.r)
		told, ours := errors.AsType[*op.Error](err)
		if (err == nil) != tt.ok || err != nil && !ours {
			t.Errorf("%s: %v, %v", tt.what, err, told)
		}
	}
}

// commandLine is the client that every installation comes with, at a port of the day.
func (w *world) commandLine() client {
	w.t.Helper()
	a, err := application.Registered(w.t.Context(), w.DB, string(application.CommandLine))
	if err != nil {
		w.t.Fatal(err)
	}
	a.Settings.RedirectURIs = []string{"http://127.0.0.1:49152/callback"}
	return client{Application: a}
}

// allows sends a browser with a request of the command line, agrees, and returns its tokens.
func (w *world) allows(b *idptest.Browser, scope string, more ...string) reply {
	w.t.Helper()
	c := w.commandLine()
	p := authorize(b, c.request(append([]string{"scope", scope, "nonce", "-"}, more...)...))
	if !strings.HasPrefix(p.URL.Path, "/authorize/consent") {
		w.t.Fatalf("at %s (%d), not asked: %s", p.URL, p.Status, p.Text())
	}
	return w.after(p.Form("main").Submit("allow"), c)
}

func TestTheCommandLineHasEveryScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []string
	for _, s := range access.Scopes {
		all = append(all, string(s))
	}
	expect.Equal(t, "its scopes", strings.Join(w.commandLine().Settings.Scopes, " "), strings.Join(all, " "))
}

// The page names what the person gives, by a sentence each, and asks each time; the token reaches
// that as far as the person's role does now, and ends with the session.
func TestTheCommandLineActsForAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.commandLine()
	asked := c.request("scope", "parvis.people.read parvis.settings.write", "nonce", "-")
	idptest.Want(t, authorize(w.ana, asked), idptest.Says("op.acts.wants"), idptest.Says("access.scope.people.read"), idptest.Says("access.scope.settings.write"))
	idptest.Want(t, authorize(w.bo, asked), idptest.Says("op.acts.nothing"))
	tokens := w.allows(w.ana, "parvis.people.read parvis.settings.write")
	token := tokens.text("access_token")
	expect.Equal(t, "who calls", w.bearer(token), "user owner [parvis.people.read parvis.settings.write]")
	caller, err := w.Provider.Bearer(w.calls(token))
	if err != nil {
		t.Fatal(err)
	}
	if now, err := caller.Actor.In(t.Context(), w.DB, w.org.ID); err != nil || now.Role != directory.Owner {
		t.Errorf("in a transaction the person acts as %s, %v", now.Role, err)
	}
	expect.Equal(t, "when the person proved who they are", caller.ProvedAt.UTC(), w.Clock.Now().Truncate(time.Second).UTC())
	if w.userInfo(token).Status == http.StatusOK {
		t.Error("the token opens UserInfo")
	}
	idptest.Want(t, authorize(w.ana, asked), idptest.Says("op.acts.wants")) // asked again: another program may listen there

	w.Join(t, w.org, "eva@meridian.example", "Eva Roth", directory.Owner)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, w.person("eva@meridian.example"), w.org.ID, w.userOf(w.org, "ana@meridian.example"), directory.Auditor)
	})
	expect.Equal(t, "who calls once lowered", w.bearer(token), "user auditor [parvis.people.read]")
	next := w.refresh(c, tokens.text("refresh_token"))
	expect.Equal(t, "who calls by a token that was renewed", w.bearer(next.text("access_token")), "user auditor [parvis.people.read]")
	w.signOut(w.ana)
	expect.Equal(t, "who calls after the session", w.bearer(next.text("access_token")), "unknown")
	if _, err := caller.Actor.In(t.Context(), w.DB, w.org.ID); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("what was let in before the end goes on: %v", err)
	}
}

// Another application gets no such scope, whatever it asks for, and the command line gets no other.
func TestTheCommandLinesScopesAreItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.enter(w.ana, w.books(), "scope", "openid parvis.people.read")
	expect.Equal(t, "the scope of another application", got.text("scope"), "openid")
	expect.Equal(t, "who calls with its token", w.bearer(got.text("access_token")), "unknown")
	c := w.commandLine()
	expect.Equal(t, "the command line, asking who somebody is", answer(authorize(w.ana, c.request("scope", "openid"))).Get("error"), "invalid_scope")
	expect.Equal(t, "for another resource", answer(authorize(w.ana, c.request("scope", "parvis.people.read", "resource", w.URL))).Get("error"), "invalid_target")
	expect.Equal(t, "without a challenge", answer(authorize(w.ana, c.request("scope", "parvis.people.read", "code_challenge", "-", "code_challenge_method", "-"))).Get("error"), "invalid_request")
	idptest.Want(t, authorize(w.ana, c.request("redirect_uri", "https://evil.example/callback")), idptest.Status(http.StatusBadRequest))
}

// What a person does for the command line counts as fresh only as it would in the console: by the
// second step of those who own one.
func TestTheCommandLineLearnsHowFreshAProofIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.app()
	start := w.Clock.Now()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, w.person("ana@meridian.example"), w.org.ID, w.userOf(w.org, "bo@meridian.example"), directory.Administrator)
	})
	w.Clock.Advance(11 * time.Minute)
	c := w.commandLine()
	stale, err := w.Provider.Bearer(w.calls(w.allows(w.bo, "parvis.people.read").text("access_token")))
	if err != nil {
		t.Fatal(err)
	}
	if stale.ProvedAt.After(start) {
		t.Errorf("the proof is of %s, after %s", stale.ProvedAt, start)
	}
	form := w.asked(w.bo, c, "code", "scope", "parvis.people.read", "nonce", "-", "max_age", "600")
	p := form.Fill("code", idptest.Code(seed, w.Clock.Now())).Submit("")
	if !strings.HasPrefix(p.URL.Path, "/authorize/consent") {
		t.Fatalf("at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	fresh, err := w.Provider.Bearer(w.calls(w.after(p.Form("main").Submit("allow"), c).text("access_token")))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "when the person proved the second step", fresh.ProvedAt.UTC(), w.Clock.Now().Truncate(time.Second).UTC())
}

// By a device's code the command line only reads, and only where an owner allows it.
func TestADeviceReadsWhereAnOwnerAllowsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.commandLine()
	ask := func(scope string) reply { return w.call(c, "/device_authorization", url.Values{"scope": {scope}}) }
	w.wantError("a device that would write", ask("parvis.people.read parvis.people.write"), http.StatusBadRequest, "invalid_scope")
	page := func(r reply) *idptest.Page { return w.ana.Get("/device?user_code=" + r.text("user_code")) }
	idptest.Want(t, page(ask("parvis.people.read")), idptest.Status(http.StatusForbidden), idptest.Says("op.device.none", "Application", c.Settings.Name))
	allow := func(on bool) {
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return access.SetRules(ctx, tx, w.person("ana@meridian.example"), w.org.ID, access.Rules{Devices: on})
		})
	}
	allow(true)
	r := ask("parvis.people.read")
	p := page(r)
	idptest.Want(t, p, idptest.Says("access.scope.people.read"), idptest.Says("op.device.network", "Network", "127.0.0.1"))
	idptest.Want(t, p.Form("main").Submit("allow"), idptest.Says("op.device.done_title"))
	token := w.call(c, "/token", byDevice(r.text("device_code"))).text("access_token")
	expect.Equal(t, "who calls", w.bearer(token), "user owner [parvis.people.read]")
	allow(false)
	expect.Equal(t, "who calls once an owner forbids it", w.bearer(token), "unknown")
}

// The command line is in no list of applications: nobody opens, places or changes it.
func TestTheCommandLineIsInNoList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all, err := application.Of(t.Context(), w.DB, w.person("ana@meridian.example"), w.org.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.ID == application.CommandLine {
			t.Error("the command line is listed")
		}
	}
	if _, err := application.ByID(t.Context(), w.DB, w.person("ana@meridian.example"), w.org.ID, application.CommandLine); !errors.Is(err, application.ErrUnknown) {
		t.Errorf("the command line is shown: %v", err)
	}
}
