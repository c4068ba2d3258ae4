package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"

	"parvis/internal/api/form"
)

type peopleCommand struct {
	shown
	Text       string `arg:"" optional:"" help:"Only people in whose name or address this stands."`
	State      string `placeholder:"STATE" help:"active, deactivated or deleted."`
	Role       string `placeholder:"ROLE" help:"owner, administrator, helpdesk, auditor or member."`
	Group      string `placeholder:"GROUP" help:"Only members of a group, by its ID or name."`
	SecondStep string `placeholder:"KIND" help:"none, app, passkey or both."`
	WayIn      string `placeholder:"WAY" help:"password, passkey, provider or none."`
	Before     string `placeholder:"TIME" help:"Only people whose last sign-in was before a time, such as 2026-11-30T08:00:00Z."`
	Sort       string `placeholder:"BY" help:"name, last (sign-in) or joined."`
	Descending bool   `help:"The other way round."`
}

// people is how people are listed.
var people = list[form.User]{
	names: []string{"ID", "NAME", "E-MAIL", "ROLE", "STATE", "SECOND STEP", "LAST SIGN-IN"},
	row: func(u form.User) []string {
		return []string{u.ID, u.Name, u.Email, u.Role, u.State, u.SecondStep, moment(u.LastSignInAt)}
	},
	none: "Nobody.",
}

const mostOfPage = "200"

// Run lists people.
func (p *peopleCommand) Run(t *Terminal) error {
	c, err := p.open(t)
	if err != nil {
		return err
	}
	q := reads("/users")
	q.query.Set("limit", mostOfPage)
	if p.Group != "" {
		if p.Group, err = c.group(p.Group); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		"q": p.Text, "state": p.State, "role": p.Role, "group": p.Group, "second_step": p.SecondStep, "way_in": p.WayIn,
		"last_sign_in_before": p.Before, "sort": p.Sort,
	} {
		if value != "" {
			q.query.Set(name, value)
		}
	}
	if p.Descending {
		q.query.Set("descending", "true")
	}
	return people.show(c, q, p.JSON)
}

// unknown says that somebody or something is not there.
type unknown string

func (u unknown) Error() string { return string(u) }

// person returns the id of somebody who is named by id or address.
func (c *client) person(named string) (string, error) {
	if !strings.Contains(named, "@") {
		return named, nil
	}
	var found form.Page[form.User]
	q := reads("/users")
	q.query.Set("email", named)
	if _, err := c.into(q, &found); err != nil {
		return "", err
	}
	if len(found.Items) != 1 {
		return "", unknown("nobody here has the address " + named)
	}
	return found.Items[0].ID, nil
}

// pathOf returns the path of somebody who is named by id or address.
func (c *client) pathOf(named string) (string, error) {
	id, err := c.person(named)
	return "/users/" + url.PathEscape(id), err
}

type personCommand struct {
	shown
	Person string `arg:"" help:"ID or address."`
}

// Run shows somebody.
func (p *personCommand) Run(t *Terminal) error {
	c, err := p.open(t)
	if err != nil {
		return err
	}
	path, err := c.pathOf(p.Person)
	if err != nil {
		return err
	}
	return p.one(c, reads(path))
}

// one calls an operation that answers with a person, and shows that person.
func (s shown) one(c *client, q request) error {
	var u form.User
	r, err := c.into(q, &u)
	if err != nil {
		return err
	}
	return s.print(c, r, func() error {
		password, linked := "no", "no"
		if u.HasPassword {
			password = "yes"
		}
		if u.Linked {
			linked = "yes"
		}
		return facts(c.t.Out, "ID", u.ID, "Name", u.Name, "Given name", u.GivenName, "Family name", u.FamilyName, "E-mail", u.Email, "Role", u.Role, "State", u.State, "Language", u.Language,
			"Time zone", u.TimeZone, "Second step", u.SecondStep, "Password", password, "Linked to a provider", linked,
			"Joined", moment(&u.CreatedAt), "Last sign-in", moment(u.LastSignInAt), "Kept by", told(u.SourceID), "External ID", told(u.ExternalID))
	})
}

type changeCommand struct {
	tried
	Person     string  `arg:"" help:"ID or address."`
	Name       *string `placeholder:"NAME" help:"New name."`
	GivenName  *string `placeholder:"NAME" help:"New given name; empty for none."`
	FamilyName *string `placeholder:"NAME" help:"New family name; empty for none."`
	Language   *string `placeholder:"TAG" help:"New language, such as fr."`
	TimeZone   *string `placeholder:"ZONE" help:"New time zone, such as Europe/Paris."`
}

// Validate refuses a change of nothing.
func (p *changeCommand) Validate() error {
	if len(p.changes()) == 0 {
		return errors.New("say what to change: --name, --given-name, --family-name, --language or --time-zone")
	}
	return nil
}

// changes returns what the flags name.
func (p *changeCommand) changes() map[string]string {
	all := map[string]string{}
	for name, value := range map[string]*string{
		"name": p.Name, "given_name": p.GivenName, "family_name": p.FamilyName, "language": p.Language, "time_zone": p.TimeZone,
	} {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}

// Run changes what the flags name, and nothing else.
func (p *changeCommand) Run(t *Terminal) error {
	return p.to(t, p.Person, writes(http.MethodPatch, "", p.changes(), p.DryRun))
}

// to does one thing to one person, below whose path the request is.
func (t tried) to(terminal *Terminal, named string, q request) error {
	c, err := t.open(terminal)
	if err != nil {
		return err
	}
	path, err := c.pathOf(named)
	if err != nil {
		return err
	}
	q.path = path + q.path
	if err := t.one(c, q); err != nil {
		return err
	}
	t.changed(c)
	return nil
}

type roleCommand struct {
	tried
	Person string `arg:"" help:"ID or address."`
	Role   string `arg:"" help:"owner, administrator, helpdesk, auditor or member."`
}

// Run changes a role.
func (p *roleCommand) Run(t *Terminal) error {
	return p.to(t, p.Person, writes(http.MethodPost, "/role", form.RoleChange{Role: p.Role}, p.DryRun))
}

type resetSecondStepCommand struct {
	tried
	Person string `arg:"" help:"ID or address."`
	Reason string `required:"" placeholder:"TEXT" help:"Who asked, and how you made sure, for the audit log."`
}

// Run removes a second step.
func (p *resetSecondStepCommand) Run(t *Terminal) error {
	return p.to(t, p.Person, writes(http.MethodPost, "/reset-second-step", form.Reason{Reason: p.Reason}, p.DryRun))
}

type changeEmailCommand struct {
	tried
	Person string `arg:"" help:"ID or address."`
	Email  string `arg:"" help:"The new address."`
}

// Run asks for another address.
func (p *changeEmailCommand) Run(t *Terminal) error {
	return p.to(t, p.Person, writes(http.MethodPost, "/change-email", form.EmailChange{Email: p.Email}, p.DryRun))
}

// deedCommand does one thing to people. Its name is the API's.
type deedCommand struct {
	tried
	People []string `arg:"" name:"person" help:"IDs or addresses."`
}

// Run does it to one after the other, and goes on past those for whom it is refused.
func (d *deedCommand) Run(t *Terminal, k *kong.Context) error {
	c, err := d.open(t)
	if err != nil {
		return err
	}
	deed := k.Selected().Name
	rows, done := newTable(t.Out, people.names...), 0
	for _, named := range d.People {
		u, r, err := d.one(c, named, deed)
		switch {
		case err != nil && (len(d.People) == 1 || !refused(err)):
			return err
		case err != nil:
			fmt.Fprintf(t.Err, "%s: %v\n", named, err)
			continue
		case d.JSON:
			if _, err := t.Out.Write(r.body); err != nil {
				return err
			}
		}
		done++
		rows.row(people.row(u)...)
	}
	if !d.JSON && done > 0 {
		if err := rows.end(); err != nil {
			return err
		}
	}
	d.changed(c)
	return partly(done, len(d.People))
}

// one does the deed to one person.
func (d *deedCommand) one(c *client, named, deed string) (u form.User, r reply, err error) {
	path, err := c.pathOf(named)
	if err != nil {
		return u, r, err
	}
	q := writes(http.MethodPost, path+"/"+deed, nil, d.DryRun)
	if deed == "delete" {
		q = writes(http.MethodDelete, path, nil, d.DryRun)
	}
	r, err = c.into(q, &u)
	return u, r, err
}

// refused reports whether an error is about one of many, so that the others can be tried.
func refused(err error) bool {
	if _, ok := errors.AsType[unknown](err); ok {
		return true
	}
	p, ok := errors.AsType[*problem](err)
	_, signedOut := errors.AsType[exit](err)
	return ok && !signedOut && p.Status < http.StatusInternalServerError
}

// partly returns an error unless all of many were done.
func partly(done, all int) error {
	switch {
	case done == all:
		return nil
	case done == 0:
		return fmt.Errorf("refused for all %d", all)
	}
	return exit{exitPartly, fmt.Errorf("done for %d of %d", done, all)}
}
