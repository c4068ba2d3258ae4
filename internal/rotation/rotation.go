package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/secret"
)

// Overlap is how long a key reads at least after another one began to write: so long browsers,
// applications and callers of the API may hold what it made. Idempotency keys are remembered for a day.
const Overlap = 25 * time.Hour

// settles is how long after a change-over somebody may still store what the key before it made: so long a
// node takes to follow, and a request that began before to end.
const settles = 15 * time.Second

// Use has every node write with a key that all of them know already. It returns an error that names the
// nodes that do not.
func Use(ctx context.Context, d *db.DB, keys secret.Keys, id string) error {
	ring := RingOf(keys, id)
	if ring == "" {
		return ErrUnknown
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		known, err := Read(ctx, tx)
		if err != nil {
			return err
		}
		nodes, err := Nodes(ctx, tx)
		if err == nil {
			err = forgetNodes(ctx, tx)
		}
		switch {
		case err != nil:
			return err
		case !known.Fits(keys):
			return ErrForeign
		case slices.Contains(known.Retired, id):
			return ErrRetired
		case known.Rings[ring][0].ID == id:
			return nil
		}
		if without := lacking(nodes, func(n Node) bool { return slices.Contains(n.Knows, id) }); len(without) > 0 {
			return fmt.Errorf("%s: this server does not know the key yet. Copy DATA/keys there, reload it with SIGHUP, and try again", strings.Join(without, ", "))
		}
		key, _ := keys.Rings()[ring].ByID(id)
		mark := markOf(key, ring)
		mark.Since = tx.Now()
		before := known.Rings[ring]
		known.Rings[ring] = append([]Mark{mark}, slices.DeleteFunc(slices.Clone(before), func(m Mark) bool { return m.ID == id })...)
		if err := tx.SetNote(ctx, Note, known.String()); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{
			Actor: audit.Operator, ActorName: audit.Operator, Action: "installation_key.used", Target: id,
			After: audit.Fields{"ring": ring},
		})
	})
}

// Leaving says how a key is taken out.
type Leaving struct {
	ID     string
	Leaked bool              // others may know it: do not wait until what it made has ended
	Moved  func(n int)       // gets how many rows were sealed again
	Store  *credential.Store // for passwords that were moved in
}

// ErrNeeded is returned for a key without which something could no longer be read; Retire returns what
// beside it.
var ErrNeeded = errors.New("it is still needed")

// Retire seals again what an earlier key sealed, and takes the key out: from then on no node reads with
// it. It refuses while something needs it that cannot be sealed again.
func Retire(ctx context.Context, d *db.DB, keys secret.Keys, l Leaving) ([]Need, error) {
	ring, err := leaves(ctx, d, keys, l)
	if err != nil {
		return nil, err
	}
	switch ring {
	case "sealing":
		err = sealAgain(ctx, d, keys, l.ID, l.Moved)
	case "pepper":
		err = l.Store.SealImportedAgain(db.AfterPeople(ctx), d, l.ID)
	}
	if err != nil {
		return nil, err
	}
	// Outside the transaction that takes it out, which reads no table: every node writes with another key
	// by now, so that nothing comes after this.
	left, err := Needs(ctx, d, ring, l.ID)
	if err == nil && len(left) > 0 {
		err = ErrNeeded
	}
	if err != nil {
		return left, err
	}
	return nil, d.Update(ctx, func(tx *db.Tx) error {
		known, err := Read(ctx, tx)
		if err != nil {
			return err
		}
		if known.Rings[ring][0].ID == l.ID {
			return ErrWrites
		}
		known.Rings[ring] = slices.DeleteFunc(known.Rings[ring], func(m Mark) bool { return m.ID == l.ID })
		known.Retired = append(known.Retired, l.ID)
		if err := tx.SetNote(ctx, Note, known.String()); err != nil {
			return err
		}
		after := audit.Fields{"ring": ring}
		if l.Leaked {
			after["why"] = "leaked"
		}
		return audit.Record(ctx, tx, audit.Event{Actor: audit.Operator, ActorName: audit.Operator, Action: "installation_key.retired", Target: l.ID, After: after})
	})
}

// leaves returns the ring of a key that may be taken out, or why it may not.
func leaves(ctx context.Context, d *db.DB, keys secret.Keys, l Leaving) (string, error) {
	ring := RingOf(keys, l.ID)
	known, err := Read(ctx, d)
	if err != nil {
		return "", err
	}
	nodes, err := Nodes(ctx, d)
	switch {
	case err != nil:
		return "", err
	case slices.Contains(known.Retired, l.ID):
		return "", ErrRetired
	case ring == "":
		return "", ErrUnknown
	case !known.Fits(keys):
		return "", ErrForeign
	case known.Rings[ring][0].ID == l.ID:
		return "", ErrWrites
	}
	writes := known.Rings[ring][0]
	if until := writes.Since.Add(Overlap); !l.Leaked && d.Now().Before(until) {
		return "", fmt.Errorf("browsers and applications may hold until %s what this key made: take it out then, or with --leaked at once, "+
			"where others may know it. People then sign in again or repeat a step here and there", until.UTC().Format("2 January 15:04 MST"))
	}
	if until := writes.Since.Add(settles); d.Now().Before(until) {
		return "", fmt.Errorf("requests that began before the change may still write with this key: try again in %d s", int(until.Sub(d.Now()).Seconds())+1)
	}
	if behind := lacking(nodes, func(n Node) bool { return slices.Contains(n.Writes, writes.ID) }); len(behind) > 0 {
		return "", fmt.Errorf("%s: this server does not write with %s yet. It changes over within seconds: try again; its log says what keeps it from that", strings.Join(behind, ", "), writes.ID)
	}
	return ring, nil
}
