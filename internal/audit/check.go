package audit

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"parvis/internal/db"
)

// Checked is how much was found right.
type Checked struct{ Logs, Events int64 }

// Check checks every log as somebody with an export would: that each event has the hash in its
// place, that the hashes are the tree's, and that the tree has grown out of the newest checkpoint
// and of the one that this node knows. It returns ErrAltered with the first place that is wrong.
func (l *Logs) Check(ctx context.Context, d *db.DB) (Checked, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var done Checked
	if err := l.known.load(); err != nil {
		return done, err
	}
	orgs, err := db.List(ctx, d, db.Value[string], `
		select org_id from audit_logs
		union
		select org_id from audit_events where leaf is not null
		order by org_id`)
	if err != nil {
		return done, err
	}
	for org := range l.known.roots {
		t, err := treeOf(ctx, d, org)
		if err == nil && t.size == 0 {
			var ended bool
			if ended, err = l.ended(ctx, d, org); err == nil && !ended {
				err = l.known.compare(t, nil)
			}
		}
		if err != nil {
			return done, err
		}
	}
	for _, org := range orgs {
		events, err := l.checkLog(ctx, d, org)
		if err != nil {
			return done, fmt.Errorf("%q: %w", l.origin(org), err)
		}
		done.Logs++
		done.Events += events
	}
	return done, nil
}

func (l *Logs) checkLog(ctx context.Context, d *db.DB, org string) (events int64, err error) {
	t, err := treeOf(ctx, d, org)
	if err != nil {
		return 0, err
	}
	if err := l.known.compare(t, newTiles(ctx, d, org)); err != nil {
		return 0, err
	}
	if err := checkTiles(newTiles(ctx, d, org), t); err != nil {
		return 0, err
	}
	if err := l.checkNewest(ctx, d, t); err != nil {
		return 0, err
	}
	read := newTiles(ctx, d, org)
	next := t.first
	for next < t.size {
		var all []Stored
		if all, err = After(ctx, d, org, next-1, perRead); err != nil {
			return events, err
		}
		for i := range all {
			if next >= t.size {
				return events, nil // sealed since
			}
			if err := all[i].check(read, next); err != nil {
				return events, err
			}
			next++
			events++
		}
		if len(all) == 0 {
			return events, fmt.Errorf("%w: event %d is missing", ErrAltered, next)
		}
	}
	return events, nil
}

// check returns ErrAltered unless e is the event at a place of the tree.
func (e *Stored) check(read *tiles, place int64) error {
	if e.Leaf != place {
		return fmt.Errorf("%w: event %d is missing", ErrAltered, place)
	}
	stored, err := read.subtree(0, place)
	if err != nil {
		return err
	}
	if e.altered() || e.leaf().hash() != stored {
		return fmt.Errorf("%w: event %d (%s)", ErrAltered, place, e.ID)
	}
	return nil
}

// leaf returns what the tree has of e.
func (e *Stored) leaf() *leaf {
	return &leaf{Org: e.OrgID, ID: e.ID, At: e.At, Actor: e.Actor, Action: e.Action, Result: e.Result, Target: e.Target,
		Request: e.Origin.Request, ByHash: e.byHash, OfHash: e.ofHash}
}

// altered reports whether a half of e is neither what was hashed nor erased.
func (e *Stored) altered() bool {
	who := !e.ErasedBy && half(e.bySalt, e.by().texts()...) != e.byHash || e.ErasedBy && e.by() != (by{})
	of := !e.ErasedOf && half(e.ofSalt, e.TargetName, e.before, e.after) != e.ofHash || e.ErasedOf && e.TargetName+e.before+e.after != ""
	return who || of
}

// checkTiles makes the tree again from its lowest tiles.
func checkTiles(read *tiles, t tree) error {
	var again edge
	var wrong error
	for again.size < t.size && wrong == nil {
		h, err := read.subtree(0, again.size)
		if err != nil {
			return err
		}
		again.add(h, func(level int, n int64, h tlog.Hash) {
			if level == 0 || wrong != nil {
				return
			}
			stored, err := read.subtree(level*tileHeight, n)
			if err != nil || stored != h {
				first := n << (level * tileHeight)
				wrong = errors.Join(err, fmt.Errorf("%w: the tiles of events %d to %d do not fit each other", ErrAltered, first, first+1<<(level*tileHeight)-1))
			}
		})
	}
	if wrong == nil && again.root() != t.root() {
		wrong = fmt.Errorf("%w: its tiles do not fit its root", ErrAltered)
	}
	return wrong
}

// checkNewest compares a tree with its newest checkpoint.
func (l *Logs) checkNewest(ctx context.Context, d *db.DB, t tree) error {
	var sealed string
	found, err := d.One(ctx, db.Into(&sealed), `select seed from audit_keys where org_id = $1 and name = $2`, t.org, l.origin(t.org))
	if err != nil || !found {
		return err
	}
	seed, err := l.keys.Open(sealed, l.origin(t.org))
	if err != nil {
		return fmt.Errorf("%w: its key cannot be opened", ErrAltered)
	}
	_, key, err := signerOf(l.origin(t.org), seed)
	if err != nil {
		return err
	}
	c, err := l.newest(ctx, d, t.org, key)
	switch {
	case errors.Is(err, errUnsigned):
		return nil
	case err != nil:
		return err
	case c.Size > t.size:
		return fmt.Errorf("%w: it has %d events, and had %d when it was signed", ErrAltered, t.size, c.Size)
	}
	root, err := newTiles(ctx, d, t.org).rootAt(c.Size)
	if err == nil && root != c.root {
		err = fmt.Errorf("%w: its first %d events are not the ones that were signed", ErrAltered, c.Size)
	}
	return err
}
