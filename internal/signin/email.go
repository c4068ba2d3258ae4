package signin

import (
	"context"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/limit"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// ChangeEmail asks for proof of a user's new address, on behalf of the user or of somebody who
// may administer their role. The requests are counted for the user whose address it is, because
// each writes two letters, one of them to any address in the world.
func (s *Service) ChangeEmail(ctx context.Context, actor directory.Actor, who directory.Candidate, email string) error {
	if err := actor.MayChangeEmail(ctx, s.DB, who.User); err != nil {
		return err
	}
	if _, err := directory.ParseAddress(email); err != nil {
		return err
	}
	if _, err := s.take(ctx, s.Limits.Key(PerUserEmail, limit.Of(who.User.OrgID), limit.Of(who.User.ID))); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error { return s.Emails.Request(ctx, tx, actor, who, email) })
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
	return who, err
}
