package provisioning_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/provisioning"
	"parvis/internal/secret"
)

// house is a database with two organizations, each with an owner, and a source of the first that
// is on.
type house struct {
	*provisioning.Service
	t     *testing.T
	clock *dbtest.Clock
	org   map[string]directory.Organization
	owner map[string]directory.User
	src   provisioning.Source
}

func open(t *testing.T) *house {
	t.Helper()
	d, clock := dbtest.Open(t)
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	outbox := mail.NewOutbox(mail.Settings{Sealing: secret.NewKeys().Sealing, Catalogue: catalogue, From: "no-reply@parvis.example", Log: slog.New(slog.DiscardHandler)})
	h := &house{t: t, clock: clock, org: map[string]directory.Organization{}, owner: map[string]directory.User{}, Service: &provisioning.Service{
		DB: d, Outbox: outbox, Base: "https://parvis.example",
		Invitations: &directory.Invitations{Outbox: outbox, Base: "https://parvis.example"},
		Emails:      &directory.EmailChanges{Outbox: outbox, Base: "https://parvis.example"},
		ComesIn: func(context.Context, db.Reader, directory.OrgID, naming.Address, string) (bool, error) {
			return true, nil
		},
	}}
	for _, name := range []string{"alpha", "beta"} {
		h.update(func(ctx context.Context, tx *db.Tx) (err error) {
			h.org[name], err = directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: name, ShortName: name, Language: "en"})
			return err
		})
		h.owner[name] = h.user(name, "owner@"+name+".example", directory.Owner)
	}
	h.src = h.source("alpha", "Entra", provisioning.On)
	return h
}

func (h *house) try(fn func(ctx context.Context, tx *db.Tx) error) error {
	return h.DB.Update(h.t.Context(), func(tx *db.Tx) error { return fn(h.t.Context(), tx) })
}

func (h *house) update(fn func(ctx context.Context, tx *db.Tx) error) {
	h.t.Helper()
	if err := h.try(fn); err != nil {
		h.t.Fatal(err)
	}
}

// user makes a user of any role who has a password.
func (h *house) user(org, email string, role directory.Role) (u directory.User) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		u, err = directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: h.org[org].ID, ID: directory.NewUserID(), Email: email, Name: "The " + string(role), Language: "en"})
		if err == nil {
			_, err = tx.Exec(ctx, `update users set role = $1 where org_id = $2 and id = $3`, string(role), string(u.OrgID), string(u.ID))
		}
		return err
	})
	dbtest.GivePassword(h.t, h.DB, string(u.OrgID), string(u.ID))
	return h.now(u.OrgID, string(u.ID))
}

func (h *house) now(org directory.OrgID, id string) directory.User {
	h.t.Helper()
	u, err := directory.UserByID(h.t.Context(), h.DB, org, directory.UserID(id))
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

// source makes a source in a state.
func (h *house) source(org, name string, state provisioning.State) (s provisioning.Source) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		s, err = h.Create(ctx, tx, h.owner[org].AsActor(), h.org[org].ID, provisioning.Settings{Name: name, Provider: "entra"}, true)
		if err == nil && state != provisioning.Watching {
			err = h.Turn(ctx, tx, h.owner[org].AsActor(), h.org[org].ID, s.ID, state)
		}
		return err
	})
	s.State = state
	return s
}

var call = provisioning.Call{Method: "POST", Path: "/Users"}

// hire makes a person by the source.
func (h *house) hire(email string) provisioning.Provisioned {
	h.t.Helper()
	p, err := h.tryHire(h.src, email)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) tryHire(s provisioning.Source, email string) (p provisioning.Provisioned, err error) {
	err = h.Write(h.t.Context(), s, call, func(tx *db.Tx, s provisioning.Source) (err error) {
		p, err = h.CreatePerson(h.t.Context(), tx, s, said(email))
		return err
	})
	return p, err
}

// said is what a source says of somebody who is active.
func said(email string) provisioning.Person {
	local, _, _ := strings.Cut(email, "@")
	return provisioning.Person{Email: email, GivenName: local, FamilyName: "Alpha", ExternalID: "x-" + local, Active: true, Document: []byte(`{"userName":"` + email + `"}`)}
}

// put makes a person what the source says.
func (h *house) put(id string, p provisioning.Person) (now provisioning.Provisioned, err error) {
	err = h.Write(h.t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) (err error) {
		was, err := s.Person(h.t.Context(), tx, id)
		if err != nil {
			return err
		}
		now, err = h.PutPerson(h.t.Context(), tx, s, was, p)
		return err
	})
	return now, err
}

func (h *house) fire(p provisioning.Provisioned) {
	h.t.Helper()
	what := said(p.User.Email)
	what.Active = false
	if _, err := h.put(string(p.User.ID), what); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) waiting() []provisioning.Waiting {
	h.t.Helper()
	all, err := provisioning.WaitingFor(h.t.Context(), h.DB, h.owner["alpha"].AsActor(), h.src, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// kinds returns what waits, the newest first.
func (h *house) kinds() (all []string) {
	for _, w := range h.waiting() {
		all = append(all, string(w.Kind)+" "+w.Name)
	}
	return all
}

func (h *house) settle(actor directory.Actor, w provisioning.Waiting, agreed bool) error {
	return h.try(func(ctx context.Context, tx *db.Tx) error {
		return h.Settle(ctx, tx, actor, h.src, w.ID, agreed)
	})
}

// letters counts the letters of a source's kind.
func (h *house) letters() (n int) {
	h.t.Helper()
	if _, err := h.DB.One(h.t.Context(), db.Into(&n), `select count(*) from letters where kind = 'source'`); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// group makes a group with people by the source.
func (h *house) group(name string, people ...string) (g provisioning.Group) {
	h.t.Helper()
	err := h.Write(h.t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) (err error) {
		g, err = h.CreateGroup(h.t.Context(), tx, s, provisioning.GroupChange{Name: &name, Add: people})
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

func (h *house) changeGroup(id string, c provisioning.GroupChange) (held bool, err error) {
	err = h.Write(h.t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) (err error) {
		held, err = h.ChangeGroup(h.t.Context(), tx, s, id, c)
		return err
	})
	return held, err
}

func (h *house) members(g provisioning.Group) (all []string) {
	h.t.Helper()
	found, err := h.src.Members(h.t.Context(), h.DB, g.ID, "", 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, m := range found {
		all = append(all, m.ID)
	}
	return all
}
