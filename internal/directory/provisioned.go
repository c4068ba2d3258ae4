package directory

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/mail"
	"parvis/internal/naming"
)

// The faults of people and groups that a customer's directory keeps here.
var (
	// ErrProvisioned answers somebody here who changes what the directory of the customer says.
	ErrProvisioned = fault.New(fault.Conflict, "directory.provisioned")
	// ErrShutOutHere answers a source that would let in whom somebody here shut out.
	ErrShutOutHere = fault.New(fault.Conflict, "directory.shut_out_here")
	// ErrNoWayIn keeps the administration from somebody who cannot sign in yet.
	ErrNoWayIn = fault.New(fault.Conflict, "directory.no_way_in")
	// ErrInvitedOften keeps an address that nobody has proved from too many letters.
	ErrInvitedOften = fault.New(fault.Throttled, "directory.invited_often")
)

// mostInvited is how many invitations to a user without a way in an actor may have sent in
// invitedWithin, beside the open one.
const (
	mostInvited   = 6
	invitedWithin = 24 * time.Hour
)

// wayIn is HasWayIn for a row of users by its alias.
func wayIn(user string) string {
	return fmt.Sprintf(`(%[1]s.has_password or %[1]s.linked or %[1]s.second_step in ('passkey', 'both'))`, user)
}

// HasWayIn reports whether u has a credential of their own or a provider's subject. Who was
// provisioned has neither before an invitation or a connection let them in (decision 0066).
func (u User) HasWayIn() bool {
	return u.HasPassword || u.Linked || u.SecondStep == StepByKey || u.SecondStep == StepByBoth
}

// Provision makes a user whom a source names, without a credential.
func Provision(ctx context.Context, tx *db.Tx, actor Actor, u User) (User, error) {
	actor, err := actor.over(ctx, tx, u.OrgID, Member)
	if err == nil && actor.Kind != KindSource {
		err = ErrDenied
	}
	if err != nil {
		return User{}, err
	}
	address, err := naming.ParseAddress(u.Email)
	if err != nil {
		return User{}, err
	}
	if _, taken, err := ownerOf(ctx, tx, u.OrgID, address); err != nil || taken {
		return User{}, orFault(err, ErrAddressTaken)
	}
	u.ID, u.Role, u.SourceID = NewUserID(), Member, actor.ID
	if u, err = insertUser(ctx, tx, u); err != nil {
		return User{}, err
	}
	e := actor.Event(u.OrgID, "user.created")
	e.Target, e.TargetName = string(u.ID), u.Name
	e.After = audit.Fields{"email": u.Email, "role": u.Role, "source": actor.ID}
	return u, audit.Record(ctx, tx, e)
}

// SendTo invites a user who has no way in to make one. It is to them what a link for a new password
// is to others, so the newest link alone works. The caller has judged the actor; one who has proved
// nothing may ask for it, because it goes to the user alone.
func (s *Invitations) SendTo(ctx context.Context, tx *db.Tx, actor Actor, who Candidate) (Invitation, error) {
	u := who.User
	address, err := naming.ParseAddress(u.Email)
	if err != nil {
		return Invitation{}, err
	}
	if actor.Kind != KindAnonymous { // whose requests are counted for every address, known or not
		if err := fewInvitations(ctx, tx, u.OrgID, address); err != nil {
			return Invitation{}, err
		}
	}
	open, found, err := openInvitation(ctx, tx, u.OrgID, address)
	if err == nil && found {
		err = s.kill(ctx, tx, open, "replaced_at")
	}
	if err != nil {
		return Invitation{}, err
	}
	fresh := Invitation{Email: u.Email, Name: u.Name, Role: u.Role, Language: u.Language, By: actor.Asker(), CreatedAt: tx.Now()}
	inv, err := s.insert(ctx, tx, actor, who.Organization, fresh)
	if err != nil {
		return Invitation{}, err
	}
	return inv, audit.Record(ctx, tx, inv.event(actor, "invitation.sent"))
}

// rests returns the time after which an invitation was made that only rests while a user is shut out.
// A source may do so by mistake and take it back, and the user, whose link works again then, gets no
// other letter. Zero if none does.
func rests(actor Actor, now User, at time.Time) time.Time {
	if actor.Kind != KindSource || !now.DeletedAt.IsZero() {
		return time.Time{}
	}
	return at.Add(-invitedWithin)
}

// fewInvitations returns ErrInvitedOften if an address got mostInvited letters lately.
func fewInvitations(ctx context.Context, r db.Reader, org OrgID, address naming.Address) error {
	since := r.Now().Add(-invitedWithin)
	ended, err := db.List(ctx, r, func(at *time.Time) []any { return db.Into((*db.Time)(at)) }, `
		select coalesce(replaced_at, withdrawn_at) from invitations
		where org_id = $1 and email_key = $2 and coalesce(replaced_at, withdrawn_at) > $3
		order by 1 desc
		limit $4`, string(org), address.Key, db.Time(since), mostInvited)
	if err == nil && len(ended) == mostInvited {
		err = ErrInvitedOften.After(ended[mostInvited-1].Sub(since))
	}
	return err
}

// SetSource hands a user to a source, with the id by which the source knows the user, or to none.
// The caller has judged whether it may.
func SetSource(ctx context.Context, tx *db.Tx, actor Actor, u User, source, external string) error {
	if u.SourceID == source && u.ExternalID == external {
		return nil
	}
	// Whom a source shut out stays shut out when it lets go of them.
	if _, err := tx.Exec(ctx, `
		update users set source_id = $1, external_id = $2, changed_at = $3, shut_out_by = case when source_id = $1 then shut_out_by end
		where org_id = $4 and id = $5`, db.Text(source), db.Text(external), db.Time(tx.Now()), string(u.OrgID), string(u.ID)); err != nil {
		return fmt.Errorf("handing %s to source %q: %w", u.ID, source, err)
	}
	if u.SourceID == source {
		return nil // only the source's own id of the user, which is nothing to people here
	}
	e := actor.Event(u.OrgID, "user.source_changed")
	e.Target, e.TargetName = string(u.ID), u.Name
	e.Before, e.After = audit.Fields{"source": u.SourceID}, audit.Fields{"source": source}
	return audit.Record(ctx, tx, e)
}

// SetGroupSource is SetSource for a group.
func SetGroupSource(ctx context.Context, tx *db.Tx, actor Actor, g Group, source, external string) error {
	if g.SourceID == source && g.ExternalID == external {
		return nil
	}
	if _, err := tx.Exec(ctx, `
		update groups set source_id = $1, external_id = $2, changed_at = $3
		where org_id = $4 and id = $5`, db.Text(source), db.Text(external), db.Time(tx.Now()), string(g.OrgID), g.ID); err != nil {
		return fmt.Errorf("handing group %s to source %q: %w", g.ID, source, err)
	}
	if g.SourceID == source {
		return nil
	}
	return g.record(ctx, tx, actor, "group.source_changed", audit.Fields{"source": g.SourceID}, audit.Fields{"source": source})
}

// ReleaseSource lets go of all that a source keeps, and returns how many people that was.
func ReleaseSource(ctx context.Context, tx *db.Tx, org OrgID, source string) (int64, error) {
	if _, err := tx.Exec(ctx, `
		update groups set source_id = null, external_id = null, changed_at = $1
		where org_id = $2 and source_id = $3`, db.Time(tx.Now()), string(org), source); err != nil {
		return 0, err
	}
	return tx.Exec(ctx, `
		update users set source_id = null, external_id = null, shut_out_by = null, deleted_by = null, changed_at = $1
		where org_id = $2 and source_id = $3`, db.Time(tx.Now()), string(org), source)
}

// Set gives a user whom a source keeps another address at once, and writes to both addresses if
// the user can sign in. Who is shut out is written to by Returned. The caller has judged that nothing
// needs to be proved.
func (c *EmailChanges) Set(ctx context.Context, tx *db.Tx, actor Actor, who Candidate, email string) (User, error) {
	if actor.Kind != KindSource || actor.ID != who.User.SourceID {
		return User{}, ErrDenied
	}
	before, err := Governed(ctx, tx, actor, who.User.OrgID, who.User.ID)
	if err == nil && !before.DeletedAt.IsZero() {
		err = ErrDeleted
	}
	if err != nil {
		return User{}, err
	}
	if _, err := c.end(ctx, tx, before); err != nil {
		return User{}, err
	}
	now, err := setEmail(ctx, tx, before, email)
	if err != nil {
		return User{}, err
	}
	if before.HasWayIn() && before.Closed() == nil {
		err = c.tellMoved(ctx, tx, before, Candidate{now, who.Organization})
	} else if before.HasWayIn() {
		_, err = tx.Exec(ctx, `update users set moved_from = coalesce(moved_from, $1) where org_id = $2 and id = $3`,
			before.Email, string(before.OrgID), string(before.ID))
	}
	if err != nil {
		return User{}, err
	}
	e := actor.Event(now.OrgID, "user.email_changed")
	e.Target, e.TargetName = string(now.ID), now.Name
	e.Before, e.After = audit.Fields{"email": before.Email}, audit.Fields{"email": now.Email, "requested_by": actor.ID}
	return now, audit.Record(ctx, tx, e)
}

// Returned writes to both addresses of a user who was let in again, if a source moved them meanwhile.
// Otherwise it could move somebody unseen, by shutting them out first.
func (c *EmailChanges) Returned(ctx context.Context, tx *db.Tx, who Candidate) error {
	if who.User.EmailSince.IsZero() {
		return nil
	}
	before := who.User
	if _, err := tx.One(ctx, db.Into((*db.Text)(&before.Email)), `
		select moved_from from users where org_id = $1 and id = $2`, string(before.OrgID), string(before.ID)); err != nil || before.Email == "" {
		return err
	}
	if _, err := tx.Exec(ctx, `update users set moved_from = null where org_id = $1 and id = $2`, string(before.OrgID), string(before.ID)); err != nil {
		return err
	}
	if before.AddressKey() == who.User.AddressKey() {
		return nil
	}
	before.EmailSince = time.Time{} // the link in the letter to it is good
	return c.tellMoved(ctx, tx, before, who)
}

// tellMoved writes to both addresses of a user that a source gave them another one.
func (c *EmailChanges) tellMoved(ctx context.Context, tx *db.Tx, before User, now Candidate) error {
	for _, to := range []User{before, now.User} {
		deed, err := c.deed(ctx, tx, Candidate{to, now.Organization})
		if err != nil {
			return err
		}
		if _, err := c.Outbox.Put(ctx, tx, to.Letter(mail.EmailChangedParameters{Deed: deed, New: now.User.Email})); err != nil {
			return err
		}
	}
	return nil
}

// ProvisionGroup makes a group that a source names, without members.
func ProvisionGroup(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, name, external string) (Group, error) {
	actor, err := actor.over(ctx, tx, org, Administrator)
	if err == nil && actor.Kind != KindSource {
		err = ErrDenied
	}
	if err != nil {
		return Group{}, err
	}
	return insertGroup(ctx, tx, actor, Group{OrgID: org, SourceID: actor.ID, ExternalID: external}, name)
}

// keptFrom reports whether names and address of u are not the actor's to change: those of a
// provisioned user come from their source, which would write them again.
func (u User) keptFrom(actor Actor) bool {
	return u.Provisioned() && (actor.Kind != KindSource || actor.ID != u.SourceID)
}

// Provisioned reports whether a source keeps names and address of u. It keeps none of an owner.
func (u User) Provisioned() bool { return u.SourceID != "" && u.Role != Owner }

// mayRename reports whether an actor may give u the names of p.
func (u User) mayRename(actor Actor, p Profile) bool {
	return !u.keptFrom(actor) || p.Name == u.Name && p.GivenName == u.GivenName && p.FamilyName == u.FamilyName
}

// OnlyShutOutBySource reports whether a source shut u out and may let them in again.
func (u User) OnlyShutOutBySource() bool {
	return u.ShutOutBy != "" && !u.DeactivatedAt.IsZero() && u.DeletedAt.IsZero()
}

// shutOutBy returns the source that keeps a user out who stood as was and from now on stands as now:
// only it may let them in again. A source that deletes who was out already leaves it as it was, and so
// does a restore.
func shutOutBy(actor Actor, was, now User) string {
	source, restored := actor.Kind == KindSource, !was.DeletedAt.IsZero()
	switch {
	case now.DeactivatedAt.IsZero():
		return ""
	case restored && was.DeactivatedAt.Before(was.DeletedAt), source && !was.DeactivatedAt.IsZero():
		return was.ShutOutBy
	case source:
		return actor.ID
	}
	return ""
}

// deletedBy returns the source that deleted a user who from now on stands as now.
func deletedBy(actor Actor, now User) string {
	if actor.Kind != KindSource || now.DeletedAt.IsZero() {
		return ""
	}
	return actor.ID
}

// changeableGroup returns a group that an actor may change: one of a source is the source's alone.
func changeableGroup(ctx context.Context, r db.Reader, actor Actor, org OrgID, id string) (Group, error) {
	g, err := groupByID(ctx, r, org, id)
	if err == nil {
		err = g.changeableBy(actor)
	}
	return g, err
}

func (g Group) changeableBy(actor Actor) error {
	if g.SourceID != "" && (actor.Kind != KindSource || actor.ID != g.SourceID) {
		return ErrProvisioned
	}
	return nil
}

// touch stores that so many members of a group changed.
func (g Group) touch(ctx context.Context, tx *db.Tx, changed int) error {
	if changed == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `update groups set changed_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(g.OrgID), g.ID)
	return err
}
