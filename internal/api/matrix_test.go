package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/directory"
)

// listed is an operation as the document lists it.
type listed struct {
	method, path    string
	scope           access.Scope
	role            directory.Role
	fresh, inPerson bool
	body            string
}

// operations reads what the document lists.
func (w *world) operations(t *testing.T) (all []listed) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			Scope    access.Scope   `json:"x-scope"`
			Role     directory.Role `json:"x-role"`
			Fresh    bool           `json:"x-fresh"`
			InPerson bool           `json:"x-in-person"`
		}
	}
	if err := json.Unmarshal([]byte(w.Browser(t).Get("/api/openapi.json").Body), &document); err != nil {
		t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method, o := range methods {
			method, path := strings.ToUpper(method), strings.TrimPrefix(path, "/api/v1")
			all = append(all, listed{method, path, o.Scope, o.Role, o.Fresh, o.InPerson, bodies[method+" "+path]})
		}
	}
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// bodies are what operations are sent that take something.
var bodies = map[string]string{
	"PATCH /users/{id}":                  `{"name": "Bo Lind"}`,
	"POST /users/batch":                  `{"deed": "end_sessions", "user_ids": ["{id}"]}`,
	"POST /users/{id}/role":              `{"role": "auditor"}`,
	"POST /users/{id}/reset-second-step": `{"reason": "lost"}`,
	"POST /users/{id}/change-email":      `{"email": "new@alpha.example"}`,
	"POST /invitations":                  `{"email": "new@alpha.example"}`,
	"POST /invitations/batch":            `{"invitations": [{"email": "new@alpha.example"}]}`,
	"POST /groups":                       `{"name": "Drivers"}`,
	"PATCH /groups/{id}":                 `{"name": "Dispatch"}`,
	"POST /connections":                  `{"provider": "okta", "protocol": "saml", "name": "Okta"}`,
	"PATCH /connections/{id}":            `{"name": "Front door"}`,
	"POST /connections/{id}/setup-link":  `{"email": "it@alpha.example"}`,
	"POST /sources":                      `{"name": "Entra", "provider": "entra"}`,
	"PATCH /sources/{id}":                `{"name": "Our directory"}`,
	"POST /sources/{id}/check":           `{"method": "POST", "path": "/Users", "body": "{\"userName\": \"new@alpha.example\"}"}`,
	"PATCH /organization":                `{"contact": "it@alpha.example"}`,
	"POST /organizations":                `{"name": "Gamma Rail", "short_name": "gamma", "owner_email": "olga@gamma.example"}`,
	"POST /domains":                      `{"name": "alpha.example"}`,
	"POST /applications":                 `{"kind": "link", "name": "Handbook", "address": "https://handbook.alpha.example"}`,
	"PATCH /applications/{id}":           `{"asks": true}`,
	"PUT /applications/{id}/placement":   `{"standing": "approved", "audience": "everyone", "groups": []}`,
	"POST /machines/{id}":                `{"scopes": ["parvis.people.read"], "role": "auditor"}`,
	"PUT /configuration":                 `{"organization": {"short_name": "alpha"}, "groups": [{"name": "Dispatch"}]}`,
	"POST /webhooks":                     `{"kind": "events", "name": "Ledger", "address": "https://ledger.alpha.example/hook", "events": ["user.*"]}`,
	"PATCH /webhooks/{id}":               `{"name": "Ledger"}`,
	"POST /webhooks/{id}/headers":        `{"headers": []}`,
	"POST /webhooks/{id}/secret":         `{}`,
	"POST /webhooks/{id}/replay":         `{"after": -1}`,
	"POST /webhooks/{id}/send":           `{"event_id": "evt_aaaaaaaaaaaaaaaaaaaaaaaaaa"}`,
	"PUT /rules/password":                `{"preset": "classic", "minimum_length": 8, "maximum_length": 128, "digit": true, "upper_case": true, "lower_case": true, "special": true, "history": 10, "reset_lifetime_seconds": 1800}`,
	"PUT /rules/second-step":             `{"required_from": null, "privileged": true, "tolerance": 1, "passwordless": true}`,
	"PUT /rules/sessions":                `{"idle_seconds": 1728000, "absolute_seconds": 7776000}`,
}

// to returns the path and the body of an operation on an organization's things.
func (l listed) to(o organization) (path, body string) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(l.path, "/"), "/")
	id := o.ids[kind]
	path = strings.NewReplacer("{id}", id, "{user}", o.ids["users"], "{secret}", o.ids["secrets"], "{session}", "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa", "{token}", "pst_aaaaaaaaaaaaaaaaaaaaaaaaaa", "{conflict}", "pwt_aaaaaaaaaaaaaaaaaaaaaaaaaa", "{link}", "0123456789abcdef0123456789abcdef").Replace(l.path)
	return path, strings.ReplaceAll(l.body, "{id}", id)
}

// Every operation is tried with a token of each role, with and without its scope, and on things of
// the own organization, of the neighbour and of nobody (TEN-1, TEN-3, TEN-6, TEN-8).
func TestTEN8EveryOperationIsForItsRoleItsScopeAndItsOrganization(t *testing.T) {
	t.Parallel()
	w := start(t)
	all := w.operations(t)
	if len(all) < 40 {
		t.Fatalf("the document lists %d operations", len(all))
	}
	weak := map[string]string{} // tokens without one scope
	for _, role := range directory.Roles {
		token, has := w.alpha.tokens[role]
		if !has {
			continue // people without the administration have no tokens
		}
		machine := ""
		if role != directory.Owner {
			machine = w.machine(t, map[directory.Role]string{directory.Administrator: "Payroll", directory.Helpdesk: "Tickets", directory.Auditor: "Monitoring"}[role], w.alpha.users[directory.Owner], role, access.Reach(role)...)
		}
		for _, o := range all {
			w.tries(t, o, role, token, false)
			if machine != "" {
				w.tries(t, o, role, machine, true)
			}
			w.triesWithoutScope(t, o, role, weak)
		}
	}
}

func (w *world) triesWithoutScope(t *testing.T, o listed, role directory.Role, weak map[string]string) {
	t.Helper()
	if o.scope == "" {
		return
	}
	key := string(role) + string(o.scope)
	if weak[key] == "" {
		weak[key] = w.token(t, w.alpha.users[role], slices.DeleteFunc(access.Reach(role), func(s access.Scope) bool { return s == o.scope })...)
	}
	path, body := o.to(w.alpha)
	if got := w.paced(t, weak[key], o.method, path, body); got != http.StatusForbidden {
		t.Errorf("%s %s: a token of %s without the scope is answered %d, want 403", o.method, o.path, role, got)
	}
}

// tries one operation on what belongs to the caller's organization, to the neighbour and to
// nobody. A machine's rights were given with a fresh proof; a token of a person is none.
func (w *world) tries(t *testing.T, o listed, role directory.Role, token string, machine bool) {
	t.Helper()
	fresh := o.fresh && (!machine || o.inPerson)
	try := func(of organization, token string) int {
		path, body := o.to(of)
		separator := "?"
		if o.method == http.MethodGet {
			return w.paced(t, token, o.method, path, body)
		}
		return w.paced(t, token, o.method, path+separator+"dry_run=true", body)
	}
	own := try(w.alpha, token)
	may := slices.Index(directory.Roles, role) <= slices.Index(directory.Roles, o.role) && slices.Contains(append(access.Reach(role), ""), o.scope)
	switch {
	case fresh && own != http.StatusForbidden:
		t.Errorf("%s %s: a token of %s is answered %d, want 403 because it wants a fresh proof", o.method, o.path, role, own)
	case o.path == "/api-tokens/{id}" && role != directory.Owner && role != directory.Administrator:
		// Of others' tokens; TestAPersonRevokesTheirOwnToken has their own.
	case !fresh && may && own == http.StatusForbidden:
		t.Errorf("%s %s: a token of %s is refused", o.method, o.path, role)
	case !may && own != http.StatusForbidden:
		t.Errorf("%s %s: a token of %s is answered %d, want 403", o.method, o.path, role, own)
	}
	if !strings.Contains(o.path, "{id}") && o.path != "/users/batch" {
		return
	}
	nobody := organization{ids: map[string]string{}}
	for kind := range w.alpha.ids {
		nobody.ids[kind] = "xxx_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	}
	foreign, absent := try(w.beta, token), try(nobody, token)
	if foreign != absent {
		t.Errorf("%s %s: a token of %s is answered %d for the neighbour's, %d for nobody's", o.method, o.path, role, foreign, absent)
	}
	if foreign < 400 {
		t.Errorf("%s %s: a token of %s reaches the neighbour's: %d", o.method, o.path, role, foreign)
	}
}

// paced makes a call at a time at which the caller may make one.
func (w *world) paced(t *testing.T, token, method, path, body string) int {
	t.Helper()
	w.Clock.Advance(2e7)
	return w.call(t, as{token: token}, method, path, body).StatusCode
}
