package audit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

func record(t *testing.T, d *db.DB, ctx context.Context, e audit.Event) {
	t.Helper()
	if err := d.Update(ctx, func(tx *db.Tx) error { return audit.Record(ctx, tx, e) }); err != nil {
		t.Fatal(err)
	}
}

func TestINJ3EventComesBackWholeOnOneLine(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	ctx := audit.WithOrigin(t.Context(), audit.Origin{Network: "192.0.2.7", Agent: "Curl\r\n\x1b[31m/8", Request: "req_1"})
	record(t, d, ctx, audit.Event{OrgID: "org_a", Actor: "usr_1", ActorName: "Ada\u202e", Action: "user.renamed", Target: "usr_2", TargetName: "Ben",
		Before: audit.Fields{"name": "Benn"}, After: audit.Fields{"name": "Ben"}})
	page, err := audit.List(ctx, d, audit.Query{OrgID: "org_a"})
	if err != nil || len(page.Events) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	e, found, err := audit.ByID(ctx, d, "org_a", page.Events[0].ID)
	if err != nil || !found {
		t.Fatalf("%v %v", found, err)
	}
	expect.Equal(t, `e.Before["name"]`, e.Before["name"], "Benn")
	expect.Equal(t, `e.After["name"]`, e.After["name"], "Ben")
	expect.Equal(t, "Result", e.Result, audit.Done)
	if !e.At.Equal(dbtest.Start) {
		t.Errorf("came back as %+v", e)
	}
	// INJ-3: what a browser sent can neither break a line nor drive a terminal.
	if e.Origin.Agent != "Curl···[31m/8" || e.ActorName != "Ada·" {
		t.Errorf("agent %q, actor %q", e.Origin.Agent, e.ActorName)
	}
}

func TestNeighbourSeesNothing(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	record(t, d, t.Context(), audit.Event{OrgID: "org_a", Actor: "usr_1", Action: "user.renamed"})
	mine, err := audit.List(t.Context(), d, audit.Query{OrgID: "org_a"})
	if err != nil {
		t.Fatal(err)
	}
	page, err := audit.List(t.Context(), d, audit.Query{OrgID: "org_b"})
	if err != nil || len(page.Events) != 0 {
		t.Errorf("org_b lists %+v (%v)", page, err)
	}
	if _, found, err := audit.ByID(t.Context(), d, "org_b", mine.Events[0].ID); err != nil || found {
		t.Errorf("org_b reads org_a's event (%v)", err)
	}
}

func TestPagesAndSearch(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	for i := range 120 {
		clock.Advance(time.Second)
		record(t, d, t.Context(), audit.Event{OrgID: "org_a", Actor: "usr_1", ActorName: "Ada", Action: "user.invited", TargetName: fmt.Sprintf("Person_%d 100%%", i)})
	}
	seen, q := map[string]bool{}, audit.Query{OrgID: "org_a"}
	for pages := 0; ; pages++ {
		p, err := audit.List(t.Context(), d, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Events {
			seen[e.ID] = true
		}
		if p.Next.ID == "" {
			if pages != 2 {
				t.Errorf("%d full pages before the last, want 2", pages)
			}
			break
		}
		q.Before = p.Next
	}
	if len(seen) != 120 {
		t.Errorf("saw %d events, want each of 120 once", len(seen))
	}
	for search, want := range map[string]int{"person_7 ADA": 1, "PERSON_77": 1, "person%": 0, "100%": 50, "nobody": 0, `\`: 0, "a b c d e": 0} {
		p, err := audit.List(t.Context(), d, audit.Query{OrgID: "org_a", Search: search})
		if search == "person_7 ADA" {
			want = 11 // 7 and 70 to 79
		}
		if err != nil || len(p.Events) != want {
			t.Errorf("%q finds %d (%v), want %d", search, len(p.Events), err, want)
		}
	}
}

func TestRefusedIsListedAlone(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	record(t, d, t.Context(), audit.Event{OrgID: "o", Action: "a.b"})
	record(t, d, t.Context(), audit.Event{OrgID: "o", Action: "a.c", Result: audit.Refused})
	p, err := audit.List(t.Context(), d, audit.Query{OrgID: "o", Result: audit.Refused})
	if err != nil || len(p.Events) != 1 || !strings.HasSuffix(string(p.Events[0].Action), "c") {
		t.Errorf("%+v, %v", p, err)
	}
}
