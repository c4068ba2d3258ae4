package webhook

import (
	"context"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// Attempt is one request that was sent, and what was answered. Nobody is shown the body of an
// answer: it may be of a host that the reader could not ask.
type Attempt struct {
	ID      string
	At      time.Time
	EventID string // of a batch, the first one
	Action  audit.Action
	Events  int
	Took    time.Duration
	Status  int    // 0 where there was no answer
	Why     string // there was none
}

// Taken reports whether the receiver took it.
func (a Attempt) Taken() bool { return a.Status >= 200 && a.Status < 300 }

// Milliseconds returns how long the answer took.
func (a Attempt) Milliseconds() int { return int(a.Took.Milliseconds()) }

func (a *Attempt) targets(took *int64) []any {
	return db.Into(&a.ID, (*db.Time)(&a.At), &a.EventID, &a.Action, &a.Events, took, &a.Status, &a.Why)
}

// Attempts lists the last attempts of a webhook, the newest first: all, or those that failed. Before
// is when the list begins, for the next page.
func Attempts(ctx context.Context, r db.Reader, actor directory.Actor, w Webhook, q Query) ([]Attempt, error) {
	if err := actor.MayRead(ctx, r, w.OrgID); err != nil {
		return nil, err
	}
	before := q.Before
	if before.IsZero() {
		before = r.Now().Add(time.Hour)
	}
	var all []Attempt
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var a Attempt
		var took int64
		err := scan(a.targets(&took)...)
		a.Took = time.Duration(took) * time.Millisecond
		all = append(all, a)
		return err
	}, `
		select id, at, event_id, action, events, took, status, why
		from webhook_attempts
		where org_id = $1 and webhook_id = $2 and (at < $3 or at = $3 and id < $4) and (not $5 or not taken)
		order by at desc, id desc
		limit $6`, string(w.OrgID), w.ID, db.Time(before), q.ID, q.Failed, q.Limit)
	return all, err
}

// Query says which attempts are listed.
type Query struct {
	Before time.Time // with ID, the last one of the page before
	ID     string
	Failed bool
	Limit  int
}

// Waiting is an event that was not taken.
type Waiting struct {
	EventID string
	Tries   int
	NextAt  time.Time // zero once given up: a person may send it
	Failed  time.Time // at the last try
}

// WaitingOf lists the events that a webhook did not take, the oldest first.
func WaitingOf(ctx context.Context, r db.Reader, actor directory.Actor, w Webhook, limit int) ([]Waiting, error) {
	if err := actor.MayRead(ctx, r, w.OrgID); err != nil {
		return nil, err
	}
	return db.List(ctx, r, func(x *Waiting) []any {
		return db.Into(&x.EventID, &x.Tries, (*db.Time)(&x.NextAt), (*db.Time)(&x.Failed))
	}, `
		select event_id, tries, next_try_at, failed_at
		from webhook_retries
		where org_id = $1 and webhook_id = $2
		order by leaf
		limit $3`, string(w.OrgID), w.ID, limit)
}

// Behind returns how many events of the log come after the cursor of a webhook, whether or not it is
// sent them.
func Behind(ctx context.Context, r db.Reader, w Webhook) (int64, error) {
	size, err := audit.SizeOf(ctx, r, string(w.OrgID))
	return max(size-1-w.Cursor, 0), err
}

// Try sends a signed test, which is in no log, and returns what was answered. It is not called inside
// a transaction.
func (s *Sender) Try(ctx context.Context, actor directory.Actor, org directory.OrgID, id string) (Attempt, error) {
	w, err := s.mayCall(ctx, actor, org, id)
	if err != nil {
		return Attempt{}, err
	}
	return s.callNow(ctx, w, testOf(w, secret.NewID("evt"), s.DB.Now(), actor.Event(org, Test)))
}

// SendAgain sends one event of the log, whether or not it was taken before, and returns what was
// answered. It is not called inside a transaction.
func (s *Sender) SendAgain(ctx context.Context, actor directory.Actor, org directory.OrgID, id, event string) (Attempt, error) {
	w, err := s.mayCall(ctx, actor, org, id)
	if err != nil {
		return Attempt{}, err
	}
	e, found, err := audit.ByID(ctx, s.DB, string(org), event)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	if err != nil {
		return Attempt{}, err
	}
	return s.callNow(ctx, w, e)
}

// mayCall returns a webhook that the actor may have called now, which is counted.
func (s *Sender) mayCall(ctx context.Context, actor directory.Actor, org directory.OrgID, id string) (Webhook, error) {
	if err := actor.MaySetRules(ctx, s.DB, org); err != nil {
		return Webhook{}, err
	}
	w, err := byID(ctx, s.DB, org, id)
	if err == nil {
		err = s.Count(ctx, org, 1)
	}
	return w, err
}

// callNow sends an event while somebody waits for the answer, as a log's only line where the webhook
// is one.
func (s *Sender) callNow(ctx context.Context, w Webhook, e audit.Stored) (Attempt, error) {
	k, err := s.signerOf(ctx, s.DB, w)
	if err != nil {
		return Attempt{}, err
	}
	text, err := w.line(e)
	if err != nil {
		return Attempt{}, err
	}
	m := message{e.ID, "application/json", text}
	if w.Kind == Log {
		m.media, m.body = "application/x-ndjson", append(m.body, '\n')
	}
	got := s.post(ctx, w, k, m)
	if ctx.Err() != nil {
		return Attempt{}, ctx.Err()
	}
	a := Attempt{At: s.DB.Now(), EventID: e.ID, Action: e.Action, Events: 1, Took: got.took, Status: got.status, Why: got.why}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := keepAttempt(ctx, tx, w, a); err != nil {
			return err
		}
		if e.Action == Test {
			if _, err := tx.Exec(ctx, `
				update webhooks set tested_at = $1
				where org_id = $2 and id = $3 and address = $4`, db.Time(a.At), string(w.OrgID), w.ID, w.Address); err != nil {
				return err
			}
		}
		if !a.Taken() {
			return nil
		}
		if _, err := tx.Exec(ctx, `
			update webhooks set taken_at = $1, next_try_at = null
			where org_id = $2 and id = $3`, db.Time(a.At), string(w.OrgID), w.ID); err != nil {
			return err
		}
		return forget(ctx, tx, w, e.ID)
	})
	return a, err
}
