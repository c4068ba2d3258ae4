package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/lifetime"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// EmailChangeLifetime is how long the link works that proves a new address.
const EmailChangeLifetime = 24 * time.Hour

// The faults of changing an address. A link that was used, replaced, withdrawn, voided or never
// existed, or that has expired, is the same fault.
var (
	ErrEmailChangeDead = fault.New(fault.Gone, "directory.email_change_dead")
	ErrAddressSame     = fault.Field("email", "directory.address_same")
)

// EmailChange is a new address that waits for its proof. Until then the old one is in force.
type EmailChange struct {
	ID        string
	Email     string // the canonical address to be proved
	By        Asker  // the user, or the one who changes it for them
	CreatedAt time.Time
	ExpiresAt time.Time
	Letter    mail.Delivery
}

// vouched reports whether the one who asked still may. A change must neither outlive the
// authority that it rests on, nor reach a user who has risen above it, or whom a source keeps now.
func (c EmailChange) vouched(user User) bool {
	by := Actor{Kind: c.By.Kind, ID: c.By.Right}
	return !user.keptFrom(by) && (c.asked(user) || c.By.StillGoverns(user.Role))
}

// asked reports whether the user asked for the change.
func (c EmailChange) asked(user User) bool { return c.By.Kind == KindUser && c.By.UserID == user.ID }

// MayChangeEmail returns an error unless the actor is the user, or an owner or administrator who
// governs the user's role. Helpdesk may not change addresses: with the address in a mailbox of
// their own, they could have a new password sent there (R-REC-07).
//
// The address of a provisioned user is ErrProvisioned for everybody but their source.
func (a Actor) MayChangeEmail(ctx context.Context, r db.Reader, user User) error {
	if !a.Is(user.OrgID, user.ID) {
		if err := a.MayGovern(ctx, r, user); err != nil {
			return err
		}
	}
	if user.keptFrom(a) {
		return ErrProvisioned
	}
	return nil
}

// mayChangeEmail returns a user whose address actor may change, both as they are now and not as
// a page knew them.
func mayChangeEmail(ctx context.Context, tx *db.Tx, actor Actor, user User) (User, error) {
	now, err := UserByID(ctx, tx, user.OrgID, user.ID)
	if err == nil {
		err = actor.MayChangeEmail(ctx, tx, now)
	}
	switch {
	case err != nil:
		return User{}, err
	case actor.Is(user.OrgID, user.ID):
		return Current(ctx, tx, user)
	}
	return Governed(ctx, tx, actor, user.OrgID, user.ID)
}

// EmailChanges requests and takes the proof of new addresses.
type EmailChanges struct {
	Outbox    *mail.Outbox
	Base      string // the configured public address, without a slash at its end
	Lifetimes lifetime.Overrides
}

// Request stores a new address, and sends a link to it and a notice to the old one. It replaces
// an earlier request.
//
// If the address is taken, an actor who may read the list of people learns so. A member gets the
// same answer as for a free address, and the letter to the address tells its owner. What other
// organizations know plays no part (ENU-5).
func (c *EmailChanges) Request(ctx context.Context, tx *db.Tx, actor Actor, who Candidate, typed string) error {
	user, err := mayChangeEmail(ctx, tx, actor, who.User)
	if err == nil {
		err = user.Closed()
	}
	if err != nil {
		return err
	}
	address, err := naming.ParseAddress(typed)
	if err != nil {
		return err
	}
	old, err := naming.ParseAddress(user.Email)
	if err != nil {
		return err
	}
	if address.Key == old.Key {
		return ErrAddressSame
	}
	owner, taken, err := ownerOf(ctx, tx, user.OrgID, address)
	if err != nil {
		return err
	}
	if taken && actor.Role.ReadsConsole() {
		return ErrAddressTaken
	}
	if _, err := c.end(ctx, tx, user); err != nil {
		return err
	}
	expires, token := tx.Now().Add(cmp.Or(c.Lifetimes.EmailChange, EmailChangeLifetime)), secret.NewToken()
	byAdministrator, by := !actor.Is(user.OrgID, user.ID), actor.Asker()
	recipient, letter := user, mail.Parameters(mail.EmailProofParameters{
		Organization: who.Organization.DisplayName, ByAdministrator: byAdministrator,
		Link: c.Base + "/email/" + token.Reveal(), Expires: expires,
	})
	// Nobody has proved yet whose address it is, so the letter says neither who asked nor where they live.
	recipient.Email, recipient.TimeZone = address.Text, ""
	if taken {
		recipient, letter = owner, mail.EmailTakenParameters{Organization: who.Organization.DisplayName, Name: owner.Name}
	}
	letterID, err := c.Outbox.Put(ctx, tx, recipient.Letter(letter))
	if err != nil {
		return err
	}
	change := EmailChange{ID: secret.NewID("emc"), Email: address.Text}
	if _, err := tx.Exec(ctx, `
		insert into email_changes (org_id, id, user_id, email, email_key, token_hash, letter_id, requested_by, asked_kind, asked_right, generation, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		string(user.OrgID), change.ID, string(user.ID), address.Text, address.Key, token.Hash(secret.EmailChange), letterID,
		string(by.UserID), string(by.Kind), db.Text(by.Right), user.Generation, db.Time(tx.Now()), db.Time(expires)); err != nil {
		return fmt.Errorf("inserting email change %s: %w", change.ID, err)
	}
	if err := c.notify(ctx, tx, Candidate{user, who.Organization}, change, byAdministrator); err != nil {
		return err
	}
	return audit.Record(ctx, tx, change.event(actor, user, "email_change.requested"))
}

// notify tells the address in force what was requested, with a way to object.
func (c *EmailChanges) notify(ctx context.Context, tx *db.Tx, who Candidate, change EmailChange, byAdministrator bool) error {
	deed, err := c.deed(ctx, tx, who)
	if err != nil {
		return err
	}
	p := mail.EmailAskedParameters{Deed: deed, New: change.Email, ByAdministrator: byAdministrator}
	if origin := audit.OriginOf(ctx); !byAdministrator { // where an administrator sits is not revealed
		p.Network, p.Agent = origin.Network, origin.Agent
	}
	_, err = c.Outbox.Put(ctx, tx, who.User.Letter(p))
	return err
}

// deed returns what a letter to the address in force reports, with the link that keeps or
// restores the address.
func (c *EmailChanges) deed(ctx context.Context, tx *db.Tx, who Candidate) (mail.Deed, error) {
	letter := mail.NewLetterID()
	notMe, err := newRestoring(ctx, tx, who.User, letter)
	return mail.Deed{
		ID: letter, Organization: who.Organization.DisplayName, Name: who.User.Name, When: tx.Now(), NotMe: c.Base + "/not-me/" + notMe.Reveal(),
	}, err
}

// Withdraw ends the change that waits for its proof, if there is one.
func (c *EmailChanges) Withdraw(ctx context.Context, tx *db.Tx, actor Actor, user User) error {
	user, err := mayChangeEmail(ctx, tx, actor, user)
	if err != nil {
		return err
	}
	ended, err := c.end(ctx, tx, user)
	if err != nil || ended == "" {
		return err
	}
	return audit.Record(ctx, tx, EmailChange{ID: ended}.event(actor, user, "email_change.withdrawn"))
}

// end ends the open link of a user, and withdraws its unsent letter. It returns the change's id,
// or "" if there was none.
func (c *EmailChanges) end(ctx context.Context, tx *db.Tx, user User) (string, error) {
	var id, letter string
	found, err := tx.One(ctx, db.Into(&id, &letter), `
		update email_changes set replaced_at = $1
		where org_id = $2 and user_id = $3 and proved_at is null and replaced_at is null
		returning id, letter_id`, db.Time(tx.Now()), string(user.OrgID), string(user.ID))
	if err != nil {
		return "", fmt.Errorf("ending the email change of %s: %w", user.ID, err)
	}
	if !found {
		return "", nil
	}
	return id, c.Outbox.Withdraw(ctx, tx, string(user.OrgID), letter)
}

// Prove makes the new address the user's, for the one who holds the link that was sent there. Of
// several browsers that send its form at the same time, one gets through. It signs nobody in and
// ends no session. Links that create a password end, since they belong to the old address. The
// returned user has the new address.
func (c *EmailChanges) Prove(ctx context.Context, tx *db.Tx, token secret.Token, shown string) (who Candidate, err error) {
	before, change, err := EmailChangeByToken(ctx, tx, token, tx.Now())
	if errors.Is(err, ErrEmailChangeDead) {
		return provedAgain(ctx, tx, token, shown)
	}
	if err != nil {
		return Candidate{}, err
	}
	n, err := tx.Exec(ctx, `
		update email_changes set proved_at = $1, proved_from = $2
		where org_id = $3 and id = $4 and proved_at is null and replaced_at is null`,
		db.Time(tx.Now()), db.Text(shown), string(before.User.OrgID), change.ID)
	if err != nil || n == 0 {
		return Candidate{}, orFault(err, ErrEmailChangeDead)
	}
	who = before
	who.User, err = setEmail(ctx, tx, before.User, change.Email)
	if errors.Is(err, ErrAddressTaken) {
		err = ErrEmailChangeDead // another user was faster, so the link no longer works
	}
	if err != nil {
		return Candidate{}, err
	}
	deed, err := c.deed(ctx, tx, before)
	if err != nil {
		return Candidate{}, err
	}
	if _, err := c.Outbox.Put(ctx, tx, before.User.Letter(mail.EmailChangedParameters{Deed: deed, New: who.User.Email})); err != nil {
		return Candidate{}, err
	}
	return who, recordEmail(ctx, tx, before.User, who.User, change.By)
}

// provedTwice is how long the same form, sent twice, counts as sent once (decision 0041).
const provedTwice = 30 * time.Second

// provedAgain returns the user whose address a link proved a moment ago, by the same form in the
// same browser, while the address is still theirs.
func provedAgain(ctx context.Context, tx *db.Tx, token secret.Token, shown string) (who Candidate, err error) {
	if shown == "" {
		return Candidate{}, ErrEmailChangeDead
	}
	found, err := tx.One(ctx, append(who.User.Targets(), who.Organization.Targets()...), `
		select `+UserColumns+`, `+OrganizationColumns+`
		from email_changes c
		join users u on u.org_id = c.org_id and u.id = c.user_id and u.email_key = c.email_key and u.deactivated_at is null
		join organizations o on o.id = c.org_id and o.suspended_at is null
		where c.token_hash = $1 and c.proved_from = $2 and c.proved_at > $3`,
		token.Hash(secret.EmailChange), shown, db.Time(tx.Now().Add(-provedTwice)))
	if err == nil && !found {
		err = ErrEmailChangeDead
	}
	return who, err
}

// recordEmail records that a user, who alone could read the letter with the link, has another
// address, and who asked for it.
func recordEmail(ctx context.Context, tx *db.Tx, before, now User, by Asker) error {
	e := now.AsActor().Event(now.OrgID, "user.email_changed")
	e.Method = audit.ByLink
	e.Target, e.TargetName = string(now.ID), now.Name
	e.Before, e.After = audit.Fields{"email": before.Email}, audit.Fields{"email": now.Email, "requested_by": cmp.Or(string(by.UserID), by.Right, string(by.Kind))}
	return audit.Record(ctx, tx, e)
}

func (c EmailChange) event(actor Actor, user User, action audit.Action) audit.Event {
	e := actor.Event(user.OrgID, action)
	e.Target, e.TargetName = string(user.ID), user.Name
	if e.Before = (audit.Fields{"email": user.Email}); c.Email != "" {
		e.After = audit.Fields{"email": c.Email}
	}
	return e
}

// The columns and tables of open changes of active users, asked for in the present generation.
const (
	emailChangeColumns = `c.id, c.email, c.created_at, c.expires_at, ` + mail.DeliveryColumns + `,
		c.requested_by, c.asked_kind, c.asked_right, v.role, v.deactivated_at`
	emailChangeTables = ` from email_changes c
		join users u on u.org_id = c.org_id and u.id = c.user_id and u.generation = c.generation and u.deactivated_at is null
		join organizations o on o.id = c.org_id and o.suspended_at is null
		left join letters l on l.org_id = c.org_id and l.id = c.letter_id
		left join users v on v.org_id = c.org_id and v.id = c.requested_by `
)

func (c *EmailChange) targets() []any {
	return append(db.Into(&c.ID, &c.Email, (*db.Time)(&c.CreatedAt), (*db.Time)(&c.ExpiresAt)),
		append(c.Letter.Targets(), c.By.Targets()...)...)
}

// EmailChangeByToken finds the user and the new address that a link proves, and changes nothing.
func EmailChangeByToken(ctx context.Context, r db.Reader, token secret.Token, now time.Time) (Candidate, EmailChange, error) {
	var who Candidate
	var c EmailChange
	into := append(who.User.Targets(), who.Organization.Targets()...)
	found, err := r.One(ctx, append(into, c.targets()...), `
		select `+UserColumns+`, `+OrganizationColumns+`, `+emailChangeColumns+emailChangeTables+`
		where c.token_hash = $1 and c.proved_at is null and c.replaced_at is null and c.expires_at > $2 and l.bounced_at is null`,
		token.Hash(secret.EmailChange), db.Time(now))
	if err == nil && (!found || !c.vouched(who.User)) {
		err = ErrEmailChangeDead
	}
	return who, c, err
}

// DeadEmailChange is DeadDisavowal for a change of address.
func DeadEmailChange(ctx context.Context, r db.Reader, token secret.Token) (DeadLink, bool, error) {
	dead := DeadLink{Kind: "email_change"}
	found, err := r.One(ctx, dead.Targets(), `
		select `+DeadLinkColumns("c.proved_at", "c.replaced_at", "c.expires_at")+`
		from email_changes c
		join users u on u.org_id = c.org_id and u.id = c.user_id
		where c.token_hash = $1`, token.Hash(secret.EmailChange), db.Time(r.Now()))
	return dead, found, err
}

// PendingEmail returns the change of a user that waits for its proof, or nil.
func PendingEmail(ctx context.Context, r db.Reader, user User, now time.Time) (*EmailChange, error) {
	var c EmailChange
	found, err := r.One(ctx, c.targets(), `
		select `+emailChangeColumns+emailChangeTables+`
		where c.org_id = $1 and c.user_id = $2 and c.proved_at is null and c.replaced_at is null and c.expires_at > $3`,
		string(user.OrgID), string(user.ID), db.Time(now))
	if err != nil || !found || !c.vouched(user) {
		return nil, err
	}
	return &c, nil
}

// How long these are kept after their end: an invitation once it was accepted, withdrawn or replaced, or
// its link expired.
const (
	keptEmailChange = 30 * 24 * time.Hour
	keptInvitation  = 90 * 24 * time.Hour
)

// Sweep erases users who were deleted long enough ago. It deletes changes of address and invitations
// that ended long enough ago and expired links, and frees short names that led to the new one for long enough.
func Sweep(ctx context.Context, d *db.DB) error {
	if err := EraseDeleted(ctx, d); err != nil {
		return err
	}
	if _, err := d.InParts(ctx, `
		delete from email_changes
		where (org_id, id) in (select org_id, id from email_changes where expires_at <= $1 limit $2)`, db.Time(d.Now().Add(-keptEmailChange))); err != nil {
		return fmt.Errorf("sweeping email changes: %w", err)
	}
	if _, err := d.InParts(ctx, `
		delete from invitations
		where (org_id, id) in (
			select org_id, id from invitations where coalesce(accepted_at, withdrawn_at, replaced_at, expires_at) <= $1 limit $2)`,
		db.Time(d.Now().Add(-keptInvitation))); err != nil {
		return fmt.Errorf("sweeping invitations: %w", err)
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `delete from disavowals where expires_at <= $1`, db.Time(tx.Now())); err != nil {
			return fmt.Errorf("sweeping disavowals: %w", err)
		}
		_, err := tx.Exec(ctx, `delete from former_short_names where ends_at <= $1`, db.Time(tx.Now()))
		return err
	})
}
