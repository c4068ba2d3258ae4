// Package once lets a caller repeat a request without repeating what it does: the first request
// with a key is remembered in the transaction of its deed.
//
// It owns answers.
package once

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/fault"
)

// KeptFor is how long a key is remembered.
const KeptFor = 24 * time.Hour

// ErrOtherRequest says that the key was used for another request.
var ErrOtherRequest = fault.New(fault.Invalid, "api.other_request")

// Request is a request that a caller may repeat.
type Request struct {
	OrgID  string
	Caller string // the key of the token or grant
	Key    string // a hash of what the caller sent as key
	Hash   string // of everything that the request asks for
}

// Did returns the id of the object that the first request with the key was about, and reports
// whether there was one. Two at the same time that both find none are one after the other: the
// later fails to Remember, and its transaction runs again.
func Did(ctx context.Context, tx *db.Tx, q Request) (object string, repeated bool, err error) {
	var hash string
	repeated, err = tx.One(ctx, db.Into(&hash, &object), `
		select request_hash, object from answers
		where org_id = $1 and caller = $2 and key_hash = $3 and made_at > $4`,
		q.OrgID, q.Caller, q.Key, db.Time(tx.Now().Add(-KeptFor)))
	if err == nil && repeated && hash != q.Hash {
		err = ErrOtherRequest
	}
	return object, repeated, err
}

// Remember keeps which object a request was about.
func Remember(ctx context.Context, tx *db.Tx, q Request, object string) error {
	if _, err := tx.Exec(ctx, `delete from answers where org_id = $1 and caller = $2 and key_hash = $3`, q.OrgID, q.Caller, q.Key); err != nil {
		return fmt.Errorf("forgetting a key whose time is over: %w", err)
	}
	_, err := tx.Exec(ctx, `
		insert into answers (org_id, caller, key_hash, request_hash, object, made_at) values ($1, $2, $3, $4, $5, $6)`,
		q.OrgID, q.Caller, q.Key, q.Hash, object, db.Time(tx.Now()))
	return err
}

// Sweep forgets keys whose time is over.
func Sweep(ctx context.Context, d *db.DB) error {
	_, err := d.InParts(ctx, `
		delete from answers
		where (org_id, caller, key_hash) in (select org_id, caller, key_hash from answers where made_at <= $1 limit $2)`, db.Time(d.Now().Add(-KeptFor)))
	return err
}
