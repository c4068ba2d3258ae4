package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/provisioning"
)

// world is a server with two organizations, a token of each role with all that the role may have,
// and one id of each kind that the API's paths name.
type world struct {
	*idptest.Server
	wire        http.RoundTripper
	alpha, beta organization
}

type organization struct {
	directory.Organization
	users    map[directory.Role]directory.User
	browsers map[directory.Role]*idptest.Browser
	tokens   map[directory.Role]string
	ids      map[string]string // by the kind of thing
}

func start(t testing.TB) *world {
	t.Helper()
	w := &world{Server: idptest.Start(t)}
	w.wire = w.Browser(t).Client.Transport
	w.alpha = w.organization(t, "Alpha Freight", "alpha", directory.Roles...)
	w.beta = w.organization(t, "Beta Shipping", "beta", directory.Owner, directory.Member)
	return w
}

func (w *world) organization(t testing.TB, name, short string, roles ...directory.Role) organization {
	t.Helper()
	o := organization{
		Organization: w.Organization(t, name, short),
		users:        map[directory.Role]directory.User{}, browsers: map[directory.Role]*idptest.Browser{}, tokens: map[directory.Role]string{}, ids: map[string]string{},
	}
	for _, role := range roles {
		email := string(role) + "@" + short + ".example"
		o.browsers[role] = w.Join(t, o.Organization, email, "Person "+string(role)+" of "+short, role)
		found, err := directory.Addressed(t.Context(), w.DB, o.ID, []string{email})
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %d users, %v", email, len(found), err)
		}
		o.users[role] = found[0]
		if role.ReadsConsole() {
			o.tokens[role] = w.token(t, found[0], access.Reach(role)...)
		}
	}
	o.ids["sources"] = w.source(t, o.ID, "Directory of "+short)
	o.ids["users"], o.ids["organizations"] = string(o.users[directory.Member].ID), string(o.ID)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		g, err := directory.CreateGroup(ctx, tx, directory.System(o.ID), o.ID, "People of "+short)
		if err != nil {
			return err
		}
		o.ids["groups"] = g.ID
		i, err := w.Site.SignIn.Invites.Send(ctx, tx, directory.Operator(), o.Organization,
			directory.NewInvitation{Email: "waiting@" + short + ".example", Role: directory.Member, Language: "en"})
		if err != nil {
			return err
		}
		o.ids["invitations"] = i.ID
		d, err := domain.Add(ctx, tx, directory.System(o.ID), o.ID, short+"-freight.example")
		o.ids["domains"] = d.ID
		if err != nil {
			return err
		}
		c, err := w.Hub.Create(ctx, tx, directory.System(o.ID), o.ID, federation.New{Provider: federation.Generic, Protocol: federation.OIDC, Name: "Door of " + short})
		o.ids["connections"] = c.ID
		if err != nil {
			return err
		}
		return w.Hub.SendSetupLink(ctx, tx, directory.System(o.ID), o.Organization, c.ID, "it@"+short+".example", "en")
	})
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		a, _, err := application.Register(ctx, tx, directory.System(o.ID), w.URL, application.Application{
			OrgID: o.ID, Kind: application.Web, Settings: application.Settings{Name: "Portal of " + short, RedirectURIs: []string{"https://portal." + short + ".example/callback"}},
		})
		if err != nil {
			return err
		}
		kept, err := application.Secrets(ctx, tx, directory.System(o.ID), a)
		o.ids["applications"], o.ids["secrets"] = string(a.ID), kept[0].ID
		return err
	})
	w.machine(t, "Robot of "+short, o.users[directory.Owner], directory.Auditor, access.ReadPeople)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		machines, err := access.Machines(ctx, tx, directory.System(o.ID), o.ID)
		if err != nil {
			return err
		}
		tokens, err := access.Tokens(ctx, tx, directory.System(o.ID), o.ID)
		o.ids["machines"] = string(machines[0].Client)
		for _, token := range tokens {
			if o.ids["api-tokens"] == "" || token.UserID == o.users[directory.Auditor].ID {
				o.ids["api-tokens"] = token.ID
			}
		}
		return err
	})
	events, err := audit.List(t.Context(), w.DB, audit.Query{OrgID: string(o.ID)})
	if err != nil || len(events.Events) == 0 {
		t.Fatalf("%d events, %v", len(events.Events), err)
	}
	o.ids["events"] = events.Events[0].ID
	return o
}

// token makes a token with some scopes.
func (w *world) token(t testing.TB, u directory.User, scopes ...access.Scope) (text string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		_, text, err = access.Issue(ctx, tx, u.AsActor(), u.OrgID, access.New{Name: "A token", Scopes: scopes})
		return err
	})
	return text
}

// answer is what the API answered.
type answer struct {
	*http.Response
	text []byte
	json map[string]any // nil where the answer is no object
}

// as says what a call sends besides method, path and body.
type as struct {
	token string
	more  map[string]string // headers
}

func (w *world) call(t *testing.T, a as, method, path, body string) answer {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, w.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if a.token != "" {
		q.Header.Set("Authorization", "Bearer "+a.token)
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	for name, value := range a.more {
		q.Header.Set(name, value)
	}
	response, err := w.wire.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := answer{Response: response}
	got.Request = q
	if got.text, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(got.text))
	d.UseNumber()
	file := slices.Contains([]string{"application/jsonl", "image/png"}, response.Header.Get("Content-Type"))
	if len(got.text) > 0 && !file && d.Decode(&got.json) != nil {
		t.Fatalf("%s %s: not an object: %s", method, path, got.text)
	}
	got.fits(t)
	return got
}

// want fails the test unless the answer has a status.
func (g answer) want(t *testing.T, status int) answer {
	t.Helper()
	if g.StatusCode != status {
		t.Errorf("%s %s: got %d, want %d: %s", g.Request.Method, g.Request.URL.Path, g.StatusCode, status, g.text)
	}
	return g
}

// refused fails the test unless the call was refused with a status and a code, and names a place.
func (g answer) refused(t *testing.T, status int, code, at string) {
	t.Helper()
	g.want(t, status)
	if g.text == nil || g.json["code"] != code {
		t.Errorf("%s %s: got code %v, want %s", g.Request.Method, g.Request.URL.Path, g.json["code"], code)
	}
	if got := g.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s %s: got %s", g.Request.Method, g.Request.URL.Path, got)
	}
	if at == "" {
		return
	}
	all, _ := g.json["errors"].([]any)
	for _, one := range all {
		if e, ok := one.(map[string]any); ok && (e["pointer"] == at || e["name"] == at) {
			return
		}
	}
	t.Errorf("%s %s: no error names %s: %v", g.Request.Method, g.Request.URL.Path, at, g.json["errors"])
}

// text returns a field of an answer that is a text.
func (g answer) field(name string) string {
	text, _ := g.json[name].(string)
	return text
}

// items returns the lines of a list.
func (g answer) items() (all []map[string]any) {
	list, _ := g.json["items"].([]any)
	for _, one := range list {
		if o, ok := one.(map[string]any); ok {
			all = append(all, o)
		}
	}
	return all
}

// source makes a directory that is on.
func (w *world) source(t testing.TB, org directory.OrgID, name string) (id string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		s, err := w.Sources.Create(ctx, tx, directory.Operator(), org, provisioning.Settings{Name: name, Provider: "entra"}, true)
		if err == nil {
			err = w.Sources.Turn(ctx, tx, directory.Operator(), org, s.ID, provisioning.On)
		}
		id = s.ID
		return err
	})
	return id
}
