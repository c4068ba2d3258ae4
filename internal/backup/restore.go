package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/rotation"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// A Source opens a backup at its beginning, decrypted. It is read twice: once for its MAC, before
// anything is written, and once more for its rows.
type Source func() (io.ReadCloser, error)

// How says how a restore goes.
type How struct {
	Keys       secret.Keys
	Roots      string // the file of what this node knows of the audit log
	By         string // who does it, as logs and pages will say
	AsOfBackup bool   // the operator says that nothing was changed since which must not come back
	Progress   Progress
	Continued  []*Continued // what audit exports say was done since, each for one log

	mark string // of a restore that is under way; an adoption has none
}

// Why nothing can be restored here, or nothing be adopted.
var (
	ErrOccupied = errors.New("there is an installation here already: restore into an empty place")
	ErrServing  = errors.New("a server runs on this database, or one was killed less than a minute ago: stop it, and wait")
	ErrAtOnce   = errors.New("somebody else restores or sets up an installation here at this moment: wait until that has ended, and look what is here then")
	// What was proved until then would be taken again, and the epoch be before that of the backup.
	ErrClock = errors.New("by the clock of this machine the backup, or an earlier restore, is of the future: set the clock")
)

// Unfinished is the row of installation that a restore leaves while it is under way. Nothing is to be
// served then: what was revoked is not void yet. Its text is of this restore alone.
const Unfinished = "restoring"

// Check reads a whole backup, writes nothing, and returns what it says of itself once its MAC fits.
func Check(from Source, keys secret.Keys) (Header, error) {
	in, err := from()
	if err != nil {
		return Header{}, err
	}
	defer in.Close()
	r, err := open(in, keys)
	if err != nil {
		return Header{}, err
	}
	if err := r.check(); err != nil {
		return Header{}, err
	}
	err = r.Schema.Known()
	if errors.Is(err, db.ErrNewer) {
		err = fmt.Errorf("%w (its schema is %d)", ErrNewer, r.Schema.Version)
	}
	return r.Header, err
}

// Restore puts a backup for which Check returned h into a database, brings it up to this version, and
// revives nothing.
func Restore(ctx context.Context, d *db.DB, from Source, h Header, how How) error {
	err := restore(ctx, d, from, h, how)
	if errors.Is(err, db.ErrAtOnce) || db.IsBusy(err) {
		err = ErrAtOnce
	}
	return err
}

func restore(ctx context.Context, d *db.DB, from Source, h Header, how How) error {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	if d.Now().Before(h.MadeAt) {
		return ErrClock
	}
	if err := Vacant(ctx, d); err != nil {
		return err
	}
	found, err := marksIn(ctx, d)
	if err != nil {
		return err
	}
	how.mark = h.MadeAt.Format(time.RFC3339) + " " + secret.NewID("restore")
	err = d.MigrateTo(ctx, h.Schema.Version)
	if err == nil {
		err = d.Update(ctx, func(tx *db.Tx) error { return load(ctx, tx, from, how, found) })
	}
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	m, err := d.Migrate(ctx)
	if m.Backup != "" {
		err = errors.Join(err, os.Remove(m.Backup)) // the backup is the copy of before
	}
	if err != nil {
		return err
	}
	return begin(ctx, d, how, h.MadeAt)
}

// Adopt takes a database that somebody put back by hand, and revives nothing of it.
func Adopt(ctx context.Context, d *db.DB, how How) error {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	if err := d.View(ctx, func(tx *db.Tx) error { return serving(ctx, tx) }); err != nil {
		return err
	}
	return begin(ctx, d, how, time.Time{})
}

// load replaces everything that a database has by what a backup has. It looks again whether there is
// anything: somebody may have set up an installation since Restore looked.
func load(ctx context.Context, tx *db.Tx, from Source, how How, found marks) error {
	if err := errors.Join(tx.Unhurried(ctx), vacant(ctx, tx), alone(ctx, tx, found)); err != nil {
		return err
	}
	in, err := from()
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := open(in, how.Keys)
	if err != nil {
		return err
	}
	// Somebody else may have migrated meanwhile. No migration would then see the rows of this backup.
	now, err := tx.Schema(ctx)
	if err == nil && now.Version != r.Schema.Version {
		err = ErrAtOnce
	}
	if err != nil {
		return err
	}
	tables, err := tx.Tables(ctx)
	if err != nil {
		return err
	}
	tables = own(tables)
	for _, t := range slices.Backward(tables) { // migrations put rows into some
		if _, err := tx.Rewrite(ctx, t.Name, "", ""); err != nil {
			return err
		}
	}
	l := loading{tx: tx, tables: tables, progress: how.Progress, all: r.Rows}
	if err := r.lines(func(line []byte) error { return l.line(ctx, line) }); err != nil {
		return err
	}
	if !l.ended {
		return ErrDamaged
	}
	if err := orderKeys(ctx, tx, how.Keys); err != nil {
		return err
	}
	return tx.SetNote(ctx, Unfinished, how.mark)
}

// orderKeys brings keys into the order of what was loaded, so that nothing is written with one that was
// taken out.
func orderKeys(ctx context.Context, tx *db.Tx, keys secret.Keys) error {
	text, err := db.ReadNote(ctx, tx, rotation.Note)
	if err != nil || text == "" {
		return err
	}
	needed := rotation.Parse(text)
	if !needed.Fits(keys) {
		return fmt.Errorf("%w, or DATA/keys lacks a key that was taken out since: move it away, and the keys beside the backup are taken", ErrForeign)
	}
	needed.Order(keys, keys)
	return nil
}

// loading is a backup that is being read.
type loading struct {
	tx       *db.Tx
	tables   []db.Table
	into     *db.Insertion
	progress Progress
	rows     int64
	all      int64
	ended    bool
}

func (l *loading) line(ctx context.Context, line []byte) error {
	if l.ended || len(line) == 0 {
		return ErrDamaged
	}
	if bytes.HasPrefix(line, []byte("[")) {
		if l.into == nil {
			return ErrDamaged
		}
		if l.rows++; l.rows%everyRows == 0 {
			l.progress(l.rows, l.all)
		}
		return l.into.Row(ctx, line)
	}
	if l.into != nil {
		if err := l.into.End(ctx); err != nil {
			return err
		}
	}
	var said struct {
		db.Table
		Rows *int64 `json:"rows"`
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return ErrDamaged
	}
	if said.Rows != nil {
		l.progress(l.rows, l.all)
		if l.ended = *said.Rows == l.rows; !l.ended {
			return ErrDamaged
		}
		return nil
	}
	i := slices.IndexFunc(l.tables, func(t db.Table) bool { return t.Name == said.Name })
	if i < 0 {
		return fmt.Errorf("%w: there is no table %q", ErrDamaged, said.Name)
	}
	var err error
	l.into, err = l.tx.PutBack(l.tables[i], said.Columns)
	return err
}

// begin does with every table what fates says, and about what exports name what deeds says, and begins
// an epoch in every log, all in one transaction. All that waits to be sealed is sealed before, so that an epoch's first leaf is its first.
func begin(ctx context.Context, d *db.DB, how How, madeAt time.Time) error {
	before, err := audit.EpochOf(ctx, d, how.Keys.Sealing)
	if err == nil && d.Now().Before(before.At) {
		err = ErrClock
	}
	if err != nil {
		return err
	}
	if err := sealAll(ctx, d, audit.NewLogs(audit.Settings{Sealing: how.Keys.Sealing, Since: before.At})); err != nil {
		return err
	}
	logs := audit.NewLogs(audit.Settings{Sealing: how.Keys.Sealing, Since: before.At, File: how.Roots})
	if err := d.Update(ctx, func(tx *db.Tx) error {
		if err := tx.Unhurried(ctx); err != nil {
			return err
		}
		if err := how.goesOn(ctx, tx); err != nil {
			return err
		}
		for _, f := range fates {
			if err := f.meet(ctx, tx, how); err != nil {
				return err
			}
		}
		epoch := audit.Epoch{By: how.By, MadeAt: madeAt, AsOf: how.AsOfBackup, Logs: map[string]audit.Fields{}}
		left := ""
		installation := how.AsOfBackup || slices.ContainsFunc(how.Continued, func(c *Continued) bool { return c.Org == "" })
		for _, c := range how.Continued {
			if err := c.redo(ctx, tx, installation); err != nil {
				return err
			}
			// A restore that is cut short is run again; an adoption cannot be.
			if epoch.Logs[c.Org] = c.fields(); c.records() && !madeAt.IsZero() {
				left = how.mark
			}
		}
		if err := tx.SetNote(ctx, Unfinished, left); err != nil {
			return err
		}
		return logs.Begin(ctx, tx, how.Keys.Sealing, epoch)
	}); err != nil {
		return err
	}
	return forget(ctx, d, how)
}

// forget takes from logs what they lost since the backup. It records that, which comes behind the
// first leaf of an epoch, so that one is sealed first.
func forget(ctx context.Context, d *db.DB, how How) error {
	if !slices.ContainsFunc(how.Continued, (*Continued).records) {
		return nil
	}
	now, err := audit.EpochOf(ctx, d, how.Keys.Sealing)
	if err == nil {
		err = sealAll(ctx, d, audit.NewLogs(audit.Settings{Sealing: how.Keys.Sealing, Since: now.At}))
	}
	if err != nil {
		return err
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		if err := tx.Unhurried(ctx); err != nil {
			return err
		}
		if err := how.goesOn(ctx, tx); err != nil {
			return err
		}
		for _, c := range how.Continued {
			if err := c.forget(ctx, tx); err != nil {
				return err
			}
		}
		return tx.SetNote(ctx, Unfinished, "")
	})
}

// sealAll seals all that waits.
func sealAll(ctx context.Context, d *db.DB, logs *audit.Logs) error {
	for waits := 1; waits > 0; { // a sweep seals a part
		err := logs.Sweep(ctx, d)
		if err == nil {
			waits, _, err = audit.Unsealed(ctx, d)
		}
		if err != nil {
			return fmt.Errorf("sealing what was recorded last: %w", err)
		}
	}
	return nil
}

// meet does with a table what is to be done. What an export is there for is not unsure: it names what
// was changed.
func (f fate) meet(ctx context.Context, tx *db.Tx, how How) error {
	const step = 30 // seconds of an authenticator's code
	now := tx.Now()
	fill := strings.NewReplacer(
		"{now}", strconv.FormatInt(now.UnixMicro(), 10),
		"{step}", strconv.FormatInt(now.Unix()/step+1, 10),
		"{idle}", strconv.FormatInt(session.Idle.Microseconds(), 10),
		"{absolute}", strconv.FormatInt(session.Absolute.Microseconds(), 10),
		"{length}", strconv.Itoa(credential.Modern.MinimumLength))
	if f.always.does {
		if _, err := tx.Rewrite(ctx, f.table, fill.Replace(f.always.set), fill.Replace(f.always.where)); err != nil {
			return fmt.Errorf("voiding %s: %w", f.table, err)
		}
	}
	if how.AsOfBackup || !f.unsure.does {
		return nil
	}
	where, args := f.except(fill.Replace(f.unsure.where), how.Continued)
	if _, err := tx.Rewrite(ctx, f.table, fill.Replace(f.unsure.set), where, args...); err != nil {
		return fmt.Errorf("voiding %s: %w", f.table, err)
	}
	return nil
}

// except leaves out of a condition the rows of those whose logs exports continue.
func (f fate) except(where string, continued []*Continued) (string, []any) {
	var args []any
	for _, c := range continued {
		args = append(args, c.Org)
	}
	of := "org_id"
	switch f.table {
	case "organizations":
		of = "id"
	case "operator_rights": // of the installation
		of = "''"
	}
	if len(args) == 0 {
		return where, nil
	}
	if where != "" {
		where = "(" + where + ") and "
	}
	return where + of + " not in (" + db.Places(1, len(args)) + ")", args
}
