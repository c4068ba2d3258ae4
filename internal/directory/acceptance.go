package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

var invitationColumns = `i.org_id, i.id, i.email, i.display_name, i.role, i.language, i.created_at, i.expires_at,
	i.opened_at, i.accepted_at, i.withdrawn_at, i.replaced_at, i.letter_id, ` + mail.DeliveryColumns + `,
	i.invited_by, i.asked_kind, i.asked_right, v.role, v.deactivated_at,
	(select t.id` + addressee + ` and ` + invitable + `), exists (select 1` + addressee + ` and not ` + invitable + `),
	exists (select 1` + addressee + ` and t.deactivated_at is not null and not ` + wayIn(`t`) + `)`

// addressee finds the user t who has the address of an invitation i, and invitable says whether the
// invitation is to that user: they have no way in yet, and keep the role of their invitation.
const addressee = ` from users t where t.org_id = i.org_id and t.email_key = i.email_key and t.deleted_at is null`

var invitable = `(t.deactivated_at is null and t.role = i.role and not ` + wayIn(`t`) + `)`

const invitationTables = ` from invitations i
	left join letters l on l.org_id = i.org_id and l.id = i.letter_id
	left join users v on v.org_id = i.org_id and v.id = i.invited_by `

func (i *Invitation) targets() []any {
	return append(db.Into(&i.OrgID, &i.ID, &i.Email, &i.Name, &i.Role, &i.Language,
		(*db.Time)(&i.CreatedAt), (*db.Time)(&i.ExpiresAt), (*db.Time)(&i.OpenedAt), (*db.Time)(&i.AcceptedAt),
		(*db.Time)(&i.WithdrawnAt), (*db.Time)(&i.ReplacedAt), &i.letterID),
		append(append(i.Letter.Targets(), i.By.Targets()...), (*db.Text)(&i.UserID), &i.taken, &i.rests)...)
}

func oneInvitation(ctx context.Context, r db.Reader, where string, args ...any) (Invitation, bool, error) {
	var i Invitation
	found, err := r.One(ctx, i.targets(), `select `+invitationColumns+invitationTables+where, args...)
	return i, found, err
}

// openInvitation finds the one invitation to an address that nobody accepted, withdrew or
// replaced.
func openInvitation(ctx context.Context, r db.Reader, org OrgID, address naming.Address) (Invitation, bool, error) {
	return oneInvitation(ctx, r, `
		where i.org_id = $1 and i.email_key = $2
			and i.accepted_at is null and i.withdrawn_at is null and i.replaced_at is null`, string(org), address.Key)
}

// InvitationByID returns an invitation of an organization, or ErrNotFound.
func InvitationByID(ctx context.Context, r db.Reader, actor Actor, org OrgID, id string) (Invitation, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Invitation{}, err
	}
	return invitationByID(ctx, r, org, id)
}

func invitationByID(ctx context.Context, r db.Reader, org OrgID, id string) (Invitation, error) {
	i, found, err := oneInvitation(ctx, r, `where i.org_id = $1 and i.id = $2`, string(org), id)
	if err == nil && !found {
		err = ErrNotFound
	}
	return i, err
}

// InvitationByToken finds the invitation that a link is for, whether or not it still works, with
// its organization. It finds none of a suspended organization.
func InvitationByToken(ctx context.Context, r db.Reader, token secret.Token) (Invitation, Organization, error) {
	var i Invitation
	var o Organization
	found, err := r.One(ctx, append(i.targets(), o.Targets()...), `
		select `+invitationColumns+`, `+OrganizationColumns+`
		from invitations i
		join organizations o on o.id = i.org_id and o.suspended_at is null
		left join letters l on l.org_id = i.org_id and l.id = i.letter_id
		left join users v on v.org_id = i.org_id and v.id = i.invited_by
		where i.token_hash = $1`, token.Hash(secret.Invitation))
	if err == nil && !found {
		err = ErrInvitationUnknown
	}
	return i, o, err
}

// InvitationsByID reads invitations of an organization, in any order.
func InvitationsByID(ctx context.Context, r db.Reader, org OrgID, ids []string) ([]Invitation, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	places, args := db.AnyOf(2, ids)
	return db.List(ctx, r, (*Invitation).targets, `select `+invitationColumns+invitationTables+`
		where i.org_id = $1 and i.id in (`+places+`)`, slices.Concat([]any{string(org)}, args)...)
}

// Invited is an invitation with its organization.
type Invited struct {
	Invitation   Invitation
	Organization Organization
}

// InvitationsTo finds the open invitations to an address in org or, if org is empty, in all
// organizations that are not suspended. One that rests is none for now.
func InvitationsTo(ctx context.Context, r db.Reader, address naming.Address, org OrgID) ([]Invited, error) {
	all, err := db.List(ctx, r, func(i *Invited) []any {
		return append(i.Invitation.targets(), i.Organization.Targets()...)
	}, `
		select `+invitationColumns+`, `+OrganizationColumns+`
		from invitations i
		join organizations o on o.id = i.org_id and o.suspended_at is null
		left join letters l on l.org_id = i.org_id and l.id = i.letter_id
		left join users v on v.org_id = i.org_id and v.id = i.invited_by
		where i.email_key = $1 and ($2 = '' or i.org_id = $2)
			and i.accepted_at is null and i.withdrawn_at is null and i.replaced_at is null
		order by o.created_at, o.id
		limit 100`, address.Key, string(org))
	return slices.DeleteFunc(all, func(i Invited) bool { return i.Invitation.rests }), err
}

// OpenInvitation records when the form behind a link was first sent, whatever came of it.
func OpenInvitation(ctx context.Context, tx *db.Tx, inv Invitation) error {
	_, err := tx.Exec(ctx, `
		update invitations set opened_at = $1
		where org_id = $2 and id = $3 and opened_at is null`, db.Time(tx.Now()), string(inv.OrgID), inv.ID)
	return err
}

// AcceptInvitation turns an invitation into a user. If two browsers accept one link at the same
// time, one gets ErrInvitationUsed. The caller stores the user's first credential in the same
// transaction (decision 0007). Id, name and language come from joining, because the credential's
// hash is bound to the id. Everything else comes from the invitation.
//
// If a user without a way in has the address, the invitation is to them: the credential becomes
// theirs, and joining has their id. Of what they are it changes only language and time zone.
func AcceptInvitation(ctx context.Context, tx *db.Tx, token secret.Token, joining User) (User, Organization, error) {
	inv, org, err := InvitationByToken(ctx, tx, token)
	if err != nil {
		return User{}, Organization{}, err
	}
	u, err := AcceptInvitationOf(ctx, tx, inv, joining)
	return u, org, err
}

// AcceptInvitationOf is AcceptInvitation for somebody who holds the link in an attempt, or is
// known to be the invited person. inv was read in this transaction.
func AcceptInvitationOf(ctx context.Context, tx *db.Tx, inv Invitation, joining User) (User, error) {
	if err := inv.Usable(tx.Now()); err != nil {
		return User{}, err
	}
	if inv.UserID != "" && inv.UserID != joining.ID {
		return User{}, ErrInvitationTaken // a directory named the address since the form was sent
	}
	// Claim before creating: the transaction that changes this row is the one that joins.
	n, err := tx.Exec(ctx, `
		update invitations set accepted_at = $1
		where org_id = $2 and id = $3 and accepted_at is null and withdrawn_at is null and replaced_at is null`,
		db.Time(tx.Now()), string(inv.OrgID), inv.ID)
	if err != nil {
		return User{}, fmt.Errorf("claiming invitation %s: %w", inv.ID, err)
	}
	if n == 0 {
		return User{}, ErrInvitationUsed
	}
	u, err := invited(ctx, tx, inv, joining)
	if err != nil {
		return User{}, err
	}
	if _, err := tx.Exec(ctx, `
		update invitations set user_id = $1
		where org_id = $2 and id = $3`, string(u.ID), string(inv.OrgID), inv.ID); err != nil {
		return User{}, fmt.Errorf("linking invitation %s: %w", inv.ID, err)
	}
	e := u.AsActor().Event(u.OrgID, "invitation.accepted")
	e.Target, e.TargetName = inv.ID, inv.Email
	e.After = audit.Fields{"user": u.ID, "name": u.Name, "role": u.Role}
	return u, audit.Record(ctx, tx, e)
}

// invited makes the user of an invitation, or returns the one whom it is to.
func invited(ctx context.Context, tx *db.Tx, inv Invitation, joining User) (User, error) {
	if inv.UserID == "" {
		return insertUser(ctx, tx, User{
			OrgID: inv.OrgID, ID: joining.ID, Email: inv.Email, Name: joining.Name, GivenName: joining.GivenName, FamilyName: joining.FamilyName,
			Role: inv.Role, Language: joining.Language, TimeZone: joining.TimeZone,
		})
	}
	u, err := UserByID(ctx, tx, inv.OrgID, inv.UserID)
	if err != nil {
		return User{}, err
	}
	p := u.Profile()
	p.Language, p.TimeZone = joining.Language, cmp.Or(joining.TimeZone, p.TimeZone)
	if err := storeProfile(ctx, tx, u.AsActor(), u, p); err != nil {
		return User{}, err
	}
	u.Language, u.TimeZone = p.Language, p.TimeZone
	return u, nil
}

// EndInvitations withdraws the open invitation to a user's address, because they are shut out, have
// another address now, or came in otherwise. A letter that was not sent yet goes out with a dead
// link.
func EndInvitations(ctx context.Context, tx *db.Tx, user User) error {
	return endInvitations(ctx, tx, user, time.Time{})
}

// endInvitations is EndInvitations for those that were not made after a time, or for all.
func endInvitations(ctx context.Context, tx *db.Tx, user User, until time.Time) error {
	_, err := tx.Exec(ctx, `
		update invitations set withdrawn_at = $1
		where org_id = $2 and email_key = $3 and accepted_at is null and withdrawn_at is null and replaced_at is null
			and created_at <= coalesce($4, created_at)`,
		db.Time(tx.Now()), string(user.OrgID), user.AddressKey(), db.Time(until))
	if err != nil {
		err = fmt.Errorf("ending the invitations to %s: %w", user.ID, err)
	}
	return err
}
