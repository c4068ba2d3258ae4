package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// registrar is a machine that administers the applications of an organization.
func (w *world) registrar(t *testing.T) as {
	t.Helper()
	return as{token: w.machine(t, "Registrar", w.alpha.users[directory.Owner], directory.Administrator, access.ReadApplications, access.WriteApplications)}
}

// keyed returns a caller who repeats a request under a key.
func (a as) keyed(key string) as {
	return as{token: a.token, more: map[string]string{"Idempotency-Key": key}}
}

func TestASecretIsShownOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.registrar(t)
	const body = `{"kind": "machine", "name": "Payroll"}`
	dry := w.call(t, a, "POST", "/applications?dry_run=true", body).want(t, 201)
	expect.Equal(t, "the secret of a dry run", dry.json["client_secret"], nil)
	first := w.call(t, a.keyed("one"), "POST", "/applications", body).want(t, 201)
	id := first.field("id")
	if token := w.tokens(t, url.Values{"grant_type": {"client_credentials"}}, id, first.field("client_secret")); token == "" {
		t.Error("the secret opens nothing")
	}
	again := w.call(t, a.keyed("one"), "POST", "/applications", body)
	again.refused(t, 409, "api.already_shown", "")
	expect.Equal(t, "what was made already", again.field("object"), id)
	w.call(t, a.keyed("one"), "POST", "/applications", `{"kind": "machine", "name": "Other"}`).refused(t, 422, "api.other_request", "")
	link := `{"kind": "link", "name": "Handbook", "address": "https://handbook.alpha.example"}`
	made := w.call(t, a.keyed("two"), "POST", "/applications", link).want(t, 201)
	repeated := w.call(t, a.keyed("two"), "POST", "/applications", link).want(t, 201)
	expect.Equal(t, "the answer without a secret, repeated", string(repeated.text), string(made.text))

	path := "/applications/" + w.alpha.ids["applications"] + "/secrets"
	expect.Equal(t, "the secret of a dry run", w.call(t, a, "POST", path+"?dry_run=true", "").want(t, 201).json["secret"], nil)
	second := w.call(t, a.keyed("three"), "POST", path, "").want(t, 201)
	again = w.call(t, a.keyed("three"), "POST", path, "")
	again.refused(t, 409, "api.already_shown", "")
	expect.Equal(t, "the secret made already", again.field("object"), second.field("id"))
	w.call(t, a, "POST", path, "").refused(t, 409, "op.too_many_secrets", "")
	list := w.call(t, a, "GET", path, "").want(t, 200)
	expect.Equal(t, "secrets", len(list.items()), 2)
	if strings.Contains(string(list.text), second.field("secret")) {
		t.Error("the list shows a secret")
	}
	w.call(t, a, "DELETE", path+"/"+w.alpha.ids["secrets"], "").want(t, 204)
	w.call(t, a, "DELETE", path+"/"+w.alpha.ids["secrets"], "").refused(t, 404, "op.no_secret", "")
	w.call(t, a, "DELETE", path+"/"+second.field("id"), "").refused(t, 409, "op.last_secret", "")
}

// What is read of an application can be sent to register the same again, whatever its kind: each
// setting of the table is read and written.
func TestEverySettingIsReadAndWritten(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.registrar(t)
	for kind, sent := range map[application.Kind]map[string]any{
		application.Web: {
			"titles": map[string]any{"fr": "Planification"}, "descriptions": map[string]any{"en": "Routes and drivers"}, "address": "https://plan.alpha.example/",
			"initiate_uri": "https://plan.alpha.example/begin", "redirect_uris": []any{"https://plan.alpha.example/callback"}, "asks": true,
			"post_logout_uris": []any{"https://plan.alpha.example/bye"}, "front_channel": "https://plan.alpha.example/out", "scopes": []any{"openid", "email", "routes"},
			"code_protection": "pkce_or_nonce", "claims": []any{map[string]any{"name": "department", "source": "fixed", "value": "Dispatch"}},
			"roles": []any{map[string]any{"group": w.alpha.ids["groups"], "role": "dispatcher"}}, "access_for_seconds": 120, "id_token_for_seconds": 300,
			"refresh_for_seconds": 86400, "refreshes": true, "in_id_token": true, "pairwise": true, "signs_info": true, "devices": true, "own_behalf": true,
			"opaque": true, "bound_only": true, "pushed_only": true, "algorithm": "RS256", "audience": "https://plan.alpha.example/api",
		},
		application.SinglePage: {"redirect_uris": []any{"https://page.alpha.example/callback"}},
		application.Native:     {"redirect_uris": []any{"com.example.alpha:/callback"}},
		application.Machine: {"auth": "private_key_jwt", "keys": map[string]any{"keys": []any{map[string]any{
			"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "use": "sig", "kid": "1", "alg": "ES256",
		}}}},
		application.Link: {"address": "https://handbook.alpha.example"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			w.Clock.Advance(6e10)
			sent["kind"], sent["name"] = string(kind), "First "+string(kind)
			first := w.call(t, a, "POST", "/applications", written(sent)).want(t, 201)
			for name, value := range sent {
				expect.Equal(t, name+" as it was sent", written(first.json[name]), written(value))
			}
			again := map[string]any{"kind": string(kind)}
			for _, s := range application.Table {
				for _, name := range []string{s.Name, s.Name + "_seconds"} {
					if value, there := first.json[name]; there {
						again[name] = value
					}
				}
			}
			expect.Equal(t, "settings that are read", len(again), len(application.Table)+1)
			again["name"] = "Second " + string(kind)
			delete(again, "titles") // another application has this one
			second := w.call(t, a, "POST", "/applications", written(again)).want(t, 201)
			for _, name := range slices.Sorted(maps.Keys(again)) {
				expect.Equal(t, name+" of the second", written(second.json[name]), written(again[name]))
			}
		})
	}
}

// written returns a value as JSON.
func written(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what a test writes down always encodes
	}
	return string(text)
}

func TestAnApplicationIsChangedByItsSettings(t *testing.T) {
	t.Parallel()
	w := start(t)
	a, path := w.registrar(t), "/applications/"+w.alpha.ids["applications"]
	got := w.call(t, a, "GET", path, "").want(t, 200)
	tag := got.Header.Get("ETag")
	changed := w.call(t, a, "PATCH", path, `{"titles": {"en": "Portal", "fr": "Portail"}, "access_for_seconds": 60, "asks": true}`).want(t, 200)
	expect.Equal(t, "what was not sent", written(changed.json["redirect_uris"]), written(got.json["redirect_uris"]))
	w.call(t, as{token: a.token, more: map[string]string{"If-Match": tag}}, "PATCH", path, `{"asks": false}`).refused(t, 412, "api.changed_since", "")
	changed = w.call(t, a, "PATCH", path, `{"titles": {"en": null}, "access_for_seconds": null, "address": null}`).want(t, 200)
	expect.Equal(t, "the titles that are left", written(changed.json["titles"]), `{"fr":"Portail"}`)
	expect.Equal(t, "the usual time", written(changed.json["access_for_seconds"]), "300")
	before := dbtest.Dump(t, w.DB, "clients")
	w.call(t, a, "PATCH", path+"?dry_run=true", `{"name": "Gate"}`).want(t, 200)
	w.call(t, a, "PATCH", path, `{}`).want(t, 200)
	expect.Equal(t, "the application after a dry run and an empty change", dbtest.Dump(t, w.DB, "clients"), before)
	w.call(t, a, "DELETE", path, "").want(t, 204)
	w.call(t, a, "GET", path, "").refused(t, 404, "op.no_client", "")
}

func TestBadSettingsAreNamedAndNothingIsDone(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.registrar(t)
	link := w.call(t, a, "POST", "/applications", `{"kind": "link", "name": "Handbook", "address": "https://handbook.alpha.example"}`).want(t, 201).field("id")
	web := "/applications/" + w.alpha.ids["applications"]
	before := dbtest.Dump(t, w.DB, "clients")
	for name, c := range map[string]struct{ method, path, body, code, at string }{
		"an unknown field":             {"PATCH", web, `{"redirects": []}`, "api.unknown_field", "/redirects"},
		"another case":                 {"PATCH", web, `{"Name": "X"}`, "api.unknown_field", "/Name"},
		"a read-only field":            {"PATCH", web, `{"kind": "native"}`, "api.unknown_field", "/kind"},
		"a field that stands twice":    {"PATCH", web, `{"asks": true, "asks": false}`, "api.twice", "/asks"},
		"an unknown choice":            {"PATCH", web, `{"auth": "basic"}`, "api.one_of", "/auth"},
		"no choice":                    {"POST", "/applications", `{"name": "X"}`, "api.missing", "/kind"},
		"no name":                      {"POST", "/applications", `{"kind": "web"}`, "api.missing", "/name"},
		"a setting of another kind":    {"PATCH", "/applications/" + link, `{"pairwise": true}`, "api.not_of_kind", "/pairwise"},
		"keys that nothing uses":       {"PATCH", web, `{"keys_url": "https://portal.alpha.example/keys"}`, "api.keys_unused", "/keys"},
		"keys that are a list":         {"PATCH", web, `{"keys": []}`, "api.type", "/keys"},
		"an address without https":     {"PATCH", web, `{"redirect_uris": ["http://portal.alpha.example/"]}`, "op.address.insecure", "/redirect_uris"},
		"a long title":                 {"PATCH", web, `{"titles": {"en": "` + strings.Repeat("a", 61) + `"}}`, "op.field.title", "/titles"},
		"a long description":           {"PATCH", web, `{"descriptions": {"en": "` + strings.Repeat("a", 201) + `"}}`, "op.field.description", "/descriptions"},
		"an unknown language":          {"PATCH", web, `{"titles": {"xx": "Portal"}}`, "op.field.language", "/titles"},
		"a long time":                  {"PATCH", web, `{"access_for_seconds": 9000000000000000000}`, "op.field.lifetime", "/access_for_seconds"},
		"a time as a text":             {"PATCH", web, `{"access_for_seconds": "5m"}`, "api.type", "/access_for_seconds"},
		"an audience of two words":     {"PATCH", web, `{"audience": "two words"}`, "op.field.audience_claim", "/audience"},
		"a source of no claim":         {"PATCH", web, `{"claims": [{"name": "x", "source": "shoe"}]}`, "api.one_of", "/claims/0/source"},
		"a group of the neighbour":     {"PATCH", web, `{"roles": [{"group": "` + w.beta.ids["groups"] + `", "role": "x"}]}`, "op.field.groups_unknown", "/roles"},
		"a reserved permission":        {"PATCH", web, `{"scopes": ["parvis.people.read"]}`, "op.field.scopes_reserved", "/scopes"},
		"an address that we never ask": {"PATCH", web, `{"back_channel": "https://127.0.0.1/logout"}`, "op.unreachable.address", "/back_channel"},
		"such an address at once":      {"POST", "/applications", `{"kind": "web", "name": "X", "back_channel": "https://127.0.0.1/logout"}`, "op.unreachable.address", "/back_channel"},
		"two in one":                   {"PATCH", web, `{"asks": 1, "devices": "no"}`, "api.type", "/devices"},
	} {
		t.Run(name, func(t *testing.T) {
			w.Clock.Advance(1e9)
			w.call(t, a, c.method, c.path, c.body).refused(t, 422, c.code, c.at)
		})
	}
	expect.Equal(t, "the applications after all that", dbtest.Dump(t, w.DB, "clients"), before)
}

func TestTheInstallationsApplicationsAreOnlyPlaced(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.registrar(t)
	var id string
	for _, one := range w.call(t, a, "GET", "/applications", "").want(t, 200).items() {
		if one["own"] == false {
			id = fmt.Sprint(one["id"])
		}
	}
	path := "/applications/" + id
	w.call(t, a, "PATCH", path, `{"asks": true}`).refused(t, 403, "op.not_own", "")
	w.call(t, a, "PATCH", path, `{}`).refused(t, 403, "op.not_own", "")
	w.call(t, a, "DELETE", path, "").refused(t, 403, "op.not_own", "")
	w.call(t, a, "POST", path+"/secrets", "").refused(t, 403, "op.not_own", "")
	of := func(path string) as {
		return as{token: a.token, more: map[string]string{"If-Match": w.call(t, a, "GET", path+"/placement", "").want(t, 200).Header.Get("ETag")}}
	}
	const everyone = `{"standing": "approved", "audience": "everyone", "groups": []}`
	w.call(t, a, "PUT", path+"/placement", everyone).refused(t, 428, "api.if_match_missing", "")
	w.call(t, of(path), "PUT", path+"/placement", `{"standing": "approved", "audience": "groups", "groups": ["`+w.beta.ids["groups"]+`"]}`).refused(t, 422, "op.field.groups_unknown", "/groups")
	w.call(t, of(path), "PUT", path+"/placement", `{"standing": "approved", "audience": "everyone", "groups": ["`+w.alpha.ids["groups"]+`"]}`).refused(t, 422, "api.groups_unused", "/groups")
	w.call(t, of(path), "PUT", path+"/placement", `{"standing": "approved", "audience": "groups", "groups": ["`+w.alpha.ids["groups"]+`"]}`).want(t, 200)
	placed := w.call(t, a, "GET", path, "").want(t, 200)
	expect.Equal(t, "the placement", written(placed.json["placement"]), `{"audience":"groups","groups":["`+w.alpha.ids["groups"]+`"],"standing":"approved"}`)
	neighbours := "/applications/" + w.beta.ids["applications"]
	w.call(t, of(path), "PUT", neighbours+"/placement", everyone).refused(t, 404, "op.no_client", "")
}

// No token makes a stronger one: what an application proves itself with that acts on its own behalf
// is changed by people alone, and lately proven ones (R-SES-10).
func TestNoTokenTakesOverAMachine(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := "/applications/" + w.alpha.ids["machines"]
	a := w.registrar(t)
	w.call(t, a, "POST", robot+"/secrets", "").refused(t, 403, "directory.denied", "")
	w.call(t, a, "PATCH", robot, `{"auth": "private_key_jwt", "keys_url": "https://keys.example/keys"}`).refused(t, 403, "directory.denied", "")
	w.call(t, as{token: w.alpha.tokens[directory.Owner]}, "POST", robot+"/secrets", "").refused(t, 403, "api.in_person", "")
	p := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.ReadApplications, access.WriteApplications)}
	w.call(t, p, "POST", robot+"/secrets", "").want(t, 201)
}

// drawing is a picture that somebody sends.
func drawing(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 900, 900))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestALogoIsDrawnAnew(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.registrar(t)
	sent := func(media string) as { return as{token: a.token, more: map[string]string{"Content-Type": media}} }
	path := "/applications/" + w.alpha.ids["applications"] + "/logo"
	w.call(t, a, "GET", path, "").refused(t, 404, "op.no_client", "")
	w.call(t, sent("image/png"), "PUT", path+"?dry_run=true", drawing(t)).want(t, 204)
	w.call(t, a, "GET", path, "").want(t, 404)
	w.call(t, sent("image/png"), "PUT", path, drawing(t)).want(t, 204)
	got := w.call(t, a, "GET", path, "").want(t, 200)
	size, err := png.DecodeConfig(bytes.NewReader(got.text))
	if err != nil || size.Width > 512 || size.Height > 256 {
		t.Errorf("the logo is %d by %d, %v", size.Width, size.Height, err)
	}
	w.call(t, sent("image/png"), "PUT", path, "<svg/>").refused(t, 422, "page.picture_unreadable", "")
	w.call(t, sent("image/png"), "PUT", path, strings.Repeat("a", 1<<20+1)).refused(t, 413, "api.body_large", "")
	w.call(t, sent("image/png"), "PUT", path, "").refused(t, 400, "api.no_body", "")
	w.call(t, sent("image/svg+xml"), "PUT", path, drawing(t)).refused(t, 415, "api.media_type", "")
	foreign := "/applications/" + w.beta.ids["applications"] + "/logo"
	w.call(t, sent("image/png"), "PUT", foreign, drawing(t)).refused(t, 404, "op.no_client", "")
	w.call(t, a, "DELETE", path, "").want(t, 204)
	w.call(t, a, "GET", path, "").want(t, 404)
}

// The applications that somebody else's organization has are in no list.
func TestApplicationsAreListedWithWhatWasDecided(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		a, err := application.ByID(ctx, tx, directory.System(w.alpha.ID), w.alpha.ID, application.ID(w.alpha.ids["applications"]))
		if err != nil {
			return err
		}
		return application.Place(ctx, tx, directory.System(w.alpha.ID), w.alpha.ID, a.Application, application.Placement{Standing: application.Forbidden, Audience: application.Nobody})
	})
	var ids []string
	for _, one := range w.call(t, as{token: w.alpha.tokens[directory.Auditor]}, "GET", "/applications", "").want(t, 200).items() {
		id := fmt.Sprint(one["id"])
		ids = append(ids, id)
		if place, _ := one["placement"].(map[string]any); id == w.alpha.ids["applications"] {
			expect.Equal(t, "the standing", place["standing"], any("forbidden"))
		}
	}
	if !slices.Contains(ids, w.alpha.ids["applications"]) {
		t.Errorf("the own application is not among %v", ids)
	}
	if slices.Contains(ids, w.beta.ids["applications"]) {
		t.Errorf("the neighbour's is among %v", ids)
	}
}
