package credential

import (
	"context"

	"parvis/internal/db"
)

// Peppered is what a pepper is still needed for.
type Peppered struct {
	Passwords int64 // that work, of people who have not signed in since another one writes
	Imported  int64 // that another system hashed
	Codes     int64 // people with recovery codes that were not used
}

// under matches hashes of ours under a pepper.
func under(pepper string) string { return "hash like '%,keyid=" + pepper + "$%'" }

// UnderPepper counts what a pepper is still needed for. Passwords of before count for nothing: one that
// cannot be compared any more may be used again.
func UnderPepper(ctx context.Context, tx *db.Tx, pepper string) (p Peppered, err error) {
	if p.Passwords, err = tx.Count(ctx, "passwords", under(pepper)+" and disabled_at is null"); err != nil {
		return p, err
	}
	if p.Imported, err = tx.Count(ctx, "passwords", "hash like '"+importedUnder(pepper)+"'"); err != nil {
		return p, err
	}
	_, err = tx.One(ctx, db.Into(&p.Codes), `
		select count(distinct user_id) from recovery_codes
		where used_at is null and hash like $1`, "%,keyid="+pepper+"$%")
	return p, err
}

// OwnersUnder lists up to most people whose password, or recovery codes, need a pepper.
func OwnersUnder(ctx context.Context, r db.Reader, pepper string, most int) ([]Owner, error) {
	return db.List(ctx, r, func(o *Owner) []any { return db.Into((*string)(&o.OrgID), (*string)(&o.UserID)) }, `
		select org_id, user_id from passwords where disabled_at is null and hash like $1
		union select org_id, user_id from recovery_codes where used_at is null and hash like $1
		limit $2`, "%,keyid="+pepper+"$%", most)
}

// Void makes a password useless until a reset, and the recovery codes too, because the pepper that they
// need is taken out.
func Void(ctx context.Context, tx *db.Tx, o Owner, pepper string) (password bool, err error) {
	n, err := tx.Exec(ctx, `
		update passwords set disabled_at = $1
		where org_id = $2 and user_id = $3 and disabled_at is null and hash like $4`,
		db.Time(tx.Now()), string(o.OrgID), string(o.UserID), "%,keyid="+pepper+"$%")
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `
		delete from recovery_codes
		where org_id = $1 and user_id = $2 and hash like $3`, string(o.OrgID), string(o.UserID), "%,keyid="+pepper+"$%")
	return n > 0, err
}
