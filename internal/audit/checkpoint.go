package audit

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// Checkpoint is what was signed of a log: who keeps it can show later that the log only grew
// since. Its note is in the form of C2SP tlog-checkpoint.
type Checkpoint struct {
	Note string
	Key  string // to verify it with, in the form of C2SP signed-note
	Size int64
	Last int64 // sequence of the last event in it; -1 for none
	At   time.Time
	root tlog.Hash
}

// origin returns the name of a log and of its key: HOST/audit/ORG_ID, and after a restore
// HOST/audit/ORG_ID/EPOCH. That of the installation has no ORG_ID.
func (l *Logs) origin(org string) string {
	name := l.host + "/audit"
	for _, part := range []string{org, EpochName(l.since)} {
		if part != "" {
			name += "/" + part
		}
	}
	return name
}

// Checkpoint returns a signed checkpoint of an organization's newest tree.
func (l *Logs) Checkpoint(ctx context.Context, d *db.DB, org string) (Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.known.load(); err != nil {
		return Checkpoint{}, err
	}
	var c Checkpoint
	err := d.Update(ctx, func(tx *db.Tx) error {
		t, err := treeOf(ctx, tx, org)
		if err != nil {
			return err
		}
		if err := l.known.compare(t, newTiles(ctx, tx, org)); err != nil {
			return err
		}
		if c, err = l.sign(ctx, tx, t); err == nil {
			c.Last, err = SequenceOf(ctx, tx, org, c.Size-1)
		}
		return err
	})
	return c, err
}

// sign signs a tree, or returns what was signed of it before.
func (l *Logs) sign(ctx context.Context, tx *db.Tx, t tree) (Checkpoint, error) {
	signer, key, err := l.signer(ctx, tx, t.org)
	if err != nil {
		return Checkpoint{}, err
	}
	if c, err := l.newest(ctx, tx, t.org, key); err == nil && c.Size == t.size && c.root == t.root() {
		return c, nil
	}
	c := Checkpoint{Key: key, Size: t.size, At: tx.Now(), root: t.root()}
	text, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", l.origin(t.org), c.Size, c.root)}, signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("signing a checkpoint: %w", err)
	}
	c.Note = string(text)
	_, err = tx.Exec(ctx, `
		insert into audit_checkpoints (org_id, hour, at, size, note)
		values ($1, $2, $3, $4, $5)
		on conflict (org_id, hour) do update set at = excluded.at, size = excluded.size, note = excluded.note`,
		t.org, db.Time(tx.Now().Truncate(time.Hour)), db.Time(tx.Now()), c.Size, c.Note)
	return c, err
}

// errUnsigned is returned for a log without a checkpoint.
var errUnsigned = errors.New("no checkpoint was signed yet")

// newest returns the newest checkpoint of a log in this epoch, which its key must have signed.
func (l *Logs) newest(ctx context.Context, r db.Reader, org, key string) (Checkpoint, error) {
	c := Checkpoint{Key: key}
	found, err := r.One(ctx, db.Into(&c.Note, &c.Size, (*db.Time)(&c.At)), `
		select note, size, at from audit_checkpoints where org_id = $1 and at >= $2 order by hour desc limit 1`, org, l.since.UnixMicro())
	if err == nil && !found {
		err = errUnsigned
	}
	if err != nil {
		return c, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return c, fmt.Errorf("%w: its key is none", ErrAltered)
	}
	opened, err := note.Open([]byte(c.Note), note.VerifierList(verifier))
	if err != nil {
		return c, fmt.Errorf("%w: its checkpoint of %d is not signed by its key", ErrAltered, c.Size)
	}
	var name, root string
	var size int64
	if _, err := fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &name, &size, &root); err != nil || name != verifier.Name() || size != c.Size {
		return c, fmt.Errorf("%w: its checkpoint of %d is of something else", ErrAltered, c.Size)
	}
	if c.root, err = tlog.ParseHash(root); err != nil {
		err = fmt.Errorf("%w: its checkpoint of %d has no root", ErrAltered, c.Size)
	}
	return c, err
}

// signer returns what signs a log, and the text of the public key. A log without a key gets one.
func (l *Logs) signer(ctx context.Context, tx *db.Tx, org string) (note.Signer, string, error) {
	name := l.origin(org)
	var sealed string
	found, err := tx.One(ctx, db.Into(&sealed), `select seed from audit_keys where org_id = $1 and name = $2`, org, name)
	if err != nil {
		return nil, "", err
	}
	var seed []byte
	if found {
		if seed, err = l.keys.Open(sealed, name); err != nil {
			return nil, "", fmt.Errorf("%w: its key cannot be opened: %w", ErrAltered, err)
		}
	} else {
		seed = secret.Bytes(ed25519.SeedSize)
		if _, err := tx.Exec(ctx, `insert into audit_keys (org_id, name, seed, created_at) values ($1, $2, $3, $4)`,
			org, name, l.keys.Seal(seed, name), db.Time(tx.Now())); err != nil {
			return nil, "", err
		}
	}
	return signerOf(name, seed)
}

// signerOf makes a signer of a note from a seed. note reads keys from text alone.
func signerOf(name string, seed []byte) (note.Signer, string, error) {
	const ed25519Algorithm = 1
	public, _ := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	key, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, "", fmt.Errorf("reading the key of a log: %w", err)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(key, name+"+"), "+")
	signer, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + id + "+" + base64.StdEncoding.EncodeToString(append([]byte{ed25519Algorithm}, seed...)))
	if err != nil {
		return nil, "", fmt.Errorf("reading the key of a log: %w", err)
	}
	return signer, key, nil
}

// KeyOf returns what a log's checkpoints are verified with, from the name of the log and the seed of its
// key, as audit_keys has them.
func KeyOf(sealing *secret.Ring, name, sealed string) (note.Verifier, error) {
	seed, err := secret.NewBox(sealing, keysBox).Open(sealed, name)
	if err != nil {
		return nil, fmt.Errorf("%w: its key cannot be opened", ErrAltered)
	}
	_, key, err := signerOf(name, seed)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(key)
}

// SweepCheckpoints signs what grew since it was last signed, and compares every tree with what this
// node knows of it.
func (l *Logs) SweepCheckpoints(ctx context.Context, d *db.DB) error {
	orgs, err := db.List(ctx, d, db.Value[string], `
		select l.org_id
		from audit_logs l
		where l.size > coalesce((select max(c.size) from audit_checkpoints c where c.org_id = l.org_id and c.at >= $1), 0)
		order by l.org_id`, l.since.UnixMicro())
	for _, org := range orgs {
		_, failed := l.Checkpoint(ctx, d, org)
		if errors.Is(failed, ErrAltered) {
			l.mu.Lock()
			l.stop(ctx, org, failed)
			l.mu.Unlock()
			continue // the others are signed all the same
		}
		err = errors.Join(err, failed)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.stillStopped())
}

// Proof shows that something is in the tree of a checkpoint.
type Proof struct {
	Checkpoint
	Hashes []tlog.Hash
}

// ErrNoLeaf is returned for a place that a log does not have.
var ErrNoLeaf = errors.New("the log has no such place")

// Prove proves that the event at a place is in the newest tree (RFC 6962, 2.1.1).
func (l *Logs) Prove(ctx context.Context, d *db.DB, org string, place int64) (Proof, error) {
	return l.prove(ctx, d, org, func(size int64, read *tiles) ([]tlog.Hash, error) {
		if place < 0 || place >= size {
			return nil, ErrNoLeaf
		}
		return tlog.ProveRecord(size, place, read)
	})
}

// ProveSince proves that the newest tree has grown out of the one of a size (RFC 6962, 2.1.2).
func (l *Logs) ProveSince(ctx context.Context, d *db.DB, org string, size int64) (Proof, error) {
	return l.prove(ctx, d, org, func(now int64, read *tiles) ([]tlog.Hash, error) {
		if size < 1 || size > now {
			return nil, ErrNoLeaf
		}
		return tlog.ProveTree(now, size, read)
	})
}

func (l *Logs) prove(ctx context.Context, d *db.DB, org string, prove func(size int64, read *tiles) ([]tlog.Hash, error)) (Proof, error) {
	c, err := l.Checkpoint(ctx, d, org)
	if err != nil {
		return Proof{}, err
	}
	hashes, err := prove(c.Size, newTiles(ctx, d, org))
	return Proof{c, hashes}, err
}
