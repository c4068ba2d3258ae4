package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/i18n"
	"parvis/internal/naming"
)

// Imported returns what an import says of a person as it is stored, or a fault for every value that
// is wrong.
func Imported(u User) (User, error) {
	address, wrongAddress := naming.ParseAddress(u.Email)
	p, wrongName := u.Profile().clean()
	var wrongRole, wrongLanguage error
	if !u.Role.Valid() {
		wrongRole = ErrRoleUnknown
	}
	if !i18n.Known(u.Language) {
		wrongLanguage = ErrLanguage
	}
	u.Email, u.Name, u.GivenName, u.FamilyName = address.Text, p.Name, p.GivenName, p.FamilyName
	return u, errors.Join(wrongAddress, wrongName, wrongRole, wrongLanguage)
}

// Admit inserts users of an import, whose addresses the caller found free in this transaction. The
// caller stores in the same transaction the credentials that HasPassword and SecondStep say they
// have. Who has none has no way in yet, as who was provisioned (decisions 0066 and 0082).
func Admit(ctx context.Context, tx *db.Tx, actor Actor, all []User, imported string) error {
	if err := actor.MayRun(ctx, tx); err != nil {
		return err
	}
	rows, events := make([][]any, len(all)), make([]audit.Event, len(all))
	for i, u := range all {
		address, err := naming.ParseAddress(u.Email)
		if err != nil {
			return err
		}
		rows[i] = []any{
			string(u.OrgID), string(u.ID), u.Email, address.Key, u.Name, listKey(u.Name, u.Email), string(u.Role), string(u.Language),
			u.TimeZone, db.Time(tx.Now()), db.Time(tx.Now()), 1, u.GivenName, u.FamilyName, u.HasPassword, string(cmp.Or(u.SecondStep, NoSecondStep)),
			db.Time(u.DeactivatedAt), u.standing(),
		}
		e := actor.Event(u.OrgID, "user.created")
		e.Target, e.TargetName = string(u.ID), u.Name
		e.After = audit.Fields{"email": u.Email, "role": u.Role, "import": imported}
		if u.Closed() != nil {
			e.After["state"] = u.standing()
		}
		events[i] = e
	}
	if err := tx.Insert(ctx, `
		insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, changed_at,
			generation, given_name, family_name, has_password, second_step, deactivated_at, state)
		values `, rows, ``); err != nil {
		return fmt.Errorf("inserting the users of import %s: %w", imported, err)
	}
	return audit.RecordAll(ctx, tx, events)
}

// Join puts users into the group with a name, which is made if there is none. The caller made the
// users in this transaction.
func Join(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, name string, users []User) error {
	clean, err := naming.CleanGroupName(name)
	if err != nil {
		return err
	}
	// Without its members: a group of everybody would be counted again for each transaction.
	var g Group
	found, err := tx.One(ctx, g.Targets(), `
		select `+GroupColumns+`
		from groups g
		where g.org_id = $1 and g.name_key = $2`, string(org), naming.Fold(clean))
	switch {
	case err != nil:
	case !found:
		g, err = CreateGroup(ctx, tx, actor, org, clean)
	default:
		err = g.changeableBy(actor)
	}
	if err != nil {
		return err
	}
	rows, events := make([][]any, len(users)), make([]audit.Event, len(users))
	for i, u := range users {
		rows[i] = []any{string(org), g.ID, string(u.ID), db.Time(tx.Now())}
		events[i] = actor.Event(org, "group.member_added")
		events[i].Target, events[i].TargetName, events[i].After = string(u.ID), u.Name, g.asField()
	}
	if err := tx.Insert(ctx, `insert into members (org_id, group_id, user_id, added_at) values `, rows, ` on conflict do nothing`); err != nil {
		return fmt.Errorf("adding to group %s: %w", g.ID, err)
	}
	if err := audit.RecordAll(ctx, tx, events); err != nil {
		return err
	}
	return g.touch(ctx, tx, len(users))
}

// Later returns s with letters that leave at a time, and whose links live from then on.
func (s *Invitations) Later(at time.Time) *Invitations {
	later := *s
	later.at = at
	return &later
}

// Dismiss erases those users of an import who never signed in, with all that is theirs, and returns
// who stays. Entries of the audit log stay too.
func (s *Invitations) Dismiss(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, ids []UserID) (gone int, stay []User, err error) {
	if err := actor.MayRun(ctx, tx); err != nil {
		return 0, nil, err
	}
	var events []audit.Event
	for _, id := range ids {
		u, err := UserByID(ctx, tx, org, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if !u.LastSignInAt.IsZero() || u.Linked {
			stay = append(stay, u)
			continue
		}
		if err := s.forget(ctx, tx, u); err != nil {
			return 0, nil, err
		}
		e := actor.Event(org, "user.erased")
		e.Target, e.TargetName = string(u.ID), u.Name
		events = append(events, e)
	}
	return len(events), stay, audit.RecordAll(ctx, tx, events)
}

// forget erases a user who never came, and ends the invitation to them with its letter.
func (s *Invitations) forget(ctx context.Context, tx *db.Tx, u User) error {
	address, err := naming.ParseAddress(u.Email)
	if err != nil {
		return err
	}
	if !u.HasWayIn() {
		open, found, err := openInvitation(ctx, tx, u.OrgID, address)
		if err == nil && found {
			err = s.kill(ctx, tx, open, "withdrawn_at")
		}
		if err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `delete from users where org_id = $1 and id = $2`, string(u.OrgID), string(u.ID)); err != nil {
		return fmt.Errorf("erasing user %s: %w", u.ID, err)
	}
	return nil
}
