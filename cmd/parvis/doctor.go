package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"parvis/cmd/parvis/keyring"
	"parvis/cmd/parvis/machine"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/rotation"
	"parvis/internal/secret"
)

type doctorCommand struct {
	servingFlags
	Backups string        `placeholder:"FOLDER" help:"Look too whether 'parvis backup FOLDER --every TIME' made one lately."`
	Every   time.Duration `placeholder:"24h" default:"24h" help:"How often it makes one."`
}

// A doctor looks at an installation and changes nothing. Each check prints one line: what is
// well, or what is wrong and what to do.
type doctor struct {
	plan   plan
	ctx    context.Context
	out    io.Writer
	failed int

	uncertified bool // the certificate was found to be of no use
	foreign     bool // the keys were found to be another installation's
}

func (d *doctor) line(mark, check, format string, args ...any) {
	fmt.Fprintf(d.out, "%-4s  %-14s  %s\n", mark, check, strings.ReplaceAll(machine.Sentence(format, args...), "\n", " "))
}

func (d *doctor) ok(check, format string, args ...any)   { d.line("ok", check, format, args...) }
func (d *doctor) note(check, format string, args ...any) { d.line("note", check, format, args...) }
func (d *doctor) fail(check, format string, args ...any) {
	d.failed++
	d.line("FAIL", check, format, args...)
}

// Run makes every check, whatever the others find, and fails if any of them did.
func (c *doctorCommand) Run(p *program) error {
	loaded := loadConfig(c.servingFlags, p.environ)
	d := &doctor{plan: loaded.check(), ctx: p.ctx, out: p.out}
	for _, problem := range loaded.problems {
		d.fail("configuration", "%s", problem)
	}
	if d.failed == 0 {
		d.ok("configuration", "file: %s", orNone(loaded.path))
		for _, name := range d.plan.strangers {
			d.note("configuration", "there is no variable %s: 'parvis config' shows those that exist", name)
		}
		d.all()
		d.backups(c.Backups, c.Every)
	}
	if d.failed > 0 {
		return errors.New("something is wrong: see the lines that begin with FAIL")
	}
	return nil
}

func (d *doctor) all() {
	d.folder()
	d.unit()
	keys := d.keys()
	database := d.database(keys)
	d.certificate()
	d.public(keys, d.clock(database))
	d.process()
	d.regions(keys, database)
	d.names(database)
	d.resolver()
	d.mail()
	d.refusals(database)
	d.waiting(database)
	d.owner(database)
	d.applications(database)
	d.passkeys(database)
	d.connections(database)
	d.sources(database)
	d.events(database)
	d.close(database)
}

// close closes the database, if it is open, and returns none.
func (d *doctor) close(open *db.DB) *db.DB {
	if open != nil {
		if err := open.Close(); err != nil {
			d.fail("database", "closing it: %v", err)
		}
	}
	return nil
}

// room says whether the server has as many connections as this node may want.
func (d *doctor) room(open *db.DB) {
	ours, most, err := open.Room(d.ctx)
	if err == nil && most > 0 && ours > most {
		d.note("database", "this node may want %d connections, and its role has %d: raise max_connections, or the limit of the role or the database; "+
			"or write pool_max_conns=%d in the address of the database.", ours, most, max(2, most-1))
	}
}

// lowDisk is when little space is left: a busy day's growth, and room for the copy that is made
// before migrating.
const lowDisk = 500 << 20

func (d *doctor) folder() {
	const check = "data folder"
	info, err := os.Stat(d.plan.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.fail(check, "there is no folder %s. Start 'parvis serve' once, or name another with --data.", d.plan.data)
		return
	case err != nil:
		d.fail(check, "%v", err)
		return
	case machine.Loose(info):
		d.fail(check, "others on this machine can look into %s: chmod 700 %s", d.plan.data, d.plan.data)
	default:
		d.files(info)
	}
	free, known := freeSpace(d.plan.data)
	switch {
	case !known:
		d.note("disk space", "this system does not say how much is free")
	case free < lowDisk:
		d.fail("disk space", "only %d MB are free at %s: make room, or nothing can be stored soon.", free>>20, d.plan.data)
	default:
		d.ok("disk space", "%d MB are free", free>>20)
	}
}

// keys returns the zero Keys if there are none that can be used.
func (d *doctor) keys() secret.Keys {
	k, err := keyring.Read(d.plan.keysPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.fail("keys", "%s is missing. Restore it from a backup; if this installation is new, start 'parvis serve' once.", d.plan.keysPath())
	case errors.Is(err, fs.ErrPermission):
		d.fail("keys", "%v. Run this as the user that the server runs as: sudo -u %s parvis doctor", err, holderOf(d.plan.data))
	case err != nil:
		d.fail("keys", "%v.", err)
	}
	return k
}

// database returns the open database, or nil if it cannot be opened.
func (d *doctor) database(keys secret.Keys) *db.DB {
	const check = "database"
	open, err := openDatabase(d.ctx, d.plan, false)
	if err != nil {
		d.fail(check, "%v. %s", err, advice(err))
		return nil
	}
	empty, err := open.Empty(d.ctx)
	switch {
	case err != nil:
		d.fail(check, "it cannot be read: %v. %s", err, advice(err))
		return d.close(open)
	case empty:
		d.fail(check, "it is empty: start 'parvis serve' once, or name the right database. It is %s.", shownDatabase(d.plan.database))
		return open
	}
	if err := open.Fits(d.ctx); err != nil {
		remedy := ". Start 'parvis serve' of this version, or run 'parvis migrate'."
		if errors.Is(err, db.ErrNewer) {
			remedy = "." // it says what to do itself
		}
		d.fail(check, "%v%s", err, remedy)
		return d.close(open)
	}
	if err := writeAndUndo(d.ctx, open); err != nil {
		d.fail(check, "it cannot be written: %v. It is %s. %s", err, shownDatabase(d.plan.database), advice(err))
	} else {
		d.ok(check, "a row was written to %s and taken back", shownDatabase(d.plan.database))
		if ends, err := open.EndsIdle(d.ctx); err == nil && !ends {
			d.note(check, "a node that is cut off keeps its locks, because a pooler stands before the server: see 'PgBouncer' in docs/operations.md.")
		}
		d.room(open)
	}
	if keys.Sealing != nil {
		d.protected(open, keys)
	}
	return open
}

func writeAndUndo(ctx context.Context, open *db.DB) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := open.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.Note(ctx, "doctor", "can write"); err != nil {
			return err
		}
		return errOnlyLooked
	})
	if errors.Is(err, errOnlyLooked) {
		return nil
	}
	return err
}

// protected checks what the keys are for: that they belong to this database, and that nobody
// altered its audit log.
func (d *doctor) protected(open *db.DB, keys secret.Keys) {
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	known, err := (&storage{db: open}).knownKeys(ctx)
	switch {
	case err != nil:
		d.fail("keys", "what the database says about them cannot be read: %v.", err)
		return
	case !rotation.Parse(known).Fits(keys):
		d.foreign = true
		d.fail("keys", "%s are not the keys of this database. Restore those that belong to it, or name the right database.", d.plan.keysPath())
		return
	}
	d.ok("keys", "%s belong to this database", d.plan.keysPath())
	for _, id := range rotation.Parse(known).FirstByHand(keys) {
		d.note("keys", "%s was put first in %s by hand, and nothing is written with it: parvis keys use %s", id, d.plan.keysPath(), id)
	}
	checked, err := d.plan.checkLogs(d.ctx, open, keys)
	switch {
	case errors.Is(err, audit.ErrOlder):
		d.fail("audit log", "%v", older(err))
	case errors.Is(err, audit.ErrAltered):
		d.fail("audit log", "%v. Compare it with a backup: somebody changed the database by hand, or put an older one in its place (docs/operations.md).", err)
	case err != nil:
		d.fail("audit log", "it cannot be read: %v.", err)
	default:
		knows, err := d.plan.knows(ctx, open, keys)
		d.intact(checked, knows || err != nil)
	}
}

// intact says that the logs are right, as far as this node can tell.
func (d *doctor) intact(checked audit.Checked, knows bool) {
	found := fmt.Sprintf("the %d sealed events of %s are intact", checked.Events, counted(checked.Logs, "log", "logs"))
	if knows {
		d.ok("audit log", "%s", found)
		return
	}
	d.note("audit log", "%s, but this node keeps no roots of them, so it cannot tell whether an older database was put in place: %s is missing or empty. "+
		"Copy it from another node before 'parvis serve'; on PostgreSQL a node that starts asks those that serve.", found, d.plan.rootsPath())
}

// patience is how long doctor waits for any other server.
const patience = 10 * time.Second

// tolerance is how far two clocks may be apart before signatures, codes and links of others no
// longer fit.
const tolerance = 30 * time.Second

// clock compares this machine's clock with the database's, and reports whether there was one to
// compare with.
func (d *doctor) clock(open *db.DB) bool {
	if open == nil || !db.IsPostgres(d.plan.database) {
		return false
	}
	var micros int64
	var same bool
	ok, err := open.One(d.ctx, db.Into(&micros, &same), `
		select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint),
			coalesce(inet_server_addr() = inet_client_addr(), true)`)
	if err != nil || !ok {
		d.fail("clock", "the database does not say its time: %v.", err)
		return false
	}
	if same {
		return false // the database runs here, so it is one clock
	}
	d.compare(open.Now(), time.UnixMicro(micros), "the database server")
	return true
}

func (d *doctor) compare(now, other time.Time, whose string) {
	switch off := now.Sub(other).Round(time.Second); {
	case off > tolerance:
		d.fail("clock", "this machine is %s ahead of %s. Set the time by NTP on both.", off, whose)
	case off < -tolerance:
		d.fail("clock", "this machine is %s behind %s. Set the time by NTP on both.", -off, whose)
	default:
		d.ok("clock", "agrees with %s", whose)
	}
}
