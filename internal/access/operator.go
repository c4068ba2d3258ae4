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

// The scopes that reach the installation itself. Only the operator's machines have them.
const (
	ReadInstallation  Scope = "parvis.operator.read"
	WriteInstallation Scope = "parvis.operator.write"
)

// OperatorScopes lists what an operator's machine may be given.
var OperatorScopes = append([]Scope{ReadInstallation, WriteInstallation}, Scopes...)

// installs reports whether a scope reaches the installation itself, and no organization.
func (s Scope) installs() bool { return s == ReadInstallation || s == WriteInstallation }

// Operator is what an application of the installation may do for its operator: with a token for
// the installation, what its scopes say of the installation; with a token for one organization, the
// rest there, where each call says why (R-TEN-11).
type Operator struct {
	Client    application.ID
	Name      string
	Scopes    []Scope
	Role      directory.Role // within an organization
	GrantedAt time.Time
	EndsAt    time.Time
	UsedAt    time.Time // of its last call, to the hour; zero before the first
	Network   string    // from where that was
	Over      bool      // it has ended, or its application proves itself by another way than its key

	client application.Application
}

// GrantOperator gives an application of the installation the right to act for the operator, or
// replaces the one it has. Only the operator gives one, at the command line.
func GrantOperator(ctx context.Context, tx *db.Tx, actor directory.Actor, client application.ID, n Right) (Operator, error) {
	if err := inPerson(actor); err != nil {
		return Operator{}, err
	}
	placed, err := application.ByID(ctx, tx, actor, "", client)
	if err != nil {
		return Operator{}, err
	}
	switch {
	case placed.OrgID != "":
		return Operator{}, ErrNotInstallations
	case !byItsKey(placed.Application):
		return Operator{}, ErrNotByKey
	}
	n.Scopes, err = operators(n)
	if n.Lasts == 0 {
		n.Lasts = MachineLasts
	}
	if n.Lasts < ShortestToken || n.Lasts > LongestMachine {
		err = errors.Join(err, ErrLasts)
	}
	if err != nil {
		return Operator{}, err
	}
	before, err := OperatorByClient(ctx, tx, actor, client)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return Operator{}, err
	}
	o := Operator{
		Client: client, Name: placed.Settings.Name, Scopes: n.Scopes, Role: n.Role, GrantedAt: tx.Now(), EndsAt: tx.Now().Add(n.Lasts), client: placed.Application,
	}
	if _, err := tx.Exec(ctx, `
		insert into operator_rights (client_id, scopes, role, granted_at, ends_at) values ($1, $2, $3, $4, $5)
		on conflict (client_id) do update set scopes = excluded.scopes, role = excluded.role, granted_at = excluded.granted_at, ends_at = excluded.ends_at`,
		string(client), join(o.Scopes), string(o.Role), db.Time(o.GrantedAt), db.Time(o.EndsAt)); err != nil {
		return Operator{}, fmt.Errorf("keeping the right of %s: %w", client, err)
	}
	e := o.event(actor, "operator.granted")
	e.Before, e.After = before.fields(), o.fields()
	return o, audit.Record(ctx, tx, e)
}

// EndOperator takes such a right away at once.
func EndOperator(ctx context.Context, tx *db.Tx, actor directory.Actor, client application.ID) error {
	o, err := OperatorByClient(ctx, tx, actor, client)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from operator_rights where client_id = $1`, string(client)); err != nil {
		return fmt.Errorf("ending the right of %s: %w", client, err)
	}
	e := o.event(actor, "operator.ended")
	e.Before = o.fields()
	return audit.Record(ctx, tx, e)
}

// inPerson refuses everybody but the operator at the command line: no machine makes another one.
func inPerson(actor directory.Actor) error {
	if actor.Kind != directory.KindOperator || actor.Again != nil {
		return directory.ErrDenied
	}
	return nil
}

// operators returns the scopes of a right that an operator gives, or what is wrong with them.
func operators(n Right) ([]Scope, error) {
	var wrong error
	if !slices.Contains(MachineRoles(directory.Owner), n.Role) {
		wrong = ErrMachineRole
	}
	if len(n.Scopes) == 0 {
		wrong = errors.Join(wrong, ErrScopes)
	}
	var all []Scope
	for _, s := range OperatorScopes {
		if slices.Contains(n.Scopes, s) {
			all = append(all, s)
		}
	}
	reach := Reach(n.Role)
	for _, s := range n.Scopes {
		switch {
		case !slices.Contains(OperatorScopes, s):
			wrong = errors.Join(wrong, ErrScope.With("Scope", string(s)))
		case !s.installs() && wrong == nil && !slices.Contains(reach, s):
			wrong = errors.Join(wrong, ErrScopeBeyond.With("Scope", string(s)))
		}
	}
	return all, wrong
}

// byItsKey reports whether an application proves who it is by a private key, so that nothing that
// it sends lets somebody else call as it.
func byItsKey(a application.Application) bool {
	return a.Settings.Auth == application.PrivateKey && a.Settings.OwnBehalf
}

func (o Operator) event(actor directory.Actor, action audit.Action) audit.Event {
	e := actor.Event("", action)
	e.Target, e.TargetName = string(o.Client), o.Name
	return e
}

// fields returns what the audit log stores about a right; nothing for none.
func (o Operator) fields() audit.Fields {
	if o.Client == "" {
		return nil
	}
	return audit.Fields{"scopes": join(o.Scopes), "role": o.Role, "ends_at": o.EndsAt.UTC().Format(time.RFC3339)}
}

const operatorColumns = `m.scopes, m.role, m.granted_at, m.ends_at, m.used_at, m.network, ` + application.Columns + `
	from operator_rights m
	join clients c on c.id = m.client_id and c.org_id is null`

func (o *Operator) targets() []any {
	return append(db.Into(db.Words(&o.Scopes), &o.Role, (*db.Time)(&o.GrantedAt), (*db.Time)(&o.EndsAt), (*db.Time)(&o.UsedAt), &o.Network), o.client.Targets()...)
}

func (o Operator) at(now time.Time) Operator {
	o.Client, o.Name = o.client.ID, o.client.Settings.Name
	o.Over = !now.Before(o.EndsAt) || !byItsKey(o.client)
	return o
}

// Operators lists the rights of the operator's machines, by the name of the application.
func Operators(ctx context.Context, r db.Reader, actor directory.Actor) ([]Operator, error) {
	if err := inPerson(actor); err != nil {
		return nil, err
	}
	all, err := db.List(ctx, r, (*Operator).targets, `select `+operatorColumns+` order by c.id`)
	for i := range all {
		all[i] = all[i].at(r.Now())
	}
	slices.SortStableFunc(all, func(a, b Operator) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return all, err
}

// OperatorByClient returns the right of one, or directory.ErrNotFound.
func OperatorByClient(ctx context.Context, r db.Reader, actor directory.Actor, client application.ID) (Operator, error) {
	if err := inPerson(actor); err != nil {
		return Operator{}, err
	}
	return operatorOf(ctx, r, client)
}

func operatorOf(ctx context.Context, r db.Reader, client application.ID) (Operator, error) {
	var o Operator
	found, err := r.One(ctx, o.targets(), `select `+operatorColumns+` where m.client_id = $1`, string(client))
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	return o.at(r.Now()), err
}

// operatorRight returns who an operator's machine calls as, for the installation or, with an
// organization, in that one.
func operatorRight(ctx context.Context, r db.Reader, org directory.OrgID, client application.ID) (Caller, error) {
	o, err := operatorOf(ctx, r, client)
	if errors.Is(err, directory.ErrNotFound) || err == nil && o.Over {
		err = ErrUnknown
	}
	if err != nil {
		return Caller{}, err
	}
	actor := directory.Actor{
		Kind: directory.KindOperator, ID: string(client), Name: o.Name, Role: directory.Owner,
		Again: func(ctx context.Context, r db.Reader) (directory.Actor, error) {
			now, err := operatorRight(ctx, r, org, client)
			return now.Actor, err
		},
	}
	if org != "" {
		actor.Kind, actor.OrgID, actor.Role = directory.KindMachine, org, o.Role
		of, err := directory.OrganizationByID(ctx, r, org)
		if errors.Is(err, directory.ErrNotFound) || err == nil && !of.SuspendedAt.IsZero() {
			err = ErrUnknown
		}
		if err != nil {
			return Caller{}, err
		}
	}
	scopes := slices.DeleteFunc(slices.Clone(o.Scopes), func(s Scope) bool { return s.installs() != (org == "") })
	return Caller{Actor: actor, Scopes: scopes, Until: o.EndsAt, Operator: org != "", usedAt: o.UsedAt}, nil
}

// touchOperator stores that an operator's machine calls.
func touchOperator(ctx context.Context, tx *db.Tx, a directory.Actor, at db.Time, network string) error {
	_, err := tx.Exec(ctx, `
		update operator_rights set used_at = $1, network = $2
		where client_id = $3`, at, network, a.ID)
	return err
}
