// Package administration has everything that the administration of an organization does and
// shows, once for the console, the command and an API. Each function takes an Actor, whose right
// decides what it may do or read. The package has no route, no sentence and no table.
package administration

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/signin"
)

// Service does what needs more than the directory because it ends sessions or sends letters.
type Service struct {
	DB     *db.DB
	SignIn *signin.Service
	Audit  *audit.Logs
}

// Refused records, in a transaction of its own, that the console, the command or an API refused
// something to an actor in their own organization (R-LOG-02, decision 0012).
func (s *Service) Refused(ctx context.Context, actor directory.Actor, what string) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		e := actor.Event(actor.OrgID, "request.refused")
		e.Result, e.TargetName = audit.Refused, what
		return audit.Record(ctx, tx, e)
	})
}
