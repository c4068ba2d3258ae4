package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"parvis/internal/access"
	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/outbound"
)

// A program keeps webhooks from the first test call to the last replay.
func TestWebhooksAreKeptByAProgram(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(body))
	}))
	defer receiver.Close()
	w := startWith(t, func(s *app.Settings) { s.Webhooks = outbound.New([]string{receiver.Listener.Addr().String()}) })
	robot := as{token: w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.ReadWebhooks, access.WriteWebhooks, access.WriteGroups)}
	body := `{"kind": "events", "name": "Ledger", "address": "` + receiver.URL + `/hook", "events": ["group.*"]}`
	made := w.call(t, robot, "POST", "/webhooks?dry_run=true", body).want(t, 201)
	expect.Equal(t, "secret of a dry run", made.field("secret"), "")
	key := as{token: robot.token, more: map[string]string{"Idempotency-Key": "ledger"}}
	made = w.call(t, key, "POST", "/webhooks", body).want(t, 201)
	if !strings.HasPrefix(made.field("secret"), "whsec_") {
		t.Errorf("the secret is %q", made.field("secret"))
	}
	w.call(t, key, "POST", "/webhooks", body).refused(t, 409, "api.already_shown", "")
	path := "/webhooks/" + made.field("id")
	answered := w.call(t, robot, "POST", path+"/test", "").want(t, 200)
	expect.Equal[any](t, "the test was taken", answered.json["taken"], true)

	w.call(t, robot, "POST", "/groups", `{"name": "Night shift"}`).want(t, 201)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Sweep(t.Context()); err != nil { // which sends what the first one sealed
		t.Fatal(err)
	}
	mu.Lock()
	all := strings.Join(got, "\n")
	mu.Unlock()
	if !strings.Contains(all, `"type":"group.created"`) || strings.Contains(all, "Night shift") {
		t.Errorf("the receiver got %s", all)
	}
	attempts := w.call(t, robot, "GET", path+"/attempts?limit=1", "").want(t, 200)
	expect.Equal(t, "attempts of a page", len(attempts.items()), 1)
	if attempts.json["next"] == nil {
		t.Error("there is no next page")
	}
	next := w.call(t, robot, "GET", path+"/attempts?limit=1&cursor="+attempts.field("next"), "").want(t, 200)
	if next.items()[0]["id"] == attempts.items()[0]["id"] {
		t.Error("the next page is the same")
	}
	event := w.text(t, `select id from audit_events where action = 'group.created' and org_id = $1`, string(w.alpha.ID))
	w.call(t, robot, "POST", path+"/send", `{"event_id": "`+event+`"}`).want(t, 200)
	w.call(t, robot, "POST", path+"/send?dry_run=true", `{"event_id": "`+event+`"}`).refused(t, 422, "api.dry_run_asks_others", "")
	w.call(t, robot, "POST", path+"/replay", `{"after": 1, "since": "2026-11-22T00:00:00Z"}`).refused(t, 422, "api.one_replay", "/after")
	w.call(t, robot, "POST", path+"/replay", `{}`).refused(t, 422, "api.one_replay", "/after")
	w.call(t, robot, "POST", path+"/replay", `{"after": 1000000}`).refused(t, 422, "webhook.replay_ahead", "/after")
	replayed := w.call(t, robot, "POST", path+"/replay", `{"since": "2026-11-22T00:00:00Z"}`).want(t, 200)
	expect.Equal(t, "after a replay", replayed.text != nil && strings.Contains(string(replayed.text), `"sequence":-1`), true)

	rotated := w.call(t, robot, "POST", path+"/secret", `{"scheme": "v1a"}`).want(t, 201)
	if !strings.HasPrefix(rotated.field("secret"), "whpk_") || rotated.field("secret") == made.field("secret") {
		t.Errorf("the new secret is %q", rotated.field("secret"))
	}
	expect.Equal(t, "secrets that sign", len(w.call(t, robot, "GET", path+"/secret", "").want(t, 200).items()), 2)
	w.call(t, robot, "POST", path+"/turn-off", "").want(t, 200)
	expect.Equal(t, "state", w.call(t, robot, "GET", path, "").field("state"), "off")
	w.call(t, robot, "POST", path+"/turn-on", "").want(t, 200)
	w.call(t, robot, "DELETE", path, "").want(t, 204)
	w.call(t, robot, "GET", path, "").want(t, 404)
}

func TestWhatIsWrongWithAWebhookIsNamed(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := as{token: w.machine(t, "Terraformer", w.alpha.users[directory.Owner], directory.Administrator, access.ReadWebhooks, access.WriteWebhooks)}
	for what, one := range map[string]struct{ body, code, at string }{
		"userinfo":       {`"address": "https://user@hooks.example.com/", "events": ["*"]`, "webhook.address", "/address"},
		"decimal":        {`"address": "https://2130706433/", "events": ["*"]`, "webhook.address", "/address"},
		"loopback":       {`"address": "https://127.0.0.1/", "events": ["*"]`, "webhook.unreachable.address", "/address"},
		"mapped":         {`"address": "https://[::ffff:10.0.0.1]/", "events": ["*"]`, "webhook.unreachable.address", "/address"},
		"plain http":     {`"address": "http://hooks.example.com/", "events": ["*"]`, "webhook.address", "/address"},
		"no event":       {`"address": "https://192.0.43.7/", "events": []`, "webhook.no_events", "/events"},
		"an unknown one": {`"address": "https://192.0.43.7/", "events": ["user.sneezed"]`, "webhook.event_unknown", "/events"},
		"headers":        {`"address": "https://192.0.43.7/", "events": ["*"], "headers": [{"name": "Host", "value": "a"}]`, "webhook.header_name", "/headers"},
	} {
		got := w.call(t, robot, "POST", "/webhooks", `{"kind": "log", "name": "A", `+one.body+`}`)
		got.refused(t, 422, one.code, one.at)
		if !strings.Contains(string(got.text), one.code) {
			t.Errorf("%s: %s is not named in %s", what, one.code, got.text)
		}
	}
	path := "/webhooks/" + w.alpha.ids["webhooks"]
	w.call(t, robot, "PATCH", path, `{"kind": "log"}`).want(t, 422)
	w.call(t, robot, "PATCH", path, `{"state": "off"}`).want(t, 422)
	// Where values go is a person's decision: a token of theirs proves nothing.
	token := as{token: w.token(t, w.alpha.users[directory.Owner], access.WriteWebhooks)}
	w.call(t, token, "PATCH", path, `{"values": true}`).want(t, 403)
	w.call(t, robot, "PATCH", path, `{"values": true}`).want(t, 200)
	events, err := audit.List(t.Context(), w.DB, audit.Query{OrgID: string(w.alpha.ID), Action: "webhook.changed"})
	if err != nil || len(events.Events) != 1 {
		t.Fatalf("%d events, %v", len(events.Events), err)
	}
	expect.Equal(t, "what changed", len(events.Events[0].After), 1)
}

// startWith is start with other settings.
func startWith(t *testing.T, change func(*app.Settings)) *world {
	t.Helper()
	w := &world{Server: idptest.Start(t, change)}
	w.wire = w.Browser(t).Client.Transport
	w.alpha = w.organization(t, "Alpha Freight", "alpha", directory.Roles...)
	return w
}

func (w *world) text(t *testing.T, query string, args ...any) (text string) {
	t.Helper()
	if err := w.DB.View(t.Context(), func(tx *db.Tx) error {
		_, err := tx.One(context.WithoutCancel(t.Context()), db.Into(&text), query, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return text
}
