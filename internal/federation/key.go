package federation

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/federation/saml"
	"parvis/internal/jose"
	"parvis/internal/secret"
)

// The installation's own keys: one kind signs and decrypts for SAML providers, the other
// signs as the client of OpenID Connect providers. A new key is published for Ahead before
// it signs. The one before it stays published and decrypts at least as long again, so that
// providers that read our keys once a day, or are told by hand, miss nothing.
const (
	samlKeys = "saml"
	oidcKeys = "oidc"

	// Ahead is how long a new key is published before it signs, and how long the one
	// before it stays.
	Ahead = 14 * 24 * time.Hour
)

// ownKey is a row of federation_keys.
type ownKey struct {
	id, sealed string
	createdAt  time.Time
}

// SignsFrom returns when the key begins to sign.
func (k ownKey) SignsFrom() time.Time { return k.createdAt.Add(Ahead) }

// ownKeys lists the keys for a purpose, newest first. If there is none it makes one.
func (h *Hub) ownKeys(ctx context.Context, purpose string) ([]ownKey, error) {
	all, err := h.storedKeys(ctx, purpose)
	if err == nil && len(all) == 0 {
		// If two nodes do this at once, the id lets only one of them win.
		if err = h.addKey(ctx, purpose, "first_"+purpose); err == nil {
			all, err = h.storedKeys(ctx, purpose)
		}
	}
	return all, err
}

func (h *Hub) storedKeys(ctx context.Context, purpose string) (all []ownKey, err error) {
	err = h.DB.Rows(ctx, func(scan func(...any) error) error {
		var k ownKey
		err := scan(&k.id, &k.sealed, (*db.Time)(&k.createdAt))
		all = append(all, k)
		return err
	}, `select id, sealed, created_at from federation_keys where purpose = $1 order by created_at desc, id`, purpose)
	return all, err
}

// signingFirst lists the keys for a purpose, beginning with the one that signs.
func (h *Hub) signingFirst(ctx context.Context, purpose string) ([]ownKey, error) {
	all, err := h.ownKeys(ctx, purpose)
	if i := jose.Signing(all, h.DB.Now()); i > 0 {
		all = slices.Concat(all[i:i+1], all[:i], all[i+1:])
	}
	return all, err
}

func (h *Hub) addKey(ctx context.Context, purpose, id string) error {
	text, err := h.newKey(purpose)
	if err != nil {
		return err
	}
	return h.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into federation_keys (id, purpose, sealed, created_at) values ($1, $2, $3, $4)
			on conflict (id) do nothing`, id, purpose, h.keys.Seal(text, "federation_keys "+id), db.Time(tx.Now()))
		return err
	})
}

func (h *Hub) newKey(purpose string) ([]byte, error) {
	if purpose == samlKeys {
		k, err := saml.NewKeyPair(h.DB.Now(), h.site.Base.Host)
		if err != nil {
			return nil, err
		}
		return k.Text()
	}
	return x509.MarshalPKCS8PrivateKey(secret.NewECKey())
}

// RotateKeys makes the next key for each purpose, and deletes those that were replaced
// long enough ago. Only the operator does this: a provider that was told by hand may
// still encrypt to an older key, which we cannot know.
func (h *Hub) RotateKeys(ctx context.Context) error {
	for _, purpose := range []string{samlKeys, oidcKeys} {
		all, err := h.ownKeys(ctx, purpose)
		if err == nil {
			err = h.addKey(ctx, purpose, secret.NewID("key"))
		}
		if err != nil {
			return err
		}
		for _, k := range jose.Retired(all, h.DB.Now(), Ahead) {
			if err := h.DB.Update(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, `delete from federation_keys where id = $1`, k.id)
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Hub) openKey(k ownKey) ([]byte, error) {
	return h.keys.Open(k.sealed, "federation_keys "+k.id)
}

// samlKeys returns our key pairs for SAML, beginning with the one that signs.
func (h *Hub) samlKeys(ctx context.Context) (saml.Keys, error) {
	stored, err := h.signingFirst(ctx, samlKeys)
	if err != nil {
		return nil, err
	}
	var all saml.Keys
	for _, k := range stored {
		if known, ok := h.opened.Load(k.sealed); ok {
			all = append(all, known.(saml.KeyPair)) //nolint:forcetypeassert // Only this line's kind is stored under a SAML key's text.
			continue
		}
		text, err := h.openKey(k)
		if err != nil {
			return nil, err
		}
		pair, err := saml.ParseKeyPair(text)
		if err != nil {
			return nil, fmt.Errorf("reading key %s: %w", k.id, err)
		}
		h.opened.Store(k.sealed, pair)
		all = append(all, pair)
	}
	return all, nil
}

// oidcKeys returns our keys as the client of OpenID Connect providers, beginning with
// the one that signs.
func (h *Hub) oidcKeys(ctx context.Context) ([]jose.Key, error) {
	stored, err := h.signingFirst(ctx, oidcKeys)
	if err != nil {
		return nil, err
	}
	all := make([]jose.Key, len(stored))
	for i, k := range stored {
		der, err := h.openKey(k)
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, fmt.Errorf("reading key %s: %w", k.id, err)
		}
		all[i] = jose.Key{Key: key, KeyID: k.id, Algorithm: "ES256", Use: "sig"}
	}
	return all, nil
}
