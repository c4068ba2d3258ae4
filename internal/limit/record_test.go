package limit_test

import (
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/limit"
	"parvis/internal/secret"
)

// A flood of refused tries is one event, and another one once the count was forgotten.
func TestALimiterIsRecordedWhenItBeginsToRefuse(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	mine, strangers := l.Key(five, limit.Of("usr_a")).In("org_a"), l.Key(wide, limit.Of("ada@example.org"))
	recorded := func(org string) []audit.Stored {
		t.Helper()
		p, err := audit.List(t.Context(), d, audit.Query{OrgID: org})
		if err != nil {
			t.Fatal(err)
		}
		return p.Events
	}
	for range five.Free {
		take(t, d, mine)
	}
	expect.Equal(t, "events while tries are free", len(recorded("org_a")), 0)
	for range 30 {
		take(t, d, mine)
	}
	all := recorded("org_a")
	if len(all) != 1 {
		t.Fatalf("a flood is %d events", len(all))
	}
	expect.Equal(t, "action", all[0].Action, "request.refused")
	expect.Equal[any](t, "limiter", all[0].After["limiter"], "five")
	expect.Equal(t, "result", all[0].Result, audit.Refused)
	for range wide.Free + 3 {
		take(t, d, strangers)
	}
	expect.Equal(t, "events of a count about nobody's own", len(recorded("")), 1)
	clock.Advance(five.Forget + time.Second)
	for range five.Free + 1 {
		take(t, d, mine)
	}
	expect.Equal(t, "events after the count was forgotten", len(recorded("org_a")), 2)
}

// Many counts that begin to refuse are as many events as a minute has, and no more.
func TestAFloodOfCountsFillsNoLog(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	one := limit.Policy{Name: "one", Free: 1, First: time.Minute, Most: time.Minute, Forget: time.Hour}
	flood := func(who string) (n int) {
		t.Helper()
		for i := range 100 {
			k := l.Key(one, limit.Of(who), limit.Of(string(rune('a'+i))))
			take(t, d, k)
			take(t, d, k)
		}
		if _, err := d.One(t.Context(), []any{&n}, `select count(*) from audit_events where org_id = $1`, ""); err != nil {
			t.Fatal(err)
		}
		return n
	}
	expect.Equal(t, "events of a minute", flood("a"), 60)
	clock.Advance(time.Minute)
	expect.Equal(t, "events of two", flood("b"), 120)
}
