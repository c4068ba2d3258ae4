package admin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"

	"parvis/internal/api/form"
)

type sourcesCommands struct {
	List    listSourcesCommand   `cmd:"" help:"List the directories that provision people."`
	Show    showSourceCommand    `cmd:"" help:"Show a directory, and the address that it calls."`
	TurnOn  turnSourceCommand    `cmd:"" help:"Let a directory act."`
	Watch   turnSourceCommand    `cmd:"" help:"Let it only watch: what it wants is undone and listed."`
	Stop    turnSourceCommand    `cmd:"" help:"Do nothing that it says."`
	Calls   sourceCallsCommand   `cmd:"" help:"List its calls, in words."`
	Waiting sourceWaitingCommand `cmd:"" help:"List what it asked for and you decide."`
	Agree   decideCommand        `cmd:"" help:"Do what it asked for."`
	Dismiss decideCommand        `cmd:"" help:"Dismiss what it asked for."`
}

type listSourcesCommand struct{ shown }

// Run lists sources.
func (l *listSourcesCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	return list[form.Source]{
		names: []string{"ID", "NAME", "PROVIDER", "STATE", "WAITING", "LAST CALL", "BRAKE"},
		row: func(s form.Source) []string {
			return []string{s.ID, s.Name, s.Provider, s.State, count(s.Waiting), moment(s.UsedAt), yes(s.Brake)}
		},
		none: "No directory yet.",
	}.show(c, reads("/sources"), l.JSON)
}

// sourceAt returns a client and the path of a source that is named by id or name.
func (w where) sourceAt(t *Terminal, named string) (*client, string, error) {
	return catalog[form.Source]{"directory", "/sources", func(one form.Source) (id, name string) { return one.ID, one.Name }}.at(w, t, named)
}

// oneSource calls an operation that answers with a source, and shows it.
func (s shown) oneSource(c *client, q request) error {
	var one form.Source
	r, err := c.into(q, &one)
	if err != nil {
		return err
	}
	return s.print(c, r, func() error {
		return facts(c.t.Out, "ID", one.ID, "Name", one.Name, "Provider", one.Provider, "State", one.State, "Address", one.Address, "Comes in by", told(one.ConnectionID), "Invites people", yes(one.Invites),
			"Brake", yes(one.Brake), "Waiting", count(one.Waiting), "Last call", moment(one.UsedAt))
	})
}

type showSourceCommand struct {
	shown
	Source string `arg:"" help:"ID or name."`
}

// Run shows a source.
func (s *showSourceCommand) Run(t *Terminal) error {
	c, path, err := s.sourceAt(t, s.Source)
	if err != nil {
		return err
	}
	return s.oneSource(c, reads(path))
}

type turnSourceCommand struct {
	tried
	Source string `arg:"" help:"ID or name."`
}

// Run gives a source another state, whichever command it is.
func (n *turnSourceCommand) Run(t *Terminal, k *kong.Context) error {
	c, path, err := n.sourceAt(t, n.Source)
	if err != nil {
		return err
	}
	return n.changedSource(c, writes(http.MethodPost, path+"/"+k.Selected().Name, nil, n.DryRun))
}

// changedSource is oneSource for an operation that changes it.
func (t tried) changedSource(c *client, q request) error {
	if err := t.oneSource(c, q); err != nil {
		return err
	}
	t.changed(c)
	return nil
}

type sourceCallsCommand struct {
	shown
	Source string `arg:"" help:"ID or name."`
}

// Run lists calls, the newest first.
func (s *sourceCallsCommand) Run(t *Terminal) error {
	c, path, err := s.sourceAt(t, s.Source)
	if err != nil {
		return err
	}
	return list[form.SourceCall]{
		names: []string{"AT", "CALL", "OUTCOME", "WHAT"},
		row: func(one form.SourceCall) []string {
			return []string{moment(&one.At), one.Method + " " + one.Path, one.Outcome, strings.Join(append(one.Did, one.Notes...), "; ")}
		},
		none: "No call yet.",
	}.show(c, reads(path+"/calls"), s.JSON)
}

type sourceWaitingCommand struct {
	shown
	Source string `arg:"" help:"ID or name."`
}

// Run lists what waits.
func (s *sourceWaitingCommand) Run(t *Terminal) error {
	c, path, err := s.sourceAt(t, s.Source)
	if err != nil {
		return err
	}
	return list[form.SourceConflict]{
		names: []string{"ID", "LAST ASKED", "IT ASKS"},
		row:   func(one form.SourceConflict) []string { return []string{one.ID, moment(&one.LastAt), one.Asked} },
		none:  "Nothing waits.",
	}.show(c, reads(path+"/conflicts"), s.JSON)
}

type decideCommand struct {
	tried
	Source  string `arg:"" help:"ID or name."`
	Waiting string `arg:"" help:"ID of what it asked for."`
}

// Run decides what waits, whichever command it is.
func (n *decideCommand) Run(t *Terminal, k *kong.Context) error {
	c, path, err := n.sourceAt(t, n.Source)
	if err != nil {
		return err
	}
	return n.changedSource(c, writes(http.MethodPost, path+"/conflicts/"+url.PathEscape(n.Waiting)+"/"+k.Selected().Name, nil, n.DryRun))
}
