package credential

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/fault"
)

func nth(n int) string { return fmt.Sprintf("Vermilion otter %c7 bridges!", 'a'+n) }

func mustChange(t *testing.T, d *db.DB, s *Store, o Owner, text string) {
	t.Helper()
	if err := change(t, d, s, o, text); err != nil {
		t.Fatalf("setting %s: %v", text, err)
	}
}

func TestAFirstPasswordSignsIn(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	if stored, err := StoredPassword(t.Context(), d, o); err != nil || stored.Exists() {
		t.Errorf("before: %+v, %v", stored, err)
	}
	mustChange(t, d, s, o, good)
	stored, err := StoredPassword(t.Context(), d, o)
	if err != nil {
		t.Fatalf("after: %+v, %v", stored, err)
	}
	expect.Equal(t, "Owner", stored.Owner, o)
	if !stored.Exists() || !stored.SetAt.Equal(clock.Now()) {
		t.Errorf("after: %+v, %v", stored, err)
	}
	if out := signIn(t, d, s, o, good); !out.OK {
		t.Error("the right password is refused")
	}
	if out := signIn(t, d, s, o, nth(0)); out.OK || out.Failures != 1 {
		t.Errorf("a wrong password: %+v", out)
	}
}

// R-PWD-07: the last ten, including the current one, are refused, and the eleventh is accepted.
func TestPWD7ElevenPasswordsBack(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t) // its clock stands still, because the order must not depend on it
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	for n := range 11 {
		mustChange(t, d, s, o, nth(n))
	}
	clock.Advance(historyDay + time.Second) // within a day each of them would be refused
	for n := 10; n >= 1; n-- {
		if got := reasons(t, change(t, d, s, o, nth(n))); len(got) != 1 || got[0] != "history" {
			t.Errorf("number %d of the last: %q, want history", 11-n, got)
		}
	}
	mustChange(t, d, s, o, nth(0))
	if n := count(t, d, `select count(*) from password_history where org_id = $1`, string(o.OrgID)); n != 9 {
		t.Errorf("%d old hashes are kept, want 9 beside the current one", n)
	}
	if got := reasons(t, change(t, d, s, o, nth(0))); got[0] != "history" {
		t.Errorf("the current one: %q", got)
	}
	mustChange(t, d, s, o, nth(1))
}

// Ten changes and a return to the first take seconds: a password that was in use within a day
// is refused too, however many came after it.
func TestPWD7TheHistoryHoldsADay(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	mustChange(t, d, s, o, nth(0))
	clock.Advance(300 * 24 * time.Hour)
	for n := range 12 {
		mustChange(t, d, s, o, nth(n+1))
		clock.Advance(time.Minute)
	}
	if got := reasons(t, change(t, d, s, o, nth(0))); len(got) != 1 || got[0] != "history_day" {
		t.Errorf("the first, in use until today: %q, want history_day", got)
	}
	if got := reasons(t, change(t, d, s, o, nth(3))); len(got) != 1 || got[0] != "history" {
		t.Errorf("one of the last ten: %q, want history", got)
	}
	clock.Advance(historyDay - 12*time.Minute) // a day after the first was replaced
	mustChange(t, d, s, o, nth(0))
}

func TestPWD7TheHistoryOfADayIsBounded(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	room := func() error {
		past, err := HistoryOf(t.Context(), d, Classic, o, clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return past.Room()
	}
	for n := range 51 {
		if err := room(); err != nil {
			t.Fatalf("before change %d: %v", n+1, err)
		}
		mustChange(t, d, s, o, fmt.Sprintf("Vermilion otter %d bridges!", n))
		clock.Advance(time.Minute)
	}
	// Fifty are kept besides the current one; the first was replaced 50 minutes ago.
	err := room()
	if f, ok := errors.AsType[*fault.Error](err); !ok || !errors.Is(err, ErrChangedOften) || f.RetryAfter != historyDay-50*time.Minute {
		t.Errorf("with a full history: %v, want ErrChangedOften for a day less 50 minutes", err)
	}
	mustChange(t, d, s, o, "what a reset sets 1 Day") // a reset does not ask for room
	if n := count(t, d, `select count(*) from password_history`); n != mostKept {
		t.Errorf("%d old hashes are kept, want %d", n, mostKept)
	}
	clock.Advance(historyDay)
	if err := room(); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

func TestWithoutHistoryOnlyTheCurrentPasswordIsRefused(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		return SetRules(ctx, tx, directory.Operator(), o.OrgID, Modern, false)
	})
	mustChange(t, d, s, o, nth(0))
	if got := reasons(t, change(t, d, s, o, nth(0))); len(got) != 1 || got[0] != "current" {
		t.Errorf("the current one: %q, want current", got)
	}
	mustChange(t, d, s, o, nth(1))
	mustChange(t, d, s, o, nth(0))
	if n := count(t, d, `select count(*) from password_history`); n != 0 {
		t.Errorf("%d old hashes are kept, want none", n)
	}
}

func TestAClockThatJumpsBackKeepsTheHistoryInOrder(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	for n := range 12 {
		mustChange(t, d, s, o, nth(n))
		clock.Advance(-time.Hour)
	}
	clock.Advance(historyDay + 13*time.Hour) // within a day all would be refused
	mustChange(t, d, s, o, nth(1))
	if got := reasons(t, change(t, d, s, o, nth(3))); got[0] != "history" {
		t.Errorf("got %q, want history", got)
	}
}

// Eight changes to the same new password pass the history together, and each would put the
// password there once more: all but one must notice.
func TestPWD7ConcurrentChangesDoNotSlipPastTheHistory(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"the first password": true, "a change": false} {
		t.Run(name, func(t *testing.T) {
			d, _ := dbtest.Open(t)
			s := testStore(t, Options{})
			o := newOwner(t, d, newOrg(t, d))
			if !first {
				mustChange(t, d, s, o, nth(0))
			}
			past, err := HistoryOf(t.Context(), d, Classic, o, d.Now())
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.Check(Classic, Context{}, good)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			results := make(chan error, 8)
			for range 8 {
				wg.Go(func() {
					hashed, err := s.Hash(t.Context(), source, past, p)
					if err == nil {
						err = d.Update(t.Context(), func(tx *db.Tx) error { return Set(t.Context(), tx, hashed) })
					}
					results <- err
				})
			}
			wg.Wait()
			close(results)
			set := 0
			for err := range results {
				switch {
				case err == nil:
					set++
				case !errors.Is(err, ErrChanged):
					t.Error(err)
				}
			}
			if set != 1 {
				t.Errorf("%d of 8 were set, want 1", set)
			}
			if !signIn(t, d, s, o, good).OK {
				t.Error("the winner's password does not sign in")
			}
		})
	}
}

// Journeys 2.7: nobody can lock another person out for good. A hundred failures in a row turn
// the password off, not the user; from then on each attempt is an ordinary failure that is not
// counted, until a new password is set.
func TestAHundredFailuresTurnThePasswordOff(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	mustChange(t, d, s, o, good)
	for n := 1; n < MostFailures; n++ {
		if out := signIn(t, d, s, o, "wrong"); out != (Outcome{Failures: n}) {
			t.Fatalf("failure %d: %+v", n, out)
		}
	}
	if out := signIn(t, d, s, o, good); out != (Outcome{OK: true}) {
		t.Fatalf("success after 99 failures: %+v", out)
	}
	for n := 1; n <= MostFailures; n++ {
		if out := signIn(t, d, s, o, "wrong"); out != (Outcome{Failures: n, Disabled: n == MostFailures}) {
			t.Fatalf("failure %d: %+v", n, out)
		}
	}
	for _, text := range []string{good, "wrong"} {
		if out := signIn(t, d, s, o, text); out != (Outcome{}) {
			t.Fatalf("%q after a hundred failures: %+v", text, out)
		}
	}
	mustChange(t, d, s, o, "Nine zebras ride 7 trams!")
	if out := signIn(t, d, s, o, "Nine zebras ride 7 trams!"); out != (Outcome{OK: true}) {
		t.Fatalf("a new password: %+v", out)
	}
	if out := signIn(t, d, s, o, "wrong"); out != (Outcome{Failures: 1}) {
		t.Fatalf("the first failure after a success: %+v", out)
	}
	err := d.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `update passwords set disabled_at = $1 where org_id = $2 and user_id = $3`,
			db.Time(tx.Now()), string(o.OrgID), string(o.UserID))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{good, "wrong"} {
		if out := signIn(t, d, s, o, text); out != (Outcome{}) {
			t.Errorf("%s while disabled: %+v, want an ordinary failure that counts nothing", text, out)
		}
	}
	mustChange(t, d, s, o, nth(0))
	if out := signIn(t, d, s, o, nth(0)); out != (Outcome{OK: true}) {
		t.Errorf("a new password: %+v", out)
	}
}

func TestBRU2EightWrongPasswordsAtOnceCountEight(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	mustChange(t, d, s, o, good)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { signIn(t, d, s, o, "wrong") })
	}
	wg.Wait()
	if n := count(t, d, `select failures from passwords`); n != 8 {
		t.Errorf("%d failures, want 8", n)
	}
}

func TestOneUsersFailuresAreNobodyElses(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	org := newOrg(t, d)
	ada, bob := newOwner(t, d, org), newOwner(t, d, org)
	mustChange(t, d, s, ada, good)
	mustChange(t, d, s, bob, good)
	signIn(t, d, s, ada, "wrong")
	for _, nobody := range []Owner{{}, {org, "usr_nobody"}, {newOrg(t, d), ada.UserID}} {
		if out := signIn(t, d, s, nobody, good); out != (Outcome{}) {
			t.Errorf("%v signs in: %+v", nobody, out)
		}
	}
	if n := count(t, d, `select sum(failures) from passwords`); n != 1 {
		t.Errorf("%d failures, want Ada's one", n)
	}
}

// A verdict is about the password that was read, not about the one that is stored when it is
// recorded.
func TestAVerdictOnAPasswordChangedMeanwhileIsVoid(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"right": good, "wrong": "wrong"} {
		t.Run(name, func(t *testing.T) {
			d, _ := dbtest.Open(t)
			s := testStore(t, Options{})
			o := newOwner(t, d, newOrg(t, d))
			mustChange(t, d, s, o, good)
			stored, err := StoredPassword(t.Context(), d, o)
			if err != nil {
				t.Fatal(err)
			}
			v := verify(t, s, stored, text)
			mustChange(t, d, s, o, nth(0))
			update(t, d, func(ctx context.Context, tx *db.Tx) error {
				if out, err := Confirm(ctx, tx, v); out != (Outcome{}) || err != nil {
					t.Errorf("got %+v, %v", out, err)
				}
				return nil
			})
		})
	}
}

func TestPWD11SigningInStoresTheRaisedHash(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	o := newOwner(t, d, newOrg(t, d))
	mustChange(t, d, testStore(t, Options{}), o, good)
	clock.Advance(time.Hour)
	higher := testStore(t, Options{Cost: Cost{Memory: 128, Passes: 2, Lanes: 1}})
	if !signIn(t, d, higher, o, good).OK {
		t.Fatal("refused")
	}
	stored, err := StoredPassword(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := parseHash(stored.hash); err != nil || h.cost != higher.cost {
		t.Errorf("stored as %s (%v)", stored.hash, err)
	}
	if !stored.SetAt.Equal(dbtest.Start) || count(t, d, `select count(*) from password_history`) != 0 {
		t.Error("it is the same password: its date and the history must stay")
	}
}

// A row copied to another user by somebody who can write to the database is of no use to them.
func TestPWD11ARowMovedToAnotherUserVerifiesNothing(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	org := newOrg(t, d)
	ada, bob := newOwner(t, d, org), newOwner(t, d, org)
	mustChange(t, d, s, ada, good)
	mustChange(t, d, s, bob, nth(0))
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			update passwords set hash = (select hash from passwords where user_id = $1)
			where user_id = $2`, string(ada.UserID), string(bob.UserID))
		return err
	})
	if signIn(t, d, s, bob, good).OK || signIn(t, d, s, bob, nth(0)).OK {
		t.Error("a moved row verifies")
	}
}
