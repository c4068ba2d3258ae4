package signin

import (
	"context"
	"log/slog"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/limit"
	"parvis/internal/naming"
)

// The limits of passwords (a test compares docs/limits.md with them). A few tries are free,
// then each wait is twice the last; a success resets the first three.
var (
	PerAddressAndNetwork = limit.Policy{Name: "password-address-network", Free: 5, First: time.Second, Most: 15 * time.Minute, Forget: time.Hour}
	PerAddress           = limit.Policy{Name: "password-address", Free: 20, First: time.Second, Most: 5 * time.Minute, Forget: time.Hour}
	PerKnownBrowser      = limit.Policy{Name: "password-address-browser", Free: 5, First: time.Second, Most: 15 * time.Minute, Forget: time.Hour}
	PerNetworkName       = limit.Policy{Name: "organization-network", Free: 60, First: time.Second, Most: time.Minute, Forget: 15 * time.Minute}
	PerNetworkBegun      = limit.Policy{Name: "attempt-network", Free: 120, First: time.Second, Most: time.Minute, Forget: 15 * time.Minute}
	PerUserBegun         = limit.Policy{Name: "attempt-user", Free: 120, First: time.Second, Most: time.Minute, Forget: 15 * time.Minute}
	PerAddressFromAsked  = limit.Policy{Name: "asked-address-network", Free: 4, First: time.Hour, Most: 24 * time.Hour, Forget: 24 * time.Hour}
	PerAddressHereAsked  = limit.Policy{Name: "asked-address-browser", Free: 4, First: time.Hour, Most: 24 * time.Hour, Forget: 24 * time.Hour}
	PerAddressAsked      = limit.Policy{Name: "asked-address", Free: 12, First: 10 * time.Minute, Most: time.Hour, Forget: 24 * time.Hour}
	PerNetworkAsked      = limit.Policy{Name: "asked-network", Free: 30, First: time.Minute, Most: time.Hour, Forget: 24 * time.Hour}
	InTotalAsked         = limit.Policy{Name: "asked-total", Free: 3000, First: time.Second, Most: time.Minute, Forget: time.Hour}
	PerUserEmail         = limit.Policy{Name: "email-user", Free: 6, First: 10 * time.Minute, Most: 24 * time.Hour, Forget: 24 * time.Hour}
	PerNetwork           = limit.Policy{Name: "password-network", Free: 100, First: time.Second, Most: time.Minute, Forget: time.Hour}
)

// Policies are the limiters of this package.
var Policies = []limit.Policy{
	PerAddressAndNetwork, PerAddress, PerKnownBrowser, PerNetwork, PerNetworkName, PerNetworkBegun, PerUserBegun, PerLinkNetwork, PerNetworkUpstream,
	PerAddressFromAsked, PerAddressHereAsked, PerAddressAsked, PerNetworkAsked, InTotalAsked, PerUserEmail,
	PerSecondStep, PerSecondStepHere, PerUserHelp, PerNetworkHelp, PerEnrolment, PerNetworkPasskey,
}

// take counts a try before the work that it pays for, or returns ErrTooOften with the time
// to wait.
func (s *Service) take(ctx context.Context, keys ...limit.Key) (limit.Taken, error) {
	return s.takeInTurn(ctx, keys)
}

func (s *Service) takeInTurn(ctx context.Context, turns ...[]limit.Key) (limit.Taken, error) {
	taken, err := limit.TakeInTurn(ctx, s.DB, turns...)
	if err == nil && !taken.Allowed {
		err = ErrTooOften.After(taken.Wait)
	}
	return taken, err
}

// CountUnknown counts a name that nobody knows, or returns ErrTooOften.
func (s *Service) CountUnknown(ctx context.Context) error {
	_, err := s.take(ctx, s.Limits.Key(PerNetworkName, network(ctx)))
	return err
}

// tries are the keys by which an offered password or second step is counted.
type tries struct {
	turns  [][]limit.Key
	own    []limit.Key // cleared by a success
	shared limit.Key   // the network, which others share: a success gives its own try back
}

// passwordTries returns the keys for an address. In a known browser the address is counted
// together with the browser, so that strangers cannot slow its owner.
func (s *Service) passwordTries(ctx context.Context, d RememberedBrowser, a naming.Address, known bool) tries {
	shared := s.Limits.Key(PerNetwork, network(ctx))
	if known {
		own := s.Limits.Key(PerKnownBrowser, limit.Of(a.Key), limit.Of(d.ID))
		return tries{[][]limit.Key{{own, shared}}, []limit.Key{own}, shared}
	}
	narrow, wide := s.Limits.Key(PerAddressAndNetwork, limit.Of(a.Key), network(ctx)), s.Limits.Key(PerAddress, limit.Of(a.Key))
	return tries{[][]limit.Key{{narrow, shared}, {wide}}, []limit.Key{narrow, wide}, shared}
}

// askedTries returns the keys for what is asked for an address, narrow ones first. A browser
// that remembers the address is counted by itself: strangers who ask again and again cannot
// keep its owner from a letter.
func (s *Service) askedTries(ctx context.Context, d RememberedBrowser, asked credential.Asked, a naming.Address) [][]limit.Key {
	turns := [][]limit.Key{{s.Limits.Key(PerNetworkAsked, network(ctx))}}
	if s.remembered(d, a) != "" {
		turns = append(turns, []limit.Key{s.Limits.Key(PerAddressHereAsked, limit.Of(asked), limit.Of(a.Key), limit.Of(d.ID))})
	} else {
		turns = append(turns, []limit.Key{s.Limits.Key(PerAddressFromAsked, limit.Of(asked), limit.Of(a.Key), network(ctx))},
			[]limit.Key{s.Limits.Key(PerAddressAsked, limit.Of(asked), limit.Of(a.Key))})
	}
	return append(turns, []limit.Key{s.Limits.Key(InTotalAsked)})
}

// release gives back tries that proved to be no guesses, with the transaction of the deed. An
// error after its commit is only logged, because the deed is done whether or not a count stays
// too high.
func (t tries) release(ctx context.Context, tx *db.Tx, log *slog.Logger) error {
	return limit.Release(ctx, tx, func(err error) { notGivenBack(ctx, log, err) }, t.shared, t.own...)
}

// giveBack is release where there is no deed to go with.
func (t tries) giveBack(ctx context.Context, d *db.DB, log *slog.Logger) {
	if err := d.UpdateLax(ctx, func(tx *db.Tx) error { return t.release(ctx, tx, log) }); err != nil {
		notGivenBack(ctx, log, err)
	}
}

func notGivenBack(ctx context.Context, log *slog.Logger, err error) {
	log.WarnContext(ctx, "tries not given back", "error", err.Error())
}

// network returns the network that a request came from, as limits count it.
func network(ctx context.Context) limit.Part { return limit.From(audit.OriginOf(ctx)) }

// source returns for whom a hash is computed: a browser that remembers somebody does not wait
// in line with strangers, nor anybody with those of another organization. org is the one that was
// named or proved; never one that only the address tells.
func source(ctx context.Context, d RememberedBrowser, org directory.OrgID) credential.Source {
	if len(d.Entries) > 0 {
		return credential.Source{Name: d.ID, Known: true, Org: org}
	}
	return credential.Source{Name: network(ctx).String(), Org: org}
}
