package purge

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// crowd is how many people the organization of BenchmarkRemoval has, and its neighbour.
const crowd = 100_000

// ofPeople are the tables of which each person has a row there, those first that others name.
var ofPeople = []string{"users", "passwords", "password_history", "totp_seeds", "passkeys", "recovery_codes", "identities", "members", "sessions", "grants", "consents"}

// populate gives each person of an organization a row in the tables of people, all like those that
// dbtest.Everything made, and the organization fifty applications.
func populate(b *testing.B, d *db.DB, org directory.OrgID) {
	b.Helper()
	columns := dbtest.Columns(b, d)
	many := func(table string, n int, own ...string) {
		var names, values []string
		for _, c := range columns[table] {
			value := `"` + c.Name + `"`
			if slices.Contains(own, c.Name) || strings.HasSuffix(c.Name, "_hash") || strings.HasSuffix(c.Name, "_key") {
				value += ` || ' ' || i`
			}
			names, values = append(names, `"`+c.Name+`"`), append(values, value)
		}
		dbtest.Do(b, d, fmt.Sprintf(`with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) insert into %q (%s) select %s from %q, n where org_id = $1`,
			n, table, strings.Join(names, ", "), strings.Join(values, ", "), table), string(org))
	}
	for _, table := range ofPeople {
		many(table, crowd, "id", "user_id", "email", "subject", "set_id", "credential_id")
	}
	many("clients", 50, "id", "name")
}

// BenchmarkRemoval says how long it takes to remove an organization of 100,000 people beside another
// one, and how long a writer waited at most meanwhile, and as long alone.
func BenchmarkRemoval(b *testing.B) {
	d, clock := dbtest.Open(b)
	logs := audit.NewLogs(audit.Settings{Sealing: secret.NewKeys().Sealing, Host: "x.example"})
	ctx := b.Context()
	for _, org := range []directory.OrgID{alpha, beta} {
		dbtest.Everything(b, d, string(org), "audit_events", "audit_logs", "audit_tiles")
		populate(b, d, org)
	}
	dbtest.Do(b, d, `update organizations set suspended_at = null`)
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	for range crowd / 500 {
		must(d.Update(ctx, func(tx *db.Tx) error {
			all := make([]audit.Event, 500)
			for i := range all {
				all[i] = audit.Event{OrgID: string(alpha), Actor: audit.System, ActorName: audit.System, Action: "group.created", Target: "grp_1"}
			}
			return audit.RecordAll(ctx, tx, all)
		}))
	}
	must(d.Update(ctx, func(tx *db.Tx) error {
		if err := directory.Suspend(ctx, tx, directory.Operator(), alpha); err != nil {
			return err
		}
		return directory.DeleteOrganization(ctx, tx, directory.Operator(), alpha)
	}))
	for left := true; left; {
		must(logs.Sweep(ctx, d))
		must(d.View(ctx, func(tx *db.Tx) error {
			n, err := tx.Count(ctx, "audit_events", "leaf is null")
			left = n > 0
			return err
		}))
	}
	clock.Advance(directory.OrganizationRestorableFor)
	var took time.Duration
	for b.Loop() {
		began := time.Now()
		beside := dbtest.LongestWait(b, d, func() error {
			return Sweeper{Logs: logs, Log: slog.New(slog.DiscardHandler)}.Sweep(db.AfterPeople(context.WithoutCancel(ctx)), d)
		})
		took = time.Since(began)
		alone := dbtest.LongestWait(b, d, func() error { time.Sleep(min(took, 20*time.Second)); return nil })
		b.ReportMetric(took.Seconds(), "s-taken")
		b.ReportMetric(float64(beside.Microseconds())/1000, "ms-waited-beside")
		b.ReportMetric(float64(alone.Microseconds())/1000, "ms-waited-alone")
	}
	must(d.View(ctx, func(tx *db.Tx) error {
		for org, want := range map[directory.OrgID]int64{alpha: 0, beta: crowd + 1} {
			if n, err := tx.Count(ctx, "users", "org_id = $1", string(org)); err != nil || n != want {
				return fmt.Errorf("%s has %d people, not %d: %w", org, n, want, err)
			}
		}
		return nil
	}))
}
