package credential

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

// quick is a cost for tests that hash often and prove nothing about cost.
var quick = Cost{Memory: 64, Passes: 1, Lanes: 1}

var source = Source{Name: "192.0.2.0/24"}

func testPepper(ids ...string) *secret.Ring {
	var keys []secret.Key
	for _, id := range ids {
		keys = append(keys, secret.Key{ID: id, Bytes: fmt.Appendf(nil, "%032s", id)})
	}
	return secret.NewRing(keys...)
}

func testStore(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Cost == (Cost{}) {
		o.Cost = quick
	}
	s, err := NewStore(testPepper("k_one"), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t testing.TB, d *db.DB, fn func(context.Context, *db.Tx) error) {
	t.Helper()
	if err := d.Update(t.Context(), func(tx *db.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// newOrg and newOwner insert rows of tables that belong to directory, which this package's
// tests do not test.
func newOrg(t testing.TB, d *db.DB) directory.OrgID {
	t.Helper()
	org := secret.NewID("org")
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name,
				display_name_skeleton, language, contact, invitation_lifetime, created_at)
			values ($1, $1, $1, $1, $1, $1, 'en', '', 1, 1)`, org)
		return err
	})
	return directory.OrgID(org)
}

func newOwner(t testing.TB, d *db.DB, org directory.OrgID) Owner {
	t.Helper()
	user := secret.NewID("usr")
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation)
			values ($1, $2, $2, $2, 'Ada', '', 'member', 'en', '', 1, 1)`, string(org), user)
		return err
	})
	return Owner{org, directory.UserID(user)}
}

// change does every step for a new password, as a handler does.
func change(t testing.TB, d *db.DB, s *Store, o Owner, text string) error {
	ctx := t.Context()
	var rules Rules
	var past History
	if err := d.View(ctx, func(tx *db.Tx) (err error) {
		if rules, err = RulesOf(ctx, tx, o.OrgID); err != nil {
			return err
		}
		past, err = HistoryOf(ctx, tx, rules, o, tx.Now())
		return err
	}); err != nil {
		return err
	}
	p, err := s.Check(rules, Context{}, text)
	if err != nil {
		return err
	}
	hashed, err := s.Hash(ctx, source, past, p)
	if err != nil {
		return err
	}
	return d.Update(ctx, func(tx *db.Tx) error { return Set(ctx, tx, hashed) })
}

// signIn compares a typed password and records the outcome, as a handler does.
func signIn(t testing.TB, d *db.DB, s *Store, o Owner, text string) Outcome {
	t.Helper()
	ctx := t.Context()
	stored, err := StoredPassword(ctx, d, o)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Verify(ctx, source, stored, text)
	if err != nil {
		t.Fatal(err)
	}
	var out Outcome
	update(t, d, func(ctx context.Context, tx *db.Tx) (err error) {
		out, err = Confirm(ctx, tx, v)
		return err
	})
	return out
}

// reasons returns the keys of an ErrRefused.
func reasons(t testing.TB, err error) (keys []string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("%v is not ErrRefused with reasons", err)
	}
	expect.Equal(t, "Field", f.Field, "password")
	if !errors.Is(err, ErrRefused) || len(f.Reasons) == 0 {
		t.Fatalf("%v is not ErrRefused with reasons", err)
	}
	for _, r := range f.Reasons {
		keys = append(keys, r.Key[len("credential.reason."):])
	}
	return keys
}

func count(t testing.TB, d *db.DB, query string, args ...any) (n int) {
	t.Helper()
	if _, err := d.One(t.Context(), db.Into(&n), query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}
