package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

// BootstrapLifetime is how long the link works that makes the first owner.
const BootstrapLifetime = 24 * time.Hour

// The faults of that link. A dead one and an unknown one look the same.
var (
	ErrBootstrapDead = fault.New(fault.Gone, "directory.bootstrap_dead")
	ErrHasOwner      = fault.New(fault.Conflict, "directory.has_owner")
)

// NewBootstrap makes the one link that creates the first organization and its owner, and ends an
// earlier one. Once an owner exists it makes none (R-AUT-03).
func NewBootstrap(ctx context.Context, tx *db.Tx, lifetime time.Duration) (secret.Token, error) {
	if err := noOwner(ctx, tx); err != nil {
		return secret.Token{}, err
	}
	if _, err := tx.Exec(ctx, `update bootstraps set expires_at = 0 where used_at is null`); err != nil { // over by every node's clock
		return secret.Token{}, err
	}
	token := secret.NewToken()
	_, err := tx.Exec(ctx, `
		insert into bootstraps (id, token_hash, created_at, expires_at)
		values ($1, $2, $3, $4)`,
		secret.NewID("boot"), token.Hash(secret.Bootstrap), db.Time(tx.Now()), db.Time(tx.Now().Add(lifetime)))
	if err != nil {
		return secret.Token{}, fmt.Errorf("inserting the first link: %w", err)
	}
	return token, audit.Record(ctx, tx, Operator().Event("", "bootstrap.created"))
}

// BootstrapWaits returns until when an earlier link works; the zero time if there is none. Once
// an owner exists no link works, and it returns ErrHasOwner.
func BootstrapWaits(ctx context.Context, r db.Reader) (until time.Time, err error) {
	if err := noOwner(ctx, r); err != nil {
		return until, err
	}
	_, err = r.One(ctx, db.Into((*db.Time)(&until)), `select max(expires_at) from bootstraps where used_at is null and expires_at > $1`, db.Time(r.Now()))
	return until, err
}

// noOwner returns ErrHasOwner once any organization of the installation has an owner.
func noOwner(ctx context.Context, r db.Reader) error {
	var id string
	found, err := r.One(ctx, db.Into(&id), `select id from users where role = $1 limit 1`, string(Owner))
	if err != nil || found {
		return orFault(err, ErrHasOwner)
	}
	return nil
}

// BootstrapUsable returns an error unless a link would work, and changes nothing.
func BootstrapUsable(ctx context.Context, r db.Reader, token secret.Token, now time.Time) error {
	if err := noOwner(ctx, r); errors.Is(err, ErrHasOwner) {
		return ErrBootstrapDead
	} else if err != nil {
		return err
	}
	var expires, used time.Time
	found, err := r.One(ctx, db.Into((*db.Time)(&expires), (*db.Time)(&used)), `
		select expires_at, used_at from bootstraps
		where token_hash = $1`, token.Hash(secret.Bootstrap))
	if err != nil {
		return err
	}
	if !found || !used.IsZero() || !now.Before(expires) {
		return ErrBootstrapDead
	}
	return nil
}

// DeadBootstrap returns the id of a link that BootstrapUsable finds dead, and why it is: void means that
// there is an owner. It returns false for one that never was.
func DeadBootstrap(ctx context.Context, r db.Reader, token secret.Token) (id, state string, found bool, err error) {
	found, err = r.One(ctx, db.Into(&id, &state), `
		select id, case when used_at is not null then 'used' when expires_at <= $1 then 'expired' else 'void' end
		from bootstraps
		where token_hash = $2`, db.Time(r.Now()), token.Hash(secret.Bootstrap))
	return id, state, found, err
}

// UseBootstrap claims a link. If two browsers use it at the same time, one gets ErrBootstrapDead.
func UseBootstrap(ctx context.Context, tx *db.Tx, token secret.Token) error {
	if err := BootstrapUsable(ctx, tx, token, tx.Now()); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `
		update bootstraps set used_at = $1
		where token_hash = $2 and used_at is null`, db.Time(tx.Now()), token.Hash(secret.Bootstrap))
	if err != nil || n == 0 {
		return orFault(err, ErrBootstrapDead)
	}
	return nil
}
