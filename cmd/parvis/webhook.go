package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/webhook"
)

// webhookCommands keep the operator's webhooks, which are sent the installation's log and no
// organization's.
type webhookCommands struct {
	Add     addWebhookCommand     `cmd:"" help:"Send the events of the installation to an address, try it, and print what its receiver verifies with, once."`
	List    listWebhooksCommand   `cmd:"" help:"List the addresses to which the installation's events are sent."`
	Test    changeWebhookCommand  `cmd:"" help:"Send a signed test."`
	Rotate  changeWebhookCommand  `cmd:"" help:"Make a new secret, and print it once; the one before it signs too for a day."`
	TurnOn  changeWebhookCommand  `cmd:"" name:"turn-on" help:"Send on from where it stopped."`
	TurnOff changeWebhookCommand  `cmd:"" name:"turn-off" help:"Send nothing until it is turned on again."`
	Remove  changeWebhookCommand  `cmd:"" help:"Remove a webhook."`
	Replay  replayWebhooksCommand `cmd:"" help:"Send everything again."`
}

type addWebhookCommand struct {
	addressFlags
	Name    string   `arg:"" help:"So that you know it again."`
	URL     string   `arg:"" name:"address" help:"An https address, or http where [outbound] allow names host and port."`
	Events  []string `default:"*" placeholder:"EVENT" help:"Which events: key.created, application.*, or all without this flag. More with commas."`
	Log     bool     `help:"Send batches of lines in order, for a SIEM, in place of single events."`
	Form    string   `default:"parvis" enum:"parvis,ocsf" help:"What an event looks like: parvis or ocsf."`
	Values  bool     `help:"Send names, networks and values too."`
	Scheme  string   `default:"v1" enum:"v1,v1a" help:"v1, a shared secret, or v1a, a public key."`
	Headers []string `name:"header" sep:"none" placeholder:"NAME:VALUE" help:"A header that a log is sent with, three at most."`
}

// Run adds a webhook and tries its address.
func (c *addWebhookCommand) Run(p *program) error {
	n := webhook.New{
		Settings: webhook.Settings{Name: c.Name, Kind: webhook.Events, Form: webhook.Form(c.Form), Address: c.URL, Events: c.Events, Values: c.Values},
		Scheme:   webhook.Scheme(c.Scheme),
	}
	if c.Log {
		n.Kind = webhook.Log
	}
	for _, h := range c.Headers {
		name, value, _ := strings.Cut(h, ":")
		n.Headers = append(n.Headers, webhook.Header{Name: name, Value: value})
	}
	return c.withApp(p, func(s *storage, a *app.App) error {
		if err := a.Webhooks.Check(p.ctx, directory.Operator(), "", n); err != nil {
			return err
		}
		var w webhook.Webhook
		var text string
		if err := s.db.Update(p.ctx, func(tx *db.Tx) (err error) {
			w, text, err = a.Webhooks.Create(p.ctx, tx, directory.Operator(), "", n)
			return err
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s\n", text)
		return tryWebhook(p, a, w)
	})
}

// tryWebhook sends a signed test and says what was answered, which is no reason to fail.
func tryWebhook(p *program, a *app.App, w webhook.Webhook) error {
	got, err := a.Webhooks.Try(p.ctx, directory.Operator(), "", w.ID)
	switch {
	case err != nil:
		return err
	case got.Taken():
		fmt.Fprintf(p.out, "%s (%s) took a signed test: %d after %s.\n", w.Name, w.ID, got.Status, got.Took.Round(time.Millisecond))
	case got.Status != 0:
		fmt.Fprintf(p.out, "%s (%s) did not take the signed test: it answered %d.\n", w.Name, w.ID, got.Status)
	default:
		fmt.Fprintf(p.out, "%s (%s) did not take the signed test: %s.\n", w.Name, w.ID, got.Why)
	}
	return nil
}

// withApp opens the storage and wires the program, to do something with it.
func (f addressFlags) withApp(p *program, do func(*storage, *app.App) error) error {
	plan, err := f.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.quiet()
		if err != nil {
			return err
		}
		return do(s, a)
	})
}

type listWebhooksCommand struct{ storageFlags }

// Run lists the operator's webhooks.
func (c *listWebhooksCommand) Run(p *program) error {
	return c.with(p.onOlder(), func(s *storage) error {
		all, err := webhook.Of(p.ctx, s.db, directory.Operator(), "")
		if err != nil {
			return err
		}
		if len(all) == 0 {
			fmt.Fprintln(p.out, "No webhook of the installation yet.")
			return nil
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tNAME\tKIND\tSTATE\tBEHIND\tLAST TAKEN\tADDRESS")
		for _, w := range all {
			behind, err := webhook.Behind(p.ctx, s.db, w)
			if err != nil {
				return err
			}
			taken := "never"
			if !w.TakenAt.IsZero() {
				taken = w.TakenAt.UTC().Format("2006-01-02 15:04")
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", w.ID, w.Name, w.Kind, w.State(), behind, taken, w.Address)
		}
		return table.Flush()
	})
}

// ofInstallation returns a webhook of the installation by its id or name.
func ofInstallation(p *program, r db.Reader, named string) (webhook.Webhook, error) {
	all, err := webhook.Of(p.ctx, r, directory.Operator(), "")
	if err != nil {
		return webhook.Webhook{}, err
	}
	for _, w := range all {
		if w.ID == named || w.Name == named {
			return w, nil
		}
	}
	return webhook.Webhook{}, fmt.Errorf("the installation has no webhook %q: 'parvis webhook list' lists them", named)
}

type changeWebhookCommand struct {
	addressFlags
	Webhook string `arg:"" help:"ID or name."`
}

// Run does to a webhook what the command is called.
func (c *changeWebhookCommand) Run(p *program, k *kong.Context) error {
	return c.withApp(p, func(s *storage, a *app.App) error {
		w, err := ofInstallation(p, s.db, c.Webhook)
		if err != nil {
			return err
		}
		text := ""
		switch deed := k.Selected().Name; deed {
		case "test":
			return tryWebhook(p, a, w)
		case "rotate":
			err = s.db.Update(p.ctx, func(tx *db.Tx) (err error) {
				text, err = a.Webhooks.Rotate(p.ctx, tx, directory.Operator(), w, "")
				return err
			})
		case "turn-on":
			err = s.db.Update(p.ctx, func(tx *db.Tx) error { return webhook.TurnOn(p.ctx, tx, directory.Operator(), w) })
			text = w.Name + " is on."
		case "turn-off":
			err = s.db.Update(p.ctx, func(tx *db.Tx) error { return webhook.TurnOff(p.ctx, tx, directory.Operator(), w) })
			text = w.Name + " is off."
		case "remove":
			err = s.db.Update(p.ctx, func(tx *db.Tx) error { return webhook.Remove(p.ctx, tx, directory.Operator(), w) })
			text = w.Name + " was removed."
		}
		if err == nil {
			fmt.Fprintln(p.out, text)
		}
		return err
	})
}

type replayWebhooksCommand struct {
	storageFlags
	Webhook string        `arg:"" help:"ID or name."`
	Last    time.Duration `help:"What happened in the last so many hours, as 24h; everything without this flag."`
}

// Run sets the cursor back.
func (c *replayWebhooksCommand) Run(p *program) error {
	if c.Last < 0 {
		return errors.New("--last is a time back from now, such as 24h")
	}
	return c.with(p, func(s *storage) error {
		w, err := ofInstallation(p, s.db, c.Webhook)
		if err != nil {
			return err
		}
		err = s.db.Update(p.ctx, func(tx *db.Tx) error {
			if c.Last == 0 {
				return webhook.Replay(p.ctx, tx, directory.Operator(), w, -1)
			}
			return webhook.ReplaySince(p.ctx, tx, directory.Operator(), w, tx.Now().Add(-c.Last))
		})
		if errors.Is(err, webhook.ErrReplay) {
			return errors.New("nothing was sent yet that could be sent again")
		}
		if err == nil {
			fmt.Fprintln(p.out, w.Name+" is sent everything again.")
		}
		return err
	})
}
