package credential

import (
	"context"
	"encoding/base32"
	"os"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/secret"
)

// newCodes makes a set for a user as a page does.
func newCodes(t testing.TB, d *db.DB, s *Store, o Owner) []string {
	t.Helper()
	set, err := s.NewRecoveryCodes(t.Context(), source, o)
	if err != nil {
		t.Fatal(err)
	}
	update(t, d, func(ctx context.Context, tx *db.Tx) error { return SetRecoveryCodes(ctx, tx, set) })
	return set.Codes
}

func useCode(t testing.TB, d *db.DB, s *Store, o Owner, typed string) (left int, right bool, err error) {
	v, err := s.HashRecoveryCode(t.Context(), d, source, o, typed)
	if err != nil {
		return 0, false, err
	}
	err = d.Update(t.Context(), func(tx *db.Tx) (err error) {
		left, right, err = UseRecoveryCode(t.Context(), tx, v)
		return err
	})
	return left, right, err
}

// mustUse wants a code to be accepted or refused.
func mustUse(t testing.TB, d *db.DB, s *Store, o Owner, typed string, want bool) (left int) {
	t.Helper()
	left, right, err := useCode(t, d, s, o, typed)
	if err != nil || right != want {
		t.Errorf("the code %q: %v, %v, want %v", typed, right, err, want)
	}
	return left
}

func TestRecoveryCodesAreTenOf80BitsUnderOneSalt(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	codes := newCodes(t, d, s, o)
	stored := dbtest.Dump(t, d, "recovery_codes")
	seen := map[string]bool{}
	for _, code := range codes {
		plain := strings.ReplaceAll(code, "-", "")
		bits, err := base32.StdEncoding.DecodeString(plain)
		if err != nil || len(bits) != 10 || len(strings.Split(code, "-")) != 4 {
			t.Errorf("%s: %d bits, %v", code, 8*len(bits), err)
		}
		if strings.Contains(stored, plain) || strings.Contains(stored, code) || strings.Contains(stored, plain[:8]) {
			t.Errorf("%s is stored as it is", code)
		}
		seen[code] = true
	}
	if len(seen) != 10 || len(codes) != 10 {
		t.Errorf("%d codes, %d of them different", len(codes), len(seen))
	}
	salts := map[string]int{}
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		h, err := parseHash(text)
		salts[string(h.salt)]++
		return err
	}, `select hash from recovery_codes where org_id = $1`, string(o.OrgID)); err != nil {
		t.Fatal(err)
	}
	if len(salts) != 1 {
		t.Errorf("%d salts: a typed code would cost as many hashes", len(salts))
	}
}

func TestRecoveryCodeWorksOnce(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	codes := newCodes(t, d, s, o)
	for i, code := range codes {
		if left := mustUse(t, d, s, o, code, true); left != 9-i {
			t.Errorf("after %d codes %d are left", i+1, left)
		}
		mustUse(t, d, s, o, code, false)
	}
	if left, err := RecoveryCodesLeft(t.Context(), d, o); err != nil || left != 0 {
		t.Errorf("%d left, %v", left, err)
	}
}

func TestRecoveryCodeSentAtOnceWorksOnce(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	for _, code := range newCodes(t, d, s, o)[:3] {
		atOnce(t, 8, func() (bool, error) {
			_, right, err := useCode(t, d, s, o, code)
			return right, err
		})
	}
	if left, err := RecoveryCodesLeft(t.Context(), d, o); err != nil || left != 7 {
		t.Errorf("%d left, %v, want 7", left, err)
	}
}

func TestRecoveryCodeOpensForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	org := newOrg(t, d)
	ada, without := newOwner(t, d, org), newOwner(t, d, org)
	bob, elsewhere := newOwner(t, d, org), newOwner(t, d, newOrg(t, d))
	codes := newCodes(t, d, s, ada)
	newCodes(t, d, s, bob)
	newCodes(t, d, s, elsewhere)
	for _, other := range []Owner{bob, without, elsewhere, {}, {OrgID: elsewhere.OrgID, UserID: ada.UserID}} {
		mustUse(t, d, s, other, codes[0], false)
	}
	// Its row moved to another user is worth nothing: the hash is bound to both ids.
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update recovery_codes set user_id = $1 where org_id = $2 and user_id = $3`,
			string(without.UserID), string(org), string(ada.UserID))
		return err
	})
	mustUse(t, d, s, without, codes[0], false)
	mustUse(t, d, s, ada, codes[0], false)
}

func TestRecoveryCodeIsReadInEverySpelling(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	wide := func(code string) string {
		return strings.Map(func(r rune) rune {
			if r == '-' {
				return '－'
			}
			return r - '!' + '！'
		}, code)
	}
	arabic := func(code string) string {
		return strings.Map(func(r rune) rune {
			if r >= '2' && r <= '7' {
				return r - '0' + '٠'
			}
			return r
		}, code)
	}
	spellings := []func(string) string{
		func(c string) string { return c },
		strings.ToLower,
		func(c string) string { return strings.ReplaceAll(c, "-", "") },
		func(c string) string { return strings.ReplaceAll(c, "-", " ") },
		func(c string) string { return " " + strings.ReplaceAll(c, "-", "\u00a0–\u200b") + "\r\n" },
		func(c string) string { return strings.NewReplacer("O", "0", "I", "1", "B", "8").Replace(c) },
		wide, arabic,
	}
	codes := newCodes(t, d, s, o)
	for i, spell := range spellings {
		mustUse(t, d, s, o, spell(codes[i]), true)
	}
	last := codes[9]
	for _, typed := range []string{"", "-", last[1:], last + "A", last + last, codes[8] + last, "\x00", "\xff" + last, strings.Repeat("A", 1<<20), last + strings.Repeat(" ", 1<<20)} {
		mustUse(t, d, s, o, typed, false)
	}
	mustUse(t, d, s, o, last, true)
}

func TestNewRecoveryCodesEndTheOldOnes(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	old := newCodes(t, d, s, o)
	mustUse(t, d, s, o, old[0], true)
	// Typed before and sent after: the set that it was hashed for no longer exists.
	v, err := s.HashRecoveryCode(t.Context(), d, source, o, old[1])
	if err != nil {
		t.Fatal(err)
	}
	fresh := newCodes(t, d, s, o)
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		if _, right, err := UseRecoveryCode(ctx, tx, v); right || err != nil {
			t.Errorf("a code of the old set that was on its way: %v, %v", right, err)
		}
		return nil
	})
	mustUse(t, d, s, o, old[2], false)
	if left := mustUse(t, d, s, o, fresh[0], true); left != 9 {
		t.Errorf("%d of the new set are left", left)
	}
}

func TestRecoveryCodesOutliveANewPepper(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	o := newOwner(t, d, newOrg(t, d))
	codes := newCodes(t, d, testStore(t, Options{}), o)
	rotated, err := NewStore(testPepper("k_two", "k_one"), Options{Cost: quick})
	if err != nil {
		t.Fatal(err)
	}
	mustUse(t, d, rotated, o, codes[0], true)
}

// Migration 00002 deletes codes of users without an authenticator, and codes that were made before
// their user ever added one.
func TestMigrationVoidsCodesThatStoodInForNoDevice(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	s, org := testStore(t, Options{}), newOrg(t, d)
	migration, err := os.ReadFile("../db/migrations/00002_codes_and_costs.sql")
	if err != nil {
		t.Fatal(err)
	}
	device := func(o Owner) {
		update(t, d, func(ctx context.Context, tx *db.Tx) error {
			if _, err := tx.Exec(ctx, `
				insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at, confirmed_at)
				values ($1, $2, $3, 'Phone', '', '', 0, $4, $4)`, string(o.OrgID), secret.NewID("app"), string(o.UserID), db.Time(tx.Now())); err != nil {
				return err
			}
			return audit.Record(ctx, tx, audit.Event{OrgID: string(o.OrgID), Actor: string(o.UserID), Action: "device.added"})
		})
		dbtest.ByHand(t, d)
		clock.Advance(time.Hour)
	}
	codes := func(o Owner) { newCodes(t, d, s, o); clock.Advance(time.Hour) }
	without, planted, rightly := newOwner(t, d, org), newOwner(t, d, org), newOwner(t, d, org)
	codes(without)
	codes(planted)
	device(planted)
	device(rightly)
	codes(rightly)
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		for statement := range strings.SplitSeq(string(migration), ";\n") {
			if !strings.Contains(statement, "delete from") {
				continue // the rest was done when this database was made
			}
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	for name, c := range map[string]struct {
		owner Owner
		left  int
	}{"no device": {without, 0}, "made before the first device": {planted, 0}, "made with a device": {rightly, 10}} {
		if left, err := RecoveryCodesLeft(t.Context(), d, c.owner); err != nil || left != c.left {
			t.Errorf("%s: %d codes are left, want %d (%v)", name, left, c.left, err)
		}
	}
}

// A pepper is not needed for codes that were used, so a code that is typed once it is taken out is wrong,
// and no error.
func TestUsedRecoveryCodesOutliveTheirPepper(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	codes := newCodes(t, d, s, o)
	for _, code := range codes {
		mustUse(t, d, s, o, code, true)
	}
	later, err := NewStore(testPepper("k_later"), Options{Cost: quick})
	if err != nil {
		t.Fatal(err)
	}
	mustUse(t, d, later, o, codes[0], false)
	mustUse(t, d, later, o, "AAAA-BBBB-CCCC-DDDD", false)
}
