package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"parvis/internal/api/form"
)

type applyCommand struct {
	shown
	File  string `short:"f" required:"" placeholder:"FILE" help:"What is to be: TOML or JSON, or standard input if it is -. 'parvis admin show --as-file' writes one."`
	Plan  bool   `help:"Say what would change, and change nothing. It ends with 3 if something would."`
	Prune bool   `help:"Delete what the file's lists do not name. A list that is not in the file is left alone."`
	Yes   bool   `short:"y" help:"Do not ask before the changes are made."`
}

// Validate wants that nothing is asked where nobody answers.
func (a *applyCommand) Validate() error {
	switch {
	case a.Plan && a.Yes:
		return errors.New("--plan changes nothing; leave --yes out")
	case (a.JSON || a.File == "-") && !a.Plan && !a.Yes:
		return errors.New("nobody can be asked here: add --plan or --yes")
	}
	return nil
}

const configurationPath = "/configuration"

// Run shows the plan, and makes its changes unless somebody else changed something since.
func (a *applyCommand) Run(t *Terminal) error {
	text, err := readFile(t.In, a.File)
	if err != nil {
		return err
	}
	if len(text) == mostFile {
		return errors.New("the file is too large") // its end would be missing
	}
	w, err := parse(a.File, text)
	if err != nil {
		return err
	}
	c, err := a.open(t)
	if err != nil {
		return err
	}
	var plan form.Plan
	r, err := c.into(a.request(w, true), &plan)
	if err != nil {
		return w.explain(err)
	}
	if a.Plan || !a.JSON {
		if err := a.print(c, r, func() error { return showPlan(t.Out, plan) }); err != nil {
			return err
		}
	}
	switch {
	case a.Plan && len(plan.Changes) > 0:
		return exit{exitChanges, errors.New("this is the plan; nothing was changed")}
	case a.Plan || len(plan.Changes) == 0 && !a.JSON:
		return nil
	}
	if err := a.ask(t); err != nil {
		return err
	}
	q := a.request(w, false)
	q.header = map[string]string{"If-Match": r.header.Get("ETag")}
	done, err := c.into(q, &plan)
	if p, ok := errors.AsType[*problem](err); ok && p.Status == http.StatusPreconditionFailed {
		return fmt.Errorf("somebody changed something since this plan was made, so nothing was done. Look at a new one: the same command\n  Reference: %s", printable(p.Reference))
	}
	if err != nil {
		return w.explain(err)
	}
	return a.print(c, done, func() error {
		for _, one := range plan.Changes {
			if one.ClientSecret != nil {
				fmt.Fprintf(t.Out, "Client secret of %s, shown this once: %s\n", printable(one.Name), printable(*one.ClientSecret))
			}
			if one.Secret != nil {
				fmt.Fprintf(t.Out, "What comes from %s is verified with this, shown this once: %s\n", printable(one.Name), printable(*one.Secret))
			}
		}
		_, err := fmt.Fprintln(t.Out, "Done.")
		return err
	})
}

// request asks for the configuration of a file.
func (a *applyCommand) request(w *written, dry bool) request {
	q := writes(http.MethodPut, configurationPath, w.values, dry)
	if a.Prune {
		q.query.Set("prune", "true")
	}
	return q
}

// ask asks whether the plan is to be done.
func (a *applyCommand) ask(t *Terminal) error {
	if a.Yes {
		return nil
	}
	fmt.Fprint(t.Err, "Type yes to make these changes: ")
	answer, err := bufio.NewReader(t.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// showPlan prints changes, one below the other, with the values before and after.
func showPlan(w io.Writer, p form.Plan) error {
	counts := map[string]int{}
	for _, c := range p.Changes {
		counts[c.Do]++
		fmt.Fprintf(w, "%s %s %s\n", map[string]string{"create": "+", "change": "~", "delete": "-"}[c.Do], c.Kind, printable(c.Name))
		for _, f := range c.Fields {
			change := value(f.To)
			switch {
			case f.From == nil && f.To == nil:
				change = "set, and not shown"
			case c.Do == "change":
				change = value(f.From) + " -> " + change
			}
			if c.Do != "create" || f.Name != "name" {
				fmt.Fprintf(w, "    %s: %s\n", f.Name, printable(change))
			}
		}
	}
	if len(p.Changes) == 0 {
		_, err := fmt.Fprintln(w, "No changes: all is as the file says.")
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d to create, %d to change, %d to delete.\n", counts["create"], counts["change"], counts["delete"])
	return err
}

// value writes a value of a plan for people.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case float64:
		if v == float64(int64(v)) {
			return fmt.Sprint(int64(v))
		}
	}
	text, _ := json.Marshal(v) // what was read from JSON encodes
	return string(text)
}

type showCommand struct {
	shown
	AsFile bool `help:"Print all that is set up as a TOML file, for 'parvis admin apply'."`
}

// Run shows how the organization is set up.
func (s *showCommand) Run(t *Terminal) error {
	c, err := s.open(t)
	if err != nil {
		return err
	}
	var all form.Configuration
	r, err := c.into(reads(configurationPath), &all)
	if err != nil {
		return err
	}
	return s.print(c, r, func() error {
		if s.AsFile {
			fmt.Fprintf(t.Out, "# %s at %s\n# parvis admin apply -f FILE --plan says what a change of this file would change.\n\n", printable(strings.ReplaceAll(all.Organization.Name, "\n", " ")), c.Address)
			return writeTOML(t.Out, all)
		}
		o := all.Organization
		return facts(t.Out, "ID", o.ID, "Name", o.Name, "Short name", o.ShortName, "Language", o.Language, "Contact", o.Contact,
			"Domains", count(len(all.Domains)), "Groups", count(len(all.Groups)), "Connections", count(len(all.Connections)), "Applications", count(len(all.Applications)),
			"Directories", count(len(all.Sources)), "Webhooks", count(len(all.Webhooks)))
	})
}
