package provisioning

import (
	"context"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
)

const (
	// keptFor is how long calls, and what was settled, are kept.
	keptFor = 30 * 24 * time.Hour
	day     = 24 * time.Hour
)

// warnings are the days before the end of a token of which administrators are told.
var warnings = []int{30, 7, 1}

// Sweep tells administrators of tokens that end, and removes what ended a while ago.
func (s *Service) Sweep(ctx context.Context, d *db.DB) error {
	since := db.Time(d.Now().Add(-keptFor))
	for _, statement := range []string{
		`delete from source_calls
		where (org_id, id) in (select org_id, id from source_calls where at < $1 limit $2)`,
		`delete from source_waiting
		where (org_id, id) in (select org_id, id from source_waiting where settled_at < $1 limit $2)`,
	} {
		if _, err := d.InParts(ctx, statement, since); err != nil {
			return err
		}
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `delete from source_tokens where ends_at < $1`, since); err != nil {
			return err
		}
		return s.warn(ctx, tx)
	})
}

// ending is a token that ends soon, and that no other follows.
type ending struct {
	org    directory.OrgID
	id     string
	source string
	ends   time.Time
	warned int
}

func (s *Service) warn(ctx context.Context, tx *db.Tx) error {
	soon, err := db.List(ctx, tx, func(e *ending) []any { return db.Into(&e.org, &e.id, &e.source, (*db.Time)(&e.ends), &e.warned) }, `
		select t.org_id, t.id, t.source_id, t.ends_at, t.warned
		from source_tokens t
		join organizations o on o.id = t.org_id and o.suspended_at is null
		where t.ends_at > $1 and t.ends_at <= $2 and t.warned <> 1
			and not exists (select 1 from source_tokens n where n.org_id = t.org_id and n.source_id = t.source_id and n.ends_at > t.ends_at)`,
		db.Time(tx.Now()), db.Time(tx.Now().Add(time.Duration(warnings[0])*day)))
	if err != nil {
		return err
	}
	for _, e := range soon {
		days := warnings[0]
		for _, w := range warnings {
			if e.ends.Sub(tx.Now()) <= time.Duration(w)*day {
				days = w
			}
		}
		if e.warned != 0 && days >= e.warned {
			continue
		}
		if _, err := tx.Exec(ctx, `update source_tokens set warned = $1 where org_id = $2 and id = $3`, days, string(e.org), e.id); err != nil {
			return err
		}
		source, err := sourceByID(ctx, tx, e.org, e.source)
		if err != nil {
			return err
		}
		if err := s.tell(ctx, tx, source, mail.SourceParameters{What: mail.SourceTokenEnds, When: e.ends}, false); err != nil {
			return err
		}
	}
	return nil
}
