package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"parvis/cmd/parvis/keyring"
	"parvis/cmd/parvis/moving"
	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/rotation"
	"parvis/internal/secret"
)

// The exit codes of backup and restore besides those of every command.
const (
	exitDamaged  = 3
	exitForeign  = 4
	exitNewer    = 5
	exitOccupied = 6
)

// coded is an error with an exit code of its own.
type coded struct {
	error
	code int
}

func (c coded) ExitCode() int { return c.code }
func (c coded) Unwrap() error { return c.error }

// usage is the error of a command that was typed wrongly.
func usage(text string) error { return coded{errors.New(text), exitUsage} }

// withCode gives an error of a backup its exit code.
func withCode(err error) error {
	for _, c := range []coded{
		{backup.ErrNone, exitDamaged}, {backup.ErrDamaged, exitDamaged}, {backup.ErrForeign, exitForeign}, {backup.ErrLocked, exitForeign},
		{backup.ErrNotYours, exitForeign}, {backup.ErrNewer, exitNewer}, {backup.ErrOccupied, exitOccupied}, {backup.ErrServing, exitOccupied}, {backup.ErrAtOnce, exitOccupied},
		{backup.ErrExportAltered, exitDamaged}, {backup.ErrExportFiltered, exitDamaged}, {backup.ErrExportForeign, exitForeign}, {backup.ErrExportApart, exitForeign},
		{backup.ErrExportOlder, exitForeign}, {backup.ErrExportNewer, exitNewer},
	} {
		if errors.Is(err, c.error) {
			return coded{err, c.code}
		}
	}
	return err
}

type backupCommand struct {
	storageFlags
	File           string        `arg:"" help:"New file for the backup; with --every, a folder."`
	To             []string      `placeholder:"RECIPIENT" help:"Encrypt for a recipient of age (age1…), or for those that a file lists. May be given several times."`
	PassphraseFile string        `placeholder:"FILE" help:"Encrypt with the passphrase that is the file's first line, of 20 characters at least."`
	WithoutKeys    bool          `help:"Leave out FILE.keys. Then keep a copy of DATA/keys yourself: without it the backup is of no use."`
	Every          time.Duration `placeholder:"24h" help:"Go on, and make a backup into the folder again after this time."`
	Keep           *int          `placeholder:"14" help:"How many backups stay in the folder, with --every."`
}

// Run copies the installation while a server may be writing to it.
func (c *backupCommand) Run(p *program) error {
	if err := giveWay(); err != nil {
		return fmt.Errorf("giving way to the server: %w", err)
	}
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	lock, err := c.lock()
	if err != nil {
		return err
	}
	d, err := openDatabase(p.ctx, plan, false)
	if err != nil {
		return err
	}
	w := writing{p, plan, d, lock, !c.WithoutKeys}
	if c.Every == 0 {
		return errors.Join(w.write(c.File), d.Close())
	}
	keep := 14
	if c.Keep != nil {
		keep = *c.Keep
	}
	return errors.Join(w.repeat(c.File, c.Every, keep), d.Close())
}

func (c *backupCommand) lock() (backup.Lock, error) {
	var l backup.Lock
	if c.Every == 0 && c.Keep != nil {
		return l, usage("--keep removes earlier backups of a folder that --every makes them in: name --every too, or leave out --keep")
	}
	if c.Every != 0 && (c.Every < time.Minute || c.Keep != nil && *c.Keep < 1) {
		return l, usage("--every is a minute at least, and --keep is 1 at least")
	}
	if c.PassphraseFile != "" && len(c.To) > 0 {
		return l, usage("a file is encrypted for recipients or with a passphrase: leave out --to or --passphrase-file")
	}
	if c.File == "" {
		return l, usage("name a new file")
	}
	for _, to := range c.To {
		if err := l.Recipients(to); err != nil {
			return l, fmt.Errorf("--to: %w", err)
		}
	}
	if c.PassphraseFile != "" {
		if err := l.Passphrase(c.PassphraseFile); err != nil {
			return l, fmt.Errorf("--passphrase-file: %w", err)
		}
	}
	return l, nil
}

// writing is what backups of an installation are written with.
type writing struct {
	*program
	plan plan
	db   *db.DB
	lock backup.Lock
	keys bool // into a file of their own
}

// write writes one backup, its keys first: a backup that is there is complete.
func (w writing) write(path string) error {
	keys, err := keyring.Read(w.plan.keysPath())
	if err != nil {
		return err
	}
	if err := w.fit(keys); err != nil {
		return err
	}
	for _, taken := range []string{path, path + backup.KeysSuffix} {
		if _, err := os.Lstat(taken); err == nil && (w.keys || taken == path) {
			return fmt.Errorf("%s is there already: name a new file", taken)
		}
	}
	left, err := backup.Tidy(path)
	for _, name := range left {
		fmt.Fprintf(w.out, "Removed %s: the backup that wrote it ended before it was done.\n", name)
	}
	if err != nil {
		fmt.Fprintf(w.err, "Warning: half a backup that is left of an earlier one could not be removed: %v\n", err)
	}
	if w.keys {
		if err := backup.Create(path+backup.KeysSuffix, w.lock, func(to io.Writer) error { _, err := to.Write(keys.Text()); return err }); err != nil {
			return fmt.Errorf("writing the keys: %w", err)
		}
	}
	var made backup.Header
	shown := moving.NewBar(w.err, "Backing up")
	err = backup.Create(path, w.lock, func(to io.Writer) (err error) {
		made, err = backup.Write(w.ctx, w.db, keys, to, backup.Writing{Program: versionText(), Progress: shown.Show})
		return err
	})
	shown.End()
	if err != nil {
		if w.keys {
			err = errors.Join(err, os.Remove(path+backup.KeysSuffix))
		}
		return fmt.Errorf("backing up: %w", err)
	}
	w.tell(path, made)
	return nil
}

// fit refuses keys that are not the database's: a backup with them is of no use, which would be found
// out when it is needed.
func (w writing) fit(keys secret.Keys) error {
	s := storage{db: w.db}
	known, err := s.knownKeys(w.ctx)
	if err == nil {
		err = s.whole(w.ctx, known)
	}
	if err == nil && !rotation.Parse(known).Fits(keys) {
		err = fmt.Errorf("%s are not the keys of this database: name the folder with its keys (--data), or the right database (--database)", w.plan.keysPath())
	}
	if err == nil {
		rotation.Parse(known).Order(keys, keys) // its MAC is by the key that will be there the longest
	}
	return err
}

// tell says what was written, and what to beware of.
func (w writing) tell(path string, made backup.Header) {
	fmt.Fprintf(w.out, "Backed up %s to %s.\n", contents(made), path)
	if !w.lock.Encrypts() {
		fmt.Fprintf(w.err, "Warning: %s is not encrypted. It holds password hashes and what people are called. Encrypt it with --to or --passphrase-file.\n", path)
	}
	switch {
	case !w.keys:
		fmt.Fprintf(w.out, "It is of no use without the keys, %s: keep a copy of those in another place.\n", w.plan.keysPath())
	case w.lock.Encrypts():
		fmt.Fprintf(w.out, "Its keys are in %s: keep that in another place.\n", path+backup.KeysSuffix)
	default:
		fmt.Fprintf(w.err, "Warning: its keys are in %s, readable too. Both together are all that an attacker needs: keep them in two places.\n", path+backup.KeysSuffix)
	}
}

// contents says in words what a backup holds.
func contents(h backup.Header) string {
	return fmt.Sprintf("%s and %s as of %s", counted(h.Organizations, "organization", "organizations"), counted(h.People, "person", "people"),
		h.MadeAt.UTC().Format(time.DateTime+" MST"))
}

func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// repeat makes a backup each time until it is interrupted. One that fails is tried again at the next
// time; the ones before are kept then.
func (w writing) repeat(folder string, every time.Duration, keep int) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for w.ctx.Err() == nil {
		_, newest, err := backup.Kept(folder, w.db.Now())
		if err != nil {
			return err
		}
		if wait := newest.Add(every).Sub(w.db.Now()); wait > 0 {
			rest(w.ctx, wait)
		} else if err := w.again(folder, keep); err != nil && w.ctx.Err() == nil {
			explain(w.err, err)
			rest(w.ctx, min(every, retryBackup))
		}
	}
	return nil // it was interrupted, which is how it ends
}

// again makes one more backup, and then removes and names those that are not kept any more.
func (w writing) again(folder string, keep int) error {
	if err := w.write(filepath.Join(folder, backup.Name(w.db.Now()))); err != nil {
		return err
	}
	removed, err := backup.Thin(folder, keep, w.db.Now())
	for _, name := range removed {
		fmt.Fprintf(w.out, "Removed %s: --keep is %d.\n", filepath.Join(folder, name), keep)
	}
	return err
}

// retryBackup is how long a backup that failed waits at most until it is tried again.
const retryBackup = 10 * time.Minute

// rest waits, unless ctx ends before.
func rest(ctx context.Context, lasts time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(lasts):
	}
}
