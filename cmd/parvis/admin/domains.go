package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"parvis/internal/api/form"
)

type addDomainCommand struct {
	tried
	Name string `arg:"" help:"Its name, such as meridian.com."`
}

// Run adds a domain.
func (d *addDomainCommand) Run(t *Terminal) error {
	c, err := d.open(t)
	if err != nil {
		return err
	}
	return d.oneDomain(c, writes(http.MethodPost, "/domains", form.NewDomain{Name: d.Name}, d.DryRun))
}

// oneDomain calls an operation that answers with a domain, and shows it with its record.
func (t tried) oneDomain(c *client, q request) error {
	var d form.Domain
	r, err := c.into(q, &d)
	if err != nil {
		return err
	}
	t.changed(c)
	return t.print(c, r, func() error {
		return facts(c.t.Out, "ID", d.ID, "Name", d.Name, "State", d.State, "Record", d.Record+" TXT "+d.RecordValue, "Proven", moment(d.ProvenAt))
	})
}

// domainAt returns a client and the path of a domain that is named by id or name.
func (w where) domainAt(t *Terminal, named string) (*client, string, error) {
	c, err := w.open(t)
	if err != nil {
		return nil, "", err
	}
	var all form.Page[form.Domain]
	if _, err := c.into(reads("/domains"), &all); err != nil {
		return nil, "", err
	}
	for _, d := range all.Items {
		if d.ID == named || strings.EqualFold(d.Name, named) {
			return c, "/domains/" + url.PathEscape(d.ID), nil
		}
	}
	return nil, "", unknown("no domain here is called " + named)
}

type checkDomainCommand struct {
	shown
	Domain string `arg:"" help:"ID or name."`
}

// Run looks a record up.
func (d *checkDomainCommand) Run(t *Terminal) error {
	c, path, err := d.domainAt(t, d.Domain)
	if err != nil {
		return err
	}
	return tried{shown: d.shown}.oneDomain(c, writes(http.MethodPost, path+"/check", nil, false))
}

type removeDomainCommand struct {
	tried
	Domain string `arg:"" help:"ID or name."`
}

// Run removes a domain.
func (d *removeDomainCommand) Run(t *Terminal) error {
	_, path, err := d.domainAt(t, d.Domain)
	if err != nil {
		return err
	}
	return d.silently(t, writes(http.MethodDelete, path, nil, d.DryRun), "Removed.")
}

// apiCommand calls any operation, as it is.
type apiCommand struct {
	where
	Method  string `arg:"" help:"GET, POST, PUT, PATCH or DELETE."`
	Path    string `arg:"" help:"Such as users or 'users?role=owner'. The reference at ADDRESS/api lists all."`
	Data    string `placeholder:"FILE" help:"JSON to send, from a file, or from standard input if it is -."`
	IfMatch string `placeholder:"ETAG" help:"Change only what still has this ETag."`
	Key     string `placeholder:"KEY" help:"Idempotency-Key: a POST that is sent twice with it is done once."`
	Include bool   `short:"i" help:"Print the ETag of the answer to standard error."`
}

// Run prints what the API sent.
func (a *apiCommand) Run(t *Terminal) error {
	c, err := a.open(t)
	if err != nil {
		return err
	}
	u, err := url.Parse("/" + strings.TrimPrefix(strings.TrimPrefix(a.Path, root), "/"))
	if err != nil {
		return fmt.Errorf("%q is no path of the API: %w", a.Path, err)
	}
	q := request{method: strings.ToUpper(a.Method), path: u.EscapedPath(), query: u.Query(), header: map[string]string{}}
	if a.Data != "" {
		if q.body, err = readFile(t.In, a.Data); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"If-Match": a.IfMatch, "Idempotency-Key": a.Key} {
		if value != "" {
			q.header[name] = value
		}
	}
	r, err := c.call(q)
	if err != nil {
		return err
	}
	if a.Include {
		fmt.Fprintf(t.Err, "ETag: %s\n", r.header.Get("ETag"))
	}
	_, err = t.Out.Write(r.body)
	return err
}
