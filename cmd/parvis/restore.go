package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"text/tabwriter"
	"time"

	"parvis/cmd/parvis/keyring"
	"parvis/cmd/parvis/moving"
	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

type restoreCommand struct {
	storageFlags
	File           string   `arg:"" optional:"" help:"Backup that 'parvis backup' made."`
	Identity       string   `placeholder:"FILE" help:"File of age-keygen that opens the backup."`
	PassphraseFile string   `placeholder:"FILE" help:"File whose first line is the passphrase that opens the backup."`
	Keys           string   `placeholder:"FILE" help:"The keys of the installation. Without it DATA/keys, or else FILE.keys."`
	AsOfBackup     bool     `help:"Passwords, authenticators, links, connections, rules, rights, and who is shut out hold as they were: nothing was changed since that must not come back."`
	Audit          []string `placeholder:"FILE" help:"Audit export of a log, whole and as JSON Lines: what was changed since the backup is done again, or void, for those whom it names; everything else of that organization, or of the installation, holds as of the backup. May be given several times."`
	Check          bool     `help:"Only check the backup, and say what is in it."`
	Adopt          bool     `help:"Take the database that was put back by hand, in place of a backup."`
	By             string   `placeholder:"NAME" help:"Who restores, as the audit logs and the owners' first page will say. Without it the user of this machine."`
}

// Run restores into an empty place, and revives nothing.
func (c *restoreCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	if c.Adopt != (c.File == "") || c.Adopt && c.Check {
		return usage("name a backup; or, for a database that was put back by hand, --adopt and no backup")
	}
	if c.Adopt {
		return withCode(c.adopt(p, plan))
	}
	return withCode(c.restore(p, plan))
}

func (c *restoreCommand) restore(p *program, plan plan) error {
	var lock backup.Lock
	if c.Identity != "" {
		if err := lock.Identities(c.Identity); err != nil {
			return fmt.Errorf("--identity: %w", err)
		}
	}
	if c.PassphraseFile != "" {
		if err := lock.Passphrase(c.PassphraseFile); err != nil {
			return fmt.Errorf("--passphrase-file: %w", err)
		}
	}
	if info, err := os.Stat(c.File); err != nil {
		return fmt.Errorf("%w. Nothing was written", err)
	} else if info.IsDir() {
		return fmt.Errorf("%s is a folder: name one of the backups in it. Nothing was written", c.File)
	}
	keys, fresh, err := c.keys(plan, lock)
	if err != nil {
		return err
	}
	from := backup.Source(func() (io.ReadCloser, error) { return lock.Open(c.File) })
	made, err := backup.Check(from, keys)
	if fresh && errors.Is(err, backup.ErrDamaged) {
		err = fmt.Errorf("%w; or its keys, which are in a file of their own, were", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w. Nothing was written", c.File, err)
	}
	fmt.Fprintf(p.out, "%s holds %s, made by parvis %s on %s with schema %d, in %s.\n", c.File, contents(made), made.Program, made.Database,
		made.Schema.Version, counted(made.Rows, "row", "rows"))
	continued, err := c.continued(func() (*backup.Logs, error) { return backup.LogsOf(from, keys) })
	if err != nil {
		return err
	}
	for _, x := range continued {
		fmt.Fprintf(p.out, "%s goes on with %s.\n", x.Name, since(x))
	}
	if c.Check {
		return nil
	}
	d, err := openDatabase(p.ctx, plan, true)
	if err != nil {
		return err
	}
	return errors.Join(c.into(p, restoring{plan, d, keys, fresh, continued}, from, made), d.Close())
}

// continued reads the audit exports that are named, which must go on from what a backup or a database
// has.
func (c *restoreCommand) continued(logs func() (*backup.Logs, error)) ([]*backup.Continued, error) {
	if len(c.Audit) == 0 {
		return nil, nil
	}
	known, err := logs()
	if err != nil {
		return nil, err
	}
	var all []backup.Export
	for _, path := range c.Audit {
		all = append(all, backup.Export{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	continued, err := known.Continue(all)
	if err != nil {
		err = fmt.Errorf("%w. Nothing was written", err)
	}
	return continued, err
}

// since says how far an export goes.
func since(x *backup.Continued) string {
	text := counted(x.Since, "entry", "entries") + " since the backup"
	if !x.Until.IsZero() {
		text += ", up to " + x.Until.UTC().Format(time.DateTime+" MST")
	}
	return text
}

// restoring is the place that is restored into.
type restoring struct {
	plan  plan
	db    *db.DB
	keys  secret.Keys
	fresh bool // the keys are not in their place yet

	continued []*backup.Continued
}

func (c *restoreCommand) into(p *program, r restoring, from backup.Source, made backup.Header) error {
	if err := backup.Vacant(p.ctx, r.db); err != nil {
		return fmt.Errorf("%s: %w. Nothing was written", shownDatabase(r.plan.database), err)
	}
	if r.fresh {
		if err := keyring.Write(r.plan.keysPath(), r.keys); errors.Is(err, fs.ErrExist) {
			return backup.ErrAtOnce
		} else if err != nil {
			return err
		}
	}
	shown := moving.NewBar(p.err, "Restoring")
	err := backup.Restore(p.ctx, r.db, from, made, c.how(r.plan, r.keys, shown.Show, r.continued...))
	shown.End()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "Restored into %s.\n", shownDatabase(r.plan.database))
	if err := list(p, r.db, r.continued); err != nil {
		return err
	}
	c.advise(p.out)
	return nil
}

func (c *restoreCommand) adopt(p *program, plan plan) error {
	return withStorage(p.onOlder(), plan, func(s *storage) error {
		continued, err := c.continued(func() (*backup.Logs, error) { return backup.LogsIn(p.ctx, s.db, s.keys) })
		if err != nil {
			return err
		}
		if err := backup.Adopt(p.ctx, s.db, c.how(plan, s.keys, func(int64, int64) {}, continued...)); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "The database at %s may be served again.\n", shownDatabase(plan.database))
		if err := list(p, s.db, continued); err != nil {
			return err
		}
		c.advise(p.out)
		return nil
	})
}

func (c *restoreCommand) how(plan plan, keys secret.Keys, shown backup.Progress, continued ...*backup.Continued) backup.How {
	return backup.How{Keys: keys, Roots: plan.rootsPath(), By: cmp.Or(c.By, whoRestores()), AsOfBackup: c.AsOfBackup, Progress: shown, Continued: continued}
}

// list says what was done about what the exports name.
func list(p *program, d *db.DB, continued []*backup.Continued) error {
	for _, x := range continued {
		whose := "the installation"
		if x.Org != "" {
			org, err := directory.OrganizationByID(p.ctx, d, directory.OrgID(x.Org))
			if err != nil {
				return err
			}
			whose = org.DisplayName
		}
		fmt.Fprintf(p.out, "In the log of %s, with %s:\n", whose, since(x))
		if len(x.Done) == 0 {
			fmt.Fprint(p.out, "  nothing that had to be done again or made void\n")
		}
		w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		for _, i := range x.Done {
			what := "void"
			if i.Again {
				what = "done again"
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", what, i.Action, i.Target, i.Name)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// keys returns those of the installation, and whether they are to be put in their place. Keys that
// are there already are the ones that a backup must fit.
func (c *restoreCommand) keys(plan plan, lock backup.Lock) (keys secret.Keys, fresh bool, err error) {
	keys, err = keyring.Read(plan.keysPath())
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return keys, false, err
	}
	path := cmp.Or(c.Keys, c.File+backup.KeysSuffix)
	in, err := lock.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return keys, false, fmt.Errorf("there are no keys at %s, nor at %s: name their file with --keys", plan.keysPath(), path)
	}
	if err != nil {
		return keys, false, fmt.Errorf("%s: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err := errors.Join(err, in.Close()); err != nil {
		return keys, false, fmt.Errorf("%s: %w", path, err)
	}
	keys, err = secret.ParseKeys(text)
	if err != nil {
		err = coded{fmt.Errorf("%s is no file of keys, or it was damaged: name the one that 'parvis backup' wrote beside the backup, or a copy of DATA/keys", path), exitDamaged}
	}
	return keys, true, err
}

// advise says what people meet now, and what is to be done.
func (c *restoreCommand) advise(w io.Writer) {
	fmt.Fprint(w, "Void are all sessions, links, recovery codes, tokens and secrets of applications, directories and webhooks; signing keys will be new.\n")
	if c.AsOfBackup {
		fmt.Fprint(w, "Passwords, authenticators, links to providers, connections, rules, rights, and who is shut out hold as of the backup.\n"+
			"Start 'parvis serve', make new secrets for applications, tokens for directories and secrets for webhooks, and run 'parvis doctor'.\n")
		return
	}
	whose := "So are"
	if len(c.Audit) > 0 {
		fmt.Fprint(w, "In the organizations whose logs were named, everything else holds as of the backup but for what is listed above; what was done after the last entry is not known.\n")
		whose = "In every other organization, void are"
	}
	fmt.Fprint(w, whose+" passwords, authenticators, links to providers and rights of machines; connections are off; everybody but owners is deactivated, and a member;\n"+
		"every organization is suspended. For each that was not suspended since: parvis organization resume NAME. Its owners then ask for a new password\n"+
		"at the sign-in page, and reactivate under People whom they did not shut out since. Then run 'parvis doctor'.\n")
}

// whoRestores names the user of this machine.
func whoRestores() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	if name == "" { // a container need not know its user
		name = strconv.Itoa(os.Getuid())
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
