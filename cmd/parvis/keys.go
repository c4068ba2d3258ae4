package main

import (
	"fmt"

	"parvis/internal/federation"
	"parvis/internal/op"
)

// rotateKeysCommand makes the next keys towards applications and identity providers.
type rotateKeysCommand struct {
	addressFlags
	Leaked bool `help:"The keys towards applications may be known to others: replace them at once."`
}

// Run publishes new keys beside those in use; they sign once everybody has had time to read
// them. If the present ones leaked, applications get no such time, because whoever holds those
// could sign in as anybody.
func (c *rotateKeysCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error {
		a, err := s.quiet()
		if err != nil {
			return err
		}
		if err := a.Provider.Keys.Rotate(p.ctx, c.Leaked); err != nil {
			return err
		}
		if c.Leaked {
			fmt.Fprintln(p.out, "The keys towards applications were replaced. A server refuses within 10 seconds what was signed with the previous ones; "+
				"an application that keeps a copy of the key set may believe it for 15 minutes more, unless it is restarted.")
		} else {
			from := s.db.Now().Add(op.KeyAhead)
			fmt.Fprintf(p.out, "New keys towards applications are in the key set from now on, and sign from %s on.\n", from.UTC().Format("2 January 2006 15:04 MST"))
		}
		if err := a.Hub.RotateKeys(p.ctx); err != nil {
			return err
		}
		from := s.db.Now().Add(federation.Ahead)
		fmt.Fprintf(p.out, "New keys are in the metadata of every connection and in the key set of single sign-on from now on, and sign from %s on. "+
			"People who entered our certificate by hand need the new one by then.\n", from.UTC().Format("2 January 2006"))
		return nil
	})
}
