package provisioning

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
)

// The measure: what a source takes away within an hour that is more than mostTaken and more than
// this share of its people looks like a mistake. Who is let go is shut out all the same, at once.
const (
	within    = time.Hour
	mostTaken = 10
	onePart   = 5 // a fifth
)

// held marks the call under way as one that waits for an administrator.
func (s Source) held() {
	if s.record != nil {
		s.record.held = true
	}
}

func beyond(taken, people int) bool { return taken > mostTaken && taken*onePart > people }

// people counts whom the source keeps, or kept within the hour.
func (s Source) people(ctx context.Context, tx *db.Tx) (n int, err error) {
	_, err = tx.One(ctx, db.Into(&n), `
		select count(*) from users
		where org_id = $1 and source_id = $2 and (deleted_at is null or deleted_at > $3)`,
		string(s.OrgID), s.ID, db.Time(tx.Now().Add(-within)))
	return n, err
}

// takenSince chooses whom a source shut out or deleted after a time and who did not come back. Who was
// never in, because the source made them so, is none before their deletion.
const takenSince = `(u.shut_out_by = $2 and u.deactivated_at > $3 and u.deactivated_at <> u.created_at or u.deleted_by = $2 and u.deleted_at > $3)`

// taken counts whom the source shut out or deleted within the hour and who did not come back. Who was
// out long before their deletion counts too: it takes away what shutting out had kept.
func (s Source) taken(ctx context.Context, tx *db.Tx) (n int, err error) {
	_, err = tx.One(ctx, db.Into(&n), `
		select count(*) from users u where u.org_id = $1 and `+takenSince, string(s.OrgID), s.ID, db.Time(tx.Now().Add(-within)))
	return n, err
}

// more returns how many more taken counts once the source deletes a person: none if it counts them
// already.
func (s Source) more(tx *db.Tx, u directory.User) int {
	if s.shutOutSince(u, tx.Now().Add(-within)) {
		return 0
	}
	return 1
}

// shutOutSince reports whether the source shut a person out after a time who was in before, as takenSince has it.
func (s Source) shutOutSince(u directory.User, since time.Time) bool {
	return u.ShutOutBy == s.ID && u.DeactivatedAt.After(since) && !u.DeactivatedAt.Equal(u.CreatedAt)
}

// beyondMeasure reports whether the source would have taken away too many with so many more. A batch
// of which an administrator was told already stays one until it is settled.
func (s Source) beyondMeasure(ctx context.Context, tx *db.Tx, more int) (bool, error) {
	if !s.Brake {
		return false, nil
	}
	var id string
	if told, err := tx.One(ctx, db.Into(&id), `
		select id from source_waiting
		where org_id = $1 and source_id = $2 and kind = $3 and settled_at is null`, string(s.OrgID), s.ID, string(WholeBatch)); err != nil || told {
		return told, err
	}
	taken, err := s.taken(ctx, tx)
	if err != nil || taken+more <= mostTaken {
		return false, err
	}
	people, err := s.people(ctx, tx)
	return beyond(taken+more, people), err
}

// brake tells the administrators once that a source took away too many. The source went on, and one
// button brings all of them back.
func (s *Service) brake(ctx context.Context, tx *db.Tx, source Source) error {
	over, err := source.beyondMeasure(ctx, tx, 0)
	if err != nil || !over {
		return err
	}
	source.waitFor(WholeBatch, source.ID, source.Name, Details{Since: tx.Now().Add(-within)})
	return nil
}

// takes counts memberships that a source is about to take away, and reports whether they are
// beyond the measure: then they are held.
func (s Source) takes(ctx context.Context, tx *db.Tx, memberships int) (bool, error) {
	if !s.Brake || memberships == 0 {
		return false, nil
	}
	lost, since := s.lost+memberships, s.lostSince
	if since.IsZero() || tx.Now().Sub(since) >= within {
		lost, since = memberships, tx.Now()
	}
	if lost > mostTaken {
		people, err := s.people(ctx, tx)
		if err != nil || beyond(lost, people) {
			return err == nil, err
		}
	}
	if _, err := tx.Exec(ctx, `update sources set lost = $1, lost_since = $2 where org_id = $3 and id = $4`,
		lost, db.Time(since), string(s.OrgID), s.ID); err != nil {
		return false, fmt.Errorf("counting what %s takes away: %w", s.ID, err)
	}
	return false, nil
}

// alarm writes the letter about a batch.
func (s *Service) alarm(ctx context.Context, tx *db.Tx, source Source) error {
	taken, err := source.taken(ctx, tx)
	if err != nil {
		return err
	}
	return s.tell(ctx, tx, source, mail.SourceParameters{What: mail.SourceShutOutMany, Count: taken}, false)
}

// tell writes to the administrators of an organization about a source, or to its owners only.
func (s *Service) tell(ctx context.Context, tx *db.Tx, source Source, p mail.SourceParameters, owners bool) error {
	org, err := directory.OrganizationByID(ctx, tx, source.OrgID)
	if err != nil {
		return err
	}
	all, err := directory.Administrators(ctx, tx, source.OrgID)
	if err != nil {
		return err
	}
	if p.When.IsZero() {
		p.When = tx.Now()
	}
	p.Organization, p.Source = org.DisplayName, source.Name
	p.Link = s.Base + org.Path("admin", "provisioning", source.ID)
	for _, a := range all {
		if owners && a.Role != directory.Owner {
			continue
		}
		p.Name = a.Name
		if _, err := s.Outbox.Put(ctx, tx, a.Letter(p)); err != nil {
			return err
		}
	}
	return nil
}
