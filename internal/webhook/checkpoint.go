package webhook

import (
	"context"
	"errors"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// signedOff is what is recorded of a log for those who keep its checkpoints.
const signedOff audit.Action = "audit.checkpoint"

// checkpoint is what such an event sends to everybody who gets it: nothing of it is personal. The
// key that verifies the note is not with it, because who could forge one could forge both.
type checkpoint struct {
	Size any `json:"size"`
	Note any `json:"note"` // C2SP tlog-checkpoint, signed
}

func checkpointOf(e audit.Stored) *checkpoint {
	if e.Action != signedOff {
		return nil
	}
	return &checkpoint{e.After["size"], e.After["note"]}
}

// SweepCheckpoints records a checkpoint of each log whose webhooks ask for it, so that receivers have
// copies beyond the reach of who runs the database. As an event of the log it is delivered, sent
// again and replayed like any other.
func (s *Sender) SweepCheckpoints(ctx context.Context, d *db.DB) error {
	all, err := db.List(ctx, d, (*Webhook).targets, `
		select `+columns+`
		from webhooks w
		where w.state = 'on' and `+directory.NotDeleted("w.org_id")+`
		order by w.org_id, w.id`)
	done := map[directory.OrgID]bool{}
	for _, w := range all {
		if done[w.OrgID] || !w.wants(signedOff) {
			continue
		}
		done[w.OrgID] = true
		err = errors.Join(err, s.recordCheckpoint(ctx, d, w.OrgID))
	}
	return err
}

func (s *Sender) recordCheckpoint(ctx context.Context, d *db.DB, org directory.OrgID) error {
	if grew, err := grewSinceCheckpoint(ctx, d, org); err != nil || !grew {
		return err
	}
	c, err := s.Logs.Checkpoint(ctx, d, string(org))
	if err != nil {
		return err
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		e := directory.System(org).Event(org, signedOff)
		e.Target, e.After = string(org), audit.Fields{"size": c.Size, "note": c.Note}
		return audit.Record(ctx, tx, e)
	})
}

// grewSinceCheckpoint reports whether a log has an event that the last recorded checkpoint does not
// cover. Checkpoints themselves do not count: an idle log would grow by them each hour.
func grewSinceCheckpoint(ctx context.Context, r db.Reader, org directory.OrgID) (bool, error) {
	var last struct{ Size int64 }
	if _, err := r.One(ctx, db.Into(db.JSON(&last)), `
		select after from audit_events
		where org_id = $1 and actor = $2 and action = $3
		order by at desc, id desc
		limit 1`, string(org), audit.System, string(signedOff)); err != nil {
		return false, err
	}
	var id string
	return r.One(ctx, db.Into(&id), `
		select id from audit_events
		where org_id = $1 and leaf >= $2 and action <> $3
		order by leaf
		limit 1`, string(org), last.Size, string(signedOff))
}
