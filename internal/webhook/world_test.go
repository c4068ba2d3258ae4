package webhook_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/outbound"
	"parvis/internal/secret"
	"parvis/internal/webhook"
)

// house is a database with two organizations, each with an owner, and what sends their events.
type house struct {
	*db.DB
	t      *testing.T
	clock  *dbtest.Clock
	keys   secret.Keys
	logs   *audit.Logs
	sender *webhook.Sender
	org    map[string]directory.OrgID
	owner  map[string]directory.Actor
}

func open(t *testing.T, allowed ...string) *house {
	t.Helper()
	d, clock := dbtest.Open(t)
	return furnish(t, d, clock, allowed...)
}

func furnish(t *testing.T, d *db.DB, clock *dbtest.Clock, allowed ...string) *house {
	t.Helper()
	h := &house{DB: d, t: t, clock: clock, keys: secret.NewKeys(), org: map[string]directory.OrgID{}, owner: map[string]directory.Actor{}}
	h.logs = audit.NewLogs(audit.Settings{Sealing: h.keys.Sealing, Host: "id.example"})
	h.sender = h.node(allowed...)
	for _, name := range []string{"alpha", "beta"} {
		h.update(func(ctx context.Context, tx *db.Tx) error {
			o, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: name, ShortName: name, Language: "en"})
			if err != nil {
				return err
			}
			h.org[name] = o.ID
			u, err := directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: o.ID, ID: directory.NewUserID(), Email: "owner@" + name + ".example", Name: "Ada", Language: "en"})
			h.owner[name] = u.AsActor()
			return err
		})
	}
	h.seal()
	return h
}

// node returns a sender as another node has it.
func (h *house) node(allowed ...string) *webhook.Sender {
	h.t.Helper()
	s, err := newSender(h.DB, h.keys, h.logs, h.t.Output(), allowed...)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// newSender makes a Sender that may call the addresses that are allowed.
func newSender(d *db.DB, keys secret.Keys, logs *audit.Logs, out io.Writer, allowed ...string) (*webhook.Sender, error) {
	catalogue, err := i18n.Load()
	log := slog.New(slog.NewTextHandler(out, nil))
	return webhook.NewSender(webhook.Parts{
		DB: d, Logs: logs, Limits: limit.NewLimiter(keys.Lookup), Base: "https://parvis.example", Log: log, Outbound: outbound.New(allowed), Strict: outbound.New(allowed),
		Outbox: mail.NewOutbox(mail.Settings{Sealing: keys.Sealing, Catalogue: catalogue, From: "no-reply@parvis.example", Log: log}),
	}, keys), err
}

func (h *house) try(fn func(ctx context.Context, tx *db.Tx) error) error {
	return h.Update(h.t.Context(), func(tx *db.Tx) error { return fn(h.t.Context(), tx) })
}

func (h *house) update(fn func(ctx context.Context, tx *db.Tx) error) {
	h.t.Helper()
	if err := h.try(fn); err != nil {
		h.t.Fatal(err)
	}
}

// add makes a webhook of an organization, and returns what its receiver verifies with.
func (h *house) add(org, address string, change ...func(*webhook.New)) (w webhook.Webhook, text string) {
	h.t.Helper()
	n := webhook.New{Settings: webhook.Settings{Name: "Warehouse", Address: address, Events: []string{webhook.All}}}
	for _, c := range change {
		c(&n)
	}
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		w, text, err = h.sender.Create(ctx, tx, h.owner[org], h.org[org], n)
		return err
	})
	h.seal() // of its own creation, which the receiver gets
	return w, text
}

func (h *house) seal() {
	h.t.Helper()
	if err := h.logs.Sweep(h.t.Context(), h.DB); err != nil {
		h.t.Fatal(err)
	}
}

// record records events of an organization and seals them, one instant after the other.
func (h *house) record(org string, action audit.Action, n int) {
	h.t.Helper()
	for range n {
		h.clock.Advance(time.Millisecond)
		h.update(func(ctx context.Context, tx *db.Tx) error {
			e := h.owner[org].Event(h.org[org], action)
			e.Target, e.TargetName, e.After = "usr_2222", "Ben", audit.Fields{"name": "Ben"}
			return audit.Record(ctx, tx, e)
		})
	}
	h.seal()
}

// sweep sends what is due, until nothing is on the way.
func (h *house) sweep() {
	h.t.Helper()
	h.sweepOf(h.sender)
}

func (h *house) sweepOf(s *webhook.Sender) {
	h.t.Helper()
	if err := s.Sweep(h.t.Context(), h.DB); err != nil {
		h.t.Fatal(err)
	}
	if !s.Idle(20 * time.Second) {
		h.t.Fatal("something is still on the way")
	}
}

func (h *house) now(w webhook.Webhook) webhook.Webhook {
	h.t.Helper()
	w, err := webhook.ByID(h.t.Context(), h.DB, directory.Operator(), w.OrgID, w.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

func (h *house) count(query string, args ...any) (n int) {
	h.t.Helper()
	if _, err := h.One(h.t.Context(), db.Into(&n), query, args...); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// received is one request that a receiver got.
type received struct {
	header http.Header
	body   []byte
	path   string
}

func (r received) event(t *testing.T) (e map[string]any) {
	t.Helper()
	if err := json.Unmarshal(r.body, &e); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return e
}

// receiver is a server outside that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	tests  []received // calls that only try the address
	got    []received
	answer func(http.ResponseWriter, *http.Request)
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		into := &r.got
		if strings.Contains(string(body), `"webhook.test"`) {
			into = &r.tests
		}
		*into = append(*into, received{q.Header, body, q.URL.Path})
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, q)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) name() string { return r.Listener.Addr().String() }

func (r *receiver) answers(with func(http.ResponseWriter, *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = with
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// take returns what came since the last call.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// sequences returns the places of what came, in their order, each once.
func sequences(t *testing.T, all []received) []int {
	t.Helper()
	var places []int
	for _, r := range all {
		places = append(places, int(r.event(t)["sequence"].(float64))) //nolint:forcetypeassert // The test fails.
	}
	slices.Sort(places)
	return slices.Compact(places)
}

func through(first, last int) (all []int) {
	for i := first; i <= last; i++ {
		all = append(all, i)
	}
	return all
}

// recordLong records events with a long field.
func (h *house) recordLong(org string, n int, text string) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx *db.Tx) error {
		for range n {
			e := h.owner[org].Event(h.org[org], "group.renamed")
			e.After = audit.Fields{"name": text}
			if err := audit.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	h.seal()
}
