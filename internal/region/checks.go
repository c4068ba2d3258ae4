package region

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/safely"
)

// The faults of names that are to be new.
var (
	ErrShortNameElsewhere = fault.Field("short_name", "region.short_name_taken") // Args: Region
	ErrNameElsewhere      = fault.Field("organization", "region.name_taken")     // Args: Region
	ErrUnasked            = fault.Field("short_name", "region.unasked")          // Args: Regions
)

// askWithin is how long somebody who names an organization waits for the other regions.
const askWithin = 5 * time.Second

// Free asks every peer, except those that may be left out, whether an organization there has these
// names, or names that look like them. A text that is no name is refused later, where it is stored. What a
// region that was left out would have said is found out later, by Sweep.
func (s *Service) Free(ctx context.Context, display, short string, except ...string) error {
	names, err := directory.NamesOf(display, short)
	if err != nil || !s.Asks() {
		return nil // the names are refused where they are stored, which says why
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	wrong := make([]error, 2*len(s.peers))
	var all sync.WaitGroup
	for i, p := range s.peers {
		if slices.Contains(except, p.ID) {
			continue
		}
		all.Go(func() {
			wrong[2*i] = safely.Do(func() error {
				return s.free(ctx, p, ErrNameElsewhere, p.hash(aName, names.Keys[1]), p.hash(aDisplay, names.DisplaySkeleton))
			})
		})
		all.Go(func() {
			wrong[2*i+1] = safely.Do(func() error {
				return s.free(ctx, p, ErrShortNameElsewhere, p.hash(aName, names.Keys[0]), p.hash(aShort, names.ShortSkeleton))
			})
		})
	}
	all.Wait()
	var unasked []string
	for i, err := range wrong {
		if _, taken := errors.AsType[*fault.Error](err); err != nil && !taken {
			unasked, wrong[i] = append(unasked, s.peers[i/2].ID), nil
		}
	}
	if err := errors.Join(wrong...); err != nil || len(unasked) == 0 {
		return err
	}
	return ErrUnasked.With("Regions", strings.Join(slices.Compact(unasked), ", "))
}

func (s *Service) free(ctx context.Context, p *peer, taken *fault.Error, hashes ...hashed) error {
	l, err := s.ask(ctx, p, false, hashes...)
	if err == nil && l != unknown {
		return taken.With("Region", p.ID)
	}
	return err
}

// Check is what another region is known to say of an organization.
type Check struct {
	Org       directory.OrgID
	ShortName string
	Name      string
	Peer      string
	ClashAt   time.Time // since when both regions have one of its names; zero where it could not be asked yet
}

// Checks lists, for the operator, organizations one of whose names another region has too, and those
// about which a region was asked in vain.
func Checks(ctx context.Context, r db.Reader) ([]Check, error) {
	return db.List(ctx, r, func(c *Check) []any {
		return db.Into(&c.Org, &c.ShortName, &c.Name, &c.Peer, (*db.Time)(&c.ClashAt))
	}, `
		select c.org_id, o.short_name, o.display_name, c.peer, c.clash_at
		from region_checks c join organizations o on o.id = c.org_id
		where c.check_at is not null
		order by o.short_name_key, c.peer`)
}

// How Sweep asks.
const (
	mostChecked  = 200       // organizations for each peer at a time
	againClash   = time.Hour // after which a clash is looked at again
	againSilence = time.Minute
)

// Sweep asks every peer about the organizations whose names it was not asked about: those that are
// new, were created while it did not answer, have other names since, or were there before the peer
// was. It says that the name is claimed, so that the peer notes it too if both have it.
func (s *Service) Sweep(ctx context.Context, d *db.DB) error {
	wrong := s.forget(ctx, d)
	for _, p := range s.peers {
		due, err := db.List(ctx, d, func(o *directory.Organization) []any { return db.Into(&o.ID, &o.ShortName, &o.DisplayName) }, `
			select o.id, o.short_name, o.display_name
			from organizations o left join region_checks c on c.org_id = o.id and c.peer = $1
			where o.deleted_at is null and (c.org_id is null or c.check_at <= $2 or c.short_name <> o.short_name or c.display_name <> o.display_name)
			order by o.created_at, o.id limit $3`, p.ID, db.Time(d.Now()), mostChecked)
		for i := 0; err == nil && i < len(due); i++ {
			var answered bool
			if answered, err = s.claim(ctx, d, p, due[i]); !answered {
				break // the others of this peer wait too
			}
		}
		wrong = errors.Join(wrong, err)
	}
	return wrong
}

// forget drops what is open with a region that is no peer any more: nobody can settle it.
func (s *Service) forget(ctx context.Context, d *db.DB) error {
	open, err := db.List(ctx, d, func(id *string) []any { return db.Into(id) }, `
		select distinct c.peer from region_checks c where c.check_at is not null`)
	if err != nil {
		return err
	}
	for _, id := range open {
		if s.peer(id) == nil {
			if _, err := d.InParts(ctx, `
				delete from region_checks where (org_id, peer) in (
					select org_id, peer from region_checks where peer = $1 and check_at is not null limit $2)`, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim asks a peer about one organization and notes what it said, or that it said nothing.
func (s *Service) claim(ctx context.Context, d *db.DB, p *peer, o directory.Organization) (answered bool, err error) {
	var hashes []hashed
	for _, key := range o.Keys() {
		hashes = append(hashes, p.hash(aName, key))
	}
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	l, silence := s.ask(asking, p, true, hashes...)
	err = d.Update(ctx, func(tx *db.Tx) error {
		switch now := tx.Now(); {
		case silence != nil:
			return note(ctx, tx, p, o, now.Add(againSilence), time.Time{})
		case l != unknown:
			return note(ctx, tx, p, o, now.Add(againClash), now)
		}
		return note(ctx, tx, p, o, time.Time{}, time.Time{})
	})
	if silence == nil && l != unknown {
		s.Log.WarnContext(ctx, "another region has an organization of this name", "organization", o.ShortName, "region", p.ID, "do", "parvis region checks")
	}
	return silence == nil, err
}

// claimed notes that a peer has a name of an organization of this region too.
func (s *Service) claimed(ctx context.Context, p *peer, id directory.OrgID) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		o, err := directory.OrganizationByID(ctx, tx, id)
		if err != nil {
			return err
		}
		return note(ctx, tx, p, o, tx.Now().Add(againClash), tx.Now())
	})
}

// note writes what is known of an organization's names in another region. Since when there is a clash
// stays as it is while there is one, also while the peer does not answer.
func note(ctx context.Context, tx *db.Tx, p *peer, o directory.Organization, again, clash time.Time) error {
	silent := !again.IsZero() && clash.IsZero()
	_, err := tx.Exec(ctx, `
		insert into region_checks (org_id, peer, short_name, display_name, asked_at, check_at, clash_at)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (org_id, peer) do update set short_name = excluded.short_name, display_name = excluded.display_name,
			asked_at = excluded.asked_at, check_at = excluded.check_at,
			clash_at = case when excluded.clash_at is null and not $8 then null else coalesce(region_checks.clash_at, excluded.clash_at) end`,
		string(o.ID), p.ID, o.ShortName, o.DisplayName, db.Time(tx.Now()), db.Time(again), db.Time(clash), silent)
	return err
}
