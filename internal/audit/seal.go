package audit

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// ErrChainBroken is returned when a sealed event, or a seal, was removed or altered.
var ErrChainBroken = errors.New("the audit log was altered")

// Seals protects the audit log with a chain of seals. Each seal is a keyed hash over the
// events committed since the previous seal and over the hash of that seal. The key is kept
// outside the database, so write access to the database is not enough to make a seal.
//
// Events of about the last second, which have no seal, are not protected yet. Nor does the
// chain show that its newest seals were removed together with their events.
type Seals struct{ keys secret.Ring }

// NewSeals derives its keys from a ring that is kept outside the database.
func NewSeals(sealing secret.Ring) *Seals { return &Seals{sealing.For("audit seals")} }

// perSeal is the most events that one sweep seals in a transaction.
const perSeal = 5000

// Sweep seals the events committed since the last sweep. Extending the chain inside each
// recording transaction would make all of them wait for each other (decision 0012).
func (s *Seals) Sweep(ctx context.Context, d *db.DB) error {
	var id string
	if some, err := d.One(ctx, db.Into(&id), `select id from audit_events where seal is null limit 1`); err != nil || !some {
		return err
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		last, err := lastSeal(ctx, tx)
		if err != nil {
			return err
		}
		seq := last.seq + 1
		n, err := tx.Exec(ctx, `
			update audit_events set seal = $1
			where (org_id, id) in (select org_id, id from audit_events where seal is null order by at limit $2)`, seq, perSeal)
		if err != nil || n == 0 {
			return err
		}
		link, err := s.hash(ctx, tx, seq, s.keys.Current(), last.hash)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			insert into audit_seals (seq, first, last, events, hash, previous_hash, sealed_at)
			values ($1, $2, $3, $4, $5, $6, $7)`,
			seq, link.first, link.last, link.events, link.hash, last.hash, db.Time(tx.Now()))
		return err
	})
}

// Verify checks the whole chain. It returns how many seals are right, or ErrChainBroken
// with the number of the first seal that is not.
func (s *Seals) Verify(ctx context.Context, d *db.DB) (seals int64, err error) {
	previous := ""
	for seq := int64(1); ; seq++ {
		done := false
		err := d.View(ctx, func(tx *db.Tx) error {
			var stored link
			var before string
			found, err := tx.One(ctx, db.Into(&stored.first, &stored.last, &stored.events, &stored.hash, &before),
				`select first, last, events, hash, previous_hash from audit_seals where seq = $1`, seq)
			if err != nil {
				return err
			}
			if !found {
				done = true
				last, err := lastSeal(ctx, tx)
				if err == nil && last.seq >= seq {
					err = fmt.Errorf("%w: seal %d is missing", ErrChainBroken, seq)
				}
				return err
			}
			for _, key := range s.keys {
				again, err := s.hash(ctx, tx, seq, key, previous)
				if err != nil {
					return err
				}
				if before == previous && again.events == stored.events && hmac.Equal([]byte(again.hash), []byte(stored.hash)) {
					previous = stored.hash
					return nil
				}
			}
			return fmt.Errorf("%w: seal %d (events %s to %s) does not fit", ErrChainBroken, seq, stored.first, stored.last)
		})
		if err != nil || done {
			return seq - 1, err
		}
	}
}

type link struct {
	seq         int64
	first, last string
	events      int64
	hash        string
}

func lastSeal(ctx context.Context, tx *db.Tx) (link, error) {
	var l link
	_, err := tx.One(ctx, db.Into(&l.seq, &l.hash), `select seq, hash from audit_seals order by seq desc limit 1`)
	return l, err
}

// hash computes a seal from the events that carry its number. They are sorted in Go by
// organization and id, because the two databases sort text differently.
func (s *Seals) hash(ctx context.Context, tx *db.Tx, seq int64, key secret.Key, previous string) (link, error) {
	l := link{seq: seq}
	running := secret.MAC(key.Bytes, "audit", fmt.Sprint(seq), previous)
	var rows [][]string
	err := tx.Rows(ctx, func(scan func(...any) error) error {
		c := make([]string, 15)
		var at int64
		if err := scan(&c[0], &c[1], &at, &c[3], &c[4], &c[5], &c[6], &c[7], &c[8], &c[9], &c[10], &c[11], &c[12], &c[13], &c[14]); err != nil {
			return err
		}
		c[2] = fmt.Sprint(at)
		rows = append(rows, c)
		return nil
	}, `
		select org_id, id, at, actor, actor_name, action, result, target, target_name, search_key, network, agent, request, before, after
		from audit_events
		where seal = $1
		order by at, id`, seq)
	if err != nil {
		return link{}, fmt.Errorf("reading the events of seal %d: %w", seq, err)
	}
	for _, c := range rows {
		running = secret.MAC(key.Bytes, append([]string{string(running)}, c...)...)
	}
	if l.events = int64(len(rows)); l.events > 0 {
		l.first, l.last = rows[0][1], rows[len(rows)-1][1]
	}
	l.hash = base64.RawURLEncoding.EncodeToString(running)
	return l, nil
}
