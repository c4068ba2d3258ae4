package main

import (
	"context"
	"os"

	"parvis/cmd/parvis/keyring"
	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/rotation"
	"parvis/internal/secret"
)

// keysCommands replace the keys of DATA/keys while servers run.
type keysCommands struct {
	List   listKeysCommand  `cmd:"" default:"withargs" help:"Print every key, what it does and what still needs it."`
	Add    addKeyCommand    `cmd:"" help:"Add a new key to DATA/keys, with which nothing is written yet."`
	Use    useKeyCommand    `cmd:"" help:"Have every server write with a key that all of them know."`
	Retire retireKeyCommand `cmd:"" help:"Seal again what an earlier key sealed, and take it out."`
}

// keyring calls work with the keys of an installation.
func (f storageFlags) keyring(p *program, work func(keyring.At) error) error {
	plan, err := f.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error { return work(s.keyring(p)) })
}

func (s *storage) keyring(p *program) keyring.At {
	return keyring.At{Context: p.ctx, Out: p.out, DB: s.db, Keys: s.keys, Path: s.plan.keysPath()}
}

// rotating keeps the keys of this process in the order of the database.
func (s *storage) rotating() *rotation.Server {
	host, _ := os.Hostname() // only people read it
	return &rotation.Server{DB: s.db, Keys: s.keys, Host: host, File: func() (secret.Keys, error) { return keyring.Read(s.plan.keysPath()) }}
}

type listKeysCommand struct{ storageFlags }

// Run lists keys.
func (c *listKeysCommand) Run(p *program) error { return c.keyring(p.onOlder(), keyring.List) }

type addKeyCommand struct {
	storageFlags
	Ring string `arg:"" enum:"data,pepper,lookup" help:"data, pepper or lookup."`
}

// Run adds a key.
func (c *addKeyCommand) Run(p *program) error {
	return c.keyring(p, func(at keyring.At) error { return keyring.Add(at, c.Ring) })
}

type useKeyCommand struct {
	storageFlags
	ID string `arg:"" help:"The key, as 'parvis keys' shows it."`
}

// Run puts a key in use.
func (c *useKeyCommand) Run(p *program) error {
	return c.keyring(p, func(at keyring.At) error { return keyring.Use(at, c.ID) })
}

type retireKeyCommand struct {
	addressFlags
	keyring.Retiring
}

// Run takes a key out.
func (c *retireKeyCommand) Run(p *program) error {
	return c.withApp(p, func(s *storage, a *app.App) error {
		return keyring.Retire(s.keyring(p), c.Retiring, a.Passwords, func(ctx context.Context, tx *db.Tx, o credential.Owner) error {
			org, err := directory.OrganizationByID(ctx, tx, o.OrgID)
			if err == nil {
				err = a.Resets.SendTo(ctx, tx, directory.Operator(), org, o.UserID)
			}
			return err
		})
	})
}
