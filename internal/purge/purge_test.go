package purge

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// world has two organizations with a row in every table, and a log of 120 sealed events each.
type world struct {
	*db.DB
	clock   *dbtest.Clock
	sealing *secret.Ring
	logs    *audit.Logs
	roots   string
}

const (
	alpha = directory.OrgID("org_alpha")
	beta  = directory.OrgID("org_beta")
)

func start(t *testing.T) *world {
	t.Helper()
	d, clock := dbtest.Open(t)
	w := &world{DB: d, clock: clock, sealing: secret.NewKeys().Sealing, roots: filepath.Join(t.TempDir(), "roots")}
	w.logs = w.node(w.roots)
	for _, org := range []directory.OrgID{alpha, beta} {
		w.does(t, func(ctx context.Context, tx *db.Tx) error {
			all := make([]audit.Event, 120)
			for i := range all {
				all[i] = audit.Event{OrgID: string(org), Actor: audit.System, ActorName: audit.System, Action: "group.created", Target: "grp_" + string(org)}
			}
			return audit.RecordAll(ctx, tx, all)
		})
	}
	w.seal(t)
	for _, org := range []directory.OrgID{alpha, beta} {
		dbtest.Everything(t, d, string(org), "audit_events", "audit_logs", "audit_tiles")
	}
	dbtest.Do(t, d, `update organizations set suspended_at = null`)
	return w
}

func (w *world) node(roots string) *audit.Logs {
	return audit.NewLogs(audit.Settings{Sealing: w.sealing, Host: "x.example", File: roots})
}

func (w *world) does(t *testing.T, do func(context.Context, *db.Tx) error) {
	t.Helper()
	if err := w.Update(t.Context(), func(tx *db.Tx) error { return do(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func (w *world) seal(t *testing.T) {
	t.Helper()
	if err := w.logs.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
}

func (w *world) sweep(t *testing.T) {
	t.Helper()
	if err := (Sweeper{Logs: w.logs, Log: slog.New(slog.DiscardHandler)}).Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
}

// delete suspends an organization and deletes it.
func (w *world) delete(t *testing.T, org directory.OrgID) {
	t.Helper()
	w.does(t, func(ctx context.Context, tx *db.Tx) error {
		if err := directory.Suspend(ctx, tx, directory.Operator(), org); err != nil {
			return err
		}
		return directory.DeleteOrganization(ctx, tx, directory.Operator(), org)
	})
}

// rows returns the rows of every table that have a text, by the table.
func (w *world) rows(t *testing.T, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for table := range dbtest.Columns(t, w.DB) {
		var found []string
		for line := range strings.Lines(dbtest.Dump(t, w.DB, table)) {
			if strings.Contains(line, text) {
				found = append(found, strings.TrimSuffix(line, "\n"))
			}
		}
		if found != nil {
			all[table] = strings.Join(found, "\n")
		}
	}
	return all
}

// remain says where the id or the short name of a removed organization is still found, and why.
var remain = map[string]string{
	"former_short_names": "its names, which nobody may take for 90 days",
	"installation":       "the note that its log ended",
	"audit_events":       "the installation's log: that it was deleted, and removed",

	// Rows of the whole installation, into which dbtest.Everything wrote the id, because they have one.
	"authorization_requests": "of a browser, for an hour: only those of its own applications go with these",
	"bootstraps":             "installation-wide", "browsers": "of nobody: a day after its last session", "changes": "of nodes, for a minute", "federation_keys": "installation-wide",
	"imports": "a file, which may have brought others", "keys": "installation-wide", "limits": "of nobody", "nodes": "of nodes", "leases": "of nodes", "replays": "for 5 minutes",
	"reset_requests": "until a sweep answers, a second later", "used_proofs": "until they are too old", "password_costs": "counts", "audit_seals": "of an older version",
}

// Everything of a deleted organization goes, in every table that the schema has, and nothing of
// its neighbour does.
func TestADeletedOrganizationLeavesNothing(t *testing.T) {
	w := start(t)
	before := w.rows(t, "beta")
	if len(before) < 60 {
		t.Fatalf("the neighbour is in %d tables: this test looks past them", len(before))
	}
	w.delete(t, alpha)
	w.seal(t)
	w.clock.Advance(directory.OrganizationRestorableFor - time.Second)
	w.sweep(t)
	expect.Equal(t, "its people a second before the time", strings.Count(dbtest.Dump(t, w.DB, "users"), string(alpha)) > 0, true)
	w.clock.Advance(time.Second)
	w.sweep(t)
	for table, rows := range w.rows(t, "alpha") {
		if remain[table] == "" {
			t.Errorf("%s still has %s", table, rows)
		}
	}
	after := w.rows(t, "beta")
	for table, was := range before {
		expect.Equal(expect.Case(t, "%s", table), "the neighbour's rows", after[table], was)
	}
	left := w.rows(t, string(alpha))
	expect.Equal(t, "events about it", strings.Count(left["audit_events"], "\n")+1, 2)
	for _, has := range []string{"organization.deleted", "organization.removed", "deleted_at"} {
		expect.Equal(expect.Case(t, "%s", has), "in the installation's log", strings.Contains(left["audit_events"], has), true)
	}
	for _, table := range []string{"organizations", "audit_logs", "clients", "client_secrets", "users"} {
		expect.Equal(expect.Case(t, "%s", table), "rows", left[table], "")
	}
	w.sweep(t) // there is nothing left to do
}

// Its names are nobody else's for a while, and then free.
func TestTheNameOfADeletedOrganizationIsKept(t *testing.T) {
	w := start(t)
	dbtest.Do(t, w.DB, `update organizations set short_name = 'alpha', short_name_key = 'alpha', short_name_skeleton = 'alpha' where id = $1`, string(alpha))
	w.delete(t, alpha)
	w.seal(t)
	w.clock.Advance(directory.OrganizationRestorableFor)
	w.sweep(t)
	again := func() error {
		return w.Update(t.Context(), func(tx *db.Tx) error {
			_, err := directory.CreateOrganization(t.Context(), tx, directory.Operator(), directory.NewOrganization{DisplayName: "Alpha Again", ShortName: "alpha", Language: "en"})
			return err
		})
	}
	if _, err := directory.OrganizationByName(t.Context(), w.DB, "alpha"); err == nil {
		t.Error("its name leads somewhere")
	}
	if err := again(); err == nil {
		t.Error("its name was taken at once")
	}
	w.clock.Advance(directory.FormerShortName)
	if err := again(); err != nil {
		t.Errorf("after 90 days: %v", err)
	}
}

// Every node knows the roots of logs. One that did not remove the log believes the note, and nobody
// else: a log that merely vanished stops it.
func TestNodesForgetALogThatEnded(t *testing.T) {
	w := start(t)
	other := w.node(filepath.Join(t.TempDir(), "other"))
	watch := func(l *audit.Logs) error {
		_, err := l.Watch(t.Context(), w.DB)
		return err
	}
	if err := watch(other); err != nil {
		t.Fatal(err)
	}
	stale, late := filepath.Join(t.TempDir(), "stale"), filepath.Join(t.TempDir(), "late")
	for _, file := range []string{stale, late} {
		if known, err := os.ReadFile(w.roots); err != nil || os.WriteFile(file, known, 0o600) != nil {
			t.Fatal(err)
		}
	}
	w.delete(t, alpha)
	w.seal(t)
	w.clock.Advance(directory.OrganizationRestorableFor)
	w.sweep(t)
	w.seal(t)
	for name, l := range map[string]*audit.Logs{"the node that removed it": w.logs, "it after a restart": w.node(w.roots), "another node": other} {
		if err := watch(l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.node(stale).Check(t.Context(), w.DB); err != nil {
		t.Errorf("a check by what a node knew before: %v", err)
	}
	first, second := w.sealing.Current(), secret.NewKey()
	w.sealing.Take([]secret.Key{second, first})
	w.does(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := audit.ProveEnded(ctx, tx, w.sealing, first.ID)
		return err
	})
	w.sealing.Take([]secret.Key{second})
	if err := watch(w.node(late)); err != nil {
		t.Errorf("a node that was not there while the key was taken out: %v", err)
	}
	dbtest.Do(t, w.DB, `insert into audit_logs (org_id, size, root, edge, first) select 'org_alpha', 1, root, edge, 0 from audit_logs where org_id = ''`)
	if err := watch(w.node(stale)); err != nil {
		t.Errorf("a node that knows the log, after a late event: %v", err)
	}
	third := w.node("")
	if err := watch(third); err != nil {
		t.Fatal(err)
	}
	dbtest.Do(t, w.DB, `delete from audit_events where org_id = $1`, string(beta))
	dbtest.Do(t, w.DB, `delete from audit_logs where org_id = $1`, string(beta))
	dbtest.Do(t, w.DB, `insert into installation (name, value) values ('log ended org_beta', 'key.forged')`)
	if err := watch(third); err == nil {
		t.Error("a log that vanished is believed to have ended")
	}
}

// Half removed, it is removed by the next sweep.
func TestARemovalGoesOnWhereItStopped(t *testing.T) {
	w := start(t)
	w.delete(t, alpha)
	w.seal(t)
	w.clock.Advance(directory.OrganizationRestorableFor)
	tables, err := ofOrganizations(t.Context(), w.DB)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables[:len(tables)/2] {
		w.does(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.RemoveOf(ctx, table, string(alpha), db.Part)
			return err
		})
	}
	if err := w.logs.Remove(t.Context(), w.DB, string(alpha)); err != nil {
		t.Fatal(err)
	}
	w.sweep(t)
	for _, table := range []string{"organizations", "users", "audit_logs"} {
		expect.Equal(expect.Case(t, "%s", table), "rows", strings.Contains(dbtest.Dump(t, w.DB, table), string(alpha)), false)
	}
}

// An event that a stranger caused while the organization was removed goes with it.
func TestALateEventGoesToo(t *testing.T) {
	w := start(t)
	w.delete(t, alpha)
	w.seal(t)
	w.clock.Advance(directory.OrganizationRestorableFor)
	all, err := directory.OrganizationsToRemove(t.Context(), w.DB)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d organizations, %v", len(all), err)
	}
	tables, err := ofOrganizations(t.Context(), w.DB)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.logs.Remove(t.Context(), w.DB, string(alpha)); err != nil {
		t.Fatal(err)
	}
	w.does(t, func(ctx context.Context, tx *db.Tx) error {
		return audit.Record(ctx, tx, audit.Event{OrgID: string(alpha), Actor: audit.Anonymous, Action: "request.refused"})
	})
	w.seal(t)
	if err := finish(t.Context(), w.DB, all[0], tables); err != nil {
		t.Fatal(err)
	}
	for table := range left {
		w.does(t, func(ctx context.Context, tx *db.Tx) error {
			n, err := tx.Count(ctx, table, "org_id = $1", string(alpha))
			expect.Equal(expect.Case(t, "%s", table), "whether it has rows", n > 0, table == "former_short_names")
			return err
		})
	}
}

// A log that somebody wrote to is not removed, and keeps no other organization from it.
func TestOneThatCannotBeRemovedStopsNoOther(t *testing.T) {
	w := start(t)
	for _, org := range []directory.OrgID{alpha, beta} {
		w.delete(t, org)
	}
	w.seal(t)
	w.clock.Advance(directory.OrganizationRestorableFor)
	dbtest.Do(t, w.DB, `update audit_logs set root = 'altered' where org_id = $1`, string(alpha))
	if err := (Sweeper{Logs: w.logs, Log: slog.New(slog.DiscardHandler)}).Sweep(t.Context(), w.DB); !errors.Is(err, audit.ErrAltered) {
		t.Errorf("a log that was altered: %v", err)
	}
	for org, want := range map[directory.OrgID]bool{alpha: true, beta: false} {
		expect.Equal(expect.Case(t, "%s", org), "still there", strings.Contains(dbtest.Dump(t, w.DB, "organizations"), string(org)), want)
	}
}

// Who can only write the database has nothing removed: not by a mark, not by a mark after a restore, not
// by an event of a month ago that the log gets today, nor by a sealed one that is rewritten. The alarm is raised once each.
func TestAMarkWithoutItsEventRemovesNothing(t *testing.T) {
	w := start(t)
	var alarms []string
	w.logs = audit.NewLogs(audit.Settings{Sealing: w.sealing, Host: "x.example", File: w.roots, Alarm: func(_ context.Context, org string) error {
		alarms = append(alarms, org)
		return nil
	}})
	sweep := func() error {
		return (Sweeper{Logs: w.logs, Log: slog.New(slog.DiscardHandler)}).Sweep(t.Context(), w.DB)
	}
	before := w.clock.Now()
	w.clock.Advance(time.Hour)
	w.delete(t, alpha)
	w.clock.Advance(time.Hour)
	w.does(t, func(ctx context.Context, tx *db.Tx) error {
		if err := directory.RestoreOrganization(ctx, tx, directory.Operator(), alpha); err != nil {
			return err
		}
		e := directory.System(beta).Event(beta, "group.created")
		return audit.Record(ctx, tx, e)
	})
	w.clock.Advance(directory.OrganizationRestorableFor)
	w.does(t, func(ctx context.Context, tx *db.Tx) error {
		return audit.Record(ctx, tx, directory.System(beta).Event(beta, "group.created"))
	})
	w.seal(t)
	dbtest.Do(t, w.DB, `update organizations set suspended_at = $1, deleted_at = $1`, db.Time(before))
	for range 2 {
		if err := sweep(); !errors.Is(err, audit.ErrAltered) {
			t.Errorf("a mark alone: %v", err)
		}
	}
	expect.Equal(t, "alarms", strings.Join(alarms, " "), string(alpha)+" "+string(beta))

	alarms = nil
	w.logs = w.node(w.roots)
	w.does(t, func(ctx context.Context, tx *db.Tx) error {
		e := directory.System(beta).Event(beta, "organization.deleted")
		e.Target = string(beta)
		return audit.Record(ctx, tx, e)
	})
	dbtest.Do(t, w.DB, `update audit_events set at = $1 where org_id = $2 and action = 'organization.deleted'`, db.Time(before), string(beta))
	w.seal(t)
	dbtest.Do(t, w.DB, `update audit_events set action = 'organization.deleted' where org_id = $1 and action = 'organization.restored'`, string(alpha))
	if err := sweep(); !errors.Is(err, audit.ErrAltered) {
		t.Errorf("an event that was written for a month ago: %v", err)
	}
	for _, org := range []directory.OrgID{alpha, beta} {
		for _, table := range []string{"organizations", "users", "audit_logs"} {
			expect.Equal(expect.Case(t, "%s of %s", table, org), "still there", strings.Contains(dbtest.Dump(t, w.DB, table), string(org)), true)
		}
	}
}

// A mark that is older than its event waits as long as the event says.
func TestARemovalWaitsForItsEvent(t *testing.T) {
	w := start(t)
	w.delete(t, alpha)
	w.seal(t)
	dbtest.Do(t, w.DB, `update organizations set deleted_at = 1 where id = $1`, string(alpha))
	w.sweep(t)
	expect.Equal(t, "there before its time", strings.Contains(dbtest.Dump(t, w.DB, "organizations"), string(alpha)), true)
	w.clock.Advance(directory.OrganizationRestorableFor)
	w.sweep(t)
	expect.Equal(t, "there after it", strings.Contains(dbtest.Dump(t, w.DB, "organizations"), string(alpha)), false)
}

func TestWhatIsRemovedIsCounted(t *testing.T) {
	w := start(t)
	w.does(t, func(ctx context.Context, tx *db.Tx) error {
		got, err := Of(ctx, tx, alpha)
		want := Contents{People: 1, Groups: 1, Applications: 1, Connections: 1, Domains: 1, Directories: 1, Webhooks: 1, Events: 120}
		expect.Equal(t, "contents", got, want)
		return err
	})
}
