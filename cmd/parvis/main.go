// Command parvis is an identity front door in one program: the server, and what
// its operator does at the command line.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"parvis/cmd/parvis/admin"
	"parvis/cmd/parvis/demo"
	"parvis/cmd/parvis/machine"
	"parvis/cmd/parvis/shell"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/i18n"
)

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// The exit codes besides 0.
const (
	exitFailed = 1
	exitUsage  = 2
)

// commands are what the program can be asked to do.
type commands struct {
	Serve        serveCommand         `cmd:"" help:"Run the server. Health and metrics are on 127.0.0.1:9797 unless [operations] listen is set."`
	Demo         demoCommand          `cmd:"" help:"Try Parvis: sample organizations, a mailbox, nothing to set up and nothing kept."`
	Doctor       doctorCommand        `cmd:"" help:"Find out what is wrong with an installation."`
	SetupLink    setupLinkCommand     `cmd:"" name:"setup-link" help:"Print a new link that creates the first organization, while none has an owner."`
	Organization organizationCommands `cmd:"" help:"Create, list, suspend, resume and delete organizations."`
	User         userCommands         `cmd:"" help:"Help a person whom no administrator can help."`
	Import       importCommands       `cmd:"" help:"Move people in from Keycloak, Auth0 or a file, and undo it."`
	Application  applicationCommands  `cmd:"" help:"Register, connect and place applications."`
	Source       sourceCommands       `cmd:"" help:"Add a directory that provisions people, from the command line."`
	Operator     operatorCommands     `cmd:"" help:"Let machines act for the operator by the API."`
	Webhook      webhookCommands      `cmd:"" help:"Send the events of the installation to programs of yours."`
	Region       regionCommands       `cmd:"" help:"Let regions ask each other where an organization is."`
	Audit        auditCommands        `cmd:"" help:"Print audit logs, to be kept and checked elsewhere."`
	Keys         keysCommands         `cmd:"" help:"Replace the keys of DATA/keys while servers run."`
	RotateKeys   rotateKeysCommand    `cmd:"" name:"rotate-keys" help:"Make the next keys towards applications and identity providers."`
	Migrate      migrateCommand       `cmd:"" help:"Bring the database up to this version. 'serve' does it too, where its database role may."`
	Upgrade      upgradeCommand       `cmd:"" help:"Rehearse the migration of this version on a copy of the database."`
	Config       configCommand        `cmd:"" help:"Print the configuration in force, without secrets; or check it, or print an example."`
	Backup       backupCommand        `cmd:"" help:"Copy the installation into a file while the server runs."`
	Restore      restoreCommand       `cmd:"" help:"Put a backup into an empty place, without reviving what was revoked or used."`
	Version      versionCommand       `cmd:"" help:"Print this program's version."`
	Completion   completionCommand    `cmd:"" help:"Print a script that completes commands in a shell."`
	Manual       manualCommand        `cmd:"" hidden:"" help:"Print the manual page."`
	Admin        admin.Commands       `cmd:"" help:"Run an organization from anywhere, through the API of its installation."`
}

// storageFlags are the flags of every command that opens the database.
type storageFlags struct {
	Config   string `placeholder:"FILE" help:"Configuration file. Without it DATA/parvis.toml, where that exists."`
	Data     string `placeholder:"FOLDER" help:"Folder with the keys and, on SQLite, the database. Without it ./data."`
	Database string `placeholder:"ADDRESS" help:"postgres://… Without it an SQLite file in the data folder."`
}

// addressFlags are those of every command that must also know the public address.
type addressFlags struct {
	storageFlags
	PublicAddress string `placeholder:"URL" help:"The address that people use, such as https://sign-in.your-company.com."`
}

// servingFlags are those of every command that listens, or looks at one that does.
type servingFlags struct {
	addressFlags
	Listen string `placeholder:"ADDRESS" help:"Where to listen, such as 127.0.0.1:8080 or :443."`
}

// plan loads and checks what is needed by a command that only opens the database.
func (f storageFlags) plan(p *program) (plan, error) {
	c := loadConfig(servingFlags{addressFlags: addressFlags{storageFlags: f}}, p.environ)
	checked := c.checkStorage()
	return checked, c.err()
}

// plan loads and checks the whole configuration.
func (f addressFlags) plan(p *program) (plan, error) {
	return servingFlags{addressFlags: f}.plan(p)
}

func (f servingFlags) plan(p *program) (plan, error) {
	c := loadConfig(f, p.environ)
	checked := c.check()
	return checked, c.err()
}

// program is what a command works with besides its own flags.
type program struct {
	ctx     context.Context // ends with SIGINT or SIGTERM
	environ []string
	out     io.Writer // the results
	err     io.Writer // notes and errors
	older   bool      // it may go on with a database that was put back by hand
}

// onOlder is for a command that goes on with a database that was put back by hand: it only reads, or it
// adopts that database.
func (p *program) onOlder() *program {
	reads := *p
	reads.older = true
	return &reads
}

func run(args, environ []string, out, errors io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once. Wrappers send the first one twice at the same
	// moment, which does not count as a second.
	context.AfterFunc(ctx, func() { time.Sleep(time.Second); stop() })

	// A server that starts does not read what the other commands are called, which takes as long
	// as a tenth of its start and a megabyte.
	var all any
	if len(args) > 0 && args[0] == "serve" {
		serve, _ := reflect.TypeFor[commands]().FieldByName("Serve")
		all = reflect.New(reflect.StructOf([]reflect.StructField{serve})).Interface()
	} else {
		c := new(commands)
		c.Application.Add.settingFlags, c.Application.Set.settingFlags = newSettingFlags(), newSettingFlags()
		all = c
	}
	code := -1
	parser, err := kong.New(all, kong.Name("parvis"), kong.Writers(out, errors), kong.Exit(func(n int) { code = n }),
		kong.Description("Identity front door. Each setting can also be set in a TOML file or in the environment: "+
			"'parvis config' shows them, and where each comes from."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.ValueFormatter(settingHelp),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(shell.Duration)))
	if err != nil {
		panic(err) // commands is wrong, whatever the arguments
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if code >= 0 { // help was printed
		return code
	}
	if err != nil {
		fmt.Fprintf(errors, "parvis: %v\nTry 'parvis --help'.\n", err)
		return exitUsage
	}
	printed := &machine.Output{To: out}
	err = command.Run(&program{ctx: ctx, environ: environ, out: printed, err: errors}, &admin.Terminal{Context: ctx, In: os.Stdin, Out: printed, Err: errors})
	if err := outcome(ctx, err, printed); err != nil {
		explain(errors, err)
		return codeOf(err)
	}
	return 0
}

// outcome is what a command came to, whatever of the work under it the interruption hit.
func outcome(ctx context.Context, err error, printed *machine.Output) error {
	switch {
	case err == nil:
		return printed.Err()
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return errors.New("interrupted before it was done: give the same command again")
	}
	return err
}

// codeOf returns the exit code of an error.
func codeOf(err error) int {
	if own, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		return own.ExitCode()
	}
	return exitFailed
}

// explain prints an error for the person who typed the command, and what to do about a database
// that does not work.
func explain(w io.Writer, err error) {
	fmt.Fprintf(w, "parvis: %s\n", inEnglish(err))
	if db.TroubleOf(err) != db.Other {
		fmt.Fprintln(w, advice(err))
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
		fmt.Fprintf(w, "The user of this program has no right to %s: let the folder belong to it (chown), and in a unit of systemd name the folder (ReadWritePaths=). 'parvis doctor' looks at both.\n", path.Path)
	}
}

// advice says what an operator can do about a database that does not work.
func advice(err error) string {
	switch db.TroubleOf(err) {
	case db.Silent:
		return "It does not answer: look whether it runs, whether a firewall drops what is sent there, and whether another program holds it."
	case db.Refused:
		return "It refuses the login: look at the name, the password and the database in its address, and at pg_hba.conf."
	case db.Forbidden:
		return "A right is missing: give the role of the address, or the user of this program, the rights on every table or the file."
	case db.ReadOnly:
		return "It may only be read: look whether the address leads to a standby, or the disk is mounted read-only."
	case db.Full:
		return "It has no room: look at the space on its disk, and at max_connections."
	case db.Statements:
		return "A pooler stands before it that allows no transactions: write pool_mode = transaction in PgBouncer's file."
	case db.Damaged:
		return "The file is no SQLite database, or it was damaged: keep a copy of it and of the files beside it, and restore a backup into an empty place."
	case db.Other:
	}
	return "Look whether it runs, at the name, password and certificate, at the rights of its file or role, and at the space on its disk."
}

// inEnglish returns the catalogue's sentence of a fault, with the flag that is meant and a line
// for each reason; any other error is returned as it is.
func inEnglish(err error) string {
	f, isFault := errors.AsType[*fault.Error](err)
	if !isFault {
		return machine.InWords(err)
	}
	catalogue, lerr := i18n.Load()
	if lerr != nil {
		return errors.Join(err, lerr).Error()
	}
	english := catalogue.In("en")
	text := english.Text(f.Key, pairs(english, f.Args)...)
	if which := flagOf(f.Field); which != "" && strings.HasPrefix(f.Key, "op.") {
		text = which + ": " + text
	}
	for _, reason := range f.Reasons {
		text += "\n  - " + english.Text(reason.Key, pairs(english, reason.Args)...)
	}
	return text
}

func pairs(l i18n.Localizer, args map[string]any) []any {
	var all []any
	for name, value := range args {
		if lasts, ok := value.(time.Duration); ok {
			value = l.Duration(lasts)
		}
		all = append(all, name, value)
	}
	return all
}

// err lists every problem at once.
func (c *configuration) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	what := "1 problem"
	if n := len(c.problems); n > 1 {
		what = fmt.Sprintf("%d problems", n)
	}
	return fmt.Errorf("%s in the configuration:\n  - %s\nSettings come from the file (%s), then from the environment (PARVIS_MAIL_ADDRESS is [mail] address), then from flags",
		what, strings.Join(c.problems, "\n  - "), orNone(c.path))
}

type configCommand struct {
	servingFlags
	Check   bool `help:"Print nothing but what is wrong."`
	Example bool `help:"Print a configuration file with every setting, each explained and behind a #."`
}

//go:embed example.toml
var example string

// Run prints the configuration even if it is wrong, because that is when people read it.
func (c *configCommand) Run(p *program) error {
	if c.Example {
		fmt.Fprint(p.out, example)
		return nil
	}
	loaded := loadConfig(c.servingFlags, p.environ)
	loaded.check()
	if !c.Check {
		loaded.show(p.out)
	}
	return loaded.err()
}

type versionCommand struct{}

// Run prints what the build knows about itself.
func (*versionCommand) Run(p *program) error {
	fmt.Fprintln(p.out, "parvis", versionText())
	return nil
}

func versionText() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version + " (" + info.GoVersion + ")"
	}
	return "unknown"
}

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a script, which packages install for each shell.
func (c *completionCommand) Run(p *program, k *kong.Context) error {
	fmt.Fprint(p.out, shell.Completion(c.Shell, k.Model.Node))
	return nil
}

type manualCommand struct{}

// Run prints the manual page, which packages install.
func (*manualCommand) Run(p *program, k *kong.Context) error {
	shell.Manual(p.out, k.Model.Node)
	return nil
}

type demoCommand struct {
	Port            int  `default:"8080" help:"Port of the sign-in pages on localhost; 0 takes a free one."`
	OtherPort       int  `default:"8081" help:"Port of the other region's pages on us.localhost; 0 takes a free one."`
	MailboxPort     int  `default:"8025" help:"Port of the mailbox page on mailbox.localhost; 0 takes a free one."`
	CompanyPort     int  `default:"8040" help:"Port of the company's sign-in server on company.localhost; 0 takes a free one."`
	DirectoryPort   int  `default:"8050" help:"Port of the staff directory on directory.localhost; 0 takes a free one."`
	ApplicationPort int  `default:"8030" help:"Port of the first sample application on collaborate.localhost; the other two have the next ports; 0 takes free ones."`
	JSON            bool `help:"Print the addresses as one line of JSON."`
	Verbose         bool `help:"Log every request to standard error."`
}

// Run shows Parvis to somebody who has only the program.
func (c *demoCommand) Run(p *program) error {
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelInfo
	}
	return demo.Run(p.ctx, demo.Options{
		Port: c.Port, OtherPort: c.OtherPort, MailboxPort: c.MailboxPort, ApplicationPort: c.ApplicationPort, CompanyPort: c.CompanyPort, DirectoryPort: c.DirectoryPort,
		JSON: c.JSON, Out: p.out,
		Log: slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: level})),
	})
}
