package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"parvis/internal/api/form"
)

type connectionsCommands struct {
	List      listConnectionsCommand  `cmd:"" help:"List identity providers."`
	Show      showConnectionCommand   `cmd:"" help:"Show a provider, and what to enter there."`
	Create    createConnectionCommand `cmd:"" help:"Make a draft."`
	Set       setConnectionCommand    `cmd:"" help:"Change what is named, and nothing else."`
	TurnOn    turnOnCommand           `cmd:"" help:"Let people sign in with a provider that was tested."`
	TurnOff   leaveConnectionCommand  `cmd:"" help:"Let nobody sign in with a provider any longer."`
	SetupLink setupLinkCommand        `cmd:"" help:"Show, send or withdraw the link for a company's IT."`
	Attempts  attemptsCommand         `cmd:"" help:"List what became of sign-ins and tests."`
	Delete    leaveConnectionCommand  `cmd:"" help:"Delete a provider that is off, with the links of its people."`
}

type listConnectionsCommand struct{ shown }

// Run lists connections.
func (l *listConnectionsCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	return list[form.Connection]{
		names: []string{"ID", "NAME", "PROVIDER", "PROTOCOL", "STATE", "TESTED"},
		row: func(n form.Connection) []string {
			return []string{n.ID, n.Name, n.Provider, n.Protocol, n.State, yes(n.Tested)}
		},
		none: "No identity provider yet.",
	}.show(c, reads("/connections"), l.JSON)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// connectionAt returns a client and the path of a connection that is named by id or name.
func (w where) connectionAt(t *Terminal, named string) (*client, string, error) {
	return catalog[form.Connection]{"identity provider", "/connections", func(one form.Connection) (id, name string) { return one.ID, one.Name }}.at(w, t, named)
}

// catalog is a list that is one page, in which things are named by id or name.
type catalog[T any] struct {
	what string // what each of them is
	path string
	of   func(T) (id, name string)
}

// at returns a client and the path of what is named.
func (d catalog[T]) at(w where, t *Terminal, named string) (*client, string, error) {
	c, err := w.open(t)
	if err != nil {
		return nil, "", err
	}
	var all form.Page[T]
	if _, err := c.into(reads(d.path), &all); err != nil {
		return nil, "", err
	}
	var found []string
	for _, one := range all.Items {
		if id, name := d.of(one); id == named || strings.EqualFold(name, named) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return nil, "", unknown("no " + d.what + " here is called " + named)
	case 1:
		return c, d.path + "/" + url.PathEscape(found[0]), nil
	}
	return nil, "", unknown(named + " is the name of more than one " + d.what + ": name one by its ID")
}

// oneConnection calls an operation that answers with a connection, and shows it.
func (s shown) oneConnection(c *client, q request) error {
	var n form.Connection
	r, err := c.into(q, &n)
	if err != nil {
		return err
	}
	return s.print(c, r, func() error {
		pairs := []string{
			"ID", n.ID, "Name", n.Name, "Provider", n.Provider, "Protocol", n.Protocol, "State", n.State, "Place", strconv.Itoa(n.Position),
			"Tested", yes(n.Tested), "Confirmed by an owner", yes(n.Confirmed), "Change waits", yes(n.Waits), "Shown", yes(n.Shown),
			"Vouches for addresses", yes(n.Vouches), "Lets new people in", yes(n.Creates),
		}
		for _, r := range n.Roles {
			pairs = append(pairs, "Group "+r.Group, r.Role)
		}
		if o := n.OpenID; o != nil {
			pairs = append(pairs, "Issuer", o.Issuer, "Client ID", o.ClientID, "Method", o.Method, "Secret", yes(o.HasSecret),
				"Enter there: redirect URI", o.RedirectURI, "… after signing out", o.SignedOutURI, "… logout", o.LogoutURI, "… start", o.StartURI, "… our keys", o.OurKeys)
		}
		if s := n.SAML; s != nil {
			pairs = append(pairs, "Their entity ID", s.TheirEntityID, "Their metadata", s.MetadataAddress)
			for _, one := range s.TheirCertificates {
				pairs = append(pairs, "Their certificate", one.Fingerprint+" until "+moment(&one.Until))
			}
			pairs = append(pairs, "Enter there: entity ID", s.EntityID, "… ACS", s.ACS, "… SLO", s.SLO, "… start", s.Start, "… metadata", s.Metadata)
		}
		return facts(c.t.Out, pairs...)
	})
}

type showConnectionCommand struct {
	shown
	Connection string `arg:"" help:"ID or name."`
}

// Run shows a connection.
func (s *showConnectionCommand) Run(t *Terminal) error {
	c, path, err := s.connectionAt(t, s.Connection)
	if err != nil {
		return err
	}
	return s.oneConnection(c, reads(path))
}

// connection calls an operation that changes a connection, and shows what came of it.
func (t tried) connection(c *client, q request) error {
	if err := t.oneConnection(c, q); err != nil {
		return err
	}
	t.changed(c)
	return nil
}

type createConnectionCommand struct {
	tried
	Name     string `arg:"" help:"Its name, as the sign-in page shows it."`
	Provider string `required:"" placeholder:"PROVIDER" help:"okta, entra, google, onelogin, pingone, adfs, salesforce or generic."`
	Protocol string `required:"" placeholder:"PROTOCOL" help:"saml or oidc."`
}

// Run makes a draft.
func (n *createConnectionCommand) Run(t *Terminal) error {
	c, err := n.open(t)
	if err != nil {
		return err
	}
	return n.connection(c, writes(http.MethodPost, "/connections", form.NewConnection{Provider: n.Provider, Protocol: n.Protocol, Name: n.Name}, n.DryRun))
}

type setConnectionCommand struct {
	tried
	Connection string `arg:"" help:"ID or name."`
	given
	Metadata string `placeholder:"FILE" help:"The provider's SAML metadata, from a file, or from standard input if it is -."`
	Secret   string `name:"secret-file" placeholder:"FILE" help:"Our secret as the client of the provider, from a file, or from standard input if it is -."`
}

// Validate wants something to change.
func (s *setConnectionCommand) Validate() error {
	if s.Metadata+s.Secret != "" {
		return s.given.Validate()
	}
	return s.something()
}

// Run changes a connection.
func (s *setConnectionCommand) Run(t *Terminal) error {
	all := map[string]json.RawMessage{}
	if err := s.over(t, all); err != nil {
		return err
	}
	for name, file := range map[string]string{"saml.metadata": s.Metadata, "oidc.client_secret": s.Secret} {
		if file == "" {
			continue
		}
		text, err := readFile(t.In, file)
		if err != nil {
			return err
		}
		put(all, name, encoded(strings.TrimRight(string(text), "\r\n")))
	}
	c, path, err := s.connectionAt(t, s.Connection)
	if err != nil {
		return err
	}
	return s.connection(c, writes(http.MethodPatch, path, all, s.DryRun))
}

type turnOnCommand struct {
	tried
	Connection string `arg:"" help:"ID or name."`
}

// Run turns a connection on.
func (n *turnOnCommand) Run(t *Terminal) error {
	c, path, err := n.connectionAt(t, n.Connection)
	if err != nil {
		return err
	}
	return n.connection(c, writes(http.MethodPost, path+"/turn-on", nil, n.DryRun))
}

// leaveConnectionCommand turns a connection off, or deletes it.
type leaveConnectionCommand struct {
	tried
	Connection  string `arg:"" help:"ID or name."`
	EndSessions bool   `help:"End the sessions that it vouched for too."`
}

// Run does it.
func (n *leaveConnectionCommand) Run(t *Terminal, k *kong.Context) error {
	c, path, err := n.connectionAt(t, n.Connection)
	if err != nil {
		return err
	}
	q := writes(http.MethodPost, path+"/turn-off", nil, n.DryRun)
	if k.Selected().Name == "delete" {
		q = writes(http.MethodDelete, path, nil, n.DryRun)
	}
	if n.EndSessions {
		q.query.Set("end_sessions", "true")
	}
	if q.method == http.MethodDelete {
		return n.silently(t, q, "Deleted.")
	}
	return n.connection(c, q)
}

type setupLinkCommand struct {
	tried
	Connection string `arg:"" help:"ID or name."`
	Send       string `placeholder:"ADDRESS" xor:"what" help:"Send a link to this address; the one before ends."`
	Language   string `placeholder:"TAG" help:"Language of the letter, such as fr. Without it, the organization's."`
	Withdraw   bool   `xor:"what" help:"End the link."`
}

// Run shows the link that is open, or does what a flag says.
func (l *setupLinkCommand) Run(t *Terminal) error {
	c, path, err := l.connectionAt(t, l.Connection)
	if err != nil {
		return err
	}
	path += "/setup-link"
	q := reads(path)
	switch {
	case l.Withdraw:
		return l.silently(t, writes(http.MethodDelete, path, nil, l.DryRun), "Withdrawn.")
	case l.Send != "":
		sent := map[string]string{"email": l.Send}
		if l.Language != "" {
			sent["language"] = l.Language
		}
		q = writes(http.MethodPost, path, sent, l.DryRun)
	}
	var link form.SetupLink
	r, err := c.into(q, &link)
	if err != nil {
		return err
	}
	if l.Send != "" {
		l.changed(c)
	}
	return l.print(c, r, func() error {
		return facts(t.Out, "ID", link.ID, "E-mail", link.Email, "Letter", link.Letter, "Works", yes(link.Works), "Ends", moment(&link.ExpiresAt), "First used", moment(link.OpenedAt))
	})
}

type attemptsCommand struct {
	shown
	Connection string `arg:"" help:"ID or name."`
}

// Run lists attempts, newest first, with what was wrong.
func (a *attemptsCommand) Run(t *Terminal) error {
	c, path, err := a.connectionAt(t, a.Connection)
	if err != nil {
		return err
	}
	q := reads(path + "/attempts")
	q.query.Set("limit", mostOfPage)
	return list[form.SignInAttempt]{
		names: []string{"TIME", "WHO", "RESULT", "WHAT WAS WRONG", "WHAT TO CHANGE"},
		row: func(n form.SignInAttempt) []string {
			result := map[bool]string{true: "passed", false: "refused"}[n.Passed]
			if n.Test {
				result = "test " + result
			}
			return []string{moment(&n.At), n.Who, result, told(n.Detail), told(n.Advice)}
		},
		none: "No attempt in the last 30 days.",
	}.show(c, q, a.JSON)
}

func told(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
