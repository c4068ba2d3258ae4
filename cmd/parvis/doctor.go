package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/mail"
	"parvis/internal/op"
	"parvis/internal/secret"
)

type doctorCommand struct{ servingFlags }

// A doctor looks at an installation and changes nothing. Each check prints one line: what is
// well, or what is wrong and what to do.
type doctor struct {
	plan   plan
	ctx    context.Context
	out    io.Writer
	failed int
}

func (d *doctor) line(mark, check, format string, args ...any) {
	fmt.Fprintf(d.out, "%-4s  %-14s  %s\n", mark, check, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
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
	}
	if d.failed > 0 {
		return errors.New("something is wrong: see the lines that begin with FAIL")
	}
	return nil
}

func (d *doctor) all() {
	d.folder()
	keys := d.keys()
	database := d.database(keys)
	d.public(keys, d.clock(database))
	d.regions(keys, database)
	d.names(database)
	d.mail()
	d.refusals(database)
	d.owner(database)
	d.applications(database)
	d.passkeys(database)
	d.connections(database)
	d.sources(database)
	d.events(database)
	if database != nil {
		if err := database.Close(); err != nil {
			d.fail("database", "closing it: %v", err)
		}
	}
}

// owner says how an installation without an owner gets its first one.
func (d *doctor) owner(open *db.DB) {
	const check = "owner"
	if open == nil {
		return
	}
	switch until, err := directory.BootstrapWaits(d.ctx, open); {
	case errors.Is(err, directory.ErrHasOwner):
	case err != nil:
		d.fail(check, "whether there is one cannot be read: %v.", err)
	case until.IsZero():
		d.note(check, "nobody owns an organization yet, and no set-up link works: 'parvis setup-link' prints one.")
	default:
		d.note(check, "nobody owns an organization yet. A set-up link works until %s; if it is lost, 'parvis setup-link' prints another.", until.Format(time.DateTime+" MST"))
	}
}

// passkeys lists people whose passkeys no longer work: only they can make others.
func (d *doctor) passkeys(open *db.DB) {
	if open == nil {
		return
	}
	weak, err := credential.WeakPasskeys(d.ctx, open)
	if err != nil {
		d.fail("passkeys", "%v", err)
		return
	}
	for _, k := range weak {
		d.note("passkeys", "a passkey of %s in %s is refused: others could sign for its key. They remove it under Security and make another; "+
			"'parvis user reset-second-step' helps people who have nothing else.", k.Email, k.Organization)
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
	case loose(info):
		d.fail(check, "others on this machine can look into %s: chmod 700 %s", d.plan.data, d.plan.data)
	default:
		d.ok(check, "%s, for its owner only", d.plan.data)
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
	k, err := readKeys(d.plan.keysPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.fail("keys", "%s is missing. Restore it from a backup; if this installation is new, start 'parvis serve' once.", d.plan.keysPath())
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
		return open
	case empty:
		d.fail(check, "it is empty: start 'parvis serve' once, or name the right database. It is %s.", shownDatabase(d.plan.database))
		return open
	}
	if err := writeAndUndo(d.ctx, open); err != nil {
		d.fail(check, "it cannot be written: %v. It is %s. %s", err, shownDatabase(d.plan.database), advice(err))
	} else {
		d.ok(check, "a row was written to %s and taken back", shownDatabase(d.plan.database))
		if ends, err := open.EndsIdle(d.ctx); err == nil && !ends {
			d.note(check, "a node that is cut off keeps its locks, because a pooler stands before the server: see 'PgBouncer' in docs/operations.md.")
		}
	}
	if len(keys.Sealing) > 0 {
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
	case !keysFit(keys, known):
		d.fail("keys", "%s are not the keys of this database. Restore those that belong to it, or name the right database.", d.plan.keysPath())
		return
	}
	d.ok("keys", "%s belong to this database", d.plan.keysPath())
	checked, err := d.plan.checkLogs(d.ctx, open, keys)
	switch {
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
	found := fmt.Sprintf("%d logs with %d sealed events are intact", checked.Logs, checked.Events)
	if knows {
		d.ok("audit log", "%s", found)
		return
	}
	d.note("audit log", "%s, but this node keeps no roots of them, so it cannot tell whether an older database was put in place: %s is missing or empty. "+
		"Copy it from another node before 'parvis serve'; on PostgreSQL a node that starts asks those that serve.", found, d.plan.rootsPath())
}

// patience is how long doctor waits for any other server.
const patience = 10 * time.Second

func (d *doctor) mail() {
	const check = "mail server"
	if d.plan.smtp == nil {
		d.note(check, "none is configured: letters wait in the outbox. Set [mail] address to send them.")
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	if err := d.plan.smtp.Check(ctx); err != nil {
		d.fail(check, "%s: %v. Look at address, tls, username and password in [mail].", d.plan.smtp.Address, err)
		return
	}
	d.ok(check, "%s accepted the connection%s", d.plan.smtp.Address, map[bool]string{true: ", the name and the password"}[d.plan.smtp.Username != ""])
}

// refusalsShown is how far back doctor looks for letters that were refused.
const refusalsShown = 7 * 24 * time.Hour

// refusals lists what the mail server refuses, and why, even while the server cannot be
// reached.
func (d *doctor) refusals(open *db.DB) {
	const check = "letters"
	if open == nil {
		return
	}
	all, err := mail.Refusals(d.ctx, open, open.Now().Add(-refusalsShown))
	if err != nil {
		d.fail(check, "they cannot be read: %v.", err)
		return
	}
	for _, answer := range slices.Sorted(maps.Keys(all)) {
		d.note(check, "%d refused in the last 7 days, or not accepted yet, because the mail server answered %s: %s.", all[answer], answer, means(answer))
	}
}

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

// applications looks at the installation's applications, because an organization sees its own.
// It lists those of anybody that could not be registered today.
func (d *doctor) applications(open *db.DB) {
	const check = "applications"
	if open == nil {
		return
	}
	all, err := application.Of(d.ctx, open, directory.Operator(), "")
	if err != nil {
		d.fail(check, "they cannot be read: %v.", err)
		return
	}
	for _, a := range all {
		switch {
		case a.Kind != application.Machine && a.Target() == "" && len(a.Settings.RedirectURIs) > 0:
			d.note(check, "%s has no tile, since it has no address yet: parvis application set %s --address URL", a.Settings.Name, a.ID)
		case a.Kind != application.Machine && a.Target() == "":
			d.note(check, "%s has no address yet: parvis application set %s --redirect-uri URL --address URL", a.Settings.Name, a.ID)
		case !a.FailedAt.IsZero():
			d.fail(check, "nobody answers at %s, the address of %s, since %s. Is it running, and reached from this machine?",
				a.Target(), a.Settings.Name, a.FailedAt.Format(time.DateTime))
		}
	}
	channels, err := op.Channels(d.ctx, open)
	if err != nil {
		d.fail(check, "what they answered cannot be read: %v.", err)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(channels)) {
		if t := channels[id]; t.Failing() {
			d.fail(check, "%s does not accept messages about ended sessions: %s. 'parvis application show %s' has its address.", id, channelOf(t), id)
		}
	}
	old, err := application.FindOutdated(d.ctx, open, d.plan.issuer)
	if err != nil {
		d.fail(check, "they cannot be read: %v.", err)
		return
	}
	for _, a := range old {
		d.note(check, "%s (%s) works as it was registered, but would be refused today: %s", a.Settings.Name, a.ID, inEnglish(a.Fault))
	}
}

// connections lists what only a person can settle about the customers' providers.
func (d *doctor) connections(open *db.DB) {
	const check = "single sign-on"
	if open == nil {
		return
	}
	organizations, err := directory.Organizations(d.ctx, open)
	for _, o := range organizations {
		var all []federation.Connection
		if err == nil {
			all, err = federation.ConnectionsOf(d.ctx, open, directory.Operator(), o.ID)
		}
		for _, c := range all {
			var owners bool
			if err == nil {
				owners, err = federation.OwnersComeIn(d.ctx, open, c)
			}
			switch {
			case c.State != federation.On:
			case !c.Tested():
				d.note(check, "%s of %s was changed after its last test: its administrators look at it and test it again.", c.Name, o.ShortName)
			case owners && c.ConfirmedAt.IsZero():
				d.note(check, "owners of %s cannot sign in with %s until an owner confirms it on its page.", o.ShortName, c.Name)
			}
		}
	}
	if err != nil {
		d.fail(check, "the connections cannot be read: %v.", err)
	}
}
