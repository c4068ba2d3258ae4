package session

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// A Deed is the reason for which a browser's token changes: what was done, and the session or
// attempt that resulted. The zero Deed stands for one that cannot be done twice.
type Deed struct{ Done, Gained string }

// NewBrowser makes a browser for an attempt that begins without one.
func (d *Door) NewBrowser(ctx context.Context, tx *db.Tx) (Browser, secret.Token, error) {
	return d.newBrowser(ctx, tx, Browser{}, Deed{})
}

// newBrowser makes a browser in place of the one that showed the token of b, if any.
func (d *Door) newBrowser(ctx context.Context, tx *db.Tx, b Browser, deed Deed) (Browser, secret.Token, error) {
	id := secret.NewID("brw")
	token := d.next(b, id, deed, tx.Now())[0]
	_, err := tx.Exec(ctx, `
		insert into browsers (id, token_hash, rotated_at, created_at, shown_hash, deed, gained)
		values ($1, $2, $3, $4, $5, $6, $7)`,
		id, token.Hash(secret.Browser), db.Time(tx.Now()), db.Time(tx.Now()), db.Text(b.Shown()), db.Text(deed.Done), db.Text(deed.Gained))
	return Browser{ID: id, RotatedAt: tx.Now(), token: token}, token, err
}

// next returns the token that follows the one that b shows, for a deed done in the browser with
// that id. It is derived, so that it can be given again to somebody who shows the same token
// and proves the same deed (Again), and random where there is nothing to derive it from. The first one
// is by the key that writes; an earlier key may have made one that was given already.
func (d *Door) next(b Browser, id string, deed Deed, now time.Time) (all []secret.Token) {
	if b.token.IsZero() || deed.Done == "" {
		return []secret.Token{secret.NewToken()}
	}
	for _, key := range d.Keys.All() {
		all = append(all, secret.DeriveToken(key.Bytes, b.token.Reveal(), id, deed.Done, deed.Gained, strconv.FormatInt(now.UnixMicro(), 10)))
	}
	return all
}

// rotate gives the browser a new token because a session in it gained authority. It reports
// false, and does nothing, unless the token that was shown is the current one: otherwise
// somebody who holds a superseded token could sign in as themselves and so exchange it for the
// current one, and with it everybody's sessions.
func (d *Door) rotate(ctx context.Context, tx *db.Tx, b Browser, deed Deed) (secret.Token, bool, error) {
	token := d.next(b, b.ID, deed, tx.Now())[0]
	n, err := tx.Exec(ctx, `
		update browsers set previous_hash = token_hash, previous_until = $1, token_hash = $2, rotated_at = $3,
			shown_hash = token_hash, deed = $4, gained = $5
		where id = $6 and token_hash = $7`,
		db.Time(tx.Now().Add(d.superseded())), token.Hash(secret.Browser), db.Time(tx.Now()), db.Text(deed.Done), db.Text(deed.Gained), b.ID, b.Shown())
	return token, n == 1, err
}

// Renew gives a browser a new token because something in it gained authority, which includes a
// half-finished sign-in (R-SES-02). known is false if another browser was made in its place,
// because b was not a browser yet or its token was superseded.
func (d *Door) Renew(ctx context.Context, tx *db.Tx, b Browser, deed Deed) (renewed Browser, token secret.Token, known bool, err error) {
	if b.ID != "" {
		token, known, err = d.rotate(ctx, tx, b, deed)
	}
	if err == nil && !known {
		b, token, err = d.newBrowser(ctx, tx, b, deed)
	}
	return b, token, known, err
}

// Issue is the only place where a session is made. signin calls it once Next returns Done. b
// may be the zero Browser; the token is the new cookie. An earlier session of this browser in
// the organization ends. A superseded token brings nothing along: its holder gets a browser of
// their own.
func (d *Door) Issue(ctx context.Context, tx *db.Tx, b Browser, user directory.User, p Proof) (Session, secret.Token, error) {
	id := secret.NewID("ses")
	b, token, known, err := d.Renew(ctx, tx, b, Deed{p.Deed, id})
	if err == nil && known {
		err = d.makeRoom(ctx, tx, b, user.OrgID)
	}
	if err != nil {
		return Session{}, secret.Token{}, err
	}
	if err := d.thinOut(ctx, tx, user); err != nil {
		return Session{}, secret.Token{}, err
	}
	origin := audit.OriginOf(ctx)
	s := Session{
		OrgID: user.OrgID, ID: id, UserID: user.ID, BrowserID: b.ID, Generation: user.Generation, Methods: strings.Join(p.Methods, " "),
		StartedAt: tx.Now(), ProvedAt: tx.Now(), SeenAt: tx.Now(), Network: origin.Network, Agent: origin.Agent,
		ConnectionID: p.ConnectionID, Until: p.Until,
	}
	if p.Second {
		s.SecondAt = tx.Now()
	}
	_, err = tx.Exec(ctx, `
		insert into sessions (org_id, id, user_id, browser_id, generation, methods, started_at, proved_at, second_at, seen_at, network, agent, connection_id, until)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		string(s.OrgID), s.ID, string(s.UserID), s.BrowserID, s.Generation, s.Methods,
		db.Time(s.StartedAt), db.Time(s.ProvedAt), db.Time(s.SecondAt), db.Time(s.SeenAt), s.Network, s.Agent,
		db.Text(s.ConnectionID), db.Time(s.Until))
	if err != nil {
		return Session{}, secret.Token{}, fmt.Errorf("inserting session %s: %w", s.ID, err)
	}
	s.acts(ctx)
	if err := wasActive(ctx, tx, user.OrgID, user.ID, user.LastSignInAt); err != nil {
		return Session{}, secret.Token{}, err
	}
	return s, token, directory.SignedIn(ctx, tx, user)
}

// makeRoom ends the browser's earlier session in the organization and, if it holds PerBrowser
// others, the ones unused longest.
func (d *Door) makeRoom(ctx context.Context, tx *db.Tx, b Browser, org directory.OrgID) error {
	open, err := openIn(ctx, tx, b)
	if err != nil {
		return err
	}
	kept := 0
	for _, v := range open {
		switch kept++; {
		case v.Session.OrgID == org:
			kept--
			err = d.End(ctx, tx, v, Replaced)
		case kept >= PerBrowser:
			err = d.End(ctx, tx, v, Crowded)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// thinOut makes room for one more session of a user.
func (d *Door) thinOut(ctx context.Context, tx *db.Tx, user directory.User) error {
	n, err := tx.Exec(ctx, `
		update sessions set ended_at = $1, end_reason = $2
		where org_id = $3 and user_id = $4 and ended_at is null and (seen_at, id) <= (
			select o.seen_at, o.id from sessions o
			where o.org_id = $3 and o.user_id = $4 and o.ended_at is null
			order by o.seen_at desc, o.id desc
			limit 1 offset $5)`,
		db.Time(tx.Now()), string(TooMany), string(user.OrgID), string(user.ID), PerUser-1)
	if err != nil {
		return fmt.Errorf("making room for a session of %s: %w", user.ID, err)
	}
	if n == 0 {
		return nil
	}
	return audit.Record(ctx, tx, audit.Event{
		OrgID: string(user.OrgID), Actor: audit.System, ActorName: audit.System, Action: "session.ended",
		Target: string(user.ID), TargetName: user.Name, After: audit.Fields{"reason": TooMany, "sessions": n},
	})
}

// Raise notes that a factor was proved again in the browser's open session of that user, as a
// step-up demanded. The browser's token changes. It reports false, and does nothing, if no such
// session is open any longer or the token that was shown is not the current one.
func (d *Door) Raise(ctx context.Context, tx *db.Tx, b Browser, user directory.User, p Proof) (secret.Token, bool, error) {
	var v Visit
	var idle, absolute *int64
	found, err := tx.One(ctx, append(v.Session.targets(), &idle, &absolute), `
		select `+sessionColumns+`, q.idle, q.absolute
		from sessions s
		left join session_rules q on q.org_id = s.org_id
		where s.org_id = $1 and s.user_id = $2 and s.browser_id = $3 and s.generation = $4 and s.ended_at is null
			and exists (select 1 from browsers where id = $3 and token_hash = $5)`,
		string(user.OrgID), string(user.ID), b.ID, user.Generation, b.Shown())
	if err != nil || !found {
		return secret.Token{}, false, err
	}
	if v.Rules = d.rulesIn(idle, absolute); v.over(tx.Now()) {
		return secret.Token{}, false, nil // a proof does not revive a session that time ended
	}
	var secondAt time.Time
	if p.Second {
		secondAt = tx.Now()
	}
	v.Session.Methods = together(v.Session.Methods, p.Methods, p.Second)
	if _, err := tx.Exec(ctx, `
		update sessions set proved_at = $1, seen_at = $1, methods = $2, second_at = coalesce($3, second_at)
		where org_id = $4 and id = $5`,
		db.Time(tx.Now()), v.Session.Methods, db.Time(secondAt), string(user.OrgID), v.Session.ID); err != nil {
		return secret.Token{}, false, err
	}
	v.Session.acts(ctx)
	if err := wasActive(ctx, tx, user.OrgID, user.ID, v.Session.SeenAt); err != nil {
		return secret.Token{}, false, err
	}
	return d.rotate(ctx, tx, b, Deed{p.Deed, v.Session.ID})
}

// together returns the methods of a session in which further ones were used: mfa if there is a
// second step beside a first (RFC 8176 §2).
func together(before string, more []string, second bool) string {
	all := strings.Fields(before)
	if second && !slices.Contains(all, "mfa") {
		more = append(slices.Clone(more), "mfa")
	}
	for _, m := range more {
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return strings.Join(all, " ")
}

// Touch notes that the person did something, unless that was noted just now, and returns the
// visit with the change. A background request, a prefetch or a refresh is not something a
// person does. Coming back after a Pause is noted too.
func (d *Door) Touch(ctx context.Context, database *db.DB, v Visit) (Visit, error) {
	if !v.stale(database.Now()) {
		return v, nil
	}
	return d.Stay(ctx, database, v)
}

// Stay is Touch for people who say that they are still there: it is noted however recently
// something else was.
func (d *Door) Stay(ctx context.Context, database *db.DB, v Visit) (Visit, error) {
	var seen Visit
	err := database.UpdateLax(ctx, func(tx *db.Tx) error {
		seen = v
		pause := tx.Now().Add(-Pause)
		if v.Session.SeenAt.Before(pause) {
			seen.Session.ResumedAt = tx.Now()
		}
		seen.Session.SeenAt = tx.Now()
		_, err := tx.Exec(ctx, `
			update sessions set resumed_at = case when seen_at < $1 then $2 else resumed_at end, seen_at = $2
			where org_id = $3 and id = $4 and ended_at is null`,
			db.Time(pause), db.Time(tx.Now()), string(v.Session.OrgID), v.Session.ID)
		if err != nil {
			return err
		}
		return wasActive(ctx, tx, v.User.OrgID, v.User.ID, v.Session.SeenAt)
	})
	return seen, err
}

// Switch notes that the person chose this session among those of its browser. Applications that
// name no organization get it from now on, and what the other sessions opened there is closed
// (decision 0036).
func (d *Door) Switch(ctx context.Context, tx *db.Tx, v Visit) error {
	n, err := tx.Exec(ctx, `
		update sessions set switched_at = $1, seen_at = $1
		where org_id = $2 and id = $3 and ended_at is null`,
		db.Time(tx.Now()), string(v.Session.OrgID), v.Session.ID)
	if err == nil && n == 0 {
		err = ErrOver
	}
	if err != nil {
		return err
	}
	return wasActive(ctx, tx, v.User.OrgID, v.User.ID, v.Session.SeenAt)
}
