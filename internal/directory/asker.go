package directory

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
)

// Asker says by whose right something was asked for that waits for another person to act: an
// invitation, a change of address or a setup link. It is void when that right ends.
type Asker struct {
	Kind   Kind
	UserID UserID // the person behind the right; empty if there is none
	Right  string // id of the token, machine or source; empty for users and the operator

	role   Role // of the person, as it is now
	goneAt time.Time
}

// Asker returns what a stores with what it asks for.
func (a Actor) Asker() Asker {
	asker := Asker{Kind: a.Kind, UserID: a.UserID}
	switch a.Kind {
	case KindToken, KindMachine, KindSource:
		asker.Right = a.ID
	case KindUser, KindOperator, KindSystem, KindAnonymous:
	}
	return asker
}

// Targets scans the column of the user, asked_kind, asked_right, and that user's role and
// deactivated_at.
func (a *Asker) Targets() []any {
	return []any{(*db.Text)(&a.UserID), (*db.Text)(&a.Kind), (*db.Text)(&a.Right), (*db.Text)(&a.role), (*db.Time)(&a.goneAt)}
}

// StillGoverns reports whether the person who asked still governs a role. What no person asked
// for ends only by EndRight.
func (a Asker) StillGoverns(role Role) bool {
	return a.UserID == "" && a.Kind != KindUser || a.goneAt.IsZero() && a.role.Governs(role)
}

// EndRight voids what was asked for by a right that has ended, if it still waits. The function
// that ends a token, a machine's right or a source calls it in the same transaction.
func EndRight(ctx context.Context, tx *db.Tx, org OrgID, right string) error {
	if _, err := tx.Exec(ctx, `
		update invitations set withdrawn_at = $1
		where org_id = $2 and asked_right = $3 and accepted_at is null and withdrawn_at is null and replaced_at is null`,
		db.Time(tx.Now()), string(org), right); err != nil {
		return fmt.Errorf("ending the invitations by %s: %w", right, err)
	}
	_, err := tx.Exec(ctx, `
		update email_changes set replaced_at = $1
		where org_id = $2 and asked_right = $3 and proved_at is null and replaced_at is null`,
		db.Time(tx.Now()), string(org), right)
	return err
}
