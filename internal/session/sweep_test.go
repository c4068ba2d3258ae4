package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// crowded returns a database with so many open sessions of one user that began and were last used
// at the test's start, each in a browser of its own.
func crowded(t testing.TB, n int) (*db.DB, *dbtest.Clock, directory.User) {
	t.Helper()
	d, clock := dbtest.Open(t)
	var u directory.User
	err := d.Update(t.Context(), func(tx *db.Tx) error {
		org, err := directory.CreateOrganization(t.Context(), tx, directory.Operator(), directory.NewOrganization{DisplayName: "Crowd", ShortName: "crowd", Language: "en"})
		if err == nil {
			u, err = directory.CreateFirstOwner(t.Context(), tx, directory.User{OrgID: org.ID, ID: directory.NewUserID(), Email: "ana@crowd.example", Name: "Ana", Language: "en"})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	many := `with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) select `
	dbtest.Do(t, d, `
		insert into browsers (id, token_hash, rotated_at, created_at)
		`+many+`'brw_' || i, 'hash ' || i, cast($2 as bigint), cast($2 as bigint) from n`, n, db.Time(dbtest.Start))
	dbtest.Do(t, d, `
		insert into sessions (org_id, id, user_id, browser_id, generation, methods, started_at, proved_at, seen_at, network, agent)
		`+many+`cast($2 as text), 'ses_' || i, cast($3 as text), 'brw_' || i, 0, 'pwd', cast($4 as bigint), cast($4 as bigint), cast($4 as bigint), '', '' from n`,
		n, string(u.OrgID), string(u.ID), db.Time(dbtest.Start))
	dbtest.Do(t, d, `update sessions set generation = (select generation from users where id = sessions.user_id) where org_id = $1`, string(u.OrgID))
	return d, clock, u
}

// endings counts sessions by why they ended; empty is open.
func endings(t *testing.T, d *db.DB) string {
	t.Helper()
	all, err := db.List(t.Context(), d, db.Value[string], `
		select coalesce(end_reason, 'open') || ' ' || cast(count(*) as text) from sessions group by end_reason order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

func TestSweepEndsMoreThanOnePartAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	const many = 2*db.Part + 50
	d, clock, u := crowded(t, many)
	door := &Door{}
	sweep := func(want string) {
		t.Helper()
		if err := errors.Join(door.Sweep(t.Context(), d), door.SweepBrowsers(t.Context(), d)); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "sessions", endings(t, d), want)
	}
	sweep(fmt.Sprintf("open %d", many))
	dbtest.Do(t, d, `update sessions set until = $1 where id in ('ses_1', 'ses_2')`, db.Time(dbtest.Start.Add(time.Hour)))
	clock.Advance(time.Hour)
	sweep(fmt.Sprintf("%s 2, open %d", EndedByProvider, many-2))
	clock.Advance(Idle)
	dbtest.Do(t, d, `update sessions set seen_at = $1 where id in ('ses_3', 'ses_4', 'ses_5')`, db.Time(clock.Now()))
	sweep(fmt.Sprintf("%s 2, %s %d, open 3", EndedByProvider, WentIdle, many-5))
	dbtest.Do(t, d, `update users set generation = generation + 1, voided_at = $1 where org_id = $2`, db.Time(clock.Now()), string(u.OrgID))
	clock.Advance(2 * justVoided)
	sweep(fmt.Sprintf("%s 2, %s %d, %s 3", EndedByProvider, WentIdle, many-5, Voided))
	clock.Advance(Kept)
	sweep("")
	expect.Equal(t, "browsers", dbtest.Dump(t, d, "browsers"), "")
}

// What is found beside everybody may be used before it is ended.
func TestASessionUsedMeanwhileIsNotEnded(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]end{
		"idle":  lasted(WentIdle, "seen_at", "idle", db.Time(dbtest.Start), int64(0), Idle.Microseconds()),
		"old":   lasted(ReachedEnd, "started_at", "absolute", db.Time(dbtest.Start), Absolute.Microseconds(), int64(0)),
		"until": untilThen(dbtest.Start),
		"void":  voided(time.UnixMicro(0)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _, _ := crowded(t, 3)
			e.find = `select org_id, id from sessions where cast($1 as bigint) is not null limit $2`
			if len(e.args) == 3 {
				e.find = `select org_id, id from sessions where coalesce(cast($1 as bigint), cast($2 as bigint), cast($3 as bigint)) is not null limit $4`
			}
			if err := e.record(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			expect.Equal(t, "sessions", endings(t, d), "open 3")
		})
	}
}

// BenchmarkSweep says how long a writer waited at most beside a sweep of 100,000 open sessions, of
// which none is due, or as many as come due in a minute where 100,000 people work.
func BenchmarkSweep(b *testing.B) {
	for _, due := range []int{0, 2_000} {
		b.Run(fmt.Sprintf("%d due", due), func(b *testing.B) {
			d, _, _ := crowded(b, 100_000)
			door := &Door{}
			alone, beside := time.Duration(0), time.Duration(0)
			for b.Loop() {
				dbtest.Do(b, d, `update sessions set ended_at = null, end_reason = null where ended_at is not null`)
				dbtest.Do(b, d, `update sessions set seen_at = 0 where id in (select id from sessions order by browser_id limit $1)`, due)
				took := time.Now()
				beside = max(beside, dbtest.LongestWait(b, d, func() error { return door.Sweep(b.Context(), d) }))
				alone = max(alone, dbtest.LongestWait(b, d, func() error { time.Sleep(time.Since(took)); return nil }))
			}
			b.ReportMetric(float64(alone.Microseconds())/1000, "ms-waited-alone")
			b.ReportMetric(float64(beside.Microseconds())/1000, "ms-waited-beside")
		})
	}
}
