package signin

import (
	"context"
	"errors"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// CountEmailChange comes before EmailChanges.Request: it counts how often a new address is
// asked for, for the user whose address it is. Each time writes two letters, one of them
// to any address in the world.
func (s *Service) CountEmailChange(ctx context.Context, actor directory.Actor, user directory.User, email string) error {
	if err := actor.MayChangeEmail(ctx, s.DB, user); err != nil {
		return err
	}
	if _, err := naming.ParseAddress(email); err != nil {
		return err
	}
	_, err := s.take(ctx, s.Limits.Key(PerUserEmail, limit.Of(user.OrgID), limit.Of(user.ID)).In(string(user.OrgID)))
	return err
}

// ProveEmail makes a new address the user's, for anybody who holds the link that was sent
// there. It signs nobody in.
func (s *Service) ProveEmail(ctx context.Context, b session.Browser, token secret.Token) (directory.Candidate, error) {
	if err := s.TakeLink(ctx); err != nil {
		return directory.Candidate{}, err
	}
	var who directory.Candidate
	err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		who, err = s.Emails.Prove(ctx, tx, token, b.Shown())
		return err
	})
	if errors.Is(err, directory.ErrEmailChangeDead) {
		dead, found, look := directory.DeadEmailChange(ctx, s.DB, token)
		err = errors.Join(err, s.recordDead(ctx, dead, found, look))
	}
	return who, err
}
