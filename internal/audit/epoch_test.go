package audit_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// loseEvents puts the database back to before it had any log.
func loseEvents(t *testing.T, d *db.DB) {
	t.Helper()
	for _, table := range []string{"audit_events", "audit_logs", "audit_tiles", "audit_checkpoints"} {
		dbtest.Do(t, d, `delete from `+table)
	}
}

func begin(t *testing.T, d *db.DB, l *audit.Logs, keys *secret.Ring) audit.Epoch {
	t.Helper()
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		return l.Begin(t.Context(), tx, keys, audit.Epoch{By: "root@test", AsOf: true})
	}); err != nil {
		t.Fatal(err)
	}
	e, err := audit.EpochOf(t.Context(), d, keys)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A node that knows more than the database says so, also one that only watched, until the database
// begins another epoch; and one that knows nothing says that it cannot tell.
func TestANodeKnowsThatItsDatabaseIsOlder(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	dir := t.TempDir()
	var since time.Time
	node := func(name string) *audit.Logs {
		return audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example", File: filepath.Join(dir, name), Since: since})
	}
	watch := func(l *audit.Logs) bool {
		t.Helper()
		blind, err := l.Watch(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return blind
	}
	expect.Equal(t, "blind before there is anything", watch(node("sealing")), false)
	sealing, watching := node("sealing"), node("watching")
	many(t, d, "org_a", 3)
	many(t, d, "org_b", 1)
	sweep(t, d, sealing)
	expect.Equal(t, "blind at first", watch(watching), true)
	expect.Equal(t, "blind then", watch(watching), false)

	loseEvents(t, d)
	many(t, d, "org_a", 1)
	sweep(t, d, audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example"}))
	for _, l := range []*audit.Logs{sealing, node("sealing"), watching, node("watching")} {
		if _, err := l.Watch(t.Context(), d); !errors.Is(err, audit.ErrOlder) || !errors.Is(err, audit.ErrAltered) {
			t.Errorf("an older database is answered by %v", err)
		}
	}

	clock.Advance(time.Hour)
	e := begin(t, d, node("sealing"), keys)
	var after string
	if _, err := d.One(t.Context(), db.Into(&after), `select after from audit_events where org_id = 'org_a' and action = 'audit.restored'`); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(after, `"size":1`) || !strings.Contains(after, `"lost_size":3`) || !strings.Contains(after, `"by":"root@test"`) {
		t.Errorf("the first leaf says %s", after)
	}
	old := node("sealing") // which does not know of the epoch yet
	if _, err := old.Watch(t.Context(), d); !errors.Is(err, audit.ErrOlder) {
		t.Errorf("without the epoch: %v", err)
	}
	since = e.At
	for _, name := range []string{"sealing", "watching"} {
		l := node(name)
		expect.Equal(t, "blind in the epoch", watch(l), false)
		sweep(t, d, l)
		checked(t, d, l)
	}

	// A copy of the epoch before is older, whatever its size.
	dbtest.Do(t, d, `delete from installation where name = 'epoch'`)
	many(t, d, "org_a", 9)
	since = time.Time{}
	if _, err := node("sealing").Watch(t.Context(), d); !errors.Is(err, audit.ErrOlder) {
		t.Errorf("an earlier epoch is answered by %v", err)
	}
}

// A node that was cut off while the database was restored does not go on with what it knew before.
func TestANodeKnowsThatItRanThroughARestore(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	l := audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example"})
	many(t, d, "org_a", 3)
	sweep(t, d, l)
	if _, err := l.Watch(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	e := begin(t, d, audit.NewLogs(audit.Settings{Sealing: keys}), keys)
	if _, err := l.Watch(t.Context(), d); !errors.Is(err, audit.ErrRestored) {
		t.Errorf("it is answered by %v", err)
	}
	if _, err := audit.NewLogs(audit.Settings{Sealing: keys, Since: e.At}).Watch(t.Context(), d); err != nil {
		t.Errorf("a node that started since is answered by %v", err)
	}
}

// Somebody who can write the database, and has not its keys, begins no epoch.
func TestAnEpochIsProvedByTheKeys(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	begin(t, d, audit.NewLogs(audit.Settings{Sealing: keys}), keys)
	if _, err := audit.EpochOf(t.Context(), d, secret.NewKeys().Sealing); !errors.Is(err, audit.ErrAltered) {
		t.Errorf("under other keys: %v", err)
	}
	if _, err := audit.EpochOf(t.Context(), d, secret.NewRing(append([]secret.Key{secret.NewKey()}, keys.All()...)...)); err != nil {
		t.Errorf("with a later key in front: %v", err)
	}
	dbtest.Do(t, d, `update installation set value = replace(value, 'root@test', 'nobody') where name = 'epoch'`)
	if _, err := audit.EpochOf(t.Context(), d, keys); !errors.Is(err, audit.ErrAltered) {
		t.Errorf("changed: %v", err)
	}
}

// Who goes on after the last event that they had gets everything there is, whatever was lost; and an
// event keeps its sequence over restores.
func TestSequencesGoOnOverRestores(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	logs := func() *audit.Logs { return audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example"}) }
	read := func(after int64) (all []audit.Stored) {
		t.Helper()
		place, err := audit.PlaceOf(t.Context(), d, "org_a", after)
		if err == nil {
			all, err = audit.After(t.Context(), d, "org_a", place, 100)
		}
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	many(t, d, "org_a", 4)
	sweep(t, d, logs())
	before := read(-1)
	expect.Equal(t, "the first sequences", before[3].Sequence, 3)
	const lost = 17 // the reader had it, and the backup has it not
	for range 2 {
		clock.Advance(time.Minute)
		begin(t, d, logs(), keys)
		clock.Advance(time.Second)
		many(t, d, "org_a", 2)
		sweep(t, d, logs())
	}
	all := read(-1)
	expect.Equal(t, "events", len(all), 10)
	for i, e := range all {
		expect.Equal(t, "place", e.Leaf, int64(i))
		if i > 0 && e.Sequence <= all[i-1].Sequence {
			t.Errorf("%d follows %d", e.Sequence, all[i-1].Sequence)
		}
		if place, err := audit.LeafOf(t.Context(), d, "org_a", e.Sequence); err != nil || place != e.Leaf {
			t.Errorf("sequence %d is at %d, want %d (%v)", e.Sequence, place, e.Leaf, err)
		}
		if next := read(e.Sequence); len(next) != len(all)-i-1 {
			t.Errorf("%d events follow %d, want %d", len(next), e.Sequence, len(all)-i-1)
		}
	}
	if next := read(lost); len(next) != 6 || next[0].Action != "audit.restored" {
		t.Errorf("what follows a lost event are %d events", len(next))
	}
	if next := read(all[6].Sequence + lost); len(next) != 3 || next[0].Action != "audit.restored" {
		t.Errorf("what follows an event that the first restore lost are %d events", len(next))
	}
	if _, err := audit.LeafOf(t.Context(), d, "org_a", lost); !errors.Is(err, audit.ErrNoLeaf) {
		t.Errorf("a lost event is at a place (%v)", err)
	}
	if all[9].Sequence >= 1<<53 {
		t.Error("a sequence is more than JSON's numbers hold")
	}
}
