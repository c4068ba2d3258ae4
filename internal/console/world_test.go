package console_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parvis/internal/access"
	"parvis/internal/app"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/provisioning"
	"parvis/internal/secret"
	"parvis/internal/webhook"
)

// world is a server with two organizations: alpha with a person in each role,
// and beta, whose rows alpha must never see.
type world struct {
	*idptest.Server
	dns         *idptest.DNS
	alpha, beta organization
}

type organization struct {
	directory.Organization
	browsers map[directory.Role]*idptest.Browser
	// One id of each kind that the console's paths name.
	user, invitation, event, domain, group, connection, attempt, application, token, machine, webhook, source string
	hooks                                                                                                     map[string]string // further webhooks, by their state, of an organization that freight made
	others                                                                                                    []string          // further users, of an organization that freight made
}

func start(t *testing.T, change ...func(*app.Settings)) *world {
	t.Helper()
	w := &world{dns: idptest.StartDNS(t)}
	w.Server = idptest.Start(t, append(change, w.ours)...)
	w.alpha = w.organization(t, "Alpha Freight", "alpha", directory.Roles...)
	w.beta = w.organization(t, "Beta Shipping", "beta", directory.Owner)
	return w
}

// ours makes a server ask the name server of the test.
func (w *world) ours(s *app.Settings) { s.Resolver = w.dns.Resolver() }

func (w *world) organization(t *testing.T, name, short string, roles ...directory.Role) organization {
	t.Helper()
	o := organization{Organization: w.Organization(t, name, short), browsers: map[directory.Role]*idptest.Browser{}}
	for _, role := range roles {
		o.browsers[role] = w.Join(t, o.Organization, string(role)+"@"+short+".example", "Person "+string(role)+" of "+short, role)
	}
	o.user = w.idOf(t, o.ID, "users", string(directory.Owner)+"@"+short+".example")
	o.invitation = w.invitation(t, o.Organization, "waiting@"+short+".example", directory.Member).ID
	o.domain = w.domain(t, o.ID, short+".example").ID
	o.group = w.group(t, o.ID, "People of "+short, directory.UserID(o.user)).ID
	o.connection, o.attempt = w.provider(t, o.ID, "Provider of "+short)
	o.application, _ = w.application(t, o.ID, "Books of "+short)
	o.token, o.machine = w.callers(t, o.ID, directory.UserID(o.user), "Payroll of "+short)
	o.source = w.source(t, o.ID, "Directory of "+short)
	o.webhook = w.webhook(t, o.ID, "Warehouse of "+short)
	o.event = w.events(t, o.ID, "organization.created")[0].ID
	return o
}

// source makes a directory that is on, with as many tokens as it may have.
func (w *world) source(t *testing.T, org directory.OrgID, name string) string {
	t.Helper()
	var s provisioning.Source
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		if s, err = w.Sources.Create(ctx, tx, directory.Operator(), org, provisioning.Settings{Name: name, Provider: "entra"}, true); err != nil {
			return err
		}
		if err = w.Sources.Turn(ctx, tx, directory.Operator(), org, s.ID, provisioning.On); err == nil {
			for range 2 {
				if _, _, err = w.Sources.Issue(ctx, tx, directory.Operator(), org, s.ID); err != nil {
					return err
				}
			}
		}
		return err
	})
	return s.ID
}

// asks lets an organization's source make one person and ask for another, who is here already.
func (w *world) asks(t *testing.T, o organization) {
	t.Helper()
	org := o.ID
	s, err := provisioning.SourceByID(t.Context(), w.DB, directory.Operator(), org, o.source)
	if err != nil {
		t.Fatal(err)
	}
	name := s.Name
	here := "here@" + strings.ToLower(string(org)[4:10]) + ".example"
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := directory.CreateFederated(ctx, tx, directory.User{OrgID: org, Email: here, Name: "Here before " + name, Role: directory.Member, Language: "en"}, "")
		return err
	})
	for _, email := range []string{"hired@" + string(org)[4:10] + ".example", here} {
		err := w.Sources.Write(t.Context(), s, provisioning.Call{Method: "POST", Path: "/Users"}, func(tx *db.Tx, s provisioning.Source) error {
			_, err := w.Sources.CreatePerson(t.Context(), tx, s, provisioning.Person{Email: email, Name: "Hired by " + name, Active: true})
			return err
		})
		if err != nil && email != here {
			t.Fatal(err)
		}
	}
}

// callers makes a token of a user, and a machine with a right that the user gave.
func (w *world) callers(t *testing.T, org directory.OrgID, id directory.UserID, name string) (token, machine string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		u, err := directory.UserByID(ctx, tx, org, id)
		if err != nil {
			return err
		}
		made, _, err := access.Issue(ctx, tx, u.AsActor(), org, access.New{Name: "Nightly export", Scopes: []access.Scope{access.ReadPeople}})
		if err != nil {
			return err
		}
		c, _, err := application.Register(ctx, tx, directory.Operator(), "", application.Application{OrgID: org, Kind: application.Machine, Settings: application.Settings{
			Name: name, Auth: application.Secret, OwnBehalf: true,
		}})
		if err != nil {
			return err
		}
		token, machine = made.ID, string(c.ID)
		_, err = access.GrantMachine(ctx, tx, u.AsActor(), org, c.ID, access.Right{Scopes: []access.Scope{access.ReadPeople, access.WritePeople}, Role: directory.Administrator})
		return err
	})
	return token, machine
}

// webhook makes a webhook of an organization, which the sweep may try in vain.
func (w *world) webhook(t *testing.T, org directory.OrgID, name string) (id string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		hook, _, err := w.Webhooks.Create(ctx, tx, directory.System(org), org, webhook.New{Settings: webhook.Settings{
			Name: name, Address: "https://127.0.0.1/parvis", Events: []string{"user.*", "group.created"},
		}})
		id = hook.ID
		return err
	})
	return id
}

// provider makes a connection that is a draft, with an attempt to sign in by it.
func (w *world) provider(t *testing.T, org directory.OrgID, name string) (id, attempt string) {
	t.Helper()
	attempt = secret.NewID("req")[:14] // as page makes the reference of a request
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		c, err := new(federation.Hub).Create(ctx, tx, directory.Operator(), org, federation.New{Provider: federation.Okta, Protocol: federation.SAML, Name: name})
		if err != nil {
			return err
		}
		id = c.ID
		return w.trace(ctx, tx, org, id, attempt, "audience", "")
	})
	return id, attempt
}

// trace records an attempt that was refused, or was not.
func (w *world) trace(ctx context.Context, tx *db.Tx, org directory.OrgID, connection, id, refused, tester string) error {
	ok := "true"
	if refused != "" {
		ok = "false"
	}
	_, err := tx.Exec(ctx, `
		insert into upstream_traces (org_id, id, connection_id, at, tester, refused, who, checks, claims, network)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		string(org), id, connection, db.Time(tx.Now()), db.Text(tester), db.Text(refused), "lin@wei.example",
		`[{"name":"issuer","ok":true,"expected":"https://idp.example","found":"https://idp.example"},{"name":"audience","ok":`+ok+`,"expected":"us","found":"them"}]`,
		`[{"name":"email","values":["lin@wei.example"]},{"name":"shoe","values":["42","43"]}]`, "192.0.2.7")
	return err
}

func (w *world) idOf(t *testing.T, org directory.OrgID, table, email string) string {
	t.Helper()
	var id string
	var of int
	found, err := w.DB.One(t.Context(), db.Into(&id, &of), `select coalesce(min(id), ''), count(*) from `+table+` where org_id = $1 and email = $2
		and created_at = (select max(created_at) from `+table+` where org_id = $1 and email = $2)`, string(org), email)
	// Two of the same instant have no order: a test lets time pass between them.
	if err != nil || !found || of != 1 {
		t.Fatalf("%d newest %s of %s: %v", of, table, email, err)
	}
	return id
}

// invitation makes an invitation sent by the operator, with its letter left in the outbox.
func (w *world) invitation(t *testing.T, org directory.Organization, email string, role directory.Role) directory.Invitation {
	t.Helper()
	var inv directory.Invitation
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		inv, err = w.Invitations.Send(ctx, tx, directory.Operator(), org, directory.NewInvitation{Email: email, Role: role, Language: "en"})
		return err
	})
	return inv
}

// domain puts a domain on the list of an organization, with its record there to be found.
func (w *world) domain(t *testing.T, org directory.OrgID, name string) domain.Domain {
	t.Helper()
	var d domain.Domain
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		d, err = domain.Add(ctx, tx, directory.Operator(), org, name)
		return err
	})
	w.dns.Set(d.Record(), d.Value())
	return d
}

// group makes a group of an organization, with members.
func (w *world) group(t *testing.T, org directory.OrgID, name string, members ...directory.UserID) directory.Group {
	t.Helper()
	var g directory.Group
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		if g, err = directory.CreateGroup(ctx, tx, directory.Operator(), org, name); err != nil {
			return err
		}
		_, err = directory.AddMembers(ctx, tx, directory.Operator(), org, g.ID, members)
		return err
	})
	return g
}

// application makes a web application of an organization, or of the installation, and returns
// its secret.
func (w *world) application(t *testing.T, org directory.OrgID, name string) (id, secret string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		s := application.Defaults(application.Web)
		s.Name, s.RedirectURIs, s.Address = name, []string{"https://books.example/callback"}, "https://books.example/"
		c, shown, err := application.Register(ctx, tx, directory.Operator(), "", application.Application{OrgID: org, Kind: application.Web, Settings: s})
		id, secret = string(c.ID), shown
		return err
	})
	return id, secret
}

func (w *world) stateOf(t *testing.T, org directory.OrgID, id string) directory.InvitationState {
	t.Helper()
	inv, err := directory.InvitationByID(t.Context(), w.DB, directory.Operator(), org, id)
	if err != nil {
		t.Fatal(err)
	}
	return inv.State(w.Clock.Now())
}

// rows returns everything that an organization has, as text.
func (w *world) rows(t *testing.T, org directory.OrgID) string {
	t.Helper()
	var all []string
	for _, statement := range []string{
		`select 'user', id, email, display_name, role, coalesce(deactivated_at, 0) from users where org_id = $1 order by id`,
		`select 'invitation', id, email, display_name, role, coalesce(accepted_at, withdrawn_at, replaced_at, opened_at, 0) from invitations where org_id = $1 order by id`,
		`select 'letter', id, recipient, kind, language, coalesce(sent_at, given_up_at, 0) from letters where org_id = $1 order by id`,
		`select 'domain', id, domain_key, proof, '', coalesce(proven_at, checked_at, 0) from domains where org_id = $1 order by id`,
		`select 'group', id, name, name_key, '', created_at from groups where org_id = $1 order by id`,
		`select 'member', group_id, user_id, '', '', added_at from members where org_id = $1 order by group_id, user_id`,
		`select 'organization', id, short_name, display_name, contact, created_at from organizations where id = $1`,
		`select 'image', id, content, '', '', created_at from images where org_id = $1 order by id`,
		`select 'connection', id, name, state, settings || mapping || coalesce(secret, ''), coalesce(changed_at, 0) from connections where org_id = $1 order by id`,
		`select 'application', id, kind, settings, coalesce(logo, ''), changed_at from clients where org_id = $1 order by id`,
		`select 'secret', s.id, s.client_id, s.hash, '', s.created_at from client_secrets s join clients c on c.id = s.client_id where c.org_id = $1 order by s.id`,
		`select 'placement', client_id, standing, audience, groups, 0 from client_organizations where org_id = $1 order by client_id`,
		`select 'link', id, connection_id, email, letter_id, coalesce(withdrawn_at, opened_at, 0) from setup_links where org_id = $1 order by id`,
		`select 'webhook', id, name, address, events || state || why, cursor from webhooks where org_id = $1 order by id`,
		`select 'signature', id, webhook_id, sealed, '', coalesce(ends_at, 0) from webhook_secrets where org_id = $1 order by id`,
		`select 'event', id, action, actor, target, at from audit_events where org_id = $1 order by id`,
	} {
		if err := w.DB.Rows(t.Context(), func(scan func(...any) error) error {
			var kind, id, a, b, c string
			var at int64
			err := scan(&kind, &id, &a, &b, &c, &at)
			all = append(all, fmt.Sprint(kind, id, a, b, c, at))
			return err
		}, statement, string(org)); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(all, "\n")
}

func (w *world) events(t *testing.T, org directory.OrgID, action audit.Action) []audit.Stored {
	t.Helper()
	page, err := audit.List(t.Context(), w.DB, audit.Query{OrgID: string(org), Search: string(action)})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(page.Events, func(e audit.Stored) bool { return e.Action != action })
}

// proveAgain answers the page that asks for fresh proof.
func proveAgain(t *testing.T, p *idptest.Page) *idptest.Page {
	t.Helper()
	if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Fatalf("no proof was asked for at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return p.Form("main").Fill("password", idptest.Password).Submit("")
}

// presses presses the button of a page that asks first, which says what it is about.
func presses(t *testing.T, p *idptest.Page) *idptest.Page {
	t.Helper()
	idptest.Want(t, p, idptest.Status(200), idptest.Input("confirmed", "yes"), idptest.Says("console.confirm.cancel"))
	form := p.Form("main")
	return form.Submit(form.Values.Get("asked"))
}

// gap matches what a page shows for a key, or a placeholder, that the catalogue lacks.
var gap = regexp.MustCompile(`\[[a-z_]+\.[a-z_.]+\]|\[[A-Z][A-Za-z]*\]`)

// seen checks that a page arrived, complete, in a language.
func seen(t *testing.T, p *idptest.Page, status int) *idptest.Page {
	t.Helper()
	if p.Status != status {
		t.Fatalf("%s: %d, want %d: %s", p.URL, p.Status, status, p.Text())
	}
	if found := gap.FindString(p.Text()); found != "" {
		t.Errorf("%s shows a gap: %s", p.URL, found)
	}
	return p
}
