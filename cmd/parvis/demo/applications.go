package demo

import (
	"context"
	"fmt"
	"net"

	"parvis/cmd/parvis/demo/sample"
	"parvis/cmd/parvis/serving"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
)

// application is a sample application that the demo runs beside Parvis, on an origin of its
// own.
type sampleApp struct {
	kind, name string
	id         application.ID // of one that every installation has; empty for another
	of         string         // short name of the organization that registered it; empty for the installation's
	about      map[i18n.Tag]string
	listener   net.Listener
}

// address returns the application's own origin: a name below localhost, since browsers send the
// cookies of a name to all of its ports.
func (a sampleApp) address() string {
	return "http://" + a.kind + ".localhost:" + port(a.listener)
}

// applications lists the two that every installation has, and one of another company that
// Meridian Freight added itself: it asks people what it may know.
func applications() []sampleApp {
	return []sampleApp{
		{kind: "collaborate", name: "Collaborate / Communicate", id: "collaborate"},
		{kind: "architect", name: "Architect", id: "architect"},
		{kind: "ledger", name: "Ledger", of: "meridian", about: map[i18n.Tag]string{"en": "Freight invoices, by another company", "fr": "Factures de fret, d’une autre société"}},
	}
}

// settings returns what such an application registers.
func (a sampleApp) settings(before application.Settings) application.Settings {
	s, at := before, a.address()
	s.Name, s.Refreshes = a.name, true
	if a.about != nil {
		s.Descriptions = a.about
	}
	s.Scopes = application.Scopes
	s.Address, s.InitiateURI = at+"/", at+"/login"
	s.RedirectURIs, s.PostLogoutURIs = []string{at + "/callback"}, []string{at + "/signed-out"}
	s.BackChannel, s.FrontChannel = at+"/backchannel-logout", at+"/frontchannel-logout"
	s.Asks = a.of != ""
	return s
}

// connect registers an application and returns the secret that it is given.
func (i *installation) connect(ctx context.Context, a sampleApp) (id application.ID, secret string, err error) {
	err = i.db.Update(ctx, func(tx *db.Tx) error {
		operator := directory.Operator()
		if a.id == "" {
			org, err := directory.OrganizationByName(ctx, tx, a.of)
			if err != nil {
				return err
			}
			c, shown, err := application.Register(ctx, tx, operator, i.address, application.Application{OrgID: org.ID, Kind: application.Web, Settings: a.settings(application.Defaults(application.Web))})
			id, secret = c.ID, shown
			return err
		}
		known, err := application.ByID(ctx, tx, directory.Operator(), "", a.id)
		if err != nil {
			return err
		}
		if _, err := application.Change(ctx, tx, operator, i.address, known.Application, a.settings(known.Settings)); err != nil {
			return err
		}
		id = a.id
		_, secret, err = application.AddSecret(ctx, tx, operator, known.Application)
		return err
	})
	return id, secret, err
}

// serveApplications runs the applications of a region. Each is told what an integrator is told
// and no more.
func (s *show) serveApplications(ctx context.Context, i *installation) error {
	for _, a := range s.applications {
		id, secret, err := i.connect(ctx, a)
		if err != nil {
			return fmt.Errorf("registering %s: %w", a.name, err)
		}
		h, err := sample.New(sample.Options{
			Kind: a.kind, Name: a.name, Address: a.address(), Issuer: i.address, ClientID: string(id), ClientSecret: secret,
			Scopes: []string{"groups", "roles"}, Client: newClient(), Log: s.o.Log,
		})
		if err != nil {
			return err
		}
		s.servers = append(s.servers, serving.Server{Listener: a.listener, Handler: s.onlyUnder(a.kind+".localhost:"+port(a.listener), h)})
	}
	return nil
}
