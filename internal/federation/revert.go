package federation

import (
	"context"
	"errors"
	"maps"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/outbound"
)

// The limits within which single sign-on as the only way in is undone by itself (decision 0045).
const (
	// Watched is for how long failures count, from when it became the only way in.
	Watched = time.Hour
	// RevertAfter is how long the owners are told before it is undone.
	RevertAfter = 10 * time.Minute
	// provedWithin is how recently a person must have signed in here in a browser for
	// their failure in it to count.
	provedWithin = 90 * 24 * time.Hour
	// answersWithin is how long the person may take at the provider before a request
	// counts as unanswered.
	answersWithin = 5 * time.Minute
	// manyFailed is how many people must have failed, each in their own browser.
	manyFailed = 3
)

// SweepOnly ends single sign-on as the only way in where it fails for known people within
// an hour of being made so: otherwise nobody could sign in to mend it. The owners get a
// letter first. Failures of strangers do not count.
func (h *Hub) SweepOnly(ctx context.Context, d *db.DB) error {
	watched, err := db.List(ctx, d, (*directory.Organization).Targets, `
		select `+directory.OrganizationColumns+`
		from organizations o
		where o.federated_since > $1
		order by o.id`, db.Time(d.Now().Add(-Watched-2*RevertAfter)))
	for _, o := range watched {
		failed, e := h.failsForAll(ctx, d, o)
		if e == nil && failed {
			e = h.revert(ctx, d, o)
		} else if e == nil {
			e = d.Update(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, `delete from only_warnings where org_id = $1`, string(o.ID))
				return err
			})
		}
		err = errors.Join(err, e)
	}
	return err
}

// failsForAll reports whether nobody has signed in since single sign-on became the only
// way into an organization, and enough known people failed.
func (h *Hub) failsForAll(ctx context.Context, r db.Reader, o directory.Organization) (bool, error) {
	since, until := o.FederatedSince, o.FederatedSince.Add(Watched)
	succeeded, err := r.One(ctx, db.Into(new(string)), `
		select id from upstream_traces
		where org_id = $1 and at >= $2 and tester is null and refused is null
		limit 1`, string(o.ID), db.Time(since))
	if err != nil || succeeded {
		return false, err
	}
	var people int
	if _, err := r.One(ctx, db.Into(&people), `select count(*) from users where org_id = $1 and deactivated_at is null`, string(o.ID)); err != nil {
		return false, err
	}
	needed := max(1, min(manyFailed, people))
	failed := map[string]bool{} // browsers
	if err := r.Rows(ctx, func(scan func(...any) error) error {
		var browser string
		err := scan(&browser)
		failed[browser] = true
		return err
	}, `
		select distinct browser_id from upstream_traces
		where org_id = $1 and browser_id is not null and tester is null and refused is not null and at >= $2 and at <= $3`,
		string(o.ID), db.Time(since), db.Time(until)); err != nil {
		return false, err
	}
	answered, err := knownIn(ctx, r, o.ID, failed)
	if err != nil || answered >= needed {
		return err == nil, err
	}
	silent, err := unanswered(ctx, r, o)
	if err != nil {
		return false, err
	}
	for connection, browsers := range silent {
		met, broken := maps.Clone(failed), map[string]bool{}
		for b, ours := range browsers {
			met[b] = true
			if ours {
				broken[b] = true
			}
		}
		known, err := knownIn(ctx, r, o.ID, met)
		if err != nil {
			return false, err
		}
		if known < needed {
			continue
		}
		if ours, err := knownIn(ctx, r, o.ID, broken); err != nil || ours > 0 {
			return err == nil, err
		}
		if c, err := connectionOf(ctx, r, o.ID, connection); err != nil || h.isDead(ctx, c) {
			return err == nil, err
		}
	}
	return false, nil
}

// unanswered returns, by connection, the browsers whose requests no provider answered, or
// whose answer met an error of ours. The value is true for an error of ours.
func unanswered(ctx context.Context, r db.Reader, o directory.Organization) (map[string]map[string]bool, error) {
	all := map[string]map[string]bool{}
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var connection, browser string
		var ours bool
		if err := scan(&connection, &browser, &ours); err != nil {
			return err
		}
		if all[connection] == nil {
			all[connection] = map[string]bool{}
		}
		all[connection][browser] = ours || all[connection][browser]
		return nil
	}, `
		select distinct connection_id, browser_id, broken_at is not null
		from upstream_requests
		where org_id = $1 and browser_id is not null and attempt_id is not null and created_at >= $2 and created_at <= $3
			and (ended_at is null and created_at <= $4 or broken_at is not null)`,
		string(o.ID), db.Time(o.FederatedSince), db.Time(o.FederatedSince.Add(Watched)), db.Time(r.Now().Add(-answersWithin)))
	return all, err
}

// knownIn counts the people who recently signed in here in these browsers: for each
// browser the person of its last session, and each person once. A stranger's browser
// counts for nobody.
func knownIn(ctx context.Context, r db.Reader, org directory.OrgID, browsers map[string]bool) (int, error) {
	people := map[directory.UserID]bool{}
	for b := range browsers {
		var id directory.UserID
		found, err := r.One(ctx, db.Into(&id), `
			select s.user_id from sessions s
			join users u on u.org_id = s.org_id and u.id = s.user_id and u.deactivated_at is null
			where s.org_id = $1 and s.browser_id = $2 and s.proved_at > $3
			order by s.started_at desc
			limit 1`, string(org), b, db.Time(r.Now().Add(-provedWithin)))
		if err != nil {
			return 0, err
		}
		if found {
			people[id] = true
		}
	}
	return len(people), nil
}

// isDead reports whether nothing answers at the address that people are sent to. An
// address that only its own network can reach does not count as dead.
func (h *Hub) isDead(ctx context.Context, c Connection) bool {
	address := c.SAML.SSO.Location
	if c.Protocol == OIDC {
		address = c.Found.Provider.Authorization
	}
	_, err := h.Outbound.Get(ctx, address, mostMetadata)
	why, _ := errors.AsType[outbound.Refused](err)
	return why == outbound.Unreachable || why == outbound.Timeout || why == outbound.TLS
}

// revert tells the owners that the other ways in will be opened again, and opens them
// once RevertAfter has passed.
func (h *Hub) revert(ctx context.Context, d *db.DB, o directory.Organization) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		actor := directory.System(o.ID)
		var warned time.Time
		found, err := tx.One(ctx, db.Into((*db.Time)(&warned)), `select warned_at from only_warnings where org_id = $1`, string(o.ID))
		if err != nil {
			return err
		}
		if !found {
			if _, err := tx.Exec(ctx, `insert into only_warnings (org_id, warned_at) values ($1, $2)`, string(o.ID), db.Time(tx.Now())); err != nil {
				return err
			}
			return h.tell(ctx, tx, actor, Connection{OrgID: o.ID}, mail.FederationFails, tx.Now().Add(RevertAfter))
		}
		if tx.Now().Before(warned.Add(RevertAfter)) {
			return nil
		}
		if _, err := tx.Exec(ctx, `delete from only_warnings where org_id = $1`, string(o.ID)); err != nil {
			return err
		}
		if err := directory.EndFederatedOnly(ctx, tx, actor, o.ID, "every attempt failed"); err != nil {
			return err
		}
		return h.tell(ctx, tx, actor, Connection{OrgID: o.ID}, mail.FederationReverted, tx.Now())
	})
}
