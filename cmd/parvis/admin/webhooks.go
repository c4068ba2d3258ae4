package admin

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"parvis/internal/api/form"
)

type webhooksCommands struct {
	List    listWebhooksCommand  `cmd:"" help:"List the addresses to which events are sent."`
	Show    showWebhookCommand   `cmd:"" help:"Show a webhook, and how it is."`
	Create  createWebhookCommand `cmd:"" help:"Make a webhook, and print what its receiver verifies with, once."`
	Set     setWebhookCommand    `cmd:"" help:"Change what is named, and nothing else."`
	Rotate  rotateWebhookCommand `cmd:"" help:"Make a new secret, and print it once; the one before it signs too for a day."`
	Test    callWebhookCommand   `cmd:"" help:"Send a signed test, and say what was answered."`
	Send    sendWebhookCommand   `cmd:"" help:"Send one event again."`
	Replay  replayWebhookCommand `cmd:"" help:"Send everything again since a time or a sequence."`
	Sent    sentWebhookCommand   `cmd:"" help:"List what was sent, and what was answered."`
	TurnOn  turnWebhookCommand   `cmd:"" help:"Send on from where it stopped."`
	TurnOff turnWebhookCommand   `cmd:"" help:"Send nothing until it is turned on again."`
	Delete  turnWebhookCommand   `cmd:"" help:"Delete a webhook."`
}

type listWebhooksCommand struct{ shown }

// Run lists webhooks.
func (l *listWebhooksCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	return list[form.Webhook]{
		names: []string{"ID", "NAME", "KIND", "STATE", "BEHIND", "LAST TAKEN", "ADDRESS"},
		row: func(w form.Webhook) []string {
			return []string{w.ID, w.Name, w.Kind, w.State, strconv.FormatInt(w.Behind, 10), moment(w.TakenAt), w.Address}
		},
		none: "No webhook yet.",
	}.show(c, reads("/webhooks"), l.JSON)
}

// webhookAt returns a client and the path of a webhook that is named by id or name.
func (w where) webhookAt(t *Terminal, named string) (*client, string, error) {
	return catalog[form.Webhook]{"webhook", "/webhooks", func(one form.Webhook) (id, name string) { return one.ID, one.Name }}.at(w, t, named)
}

// oneWebhook calls an operation that answers with a webhook, and shows it.
func (s shown) oneWebhook(c *client, q request) error {
	var w form.Webhook
	r, err := c.into(q, &w)
	if err != nil {
		return err
	}
	return s.print(c, r, func() error {
		why := ""
		if w.Why != nil {
			why = *w.Why
		}
		return facts(c.t.Out, "ID", w.ID, "Name", w.Name, "Kind", w.Kind, "State", w.State, "Why", why, "Address", w.Address, "Events", strings.Join(w.Events, " "), "Form", w.Form, "Version", count(w.Version),
			"Names and values", yes(w.Values), "Headers", strings.Join(w.Headers, " "), "Sequence", strconv.FormatInt(w.Sequence, 10), "Behind", strconv.FormatInt(w.Behind, 10),
			"Failures in a row", strconv.FormatInt(w.Failures, 10), "Parked", moment(w.ParkedAt), "Next try", moment(w.NextTryAt), "Last taken", moment(w.TakenAt))
	})
}

// changedWebhook is oneWebhook for an operation that changes it.
func (t tried) changedWebhook(c *client, q request) error {
	if err := t.oneWebhook(c, q); err != nil {
		return err
	}
	t.changed(c)
	return nil
}

type showWebhookCommand struct {
	shown
	Webhook string `arg:"" help:"ID or name."`
}

// Run shows a webhook.
func (s *showWebhookCommand) Run(t *Terminal) error {
	c, path, err := s.webhookAt(t, s.Webhook)
	if err != nil {
		return err
	}
	return s.oneWebhook(c, reads(path))
}

type createWebhookCommand struct {
	tried
	Name    string   `arg:"" help:"So that you know it again."`
	Address string   `arg:"" help:"A public https address."`
	Events  []string `default:"*" placeholder:"EVENT" help:"Which events: user.deactivated, user.*, or all without this flag. More with commas."`
	Log     bool     `help:"Send batches of lines in order, for a SIEM, in place of single events."`
	Form    string   `default:"parvis" enum:"parvis,ocsf" help:"What an event looks like: parvis or ocsf."`
	Values  bool     `help:"Send names of people, networks and values too."`
	Scheme  string   `default:"v1" enum:"v1,v1a" help:"v1, a shared secret, or v1a, a public key."`
	Headers string   `name:"headers-file" placeholder:"FILE" help:"Headers that a log is sent with, as 'Name: value' lines in a file, or from standard input if it is -."`
}

// Run makes a webhook.
func (n *createWebhookCommand) Run(t *Terminal) error {
	body := form.NewWebhook{Kind: "events", Name: n.Name, Form: n.Form, Address: n.Address, Events: n.Events, Values: n.Values, Scheme: n.Scheme, Headers: []form.WebhookHeader{}}
	if n.Log {
		body.Kind = "log"
	}
	if n.Headers != "" {
		text, err := readFile(t.In, n.Headers)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				body.Headers = append(body.Headers, form.WebhookHeader{Name: name, Value: strings.TrimSpace(value)})
			}
		}
	}
	c, err := n.open(t)
	if err != nil {
		return err
	}
	var made form.MadeWebhook
	r, err := c.into(writes(http.MethodPost, "/webhooks", body, n.DryRun), &made)
	if err != nil {
		return err
	}
	n.changed(c)
	return n.print(c, r, func() error { return shownOnce(c, made.Secret) })
}

// shownOnce prints a secret, if there is one.
func shownOnce(c *client, text *string) error {
	if text == nil {
		return nil
	}
	return c.secret(*text)
}

type setWebhookCommand struct {
	tried
	Webhook string `arg:"" help:"ID or name."`
	given
}

// Validate wants something to change.
func (s *setWebhookCommand) Validate() error { return s.something() }

// Run changes a webhook.
func (s *setWebhookCommand) Run(t *Terminal) error {
	all := map[string]json.RawMessage{}
	if err := s.over(t, all); err != nil {
		return err
	}
	c, path, err := s.webhookAt(t, s.Webhook)
	if err != nil {
		return err
	}
	return s.changedWebhook(c, writes(http.MethodPatch, path, all, s.DryRun))
}

type rotateWebhookCommand struct {
	tried
	Webhook string `arg:"" help:"ID or name."`
	Scheme  string `default:"" enum:",v1,v1a" help:"v1 or v1a; as before without this flag."`
}

// Run makes a new secret.
func (n *rotateWebhookCommand) Run(t *Terminal) error {
	c, path, err := n.webhookAt(t, n.Webhook)
	if err != nil {
		return err
	}
	body := map[string]string{}
	if n.Scheme != "" {
		body["scheme"] = n.Scheme
	}
	var made form.NewWebhookSecret
	r, err := c.into(writes(http.MethodPost, path+"/secret", body, n.DryRun), &made)
	if err != nil {
		return err
	}
	n.changed(c)
	return n.print(c, r, func() error { return shownOnce(c, made.Secret) })
}

// answered calls an operation that sends something, and says what the receiver answered. It fails
// if that was not taken.
func (s shown) answered(c *client, q request) error {
	var d form.Delivery
	r, err := c.into(q, &d)
	if err != nil {
		return err
	}
	if err := s.print(c, r, func() error {
		return facts(c.t.Out, "Taken", yes(d.Taken), "Answer", answerOf(d), "Took", count(int(d.TookMS))+" ms")
	}); err != nil {
		return err
	}
	if !d.Taken {
		return unknown("the receiver did not take it: " + answerOf(d))
	}
	return nil
}

func answerOf(d form.Delivery) string {
	switch {
	case d.Status != nil:
		return count(*d.Status)
	case d.Why != nil:
		return *d.Why
	}
	return "-"
}

type callWebhookCommand struct {
	shown
	Webhook string `arg:"" help:"ID or name."`
}

// Run sends a test.
func (n *callWebhookCommand) Run(t *Terminal) error {
	c, path, err := n.webhookAt(t, n.Webhook)
	if err != nil {
		return err
	}
	return n.answered(c, writes(http.MethodPost, path+"/test", nil, false))
}

type sendWebhookCommand struct {
	shown
	Webhook string `arg:"" help:"ID or name."`
	Event   string `arg:"" help:"ID of the event."`
}

// Run sends one event.
func (n *sendWebhookCommand) Run(t *Terminal) error {
	c, path, err := n.webhookAt(t, n.Webhook)
	if err != nil {
		return err
	}
	return n.answered(c, writes(http.MethodPost, path+"/send", form.SentEvent{EventID: n.Event}, false))
}

type replayWebhookCommand struct {
	tried
	Webhook string    `arg:"" help:"ID or name."`
	Since   time.Time `placeholder:"TIME" xor:"from" required:"" help:"A time, as 2026-11-22T09:00:00Z."`
	After   *int64    `placeholder:"SEQUENCE" xor:"from" required:"" help:"A sequence, after which everything is sent; -1 is before the first."`
}

// Run sends everything again.
func (n *replayWebhookCommand) Run(t *Terminal) error {
	c, path, err := n.webhookAt(t, n.Webhook)
	if err != nil {
		return err
	}
	body := map[string]any{}
	if n.After != nil {
		body["after"] = *n.After
	} else {
		body["since"] = n.Since
	}
	return n.changedWebhook(c, writes(http.MethodPost, path+"/replay", body, n.DryRun))
}

type sentWebhookCommand struct {
	shown
	Webhook string `arg:"" help:"ID or name."`
	Failed  bool   `help:"Only what was not taken."`
}

// Run lists what was sent.
func (n *sentWebhookCommand) Run(t *Terminal) error {
	c, path, err := n.webhookAt(t, n.Webhook)
	if err != nil {
		return err
	}
	q := reads(path + "/attempts")
	if n.Failed {
		q.query.Set("failed", "true")
	}
	return list[form.Delivery]{
		names: []string{"AT", "EVENT", "ACTION", "LINES", "TAKEN", "ANSWER", "MS"},
		row: func(d form.Delivery) []string {
			return []string{moment(&d.At), d.EventID, d.Action, count(d.Events), yes(d.Taken), answerOf(d), count(int(d.TookMS))}
		},
		none: "Nothing was sent.",
	}.show(c, q, n.JSON)
}

type turnWebhookCommand struct {
	tried
	Webhook string `arg:"" help:"ID or name."`
}

// Run turns a webhook on or off, or deletes it, whichever command it is.
func (n *turnWebhookCommand) Run(t *Terminal, k *kong.Context) error {
	c, path, err := n.webhookAt(t, n.Webhook)
	if err != nil {
		return err
	}
	deed := k.Selected().Name
	if deed != "delete" {
		return n.changedWebhook(c, writes(http.MethodPost, path+"/"+deed, nil, n.DryRun))
	}
	if _, err := c.call(writes(http.MethodDelete, path, nil, n.DryRun)); err != nil {
		return err
	}
	n.changed(c)
	return nil
}
