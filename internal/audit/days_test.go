package audit_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

// counted returns what an organization's days have, a line for each count.
func counted(t *testing.T, d *db.DB, org string) (lines []string) {
	t.Helper()
	all, err := audit.Days(t.Context(), d, org, time.UnixMicro(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d", c.Day.Format(time.DateOnly), c.Action, c.Result, c.About, c.Events))
	}
	return lines
}

func signedIn(method string) audit.Event {
	return audit.Event{OrgID: "org_a", Action: audit.SignedIn, After: audit.Fields{"method": method}}
}

func refused(org, method string) audit.Event {
	return audit.Event{OrgID: org, Action: audit.SignInRefused, Result: audit.Refused, After: audit.Fields{"method": method}}
}

func sweep(t *testing.T, d *db.DB, s *audit.Logs) {
	t.Helper()
	if err := s.Sweep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func TestSealedEventsAreCountedByWayAndResult(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	seals := newLogs()
	for _, e := range []audit.Event{
		signedIn("password"), signedIn("password"), signedIn("passkey"), signedIn("federated"), signedIn("invitation"), signedIn("reset"),
		{OrgID: "org_a", Action: audit.SignedIn},
		refused("org_a", "password"), refused("org_a", "app"), refused("org_a", "recovery"), refused("org_a", "verified_passkey"), refused("org_a", "federated"),
		refused("", "password"), refused("org_b", "password"),
		{OrgID: "org_a", Action: audit.Opened, Target: "app_books"},
		{OrgID: "org_a", Action: audit.Opened, Target: "app_books", Result: audit.Refused},
		{OrgID: "org_a", Action: "signin.proved_again", After: audit.Fields{"methods": "pwd"}},
		{OrgID: "org_a", Action: audit.Accepted, Target: "inv_1"}, {OrgID: "org_a", Action: audit.Accepted, Target: "inv_2"},
		{OrgID: "org_a", Action: "user.deactivated"},
	} {
		record(t, d, t.Context(), e)
	}
	if got := counted(t, d, "org_a"); len(got) > 0 {
		t.Errorf("counted before it was sealed: %q", got)
	}
	sweep(t, d, seals)
	sweep(t, d, seals)
	day := dbtest.Start.UTC().Format(time.DateOnly) + " "
	expect.Equal(t, "counts of the organization", fmt.Sprint(counted(t, d, "org_a")), fmt.Sprint([]string{
		day + "application.opened done app_books 1",
		day + "application.opened refused app_books 1",
		day + "invitation.accepted done  2",
		day + "signin.done done federated 1",
		day + "signin.done done invitation 1",
		day + "signin.done done other 1",
		day + "signin.done done passkey 1",
		day + "signin.done done password 2",
		day + "signin.done done reset 1",
		day + "signin.refused refused federated 1",
		day + "signin.refused refused passkey 1",
		day + "signin.refused refused password 1",
		day + "signin.refused refused second_step 2",
	}))
	expect.Equal(t, "counts of what names no organization", fmt.Sprint(counted(t, d, "")), fmt.Sprint([]string{day + "signin.refused refused password 1"}))
	expect.Equal(t, "counts of the neighbour", len(counted(t, d, "org_b")), 1)
}

// What cannot be read is counted as some other way, and the log is sealed all the same.
func TestFieldsThatCannotBeReadDoNotStopTheSeals(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	record(t, d, t.Context(), audit.Event{OrgID: "org_a", Action: audit.SignedIn, After: audit.Fields{"method": []string{"password"}}})
	sweep(t, d, newLogs())
	expect.Equal(t, "counts", fmt.Sprint(counted(t, d, "org_a")), fmt.Sprint([]string{dbtest.Start.UTC().Format(time.DateOnly) + " signin.done done other 1"}))
}

func TestDaysBeginAtMidnightInUTC(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	midnight := db.Day(dbtest.Start).AddDate(0, 0, 1)
	clock.Advance(midnight.Add(-time.Microsecond).Sub(clock.Now()))
	record(t, d, t.Context(), signedIn("password"))
	clock.Advance(time.Microsecond)
	record(t, d, t.Context(), signedIn("password"))
	record(t, d, t.Context(), signedIn("password"))
	sweep(t, d, newLogs())
	expect.Equal(t, "counts", fmt.Sprint(counted(t, d, "org_a")), fmt.Sprint([]string{
		dbtest.Start.UTC().Format(time.DateOnly) + " signin.done done password 1",
		midnight.Format(time.DateOnly) + " signin.done done password 2",
	}))
}

// A node that dies while it counts has sealed nothing, and the next one counts the same events.
func TestWhatIsNotCountedIsNotSealed(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	seals := newLogs()
	for range 3 {
		record(t, d, t.Context(), signedIn("password"))
	}
	alter := func(statement string) {
		t.Helper()
		if err := d.Exec(t.Context(), func(func(...any) error) error { return nil }, statement); err != nil {
			t.Fatal(err)
		}
	}
	alter(`alter table audit_tiles rename column hashes to hashes_then`) // fails after the numbering
	if err := seals.Sweep(t.Context(), d); err == nil {
		t.Fatal("sealed although the seal could not be stored")
	}
	alter(`alter table audit_tiles rename column hashes_then to hashes`)
	if got := counted(t, d, "org_a"); len(got) > 0 {
		t.Errorf("counted although nothing was sealed: %q", got)
	}
	alter(`alter table audit_days rename to audit_days_away`)
	if err := seals.Sweep(t.Context(), d); err == nil {
		t.Fatal("counted without a table of counts")
	}
	alter(`alter table audit_days_away rename to audit_days`)
	if done, err := seals.Check(t.Context(), d); done.Events != 0 || err != nil {
		t.Errorf("%d sealed although nothing was counted (%v)", done.Events, err)
	}
	sweep(t, d, seals)
	expect.Equal(t, "count", counted(t, d, "org_a")[0], dbtest.Start.UTC().Format(time.DateOnly)+" signin.done done password 3")
}

func TestSeveralNodesCountEachEventOnce(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	const each = 25
	var nodes, people sync.WaitGroup
	over := make(chan struct{})
	for range 3 {
		people.Go(func() {
			for range each {
				record(t, d, t.Context(), signedIn("password"))
			}
		})
		nodes.Go(func() {
			seals := newLogs()
			for {
				if err := seals.Sweep(t.Context(), d); err != nil {
					t.Error(err)
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	people.Wait()
	close(over)
	nodes.Wait()
	sweep(t, d, newLogs())
	expect.Equal(t, "counts", fmt.Sprint(counted(t, d, "org_a")), fmt.Sprint([]string{
		fmt.Sprintf("%s signin.done done password %d", dbtest.Start.UTC().Format(time.DateOnly), 3*each),
	}))
}

func TestCountsAreRemovedInTime(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	record(t, d, t.Context(), signedIn("password"))
	sweep(t, d, newLogs())
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{audit.KeptDays, 1}, {24 * time.Hour, 0}} {
		clock.Advance(step.after)
		if err := audit.SweepDays(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, fmt.Sprintf("counts after another %s", step.after), len(counted(t, d, "org_a")), step.want)
	}
}
