package dbtest

import (
	"context"
	"testing"

	"parvis/internal/db"
)

// keptRight compares, when a test ends, the columns of users that describe other tables with those
// tables. So every test in which somebody signs in, enrols or is linked fails if
// a writer forgets its column.
func keptRight(t testing.TB, d *db.DB) {
	t.Cleanup(func() {
		// A test that closed its database, or dropped a table, has nothing to compare.
		_ = d.Rows(context.Background(), func(scan func(...any) error) error {
			var id, kept, right string
			err := scan(&id, &kept, &right)
			t.Errorf("the row of user %s says %q, but the tables %q (state, second step, password, link, sign-in)", id, kept, right)
			return err
		}, differing)
	})
}

// What the columns of a user u must say, by the tables.
const (
	state  = `case when u.deleted_at is not null then 'deleted' when u.deactivated_at is not null then 'deactivated' else 'active' end`
	app    = `exists (select 1 from totp_seeds t where t.org_id = u.org_id and t.user_id = u.id and t.confirmed_at is not null)`
	key    = `exists (select 1 from passkeys k where k.org_id = u.org_id and k.user_id = u.id)`
	second = `case when ` + app + ` and ` + key + ` then 'both' when ` + app + ` then 'app' when ` + key + ` then 'passkey' else 'none' end`
	has    = `exists (select 1 from passwords p where p.org_id = u.org_id and p.user_id = u.id)`
	linked = `exists (select 1 from identities i where i.org_id = u.org_id and i.user_id = u.id)`
	signed = `coalesce(u.last_sign_in_at, 0)`
)

// differing finds the rows of users that do not say what the tables do.
const differing = `
	select id, kept, truth
	from (
		select u.id as id,
			u.state || ' ' || u.second_step || ' ' || case when u.has_password then 'password' else '-' end || ' '
				|| case when u.linked then 'linked' else '-' end || ' ' || cast(u.signed_in_at as text) as kept,
			` + state + ` || ' ' || ` + second + ` || ' ' || case when ` + has + ` then 'password' else '-' end || ' '
				|| case when ` + linked + ` then 'linked' else '-' end || ' ' || cast(` + signed + ` as text) as truth
		from users u
	) c
	where kept <> truth`

// ByHand brings these columns up to date where a test wrote rows itself, past their writers.
func ByHand(t testing.TB, d *db.DB) {
	t.Helper()
	Do(t, d, `update users as u set state = `+state+`, second_step = `+second+`, has_password = `+has+`, linked = `+linked+`, signed_in_at = `+signed)
}

// GivePassword stores a password that nothing matches, for a user who must have a way in.
func GivePassword(t testing.TB, d *db.DB, org, user string) {
	t.Helper()
	Do(t, d, `insert into passwords (org_id, user_id, hash, set_at, failures) values ($1, $2, '', 0, 0)`, org, user)
	Do(t, d, `update users set has_password = $1 where org_id = $2 and id = $3`, true, org, user)
}
