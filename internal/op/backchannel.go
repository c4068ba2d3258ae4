package op

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

const (
	// lately is how far back Sweep looks for ends, many times further than the last one
	// did; SweepGrants looks at everything.
	lately = 2 * time.Minute
	// logoutLasts is how long a logout token is good for (Back-Channel Logout §2.4 advises
	// two minutes), and tellingLasts how long an application is tried.
	logoutLasts  = 2 * time.Minute
	tellingLasts = 24 * time.Hour
	// mostAtOnce is how many applications are told at once, and mostOfOne how often one
	// is: one that does not answer keeps nobody waiting but itself.
	mostAtOnce = 32
	mostOfOne  = 4
	// patience is how long a sweep waits for answers; those that take longer go on alone.
	patience = 800 * time.Millisecond
	// toldKept is how long it is kept that an application was told.
	toldKept = 7 * 24 * time.Hour
)

// again is how long after each try the next comes.
var again = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute}

// ending is a grant that something ended.
type ending struct {
	org     directory.OrgID
	id      string
	client  ClientID
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

// close ends grants and lets their applications know, each once for a session.
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
			values ($1, $2, $3, $4, $5, $6, $6, 0)`,
			string(e.org), secret.NewID("out"), string(e.client), string(e.user), e.session, db.Time(tx.Now())); err != nil {
			return err
		}
	}
	return nil
}

// ended lists grants that are open though what they came from has ended. It begins there,
// since that is little: SQLite keeps the order of a cross join, and would read every grant
// else.
func ended(ctx context.Context, r db.Reader, since time.Time) (bySession, bySwitch []ending, err error) {
	err = r.Rows(ctx, scanEnding(&bySession), `
		select `+endingColumns+`
		from sessions s
		join grants g on g.org_id = s.org_id and g.session_id = s.id and g.ended_at is null
		where s.ended_at > $1`, db.Time(since))
	if err == nil {
		err = r.Rows(ctx, scanEnding(&bySession), `
			select `+endingColumns+`
			from organizations o
			cross join grants g
			where o.suspended_at > $1 and g.org_id = o.id and g.ended_at is null`, db.Time(since))
	}
	if err == nil {
		err = r.Rows(ctx, scanEnding(&bySwitch), `
			select `+endingColumns+`
			from sessions x
			cross join sessions s
			join grants g on g.org_id = s.org_id and g.session_id = s.id and g.ended_at is null and g.created_at <= x.switched_at
			where x.switched_at > $1 and s.browser_id = x.browser_id and s.id <> x.id`, db.Time(since))
	}
	return bySession, bySwitch, err
}

// Sweep notes which grants have ended with their session, and tells applications. It
// comes each second; mostly there is nothing, so it reads before it takes the writer.
func (p *Provider) Sweep(ctx context.Context, d *db.DB) error {
	since := d.Now().Add(-lately)
	bySession, bySwitch, err := ended(ctx, d, since)
	if err == nil && len(bySession)+len(bySwitch) > 0 {
		err = d.Update(ctx, func(tx *db.Tx) error {
			bySession, bySwitch, err := ended(ctx, tx, since)
			if err == nil {
				err = closeGrants(ctx, tx, bySession, sessionEnded)
			}
			if err == nil {
				err = closeGrants(ctx, tx, bySwitch, switchedAway)
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	return p.tellAll(ctx, d)
}

// SweepGrants does for all time what Sweep does for the last minutes, and removes what
// nobody can use any more.
func (p *Provider) SweepGrants(ctx context.Context, d *db.DB) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		bySession, bySwitch, err := ended(ctx, tx, time.Unix(0, 1))
		if err == nil {
			err = closeGrants(ctx, tx, bySession, sessionEnded)
		}
		if err == nil {
			err = closeGrants(ctx, tx, bySwitch, switchedAway)
		}
		if err != nil {
			return err
		}
		now := tx.Now()
		for _, clean := range []struct {
			statement string
			before    time.Time
		}{
			// A grant that ended is kept a while longer than its code could come again.
			{`delete from grants where ends_at <= $1 or ended_at <= $1`, now.Add(-24 * time.Hour)},
			{`delete from authorization_requests where created_at <= $1`, now.Add(-RequestLasts)},
			{`delete from pushed_requests where created_at <= $1`, now.Add(-2 * PushedLasts)},
			{`delete from device_codes where created_at <= $1`, now.Add(-2 * p.deviceLasts())},
			{`delete from used_proofs where expires_at <= $1`, now},
			{`delete from logouts where created_at <= $1 and next_try_at is null`, now.Add(-toldKept)},
			{`delete from client_secrets where ends_at <= $1`, now},
		} {
			if _, err := tx.Exec(ctx, clean.statement, db.Time(clean.before)); err != nil {
				return err
			}
		}
		return nil
	})
}

// notice is one application that is to be told of one session.
type notice struct {
	org     directory.OrgID
	id      string
	user    directory.UserID
	session string
	created time.Time
	tries   int
	client  Client
}

// tellAll tells the applications that are due, and waits for those that answer soon.
func (p *Provider) tellAll(ctx context.Context, d *db.DB) error {
	due, err := p.due(ctx, d)
	if err != nil || len(due) == 0 {
		return err
	}
	done := make(chan struct{})
	for _, n := range due {
		claimed, err := p.claimNotice(ctx, d, n)
		if err != nil {
			return err
		}
		if !claimed {
			continue
		}
		p.busy.add(n.client.ID, 1)
		p.telling.Add(1)
		go func() {
			defer p.telling.Done()
			defer p.busy.add(n.client.ID, -1)
			p.places <- struct{}{}
			defer func() { <-p.places }()
			p.tellOne(context.WithoutCancel(ctx), d, n)
		}()
	}
	go func() { p.telling.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
	}
	return nil
}

// due lists notices whose time has come, no more of one application than may be on the
// way to it at once.
func (p *Provider) due(ctx context.Context, d *db.DB) ([]notice, error) {
	var all []notice
	taken := map[ClientID]int{}
	err := d.Rows(ctx, func(scan func(...any) error) error {
		var n notice
		var w clientRow
		if err := scan(append(w.targets(), &n.org, &n.id, &n.user, &n.session, (*db.Time)(&n.created), &n.tries)...); err != nil {
			return err
		}
		var err error
		n.client, err = w.client()
		if taken[n.client.ID]++; taken[n.client.ID]+p.busy.of(n.client.ID) <= mostOfOne {
			all = append(all, n)
		}
		return err
	}, `
		select `+clientColumns+`, l.org_id, l.id, l.user_id, l.session_id, l.created_at, l.tries
		from logouts l
		join clients c on c.id = l.client_id
		where l.next_try_at <= $1
		order by l.next_try_at
		limit 500`, db.Time(d.Now()))
	return all, err
}

// claimNotice puts off the next try, so that of two nodes one does this one.
func (p *Provider) claimNotice(ctx context.Context, d *db.DB, n notice) (bool, error) {
	var claimed bool
	err := d.Update(ctx, func(tx *db.Tx) error {
		next := tx.Now().Add(again[min(n.tries, len(again)-1)])
		if n.client.Settings.BackChannel == "" || next.Sub(n.created) > tellingLasts {
			next = time.Time{} // it wants to know nothing, or is never there
		}
		changed, err := tx.Exec(ctx, `
			update logouts set next_try_at = $1, tries = $2
			where org_id = $3 and id = $4 and tries = $5 and told_at is null and next_try_at is not null`,
			db.Time(next), n.tries+1, string(n.org), n.id, n.tries)
		claimed = changed == 1 && n.client.Settings.BackChannel != ""
		return err
	})
	return claimed, err
}

// tellOne sends a logout token, and keeps what came of it.
func (p *Provider) tellOne(ctx context.Context, d *db.DB, n notice) {
	reply, told := p.send(ctx, n)
	err := d.Update(ctx, func(tx *db.Tx) error {
		if !told {
			_, err := tx.Exec(ctx, `update logouts set reply = $1 where org_id = $2 and id = $3`, reply, string(n.org), n.id)
			return err
		}
		_, err := tx.Exec(ctx, `
			update logouts set reply = $1, told_at = $2, next_try_at = null
			where org_id = $3 and id = $4`, reply, db.Time(tx.Now()), string(n.org), n.id)
		return err
	})
	if err != nil {
		p.Log.ErrorContext(ctx, "keeping what an application answered", "logout", n.id, "error", err.Error())
	}
}

// send posts the token (Back-Channel Logout §2.5); 200 and 204 say that it was taken.
func (p *Provider) send(ctx context.Context, n notice) (reply string, told bool) {
	now := p.DB.Now()
	token, err := p.sign(ctx, n.client.Settings.algorithm(), logoutTokenType, map[string]any{
		"iss": p.Base, "aud": string(n.client.ID), "iat": now.Unix(), "exp": now.Add(logoutLasts).Unix(), "jti": secret.NewID("jti"),
		"sub": p.subjectOf(n.client, n.org, n.user), "sid": p.sid(n.client.ID, n.session),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	})
	if err != nil {
		p.Log.ErrorContext(ctx, "signing a logout token", "application", string(n.client.ID), "error", err.Error())
		return "signing failed", false
	}
	address := n.client.Settings.BackChannel
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	if err != nil {
		return "address", false
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w, err := p.reaching(n.client, address).Do(r, 64<<10)
	if err != nil {
		return err.Error(), false
	}
	return w.StatusText(), w.Status == http.StatusOK || w.Status == http.StatusNoContent
}

// endOf ends every grant of a user, an application or both in an organization, and lets
// applications know: consent was withdrawn, or the application forbidden.
func endOf(ctx context.Context, tx *db.Tx, org directory.OrgID, user directory.UserID, c ClientID, why string) (int, error) {
	more, args := ``, []any{string(org), string(c)}
	if user != "" {
		more, args = ` and g.user_id = $3`, append(args, string(user))
	}
	var all []ending
	err := tx.Rows(ctx, scanEnding(&all), `
		select `+endingColumns+`
		from grants g
		where g.org_id = $1 and g.client_id = $2 and g.ended_at is null`+more, args...)
	if err == nil {
		err = closeGrants(ctx, tx, all, why)
	}
	return len(all), err
}
