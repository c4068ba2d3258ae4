package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/delivery"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/secret"
)

func newReader(body []byte) io.Reader { return bytes.NewReader(body) }

// retryAfter reads how long a receiver asks to wait, in seconds or as a date, up to a day.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0
	}
	wait := time.Duration(0)
	if strings.Trim(text, "0123456789") == "" {
		wait = longestWait
		if seconds, err := time.ParseDuration(text + "s"); err == nil {
			wait = seconds
		}
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), longestWait)
}

// outcome is what a webhook becomes by what was answered.
type outcome struct {
	failures int64
	takenAt  time.Time
	wait     time.Duration // for which the receiver asked
	gone     bool
	resumed  bool // it was parked, and takes events again
	parks    bool
}

func outcomeOf(w Webhook, done []job) outcome {
	o := outcome{failures: w.Failures, takenAt: w.TakenAt}
	for _, j := range done {
		o.failures++
		o.wait = max(o.wait, j.answer.wait)
		o.gone = o.gone || j.answer.status == http.StatusGone
		if j.answer.taken() {
			o.failures, o.takenAt = 0, j.at
		}
	}
	o.resumed = w.Parked() && o.failures == 0 && len(done) > 0
	o.parks = !w.Parked() && o.failures >= ParksAfter
	return o
}

// nextTry returns when something may be sent again.
func (o outcome) nextTry(w Webhook, now time.Time) time.Time {
	wait := o.wait
	switch {
	case o.failures == 0:
	case o.parks || w.Parked():
		wait = max(wait, delivery.Jitter(probesEvery, w.ID))
	case w.Kind == Log:
		wait = max(wait, delivery.Jitter(streamRetries.Forever(int(o.failures)), w.ID))
	}
	if wait == 0 {
		return time.Time{}
	}
	return now.Add(wait)
}

// keepBatch stores what came of a batch, unless somebody set the cursor back meanwhile: then all of
// it is sent again.
func (s *Sender) keepBatch(ctx context.Context, d *db.DB, w Webhook, b *batch) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		if err := keepAttempts(ctx, tx, w, b.done); err != nil {
			return err
		}
		moved, err := s.move(ctx, tx, w, b.to(), outcomeOf(w, b.done))
		if err != nil || !moved {
			return err
		}
		for _, j := range b.lost {
			if err := forget(ctx, tx, w, j.event.ID); err != nil {
				return err
			}
		}
		for _, j := range b.done {
			if err := keepRetry(ctx, tx, w, j); err != nil {
				return err
			}
		}
		return nil
	})
}

// move stores how far a webhook is, and what it becomes.
func (s *Sender) move(ctx context.Context, tx *db.Tx, w Webhook, to int64, o outcome) (bool, error) {
	parkedAt := w.ParkedAt
	if o.failures == 0 {
		parkedAt = time.Time{}
	} else if o.parks {
		parkedAt = tx.Now()
	}
	n, err := tx.Exec(ctx, `
		update webhooks set cursor = $1, failures = $2, parked_at = $3, told_at = case when cast($2 as bigint) = 0 then null else told_at end, next_try_at = $4, taken_at = $5
		where org_id = $6 and id = $7 and cursor = $8 and state = 'on'`,
		to, o.failures, db.Time(parkedAt), db.Time(o.nextTry(w, tx.Now())), db.Time(o.takenAt), string(w.OrgID), w.ID, w.Cursor)
	if err != nil || n == 0 {
		return false, err
	}
	switch system := directory.System(w.OrgID); {
	case o.gone:
		return true, s.endBy(ctx, tx, w, Gone)
	case o.parks:
		e := w.event(system, "webhook.parked")
		e.After = audit.Fields{"failures": o.failures}
		return true, audit.Record(ctx, tx, e)
	case o.resumed:
		if err := dueAgain(ctx, tx, w); err != nil {
			return true, err
		}
		return true, audit.Record(ctx, tx, w.event(system, "webhook.resumed"))
	}
	return true, nil
}

// keepRetry stores that an event is to be sent again, or no longer.
func keepRetry(ctx context.Context, tx *db.Tx, w Webhook, j job) error {
	switch {
	case j.answer.taken():
		return forget(ctx, tx, w, j.event.ID)
	case w.Parked() && j.again:
		return nil // it stays as it is until the receiver takes it
	}
	var next time.Time
	if wait, more := retries.After(int(j.tries) + 1); more {
		next = j.at.Add(max(delivery.Jitter(wait, j.event.ID), j.answer.wait))
	}
	_, err := tx.Exec(ctx, `
		insert into webhook_retries (org_id, webhook_id, event_id, leaf, tries, next_try_at, failed_at)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (org_id, webhook_id, event_id) do update set tries = excluded.tries, next_try_at = excluded.next_try_at, failed_at = excluded.failed_at`,
		string(w.OrgID), w.ID, j.event.ID, j.event.Leaf, j.tries+1, db.Time(next), db.Time(j.at))
	return err
}

func forget(ctx context.Context, tx *db.Tx, w Webhook, event string) error {
	_, err := tx.Exec(ctx, `
		delete from webhook_retries
		where org_id = $1 and webhook_id = $2 and event_id = $3`, string(w.OrgID), w.ID, event)
	return err
}

// keepAttempts stores what was sent and answered.
func keepAttempts(ctx context.Context, tx *db.Tx, w Webhook, done []job) error {
	for _, j := range done {
		if err := keepAttempt(ctx, tx, w, Attempt{
			At: j.at, EventID: j.event.ID, Action: j.event.Action, Events: 1, Took: j.answer.took, Status: j.answer.status, Why: j.answer.why,
		}); err != nil {
			return err
		}
	}
	return nil
}

func keepAttempt(ctx context.Context, tx *db.Tx, w Webhook, a Attempt) error {
	_, err := tx.Exec(ctx, `
		insert into webhook_attempts (org_id, id, webhook_id, at, event_id, action, events, took, taken, status, why)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		string(w.OrgID), secret.NewID("wha"), w.ID, db.Time(a.At), a.EventID, string(a.Action), a.Events, a.Took.Milliseconds(), a.Taken(), a.Status, a.Why)
	return err
}

// endBy turns a webhook off that cannot go on, and writes so to the administrators.
func (s *Sender) endBy(ctx context.Context, tx *db.Tx, w Webhook, why Why) error {
	if err := w.off(ctx, tx, directory.System(w.OrgID), why); err != nil {
		return err
	}
	return s.tell(ctx, tx, w, string(why))
}

// late does what is due to a parked webhook.
func (s *Sender) late(ctx context.Context, tx *db.Tx, w Webhook) error {
	if !tx.Now().Before(w.EndsAt()) {
		return s.endBy(ctx, tx, w, Failing)
	}
	if _, err := tx.Exec(ctx, `
		update webhooks set told_at = $1
		where org_id = $2 and id = $3`, db.Time(tx.Now()), string(w.OrgID), w.ID); err != nil {
		return err
	}
	return s.tell(ctx, tx, w, mail.WebhookParked)
}

// tell writes to the owners and administrators what became of a webhook. The installation's has
// none: its operator's log says it.
func (s *Sender) tell(ctx context.Context, tx *db.Tx, w Webhook, what string) error {
	if w.OrgID == "" {
		s.Log.WarnContext(ctx, "a webhook of the installation is not taken", "webhook", w.ID, "name", w.Name, "what", what)
		return nil
	}
	org, err := directory.OrganizationByID(ctx, tx, w.OrgID)
	if err != nil {
		return err
	}
	administrators, err := directory.Administrators(ctx, tx, w.OrgID)
	if err != nil {
		return err
	}
	for _, u := range administrators {
		if _, err := s.Outbox.Put(ctx, tx, u.Letter(mail.WebhookParameters{
			Organization: org.DisplayName, Name: u.Name, Webhook: w.Name, What: what, Since: w.ParkedAt, Ends: w.EndsAt(),
			Link: s.Base + org.Path("admin", "webhooks", w.ID),
		})); err != nil {
			return fmt.Errorf("writing of webhook %s: %w", w.ID, err)
		}
	}
	return nil
}

// SweepKept removes attempts, events that were given up and secrets whose time is over.
func SweepKept(ctx context.Context, d *db.DB) error {
	since := db.Time(d.Now().Add(-AttemptsKept))
	if _, err := d.InParts(ctx, `
		delete from webhook_attempts
		where (org_id, id) in (select org_id, id from webhook_attempts where at < $1 limit $2)`, since); err != nil {
		return err
	}
	if _, err := d.InParts(ctx, `
		delete from webhook_retries
		where (org_id, webhook_id, event_id) in (
			select org_id, webhook_id, event_id from webhook_retries where failed_at < $1 and next_try_at is null limit $2)`, since); err != nil {
		return err
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from webhook_secrets where ends_at <= $1`, db.Time(tx.Now()))
		return err
	})
}
