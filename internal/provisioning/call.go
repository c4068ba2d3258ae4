package provisioning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

// The faults of a source that does not write yet, or no longer.
var (
	ErrWatching = fault.New(fault.Unavailable, "provisioning.watching").After(10 * time.Minute)
	ErrStopped  = fault.New(fault.Unavailable, "provisioning.stopped").After(10 * time.Minute)
)

// errWatched undoes what a call of a watching source did.
var errWatched = errors.New("undone, because the source only watches")

// Outcome is how a call ended.
type Outcome string

// The outcomes.
const (
	WasRead Outcome = "read"
	Done    Outcome = "done"
	Watched Outcome = "watched" // it would have been done
	Held    Outcome = "held"    // it waits for an administrator
	Refused Outcome = "refused"
	Failed  Outcome = "failed" // by a failure of this program
)

// Call is what is known of a call of a source.
type Call struct {
	ID      string
	At      time.Time
	Method  string
	Path    string // below the source's address, without a query
	Outcome Outcome
	Did     []fault.Reason // in words: what was done, or would be
	Notes   []fault.Reason // what was wrong, or left aside
}

// record gathers what a call does.
type record struct {
	did   []fault.Reason
	waits []waits
	held  bool
}

// did notes what the call under way does, as a key below "provisioning.did." with pairs of
// placeholder and value.
func (s Source) did(key string, pairs ...any) {
	if s.record != nil {
		s.record.did = append(s.record.did, reason("provisioning.did."+key, pairs...))
	}
}

// undone forgets what was done, except for what an administrator is asked for. Whom the call had shut
// out is in again, and makes no batch.
func (r *record) undone() {
	r.did = nil
	r.waits = slices.DeleteFunc(r.waits, func(w waits) bool { return w.kind == WholeBatch })
	for _, w := range r.waits {
		r.did = append(r.did, w.reason())
	}
}

func reason(key string, pairs ...any) fault.Reason {
	r := fault.Reason{Key: key, Args: map[string]any{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Args[pairs[i].(string)] = pairs[i+1]
	}
	return r
}

// Write runs what a call of a source wants changed, in one transaction in which the source is read
// again. While the source only watches, all of it is undone and the answer is ErrWatching. Either
// way the call is kept, and so is what it asks an administrator for.
func (s *Service) Write(ctx context.Context, source Source, call Call, do func(*db.Tx, Source) error) error {
	var now Source
	err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		if now, err = sourceByID(ctx, tx, source.OrgID, source.ID); err != nil {
			return err
		}
		if now.State == Stopped {
			return ErrStopped
		}
		now.record = &record{}
		if err := do(tx, now); err != nil {
			return err
		}
		if now.State == Watching {
			return errWatched
		}
		call.Outcome = Done
		if now.record.held {
			call.Outcome = Held
		}
		return s.keep(ctx, tx, now, call)
	})
	if err == nil {
		return nil
	}
	switch watched := errors.Is(err, errWatched); {
	case watched:
		err, call.Outcome = ErrWatching, Watched
	default:
		if now.record != nil {
			now.record.undone()
		}
		call.wrong(err)
	}
	now.OrgID, now.ID = source.OrgID, source.ID
	return errors.Join(err, s.keepAlone(ctx, now, call))
}

// wrong notes why a call was not answered as it wished.
func (c *Call) wrong(err error) {
	faults := fault.All(err)
	if c.Outcome = Refused; len(faults) == 0 {
		c.Outcome = Failed
	}
	for _, f := range faults {
		c.Notes = append(c.Notes, fault.Reason{Key: f.Key, Args: f.Args})
	}
}

// Read keeps a call that only read, while its source watches, or if something was left aside: an
// administrator looks at calls to find out what goes wrong.
func (s *Service) Read(ctx context.Context, source Source, call Call) error {
	if source.State == On && len(call.Notes) == 0 {
		return nil
	}
	call.Outcome = WasRead
	return s.keepAlone(ctx, source, call)
}

// Refuse keeps a call that was refused before anything was done.
func (s *Service) Refuse(ctx context.Context, source Source, call Call, err error) error {
	call.wrong(err)
	return s.keepAlone(ctx, source, call)
}

func (s *Service) keepAlone(ctx context.Context, source Source, call Call) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error { return s.keep(ctx, tx, source, call) })
}

const (
	mostReasons = 50   // of a call are kept
	longestPath = 1000 // bytes of a path
)

// keep stores a call, and what it asks an administrator for.
func (s *Service) keep(ctx context.Context, tx *db.Tx, source Source, call Call) error {
	var r record
	if source.record != nil {
		r = *source.record
	}
	for _, w := range r.waits {
		if err := s.wait(ctx, tx, source, w); err != nil {
			return err
		}
	}
	did, err := json.Marshal(r.did[:min(len(r.did), mostReasons)])
	if err != nil {
		return err
	}
	notes, err := json.Marshal(call.Notes[:min(len(call.Notes), mostReasons)])
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into source_calls (org_id, id, source_id, at, method, path, outcome, did, notes)
		select org_id, $1, id, cast($2 as bigint), $3, $4, $5, $6, $7
		from sources where org_id = $8 and id = $9`,
		secret.NewID("pcl"), db.Time(tx.Now()), call.Method, call.Path[:min(len(call.Path), longestPath)], string(call.Outcome), string(did), string(notes),
		string(source.OrgID), source.ID)
	if err != nil {
		return fmt.Errorf("keeping a call of %s: %w", source.ID, err)
	}
	return nil
}

// Calls lists the calls of a source, the newest first, at most so many, from before a call on.
func Calls(ctx context.Context, r db.Reader, actor directory.Actor, source Source, before Call, most int) ([]Call, error) {
	if err := actor.MayRead(ctx, r, source.OrgID); err != nil {
		return nil, err
	}
	at := before.At
	if at.IsZero() {
		at = r.Now().Add(time.Hour)
	}
	return db.List(ctx, r, func(c *Call) []any {
		return db.Into(&c.ID, (*db.Time)(&c.At), &c.Method, &c.Path, &c.Outcome, db.JSON(&c.Did), db.JSON(&c.Notes))
	}, `
		select id, at, method, path, outcome, did, notes
		from source_calls
		where org_id = $1 and source_id = $2 and (at < $3 or at = $3 and id < $4)
		order by at desc, id desc
		limit $5`, string(source.OrgID), source.ID, db.Time(at), before.ID, most)
}
