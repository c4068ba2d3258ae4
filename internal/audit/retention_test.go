package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

func from(t *testing.T, d *db.DB, e audit.Event) {
	t.Helper()
	record(t, d, audit.WithOrigin(t.Context(), audit.Origin{Network: "192.0.2.9", Agent: "Lynx-" + e.ActorName}), e)
}

// life records what an organization's log has of a person.
func life(t *testing.T, d *db.DB, user, email, name, role string) {
	t.Helper()
	inv := "inv_of" + user
	from(t, d, audit.Event{OrgID: "org_a", Actor: audit.Operator, ActorName: audit.Operator, Action: "invitation.sent", Target: inv, TargetName: email, After: audit.Fields{"email": email, "name": name}})
	from(t, d, audit.Event{OrgID: "org_a", Actor: audit.Operator, ActorName: audit.Operator, Action: "invitation.sent", Target: inv + "2", TargetName: email, After: audit.Fields{"email": email}})
	from(t, d, audit.Event{OrgID: "org_a", Actor: user, ActorName: name, Action: "invitation.accepted", Target: inv, TargetName: email, After: audit.Fields{"user": user, "role": role, "name": name}})
	from(t, d, audit.Event{OrgID: "org_a", Actor: user, ActorName: name, Action: "identity.linked", Target: "con_1", TargetName: "Okta", After: audit.Fields{"user": user, "email": email}})
	from(t, d, audit.Event{OrgID: "org_a", Actor: user, ActorName: name, Action: "user.profile_changed", Target: user, TargetName: name, Before: audit.Fields{"name": name + "son"}, After: audit.Fields{"name": name}})
	from(t, d, audit.Event{OrgID: "org_a", Actor: "usr_boss", ActorName: "Boss", Action: "user.role_changed", Target: user, TargetName: name, Before: audit.Fields{"role": role}, After: audit.Fields{"role": "member"}})
	from(t, d, audit.Event{OrgID: "org_a", Actor: user, ActorName: name, Action: "token.issued", Target: "tok_of" + user, TargetName: "Laptop"})
	from(t, d, audit.Event{OrgID: "org_a", Actor: "tok_of" + user, ActorName: name, Action: "group.created", Target: "grp_1", TargetName: "Sales"})
}

func erasedNow(t *testing.T, d *db.DB, user, name string) {
	t.Helper()
	record(t, d, t.Context(), audit.Event{OrgID: "org_a", Actor: audit.System, ActorName: audit.System, Action: "user.erased", Target: user, TargetName: name})
}

// What the log has of somebody who was erased goes, older than 90 days at once and the rest after 90
// days; the tree verifies all the time, and others keep theirs.
func TestWhoWasErasedIsErasedFromTheLog(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := newLogs()
	life(t, d, "usr_ada", "ada@x.example", "Ada", "helpdesk")
	life(t, d, "usr_ben", "ben@x.example", "Ben", "member")
	sweep(t, d, l)
	clock.Advance(60 * 24 * time.Hour)
	from(t, d, audit.Event{OrgID: "org_a", Actor: "usr_ada", ActorName: "Ada", Action: "signin.done", After: audit.Fields{"method": "password"}})
	clock.Advance(31 * 24 * time.Hour)
	erasedNow(t, d, "usr_ada", "Ada")
	sweep(t, d, l)
	events := func() string { return dbtest.Dump(t, d, "audit_events") }
	run := func() {
		t.Helper()
		if err := audit.SweepErased(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		sweep(t, d, l)
		checked(t, d, l)
	}
	run()
	for _, gone := range []string{"ada@x.example", "Adason", "Lynx-Ada\t192"} {
		expect.Equal(expect.Case(t, "older than 90 days"), gone, strings.Contains(events(), gone), false)
	}
	expect.Equal(t, "names of the last 90 days", strings.Count(events(), "Lynx-Ada"), 1)
	list, err := audit.List(t.Context(), d, audit.Query{OrgID: "org_a", Action: "user.profile_changed"})
	if err != nil || len(list.Events) != 2 {
		t.Fatal(err)
	}
	for _, e := range list.Events {
		expect.Equal(t, e.Target+" was erased", fmt.Sprint(e.ErasedBy, e.ErasedOf), map[string]string{"usr_ada": "true true", "usr_ben": "false false"}[e.Target])
	}
	run() // nothing more
	clock.Advance(90 * 24 * time.Hour)
	run()
	run()
	expect.Equal(t, "names in the end", strings.Contains(strings.ToLower(events()), "ada@") || strings.Contains(events(), "Ada"), false)
	expect.Equal(t, "what is left of others", strings.Count(events(), "ben@x.example") > 5 && strings.Contains(events(), "Boss"), true)
	done, err := audit.List(t.Context(), d, audit.Query{OrgID: "org_a", Action: "audit.erased"})
	if err != nil || len(done.Events) != 2 {
		t.Errorf("%d erasures are recorded (%v)", len(done.Events), err)
	}
	var file bytes.Buffer
	if err := l.Export(t.Context(), d, audit.Export{Query: audit.Query{OrgID: "org_a"}, Into: &file, Again: func(context.Context, db.Reader) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "names in an export", strings.Contains(file.String(), "Ada") || strings.Contains(file.String(), "ada@"), false)
}

// What owners and administrators did stays theirs, even if they were not any more in the end; what
// was done to them does not.
func TestOwnersStayNamedAsActors(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"owner", "administrator"} {
		d, clock := dbtest.Open(t)
		l := newLogs()
		life(t, d, "usr_ada", "ada@x.example", "Ada", role)
		sweep(t, d, l)
		clock.Advance(91 * 24 * time.Hour)
		erasedNow(t, d, "usr_ada", "Ada")
		for range 2 {
			sweep(t, d, l)
			if err := audit.SweepErased(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			clock.Advance(91 * 24 * time.Hour)
		}
		events := dbtest.Dump(t, d, "audit_events")
		expect.Equal(t, "named as "+role, strings.Count(events, "Lynx-Ada"), 5)
		expect.Equal(t, "address of the "+role, strings.Contains(events, "ada@x.example") || strings.Contains(events, "Adason"), false)
		checked(t, d, l)
	}
}

// Events go when they were kept long enough, always the oldest, and a hold keeps them; the tree has
// their hashes, and an export of what is left verifies.
func TestEventsAreRemovedInTime(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := newLogs()
	kept := func() audit.Checked {
		t.Helper()
		if err := l.SweepKept(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		sweep(t, d, l)
		return checked(t, d, l)
	}
	many(t, d, "org_a", 300)
	many(t, d, "org_b", 3)
	many(t, d, "", 2)
	sweep(t, d, l)
	clock.Advance(100 * 24 * time.Hour)
	many(t, d, "org_a", 5)
	sweep(t, d, l)
	expect.Equal(t, "kept for 100 days", kept().Events, 310)
	set := func(k audit.Keeping) {
		t.Helper()
		if err := d.Update(t.Context(), func(tx *db.Tx) error { return audit.SetKeeping(t.Context(), tx, "org_a", k) }); err != nil {
			t.Fatal(err)
		}
	}
	set(audit.Keeping{Days: 90, Held: clock.Now()})
	expect.Equal(t, "kept by a hold", kept().Events, 310)
	set(audit.Keeping{Days: 90})
	expect.Equal(t, "kept for 90 days by org_a", kept().Events, 11) // one says what was removed
	expect.Equal(t, "the next time", kept().Events, 11)
	e, err := audit.List(t.Context(), d, audit.Query{OrgID: "org_a", Action: "audit.removed"})
	if err != nil || len(e.Events) != 1 || fmt.Sprint(e.Events[0].After) != "map[before:2026-12-02 events:300]" {
		t.Errorf("the log says %+v (%v)", e.Events, err)
	}
	clock.Advance(302 * 24 * time.Hour)
	expect.Equal(t, "kept by the others for 400 days", kept().Events, 1+2) // of each, what says so

	// What somebody removed by hand is not taken for what retention removed.
	many(t, d, "org_b", 3)
	sweep(t, d, l)
	dbtest.Do(t, d, `delete from audit_events where org_id = 'org_b' and leaf = 4`)
	clock.Advance(401 * 24 * time.Hour)
	if err := l.SweepKept(t.Context(), d); !errors.Is(err, audit.ErrAltered) {
		t.Errorf("removed, with %v", err)
	}
}

func TestTheOperatorsCeilingHolds(t *testing.T) {
	t.Parallel()
	for days, want := range map[int]int{0: 200, 90: 90, 365: 200} {
		expect.Equal(t, fmt.Sprint(days), audit.Keeping{Days: days}.Kept(200), want)
	}
	expect.Equal(t, "by default", audit.Keeping{}.Kept(audit.LongestKept), 400)
}
