package administration_test

import (
	"context"
	"os"
	"testing"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
)

// BenchmarkOverview reads the overview of an organization of 100,000 people, each of whom was
// active today, with 5,000 open invitations and 95,000 accepted ones. docs/performance.md has
// the figures.
func BenchmarkOverview(b *testing.B) {
	d, _ := dbtest.Open(b)
	o := crowd(b, d)
	for b.Loop() {
		if err := d.View(b.Context(), func(tx *db.Tx) error {
			_, err := administration.OverviewOf(b.Context(), tx, directory.System(o), o)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// crowd makes the organization by plain rows.
func crowd(t testing.TB, d *db.DB) directory.OrgID {
	t.Helper()
	var org directory.Organization
	now := d.Now().UnixMicro()
	if err := d.Update(t.Context(), func(tx *db.Tx) (err error) {
		org, err = directory.CreateOrganization(t.Context(), tx, directory.Operator(), directory.NewOrganization{DisplayName: "Crowd", ShortName: "crowd", Language: "en"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	id, today := string(org.ID), db.Day(d.Now()).UnixMicro()
	for _, fill := range []struct {
		statement string
		args      []any
	}{
		{`insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation)
				select cast($1 as text), 'usr_' || n, 'person' || n || '@crowd.example', 'person' || n || '@crowd.example', 'Person ' || n, 'person ' || n, 'member', 'en', '', cast($2 as bigint) + n, 1 from numbers`, []any{id, now}},
		{`insert into active_people (org_id, user_id, day) select cast($1 as text), 'usr_' || n, cast($2 as bigint) from numbers`, []any{id, today}},
		{`insert into active_days (org_id, day, people) select cast($1 as text), cast($2 as bigint) - cast(86400000000 as bigint) * n, 90000 from numbers where n between 1 and 30`, []any{id, today}},
		{`insert into audit_days (org_id, day, action, result, about, events) select cast($1 as text), cast($2 as bigint) - cast(86400000000 as bigint) * (n % 30), 'signin.done', 'done', 'way ' || (n / 30), n from numbers where n < 180`, []any{id, today}},
		{`insert into letters (org_id, id, kind, recipient, language, created_at, sent_at, tries)
				select cast($1 as text), 'let_' || n, 'invitation', 'person' || n || '@crowd.example', 'en', cast($2 as bigint), cast($2 as bigint), 1 from numbers`, []any{id, now}},
		{`insert into invitations (org_id, id, email, email_key, display_name, search_key, role, language, token_hash, letter_id, created_at, expires_at, accepted_at, asked_kind)
				select cast($1 as text), 'inv_' || n, 'guest' || n || '@crowd.example', 'guest' || n || '@crowd.example', '', '', 'member', 'en', 'hash ' || n, 'let_' || n,
					cast($2 as bigint), cast($2 as bigint) + cast(1000000000 as bigint), case when n % 20 = 0 then null else cast($2 as bigint) - n end, 'operator' from numbers`, []any{id, now}},
	} {
		dbtest.Do(t, d, `with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 100000) `+fill.statement, fill.args...)
	}
	analyze(t, d)
	return org.ID
}

// analyze does what the server does by itself in time.
func analyze(t testing.TB, d *db.DB) {
	t.Helper()
	statement := `analyze`
	if os.Getenv("PARVIS_TEST_POSTGRES") != "" {
		statement = `vacuum analyze`
	}
	if err := d.Exec(context.WithoutCancel(t.Context()), func(func(...any) error) error { return nil }, statement); err != nil {
		t.Fatal(err)
	}
}
