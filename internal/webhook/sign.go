package webhook

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// The prefixes of Standard Webhooks: of a secret that both have, and of a public key.
const (
	SecretPrefix = "whsec_"
	PublicPrefix = "whpk_"
)

// Secret is what is known of what a webhook is signed with.
type Secret struct {
	ID        string
	Scheme    Scheme
	Public    string // of Asymmetric, to verify with
	CreatedAt time.Time
	EndsAt    time.Time // of the one before the newest

	sealed string
}

func (s *Secret) targets() []any {
	return db.Into(&s.ID, &s.Scheme, &s.sealed, &s.Public, (*db.Time)(&s.CreatedAt), (*db.Time)(&s.EndsAt))
}

// secretsOf lists what signs now, the newest first.
func secretsOf(ctx context.Context, r db.Reader, w Webhook) ([]Secret, error) {
	return db.List(ctx, r, (*Secret).targets, `
		select id, scheme, sealed, public_key, created_at, ends_at
		from webhook_secrets
		where org_id = $1 and webhook_id = $2 and (ends_at is null or ends_at > $3)
		order by ends_at is null desc, created_at desc, id`, string(w.OrgID), w.ID, db.Time(r.Now()))
}

// Secrets lists what a webhook is signed with now, the newest first, for those who read the
// administration.
func Secrets(ctx context.Context, r db.Reader, actor directory.Actor, w Webhook) ([]Secret, error) {
	if err := actor.MayRead(ctx, r, w.OrgID); err != nil {
		return nil, err
	}
	return secretsOf(ctx, r, w)
}

// Schemes returns how the webhooks of an organization are signed, by their ids, for those who read
// the administration: each by its newest secret.
func Schemes(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) (map[string]Scheme, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	all := map[string]Scheme{}
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var id string
		var scheme Scheme
		err := scan(&id, &scheme)
		all[id] = scheme
		return err
	}, `select webhook_id, scheme from webhook_secrets where org_id = $1 and ends_at is null`, string(org))
	return all, err
}

// newSecret makes what a webhook is signed with, and returns what its receiver verifies with.
func (s *Sender) newSecret(ctx context.Context, tx *db.Tx, w Webhook, scheme Scheme) (string, error) {
	raw := secret.Bytes(ed25519.SeedSize)
	k := Secret{ID: secret.NewID("whs"), Scheme: cmp.Or(scheme, Symmetric)}
	text := SecretPrefix + base64.StdEncoding.EncodeToString(raw)
	switch k.Scheme {
	case Symmetric:
	case Asymmetric:
		public, ok := ed25519.NewKeyFromSeed(raw).Public().(ed25519.PublicKey)
		if !ok {
			return "", fmt.Errorf("making a key for %s", w.ID)
		}
		k.Public = PublicPrefix + base64.StdEncoding.EncodeToString(public)
		text = k.Public
	default:
		return "", ErrScheme
	}
	_, err := tx.Exec(ctx, `
		insert into webhook_secrets (org_id, id, webhook_id, scheme, sealed, public_key, created_at)
		values ($1, $2, $3, $4, $5, $6, $7)`,
		string(w.OrgID), k.ID, w.ID, string(k.Scheme), s.secrets.Seal(raw, secretRow(w.ID, k.ID)), k.Public, db.Time(tx.Now()))
	return text, err
}

// Rotate makes a new secret, and returns what the receiver verifies with. The one before it signs
// too for a day; an older one ends at once. The caller asked for a fresh proof.
func (s *Sender) Rotate(ctx context.Context, tx *db.Tx, actor directory.Actor, w Webhook, scheme Scheme) (string, error) {
	if err := actor.MaySetRules(ctx, tx, w.OrgID); err != nil {
		return "", err
	}
	if scheme == "" {
		has, err := secretsOf(ctx, tx, w)
		if err != nil {
			return "", err
		}
		for _, k := range has[:min(1, len(has))] {
			scheme = k.Scheme
		}
	}
	if _, err := tx.Exec(ctx, `
		delete from webhook_secrets
		where org_id = $1 and webhook_id = $2 and ends_at is not null`, string(w.OrgID), w.ID); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, `
		update webhook_secrets set ends_at = $1
		where org_id = $2 and webhook_id = $3`, db.Time(tx.Now().Add(RotationLasts)), string(w.OrgID), w.ID); err != nil {
		return "", err
	}
	text, err := s.newSecret(ctx, tx, w, scheme)
	if err != nil {
		return "", err
	}
	e := w.event(actor, "webhook.secret_rotated")
	e.After = audit.Fields{"scheme": string(scheme)}
	return text, audit.Record(ctx, tx, e)
}

// A signer signs what is sent to one webhook.
type signer struct {
	schemes []Scheme
	keys    [][]byte
}

// signerOf opens what a webhook is signed with now.
func (s *Sender) signerOf(ctx context.Context, r db.Reader, w Webhook) (signer, error) {
	all, err := secretsOf(ctx, r, w)
	if err != nil {
		return signer{}, err
	}
	var out signer
	for _, k := range all {
		raw, err := s.secrets.Open(k.sealed, secretRow(w.ID, k.ID))
		if err != nil {
			return signer{}, fmt.Errorf("opening secret %s: %w", k.ID, err)
		}
		out.schemes, out.keys = append(out.schemes, k.Scheme), append(out.keys, raw)
	}
	return out, nil
}

// sign returns the value of webhook-signature: one signature for each secret, over id, time and body.
func (k signer) sign(id string, at time.Time, body []byte) string {
	text := append([]byte(id+"."+strconv.FormatInt(at.Unix(), 10)+"."), body...)
	var all []string
	for i, scheme := range k.schemes {
		var signature []byte
		if scheme == Asymmetric {
			signature = ed25519.Sign(ed25519.NewKeyFromSeed(k.keys[i]), text)
		} else {
			signature = secret.HMAC(k.keys[i], text)
		}
		all = append(all, string(scheme)+","+base64.StdEncoding.EncodeToString(signature))
	}
	return strings.Join(all, " ")
}
