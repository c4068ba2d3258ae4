package directory

import (
	"context"
	"strings"

	"parvis/internal/db"
	"parvis/internal/naming"
)

// The row of a user keeps what lists of people are filtered and sorted by. Each column has one
// package that writes what it says, and that package keeps it in the same transaction: here are
// state and signed_in_at, credential keeps second_step and has_password, federation keeps linked.
// After each test dbtest compares every row with the tables.

// SecondStep is the kind of second step that a user owns.
type SecondStep string

// The kinds of second steps.
const (
	NoSecondStep SecondStep = "none"
	StepByApp    SecondStep = "app"
	StepByKey    SecondStep = "passkey"
	StepByBoth   SecondStep = "both"
)

// SecondSteps are all kinds.
var SecondSteps = []SecondStep{NoSecondStep, StepByApp, StepByKey, StepByBoth}

// KeepSecondStep stores which kind of second step a user owns now. Only credential calls it.
func KeepSecondStep(ctx context.Context, tx *db.Tx, org OrgID, id UserID, owns SecondStep) error {
	_, err := tx.Exec(ctx, `update users set second_step = $1, changed_at = $2 where org_id = $3 and id = $4`, string(owns), db.Time(tx.Now()), string(org), string(id))
	return err
}

// KeepPassword stores whether a user has a password now. Only credential calls it.
func KeepPassword(ctx context.Context, tx *db.Tx, org OrgID, id UserID, has bool) error {
	_, err := tx.Exec(ctx, `update users set has_password = $1, changed_at = $2 where org_id = $3 and id = $4`, has, db.Time(tx.Now()), string(org), string(id))
	return err
}

// KeepLinked stores whether a user signs in by any provider now. Only federation calls it.
func KeepLinked(ctx context.Context, tx *db.Tx, org OrgID, id UserID, linked bool) error {
	_, err := tx.Exec(ctx, `update users set linked = $1, changed_at = $2 where org_id = $3 and id = $4`, linked, db.Time(tx.Now()), string(org), string(id))
	return err
}

// maxListKey is how many bytes of a list key an index holds. PostgreSQL refuses entries of 2,700.
const maxListKey = 1000

// listKey returns what users and invitations are searched and sorted by. Only letters that fold to
// many letters make it too long; those people are found by the beginning of their names.
func listKey(name, email string) string {
	key := naming.SearchKey(name, email)
	return strings.ToValidUTF8(key[:min(len(key), maxListKey)], "")
}

// Owning is what some active users have in common, and how many these are.
type Owning struct {
	SecondStep SecondStep
	Password   bool
	Linked     bool // to some provider
	People     int
}

// Ownings counts the active users of an organization by what they own: in the order of the index
// users_owned, so that nothing else is read and nothing is sorted.
func Ownings(ctx context.Context, r db.Reader, org OrgID) ([]Owning, error) {
	return db.List(ctx, r, func(o *Owning) []any { return db.Into(&o.SecondStep, &o.Password, &o.Linked, &o.People) }, `
		select second_step, has_password, linked, count(*)
		from users
		where org_id = $1 and state = 'active'
		group by second_step, has_password, linked`, string(org))
}
