package session

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// SentTwice is how long a repeated form counts as the same: two clicks, or a request that was
// sent again because its answer was lost. A request may wait eight seconds for the database and
// then be told to come back in ten, though what it did was stored (decision 0083). The token that
// it showed is honoured for as long (Superseded).
const SentTwice = 30 * time.Second

// Came is what resulted from a deed in a browser a moment ago.
type Came struct {
	Browser Browser      // as if it showed its current token
	Token   secret.Token // its current token
	Gained  string       // id of a session or an attempt
	At      time.Time
}

// Again returns what resulted from a deed that was done a moment ago with the same token that b
// shows, or with the token that b got for it. It gives nobody anything else: every caller has
// had the deed's secret proved again. The browser's token must be the one that the deed
// brought; if anything happened in the browser since, there is nothing to answer again.
func (d *Door) Again(ctx context.Context, r db.Reader, b Browser, done string, now time.Time) (Came, bool, error) {
	if b.Shown() == "" || done == "" {
		return Came{}, false, nil
	}
	var c Came
	var hash string
	found, err := r.One(ctx, db.Into(&c.Browser.ID, &hash, (*db.Text)(&c.Gained), (*db.Time)(&c.At)), `
		select id, token_hash, gained, rotated_at from browsers
		where deed = $1 and (shown_hash = $2 or token_hash = $2) and rotated_at > $3
		order by rotated_at desc
		limit 1`, done, b.Shown(), db.Time(now.Add(-SentTwice)))
	if err != nil {
		return Came{}, false, fmt.Errorf("looking for what was done twice: %w", err)
	}
	if !found {
		return Came{}, false, nil
	}
	if c.Token = b.token; hash != b.Shown() {
		for _, c.Token = range d.next(b, c.Browser.ID, Deed{done, c.Gained}, c.At) {
			if c.Token.Hash(secret.Browser) == hash {
				break
			}
		}
	}
	c.Browser.token, c.Browser.RotatedAt = c.Token, c.At
	return c, hash == c.Browser.Shown(), nil
}

// Open returns the session that resulted from a deed, unless that is over.
func (c Came) Open(ctx context.Context, r db.Reader, d *Door, now time.Time) (Visit, bool, error) {
	open, _, err := d.Visits(ctx, r, c.Token, now)
	for _, v := range open {
		if err == nil && v.Session.ID == c.Gained {
			return v, true, nil
		}
	}
	return Visit{}, false, err
}
