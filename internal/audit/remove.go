package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// logEnded begins the name of a row of installation that says that a log is gone, with its
// organization. The value is a MAC under the installation's key: somebody who can only write the
// database makes no log vanish unseen.
const logEnded = "log ended "

// Remove removes the log of an organization that is gone: its oldest events first, as retention does,
// so that what is left of it always fits its tree; then the log, with the note that it ended, by which
// each node forgets its root; then what no event can be read from.
func (l *Logs) Remove(ctx context.Context, d *db.DB, org string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for more := true; more; {
		if err := d.Update(ctx, func(tx *db.Tx) (err error) {
			more, err = removePart(ctx, tx, org)
			return err
		}); err != nil {
			return err
		}
	}
	if err := d.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `delete from audit_events where org_id = $1`, org); err != nil { // what was not sealed yet
			return err
		}
		if _, err := tx.Exec(ctx, `delete from audit_logs where org_id = $1`, org); err != nil {
			return err
		}
		proof, _ := l.proveRoots(l.telling.Current().ID, logEnded, org)
		return tx.SetNote(ctx, logEnded+org, proof)
	}); err != nil {
		return err
	}
	for _, statement := range []string{
		`delete from audit_tiles where org_id = $1 and (level, n) in (select level, n from audit_tiles where org_id = $1 limit $2)`,
		`delete from audit_checkpoints where org_id = $1 and hour in (select hour from audit_checkpoints where org_id = $1 limit $2)`,
		`delete from audit_days where org_id = $1 and (day, action, result, about) in (select day, action, result, about from audit_days where org_id = $1 limit $2)`,
		`delete from audit_epochs where org_id = $1 and number in (select number from audit_epochs where org_id = $1 limit $2)`,
		`delete from audit_keys where org_id = $1 and name in (select name from audit_keys where org_id = $1 limit $2)`,
	} {
		if _, err := d.InParts(ctx, statement, org); err != nil {
			return err
		}
	}
	return errors.Join(l.known.load(), l.known.forget(org))
}

// RemoveLate removes what requests that were being answered recorded since Remove, in the transaction
// after which nobody finds the organization.
func RemoveLate(ctx context.Context, tx *db.Tx, org string) error {
	for _, statement := range []string{
		`delete from audit_events where org_id = $1`,
		`delete from audit_logs where org_id = $1`,
		`delete from audit_tiles where org_id = $1`,
		`delete from audit_checkpoints where org_id = $1`,
		`delete from audit_days where org_id = $1`,
		`delete from audit_keys where org_id = $1`,
	} {
		if _, err := tx.Exec(ctx, statement, org); err != nil {
			return err
		}
	}
	return nil
}

// removePart removes the oldest sealed events of a log, and reports whether there may be more.
func removePart(ctx context.Context, tx *db.Tx, org string) (more bool, err error) {
	t, err := treeOf(ctx, tx, org)
	if err != nil || t.first >= t.size {
		return false, err
	}
	next := min(t.first+db.Part, t.size)
	if _, err := tx.Exec(ctx, `delete from audit_events where org_id = $1 and leaf < $2`, org, next); err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `update audit_logs set first = $1 where org_id = $2`, next, org)
	return next < t.size, err
}

// ended reports whether a log that this node knows was removed with its organization.
func (l *Logs) ended(ctx context.Context, r db.Reader, org string) (bool, error) {
	proof, err := db.ReadNote(ctx, r, logEnded+org)
	if err != nil || proof == "" {
		return false, err
	}
	return l.proves(proof, logEnded, org), nil
}

// forgetEnded forgets the roots of logs that ended. A late event, of a request that was being answered,
// may have begun such a log again.
func (l *Logs) forgetEnded(ctx context.Context, r db.Reader, sizes map[string]int64) error {
	for org, p := range l.known.roots {
		if sizes[org] >= p.size {
			continue
		}
		ended, err := l.ended(ctx, r, org)
		if err == nil && ended {
			err = l.known.forget(org)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ProveEnded proves by the key of the ring that writes, in some rows, that logs ended where an earlier key
// proved it, so that that one may be taken out: a node that was away meanwhile would take its database
// for an older one. It returns how many rows there were.
func ProveEnded(ctx context.Context, tx *db.Tx, sealing *secret.Ring, id string) (int, error) {
	l := &Logs{telling: sealing.For(rootsRing)}
	notes, err := tx.Texts(ctx, "installation", []string{"name", "value"}, EndedBy(id), db.Part)
	for _, note := range notes {
		if err != nil {
			break
		}
		org := strings.TrimPrefix(note[0], logEnded)
		if !l.proves(note[1], logEnded, org) {
			return 0, fmt.Errorf("%w: the keys of this installation did not end the log of %s", ErrAltered, org)
		}
		proof, _ := l.proveRoots(l.telling.Current().ID, logEnded, org)
		err = tx.SetNote(ctx, note[0], proof)
	}
	return len(notes), err
}

// EndedBy matches the rows of installation in which a key proves that a log ended.
func EndedBy(id string) string { return "name like '" + logEnded + "%' and value like '" + id + ".%'" }
