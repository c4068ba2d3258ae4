package main

import (
	"context"

	"parvis/cmd/parvis/moving"
	"parvis/internal/intake"
)

// importCommands move people in from another system.
type importCommands struct {
	Run  importCommand      `cmd:"" default:"withargs" help:"Move the people of a file in. The same file again goes on where it was interrupted."`
	Undo undoImportCommand  `cmd:"" help:"Erase the people whom an import brought and who never signed in, and list who stays."`
	List listImportsCommand `cmd:"" help:"List imports."`
}

// moving calls work with what moves people into the installation.
func (f addressFlags) moving(p *program, work func(moving.At) error) error {
	plan, err := f.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.quiet()
		if err != nil {
			return err
		}
		in := a.Site.SignIn
		return work(moving.At{Context: p.ctx, Out: p.out, Err: p.err, English: inEnglish, Service: &intake.Service{
			DB: s.db, Passwords: in.Passwords, Authenticators: in.Authenticators, Invitations: a.Invitations,
			Free: func(ctx context.Context, name, short string) error { return a.Regions.Free(ctx, name, short) },
		}})
	})
}

type importCommand struct {
	addressFlags
	moving.In
}

// Run moves the people of a file in.
func (c *importCommand) Run(p *program) error {
	language, err := knownLanguage(c.Language)
	if err != nil {
		return coded{err, exitUsage}
	}
	return c.moving(p, func(at moving.At) error { return c.Do(at, language) })
}

type undoImportCommand struct {
	addressFlags
	ID string `arg:"" help:"The import, as 'parvis import list' shows it."`
}

// Run undoes an import.
func (c *undoImportCommand) Run(p *program) error {
	return c.moving(p, func(at moving.At) error { return moving.Undo(at, c.ID) })
}

type listImportsCommand struct{ addressFlags }

// Run lists imports.
func (c *listImportsCommand) Run(p *program) error { return c.moving(p.onOlder(), moving.List) }
