package signin

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// SecondStepRules say who needs a second step in an organization.
type SecondStepRules struct {
	// RequiredFrom is when everybody who signs in natively needs one; zero leaves the choice to
	// each person.
	RequiredFrom time.Time
	Privileged   bool // owners and administrators need one already
	Tolerance    int  // steps of 30 seconds that an app's clock may differ by: 0 or 1
	Passwordless bool // a passkey that verified its user is enough, without a password
}

// DefaultSecondStep applies where an organization never chose (R-AUT-04).
var DefaultSecondStep = SecondStepRules{Privileged: true, Tolerance: 1, Passwordless: true}

// The faults of rules.
var (
	// ErrTolerance says that a clock may differ by one step at most.
	ErrTolerance = fault.Field("tolerance", "signin.tolerance")

	// ErrShortPasswords says that passwords are allowed to be short because everybody is
	// required to have a second step, so that this cannot be dropped without the other.
	ErrShortPasswords = fault.Field("required_from", "signin.short_passwords")
)

// OfEveryone reports whether everybody who signs in natively needs a second step at an instant.
func (r SecondStepRules) OfEveryone(now time.Time) bool {
	return !r.RequiredFrom.IsZero() && !now.Before(r.RequiredFrom)
}

// RequiredOf reports whether a role needs a second step at an instant.
func (r SecondStepRules) RequiredOf(role directory.Role, now time.Time) bool {
	return r.Privileged && (role == directory.Owner || role == directory.Administrator) || r.OfEveryone(now)
}

// SecondStepRulesOf reads an organization's rules.
func SecondStepRulesOf(ctx context.Context, r db.Reader, org directory.OrgID) (SecondStepRules, error) {
	var s SecondStepRules
	found, err := r.One(ctx, db.Into((*db.Time)(&s.RequiredFrom), &s.Privileged, &s.Tolerance, &s.Passwordless), `
		select required_from, privileged, tolerance, passwordless
		from second_step_rules
		where org_id = $1`, string(org))
	if err != nil || !found {
		return DefaultSecondStep, err
	}
	return s, nil
}

// SetSecondStepRules changes an organization's rules. They apply from the next step of every
// attempt; open sessions continue (decision 0028).
func SetSecondStepRules(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, s SecondStepRules) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	if s.Tolerance < 0 || s.Tolerance > 1 {
		return ErrTolerance
	}
	passwords, err := credential.RulesOf(ctx, tx, org)
	if err != nil {
		return err
	}
	if least := passwords.Preset.Least(s.OfEveryone(tx.Now())); passwords.MinimumLength < least {
		return ErrShortPasswords.With("Minimum", passwords.MinimumLength, "Least", least)
	}
	s.RequiredFrom = s.RequiredFrom.Truncate(time.Microsecond).UTC() // as it is stored, for comparing
	before, err := SecondStepRulesOf(ctx, tx, org)
	if err != nil || before == s {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into second_step_rules (org_id, required_from, privileged, tolerance, passwordless)
		values ($1, $2, $3, $4, $5)
		on conflict (org_id) do update set required_from = excluded.required_from, privileged = excluded.privileged,
			tolerance = excluded.tolerance, passwordless = excluded.passwordless`,
		string(org), db.Time(s.RequiredFrom), s.Privileged, s.Tolerance, s.Passwordless)
	if err != nil {
		return fmt.Errorf("setting the second step rules of %s: %w", org, err)
	}
	e := actor.Event(org, "second_step_rules.changed")
	e.Target, e.Before, e.After = string(org), before.fields(), s.fields()
	return audit.Record(ctx, tx, e)
}

// SetPasswordRules changes the rules for passwords. Modern ones may be short only while
// everybody is required to have a second step (R-PWD-01).
func SetPasswordRules(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, r credential.Rules) error {
	second, err := SecondStepRulesOf(ctx, tx, org)
	if err != nil {
		return err
	}
	return credential.SetRules(ctx, tx, actor, org, r, second.OfEveryone(tx.Now()))
}

func (r SecondStepRules) fields() audit.Fields {
	f := audit.Fields{"privileged": r.Privileged, "tolerance": r.Tolerance, "passwordless": r.Passwordless}
	if !r.RequiredFrom.IsZero() {
		f["required_from"] = r.RequiredFrom
	}
	return f
}

// Meets counts whom a rule would affect: active people whose password signs in and who have no
// second step, and how many of them are owners or administrators. People who sign in by a
// provider alone are not affected: the provider answers for its own factors.
type Meets struct{ People, Privileged int }

// WithoutSecondStep counts these people in an organization.
func WithoutSecondStep(ctx context.Context, r db.Reader, org directory.OrgID) (Meets, error) {
	var m Meets
	_, err := r.One(ctx, db.Into(&m.People, &m.Privileged), `
		select count(*), coalesce(sum(case when u.role in ($1, $2) then 1 else 0 end), 0)
		from users u
		where u.org_id = $3 and `+Lacking,
		string(directory.Owner), string(directory.Administrator), string(org))
	return m, err
}

// Lacking is true of an active user u whose password signs in and who has no second step.
const Lacking = `u.state = 'active' and u.second_step = 'none' and u.has_password
			and exists (select 1 from organizations o where o.id = u.org_id and o.federated_since is null)`

// describe fills in what is true of the attempt's user and of the rules now.
func (s *Service) describe(ctx context.Context, r db.Reader, a *Attempt) error {
	if a.UserID == "" {
		return nil
	}
	a.acts(ctx)
	rules, err := SecondStepRulesOf(ctx, r, a.OrgID)
	if err != nil {
		return err
	}
	var role directory.Role
	var breakGlass db.Time
	// What was done with the password may have been done with a passkey too, so no passkey
	// signs in alone until its user has decided again: for a new password, or to do without
	// one.
	var disowned bool
	_, err = r.One(ctx, db.Into(&role, &a.MustChange, &disowned, &a.SingleSignOnOnly, &breakGlass, &a.Owns.App, &a.Owns.Passkey, &a.Owns.Recovery), `
		select u.role, p.change_at is not null,
			coalesce(u.disowned_at >= coalesce(p.set_at, u.passwordless_at, 0), false),
			o.federated_since is not null, u.break_glass_since,
			exists (select 1 from totp_seeds t where t.org_id = u.org_id and t.user_id = u.id and t.confirmed_at is not null),
			exists (select 1 from passkeys k where k.org_id = u.org_id and k.user_id = u.id),
			exists (select 1 from recovery_codes c where c.org_id = u.org_id and c.user_id = u.id and c.used_at is null)
		from users u
		join organizations o on o.id = u.org_id
		left join passwords p on p.org_id = u.org_id and p.user_id = u.id
		where u.org_id = $1 and u.id = $2`, string(a.OrgID), string(a.UserID))
	a.BreakGlass = directory.User{Role: role, BreakGlassSince: time.Time(breakGlass)}.BreaksGlass()
	// The passkey of last resort signs in whether or not other people's do.
	a.Passwordless = (rules.Passwordless || a.SingleSignOnOnly && a.BreakGlass) && !disowned
	a.Required = rules.RequiredOf(role, s.DB.Now())
	if a.LinkRequest != "" {
		// A proof that opens no session is made with credentials of ours, although single
		// sign-on is the only way in, and nothing is enrolled on the way (decision 0044).
		a.SingleSignOnOnly, a.Required = false, false
	}
	return err
}

// owner returns the owner of the credentials that the attempt is about.
func (a Attempt) owner() credential.Owner { return credential.Owner{OrgID: a.OrgID, UserID: a.UserID} }
