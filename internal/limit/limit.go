// Package limit limits how often something may be tried, for all nodes together.
//
// A try is counted before the work that it costs, and is refused while earlier tries make
// it wait (decision 0008). A caller who must wait is told how long; the server never sleeps.
// It owns the table limits.
package limit

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/measure"
	"parvis/internal/secret"
)

// Policy describes one limiter: how many takes are free, and how the wait grows after them.
type Policy struct {
	Name   string        // part of the key, so that two policies never share a count
	Free   int           // takes before the first wait, at least one
	First  time.Duration // the first wait; each further take doubles it
	Most   time.Duration // the longest wait
	Forget time.Duration // the count starts again after this long without a take
}

// after returns how long a first try that counts as n takes makes the next one wait.
func (p Policy) after(n int) time.Duration {
	if n < p.Free {
		return 0
	}
	return p.First
}

// Key is one counter: a policy and what it counts.
type Key struct {
	policy Policy
	id     string
	takes  int    // how many takes one try counts as
	org    string // in whose log it is when it begins to refuse; empty for the installation's

	limiter *Limiter
}

// In returns the key as one that belongs to an organization, whose log has it when it begins to refuse.
func (k Key) In(org string) Key {
	k.org = org
	return k
}

// Times returns the key for a try that counts as n takes, such as a list of n letters. It is
// allowed or refused as a whole, and makes the next one wait as a single take does.
func (k Key) Times(n int) Key {
	k.takes = n
	return k
}

// Limiter makes keys from which nobody can find out what they count.
type Limiter struct {
	Refused measure.By[measure.Counter] // tries, by the name of the policy

	lookup  *secret.Ring
	refuses audit.Sparing
}

// NewLimiter uses the newest look-up key. Rotating that key resets every count.
func NewLimiter(lookup *secret.Ring) *Limiter {
	return &Limiter{lookup: lookup.For("limits")}
}

// Part is one of the values that make up a key, such as an address or a network.
type Part struct{ kind, text string }

// Of makes a part from an id, or from an address that somebody typed.
func Of[T ~string](text T) Part { return Part{"text", string(text)} }

// From makes a part from the network that a request came from: an IPv4 address, or an IPv6
// /64, which one customer has as a whole and can guess from with any of its addresses.
func From(o audit.Origin) Part {
	ip, err := netip.ParseAddr(o.Network)
	if err != nil {
		return Part{"network", o.Network}
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return Part{"network", ip.String()}
	}
	return Part{"network", netip.PrefixFrom(ip, 64).Masked().String()}
}

// String returns what a log may show of the part.
func (p Part) String() string { return p.text }

// Key returns the counter of policy p for these parts.
func (l *Limiter) Key(p Policy, parts ...Part) Key {
	texts := []string{"limit", p.Name}
	for _, part := range parts {
		texts = append(texts, part.kind, part.text)
	}
	return Key{p, p.Name + "." + base64.RawURLEncoding.EncodeToString(secret.MAC(l.lookup.Current().Bytes, texts...)[:18]), 1, "", l}
}

// Taken is the result of a take.
type Taken struct {
	Allowed bool
	Wait    time.Duration  // how long until the next take is allowed, if this one was refused
	Crossed []string       // names of the policies whose free takes this one used up
	Counts  map[string]int // by policy name, including this take: each of several simultaneous takes gets its own count

	refusing []Key
}

// Take counts one try on every key, in a single statement, and reports whether it may
// proceed. Of 200 simultaneous callers, exactly as many proceed as takes are free.
// It runs outside Update, so that a refused try stays counted.
func Take(ctx context.Context, d *db.DB, keys ...Key) (Taken, error) {
	return TakeInTurn(ctx, d, keys)
}

// TakeInTurn takes narrow counts before wide ones, and wide ones only if the narrow ones allow
// it: otherwise somebody who is already refused would use up what others count on too. On SQLite
// all of them cost one transaction.
func TakeInTurn(ctx context.Context, d *db.DB, turns ...[]Key) (Taken, error) {
	taken, now := Taken{Allowed: true, Counts: map[string]int{}}, d.Now()
	err := d.LaxInTurn(ctx, func(one db.Statement) error {
		for _, keys := range turns {
			if err := taken.take(ctx, one, now, keys); err != nil || !taken.Allowed {
				return err
			}
		}
		return nil
	})
	for _, k := range taken.refusing {
		if err == nil {
			err = k.record(ctx, d, taken.Wait)
		}
	}
	return taken, err
}

// record records that a count began to refuse: once for as long as it is remembered without a try,
// because a flood of tries would fill the log.
func (k Key) record(ctx context.Context, d *db.DB, wait time.Duration) error {
	return k.limiter.refuses.Record(ctx, d, k.id, k.policy.Forget, func(*db.Tx) (audit.Event, error) {
		return audit.Event{
			OrgID: k.org, Actor: audit.Anonymous, ActorName: audit.Anonymous, Action: "request.refused", Result: audit.Refused,
			After: audit.Fields{"check": "too_often", "limiter": k.policy.Name, "counter": k.id[len(k.policy.Name)+1:][:8], "wait": max(1, int(wait.Seconds()))},
		}, nil
	})
}

func (taken *Taken) take(ctx context.Context, one db.Statement, now time.Time, keys []Key) error {
	// Every node uses the same order, so that two takes cannot deadlock.
	keys = slices.SortedFunc(slices.Values(keys), func(a, b Key) int { return strings.Compare(a.id, b.id) })
	var values strings.Builder
	args := make([]any, 0, 8*len(keys))
	for i, k := range keys {
		if i > 0 {
			values.WriteString(", ")
		}
		n := len(args)
		p := func(i int) string { return "$" + strconv.Itoa(n+i) }
		fmt.Fprintf(&values, "(%s, %s, %s, %s, %s, %s, %s, true, %s)", p(1), p(2), p(3), p(4), p(5), p(6), p(7), p(8))
		wait := k.policy.after(k.takes)
		args = append(args, k.id, k.takes, k.policy.Free, k.policy.First.Microseconds(), k.policy.Most.Microseconds(), wait.Microseconds(),
			db.Time(now.Add(wait)), db.Time(now.Add(k.policy.Forget)))
	}
	return one(ctx, func(scan func(...any) error) error {
		var id string
		var count int
		var allowed bool
		var freeAt time.Time
		if err := scan(&id, &count, &allowed, (*db.Time)(&freeAt)); err != nil {
			return err
		}
		k := keys[slices.IndexFunc(keys, func(k Key) bool { return k.id == id })]
		taken.Counts[k.policy.Name] = count
		switch {
		case !allowed:
			taken.Allowed = false
			taken.refusing = append(taken.refusing, k)
			k.limiter.Refused.Of(measure.Labels{k.policy.Name}).Inc()
			taken.Wait = max(taken.Wait, freeAt.Sub(now))
		case count >= k.policy.Free && count-k.takes < k.policy.Free:
			taken.Crossed = append(taken.Crossed, k.policy.Name)
		}
		return nil
	}, takeBefore+values.String()+takeAfter, args...)
}

// The inserted row is that of the very first take, so its wait begins at the time of this
// take. A row without a delay refuses nobody, because of two simultaneous takes the one with
// the later time may be written first.
const (
	instant    = `(excluded.free_at - excluded.delay)`
	expired    = `limits.expires_at <= ` + instant
	refused    = `limits.delay > 0 and limits.free_at > ` + instant
	takeBefore = `
		insert into limits (id, taken, free, first, most, delay, free_at, allowed, expires_at)
		values `
	takeAfter = `
		on conflict (id) do update set
			taken = case
				when ` + expired + ` then excluded.taken
				when ` + refused + ` then limits.taken
				else limits.taken + excluded.taken end,
			delay = case
				when ` + expired + ` then excluded.delay
				when ` + refused + ` then limits.delay
				when limits.taken + excluded.taken < excluded.free then 0
				when limits.delay = 0 then excluded.first
				when limits.delay * 2 > excluded.most then excluded.most
				else limits.delay * 2 end,
			free_at = case
				when ` + expired + ` then excluded.free_at
				when ` + refused + ` then limits.free_at
				when limits.taken + excluded.taken < excluded.free then ` + instant + `
				when limits.delay = 0 then ` + instant + ` + excluded.first
				when limits.delay * 2 > excluded.most then ` + instant + ` + excluded.most
				else ` + instant + ` + limits.delay * 2 end,
			allowed = ` + expired + ` or not (` + refused + `),
			expires_at = case
				when not (` + expired + `) and ` + refused + ` then limits.expires_at
				else excluded.expires_at end
		returning id, taken, allowed, free_at`
)

// Release is for a try that succeeded in tx and therefore was no guess. It resets the counts of
// the keys in clear, and gives one take back to shared, which other people use too, with the wait
// that it began: who is always right is never slowed, however often others were wrong. The zero Key
// means none. If tx is not committed, nothing is given back. A count that stays too high after a
// commit is told to failed.
func Release(ctx context.Context, tx *db.Tx, failed func(error), shared Key, clear ...Key) error {
	args := []any{shared.id}
	var list strings.Builder
	for i, k := range clear {
		list.WriteString(", $" + strconv.Itoa(i+2))
		args = append(args, k.id)
	}
	return tx.Lax(ctx, failed, `
		update limits set
			taken = case when id = $1 and taken > 0 then taken - 1 else 0 end,
			delay = case when id = $1 and delay > first then delay >> 1 else 0 end,
			free_at = case when id = $1 then free_at - delay else 0 end
		where id in ($1`+list.String()+`)`, args...)
}

// Sweep removes counts that have expired.
func Sweep(ctx context.Context, d *db.DB) error {
	_, err := d.InParts(ctx, `delete from limits where id in (select id from limits where expires_at <= $1 limit $2)`, db.Time(d.Now()))
	return err
}
