package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

const (
	// MachineLasts is how long a machine's right lasts unless its giver says otherwise, and
	// LongestMachine how long at most.
	MachineLasts   = 90 * 24 * time.Hour
	LongestMachine = 365 * 24 * time.Hour
)

// MachineRoles lists the roles that somebody with a role may let a machine act with, the one with
// most rights first. No machine is an owner (R-TEN-06).
func MachineRoles(giver directory.Role) []directory.Role {
	if !giver.SetsRules() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(giver.Grants()), func(r directory.Role) bool { return r == directory.Owner || !r.ReadsConsole() })
}

// Machine is what an application of an organization may do there on its own behalf.
type Machine struct {
	OrgID     directory.OrgID
	Client    application.ID
	Name      string // of the application
	Scopes    []Scope
	Role      directory.Role
	GrantedBy directory.UserID
	Giver     string // the name of that user; empty once erased
	GrantedAt time.Time
	EndsAt    time.Time
	UsedAt    time.Time // of its last call, to the hour; zero before the first
	Network   string    // from where that was
	Rests     bool      // it only reads, until another administrator confirms the right
	Over      bool      // it has ended

	client   application.Application
	giver    directory.User
	restedAt time.Time
	closed   time.Time // since when its organization is suspended
}

// Right is what somebody chooses of a machine's right.
type Right struct {
	Scopes []Scope
	Role   directory.Role
	Lasts  time.Duration // MachineLasts if zero
}

// GrantMachine gives an application of an organization the right to act there on its own behalf,
// or replaces the one it has. Only a person gives one, and the caller of this function has asked
// for a fresh proof (R-SES-10).
func GrantMachine(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, client application.ID, n Right) (Machine, error) {
	giver, err := person(ctx, tx, actor, org)
	if err == nil && !giver.Role.SetsRules() {
		err = directory.ErrDenied
	}
	if err != nil {
		return Machine{}, err
	}
	placed, err := application.ByID(ctx, tx, actor, org, client)
	switch {
	case err == nil && placed.OrgID != org:
		return Machine{}, application.ErrNotOwn // the operator's
	case err == nil && !placed.Settings.OwnBehalf:
		return Machine{}, ErrNoMachine
	case err != nil:
		return Machine{}, err
	}
	if n.Scopes, err = n.checked(giver.Role); err != nil {
		return Machine{}, err
	}
	if n.Lasts == 0 {
		n.Lasts = MachineLasts
	}
	before, err := machineOf(ctx, tx, org, client)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return Machine{}, err
	}
	m := Machine{
		OrgID: org, Client: client, Name: placed.Settings.Name, Scopes: n.Scopes, Role: n.Role, GrantedBy: giver.ID, Giver: giver.Name,
		GrantedAt: tx.Now(), EndsAt: tx.Now().Add(n.Lasts), client: placed.Application, giver: giver,
	}
	return m, m.store(ctx, tx, actor, "machine.granted", before.fields())
}

// checked returns the scopes of a right that somebody with a role may give, or what is wrong with
// the right.
func (n Right) checked(giver directory.Role) ([]Scope, error) {
	var wrong error
	if !slices.Contains(MachineRoles(giver), n.Role) {
		return nil, ErrMachineRole
	}
	scopes, err := checked(n.Role, n.Scopes)
	if n.Lasts != 0 && (n.Lasts < ShortestToken || n.Lasts > LongestMachine) {
		wrong = ErrLasts
	}
	return scopes, errors.Join(err, wrong)
}

// ConfirmMachine makes the actor answer for a right as it is, so that its writing no longer rests.
// As GrantMachine, it is a person's deed, after a fresh proof.
func ConfirmMachine(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, client application.ID) error {
	giver, err := person(ctx, tx, actor, org)
	if err != nil {
		return err
	}
	m, err := machineOf(ctx, tx, org, client)
	switch {
	case err != nil:
		return err
	case !slices.Contains(MachineRoles(giver.Role), m.Role):
		return directory.ErrDenied
	case m.Over:
		return directory.ErrNotFound
	}
	m.GrantedBy, m.giver, m.restedAt = giver.ID, giver, time.Time{}
	return m.store(ctx, tx, actor, "machine.confirmed", nil)
}

// person returns the user who an actor is in person, as they are now.
func person(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) (directory.User, error) {
	now, err := actor.In(ctx, r, org)
	if err == nil && !now.Is(org, now.UserID) {
		err = directory.ErrDenied
	}
	if err != nil {
		return directory.User{}, err
	}
	return directory.UserByID(ctx, r, org, now.UserID)
}

func (m Machine) store(ctx context.Context, tx *db.Tx, actor directory.Actor, action audit.Action, before audit.Fields) error {
	if _, err := tx.Exec(ctx, `
		insert into machine_rights (org_id, client_id, scopes, role, granted_by, granted_at, ends_at)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (org_id, client_id) do update set scopes = excluded.scopes, role = excluded.role, granted_by = excluded.granted_by,
			granted_at = excluded.granted_at, ends_at = excluded.ends_at, rests_at = null`,
		string(m.OrgID), string(m.Client), join(m.Scopes), string(m.Role), string(m.GrantedBy), db.Time(m.GrantedAt), db.Time(m.EndsAt)); err != nil {
		return fmt.Errorf("keeping the right of %s: %w", m.Client, err)
	}
	e := m.event(actor, action)
	e.Before, e.After = before, m.fields()
	return audit.Record(ctx, tx, e)
}

// EndMachine takes a machine's right away at once.
func EndMachine(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, client application.ID) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	m, err := machineOf(ctx, tx, org, client)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from machine_rights where org_id = $1 and client_id = $2`, string(org), string(client)); err != nil {
		return fmt.Errorf("ending the right of %s: %w", client, err)
	}
	e := m.event(actor, "machine.ended")
	e.Before = m.fields()
	return audit.Record(ctx, tx, e)
}

func (m Machine) event(actor directory.Actor, action audit.Action) audit.Event {
	e := actor.Event(m.OrgID, action)
	e.Target, e.TargetName = string(m.Client), m.Name
	return e
}

// fields returns what the audit log stores about a right; nothing for none.
func (m Machine) fields() audit.Fields {
	if m.Client == "" {
		return nil
	}
	return audit.Fields{"scopes": join(m.Scopes), "role": m.Role, "ends_at": m.EndsAt.UTC().Format(time.RFC3339)}
}

// The giver is joined loosely: the right of somebody who was erased rests, and does not vanish.
const machineColumns = `m.scopes, m.role, m.granted_by, m.granted_at, m.ends_at, m.rests_at, m.used_at, m.network,
	coalesce(u.id, ''), coalesce(u.display_name, ''), coalesce(u.role, ''), u.deactivated_at, u.deleted_at, o.suspended_at, ` + application.Columns

const machineJoins = `
	from machine_rights m
	join clients c on c.id = m.client_id and c.org_id = m.org_id
	join organizations o on o.id = m.org_id
	left join users u on u.org_id = m.org_id and u.id = m.granted_by`

func (m *Machine) targets() []any {
	return append(db.Into(db.Words(&m.Scopes), &m.Role, &m.GrantedBy, (*db.Time)(&m.GrantedAt), (*db.Time)(&m.EndsAt), (*db.Time)(&m.restedAt), (*db.Time)(&m.UsedAt), &m.Network,
		&m.giver.ID, &m.giver.Name, &m.giver.Role, (*db.Time)(&m.giver.DeactivatedAt), (*db.Time)(&m.giver.DeletedAt), (*db.Time)(&m.closed)), m.client.Targets()...)
}

// at returns m as it is at a time.
func (m Machine) at(now time.Time) Machine {
	m.OrgID, m.Client, m.Name, m.Giver = m.client.OrgID, m.client.ID, m.client.Settings.Name, m.giver.Name
	m.Over = !now.Before(m.EndsAt) || !m.client.Settings.OwnBehalf
	m.Rests = !m.restedAt.IsZero() || m.unbacked()
	return m
}

// unbacked reports whether the person who answers for a right could not give it now.
func (m Machine) unbacked() bool {
	return m.giver.ID == "" || m.giver.Closed() != nil || !slices.Contains(MachineRoles(m.giver.Role), m.Role)
}

// Machines lists the rights of the machines of an organization, by the name of the application.
func Machines(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Machine, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	all, err := db.List(ctx, r, (*Machine).targets, `
		select `+machineColumns+machineJoins+`
		where m.org_id = $1
		order by c.id`, string(org))
	for i := range all {
		all[i] = all[i].at(r.Now())
	}
	slices.SortStableFunc(all, func(a, b Machine) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return all, err
}

// MachineByClient returns the right of one, or directory.ErrNotFound.
func MachineByClient(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, client application.ID) (Machine, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Machine{}, err
	}
	return machineOf(ctx, r, org, client)
}

func machineOf(ctx context.Context, r db.Reader, org directory.OrgID, client application.ID) (Machine, error) {
	var m Machine
	found, err := r.One(ctx, m.targets(), `
		select `+machineColumns+machineJoins+`
		where m.org_id = $1 and m.client_id = $2`, string(org), string(client))
	if err != nil {
		return Machine{}, err
	}
	if !found {
		return Machine{}, directory.ErrNotFound
	}
	return m.at(r.Now()), nil
}

// RightOf returns who a machine calls as, with everything that it may do now; ErrUnknown if it
// may do nothing. Without an organization it is an operator's machine for the installation.
func RightOf(ctx context.Context, r db.Reader, org directory.OrgID, client application.ID) (Caller, error) {
	m, err := machineOf(ctx, r, org, client)
	if errors.Is(err, directory.ErrNotFound) {
		return operatorRight(ctx, r, org, client)
	}
	if err == nil && (m.Over || !m.closed.IsZero()) {
		err = ErrUnknown
	}
	if err != nil {
		return Caller{}, err
	}
	scopes := m.Scopes
	role := m.Role
	if m.Rests {
		// It goes on reading, as somebody does who changes nothing.
		scopes, role = slices.DeleteFunc(slices.Clone(scopes), Scope.Writes), directory.Auditor
	}
	return Caller{
		Actor: directory.Actor{
			Kind: directory.KindMachine, OrgID: org, ID: string(client), Name: m.Name, Role: role,
			Again: func(ctx context.Context, r db.Reader) (directory.Actor, error) {
				now, err := RightOf(ctx, r, org, client)
				return now.Actor, err
			},
		},
		Scopes: scopes, Until: m.EndsAt, usedAt: m.UsedAt,
	}, nil
}
