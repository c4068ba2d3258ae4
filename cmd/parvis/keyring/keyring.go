package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/rotation"
	"parvis/internal/secret"
)

// At is where a command works.
type At struct {
	Context context.Context
	Out     io.Writer
	DB      *db.DB
	Keys    secret.Keys // of this process, which are those of the file
	Path    string      // of the file
}

// ringOf returns the ring that people call by a name.
func ringOf(name string) string {
	if name == "data" {
		return "sealing"
	}
	return name
}

// uses says what each ring is for.
var uses = map[string]string{
	"sealing": "data: seals what is read back (authenticator apps, secrets of connections and webhooks, signing keys, letters) and cookies",
	"pepper":  "pepper: part of every hash of a password and of a recovery code",
	"lookup":  "lookup: hashes addresses in limits, and derives tokens and what may be used once",
}

// List prints every key, what it does and what needs it.
func List(at At) error {
	known, err := rotation.Read(at.Context, at.DB)
	if err != nil {
		return err
	}
	nodes, err := rotation.Nodes(at.Context, at.DB)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(at.Out, 0, 0, 2, ' ', 0)
	for _, ring := range rotation.RingNames {
		fmt.Fprintln(w, uses[ring])
		for _, k := range at.Keys.Rings()[ring].All() {
			says, err := at.state(known, ring, k.ID)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "  %s\t%s\n", k.ID, says)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, n := range nodes {
		fmt.Fprintf(at.Out, "%s serves, and knows %s.\n", n.Host, strings.Join(n.Knows, " "))
	}
	if len(nodes) == 0 {
		fmt.Fprintln(at.Out, "No server runs.")
	}
	return nil
}

// state says what a key does.
func (at At) state(known rotation.Known, ring, id string) (string, error) {
	i := slices.IndexFunc(known.Rings[ring], func(m rotation.Mark) bool { return m.ID == id })
	switch {
	case i == 0 && known.Rings[ring][0].Since.IsZero():
		return "writes, since the beginning", nil
	case i == 0:
		return "writes, since " + moment(known.Rings[ring][0].Since), nil
	}
	says := "reads"
	if i < 0 {
		says = "added, and not in use yet: parvis keys use " + id
	}
	needs, err := rotation.Needs(at.Context, at.DB, ring, id)
	if len(needs) > 0 {
		says += "; needed for " + list(needs)
	} else if i > 0 {
		says += "; nothing in the database needs it"
	}
	return says, err
}

func moment(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 MST") }

func list(needs []rotation.Need) string {
	var all []string
	for _, n := range needs {
		all = append(all, fmt.Sprintf("%d %s", n.N, n.What))
	}
	return strings.Join(all, ", ")
}

// Add puts a new key into the file, with which nothing is written yet.
func Add(at At, ring string) error {
	file, err := Read(at.Path)
	if err != nil {
		return err
	}
	r, key := file.Rings()[ringOf(ring)], secret.NewKey()
	r.Take(append(slices.Clone(r.All()), key))
	if err := replace(at.Path, file); err != nil {
		return err
	}
	fmt.Fprintf(at.Out, "%s was added to %s. Nothing is written with it yet.\n"+
		"Copy the file to every server and reload each (systemctl reload parvis, or kill -HUP); back the file up; then: parvis keys use %s\n", key.ID, at.Path, key.ID)
	return nil
}

// Use has every server write with a key.
func Use(at At, id string) error {
	if err := rotation.Use(at.Context, at.DB, at.Keys, id); err != nil {
		return fmt.Errorf("%s is not put in use: %w", id, err)
	}
	fmt.Fprintf(at.Out, "Everything new is written with %s; servers change over within seconds. What was written before is read as before.\n"+
		"'parvis keys' says what still needs the key before it; take that out in %d hours with 'parvis keys retire'.\n", id, int(rotation.Overlap.Hours()))
	return nil
}

// Retiring says how a key is taken out.
type Retiring struct {
	ID     string `arg:"" help:"The key, as 'parvis keys' shows it."`
	Leaked bool   `help:"Others may know it: do not wait until what it made has ended."`
	Void   bool   `help:"A pepper: make the passwords and recovery codes that still need it useless, and send their people a letter with a link to a new password."`
}

// Retire seals again what an earlier key sealed, and takes it out. letter writes to somebody whose
// password became useless.
func Retire(at At, r Retiring, store *credential.Store, letter func(context.Context, *db.Tx, credential.Owner) error) error {
	moved, voided := 0, 0
	leaving := rotation.Leaving{ID: r.ID, Leaked: r.Leaked, Store: store, Moved: func(n int) { moved += n }}
	left, err := rotation.Retire(at.Context, at.DB, at.Keys, leaving)
	if errors.Is(err, rotation.ErrNeeded) && r.Void && rotation.RingOf(at.Keys, r.ID) == "pepper" {
		if voided, err = at.void(r.ID, letter); err == nil {
			left, err = rotation.Retire(at.Context, at.DB, at.Keys, leaving)
		}
	}
	if errors.Is(err, rotation.ErrNeeded) {
		return fmt.Errorf("%s is not taken out: it is needed for %s.%s", r.ID, list(left), advice(at.Keys, r.ID))
	}
	if err != nil {
		return fmt.Errorf("%s is not taken out: %w", r.ID, err)
	}
	if moved > 0 {
		fmt.Fprintf(at.Out, "%d values were sealed again.\n", moved)
	}
	if voided > 0 {
		fmt.Fprintf(at.Out, "The passwords or recovery codes of %d people are void; who has a password and may sign in gets a letter with a link.\n", voided)
	}
	return at.takeOut(r.ID)
}

// advice says what to do about what cannot be sealed again.
func advice(keys secret.Keys, id string) string {
	if rotation.RingOf(keys, id) != "pepper" {
		return ""
	}
	return " A password moves when its person signs in, and recovery codes are replaced when somebody makes new ones. Wait, and ask those whom you know; " +
		"or make what is left useless, with a letter to each person who has a password: --void"
}

// atOnce is how many people become strangers to their passwords in one transaction.
const atOnce = 20

// void makes useless what still needs a pepper.
func (at At) void(id string, letter func(context.Context, *db.Tx, credential.Owner) error) (people int, err error) {
	ctx := db.AfterPeople(at.Context)
	for {
		owners, err := credential.OwnersUnder(ctx, at.DB, id, atOnce)
		if err != nil || len(owners) == 0 {
			return people, err
		}
		for _, o := range owners {
			if err := at.DB.Update(ctx, func(tx *db.Tx) error {
				password, err := credential.Void(ctx, tx, o, id)
				if err != nil || !password {
					return err
				}
				err = letter(ctx, tx, o)
				if _, refused := errors.AsType[*fault.Error](err); refused {
					err = nil // who is shut out, or comes in by single sign-on alone, needs none
				}
				return err
			}); err != nil {
				return people, err
			}
		}
		people += len(owners)
	}
}

// takeOut removes a key from the file.
func (at At) takeOut(id string) error {
	file, err := Read(at.Path)
	if err != nil {
		return err
	}
	for _, ring := range file.Rings() {
		if _, here := ring.ByID(id); here {
			ring.Take(slices.DeleteFunc(slices.Clone(ring.All()), func(k secret.Key) bool { return k.ID == id }))
		}
	}
	if err := replace(at.Path, file); err != nil {
		return fmt.Errorf("no server uses %s any more, but it is still in the file: %w", id, err)
	}
	fmt.Fprintf(at.Out, "%s was taken out of %s, and no server reads with it from now on. Copy the file to the other servers. "+
		"Backups from before need the file from before.\n", id, at.Path)
	return nil
}
