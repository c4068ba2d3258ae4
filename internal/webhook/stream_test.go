package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/expect"
	"parvis/internal/webhook"
)

func log(n *webhook.New) { n.Kind = webhook.Log }

// places returns the places of the lines that came, in the order in which they did.
func places(t *testing.T, all []received) (found []int) {
	t.Helper()
	for _, r := range all {
		if !strings.HasSuffix(string(r.body), "\n") {
			t.Errorf("the last line does not end: %.100s", r.body)
		}
		for line := range strings.Lines(string(r.body)) {
			var e struct{ Sequence *int }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Sequence == nil {
				t.Fatalf("%s: %v", line, err)
			}
			found = append(found, *e.Sequence)
		}
	}
	return found
}

// same compares places without printing thousands of them.
func same(t *testing.T, got, want []int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%d places from %v to %v came, want %d from %v to %v", len(got), got[:min(3, len(got))], got[max(0, len(got)-3):], len(want), want[:min(3, len(want))], want[max(0, len(want)-3):])
	}
}

func TestALogComesInOrderAndGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL+"/services/collector/raw?channel=1", log, func(n *webhook.New) {
		n.Headers = []webhook.Header{{"Authorization", "Splunk 1234"}, {"X-Splunk-Request-Channel", "A"}}
	})
	first := int(w.Cursor) + 1
	h.record("alpha", "user.deactivated", 1202)
	h.sweep()
	got := r.take()
	same(t, places(t, got), through(first, first+1202))
	expect.Equal(t, "requests", len(got), 3)
	for header, want := range map[string]string{"Authorization": "Splunk 1234", "X-Splunk-Request-Channel": "A", "Content-Type": "application/x-ndjson", "Webhook-Id": fmt.Sprintf("log_%d-%d", first, first+499)} {
		expect.Equal(t, header, got[0].header.Get(header), want)
	}
	if got[0].header.Get("Webhook-Signature") == "" {
		t.Error("it is not signed")
	}

	// What fails is sent again, and nothing after it before.
	r.answers(status(http.StatusBadGateway))
	h.record("alpha", "user.deactivated", 600)
	for range 45 {
		h.sweep()
		h.clock.Advance(time.Minute)
	}
	for _, one := range r.take() {
		expect.Equal(t, "first line of a try", places(t, []received{one})[0], first+1203)
	}
	if now := h.now(w); !now.Parked() || now.Cursor != int64(first+1202) {
		t.Errorf("after a while it is %+v", now)
	}
	expect.Equal(t, "retries", h.count(`select count(*) from webhook_retries`), 0)
	r.answers(nil)
	h.clock.Advance(10 * time.Minute)
	h.seal()
	h.sweep()
	h.seal()
	h.sweep()
	last := int(h.now(w).Cursor)
	same(t, places(t, r.take()), through(first+1203, last))
}

func TestALogOfWhatWasChosen(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	h.add("alpha", r.URL, log, func(n *webhook.New) { n.Events, n.Form = []string{"group.*"}, webhook.OCSF })
	h.record("alpha", "user.deactivated", 700)
	h.record("alpha", "group.created", 2)
	h.sweep()
	got := r.take()
	if len(got) != 1 || strings.Count(string(got[0].body), "\n") != 2 || strings.Count(string(got[0].body), `"class_uid":3006`) != 2 {
		t.Errorf("%d came: %s", len(got), got)
	}
}

// A batch has at most a mebibyte.
func TestALogsBatchesAreSmall(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	h := open(t, r.name())
	w, _ := h.add("alpha", r.URL, log, func(n *webhook.New) { n.Values = true })
	h.recordLong("alpha", 300, strings.Repeat("x", 10_000))
	h.sweep()
	got := r.take()
	for _, one := range got {
		if len(one.body) > 1<<20 {
			t.Errorf("a batch has %d bytes", len(one.body))
		}
	}
	if len(got) < 3 {
		t.Errorf("3 MB came in %d requests", len(got))
	}
	same(t, places(t, got), through(int(w.Cursor)+1, int(h.now(w).Cursor)))
}
