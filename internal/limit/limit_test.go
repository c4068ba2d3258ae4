package limit_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/limit"
	"parvis/internal/secret"
)

var (
	five   = limit.Policy{Name: "five", Free: 5, First: time.Second, Most: 15 * time.Minute, Forget: time.Hour}
	shared = limit.Policy{Name: "shared", Free: 100, First: time.Second, Most: time.Minute, Forget: time.Hour}
	wide   = limit.Policy{Name: "wide", Free: 20, First: time.Second, Most: time.Minute, Forget: time.Hour}
)

func take(t *testing.T, d *db.DB, keys ...limit.Key) limit.Taken {
	t.Helper()
	got, err := limit.Take(t.Context(), d, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func release(t *testing.T, d *db.DB, shared limit.Key, own ...limit.Key) {
	t.Helper()
	if err := d.Update(t.Context(), func(tx *db.Tx) error { return limit.Release(t.Context(), tx, failed(t), shared, own...) }); err != nil {
		t.Fatal(err)
	}
}

func failed(t *testing.T) func(error) {
	return func(err error) { t.Error(err) }
}

func TestWaitGrowsFromTheFifthTakeAndIsForgotten(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	k := limit.NewLimiter(secret.NewKeys().Lookup).Key(five, limit.Of("ada@example.org"), limit.Of("192.0.2.1"))
	for i := range 5 {
		if got := take(t, d, k); !got.Allowed || (len(got.Crossed) == 1) != (i == 4) {
			t.Fatalf("take %d: %+v", i+1, got)
		}
	}
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if got := take(t, d, k); got.Allowed || got.Wait != want {
			t.Fatalf("wait %d: %+v, want %v", i, got, want)
		}
		clock.Advance(want - time.Microsecond)
		if got := take(t, d, k); got.Allowed || got.Wait != time.Microsecond {
			t.Fatalf("just before: %+v", got)
		}
		clock.Advance(time.Microsecond)
		if got := take(t, d, k); !got.Allowed {
			t.Fatalf("just after: %+v", got)
		}
	}
	for range 20 {
		clock.Advance(five.Most)
		if got := take(t, d, k); !got.Allowed {
			t.Fatalf("no wait is longer than the most: %+v", got)
		}
	}
	clock.Advance(five.Forget)
	for range 5 {
		if got := take(t, d, k); !got.Allowed {
			t.Fatal("after an hour of quiet all is forgotten")
		}
	}
}

func TestASingleFreeTakeMakesTheSecondWait(t *testing.T) {
	t.Parallel()
	one := five
	one.Name, one.Free = "one", 1
	d, clock := dbtest.Open(t)
	k := limit.NewLimiter(secret.NewKeys().Lookup).Key(one, limit.Of("ada@example.org"))
	// The count starts again once it has expired, and once it was released.
	for _, begins := range []string{"at first", "forgotten", "released"} {
		if got := take(t, d, k); !got.Allowed || len(got.Crossed) != 1 {
			t.Errorf("%s, the free take: %+v", begins, got)
		}
		if got := take(t, d, k); got.Allowed || got.Wait != one.First {
			t.Errorf("%s, the second take: %+v, want a wait of %v", begins, got, one.First)
		}
		clock.Advance(one.First)
		if got := take(t, d, k); !got.Allowed {
			t.Errorf("%s, after the wait: %+v", begins, got)
		}
		if got := take(t, d, k); got.Allowed || got.Wait != 2*one.First {
			t.Errorf("%s, the next: %+v, want a wait of %v", begins, got, 2*one.First)
		}
		if begins == "forgotten" {
			release(t, d, limit.Key{}, k)
		} else {
			clock.Advance(one.Forget)
		}
	}
}

func TestATryThatCountsAsManyIsAllowedOrRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	k := limit.NewLimiter(secret.NewKeys().Lookup).Key(shared, limit.Of("a list of letters"))
	for _, c := range []struct {
		takes   int
		allowed bool
		crossed int
		count   int
	}{{60, true, 0, 60}, {39, true, 0, 99}, {50, true, 1, 149}, {1, false, 0, 149}} {
		got := take(t, d, k.Times(c.takes))
		of := expect.Case(t, "%d more", c.takes)
		expect.Equal(of, "allowed", got.Allowed, c.allowed)
		expect.Equal(of, "crossed", len(got.Crossed), c.crossed)
		expect.Equal(of, "count", got.Counts[shared.Name], c.count)
	}
	clock.Advance(shared.First)
	expect.Equal(t, "after the wait", take(t, d, k).Allowed, true)
	other := limit.NewLimiter(secret.NewKeys().Lookup).Key(shared, limit.Of("another"))
	expect.Equal(t, "a first try that uses up all", take(t, d, other.Times(shared.Free)).Allowed, true)
	expect.Equal(t, "the next waits", take(t, d, other).Wait, shared.First)
}

func TestReleaseClearsOwnCountsAndGivesBackTheSharedTake(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	own, net := l.Key(five, limit.Of("ada")), l.Key(shared, limit.Of("192.0.2.1"))
	for range 300 {
		if got := take(t, d, own, net); !got.Allowed {
			t.Fatalf("successes must not slow anybody: %+v", got)
		}
		release(t, d, net, own)
	}
}

func TestATakeIsGivenBackWithTheWaitThatItBegan(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	k := l.Key(five, limit.Of("ada"))
	for range five.Free - 1 {
		take(t, d, k) // somebody else is wrong
	}
	for range 10 {
		expect.Equal(t, "allowed, to who is right", take(t, d, k).Allowed, true)
		release(t, d, k)
	}
	for range 3 { // the others begin waits of one, two and four seconds
		clock.Advance(5 * time.Second)
		take(t, d, k)
	}
	clock.Advance(4 * time.Second)
	take(t, d, k)
	release(t, d, k)
	expect.Equal(t, "allowed, after who was right", take(t, d, k).Allowed, true)
	expect.Equal(t, "wait, which is no shorter for it", take(t, d, k).Wait, 8*time.Second)
}

func TestNothingIsGivenBackByATransactionThatIsNotCommitted(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	own, net := l.Key(five, limit.Of("ada")), l.Key(shared, limit.Of("192.0.2.1"))
	take(t, d, own, net)
	late := errors.New("too late")
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		return errors.Join(limit.Release(t.Context(), tx, failed(t), net, own), late)
	}); !errors.Is(err, late) {
		t.Fatal(err)
	}
	got := take(t, d, own, net)
	expect.Equal(t, "own count", got.Counts[five.Name], 2)
	expect.Equal(t, "shared count", got.Counts[shared.Name], 2)
	release(t, d, net, own)
	got = take(t, d, own, net)
	expect.Equal(t, "own count once it was cleared", got.Counts[five.Name], 1)
	expect.Equal(t, "shared count once a take was given back", got.Counts[shared.Name], 2)
}

func TestAWideCountIsTakenOnlyWhereTheNarrowOnesAllowIt(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	narrow, beside, wide := l.Key(five, limit.Of("ada"), limit.Of("192.0.2.1")), l.Key(shared, limit.Of("192.0.2.1")), l.Key(shared, limit.Of("ada"))
	inTurn := func() limit.Taken {
		t.Helper()
		got, err := limit.TakeInTurn(t.Context(), d, []limit.Key{narrow, beside}, []limit.Key{wide})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for range five.Free {
		expect.Equal(t, "allowed", inTurn().Allowed, true)
	}
	refused := inTurn()
	expect.Equal(t, "allowed, once the narrow count refuses", refused.Allowed, false)
	expect.Equal(t, "wait", refused.Wait, five.First)
	expect.Equal(t, "the wide count, which took no refused try", take(t, d, wide).Counts[shared.Name], five.Free+1)
	expect.Equal(t, "the count beside the narrow one, which took it", take(t, d, beside).Counts[shared.Name], five.Free+2)
}

// What a refused try counted is counted, although the transaction that it shares on SQLite took
// nothing more.
func TestARefusedWideCountKeepsTheNarrowOne(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	narrow, wide := l.Key(shared, limit.Of("ada"), limit.Of("192.0.2.1")), l.Key(five, limit.Of("ada"))
	for range five.Free {
		take(t, d, wide)
	}
	got, err := limit.TakeInTurn(t.Context(), d, []limit.Key{narrow}, []limit.Key{wide})
	if err != nil || got.Allowed {
		t.Fatalf("%+v, %v", got, err)
	}
	expect.Equal(t, "the narrow count", take(t, d, narrow).Counts[shared.Name], 2)
}

func TestOneKeyOverItsLimitRefusesTheTake(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	for range 5 {
		take(t, d, l.Key(five, limit.Of("ada")))
	}
	if got := take(t, d, l.Key(five, limit.Of("ada")), l.Key(five, limit.Of("ben"))); got.Allowed {
		t.Error("ada waits, so a take of both is refused")
	}
	if got := take(t, d, l.Key(five, limit.Of("ben"))); !got.Allowed {
		t.Error("ben does not wait for ada")
	}
}

// BRU-2: of 200 guesses at once, at most the free ones are looked at.
func TestBRU2ParallelTakesAllowOnlyTheFreeOnes(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	own, net := l.Key(five, limit.Of("ada")), l.Key(shared, limit.Of("192.0.2.1"))
	all := l.Key(wide, limit.Of("ada"))
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			got, err := limit.TakeInTurn(t.Context(), d, []limit.Key{own, net}, []limit.Key{all})
			if err != nil {
				t.Error(err)
			}
			if got.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 5 {
		t.Errorf("%d takes were allowed, want 5", allowed.Load())
	}
	expect.Equal(t, "the wide count, which others use too", take(t, d, all).Counts[wide.Name], 6)
}

func TestTakesThatOvertakeEachOtherAreNotRefused(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	k := limit.NewLimiter(secret.NewKeys().Lookup).Key(five, limit.Of("ada"))
	for range 3 {
		clock.Advance(-time.Millisecond) // an earlier time that is written later
		if got := take(t, d, k); !got.Allowed {
			t.Errorf("a free take was refused: %+v", got)
		}
	}
}

func TestSweepRemovesOnlyWhatIsForgotten(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	l := limit.NewLimiter(secret.NewKeys().Lookup)
	take(t, d, l.Key(five, limit.Of("old")))
	clock.Advance(five.Forget)
	take(t, d, l.Key(five, limit.Of("new")))
	if err := limit.Sweep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := d.One(t.Context(), db.Into(&n), `select count(*) from limits`); err != nil || n != 1 {
		t.Errorf("%d counts are left (%v), want the new one", n, err)
	}
}

func TestNetworkFoldsWhatOneCustomerHolds(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"": "", "unknown": "unknown",
	} {
		if got := limit.From(audit.Origin{Network: address}).String(); got != want {
			t.Errorf("From(%q) = %q, want %q", address, got, want)
		}
	}
}
