package credential

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

func TestPWD1RulesKeepTheirBounds(t *testing.T) {
	with := func(r Rules, change func(*Rules)) Rules { change(&r); return r }
	tests := map[string]struct {
		rules      Rules
		field      string // of each refusal; empty if accepted
		secondStep bool   // is required of everybody
	}{
		"classic":                          {Classic, "", false},
		"modern":                           {Modern, "", false},
		"classic of 7":                     {with(Classic, func(r *Rules) { r.MinimumLength = 7 }), "minimum_length", false},
		"classic of 0":                     {with(Classic, func(r *Rules) { r.MinimumLength = 0 }), "minimum_length", false},
		"classic of 400":                   {with(Classic, func(r *Rules) { r.MinimumLength = 400 }), "", false},
		"classic of 401":                   {with(Classic, func(r *Rules) { r.MinimumLength, r.MaximumLength = 401, 401 }), "minimum_length maximum_length", false},
		"longer than the longest":          {with(Classic, func(r *Rules) { r.MinimumLength, r.MaximumLength = 65, 64 }), "minimum_length", false},
		"modern of 14":                     {with(Modern, func(r *Rules) { r.MinimumLength = 14 }), "minimum_length", false},
		"modern of 14, with a second step": {with(Modern, func(r *Rules) { r.MinimumLength = 14 }), "", true},
		"modern of 8, with a second step":  {with(Modern, func(r *Rules) { r.MinimumLength = 8 }), "", true},
		"modern of 7, with a second step":  {with(Modern, func(r *Rules) { r.MinimumLength = 7 }), "minimum_length", true},
		"classic of 7, with a second step": {with(Classic, func(r *Rules) { r.MinimumLength = 7 }), "minimum_length", true},
		"modern of 16":                     {with(Modern, func(r *Rules) { r.MinimumLength = 16 }), "", false},
		"at most 63":                       {with(Classic, func(r *Rules) { r.MaximumLength = 63 }), "maximum_length", false},
		"at most 64":                       {with(Classic, func(r *Rules) { r.MaximumLength = 64 }), "", false},
		"at most 401":                      {with(Classic, func(r *Rules) { r.MaximumLength = 401 }), "maximum_length", false},
		"classic without classes":          {with(Classic, func(r *Rules) { r.Digit, r.UpperCase, r.LowerCase, r.Special = false, false, false, false }), "", false},
		"modern with a digit":              {with(Modern, func(r *Rules) { r.Digit = true }), "preset", false},
		"modern with a special":            {with(Modern, func(r *Rules) { r.Special = true }), "preset", false},
		"modern with upper case":           {with(Modern, func(r *Rules) { r.UpperCase = true }), "preset", false},
		"modern with lower case":           {with(Modern, func(r *Rules) { r.LowerCase = true }), "preset", false},
		"history of 24":                    {with(Modern, func(r *Rules) { r.History = 24 }), "", false},
		"history of 25":                    {with(Classic, func(r *Rules) { r.History = 25 }), "history", false},
		"resets of 9 minutes":              {with(Classic, func(r *Rules) { r.ResetLifetime = ShortestResetLifetime - 1 }), "reset_lifetime", false},
		"resets of 25 hours":               {with(Modern, func(r *Rules) { r.ResetLifetime = LongestResetLifetime + 1 }), "reset_lifetime", false},
		"all wrong at once":                {Rules{Preset: PresetModern, Digit: true, History: 25}, "preset minimum_length maximum_length history reset_lifetime", false},
		"history below zero":               {with(Classic, func(r *Rules) { r.History = -1 }), "history", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(fieldsOf(t, tt.rules.Check(tt.secondStep)), " "); got != tt.field {
				t.Errorf("got a refusal of %q, want %q", got, tt.field)
			}
		})
	}
	if err := (Rules{}).Check(true); err == nil {
		t.Error("rules without a preset are accepted")
	}
}

// fieldsOf returns the fields that a refusal names, in its order.
func fieldsOf(t *testing.T, err error) (fields []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%v is no list of faults", err)
	}
	for _, e := range all.Unwrap() {
		f, ok := errors.AsType[*fault.Error](e)
		if !ok || f.Kind != fault.Invalid {
			t.Fatalf("%v is no fault of a field", e)
		}
		fields = append(fields, f.Field)
	}
	return fields
}

func setRules(t *testing.T, d *db.DB, actor directory.Actor, org directory.OrgID, r Rules) error {
	t.Helper()
	return d.Update(t.Context(), func(tx *db.Tx) error { return SetRules(t.Context(), tx, actor, org, r, false) })
}

// token returns an actor whose right stays what it is.
func token(org directory.OrgID, role directory.Role) directory.Actor {
	a := directory.Actor{Kind: directory.KindToken, OrgID: org, ID: "tok_x", Role: role}
	a.Again = func(context.Context, db.Reader) (directory.Actor, error) { return a, nil }
	return a
}

func TestRulesAreClassicUntilChosenAndAudited(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	org, other := newOrg(t, d), newOrg(t, d)
	actor := token(org, directory.Administrator)
	of := func(org directory.OrgID) Rules {
		r, err := RulesOf(t.Context(), d, org)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if of(org) != Classic {
		t.Errorf("at first: %+v", of(org))
	}
	stricter := Classic
	stricter.MinimumLength, stricter.Special, stricter.History = 12, false, 24
	for _, r := range []Rules{stricter, Modern, Modern} {
		if err := setRules(t, d, actor, org, r); err != nil || of(org) != r {
			t.Errorf("set %+v, got %+v, %v", r, of(org), err)
		}
	}
	if of(other) != Classic {
		t.Error("another organization's rules changed too")
	}
	var before, after []string
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var b, a string
		err := scan(&b, &a)
		before, after = append(before, b), append(after, a)
		return err
	}, `select before, after from audit_events where action = $1 and actor = 'tok_x' order by at, id`, string(RulesChanged)); err != nil {
		t.Fatal(err)
	}
	if len(after) != 2 {
		t.Fatalf("%d events, want two: the third changed nothing", len(after))
	}
	if !slices.ContainsFunc(before, func(s string) bool { return strings.Contains(s, `"minimum_length":8`) }) ||
		!slices.ContainsFunc(after, func(s string) bool { return strings.Contains(s, `"preset":"modern"`) }) {
		t.Errorf("before %q, after %q", before, after)
	}
}

func TestOnlyAdministratorsOfTheOrganizationChangeItsRules(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	org, other := newOrg(t, d), newOrg(t, d)
	for _, role := range directory.Roles {
		want := error(directory.ErrDenied)
		if role == directory.Owner || role == directory.Administrator {
			want = nil
		}
		if err := setRules(t, d, token(org, role), org, Modern); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", role, err, want)
		}
		if err := setRules(t, d, token(other, role), org, Classic); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%s of another organization: %v", role, err)
		}
	}
	if err := setRules(t, d, directory.Operator(), org, Classic); err != nil {
		t.Errorf("the operator: %v", err)
	}
	if n := count(t, d, `select count(*) from audit_events where actor = $1`, audit.Operator); n != 1 {
		t.Errorf("%d events of the operator, want 1", n)
	}
}

// R-PWD-07: lowering the history deletes what is no longer needed, of this organization's users
// and of no others.
func TestPWD7LoweringTheHistoryDeletesItsSurplus(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	s := testStore(t, Options{})
	org, other := newOrg(t, d), newOrg(t, d)
	owners := []Owner{newOwner(t, d, org), newOwner(t, d, org), newOwner(t, d, other)}
	for _, o := range owners {
		for n := range 6 {
			mustChange(t, d, s, o, nth(n))
		}
	}
	kept := func(o Owner) int {
		return count(t, d, `select count(*) from password_history where org_id = $1 and user_id = $2`, string(o.OrgID), string(o.UserID))
	}
	today := Classic
	today.History = 4
	if reach, err := ReachOf(t.Context(), d, org, today, d.Now()); err != nil || reach != (Reach{People: 2}) {
		t.Errorf("a history of 4 is said to meet %+v (%v), though all were in use today", reach, err)
	}
	clock.Advance(historyDay + time.Second)
	for _, tt := range []struct{ history, want int }{{10, 5}, {4, 3}, {24, 3}, {1, 0}, {0, 0}} {
		r := Classic
		r.History = tt.history
		before := kept(owners[0]) + kept(owners[1])
		if reach, err := ReachOf(t.Context(), d, org, r, d.Now()); err != nil || reach != (Reach{People: 2, Hashes: before - 2*tt.want}) {
			t.Errorf("a history of %d is said to meet %+v (%v), it deletes %d", tt.history, reach, err, before-2*tt.want)
		}
		if err := setRules(t, d, directory.Operator(), org, r); err != nil {
			t.Fatal(err)
		}
		for _, o := range owners[:2] {
			if n := kept(o); n != tt.want {
				t.Errorf("with a history of %d, %d old hashes are kept, want %d", tt.history, n, tt.want)
			}
		}
		if n := kept(owners[2]); n != 5 {
			t.Errorf("the other organization keeps %d, want its 5", n)
		}
		if tt.history == 4 { // the newest three are the ones kept
			for n, free := range []bool{true, true, false, false, false, false} {
				past, err := HistoryOf(t.Context(), d, r, owners[0], d.Now())
				if err != nil {
					t.Fatal(err)
				}
				p, err := s.Check(r, Context{}, nth(n))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Hash(t.Context(), source, past, p); (err == nil) != free {
					t.Errorf("number %d: %v, want free %v", n, err, free)
				}
			}
		}
	}
}

func TestTheListNamesWhatIsChecked(t *testing.T) {
	names := func(r Rules) (names []string) {
		for _, rule := range r.List() {
			names = append(names, rule.Name+" "+strings.TrimPrefix(rule.Key, "credential.rule."))
		}
		return names
	}
	if got, want := names(Classic), []string{
		"length length", "digit digit", "lower lower_case", "upper upper_case", "special special", "common common", "history history",
	}; !slices.Equal(got, want) {
		t.Errorf("classic: %q, want %q", got, want)
	}
	if got, want := names(Modern), []string{"length length", "common common", "history current"}; !slices.Equal(got, want) {
		t.Errorf("modern: %q, want %q", got, want)
	}
	first := Classic.List()[0]
	if want := map[string]any{"Minimum": 8, "Maximum": 400}; !reflect.DeepEqual(first.Args, want) {
		t.Errorf("the length names %v, want %v", first.Args, want)
	}
}

func TestRulesSurviveTheDatabase(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	for bits := range 16 {
		org := newOrg(t, d)
		r := Rules{PresetClassic, 8 + bits, 64 + bits, bits&1 > 0, bits&2 > 0, bits&4 > 0, bits&8 > 0, bits, ResetLifetime + time.Duration(bits)*time.Minute}
		update(t, d, func(ctx context.Context, tx *db.Tx) error {
			return SetRules(ctx, tx, directory.Operator(), org, r, false)
		})
		if got, err := RulesOf(t.Context(), d, org); err != nil || got != r {
			t.Error(fmt.Errorf("stored %+v, read %+v: %w", r, got, err))
		}
	}
}
