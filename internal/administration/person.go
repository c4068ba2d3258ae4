package administration

import (
	"context"
	"errors"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Person is what the administration knows about one user, and what the actor may do to them.
type Person struct {
	User     directory.User
	Groups   []directory.Group
	Sessions int // how many are open
	Password credential.Stored
	Factors  credential.Factors
	Required bool                      // this user must have a second step
	Refused  *credential.RefusedLetter // a refused letter with a link for a new password, if there is one

	Deeds              []Deed // what the actor may do to the user
	Roles              []Deed // deeds that give the user a role
	MayResetSecondStep bool
	MayChangeEmail     bool
	Yourself           bool // the user is the actor
	Above              bool // the user has rights that the actor, who looks after people, lacks
}

// Person reads a user of an organization, or returns ErrNotFound.
func (s *Service) Person(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id directory.UserID) (Person, error) {
	actor, err := actor.In(ctx, r, org)
	if err == nil && !actor.Role.ReadsConsole() {
		err = directory.ErrDenied
	}
	if err != nil {
		return Person{}, err
	}
	var p Person
	if p.User, err = directory.UserByID(ctx, r, org, id); err != nil {
		return Person{}, err
	}
	if p.Groups, err = directory.GroupsOf(ctx, r, org, id); err != nil {
		return Person{}, err
	}
	open, err := s.SignIn.Sessions.OpenOf(ctx, r, p.User, r.Now())
	if err != nil {
		return Person{}, err
	}
	p.Sessions = len(open)
	owner := credential.Owner{OrgID: org, UserID: id}
	if p.Password, err = credential.StoredPassword(ctx, r, owner); err != nil {
		return Person{}, err
	}
	if p.Refused, err = credential.RefusedReset(ctx, r, owner); err != nil {
		return Person{}, err
	}
	if p.Factors, err = s.SignIn.Authenticators.FactorsOf(ctx, r, owner); err != nil {
		return Person{}, err
	}
	rules, err := signin.SecondStepRulesOf(ctx, r, org)
	if err != nil {
		return Person{}, err
	}
	o, err := directory.OrganizationByID(ctx, r, org)
	if err != nil {
		return Person{}, err
	}
	p.Required = rules.RequiredOf(p.User.Role, r.Now()) && !o.FederatedOnly()
	if active(p.User) {
		err := actor.MayChangeEmail(ctx, r, p.User)
		if err != nil && !errors.Is(err, directory.ErrDenied) && !errors.Is(err, directory.ErrProvisioned) {
			return Person{}, err
		}
		p.MayChangeEmail = err == nil
	}
	if p.Yourself = id == actor.UserID; p.Yourself {
		return p, nil
	}
	p.Deeds, p.Roles = DeedsFor(actor.Role, &p.User)
	governs := actor.Role.Governs(p.User.Role)
	p.Above = actor.Role.LooksAfterPeople() && !governs
	p.MayResetSecondStep = governs && active(p.User) && p.Factors.Any()
	return p, nil
}

// Sessions lists where a user is signed in, the session used last first.
func (s *Service) Sessions(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id directory.UserID) ([]session.Session, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	u, err := directory.UserByID(ctx, r, org, id)
	if err != nil {
		return nil, err
	}
	return s.SignIn.Sessions.OpenOf(ctx, r, u, r.Now())
}

// EndSession ends one of a user's sessions, or returns session.ErrOver if it is not open.
func (s *Service) EndSession(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID, session string) error {
	u, err := directory.Governed(ctx, tx, actor, org, id)
	if err == nil {
		err = s.SignIn.Sessions.EndOf(ctx, tx, actor, u, session)
	}
	return err
}
