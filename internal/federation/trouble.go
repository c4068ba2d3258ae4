package federation

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/signin"
)

const (
	// endsSoon is how long before the end of its certificates a connection needs attention.
	endsSoon = 30 * 24 * time.Hour
	// fails is how many sign-ins in a row a provider fails, the last one within failsWithin.
	fails       = 3
	failsWithin = 7 * 24 * time.Hour
)

// Trouble is what is wrong with a connection that people sign in by.
type Trouble struct {
	Connection Connection
	Ends       time.Time // of the certificate that lasts longest; zero if that is not soon
	Refused    bool      // none of the last sign-ins was believed
}

// Troubles returns the connections of an organization that are on and need attention, in their
// order. A test is no sign-in.
func Troubles(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Trouble, error) {
	all, err := ConnectionsOf(ctx, r, actor, org)
	if err != nil {
		return nil, err
	}
	var troubles []Trouble
	for _, c := range all {
		if c.State != On {
			continue
		}
		t := Trouble{Connection: c}
		certificates, err := c.Certificates()
		if err != nil {
			return nil, err
		}
		if len(certificates) > 0 && certificates[0].Until.Before(r.Now().Add(endsSoon)) {
			t.Ends = certificates[0].Until
		}
		if t.Refused, err = refusesAll(ctx, r, c); err != nil {
			return nil, err
		}
		if !t.Ends.IsZero() || t.Refused || c.Renewal != "" {
			troubles = append(troubles, t)
		}
	}
	return troubles, nil
}

// refusesAll reports whether the last sign-ins by a connection were all refused.
func refusesAll(ctx context.Context, r db.Reader, c Connection) (bool, error) {
	var refused int
	var last time.Time
	_, err := r.One(ctx, db.Into(&refused, (*db.Time)(&last)), `
		select count(refused), max(at) from (
			select refused, at
			from upstream_traces
			where org_id = $1 and connection_id = $2 and tester is null
			order by at desc, id desc
			limit $3) latest`, string(c.OrgID), c.ID, fails)
	if err != nil {
		return false, fmt.Errorf("reading the last sign-ins by %s: %w", c.ID, err)
	}
	return refused == fails && last.After(r.Now().Add(-failsWithin)), nil
}

// mostOwners is how many owners are looked at.
const mostOwners = 200

// LoneOwners returns the owners of an organization who lose their only way in with one password,
// one passkey or one provider, in the order in which they joined.
func LoneOwners(ctx context.Context, r db.Reader, actor directory.Actor, o directory.Organization) ([]directory.User, error) {
	if err := actor.MayRead(ctx, r, o.ID); err != nil {
		return nil, err
	}
	rules, err := signin.SecondStepRulesOf(ctx, r, o.ID)
	if err != nil {
		return nil, err
	}
	var lone []directory.User
	err = r.Rows(ctx, func(scan func(...any) error) error {
		var u directory.User
		var passwords, passkeys, links int
		if err := scan(append(u.Targets(), &passwords, &passkeys, &links)...); err != nil {
			return err
		}
		if o.FederatedOnly() {
			passwords = 0
		}
		if o.FederatedOnly() && !u.BreaksGlass() || !o.FederatedOnly() && !rules.Passwordless {
			passkeys = 0
		}
		if passwords+passkeys+links < 2 {
			lone = append(lone, u)
		}
		return nil
	}, `
		select `+directory.UserColumns+`,
			(select count(*) from passwords p where p.org_id = u.org_id and p.user_id = u.id and p.disabled_at is null),
			(select count(*) from passkeys k where k.org_id = u.org_id and k.user_id = u.id),
			(select count(distinct i.connection_id) from identities i
				join connections c on c.org_id = i.org_id and c.id = i.connection_id and c.state = $1 and c.confirmed_at is not null
				where i.org_id = u.org_id and i.user_id = u.id)
		from users u
		where u.org_id = $2 and u.role = $3 and u.state = 'active'
		order by u.created_at, u.id
		limit $4`, string(On), string(o.ID), string(directory.Owner), mostOwners)
	return lone, err
}
