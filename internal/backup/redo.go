package backup

import (
	"context"
	"fmt"
	"slices"

	"parvis/internal/audit"
	"parvis/internal/db"
)

// redo does about each event what deeds says. installation says that what changed since in applications
// of all organizations is known too; otherwise nobody signs in to them.
func (c *Continued) redo(ctx context.Context, tx *db.Tx, installation bool) error {
	c.Done, c.erased = nil, nil
	for _, e := range c.events {
		d, _ := deedOf(e.Action)
		if d.does == nil {
			c.erased = append(c.erased, e)
			continue
		}
		n, err := d.does(ctx, tx, e)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", e.Action, e.Target, err)
		}
		if n == 0 {
			continue // it is as it should be, or not there
		}
		if c.Done = append(c.Done, Item{e, d.kind == again}); e.Action == userErased {
			c.erased = append(c.erased, e)
		}
	}
	if c.Org == "" {
		return nil
	}
	if !installation {
		if err := c.forbidShared(ctx, tx); err != nil {
			return err
		}
	}
	if err := c.keepAnOwner(ctx, tx); err != nil {
		return err
	}
	return c.settle(ctx, tx)
}

// forbidShared lets nobody of the organization sign in to applications of all organizations, until an
// administrator allows it: what was changed in them since is in the log of the installation.
func (c *Continued) forbidShared(ctx context.Context, tx *db.Tx) error {
	shared, err := db.List(ctx, tx, db.Value[string], `select id from clients where org_id is null order by id`)
	for _, id := range shared {
		if err != nil {
			break
		}
		e := Event{Org: c.Org, Target: id, Action: "application.changed", At: tx.Now()}
		var n int64
		if n, err = forbidIn(ctx, tx, e); err == nil && n > 0 {
			c.Done = append(c.Done, Item{e, false})
			_, err = withoutRight(ctx, tx, e)
		}
	}
	return err
}

const (
	userErased          audit.Action = "user.erased"
	roleChanged         audit.Action = "user.role_changed"
	organizationDeleted audit.Action = "organization.deleted"
)

// keepAnOwner makes owners of those whom the log made owners since, where otherwise none is left: nobody
// in the organization, and not even the operator, could make one.
func (c *Continued) keepAnOwner(ctx context.Context, tx *db.Tx) error {
	left := func() (bool, error) {
		return tx.One(ctx, db.Into(new(string)), `select id from users where org_id = $1 and role = 'owner' and state = 'active' limit 1`, c.Org)
	}
	is, err := left()
	if err != nil || is {
		return err
	}
	for _, e := range c.owners {
		n, err := step{"users", "role = 'owner', changed_at = {now}", thisUser + " and state = 'active'"}.take(ctx, tx, e)
		if err != nil {
			return err
		}
		if n > 0 {
			c.Done = append(c.Done, Item{e, true})
		}
	}
	if is, err = left(); err == nil && !is {
		err = fmt.Errorf("%s: %w", c.Name, ErrOwnerless)
	}
	return err
}

// federate makes single sign-on the only way in, except for the owners that the event names. Whom the
// backup names besides was taken off since.
func federate(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	n, err := step{"organizations", "federated_since = {at}", "id = {org} and federated_since is null"}.take(ctx, tx, e)
	if err != nil {
		return 0, err
	}
	has, err := db.List(ctx, tx, db.Value[string], `select id from users where org_id = $1 and break_glass_since is not null order by id`, e.Org)
	if err != nil {
		return 0, err
	}
	named := e.texts("break_glass")
	change := func(id, set, where string) error {
		owner := e
		owner.Target = id
		changed, err := step{"users", set, thisUser + where}.take(ctx, tx, owner)
		n += changed
		return err
	}
	for _, id := range has {
		if !slices.Contains(named, id) {
			if err := change(id, "break_glass_since = null", ""); err != nil {
				return 0, err
			}
		}
	}
	for _, id := range named {
		if err := change(id, "break_glass_since = {at}", " and role = 'owner' and deactivated_at is null and break_glass_since is null"); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// settle brings up to date what rows of users say of other tables. Where single sign-on is the only way
// in and no connection is left on, nor an owner who may come in otherwise, it is no longer the only one;
// passwords are void then, so that each person asks for a new one by letter.
func (c *Continued) settle(ctx context.Context, tx *db.Tx) error {
	const app, key = `exists (select 1 from totp_seeds t where t.org_id = users.org_id and t.user_id = users.id and t.confirmed_at is not null)`,
		`exists (select 1 from passkeys k where k.org_id = users.org_id and k.user_id = users.id)`
	shut, err := tx.One(ctx, db.Into(new(string)), `
		select o.id from organizations o
		where o.id = $1 and o.federated_since is not null
			and not exists (select 1 from connections c where c.org_id = o.id and c.state = 'on')
			and not exists (
				select 1 from users u
				join passkeys k on k.org_id = u.org_id and k.user_id = u.id
				where u.org_id = o.id and u.role = 'owner' and u.break_glass_since is not null and u.deactivated_at is null)`, c.Org)
	if err != nil {
		return err
	}
	e := Event{Org: c.Org, Target: c.Org, Action: "single_sign_on.not_only", At: tx.Now()}
	if shut {
		open := steps(step{"passwords", "", "org_id = {org}"}, step{"organizations", "federated_since = null", "id = {org}"},
			step{"users", "break_glass_since = null", "org_id = {org}"})
		if _, err := open(ctx, tx, e); err != nil {
			return err
		}
		c.Done = append(c.Done, Item{e, false})
	}
	_, err = step{"users", `has_password = exists (select 1 from passwords p where p.org_id = users.org_id and p.user_id = users.id),
		linked = exists (select 1 from identities i where i.org_id = users.org_id and i.user_id = users.id),
		second_step = case when ` + app + ` and ` + key + ` then 'both' when ` + app + ` then 'app' when ` + key + ` then 'passkey' else 'none' end`,
		"org_id = {org}"}.take(ctx, tx, e)
	return err
}

// records reports whether logs get events behind the epoch's first leaf.
func (c *Continued) records() bool {
	return len(c.erased) > 0 || slices.ContainsFunc(c.Done, func(i Item) bool { return i.Action == organizationDeleted })
}

// forget takes from the log what it lost since the backup, behind the epoch's first leaf. The log of an
// organization whose deletion was done again says so: without that event nothing of it is removed.
func (c *Continued) forget(ctx context.Context, tx *db.Tx) error {
	for _, i := range c.Done {
		if i.Action != organizationDeleted {
			continue
		}
		e := audit.Event{OrgID: i.Target, Actor: audit.System, ActorName: audit.System, Action: i.Action, Target: i.Target}
		if err := audit.Record(ctx, tx, e); err != nil {
			return err
		}
	}
	for _, e := range c.erased {
		said := audit.Event{OrgID: c.Org, Actor: audit.System, ActorName: audit.System, Action: e.Action, Target: e.Target}
		if e.Action == userErased { // the sweep takes the rest, as it did
			if err := audit.Record(ctx, tx, said); err != nil {
				return err
			}
			continue
		}
		traces, err := audit.TracesOf(ctx, tx, c.Org, e.Target)
		if err != nil {
			return err
		}
		before := audit.Everything
		if e.Actor == audit.System {
			before = e.At.Add(-audit.ErasedAfter)
		}
		erased, err := traces.Erase(ctx, tx, before)
		if err == nil && erased.Events > 0 {
			err = audit.RecordErased(ctx, tx, said, erased)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mostListed is how many of each kind the log lists.
const mostListed = 200

// fields are what the first leaf of the log's epoch records of the export.
func (c *Continued) fields() audit.Fields {
	var again, void []string
	for _, i := range c.Done {
		list := &void
		if i.Again {
			list = &again
		}
		*list = append(*list, string(i.Action)+" "+i.Target)
	}
	f := audit.Fields{"known_size": c.Size, "as_of_backup": true}
	for name, list := range map[string][]string{"done_again": again, "voided": void} {
		if more := len(list) - mostListed; more > 0 {
			list = append(list[:mostListed], fmt.Sprintf("+%d", more))
		}
		if len(list) > 0 {
			f[name] = list
		}
	}
	return f
}
