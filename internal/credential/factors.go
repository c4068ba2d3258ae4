package credential

import (
	"context"
	"slices"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// Factors are the second steps that a user owns.
type Factors struct {
	Apps     []App
	Passkeys []Passkey
	Recovery int // codes that still work
}

// Any reports whether the user owns a second step. Recovery codes alone are not one: they stand
// in for an authenticator that was lost.
func (f Factors) Any() bool { return len(f.Apps)+len(f.Passkeys) > 0 }

// PasskeyLast reports whether a passkey was used or added later than any app: then it is asked
// for first (journeys 5.5).
func (f Factors) PasskeyLast() bool {
	latest := func(t, u time.Time) time.Time {
		if u.After(t) {
			return u
		}
		return t
	}
	var app, key time.Time
	for _, a := range f.Apps {
		app = latest(app, latest(a.CreatedAt, a.UsedAt))
	}
	for _, k := range f.Passkeys {
		key = latest(key, latest(k.CreatedAt, k.UsedAt))
	}
	return key.After(app)
}

// NameOf returns the name of one of the authenticators; empty if the id is not one of them.
func (f Factors) NameOf(id string) string {
	for _, a := range f.Apps {
		if a.ID == id {
			return a.Name
		}
	}
	for _, k := range f.Passkeys {
		if k.ID == id {
			return k.Name
		}
	}
	return ""
}

// Passwordless reports whether the user could do without a password and still lose an
// authenticator: two passkeys sign in alone, or one does and recovery codes stand in for it.
func (f Factors) Passwordless() bool {
	alone := f.alone()
	return alone > 1 || alone == 1 && f.Recovery > 0
}

// alone counts the passkeys that sign in without a password.
func (f Factors) alone() int {
	n := 0
	for _, k := range f.Passkeys {
		if k.OpensAlone() {
			n++
		}
	}
	return n
}

// Without returns what is left when an authenticator is removed.
func (f Factors) Without(id string) Factors {
	f.Apps = slices.DeleteFunc(slices.Clone(f.Apps), func(a App) bool { return a.ID == id })
	f.Passkeys = slices.DeleteFunc(slices.Clone(f.Passkeys), func(k Passkey) bool { return k.ID == id })
	return f
}

// OpenAlone reports whether a passkey signs in without a password.
func (f Factors) OpenAlone() bool { return f.alone() > 0 }

// Owned returns, by one statement, whether a user owns a second step, and how many of its
// recovery codes still work.
func Owned(ctx context.Context, r db.Reader, o Owner) (authenticator bool, codes int, err error) {
	_, err = r.One(ctx, db.Into(&authenticator, &codes), `
		select exists (select 1 from totp_seeds t where t.org_id = u.org_id and t.user_id = u.id and t.confirmed_at is not null)
				or exists (select 1 from passkeys k where k.org_id = u.org_id and k.user_id = u.id),
			(select count(*) from recovery_codes c where c.org_id = u.org_id and c.user_id = u.id and c.used_at is null)
		from users u
		where u.org_id = $1 and u.id = $2`, string(o.OrgID), string(o.UserID))
	return authenticator, codes, err
}

// FactorsOf lists what a user owns.
func (a *Authenticators) FactorsOf(ctx context.Context, r db.Reader, o Owner) (Factors, error) {
	var f Factors
	var err error
	if f.Apps, err = a.apps(ctx, r, o, `and confirmed_at is not null`); err != nil {
		return Factors{}, err
	}
	if f.Passkeys, err = PasskeysOf(ctx, r, o); err != nil {
		return Factors{}, err
	}
	f.Recovery, err = RecoveryCodesLeft(ctx, r, o)
	return f, err
}

// ErrAuthenticatorGone says that an authenticator was removed already, or is somebody else's.
var ErrAuthenticatorGone = fault.New(fault.NotFound, "credential.device_gone")

// ofAuthenticator returns the one of two statements for the table that an authenticator is in, by
// the prefix of its id.
func ofAuthenticator(id, passkey, app string) string {
	if strings.HasPrefix(id, "pk_") {
		return passkey
	}
	return app
}

// RenameAuthenticator gives one of the user's authenticators another name, and returns the name as
// it is stored.
func RenameAuthenticator(ctx context.Context, tx *db.Tx, o Owner, id, name string) (string, error) {
	name, err := naming.CleanName(name, "device")
	if err != nil {
		return "", err
	}
	n, err := tx.Exec(ctx, ofAuthenticator(id,
		`update passkeys set name = $1 where org_id = $2 and user_id = $3 and id = $4`,
		`update totp_seeds set name = $1 where org_id = $2 and user_id = $3 and id = $4`,
	), name, string(o.OrgID), string(o.UserID), id)
	if err == nil && n == 0 {
		err = ErrAuthenticatorGone
	}
	return name, err
}

// RemoveAuthenticator removes one of the user's authenticators, and with the last one the recovery
// codes that stand in for it. The caller decides whether the last may be removed.
func RemoveAuthenticator(ctx context.Context, tx *db.Tx, o Owner, id string) error {
	n, err := tx.Exec(ctx, ofAuthenticator(id,
		`delete from passkeys where org_id = $1 and user_id = $2 and id = $3`,
		`delete from totp_seeds where org_id = $1 and user_id = $2 and id = $3`,
	), string(o.OrgID), string(o.UserID), id)
	if err == nil && n == 0 {
		err = ErrAuthenticatorGone
	}
	if err != nil {
		return err
	}
	if err := keepSecondStep(ctx, tx, o); err != nil {
		return err
	}
	return removeStrayCodes(ctx, tx, o)
}

// keepSecondStep stores in the user's row which kind of second step it owns now. It runs after
// each change of the tables of authenticators.
func keepSecondStep(ctx context.Context, tx *db.Tx, o Owner) error {
	var app, passkey bool
	if _, err := tx.One(ctx, db.Into(&app, &passkey), `
		select exists (select 1 from totp_seeds t where t.org_id = $1 and t.user_id = $2 and t.confirmed_at is not null),
			exists (select 1 from passkeys k where k.org_id = $1 and k.user_id = $2)`, string(o.OrgID), string(o.UserID)); err != nil {
		return err
	}
	owns := directory.NoSecondStep
	switch {
	case app && passkey:
		owns = directory.StepByBoth
	case app:
		owns = directory.StepByApp
	case passkey:
		owns = directory.StepByKey
	}
	return directory.KeepSecondStep(ctx, tx, o.OrgID, o.UserID, owns)
}

// removeStrayCodes removes the recovery codes of a user who has no authenticator. It runs after an
// authenticator was removed and before one is added, so that codes never work that were made
// without an authenticator, by somebody who had only the password.
func removeStrayCodes(ctx context.Context, tx *db.Tx, o Owner) error {
	owns, codes, err := Owned(ctx, tx, o)
	if err != nil || owns || codes == 0 {
		return err
	}
	return RemoveRecoveryCodes(ctx, tx, o)
}

// RemoveAuthenticators removes every second step of a user, for an administrator's reset.
func RemoveAuthenticators(ctx context.Context, tx *db.Tx, o Owner) error {
	for _, all := range []string{
		`delete from totp_seeds where org_id = $1 and user_id = $2`,
		`delete from passkeys where org_id = $1 and user_id = $2`,
		`delete from recovery_codes where org_id = $1 and user_id = $2`,
	} {
		if _, err := tx.Exec(ctx, all, string(o.OrgID), string(o.UserID)); err != nil {
			return err
		}
	}
	return keepSecondStep(ctx, tx, o)
}

// SweepOnce removes the records of single use that are old enough, and apps that were begun and
// never confirmed.
func SweepOnce(ctx context.Context, d *db.DB) error {
	if _, err := d.InParts(ctx, `delete from replays where id in (select id from replays where expires_at <= $1 limit $2)`, db.Time(d.Now())); err != nil {
		return err
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			delete from totp_seeds
			where confirmed_at is null and created_at <= $1`, db.Time(tx.Now().Add(-EnrolmentLifetime)))
		return err
	})
}
