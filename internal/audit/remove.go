package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// logEnded begins the name of a row of installation that says that a log is gone, with its
// organization. The value is a MAC under the installation's key: somebody who can only write the
// database makes no log vanish unseen.
const logEnded = "log ended "

// Remove removes the log of an organization that is gone: its oldest events first, as retention does,
// so that what is left of it always fits its tree; then the log, with the note that it ended, by which
// each node forgets its root; then what no event can be read from. Sealing goes on while the events go.
func (l *Logs) Remove(ctx context.Context, d *db.DB, org string) error {
	for more := true; more; {
		if err := d.Update(ctx, func(tx *db.Tx) (err error) {
			more, err = removePart(ctx, tx, org)
			return err
		}); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
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

// latestBehind is how much later than an event those may be that were sealed before it: transactions that
// overlap are sealed as they end.
const latestBehind = time.Hour

// SaysDeleted reports whether the log of an organization has its deletion, of an instant or before. It
// returns ErrAltered, and raises the alarm once, if the log has none, or a restoration since: then nobody
// who runs the installation deleted the organization, whatever its row has. A log that was removed
// already says so by its note.
func (l *Logs) SaysDeleted(ctx context.Context, d *db.DB, org string, at time.Time) (bool, error) {
	t, ended, err := l.believed(ctx, d, org)
	if ended || err != nil && !errors.Is(err, ErrAltered) {
		return ended, err
	}
	var deleted time.Time
	if err == nil {
		deleted, err = deletion(ctx, d, t)
	}
	if errors.Is(err, ErrAltered) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stop(ctx, org, err)
	}
	return err == nil && !deleted.After(at), err
}

// believed returns the tree of a log, which is the one that this node knows, or reports that it ended.
func (l *Logs) believed(ctx context.Context, d *db.DB, org string) (t tree, ended bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ended, err = l.ended(ctx, d, org); err != nil || ended {
		return tree{}, ended, err
	}
	if err = l.known.load(); err == nil {
		t, err = treeOf(ctx, d, org)
	}
	if err == nil {
		err = l.known.compare(t, newTiles(ctx, d, org))
	}
	return t, false, err
}

// deletion returns the time of an organization's deletion by its log: by the last event about that,
// which is sealed where its time belongs. Who writes one for a time that is over finds younger ones sealed
// before it. It reads all tiles, beside those who seal: a tile only grows, and t has the size of before.
func deletion(ctx context.Context, r db.Reader, t tree) (time.Time, error) {
	org := t.org
	if err := checkTiles(newTiles(ctx, r, org), t); err != nil {
		return time.Time{}, err
	}
	var place int64
	found, err := r.One(ctx, db.Into(&place), `
		select leaf from audit_events
		where org_id = $1 and target = $1 and action in ('organization.deleted', 'organization.restored') and leaf < $2
		order by leaf desc
		limit 1`, org, t.size)
	if err != nil || !found {
		return time.Time{}, cmp.Or(err, fmt.Errorf("%w: %q is marked as deleted, and its log does not say so", ErrAltered, org))
	}
	all, err := After(ctx, r, org, place-1, 1)
	if err != nil || len(all) == 0 {
		return time.Time{}, cmp.Or(err, fmt.Errorf("%w: event %d is missing", ErrAltered, place))
	}
	e := all[0]
	if err := e.check(newTiles(ctx, r, org), place); err != nil {
		return time.Time{}, err
	}
	var latest db.Time
	if _, err := r.One(ctx, db.Into(&latest), `select coalesce(max(at), 0) from audit_events where org_id = $1 and leaf < $2`, org, place); err != nil {
		return time.Time{}, err
	}
	switch {
	case e.Action != "organization.deleted":
		return time.Time{}, fmt.Errorf("%w: %q is marked as deleted, and its log says that it was restored", ErrAltered, org)
	case time.Time(latest).After(e.At.Add(latestBehind)):
		return time.Time{}, fmt.Errorf("%w: event %d of %q is older than those before it", ErrAltered, place, org)
	}
	return e.At, nil
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
	notes, err := tx.Texts(ctx, "installation", []string{"name", "value"}, EndedBy(id))
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
