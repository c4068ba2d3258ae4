package main

import (
	"fmt"
	"log/slog"

	"parvis/internal/federation"
)

// rotateKeysCommand makes the next keys towards identity providers.
type rotateKeysCommand struct{ addressFlags }

// Run publishes new keys beside those in use; they sign once providers had time to
// read them.
func (c *rotateKeysCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.app(slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		if err := a.Hub.RotateKeys(p.ctx); err != nil {
			return err
		}
		from := s.db.Now().Add(federation.Ahead)
		fmt.Fprintf(p.out, "New keys are in the metadata of every connection and in the key set from now on, and sign from %s on. "+
			"Whoever entered our certificate by hand needs the new one until then.\n", from.UTC().Format("2 January 2006"))
		return nil
	})
}
