package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// Passkey is a WebAuthn credential of a user.
type Passkey struct {
	ID        string
	Name      string
	CreatedAt time.Time
	UsedAt    time.Time // zero before the first use
	owner     Owner
	handle    []byte
	record    webauthn.Credential
}

// AAGUID identifies the model of the authenticator; it is all zeros if the authenticator does
// not say.
func (p Passkey) AAGUID() []byte { return p.record.Authenticator.AAGUID }

// Synced reports whether the passkey may live on several devices.
func (p Passkey) Synced() bool { return p.record.Flags.BackupEligible }

// OpensAlone reports whether the passkey can sign in without a password: it verified its user
// when last seen, and its authenticator did not say that it can be found only by its id
// (WebAuthn L3 §10.1.3).
func (p Passkey) OpensAlone() bool {
	found := p.record.Extensions.RK
	return p.record.Flags.UserVerified && (found == nil || *found)
}

// CredentialID returns the id by which authenticator and browser know the passkey, in
// base64url.
func (p Passkey) CredentialID() string { return base64.RawURLEncoding.EncodeToString(p.record.ID) }

// A NewPasskey is a registration that passed every check, for AddPasskey.
type NewPasskey struct {
	handle []byte
	record webauthn.Credential
}

// Verified reports whether the authenticator verified its user when the passkey was made.
func (n NewPasskey) Verified() bool { return n.record.Flags.UserVerified }

// Removed returns the JSON that tells a browser that the passkey with that credential id is no
// longer of use (WebAuthn L3 §5.1.10.2).
func (p *Passkeys) Removed(credentialID string) string {
	text, err := json.Marshal(map[string]string{"rpId": p.party.Config.RPID, "credentialId": credentialID})
	if err != nil {
		panic(err) // two strings
	}
	return string(text)
}

// Accepted returns the JSON that tells a browser which passkeys of a user are of use (WebAuthn
// L3 §5.1.10.3); empty if there are none.
func (p *Passkeys) Accepted(keys []Passkey) string {
	if len(keys) == 0 {
		return ""
	}
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.CredentialID()
	}
	text, err := json.Marshal(map[string]any{
		"rpId": p.party.Config.RPID, "userId": base64.RawURLEncoding.EncodeToString(keys[0].handle), "allAcceptedCredentialIds": ids,
	})
	if err != nil {
		panic(err) // strings
	}
	return string(text)
}

// AddPasskey stores a new passkey; ErrPasskeyKnown if anybody has it.
func AddPasskey(ctx context.Context, tx *db.Tx, o Owner, n NewPasskey, name string) (Passkey, error) {
	record, err := json.Marshal(n.record)
	if err != nil {
		return Passkey{}, err
	}
	if err := removeStrayCodes(ctx, tx, o); err != nil {
		return Passkey{}, err
	}
	k := Passkey{ID: secret.NewID("pk"), Name: name, CreatedAt: tx.Now(), owner: o, handle: n.handle, record: n.record}
	added, err := tx.Exec(ctx, `
		insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (credential_id) do nothing`,
		string(o.OrgID), k.ID, string(o.UserID), name, k.CredentialID(), base64.RawURLEncoding.EncodeToString(n.handle), string(record), db.Time(k.CreatedAt))
	if err != nil {
		return Passkey{}, fmt.Errorf("inserting passkey %s: %w", k.ID, err)
	}
	if added == 0 {
		return Passkey{}, ErrPasskeyKnown
	}
	return k, keepSecondStep(ctx, tx, o)
}

// UsePasskey notes that a passkey was used; false if it was removed, or used with a later
// counter, in between.
func UsePasskey(ctx context.Context, tx *db.Tx, a Assertion) (bool, error) {
	now, err := passkeyByCredential(ctx, tx, a.Passkey.CredentialID())
	if errors.Is(err, ErrPasskeyRefused) {
		return false, nil
	}
	if err != nil || now.owner != a.Owner || now.record.Authenticator.SignCount != a.counter {
		return false, err
	}
	record, err := json.Marshal(a.Passkey.record)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(ctx, `
		update passkeys set record = $1, used_at = $2
		where org_id = $3 and id = $4`, string(record), db.Time(tx.Now()), string(a.Owner.OrgID), a.Passkey.ID)
	return n == 1, err
}

const passkeyColumns = `org_id, user_id, id, name, user_handle, record, created_at, used_at`

func (k *Passkey) scan(scan func(...any) error) error {
	var handle, record string
	if err := scan(db.Into(&k.owner.OrgID, &k.owner.UserID, &k.ID, &k.Name, &handle, &record, (*db.Time)(&k.CreatedAt), (*db.Time)(&k.UsedAt))...); err != nil {
		return err
	}
	var err error
	if k.handle, err = base64.RawURLEncoding.DecodeString(handle); err != nil {
		return fmt.Errorf("user handle of passkey %s: %w", k.ID, err)
	}
	return json.Unmarshal([]byte(record), &k.record)
}

// PasskeysOf lists a user's passkeys, the oldest first.
func PasskeysOf(ctx context.Context, r db.Reader, o Owner) ([]Passkey, error) {
	var all []Passkey
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var k Passkey
		err := k.scan(scan)
		all = append(all, k)
		return err
	}, `
		select `+passkeyColumns+`
		from passkeys
		where org_id = $1 and user_id = $2
		order by created_at, id`, string(o.OrgID), string(o.UserID))
	return all, err
}

// PasskeyUnknown reports whether nobody has a passkey with that id, so that browsers may be
// told to forget it.
func PasskeyUnknown(ctx context.Context, r db.Reader, id string) (bool, error) {
	_, err := passkeyByCredential(ctx, r, id)
	if errors.Is(err, ErrPasskeyRefused) {
		return true, nil
	}
	return false, err
}

func passkeyByCredential(ctx context.Context, r db.Reader, id string) (Passkey, error) {
	var found []Passkey
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var k Passkey
		err := k.scan(scan)
		found = append(found, k)
		return err
	}, `
		select `+passkeyColumns+`
		from passkeys
		where credential_id = $1`, id)
	if err == nil && len(found) == 0 {
		err = &PasskeyRefusal{errors.New("a passkey that nobody has"), id}
	}
	if err != nil {
		return Passkey{}, err
	}
	return found[0], nil
}
