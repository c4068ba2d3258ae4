package admin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"parvis/internal/api/form"
)

// printable replaces what would change how a terminal shows the rest: names are typed by others.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// table is a list in columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, names ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(names...)
	return t
}

func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(printable(cell), "\n", " ")
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

func (t table) end() error { return t.w.Flush() }

// moment writes a time for people, in UTC as the API's.
func moment(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.UTC().Format("2006-01-02 15:04")
}

// print shows one object: what the API sent, or as a table.
func (s shown) print(c *client, r reply, asTable func() error) error {
	if !s.JSON {
		return asTable()
	}
	_, err := c.t.Out.Write(r.body)
	return err
}

// facts prints names and values, one a line.
func facts(w io.Writer, pairs ...string) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for i := 0; i < len(pairs); i += 2 {
		t.row(pairs[i], cmp.Or(pairs[i+1], "-"))
	}
	return t.end()
}

// list is how a list is shown.
type list[T any] struct {
	names []string // of the columns
	row   func(T) []string
	none  string // what is said instead of an empty table
}

// page is a page of a list, with its items as they were sent.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  *string           `json:"next"`
	Count *int              `json:"count"`
}

// show reads a list to its last page and prints it; as JSON in one object, as if it were one page.
func (l list[T]) show(c *client, q request, asJSON bool) error {
	rows, shown := newTable(c.t.Out, l.names...), 0
	progress := c.t.progress()
	if progress != nil && q.query.Has("limit") {
		q.query.Set("count", "true")
	}
	if asJSON {
		fmt.Fprint(c.t.Out, `{"items":[`)
	}
	for {
		var p page
		if _, err := c.into(q, &p); err != nil {
			return err
		}
		for _, raw := range p.Items {
			if asJSON {
				if shown > 0 {
					fmt.Fprint(c.t.Out, ",\n")
				}
				fmt.Fprintf(c.t.Out, "%s", raw)
			} else {
				var item T
				if err := json.Unmarshal(raw, &item); err != nil {
					return fmt.Errorf("an item of the list cannot be read: %w", err)
				}
				rows.row(l.row(item)...)
			}
			shown++
		}
		if p.Next == nil {
			break
		}
		progress.say(shown, p.Count)
		q.query.Set("cursor", *p.Next)
	}
	progress.clear()
	switch {
	case asJSON:
		_, err := fmt.Fprintln(c.t.Out, `],"next":null,"count":null}`)
		return err
	case shown == 0:
		_, err := fmt.Fprintln(c.t.Out, l.none)
		return err
	}
	return rows.end()
}

// progress is one line that is written again and again. It is nil where nobody would see it.
type progress struct{ w io.Writer }

// progress returns one for a terminal.
func (t *Terminal) progress() *progress {
	f, ok := t.Err.(*os.File)
	if !ok {
		return nil
	}
	if about, err := f.Stat(); err != nil || about.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return &progress{f}
}

func (p *progress) say(done int, all *int) {
	switch {
	case p == nil:
	case all != nil && *all > mostCounted:
		fmt.Fprintf(p.w, "\r%d of more than %d", done, mostCounted)
	case all != nil:
		fmt.Fprintf(p.w, "\r%d of %d", done, *all)
	default:
		fmt.Fprintf(p.w, "\r%d", done)
	}
}

// mostCounted is how far the API counts.
const mostCounted = 10_000

func (p *progress) clear() {
	if p != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// changed says that nothing was changed by a dry run.
func (t tried) changed(c *client) {
	if t.DryRun && !t.JSON {
		fmt.Fprintln(c.t.Err, "Nothing was changed: this was a dry run.")
	}
}

type meCommand struct{ shown }

// Run shows who calls.
func (m *meCommand) Run(t *Terminal) error {
	c, err := m.open(t)
	if err != nil {
		return err
	}
	var me form.Me
	r, err := c.into(reads("/me"), &me)
	if err != nil {
		return err
	}
	return m.print(c, r, func() error {
		return facts(t.Out, "Organization", cmp.Or(me.Organization, &form.Home{}).Name, "Address", c.Address, "Name", me.Name, "Role", *cmp.Or(me.Role, new(string)),
			"Ends", moment(me.EndsAt), "Proved", moment(me.ProvedAt), "Scopes", strings.Join(me.Scopes, " "))
	})
}
