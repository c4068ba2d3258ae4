package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/delivery"
	"parvis/internal/directory"
	"parvis/internal/outbound"
	"parvis/internal/safely"
	"parvis/internal/secret"
)

const (
	// A node has at most mostAtOnce calls on the way, mostOfOwner to the receivers of one
	// organization, and atOnce to one receiver. A receiver that failed last gets one at a time.
	mostAtOnce  = 256
	mostOfOwner = 64
	atOnce      = 8
	// patience is how long a sweep waits for answers; slower calls go on in the background.
	patience = 800 * time.Millisecond
	// perBatch is how many events are sent until their outcome is stored, and batchLasts how long
	// that takes at most, unless a receiver hangs. After a crash these are sent again.
	perBatch   = 64
	batchLasts = 15 * time.Second
	// perRead is how many events are read at once, and perNote after how many that nobody
	// subscribed to the cursor is stored all the same.
	perRead = 500
	perNote = 500
	// longestWait is how long a receiver may have us wait (Retry-After).
	longestWait = 24 * time.Hour
	// probesEvery is how often the head of a parked webhook is tried.
	probesEvery = 5 * time.Minute
)

// retries is the wait after each try of an event (Standard Webhooks 1.0, "Retries").
var retries = delivery.Schedule{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// due is a webhook for which there may be something to send.
type due struct {
	Webhook

	size    int64 // of the log
	retries bool  // some are due
}

// Sweep sends what is due, and waits a little for the answers. Each webhook has its own goroutine
// until its batch is done, so one that hangs delays only itself. It runs each second and mostly
// finds nothing, so it reads before it writes.
func (s *Sender) Sweep(ctx context.Context, d *db.DB) error {
	all, err := db.List(ctx, d, func(w *due) []any { return append(w.targets(), &w.size, &w.retries) }, `
		select `+columns+`, coalesce(l.size, 0), exists (
				select 1 from webhook_retries r where r.org_id = w.org_id and r.webhook_id = w.id and r.next_try_at <= $1)
		from webhooks w
		left join audit_logs l on l.org_id = w.org_id
		where w.state = 'on' and w.version <= $2 and `+directory.NotDeleted("w.org_id")+` and (w.next_try_at is null or w.next_try_at <= $1)
			and (w.tested_at is null or w.parked_at is not null or l.size > w.cursor + 1 or exists (
				select 1 from webhook_retries r where r.org_id = w.org_id and r.webhook_id = w.id and r.next_try_at <= $1))`, db.Time(d.Now()), bodyVersion)
	if err != nil {
		return err
	}
	var work sync.WaitGroup
	for _, w := range all {
		idle := !w.TestedAt.IsZero() && !w.Parked() && !w.retries && s.readTo(w.Webhook) >= w.size-1
		if idle || !s.begin(w.ID) {
			continue
		}
		work.Go(func() {
			defer s.end(w.ID)
			if err := safely.Do(func() error { return s.send(ctx, d, w.Webhook) }); err != nil && !errors.Is(err, context.Canceled) {
				s.Log.ErrorContext(ctx, "sending events", "webhook", w.ID, "error", err.Error())
			}
		})
	}
	delivery.Await(&work, patience)
	return s.sweepParked(ctx, d)
}

// begin reports whether no batch of a webhook is on the way, and from now on one is.
func (s *Sender) begin(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *Sender) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}

// readTo returns up to where the log was read for a webhook: its cursor, or farther if nothing of
// what came was for it.
func (s *Sender) readTo(w Webhook) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.scanned[w.ID]; ok && at.cursor == w.Cursor {
		return max(at.to, w.Cursor)
	}
	return w.Cursor
}

func (s *Sender) note(w Webhook, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scanned[w.ID] = scanned{w.Cursor, to}
}

func (s *Sender) send(ctx context.Context, d *db.DB, w Webhook) error {
	if w.TestedAt.IsZero() { // the address is new
		if _, err := s.callNow(ctx, w, testOf(w, secret.NewID("evt"), d.Now(), directory.System(w.OrgID).Event(w.OrgID, Test))); err != nil {
			return err
		}
	}
	k, err := s.signerOf(ctx, d, w)
	if err != nil {
		return err
	}
	if w.Kind == Log {
		return s.stream(ctx, d, w, k)
	}
	b, err := s.gather(ctx, d, w)
	if err != nil {
		return err
	}
	if err := s.sendAll(ctx, w, k, b); err != nil {
		return err
	}
	if len(b.done) == 0 && len(b.lost) == 0 {
		s.note(w, b.to())
		if b.to()-w.Cursor < perNote {
			return nil
		}
	}
	return s.keepBatch(ctx, d, w, b)
}

// job is an event that is to be sent.
type job struct {
	event audit.Stored
	tries int64 // before this one; it lies before the cursor if there were some
	again bool

	answer answer
	at     time.Time
}

// batch is what is sent until the outcome is stored.
type batch struct {
	jobs []job
	read int64 // up to where the log was read

	begun int   // how many of jobs were begun
	done  []job // in the order in which they were answered
	lost  []job // events that retention took before they were taken
}

// to returns the place up to which everything was sent, or is stored as failed.
func (b *batch) to() int64 {
	for _, j := range b.jobs[b.begun:] {
		if !j.again {
			return j.event.Leaf - 1
		}
	}
	return b.read
}

// gather reads what is due: what failed before, then what is new. Of a parked webhook it is the
// head alone.
func (s *Sender) gather(ctx context.Context, r db.Reader, w Webhook) (*batch, error) {
	b := &batch{read: s.readTo(w)}
	until := r.Now()
	if w.Parked() {
		until = until.AddDate(10, 0, 0) // whatever its schedule says
	}
	type row struct {
		id          string
		leaf, tries int64
	}
	failed, err := db.List(ctx, r, func(j *row) []any { return db.Into(&j.id, &j.leaf, &j.tries) }, `
		select event_id, leaf, tries
		from webhook_retries
		where org_id = $1 and webhook_id = $2 and next_try_at <= $3
		order by leaf
		limit $4`, string(w.OrgID), w.ID, db.Time(until), perBatch)
	if err != nil {
		return nil, err
	}
	for _, f := range failed {
		e, found, err := audit.ByID(ctx, r, string(w.OrgID), f.id)
		if err != nil {
			return nil, err
		}
		if e.ID = f.id; !found {
			b.lost = append(b.lost, job{event: e})
			continue
		}
		b.jobs = append(b.jobs, job{event: e, tries: f.tries, again: true})
		if w.Parked() {
			return b, nil
		}
	}
	events, err := audit.After(ctx, r, string(w.OrgID), b.read, perRead)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if len(b.jobs) >= perBatch {
			break
		}
		if w.wants(e.Action) {
			b.jobs = append(b.jobs, job{event: e})
		}
		if b.read = e.Leaf; w.Parked() && len(b.jobs) > 0 {
			break
		}
	}
	return b, nil
}

// sendAll sends the jobs of a batch in their order, some at once. It begins no more once the
// receiver does not seem to answer, or asks to wait.
func (s *Sender) sendAll(ctx context.Context, w Webhook, k signer, b *batch) error {
	width, patient := atOnce, atOnce
	if w.Failures > 0 || w.TakenAt.IsZero() {
		width, patient = 1, 1
	}
	answered := make(chan int)
	onTheWay, failedInARow, until := 0, 0, s.DB.Now().Add(batchLasts)
	stop := false
	for b.begun < len(b.jobs) || onTheWay > 0 {
		for !stop && b.begun < len(b.jobs) && onTheWay < width && s.room.Take(string(w.OrgID), w.ID) {
			i := b.begun
			b.begun++
			onTheWay++
			go func() {
				j := &b.jobs[i]
				if err := safely.Do(func() error { j.answer = s.call(ctx, w, k, j.event); return nil }); err != nil {
					s.Log.ErrorContext(ctx, "sending an event", "webhook", w.ID, "error", err.Error())
					j.answer = answer{why: string(outbound.Unreachable)}
				}
				s.room.Add(string(w.OrgID), w.ID, -1)
				answered <- i
			}()
		}
		if onTheWay == 0 {
			break
		}
		j := &b.jobs[<-answered]
		onTheWay--
		j.at = s.DB.Now()
		b.done = append(b.done, *j)
		if failedInARow++; j.answer.taken() {
			failedInARow = 0
		}
		stop = stop || failedInARow >= patient || j.answer.wait > 0 || j.answer.status == http.StatusGone || j.at.After(until) || ctx.Err() != nil
	}
	return ctx.Err()
}

// answer is what came of a call.
type answer struct {
	status int
	why    string        // there was no answer: a reason of outbound's
	wait   time.Duration // for which the receiver asks
	took   time.Duration
}

func (a answer) taken() bool { return a.status >= 200 && a.status < 300 }

// call sends one event.
func (s *Sender) call(ctx context.Context, w Webhook, k signer, e audit.Stored) answer {
	text, err := w.line(e)
	if err != nil {
		s.Log.ErrorContext(ctx, "writing an event", "webhook", w.ID, "error", err.Error())
		return answer{why: "failed"}
	}
	return s.post(ctx, w, k, message{e.ID, "application/json", text})
}

// message is what is sent in one request.
type message struct {
	id    string
	media string
	body  []byte
}

// mostRead is how much of an answer is read. Nobody is shown it.
const mostRead = 64 << 10

// post sends a message, signed.
func (s *Sender) post(ctx context.Context, w Webhook, k signer, m message) answer {
	headers, err := s.headersOf(w)
	if err != nil {
		s.Log.ErrorContext(ctx, "opening headers", "webhook", w.ID, "error", err.Error())
		return answer{why: "failed"}
	}
	began := s.DB.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Address, newReader(m.body))
	if err != nil {
		return answer{why: string(outbound.Scheme)}
	}
	for _, h := range headers {
		r.Header.Set(h.Name, h.Value)
	}
	r.Header.Set("Content-Type", m.media)
	r.Header.Set("User-Agent", "Parvis-Webhook/1")
	r.Header.Set("Webhook-Id", m.id)
	r.Header.Set("Webhook-Timestamp", fmt.Sprint(began.Unix()))
	r.Header.Set("Webhook-Signature", k.sign(m.id, began, m.body))
	got, err := s.client(w.OrgID).Tell(r, mostRead)
	a := answer{status: got.Status, took: s.DB.Now().Sub(began)}
	if why, ok := errors.AsType[outbound.Refused](err); ok {
		a.why = string(why)
	} else if err != nil {
		a.why = "failed"
	}
	if !a.taken() && err == nil {
		a.wait = retryAfter(got.Header.Get("Retry-After"), s.DB.Now())
	}
	return a
}

// sweepParked tells administrators of webhooks that are parked, and turns off those that have been
// for days.
func (s *Sender) sweepParked(ctx context.Context, d *db.DB) error {
	const late = `
		select ` + columns + `
		from webhooks w
		where w.parked_at <= $1 and (w.told_at is null or w.parked_at <= $2)`
	args := func(now time.Time) []any { return []any{db.Time(now.Add(-TellsAfter)), db.Time(now.Add(-EndsAfter))} }
	if some, err := d.One(ctx, (&Webhook{}).targets(), late+` limit 1`, args(d.Now())...); err != nil || !some {
		return err
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		all, err := db.List(ctx, tx, (*Webhook).targets, late, args(tx.Now())...)
		for _, w := range slices.DeleteFunc(all, func(w Webhook) bool { return !w.On }) {
			if err == nil {
				err = s.late(ctx, tx, w)
			}
		}
		return err
	})
}

// Backlog returns how many events wait to be sent again, since when the first of them failed (the zero
// time if none), and of how many webhooks only the oldest event is tried, because nobody takes any.
func Backlog(ctx context.Context, r db.Reader) (events int, oldest time.Time, parked int, err error) {
	if _, err = r.One(ctx, db.Into(&events, (*db.Time)(&oldest)), `select count(*), min(failed_at) from webhook_retries where next_try_at is not null`); err == nil {
		_, err = r.One(ctx, db.Into(&parked), `select count(*) from webhooks where parked_at is not null`)
	}
	return events, oldest, parked, err
}
