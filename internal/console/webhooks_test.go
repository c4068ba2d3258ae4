package console_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/outbound"
	"parvis/internal/secret"
	"parvis/internal/webhook"
)

const hooksPath = "/o/alpha/admin/webhooks"

// listener is a program outside that keeps what it is sent.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	types  []string
	header http.Header // of the last request
	status int
}

func listens(t *testing.T) *listener {
	t.Helper()
	l := &listener{status: http.StatusNoContent}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for line := range strings.Lines(string(body)) {
			var e struct{ Type string }
			if err := json.Unmarshal([]byte(line), &e); err == nil {
				l.types = append(l.types, e.Type)
			}
		}
		l.header = r.Header
		w.WriteHeader(l.status)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) answers(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

// got returns the types of what came since the last call.
func (l *listener) got() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Join(l.types, " ")
	l.types = nil
	return all
}

func (l *listener) allowed(s *app.Settings) {
	s.Webhooks = outbound.New([]string{l.Listener.Addr().String()})
}

// sends seals and sends what happened.
func (w *world) sends(t *testing.T) {
	t.Helper()
	for range 3 {
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Clock.Advance(time.Second)
	}
}

// The whole way: an address is added, its test is answered, events come, one fails and is sent
// again by hand, yesterday is replayed, the secret is changed for another.
func TestAWebhookIsAddedTriedAndLookedAfter(t *testing.T) {
	t.Parallel()
	l := listens(t)
	w := start(t, l.allowed)
	b := w.alpha.browsers[directory.Administrator]
	seen(t, b.Get(hooksPath), 200)
	add := seen(t, b.Get(hooksPath+"/add?kind=events"), 200)
	refused := add.Form("main").Fill("name", "Ledger").Fill("address", "https://10.0.0.1/hook").Submit("")
	idptest.Want(t, refused, idptest.Status(422), idptest.Says("webhook.unreachable.address"), idptest.Input("name", "Ledger"))
	made := refused.Form("main").Fill("address", l.URL+"/hook").Submit("")
	idptest.Want(t, made, idptest.Status(200), idptest.Says("console.webhook.once"))
	_, rest, _ := strings.Cut(made.Body, `<code id="secret" dir="ltr">`)
	text, _, _ := strings.Cut(rest, "</code>")
	if !strings.HasPrefix(text, "whsec_") {
		t.Errorf("the secret is shown as %q", text)
	}
	expect.Equal(t, "what came at once", l.got(), webhook.Test)
	var at string
	for _, link := range made.Links() {
		if strings.Contains(link, "/webhooks/whk_") {
			at = link
		}
	}
	if p := b.Get(at); strings.Contains(p.Body, text) {
		t.Error("its page shows the secret again")
	}

	w.group(t, w.alpha.ID, "Night shift")
	w.sends(t)
	if got := l.got(); !strings.Contains(got, "group.created") {
		t.Errorf("it got %q", got)
	}
	l.answers(http.StatusInternalServerError)
	w.group(t, w.alpha.ID, "Day shift")
	w.sends(t)
	failed := seen(t, b.Get(at), 200)
	idptest.Want(t, failed, idptest.Says("console.webhook.waiting"), idptest.Says("console.webhook.not_taken"), idptest.Says("console.webhook.failing"))
	l.answers(http.StatusOK)
	l.got()
	event := w.events(t, w.alpha.ID, "group.created")[0].ID
	p := b.Post(at, url.Values{"do": {"send"}, "event": {event}})
	idptest.Want(t, p, idptest.Status(200), idptest.Says("console.webhook.answered"))
	expect.Equal(t, "what came by hand", l.got(), "group.created")

	asked := b.Post(at, url.Values{"do": {"replay"}, "since": {"day"}})
	idptest.Want(t, asked, idptest.Says("console.confirm.webhook_replay", "Name", "Ledger"))
	idptest.Want(t, asked.Form("main").Submit(""), idptest.Says("console.webhook.replayed"))
	w.sends(t)
	if got := l.got(); strings.Count(got, "group.created") < 3 {
		t.Errorf("after a replay it got %q", got)
	}

	asked = b.Post(at+"/secret", url.Values{"scheme": {"v1a"}})
	idptest.Want(t, asked, idptest.Says("console.confirm.webhook_secret", "Name", "Ledger"))
	rotated := asked.Form("main").Submit("")
	idptest.Want(t, rotated, idptest.Says("console.webhook.both"))
	w.group(t, w.alpha.ID, "Late shift")
	w.sends(t)
	if s := l.header.Get("Webhook-Signature"); !strings.Contains(s, "v1,") || !strings.Contains(s, "v1a,") {
		t.Errorf("during a rotation it is signed %q", s)
	}

	idptest.Want(t, b.Post(at, url.Values{"do": {"off"}}), idptest.Says("console.webhook.off_why.by_hand"))
	idptest.Want(t, b.Post(at, url.Values{"do": {"on"}}), idptest.Says("console.webhook.turned_on"))
	asked = b.Post(at, url.Values{"do": {"remove"}})
	idptest.Want(t, asked, idptest.Says("console.confirm.webhook", "Name", "Ledger"))
	idptest.Want(t, asked.Form("main").Submit(""), idptest.Says("console.webhook.removed"))
	idptest.Want(t, b.Get(at), idptest.Status(404))
}

func TestAWebhooksSettingsAreChanged(t *testing.T) {
	t.Parallel()
	l := listens(t)
	w := start(t, l.allowed)
	b := w.alpha.browsers[directory.Administrator]
	at := hooksPath + "/" + w.alpha.webhook
	form := b.Get(at).Form("main")
	bad := form.Fill("events", "user.sneezed").Submit("save")
	idptest.Want(t, bad, idptest.Status(422), idptest.Says("webhook.event_unknown"))
	good := bad.Form("main").Fill("events", "user.deleted").Fill("name", "Archive").Fill("form", "ocsf").Check("values", "yes").Submit("save")
	idptest.Want(t, good, idptest.Status(200), idptest.Says("console.webhook.saved"))
	hook, err := webhook.ByID(t.Context(), w.DB, directory.System(w.alpha.ID), w.alpha.ID, w.alpha.webhook)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "events", strings.Join(hook.Events, " "), "user.* user.deleted")
	expect.Equal(t, "form", hook.Form, webhook.OCSF)
	expect.Equal(t, "values", hook.Values, true)
	// A log is sent with headers of its own, which nobody reads again.
	made := b.Get(hooksPath+"/add?kind=log").Form("main").Fill("name", "SIEM").Fill("address", l.URL).Submit("")
	idptest.Want(t, made, idptest.Status(200))
	var log string
	for _, link := range made.Links() {
		if strings.Contains(link, "/webhooks/whk_") {
			log = link
		}
	}
	sent := url.Values{"header[]": {"authorization", "", ""}, "header_value[]": {"Splunk 42-of-theirs", "", ""}}
	p := b.Post(log+"/headers", sent)
	idptest.Want(t, p, idptest.Status(200), idptest.Says("console.webhook.saved"))
	if strings.Contains(p.Body, "42-of-theirs") || strings.Contains(w.rows(t, w.alpha.ID), "42-of-theirs") {
		t.Error("the value of a header is shown")
	}
	w.sends(t)
	expect.Equal(t, "Authorization", l.header.Get("Authorization"), "Splunk 42-of-theirs")
	sent.Set("header[]", "Host")
	idptest.Want(t, b.Post(log+"/headers", sent), idptest.Status(422), idptest.Says("webhook.header_name"))
}

// receivers makes webhooks in every state, with what was sent to them.
func (w *world) receivers(t *testing.T, o organization) map[string]string {
	t.Helper()
	all := map[string]string{"parked": w.webhook(t, o.ID, "Payroll"), "off": w.webhook(t, o.ID, "Old warehouse"), "log": w.webhook(t, o.ID, "SIEM")}
	now := w.Clock.Now()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for id, set := range map[string]string{
			o.webhook:     `name = 'Warehouse', cursor = 1204, taken_at = created_at`,
			all["parked"]: `failures = 31, parked_at = created_at, next_try_at = created_at, events = '*'`,
			all["off"]:    `state = 'off', why = 'gone'`,
			all["log"]:    `kind = 'log', form = 'ocsf', events = '*', with_values = true, headers = 'Authorization', cursor = 19400, taken_at = created_at`,
		} {
			if _, err := tx.Exec(ctx, `update webhooks set tested_at = created_at, address = 'https://hooks.meridian.example/parvis', `+set+` where org_id = $1 and id = $2`, string(o.ID), id); err != nil {
				return err
			}
			for i, a := range []webhook.Attempt{
				{Action: webhook.Test, Status: 204, Took: 84 * time.Millisecond}, {Action: "user.created", Status: 200, Took: 112 * time.Millisecond},
				{Action: "user.deactivated", Status: 503, Took: 2210 * time.Millisecond}, {Action: "group.created", Why: "timeout", Took: 10 * time.Second},
				{Action: "user.deactivated", Why: "tls", Took: 95 * time.Millisecond}, {Action: audit.Action("user.email_changed"), Status: 200, Took: 71 * time.Millisecond},
			} {
				if _, err := tx.Exec(ctx, `
					insert into webhook_attempts (org_id, id, webhook_id, at, event_id, action, events, took, taken, status, why)
					values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
					string(o.ID), secret.NewID("wha"), id, db.Time(now.Add(time.Duration(i)*time.Second)), o.event, string(a.Action), map[bool]int{true: 412, false: 1}[id == all["log"]],
					a.Took.Milliseconds(), a.Taken(), a.Status, a.Why); err != nil {
					return err
				}
			}
			for i, next := range []time.Time{now.Add(5 * time.Minute), {}} {
				if _, err := tx.Exec(ctx, `
					insert into webhook_retries (org_id, webhook_id, event_id, leaf, tries, next_try_at, failed_at)
					values ($1, $2, $3, $4, $5, $6, $7)`, string(o.ID), id, secret.NewID("evt"), i, 2+7*i, db.Time(next), db.Time(now)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return all
}
