package webhook_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/outbound"
	"parvis/internal/webhook"
)

// What a receiver gets is what Standard Webhooks' own library takes: by the secret that was shown,
// and during a rotation by the old one and the new one.
func TestReceiversVerifyWithTheStandardsLibrary(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, first := h.add("alpha", r.URL+"/hook")
	verify := func(what, text string, want bool) {
		t.Helper()
		h.record("alpha", "user.deactivated", 1)
		h.sweep()
		got := r.take()
		if len(got) == 0 {
			t.Fatalf("%s: nothing came", what)
		}
		lib, err := standardwebhooks.NewWebhook(text)
		if err != nil {
			t.Fatal(err)
		}
		last := got[len(got)-1]
		if err := lib.VerifyIgnoringTimestamp(last.body, last.header); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
		altered := []byte(strings.Replace(string(last.body), `"version":1`, `"version":2`, 1))
		if lib.VerifyIgnoringTimestamp(altered, last.header) == nil {
			t.Errorf("%s: an altered body is taken", what)
		}
		expect.Equal(t, "Webhook-Timestamp", last.header.Get("webhook-timestamp"), fmt.Sprint(h.clock.Now().Unix()))
		expect.Equal[any](t, "Webhook-Id", last.header.Get("webhook-id"), last.event(t)["id"])
	}
	verify("at first", first, true)
	var second string
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		second, err = h.sender.Rotate(ctx, tx, h.owner["alpha"], w, "")
		return err
	})
	verify("rotated, the old one", first, true)
	verify("rotated, the new one", second, true)
	h.clock.Advance(webhook.RotationLasts)
	verify("a day later, the old one", first, false)
	verify("a day later, the new one", second, true)
	if err := webhook.SweepKept(t.Context(), h.DB); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "secrets that are left", h.count(`select count(*) from webhook_secrets where org_id = $1`, string(w.OrgID)), 1)
}

// A webhook keeps the version of bodies of when it was made. One that a newer release made is left to
// its nodes, and loses nothing.
func TestAWebhookKeepsTheVersionOfItsBodies(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	expect.Equal(t, "the version of a new one", h.now(w).Version, 1)
	h.sweep()
	r.take()
	for _, version := range []int{2, 1} {
		dbtest.Do(t, h.DB, `update webhooks set version = $1 where org_id = $2 and id = $3`, version, string(w.OrgID), w.ID)
		h.record("alpha", "user.deactivated", 1)
		h.sweep()
		got := r.take()
		expect.Equal(t, fmt.Sprint("what came with version ", version), len(got), map[int]int{2: 0, 1: 2}[version])
		for _, one := range got {
			expect.Equal[any](t, "version", one.event(t)["version"], 1.0)
		}
	}
	dbtest.Do(t, h.DB, `update webhooks set version = 2 where org_id = $1 and id = $2`, string(w.OrgID), w.ID)
	if _, err := h.sender.Try(t.Context(), h.owner["alpha"], w.OrgID, w.ID); err == nil {
		t.Error("a body of an unknown version is written")
	}
}

func TestAPublicKeyVerifiesToo(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	_, text := h.add("alpha", r.URL, func(n *webhook.New) { n.Scheme = webhook.Asymmetric })
	h.sweep()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, webhook.PublicPrefix))
	if err != nil || !strings.HasPrefix(text, "whpk_") {
		t.Fatalf("%s, %v", text, err)
	}
	got := r.take()[0]
	scheme, signature, _ := strings.Cut(got.header.Get("webhook-signature"), ",")
	raw, err := base64.StdEncoding.DecodeString(signature)
	signed := got.header.Get("webhook-id") + "." + got.header.Get("webhook-timestamp") + "." + string(got.body)
	if err != nil || scheme != "v1a" || !ed25519.Verify(key, []byte(signed), raw) {
		t.Errorf("%s does not verify, %v", got.header.Get("webhook-signature"), err)
	}
}

func TestOnlyWhatWasChosenIsSent(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL, func(n *webhook.New) { n.Events = []string{"group.*", "user.deleted"} })
	h.record("alpha", "user.deactivated", 3)
	h.record("alpha", "user.deleted", 1)
	h.record("alpha", "group.created", 1)
	h.record("beta", "group.created", 5) // the neighbour's
	h.sweep()
	var types []string
	for _, got := range r.take() {
		e := got.event(t)
		types = append(types, e["type"].(string)) //nolint:forcetypeassert // The test fails.
		expect.Equal[any](t, "organization", e["organization"], string(h.org["alpha"]))
		if _, has := e["values"]; has || strings.Contains(string(got.body), "Ben") {
			t.Errorf("values are sent that nobody asked for: %s", got.body)
		}
	}
	expect.Equal(t, "what came", strings.Join(types, " "), "user.deleted group.created")
	h.update(func(ctx context.Context, tx *db.Tx) error {
		to := w.Settings
		to.Values = true
		_, err := h.sender.Change(ctx, tx, h.owner["alpha"], w, to, nil)
		return err
	})
	h.record("alpha", "user.deleted", 1)
	h.sweep()
	got := r.take()
	if len(got) != 1 || !strings.Contains(string(got[0].body), `"object_name":"Ben"`) || !strings.Contains(string(got[0].body), `"after":{"name":"Ben"}`) {
		t.Errorf("with values, %d came: %s", len(got), got)
	}
}

// A deleted organization's webhooks are quiet, and go on where they stopped once it is restored. The
// neighbour's go on all the time.
func TestADeletedOrganizationCallsNobody(t *testing.T) {
	t.Parallel()
	r, neighbours := newReceiver(t), newReceiver(t)
	h := open(t, r.name(), neighbours.name())
	group := func(n *webhook.New) { n.Events = []string{"group.*"} }
	h.add("alpha", r.URL, group)
	h.add("beta", neighbours.URL, group)
	h.sweep()
	h.update(func(ctx context.Context, tx *db.Tx) error {
		if err := directory.Suspend(ctx, tx, directory.Operator(), h.org["alpha"]); err != nil {
			return err
		}
		return directory.DeleteOrganization(ctx, tx, directory.Operator(), h.org["alpha"])
	})
	h.record("alpha", "group.created", 2)
	h.record("beta", "group.created", 1)
	h.sweep()
	expect.Equal(t, "what came of a deleted organization", len(r.take()), 0)
	expect.Equal(t, "what came of its neighbour", len(neighbours.take()), 1)
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.RestoreOrganization(ctx, tx, directory.Operator(), h.org["alpha"])
	})
	h.sweep()
	expect.Equal(t, "what came once it was restored", len(r.take()), 2)
}

// Attempts are kept for 30 days, of each organization.
func TestAttemptsAreKeptFor30Days(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	hooks := map[string]webhook.Webhook{}
	for _, org := range []string{"alpha", "beta"} {
		hooks[org], _ = h.add(org, r.URL+"/"+org)
	}
	try := func() {
		t.Helper()
		for org, w := range hooks {
			if _, err := h.sender.Try(t.Context(), h.owner[org], w.OrgID, w.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := func() (all []int) {
		t.Helper()
		if err := webhook.SweepKept(t.Context(), h.DB); err != nil {
			t.Fatal(err)
		}
		for _, org := range []string{"alpha", "beta"} {
			all = append(all, h.count(`select count(*) from webhook_attempts where org_id = $1`, string(h.org[org])))
		}
		return all
	}
	try()
	h.clock.Advance(time.Second)
	try()
	h.clock.Advance(webhook.AttemptsKept - time.Second)
	expect.Equal(t, "attempts after 30 days", fmt.Sprint(left()), "[2 2]")
	h.clock.Advance(time.Second)
	expect.Equal(t, "attempts a second later", fmt.Sprint(left()), "[1 1]")
	h.clock.Advance(time.Second)
	expect.Equal(t, "attempts two seconds later", fmt.Sprint(left()), "[0 0]")
}

// A receiver that was down for two days gets everything afterwards.
func TestTwoDaysDownLoseNothing(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.take()
	first := int(h.now(w).Cursor) + 1
	r.answers(status(http.StatusServiceUnavailable))
	for range 48 {
		h.record("alpha", "user.deactivated", 3)
		for range 12 {
			h.sweep()
			h.clock.Advance(5 * time.Minute)
		}
	}
	now := h.now(w)
	if !now.Parked() || now.Failures < webhook.ParksAfter {
		t.Fatalf("after two days it is %+v", now)
	}
	if pile := h.count(`select count(*) from webhook_retries where org_id = $1`, string(w.OrgID)); pile > webhook.ParksAfter {
		t.Errorf("a pile of %d grew", pile)
	}
	expect.Equal(t, "letters", h.count(`select count(*) from letters where kind = 'webhook' and org_id = $1`, string(w.OrgID)), 1)
	tried := r.take()
	r.answers(nil)
	for range 60 {
		h.sweep()
		h.seal()
		h.clock.Advance(10 * time.Second)
	}
	got := r.take()
	last := int(h.now(w).Cursor)
	expect.Equal(t, "what came", fmt.Sprint(sequences(t, got)), fmt.Sprint(through(first, last)))
	if last-first+1 < 48*3 {
		t.Errorf("only %d events are in the log", last-first+1)
	}
	if len(tried) > 20+48*13 {
		t.Errorf("it was tried %d times", len(tried))
	}
	now = h.now(w)
	if now.Parked() || now.Failures != 0 {
		t.Errorf("afterwards it is %+v", now)
	}
	expect.Equal(t, "waiting", h.count(`select count(*) from webhook_retries where org_id = $1`, string(w.OrgID)), 0)
}

func TestAParkedWebhookIsTurnedOffAfterThreeDaysAndGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	r.answers(status(http.StatusInternalServerError))
	h.record("alpha", "user.deactivated", 40)
	for range 3*24*2 + 24 {
		h.sweep()
		h.clock.Advance(30 * time.Minute)
	}
	now := h.now(w)
	if now.On || now.Why != webhook.Failing {
		t.Fatalf("after three days it is %+v", now)
	}
	expect.Equal(t, "letters", h.count(`select count(*) from letters where kind = 'webhook' and org_id = $1`, string(w.OrgID)), 2)
	r.take()
	r.answers(nil)
	h.sweep()
	expect.Equal(t, "sent while it is off", len(r.take()), 0)
	h.update(func(ctx context.Context, tx *db.Tx) error { return webhook.TurnOn(ctx, tx, h.owner["alpha"], now) })
	h.seal()
	for range 5 {
		h.sweep()
		h.seal()
		h.clock.Advance(time.Second)
	}
	expect.Equal(t, "what came", fmt.Sprint(sequences(t, r.take())), fmt.Sprint(through(int(w.Cursor)+1, int(h.now(w).Cursor))))
}

func TestWhatFailsIsSentAgainByItsSchedule(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.take()
	// One event is never taken, all others are.
	r.answers(func(rw http.ResponseWriter, q *http.Request) {
		if q.Header.Get("X-Poison") == "" && strings.HasPrefix(q.UserAgent(), "Parvis") && poisoned(r) {
			rw.WriteHeader(http.StatusBadRequest)
		}
	})
	h.record("alpha", "group.deleted", 1)
	h.record("alpha", "user.deactivated", 5)
	var waits []time.Duration
	last := h.clock.Now()
	for range 4 * 24 * 60 {
		h.sweep()
		for _, got := range r.take() {
			if got.event(t)["type"] == "group.deleted" {
				waits = append(waits, h.clock.Now().Sub(last))
				last = h.clock.Now()
			}
		}
		if h.clock.Advance(time.Minute); len(waits) > 3 {
			h.clock.Advance(9 * time.Minute)
		}
		if len(waits) >= 10 {
			break
		}
	}
	expect.Equal(t, "tries", len(waits), 10)
	for i, want := range []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour} {
		if got := waits[min(i, len(waits)-1)]; got < want-want/10-time.Minute || got > want+want/10+12*time.Minute {
			t.Errorf("try %d comes after %s, not %s", i+1, got, want)
		}
	}
	waiting, err := webhook.WaitingOf(t.Context(), h.DB, h.owner["alpha"], w, 10)
	if err != nil || len(waiting) != 1 || !waiting[0].NextAt.IsZero() {
		t.Fatalf("it is listed as %+v, %v", waiting, err)
	}
	if now := h.now(w); now.Failures > 10 || now.Parked() {
		t.Errorf("one event that fails makes it %+v", now)
	}
	r.answers(nil)
	a, err := h.sender.SendAgain(t.Context(), h.owner["alpha"], w.OrgID, w.ID, waiting[0].EventID)
	if err != nil || !a.Taken() {
		t.Errorf("sent by hand: %+v, %v", a, err)
	}
	expect.Equal(t, "waiting", h.count(`select count(*) from webhook_retries where org_id = $1`, string(w.OrgID)), 0)
}

// poisoned reports whether the last request of a receiver is the event that it never takes.
func poisoned(r *receiver) bool {
	all := r.all()
	return strings.Contains(string(all[len(all)-1].body), "group.deleted")
}

func TestAReceiverSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.take()
	r.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Retry-After", "7200")
		rw.WriteHeader(http.StatusTooManyRequests)
	})
	h.record("alpha", "user.deactivated", 1)
	h.sweep()
	expect.Equal(t, "tries", len(r.take()), 1)
	r.answers(nil)
	h.record("alpha", "user.deactivated", 4)
	h.clock.Advance(2*time.Hour - time.Minute)
	h.sweep()
	expect.Equal(t, "tries before the time", len(r.take()), 0)
	h.clock.Advance(2 * time.Minute)
	for range 3 {
		h.sweep()
		h.clock.Advance(time.Second)
	}
	expect.Equal(t, "what came", fmt.Sprint(sequences(t, r.take())), fmt.Sprint(through(int(h.now(w).Cursor)-4, int(h.now(w).Cursor))))
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "999999999999999": 24 * time.Hour, "86401": 24 * time.Hour, "soon": 0,
		"Sun, 22 Nov 2026 10:00:00 GMT": time.Hour, "Sun, 22 Nov 2020 10:00:00 GMT": 0, "Sun, 22 Nov 2036 10:00:00 GMT": 24 * time.Hour,
	} {
		if got := webhook.RetryAfter(text, time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("Retry-After: %s is %s, want %s", text, got, want)
		}
	}
}

func TestGoneTurnsAWebhookOff(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	r.answers(status(http.StatusGone))
	h.sweep()
	now := h.now(w)
	if now.On || now.Why != webhook.Gone {
		t.Errorf("it is %+v", now)
	}
	expect.Equal(t, "letters", h.count(`select count(*) from letters where kind = 'webhook' and org_id = $1`, string(w.OrgID)), 1)
}

func TestEventsAreReplayed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.record("alpha", "user.deactivated", 3)
	h.clock.Advance(24 * time.Hour)
	since := h.clock.Now()
	h.record("alpha", "user.deactivated", 4)
	for range 3 {
		h.sweep()
	}
	r.take()
	was := int(h.now(w).Cursor)
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return webhook.ReplaySince(ctx, tx, h.owner["alpha"], h.now(w), since)
	})
	h.sweep()
	expect.Equal(t, "since yesterday", fmt.Sprint(sequences(t, r.take())), fmt.Sprint(through(was-3, was)))
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return webhook.Replay(ctx, tx, h.owner["alpha"], h.now(w), -1)
	})
	for range 3 {
		h.sweep()
	}
	got := sequences(t, r.take())
	expect.Equal(t, "from the beginning", fmt.Sprint(got), fmt.Sprint(through(0, was)))
	err := h.try(func(ctx context.Context, tx *db.Tx) error {
		return webhook.Replay(ctx, tx, h.owner["alpha"], h.now(w), h.now(w).Cursor+1)
	})
	if !errors.Is(err, webhook.ErrReplay) {
		t.Errorf("ahead of the cursor: %v", err)
	}
}

// Events that nobody subscribed to, and webhooks to which nothing happens, write nothing.
func TestIdleWebhooksWriteNothing(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	for range webhook.Most {
		h.add("alpha", r.URL, func(n *webhook.New) { n.Events = []string{"domain.*"} })
	}
	h.record("beta", "user.deactivated", 3)
	h.sweep()
	before := h.count(`select coalesce(sum(cursor), 0) from webhooks where org_id = $1`, string(h.org["alpha"]))
	h.record("alpha", "user.deactivated", 100)
	for range 5 {
		h.sweep()
	}
	expect.Equal(t, "cursors that moved", h.count(`select coalesce(sum(cursor), 0) from webhooks where org_id = $1`, string(h.org["alpha"]))-before, 0)
	expect.Equal(t, "attempts", h.count(`select count(*) from webhook_attempts where org_id = $1`, string(h.org["alpha"])), webhook.Most) // the tests
	// What is for them comes all the same, to this node and to one that knows nothing yet.
	h.record("alpha", "domain.added", 1)
	h.sweepOf(h.node(r.name()))
	expect.Equal(t, "what came", len(r.take()), webhook.Most)
	h.sweep()
	expect.Equal(t, "what came twice", len(r.take()), 0)
}

// A receiver that hangs holds up nobody else, and the sweep itself only a little.
func TestAReceiverThatHangsDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	slow, quick := newReceiver(t), newReceiver(t)
	release := make(chan struct{})
	h := open(t, slow.name(), quick.name())
	h.add("alpha", slow.URL)
	h.add("alpha", quick.URL)
	h.sweep()
	quick.take()
	slow.take()
	slow.answers(func(http.ResponseWriter, *http.Request) { <-release })
	h.record("alpha", "user.deactivated", 30)
	for range 3 {
		if err := h.sender.Sweep(t.Context(), h.DB); err != nil {
			t.Fatal(err)
		}
	}
	expect.Equal(t, "what the other got", len(sequences(t, quick.take())), 30)
	if n := len(slow.all()); n != 8 {
		t.Errorf("%d calls were begun to the one that hangs", n)
	}
	close(release)
	if !h.sender.Idle(20 * time.Second) {
		t.Fatal("it is still on the way")
	}
	slow.answers(nil)
	h.sweep()
	expect.Equal(t, "what it got in the end", len(sequences(t, slow.take())) >= 30, true)
}

// What a receiver answers is a status, whatever comes after it.
func TestReceiversThatLieAreTakenAtTheirStatus(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	for what, one := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		taken  bool
		shown  string
	}{
		"64 MB": {func(w http.ResponseWriter, _ *http.Request) {
			for range 64 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, true, "200"},
		"redirect to the metadata service": {func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		}, false, "307"},
		"redirect to itself": {func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, r.URL+"/elsewhere", http.StatusPermanentRedirect)
		}, false, "308"},
		"no body for a long length": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1000000") }, true, "200"},
		"cut off":                   {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, false, "0 unreachable"},
		"a status that is none": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = fmt.Fprint(c, "HTTP/1.1 200200 OK\r\n\r\n")
				c.Close()
			}
		}, false, "0 unreachable"},
	} {
		r.answers(one.answer)
		a, err := h.sender.Try(t.Context(), h.owner["alpha"], w.OrgID, w.ID)
		shown := strings.TrimSpace(fmt.Sprint(a.Status, " ", a.Why))
		if err != nil || a.Taken() != one.taken || shown != one.shown {
			t.Errorf("%s: %s, %v, want %s", what, shown, err, one.shown)
		}
	}
	for _, got := range append(r.take(), r.tests...) {
		expect.Equal(t, "path", got.path, "/")
	}
}

// Events that retention took before they were sent again are forgotten.
func TestEventsThatAreNoMoreAreNotTried(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.answers(status(http.StatusTeapot))
	h.record("alpha", "user.deactivated", 1)
	h.sweep()
	expect.Equal(t, "waiting", h.count(`select count(*) from webhook_retries where org_id = $1`, string(w.OrgID)), 1)
	h.update(func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from audit_events where org_id = $1`, string(w.OrgID))
		return err
	})
	h.clock.Advance(time.Minute)
	h.sweep()
	expect.Equal(t, "waiting", h.count(`select count(*) from webhook_retries where org_id = $1`, string(w.OrgID)), 0)
}

// The operator's webhook reads the installation's log and no other.
func TestTheOperatorsWebhookReadsTheInstallationsLogAlone(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	n := webhook.New{Settings: webhook.Settings{Name: "Alarm", Address: r.URL, Events: []string{webhook.All}}}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		if _, _, err := h.sender.Create(ctx, tx, directory.Operator(), "", n); err != nil {
			return err
		}
		_, _, err := h.sender.Create(ctx, tx, h.owner["alpha"], "", n)
		if !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("by an owner: %v", err)
		}
		return audit.Record(ctx, tx, audit.Event{Actor: audit.System, Action: "key.created", Target: "key_1"})
	})
	h.record("alpha", "user.deactivated", 3)
	h.sweep()
	h.sweep()
	for _, got := range r.take() {
		expect.Equal[any](t, "organization", got.event(t)["organization"], nil)
	}
	expect.Equal(t, "cursor", h.count(`select cursor from webhooks where org_id = ''`), h.count(`select size from audit_logs where org_id = ''`)-1)
}

// A new address is tried at once, signed, whether or not something happens.
func TestANewAddressIsTried(t *testing.T) {
	t.Parallel()
	r, other := newReceiver(t), newReceiver(t)
	h := open(t, r.name(), other.name())
	w, text := h.add("alpha", r.URL, func(n *webhook.New) { n.Events = []string{"domain.*"} })
	h.sweep()
	h.sweep()
	expect.Equal(t, "tests", len(r.tests), 1)
	lib, err := standardwebhooks.NewWebhook(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := lib.VerifyIgnoringTimestamp(r.tests[0].body, r.tests[0].header); err != nil {
		t.Error(err)
	}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		to := w.Settings
		to.Address = other.URL
		_, err := h.sender.Change(ctx, tx, h.owner["alpha"], h.now(w), to, nil)
		return err
	})
	h.sweep()
	expect.Equal(t, "tests of the other address", len(other.tests), 1)
}

// A receiver that never answers is given ten seconds, and then its event is one that failed.
func TestAReceiverThatNeverAnswersFails(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	release := make(chan struct{})
	defer close(release)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.answers(func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-release:
		case <-q.Context().Done():
		}
	})
	a, err := h.sender.Try(t.Context(), h.owner["alpha"], w.OrgID, w.ID)
	if err != nil || a.Taken() || a.Why != "timeout" {
		t.Errorf("it is %+v, %v", a, err)
	}
}

// The operator's exceptions are for the operator: an organization's webhook never uses them.
func TestAnOrganizationsWebhookUsesNoException(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	h.add("alpha", r.URL)
	n := webhook.New{Settings: webhook.Settings{Name: "Alarm", Address: r.URL, Events: []string{webhook.All}}}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		_, _, err := h.sender.Create(ctx, tx, directory.Operator(), "", n)
		return err
	})
	h.seal()
	h.sender.Strict = outbound.New(nil)
	h.record("alpha", "user.deactivated", 2)
	h.sweep()
	got := append(r.take(), r.tests...)
	if len(got) == 0 {
		t.Error("the operator's webhook reached nothing")
	}
	for _, one := range got {
		expect.Equal[any](t, "organization", one.event(t)["organization"], nil)
	}
}

// A cursor that is set back while a batch is on the way stays where it was set.
func TestAReplayWhileABatchIsOnTheWay(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.take()
	release := make(chan struct{})
	r.answers(func(http.ResponseWriter, *http.Request) { <-release })
	h.record("alpha", "user.deactivated", 3)
	if err := h.sender.Sweep(t.Context(), h.DB); err != nil {
		t.Fatal(err)
	}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return webhook.Replay(ctx, tx, h.owner["alpha"], h.now(w), -1)
	})
	close(release)
	if !h.sender.Idle(20 * time.Second) {
		t.Fatal("it is still on the way")
	}
	expect.Equal(t, "cursor", h.now(w).Cursor, -1)
	r.answers(nil)
	r.take()
	h.seal()
	h.sweep()
	expect.Equal(t, "what came", fmt.Sprint(sequences(t, r.take())), fmt.Sprint(through(0, int(h.now(w).Cursor))))
}

// The head of a parked webhook may be an event that was never tried: it is not passed over.
func TestTheHeadOfAParkedWebhookIsNotPassedOver(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.take()
	h.record("alpha", "user.deactivated", 3)
	h.update(func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update webhooks set failures = 20, parked_at = $1 where org_id = $2`, db.Time(h.clock.Now()), string(w.OrgID))
		return err
	})
	first := int(h.now(w).Cursor) + 1
	r.answers(status(http.StatusBadGateway))
	for range 3 {
		h.sweep()
		h.clock.Advance(10 * time.Minute)
	}
	for _, got := range r.take() {
		expect.Equal(t, "what is tried", fmt.Sprint(sequences(t, []received{got})), fmt.Sprint([]int{first}))
	}
	r.answers(nil)
	for range 4 {
		h.sweep()
		h.seal()
		h.clock.Advance(10 * time.Minute)
	}
	expect.Equal(t, "what came in the end", fmt.Sprint(sequences(t, r.take())), fmt.Sprint(through(first, int(h.now(w).Cursor))))
}

// Once a parked receiver takes something, what was put off or given up follows at once.
func TestWhatWasGivenUpFollowsOnceAReceiverIsBack(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL)
	h.sweep()
	r.answers(status(http.StatusBadGateway))
	h.record("alpha", "user.deactivated", 3)
	for range 6 {
		h.sweep()
	}
	r.take()
	first := int(h.now(w).Cursor) - 2
	h.update(func(ctx context.Context, tx *db.Tx) error {
		later := db.Time(h.clock.Now().Add(20 * time.Hour))
		if _, err := tx.Exec(ctx, `update webhook_retries set next_try_at = case when leaf = $1 then cast(null as bigint) else $2 end where org_id = $3`, first+1, later, string(w.OrgID)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update webhooks set failures = 20, parked_at = $1, next_try_at = null where org_id = $2`, db.Time(h.clock.Now()), string(w.OrgID))
		return err
	})
	r.answers(nil)
	h.sweep()
	h.sweep()
	expect.Equal(t, "what came", fmt.Sprint(sequences(t, r.take())), fmt.Sprint(through(first, first+2)))
}

// A panic in a call ends neither the program nor the batch: the event is sent again.
func TestAReceiverWhoseCallPanicsIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	h.add("alpha", r.URL)
	h.sweep()
	r.take()
	h.record("alpha", "user.deactivated", 1)
	client := h.sender.Strict
	h.sender.Strict = nil
	h.sweep()
	h.sender.Strict = client
	expect.Equal(t, "requests of a call that panicked", len(r.take()), 0)
	h.clock.Advance(time.Hour)
	h.sweep()
	expect.Equal(t, "requests an hour later", len(r.take()), 1)
}
