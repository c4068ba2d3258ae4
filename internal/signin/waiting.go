package signin

import (
	"context"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
)

// Waiting is what a person who is signed in may have left to do.
type Waiting struct {
	Owns  bool // a second step
	Codes int  // recovery codes that still work
	Email bool // somebody asked for another address, which is not proved yet: see directory.PendingEmail

	rules  SecondStepRules
	native bool // a password signs in
}

// WaitingFor reads it by one statement, because the home page shows it each time.
func WaitingFor(ctx context.Context, r db.Reader, u directory.User, now time.Time) (Waiting, error) {
	var w Waiting
	_, err := r.One(ctx, db.Into(&w.Owns, &w.Codes, &w.Email, &w.native, (*db.Time)(&w.rules.RequiredFrom), &w.rules.Privileged), `
		select u.second_step <> 'none',
			(select count(*) from recovery_codes c where c.org_id = u.org_id and c.user_id = u.id and c.used_at is null),
			exists (
				select 1 from email_changes e
				where e.org_id = u.org_id and e.user_id = u.id and e.proved_at is null and e.replaced_at is null and e.expires_at > $1),
			o.federated_since is null and u.has_password,
			s.required_from, coalesce(s.privileged, $2)
		from users u
		join organizations o on o.id = u.org_id
		left join second_step_rules s on s.org_id = u.org_id
		where u.org_id = $3 and u.id = $4`,
		db.Time(now), DefaultSecondStep.Privileged, string(u.OrgID), string(u.ID))
	return w, err
}

// SecondStep reports whether a person of a role lacks a second step that is required or will be,
// and from when: zero if it is required already, so that the next sign-in asks for it.
// People who sign in by a provider alone lack nothing: the provider answers for its own factors.
func (w Waiting) SecondStep(role directory.Role, now time.Time) (lacks bool, from time.Time) {
	if w.Owns || !w.native {
		return false, time.Time{}
	}
	if w.rules.RequiredOf(role, now) {
		return true, time.Time{}
	}
	return !w.rules.RequiredFrom.IsZero(), w.rules.RequiredFrom
}
