package credential

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/fault"
)

func TestDevicesAreRenamedByTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	a.enrol()
	f, err := a.FactorsOf(t.Context(), a.d, a.owner)
	if err != nil {
		t.Fatal(err)
	}
	id := f.Apps[0].ID
	rename := func(o Owner, name string) (renamed string, err error) {
		err = a.d.Update(t.Context(), func(tx *db.Tx) (err error) {
			renamed, err = RenameAuthenticator(t.Context(), tx, o, id, name)
			return err
		})
		return renamed, err
	}
	for typed, want := range map[string]string{
		"  My   phone ":                "My phone",
		"<script>alert(1)</script>":    "<script>alert(1)</script>", // a text like any other
		"🔑 de l’été":                   "🔑 de l’été",
		strings.Repeat("ü", 100):       strings.Repeat("ü", 100),
		"":                             "",
		" \u00a0 ":                     "",
		strings.Repeat("ü", 300):       "",
		strings.Repeat("x", 1<<20):     "",
		"right\u202eto left":           "",
		"mark\u200eed":                 "",
		"line\nbreak":                  "",
		"NUL\x00":                      "",
		"not Unicode \xff":             "",
		"\u2066isolated\u2069 letters": "",
	} {
		got, err := rename(a.owner, typed)
		f, ok := errors.AsType[*fault.Error](err)
		if want == "" {
			if !ok || f.Field != "device" {
				t.Errorf("%.40q is %q, %v, want a refusal", typed, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%.40q is %q, %v, want %q", typed, got, err, want)
		}
	}
	if _, err := rename(a.owner, "Mine"); err != nil {
		t.Fatal(err)
	}
	for who, o := range map[string]Owner{
		"a colleague": newOwner(t, a.d, a.owner.OrgID), "the same id elsewhere": {newOrg(t, a.d), a.owner.UserID}, "nobody": {},
	} {
		if _, err := rename(o, "Stolen"); !errors.Is(err, ErrAuthenticatorGone) {
			t.Errorf("%s renames: %v", who, err)
		}
		if err := a.d.Update(t.Context(), func(tx *db.Tx) error { return RemoveAuthenticator(t.Context(), tx, o, id) }); !errors.Is(err, ErrAuthenticatorGone) {
			t.Errorf("%s removes: %v", who, err)
		}
	}
	if f, err = a.FactorsOf(t.Context(), a.d, a.owner); err != nil || f.NameOf(id) != "Mine" || f.NameOf("pk_none") != "" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestTheDeviceUsedLastIsAskedForFirst(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := apps{NewAuthenticators(testPepper("k_one")), t, c.d, c.clock, c.owner()}
	passkeyLast := func() bool {
		f, err := a.FactorsOf(t.Context(), c.d, c.owner())
		if err != nil {
			t.Fatal(err)
		}
		return f.PasskeyLast()
	}
	if passkeyLast() {
		t.Error("with nothing")
	}
	seed := a.enrol()
	if passkeyLast() {
		t.Error("with an app alone")
	}
	key := newAuthenticator()
	c.must(Registration, key)
	if !passkeyLast() {
		t.Error("a passkey made after the app")
	}
	c.clock.Advance(time.Minute)
	if !a.verify(a.code(seed, 0), 1) || passkeyLast() {
		t.Error("after a code")
	}
	c.clock.Advance(time.Minute)
	if c.must(SecondStep, key); !passkeyLast() {
		t.Error("after the passkey")
	}
}

func TestRemovingAllLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := apps{NewAuthenticators(testPepper("k_one")), t, c.d, c.clock, c.owner()}
	s := testStore(t, Options{})
	other := a.another()
	for _, u := range []*apps{&a, other} {
		u.enrol()
		u.begin("ses_1")
		newCodes(t, c.d, s, u.owner)
	}
	c.must(Registration, newAuthenticator())
	update(t, c.d, func(ctx context.Context, tx *db.Tx) error { return RemoveAuthenticators(ctx, tx, c.owner()) })
	for table, want := range map[string]int{"totp_seeds": 2, "passkeys": 0, "recovery_codes": 10} {
		if n := count(t, c.d, `select count(*) from `+table); n != want {
			t.Errorf("%d rows of %s are left, want the other user's %d", n, table, want)
		}
	}
	if f, err := a.FactorsOf(t.Context(), c.d, c.owner()); err != nil || f.Any() || f.Recovery != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}
