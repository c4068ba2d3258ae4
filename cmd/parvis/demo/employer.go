package demo

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"parvis/cmd/parvis/demo/company"
	"parvis/cmd/parvis/serving"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/federation/oidc"
	"parvis/internal/secret"
)

// The demo's company that has a sign-in server of its own.
const (
	employerOrganization = "halden"
	employerDomain       = "halden.example"
	employerIT           = "it@halden.example"
	employerClient       = "parvis"
)

// employees are the people whom the company's sign-in server knows. The first is the
// organization's owner, who is invited; Parvis has not heard of the others.
func employees() []company.Person {
	return []company.Person{
		{Subject: "1001", Name: "Ingrid Halvorsen", Email: "ingrid@" + employerDomain, Groups: []string{"Managers"}},
		{Subject: "1002", Name: "Jonas Berg", Email: "jonas@" + employerDomain, Groups: []string{"Drivers"}},
		{Subject: "1003", Name: "Mei Tanaka", Email: "mei@" + employerDomain, Groups: []string{"Workshop"}},
	}
}

// employer is the company's sign-in server, and the connection by which its people sign in.
type employer struct {
	listener   net.Listener
	org        directory.Organization
	connection federation.Connection
	secret     string
}

func (e employer) host() string    { return "company.localhost:" + port(e.listener) }
func (e employer) address() string { return "http://" + e.host() }

// serveEmployer proves the company's domain, makes its connection and prepares its sign-in
// server, which is told what its administrator would be told and no more.
func (s *show) serveEmployer(ctx context.Context, i *installation) error {
	e, operator := &s.employer, directory.Operator()
	var own domain.Domain
	err := i.db.Update(ctx, func(tx *db.Tx) (err error) {
		if e.org, err = directory.OrganizationByName(ctx, tx, employerOrganization); err != nil {
			return err
		}
		if own, err = domain.Add(ctx, tx, operator, e.org.ID, employerDomain); err != nil {
			return err
		}
		e.connection, err = i.Hub.Create(ctx, tx, operator, e.org.ID, federation.New{
			Provider: federation.Generic, Protocol: federation.OIDC, Name: e.org.DisplayName,
		})
		return err
	})
	if err != nil {
		return err
	}
	s.names.publish(own.Record(), own.Value())
	if err := i.Domains.Check(ctx, i.db, operator, e.org.ID, own.ID); err != nil {
		return err
	}
	e.secret = secret.NewToken().Reveal()
	h, err := company.New(company.Options{
		Name: e.org.DisplayName, Address: e.address(), People: employees(), Trusted: i.address,
		ClientID: employerClient, ClientSecret: e.secret,
		RedirectURI: e.connection.Callback(i.address), PostLogoutURI: e.connection.SignedOut(i.address),
		Client: newClient(), Log: s.o.Log,
	})
	if err != nil {
		return err
	}
	s.servers = append(s.servers, serving.Server{Listener: e.listener, Handler: s.onlyUnder(e.host(), h)})
	return nil
}

// connectEmployer sets the connection up as the company's IT does: client, test, on. Only a
// connection by which somebody really signed in can be turned on, so both servers must be
// running.
func (s *show) connectEmployer(ctx context.Context, i *installation) error {
	e, operator := s.employer, directory.Operator()
	client, err := i.Hub.Discover(ctx, e.connection, federation.Client{
		Issuer: e.address(), ID: employerClient, Secret: e.secret, Method: oidc.ClientSecretBasic,
	})
	if err != nil {
		return err
	}
	for _, what := range []federation.Change{client, federation.Admit(operator, federation.Admission{Creates: true})} {
		if err := i.db.Update(ctx, func(tx *db.Tx) error {
			_, err := i.Hub.Change(ctx, tx, federation.ByActor(operator), e.org.ID, e.connection.ID, what)
			return err
		}); err != nil {
			return err
		}
	}
	if err := i.db.Update(ctx, func(tx *db.Tx) error {
		return i.Hub.SendSetupLink(ctx, tx, operator, e.org, e.connection.ID, employerIT, e.org.Language)
	}); err != nil {
		return err
	}
	letters, err := s.box.Wait(ctx, employerIT, 1)
	if err != nil {
		return err
	}
	link := letters[0].Links[0]
	if err := s.testAsIT(ctx, link); err != nil {
		return fmt.Errorf("testing the connection: %w", err)
	}
	return i.db.Update(ctx, func(tx *db.Tx) error {
		c, err := federation.ConnectionOf(ctx, tx, directory.Operator(), e.org.ID, e.connection.ID)
		if err != nil {
			return err
		}
		return i.Hub.TurnOn(ctx, tx, operator, e.org.ID, e.connection.ID, c.ChangedAt)
	})
}

// outside matches the address on a page that leads to the company's sign-in server.
var outside = regexp.MustCompile(`http://company\.localhost:[^"<> ]+`)

// testAsIT signs in by the connection once, as the company's first person, in a browser that
// has only the setup link.
func (s *show) testAsIT(ctx context.Context, link string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := newClient()
	browser.Jar = jar
	leads, err := visit(ctx, browser, link, url.Values{})
	if err != nil {
		return err
	}
	asks := html.UnescapeString(outside.FindString(leads))
	if asks == "" {
		return errors.New("the page does not lead to the company")
	}
	if _, err := visit(ctx, browser, asks, nil); err != nil {
		return err
	}
	_, next, _ := strings.Cut(asks, s.employer.address())
	_, err = visit(ctx, browser, s.employer.address()+"/choose", url.Values{"person": {employees()[0].Subject}, "next": {next}})
	return err
}

// visit opens a page, or sends a form if there is one, and returns what it shows.
func visit(ctx context.Context, browser *http.Client, address string, form url.Values) (string, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return "", err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	w, err := browser.Do(r)
	if err != nil {
		return "", err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err == nil && w.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered %d", w.Request.URL.Path, w.StatusCode)
	}
	return string(text), err
}

// names is the DNS of the demo, which knows the record of the company's domain. Other names are
// looked up as this machine does.
type names struct {
	mu      sync.Mutex
	records map[string]string
}

func (n *names) publish(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.records == nil {
		n.records = map[string]string{}
	}
	n.records[name+"."] = value
}

// LookupTXT makes names a directory.Resolver.
func (n *names) LookupTXT(ctx context.Context, name string) ([]string, error) {
	n.mu.Lock()
	value, known := n.records[name]
	n.mu.Unlock()
	if known {
		return []string{value}, nil
	}
	return net.DefaultResolver.LookupTXT(ctx, name)
}
