package signin

import (
	"context"
	"errors"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/session"
)

// The limits of letters to administrators, which people ask for who can use none of their
// second steps: two, then one an hour, and later one a day. Somebody who knows a few passwords
// of a company cannot bury its administrators in letters.
var (
	PerUserHelp    = limit.Policy{Name: "help-user", Free: 2, First: time.Hour, Most: 24 * time.Hour, Forget: 24 * time.Hour}
	PerNetworkHelp = limit.Policy{Name: "help-network", Free: 20, First: time.Minute, Most: time.Hour, Forget: 24 * time.Hour}
)

// AskForHelp writes to those who may reset the second step of a user who has proved the first
// factor and can use none of their second steps (journeys 5.7). The answer does not depend on
// the limit, which appears only in the log.
func (s *Service) AskForHelp(ctx context.Context, b session.Browser, a Attempt) error {
	if Next(a, s.DB.Now()) != ProveSecond {
		return ErrAttemptGone
	}
	_, err := s.takeInTurn(ctx, []limit.Key{s.Limits.Key(PerUserHelp, limit.Of(a.OrgID), limit.Of(a.UserID)).In(string(a.OrgID))},
		[]limit.Key{s.Limits.Key(PerNetworkHelp, network(ctx))})
	if errors.Is(err, ErrTooOften) {
		s.Log.WarnContext(ctx, "help asked for too often", "organization", string(a.OrgID), "user", string(a.UserID), "network", network(ctx).String())
		return nil
	}
	if err != nil {
		return err
	}
	// What was counted is done, even if nobody waits for the answer.
	ctx = context.WithoutCancel(ctx)
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		now, err := s.Load(ctx, tx, b, a.ID, tx.Now())
		if err != nil {
			return err
		}
		if Next(now, tx.Now()) != ProveSecond {
			return ErrAttemptGone
		}
		who, err := Whose(ctx, tx, now)
		if err != nil {
			return err
		}
		return s.askForHelp(ctx, tx, who)
	})
}

// askForHelp is recorded as done by nobody in particular, because a first factor alone does not
// say who it was.
func (s *Service) askForHelp(ctx context.Context, tx *db.Tx, who directory.Candidate) error {
	helpers, err := directory.AdministratorsFor(ctx, tx, who.User)
	if err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, audit.Event{
		OrgID: string(who.User.OrgID), Actor: audit.Anonymous, Action: "second_step.help_asked",
		Target: string(who.User.ID), TargetName: who.User.Name,
	}); err != nil {
		return err
	}
	origin := audit.OriginOf(ctx)
	return s.tellEach(ctx, tx, helpers, func(a directory.User) mail.Parameters {
		return mail.HelpAskedParameters{
			Organization: who.Organization.DisplayName, Name: a.Name, Person: who.User.Name, Email: who.User.Email, When: tx.Now(),
			Network: origin.Network, Agent: origin.Agent, Link: s.Base + who.Organization.Path("admin", "people", string(who.User.ID)),
		}
	})
}
