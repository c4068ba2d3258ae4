package directory

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
)

// Asker is by whose right something waits for somebody else to act: an invitation, a
// change of address, a setup link. What waits is void when that right ends.
type Asker struct {
	Kind   Kind
	UserID UserID // the person behind the right; empty if there is none
	Right  string // id of the token, machine or source; empty for users and the operator

	role   Role // of the person, as it is now
	goneAt time.Time
}

// Asker is a as what it asks for remembers it.
func (a Actor) Asker() Asker {
	asker := Asker{Kind: a.Kind, UserID: a.UserID}
	switch a.Kind {
	case KindToken, KindMachine, KindSource:
		asker.Right = a.ID
	case KindUser, KindOperator, KindSystem, KindAnonymous:
	}
	return asker
}

// Targets are for: the column of the user, asked_kind, asked_right, and that user's
// role and deactivated_at.
func (a *Asker) Targets() []any {
	return []any{(*db.Text)(&a.UserID), (*db.Text)(&a.Kind), (*db.Text)(&a.Right), (*db.Text)(&a.role), (*db.Time)(&a.goneAt)}
}

// StillGoverns reports whether the person who asked still governs a role. What nobody
// in person asked for ends by EndRight alone.
func (a Asker) StillGoverns(role Role) bool {
	return a.UserID == "" && a.Kind != KindUser || a.goneAt.IsZero() && a.role.Governs(role)
}

// EndRight makes void what was asked for by a right that ended, and that waits for its
// proof. Whoever ends a token, a machine's right or a source calls it in that transaction.
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
