package mail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/i18n"
)

const (
	// batch is how many letters one Sweep takes on.
	batch = 50
	// lease is how long a letter is left to the Sweep that took it. Who has not
	// ended it by then crashed, and another Sweep sends it. It is short, since what
	// the crashed one had taken may offer a link that lives ten minutes.
	lease = time.Minute
	// sending is when a Sweep begins no more letters: the last one, which may take
	// as long as the server's timeout, ends before its lease does.
	sending = 25 * time.Second
	// grace is how long the letter in hand may take while the program stops.
	grace = 10 * time.Second
	// marking is how long ending a letter may take while the program stops.
	marking = 10 * time.Second
	// pause is how long all letters wait when the mail server itself fails.
	pause = time.Minute
	// usefulness is how long we try. After three days a person has asked again.
	usefulness = 3 * 24 * time.Hour
)

// delay is how long a letter waits after its first, second, … refusal.
func delay(tries int) time.Duration {
	delays := []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour}
	return delays[min(max(tries, 1), len(delays))-1]
}

// waiting is a row of a letter that is not ended.
type waiting struct {
	orgID, id, kind, recipient string
	language                   i18n.Tag
	parameters                 string
	createdAt                  time.Time
	tries                      int
}

// Sweep sends what is due. Call it about every second: when nothing is due it
// costs one look at an index. Any number of nodes may call it at once. It
// returns what goes wrong with the database; what goes wrong with a letter or
// with the mail server is logged and tried again.
func (o *Outbox) Sweep(ctx context.Context, d *db.DB) error {
	if o.server == nil {
		return nil
	}
	var id string
	due, err := d.One(ctx, db.Into(&id), `select id from letters where next_try_at <= $1 limit 1`, db.Time(d.Now()))
	if err != nil || !due {
		return err
	}
	// The letter in hand is finished although the program is stopping.
	hand, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(o.grace, drop) })()
	beginning, done := context.WithTimeout(ctx, sending)
	defer done()
	// Connecting comes before claiming, so that a server that is down costs no
	// letter a try.
	c, err := o.server.connect(hand)
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
	for i, l := range letters {
		if beginning.Err() != nil {
			return release(ctx, d, letters[i:], 0)
		}
		usable, err := o.try(ctx, d, c, l)
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

// claim takes letters that are due. Of two sweeps that claim at once each
// letter goes to one: who waits for the other's row asks again whether it is due.
// Statements by themselves, since a transaction that reads many letters loses every
// race against the small ones that end one letter each.
// What ends soonest comes first.
func (o *Outbox) claim(ctx context.Context, d *db.DB) ([]waiting, error) {
	if err := o.retire(ctx, d); err != nil {
		return nil, err
	}
	var letters []waiting
	now := d.Now()
	err := d.Exec(ctx, func(scan func(...any) error) error {
		var l waiting
		err := scan(&l.orgID, &l.id, &l.kind, &l.recipient, &l.language, (*db.Text)(&l.parameters),
			(*db.Time)(&l.createdAt), &l.tries)
		letters = append(letters, l)
		return err
	}, `
		update letters
		set next_try_at = $1, tries = tries + 1
		where next_try_at <= $2 and (org_id, id) in (
			select org_id, id from letters where next_try_at <= $3 order by ends_at is null, ends_at, next_try_at limit $4)
		returning org_id, id, kind, recipient, language, parameters, created_at, tries`,
		db.Time(now.Add(lease)), db.Time(now), db.Time(now), batch)
	if err != nil {
		return nil, fmt.Errorf("claiming letters: %w", err)
	}
	return letters, nil
}

// retire gives up what has waited for too long, in all organizations, and says so.
func (o *Outbox) retire(ctx context.Context, d *db.DB) error {
	now := d.Now()
	return d.Exec(ctx, func(scan func(...any) error) error {
		var l waiting
		var answer Answer
		err := scan(&l.orgID, &l.id, (*db.Text)(&answer))
		o.sayGivenUp(ctx, l, answer)
		return err
	}, `
		update letters
		set given_up_at = $1, next_try_at = null, parameters = null
		where next_try_at <= $2 and (created_at <= $3 or ends_at <= $4)
		returning org_id, id, reply`,
		db.Time(now), db.Time(now), db.Time(now.Add(-usefulness)), db.Time(now))
}

func (o *Outbox) sayGivenUp(ctx context.Context, l waiting, answer Answer) {
	o.log.WarnContext(ctx, "letter given up", "letter", l.id, "org", l.orgID, "answer", string(answer), "means", o.means(answer))
}

// postpone lets everything that is due wait for the mail server, which may have said
// why.
func (o *Outbox) postpone(ctx context.Context, d *db.DB, answer Answer) error {
	if err := o.retire(ctx, d); err != nil {
		return err
	}
	now := d.Now()
	return d.Exec(ctx, nothing, `update letters set next_try_at = $1, reply = coalesce($2, reply) where next_try_at <= $3`,
		db.Time(now.Add(pause)), db.Text(answer), db.Time(now))
}

// nothing is what a statement without rows is scanned with.
func nothing(func(...any) error) error { return nil }

// release returns letters that were claimed and not tried, to wait for as long.
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

// keep runs fn although the program may be stopping: what happened to a letter
// must not be forgotten.
func keep(ctx context.Context, d *db.DB, fn func(context.Context, *db.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), marking)
	defer cancel()
	return d.Update(ctx, func(tx *db.Tx) error { return fn(ctx, tx) })
}

// try sends one letter and writes down what became of it. It reports whether
// the connection can be used for the next one.
func (o *Outbox) try(ctx context.Context, d *db.DB, c *connection, l waiting) (usable bool, err error) {
	usefulUntil := l.createdAt.Add(usefulness)
	p, problem := o.open(l)
	if problem == nil && !p.endsAt().IsZero() && p.endsAt().Before(usefulUntil) {
		usefulUntil = p.endsAt()
	}
	now := d.Now()
	if !now.Before(usefulUntil) {
		o.sayGivenUp(ctx, l, "")
		return true, mark(ctx, d, l, ending{givenUp: now})
	}
	var m message
	if problem == nil {
		m, problem = o.render(l, p, now)
	}
	if problem != nil {
		o.log.ErrorContext(ctx, "letter not written", "letter", l.id, "error", problem)
		return true, o.putOff(ctx, d, l, usefulUntil, "")
	}
	answer, problem := c.send(m)
	refused, isRefusal := errors.AsType[*refusal](problem)
	switch {
	case problem == nil:
		return true, mark(ctx, d, l, ending{sent: d.Now(), answer: answer})
	case !isRefusal:
		answer = AnswerIn(problem)
		o.log.WarnContext(ctx, "mail server failed", "letter", l.id, "error", problem, "means", o.means(answer))
		return false, o.putOff(ctx, d, l, usefulUntil, answer)
	case refused.permanent:
		o.log.WarnContext(ctx, "letter refused for good", "letter", l.id, "org", l.orgID, "answer", string(refused.answer), "means", o.means(refused.answer))
		return true, mark(ctx, d, l, ending{bounced: d.Now(), answer: refused.answer})
	default:
		return true, o.putOff(ctx, d, l, usefulUntil, refused.answer)
	}
}

// means says an answer in the log's language.
func (o *Outbox) means(a Answer) string {
	if key := a.Key(); key != "" {
		return o.catalogue.In("en").Text(key)
	}
	return ""
}

// open unseals what a letter names.
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

// putOff lets a letter wait for its next try, or ends it if that would come too
// late.
func (o *Outbox) putOff(ctx context.Context, d *db.DB, l waiting, usefulUntil time.Time, answer Answer) error {
	next := d.Now().Add(delay(l.tries))
	if !next.Before(usefulUntil) {
		o.sayGivenUp(ctx, l, answer)
		return mark(ctx, d, l, ending{givenUp: d.Now(), answer: answer})
	}
	return keep(ctx, d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			update letters
			set next_try_at = $1, reply = coalesce($2, reply)
			where org_id = $3 and id = $4 and next_try_at is not null`,
			db.Time(next), db.Text(answer), l.orgID, l.id)
		if err != nil {
			return fmt.Errorf("putting off letter %s: %w", l.id, err)
		}
		return nil
	})
}
