package federation

import (
	"context"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// SuccessFresh is how recently somebody must have signed in by a provider before single
// sign-on can be made the only way.
const SuccessFresh = 15 * time.Minute

// The faults of making single sign-on the only way in.
var (
	ErrNotRecent    = fault.New(fault.Conflict, "federation.not_recent")
	ErrNoBreakGlass = fault.New(fault.Invalid, "federation.no_break_glass")
)

// Outside returns the people who could not sign in if single sign-on were the only way:
// no connection that is on has a link to them, and none could link them by their address.
// To link by address takes a proven domain and a connection (of those, the one that the person's
// directory names) that vouches for addresses or, with OpenID Connect, can say that it verified one.
// Owners and administrators prove a new link by a password that works now; for an owner, an owner confirmed the connection.
func Outside(ctx context.Context, r db.Reader, org directory.OrgID) ([]directory.User, error) {
	domains, err := domain.Of(ctx, r, directory.System(org), org)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, d := range domains {
		held[d.Key] = d.Held()
	}
	all, err := connectionsOf(ctx, r, org)
	if err != nil {
		return nil, err
	}
	var outside []directory.User
	err = r.Rows(ctx, func(scan func(...any) error) error {
		var u directory.User
		var proves, linked bool
		var by db.Text
		if err := scan(append(u.Targets(), &proves, &linked, &by)...); err != nil {
			return err
		}
		privileged := u.Role == directory.Owner || u.Role == directory.Administrator
		links := func(c Connection) bool { return c.links() && (by == "" || string(by) == c.ID) }
		if address, err := naming.ParseAddress(u.Email); err != nil || !slices.ContainsFunc(all, links) || privileged && (linked || !proves) || !held[address.Domain] {
			outside = append(outside, u)
		}
		return nil
	}, `
		select `+directory.UserColumns+`,
			exists (select 1 from passwords p where p.org_id = u.org_id and p.user_id = u.id and p.disabled_at is null and p.change_at is null),
			exists (
				select 1 from identities i
				join connections c on c.org_id = i.org_id and c.id = i.connection_id and c.state = $2
				where i.org_id = u.org_id and i.user_id = u.id),
			s.connection_id
		from users u
		left join sources s on s.org_id = u.org_id and s.id = u.source_id and u.role <> $3
		where u.org_id = $1 and u.deactivated_at is null and not exists (
			select 1 from identities i
			join connections c on c.org_id = i.org_id and c.id = i.connection_id and c.state = $2
			where i.org_id = u.org_id and i.user_id = u.id and (u.role <> $3 or c.confirmed_at is not null))
		order by u.display_name, u.id`, string(org), string(On), string(directory.Owner))
	return outside, err
}

// links reports whether a connection may link people by their address now.
func (c Connection) links() bool { return c.State == On && (c.Vouches || c.Protocol == OIDC) }

// ComesIn reports whether a connection, any or the one named, lets in somebody with an address, who came by none
// before: one that may link people by their address, of an organization that holds the domain of the address.
func ComesIn(ctx context.Context, r db.Reader, org directory.OrgID, address naming.Address, connection string) (bool, error) {
	held, err := domain.Holds(ctx, r, org, address)
	if err != nil || !held {
		return false, err
	}
	all, err := connectionsOf(ctx, r, org)
	return slices.ContainsFunc(all, func(c Connection) bool { return c.links() && (connection == "" || connection == c.ID) }), err
}

// BreakGlass returns the owners whose passkey could open a session where single sign-on
// is the only way.
func BreakGlass(ctx context.Context, r db.Reader, org directory.OrgID) ([]directory.User, error) {
	return db.List(ctx, r, (*directory.User).Targets, `
		select `+directory.UserColumns+`
		from users u
		where u.org_id = $1 and u.role = $2 and u.deactivated_at is null and exists (
			select 1 from passkeys p where p.org_id = u.org_id and p.user_id = u.id)
		order by u.display_name, u.id`, string(org), string(directory.Owner))
}

// Succeeded reports whether somebody signed in by a connection that is on, or tested one,
// within SuccessFresh.
func Succeeded(ctx context.Context, r db.Reader, org directory.OrgID) (bool, error) {
	return r.One(ctx, db.Into(new(string)), `
		select t.id from upstream_traces t
		join connections c on c.org_id = t.org_id and c.id = t.connection_id and c.state = $1
		where t.org_id = $2 and t.refused is null and t.at > $3
		limit 1`, string(On), string(org), db.Time(r.Now().Add(-SuccessFresh)))
}

// MakeOnly makes single sign-on the only way into an organization, and lets the named
// owners keep their passkeys. Somebody must have signed in by it just now. Sessions that
// began otherwise end, except the named owners' and the actor's.
func (h *Hub) MakeOnly(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, breakGlass []directory.UserID) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	recent, err := Succeeded(ctx, tx, org)
	if err != nil {
		return err
	}
	if !recent {
		return ErrNotRecent
	}
	able, err := BreakGlass(ctx, tx, org)
	if err != nil {
		return err
	}
	for _, id := range breakGlass {
		if !slices.ContainsFunc(able, func(u directory.User) bool { return u.ID == id }) {
			return ErrNoBreakGlass
		}
	}
	if len(breakGlass) == 0 {
		return ErrNoBreakGlass
	}
	if err := directory.SetFederatedOnly(ctx, tx, actor, org, breakGlass); err != nil {
		return err
	}
	_, err = h.Sessions.EndNative(ctx, tx, org, func(u directory.User) bool { return u.BreaksGlass() || u.ID == actor.UserID })
	return err
}
