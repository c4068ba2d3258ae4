package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/lifetime"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// ErrResetDead is the one answer for a link that was used, replaced, voided or expired, or that
// never existed.
var ErrResetDead = fault.New(fault.Gone, "credential.reset_dead")

// Asked is what somebody without proof asks for an address.
type Asked string

// What can be asked.
const (
	AskedPassword Asked = "password" // a link to create a new one
	AskedNames    Asked = "names"    // which organizations know the address
	AskedGuessed  Asked = "guessed"  // asked by us, because somebody tries passwords for it
)

// Request is one row of what was asked, whether or not anybody has the address.
type Request struct {
	Asked        Asked
	Address      naming.Address
	Organization string // its short name; empty for all that know the address
	Language     i18n.Tag
}

// Ask stores a request for the sweep. It is the same statement for every address, known or not:
// nothing is looked up before the answer (R-REC-01).
func Ask(ctx context.Context, tx *db.Tx, q Request) error {
	_, err := tx.Exec(ctx, `
		insert into reset_requests (id, kind, email, organization, language, network, created_at)
		values ($1, $2, $3, $4, $5, $6, $7)`,
		secret.NewID("ask"), string(q.Asked), q.Address.Text, q.Organization, string(q.Language),
		audit.OriginOf(ctx).Network, db.Time(tx.Now()))
	return err
}

// Resets sends the links that create a new password.
type Resets struct {
	Outbox    *mail.Outbox
	Base      string // the configured public address, without a slash at its end
	Lifetimes lifetime.Overrides
	Invites   *directory.Invitations // for those who have no way in yet

	// Invited reports whether a user who has no way in yet is let in by an invitation.
	Invited func(context.Context, db.Reader, directory.User) (bool, error)
}

// Reset is a link that creates a new password.
type Reset struct {
	directory.Candidate
	ID string
}

// SendTo is Send to a user whom actor may change and who may sign in: it does not let in
// anybody who was shut out. The link goes to the user alone (R-REC-07). Who has no way in yet gets
// an invitation (decision 0066).
func (r *Resets) SendTo(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.Organization, id directory.UserID) error {
	user, err := directory.Governed(ctx, tx, actor, org.ID, id)
	if err == nil {
		err = user.Closed()
	}
	if err != nil {
		return err
	}
	who := directory.Candidate{User: user, Organization: org}
	if !user.HasWayIn() {
		_, err := r.Invites.SendTo(ctx, tx, actor, who)
		return err
	}
	return r.Send(ctx, tx, actor, who)
}

// Send writes a link to a user and voids an earlier one. A user who has no password creates one
// with it, and proves a second step first, like everybody who has one, so that nobody who lost
// a passkey is locked out. A user without password and second step has nothing of ours to sign
// in with, and the letter explains that, unless an administrator sends it.
func (r *Resets) Send(ctx context.Context, tx *db.Tx, actor directory.Actor, who directory.Candidate) error {
	owner := Owner{who.User.OrgID, who.User.ID}
	stored, err := StoredPassword(ctx, tx, owner)
	if err != nil {
		return err
	}
	asked := actor.Kind == directory.KindAnonymous
	if who.Organization.FederatedOnly() && !asked {
		return directory.ErrFederatedOnly
	}
	if !stored.Exists() && asked {
		second, _, err := Owned(ctx, tx, owner)
		if err != nil {
			return err
		}
		if !second || who.Organization.FederatedOnly() {
			return r.explain(ctx, tx, who)
		}
	}
	rules, err := RulesOf(ctx, tx, who.User.OrgID)
	if err != nil {
		return err
	}
	if err := r.replace(ctx, tx, who.User); err != nil {
		return err
	}
	address, err := naming.ParseAddress(who.User.Email)
	if err != nil {
		return err
	}
	token, expires := secret.NewToken(), tx.Now().Add(cmp.Or(r.Lifetimes.Reset, rules.ResetLifetime))
	letter, err := r.Outbox.Put(ctx, tx, who.User.Letter(mail.ResetParameters{
		Organization: who.Organization.DisplayName, Name: who.User.Name, Expires: expires,
		ByAdministrator: !asked, NoPassword: !stored.Exists(), Link: r.Base + "/reset/" + token.Reveal(),
	}))
	if err != nil {
		return err
	}
	id := secret.NewID("rst")
	_, err = tx.Exec(ctx, `
		insert into resets (org_id, id, user_id, email_key, token_hash, letter_id, generation, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		string(who.User.OrgID), id, string(who.User.ID), address.Key, token.Hash(secret.Reset), letter, who.User.Generation,
		db.Time(tx.Now()), db.Time(expires))
	if err != nil {
		return fmt.Errorf("inserting reset %s: %w", id, err)
	}
	e := actor.Event(who.User.OrgID, "reset.sent")
	e.Target, e.TargetName = string(who.User.ID), who.User.Name
	return audit.Record(ctx, tx, e)
}

// explain tells a user without password why there is none to replace. Who has no way in at all, and
// comes in by an invitation, is invited to make one.
func (r *Resets) explain(ctx context.Context, tx *db.Tx, who directory.Candidate) error {
	if !who.User.HasWayIn() {
		invited, err := r.Invited(ctx, tx, who.User)
		if err == nil && invited {
			_, err = r.Invites.SendTo(ctx, tx, directory.Anonymous(), who)
		}
		if err != nil || invited {
			return err
		}
	}
	_, err := r.Outbox.Put(ctx, tx, who.User.Letter(mail.ResetExplainedParameters{
		Organization: who.Organization.DisplayName, Name: who.User.Name, SignInPage: r.Base + who.Organization.Path(),
	}))
	return err
}

// replace voids the user's open links and the letters that were not sent yet.
func (r *Resets) replace(ctx context.Context, tx *db.Tx, user directory.User) error {
	letters, err := db.List(ctx, tx, db.Value[string], `
		update resets set replaced_at = $1
		where org_id = $2 and user_id = $3 and used_at is null and replaced_at is null
		returning letter_id`, db.Time(tx.Now()), string(user.OrgID), string(user.ID))
	if err != nil {
		return fmt.Errorf("replacing the resets of %s: %w", user.ID, err)
	}
	for _, id := range letters {
		if err := r.Outbox.Withdraw(ctx, tx, string(user.OrgID), id); err != nil {
			return err
		}
	}
	return nil
}

// ResetByToken returns the user whose password a link may replace. The link is void once the
// user's generation ends (by any change of the password, or a deactivation), once the user has
// another address than the one it was sent to (R-REC-02), and if its letter was refused.
func ResetByToken(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (Reset, error) {
	var found Reset
	into := append(found.User.Targets(), found.Organization.Targets()...)
	ok, err := r.One(ctx, append(into, &found.ID), `
		select `+directory.UserColumns+`, `+directory.OrganizationColumns+`, r.id
		from resets r
		join users u on u.org_id = r.org_id and u.id = r.user_id and u.generation = r.generation
			and u.email_key = r.email_key and u.deactivated_at is null
		join organizations o on o.id = r.org_id and o.suspended_at is null and o.federated_since is null
		left join letters l on l.org_id = r.org_id and l.id = r.letter_id
		where r.token_hash = $1 and r.used_at is null and r.replaced_at is null and r.expires_at > $2 and l.bounced_at is null`,
		token.Hash(secret.Reset), db.Time(now))
	if err == nil && !ok {
		err = ErrResetDead
	}
	return found, err
}

// DeadReset is directory.DeadDisavowal for a new password.
func DeadReset(ctx context.Context, r db.Reader, token secret.Token) (directory.DeadLink, bool, error) {
	dead := directory.DeadLink{Kind: "reset"}
	found, err := r.One(ctx, dead.Targets(), `
		select `+directory.DeadLinkColumns("r.used_at", "r.replaced_at", "r.expires_at")+`
		from resets r
		join users u on u.org_id = r.org_id and u.id = r.user_id
		where r.token_hash = $1`, token.Hash(secret.Reset), db.Time(r.Now()))
	return dead, found, err
}

// RefusedLetter is a letter that the mail server refused for good, so that its link is void.
type RefusedLetter struct {
	Email  string
	Letter mail.Delivery
}

// RefusedReset returns the letter with a user's last link, if it was refused; nil if the link
// can be used, was used or has ended.
func RefusedReset(ctx context.Context, r db.Reader, o Owner) (*RefusedLetter, error) {
	var refused RefusedLetter
	found, err := r.One(ctx, append(refused.Letter.Targets(), &refused.Email), `
		select `+mail.DeliveryColumns+`, l.recipient
		from resets r
		join letters l on l.org_id = r.org_id and l.id = r.letter_id and l.bounced_at is not null
		where r.org_id = $1 and r.user_id = $2 and r.used_at is null and r.replaced_at is null and r.expires_at > $3`,
		string(o.OrgID), string(o.UserID), db.Time(r.Now()))
	if err != nil || !found {
		return nil, err
	}
	return &refused, nil
}

// UseReset claims a link: of many browsers that send its form at once, one gets through and the
// others get ErrResetDead.
func UseReset(ctx context.Context, tx *db.Tx, token secret.Token) (Reset, error) {
	found, err := ResetByToken(ctx, tx, token, tx.Now())
	if err != nil {
		return Reset{}, err
	}
	n, err := tx.Exec(ctx, `
		update resets set used_at = $1
		where org_id = $2 and id = $3 and used_at is null and replaced_at is null`,
		db.Time(tx.Now()), string(found.User.OrgID), found.ID)
	if err == nil && n == 0 {
		err = ErrResetDead
	}
	return found, err
}

// UseResetByID claims a link that an attempt holds, under the same conditions as
// UseReset.
func UseResetByID(ctx context.Context, tx *db.Tx, o Owner, id string) error {
	n, err := tx.Exec(ctx, `
		update resets set used_at = $1
		where org_id = $2 and user_id = $3 and id = $4 and used_at is null and replaced_at is null and expires_at > $1
			and exists (
				select 1 from users u
				join organizations o on o.id = u.org_id and o.federated_since is null
				where u.org_id = resets.org_id and u.id = resets.user_id and u.generation = resets.generation
					and u.email_key = resets.email_key and u.deactivated_at is null)
			and not exists (
				select 1 from letters l
				where l.org_id = resets.org_id and l.id = resets.letter_id and l.bounced_at is not null)`,
		db.Time(tx.Now()), string(o.OrgID), string(o.UserID), id)
	if err == nil && n == 0 {
		err = ErrResetDead
	}
	return err
}

// ForgotPage returns the address at which a letter of an organization says to ask for a new
// password: the organization is filled in.
func ForgotPage(base string, o directory.Organization) string {
	return base + "/forgot-password?organization=" + url.QueryEscape(o.ShortName)
}

const (
	requestsAtOnce = 50             // that one sweep answers
	mostNames      = 1000           // organizations that one letter names
	kept           = 24 * time.Hour // of dead links
	toldAgain      = 24 * time.Hour // a person is told of guesses no more often
)

// Sweep answers the requests: it finds the users of each address and writes the letters, and
// deletes the request with its address in the same transaction.
func (r *Resets) Sweep(ctx context.Context, d *db.DB) error {
	ids, err := db.List(ctx, d, db.Value[string], `select id from reset_requests order by created_at limit $1`, requestsAtOnce)
	if err != nil {
		return err
	}
	var all error // a request that fails keeps no other from its answer
	for _, id := range ids {
		if err := d.Update(ctx, func(tx *db.Tx) error { return r.answer(ctx, tx, id) }); err != nil {
			all = errors.Join(all, fmt.Errorf("answering request %s: %w", id, err))
		}
	}
	_, err = d.InParts(ctx, `delete from resets where (org_id, id) in (select org_id, id from resets where expires_at <= $1 limit $2)`, db.Time(d.Now().Add(-kept)))
	return errors.Join(all, err)
}

func (r *Resets) answer(ctx context.Context, tx *db.Tx, id string) error {
	var q Request
	var email string
	found, err := tx.One(ctx, db.Into(&q.Asked, &email, &q.Organization, &q.Language), `
		delete from reset_requests where id = $1
		returning kind, email, organization, language`, id)
	if err != nil || !found {
		return err
	}
	if q.Address, err = naming.ParseAddress(email); err != nil {
		return err
	}
	var org directory.OrgID
	if q.Organization != "" {
		o, err := directory.OrganizationByName(ctx, tx, q.Organization)
		if errors.Is(err, directory.ErrNotFound) {
			return nil // it was known when the form was sent, and no longer is
		}
		if err != nil {
			return err
		}
		org = o.ID
	}
	users, err := directory.Candidates(ctx, tx, q.Address, org, mostNames)
	if err != nil {
		return err
	}
	switch {
	case q.Asked == AskedNames:
		return r.name(ctx, tx, users)
	case q.Asked == AskedPassword && len(users) == 0:
		return r.explainInvited(ctx, tx, q.Address, org)
	}
	for _, who := range users {
		if q.Asked == AskedGuessed {
			if !who.User.HasWayIn() {
				continue // there is nothing to guess
			}
			err = r.warn(ctx, tx, who)
		} else {
			err = r.Send(ctx, tx, directory.Anonymous(), who)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// name writes one letter with every organization that knows an address. It goes to the address
// as the first of them has it, in that user's language.
func (r *Resets) name(ctx context.Context, tx *db.Tx, users []directory.Candidate) error {
	if len(users) == 0 {
		return nil
	}
	p := mail.NamesParameters{SignInPage: r.Base + "/sign-in"}
	for _, who := range users {
		p.Organizations = append(p.Organizations, mail.NamedOrganization{
			Name: who.Organization.DisplayName, ShortName: who.Organization.ShortName, SignInPage: r.Base + who.Organization.Path(),
		})
	}
	_, err := r.Outbox.Put(ctx, tx, mail.Letter{Recipient: users[0].User.Email, Language: users[0].User.Language, Parameters: p})
	return err
}

// explainInvited tells people who were invited and have not accepted yet that there is no
// password to replace.
func (r *Resets) explainInvited(ctx context.Context, tx *db.Tx, a naming.Address, org directory.OrgID) error {
	invited, err := directory.InvitationsTo(ctx, tx, a, org)
	if err != nil {
		return err
	}
	for _, i := range invited {
		if _, err := r.Outbox.Put(ctx, tx, mail.Letter{
			OrgID: string(i.Organization.ID), Recipient: i.Invitation.Email, Language: i.Invitation.Language,
			Parameters: mail.ResetExplainedParameters{
				Organization: i.Organization.DisplayName, Name: i.Invitation.Name, Invited: true, SignInPage: r.Base + i.Organization.Path(),
			},
		}); err != nil {
			return err
		}
	}
	return nil
}

// warn tells a person, at most once a day, that somebody tries passwords.
func (r *Resets) warn(ctx context.Context, tx *db.Tx, who directory.Candidate) error {
	p := mail.GuessedParameters{
		Organization: who.Organization.DisplayName, Name: who.User.Name, When: tx.Now(), ResetPage: ForgotPage(r.Base, who.Organization),
	}
	told, err := r.Outbox.Told(ctx, tx, string(who.User.OrgID), who.User.Email, p, tx.Now().Add(-toldAgain))
	if err != nil || told {
		return err
	}
	_, err = r.Outbox.Put(ctx, tx, who.User.Letter(p))
	return err
}
