package administration

import (
	"context"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// ReviewPasswordRules returns whom new rules would affect, or says why they cannot be set.
func ReviewPasswordRules(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, then credential.Rules) (credential.Reach, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return credential.Reach{}, err
	}
	second, err := signin.SecondStepRulesOf(ctx, r, org)
	if err == nil {
		err = then.Check(second.OfEveryone(r.Now()))
	}
	if err != nil {
		return credential.Reach{}, err
	}
	return credential.ReachOf(ctx, r, org, then, r.Now())
}

// SecondStepReview says whom new rules for the second step would affect in addition to those
// already affected.
type SecondStepReview struct {
	Everyone   bool      // they require it of everybody, or do so sooner,
	From       time.Time // from this time on; zero for at once
	Privileged bool      // they require it of owners and administrators, at once
	Without    signin.Meets
	Own        bool // the actor has no second step either
}

// Meets reports whether anybody is affected.
func (r SecondStepReview) Meets() bool { return r.Everyone || r.Privileged }

// ReviewSecondStepRules returns whom new rules would affect in addition to those affected by the
// rules in force.
func (s *Service) ReviewSecondStepRules(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, then signin.SecondStepRules) (SecondStepReview, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return SecondStepReview{}, err
	}
	now, err := signin.SecondStepRulesOf(ctx, r, org)
	if err != nil {
		return SecondStepReview{}, err
	}
	without, err := signin.WithoutSecondStep(ctx, r, org)
	if err != nil {
		return SecondStepReview{}, err
	}
	review := SecondStepReview{Without: without}
	review.Everyone = without.People > 0 && !then.RequiredFrom.IsZero() && (now.RequiredFrom.IsZero() || then.RequiredFrom.Before(now.RequiredFrom))
	if !then.OfEveryone(r.Now()) {
		review.From = then.RequiredFrom
		review.Privileged = without.Privileged > 0 && then.Privileged && !now.Privileged
	}
	if !review.Meets() || actor.UserID == "" {
		return review, nil
	}
	o, err := directory.OrganizationByID(ctx, r, org)
	if err != nil {
		return SecondStepReview{}, err
	}
	owner := credential.Owner{OrgID: org, UserID: actor.UserID}
	own, err := s.SignIn.Authenticators.FactorsOf(ctx, r, owner)
	if err != nil {
		return SecondStepReview{}, err
	}
	password, err := credential.StoredPassword(ctx, r, owner)
	review.Own = !own.Any() && password.Exists() && !o.FederatedOnly()
	return review, err
}

// ReviewSessionRules returns which sessions would end as soon as new rules are in force. asking is
// the id of the session that asks, if there is one.
func (s *Service) ReviewSessionRules(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, then session.Rules, asking string) (session.Ends, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return session.Ends{}, err
	}
	if err := then.Check(); err != nil {
		return session.Ends{}, err
	}
	return s.SignIn.Sessions.WouldEnd(ctx, r, org, then, asking)
}
