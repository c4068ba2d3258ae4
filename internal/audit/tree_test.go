package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

func newLogs() *audit.Logs {
	return audit.NewLogs(audit.Settings{Sealing: secret.NewKeys().Sealing, Host: "id.example"})
}

// many records events in an organization's log, in one transaction.
func many(t testing.TB, d *db.DB, org string, n int) {
	t.Helper()
	err := d.Update(t.Context(), func(tx *db.Tx) error {
		for i := range n {
			e := audit.Event{OrgID: org, Actor: "usr_1", ActorName: "Ada", Action: "user.renamed", Target: "usr_2", TargetName: fmt.Sprintf("P%d", i), After: audit.Fields{"name": "Ben\u2028 <b>"}}
			if err := audit.Record(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checked(t *testing.T, d *db.DB, l *audit.Logs) audit.Checked {
	t.Helper()
	done, err := l.Check(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// A tree grows the same whatever the sweeps were, over the limits of tiles, beside others.
func TestTreesGrowOverTiles(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := newLogs()
	for _, n := range []int{1, 2, 252, 1, 1, 700, 5200, 3} {
		many(t, d, "org_a", n)
		many(t, d, "", 1)
		sweep(t, d, l)
		sweep(t, d, l)
	}
	expect.Equal(t, "found right", checked(t, d, l), audit.Checked{Logs: 2, Events: 6168})
	c, err := l.Checkpoint(t.Context(), d, "org_a")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "name of the key", verifier.Name(), "id.example/audit/org_a")
	opened, err := note.Open([]byte(c.Note), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(opened.Text, "\n")
	expect.Equal(t, "origin and size", lines[0]+" "+lines[1], "id.example/audit/org_a 6160")
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		t.Fatal(err)
	}
	// Both proofs are those of RFC 6962, as the library checks them.
	p, err := l.Prove(t.Context(), d, "org_a", 5000)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckRecord(p.Hashes, 6160, root, 5000, leafAt(t, d, "org_a", 5000)); err != nil {
		t.Errorf("an event of the tree: %v", err)
	}
	if _, err := l.Prove(t.Context(), d, "org_a", 6160); !errors.Is(err, audit.ErrNoLeaf) {
		t.Errorf("an event that is not there is proved (%v)", err)
	}
	old := c
	many(t, d, "org_a", 300)
	sweep(t, d, l)
	since, err := l.ProveSince(t.Context(), d, "org_a", old.Size)
	if err != nil {
		t.Fatal(err)
	}
	opened, err = note.Open([]byte(since.Note), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	grown, err := tlog.ParseHash(strings.Split(opened.Text, "\n")[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(since.Hashes, 6460, grown, 6160, root); err != nil {
		t.Errorf("the tree of the checkpoint is not the beginning of the next: %v", err)
	}
}

// Everybody who writes waits for the transaction that seals, so the first seals few, and none more than
// four times as many, in the order in which they would be sealed at once.
func TestEventsAreSealedInParts(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := newLogs()
	for range 3 {
		many(t, d, "org_a", 4*db.Part)
		many(t, d, "org_b", 40)
		clock.Advance(time.Millisecond)
	}
	many(t, d, "", 30) // 750 in all: 50, 100 and three times 200
	commits := 0
	d.Sent = func(text string, _ []any) {
		if text == "commit" {
			commits++
		}
	}
	sweep(t, d, l)
	expect.Equal(t, "transactions for 750 events", commits, 5)
	sweep(t, d, l)
	expect.Equal(t, "transactions for none", commits, 5)
	expect.Equal(t, "found right", checked(t, d, l), audit.Checked{Logs: 3, Events: 750})
	var wrong int
	if _, err := d.One(t.Context(), db.Into(&wrong), `
		select count(*) from audit_events a
		join audit_events b on b.org_id = a.org_id and b.leaf = a.leaf + 1
		where b.at < a.at or b.at = a.at and b.id < a.id`); err != nil || wrong != 0 {
		t.Errorf("%d events stand before an older one (%v)", wrong, err)
	}
	c, err := l.Checkpoint(t.Context(), d, "org_a")
	if err != nil || c.Size != 12*db.Part {
		t.Errorf("the checkpoint is of %d events (%v)", c.Size, err)
	}
}

// leafAt reads the hash of an event as a tile has it.
func leafAt(t *testing.T, d *db.DB, org string, place int) tlog.Hash {
	t.Helper()
	var text string
	if _, err := d.One(t.Context(), db.Into(&text), `select hashes from audit_tiles where org_id = $1 and level = 0 and n = $2`, org, place/256); err != nil {
		t.Fatal(err)
	}
	h, err := tlog.ParseHash(text[place%256*44 : place%256*44+44])
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEveryTamperingIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statement, want string }{
		"an event removed":          {`delete from audit_events where leaf = 3`, "event 3 is missing"},
		"an actor's name altered":   {`update audit_events set actor_name = 'Mallory' where leaf = 3`, "event 3 "},
		"values altered":            {`update audit_events set after = '{}' where leaf = 3`, "event 3 "},
		"the action altered":        {`update audit_events set action = 'user.created' where leaf = 3`, "event 3 "},
		"the time altered":          {`update audit_events set at = at + 1 where leaf = 3`, "event 3 "},
		"the network erased alone":  {`update audit_events set by_salt = '' where leaf = 3`, "event 3 "},
		"events swapped":            {`update audit_events set leaf = case leaf when 3 then 1000004 else 1000003 end where leaf in (3, 4)`, "event 3 is missing"},
		"the end cut off":           {`delete from audit_events where leaf >= 290`, "event 290 is missing"},
		"a hash in a tile":          {`update audit_tiles set hashes = substr(hashes, 1, 44) || hashes where n = 0 and level = 0`, "do not fit"},
		"the tile above":            {`update audit_tiles set hashes = (select substr(i.hashes, 1, 44) from audit_tiles i where i.level = 0 and i.n = 0) where level = 1`, "events 0 to 255 do not fit"},
		"a tile removed":            {`delete from audit_tiles where level = 0 and n = 1`, "tile 1 of level 0"},
		"the root":                  {`update audit_logs set root = 'x'`, "does not fit its root"},
		"the size":                  {`update audit_logs set size = 299`, "does not fit its root"},
		"the log removed":           {`delete from audit_logs`, "this node knows 300"},
		"the key":                   {`update audit_keys set seed = 'x.y'`, "its key cannot be opened"},
		"the checkpoint's size":     {`update audit_checkpoints set size = 299`, "is of something else"},
		"the checkpoint's text":     {`update audit_checkpoints set note = replace(note, '300', '299')`, "is not signed"},
		"an event slipped in later": {`update audit_events set leaf = null where leaf = 299`, "event 299 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _ := dbtest.Open(t)
			l := newLogs()
			many(t, d, "org_a", 300)
			sweep(t, d, l)
			if err := l.SweepCheckpoints(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			expect.Equal(t, "found right before", checked(t, d, l), audit.Checked{Logs: 1, Events: 300})
			dbtest.Do(t, d, c.statement)
			if strings.Contains(c.statement, "1000003") {
				dbtest.Do(t, d, `update audit_events set leaf = leaf - 1000000 where leaf > 1000000`)
				c.want = "event 3 "
			}
			if _, err := l.Check(t.Context(), d); !errors.Is(err, audit.ErrAltered) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found %v, want %q", err, c.want)
			}
		})
	}
}

// Somebody who has the database, and even every key, makes a whole new tree; the node that sealed the
// other one finds out, seals nothing more there, and goes on with the neighbours.
func TestTheDatabaseCannotLieToItsOwnServer(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	file := filepath.Join(t.TempDir(), "audit-roots")
	node := func() *audit.Logs {
		return audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example", File: file})
	}
	l := node()
	many(t, d, "org_a", 300)
	many(t, d, "org_b", 3)
	sweep(t, d, l)

	other := audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example"})
	many(t, d, "org_a", 5)
	sweep(t, d, other)
	many(t, d, "org_a", 1)
	sweep(t, d, l) // it grew out of what this node knows

	for _, forge := range []string{
		`update audit_events set leaf = null, target_name = 'forged', of_salt = 'c', of_hash = 'd' where org_id = 'org_a' and leaf = 7`,
		`update audit_events set leaf = null where org_id = 'org_a'`,
		`delete from audit_logs where org_id = 'org_a'`, `delete from audit_tiles where org_id = 'org_a'`,
	} {
		dbtest.Do(t, d, forge)
	}
	sweep(t, d, audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example"})) // which knows nothing
	many(t, d, "org_a", 1)
	many(t, d, "org_b", 1)
	for _, l := range []*audit.Logs{l, node()} { // and after a restart
		for range 2 {
			if err := l.Sweep(t.Context(), d); !errors.Is(err, audit.ErrAltered) || !strings.Contains(err.Error(), "org_a") {
				t.Errorf("sealed, with %v", err)
			}
		}
	}
	for org, want := range map[string]int64{"org_a": 306, "org_b": 4} {
		var size int64
		if _, err := d.One(t.Context(), db.Into(&size), `select size from audit_logs where org_id = $1`, org); err != nil || size != want {
			t.Errorf("%s has %d sealed events, want %d (%v)", org, size, want, err)
		}
	}
	if _, err := l.Checkpoint(t.Context(), d, "org_a"); !errors.Is(err, audit.ErrAltered) {
		t.Errorf("what was forged is signed (%v)", err)
	}
	if err := os.Remove(file); err != nil { // a node that knows nothing believes it
		t.Fatal(err)
	}
	sweep(t, d, node())
}

// The file does not grow without end, and a line that was cut does no harm.
func TestTheFileOfRootsStaysSmall(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	file := filepath.Join(t.TempDir(), "audit-roots")
	node := func() *audit.Logs { return audit.NewLogs(audit.Settings{Sealing: keys, File: file}) }
	l := node()
	many(t, d, "org_a", 1)
	sweep(t, d, l)
	line, err := os.ReadFile(file)
	if err == nil { // as after a thousand sweeps
		err = os.WriteFile(file, bytes.Repeat(line, 990), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	l = node()
	for i := range 30 {
		many(t, d, "org_a", 1)
		sweep(t, d, l)
		if i == 5 {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("\"org_")
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			l = node()
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(content), "\n"); lines > 150 {
		t.Errorf("%d lines for one log", lines)
	}
	expect.Equal(t, "found right", checked(t, d, node()).Events, 31)
}

// A checkpoint is kept for each hour in which something was sealed, and the newest of all.
func TestCheckpointsOfEachHourAreKept(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := newLogs()
	for range 3 {
		for range 2 {
			many(t, d, "org_a", 1)
			sweep(t, d, l)
			if err := errors.Join(l.SweepCheckpoints(t.Context(), d), l.SweepCheckpoints(t.Context(), d)); err != nil {
				t.Fatal(err)
			}
			clock.Advance(10 * time.Minute)
		}
		clock.Advance(time.Hour)
	}
	expect.Equal(t, "lines with the origin", strings.Count(dbtest.Dump(t, d, "audit_checkpoints"), "id.example/audit/org_a\n"), 3)
}

// An older version left a chain of seals: it is checked a last time, and its events become leaves.
func TestEventsFromBeforeTheTreesAreSealed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tamper string
		result audit.Result
	}{
		"as it was":          {`select 1`, audit.Done},
		"with one event":     {`update audit_events set actor_name = 'Mallory' where target_name = 'P3'`, audit.Refused},
		"without a seal":     {`delete from audit_seals where seq = 1`, audit.Refused},
		"with another order": {`update audit_events set seal = 3 - seal where seal < 3`, audit.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _ := dbtest.Open(t)
			keys := secret.NewKeys().Sealing
			many(t, d, "org_a", 7)
			dbtest.Do(t, d, `update audit_events set by_salt = '', by_hash = '', of_salt = '', of_hash = ''`)
			audit.SealAsBefore(t, d, keys, 3)
			dbtest.Do(t, d, c.tamper)
			l := audit.NewLogs(audit.Settings{Sealing: secret.NewRing(append([]secret.Key{secret.NewKey()}, keys.All()...)...), Host: "id.example"}) // its key was replaced since
			sweep(t, d, l)
			sweep(t, d, l)
			expect.Equal(t, "seals left", dbtest.Dump(t, d, "audit_seals"), "")
			expect.Equal(t, "found right", checked(t, d, l), audit.Checked{Logs: 2, Events: 8})
			p, err := audit.List(t.Context(), d, audit.Query{Action: "audit.chain_ended"})
			if err != nil || len(p.Events) != 1 || p.Events[0].Result != c.result {
				t.Errorf("the installation's log says %+v (%v)", p.Events, err)
			}
		})
	}
}
