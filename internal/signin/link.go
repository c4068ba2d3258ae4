package signin

import (
	"context"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// keepProof gives the browser in which somebody proved who a provider's new subject is a new
// token, as every proof does. The attempt that just ended is the proof.
func (s *Service) keepProof(ctx context.Context, tx *db.Tx, b session.Browser, a Attempt) (secret.Token, error) {
	_, cookie, known, err := s.Sessions.Renew(ctx, tx, b, session.Deed{Done: a.done(), Gained: a.ID})
	if err == nil && !known {
		err = ErrAttemptGone // a superseded token: the answer waits in another browser
	}
	return cookie, err
}

// ProvedToLink returns the users of an organization that this browser proved to be since a
// given time, for the answer to one request at a provider. What a later generation of a user
// voided is left out, and a superseded token proves nothing.
func (s *Service) ProvedToLink(ctx context.Context, b session.Browser, org directory.OrgID, request string, since time.Time) ([]directory.UserID, error) {
	return db.List(ctx, s.DB, db.Value[directory.UserID], `
		select a.user_id
		from attempts a
		join browsers b on b.id = a.browser_id and b.token_hash = $1
		join users u on u.org_id = a.org_id and u.id = a.user_id and u.generation = a.generation and u.deactivated_at is null
		where a.org_id = $2 and a.browser_id = $3 and a.link_request = $4 and a.ended_at > $5`,
		b.Shown(), string(org), b.ID, request, db.Time(since))
}
