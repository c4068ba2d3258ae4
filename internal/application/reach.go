package application

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"parvis/internal/application/redirect"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/outbound"
)

// Reach is how applications are called: at their tiles, to see whether somebody answers,
// and at the addresses where they listen or publish their keys.
type Reach struct {
	DB       *db.DB
	Outbound *outbound.Client
	Limits   *limit.Limiter // of the names that an organization has us look up
}

const (
	LooksEvery  = 5 * time.Minute // how often Sweep looks whether somebody answers behind a tile
	checkAtOnce = 8
	mostPage    = 1 << 20
)

// Sweep looks whether somebody answers at the addresses of tiles. What an
// organization registered in a network that we may not reach is not judged.
func (h Reach) Sweep(ctx context.Context, d *db.DB) error {
	all, err := db.List(ctx, d, (*Application).Targets, `
		select `+Columns+`
		from clients c
		where c.checked_at is null or c.checked_at <= $1
		order by coalesce(c.checked_at, 0)
		limit 100`, db.Time(d.Now().Add(-LooksEvery)))
	if err != nil {
		return err
	}
	var looking sync.WaitGroup
	places, failed := make(chan struct{}, checkAtOnce), make(chan error, len(all))
	for _, c := range all {
		places <- struct{}{}
		looking.Go(func() {
			defer func() { <-places }()
			failed <- h.look(ctx, d, c)
		})
	}
	looking.Wait()
	close(failed)
	for f := range failed {
		err = errors.Join(err, f)
	}
	return err
}

// look notes whether somebody answers behind a tile, and if not, since when.
func (h Reach) look(ctx context.Context, d *db.DB, c Application) error {
	since := c.FailedAt
	answers := c.Settings.Address == "" || h.answers(ctx, c)
	switch {
	case answers:
		since = time.Time{}
	case since.IsZero():
		since = d.Now()
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update clients set checked_at = $1, failed_since = $2 where id = $3 and changed_at = $4`,
			db.Time(tx.Now()), db.Time(since), string(c.ID), db.Time(c.ChangedAt))
		return err
	})
}

// answers reports whether somebody answers behind the tile, whatever they say, or that we may
// not look.
func (h Reach) answers(ctx context.Context, c Application) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Settings.Address, nil)
	if err != nil {
		return false
	}
	_, err = h.Client(c, c.Settings.Address).Do(r, mostPage)
	return !errors.Is(err, outbound.Timeout) && !errors.Is(err, outbound.Unreachable) && !errors.Is(err, outbound.TLS)
}

// ErrReachTooOften says that an organization entered addresses for us to call too often.
var ErrReachTooOften = fault.New(fault.Throttled, "op.reach_too_often")

// Check refuses an address in the settings of an organization's application that we
// are meant to call and never could. Each address that changes is counted before its name
// is looked up, because that asks a name server of the administrator's choice.
func (h Reach) Check(ctx context.Context, c Application, to Settings) error {
	all := calledAddresses(to)
	for field, address := range calledAddresses(c.Settings) {
		if all[field] == address {
			delete(all, field)
		}
	}
	if c.OrgID == "" {
		return nil
	}
	for range all {
		taken, err := limit.Take(ctx, h.DB, h.Limits.Key(directory.PerOrganizationHosts, limit.Of(c.OrgID)))
		if err != nil {
			return err
		}
		if !taken.Allowed {
			return ErrReachTooOften.After(taken.Wait)
		}
	}
	return reach(ctx, h.Outbound, all)
}

// CheckReach does what Reach.Check does, uncounted, for what the operator registers for an
// organization. What is for the whole installation may be anywhere.
func CheckReach(ctx context.Context, client *outbound.Client, to Settings) error {
	return reach(ctx, client, calledAddresses(to))
}

// calledAddresses returns the addresses at which we call an application, by field. What is
// not a web address is left out: registration refuses it with a reason of its own.
func calledAddresses(s Settings) map[string]string {
	all := map[string]string{"back_channel": strings.TrimSpace(s.BackChannel), "keys_url": strings.TrimSpace(s.KeysURL)}
	maps.DeleteFunc(all, func(_, address string) bool { return redirect.CheckWeb(address) != nil })
	return all
}

// reach refuses addresses that are not https, or lead into a network that is not public.
// It looks names up, so it is called outside any transaction; a name that is not found
// may exist tomorrow.
func reach(ctx context.Context, client *outbound.Client, addresses map[string]string) error {
	var all []error
	for field, address := range addresses {
		if why, never := errors.AsType[outbound.Refused](client.Reaches(ctx, address)); never {
			all = append(all, fault.Field(field, "op.unreachable."+string(why)))
		}
	}
	return errors.Join(all...)
}

// Client returns the HTTP client for an address of an application: what the operator
// registered may be anywhere, as that act said (decision 0036); an organization's is on
// the Internet.
func (h Reach) Client(c Application, address string) *outbound.Client {
	if c.OrgID != "" {
		return h.Outbound
	}
	return h.Outbound.And(address)
}
