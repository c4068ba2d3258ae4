package backup

import (
	"context"
	"errors"
	"strconv"

	"parvis/internal/db"
	"parvis/internal/rotation"
)

// Vacant returns ErrOccupied or ErrServing unless a backup may be restored into a database. One that
// a restore left behind which was cut short is vacant.
func Vacant(ctx context.Context, d *db.DB) error {
	empty, err := d.Empty(ctx)
	if err != nil || empty {
		return err
	}
	return d.View(ctx, func(tx *db.Tx) error { return vacant(ctx, tx) })
}

func vacant(ctx context.Context, tx *db.Tx) error {
	cut, err := db.ReadNote(ctx, tx, Unfinished)
	if err != nil || cut != "" {
		return err
	}
	n, err := tx.Count(ctx, "organizations", "")
	if err == nil && n > 0 {
		err = ErrOccupied
	}
	if err != nil {
		return err
	}
	return serving(ctx, tx)
}

// serving returns ErrServing while a node holds the lease of what is done each second, which it gives
// back when it ends well. Leases of rarer work last for hours.
func serving(ctx context.Context, tx *db.Tx) error {
	n, err := tx.Count(ctx, "leases", "name = 'audit log' and ends_at > "+strconv.FormatInt(tx.Now().UnixMicro(), 10))
	if err == nil && n > 0 {
		err = ErrServing
	}
	return err
}

// Serving reports whether a node serves a database, or one was killed less than a minute ago.
func Serving(ctx context.Context, d *db.DB) (bool, error) {
	err := d.View(ctx, func(tx *db.Tx) error { return serving(ctx, tx) })
	if errors.Is(err, ErrServing) {
		return true, nil
	}
	return false, err
}

// marks are the notes of a database that change when somebody restores into it, or sets up an
// installation.
type marks struct{ unfinished, keys string }

// marksIn reads those of a database, which has none before it has a schema.
func marksIn(ctx context.Context, d *db.DB) (m marks, err error) {
	if empty, err := d.Empty(ctx); err != nil || empty {
		return m, err
	}
	err = d.View(ctx, func(tx *db.Tx) (err error) { m, err = marksOf(ctx, tx); return err })
	return m, err
}

func marksOf(ctx context.Context, tx *db.Tx) (m marks, err error) {
	if m.unfinished, err = db.ReadNote(ctx, tx, Unfinished); err == nil {
		m.keys, err = db.ReadNote(ctx, tx, rotation.Note)
	}
	return m, err
}

// alone returns ErrAtOnce unless a database still has the marks that a restore found or made there. Of
// two at once the first to load its rows goes on, and the other changes nothing.
func alone(ctx context.Context, tx *db.Tx, m marks) error {
	now, err := marksOf(ctx, tx)
	if err == nil && now != m {
		err = ErrAtOnce
	}
	return err
}

// goesOn returns ErrAtOnce if somebody else restored into this database since this restore loaded its rows:
// a restore that was not yet done looks like one that was cut short.
func (how How) goesOn(ctx context.Context, tx *db.Tx) error {
	if how.mark == "" {
		return nil
	}
	now, err := db.ReadNote(ctx, tx, Unfinished)
	if err == nil && now != how.mark {
		err = ErrAtOnce
	}
	return err
}
