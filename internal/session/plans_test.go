package session

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// plannedBy names statements by a part of them, each with the way to its rows: the table or its
// alias, and the index. With an index on (org_id, seen_at) SQLite once found a user's oldest
// session among those of the organization, which took 10 ms with 20,000 people.
var plannedBy = map[string]string{
	"update sessions set ended_at = $1, end_reason = $2 where org_id = $3 and user_id = $4 and ended_at is null and (seen_at, id) <=": "sessions sessions_open; o sessions_open",
	"update sessions set ended_at = $1, end_reason = $2 where org_id = $3 and id = $4 and ended_at is null and seen_at":               "sessions sqlite_autoindex_sessions_1; q sqlite_autoindex_session_rules_1",
	"update sessions set resumed_at": "sessions sqlite_autoindex_sessions_1",
	"select s.org_id, s.id from organizations o left join session_rules q on q.org_id = o.id cross join sessions s where s.org_id = o.id and s.ended_at is null and s.started_at": "o sqlite_autoindex_organizations_1; q sqlite_autoindex_session_rules_1; s sessions_started",
	"select s.org_id, s.id from organizations o left join session_rules q on q.org_id = o.id cross join sessions s where s.org_id = o.id and s.ended_at is null and s.seen_at":    "o sqlite_autoindex_organizations_1; q sqlite_autoindex_session_rules_1; s sessions_seen",
	"select s.org_id, s.id from sessions s where s.ended_at is null and s.until":                                                                                                  "s sessions_until",
	"select s.org_id, s.id from users u cross join sessions s":                                                                                                                    "u users_voided_at; s sessions_open",
	"delete from browsers":             "browsers sqlite_autoindex_browsers_1; s sessions_browser_id; authorization_requests authorization_requests_browser_id; upstream_requests upstream_requests_browser_id; attempts attempts_browser_id; sessions sessions_browser_id",
	"delete from sessions":             "sessions sqlite_autoindex_sessions_1; sessions sessions_ended_at",
	"x.id is not null from browsers b": "o sqlite_autoindex_organizations_2; b sqlite_autoindex_browsers_2; b sqlite_autoindex_browsers_3; s sessions_browser_id_org_id_uq",
}

func TestStatementsFindTheirRowsByTheRightIndex(t *testing.T) {
	t.Parallel()
	for _, sessions := range []int{PerUser + 5, 3_000} {
		d, clock, u := crowded(t, sessions)
		if d.Path() == "" {
			t.Skip("PostgreSQL decides by statistics")
		}
		door := &Door{}
		var token secret.Token
		if err := d.Update(t.Context(), func(tx *db.Tx) (err error) {
			_, token, err = door.Issue(t.Context(), tx, Browser{}, u, Proof{Methods: []string{"pwd"}})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		visit, _, err := door.Find(t.Context(), d, token, "crowd", clock.Now())
		if err == nil {
			_, err = door.Stay(t.Context(), d, visit)
		}
		clock.Advance(Absolute) // so that each end of a sweep is written down
		_, _, seen := door.Visits(t.Context(), d, token, clock.Now())
		swept := lasted(WentIdle, "seen_at", "idle", db.Time(clock.Now()), int64(0), int64(0)).record(t.Context(), d)
		if err := errors.Join(err, seen, swept, door.Sweep(t.Context(), d), door.SweepBrowsers(t.Context(), d)); err != nil {
			t.Fatal(err)
		}
		all := planned(t, d)
		for part, want := range plannedBy {
			got := ""
			for query, ways := range all {
				if strings.Contains(query, part) {
					got = ways
				}
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("with %d sessions: %s…\nfinds its rows by %q, want %q", sessions, part, got, want)
			}
		}
	}
}

// planned returns by which index each statement finds the rows of each table.
func planned(t *testing.T, d *db.DB) map[string]string {
	t.Helper()
	plans, err := d.Plans(t.Context(), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for query, steps := range plans {
		var ways []string
		for _, step := range steps {
			words := strings.Fields(step)
			i := slices.Index(words, "INDEX")
			switch {
			case i > 0:
				ways = append(ways, words[1]+" "+words[i+1])
			case words[0] == "SCAN" && len(words) == 2 && words[1] != "CONSTANT":
				ways = append(ways, words[1]+" scanned")
			}
		}
		all[strings.Join(strings.Fields(query), " ")] = strings.Join(ways, "; ")
	}
	expect.Equal(t, "statements", len(all) > 10, true)
	return all
}
