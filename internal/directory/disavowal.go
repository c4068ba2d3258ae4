package directory

import (
	"context"
	"errors"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// DisavowalLifetime is how long a link 'this was not me' works: long enough for a person on a
// long leave to read the letter.
const DisavowalLifetime = 60 * 24 * time.Hour

// EmailDisavowalLifetime is how long a link works that restores an address. It is shorter,
// because another person may get the old mailbox.
const EmailDisavowalLifetime = 7 * 24 * time.Hour

// ErrDisavowalDead answers a link that was used, has expired or never existed.
var ErrDisavowalDead = fault.New(fault.Gone, "directory.disavowal_dead")

// NewDisavowal makes the link for a letter that reports what was done, to the user's present
// address.
func NewDisavowal(ctx context.Context, tx *db.Tx, user User, letter string) (secret.Token, error) {
	return newDisavowal(ctx, tx, user, disavowal{letter: letter, lifetime: DisavowalLifetime})
}

// AuthenticatorDisavowalLifetime is how long the letter about a new authenticator can remove it
// again. It is short, because somebody who has only the mailbox must not remove a second step (RST-7).
// For so short a time the authenticator is no older than a sign-in without it.
const AuthenticatorDisavowalLifetime = 3 * 24 * time.Hour

// NewAuthenticatorDisavowal makes the link for a letter that reports a new authenticator.
func NewAuthenticatorDisavowal(ctx context.Context, tx *db.Tx, user User, letter, authenticator string) (secret.Token, error) {
	return newDisavowal(ctx, tx, user, disavowal{letter: letter, authenticator: authenticator, lifetime: AuthenticatorDisavowalLifetime})
}

// newRestoring makes the link for a letter that reports a change of address: using it restores
// the address. An address that was in force for less than EmailDisavowalLifetime is not restored,
// so that a thief who moved an address cannot get it again after its owner or an administrator
// moved it back.
func newRestoring(ctx context.Context, tx *db.Tx, user User, letter string) (secret.Token, error) {
	settled := user.EmailSince.IsZero() || !tx.Now().Before(user.EmailSince.Add(EmailDisavowalLifetime))
	lifetime := DisavowalLifetime
	if settled {
		lifetime = EmailDisavowalLifetime
	}
	return newDisavowal(ctx, tx, user, disavowal{letter: letter, restores: settled, lifetime: lifetime})
}

// disavowal describes a link.
type disavowal struct {
	letter        string // the letter's id: the link ends if the mail server refuses the letter for good
	restores      bool
	authenticator string
	lifetime      time.Duration
}

func newDisavowal(ctx context.Context, tx *db.Tx, user User, d disavowal) (secret.Token, error) {
	token := secret.NewToken()
	_, err := tx.Exec(ctx, `
		insert into disavowals (org_id, id, user_id, token_hash, letter_id, email, restores, device, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		string(user.OrgID), secret.NewID("dis"), string(user.ID), token.Hash(secret.Disavowal), d.letter, user.Email, d.restores, db.Text(d.authenticator),
		db.Time(tx.Now()), db.Time(tx.Now().Add(d.lifetime)))
	return token, err
}

// DisavowalByToken finds the user of a link, and changes nothing.
func DisavowalByToken(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (Candidate, error) {
	who, _, _, err := disavowalByToken(ctx, r, token, now)
	return who, err
}

// disavowalByToken finds the user of a link, and the address that it restores, if any. A link that
// restores none belongs to the mailbox that it was sent to: it ends when the address changes.
func disavowalByToken(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (who Candidate, back, authenticator string, err error) {
	into := append(who.User.Targets(), who.Organization.Targets()...)
	var address string
	var restores bool
	found, err := r.One(ctx, append(into, &address, &restores, (*db.Text)(&authenticator)), `
		select `+UserColumns+`, `+OrganizationColumns+`, d.email, d.restores, d.device
		from disavowals d
		join users u on u.org_id = d.org_id and u.id = d.user_id and u.deleted_at is null
			and (d.restores or u.email = d.email)
		join organizations o on o.id = d.org_id and o.suspended_at is null
		left join letters l on l.org_id = d.org_id and l.id = d.letter_id
		where d.token_hash = $1 and d.used_at is null and d.expires_at > $2 and l.bounced_at is null`, token.Hash(secret.Disavowal), db.Time(now))
	if err == nil && !found {
		err = ErrDisavowalDead
	}
	if restores {
		back = address
	}
	return who, back, authenticator, err
}

// A DeadLink is a link of a letter that no longer works, with whose it was and why.
type DeadLink struct {
	OrgID  OrgID
	UserID UserID
	Name   string
	Kind   string // what the link was for
	State  string // "used", "replaced", "expired"; else "void": what it was for has changed
}

// Targets are what DeadLinkColumns are scanned into.
func (l *DeadLink) Targets() []any { return db.Into(&l.OrgID, &l.UserID, &l.Name, &l.State) }

// DeadLinkColumns are the columns of a DeadLink, of a user u and of a link of theirs that was used,
// was replaced and expires when these columns say. $2 is now.
func DeadLinkColumns(used, replaced, expires string) string {
	return `u.org_id, u.id, u.display_name, case when ` + used + ` is not null then 'used' when ` + replaced + ` is not null then 'replaced' when ` + expires + ` <= $2 then 'expired' else 'void' end`
}

// DeadDisavowal returns whose a link was that DisavowalByToken finds dead, and false for one that
// never was.
func DeadDisavowal(ctx context.Context, r db.Reader, token secret.Token) (DeadLink, bool, error) {
	dead := DeadLink{Kind: "disavowal"}
	found, err := r.One(ctx, dead.Targets(), `
		select `+DeadLinkColumns("d.used_at", "null", "d.expires_at")+`
		from disavowals d
		join users u on u.org_id = d.org_id and u.id = d.user_id
		where d.token_hash = $1`, token.Hash(secret.Disavowal), db.Time(r.Now()))
	return dead, found, err
}

// UseDisavowal claims a link, makes every browser of the user a stranger, and restores the address
// that a change took. All other links of the user end, except those that remove an authenticator:
// one of the links may be in the mailbox that an attacker moved the address to. The caller
// removes the authenticator that the letter reported.
func UseDisavowal(ctx context.Context, tx *db.Tx, token secret.Token) (who Candidate, authenticator string, err error) {
	who, back, authenticator, err := disavowalByToken(ctx, tx, token, tx.Now())
	if err != nil {
		return Candidate{}, "", err
	}
	claimed, err := tx.Exec(ctx, `
		update disavowals set used_at = $1
		where org_id = $2 and user_id = $3 and token_hash = $4 and used_at is null`,
		db.Time(tx.Now()), string(who.User.OrgID), string(who.User.ID), token.Hash(secret.Disavowal))
	if err != nil || claimed == 0 {
		return Candidate{}, "", orFault(err, ErrDisavowalDead)
	}
	if _, err := tx.Exec(ctx, `
		update disavowals set used_at = $1
		where org_id = $2 and user_id = $3 and device is null and used_at is null`, db.Time(tx.Now()), string(who.User.OrgID), string(who.User.ID)); err != nil {
		return Candidate{}, "", err
	}
	if back != "" && back != who.User.Email && !who.User.Provisioned() {
		// If another user has the address by now, or a source keeps it, the rest still happens.
		user, err := setEmail(ctx, tx, who.User, back)
		if err != nil && !errors.Is(err, ErrAddressTaken) {
			return Candidate{}, "", err
		}
		if err == nil {
			if err := recordEmail(ctx, tx, who.User, user, user.AsActor().Asker()); err != nil {
				return Candidate{}, "", err
			}
			who.User = user
		}
	}
	return who, authenticator, Disown(ctx, tx, who.User)
}

// Disown makes every browser that remembers the user a stranger.
func Disown(ctx context.Context, tx *db.Tx, user User) error {
	_, err := tx.Exec(ctx, `update users set disowned_at = $1 where org_id = $2 and id = $3`,
		db.Time(tx.Now()), string(user.OrgID), string(user.ID))
	return err
}

// setEmail stores another address for a user, or returns ErrAddressTaken if another user of the
// organization has it.
func setEmail(ctx context.Context, tx *db.Tx, user User, email string) (User, error) {
	address, err := naming.ParseAddress(email)
	if err != nil {
		return User{}, err
	}
	if owner, taken, err := ownerOf(ctx, tx, user.OrgID, address); err != nil || taken && owner.ID != user.ID {
		return User{}, orFault(err, ErrAddressTaken)
	}
	_, err = tx.Exec(ctx, `
		update users set email = $1, email_key = $2, search_key = $3, email_since = $4, changed_at = $4
		where org_id = $5 and id = $6`,
		address.Text, address.Key, listKey(user.Name, address.Text), db.Time(tx.Now()), string(user.OrgID), string(user.ID))
	if err == nil && !user.HasWayIn() {
		err = EndInvitations(ctx, tx, user) // nobody comes in by what was sent to the former address
	}
	user.Email, user.EmailSince = address.Text, tx.Now()
	return user, err
}

// Readdress gives a user the address that an audit export says they have, for a restore. It reports
// false for a text that is no address, and for one that another user has.
func Readdress(ctx context.Context, tx *db.Tx, org OrgID, id UserID, email string) (bool, error) {
	user, err := UserByID(ctx, tx, org, id)
	if err == nil {
		_, err = setEmail(ctx, tx, user, email)
	}
	_, refused := errors.AsType[*fault.Error](err)
	if refused {
		err = nil
	}
	return !refused, err
}

// ErrAddressTaken says that another user of the organization has the address.
var ErrAddressTaken = fault.Field("email", "directory.address_taken")

// Administrators lists the active owners and administrators of an organization.
func Administrators(ctx context.Context, r db.Reader, org OrgID) ([]User, error) {
	return db.List(ctx, r, (*User).Targets, `
		select `+UserColumns+`
		from users u
		where u.org_id = $1 and u.role in ($2, $3) and u.deactivated_at is null
		order by u.created_at, u.id`, string(org), string(Owner), string(Administrator))
}

// AdministratorsFor lists the active owners and administrators whose role governs a user, without
// that user.
func AdministratorsFor(ctx context.Context, r db.Reader, user User) ([]User, error) {
	all, err := Administrators(ctx, r, user.OrgID)
	return slices.DeleteFunc(all, func(a User) bool { return a.ID == user.ID || !a.Role.Governs(user.Role) }), err
}
