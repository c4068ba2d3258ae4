package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"parvis/cmd/parvis/keyring"
	"parvis/internal/audit"
	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/rotation"
	"parvis/internal/secret"
)

// storage is an open installation: its database and what unlocks it.
type storage struct {
	plan plan
	db   *db.DB
	keys secret.Keys
}

// open opens an installation and migrates its database for this program. Only serve makes a new
// one. Notes about what was done go to note.
func open(ctx context.Context, p plan, create bool, note func(db.Migration)) (*storage, error) {
	d, err := openDatabase(ctx, p, create)
	if err != nil {
		return nil, err
	}
	s := &storage{plan: p, db: d}
	if err := s.unlock(ctx, create, note); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return s, nil
}

// rootsPath is the file of what this node knows of the audit log.
func (p plan) rootsPath() string { return filepath.Join(p.data, "audit-roots") }

// host is that of the public address; empty where that cannot be used.
func (p plan) host() string {
	if p.base == nil {
		return ""
	}
	return p.base.Host
}

// openDatabase opens the database alone. It makes a new one only if create is true.
func openDatabase(ctx context.Context, p plan, create bool) (*db.DB, error) {
	if create {
		if err := os.MkdirAll(p.data, 0o700); err != nil {
			return nil, fmt.Errorf("making the data folder: %w", err)
		}
	} else if _, err := os.Stat(p.database); !db.IsPostgres(p.database) && err != nil {
		return nil, fmt.Errorf("there is no database at %s yet. Start 'parvis serve' once, or name another folder with --data", p.database)
	}
	d, err := db.Open(ctx, p.database)
	if err != nil {
		return nil, fmt.Errorf("%w\nThe database is %s", err, shownDatabase(p.database))
	}
	d.Remembers, d.Region = p.remembers, p.regions.Here
	return d, nil
}

// remembers reports whether this node remembers answers of the database. On PostgreSQL another node
// may be of a version that does not tell this one what it changes.
func (c *configuration) remembers() bool {
	unset := "on"
	if c.Database != "" {
		unset = "off"
	}
	c.DatabaseMemory = cmp.Or(c.DatabaseMemory, unset)
	if c.DatabaseMemory != "on" && c.DatabaseMemory != "off" {
		c.problem(`database_memory is "on" or "off".`)
	}
	return c.DatabaseMemory == "on"
}

func shownDatabase(address string) string {
	if db.IsPostgres(address) {
		return withoutPassword(address)
	}
	return address
}

// unlock finds the keys and migrates. Keys and database begin together: one without the other
// is an accident, and going on would make it worse.
//
// New keys are written beside their place first and moved there once the database knows them.
// So a first start that is cut short anywhere is simply repeated, and of two that begin at once
// on one database the slower is refused.
func (s *storage) unlock(ctx context.Context, create bool, note func(db.Migration)) error {
	path, fresh := s.plan.keysPath(), ""
	known, err := s.knownKeys(ctx)
	if err != nil {
		return err
	}
	if err := s.whole(ctx, known); err != nil {
		return err
	}
	s.keys, err = keyring.Read(path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return err
	case missing && known != "":
		if s.keys, fresh = unfinishedKeys(path, known); fresh == "" {
			return fmt.Errorf("the database is in use, but its keys, %s, are missing. Copy the file from where this installation ran before, "+
				"or from its backup: without it no password can be checked and no letter can be read", path)
		}
	case missing && !create:
		return errors.New("there is nothing here yet: start 'parvis serve' once")
	case missing:
		s.keys, fresh = secret.NewKeys(), path+unfinished+secret.NewID("k")
		if err := keyring.Write(fresh, s.keys); err != nil {
			return err
		}
	case known == "":
		return fmt.Errorf("the keys are there, %s, but the database is empty. Was it lost? Then restore it from a backup. "+
			"To begin again, move the keys away first, and keep them: what was sealed with them cannot be read without them", path)
	case !rotation.Parse(known).Fits(s.keys):
		return fmt.Errorf("%s are not the keys of this database: it was made with other keys, or one was put in use since that this file lacks. "+
			"Copy the file from another node, or restore the keys that belong to it; or name the right database", path)
	}
	if err := s.migrate(ctx, note); err != nil {
		return err
	}
	if fresh != "" {
		return s.adopt(ctx, fresh, path)
	}
	rotation.Parse(known).Order(s.keys, s.keys)
	epoch, err := audit.EpochOf(ctx, s.db, s.keys.Sealing)
	s.db.Restored = epoch.At
	return err
}

// whole refuses a database whose restore was cut short: what was revoked may be alive in it.
func (s *storage) whole(ctx context.Context, known string) error {
	if known == "" {
		return nil
	}
	cut, err := db.ReadNote(ctx, s.db, backup.Unfinished)
	if err == nil && cut != "" {
		err = errors.New("a restore into this database was cut short, and nothing may be served from it: run 'parvis restore' again")
	}
	return err
}

// unfinished is part of the names of keys that no database knows yet.
const unfinished = ".new-"

// unfinishedKeys finds the keys of a first start that was cut short after the database knew
// them, and their file; the name is empty if there are none.
func unfinishedKeys(path, known string) (secret.Keys, string) {
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return secret.Keys{}, ""
	}
	for _, entry := range left {
		name := filepath.Join(filepath.Dir(path), entry.Name())
		if !strings.HasPrefix(name, path+unfinished) {
			continue
		}
		if k, err := keyring.Read(name); err == nil && rotation.Parse(known).Fits(k) {
			return k, name
		}
	}
	return secret.Keys{}, ""
}

// adopt makes new keys those of the database.
func (s *storage) adopt(ctx context.Context, fresh, path string) error {
	var known string
	err := s.db.Update(ctx, func(tx *db.Tx) error {
		cut, err := db.ReadNote(ctx, tx, backup.Unfinished)
		if err == nil && cut != "" {
			err = backup.ErrAtOnce
		}
		if err == nil {
			known, err = tx.Note(ctx, rotation.Note, rotation.Describe(s.keys).String())
		}
		return err
	})
	if errors.Is(err, backup.ErrAtOnce) {
		return errors.Join(err, os.Remove(fresh))
	}
	if err != nil { // the database may know the keys all the same, so they stay for the next start
		return fmt.Errorf("noting the keys: %w", err)
	}
	if !rotation.Parse(known).Fits(s.keys) {
		return errors.Join(os.Remove(fresh), fmt.Errorf("another server began on this database at the same moment, with keys of its own. "+
			"Copy its keys to %s and start again", path))
	}
	err = backup.Settle(fresh, path)
	if errors.Is(err, fs.ErrExist) { // those of a restore, which go with its backup
		return backup.ErrAtOnce
	}
	if err != nil {
		return fmt.Errorf("storing the keys: %w", err)
	}
	return keyring.SyncFolder(filepath.Dir(path))
}

func (s *storage) migrate(ctx context.Context, note func(db.Migration)) error {
	m, err := s.db.Migrate(ctx)
	switch {
	case errors.Is(err, db.ErrNewer):
		return err
	case err != nil && s.db.Path() == "":
		return fmt.Errorf("%w\nWhere the server's role may not alter tables, let the role that owns them do it: parvis migrate --database ADDRESS", err)
	case err != nil:
		return err
	}
	if m.From != m.To {
		note(m)
	}
	return nil
}

// errOnlyLooked rolls back a transaction that did its work.
var errOnlyLooked = errors.New("only looked")

// knownKeys returns what the database says about its keys; nothing if it is new.
func (s *storage) knownKeys(ctx context.Context) (string, error) {
	empty, err := s.db.Empty(ctx)
	if err != nil || empty {
		return "", err
	}
	return s.db.Noted(ctx, rotation.Note)
}
