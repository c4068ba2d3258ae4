package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// servesFrom is the version of the schema that the release before this one knows, whose commit
// stands in testdata/release-before. Its program works on this schema too: a migration adds what
// that program need not know, and takes away only what it does not use any more.
const servesFrom = 12

// ErrChanged is returned for a database that another text of a migration was applied to. Nobody
// knows which schema it has.
var ErrChanged = errors.New("a migration that this database had is not the one of this program: start the version of parvis that migrated it, " +
	"or restore the backup made before and migrate again with this one; nothing was changed")

// applied is what a database keeps about its migrations, in a row of installation.
type applied struct {
	// Hashes are of the texts that were applied, by the names of their files. A database from
	// before they were kept is taken to have had the texts of the program that starts there first.
	Hashes map[string]string `json:"hashes"`
	// Serves is the oldest version of the schema whose programs work on Version.
	Serves  int64 `json:"serves"`
	Version int64 `json:"version"`
}

const appliedNote = "migrations"

// applied reads what is kept. There is nothing in a database of an earlier version.
func (d *DB) applied(ctx context.Context) (kept applied, err error) {
	_, err = d.One(ctx, Into(JSON(&kept)), `select value from installation where name = $1`, appliedNote)
	return kept, err
}

// keep stores what this program applied, or found.
func (d *DB) keep(ctx context.Context, kept, own applied) error {
	if maps.Equal(kept.Hashes, own.Hashes) && kept.Serves == own.Serves && kept.Version == own.Version {
		return nil
	}
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	return d.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, `
			insert into installation (name, value) values ($1, $2)
			on conflict (name) do update set value = excluded.value`, appliedNote, string(text))
		return err
	})
}

// sameAs refuses migrations that differ from those of a program, which may know fewer or more.
func (a applied) sameAs(own applied) error {
	for _, name := range slices.Sorted(maps.Keys(a.Hashes)) {
		if hash, known := own.Hashes[name]; known && hash != a.Hashes[name] {
			return fmt.Errorf("%w (%s)", ErrChanged, name)
		}
	}
	return nil
}

// serves reports whether the program of a newer schema said that one of an older one works on it.
// What an earlier one said holds no longer once somebody migrated further.
func (a applied) serves(older, newer int64) bool {
	return a.Version == newer && a.Serves > 0 && a.Serves <= older
}

// Fits returns an error unless the schema is one that this program works on: somebody may have put an
// older database in its place, or migrated it further.
func (d *DB) Fits(ctx context.Context) error {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return err
	}
	var own int64
	if _, err := fmt.Sscanf(files[len(files)-1], "migrations/%d_", &own); err != nil {
		return err
	}
	version, err := d.version(ctx)
	if err != nil || version == own {
		return err
	}
	if version < own {
		return fmt.Errorf("the database is at version %d, this program needs %d", version, own)
	}
	kept, err := d.applied(ctx)
	if err == nil && !kept.serves(own, version) {
		err = ErrNewer
	}
	return err
}

// shipped is what this program would have applied.
func shipped(version int64) (applied, error) {
	own := applied{Hashes: map[string]string{}, Serves: servesFrom, Version: version}
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return own, err
	}
	for _, name := range files {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return own, err
		}
		hash := sha256.Sum256(text)
		own.Hashes[name[len("migrations/"):]] = hex.EncodeToString(hash[:])
	}
	return own, nil
}
