package credential

import (
	"context"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parvis/internal/db"
	"parvis/internal/secret"
)

const (
	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits (R-MFA-06 asks for 64)
)

// RecoverySet is a new set of codes: the texts to show once, and what is stored.
type RecoverySet struct {
	Codes  []string // in groups of four
	owner  Owner
	hashes []string
}

// NewRecoveryCodes makes a set, outside any transaction: ten hashes that share one salt, so
// that a typed code costs one hash and a look-up.
func (s *Store) NewRecoveryCodes(ctx context.Context, source Source, o Owner) (RecoverySet, error) {
	set := RecoverySet{owner: o}
	h := s.fresh(opaque)
	for range recoveryCodes {
		text := base32.StdEncoding.EncodeToString(secret.Bytes(recoveryBytes))
		var err error
		if h.sum, err = s.sum(ctx, source, o, h, text); err != nil {
			return RecoverySet{}, err
		}
		set.hashes = append(set.hashes, h.String())
		set.Codes = append(set.Codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
	}
	return set, nil
}

// SetRecoveryCodes stores a set in place of an earlier one.
func SetRecoveryCodes(ctx context.Context, tx *db.Tx, set RecoverySet) error {
	o := set.owner
	if err := RemoveRecoveryCodes(ctx, tx, o); err != nil {
		return err
	}
	for _, hash := range set.hashes {
		if _, err := tx.Exec(ctx, `
			insert into recovery_codes (org_id, id, user_id, hash, created_at) values ($1, $2, $3, $4, $5)`,
			string(o.OrgID), secret.NewID("rec"), string(o.UserID), hash, db.Time(tx.Now())); err != nil {
			return fmt.Errorf("inserting a recovery code of %s: %w", o.UserID, err)
		}
	}
	return nil
}

// RemoveRecoveryCodes removes a user's set.
func RemoveRecoveryCodes(ctx context.Context, tx *db.Tx, o Owner) error {
	_, err := tx.Exec(ctx, `delete from recovery_codes where org_id = $1 and user_id = $2`, string(o.OrgID), string(o.UserID))
	return err
}

// RecoveryVerdict is what was typed as a recovery code, hashed, for UseRecoveryCode.
type RecoveryVerdict struct {
	owner Owner
	hash  string
}

// HashRecoveryCode hashes a typed code as the codes of the user's set were hashed, outside any
// transaction. It costs one hash whether there is a set or not.
func (s *Store) HashRecoveryCode(ctx context.Context, r db.Reader, source Source, o Owner, typed string) (RecoveryVerdict, error) {
	var stored string
	found, err := r.One(ctx, db.Into(&stored), `
		select hash from recovery_codes
		where org_id = $1 and user_id = $2
		limit 1`, string(o.OrgID), string(o.UserID))
	if err != nil {
		return RecoveryVerdict{}, err
	}
	h := s.fresh(opaque)
	if found {
		if h, err = parseHash(stored); err != nil {
			return RecoveryVerdict{}, fmt.Errorf("recovery codes of %s: %w", o.UserID, err)
		}
		if _, ok := s.pepper.ByID(h.pepper); !ok {
			h = s.fresh(opaque) // all were used: otherwise their pepper would not have been taken out
		}
	}
	h.sum, err = s.sum(ctx, source, o, h, foldRecovery(typed))
	return RecoveryVerdict{o, h.String()}, err
}

// UseRecoveryCode uses a code up and returns how many are left; false if it was not one of the
// user's, or was used before.
func UseRecoveryCode(ctx context.Context, tx *db.Tx, v RecoveryVerdict) (left int, ok bool, err error) {
	n, err := tx.Exec(ctx, `
		update recovery_codes set used_at = $1
		where org_id = $2 and user_id = $3 and hash = $4 and used_at is null`,
		db.Time(tx.Now()), string(v.owner.OrgID), string(v.owner.UserID), v.hash)
	if err != nil || n == 0 {
		return 0, false, err
	}
	left, err = RecoveryCodesLeft(ctx, tx, v.owner)
	return left, true, err
}

// RepeatsRecoveryCode reports whether a code was used up at that time or later: the same form,
// sent twice.
func RepeatsRecoveryCode(ctx context.Context, r db.Reader, v RecoveryVerdict, since time.Time) (bool, error) {
	var id string
	return r.One(ctx, db.Into(&id), `
		select id from recovery_codes
		where org_id = $1 and user_id = $2 and hash = $3 and used_at >= $4`,
		string(v.owner.OrgID), string(v.owner.UserID), v.hash, db.Time(since))
}

// RecoveryCodesLeft counts the codes that still work.
func RecoveryCodesLeft(ctx context.Context, r db.Reader, o Owner) (int, error) {
	var left int
	_, err := r.One(ctx, db.Into(&left), `
		select count(*) from recovery_codes
		where org_id = $1 and user_id = $2 and used_at is null`, string(o.OrgID), string(o.UserID))
	return left, err
}

// RecoverySetID identifies the set that a user has, even if its codes were used; empty if none
// was made.
func RecoverySetID(ctx context.Context, r db.Reader, o Owner) (string, error) {
	var id db.Text
	_, err := r.One(ctx, db.Into(&id), `
		select min(id) from recovery_codes
		where org_id = $1 and user_id = $2`, string(o.OrgID), string(o.UserID))
	return string(id), err
}

// foldRecovery brings what was typed or pasted into one form: no spaces or hyphens, upper case,
// digits of any script.
func foldRecovery(typed string) string {
	if len(typed) > 1000 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Cf, r):
			return -1
		case unicode.Is(unicode.Nd, r):
			// The digits that Base32 leaves out are letters that were misread.
			return rune("OI234567B9"[digitValue(r)])
		}
		return unicode.ToUpper(r)
	}, norm.NFKC.String(typed))
}
