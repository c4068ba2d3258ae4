package mail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/i18n"
	"parvis/internal/measure"
	"parvis/internal/trace"
)

const (
	// batch is how many letters one Sweep claims.
	batch = 50
	// lease is how long a letter belongs to the Sweep that claimed it. If it has not
	// ended by then, that Sweep crashed and another one sends it. The lease is short,
	// because the letter may have a link that works for ten minutes only.
	lease = time.Minute
	// sending is how long a Sweep begins new letters. The last one may take as long as
	// the server's timeout, and must end before its lease does.
	sending = 25 * time.Second
	// nearEnd is how long before its link ends a letter is sent before all others of its Sweep,
	// where the mail server may be slow.
	nearEnd = 10 * time.Minute
	// grace is how long the current letter may take while the program stops.
	grace = 10 * time.Second
	// marking is how long storing the outcome of a letter may take while the program stops.
	marking = 10 * time.Second
	// pause is how long all letters wait when the mail server itself fails.
	pause = time.Minute
	// usefulness is how long we try. After three days the person has asked again.
	usefulness = 3 * 24 * time.Hour
)

// delay is how long a letter waits after its first, second, … refusal.
func delay(tries int) time.Duration {
	delays := []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour}
	return delays[min(max(tries, 1), len(delays))-1]
}

// waiting is the row of a letter that has not ended.
type waiting struct {
	orgID, id, kind, recipient string
	language                   i18n.Tag
	timeZone                   string
	parameters                 string
	createdAt                  time.Time
	endsAt                     time.Time // of its link; zero if it has none
	tries                      int
}

// Sweep sends the letters that are due. Call it about every second: if nothing is due it
// costs one look at an index. Any number of nodes may call it at the same time. It returns
// errors of the database; errors of a letter or of the mail server are logged, and the letter
// is tried again.
func (o *Outbox) Sweep(ctx context.Context, d *db.DB) error {
	if o.server == nil {
		return nil
	}
	var id string
	due, err := d.One(ctx, db.Into(&id), `select id from letters where next_try_at <= $1 limit 1`, db.Time(d.Now()))
	if err != nil || !due {
		return err
	}
	// The current letter is finished even if the program is stopping.
	hand, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(o.grace, drop) })()
	beginning, done := context.WithTimeout(ctx, sending)
	defer done()
	// Connecting comes before claiming, so that a server that is down does not cost a
	// letter one of its tries.
	watch, span := measure.Start(), trace.Call(ctx, "connect to the mail server")
	c, err := o.server.connect(hand)
	if err != nil {
		o.called(watch, span, "unreachable")
	}
	span.End()
	if err != nil && ctx.Err() != nil {
		return nil // nothing was claimed
	}
	if err != nil {
		o.log.WarnContext(ctx, "mail server not reached", "error", err, "means", o.means(AnswerIn(err)))
		return o.postpone(ctx, d, AnswerIn(err))
	}
	defer c.close()
	letters, err := o.claim(ctx, d)
	if err != nil {
		return err
	}
	heads := map[string]head{} // of these letters, by organization: a logo is drawn once for all
	for i, l := range letters {
		if beginning.Err() != nil {
			return release(ctx, d, letters[i:], 0)
		}
		usable, err := o.try(ctx, d, c, l, heads)
		if err != nil {
			return err
		}
		if !usable {
			c.hangUp()
			return release(ctx, d, letters[i+1:], pause)
		}
	}
	return nil
}

// claim takes letters that are due. If two sweeps claim at the same time, each letter goes to
// one of them: the one that waited for the other's row checks again whether it is due. Each
// statement is its own transaction, because one that reads many letters would lose every
// race against the small ones that end one letter each. Letters that expire soonest come
// first.
func (o *Outbox) claim(ctx context.Context, d *db.DB) ([]waiting, error) {
	if err := o.retire(ctx, d); err != nil {
		return nil, err
	}
	var letters []waiting
	now := d.Now()
	err := d.Exec(ctx, func(scan func(...any) error) error {
		var l waiting
		err := scan(&l.orgID, &l.id, &l.kind, &l.recipient, &l.language, &l.timeZone, (*db.Text)(&l.parameters),
			(*db.Time)(&l.createdAt), (*db.Time)(&l.endsAt), &l.tries)
		letters = append(letters, l)
		return err
	}, `
		update letters
		set next_try_at = $1, tries = tries + 1
		where next_try_at <= $2 and (org_id, id) in (
			select org_id, id from letters where next_try_at <= $3 order by ends_at is null, ends_at, next_try_at limit $4)
		returning org_id, id, kind, recipient, language, time_zone, parameters, created_at, ends_at, tries`,
		db.Time(now.Add(lease)), db.Time(now), db.Time(now), batch)
	// PostgreSQL returns them in any order.
	slices.SortStableFunc(letters, func(a, b waiting) int { return sooner(a, b, now.Add(nearEnd)) })
	return letters, err
}

// sooner orders the letters of one sweep: those whose link ends before a time, by that end. The
// others are read in the order of what happened.
func sooner(a, b waiting, near time.Time) int {
	ends := func(l waiting) time.Time {
		if l.endsAt.IsZero() || l.endsAt.After(near) {
			return near
		}
		return l.endsAt
	}
	return cmp.Or(ends(a).Compare(ends(b)), a.createdAt.Compare(b.createdAt))
}

// retire gives up letters of all organizations that have waited for too long. It runs with each sweep
// and mostly finds nothing, so it reads before it writes.
func (o *Outbox) retire(ctx context.Context, d *db.DB) error {
	const over = `select org_id, id from letters where next_try_at <= $1 and (created_at <= $2 or ends_at <= $1) limit $3`
	for {
		now := d.Now()
		var org, id string
		found, err := d.One(ctx, db.Into(&org, &id), over, db.Time(now), db.Time(now.Add(-usefulness)), 1)
		if err != nil || !found {
			return err
		}
		var retired []audit.Event
		err = d.Update(ctx, func(tx *db.Tx) error {
			retired = nil
			err := tx.Rows(ctx, func(scan func(...any) error) error {
				var l waiting
				var answer Answer
				err := scan(&l.orgID, &l.id, &l.kind, (*db.Text)(&answer))
				retired = append(retired, unsent(l, answer))
				return err
			}, `
				update letters
				set given_up_at = $1, next_try_at = null, parameters = null
				where (org_id, id) in (`+over+`)
				returning org_id, id, kind, reply`, db.Time(now), db.Time(now.Add(-usefulness)), db.Part)
			if err != nil {
				return err
			}
			return audit.RecordAll(ctx, tx, retired)
		})
		if db.IsBusy(err) { // it lost to those who end one letter each, and the next sweep tries again
			o.log.WarnContext(ctx, "letters not given up yet", "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range retired {
			reason, _ := e.After["reason"].(string)
			o.sayGivenUp(ctx, waiting{orgID: e.OrgID, id: e.Target}, Answer(reason))
		}
	}
}

func (o *Outbox) sayGivenUp(ctx context.Context, l waiting, answer Answer) {
	o.log.WarnContext(ctx, "letter given up", "letter", l.id, "org", l.orgID, "answer", string(answer), "means", o.means(answer))
}

// postpone makes all letters that are due wait while the mail server fails, and stores its
// answer if there was one.
func (o *Outbox) postpone(ctx context.Context, d *db.DB, answer Answer) error {
	if err := o.retire(ctx, d); err != nil {
		return err
	}
	now := d.Now()
	return d.Exec(ctx, nothing, `update letters set next_try_at = $1, reply = coalesce($2, reply) where next_try_at <= $3`,
		db.Time(now.Add(pause)), db.Text(answer), db.Time(now))
}

// nothing is the scan function for statements without rows.
func nothing(func(...any) error) error { return nil }

// release gives back letters that were claimed and not tried, to be due after wait.
func release(ctx context.Context, d *db.DB, letters []waiting, wait time.Duration) error {
	return keep(ctx, d, func(ctx context.Context, tx *db.Tx) error {
		for _, l := range letters {
			if _, err := tx.Exec(ctx, `
				update letters
				set next_try_at = $1, tries = tries - 1
				where org_id = $2 and id = $3 and next_try_at is not null`,
				db.Time(tx.Now().Add(wait)), l.orgID, l.id); err != nil {
				return fmt.Errorf("releasing letter %s: %w", l.id, err)
			}
		}
		return nil
	})
}

// keep runs fn even if the program is stopping, because what happened to a letter must be
// stored.
func keep(ctx context.Context, d *db.DB, fn func(context.Context, *db.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), marking)
	defer cancel()
	return d.Update(ctx, func(tx *db.Tx) error { return fn(ctx, tx) })
}

// try sends one letter and stores the outcome. It reports whether the connection can be used
// for the next one.
func (o *Outbox) try(ctx context.Context, d *db.DB, c *connection, l waiting, heads map[string]head) (usable bool, err error) {
	usefulUntil := l.createdAt.Add(usefulness)
	p, problem := o.open(l)
	if problem == nil && !p.endsAt().IsZero() && p.endsAt().Before(usefulUntil) {
		usefulUntil = p.endsAt()
	}
	now := d.Now()
	if !now.Before(usefulUntil) {
		o.sayGivenUp(ctx, l, "")
		return true, markUnsent(ctx, d, l, ending{givenUp: now})
	}
	var m message
	if problem == nil {
		m, problem = o.write(ctx, d, l, p, heads)
	}
	if errors.Is(problem, ErrNoLetters) {
		return true, mark(ctx, d, l, ending{givenUp: now})
	}
	if problem != nil {
		o.log.ErrorContext(ctx, "letter not written", "letter", l.id, "error", problem)
		return true, o.putOff(ctx, d, l, usefulUntil, "")
	}
	watch, span := measure.Start(), trace.Call(ctx, "send a letter")
	answer, problem := c.send(m)
	refused, isRefusal := errors.AsType[*refusal](problem)
	o.called(watch, span, resultOf(problem, refused))
	span.End()
	switch {
	case problem == nil:
		return true, mark(ctx, d, l, ending{sent: d.Now(), answer: answer})
	case !isRefusal:
		answer = AnswerIn(problem)
		o.log.WarnContext(ctx, "mail server failed", "letter", l.id, "error", problem, "means", o.means(answer))
		return false, o.putOff(ctx, d, l, usefulUntil, answer)
	case refused.permanent:
		o.log.WarnContext(ctx, "letter refused for good", "letter", l.id, "org", l.orgID, "answer", string(refused.answer), "means", o.means(refused.answer))
		return true, markUnsent(ctx, d, l, ending{bounced: d.Now(), answer: refused.answer})
	default:
		return true, o.putOff(ctx, d, l, usefulUntil, refused.answer)
	}
}

// called counts a call to the mail server.
func (o *Outbox) called(watch measure.Stopwatch, span *trace.Span, result string) {
	o.Calls.Of(measure.Labels{"mail", result}).Observe(watch.Took())
	if result != "taken" {
		span.Fail(result)
	}
}

// resultOf names how the sending of a letter ended.
func resultOf(problem error, refused *refusal) string {
	switch {
	case problem == nil:
		return "taken"
	case refused == nil:
		return "failed"
	case refused.permanent:
		return "refused"
	}
	return "later"
}

// Unsent returns how many letters wait, and since when the oldest does; the zero time if none.
func Unsent(ctx context.Context, r db.Reader) (n int, oldest time.Time, err error) {
	_, err = r.One(ctx, db.Into(&n, (*db.Time)(&oldest)), `select count(*), min(created_at) from letters where next_try_at is not null`)
	return n, oldest, err
}

// write renders a letter under its organization's head, which heads keeps for the next one. It
// does so even if the program is stopping, because the letter in hand is still sent.
func (o *Outbox) write(ctx context.Context, d *db.DB, l waiting, p Parameters, heads map[string]head) (message, error) {
	h, known := heads[l.orgID]
	if !known {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), marking)
		defer cancel()
		var err error
		if h, err = o.head(ctx, d, l.orgID); err != nil {
			return message{}, err
		}
		heads[l.orgID] = h
	}
	return o.render(l, p, h, d.Now())
}

func (o *Outbox) head(ctx context.Context, r db.Reader, orgID string) (head, error) {
	var of Letterhead
	if orgID != "" {
		var err error
		if of, err = o.letterhead(ctx, r, orgID); err != nil {
			return head{}, fmt.Errorf("reading the letterhead of %s: %w", orgID, err)
		}
	}
	return newHead(of, o.from)
}

// means returns what an answer means, in English for the log.
func (o *Outbox) means(a Answer) string {
	if key := a.Key(); key != "" {
		return o.catalogue.In("en").Text(key)
	}
	return ""
}

// open unseals the parameters of a letter.
func (o *Outbox) open(l waiting) (Parameters, error) {
	raw, err := o.box.Open(l.parameters, row(l.orgID, l.id))
	if err != nil {
		return nil, err
	}
	return parse(l.kind, raw)
}

// mark ends a letter.
func mark(ctx context.Context, d *db.DB, l waiting, e ending) error {
	return keep(ctx, d, func(ctx context.Context, tx *db.Tx) error { return end(ctx, tx, l.orgID, l.id, e) })
}

// markUnsent is mark for a letter that reaches nobody, which the audit log has: without the
// recipient, who may be no user.
func markUnsent(ctx context.Context, d *db.DB, l waiting, e ending) error {
	return keep(ctx, d, func(ctx context.Context, tx *db.Tx) error {
		if err := end(ctx, tx, l.orgID, l.id, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, unsent(l, e.answer))
	})
}

// unsent is what the audit log has of a letter that reaches nobody.
func unsent(l waiting, answer Answer) audit.Event {
	return audit.Event{
		OrgID: l.orgID, Actor: audit.System, ActorName: audit.System, Action: "letter.refused", Result: audit.Refused,
		Target: l.id, After: audit.Fields{"kind": l.kind, "reason": string(answer)},
	}
}

// putOff stores when a letter is tried next, or ends the letter if that would be too late.
func (o *Outbox) putOff(ctx context.Context, d *db.DB, l waiting, usefulUntil time.Time, answer Answer) error {
	next := d.Now().Add(delay(l.tries))
	if !next.Before(usefulUntil) {
		o.sayGivenUp(ctx, l, answer)
		return markUnsent(ctx, d, l, ending{givenUp: d.Now(), answer: answer})
	}
	return keep(ctx, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			update letters
			set next_try_at = $1, reply = coalesce($2, reply)
			where org_id = $3 and id = $4 and next_try_at is not null`,
			db.Time(next), db.Text(answer), l.orgID, l.id)
		return err
	})
}
