package directory

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
)

// The faults that any directory function may return. Something that does not exist looks the
// same as something that another organization has (R-TEN-02).
var (
	ErrDenied   = fault.New(fault.Denied, "directory.denied")
	ErrNotFound = fault.New(fault.NotFound, "directory.not_found")
)

// Kind says what an actor is. It is stored with a request that waits for somebody to act on it.
type Kind string

// The kinds of actors.
const (
	KindUser      Kind = "user"      // a person, signed in
	KindToken     Kind = "token"     // a text that a person made or was sent, and that acts for them
	KindMachine   Kind = "machine"   // an application on its own behalf
	KindSource    Kind = "source"    // a directory that provisions people
	KindOperator  Kind = "operator"  // who runs the installation, at its command line or by a machine
	KindSystem    Kind = "system"    // the program itself: a sweep, or the rules of a connection
	KindAnonymous Kind = "anonymous" // a browser that has proved nothing yet
)

// Actor is the one who asks for something, with their right. Functions that need authority ask
// the actor first.
type Actor struct {
	Kind   Kind
	OrgID  OrgID  // the only organization in which it acts; empty for the operator
	ID     string // of the user, token, machine or source; else the name of the kind
	Name   string // for the audit log and for letters
	Role   Role   // its right is that of a user with this role
	UserID UserID // the person behind a user or a token; else empty

	// Again reads the right again inside a transaction: it may have ended or shrunk since the
	// request was let in (R-TEN-06). Nil for a right that cannot end, as that of the operator at the
	// command line.
	Again func(context.Context, db.Reader) (Actor, error)
}

// Operator is the person at the installation's command line, who makes organizations and their
// owners and is in none of them.
func Operator() Actor {
	return Actor{Kind: KindOperator, ID: audit.Operator, Name: audit.Operator, Role: Owner}
}

// System is the program itself at work in an organization.
func System(org OrgID) Actor {
	return Actor{Kind: KindSystem, OrgID: org, ID: audit.System, Name: audit.System, Role: Owner}
}

// Anonymous is somebody who has proved nothing, and may only ask for letters to an address.
func Anonymous() Actor {
	return Actor{Kind: KindAnonymous, ID: audit.Anonymous, Name: audit.Anonymous}
}

// AsActor returns u as an actor.
func (u User) AsActor() Actor {
	return Actor{Kind: KindUser, OrgID: u.OrgID, ID: string(u.ID), Name: u.Name, Role: u.Role, UserID: u.ID, Again: u.again}
}

// again returns u as an actor, as u is now.
func (u User) again(ctx context.Context, r db.Reader) (Actor, error) {
	now, err := UserByID(ctx, r, u.OrgID, u.ID)
	if err == nil && now.Closed() != nil {
		err = ErrDenied
	}
	return now.AsActor(), err
}

// In returns the actor as it is now in an organization, or an error if it does not act there.
// Everything of another organization is ErrNotFound (R-TEN-02).
func (a Actor) In(ctx context.Context, r db.Reader, org OrgID) (Actor, error) {
	if a.OrgID != org && a.Kind != KindOperator {
		return Actor{}, ErrNotFound
	}
	switch a.Kind {
	case KindSystem, KindAnonymous:
		return a, nil
	case KindOperator:
		return a, a.MayRun(ctx, r)
	case KindUser, KindToken, KindMachine, KindSource:
	}
	if a.Again == nil {
		return Actor{}, ErrDenied // a right must be readable again
	}
	now, err := a.Again(ctx, r)
	if err == nil && now.OrgID != org {
		err = ErrNotFound
	}
	return now, err
}

// over returns the actor as it is now, or an error unless it governs a role.
func (a Actor) over(ctx context.Context, r db.Reader, org OrgID, role Role) (Actor, error) {
	now, err := a.In(ctx, r, org)
	if err == nil && !now.Role.Governs(role) {
		err = ErrDenied
	}
	return now, err
}

// MayRead returns an error unless the actor may read what the administration of an organization
// shows.
func (a Actor) MayRead(ctx context.Context, r db.Reader, org OrgID) error {
	now, err := a.In(ctx, r, org)
	if err == nil && !now.Role.ReadsConsole() {
		err = ErrDenied
	}
	return err
}

// MayReadAudit returns an error unless the actor may read the audit log of an organization.
func (a Actor) MayReadAudit(ctx context.Context, r db.Reader, org OrgID) error {
	now, err := a.In(ctx, r, org)
	if err == nil && !now.Role.ReadsAudit() {
		err = ErrDenied
	}
	return err
}

// MayErase returns an error unless the actor is an owner in person, or runs the installation: what
// somebody takes from the audit log is gone for good.
func (a Actor) MayErase(ctx context.Context, r db.Reader, org OrgID) error {
	now, err := a.In(ctx, r, org)
	if err == nil && a.Kind != KindOperator && (a.Kind != KindUser || now.Role != Owner) {
		err = ErrDenied
	}
	return err
}

// MaySetRules returns an error unless the actor may change the rules of an organization.
func (a Actor) MaySetRules(ctx context.Context, r db.Reader, org OrgID) error {
	_, err := a.over(ctx, r, org, Administrator)
	return err
}

// MayGovern returns an error unless the actor is an owner or administrator who governs a user's role.
func (a Actor) MayGovern(ctx context.Context, r db.Reader, user User) error {
	now, err := a.over(ctx, r, user.OrgID, Administrator)
	if err == nil && !now.Role.Governs(user.Role) {
		err = ErrDenied
	}
	return err
}

// MayRun returns an error unless the actor runs the installation: the operator at the command
// line, or a machine for as long as its right holds.
func (a Actor) MayRun(ctx context.Context, r db.Reader) error {
	if a.Kind != KindOperator {
		return ErrDenied
	}
	if a.Again == nil {
		return nil
	}
	now, err := a.Again(ctx, r)
	if err == nil && now.Kind != KindOperator {
		err = ErrDenied
	}
	return err
}

// Is reports whether the actor is a user in person. A user's token is not: it can change nothing
// for which the person would have to prove who they are.
func (a Actor) Is(org OrgID, id UserID) bool {
	return a.Kind == KindUser && a.OrgID == org && a.UserID == id
}

// Event begins the audit event of what the actor does in an organization.
func (a Actor) Event(org OrgID, action audit.Action) audit.Event {
	return audit.Event{OrgID: string(org), Actor: a.ID, ActorName: a.Name, Action: action}
}
