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
	"parvis/internal/safely"
)

// Reach calls applications: at the addresses of their tiles, to see whether they answer, and
// where they listen for logouts or publish their keys.
type Reach struct {
	DB       *db.DB
	Outbound *outbound.Client
	Limits   *limit.Limiter // of host names that an organization makes us look up
}

const (
	LooksEvery  = 5 * time.Minute // how often Sweep checks the address of a tile
	checkAtOnce = 8
	mostPage    = 1 << 20
)

// Sweep checks whether the addresses of tiles answer. An address of an organization in a
// network that we may not call counts as answering.
func (h Reach) Sweep(ctx context.Context, d *db.DB) error {
	all, err := db.List(ctx, d, (*Application).Targets, `
		select `+Columns+`
		from clients c
		where (c.checked_at is null or c.checked_at <= $1) and `+directory.NotDeleted("c.org_id")+`
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
			failed <- safely.Do(func() error { return h.look(ctx, d, c) })
		})
	}
	looking.Wait()
	close(failed)
	for f := range failed {
		err = errors.Join(err, f)
	}
	return err
}

// look stores whether the address of a tile answers and, if not, since when.
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

// answers reports whether the address of a tile gives any answer, or may not be called by us.
func (h Reach) answers(ctx context.Context, c Application) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Settings.Address, nil)
	if err != nil {
		return false
	}
	_, err = h.Client(c, c.Settings.Address).Do(r, mostPage)
	return !errors.Is(err, outbound.Timeout) && !errors.Is(err, outbound.Unreachable) && !errors.Is(err, outbound.TLS)
}

// ErrReachTooOften means that an organization entered too many addresses for us to look up.
var ErrReachTooOften = fault.New(fault.Throttled, "op.reach_too_often")

// Check refuses new settings of an organization's application if we can never call an address
// in them. Each changed address is counted before its name is looked up, because the lookup
// asks a name server of the administrator's choice.
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
		taken, err := limit.Take(ctx, h.DB, h.Limits.Key(directory.PerOrganizationHosts, limit.Of(c.OrgID)).In(string(c.OrgID)))
		if err != nil {
			return err
		}
		if !taken.Allowed {
			return ErrReachTooOften.After(taken.Wait)
		}
	}
	return reach(ctx, h.Outbound, all)
}

// CheckReach is Reach.Check without counting, for an application that the operator registers
// for an organization. Applications of the installation may have any address.
func CheckReach(ctx context.Context, client *outbound.Client, to Settings) error {
	return reach(ctx, client, calledAddresses(to))
}

// calledAddresses returns the addresses at which we call an application, by field. It leaves
// out texts that are not web addresses: registration refuses them with its own reason.
func calledAddresses(s Settings) map[string]string {
	all := map[string]string{"back_channel": strings.TrimSpace(s.BackChannel), "keys_url": strings.TrimSpace(s.KeysURL)}
	maps.DeleteFunc(all, func(_, address string) bool { return redirect.CheckWeb(address) != nil })
	return all
}

// reach refuses addresses that are not https, or lead into a network that is not public. It
// accepts a name that is not found, which may exist tomorrow. It looks names up, so do not call
// it inside a transaction.
func reach(ctx context.Context, client *outbound.Client, addresses map[string]string) error {
	var all []error
	for field, address := range addresses {
		if why, never := errors.AsType[outbound.Refused](client.Reaches(ctx, address)); never {
			all = append(all, fault.Field(field, "op.unreachable."+string(why)))
		}
	}
	return errors.Join(all...)
}

// Client returns the HTTP client for an address of an application. It may call an address that
// the operator registered in any network (decision 0036), and an organization's only on the
// Internet.
func (h Reach) Client(c Application, address string) *outbound.Client {
	if c.OrgID != "" {
		return h.Outbound
	}
	return h.Outbound.And(address)
}
