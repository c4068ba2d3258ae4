package access

import (
	"context"
	"fmt"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// Rules are what an organization decided about who calls its administration.
type Rules struct {
	Devices bool // people may let the command line in by a code that another machine shows, to read
}

// RulesOf returns the rules of an organization.
func RulesOf(ctx context.Context, r db.Reader, org directory.OrgID) (Rules, error) {
	var rules Rules
	_, err := r.One(ctx, db.Into(&rules.Devices), `select devices from access_rules where org_id = $1`, string(org))
	return rules, err
}

// SetRules changes the rules of an organization. Only an owner in person does that: a code is
// easily sent to somebody who lets a stranger in by it (RFC 8628 §5.4).
func SetRules(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, rules Rules) error {
	owner, err := person(ctx, tx, actor, org)
	if err == nil && owner.Role != directory.Owner {
		err = directory.ErrDenied
	}
	if err != nil {
		return err
	}
	before, err := RulesOf(ctx, tx, org)
	if err != nil || before == rules {
		return err
	}
	if _, err := tx.Exec(ctx, `
		insert into access_rules (org_id, devices) values ($1, $2)
		on conflict (org_id) do update set devices = excluded.devices`, string(org), rules.Devices); err != nil {
		return fmt.Errorf("keeping the rules of %s: %w", org, err)
	}
	e := actor.Event(org, "access_rules.changed")
	e.Target, e.Before, e.After = string(org), audit.Fields{"devices": before.Devices}, audit.Fields{"devices": rules.Devices}
	return audit.Record(ctx, tx, e)
}
