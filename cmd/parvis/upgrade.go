package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"parvis/internal/db"
)

type upgradeCommand struct {
	storageFlags
	Rehearse bool   `required:"" help:"Migrate a copy of the database, and say how long it took and what became different. The database itself is only read."`
	On       string `placeholder:"ADDRESS" help:"The copy, on PostgreSQL, made with pg_dump and pg_restore. On SQLite one is made, and removed."`
}

// rehearsalLasts is how long a rehearsal may take: it reads every row twice.
const rehearsalLasts = 24 * time.Hour

// Run migrates a copy. It leaves that of PostgreSQL as it became, to be looked at.
func (c *upgradeCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, rehearsalLasts)
	defer cancel()
	d, err := openDatabase(ctx, plan, false)
	if err != nil {
		return err
	}
	copied, remove, err := c.copied(ctx, d, plan)
	if err == nil {
		err = errors.Join(rehearse(ctx, p, copied), copied.Close(), remove())
	}
	return errors.Join(err, d.Close())
}

// copied returns the open copy of a database, and what removes it.
func (c *upgradeCommand) copied(ctx context.Context, d *db.DB, plan plan) (*db.DB, func() error, error) {
	if !db.IsPostgres(plan.database) {
		if c.On != "" {
			return nil, nil, errors.New("a copy of an SQLite database is made beside it, and removed: leave --on out")
		}
		path := fmt.Sprintf("%s.rehearsal-%s", d.Path(), d.Now().UTC().Format("20060102T150405Z"))
		if err := d.Backup(ctx, path); err != nil {
			return nil, nil, fmt.Errorf("copying the database: %w", err)
		}
		remove := func() error {
			var all error
			for _, end := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
					all = errors.Join(all, err)
				}
			}
			return all
		}
		copied, err := db.Open(ctx, path)
		if err != nil {
			return nil, nil, errors.Join(err, remove())
		}
		return copied, remove, nil
	}
	if !db.IsPostgres(c.On) {
		return nil, nil, errors.New("a copy of a PostgreSQL database is made with its own tools, and then named with --on: " +
			"createdb parvis_copy; pg_dump --format=custom parvis | pg_restore --dbname=parvis_copy")
	}
	copied, err := db.Open(ctx, c.On)
	if err != nil {
		return nil, nil, fmt.Errorf("%w\nThe copy is %s", err, shownDatabase(c.On))
	}
	same, err := d.SameAs(ctx, copied)
	if err == nil && same {
		err = errors.New("--on names the database itself: make a copy and name that")
	}
	if err != nil {
		return nil, nil, errors.Join(err, copied.Close())
	}
	return copied, func() error { return nil }, nil
}

// rehearse migrates a copy and prints what there is to be said of it.
func rehearse(ctx context.Context, p *program, copied *db.DB) error {
	switch empty, err := copied.Empty(ctx); {
	case err != nil:
		return fmt.Errorf("reading the copy: %w", err)
	case empty:
		return errors.New("the copy is empty")
	}
	before, err := copied.Content(ctx)
	if err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	began := time.Now() //nolint:forbidigo // How long it takes is what is told.
	m, err := copied.Migrate(ctx)
	took := time.Since(began) //nolint:forbidigo // As above.
	if m.Backup != "" {
		err = errors.Join(err, os.Remove(m.Backup)) // the copy's own
	}
	if err != nil {
		return fmt.Errorf("the rehearsal failed, and the database itself is as it was: %w", err)
	}
	if m.From == m.To {
		fmt.Fprintf(p.out, "The database is at version %d already: there is nothing to rehearse.\n", m.To)
		return nil
	}
	after, err := copied.Content(ctx)
	if err != nil {
		return fmt.Errorf("reading the migrated copy: %w", err)
	}
	fmt.Fprintf(p.out, "The copy was brought from version %d to %d in %s. The database itself was not changed.\n", m.From, m.To, took.Round(time.Millisecond))
	for _, s := range m.Steps {
		fmt.Fprintf(p.out, "  %s took %s\n", s.Name, s.Took.Round(time.Millisecond))
	}
	fmt.Fprintf(p.out, "Rows: %d before, %d after.\n", before.Total(), after.Total())
	for _, line := range before.Differences(after) {
		fmt.Fprintf(p.out, "  %s\n", line)
	}
	return nil
}
