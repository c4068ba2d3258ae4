package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation/samltest"
)

// changes lists what a plan changes, as "do kind name: field from to, …".
func (g answer) changes() (all []string) {
	list, _ := g.json["changes"].([]any)
	for _, one := range list {
		c := one.(map[string]any)
		line := fmt.Sprintf("%v %v %v:", c["do"], c["kind"], c["name"])
		for _, f := range c["fields"].([]any) {
			field := f.(map[string]any)
			line += fmt.Sprintf(" %v %v %v,", field["name"], field["from"], field["to"])
		}
		all = append(all, strings.TrimRight(line, ",:"))
	}
	return all
}

// pointers lists the places of what is wrong.
func (g answer) pointers() (at []string) {
	all, _ := g.json["errors"].([]any)
	for _, one := range all {
		at = append(at, fmt.Sprint(one.(map[string]any)["pointer"]))
	}
	return slices.Compact(at)
}

// is fails the test unless a plan lists these changes.
func (g answer) is(t *testing.T, want ...string) answer {
	t.Helper()
	if got := g.want(t, 200).changes(); !slices.Equal(got, want) {
		t.Errorf("the changes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return g
}

// configure plans a configuration, and applies it under the plan's ETag.
func (w *world) configure(t *testing.T, token, query, body string) answer {
	t.Helper()
	plan := w.call(t, as{token: token}, "PUT", "/configuration?dry_run=true"+query, body)
	if plan.StatusCode != 200 {
		return plan
	}
	return w.call(t, as{token: token, more: map[string]string{"If-Match": plan.Header.Get("ETag")}}, "PUT", "/configuration?"+strings.TrimPrefix(query, "&"), body)
}

const wholeOfAlpha = `{
	"organization": {"short_name": "Alpha", "contact": "it@alpha.example"},
	"rules": {"sessions": {"idle_seconds": 7200}},
	"domains": [{"name": "Alpha.Example"}],
	"groups": [{"name": "drivers"}, {"name": "Dispatch"}]
}`

// The plan says what the configuration would change, and changes nothing; then it is done, each
// deed recorded as if it were called for itself; then there is nothing to change.
func TestAConfigurationIsPlannedAppliedAndStays(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)
	a := as{token: robot}
	w.call(t, a, "POST", "/groups", `{"name": "Drivers"}`).want(t, 201)
	want := []string{
		"change organization Alpha Freight: contact  it@alpha.example",
		"change rules sessions: idle_seconds 1728000 7200",
		"create domain alpha.example: name  alpha.example",
		"create group Dispatch: name  Dispatch",
	}
	before := w.dump(t)
	plan := w.call(t, a, "PUT", "/configuration?dry_run=true", wholeOfAlpha).is(t, want...)
	if after := w.dump(t); after != before {
		t.Errorf("rows before: %s\nand after: %s", before, after)
	}
	now := w.call(t, a, "GET", "/configuration", "").want(t, 200)
	if now.Header.Get("ETag") != plan.Header.Get("ETag") {
		t.Errorf("the plan is of %s, the configuration of %s", plan.Header.Get("ETag"), now.Header.Get("ETag"))
	}
	w.call(t, a, "PUT", "/configuration", wholeOfAlpha).refused(t, 428, "api.if_match_missing", "")
	events := w.actions(t, w.alpha)
	done := w.configure(t, robot, "", wholeOfAlpha).is(t, want...)
	for action, n := range map[string]int{"organization.changed": 1, "session_rules.changed": 1, "domain.added": 1, "group.created": 1, "group.renamed": 0} {
		if got := w.actions(t, w.alpha)[action] - events[action]; got != n {
			t.Errorf("%s is recorded %d times, want %d", action, got, n)
		}
	}
	second := w.configure(t, robot, "", wholeOfAlpha).is(t)
	if second.Header.Get("ETag") != done.Header.Get("ETag") {
		t.Error("without a change there is another ETag")
	}
	whole := w.call(t, a, "GET", "/configuration", "").want(t, 200)
	w.configure(t, robot, "&prune=true", string(whole.text)).is(t)
}

// actions counts what is recorded in an organization's log, by action.
func (w *world) actions(t *testing.T, o organization) map[string]int {
	t.Helper()
	all := map[string]int{}
	if err := w.DB.Rows(t.Context(), func(scan func(...any) error) error {
		var action string
		err := scan(&action)
		all[action]++
		return err
	}, `select action from audit_events where org_id = $1`, string(o.ID)); err != nil {
		t.Fatal(err)
	}
	return all
}

// Only what is listed stays where that is asked for, and only of the sections that are sent. Names
// change by ids, even when each takes another's.
func TestAConfigurationPrunesAndRenames(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)
	people := w.alpha.ids["groups"]
	w.configure(t, robot, "", `{"organization": {"short_name": "alpha"}, "groups": [{"name": "Dispatch"}]}`).is(t, "create group Dispatch: name  Dispatch")
	id := ""
	for _, g := range w.call(t, as{token: robot}, "GET", "/groups", "").items() {
		if g["name"] == "Dispatch" {
			id = fmt.Sprint(g["id"])
		}
	}
	w.configure(t, robot, "&prune=true", `{"organization": {"id": "`+string(w.alpha.ID)+`"}, "groups": [{"id": "`+id+`", "name": "People of alpha"}, {"name": "Night"}]}`).is(t,
		"create group Night: name  Night", "change group People of alpha: name Dispatch People of alpha", "delete group People of alpha")
	w.configure(t, robot, "&prune=true", `{"organization": {"short_name": "alpha"}, "groups": [{"id": "`+people+`"}]}`).refused(t, 422, "api.configuration_unknown", "/groups/0/id")
	// A chain of names is freed link by link; the last link goes first.
	w.configure(t, robot, "", `{"organization": {"short_name": "alpha"}, "groups": [{"id": "`+id+`", "name": "Night"}, {"id": "`+w.group(t, robot, "Night")+`", "name": "Day"}]}`).is(t,
		"change group Day: name Night Day", "change group Night: name People of alpha Night")
	w.configure(t, robot, "&prune=true", `{"organization": {"short_name": "alpha"}, "domains": []}`).is(t, "delete domain alpha-freight.example")
	w.configure(t, robot, "&prune=true", `{"organization": {"short_name": "alpha"}}`).is(t)
	if n := len(w.call(t, as{token: robot}, "GET", "/groups", "").items()); n != 2 {
		t.Errorf("%d groups are left", n)
	}
}

// group returns the id of a group by its name.
func (w *world) group(t *testing.T, token, name string) string {
	t.Helper()
	for _, g := range w.call(t, as{token: token}, "GET", "/groups", "").items() {
		if g["name"] == name {
			return fmt.Sprint(g["id"])
		}
	}
	t.Fatalf("no group is called %s", name)
	return ""
}

// Neither one rule nor a whole configuration takes lengths out of their bounds.
func TestPWD1TheAPIKeepsTheBounds(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)
	for _, c := range []struct{ preset, least, most, field string }{
		{"classic", "7", "128", "minimum_length"}, {"classic", "0", "128", "minimum_length"}, {"classic", "-8", "128", "minimum_length"}, {"modern", "14", "128", "minimum_length"},
		{"classic", "8", "63", "maximum_length"}, {"classic", "8", "401", "maximum_length"},
	} {
		w.configure(t, robot, "", `{"organization": {"short_name": "alpha"}, "rules": {"password": {"preset": "`+c.preset+`", "minimum_length": `+c.least+`, "maximum_length": `+c.most+`}}}`).
			refused(t, 422, "credential.rules."+c.field, "/rules/password/"+c.field)
	}
	w.configure(t, robot, "", `{"organization": {"short_name": "alpha"}, "rules": {"password": {"preset": "classic", "minimum_length": 9, "maximum_length": 400}}}`).want(t, 200)
}

// Rules that stand in each other's way are set in the order that works: short passwords want a
// second step of everybody, and that is given up only once passwords are long.
func TestRulesOfAConfigurationAreSetInTheOrderThatWorks(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)
	rules := func(from, least string) string {
		return `{"organization": {"short_name": "alpha"}, "rules": {"second_step": {"required_from": ` + from + `}, "password": {
			"preset": "modern", "minimum_length": ` + least + `, "digit": false, "upper_case": false, "lower_case": false, "special": false}}}`
	}
	w.configure(t, robot, "", rules("null", "8")).refused(t, 422, "credential.rules.minimum_length", "/rules/password/minimum_length")
	w.configure(t, robot, "", rules(`"2026-01-01T00:00:00Z"`, "8")).want(t, 200)
	w.configure(t, robot, "", rules("null", "15")).want(t, 200)
	w.configure(t, robot, "", rules("null", "15")).is(t)
}

// What was changed since the plan was made is not changed again by it, and a configuration of
// another organization is refused before anything is looked for.
func TestAConfigurationIsOfOneOrganizationAndOfOneMoment(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner]}
	const body = `{"organization": {"short_name": "alpha"}, "groups": [{"name": "Dispatch"}]}`
	tag := w.call(t, a, "PUT", "/configuration?dry_run=true", body).want(t, 200).Header.Get("ETag")
	w.call(t, a, "POST", "/groups", `{"name": "Drivers"}`).want(t, 201)
	old := as{token: a.token, more: map[string]string{"If-Match": tag}}
	w.call(t, old, "PUT", "/configuration", body).refused(t, 412, "api.changed_since", "")
	w.call(t, old, "PUT", "/configuration?dry_run=true", body).refused(t, 412, "api.changed_since", "")
	for name, c := range map[string]struct{ body, code, at string }{
		"the neighbour's id":   {`{"organization": {"id": "` + string(w.beta.ID) + `"}}`, "api.configuration_foreign", "/organization/id"},
		"nobody's id":          {`{"organization": {"id": "org_nobody"}, "nonsense": 1}`, "api.configuration_foreign", "/organization/id"},
		"the neighbour's name": {`{"organization": {"short_name": "beta"}}`, "api.configuration_foreign", "/organization/short_name"},
		"nobody's name":        {`{"organization": {"short_name": "gamma"}}`, "api.configuration_foreign", "/organization/short_name"},
	} {
		t.Run(name, func(t *testing.T) {
			w.call(t, a, "PUT", "/configuration?dry_run=true", c.body).refused(t, 409, c.code, c.at)
		})
	}
	foreign := w.call(t, a, "PUT", "/configuration?dry_run=true", `{"organization": {"short_name": "alpha"}, "groups": [{"id": "`+w.beta.ids["groups"]+`", "name": "Ours"}]}`)
	absent := w.call(t, a, "PUT", "/configuration?dry_run=true", `{"organization": {"short_name": "alpha"}, "groups": [{"id": "grp_aaaaaaaaaaaaaaaaaaaaaaaaaa", "name": "Ours"}]}`)
	foreign.refused(t, 422, "api.configuration_unknown", "/groups/0/id")
	absent.refused(t, 422, "api.configuration_unknown", "/groups/0/id")
}

// Every mistake is named at once, by its place in what was sent, and nothing is done.
func TestMistakesOfAConfigurationAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := as{token: w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)}
	before := w.dump(t)
	for name, c := range map[string]struct {
		body string
		at   []string
	}{
		"shape": {`{"organization": {"short_name": "alpha", "kind": "x", "contact": null}, "people": [], "rules": {"password": {"digit": "yes"}, "lunch": 1},
			"groups": [{"name": 7}, {"name": "A", "members": 2}, "B"]}`,
			[]string{"/groups/0/name", "/groups/1/members", "/groups/2", "/organization/contact", "/organization/kind", "/people", "/rules/lunch", "/rules/password/digit"}},
		"values": {`{"organization": {"short_name": "alpha", "name": " ", "language": "xx", "invitation_lifetime_seconds": 1}, "rules": {"sessions": {"idle_seconds": 1, "absolute_seconds": 1}},
			"domains": [{"name": "gmail.com"}, {"name": "no domain"}], "groups": [{"name": "Night"}, {"name": ""}]}`,
			[]string{"/domains/0/name", "/domains/1/name", "/groups/1/name", "/organization/invitation_lifetime_seconds", "/organization/language", "/organization/name",
				"/rules/sessions/absolute_seconds", "/rules/sessions/idle_seconds"}},
		"named twice": {`{"organization": {"short_name": "alpha"}, "groups": [{"name": "Night"}, {"name": "NIGHT"}], "domains": [{"id": "{domain}"}, {"id": "{domain}"}]}`,
			[]string{"/domains/1/id", "/groups/1/name"}},
		"a domain renamed": {`{"organization": {"short_name": "alpha"}, "domains": [{"id": "{domain}", "name": "other.example"}]}`, []string{"/domains/0/name"}},
		"a name taken":     {`{"organization": {"short_name": "alpha"}, "groups": [{"id": "{group}", "name": "Night"}, {"name": "Night"}]}`, []string{"/groups/1/name"}},
		"no organization":  {`{"groups": []}`, []string{"/organization/short_name"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.call(t, robot, "PUT", "/configuration?dry_run=true", strings.NewReplacer("{domain}", w.alpha.ids["domains"], "{group}", w.alpha.ids["groups"]).Replace(c.body)).want(t, 422)
			if at := got.pointers(); !slices.Equal(at, c.at) {
				t.Errorf("the mistakes are at %q, want %q: %s", at, c.at, got.text)
			}
		})
	}
	long := `{"organization": {"short_name": "alpha"}, "groups": [` + strings.TrimSuffix(strings.Repeat(`{"name": "A"},`, 1001), ",") + `]}`
	w.call(t, robot, "PUT", "/configuration?dry_run=true", long).refused(t, 422, "api.configuration_long", "/groups")
	w.call(t, robot, "PUT", "/configuration?dry_run=true", `[]`).refused(t, 422, "api.type", "")
	w.call(t, robot, "PUT", "/configuration?dry_run=true&prune=1", `{}`).refused(t, 422, "api.type", "prune")
	if after := w.dump(t); after != before {
		t.Errorf("rows before: %s\nand after: %s", before, after)
	}
}

// A read needs every scope, a write that of each section that is sent, and what wants a fresh proof
// by itself wants it here, but only if it changes something.
func TestAConfigurationNeedsTheRightsOfItsParts(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.users[directory.Owner]
	groups := as{token: w.token(t, owner, access.WriteGroups)}
	const named = `{"organization": {"short_name": "alpha"}, "groups": [{"name": "Night"}]`
	w.call(t, groups, "PUT", "/configuration?dry_run=true", named+"}").is(t, "create group Night: name  Night")
	for name, more := range map[string]string{
		"organization": `{"organization": {"short_name": "alpha", "contact": "it@alpha.example"}}`, "rules": named + `, "rules": {}}`, "domains": named + `, "domains": []}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := w.call(t, groups, "PUT", "/configuration?dry_run=true", more)
			got.refused(t, 403, "api.scope", "")
			if !strings.Contains(got.Header.Get("WWW-Authenticate"), `scope="parvis.settings.write"`) {
				t.Errorf("the challenge is %q", got.Header.Get("WWW-Authenticate"))
			}
		})
	}
	for _, section := range []string{"applications", "placements"} {
		got := w.call(t, groups, "PUT", "/configuration?dry_run=true", named+`, "`+section+`": []}`)
		got.refused(t, 403, "api.scope", "")
		if !strings.Contains(got.Header.Get("WWW-Authenticate"), `scope="parvis.applications.write"`) {
			t.Errorf("the challenge is %q", got.Header.Get("WWW-Authenticate"))
		}
	}
	for _, scope := range []access.Scope{access.ReadGroups, access.ReadSettings, access.ReadApplications, access.ReadConnections} {
		w.call(t, as{token: w.token(t, owner, slices.DeleteFunc(access.Reach(directory.Owner), func(s access.Scope) bool { return s == scope })...)}, "GET", "/configuration", "").refused(t, 403, "api.scope", "")
	}
	whole := as{token: w.alpha.tokens[directory.Owner]}
	same := w.call(t, whole, "GET", "/configuration", "").want(t, 200)
	w.call(t, whole, "PUT", "/configuration?dry_run=true", string(same.text)).is(t)
	const session = `{"organization": {"short_name": "alpha"}, "rules": {"sessions": {"idle_seconds": 7200}}}`
	w.call(t, whole, "PUT", "/configuration?dry_run=true", session).refused(t, 403, "api.in_person", "")
	w.call(t, whole, "PUT", "/configuration?dry_run=true&prune=true", `{"organization": {"short_name": "alpha"}, "domains": []}`).refused(t, 403, "api.in_person", "")
	w.call(t, whole, "PUT", "/configuration?dry_run=true", `{"organization": {"short_name": "alpha"}, "domains": []}`).is(t)
	person := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.WriteSettings)}
	w.call(t, person, "PUT", "/configuration?dry_run=true", session).want(t, 200)
	w.Clock.Advance(11 * 60e9)
	w.call(t, person, "PUT", "/configuration?dry_run=true", session).want(t, 401)
	var n int
	if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from session_rules where org_id = $1`, string(w.alpha.ID)); err != nil || n != 0 {
		t.Errorf("%d rules were set (%v)", n, err)
	}
}

// An operator's machine configures an organization it is let into, saying why each time, and none by
// a token of the installation.
func TestAnOperatorsMachineConfiguresOneOrganization(t *testing.T) {
	t.Parallel()
	w := start(t)
	o := w.operator(t, directory.Administrator, append(access.Reach(directory.Administrator), access.OperatorScopes...)...)
	for _, named := range []string{`{"short_name": "alpha"}`, `{"id": "` + string(w.alpha.ID) + `"}`, `{"id": ""}`} {
		w.call(t, as{token: w.acts(t, o, "")}, "PUT", "/configuration?dry_run=true", `{"organization": `+named+`}`).refused(t, 403, "api.scope", "")
	}
	within := because(w.acts(t, o, "alpha"))
	w.call(t, within, "PUT", "/configuration?dry_run=true", `{"organization": {"short_name": "alpha"}, "rules": {"sessions": {"idle_seconds": 7200}}}`).is(t,
		"change rules sessions: idle_seconds 1728000 7200")
	w.call(t, within, "PUT", "/configuration?dry_run=true", `{"organization": {"short_name": "beta"}}`).refused(t, 409, "api.configuration_foreign", "/organization/short_name")
	if n := w.actions(t, w.alpha)["operator.called"]; n != 2 {
		t.Errorf("%d calls are in the log", n)
	}
}

// Applications are registered, changed, placed and removed as by themselves. A group that is made by
// the same configuration is let in by its name, and a secret is shown once.
func TestAConfigurationHasApplications(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, _, err := application.Register(ctx, tx, directory.Operator(), w.URL, application.Application{
			Kind: application.Link, Settings: application.Settings{Name: "Collaborate", Address: "https://collaborate.example/"},
		})
		return err
	})
	const body = `{"organization": {"short_name": "alpha"}, "groups": [{"name": "Drivers"}], "applications": [
		{"name": "Tracker", "kind": "web", "redirect_uris": ["https://tracker.alpha.example/callback"], "roles": [{"group": "drivers", "role": "editor"}],
			"placement": {"audience": "groups", "groups": ["Drivers"]}},
		{"name": "Handbook", "kind": "link", "address": "https://handbook.alpha.example/", "titles": {"fr": "Manuel"}}],
		"placements": [{"name": "Collaborate", "audience": "nobody"}]}`
	before := w.dump(t)
	plan := w.call(t, as{token: robot}, "PUT", "/configuration?dry_run=true", body).want(t, 200)
	if strings.Contains(string(plan.text), "pcs_") || w.dump(t) != before {
		t.Errorf("the plan made something: %s", plan.text)
	}
	events := w.actions(t, w.alpha)
	done := w.configure(t, robot, "", body).is(t,
		"create group Drivers: name  Drivers",
		"create application Handbook: address <nil> https://handbook.alpha.example/, kind  link, name  Handbook, titles.fr <nil> Manuel",
		"create application Tracker: auth <nil> secret, kind  web, name  Tracker, placement.audience everyone groups, placement.groups [] [Drivers], redirect_uris [] [https://tracker.alpha.example/callback], roles [] [map[group:Drivers role:editor]]",
		"change placement Collaborate: audience everyone nobody")
	secrets := 0
	for _, one := range done.json["changes"].([]any) {
		if c := one.(map[string]any); c["client_secret"] != nil {
			secrets++
		}
	}
	if secrets != 1 {
		t.Errorf("%d secrets are shown: %s", secrets, done.text)
	}
	for action, n := range map[string]int{"application.registered": 2, "application.placed": 2, "application.changed": 0} {
		if got := w.actions(t, w.alpha)[action] - events[action]; got != n {
			t.Errorf("%s is recorded %d times, want %d", action, got, n)
		}
	}
	w.configure(t, robot, "", body).is(t)
	whole := w.call(t, as{token: robot}, "GET", "/configuration", "").want(t, 200)
	w.configure(t, robot, "&prune=true", string(whole.text)).is(t)
	if got := w.actions(t, w.alpha)["application.changed"]; got != 0 {
		t.Errorf("%d changes are recorded that were none", got)
	}
	w.configure(t, robot, "&prune=true", `{"organization": {"short_name": "alpha"}, "placements": [], "applications": [{"name": "Terraformer"}, {"id": "`+w.alpha.ids["machines"]+`"},
		{"name": "tracker", "access_for_seconds": 600, "placement": {"audience": "everyone", "groups": []}}]}`).is(t,
		"change application Tracker: access_for_seconds 300 600, placement.audience groups everyone, placement.groups [Drivers] []",
		"delete application Handbook", "delete application Portal of alpha")
}

func TestMistakesOfConfiguredApplicationsAreNamed(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := as{token: w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)}
	before := w.dump(t)
	for name, c := range map[string]struct {
		body string
		at   []string
	}{
		"no kind":       {`"applications": [{"name": "Tracker"}]`, []string{"/applications/0/kind"}},
		"another kind":  {`"applications": [{"id": "{id}", "kind": "native"}]`, []string{"/applications/0/kind"}},
		"no such group": {`"applications": [{"name": "A", "kind": "link", "address": "https://a.alpha.example/", "placement": {"audience": "groups", "groups": ["Drivers"]}}]`, []string{"/applications/0/placement/groups/0"}},
		"the neighbour's": {`"applications": [{"name": "A", "kind": "web", "redirect_uris": ["https://a.alpha.example/"], "roles": [{"group": "{foreign}", "role": "x"}]}]`,
			[]string{"/applications/0/roles/0/group"}},
		"not of its kind": {`"applications": [{"name": "A", "kind": "link", "address": "https://a.alpha.example/", "pairwise": true}]`, []string{"/applications/0/pairwise"}},
		"bad addresses":   {`"applications": [{"name": "A", "kind": "web", "redirect_uris": ["ftp://a"]}, {"name": "B", "kind": "link", "address": "x"}]`, []string{"/applications/0/redirect_uris", "/applications/1/address"}},
		"of nobody":       {`"placements": [{"name": "Nothing", "standing": "forbidden", "audience": "nobody", "groups": []}]`, []string{"/placements/0/name"}},
		"a secret":        {`"applications": [{"id": "{id}", "client_secret": "x"}]`, []string{"/applications/0/client_secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.NewReplacer("{id}", w.alpha.ids["applications"], "{foreign}", w.beta.ids["groups"]).Replace(`{"organization": {"short_name": "alpha"}, ` + c.body + `}`)
			got := w.call(t, robot, "PUT", "/configuration?dry_run=true", body).want(t, 422)
			if at := got.pointers(); !slices.Equal(at, c.at) {
				t.Errorf("the mistakes are at %q, want %q: %s", at, c.at, got.text)
			}
		})
	}
	if after := w.dump(t); after != before {
		t.Errorf("rows before: %s\nand after: %s", before, after)
	}
	own := `{"organization": {"short_name": "alpha"}, "applications": [{"id": "` + w.alpha.ids["machines"] + `", "bound_only": true}]}`
	w.call(t, robot, "PUT", "/configuration?dry_run=true", own).refused(t, 403, "directory.denied", "/applications/0")
}

// Connections are set up without asking anybody: a secret is kept and never read, and what a provider
// publishes is read once the connection is changed by itself.
func TestAConfigurationHasConnections(t *testing.T) {
	t.Parallel()
	host := publish(t, new(string))
	w := atPublisher(t, host)
	robot := w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)
	a := as{token: robot}
	metadata := quoted(string(samltest.New("https://idp.example", w.Clock.Now).Metadata()))
	body := func(secret string) string {
		return `{"organization": {"short_name": "alpha"}, "connections": [
			{"name": "Staff", "provider": "generic", "protocol": "oidc", "creates": true, "roles": [{"group": "IT", "role": "helpdesk"}],
				"oidc": {"issuer": "` + host.URL + `", "client_id": "us", "client_secret": "` + secret + `"}},
			{"name": "Okta", "provider": "okta", "protocol": "saml", "attributes": {"email": "mail"}, "saml": {"metadata": ` + metadata + `, "sign_requests": false}}]}`
	}
	before := w.dump(t)
	plan := w.call(t, a, "PUT", "/configuration?dry_run=true", body("a first secret")).want(t, 200)
	if w.dump(t) != before {
		t.Error("the plan changed something")
	}
	done := w.configure(t, robot, "", body("a first secret")).want(t, 200)
	if fmt.Sprint(done.changes()) != fmt.Sprint(plan.changes()) {
		t.Errorf("planned was %q, done %q", plan.changes(), done.changes())
	}
	whole := w.call(t, a, "GET", "/configuration", "").want(t, 200)
	for _, text := range [][]byte{plan.text, done.text, whole.text} {
		if strings.Contains(string(text), "a first secret") {
			t.Errorf("the secret is read: %s", text)
		}
	}
	changed := w.actions(t, w.alpha)["connection.changed"]
	w.configure(t, robot, "", body("a first secret")).is(t)
	w.configure(t, robot, "&prune=true", string(whole.text)).is(t)
	if n := w.actions(t, w.alpha)["connection.changed"]; n != changed {
		t.Errorf("%d changes are recorded that were none", n-changed)
	}
	w.configure(t, robot, "", body("a second secret")).is(t, "change connection Staff: oidc.client_secret <nil> <nil>")
	if n := w.actions(t, w.alpha)["connection.changed"]; n != changed+1 {
		t.Errorf("%d changes are recorded, want 1", n-changed)
	}
	if host.asked != 0 {
		t.Errorf("the provider was asked %d times", host.asked)
	}
	ids := map[string]string{}
	for _, c := range w.call(t, a, "GET", "/connections", "").want(t, 200).items() {
		ids[fmt.Sprint(c["name"])] = fmt.Sprint(c["id"])
		if complete := c["name"] == "Okta"; c["complete"] != complete && c["name"] != "Company" {
			t.Errorf("%v is complete: %v", c["name"], c["complete"])
		}
	}
	w.call(t, a, "PATCH", "/connections/"+ids["Staff"]+"?dry_run=true", `{"shown": false}`).want(t, 200)
	if got := w.call(t, a, "PATCH", "/connections/"+ids["Staff"], `{}`).want(t, 200); got.json["complete"] != true {
		t.Errorf("it is not complete: %s", got.text)
	}
	// What was read belongs to its issuer; another one has nothing yet, nor the secret.
	w.configure(t, robot, "", `{"organization": {"short_name": "alpha"}, "connections": [{"name": "Staff", "oidc": {"issuer": "https://other.example"}}]}`).refused(t, 422, "federation.no_secret", "/connections/0/oidc/client_secret")
	w.configure(t, robot, "", `{"organization": {"short_name": "alpha"}, "connections": [{"name": "Staff", "oidc": {"issuer": "https://other.example", "client_secret": "x"}}]}`).want(t, 200)
	if w.connectionOf(t, ids["Staff"]).Complete() {
		t.Error("what one issuer published counts for another")
	}
	w.configure(t, robot, "&prune=true", `{"organization": {"short_name": "alpha"}, "connections": [{"name": "okta"}]}`).want(t, 200)
	if n := len(w.call(t, a, "GET", "/connections", "").items()); n != 1 {
		t.Errorf("%d connections are left", n)
	}
}

// Of a connection that is on, a configuration changes no more than any token does.
func TestAConfigurationChangesNotWhatALiveConnectionTrusts(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.Reach(directory.Administrator)...)}
	metadata := quoted(string(samltest.New("https://idp.example", w.Clock.Now).Metadata()))
	const named = `{"organization": {"short_name": "alpha"}, "connections": [{"name": "Okta"`
	w.configure(t, a.token, "", named+`, "provider": "okta", "protocol": "saml", "saml": {"metadata": `+metadata+`}}]}`).want(t, 200)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update connections set state = 'on' where org_id = $1 and name = $2`, string(w.alpha.ID), "Okta")
		return err
	})
	other := quoted(string(samltest.New("https://other.example", w.Clock.Now).Metadata()))
	for name, c := range map[string]struct {
		body   string
		status int
		at     string
	}{
		"vouching":          {named + `, "vouches": true}]}`, 403, "/connections/0"},
		"another provider":  {named + `, "saml": {"metadata": ` + other + `}}]}`, 403, "/connections/0"},
		"an address":        {named + `, "saml": {"metadata_address": "https://idp.example/metadata"}}]}`, 422, "/connections/0/saml/metadata_address"},
		"another protocol":  {named + `, "protocol": "oidc"}]}`, 422, "/connections/0/protocol"},
		"another kind":      {named + `, "provider": "entra"}]}`, 422, "/connections/0/provider"},
		"a certificate":     {named + `, "saml": {"certificates": ["nonsense"]}}]}`, 422, "/connections/0/saml/certificates/0"},
		"both":              {named + `, "oidc": {}}]}`, 422, "/connections/0/oidc/issuer"},
		"turned off":        {named + `, "state": "off"}]}`, 422, "/connections/0/state"},
		"an owner by group": {named + `, "roles": [{"group": "IT", "role": "owner"}]}]}`, 422, "/connections/0/roles/0/role"},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.call(t, a, "PUT", "/configuration?dry_run=true", c.body)
			got.refused(t, c.status, got.field("code"), c.at)
		})
	}
	got := w.call(t, a, "PUT", "/configuration?dry_run=true&prune=true", `{"organization": {"short_name": "alpha"}, "connections": []}`)
	got.refused(t, 409, got.field("code"), "/connections")
	w.configure(t, a.token, "", named+`, "shown": false}]}`).is(t, "change connection Okta: shown true false")
}
