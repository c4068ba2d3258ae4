package backup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// lasts is how long a backup or a restore may take: it reads every row. A call of the database has
// no end of eight seconds then.
const lasts = 24 * time.Hour

// Progress is told how many rows of how many were copied.
type Progress func(done, all int64)

// Write writes a backup of a running installation, as it was at one moment. It reads in a snapshot
// of its own, and never holds the turn to write. It returns what it wrote.
func Write(ctx context.Context, d *db.DB, keys secret.Keys, to io.Writer, w Writing) (Header, error) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	var h Header
	err := d.View(ctx, func(tx *db.Tx) error {
		if err := tx.Unhurried(ctx); err != nil {
			return err
		}
		h = Header{MadeAt: tx.Now(), Program: w.Program, Database: "postgresql", Key: keys.Sealing.Current().ID}
		if d.Path() != "" {
			h.Database = "sqlite"
		}
		tables, err := describe(ctx, tx, &h)
		if err != nil {
			return err
		}
		out, err := newWriter(to, keys, h)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if err := out.table(ctx, tx, t, func() { w.Progress(out.rows, h.Rows) }); err != nil {
				return fmt.Errorf("copying %s: %w", t.Name, err)
			}
		}
		w.Progress(out.rows, h.Rows)
		return out.end()
	})
	return h, err
}

// Writing says how a backup is written.
type Writing struct {
	Program  string // this program's version
	Progress Progress
}

// describe fills in what a backup says of itself, and returns the tables.
func describe(ctx context.Context, tx *db.Tx, h *Header) ([]db.Table, error) {
	var err error
	if h.Schema, err = tx.Schema(ctx); err != nil {
		return nil, err
	}
	tables, err := tx.Tables(ctx)
	if err != nil {
		return nil, err
	}
	if h.Schema.Known() == nil { // what is new in a newer one is not known here, and is copied
		tables = own(tables)
	}
	for _, t := range tables {
		n, err := tx.Count(ctx, t.Name, "")
		if err != nil {
			return nil, err
		}
		h.Rows += n
		if t.Name == "organizations" {
			h.Organizations = n
		}
	}
	h.People, err = tx.Count(ctx, "users", "deleted_at is null")
	return tables, err
}

// own leaves out tables and views that are not listed in fates. They are somebody else's, such as an
// extension's or Litestream's: a backup does not copy them, and a restore does not empty them.
func own(tables []db.Table) []db.Table {
	return slices.DeleteFunc(tables, func(t db.Table) bool {
		return !slices.ContainsFunc(fates, func(f fate) bool { return f.table == t.Name })
	})
}

// everyRows is after how many rows progress is told.
const everyRows = 1000

func (w *writer) table(ctx context.Context, tx *db.Tx, t db.Table, progress func()) error {
	if err := w.object(t); err != nil {
		return err
	}
	return tx.Copy(ctx, t, func(line []byte) error {
		if w.rows++; w.rows%everyRows == 0 {
			progress()
		}
		return w.line(line)
	})
}
