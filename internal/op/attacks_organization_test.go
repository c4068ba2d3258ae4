package op_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// both signs Bo in to Lumen too, in the browser where he is at Meridian.
func (w *world) both() {
	w.t.Helper()
	w.Join(w.t, w.other, "bo@meridian.example", "Bo at Lumen", directory.Member)
	w.Clock.Advance(time.Second)
	p := w.bo.Get("/o/lumen").Form("main").Fill("email", "bo@meridian.example").Fill("password", idptest.Password).Submit("")
	if p.URL.Path != "/o/lumen/home" || !in(w.bo) {
		w.t.Fatalf("Bo is not in both: at %s: %s", p.URL, p.Text())
	}
	w.Clock.Advance(time.Second)
}

// at returns the short name of the organization in an ID token.
func (w *world) at(tokens reply) string {
	w.t.Helper()
	org, _ := w.claims(tokens.text("id_token"), "JWT")["org"].(map[string]any)
	name, _ := org["short_name"].(string)
	return name
}

// Switching to another organization ends the grants of the previous one, at once and on every
// node. The applications are told, and one that asks again gets the chosen organization.
func TestOPR9SwitchingOrganizationsLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	other := w.node()
	w.both()
	var apps []client
	var heard []*receiver
	var open []reply
	var codes []string
	for range 3 {
		heard = append(heard, w.receiver(http.StatusOK))
		c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = heard[len(heard)-1].URL }))
		apps = append(apps, c)
		open = append(open, w.enter(w.bo, c))
		codes = append(codes, w.code(w.bo, c))
		if at := w.at(open[len(open)-1]); at != "lumen" {
			t.Fatalf("it opened at %s", at)
		}
	}
	television := w.register("", application.Web, settings(func(s *application.Settings) { s.Devices = true }))
	device := w.call(television, "/device_authorization", url.Values{"scope": {"openid"}})
	asked := w.bo.Get("/device?user_code=" + device.text("user_code")).Form("main")
	asked.Values.Set("session", sidOf(w, open[0].text("id_token")))
	if p := asked.Submit("allow"); !p.URL.Query().Has("done") {
		t.Fatalf("the device was not let in: %s", p.Text())
	}
	hers := w.enter(w.ana, apps[0])
	w.Clock.Advance(time.Second)
	for name, head := range map[string]string{"another site": "cross-site", "a sister site": "same-site"} {
		r := w.post("/o/meridian/switch", nil)
		r.Header.Set("Sec-Fetch-Site", head)
		wantPage(t, name, w.bo.Do(r), http.StatusForbidden)
	}
	w.ana.Post("/o/lumen/switch", nil) // a person who is not a member switches nothing
	w.wantAlive("before", apps[0], open[0])

	if p := w.bo.Post("/o/meridian/switch", nil); p.URL.Path != "/o/meridian/home" {
		t.Fatalf("switching led to %s (%d): %s", p.URL, p.Status, p.Text())
	}
	for i, c := range apps {
		other.wantDead("after the switch", c, open[i])
		other.wantError("the code", other.redeem(c, codes[i]), http.StatusBadRequest, "invalid_grant")
	}
	other.wantError("the device", other.call(television, "/token", byDevice(device.text("device_code"))), http.StatusBadRequest, "invalid_grant")
	w.wantAlive("somebody else", apps[0], hers)
	w.sweep()
	w.Clock.Advance(time.Second)
	for i, c := range apps {
		if n := heard[i].times(); n != 1 {
			t.Errorf("it was told %d times", n)
			continue
		}
		told, was := w.claims(heard[i].token(t, 0), "logout+jwt"), w.claims(open[i].text("id_token"), "JWT")
		if told["sid"] != was["sid"] || told["sub"] != was["sub"] {
			t.Errorf("told of %v, not of %v", told, was)
		}
		now := w.enter(w.bo, c)
		if at := w.at(now); at != "meridian" {
			t.Errorf("it opens at %s", at)
		}
		other.wantAlive("anew", c, now)
		// Hints choose between the two sessions, which are both open.
		for _, hint := range [][]string{
			{"organization", "lumen"}, {"organization", string(w.other.ID)}, {"organization", "LUMEN"}, {"id_token_hint", open[i].text("id_token")},
		} {
			if at := w.at(w.enter(w.bo, c, hint...)); at != "lumen" {
				t.Errorf("%v leads to %s", hint[0], at)
			}
		}
		w.wantAlive("beside the other", c, now)
		if got := answer(authorize(w.bo, c.request("organization", "meridian", "id_token_hint", open[i].text("id_token"), "prompt", "none"))); got.Get("error") != "login_required" {
			t.Errorf("hints that contradict each other: %v", got)
		}
	}
	if !in(w.bo) || w.bo.Get("/o/lumen/home").URL.Path != "/o/lumen/home" {
		t.Error("he was signed out")
	}
}

// A client of one organization never gets people of another, whatever its hints say.
func TestOPR5AnOrganizationsApplicationGetsItsOwnPeopleAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.both()
	lumens := w.register(w.other.ID, application.Web, settings(func(s *application.Settings) { s.Devices = true }))
	api := settings(func(s *application.Settings) { s.Audience = "https://api.example" })
	suite, resource := w.register("", application.Web, api), w.register("", application.Web, settings(func(s *application.Settings) { s.Name, s.Audience = "API", api.Audience }))
	if err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
		api.Name = "Impostor"
		_, _, err := application.Register(t.Context(), tx, directory.Operator(), w.URL, application.Application{OrgID: w.other.ID, Kind: application.Web, Settings: api})
		return err
	}); err == nil {
		t.Error("Lumen registered an audience of the suite") // its tokens would open what belongs to others
	}
	if at := w.at(w.enter(w.bo, lumens)); at != "lumen" {
		t.Errorf("with both open it gets %s", at)
	}
	hint := w.enter(w.bo, suite, "organization", "meridian").text("id_token")
	own := w.enter(w.ana, suite)
	for name, more := range map[string][]string{
		"nothing": nil, "its organization": {"organization", "lumen"}, "the other": {"organization", "meridian"}, "its id": {"organization", string(w.org.ID)},
		"an address": {"login_hint", "ana@meridian.example"}, "a token of the suite": {"id_token_hint", own.text("id_token")},
	} {
		for _, prompt := range []string{"none", "login", "select_account", "-"} {
			p := authorize(w.ana, lumens.request(append(more, "prompt", prompt)...))
			if got := answer(p); got.Has("code") || p.URL.Path == "/authorize/choose" && strings.Contains(p.Body, "Ana Duarte") {
				t.Errorf("%s, prompt %s: %v at %s", name, prompt, got, p.URL)
			}
		}
	}
	// A person who is in both organizations counts only as a member of the client's own.
	for _, more := range [][]string{{"organization", "meridian"}, {"id_token_hint", hint}, {"prompt", "select_account"}} {
		p := authorize(w.bo, lumens.request(more...))
		if got := answer(p); got.Has("code") || strings.Contains(p.Text(), "Meridian") {
			t.Errorf("%v: %v at %s: %s", more, got, p.URL, p.Text())
		}
	}
	p := authorize(w.bo, lumens.request("prompt", "select_account"))
	p = w.bo.Post(p.URL.RequestURI(), url.Values{"session": {sidOf(w, hint)}})
	if got := answer(p); got.Has("code") || p.URL.Path != "/authorize/choose" {
		t.Errorf("he chose a session that was not offered: %v at %s", got, p.URL)
	}

	// A device does not get around that, nor does introspection of others' tokens.
	r := w.call(lumens, "/device_authorization", url.Values{"scope": {"openid"}})
	if p := w.ana.Get("/device?user_code=" + r.text("user_code")); p.Has("button", "value", "allow") {
		t.Errorf("Ana is asked about Lumen's device at %s: %s", p.URL, p.Text())
	}
	answered := w.ana.Post("/device", url.Values{"user_code": {r.text("user_code")}, "session": {sidOf(w, own.text("id_token"))}, "do": {"allow"}})
	if answered.URL.Query().Has("done") {
		t.Error("Ana let Lumen's device in")
	}
	w.wantError("the device", w.call(lumens, "/token", byDevice(r.text("device_code"))), http.StatusBadRequest, "authorization_pending")
	if w.active(lumens, own.text("access_token")) || w.active(lumens, own.text("refresh_token")) {
		t.Error("Lumen's application learns of Ana's token")
	}
	if !w.active(resource, own.text("access_token")) {
		t.Error("whom a token is for does not learn that it holds")
	}
	w.call(lumens, "/revoke", url.Values{"token": {own.text("refresh_token")}})
	w.wantAlive("after Lumen's application revoked it", suite, own)
	// Administrators cannot place an application of another organization.
	if err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
		return application.Place(t.Context(), tx, directory.System(w.org.ID), w.org.ID, lumens.Application, application.Placement{Standing: application.Approved, Audience: application.Everyone})
	}); err == nil {
		t.Error("Meridian placed Lumen's application")
	}
	if p := w.ana.Get("/o/meridian/open/" + string(lumens.ID)); p.Status != http.StatusNotFound {
		t.Errorf("Lumen's tile opens at Meridian: %d", p.Status)
	}
}

// No hint lets in a suspended organization or a deactivated person.
func TestOPR5TheClosedStayOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.both()
	c := w.books()
	hint := w.enter(w.bo, c, "organization", "lumen").text("id_token")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), w.other.ID)
	})
	for _, more := range [][]string{{"organization", "lumen"}, {"id_token_hint", hint}} {
		if got := answer(authorize(w.bo, c.request(append(more, "prompt", "none")...))); got.Has("code") || got.Get("error") == "" {
			t.Errorf("%s: %v", more[0], got)
		}
		if got := answer(authorize(w.bo, c.request(more...))); got.Has("code") {
			t.Errorf("%s: %v", more[0], got)
		}
	}
	if at := w.at(w.enter(w.bo, c)); at != "meridian" {
		t.Errorf("without a hint it opens at %s", at)
	}
}
