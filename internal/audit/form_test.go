package audit_test

import (
	"testing"

	"parvis/internal/audit"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// What somebody proved is in their events alone, and an altered session shows.
func TestWhatAnActorProvedIsInTheirEvents(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	ctx := audit.WithOrigin(t.Context(), audit.Origin{Network: "192.0.2.7", Request: "req_1"})
	audit.Admitted(ctx, audit.Admission{Actor: "usr_1", Session: "ses_1", Method: "pwd"})
	audit.Admitted(ctx, audit.Admission{Actor: "usr_1", Method: "hwk"}) // proved again in the same session
	for _, actor := range []string{"usr_1", "usr_2", audit.System, audit.Operator} {
		record(t, d, ctx, audit.Event{OrgID: "org_a", Actor: actor, Action: "user.created"})
	}
	record(t, d, t.Context(), audit.Event{OrgID: "org_a", Actor: audit.Operator, Action: "user.deleted"})
	page, err := audit.List(t.Context(), d, audit.Query{OrgID: "org_a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		want := map[string]string{"usr_1": "ses_1 hwk"}[e.Actor]
		if e.Action == "user.deleted" {
			want = " " + audit.ByCommandLine
		}
		if got := e.Session + " " + e.Method; got != want && got != " "+want {
			t.Errorf("%s of %s has %q, want %q", e.Action, e.Actor, got, want)
		}
	}
	logs := audit.NewLogs(audit.Settings{Sealing: secret.NewKeys().Sealing, Host: "parvis.test"})
	if err := logs.Sweep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	checked, err := logs.Check(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "events", checked.Events, 5)
	for _, column := range []string{"session", "method", "region"} {
		dbtest.Do(t, d, `update audit_events set `+column+` = 'x' where org_id = 'org_a' and actor = 'usr_2'`)
		if _, err := logs.Check(t.Context(), d); err == nil {
			t.Errorf("nobody sees that the %s was altered", column)
		}
		dbtest.Do(t, d, `update audit_events set `+column+` = '' where org_id = 'org_a' and actor = 'usr_2'`)
	}
}
