package webhook

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/delivery"
)

const (
	// A batch of a log has at most so many events and bytes.
	perLog   = 500
	logBytes = 1 << 20
)

// streamRetries is the wait after each failure in a row of a log: nothing after it can be sent, so it
// is tried more often than one event.
var streamRetries = delivery.Schedule{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute}

// stream sends a log on, one batch after the other, in the order of the log. What is not taken is
// tried again before anything after it.
func (s *Sender) stream(ctx context.Context, d *db.DB, w Webhook, k signer) error {
	for until := d.Now().Add(batchLasts); d.Now().Before(until); {
		m, b, err := s.lines(ctx, d, w)
		if err != nil {
			return err
		}
		if b.read == s.readTo(w) {
			return nil // everything was read
		}
		if len(b.jobs) == 0 {
			s.note(w, b.read)
			if b.read-w.Cursor < perNote {
				continue
			}
		} else {
			if !s.room.Take(string(w.OrgID), w.ID) {
				return nil
			}
			a := s.post(ctx, w, k, m)
			s.room.Add(string(w.OrgID), w.ID, -1)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.done = []job{{event: b.jobs[0].event, answer: a, at: d.Now()}}
		}
		moved, taken, err := s.keepLog(ctx, d, &w, b)
		if err != nil || !moved || !taken {
			return err
		}
	}
	return nil
}

// lines reads the next batch of a log.
func (s *Sender) lines(ctx context.Context, r db.Reader, w Webhook) (message, *batch, error) {
	b := &batch{read: s.readTo(w)}
	m := message{media: "application/x-ndjson"}
	events, err := audit.After(ctx, r, string(w.OrgID), b.read, perLog)
	if err != nil {
		return m, nil, err
	}
	for _, e := range events {
		if w.wants(e.Action) {
			text, err := w.line(e)
			if err != nil {
				return m, nil, err
			}
			if len(b.jobs) > 0 && len(m.body)+len(text)+1 > logBytes {
				break
			}
			m.body = append(append(m.body, text...), '\n')
			b.jobs = append(b.jobs, job{event: e})
		}
		b.read = e.Leaf
	}
	if n := len(b.jobs); n > 0 {
		m.id = fmt.Sprintf("log_%d-%d", b.jobs[0].event.Sequence, b.jobs[n-1].event.Sequence)
	}
	return m, b, nil
}

// keepLog stores what came of a batch of a log. The cursor moves only if it was taken.
func (s *Sender) keepLog(ctx context.Context, d *db.DB, w *Webhook, b *batch) (moved, taken bool, err error) {
	to := b.read
	taken = len(b.done) == 0 || b.done[0].answer.taken()
	if !taken {
		to = w.Cursor
	}
	o := outcomeOf(*w, b.done)
	err = d.Update(ctx, func(tx *db.Tx) (err error) {
		for _, j := range b.done {
			if err := keepAttempt(ctx, tx, *w, Attempt{
				At: j.at, EventID: j.event.ID, Action: j.event.Action, Events: len(b.jobs), Took: j.answer.took, Status: j.answer.status, Why: j.answer.why,
			}); err != nil {
				return err
			}
		}
		moved, err = s.move(ctx, tx, *w, to, o)
		return err
	})
	if err == nil && moved && taken {
		w.Cursor, w.Failures, w.TakenAt, w.ParkedAt = to, o.failures, o.takenAt, time.Time{}
	}
	return moved, taken, err
}
