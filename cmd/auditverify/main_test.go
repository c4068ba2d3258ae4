package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/secret"
)

// log is a log of 300 sealed events, of which a test alters something.
type log struct {
	t testing.TB
	*audit.Logs
	d     *db.DB
	clock *dbtest.Clock
	keys  *secret.Ring
}

func newLog(t testing.TB, n int) *log {
	d, clock := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	l := &log{t, audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example:8080"}), d, clock, keys}
	l.record(n)
	return l
}

// record records events, a second after another, and seals them.
func (l *log) record(n int) {
	l.t.Helper()
	for i := range n {
		l.clock.Advance(time.Second)
		l.events(i, 1)
	}
	l.seal()
}

// fill records events in one transaction, and seals them.
func (l *log) fill(n int) {
	l.t.Helper()
	l.events(0, n)
	l.seal()
}

func (l *log) seal() {
	l.t.Helper()
	if err := l.Sweep(l.t.Context(), l.d); err != nil {
		l.t.Fatal(err)
	}
}

func (l *log) events(first, n int) {
	l.t.Helper()
	ctx := audit.WithOrigin(l.t.Context(), audit.Origin{Network: "192.0.2.7", Agent: "Lynx", Request: "req_abcdefghij"})
	audit.Admitted(ctx, audit.Admission{Actor: "usr_1", Session: "ses_1", Method: "pwd"})
	err := l.d.Update(ctx, func(tx *db.Tx) error {
		for i := first; i < first+n; i++ {
			e := audit.Event{OrgID: "org_a", Actor: "usr_1", ActorName: "Ada \u2028 <é> \"\\", Action: "user.renamed", Target: "usr_2", TargetName: fmt.Sprintf("P%d", i)}
			if i%2 == 0 {
				e.Action, e.Actor, e.Before, e.After = "user.created", audit.Operator, audit.Fields{"name": "a\tb\x01"}, audit.Fields{"name": []string{"<b>&"}}
			}
			if err := audit.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// export returns the lines of an export.
func (l *log) export(q audit.Query) []string {
	l.t.Helper()
	var b bytes.Buffer
	q.OrgID = "org_a"
	if err := l.Export(l.t.Context(), l.d, audit.Export{Query: q, Into: &b, Again: func(context.Context, db.Reader) error { return nil }}); err != nil {
		l.t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func (l *log) checkpoint() audit.Checkpoint {
	l.t.Helper()
	c, err := l.Checkpoint(l.t.Context(), l.d, "org_a")
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// says returns what the program says of a file, with or without an old checkpoint.
func says(t *testing.T, key, since string, lines ...string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{"export.jsonl": strings.TrimSuffix(strings.Join(lines, ""), "\n") + "\n", "old": since} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := ""
	if since != "" {
		old = filepath.Join(folder, "old")
	}
	said, err := run(keys{now: key}, old, filepath.Join(folder, "export.jsonl"))
	if err != nil {
		return err.Error()
	}
	return said
}

func want(t *testing.T, about, got, begins string) {
	t.Helper()
	if !strings.HasPrefix(got, begins) {
		t.Errorf("%s: it says %q, want %q", about, got, begins)
	}
}

func TestAnExportVerifies(t *testing.T) {
	t.Parallel()
	l := newLog(t, 300)
	key := l.checkpoint().Key
	want(t, "all", says(t, key, "", l.export(audit.Query{})...), "all there, nothing changed: 300 events up to 299, of 300 in id.example:8080/audit/org_a; personal data of 0")
	for name, c := range map[string]struct {
		q    audit.Query
		want string
	}{
		"a time":          {audit.Query{From: dbtest.Start.Add(100 * time.Second), Until: dbtest.Start.Add(200 * time.Second)}, "all there, nothing changed: 100 events up to 198, of 300"},
		"from a time on":  {audit.Query{From: dbtest.Start.Add(258 * time.Second)}, "all there, nothing changed: 43 events up to 299, of 300"},
		"up to a time":    {audit.Query{Until: dbtest.Start.Add(2 * time.Second)}, "all there, nothing changed: 1 events up to 0, of 300"},
		"a time to come":  {audit.Query{From: dbtest.Start.Add(time.Hour)}, "all there, nothing changed: 0 events up to 0, of 300"},
		"a time long ago": {audit.Query{Until: dbtest.Start}, "all there, nothing changed: 0 events"},
		"an action":       {audit.Query{Action: "user.renamed"}, "nothing changed (the export was filtered: it cannot show that nothing is missing): 150 events up to 299, of 300"},
		"an actor":        {audit.Query{Actor: "usr_1", From: dbtest.Start.Add(290 * time.Second)}, "nothing changed (the export was filtered"},
		"a target":        {audit.Query{Target: "usr_3"}, "all there, nothing changed: 0 events"},
		"a search":        {audit.Query{Search: "p299"}, "all there, nothing changed: 1 events up to 299"},
	} {
		want(t, name, says(t, key, "", l.export(c.q)...), c.want)
	}
	empty := newLog(t, 0)
	want(t, "an empty log", says(t, empty.checkpoint().Key, "", empty.export(audit.Query{})...), "all there, nothing changed: 0 events")
}

// The database was altered, and then exported.
func TestWhatWasAlteredInTheDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statement, want string }{
		"a name":                   {`update audit_events set actor_name = 'Eve' where leaf = 7`, "line 9: event 7 (evt_"},
		"a value":                  {`update audit_events set after = '{"name":"x"}' where leaf = 6`, "line 8: event 6 (evt_"},
		"a value that is no JSON":  {`update audit_events set after = '{' where leaf = 6`, "line 8: event 6 (evt_"},
		"a column of the leaf":     {`update audit_events set result = 'refused' where leaf = 7`, "line 9: event 7 (evt_"},
		"the hash of a half":       {`update audit_events set by_hash = of_hash where leaf = 7`, "line 9: event 7 (evt_"},
		"a name left behind":       {`update audit_events set of_salt = '' where leaf = 7`, "all there"}, // the export has nothing of an erased half
		"deleted":                  {`delete from audit_events where leaf = 7`, "line 9: event 7 is missing here: this is for 8"},
		"the first deleted":        {`delete from audit_events where leaf < 2`, "line 2: event 0 is missing here: this is for 2"},
		"cut off":                  {`delete from audit_events where leaf > 297`, "line 300: event 298 is missing here: this is for 300"},
		"swapped":                  {`update audit_events set leaf = -leaf where leaf in (7, 8); update audit_events set leaf = 15 + leaf where leaf < 0`, "line 9: event 7 "},
		"a tile":                   {`update audit_tiles set hashes = substr(hashes, 45, 44) || substr(hashes, 45) where level = 0 and n = 0`, "line 2: event 0 "},
		"the tile above":           {`update audit_tiles set hashes = (select substr(i.hashes, 1, 44) from audit_tiles i where i.level = 0 and i.n = 0) where level = 1`, "line 257: events 0 to 255 "},
		"another log's checkpoint": {`update audit_checkpoints set org_id = org_id`, "all there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, 300)
			key := l.checkpoint().Key
			for statement := range strings.SplitSeq(c.statement, "; ") {
				dbtest.Do(t, l.d, statement)
			}
			want(t, name, says(t, key, "", l.export(audit.Query{})...), c.want)
		})
	}
}

// The file was altered.
func TestWhatWasAlteredInTheFileIsNamed(t *testing.T) {
	t.Parallel()
	l := newLog(t, 300)
	c := l.checkpoint()
	whole := l.export(audit.Query{})
	filtered := l.export(audit.Query{Action: "user.renamed"})
	other := newLog(t, 300)
	with := func(lines []string, change func([]string) []string) []string {
		return change(append([]string(nil), lines...))
	}
	for name, alter := range map[string]struct {
		lines []string
		want  string
	}{
		"swapped":            {with(whole, func(l []string) []string { l[9], l[10] = l[10], l[9]; return l }), "line 10: event 8 is missing here: this is for 9"},
		"deleted":            {with(whole, func(l []string) []string { return append(l[:9], l[10:]...) }), "line 10: event 8 is missing here: this is for 9"},
		"without the end":    {whole[:300], "line 301: the file is cut off"},
		"cut in a line":      {with(whole, func(l []string) []string { l[299] = l[299][:40]; return l[:300] }), "line 300: it cannot be read"},
		"with a line more":   {append(append([]string(nil), whole...), "\n", whole[3]), "line 303: it is before the beginning or behind the end"},
		"only the end":       {whole[301:], "line 1: it is before the beginning"},
		"empty":              {nil, "line 1: it cannot be read"},
		"a whole tile":       {with(whole, func(l []string) []string { l[5] = other.export(audit.Query{})[5]; return l }), "line 257: events 0 to 255 are not the ones that were sealed together"},
		"another's line":     {with(whole, func(l []string) []string { l[280] = other.export(audit.Query{})[280]; return l }), "line 301: the 300 events up to here are not the ones of the checkpoint"},
		"another's":          {other.export(audit.Query{}), "line 1: the key did not sign the checkpoint"},
		"fewer by its end":   {with(whole, func(l []string) []string { l[301] = `{"end":{"events":299}}`; return l }), "line 302: the export had 299 events, and 300 are here"},
		"a line of a filter": {with(filtered, func(l []string) []string { return append(l[:4], l[5:]...) }), "line 5: event 3 is missing here: this is for 4"},
		"a gap too long":     {with(filtered, func(l []string) []string { l[1] = strings.Replace(l[1], `"to":1`, `"to":2`, 1); return l }), "line 3: event 2 is missing here"},
		"a gap endless": {with(filtered, func(l []string) []string {
			l[1] = strings.Replace(l[1], `"to":1`, `"to":9223372036854775807`, 1)
			return l
		}), "line 2: its hashes do not fill it"},
	} {
		want(t, name, says(t, c.Key, "", alter.lines...), alter.want)
	}
	want(t, "no key", says(t, "x", "", whole...), "-key: ")
	for _, member := range []string{"action", "actor", "at", "by", "id", "kind", "of", "organization", "request", "result", "target", "version", "network", "agent", "session", "method", "region", "by_salt", "of_salt", "actor_name", "target_name", "before", "after", "hash"} {
		altered := append([]string(nil), whole...)
		altered[1] = strings.Replace(altered[1], `"`+member+`":`, `"`+member+`":"x","was":`, 1)
		want(t, member, says(t, c.Key, "", altered...), "line 2: event 0 ")
	}
}

func TestAnOldCheckpointIsTheBeginningOfTheNewOne(t *testing.T) {
	t.Parallel()
	l := newLog(t, 130)
	old := l.checkpoint()
	l.record(170)
	want(t, "grown", says(t, old.Key, old.Note, l.export(audit.Query{})...), "all there, nothing changed: 300 events up to 299, of 300 in id.example:8080/audit/org_a; personal data of 0 was erased; it has grown out of the old checkpoint of 130")
	want(t, "copied without its last line break", says(t, old.Key, strings.TrimSpace(old.Note), l.export(audit.Query{})...), "all there")
	want(t, "the same", says(t, old.Key, l.checkpoint().Note, l.export(audit.Query{})...), "all there")
	want(t, "a part from behind it", says(t, old.Key, old.Note, l.export(audit.Query{From: l.clock.Now()})...), "line 4: the old checkpoint of 130 is not comparable")
	other := newLog(t, 130)
	want(t, "another's", says(t, old.Key, other.checkpoint().Note, l.export(audit.Query{})...), "-since: the key did not sign")

	// Somebody with the database and the key made the tree again, without one event: its own node
	// does not sign that, and another one that knows nothing does.
	for _, forge := range []string{`delete from audit_events where leaf = 7`, `update audit_events set leaf = null`, `delete from audit_logs`, `delete from audit_tiles`} {
		dbtest.Do(t, l.d, forge)
	}
	forger := &log{t, audit.NewLogs(audit.Settings{Sealing: l.keys, Host: "id.example:8080"}), l.d, l.clock, l.keys}
	forger.record(1)
	want(t, "made again", says(t, forger.checkpoint().Key, old.Note, forger.export(audit.Query{})...), "line ")
}

// After a restore the log has another name and key, and its tree goes on: an old checkpoint of what
// was restored still fits, and one of what was lost says so.
func TestALogThatWasRestored(t *testing.T) {
	l := newLog(t, 9)
	kept := l.checkpoint()
	l.record(4)
	lost := l.checkpoint()
	for _, cut := range []string{
		`delete from audit_events where leaf >= 9`, `delete from audit_logs`, `delete from audit_tiles`, `update audit_events set leaf = null`, `delete from audit_checkpoints`,
	} {
		dbtest.Do(t, l.d, cut) // as the backup had it
	}
	l.Logs = audit.NewLogs(audit.Settings{Sealing: l.keys, Host: "id.example:8080"})
	l.seal()
	l.restored()
	l.record(6)
	now := l.checkpoint()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	export := write("export.jsonl", strings.Join(l.export(audit.Query{}), "")+"\n")
	for name, c := range map[string]struct {
		keys  keys
		since string
		says  string
	}{
		"alone":                   {keys{now: now.Key}, "", "all there, nothing changed: 16 events up to 15, of 16 in id.example:8080/audit/org_a/2026"},
		"says that it was":        {keys{now: now.Key}, "", "it was restored from a backup, at event 9"},
		"since what was kept":     {keys{now.Key, kept.Key}, kept.Note, "it has grown out of the old checkpoint of 9"},
		"since what was lost":     {keys{now.Key, kept.Key}, lost.Note, "from a backup that had 9 events, and had 13 at the old checkpoint: what came between was lost"},
		"since now":               {keys{now: now.Key}, now.Note, "it has grown out of the old checkpoint of 16"},
		"with the old key alone":  {keys{now: kept.Key}, "", "the key did not sign the checkpoint"},
		"without the old key":     {keys{now: now.Key}, kept.Note, "the key did not sign the checkpoint"},
		"with a key that is none": {keys{now.Key, "x"}, kept.Note, "-since-key"},
	} {
		since := ""
		if c.since != "" {
			since = write("since", c.since)
		}
		said, err := run(c.keys, since, export)
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s: %q, want %q", name, said, c.says)
		}
	}

	l.restored() // once more, and nothing was lost
	l.record(2)
	later := l.checkpoint()
	export = write("later.jsonl", strings.Join(l.export(audit.Query{}), "")+"\n")
	said, err := run(keys{later.Key, now.Key}, write("since", now.Note), export)
	if err != nil || !strings.Contains(said, "it has grown out of the old checkpoint of 16") {
		t.Errorf("between two restores: %q, %v", said, err)
	}
}

// restored begins an epoch, as a restore does.
func (l *log) restored() {
	l.t.Helper()
	l.clock.Advance(time.Second)
	if err := l.d.Update(l.t.Context(), func(tx *db.Tx) error {
		return l.Begin(l.t.Context(), tx, l.keys, audit.Epoch{By: "root@test"})
	}); err != nil {
		l.t.Fatal(err)
	}
	e, err := audit.EpochOf(l.t.Context(), l.d, l.keys)
	if err != nil {
		l.t.Fatal(err)
	}
	l.Logs = audit.NewLogs(audit.Settings{Sealing: l.keys, Host: "id.example:8080", Since: e.At})
}
