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

// adopt prepares the oldest events from before the trees for being sealed, after it checked the
// chain that protected them a last time. What was altered is said in the log of the program and in
// the installation's audit log, and the trees begin with what is there.
func (l *Logs) adopt(ctx context.Context, d *db.DB) error {
	var id string
	if some, err := d.One(ctx, db.Into(&id), `select id from audit_events where by_hash = '' limit 1`); err != nil || !some {
		return err
	}
	seals, broken := l.lastCheck(ctx, d)
	if broken != nil && !errors.Is(broken, ErrAltered) {
		return broken
	}
	err := d.Update(ctx, func(tx *db.Tx) error {
		gone, err := tx.Exec(ctx, `delete from audit_seals`)
		if err == nil && gone > 0 {
			e := Event{Actor: System, ActorName: System, Action: "audit.chain_ended", After: Fields{"seals": seals}}
			if broken != nil {
				e.Result, e.After["reason"] = Refused, broken.Error()
			}
			err = Record(ctx, tx, e)
		}
		if err != nil {
			return err
		}
		return salt(ctx, tx)
	})
	if err == nil && broken != nil {
		l.log.ErrorContext(ctx, "the audit log was altered before it became trees", "error", broken.Error())
	}
	return err
}

// salt gives the oldest events without them their salts and hashes.
func salt(ctx context.Context, tx *db.Tx) error {
	type unsalted struct{ org, id, actorName, network, agent, targetName, before, after string }
	all, err := db.List(ctx, tx, func(e *unsalted) []any {
		return db.Into(&e.org, &e.id, &e.actorName, &e.network, &e.agent, &e.targetName, &e.before, &e.after)
	}, `
		select org_id, id, actor_name, network, agent, target_name, before, after
		from audit_events
		where by_hash = ''
		order by at, org_id, id
		limit $1`, db.Part)
	for _, e := range all {
		by, of := salts()
		if _, err := tx.Exec(ctx, `
			update audit_events set by_salt = $1, by_hash = $2, of_salt = $3, of_hash = $4
			where org_id = $5 and id = $6`,
			by, half(by, e.actorName, e.network, e.agent), of, half(of, e.targetName, e.before, e.after), e.org, e.id); err != nil {
			return err
		}
	}
	return err
}

// lastCheck checks the chain of seals, of which each is a keyed hash over its events and the seal
// before. It returns how many are right, or ErrAltered.
func (l *Logs) lastCheck(ctx context.Context, d *db.DB) (seals int64, err error) {
	previous := ""
	for seq := int64(1); ; seq++ {
		var hash, before string
		var last int64
		found, err := d.One(ctx, db.Into(&hash, &before), `
			select hash, previous_hash
			from audit_seals
			where seq = $1`, seq)
		switch {
		case err != nil:
			return seals, err
		case !found:
			if some, err := d.One(ctx, db.Into(&last), `select seq from audit_seals where seq > $1 limit 1`, seq); err != nil || !some {
				return seals, err
			}
			return seals, fmt.Errorf("%w: seal %d is missing", ErrAltered, seq)
		}
		events, err := underSeal(ctx, d, seq)
		if err != nil {
			return seals, err
		}
		right := before == previous
		keys := l.old.All()
		for i, key := range keys {
			if again := seal(seq, key, previous, events); right && hmac.Equal([]byte(again), []byte(hash)) {
				break
			}
			if i == len(keys)-1 {
				return seals, fmt.Errorf("%w: seal %d does not fit its events", ErrAltered, seq)
			}
		}
		previous, seals = hash, seq
	}
}

// underSeal reads the columns that a seal of the chain was over.
func underSeal(ctx context.Context, d db.Reader, seq int64) ([][15]string, error) {
	return db.List(ctx, d, func(c *[15]string) (into []any) {
		for i := range c {
			into = append(into, &c[i])
		}
		return into
	}, `
		select org_id, id, at, actor, actor_name, action, result, target, target_name, search_key, network, agent, request, before, after
		from audit_events
		where seal = $1
		order by at, id`, seq)
}

// seal computes the hash of a seal of the chain.
func seal(seq int64, key secret.Key, previous string, events [][15]string) string {
	running := secret.MAC(key.Bytes, "audit", fmt.Sprint(seq), previous)
	for _, e := range events {
		running = secret.MAC(key.Bytes, append([]string{string(running)}, e[:]...)...)
	}
	return base64.RawURLEncoding.EncodeToString(running)
}
