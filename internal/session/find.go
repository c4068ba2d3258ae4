package session

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// Found says what a cookie opens.
type Found int

// What Find answers.
const (
	Nothing Found = iota // no session here, or one that is over
	Open                 // the session is open
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
		copied: !b.current && !now.Before(b.until), token: token,
	}
}

// visitColumns are what visitRow scans. visitJoins find the user of a session and leave out
// sessions that are void: the user was deactivated, or voided everything since (decision 0024),
// or the organization was suspended. Because they are joins, this is true on every node at
// once.
const (
	sessionColumns = `s.org_id, s.id, s.user_id, s.browser_id, s.generation, s.methods,
		s.started_at, s.proved_at, s.second_at, s.seen_at, s.resumed_at, s.switched_at, s.network, s.agent, s.connection_id, s.until`
	visitColumns = browserColumns + `, ` + sessionColumns + `, q.idle, q.absolute, ` + directory.UserColumns + `, ` + directory.OrganizationColumns
	// VisitColumns are what a Row scans, of a session as s and of what VisitJoins joins to it,
	// for statements that begin at something a session holds. They contain only what
	// applications are told and Alive needs, because every column makes the statement dearer.
	VisitColumns = `s.browser_id, s.started_at, s.seen_at, s.until, q.idle, q.absolute,
		u.id, u.email, u.display_name, u.given_name, u.family_name, u.role, u.language, u.time_zone, u.created_at, u.email_since, u.profile_since, o.id, o.short_name, o.display_name`
	visitJoins = VisitJoins
	// VisitJoins leave out sessions that are void.
	VisitJoins = `
	join organizations o on o.id = s.org_id and o.suspended_at is null
	join users u on u.org_id = s.org_id and u.id = s.user_id and u.generation = s.generation and u.deactivated_at is null
	left join session_rules q on q.org_id = s.org_id`
)

// visitRow scans visitColumns.
type visitRow struct {
	Visit
	browser        browserRow
	idle, absolute *int64
}

func (w *visitRow) targets() []any {
	into := append(w.browser.targets(), w.Session.targets()...)
	into = append(into, &w.idle, &w.absolute)
	into = append(into, w.User.Targets()...)
	return append(into, w.Organization.Targets()...)
}

func (s *Session) targets() []any {
	return db.Into(&s.OrgID, &s.ID, &s.UserID, &s.BrowserID, &s.Generation, &s.Methods,
		(*db.Time)(&s.StartedAt), (*db.Time)(&s.ProvedAt), (*db.Time)(&s.SecondAt), (*db.Time)(&s.SeenAt), (*db.Time)(&s.ResumedAt), (*db.Time)(&s.SwitchedAt), &s.Network, &s.Agent,
		(*db.Text)(&s.ConnectionID), (*db.Time)(&s.Until))
}

// Row scans VisitColumns.
type Row struct{ visitRow }

// Targets returns where VisitColumns are scanned to.
func (w *Row) Targets() []any {
	s, u, o := &w.Session, &w.User, &w.Organization
	return db.Into(&s.BrowserID, (*db.Time)(&s.StartedAt), (*db.Time)(&s.SeenAt), (*db.Time)(&s.Until), &w.idle, &w.absolute,
		&u.ID, &u.Email, &u.Name, &u.GivenName, &u.FamilyName, &u.Role, &u.Language, &u.TimeZone, (*db.Time)(&u.CreatedAt), (*db.Time)(&u.EmailSince), (*db.Time)(&u.ProfileSince), &o.ID, &o.ShortName, &o.DisplayName)
}

// Joined returns the visit that a row holds, as far as VisitColumns go. Time may have ended its
// session: Open knows. No browser showed a token for it, so it proves nothing fresh.
func (d *Door) Joined(w Row) Visit {
	w.Rules = d.rulesIn(w.idle, w.absolute)
	return w.Visit
}

// rulesIn returns the lifetimes that two columns hold; null means the default.
func (d *Door) rulesIn(idle, absolute *int64) Rules {
	var set Rules
	if idle != nil {
		set = Rules{time.Duration(*idle) * time.Microsecond, time.Duration(*absolute) * time.Microsecond}
	}
	return d.effective(set)
}

// judge says what a token opens, given the row that was found for it, unless time has ended the
// session.
func (d *Door) judge(w *visitRow) Found {
	w.Rules = d.rulesIn(w.idle, w.absolute)
	switch {
	case w.Browser.copied:
		return Stolen
	case w.Browser.Superseded && !w.Session.StartedAt.Before(w.Browser.RotatedAt):
		// Issued together with the token that superseded this one: somebody who planted this
		// one must not get what came later (SES-1).
		return Nothing
	}
	return Open
}

// Find returns, with one statement, the visit that a cookie opens in an organization.
// shortNameKey is folded (directory.OrganizationKey).
func (d *Door) Find(ctx context.Context, r db.Reader, token secret.Token, shortNameKey string, now time.Time) (Visit, Found, error) {
	v, what, err := d.stored(ctx, r, token, shortNameKey, now)
	return timely(ctx, v, what, now, err)
}

// timely returns what was found unless time has ended the session.
func timely(ctx context.Context, v Visit, what Found, now time.Time, err error) (Visit, Found, error) {
	if err != nil || what == Nothing || what == Open && v.over(now) {
		return Visit{}, Nothing, err
	}
	if what == Open {
		v.Session.acts(ctx)
	}
	return v, what, nil
}

// stored is Find for sessions that time may have ended.
func (d *Door) stored(ctx context.Context, r db.Reader, token secret.Token, shortNameKey string, now time.Time) (Visit, Found, error) {
	if token.IsZero() {
		return Visit{}, Nothing, nil
	}
	var w visitRow
	found, err := r.One(ctx, append(w.targets(), &w.Company), `
		select `+visitColumns+`, x.id is not null
		from browsers b
		join sessions s on s.browser_id = b.id and s.ended_at is null`+visitJoins+`
		left join sessions x on x.browser_id = b.id and x.ended_at is null and x.id <> s.id
		where (b.token_hash = $1 or b.previous_hash = $1) and o.short_name_key = $2
		limit 1`, token.Hash(secret.Browser), shortNameKey)
	if err != nil || !found {
		return Visit{}, Nothing, err
	}
	w.Browser = w.browser.browser(token, now)
	what := d.judge(&w)
	if what == Nothing {
		return Visit{}, Nothing, nil
	}
	return w.Visit, what, nil
}

// visitKey is what Find is asked: a cookie's hash, and an organization.
type visitKey struct{ token, organization string }

type found struct {
	visit Visit
	what  Found
}

// Recalled is Find for a request that only reads: the answer may be remembered, and a second old
// where another node changed something. A superseded token is always looked up.
func (d *Door) Recalled(ctx context.Context, at *db.DB, token secret.Token, shortNameKey string, now time.Time) (Visit, Found, error) {
	if token.IsZero() {
		return Visit{}, Nothing, nil
	}
	got, err := d.visits.Ask(at, visitKey{token.Hash(secret.Browser), shortNameKey}, func() (found, []string, error) {
		v, what, err := d.stored(ctx, at, token, shortNameKey, now)
		v.Browser.token = secret.Token{}
		if what != Open || v.Browser.Superseded {
			return found{v, what}, nil, err
		}
		return found{v, what}, []string{v.Browser.ID, v.Session.ID, string(v.User.ID), string(v.Session.OrgID)}, err
	})
	got.visit.Browser.token = token
	return timely(ctx, got.visit, got.what, now, err)
}

// Visits lists every open session of a browser, the one used last first: the users who are
// signed in there. A token superseded long ago opens none, and one of them is returned as
// stolen, for EndCopied.
func (d *Door) Visits(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (open []Visit, stolen *Visit, err error) {
	if token.IsZero() {
		return nil, nil, nil
	}
	err = r.Rows(ctx, func(scan func(...any) error) error {
		var w visitRow
		if err := scan(w.targets()...); err != nil {
			return err
		}
		w.Browser = w.browser.browser(token, now)
		switch d.judge(&w) {
		case Open:
			if w.Open(now) {
				w.Session.acts(ctx)
				open = append(open, w.Visit)
			}
		case Stolen:
			stolen = &w.Visit
		case Nothing:
		}
		return nil
	}, `
		select `+visitColumns+`
		from browsers b
		join sessions s on s.browser_id = b.id and s.ended_at is null`+visitJoins+`
		where b.token_hash = $1 or b.previous_hash = $1
		order by s.seen_at desc, s.id`, token.Hash(secret.Browser)) // at most PerBrowser
	return open, stolen, err
}

// A Neighbour is an open session of a browser as the browser's other users may see it: who is
// signed in to which organization, and nothing else.
type Neighbour struct {
	Organization, ShortName, User string
	Here                          bool // the visit's own session
}

// Neighbours lists the open sessions of the visit's browser for the top of a page, by the
// organizations' names. It reads no more than it shows, because it is read with every page when
// several are open.
func (d *Door) Neighbours(ctx context.Context, r db.Reader, v Visit, now time.Time) ([]Neighbour, error) {
	var open []Neighbour
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var w visitRow
		s := &w.Session
		if err := scan(&s.ID, (*db.Time)(&s.StartedAt), (*db.Time)(&s.SeenAt), (*db.Time)(&s.Until), &w.idle, &w.absolute,
			&w.Organization.DisplayName, &w.Organization.ShortName, &w.User.Name); err != nil {
			return err
		}
		w.Browser = v.Browser
		if d.judge(&w) == Open && w.Open(now) {
			open = append(open, Neighbour{w.Organization.DisplayName, w.Organization.ShortName, w.User.Name, s.ID == v.Session.ID})
		}
		return nil
	}, `
		select s.id, s.started_at, s.seen_at, s.until, q.idle, q.absolute, o.display_name, o.short_name, u.display_name
		from sessions s`+visitJoins+`
		where s.browser_id = $1 and s.ended_at is null`, v.Browser.ID)
	if err != nil {
		return nil, fmt.Errorf("listing the neighbours of session %s: %w", v.Session.ID, err)
	}
	slices.SortFunc(open, func(a, b Neighbour) int { return strings.Compare(a.Organization, b.Organization) })
	return open, nil
}

// Own lists the open sessions of the visit's user in every browser, the one used
// last first.
func (d *Door) Own(ctx context.Context, r db.Reader, v Visit, now time.Time) ([]Session, error) {
	var open []Session
	err := r.Rows(ctx, func(scan func(...any) error) error {
		w := Visit{Rules: v.Rules}
		if err := scan(w.Session.targets()...); err != nil || w.over(now) {
			return err
		}
		open = append(open, w.Session)
		return nil
	}, `
		select `+sessionColumns+`
		from sessions s
		join users u on u.org_id = s.org_id and u.id = s.user_id and u.generation = s.generation and u.deactivated_at is null
		where s.org_id = $1 and s.user_id = $2 and s.ended_at is null
		order by s.seen_at desc, s.id`, string(v.User.OrgID), string(v.User.ID))
	return open, err
}

// OpenOf lists the open sessions of a user, for administrators, the one used last first.
func (d *Door) OpenOf(ctx context.Context, r db.Reader, user directory.User, now time.Time) ([]Session, error) {
	set, err := RulesOf(ctx, r, user.OrgID)
	if err != nil {
		return nil, err
	}
	return d.Own(ctx, r, Visit{User: user, Rules: d.effective(set)}, now)
}

// BrowserOf returns the browser behind a cookie, no matter who is signed in to it. A token superseded
// for too long finds none; a token that belongs to no browser is kept in a Browser without an
// id.
func (d *Door) BrowserOf(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (Browser, bool, error) {
	if token.IsZero() {
		return Browser{}, false, nil
	}
	var b browserRow
	found, err := r.One(ctx, b.targets(), `
		select `+browserColumns+`
		from browsers b
		where b.token_hash = $1 or b.previous_hash = $1`, token.Hash(secret.Browser))
	if err != nil {
		return Browser{}, false, err
	}
	if !found {
		return Browser{token: token}, false, nil
	}
	browser := b.browser(token, now)
	if browser.copied {
		return Browser{}, false, nil
	}
	return browser, true, nil
}

// LastUser returns the user who was last signed in to an organization in a browser, still
// signed in or not; empty where nobody was.
func (d *Door) LastUser(ctx context.Context, r db.Reader, b Browser, org directory.OrgID) (directory.UserID, error) {
	var id directory.UserID
	_, err := r.One(ctx, db.Into(&id), `
		select user_id from sessions
		where org_id = $1 and browser_id = $2
		order by started_at desc
		limit 1`, string(org), b.ID)
	return id, err
}

// Away is somebody who was signed in to an organization in a browser until nobody used the
// session for longer than the organization allows.
type Away struct {
	Email string // empty if that user may not come back this way
	Idle  time.Duration
}

// LeftIdle returns who was away for too long, if a browser's last session in an organization
// ended that way. The person in front of it is asked for proof again, by an identity provider
// too, which would otherwise let anybody in.
func (d *Door) LeftIdle(ctx context.Context, r db.Reader, browserID string, org directory.OrgID, now time.Time) (Away, bool, error) {
	var s Session
	var why, email db.Text
	var idle, absolute *int64
	found, err := r.One(ctx, append(s.targets(), &why, &email, &idle, &absolute), `
		select `+sessionColumns+`, s.end_reason, u.email, q.idle, q.absolute
		from sessions s
		left join users u on u.org_id = s.org_id and u.id = s.user_id and u.generation = s.generation and u.deactivated_at is null
		left join session_rules q on q.org_id = s.org_id
		where s.org_id = $1 and s.browser_id = $2
		order by s.started_at desc
		limit 1`, string(org), browserID)
	if err != nil || !found {
		return Away{}, false, err
	}
	v := Visit{Session: s, Rules: d.rulesIn(idle, absolute)}
	left := Reason(why) == WentIdle || why == "" && !now.Before(v.IdleEnd())
	return Away{string(email), v.Rules.Idle}, left, nil
}

// LastIn returns the organization that a browser used last, whether or not somebody is still
// signed in to it; empty if none is known.
func (d *Door) LastIn(ctx context.Context, r db.Reader, b Browser) (directory.OrgID, error) {
	var org directory.OrgID
	_, err := r.One(ctx, db.Into(&org), `
		select s.org_id from sessions s
		where s.browser_id = $1
		order by s.seen_at desc
		limit 1`, b.ID)
	return org, err
}
