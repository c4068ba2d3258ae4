package region

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/fault"
	"parvis/internal/outbound"
)

// refused returns the keys of the faults for names that are to be new.
func (s *side) refused(display, short string, except ...string) (keys []string) {
	s.t.Helper()
	err := s.Free(s.t.Context(), display, short, except...)
	for _, f := range fault.All(err) {
		keys = append(keys, f.Key)
	}
	if err != nil && len(keys) == 0 {
		s.t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func TestANewNameIsFreeInEveryRegion(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	name, short := ErrNameElsewhere.Key, ErrShortNameElsewhere.Key
	for _, c := range []struct {
		display, short string
		want           []string
	}{
		{"Beta Works", "beta", nil},
		{"ALPHA works", "beta", []string{name}},
		{"Beta Works", "Alpha", []string{short}},
		{"AIpha Works", "beta", []string{name}}, // looks like it
		{"Beta Works", "a1pha", []string{short}},
		{"alpha", "beta", []string{name}}, // the other's short name, which people type
		{"Alpha Works", "alpha", []string{name, short}},
		{"", "", nil}, // refused where it is stored
	} {
		if got := eu.refused(c.display, c.short); !slices.Equal(got, c.want) {
			t.Errorf("%s (%s): %v, want %v", c.display, c.short, got, c.want)
		}
	}
	eu.peers[0].Address, eu.peers[0].client = "http://127.0.0.1:1", outbound.New(nil).Peer("http://127.0.0.1:1")
	if got := eu.refused("Beta Works", "beta"); !slices.Equal(got, []string{ErrUnasked.Key}) {
		t.Errorf("unasked: %v", got)
	}
	if got := eu.refused("Beta Works", "beta", "us"); len(got) > 0 {
		t.Errorf("left out: %v", got)
	}
}

func (s *side) sweep() []Check {
	s.t.Helper()
	if err := s.Sweep(s.t.Context(), s.DB); err != nil {
		s.t.Fatal(err)
	}
	all, err := Checks(s.t.Context(), s.DB)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// A name that was given while the other region could not be asked is compared later, and where both
// have it both operators are told, until one has given it up.
func TestACollisionIsFoundLaterAndShownToBoth(t *testing.T) {
	eu, us := pair(t)
	theirs := us.organization("Alpha Works", "alpha")
	mine := eu.organization("Alpha Works", "alpha-eu")
	eu.organization("Beta Works", "beta")
	both := func(by time.Duration) { eu.clock.Advance(by); us.clock.Advance(by) }
	alive, address := eu.peers[0].client, eu.peers[0].Address
	eu.peers[0].Address, eu.peers[0].client = "http://127.0.0.1:1", outbound.New(nil).Peer("http://127.0.0.1:1")
	if all := eu.sweep(); len(all) != 1 || all[0].Peer != "us" || !all[0].ClashAt.IsZero() {
		t.Fatalf("while it does not answer: %+v", all)
	}
	eu.peers[0].Address, eu.peers[0].client = address, alive
	both(againSilence)
	all := eu.sweep()
	if len(all) != 1 || all[0].ClashAt.IsZero() {
		t.Fatalf("here: %+v", all)
	}
	since := all[0].ClashAt
	there, err := Checks(t.Context(), us.DB)
	if err != nil || len(there) != 1 {
		t.Fatalf("there: %+v, %v", there, err)
	}
	expect.Equal(t, "here", all[0], Check{Org: mine.ID, ShortName: "alpha-eu", Name: "Alpha Works", Peer: "us", ClashAt: since})
	expect.Equal(t, "there", there[0], Check{Org: theirs.ID, ShortName: "alpha", Name: "Alpha Works", Peer: "eu", ClashAt: there[0].ClashAt})
	if there[0].ClashAt.IsZero() {
		t.Error("there is no time since when")
	}
	// Neither learns what the other's is called otherwise, or its id.
	if text := dbtest.Dump(t, us.DB, "region_checks"); strings.Contains(text, string(mine.ID)) || strings.Contains(text, "alpha-eu") {
		t.Errorf("there is in the table: %s", text)
	}
	both(againClash)
	if all := eu.sweep(); len(all) != 1 || !all[0].ClashAt.Equal(since) {
		t.Errorf("an hour later: %+v", all)
	}
	eu.Update(func(tx *db.Tx) error {
		p := mine.Profile()
		p.DisplayName = "Alpha Bakery"
		_, err := directory.ChangeOrganization(t.Context(), tx, directory.Operator(), mine.ID, p)
		return err
	})
	both(time.Minute)
	if all := eu.sweep(); len(all) > 0 {
		t.Errorf("after the name was given up: %+v", all)
	}
	both(againClash)
	if all := us.sweep(); len(all) > 0 {
		t.Errorf("there, after the name was given up: %+v", all)
	}
	heard := len(us.heard)
	both(24 * time.Hour)
	if eu.sweep(); len(us.heard) != heard {
		t.Error("a name that is settled is asked for again")
	}
}

// Two organizations of one name that are made at once are found too.
func TestNamesGivenAtOnceAreFound(t *testing.T) {
	eu, us := pair(t)
	for _, s := range []*side{eu, us} {
		if got := s.refused("Alpha Works", "alpha"); len(got) > 0 {
			t.Fatal(got)
		}
	}
	eu.organization("Alpha Works", "alpha")
	us.organization("Alpha Works", "alpha")
	eu.clock.Advance(time.Minute)
	us.clock.Advance(time.Minute)
	if all := us.sweep(); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	if all, err := Checks(t.Context(), eu.DB); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// A question that claims nothing writes nothing.
func TestOnlyAClaimIsNoted(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	eu.knows("alpha")
	eu.refused("Alpha Works", "alpha")
	if all, err := Checks(t.Context(), us.DB); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := us.claimed(t.Context(), us.peers[0], "org_none"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
}

// A name that today's rules would refuse is asked about as it is, and keeps no other waiting.
func TestANameOfOlderRulesIsAskedToo(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	old := eu.organization("Omega Works", "omega")
	eu.organization("Alpha Works", "alpha-eu")
	eu.Update(func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `update organizations set short_name = '-' where id = $1`, string(old.ID))
		return err
	})
	if all := eu.sweep(); len(all) != 1 || all[0].ShortName != "alpha-eu" {
		t.Errorf("%+v", all)
	}
}

// What is open with a region that is no peer any more is forgotten, and nothing else.
func TestWhatIsOpenWithARegionThatIsGoneIsForgotten(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	eu.organization("Alpha Works", "alpha-eu")
	eu.sweep()
	gone := &peer{Peer: Peer{ID: "ap"}}
	eu.Update(func(tx *db.Tx) error {
		o, err := directory.OrganizationByName(t.Context(), tx, "alpha-eu")
		if err != nil {
			return err
		}
		return note(t.Context(), tx, gone, o, tx.Now().Add(againClash), tx.Now())
	})
	if all, err := Checks(t.Context(), eu.DB); err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if all := eu.sweep(); len(all) != 1 || all[0].Peer != "us" {
		t.Errorf("%+v", all)
	}
}
