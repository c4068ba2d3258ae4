package federation

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation/saml"
	"parvis/internal/mail"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// ErrLastWay keeps the only link of a person who has nothing else to sign in with.
var ErrLastWay = fault.New(fault.Conflict, "federation.last_way")

// Link says that a subject of a provider is one of our users.
type Link struct {
	User       directory.User
	Connection string // its id
	Provider   string // its name
	Issuer     string
	Email      string // as the provider last said it
	LinkedAt   time.Time
	UsedAt     time.Time

	subject  string
	protocol Protocol
}

// ID names the link in forms. It is derived from the link's content, so it can never
// name another link.
func (l Link) ID() string {
	return hex.EncodeToString(secret.MAC(nil, l.Connection, l.Issuer, l.subject)[:16])
}

// Subject returns the provider's name for the person, for people to read.
func (l Link) Subject() string {
	if l.protocol == SAML {
		return saml.SubjectName(l.subject)
	}
	return l.subject
}

// LinksOf lists the links of one user, the oldest first.
func LinksOf(ctx context.Context, r db.Reader, org directory.OrgID, user directory.UserID) ([]Link, error) {
	return links(ctx, r, `i.user_id = $2 order by i.created_at, i.connection_id, i.subject`, string(org), string(user))
}

// LinksAt lists the links of one connection, last used first.
func LinksAt(ctx context.Context, r db.Reader, org directory.OrgID, connection string, most int) ([]Link, error) {
	return links(ctx, r, `i.connection_id = $2 order by i.used_at desc, i.subject limit $3`, string(org), connection, most)
}

// PeopleAt counts the people who are linked to a connection.
func PeopleAt(ctx context.Context, r db.Reader, org directory.OrgID, connection string) (n int, err error) {
	_, err = r.One(ctx, db.Into(&n), `select count(distinct user_id) from identities where org_id = $1 and connection_id = $2`, string(org), connection)
	return n, err
}

func links(ctx context.Context, r db.Reader, which string, args ...any) ([]Link, error) {
	return db.List(ctx, r, func(l *Link) []any {
		return append(l.User.Targets(), db.Into(&l.Connection, &l.Provider, &l.protocol, &l.Issuer, &l.subject, &l.Email, (*db.Time)(&l.LinkedAt), (*db.Time)(&l.UsedAt))...)
	}, `
		select `+directory.UserColumns+`, c.id, c.name, c.protocol, i.issuer, i.subject, i.email, i.created_at, i.used_at
		from identities i
		join users u on u.org_id = i.org_id and u.id = i.user_id
		join connections c on c.org_id = i.org_id and c.id = i.connection_id
		where i.org_id = $1 and `+which, args...)
}

// Unlink removes a link from a user that actor is or governs, and ends the sessions that
// the provider vouched for. Nobody removes their own only way in.
func (h *Hub) Unlink(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, user directory.UserID, link string) error {
	own := actor.Is(org, user)
	if !own {
		if _, err := governs(ctx, tx, actor, org, user); err != nil {
			return err
		}
	}
	all, err := LinksOf(ctx, tx, org, user)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(l Link) bool { return l.ID() == link })
	if i < 0 {
		return directory.ErrNotFound
	}
	l := all[i]
	if own && len(all) == 1 {
		other, err := native(ctx, tx, l.User)
		if err != nil || !other {
			return errors.Join(err, ErrLastWay)
		}
	}
	if _, err := tx.Exec(ctx, `
		delete from identities
		where org_id = $1 and connection_id = $2 and issuer = $3 and subject = $4`, string(org), l.Connection, l.Issuer, l.subject); err != nil {
		return fmt.Errorf("undoing a link of %s: %w", user, err)
	}
	if err := directory.KeepLinked(ctx, tx, org, user, len(all) > 1); err != nil {
		return err
	}
	if _, err := h.Sessions.EndVouched(ctx, tx, session.Vouched{OrgID: org, ConnectionID: l.Connection, UserID: user}); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, l.event(actor, "identity.unlinked")); err != nil {
		return err
	}
	return h.tellLinked(ctx, tx, l, mail.AccountUnlinked)
}

func (l Link) event(actor directory.Actor, action audit.Action) audit.Event {
	e := actor.Event(l.User.OrgID, action)
	e.Target, e.TargetName = l.Connection, l.Provider
	e.After = audit.Fields{"user": l.User.ID, "email": l.Email}
	return e
}

// native reports whether a user has a password or a passkey that opens a session now.
func native(ctx context.Context, r db.Reader, u directory.User) (bool, error) {
	return r.One(ctx, db.Into(new(string)), `
		select u.id from users u
		join organizations o on o.id = u.org_id
		where u.org_id = $1 and u.id = $2
			and (o.federated_since is null and exists (
					select 1 from passwords p where p.org_id = u.org_id and p.user_id = u.id and p.disabled_at is null)
				or u.role = 'owner' and u.break_glass_since is not null and exists (select 1 from passkeys k where k.org_id = u.org_id and k.user_id = u.id))`,
		string(u.OrgID), string(u.ID))
}

// governs returns a user that actor may manage, as both are now. Unlike
// directory.Governed it lets people manage themselves.
func governs(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, user directory.UserID) (directory.User, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return directory.User{}, err
	}
	if !actor.Is(org, user) {
		return directory.Governed(ctx, tx, actor, org, user)
	}
	u, err := directory.UserByID(ctx, tx, org, user)
	if err == nil && u.Closed() != nil {
		err = directory.ErrDenied
	}
	return u, err
}

// tellLinked writes a letter to the person whose link it is.
func (h *Hub) tellLinked(ctx context.Context, tx *db.Tx, l Link, what string) error {
	org, err := directory.OrganizationByID(ctx, tx, l.User.OrgID)
	if err != nil {
		return err
	}
	_, err = h.Outbox.Put(ctx, tx, l.User.Letter(mail.FederationParameters{
		Organization: org.DisplayName, Name: l.User.Name, What: what, Connection: l.Provider, Person: l.Subject(), Email: l.Email, When: tx.Now(),
		Link: h.Base + org.Path("account", "security"),
	}))
	return err
}

// wanted is a refused link that somebody may still approve.
type wanted struct{ user directory.User }

// keepWanted stores a refused link with the trace that explains the attempt.
func (a answer) keepWanted(ctx context.Context, tx *db.Tx, trace string) error {
	if a.wanted.user.ID == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `
		insert into identity_requests (org_id, trace_id, connection_id, issuer, subject, user_id, email)
		values ($1, $2, $3, $4, $5, $6, $7)`,
		string(a.Connection.OrgID), trace, a.Connection.ID, a.Assertion.Issuer, a.Assertion.Subject, string(a.wanted.user.ID), a.Connection.Mapping.email(a.Assertion))
	return err
}

// Wanted returns the link that an attempt was refused, where it can still be approved.
func Wanted(ctx context.Context, r db.Reader, org directory.OrgID, trace string) (Link, bool, error) {
	var l Link
	found, err := r.One(ctx, append(l.User.Targets(), db.Into(&l.Connection, &l.Provider, &l.protocol, &l.Issuer, &l.subject, &l.Email)...), `
		select `+directory.UserColumns+`, c.id, c.name, c.protocol, w.issuer, w.subject, w.email
		from identity_requests w
		join users u on u.org_id = w.org_id and u.id = w.user_id and u.deactivated_at is null
		join connections c on c.org_id = w.org_id and c.id = w.connection_id
		where w.org_id = $1 and w.trace_id = $2 and not exists (
			select 1 from identities i
			where i.org_id = w.org_id and i.connection_id = w.connection_id and i.issuer = w.issuer and i.subject = w.subject)`, string(org), trace)
	return l, found, err
}

// Approve makes the link that an attempt was refused, and writes to the person. The
// actor must govern the person, so only an owner approves an owner's link.
func (h *Hub) Approve(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, trace string) error {
	l, found, err := Wanted(ctx, tx, org, trace)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	if _, err := governs(ctx, tx, actor, org, l.User.ID); err != nil {
		return err
	}
	if err := keepLink(ctx, tx, l, false); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, l.event(actor, "identity.approved")); err != nil {
		return err
	}
	if !l.User.HasWayIn() {
		return nil // somebody who comes for the first time knows of it
	}
	return h.tellLinked(ctx, tx, l, mail.AccountLinked)
}

// keepLink stores a link, which the caller has found to be new. A link to a user who had no way in
// ends the invitation to make one.
func keepLink(ctx context.Context, tx *db.Tx, l Link, created bool) error {
	_, err := tx.Exec(ctx, `
		insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		string(l.User.OrgID), l.Connection, l.Issuer, l.subject, string(l.User.ID), l.Email, created, db.Time(tx.Now()), db.Time(tx.Now()))
	if err == nil && !l.User.HasWayIn() {
		err = directory.EndInvitations(ctx, tx, l.User)
	}
	if err != nil {
		return err
	}
	return directory.KeepLinked(ctx, tx, l.User.OrgID, l.User.ID, true)
}

// unlinkAll tells the rows of users whose last link goes with a connection that is removed.
func unlinkAll(ctx context.Context, tx *db.Tx, org directory.OrgID, connection string) error {
	users, err := db.List(ctx, tx, db.Value[directory.UserID], `
		select distinct i.user_id from identities i
		where i.org_id = $1 and i.connection_id = $2 and not exists (
			select 1 from identities o
			where o.org_id = i.org_id and o.user_id = i.user_id and o.connection_id <> i.connection_id)`, string(org), connection)
	for _, user := range users {
		if err == nil {
			err = directory.KeepLinked(ctx, tx, org, user, false)
		}
	}
	return err
}
