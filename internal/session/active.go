package session

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
)

// How long it is kept on which days somebody was active, and how many people were.
const (
	KeptPeople = 31 * 24 * time.Hour
	KeptDays   = 400 * 24 * time.Hour
)

// Late is how long after its end a day is still counted: a transaction that began before
// midnight may insert into the day that is over.
const Late = 10 * time.Minute

// wasActive notes that a user did something today, where their session was last seen on an
// earlier day: one row for each user and day. Whatever writes last-seen calls it.
func wasActive(ctx context.Context, tx *db.Tx, org directory.OrgID, user directory.UserID, before time.Time) error {
	today := db.Day(tx.Now())
	if db.Day(before).Equal(today) {
		return nil
	}
	_, err := tx.Exec(ctx, `
		insert into active_people (org_id, user_id, day)
		values ($1, $2, $3)
		on conflict do nothing`, string(org), string(user), db.Time(today))
	if err != nil {
		return fmt.Errorf("noting that %s was active: %w", user, err)
	}
	return nil
}

// A Day is how many people were active on a day in UTC.
type Day struct {
	Day    time.Time
	People int
}

// ActiveSince returns the days since one on which anybody of an organization was active, as
// SweepActive last counted them.
func ActiveSince(ctx context.Context, r db.Reader, org directory.OrgID, since time.Time) ([]Day, error) {
	return db.List(ctx, r, func(d *Day) []any { return db.Into((*db.Time)(&d.Day), &d.People) }, `
		select day, people
		from active_days
		where org_id = $1 and day >= $2
		order by day`, string(org), db.Time(since))
}

// SweepActive counts the people of each day that is not over, or was not when it was last counted,
// and removes what was kept long enough. No page counts them: there may be 100,000.
func SweepActive(ctx context.Context, d *db.DB) error {
	type counted struct {
		org directory.OrgID
		Day
	}
	var days []counted
	err := d.View(ctx, func(tx *db.Tx) error {
		var last time.Time
		if _, err := tx.One(ctx, db.Into((*db.Time)(&last)), `select max(day) from active_days`); err != nil {
			return err
		}
		since := db.Day(tx.Now().Add(-Late))
		if last.Before(since) {
			since = last
		}
		var err error
		days, err = db.List(ctx, tx, func(c *counted) []any { return db.Into(&c.org, (*db.Time)(&c.Day.Day), &c.People) }, `
			select p.org_id, p.day, count(*)
			from active_people p
			where p.day >= coalesce(cast($1 as bigint), 0)
			group by p.day, p.org_id
			having count(*) <> coalesce((select a.people from active_days a where a.org_id = p.org_id and a.day = p.day), 0)`, db.Time(since))
		return err
	})
	if err != nil {
		return fmt.Errorf("counting active people: %w", err)
	}
	err = d.Update(ctx, func(tx *db.Tx) error {
		for _, c := range days {
			if _, err := tx.Exec(ctx, `
				insert into active_days (org_id, day, people)
				values ($1, $2, $3)
				on conflict (org_id, day) do update set people = excluded.people`, string(c.org), db.Time(c.Day.Day), c.People); err != nil {
				return fmt.Errorf("storing active people: %w", err)
			}
		}
		_, err := tx.Exec(ctx, `delete from active_days where day < $1`, db.Time(db.Day(tx.Now().Add(-KeptDays))))
		return err
	})
	if err != nil {
		return err
	}
	// Only whom the days above count by now is removed.
	if _, err := d.InParts(ctx, `
		delete from active_people
		where (org_id, user_id, day) in (select org_id, user_id, day from active_people where day < $1 limit $2)`,
		db.Time(db.Day(d.Now().Add(-KeptPeople)))); err != nil {
		return fmt.Errorf("removing active people: %w", err)
	}
	return nil
}
