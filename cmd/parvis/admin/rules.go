package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"parvis/internal/api/form"
)

func count(n int) string { return strconv.Itoa(n) }

type rulesCommands struct {
	Show showRulesCommand `cmd:"" help:"Show rules."`
	Set  setRulesCommand  `cmd:"" help:"Change rules: those that are named, and no others."`
}

// kinds are the rules that there are, as the API's paths name them.
var kinds = []string{"password", "second-step", "sessions"}

type showRulesCommand struct {
	shown
	Kind string `arg:"" optional:"" help:"password, second-step or sessions. Without it, all of them."`
}

// Run shows rules.
func (s *showRulesCommand) Run(t *Terminal) error {
	c, err := s.open(t)
	if err != nil {
		return err
	}
	which := kinds
	if s.Kind != "" {
		which = []string{s.Kind}
	}
	for n, kind := range which {
		var rules map[string]json.RawMessage
		r, err := c.into(reads("/rules/"+kind), &rules)
		if err != nil {
			return err
		}
		if n > 0 && !s.JSON {
			fmt.Fprintln(t.Out)
		}
		if err := s.print(c, r, func() error { return showRules(c, kind, rules) }); err != nil {
			return err
		}
	}
	return nil
}

// showRules prints rules by the names by which they are set.
func showRules(c *client, kind string, rules map[string]json.RawMessage) error {
	fmt.Fprintf(c.t.Out, "%s\n", kind)
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		value := string(rules[name])
		var text string
		if json.Unmarshal(rules[name], &text) == nil && value != "null" {
			value = text
		}
		pairs = append(pairs, "  "+name, value)
	}
	return facts(c.t.Out, pairs...)
}

type setRulesCommand struct {
	tried
	Kind string `arg:"" help:"password, second-step or sessions."`
	given
}

// Validate wants something to set.
func (s *setRulesCommand) Validate() error { return s.something() }

// Run changes rules, and is refused if somebody else changed them since they were read here.
func (s *setRulesCommand) Run(t *Terminal) error {
	c, err := s.open(t)
	if err != nil {
		return err
	}
	path := "/rules/" + s.Kind
	var rules map[string]json.RawMessage
	before, err := c.into(reads(path), &rules)
	if err != nil {
		return err
	}
	if err := s.over(t, rules); err != nil {
		return err
	}
	q := writes(http.MethodPut, path, rules, s.DryRun)
	q.header = map[string]string{"If-Match": before.header.Get("ETag")}
	var after map[string]json.RawMessage
	r, err := c.into(q, &after)
	if err != nil {
		return err
	}
	s.changed(c)
	return s.print(c, r, func() error { return showRules(c, s.Kind, after) })
}

// literal returns a value as JSON: a number, true, false and null as they are, all else as a text.
func literal(value string) json.RawMessage {
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(value)))
	if d.Decode(&v) == nil && !d.More() {
		switch v.(type) {
		case float64, bool, nil:
			return json.RawMessage(value)
		}
	}
	text, _ := json.Marshal(value) // a text always encodes
	return text
}

type domainsCommands struct {
	List   listDomainsCommand  `cmd:"" help:"List domains."`
	Add    addDomainCommand    `cmd:"" help:"Add a domain, and print the DNS record that proves it."`
	Check  checkDomainCommand  `cmd:"" help:"Look up a domain's record now."`
	Remove removeDomainCommand `cmd:"" help:"Remove a domain."`
}

type listDomainsCommand struct{ shown }

// Run lists domains.
func (l *listDomainsCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	return list[form.Domain]{
		names: []string{"ID", "NAME", "STATE", "PROVEN"},
		row:   func(d form.Domain) []string { return []string{d.ID, d.Name, d.State, moment(d.ProvenAt)} },
		none:  "No domain yet.",
	}.show(c, reads("/domains"), l.JSON)
}
