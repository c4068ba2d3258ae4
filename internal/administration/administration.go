// Package administration has what the administration of an organization does and shows, once
// for every door: the console, the command, and an API. Each function takes an Actor, who
// decides what is done or read. The package has no route, no sentence and no table of its own.
package administration

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/signin"
)

// Service does what needs more than the directory, because sessions end or letters are sent.
type Service struct {
	DB     *db.DB
	SignIn *signin.Service
}

// Refused records that a door refused something to somebody who acts in their own organization,
// in a transaction of its own (R-LOG-02, decision 0012).
func (s *Service) Refused(ctx context.Context, actor directory.Actor, what string) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		e := actor.Event(actor.OrgID, "request.refused")
		e.Result, e.TargetName = audit.Refused, what
		return audit.Record(ctx, tx, e)
	})
}
