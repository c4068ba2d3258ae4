// Package moving is what 'parvis import' asks for and prints: people who move in from another
// system, line by line.
package moving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/intake"
	"parvis/internal/intake/dump"
)

// At is where a command works.
type At struct {
	Context  context.Context
	Service  *intake.Service
	Out, Err io.Writer
	English  func(error) string
}

// In are the flags of a file that is moved in.
type In struct {
	File         string            `arg:"" help:"The file, up to 1 GB and a million people."`
	From         string            `required:"" enum:"keycloak,auth0,csv,jsonl" placeholder:"FORMAT" help:"keycloak: a realm exported with its users; auth0: users as JSON lines or as for a bulk import; csv; or jsonl. docs/import.md has all."`
	Organization string            `placeholder:"NAME" help:"Short name of the organization that everybody comes into. Without it the file says."`
	Existing     bool              `help:"Let people of Keycloak's organizations into organizations here that have the same short name already."`
	Language     string            `default:"en" help:"Language of organizations that the file brings."`
	Owner        []string          `placeholder:"ADDRESS" help:"Make this person of the file an owner. Nobody else becomes one."`
	Role         map[string]string `placeholder:"THEIRS=OURS" help:"What a role of the other system is here: administrator, helpdesk, auditor or member. Roles that are not named give nothing."`
	Verified     bool              `help:"Every address of the file was proved to be its person's. Without it only those of which the file says so bring their password."`
	NoLetters    bool              `help:"Write to nobody. Who has no usable password waits for an administrator's letter."`
	PerMinute    int               `default:"60" placeholder:"N" help:"How many letters leave in a minute."`
	Strict       bool              `help:"Move nobody in if one line cannot be."`
	DryRun       bool              `help:"Say what would become of each line, and change nothing."`
}

// Do moves people in, and prints every line that needs a word; a rehearsal prints all.
func (c *In) Do(at At, language i18n.Tag) error {
	options, err := c.options(language)
	if err != nil {
		return err
	}
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // It was only read.
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: name a file", c.File)
	}
	src, err := intake.Open(dump.Format(c.From), file)
	if err != nil {
		return err
	}
	r := &report{At: at, progress: TerminalOf(at.Err), all: c.DryRun, began: at.Service.DB.Now(), count: map[intake.Outcome]int{}, owners: slices.Clone(c.Owner)}
	if c.DryRun {
		if err := at.Service.Rehearse(at.Context, src, options, r.tell); err != nil {
			return r.ends(err)
		}
		return r.summary("would be ")
	}
	if c.Strict {
		r.only = intake.Refused
		if err := at.Service.Rehearse(at.Context, src, options, r.tell); err != nil {
			return r.ends(err)
		}
		if refused := r.count[intake.Refused]; refused > 0 {
			r.clear()
			return fmt.Errorf("nobody was moved in, because of %s (--strict)", counted(refused, "line"))
		}
		r.only, r.count, r.people = "", map[intake.Outcome]int{}, 0
	}
	id, err := at.Service.Run(at.Context, src, options, r.tell)
	if err != nil {
		return r.ends(err)
	}
	r.clear()
	fmt.Fprintf(at.Out, "Import %s. 'parvis import undo %s' undoes it.\n", id, id)
	return r.summary("")
}

// mistyped is the error of options that were typed wrongly.
type mistyped struct{ error }

// ExitCode is that of every command that was typed wrongly.
func (mistyped) ExitCode() int { return 2 }

// options checks what was typed besides the file.
func (c *In) options(language i18n.Tag) (intake.Options, error) {
	for theirs, ours := range c.Role {
		if role := directory.Role(ours); !role.Valid() || role == directory.Owner {
			return intake.Options{}, mistyped{fmt.Errorf("--role %s=%s: choose one of administrator, helpdesk, auditor and member; owners are named with --owner", theirs, ours)}
		}
	}
	if c.PerMinute < 1 || c.PerMinute > 6000 {
		return intake.Options{}, mistyped{errors.New("--per-minute is a number from 1 to 6000")}
	}
	return intake.Options{
		Organization: c.Organization, Existing: c.Existing, Owners: c.Owner, Roles: c.Role, Trusted: c.Verified, NoLetters: c.NoLetters,
		PerMinute: c.PerMinute, Language: language,
	}, nil
}

// report prints what becomes of each line, and how far an import is.
type report struct {
	At
	progress io.Writer // nil where nobody looks
	all      bool      // every line, and not only those that need a word
	only     intake.Outcome
	began    time.Time
	shown    time.Time
	count    map[intake.Outcome]int
	people   int
	owners   []string // addresses that were to be owners, and stood in no line yet
}

// fates says in a few words what became of a person.
var fates = map[intake.Outcome]string{
	intake.Admitted:    "moved in with their password",
	intake.Written:     "moved in without a password: a letter leads to one",
	intake.Waiting:     "moved in without a password, and without a letter",
	intake.Invited:     "invited",
	intake.Deactivated: "moved in, deactivated",
	intake.Before:      "moved in before",
	intake.Refused:     "not moved in",
}

func (r *report) tell(f intake.Fate) error {
	r.count[f.Outcome]++
	r.people++
	r.owners = slices.DeleteFunc(r.owners, func(address string) bool { return strings.EqualFold(strings.TrimSpace(address), f.Email) })
	if r.all && r.only == "" || r.only == f.Outcome || r.only == "" && f.Outcome != intake.Before && len(f.Reasons) > 0 {
		r.clear()
		r.line(f)
	}
	if now := r.Service.DB.Now(); r.progress != nil && now.Sub(r.shown) > 200*time.Millisecond {
		r.shown = now
		fmt.Fprintf(r.progress, "\r%d people, %.0f a second ", r.people, float64(r.people)/now.Sub(r.began).Seconds())
	}
	return nil
}

func (r *report) line(f intake.Fate) {
	who := f.Email
	if who == "" {
		who = "nobody"
	}
	if f.Organization != "" {
		who += " (" + f.Organization + ")"
	}
	what := fates[f.Outcome]
	if f.App {
		what += ", and their authenticator app"
	}
	if f.Role != directory.Member && f.Role != "" && f.Outcome != intake.Refused {
		what += ", as " + string(f.Role)
	}
	var why []string
	for _, reason := range f.Reasons {
		why = append(why, r.English(reason))
	}
	if len(why) > 0 {
		what += ": " + strings.Join(why, " ")
	}
	fmt.Fprintf(r.Out, "line %d: %s: %s\n", f.Line, oneLine(who), oneLine(what))
}

// clear wipes the line of progress.
func (r *report) clear() {
	if r.progress != nil {
		fmt.Fprint(r.progress, "\r\x1b[K")
	}
}

// ends returns the error of an import that stopped on its way, with how to go on.
func (r *report) ends(err error) error {
	r.clear()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted after %s: the same command goes on", counted(r.people, "line"))
	}
	if _, known := errors.AsType[*fault.Error](err); !known {
		return err
	}
	said := oneLine(r.English(err)) // it may quote the file
	if r.people > 0 && !r.all {
		said += "\n" + counted(r.people, "line") + " before that were moved in or named above"
	}
	return errors.New(said)
}

// summary counts the lines by what became of them. Refused ones make the command fail.
func (r *report) summary(would string) error {
	r.clear()
	if r.people == 0 {
		fmt.Fprintln(r.Out, "There is nobody in the file.")
	}
	for _, address := range r.owners {
		fmt.Fprintf(r.Err, "Warning: nobody in the file has the address %s, so --owner made no owner of it.\n", oneLine(address))
	}
	for _, o := range intake.Outcomes {
		if n := r.count[o]; n > 0 && o != intake.Refused {
			fmt.Fprintf(r.Out, "%s: %s%s\n", counted(n, "line"), would, fates[o])
		}
	}
	if refused := r.count[intake.Refused]; refused > 0 {
		return fmt.Errorf("%s could not be moved in: see above", counted(refused, "line"))
	}
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// oneLine makes a text from a file safe to print, and short.
func oneLine(text string) string {
	if runes := []rune(text); len(runes) > 500 {
		text = string(runes[:500]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '·'
		}
		return r
	}, text)
}

// TerminalOf returns w if somebody looks at it, and nil for a file or a pipe: progress is for people.
func TerminalOf(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if about, err := f.Stat(); err != nil || about.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return w
}

// Undo undoes an import.
func Undo(at At, id string) error {
	stay := 0
	undone, err := at.Service.Undo(at.Context, id, func(u directory.User) error {
		stay++
		fmt.Fprintf(at.Out, "%s stays: they have signed in.\n", oneLine(u.Email))
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(undone.Suspended)
	for _, name := range undone.Suspended {
		fmt.Fprintf(at.Out, "The organization %s, which it made, is suspended.\n", name)
	}
	fmt.Fprintf(at.Out, "%d gone, %d stay.\n", undone.Gone, stay)
	return nil
}

// List lists imports, the newest first.
func List(at At) error {
	all, err := at.Service.List(at.Context)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(at.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "IMPORT\tFROM\tBEGAN\tPEOPLE\tSTATE")
	for _, i := range all {
		state := "interrupted"
		if !i.FinishedAt.IsZero() {
			state = "finished"
		}
		if !i.UndoneAt.IsZero() {
			state = "undone " + i.UndoneAt.Format(time.DateOnly)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", i.ID, i.Format, i.BegunAt.Format(time.DateTime), i.People, state)
	}
	return table.Flush()
}
