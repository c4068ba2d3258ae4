package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parvis/internal/api/form"
)

type applicationsCommands struct {
	List    listApplicationsCommand  `cmd:"" help:"List applications: the organization's, and those of the installation."`
	Show    showApplicationCommand   `cmd:"" help:"Show an application with its settings."`
	Create  createApplicationCommand `cmd:"" help:"Register an application, and print its secret once."`
	Set     setApplicationCommand    `cmd:"" help:"Change settings: those that are named, and no others."`
	Delete  deleteApplicationCommand `cmd:"" help:"Delete an application."`
	Secrets listSecretsCommand       `cmd:"" help:"List the secrets of an application, without their texts."`
	Secret  addSecretCommand         `cmd:"" help:"Make another secret, and print it once."`
	Revoke  revokeSecretCommand      `cmd:"" help:"Revoke one of two secrets at once."`
}

type listApplicationsCommand struct{ shown }

// Run lists applications.
func (l *listApplicationsCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	return list[form.Application]{
		names: []string{"ID", "NAME", "KIND", "OF", "STANDING", "USERS", "LAST USE"},
		row: func(a form.Application) []string {
			of := "the installation"
			if a.Own {
				of = "the organization"
			}
			return []string{a.ID, a.Name, a.Kind, of, a.Placement.Standing, count(a.Users), moment(a.LastUsedAt)}
		},
		none: "No application yet.",
	}.show(c, reads("/applications"), l.JSON)
}

// applicationAt returns a client and the path of an application that is named by id or name.
func (w where) applicationAt(t *Terminal, named string) (*client, string, error) {
	c, err := w.open(t)
	if err != nil {
		return nil, "", err
	}
	var all form.Page[form.Application]
	if _, err := c.into(reads("/applications"), &all); err != nil {
		return nil, "", err
	}
	for _, a := range all.Items {
		if a.ID == named || strings.EqualFold(a.Name, named) {
			return c, "/applications/" + url.PathEscape(a.ID), nil
		}
	}
	return nil, "", unknown("no application here is called " + named)
}

// oneApplication calls an operation that answers with an application, and shows it.
func (t tried) oneApplication(c *client, q request) error {
	var a map[string]json.RawMessage
	r, err := c.into(q, &a)
	if err != nil {
		return err
	}
	t.changed(c)
	if err := t.print(c, r, func() error { return showApplication(c, a) }); err != nil {
		return err
	}
	if text, shown := textOf(a["client_secret"]); shown && !t.JSON {
		return c.secret(text)
	}
	return nil
}

// showApplication prints what an application has, by the names by which it is set.
func showApplication(c *client, a map[string]json.RawMessage) error {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		value := valueOf(a[name])
		if name != "client_secret" && value != "" {
			pairs = append(pairs, name, value)
		}
	}
	return facts(c.t.Out, pairs...)
}

// valueOf returns a value as it is printed: a text without quotation marks, a list of texts with
// commas, and nothing for what has no value.
func valueOf(raw json.RawMessage) string {
	if text, ok := textOf(raw); ok {
		return text
	}
	var texts []string
	if json.Unmarshal(raw, &texts) == nil {
		return strings.Join(texts, ", ")
	}
	if bytes.Equal(raw, []byte("{}")) {
		return ""
	}
	return string(raw)
}

// textOf returns a value that is a text.
func textOf(raw json.RawMessage) (string, bool) {
	var text *string
	err := json.Unmarshal(raw, &text)
	if err != nil || text == nil {
		return "", false
	}
	return *text, true
}

// secret prints what is shown only now.
func (c *client) secret(text string) error {
	fmt.Fprintln(c.t.Err, "The secret is shown this once.")
	_, err := fmt.Fprintln(c.t.Out, text)
	return err
}

type showApplicationCommand struct {
	shown
	Application string `arg:"" help:"ID or name."`
}

// Run shows an application.
func (s *showApplicationCommand) Run(t *Terminal) error {
	c, path, err := s.applicationAt(t, s.Application)
	if err != nil {
		return err
	}
	return tried{shown: s.shown}.oneApplication(c, reads(path))
}

type createApplicationCommand struct {
	tried
	Kind string `arg:"" help:"web, single_page, native, machine or link."`
	Name string `arg:"" help:"Its name."`
	given
}

// Run registers an application.
func (a *createApplicationCommand) Run(t *Terminal) error {
	c, err := a.open(t)
	if err != nil {
		return err
	}
	all := map[string]json.RawMessage{}
	if err := a.over(t, all); err != nil {
		return err
	}
	all["kind"], all["name"] = encoded(a.Kind), encoded(a.Name)
	return a.oneApplication(c, writes(http.MethodPost, "/applications", all, a.DryRun))
}

type setApplicationCommand struct {
	tried
	Application string `arg:"" help:"ID or name."`
	given
}

// Validate wants something to change.
func (a *setApplicationCommand) Validate() error { return a.something() }

// Run changes settings.
func (a *setApplicationCommand) Run(t *Terminal) error {
	c, path, err := a.applicationAt(t, a.Application)
	if err != nil {
		return err
	}
	all := map[string]json.RawMessage{}
	if err := a.over(t, all); err != nil {
		return err
	}
	return a.oneApplication(c, writes(http.MethodPatch, path, all, a.DryRun))
}

type deleteApplicationCommand struct {
	tried
	Application string `arg:"" help:"ID or name."`
}

// Run deletes an application.
func (a *deleteApplicationCommand) Run(t *Terminal) error {
	_, path, err := a.applicationAt(t, a.Application)
	if err != nil {
		return err
	}
	return a.silently(t, writes(http.MethodDelete, path, nil, a.DryRun), "Deleted.")
}

type listSecretsCommand struct {
	shown
	Application string `arg:"" help:"ID or name."`
}

// Run lists the secrets of an application.
func (s *listSecretsCommand) Run(t *Terminal) error {
	c, path, err := s.applicationAt(t, s.Application)
	if err != nil {
		return err
	}
	return list[form.ClientSecret]{
		names: []string{"ID", "MADE", "LAST USE"},
		row:   func(s form.ClientSecret) []string { return []string{s.ID, moment(&s.CreatedAt), moment(s.UsedAt)} },
		none:  "No secret.",
	}.show(c, reads(path+"/secrets"), s.JSON)
}

type addSecretCommand struct {
	tried
	Application string `arg:"" help:"ID or name."`
}

// Run makes another secret.
func (s *addSecretCommand) Run(t *Terminal) error {
	c, path, err := s.applicationAt(t, s.Application)
	if err != nil {
		return err
	}
	var made form.NewClientSecret
	r, err := c.into(writes(http.MethodPost, path+"/secrets", nil, s.DryRun), &made)
	if err != nil {
		return err
	}
	s.changed(c)
	return s.print(c, r, func() error {
		if made.Secret == nil {
			return nil
		}
		return c.secret(*made.Secret)
	})
}

type revokeSecretCommand struct {
	tried
	Application string `arg:"" help:"ID or name."`
	Secret      string `arg:"" help:"ID of the secret."`
}

// Run revokes a secret.
func (s *revokeSecretCommand) Run(t *Terminal) error {
	_, path, err := s.applicationAt(t, s.Application)
	if err != nil {
		return err
	}
	return s.silently(t, writes(http.MethodDelete, path+"/secrets/"+url.PathEscape(s.Secret), nil, s.DryRun), "Revoked.")
}
