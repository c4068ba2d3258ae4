package credential

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"parvis/internal/credential/foreign"
	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// bcrypted returns a password as another system hashed it.
func bcrypted(t testing.TB, text string) foreign.Hash {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	h, err := foreign.Parse(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func importPassword(t testing.TB, d *db.DB, s *Store, o Owner, text string) {
	t.Helper()
	update(t, d, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update users set has_password = true where org_id = $1 and id = $2`, string(o.OrgID), string(o.UserID)); err != nil {
			return err
		}
		return s.ImportPasswords(ctx, tx, []ImportedPassword{{Owner: o, Hash: bcrypted(t, text)}})
	})
}

func storedText(t testing.TB, d *db.DB, o Owner) string {
	t.Helper()
	s, err := StoredPassword(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return s.hash
}

func TestAnImportedPasswordSignsInAndIsRenewed(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	importPassword(t, d, s, o, good)
	text := storedText(t, d, o)
	if !strings.HasPrefix(text, "$imported$v=1$bcrypt/04,form=typed$k_one.") || strings.Contains(text, "$2a$") {
		t.Errorf("stored as %s", text)
	}
	if out := signIn(t, d, s, o, nth(0)); out.OK || out.Failures != 1 {
		t.Errorf("a wrong password: %+v", out)
	}
	if text != storedText(t, d, o) {
		t.Error("a wrong password renewed the hash")
	}
	if out := signIn(t, d, s, o, good); !out.OK {
		t.Error("the right password is refused")
	}
	if text := storedText(t, d, o); !strings.HasPrefix(text, "$argon2id$") {
		t.Errorf("after the first sign-in it is %s", text)
	}
	if out := signIn(t, d, s, o, good); !out.OK || out.Failures != 0 {
		t.Errorf("the second sign-in: %+v", out)
	}
}

// A row that was moved to another user opens nothing, and one that cannot be opened is no way in.
func TestAnImportedPasswordIsSealedForItsOwner(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	org := newOrg(t, d)
	o, other := newOwner(t, d, org), newOwner(t, d, org)
	importPassword(t, d, s, o, good)
	moved := Stored{Owner: other, hash: storedText(t, d, o)}
	if v, err := s.Verify(t.Context(), source, moved, good); err == nil || v.OK {
		t.Errorf("a moved row verifies: %+v, %v", v, err)
	}
	rotated, err := NewStore(testPepper("k_two"), Options{Cost: quick})
	if err != nil {
		t.Fatal(err)
	}
	mine := Stored{Owner: o, hash: storedText(t, d, o)}
	if _, err := rotated.Verify(t.Context(), source, mine, good); err == nil || !strings.Contains(err.Error(), "no pepper key k_one") {
		t.Errorf("without its key: %v", err)
	}
	// A new password can be set all the same, since the old one cannot be compared.
	if err := change(t, d, rotated, o, nth(0)); err != nil {
		t.Error(err)
	}
}

func TestAnImportedPasswordIsPartOfTheHistory(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	importPassword(t, d, s, o, good)
	if got := reasons(t, change(t, d, s, o, good)); len(got) != 1 || got[0] != "history" {
		t.Errorf("the imported one again: %q", got)
	}
	mustChange(t, d, s, o, nth(0))
	if got := reasons(t, change(t, d, s, o, good)); len(got) != 1 || got[0] != "history" {
		t.Errorf("the imported one after another: %q", got)
	}
}

// Every hash is sealed again, however many parts they are, and those of one person that a part ends in.
func TestEveryImportedHashIsSealedAgain(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	before := testStore(t, Options{})
	org := newOrg(t, d)
	h := bcrypted(t, good)
	for range 2*db.Part + 3 {
		o := newOwner(t, d, org)
		importPassword(t, d, before, o, good)
		update(t, d, func(ctx context.Context, tx *db.Tx) error {
			for i := range 3 {
				if _, err := tx.Exec(ctx, `insert into password_history (org_id, user_id, id, hash, set_at) values ($1, $2, $3, $4, $5)`,
					string(o.OrgID), string(o.UserID), fmt.Sprint("pw_", i), before.storedImport(o, h), db.Time(tx.Now())); err != nil {
					return err
				}
			}
			return nil
		})
	}
	after, err := NewStore(testPepper("k_two", "k_one"), Options{Cost: quick})
	if err != nil {
		t.Fatal(err)
	}
	if err := after.SealImportedAgain(t.Context(), d, "k_one"); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"passwords": 2*db.Part + 3, "password_history": 3 * (2*db.Part + 3)} {
		for pepper, want := range map[string]int{"k_one": 0, "k_two": want} {
			var n int
			if _, err := d.One(t.Context(), db.Into(&n), `select count(*) from `+table+` where hash like $1`, importedUnder(pepper)); err != nil || n != want {
				t.Errorf("%d rows of %s are sealed under %s, %v, want %d", n, table, pepper, err, want)
			}
		}
	}
}

// Decision 0081: nobody's hash costs what people's cost, imported ones too, as often as they have it.
func TestNobodyCostsWhatImportedPeopleCost(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	org := newOrg(t, d)
	for range 3 {
		importPassword(t, d, s, newOwner(t, d, org), good)
	}
	mustChange(t, d, s, newOwner(t, d, org), good)
	if err := TakeCosts(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d, `select count(*) from password_costs`); n != 2 {
		t.Fatalf("%d costs in the snapshot, want 2: none may hold anything of a seal", n)
	}
	imported := bcrypted(t, good).Cost()
	if share := shareOf(t, d, s, Cost{imported: imported}); share < 2850 || share > 3150 {
		t.Errorf("%d of 4,000 addresses that nobody has cost what imported people cost, want 3,000", share)
	}
	moved := 0
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		stored, err := s.AsCostly(t.Context(), d, Stored{}, name+"@meridian.example")
		if err != nil {
			t.Fatal(err)
		}
		h, err := s.against(stored)
		if err != nil {
			t.Fatal(err)
		}
		if h.imported.IsZero() == (h.cost.imported == imported) {
			t.Errorf("%s: cost %s is compared with %s", name, h.cost, h.imported)
		}
		if !h.imported.IsZero() {
			moved++
		}
		if v, err := s.Verify(t.Context(), source, stored, good); err != nil || v.OK || v.renewed != "" {
			t.Errorf("%s: nobody signs in: %+v, %v", name, v, err)
		}
	}
	if moved == 0 {
		t.Error("no address costs what imported people cost")
	}
}

// What cannot be a password costs one hash too, of the kind that the person has.
func TestWhatCannotBeAPasswordIsNoImportedPassword(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := testStore(t, Options{})
	o := newOwner(t, d, newOrg(t, d))
	importPassword(t, d, s, o, "tab\there")
	if out := signIn(t, d, s, o, "tab\there"); out.OK {
		t.Error("a control character is taken")
	}
	disabled := Stored{Owner: o, hash: storedText(t, d, o), DisabledAt: d.Now()}
	importPassword(t, d, s, newOwner(t, d, o.OrgID), good)
	if v := verify(t, s, disabled, "tab\there"); v.OK {
		t.Error("a disabled password is taken")
	}
}
