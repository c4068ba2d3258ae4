package session

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
)

// OpenOf counts the sessions that a user has open, in all browsers.
func (d *Door) OpenOf(ctx context.Context, r db.Reader, user directory.User, now time.Time) (int, error) {
	if user.Closed() != nil {
		return 0, nil
	}
	set, err := RulesOf(ctx, r, user.OrgID)
	if err != nil {
		return 0, err
	}
	rules := d.effective(set)
	var n int
	_, err = r.One(ctx, db.Into(&n), `
		select count(*) from sessions
		where org_id = $1 and user_id = $2 and generation = $3 and ended_at is null and started_at > $4 and seen_at > $5`,
		string(user.OrgID), string(user.ID), user.Generation, db.Time(now.Add(-rules.Absolute)), db.Time(now.Add(-rules.Idle)))
	if err != nil {
		return 0, fmt.Errorf("counting the sessions of %s: %w", user.ID, err)
	}
	return n, nil
}
