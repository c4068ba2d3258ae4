package webhook_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/secret"
)

// The variables by which this program, started again as a node, finds its database, its keys and
// the receiver.
const (
	childDatabase = "PARVIS_WEBHOOK_DATABASE"
	childKeys     = "PARVIS_WEBHOOK_KEYS"
	childReceiver = "PARVIS_WEBHOOK_RECEIVER"
)

// TestNode is a node that seals and sends until it is killed, when another test starts it.
func TestNode(t *testing.T) {
	address := os.Getenv(childDatabase)
	if address == "" {
		t.Skip("it is started by TestKilledNodesLoseNothing")
	}
	text, err := os.ReadFile(os.Getenv(childKeys))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := secret.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{DB: d, t: t, keys: keys}
	sender, logs := h.node(os.Getenv(childReceiver)), audit.NewLogs(audit.Settings{Sealing: keys.Sealing, Host: "id.example"})
	for {
		for _, sweep := range []func(context.Context, *db.DB) error{logs.Sweep, sender.Sweep} {
			if err := sweep(t.Context(), d); err != nil {
				t.Log(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A node is killed again and again while it sends. Each event arrives, and few of them twice.
func TestKilledNodesLoseNothing(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	var seen sync.Map
	r.answers(func(w http.ResponseWriter, q *http.Request) {
		time.Sleep(20 * time.Millisecond)
		// Some fail at first, so that there are retries too.
		if _, again := seen.LoadOrStore(q.Header.Get("Webhook-Id"), true); !again && len(r.all())%40 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	address := dbtest.Address(t)
	d := dbtest.OpenAt(t, address)
	h := furnish(t, d, dbtest.NewClock(), r.name())
	w, _ := h.add("alpha", r.URL)
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, h.keys.Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	node := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNode$", "-test.timeout=0") //nolint:gosec // This program.
		c.Env = append(os.Environ(), childDatabase+"="+address, childKeys+"="+keys, childReceiver+"="+r.name())
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	const events, kills = 240, 8
	for i := range kills {
		c := node()
		for range events / kills {
			h.update(func(ctx context.Context, tx *db.Tx) error {
				return audit.Record(ctx, tx, h.owner["alpha"].Event(h.org["alpha"], "group.created"))
			})
		}
		time.Sleep(time.Duration(200+37*i) * time.Millisecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait() //nolint:errcheck // It was killed.
	}
	c := node()
	defer c.Process.Kill() //nolint:errcheck // It ends with the test.
	for until := time.Now().Add(60 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if h.count(`select count(*) from audit_events where org_id = $1 and leaf is null`, string(w.OrgID)) == 0 && len(sequences(t, r.all())) == h.count(`select count(*) from audit_events where org_id = $1 and leaf > $2`, string(w.OrgID), w.Cursor) &&
			h.count(`select count(*) from webhook_retries where org_id = $1`, string(w.OrgID)) == 0 {
			break
		}
	}
	arrived := sequences(t, r.all())
	same(t, arrived, through(int(w.Cursor)+1, int(w.Cursor)+len(arrived)))
	if want := h.count(`select count(*) from audit_events where org_id = $1 and leaf > $2`, string(w.OrgID), w.Cursor); len(arrived) != want || want < events {
		t.Errorf("%d of %d events arrived", len(arrived), want)
	}
	if extra := len(r.all()) - len(arrived); extra > kills*(64+8)+100 {
		t.Errorf("%d requests were more than one an event", extra)
	}
}
