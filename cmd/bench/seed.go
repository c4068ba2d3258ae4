package main

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// signers is how many of the users have a password and a session: as many as
// keep the keys of a run random.
const signers = 400

// seed fills a database that a server made: users by plain rows, and for some a
// real password and a session through the ordinary functions.
func seed(data string, users int) ([]person, error) { return seedAt(data, databaseOf(data), users) }

// seedAt is seed for a database elsewhere.
func seedAt(data, address string, users int) ([]person, error) {
	ctx := context.Background()
	keys, err := readKeys(data)
	if err != nil {
		return nil, err
	}
	d, err := db.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	base := &url.URL{Scheme: "http", Host: "127.0.0.1"}
	a, err := app.New(app.Settings{DB: d, Keys: keys, Base: base, From: "no-reply@bench.example"})
	if err != nil {
		return nil, err
	}
	store, err := credential.NewStore(keys.Pepper, credential.Options{Waiting: signers})
	if err != nil {
		return nil, err
	}
	var org directory.Organization
	all := make([]directory.User, users)
	err = d.Update(ctx, func(tx *db.Tx) (err error) {
		org, err = organization(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	for begin := 0; begin < users; begin += 500 { // a transaction ends within seconds on PostgreSQL, or is ended
		some := all[begin:min(begin+500, users)]
		for i := range some {
			some[i] = directory.User{
				OrgID: org.ID, ID: directory.NewUserID(), Email: fmt.Sprintf("person%d@bench.example", begin+i), Name: fmt.Sprintf("Person %d", begin+i), Role: directory.Owner, Language: "en", Generation: 1,
			}
		}
		if err = d.Update(ctx, func(tx *db.Tx) error {
			return directory.Admit(ctx, tx, directory.Operator(), some, "bench")
		}); err != nil {
			return nil, err
		}
	}
	// The history of making them is sealed before anything is measured.
	for range users/1000 + 1 {
		if err := a.Audit.Sweep(ctx, d); err != nil {
			return nil, err
		}
	}
	people := make([]person, 0, signers)
	for i := 0; i < users; i += max(1, users/signers) {
		p, err := equip(ctx, d, a.Site.Sessions, store, all[i])
		if err != nil {
			return nil, err
		}
		people = append(people, p)
	}
	return people, nil
}

// organization makes one in which everybody is an owner, and is not asked for a second step.
func organization(ctx context.Context, tx *db.Tx) (directory.Organization, error) {
	org, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: "Bench", ShortName: "bench", Language: "en"})
	if err != nil {
		return org, err
	}
	rules := signin.DefaultSecondStep
	rules.Privileged = false
	return org, signin.SetSecondStepRules(ctx, tx, directory.Operator(), org.ID, rules)
}

// readKeys reads the keys that a server made.
func readKeys(data string) (secret.Keys, error) {
	text, err := os.ReadFile(data + "/keys")
	if err != nil {
		return secret.Keys{}, err
	}
	return secret.ParseKeys(text)
}

// equip gives a user a password and a session.
func equip(ctx context.Context, d *db.DB, door *session.Door, store *credential.Store, u directory.User) (person, error) {
	checked, err := store.Check(credential.Classic, credential.Context{}, password)
	if err != nil {
		return person{}, err
	}
	hashed, err := store.Hash(ctx, credential.Source{Name: "bench"}, credential.History{Owner: credential.Owner{OrgID: u.OrgID, UserID: u.ID}}, checked)
	if err != nil {
		return person{}, err
	}
	var cookie secret.Token
	err = d.Update(ctx, func(tx *db.Tx) error {
		if err := credential.Set(ctx, tx, hashed); err != nil {
			return err
		}
		_, cookie, err = door.Issue(ctx, tx, session.Browser{}, u, session.Proof{Methods: []string{"pwd"}})
		return err
	})
	return person{u.Email, cookie.Reveal()}, err
}
