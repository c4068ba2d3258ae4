package audit

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// An Epoch is the time since a restore. What is sealed in it has grown out of what was restored, and
// not out of what was sealed and lost since then, so each log has another name in each epoch
// (decision 0081).
type Epoch struct {
	At     time.Time `json:"at"` // of the restore
	By     string    `json:"by"`
	MadeAt time.Time `json:"made_at,omitzero"` // of the backup; zero for a database that was put back by hand
	AsOf   bool      `json:"as_of_backup"`
	Proof  string    `json:"proof"`

	// Logs is what the first leaf of a log records besides, by the organization.
	Logs map[string]Fields `json:"-"`
}

// EpochNote is the row of installation with the newest epoch, as JSON.
const EpochNote = "epoch"

// prove returns a MAC under the installation's key: somebody who can only write the database
// begins no epoch.
func (e Epoch) prove(sealing *secret.Ring, id string) (string, bool) {
	key, known := sealing.For("epochs").ByID(id)
	mac := secret.MAC(key.Bytes, e.At.UTC().Format(instantFormat), e.By, e.MadeAt.UTC().Format(instantFormat), fmt.Sprint(e.AsOf))
	return id + "." + base64.RawURLEncoding.EncodeToString(mac), known
}

// EpochOf returns when and by whom a database was last restored; the zero Epoch if never. It returns
// ErrAltered if somebody without the keys says so.
func EpochOf(ctx context.Context, r db.Reader, sealing *secret.Ring) (Epoch, error) {
	text, err := db.ReadNote(ctx, r, EpochNote)
	if err != nil || text == "" {
		return Epoch{}, err
	}
	var e Epoch
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Epoch{}, fmt.Errorf("%w: its epoch cannot be read", ErrAltered)
	}
	id, _, _ := strings.Cut(e.Proof, ".")
	if proof, known := e.prove(sealing, id); !known || !secret.Equal([]byte(proof), []byte(e.Proof)) {
		return Epoch{}, fmt.Errorf("%w: the keys of this installation began no epoch at %s", ErrAltered, e.At)
	}
	return e, nil
}

// ProveEpoch proves the epoch by the key of the ring that writes, so that the one before may be taken
// out.
func ProveEpoch(ctx context.Context, tx *db.Tx, sealing *secret.Ring) error {
	e, err := EpochOf(ctx, tx, sealing)
	if err != nil || e.At.IsZero() {
		return err
	}
	e.Proof, _ = e.prove(sealing, sealing.Current().ID)
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return tx.SetNote(ctx, EpochNote, string(text))
}

// Restored returns the epoch that this process found when it opened the database, and checked; the
// zero Epoch before the first restore.
func Restored(ctx context.Context, tx *db.Tx) (e Epoch, err error) {
	if tx.Restored().IsZero() {
		return e, nil
	}
	return readEpoch(ctx, tx)
}

// readEpoch does not ask who wrote it.
func readEpoch(ctx context.Context, r db.Reader) (e Epoch, err error) {
	text, err := db.ReadNote(ctx, r, EpochNote)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &e)
	}
	return e, err
}

// EpochName names an epoch in the names of logs; that before the first restore has none. Names sort
// by time.
func EpochName(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("20060102T150405Z")
}

// restored is what the first leaf of an epoch records.
const restored Action = "audit.restored"

// Begin begins an epoch in every log. Nothing may wait to be sealed: call Sweep of Logs without a
// file before. Its first leaf says how large the tree was and its root, and those that this node
// knew, where it knew more.
func (l *Logs) Begin(ctx context.Context, tx *db.Tx, sealing *secret.Ring, e Epoch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.known.load(); err != nil {
		return err
	}
	e.At, e.By = tx.Now().Truncate(time.Second), clean(e.By, 100)
	e.Proof, _ = e.prove(sealing, sealing.Current().ID)
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := tx.SetNote(ctx, EpochNote, string(text)); err != nil {
		return err
	}
	orgs, err := db.List(ctx, tx, db.Value[string], `select '' union select org_id from audit_logs`)
	if err != nil {
		return err
	}
	for _, org := range orgs {
		t, err := treeOf(ctx, tx, org)
		if err != nil {
			return err
		}
		if err := beginLog(ctx, tx, t, EpochName(e.At)); err != nil {
			return err
		}
		fields := Fields{"epoch": EpochName(e.At), "size": t.size, "root": textOf(t.root()), "by": e.By, "as_of_backup": e.AsOf}
		if !e.MadeAt.IsZero() {
			fields["made_at"] = e.MadeAt
		}
		if known := l.known.roots[org]; known.size > t.size {
			fields["lost_size"], fields["lost_root"] = known.size, textOf(known.root)
		}
		maps.Copy(fields, e.Logs[org])
		if err := Record(ctx, tx, Event{OrgID: org, Actor: Operator, ActorName: Operator, Action: restored, Target: org, After: fields}); err != nil {
			return err
		}
	}
	return nil
}

// Sequences of an epoch are those of its leaves and a multiple of perEpoch, which makes them greater
// than any that an earlier epoch gave, to events that were lost too: a reader who goes on after its
// last one misses nothing of what there is.
const perEpoch = 10_000_000_000

// firstHour is what epochs are counted from, in hours.
var firstHour = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// beginLog gives a log its next epoch. Its number comes from the clock: one that followed from the
// numbers that are there would come again after the same backup was restored twice.
func beginLog(ctx context.Context, tx *db.Tx, t tree, name string) error {
	all, err := epochsOf(ctx, tx, t.org)
	if err != nil {
		return err
	}
	number := int64(tx.Now().Sub(firstHour).Hours())
	if n := len(all); n > 0 {
		number = max(number, all[n-1].number+1)
	}
	_, err = tx.Exec(ctx, `insert into audit_epochs (org_id, number, first, name) values ($1, $2, $3, $4)`, t.org, number, t.size, name)
	return err
}

// epochs are those of a log that restores began, in their order.
type epochs []struct{ number, first int64 }

func epochsOf(ctx context.Context, r db.Reader, org string) (epochs, error) {
	var all epochs
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var e struct{ number, first int64 }
		err := scan(&e.number, &e.first)
		all = append(all, e)
		return err
	}, `select number, first from audit_epochs where org_id = $1 order by number`, org)
	return all, err
}

func (all epochs) sequence(place int64) int64 {
	for _, e := range slices.Backward(all) {
		if place >= e.first {
			return e.number*perEpoch + place
		}
	}
	return place
}

func (all epochs) place(sequence int64) int64 {
	if sequence < 0 {
		return -1
	}
	number, place := sequence/perEpoch, sequence%perEpoch
	for _, e := range all {
		if e.number > number { // what its epoch had beyond was lost
			return min(place, e.first-1)
		}
	}
	return place
}

// sequences fills in those of events.
func sequences(ctx context.Context, r db.Reader, org string, events []Stored) error {
	if len(events) == 0 {
		return nil
	}
	all, err := epochsOf(ctx, r, org)
	for i := range events {
		events[i].Sequence = all.sequence(events[i].Leaf)
	}
	return err
}

// SequenceOf returns the sequence of a place of a log; -1 of the one before the first.
func SequenceOf(ctx context.Context, r db.Reader, org string, place int64) (int64, error) {
	all, err := epochsOf(ctx, r, org)
	return all.sequence(place), err
}

// PlaceOf returns the place of a sequence, and of one that was lost the last place before the restore
// that lost it. What follows it there is what follows the sequence.
func PlaceOf(ctx context.Context, r db.Reader, org string, sequence int64) (int64, error) {
	all, err := epochsOf(ctx, r, org)
	return all.place(sequence), err
}

// LeafOf returns the place of the event that has a sequence, or ErrNoLeaf.
func LeafOf(ctx context.Context, r db.Reader, org string, sequence int64) (int64, error) {
	all, err := epochsOf(ctx, r, org)
	place := all.place(sequence)
	if err == nil && all.sequence(place) != sequence {
		err = ErrNoLeaf
	}
	return place, err
}

// ErrOlder is returned for a database that is older than what this node knows of it: somebody put an
// earlier copy in its place.
var ErrOlder = errors.New("the database is older than what this node knows of it: an earlier copy was put in its place")

// ErrRestored is returned for a database that was restored, or adopted, while this node ran. What the
// node knows of it is of before, such as from when on a proof is refused.
var ErrRestored = errors.New("the database was restored while this node ran")

// Watch returns ErrOlder if the database is older than what this node knows of it, and ErrRestored if
// an epoch began that this node did not find when it opened the database. It then learns
// what has grown since: each node knows every log, whichever node sealed it. A node that knew nothing
// of a database that has logs was blind: it cannot tell.
func (l *Logs) Watch(ctx context.Context, d *db.DB) (blind bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.known.load(); err != nil {
		return false, err
	}
	sizes := map[string]int64{}
	var grown []string
	if err := d.Rows(ctx, func(scan func(...any) error) error {
		var org string
		var size int64
		if err := scan(&org, &size); err != nil {
			return err
		}
		sizes[org] = size
		if p := l.known.roots[org]; p.epoch < l.known.epoch || p.size < size {
			grown = append(grown, org)
		}
		return nil
	}, `select org_id, size from audit_logs order by org_id`); err != nil {
		return false, err
	}
	if err := l.forgetEnded(ctx, d, sizes); err != nil {
		return false, err
	}
	for org, p := range l.known.roots {
		if p.epoch > l.known.epoch || p.epoch == l.known.epoch && sizes[org] < p.size {
			return false, l.known.compare(tree{org: org, edge: edge{size: sizes[org]}}, nil)
		}
	}
	if e, err := readEpoch(ctx, d); err != nil || EpochName(e.At) != l.known.epoch {
		return false, cmp.Or(err, ErrRestored)
	}
	blind = len(l.known.roots) == 0 && len(sizes) > 0
	return blind, l.learn(ctx, d, grown)
}

// Newest is Watch for a process that does not go on: it returns ErrOlder, and learns nothing.
func (l *Logs) Newest(ctx context.Context, d *db.DB) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.known.load(); err != nil {
		return err
	}
	for org, p := range l.known.roots {
		var size int64
		if _, err := d.One(ctx, db.Into(&size), `select size from audit_logs where org_id = $1`, org); err != nil {
			return err
		}
		if p.epoch < l.known.epoch || p.epoch == l.known.epoch && size >= p.size {
			continue
		}
		ended, err := l.ended(ctx, d, org)
		if err == nil && !ended {
			err = l.known.compare(tree{org: org, edge: edge{size: size}}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// learn keeps the roots of logs that grew. One that was altered is for the sweeps to stop.
func (l *Logs) learn(ctx context.Context, d *db.DB, grown []string) error {
	var trees []tree
	for _, org := range grown {
		t, err := treeOf(ctx, d, org)
		if err == nil {
			err = l.known.compare(t, newTiles(ctx, d, org))
		}
		if errors.Is(err, ErrAltered) {
			continue
		}
		if err != nil {
			return err
		}
		trees = append(trees, t)
	}
	return l.known.keep(trees)
}
