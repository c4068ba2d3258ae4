package main

import (
	"context"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/signin"
)

const (
	shortName = "chaos"
	callback  = "https://books.example/callback"
)

// seeded is what the journeys begin with.
type seeded struct {
	org            string
	books, machine client
}

// client is an application with its secret.
type client struct{ id, secret string }

// seed makes an organization in which nobody must have a second step, a machine that administers it, and
// an application that people use.
func seed(ctx context.Context, address string) (seeded, error) {
	d, err := db.Open(ctx, address)
	if err != nil {
		return seeded{}, err
	}
	defer d.Close()
	var s seeded
	err = d.Update(ctx, func(tx *db.Tx) error {
		s = seeded{}
		org, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: "Chaos", ShortName: shortName, Language: "en"})
		if err != nil {
			return err
		}
		if err := signin.SetSecondStepRules(ctx, tx, directory.Operator(), org.ID, signin.SecondStepRules{Tolerance: 1, Passwordless: true}); err != nil {
			return err
		}
		owner, err := directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: org.ID, ID: directory.NewUserID(), Email: "owner@chaos.example", Name: "Owner", Language: "en"})
		if err != nil {
			return err
		}
		s.org = string(org.ID)
		machine, shown, err := application.Register(ctx, tx, directory.System(org.ID), "", application.Application{
			OrgID: org.ID, Kind: application.Machine, Settings: application.Settings{Name: "Staff list", Auth: application.Secret, OwnBehalf: true},
		})
		if err != nil {
			return err
		}
		s.machine = client{string(machine.ID), shown}
		if _, err := access.GrantMachine(ctx, tx, owner.AsActor(), org.ID, machine.ID, access.Right{Role: directory.Administrator, Scopes: []access.Scope{
			access.ReadPeople, access.WritePeople, access.ReadGroups, access.WriteGroups,
		}}); err != nil {
			return err
		}
		books, shown, err := application.Register(ctx, tx, directory.Operator(), "", application.Application{Kind: application.Web, Settings: application.Settings{
			Name: "Books", Auth: application.Secret, RedirectURIs: []string{callback}, Scopes: []string{application.OpenID, application.ProfileInfo, application.EmailInfo}, Refreshes: true,
		}})
		s.books = client{string(books.ID), shown}
		return err
	})
	return s, err
}
