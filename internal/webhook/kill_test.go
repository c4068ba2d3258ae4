package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// The variables by which this program, started again as a node, finds its database, its keys and
// the receiver.
const (
	childDatabase = "PARVIS_WEBHOOK_DATABASE"
	childKeys     = "PARVIS_WEBHOOK_KEYS"
	childReceiver = "PARVIS_WEBHOOK_RECEIVER"
)

// TestMain is a node, when TestKilledNodesLoseNothing starts this program again.
func TestMain(m *testing.M) {
	if os.Getenv(childDatabase) == "" {
		os.Exit(m.Run())
	}
	if err := beNode(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// beNode seals and sends until it is killed.
func beNode(ctx context.Context) error {
	text, err := os.ReadFile(os.Getenv(childKeys))
	if err != nil {
		return err
	}
	keys, err := secret.ParseKeys(text)
	if err != nil {
		return err
	}
	d, err := db.Open(ctx, os.Getenv(childDatabase))
	if err != nil {
		return err
	}
	logs := audit.NewLogs(audit.Settings{Sealing: keys.Sealing, Host: "id.example"})
	sender, err := newSender(d, keys, logs, os.Stderr, os.Getenv(childReceiver))
	if err != nil {
		return err
	}
	for pace := time.Tick(10 * time.Millisecond); ; {
		for _, sweep := range []func(context.Context, *db.DB) error{logs.Sweep, sender.Sweep} {
			if err := sweep(ctx, d); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		<-pace
	}
}

// A node is killed again and again while it sends. Each event arrives, and few of them twice.
func TestKilledNodesLoseNothing(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	var seen, taken sync.Map // by id
	came, free := make(chan struct{}), make(chan struct{})
	r.answers(func(w http.ResponseWriter, q *http.Request) {
		// No event is answered unless the test counts it, so some are on the way at each kill.
		select {
		case came <- struct{}{}:
		case <-free:
		case <-q.Context().Done():
			return
		}
		// Some fail at first, so that there are retries too.
		if _, again := seen.LoadOrStore(q.Header.Get("Webhook-Id"), true); !again && len(r.all())%40 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			taken.Store(q.Header.Get("Webhook-Id"), true)
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
	node := func() (c *exec.Cmd, ended <-chan error) {
		c = exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // This program.
		c.Env = append(os.Environ(), childDatabase+"="+address, childKeys+"="+keys, childReceiver+"="+r.name())
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		end := make(chan error, 1)
		go func() { end <- c.Wait() }()
		return c, end
	}
	const events, kills = 240, 8
	for i := range kills {
		c, ended := node()
		for range events / kills {
			h.update(func(ctx context.Context, tx *db.Tx) error {
				return audit.Record(ctx, tx, h.owner["alpha"].Event(h.org["alpha"], "group.created"))
			})
		}
		for range 3 + i {
			select {
			case <-came:
			case err := <-ended:
				t.Fatalf("the node ended by itself: %v", err)
			case <-time.After(time.Minute):
				t.Fatalf("kill %d: the node sends nothing more, though not everything was taken", i)
			}
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Fatal("a node that was killed ended well")
		}
	}
	close(free)
	c, _ := node()
	defer c.Process.Kill() //nolint:errcheck // It ends with the test.
	org := string(w.OrgID)
	for tick := time.Tick(100 * time.Millisecond); ; <-tick { // until the node has nothing left to do
		if h.count(`select count(*) from audit_events where org_id = $1 and leaf is null`, org)+h.count(`select count(*) from webhook_retries where org_id = $1`, org) == 0 &&
			h.count(`select cursor from webhooks where org_id = $1 and id = $2`, org, w.ID) == h.count(`select max(leaf) from audit_events where org_id = $1`, org) {
			break
		}
	}
	all, err := db.List(t.Context(), d, db.Value[string], `select id from audit_events where org_id = $1 and leaf > $2`, org, w.Cursor)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "events", len(all) >= events, true)
	lost := slices.DeleteFunc(slices.Clone(all), func(id string) bool { _, was := taken.Load(id); return was })
	expect.Equal(t, "events that were lost", len(lost), 0)
	if extra := len(r.all()) - len(all); extra > kills*(64+8)+100 {
		t.Errorf("%d requests were more than one an event", extra)
	}
}
