package provisioning

import (
	"context"
	"errors"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// Sent is a call of a source as somebody wrote it down.
type Sent struct {
	Method string
	Path   string // below the source's address, or all of it
	Body   []byte
}

// The faults of a call that somebody wrote down: nothing can be said of it.
var (
	ErrSentMethod = fault.Field("method", "provisioning.sent_method")
	ErrSentPath   = fault.Field("path", "provisioning.sent_path")
)

// Check says what a call would do if the source were on and made it now. The call is run as any
// other, and undone; nothing of it is kept.
func (s *Service) Check(ctx context.Context, actor directory.Actor, org directory.OrgID, id string, sent Sent) (Call, error) {
	source, err := changeable(ctx, s.DB, actor, org, id)
	if err != nil {
		return Call{}, err
	}
	call, err := s.Speak(ctx, source, sent)
	switch {
	case errors.Is(err, ErrSentMethod), errors.Is(err, ErrSentPath):
		return Call{}, err
	case err == nil:
		return call, nil
	}
	if call.wrong(err); call.Outcome == Failed {
		return Call{}, err
	}
	return call, nil
}

// Rehearse runs what Write would run, and undoes it: what call returns is what it would be kept as.
func (s *Service) Rehearse(ctx context.Context, source Source, call Call, do func(*db.Tx, Source) error) (Call, error) {
	var now Source
	err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		if now, err = sourceByID(ctx, tx, source.OrgID, source.ID); err != nil {
			return err
		}
		now.record = &record{}
		if err := do(tx, now); err != nil {
			return err
		}
		return errWatched
	})
	if now.record == nil {
		return call, err
	}
	if call.Outcome = Done; now.record.held {
		call.Outcome = Held
	}
	if errors.Is(err, errWatched) {
		err = nil
	} else {
		now.record.undone()
	}
	call.Did = now.record.did
	return call, err
}
