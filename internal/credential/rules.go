package credential

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// RulesChanged is recorded with the rules before and after.
const RulesChanged audit.Action = "password_rules.changed"

// Preset is where rules start from, and the limits that they may not leave.
type Preset string

// The presets: one as customers ask for, one as NIST SP 800-63B-4 advises.
const (
	PresetClassic Preset = "classic"
	PresetModern  Preset = "modern"
)

// Rules say which new passwords an organization accepts. Common, breached and context words are
// refused under any rules. Stricter rules apply from the next change: no password expires.
type Rules struct {
	Preset        Preset
	MinimumLength int // in code points, as MaximumLength
	MaximumLength int
	Digit         bool
	UpperCase     bool
	LowerCase     bool
	Special       bool          // neither letter nor digit
	History       int           // this many last passwords, including the current one, are refused
	ResetLifetime time.Duration // of the link by which a forgotten password is replaced
}

// The two presets with their defaults. Modern asks for 15 characters where the password may be
// the only proof; where a second step is required of everybody, an organization may go down to
// 8 (decision 0018).
var (
	Classic = Rules{
		Preset: PresetClassic, MinimumLength: 8, MaximumLength: longest,
		Digit: true, UpperCase: true, LowerCase: true, Special: true, History: 10,
		ResetLifetime: ResetLifetime,
	}
	Modern = Rules{Preset: PresetModern, MinimumLength: 15, MaximumLength: longest, ResetLifetime: ResetLifetime}
)

// Nobody goes below or above these, whatever sets the rules (R-PWD-01).
const (
	shortestMinimum = 8
	shortestMaximum = 64
	mostHistory     = 24

	ResetLifetime         = 30 * time.Minute
	ShortestResetLifetime = 10 * time.Minute
	LongestResetLifetime  = 24 * time.Hour
)

// older returns how many passwords before the current one are kept. Without a history the new
// password must still differ from the current one.
func (r Rules) older() int { return max(0, r.History-1) }

// Least returns the shortest minimum length under a preset. secondStep says whether the
// organization requires a second step of everybody.
func (p Preset) Least(secondStep bool) int {
	if p == PresetModern && !secondStep {
		return Modern.MinimumLength
	}
	return shortestMinimum
}

// Check names everything for which r cannot be the rules of an organization that requires a
// second step of everybody, or does not.
func (r Rules) Check(secondStep bool) error {
	within := func(field, key string, value, least, most int) error {
		if value < least || value > most {
			return fault.Field(field, key).With("Minimum", least, "Maximum", most)
		}
		return nil
	}
	if _, known := r.Preset.Rules(); !known {
		return fault.New(fault.Malformed, "credential.rules.preset")
	}
	var classes, lifetime error
	if r.Preset == PresetModern && (r.Digit || r.UpperCase || r.LowerCase || r.Special) {
		classes = fault.Field("preset", "credential.rules.modern_classes")
	}
	if r.ResetLifetime < ShortestResetLifetime || r.ResetLifetime > LongestResetLifetime {
		lifetime = fault.Field("reset_lifetime", "credential.rules.reset_lifetime")
	}
	// Nothing is compared with a maximum that is itself out of bounds.
	most := r.MaximumLength
	if most < shortestMaximum || most > longest {
		most = longest
	}
	return errors.Join(classes,
		within("minimum_length", "credential.rules.minimum_length", r.MinimumLength, r.Preset.Least(secondStep), most),
		within("maximum_length", "credential.rules.maximum_length", r.MaximumLength, shortestMaximum, longest),
		within("history", "credential.rules.history", r.History, 0, mostHistory), lifetime)
}

// Rules returns the preset's default rules; false for an unknown preset.
func (p Preset) Rules() (Rules, bool) {
	switch p {
	case PresetClassic:
		return Classic, true
	case PresetModern:
		return Modern, true
	}
	return Rules{}, false
}

// RulesOf reads the rules of an organization, Classic if it never chose any.
func RulesOf(ctx context.Context, r db.Reader, org directory.OrgID) (Rules, error) {
	var u Rules
	var resetLifetime int64
	found, err := r.One(ctx, db.Into(&u.Preset, &u.MinimumLength, &u.MaximumLength,
		&u.Digit, &u.UpperCase, &u.LowerCase, &u.Special, &u.History, &resetLifetime), `
		select preset, minimum_length, maximum_length, digit, upper_case, lower_case, special, history, reset_lifetime
		from password_rules
		where org_id = $1`, string(org))
	if err != nil {
		return Rules{}, fmt.Errorf("reading the password rules of %s: %w", org, err)
	}
	if !found {
		return Classic, nil
	}
	u.ResetLifetime = time.Duration(resetLifetime) * time.Microsecond
	return u, nil
}

// SetRules changes the rules of an organization. Hashes that a shorter history does not need
// are deleted. Only signin knows whether a second step is required of everybody: call its
// SetPasswordRules.
func SetRules(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, r Rules, secondStep bool) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	if err := r.Check(secondStep); err != nil {
		return err
	}
	before, err := RulesOf(ctx, tx, org)
	if err != nil || before == r {
		return err
	}
	if _, err := tx.Exec(ctx, `
		insert into password_rules (org_id, preset, minimum_length, maximum_length,
			digit, upper_case, lower_case, special, history, reset_lifetime)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		on conflict (org_id) do update set preset = excluded.preset,
			minimum_length = excluded.minimum_length, maximum_length = excluded.maximum_length,
			digit = excluded.digit, upper_case = excluded.upper_case, lower_case = excluded.lower_case,
			special = excluded.special, history = excluded.history, reset_lifetime = excluded.reset_lifetime`,
		string(org), string(r.Preset), r.MinimumLength, r.MaximumLength,
		r.Digit, r.UpperCase, r.LowerCase, r.Special, r.History, r.ResetLifetime.Microseconds()); err != nil {
		return fmt.Errorf("setting the password rules of %s: %w", org, err)
	}
	if _, err := tx.Exec(ctx, `
		delete from password_history
		where org_id = $1 and id in (`+surplus+`)`, string(org), r.older(), db.Time(tx.Now().Add(-historyDay))); err != nil {
		return fmt.Errorf("shortening the password history of %s: %w", org, err)
	}
	e := actor.Event(org, RulesChanged)
	e.Target, e.Before, e.After = string(org), before.fields(), r.fields()
	return audit.Record(ctx, tx, e)
}

// surplus selects, in an organization $1, the older hashes beyond $2 of each user that were not
// in use after $3, as Rules.keeps decides for one user.
const surplus = `
	select id from (
		select id, row_number() over (partition by user_id order by set_at desc) as place,
			lag(set_at) over (partition by user_id order by set_at desc) as replaced_at
		from password_history
		where org_id = $1) as ranked
	where place > $2 and ($2 = 0 or replaced_at <= $3)`

// Reach says whom a change of rules would affect.
type Reach struct {
	People int // active and with a password, which stays as it is until they change it
	Hashes int // of older passwords, which a shorter history deletes
}

// ReachOf counts whom r would affect as the rules of an organization.
func ReachOf(ctx context.Context, q db.Reader, org directory.OrgID, r Rules, now time.Time) (Reach, error) {
	var reach Reach
	_, err := q.One(ctx, db.Into(&reach.People), `
		select count(*)
		from passwords p
		join users u on u.org_id = p.org_id and u.id = p.user_id and u.deactivated_at is null
		where p.org_id = $1`, string(org))
	if err == nil {
		_, err = q.One(ctx, db.Into(&reach.Hashes), `select count(*) from (`+surplus+`) as superfluous`, string(org), r.older(), db.Time(now.Add(-historyDay)))
	}
	return reach, err
}

func (r Rules) fields() audit.Fields {
	return audit.Fields{
		"preset": r.Preset, "minimum_length": r.MinimumLength, "maximum_length": r.MaximumLength,
		"digit": r.Digit, "upper_case": r.UpperCase, "lower_case": r.LowerCase, "special": r.Special,
		"history": r.History, "reset_lifetime": r.ResetLifetime.String(),
	}
}

// Rule is one line of the list that a page ticks off while somebody types.
type Rule struct {
	Name string // for the page's script: length, digit, upper, lower, special, common, history
	fault.Reason
}

// List names the rules in the order in which a page shows them. The last one, history, means
// nothing to somebody without a password.
func (r Rules) List() []Rule {
	line := func(name, key string, args map[string]any) Rule {
		return Rule{name, fault.Reason{Key: key, Args: args}}
	}
	list := []Rule{line("length", "credential.rule.length", map[string]any{"Minimum": r.MinimumLength, "Maximum": r.MaximumLength})}
	for _, class := range r.classes() {
		if class.wanted {
			list = append(list, line(class.name, class.rule, nil))
		}
	}
	list = append(list, line("common", "credential.rule.common", nil))
	if n := r.History; n > 1 {
		return append(list, line("history", "credential.rule.history", map[string]any{"Count": n}))
	}
	return append(list, line("history", "credential.rule.current", nil))
}
