package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"parvis/internal/access"
	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/outbound"
	"parvis/internal/provisioning"
)

// terraformer makes a machine that may do all that an administrator may.
func (w *world) terraformer(t *testing.T, o organization) as {
	t.Helper()
	return as{token: w.machine(t, "Terraformer", o.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)}
}

const ofAlpha = `{"organization": {"short_name": "alpha"}, `

// Directories are added, changed and removed as by themselves. What people decide about them is not
// in a configuration: one that it makes only watches, and one that is on stays on.
func TestAConfigurationHasSources(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.terraformer(t, w.alpha)
	const body = ofAlpha + `"sources": [{"name": "Entra", "provider": "entra", "invites": true}, {"name": "directory OF alpha", "provider": "okta"}]}`
	want := []string{"change source Directory of alpha: provider entra okta", "create source Entra: invites false true, name  Entra, provider  entra"}
	before, events := w.dump(t), w.actions(t, w.alpha)
	w.call(t, a, "PUT", "/configuration?dry_run=true", body).is(t, want...)
	expect.Equal(t, "rows after the plan", w.dump(t), before)
	w.configure(t, a.token, "", body).is(t, want...)
	for action, n := range map[string]int{"source.created": 1, "source.changed": 1, "source.turned": 0, "source.deleted": 0} {
		expect.Equal(t, action, w.actions(t, w.alpha)[action]-events[action], n)
	}
	ids := map[string]string{}
	for _, s := range w.call(t, a, "GET", "/sources", "").want(t, 200).items() {
		ids[fmt.Sprint(s["name"])] = fmt.Sprint(s["id"])
		expect.Equal(t, "brake", s["brake"], any(true))
		expect.Equal(t, "state of "+fmt.Sprint(s["name"]), s["state"] == "on", s["name"] == "Directory of alpha")
	}
	expect.Equal(t, "tokens", len(w.call(t, a, "GET", "/sources/"+ids["Entra"]+"/tokens", "").want(t, 200).items()), 0)

	w.configure(t, a.token, "", body).is(t)
	whole := w.call(t, a, "GET", "/configuration", "").want(t, 200)
	w.configure(t, a.token, "&prune=true", string(whole.text)).is(t)
	w.configure(t, a.token, "", ofAlpha+`"sources": [{"id": "`+ids["Entra"]+`", "name": "Entra ID", "invites": false}]}`).is(t,
		"change source Entra ID: invites true false, name Entra Entra ID")
	expect.Equal(t, "changes that were recorded", w.actions(t, w.alpha)["source.changed"]-events["source.changed"], 2)
	connection := w.call(t, a, "GET", "/connections/"+w.alpha.ids["connections"], "").want(t, 200).field("name")
	w.configure(t, a.token, "", ofAlpha+`"sources": [{"name": "Entra ID", "connection": "`+strings.ToUpper(connection)+`"}]}`)
	comesInBy := func() any {
		t.Helper()
		return w.call(t, a, "GET", "/sources/"+ids["Entra"], "").want(t, 200).json["connection_id"]
	}
	expect.Equal(t, "the connection by its name", comesInBy(), any(w.alpha.ids["connections"]))
	w.configure(t, a.token, "", ofAlpha+`"sources": [{"name": "Entra ID", "provider": "other"}]}`)
	expect.Equal(t, "the connection that is not named", comesInBy(), any(w.alpha.ids["connections"]))
	w.configure(t, a.token, "", ofAlpha+`"sources": [{"name": "Entra ID", "provider": "entra", "connection": null}]}`)
	expect.Equal(t, "any connection", comesInBy(), nil)
	w.configure(t, a.token, "", ofAlpha+`"sources": []}`).is(t)
	w.configure(t, a.token, "&prune=true", ofAlpha+`"sources": [{"name": "entra id"}]}`).is(t, "delete source Directory of alpha")
	expect.Equal(t, "deletions that were recorded", w.actions(t, w.alpha)["source.deleted"]-events["source.deleted"], 1)
	if _, err := provisioning.SourceByID(t.Context(), w.DB, directory.Operator(), w.beta.ID, w.beta.ids["sources"]); err != nil {
		t.Errorf("the neighbour's directory: %v", err)
	}
}

// A connection that was removed lets nobody in, and does so after its configuration was sent back: as
// it was read, or to a source that has another connection by now, which keeps that.
func TestARemovedConnectionOfAConfigurationIsNotAny(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.terraformer(t, w.alpha)
	path, id := "/sources/"+w.alpha.ids["sources"], w.alpha.ids["connections"]
	w.call(t, a, "PATCH", path, `{"connection_id": "`+id+`"}`).want(t, 200)
	w.call(t, a, "DELETE", "/connections/"+id, "").want(t, 204)
	whole := string(w.call(t, a, "GET", "/configuration", "").want(t, 200).text)
	w.configure(t, a.token, "&prune=true", whole).is(t)
	expect.Equal(t, "after it was sent back", w.call(t, a, "GET", path, "").want(t, 200).json["connection_id"], any(id))
	w.configure(t, a.token, "", ofAlpha+`"sources": [{"id": "`+w.alpha.ids["sources"]+`", "connection": "`+id+`", "invites": true}]}`).is(t,
		"change source Directory of alpha: invites false true")
	expect.Equal(t, "after another change", w.call(t, a, "GET", path, "").want(t, 200).json["connection_id"], any(id))

	other := fmt.Sprint(w.call(t, a, "POST", "/connections", `{"name": "Other", "provider": "okta", "protocol": "saml"}`).want(t, 201).json["id"])
	w.call(t, a, "PATCH", path, `{"connection_id": "`+other+`"}`).want(t, 200)
	w.call(t, a, "PUT", "/configuration?dry_run=true", whole).refused(t, 422, "provisioning.connection_unknown", "/sources/0/connection")
	w.call(t, a, "PUT", "/configuration?dry_run=true", ofAlpha+`"sources": [{"name": "New", "provider": "okta", "connection": "`+id+`"}]}`).refused(t, 422, "provisioning.connection_unknown", "/sources/0/connection")
	expect.Equal(t, "after it was refused", w.call(t, a, "GET", path, "").want(t, 200).json["connection_id"], any(other))
}

func TestMistakesOfConfiguredSourcesAreNamed(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.terraformer(t, w.alpha)
	before := w.dump(t)
	var many strings.Builder
	for n := range 10 {
		fmt.Fprintf(&many, `{"name": "Directory %d", "provider": "other"},`, n)
	}
	for name, c := range map[string]struct {
		body string
		at   []string
	}{
		"shape":           {`{"provider": 7}, {"name": "A", "provider": "ldap", "invites": "yes"}, "B"`, []string{"/sources/0/provider", "/sources/1/invites", "/sources/1/provider", "/sources/2"}},
		"no provider":     {`{"name": "A"}`, []string{"/sources/0/provider"}},
		"no name":         {`{"provider": "okta"}`, []string{"/sources/0/name"}},
		"decided by hand": {`{"id": "{source}", "state": "on", "brake": false, "tokens": [], "address": "x"}`, []string{"/sources/0/address", "/sources/0/brake", "/sources/0/state", "/sources/0/tokens"}},
		"named twice":     {`{"name": "A", "provider": "okta"}, {"name": "a", "provider": "okta"}`, []string{"/sources/1/name"}},
		"one thing twice": {`{"id": "{source}"}, {"id": "{source}", "provider": "okta"}`, []string{"/sources/1/id"}},
		"a name taken":    {`{"name": "A", "provider": "okta"}, {"id": "{source}", "name": "A"}`, []string{"/sources/1/name"}},
		"the neighbour's": {`{"id": "{foreign}", "name": "Ours", "provider": "okta"}`, []string{"/sources/0/id"}},
		"nobody's":        {`{"id": "src_aaaaaaaaaaaaaaaaaaaaaaaaaa", "provider": "okta"}`, []string{"/sources/0/id"}},
		"of another kind": {`{"id": "{webhook}", "provider": "okta"}`, []string{"/sources/0/id"}},
		"no connection":   {`{"id": "{source}", "connection": "Nobody"}`, []string{"/sources/0/connection"}},
		"no null":         {`{"id": "{source}", "invites": null}`, []string{"/sources/0/invites"}},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.NewReplacer("{source}", w.alpha.ids["sources"], "{foreign}", w.beta.ids["sources"], "{webhook}", w.alpha.ids["webhooks"]).Replace(c.body)
			got := w.call(t, a, "PUT", "/configuration?dry_run=true", ofAlpha+`"sources": [`+body+`]}`).want(t, 422)
			if at := got.pointers(); !slices.Equal(at, c.at) {
				t.Errorf("the mistakes are at %q, want %q: %s", at, c.at, got.text)
			}
		})
	}
	got := w.call(t, a, "PUT", "/configuration?dry_run=true", ofAlpha+`"sources": [`+strings.TrimSuffix(many.String(), ",")+`]}`)
	got.refused(t, 409, "provisioning.too_many_sources", "/sources/9")
	expect.Equal(t, "rows", w.dump(t), before)
}

// receiver is a log's, that notes what it is sent with.
func receiver(t *testing.T) (address string, got func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r.URL.Path+" "+r.Header.Get("Authorization")+" "+r.Header.Get("X-Team"))
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// Webhooks are added, changed and removed as by themselves. Their secrets are shown once, and the
// values of headers never; a header without a value keeps its own. Neither the plan nor the apply
// calls anybody; the server does soon after.
func TestAConfigurationHasWebhooks(t *testing.T) {
	t.Parallel()
	address, calls := receiver(t)
	w := startWith(t, func(s *app.Settings) { s.Webhooks = outbound.New([]string{strings.TrimPrefix(address, "http://")}) })
	a := w.terraformer(t, w.alpha)
	body := func(authorization string) string {
		return ofAlpha + `"webhooks": [
			{"name": "Ledger", "kind": "events", "address": "` + address + `/ledger", "events": ["user.*", "group.*", "user.*"], "scheme": "v1a"},
			{"name": "SIEM", "kind": "log", "form": "ocsf", "address": "` + address + `/siem", "events": ["*"], "values": true,
				"headers": [{"name": "authorization"` + authorization + `}, {"name": "X-Team", "value": "night shift"}]}]}`
	}
	first, second := body(`, "value": "Splunk of old"`), body(`, "value": "Splunk of new"`)
	before, events := w.dump(t), w.actions(t, w.alpha)
	plan := w.call(t, a, "PUT", "/configuration?dry_run=true", first).want(t, 200)
	expect.Equal(t, "rows after the plan", w.dump(t), before)
	done := w.configure(t, a.token, "", first).is(t,
		"create webhook Ledger: address  "+address+"/ledger, events [] [group.* user.*], kind  events, name  Ledger, scheme v1 v1a",
		"create webhook SIEM: address  "+address+"/siem, events [] [*], form parvis ocsf, headers [] [map[name:Authorization value:<nil>] map[name:X-Team value:<nil>]], kind  log, name  SIEM, values false true, headers.Authorization <nil> <nil>, headers.X-Team <nil> <nil>")
	expect.Equal(t, "the plan", fmt.Sprint(plan.changes()), fmt.Sprint(done.changes()))
	expect.Equal(t, "secrets that are shown", strings.Count(string(done.text), "whpk_")+strings.Count(string(done.text), "whsec_"), 2)
	expect.Equal(t, "calls", len(calls()), 0)
	whole := w.call(t, a, "GET", "/configuration", "").want(t, 200)
	for _, text := range [][]byte{plan.text, done.text, whole.text} {
		if strings.Contains(string(text), "Splunk of old") || strings.Contains(string(text), "night shift") {
			t.Errorf("a value is read: %s", text)
		}
	}
	expect.Equal(t, "secrets of a plan and of what is read", strings.Count(string(plan.text)+string(whole.text), `"whsec_`), 0)
	w.configure(t, a.token, "", first).is(t)
	w.configure(t, a.token, "", body("")).is(t)
	w.configure(t, a.token, "&prune=true", string(whole.text)).is(t)
	expect.Equal(t, "webhooks that were added", w.actions(t, w.alpha)["webhook.created"]-events["webhook.created"], 2)
	expect.Equal(t, "changes that were none", w.actions(t, w.alpha)["webhook.changed"], 0)
	w.configure(t, a.token, "", second).is(t, "change webhook SIEM: headers.Authorization <nil> <nil>")
	w.configure(t, a.token, "", ofAlpha+`"webhooks": [{"name": "siem", "headers": [{"name": "Authorization"}]}, {"name": "Ledger", "events": ["user.*"]}]}`).is(t,
		"change webhook Ledger: events [group.* user.*] [user.*]",
		"change webhook SIEM: headers [map[name:Authorization value:<nil>] map[name:X-Team value:<nil>]] [map[name:Authorization value:<nil>]]")
	expect.Equal(t, "changes", w.actions(t, w.alpha)["webhook.changed"], 3)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := calls(); !slices.Contains(got, "/siem Splunk of new ") || !slices.Contains(got, "/ledger  ") {
		t.Errorf("the receiver got %q", got)
	}
	w.configure(t, a.token, "&prune=true", ofAlpha+`"webhooks": [{"name": "Ledger"}]}`).is(t, "delete webhook SIEM", "delete webhook Warehouse of alpha")
}

func TestMistakesOfConfiguredWebhooksAreNamed(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.terraformer(t, w.alpha)
	w.configure(t, a.token, "", ofAlpha+`"webhooks": [{"name": "SIEM", "kind": "log", "address": "https://192.0.43.7/", "events": ["*"], "headers": [{"name": "X-Key", "value": "one"}]}]}`).want(t, 200)
	before := w.dump(t)
	for name, c := range map[string]struct {
		body string
		at   []string
	}{
		"shape": {`{"name": 7, "kind": "sms", "scheme": "v2", "events": "*"}, {"kind": "log", "headers": [{"value": "x"}, {"name": "X-A", "secret": "x"}]}, "B"`,
			[]string{"/webhooks/0/events", "/webhooks/0/kind", "/webhooks/0/name", "/webhooks/0/scheme", "/webhooks/1/headers/0/name", "/webhooks/1/headers/1/secret", "/webhooks/2"}},
		"nothing":          {`{"kind": "events"}`, []string{"/webhooks/0/address", "/webhooks/0/events", "/webhooks/0/name"}},
		"values":           {`{"name": "A", "kind": "events", "address": "http://hooks.example.com/", "events": ["user.sneezed"]}`, []string{"/webhooks/0/address", "/webhooks/0/events"}},
		"decided by hand":  {`{"name": "SIEM", "state": "off", "sequence": 1, "secret": "whsec_x"}`, []string{"/webhooks/0/secret", "/webhooks/0/sequence", "/webhooks/0/state"}},
		"fixed":            {`{"name": "SIEM", "kind": "events"}, {"id": "{webhook}", "scheme": "v1a"}`, []string{"/webhooks/0/kind", "/webhooks/1/scheme"}},
		"no value":         {`{"name": "SIEM", "headers": [{"name": "x-key"}, {"name": "X-Other"}]}`, []string{"/webhooks/0/headers/1/value"}},
		"a value of none":  {`{"name": "A", "kind": "log", "address": "https://192.0.43.7/", "events": ["*"], "headers": [{"name": "X-Key"}]}`, []string{"/webhooks/0/headers/0/value"}},
		"a header of ours": {`{"name": "SIEM", "headers": [{"name": "Host", "value": "x"}]}`, []string{"/webhooks/0/headers"}},
		"not of its kind":  {`{"id": "{webhook}", "headers": [{"name": "X-Key", "value": "x"}]}`, []string{"/webhooks/0/headers"}},
		"named twice":      {`{"name": "A", "kind": "events"}, {"name": "a", "kind": "events"}`, []string{"/webhooks/1/name"}},
		"the neighbour's":  {`{"id": "{foreign}", "name": "Ours", "kind": "log"}`, []string{"/webhooks/0/id"}},
		"nobody's":         {`{"id": "whk_aaaaaaaaaaaaaaaaaaaaaaaaaa", "kind": "log"}`, []string{"/webhooks/0/id"}},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.NewReplacer("{webhook}", w.alpha.ids["webhooks"], "{foreign}", w.beta.ids["webhooks"]).Replace(c.body)
			got := w.call(t, a, "PUT", "/configuration?dry_run=true", ofAlpha+`"webhooks": [`+body+`]}`).want(t, 422)
			if at := got.pointers(); !slices.Equal(at, c.at) {
				t.Errorf("the mistakes are at %q, want %q: %s", at, c.at, got.text)
			}
		})
	}
	expect.Equal(t, "rows", w.dump(t), before)
}

// Two webhooks may have one name. A configuration that names it does not choose between them.
func TestOfTwoWebhooksOfOneNameNoneIsChosen(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.terraformer(t, w.alpha)
	const one = `{"name": "Ledger", "kind": "events", "address": "https://192.0.43.7/", "events": ["*"]}`
	w.call(t, a, "POST", "/webhooks", one).want(t, 201)
	w.call(t, a, "POST", "/webhooks", one).want(t, 201)
	w.call(t, a, "PUT", "/configuration?dry_run=true", ofAlpha+`"webhooks": [`+one+`]}`).refused(t, 422, "api.configuration_unclear", "/webhooks/0/name")
	whole := w.call(t, a, "GET", "/configuration", "").want(t, 200)
	w.configure(t, a.token, "&prune=true", string(whole.text)).is(t)
}

// An address that a configuration gives will be called, so it is counted like one that is given by
// itself; a plan, and an address that is there already, cost nothing.
func TestAddressesOfAConfigurationAreCounted(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.terraformer(t, w.alpha)
	body := func(n int) string {
		var all []string
		for i := range 15 {
			all = append(all, fmt.Sprintf(`{"name": "Ledger %d", "kind": "events", "address": "https://192.0.43.7/%d", "events": ["*"]}`, i, n))
		}
		return ofAlpha + `"webhooks": [` + strings.Join(all, ", ") + `]}`
	}
	rounds := directory.PerOrganizationHosts.Free / 15
	// Who has not proved lately who they are uses nothing up.
	tag := w.call(t, a, "GET", "/configuration", "").want(t, 200).Header.Get("ETag")
	for range rounds + 1 {
		w.call(t, as{token: w.alpha.tokens[directory.Owner], more: map[string]string{"If-Match": tag}}, "PUT", "/configuration", body(0)).refused(t, 403, "api.in_person", "")
	}
	for n := range rounds {
		w.configure(t, a.token, "", body(n)).want(t, 200)
		w.configure(t, a.token, "", body(n)).is(t)
	}
	before := w.dump(t)
	w.configure(t, a.token, "", body(rounds)).refused(t, 429, "webhook.too_often", "")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error { // all that is new: the limiter begins to refuse
		n, err := tx.Exec(ctx, `delete from audit_events where org_id = $1 and after like '%host-organization%'`, string(w.alpha.ID))
		if n != 1 {
			t.Errorf("%d events say so", n)
		}
		return err
	})
	expect.Equal(t, "rows", w.dump(t), before)
	w.configure(t, a.token, "", body(rounds-1)).is(t)
	w.configure(t, a.token, "", ofAlpha+`"groups": [{"name": "Drivers"}]}`).want(t, 200)
}

// Each section wants its own right, and a webhook a fresh proof: where events go is a person's
// decision. Who may not change rules is refused before anything is counted.
func TestSourcesAndWebhooksOfAConfigurationNeedTheirRights(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.users[directory.Owner]
	a := as{token: w.token(t, owner, access.WriteGroups)}
	for section, scope := range map[string]string{"sources": "parvis.connections.write", "webhooks": "parvis.webhooks.write"} {
		got := w.call(t, a, "PUT", "/configuration?dry_run=true", ofAlpha+`"`+section+`": []}`)
		got.refused(t, 403, "api.scope", "")
		if !strings.Contains(got.Header.Get("WWW-Authenticate"), `scope="`+scope+`"`) {
			t.Errorf("the challenge is %q", got.Header.Get("WWW-Authenticate"))
		}
	}
	w.call(t, as{token: w.token(t, owner, slices.DeleteFunc(access.Reach(directory.Owner), func(s access.Scope) bool { return s == access.ReadWebhooks })...)}, "GET", "/configuration", "").
		refused(t, 403, "api.scope", "")
	whole := as{token: w.alpha.tokens[directory.Owner]}
	const source, hook = ofAlpha + `"sources": [{"name": "Entra", "provider": "entra"}]}`, ofAlpha + `"webhooks": [{"name": "Ledger", "kind": "events", "address": "https://192.0.43.7/", "events": ["*"]}]}`
	w.call(t, whole, "PUT", "/configuration?dry_run=true", source).want(t, 200)
	w.call(t, whole, "PUT", "/configuration?dry_run=true", hook).refused(t, 403, "api.in_person", "")
	for _, section := range []string{"sources", "webhooks"} {
		w.call(t, whole, "PUT", "/configuration?dry_run=true&prune=true", ofAlpha+`"`+section+`": []}`).refused(t, 403, "api.in_person", "")
		w.call(t, whole, "PUT", "/configuration?dry_run=true", ofAlpha+`"`+section+`": []}`).is(t)
	}
	person := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.WriteWebhooks)}
	w.call(t, person, "PUT", "/configuration?dry_run=true", hook).want(t, 200)
	w.Clock.Advance(11 * 60e9)
	w.call(t, person, "PUT", "/configuration?dry_run=true", hook).want(t, 401)
	neighbour := w.terraformer(t, w.beta)
	w.call(t, neighbour, "PUT", "/configuration?dry_run=true", source).refused(t, 409, "api.configuration_foreign", "/organization/short_name")
}
