package op

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/delivery"
	"parvis/internal/directory"
	"parvis/internal/outbound"
	"parvis/internal/safely"
	"parvis/internal/secret"
)

const (
	// logoutLasts is how long a logout token is valid (Back-Channel Logout §2.4 advises two
	// minutes). tellingLasts is how long we keep trying to tell an application.
	logoutLasts  = 2 * time.Minute
	tellingLasts = 24 * time.Hour
	// A node makes at most mostAtOnce calls to applications at the same time, mostOfOwner to
	// the applications of one organization, and mostOfOne to one application.
	mostAtOnce  = 64
	mostOfOwner = 16
	mostOfOne   = 4
	// patience is how long a sweep waits for answers; slower calls go on in the background.
	patience = 800 * time.Millisecond
)

// again is the wait after each try; the last one repeats.
var again = delivery.Schedule{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute}

// notice is one session's end that one application is to be told.
type notice struct {
	org     directory.OrgID
	id      string
	user    directory.UserID
	session string
	created time.Time
	tries   int
	client  application.Application
}

// tellAll sends the notices that are due, and waits up to patience for the answers.
func (p *Provider) tellAll(ctx context.Context, d *db.DB) error {
	due, err := p.due(ctx, d)
	if err == nil && len(due) > 0 {
		due, err = claimNotices(ctx, d, due)
	}
	if err != nil {
		return err
	}
	var telling sync.WaitGroup
	for _, n := range due {
		p.busy.Add(string(n.client.OrgID), string(n.client.ID), 1)
		telling.Go(func() {
			defer p.busy.Add(string(n.client.OrgID), string(n.client.ID), -1)
			if err := safely.Do(func() error { p.tellOne(context.WithoutCancel(ctx), d, n); return nil }); err != nil {
				p.Log.ErrorContext(ctx, "telling an application", "client", string(n.client.ID), "error", err.Error())
			}
		})
	}
	delivery.Await(&telling, patience)
	return nil
}

// due lists the notices to send now, the oldest first, within the limits for one application,
// one organization and this node. So an application that does not answer delays only itself.
func (p *Provider) due(ctx context.Context, d *db.DB) ([]notice, error) {
	all, err := db.List(ctx, d, func(n *notice) []any {
		return append(n.client.Targets(), &n.org, &n.id, &n.user, &n.session, (*db.Time)(&n.created), &n.tries)
	}, `
		select `+application.Columns+`, l.org_id, l.id, l.user_id, l.session_id, l.created_at, l.tries
		from (
			select l.*, row_number() over (partition by l.client_id order by l.next_try_at, l.id) as place
			from logouts l
			where l.next_try_at <= $1) l
		join clients c on c.id = l.client_id
		where l.place <= $2
		order by l.next_try_at
		limit 50`, db.Time(d.Now()), mostOfOne)
	room := p.busy.Plan()
	return slices.DeleteFunc(all, func(n notice) bool { return !room.Take(string(n.client.OrgID), string(n.client.ID)) }), err
}

// claimNotices returns the notices that this node may send. It moves their next try past the
// end of this one, so that no other node sends them meanwhile.
func claimNotices(ctx context.Context, d *db.DB, due []notice) ([]notice, error) {
	var mine []notice
	err := d.Update(ctx, func(tx *db.Tx) error {
		mine = nil
		for _, n := range due {
			changed, err := tx.Exec(ctx, `
				update logouts set next_try_at = $1, tries = $2
				where org_id = $3 and id = $4 and tries = $5 and next_try_at is not null`,
				db.Time(tx.Now().Add(outbound.Patience+again.Forever(1))), n.tries+1, string(n.org), n.id, n.tries)
			if err != nil {
				return err
			}
			if changed == 1 {
				mine = append(mine, n)
			}
		}
		return nil
	})
	return mine, err
}

// tellOne sends a logout token, and stores the reply and the time of the next try.
func (p *Provider) tellOne(ctx context.Context, d *db.DB, n notice) {
	reply, told := "it listens no more", true
	if n.client.Settings.BackChannel != "" {
		reply, told = p.send(ctx, n)
	}
	err := d.Update(ctx, func(tx *db.Tx) error {
		next := tx.Now().Add(again.Forever(n.tries + 1))
		if told || next.Sub(n.created) > tellingLasts {
			next = time.Time{}
		}
		var at time.Time
		if told {
			at = tx.Now()
		}
		changed, err := tx.Exec(ctx, `
			update logouts set reply = $1, told_at = $2, next_try_at = $3, tried_at = $4
			where org_id = $5 and id = $6`, reply, db.Time(at), db.Time(next), db.Time(tx.Now()), string(n.org), n.id)
		if err != nil || told || !next.IsZero() || changed == 0 { // its organization may be gone
			return err
		}
		return audit.Record(ctx, tx, n.neverTold())
	})
	if err != nil {
		p.Log.ErrorContext(ctx, "keeping what an application answered", "logout", n.id, "error", err.Error())
	}
}

// neverTold is what the log of the person's organization has when we no longer try. What the
// application answered is left out: its address may be known to the operator alone.
func (n notice) neverTold() audit.Event {
	return audit.Event{
		OrgID: string(n.org), Actor: audit.System, ActorName: audit.System, Action: "application.logout_failed", Result: audit.Refused,
		Target: string(n.client.ID), TargetName: n.client.Settings.Name, After: audit.Fields{"user": string(n.user), "session": n.session},
	}
}

// send posts a logout token (Back-Channel Logout §2.5). The status 200 or 204 means that the
// application accepted it.
func (p *Provider) send(ctx context.Context, n notice) (reply string, told bool) {
	now := p.DB.Now()
	k, err := p.Keys.signing(ctx, n.client.Settings.SigningAlgorithm())
	if err != nil {
		p.Log.ErrorContext(ctx, "reading the signing key", "application", string(n.client.ID), "error", err.Error())
		return "signing failed", false
	}
	token, err := k.sign(logoutTokenType, map[string]any{
		"iss": p.Base, "aud": string(n.client.ID), "iat": now.Unix(), "exp": now.Add(logoutLasts).Unix(), "jti": secret.NewID("jti"),
		"sub": p.subjectOf(n.client, n.org, n.user), "sid": p.sid(n.client, n.session),
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
	w, err := p.Reach.Client(n.client, address).Do(r, 64<<10)
	if err != nil {
		return err.Error(), false
	}
	return w.StatusText(), w.Status == http.StatusOK || w.Status == http.StatusNoContent
}
