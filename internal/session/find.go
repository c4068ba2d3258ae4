package session

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// Found tells what a cookie opens.
type Found int

// What Find answers.
const (
	Nothing Found = iota // no session here, or one that is over
	Open                 // the door is open
	Stolen               // a token superseded long ago: call EndCopied
)

const browserColumns = `b.id, b.token_hash = $1, b.previous_until, b.rotated_at`

// browserRow scans browserColumns.
type browserRow struct {
	id      string
	current bool
	until   time.Time
	rotated time.Time
}

func (b *browserRow) targets() []any {
	return db.Into(&b.id, &b.current, (*db.Time)(&b.until), (*db.Time)(&b.rotated))
}

func (b *browserRow) browser(token secret.Token, now time.Time) Browser {
	return Browser{
		ID: b.id, Superseded: !b.current, RotatedAt: b.rotated,
		copied: !b.current && !now.Before(b.until), shown: token.Hash(secret.Browser),
	}
}

// Find asks, in one statement, whose door a cookie opens in an organization:
// browser, session, user and organization are joined, so that a deactivated
// user or a suspended organization is simply not found, on every node and at
// once. shortNameKey is folded (directory.OrganizationKey).
func (d *Door) Find(ctx context.Context, r db.Reader, token secret.Token, shortNameKey string, now time.Time) (Visit, Found, error) {
	if token.IsZero() {
		return Visit{}, Nothing, nil
	}
	var v Visit
	var b browserRow
	var idle, absolute *int64
	s := &v.Session
	into := append(b.targets(), &s.OrgID, &s.ID, &s.UserID, &s.BrowserID, &s.Generation, &s.Methods,
		(*db.Time)(&s.StartedAt), (*db.Time)(&s.ProvedAt), (*db.Time)(&s.SeenAt), (*db.Time)(&s.ResumedAt), &s.Network, &s.Agent, &idle, &absolute)
	into = append(into, v.User.Targets()...)
	into = append(into, v.Organization.Targets()...)
	found, err := r.One(ctx, into, findStatement, token.Hash(secret.Browser), shortNameKey)
	if err != nil || !found {
		return Visit{}, Nothing, err
	}
	v.Browser = b.browser(token, now)
	var set Rules
	if idle != nil {
		set = Rules{time.Duration(*idle) * time.Microsecond, time.Duration(*absolute) * time.Microsecond}
	}
	v.rules = d.effective(set)
	switch {
	case v.Browser.copied:
		return v, Stolen, nil
	case v.Browser.Superseded && !s.StartedAt.Before(v.Browser.RotatedAt):
		// Issued together with the token that superseded this one: whoever
		// planted this one must not get what came after (SES-1).
		return Visit{}, Nothing, nil
	case v.over(now):
		return v, Nothing, nil
	}
	return v, Open, nil
}

const findStatement = `
	select ` + browserColumns + `,
		s.org_id, s.id, s.user_id, s.browser_id, s.generation, s.methods, s.started_at, s.proved_at, s.seen_at, s.resumed_at, s.network, s.agent,
		q.idle, q.absolute,
		` + directory.UserColumns + `,
		` + directory.OrganizationColumns + `
	from browsers b
	join organizations o on o.short_name_key = $2 and o.suspended_at is null
	join sessions s on s.browser_id = b.id and s.org_id = o.id and s.ended_at is null
	join users u on u.org_id = s.org_id and u.id = s.user_id and u.generation = s.generation and u.deactivated_at is null
	left join session_rules q on q.org_id = s.org_id
	where b.token_hash = $1 or b.previous_hash = $1`

// BrowserOf finds the browser behind a cookie, whoever is signed in to it. A
// token superseded for too long finds none.
func (d *Door) BrowserOf(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (Browser, bool, error) {
	if token.IsZero() {
		return Browser{}, false, nil
	}
	var b browserRow
	found, err := r.One(ctx, b.targets(), `
		select `+browserColumns+`
		from browsers b
		where b.token_hash = $1 or b.previous_hash = $1`, token.Hash(secret.Browser))
	if err != nil || !found {
		return Browser{}, false, err
	}
	browser := b.browser(token, now)
	if browser.copied {
		return Browser{}, false, nil
	}
	return browser, true, nil
}

// LastUser is who was last signed in to an organization in a browser, whether
// still or not; empty where nobody was.
func (d *Door) LastUser(ctx context.Context, r db.Reader, b Browser, org directory.OrgID) (directory.UserID, error) {
	var id directory.UserID
	_, err := r.One(ctx, db.Into(&id), `
		select user_id from sessions
		where org_id = $1 and browser_id = $2
		order by started_at desc
		limit 1`, string(org), b.ID)
	return id, err
}

// Visits lists every open session of a browser, the one used last first: who
// is signed in here. A token superseded long ago opens none and gives one of
// them as stolen, for EndCopied.
func (d *Door) Visits(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (open []Visit, stolen *Visit, err error) {
	if token.IsZero() {
		return nil, nil, nil
	}
	var keys []string
	err = r.Rows(ctx, func(scan func(...any) error) error {
		var key string
		err := scan(&key)
		keys = append(keys, key)
		return err
	}, `
		select o.short_name_key
		from browsers b
		join sessions s on s.browser_id = b.id and s.ended_at is null
		join organizations o on o.id = s.org_id
		where b.token_hash = $1 or b.previous_hash = $1
		order by s.seen_at desc`, token.Hash(secret.Browser))
	if err != nil {
		return nil, nil, fmt.Errorf("listing the sessions of a browser: %w", err)
	}
	for _, key := range keys { // at most PerBrowser
		v, found, err := d.Find(ctx, r, token, key, now)
		switch {
		case err != nil:
			return nil, nil, err
		case found == Open:
			open = append(open, v)
		case found == Stolen:
			return nil, &v, nil
		}
	}
	return open, nil, nil
}
