package federation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation/saml"
	"parvis/internal/mail"
	"parvis/internal/outbound"
	"parvis/internal/page"
	"parvis/internal/signin"
	"parvis/internal/upstream"
)

const (
	// RenewEvery is how often a connection's metadata is fetched again.
	RenewEvery = 24 * time.Hour
	// renewedAtOnce is how many connections one sweep renews: each may take as long as
	// the outbound client waits.
	renewedAtOnce = 20
)

// fetchFailed begins the catalogue key of a renewal whose provider did not answer.
const fetchFailed = "federation.outbound."

// warnAt are how many days before a certificate ends a letter is sent, one for each.
var warnAt = []int{1, 7, 30}

// each calls fn for the connections that a query finds, one after another and outside
// any transaction. An error of one does not stop the others.
func (h *Hub) each(ctx context.Context, fn func(Connection) error, where string, args ...any) error {
	var all []Connection
	err := h.DB.Rows(ctx, func(scan func(...any) error) error {
		var w connectionRow
		if err := scan(w.targets()...); err != nil {
			return err
		}
		c, err := w.connection()
		all = append(all, c)
		return err
	}, `select `+connectionColumns+` from connections c where c.protocol = 'saml' and c.state = 'on' and `+directory.NotDeleted("c.org_id")+` and `+where, args...)
	for _, c := range all {
		if e := fn(c); e != nil {
			err = errors.Join(err, fmt.Errorf("connection %s: %w", c.ID, e))
		}
	}
	return err
}

// SweepRenewals fetches the metadata of connections that have an address for it, once a day.
func (h *Hub) SweepRenewals(ctx context.Context, d *db.DB) error {
	return h.each(ctx, func(c Connection) error { return h.renew(ctx, c) }, `
		c.metadata_url is not null and (c.renewed_at is null or c.renewed_at <= $1)
		order by c.renewed_at
		limit $2`, db.Time(d.Now().Add(-RenewEvery)), renewedAtOnce)
}

// renew stores what the metadata at the connection's address says now. Metadata with
// another issuer, or that the page would refuse too, changes nothing; administrators are
// told (decision 0046).
func (h *Hub) renew(ctx context.Context, c Connection) error {
	read, unread := h.fetchMetadata(ctx, c)
	if unread == "" && read.EntityID != c.SAML.EntityID {
		unread = "federation.fix.metadata_issuer"
	}
	return h.DB.Update(ctx, func(tx *db.Tx) error {
		now, err := connectionOf(ctx, tx, c.OrgID, c.ID)
		if errors.Is(err, directory.ErrNotFound) || err == nil && (now.MetadataURL != c.MetadataURL || !now.ChangedAt.Equal(c.ChangedAt)) {
			return nil // somebody changed it meanwhile
		}
		if err != nil {
			return err
		}
		before, why := now, unread
		if why == "" {
			err = now.take(read)
			now.SAML.Certificates = together(before.SAML.Certificates, now.SAML.Certificates)
		}
		if err != nil {
			why = "federation.fix.metadata_certificates"
			now = before
		}
		if err := now.save(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update connections set renewed_at = $1, renewal = $2 where org_id = $3 and id = $4`,
			db.Time(tx.Now()), db.Text(why), string(c.OrgID), c.ID); err != nil {
			return err
		}
		return h.tellRenewed(ctx, tx, before, now, why)
	})
}

// together returns the certificates to trust after a renewal. If the metadata has new
// ones they join the old ones, so that both hold while the provider changes over. If it
// has none, the old ones that it no longer lists are dropped.
func together(before, read [][]byte) [][]byte {
	all := slices.Clone(before)
	for _, der := range read {
		if !contains(before, der) {
			all = append(all, der)
		}
	}
	if len(all) == len(before) {
		return read
	}
	return all[max(0, len(all)-MostCertificates):]
}

func contains(certificates [][]byte, der []byte) bool {
	return slices.ContainsFunc(certificates, func(c []byte) bool { return bytes.Equal(c, der) })
}

// fetchMetadata returns what the address serves now, or the catalogue key that says why
// it is refused.
func (h *Hub) fetchMetadata(ctx context.Context, c Connection) (saml.Metadata, string) {
	w, err := h.Outbound.Get(ctx, c.MetadataURL, mostMetadata)
	if err != nil {
		refused, _ := errors.AsType[outbound.Refused](err)
		return saml.Metadata{}, fetchFailed + string(refused)
	}
	read, err := saml.ParseMetadata(w.Body, h.DB.Now(), h.loopback())
	if refused, is := errors.AsType[upstream.Refusal](err); is {
		return saml.Metadata{}, "federation.fix." + string(refused)
	}
	return read, ""
}

func (h *Hub) tellRenewed(ctx context.Context, tx *db.Tx, before, now Connection, why string) error {
	actor := directory.System(now.OrgID)
	if why != "" {
		// One letter for each kind of trouble, and none for a provider that is down.
		if !strings.HasPrefix(why, fetchFailed) && before.Renewal != why {
			return h.tell(ctx, tx, actor, now, mail.MetadataRefused, tx.Now())
		}
		return nil
	}
	was, is := differences(before, now)
	if len(is) == 0 {
		return nil
	}
	e := ByActor(actor).event(now, "connection.renewed")
	e.Before, e.After = was, is
	if err := audit.Record(ctx, tx, e); err != nil {
		return err
	}
	isNew := func(der []byte) bool { return !contains(before.SAML.Certificates, der) }
	if slices.ContainsFunc(now.SAML.Certificates, isNew) {
		return h.tell(ctx, tx, actor, now, mail.MetadataRenewed, tx.Now())
	}
	return nil
}

// SweepCertificates sends a letter 30, 7 and 1 days before the last of a provider's
// signing certificates ends.
func (h *Hub) SweepCertificates(ctx context.Context, d *db.DB) error {
	return h.each(ctx, func(c Connection) error {
		all, err := c.Certificates()
		if err != nil || len(all) == 0 {
			return err
		}
		ends := all[0].Until
		left := int(ends.Sub(d.Now()).Hours() / 24)
		i := slices.IndexFunc(warnAt, func(days int) bool { return left < days })
		warn := 0
		if i >= 0 {
			warn = warnAt[i]
		}
		if warn == c.Warned || warn > c.Warned && c.Warned != 0 {
			return nil
		}
		return d.Update(ctx, func(tx *db.Tx) error {
			n, err := tx.Exec(ctx, `update connections set warned = $1 where org_id = $2 and id = $3 and warned = $4`,
				warn, string(c.OrgID), c.ID, c.Warned)
			if err != nil || n == 0 || warn == 0 {
				return err
			}
			return h.tell(ctx, tx, directory.System(c.OrgID), c, mail.CertificateEnding, ends)
		})
	}, `1 = 1`)
}

// Sweep deletes requests that have served, parked responses, remembered messages that
// are too old to come again, and old traces. It keeps an unanswered request as long as
// its attempt leads somewhere, so that we know which browser made it.
func (h *Hub) Sweep(ctx context.Context, d *db.DB) error {
	now := d.Now()
	for statement, before := range map[string]time.Time{
		`delete from upstream_requests
		where (org_id, id) in (select org_id, id from upstream_requests where created_at <= $1 limit $2)`: now.Add(-signin.WhereToLasts),
		`update upstream_requests set asked = ''
		where (org_id, id) in (select org_id, id from upstream_requests where created_at <= $1 and asked <> '' limit $2)`: now.Add(-time.Hour),
		`delete from upstream_responses
		where (org_id, id) in (select org_id, id from upstream_responses where created_at <= $1 limit $2)`: now.Add(-page.ResponseLasts),
		`delete from upstream_replays
		where (org_id, connection_id, id) in (select org_id, connection_id, id from upstream_replays where expires_at <= $1 limit $2)`: now,
		`delete from upstream_traces
		where (org_id, id) in (select org_id, id from upstream_traces where at <= $1 limit $2)`: now.Add(-TracesKept),
	} {
		if _, err := d.InParts(ctx, statement, db.Time(before)); err != nil {
			return err
		}
	}
	return sweepServed(ctx, d, now.Add(-time.Hour))
}

// sweepServed deletes requests of before an instant that have served. Most of what it reads are
// requests that nobody answered, which are kept for longer, so it reads beside everybody who writes.
// What has served stays so, and each part begins where the last one ended.
func sweepServed(ctx context.Context, d *db.DB, before time.Time) error {
	type request struct {
		org, id string
		at      time.Time
	}
	for since := time.UnixMicro(0); ; {
		served, err := db.List(ctx, d, func(r *request) []any { return db.Into(&r.org, &r.id, (*db.Time)(&r.at)) }, `
			select org_id, id, created_at
			from upstream_requests
			where created_at >= $1 and created_at <= $2 and (ended_at is not null or attempt_id is null)
			order by created_at
			limit $3`, db.Time(since), db.Time(before), db.Part)
		if err != nil || len(served) == 0 {
			return err
		}
		since = served[len(served)-1].at
		if err := d.Update(ctx, func(tx *db.Tx) error {
			for _, r := range served {
				if _, err := tx.Exec(ctx, `delete from upstream_requests where org_id = $1 and id = $2`, r.org, r.id); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
}
