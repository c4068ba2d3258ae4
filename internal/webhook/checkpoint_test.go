package webhook_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"parvis/internal/expect"
	"parvis/internal/webhook"
)

func to(events ...string) func(*webhook.New) {
	return func(n *webhook.New) { n.Events = events }
}

// An hour passes: what is due by the hour is recorded, sealed and sent.
func (h *house) hour() {
	h.t.Helper()
	h.clock.Advance(time.Hour)
	if err := h.sender.SweepCheckpoints(h.t.Context(), h.DB); err != nil {
		h.t.Fatal(err)
	}
	h.seal()
	h.sweep()
}

// Who subscribes gets a signed checkpoint in each hour in which the log grew, and nobody else does.
func TestSubscribersKeepCheckpoints(t *testing.T) {
	t.Parallel()
	r, s := newReceiver(t), newReceiver(t)
	h := open(t, r.name(), s.name())
	h.add("alpha", r.URL, to("audit.checkpoint"))
	h.add("beta", s.URL, to("user.*"))
	h.record("alpha", "user.deactivated", 3)
	h.hour()
	got := r.take()
	expect.Equal(t, "checkpoints", len(got), 1)
	e := got[0].event(t)
	c, err := h.logs.Checkpoint(t.Context(), h.DB, string(h.org["alpha"]))
	if err != nil {
		t.Fatal(err)
	}
	sent, _ := e["checkpoint"].(map[string]any)
	expect.Equal(t, "type", e["type"], any("audit.checkpoint"))
	expect.Equal(t, "its place is behind what it covers", e["sequence"], sent["size"])
	verifier, err := note.NewVerifier(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open([]byte(fmt.Sprint(sent["note"])), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "what was signed", strings.Join(strings.Split(opened.Text, "\n")[:2], " "), "id.example/audit/"+string(h.org["alpha"])+" "+fmt.Sprint(sent["size"]))
	expect.Equal(t, "without the key, or values", strings.Contains(string(got[0].body), c.Key) || e["values"] != nil, false)

	// An idle log has no more of them, whatever is signed besides.
	h.hour()
	h.hour()
	expect.Equal(t, "checkpoints of an idle log", len(r.take()), 0)
	h.record("alpha", "user.deactivated", 1)
	h.hour()
	expect.Equal(t, "after another event", len(r.take()), 1)
	expect.Equal(t, "events of the other organization", h.count(`select count(*) from audit_events where org_id = $1 and action = 'audit.checkpoint'`, string(h.org["beta"])), 0)
	expect.Equal(t, "what its receiver got", len(s.take()), 0)
}

// What is due is not lost while the receiver is down, and a log for a SIEM has it too.
func TestACheckpointWaitsForItsReceiver(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	h.add("alpha", r.URL, to("*"), log, func(n *webhook.New) { n.Form = webhook.OCSF })
	h.sweep()
	r.take()
	r.answers(status(503))
	h.hour()
	r.answers(nil)
	r.take()
	h.clock.Advance(time.Hour)
	h.sweep()
	if got := r.take(); len(got) != 1 || !strings.Contains(string(got[0].body), `"checkpoint":{"size":`) {
		t.Errorf("%d requests came: %s", len(got), got)
	}
}
