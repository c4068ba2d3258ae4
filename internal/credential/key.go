package credential

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"math/big"

	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"parvis/internal/db"
	"parvis/internal/jose"
)

var errWeakKey = errors.New("a key that others could sign for")

// judgeKey refuses the public key of a passkey that could never sign in, or with which others
// could too: by the same judgement as for the keys of applications and providers.
func judgeKey(cose []byte) error {
	parsed, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return err
	}
	var public any
	switch key := parsed.(type) {
	case webauthncose.RSAPublicKeyData:
		e, err := webauthncose.ParseRSAPublicKeyDataExponent(&key)
		if err != nil {
			return err
		}
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(key.Modulus), E: e}
	case webauthncose.EC2PublicKeyData:
		if public, err = key.ToECDSA(); err != nil {
			return err
		}
	case webauthncose.OKPPublicKeyData:
		public = ed25519.PublicKey(key.XCoord)
	}
	if !jose.Strong(public) {
		return errWeakKey
	}
	return nil
}

// WeakPasskey is a passkey from before keys were judged. It signs nobody in, and its owner may
// have no other way in.
type WeakPasskey struct {
	Organization string // short name
	Email        string
}

// WeakPasskeys lists the owners of passkeys that are refused for their keys, in all
// organizations.
func WeakPasskeys(ctx context.Context, r db.Reader) ([]WeakPasskey, error) {
	var weak []WeakPasskey
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var k Passkey
		var w WeakPasskey
		if err := k.scan(func(into ...any) error { return scan(append(into, &w.Organization, &w.Email)...) }); err != nil {
			return err
		}
		if judgeKey(k.record.PublicKey) != nil {
			weak = append(weak, w)
		}
		return nil
	}, `
		select p.org_id, p.user_id, p.id, p.name, p.user_handle, p.record, p.created_at, p.used_at, o.short_name, u.email
		from passkeys p
		join users u on u.org_id = p.org_id and u.id = p.user_id and u.deleted_at is null
		join organizations o on o.id = p.org_id
		order by o.short_name, u.email, p.id`)
	return weak, err
}
