package directory

import (
	"parvis/internal/audit"
	"parvis/internal/fault"
)

// The faults that any directory function may answer with. What does not exist
// and what belongs to somebody else look the same (R-TEN-02).
var (
	ErrDenied   = fault.New(fault.Denied, "directory.denied")
	ErrNotFound = fault.New(fault.NotFound, "directory.not_found")
)

// Actor is who asks for a change. Functions that need authority from a person
// ask it in their first line.
type Actor struct {
	OrgID  OrgID
	UserID UserID
	Name   string
	Role   Role
}

// Operator is whoever runs the installation, at its command line. It makes
// organizations and their owners, and is in none.
func Operator() Actor { return Actor{UserID: audit.Operator, Name: audit.Operator, Role: Owner} }

// Anonymous is whoever proved nothing: it may ask for letters to an address.
func Anonymous() Actor { return Actor{UserID: audit.Anonymous, Name: audit.Anonymous} }

// AsActor is u when it acts.
func (u User) AsActor() Actor { return Actor{u.OrgID, u.ID, u.Name, u.Role} }

// in tells whether a acts in an organization at all.
func (a Actor) in(org OrgID) bool { return a.OrgID == org || a.UserID == audit.Operator }

// may asks for authority over somebody of the given role in an organization.
func (a Actor) may(org OrgID, over Role) error {
	switch {
	case !a.in(org):
		return ErrNotFound
	case !a.Role.Governs(over):
		return ErrDenied
	}
	return nil
}

// MayReadPeople is nil for whoever may see who is in an organization.
func (a Actor) MayReadPeople(org OrgID) error {
	switch {
	case !a.in(org):
		return ErrNotFound
	case !a.Role.ReadsConsole():
		return ErrDenied
	}
	return nil
}

// MaySetRules is nil for whoever may change the rules of an organization.
func (a Actor) MaySetRules(org OrgID) error { return a.may(org, Administrator) }

// event starts the audit event of what a does in an organization.
func (a Actor) event(org OrgID, action audit.Action) audit.Event {
	return audit.Event{OrgID: string(org), Actor: string(a.UserID), ActorName: a.Name, Action: action}
}
