package op

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
	"parvis/internal/session"
)

const (
	// lately is how far back Sweep looks: much longer than the second between two sweeps.
	lately = 2 * time.Minute
	// toldKept is how long a finished notice stays in the table.
	toldKept = 7 * 24 * time.Hour
)

// ending is a grant that is to be ended.
type ending struct {
	org     directory.OrgID
	id      string
	client  application.ID
	user    directory.UserID
	session string
}

func scanEnding(all *[]ending) func(func(...any) error) error {
	return func(scan func(...any) error) error {
		var e ending
		err := scan(&e.org, &e.id, &e.client, (*db.Text)(&e.user), (*db.Text)(&e.session))
		*all = append(*all, e)
		return err
	}
}

const endingColumns = `g.org_id, g.id, g.client_id, g.user_id, g.session_id`

// atATime is how many grants one transaction ends, so that other writers do not wait long: the
// limit of the statements below.
const atATime = db.Part

// closeGrants ends grants, and queues one notice for each session and application that
// listens for logouts.
func closeGrants(ctx context.Context, tx *db.Tx, all []ending, why string) error {
	told := map[string]bool{}
	for _, e := range all {
		n, err := tx.Exec(ctx, `
			update grants set ended_at = $1, end_reason = $2
			where org_id = $3 and id = $4 and ended_at is null`, db.Time(tx.Now()), why, string(e.org), e.id)
		if err != nil {
			return fmt.Errorf("ending grant %s: %w", e.id, err)
		}
		key := string(e.client) + " " + e.session
		if n == 0 || e.session == "" || told[key] {
			continue
		}
		told[key] = true
		if _, err := tx.Exec(ctx, `
			insert into logouts (org_id, id, client_id, user_id, session_id, created_at, next_try_at, tries)
			select $1, $2, c.id, $3, $4, $5, $5, 0
			from clients c
			where c.id = $6 and c.listens`,
			string(e.org), secret.NewID("out"), string(e.user), e.session, db.Time(tx.Now()), string(e.client)); err != nil {
			return err
		}
	}
	return nil
}

// reason is why grants have to end, with a statement that finds those still open.
type reason struct{ why, statement string }

// lateReasons find what ended lately. Each statement starts at the row that ended; its joins
// are cross joins, so that SQLite, which keeps no statistics, does not start at all grants.
var lateReasons = []reason{
	{sessionEnded, `
		select ` + endingColumns + `
		from sessions s
		cross join grants g
		where s.ended_at > $1 and g.org_id = s.org_id and g.session_id = s.id and g.ended_at is null
		limit 50`},
	{sessionEnded, `
		select ` + endingColumns + `
		from organizations o
		cross join grants g
		where o.suspended_at > $1 and g.org_id = o.id and g.ended_at is null
		limit 50`},
	{forbidden, `
		select ` + endingColumns + `
		from client_organizations co
		cross join grants g
		where co.forbidden_at > $1 and g.org_id = co.org_id and g.client_id = co.client_id and g.ended_at is null
			and g.created_at <= co.forbidden_at
		limit 50`},
	{switchedAway, `
		select ` + endingColumns + `
		from sessions x
		cross join sessions s
		cross join grants g
		where x.switched_at > $1 and s.browser_id = x.browser_id and s.id <> x.id
			and g.org_id = s.org_id and g.session_id = s.id and g.ended_at is null and g.created_at <= x.switched_at
		limit 50`},
}

// Sweep ends the grants whose session, organization or permission ended lately, and tells
// applications. It runs each second and mostly finds nothing, so it reads before it writes.
func (p *Provider) Sweep(ctx context.Context, d *db.DB) error {
	if err := closeThose(ctx, d, lateReasons, d.Now().Add(-lately)); err != nil {
		return err
	}
	return p.tellAll(ctx, d)
}

// closeThose ends the grants that the statements find, at most atATime in a transaction.
func closeThose(ctx context.Context, d *db.DB, reasons []reason, since time.Time) error {
	for _, r := range reasons {
		for {
			var all []ending
			if err := d.Rows(ctx, scanEnding(&all), r.statement, db.Time(since)); err != nil {
				return err
			}
			if len(all) == 0 {
				break
			}
			// The reasons are not checked again in the transaction: an ended session stays
			// ended, and an organization that was just resumed only loses some grants.
			if err := d.Update(ctx, func(tx *db.Tx) error { return closeGrants(ctx, tx, all, r.why) }); err != nil {
				return err
			}
			if len(all) < atATime {
				break
			}
		}
	}
	return nil
}

// allReasons find what Sweep missed while no node ran. They start at the open grants.
var allReasons = []reason{{sessionEnded, `
	select ` + endingColumns + `
	from grants g
	cross join sessions s
	where g.ended_at is null and g.ends_at > $1 and s.org_id = g.org_id and s.id = g.session_id and s.ended_at is not null
	limit 50`}, {sessionEnded, `
	select ` + endingColumns + `
	from grants g
	cross join organizations o
	where g.ended_at is null and g.ends_at > $1 and g.org_id = o.id and o.suspended_at is not null
	limit 50`}, {forbidden, `
	select ` + endingColumns + `
	from grants g
	cross join client_organizations co
	where g.ended_at is null and g.ends_at > $1 and co.org_id = g.org_id and co.client_id = g.client_id and co.forbidden_at >= g.created_at
	limit 50`}, {switchedAway, `
	select ` + endingColumns + `
	from grants g
	cross join sessions s
	where g.ended_at is null and g.ends_at > $1 and s.org_id = g.org_id and s.id = g.session_id
		and exists (select 1 from sessions x where x.browser_id = s.browser_id and x.id <> s.id and x.switched_at >= g.created_at)
	limit 50`}}

// SweepGrants ends what Sweep missed, however long ago, and deletes rows that nobody can use
// any more.
func (p *Provider) SweepGrants(ctx context.Context, d *db.DB) error {
	if err := closeThose(ctx, d, allReasons, d.Now()); err != nil {
		return err
	}
	now := d.Now()
	for _, clean := range []struct {
		statement string
		before    time.Time
	}{
		// Kept longer than a code lasts, so that a second use of a code is recognized.
		{`delete from grants where (org_id, id) in (select org_id, id from grants where ends_at <= $1 limit $2)`, now.Add(-24 * time.Hour)},
		{`delete from grants where (org_id, id) in (select org_id, id from grants where ended_at <= $1 limit $2)`, now.Add(-24 * time.Hour)},
		{`delete from authorization_requests where id in (select id from authorization_requests where created_at <= $1 limit $2)`, now.Add(-RequestLasts)},
		{`delete from pushed_requests where hash in (select hash from pushed_requests where created_at <= $1 limit $2)`, now.Add(-2 * PushedLasts)},
		{`delete from device_codes where id in (select id from device_codes where created_at <= $1 limit $2)`, now.Add(-2 * p.deviceLasts())},
		{`delete from used_proofs where id in (select id from used_proofs where expires_at <= $1 limit $2)`, now},
		{`delete from logouts where (org_id, id) in (select org_id, id from logouts where created_at <= $1 and next_try_at is null limit $2)`, now.Add(-toldKept)},
	} {
		if _, err := d.InParts(ctx, clean.statement, db.Time(clean.before)); err != nil {
			return err
		}
	}
	return nil
}

// endOf ends every grant of one person to one application, and queues its notices.
func endOf(ctx context.Context, tx *db.Tx, v session.Visit, c application.ID) (int, error) {
	var all []ending
	err := tx.Rows(ctx, scanEnding(&all), `
		select `+endingColumns+`
		from grants g
		where g.org_id = $1 and g.client_id = $2 and g.user_id = $3 and g.ended_at is null`,
		string(v.User.OrgID), string(c), string(v.User.ID))
	if err == nil {
		err = closeGrants(ctx, tx, all, withdrawn)
	}
	return len(all), err
}

// Switch makes a session the one that applications in this browser get. Grants of the
// browser's other sessions end, and their applications are told (decision 0036).
func (p *Provider) Switch(ctx context.Context, v session.Visit) error {
	return p.DB.Update(ctx, func(tx *db.Tx) error {
		if err := p.Sessions.Switch(ctx, tx, v); err != nil {
			return err
		}
		var all []ending
		err := tx.Rows(ctx, scanEnding(&all), `
			select `+endingColumns+`
			from sessions s
			join grants g on g.org_id = s.org_id and g.session_id = s.id and g.ended_at is null
			where s.browser_id = $1 and s.id <> $2`, v.Session.BrowserID, v.Session.ID)
		if err != nil {
			return err
		}
		return closeGrants(ctx, tx, all, switchedAway)
	})
}

// HoldsElsewhere reports whether an application has an open grant of another session in the
// same browser.
func (p *Provider) HoldsElsewhere(ctx context.Context, s session.Session) (bool, error) {
	var id string
	return p.DB.One(ctx, db.Into(&id), `
		select g.id
		from sessions s
		join grants g on g.org_id = s.org_id and g.session_id = s.id and g.ended_at is null and g.ends_at > $1
		where s.browser_id = $2 and s.id <> $3 and s.ended_at is null
		limit 1`, db.Time(p.DB.Now()), s.BrowserID, s.ID)
}
