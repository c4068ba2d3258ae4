package credential

import (
	"context"
	"fmt"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

var (
	older = Cost{Memory: 32, Passes: 1, Lanes: 1}
	newer = Cost{Memory: 262144, Passes: 16, Lanes: 16} // the longest there is
)

// storedAt gives n new users of an organization a password of a cost.
func (s *Store) storedAt(t *testing.T, d *db.DB, org directory.OrgID, c Cost, n int) (last Owner) {
	t.Helper()
	for range n {
		last = newOwner(t, d, org)
		h := s.fresh(opaque)
		h.cost, h.sum = c, make([]byte, sumBytes)
		update(t, d, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `insert into passwords (org_id, user_id, hash, set_at, failures) values ($1, $2, $3, 1, 0)`,
				string(last.OrgID), string(last.UserID), h.String())
			return err
		})
	}
	dbtest.ByHand(t, d)
	return last
}

// drawnFor returns what comparing a password costs for an address that nobody has.
func drawnFor(t *testing.T, d *db.DB, s *Store, address string) Cost {
	t.Helper()
	stored, err := s.AsCostly(t.Context(), d, Stored{}, address)
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.against(stored)
	if err != nil {
		t.Fatal(err)
	}
	return h.cost
}

// shareOf returns how many of 4,000 addresses that nobody has cost c.
func shareOf(t *testing.T, d *db.DB, s *Store, c Cost) (n int) {
	t.Helper()
	all, err := costsInUse(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4000 {
		if s.drawn(fmt.Sprintf("person.%d@meridian.example", i), all) == c {
			n++
		}
	}
	return n
}

func sweepCosts(t *testing.T, d *db.DB) {
	t.Helper()
	if err := SweepCosts(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// Addresses without an account must cost what those with one cost: otherwise an installation
// whose cost was raised reveals by the time it takes who exists.
func TestNobodyCostsWhatStoredPasswordsCost(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	s, org := testStore(t, Options{}), newOrg(t, d)
	sweepCosts(t, d)
	if got := drawnFor(t, d, s, "a@b.example"); got != s.cost {
		t.Errorf("before anybody has a password: %v, want that of a new one", got)
	}
	s.storedAt(t, d, org, older, 30)
	s.storedAt(t, d, org, newer, 10)
	federated := newOrg(t, d) // its passwords are not counted
	s.storedAt(t, d, federated, quick, 20)
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update organizations set federated_since = 1 where id = $1`, string(federated))
		return err
	})
	sweepCosts(t, d)
	// One in four within five standard deviations; the addresses are always the same.
	if n := shareOf(t, d, s, newer); n < 863 || n > 1137 {
		t.Errorf("%d of 4,000 unknown addresses cost what a quarter of the people cost", n)
	}
	if n := shareOf(t, d, s, older) + shareOf(t, d, s, newer); n != 4000 {
		t.Errorf("%d of 4,000 cost what some stored password costs", n)
	}
	once, again := drawnFor(t, d, s, "a@b.example"), drawnFor(t, d, s, "a@b.example")
	if once != again {
		t.Errorf("one address costs %v and %v", once, again)
	}

	// The snapshot is valid for a day, even if a cost is no longer in use.
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from passwords where org_id = $1 and hash like '%m=32,%'`, string(org))
		return err
	})
	dbtest.ByHand(t, d)
	clock.Advance(costsFor - time.Second)
	sweepCosts(t, d)
	if n := shareOf(t, d, s, older); n < 2863 {
		t.Errorf("within the day only %d of 4,000 cost as before", n)
	}
	clock.Advance(time.Second)
	sweepCosts(t, d)
	if n := shareOf(t, d, s, newer); n != 4000 {
		t.Errorf("%d of 4,000 cost what is left", n)
	}
}

// As people sign in, their passwords change to the higher cost once, and never back; so do
// addresses that nobody has, whichever key is new meanwhile.
func TestCostOfNobodyOnlyRises(t *testing.T) {
	s := testStore(t, Options{})
	one, two := testPepper("k_one").Current(), testPepper("k_two").Current()
	added := two
	added.Added = true
	rotated := map[string]*Store{}
	for says, pepper := range map[string]*secret.Ring{"a new key": secret.NewRing(two, one), "a key that is only known": secret.NewRing(one, added)} {
		var err error
		if rotated[says], err = NewStore(pepper, Options{Cost: quick}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		address, before := fmt.Sprint(i), older
		for left := 10; left >= 0; left-- {
			all := []inUse{{older, uint64(left)}, {newer, uint64(10 - left)}}
			now := s.drawn(address, all)
			if before == newer && now != newer {
				t.Errorf("%s goes back to the lower cost", address)
			}
			for says, r := range rotated {
				if other := r.drawn(address, all); other != now {
					t.Errorf("%s costs %v, and %v with %s", address, now, other, says)
				}
			}
			before = now
		}
		if before != newer {
			t.Errorf("%s stays at a cost that nobody has", address)
		}
	}
}

// A disabled password is compared at its own cost, as before.
func TestDisablingAPasswordDoesNotChangeItsCost(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s, org := testStore(t, Options{}), newOrg(t, d)
	o := s.storedAt(t, d, org, older, 1)
	s.storedAt(t, d, org, newer, 50)
	sweepCosts(t, d)
	update(t, d, func(ctx context.Context, tx *db.Tx) error { return Disable(ctx, tx, o) })
	stored, err := StoredPassword(t.Context(), d, o)
	if err == nil {
		stored, err = s.AsCostly(t.Context(), d, stored, "a@b.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	if h, err := s.against(stored); err != nil || h.cost != older {
		t.Errorf("it costs %v (%v), want %v", h.cost, err, older)
	}
}
