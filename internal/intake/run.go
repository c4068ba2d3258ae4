package intake

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/intake/dump"
	"parvis/internal/secret"
)

// run is one import on its way.
type run struct {
	*Service
	Options
	format   dump.Format
	dry      bool   // a rehearsal
	id       string // of the import; empty for a rehearsal of one that never began
	owners   map[string]bool
	places   map[string]*place // by the key of a name
	tell     func(Fate) error
	gathered []dump.Person
	weight   int  // of gathered, in bytes, about
	atOnce   int  // how many people the next transaction makes
	late     bool // the last one took longer than shortly
	people   int
	made     bool            // an organization
	counted  bool            // the snapshot of costs knows of this import's passwords
	seen     map[uint64]int  // in a rehearsal: the line of each address
	seed     maphash.Seed    // of seen
	holder   string          // of the lease
	until    time.Time       // of the lease
	gained   map[*place]gain // since the import began
}

// gain is how many people an organization got.
type gain struct{ people, invited int }

// lasts is how long an import that was killed keeps the next one waiting.
const lasts = 30 * time.Second

// Rehearse tells what would become of each line, and changes nothing.
func (s *Service) Rehearse(ctx context.Context, src *Source, o Options, tell func(Fate) error) error {
	r := s.newRun(src, o, tell)
	r.dry, r.seen, r.seed = true, map[uint64]int{}, maphash.MakeSeed()
	if _, err := s.DB.One(ctx, db.Into(&r.id), `select id from imports where digest = $1 and undone_at is null`, src.digest); err != nil {
		return err
	}
	if err := r.settle(ctx, src); err != nil {
		return err
	}
	return r.read(ctx, src)
}

// Run moves the people of a file in, and tells what became of each line. A run that was interrupted
// is gone on with by the same file.
func (s *Service) Run(ctx context.Context, src *Source, o Options, tell func(Fate) error) (id string, err error) {
	r := s.newRun(src, o, tell)
	r.holder = secret.NewID("imp")
	if err := r.hold(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.DB.EndLease(context.WithoutCancel(ctx), leaseName, r.holder)) }()
	if err := s.DB.Bulk(ctx); err != nil {
		return "", err
	}
	var fresh bool
	if err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		r.id, fresh, err = begin(ctx, tx, src)
		return err
	}); err != nil {
		return "", err
	}
	if err = r.settle(ctx, src); err == nil {
		err = r.read(ctx, src)
	}
	if err != nil {
		return r.id, errors.Join(err, r.stop(context.WithoutCancel(ctx), fresh))
	}
	return r.id, r.note(ctx, true)
}

// stop ends an import that failed on its way. One that did nothing leaves nothing.
func (r *run) stop(ctx context.Context, fresh bool) error {
	if !fresh || len(r.gained) > 0 || r.made {
		return r.note(ctx, false)
	}
	return r.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from imports where id = $1`, r.id)
		return err
	})
}

const leaseName = "import"

// hold keeps other imports away.
func (r *run) hold(ctx context.Context) error {
	if r.DB.Now().Before(r.until) {
		return nil
	}
	free, err := r.DB.Lease(ctx, leaseName, r.holder, lasts)
	if err == nil && !free {
		err = ErrRuns
	}
	r.until = r.DB.Now().Add(lasts / 3)
	return err
}

func (s *Service) newRun(src *Source, o Options, tell func(Fate) error) *run {
	r := &run{
		Service: s, Options: o, format: src.Format, owners: map[string]bool{}, places: map[string]*place{}, tell: tell, gained: map[*place]gain{},
		atOnce: AtOnce,
	}
	for _, address := range o.Owners {
		r.owners[addressKey(address)] = true
	}
	return r
}

// read reads the file and makes its people, some in each transaction.
func (r *run) read(ctx context.Context, src *Source) error {
	err := src.Read(func(p dump.Person) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.people++; r.people > MostPeople {
			return ErrMany.With("Most", MostPeople)
		}
		r.gathered, r.weight = append(r.gathered, p), r.weight+p.Size()
		if len(r.gathered) < gathers && r.weight < gathersBytes {
			return nil
		}
		return r.flush(ctx)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What could be read before the file broke is moved in all the same.
	return errors.Join(r.flush(ctx), err)
}

// flush moves in who was gathered, some in each transaction.
func (r *run) flush(ctx context.Context) error {
	all, err := r.arrivals(ctx)
	r.gathered, r.weight = r.gathered[:0], 0
	if err != nil {
		return err
	}
	if !r.dry {
		beNeighbours(all)
	}
	for len(all) > 0 {
		part := all[:min(r.atOnce, len(all))]
		all = all[len(part):]
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.part(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// part judges some arrivals, makes those who may come in, and tells what became of them.
func (r *run) part(ctx context.Context, part []arrival) (err error) {
	var judged []entry
	if r.dry {
		err = r.DB.View(ctx, func(tx *db.Tx) (err error) {
			judged, err = r.judge(ctx, tx, part)
			return err
		})
	} else if err = r.hold(ctx); err == nil {
		judged, err = r.move(ctx, part)
	}
	if err != nil {
		return err
	}
	if err := r.count(ctx, judged); err != nil {
		return err
	}
	slices.SortStableFunc(judged, func(a, b entry) int { return cmp.Compare(a.Line, b.Line) })
	for _, e := range judged {
		if err := r.tell(e.fate); err != nil {
			return err
		}
	}
	return nil
}

// move judges arrivals and makes their people in one transaction, and then lets others have their turn.
func (r *run) move(ctx context.Context, part []arrival) (judged []entry, err error) {
	var began time.Time
	err = r.DB.Update(ctx, func(tx *db.Tx) (err error) {
		began = tx.Now() // it has its turn
		if judged, err = r.judge(ctx, tx, part); err != nil {
			return err
		}
		return r.store(ctx, tx, judged)
	})
	r.pace(r.DB.Now().Sub(began))
	if err == nil && r.DB.Path() != "" {
		select {
		case <-ctx.Done(): // the next batch says so
		case <-time.After(rests):
		}
	}
	return judged, err
}

// pace decides by how long a transaction took how many people the next one makes. A single long one
// changes nothing: every few transactions SQLite brings its log into the file after the commit, when
// others have the writer already.
func (r *run) pace(took time.Duration) {
	late := took > shortly
	switch {
	case late && r.late:
		r.atOnce = max(AtOnce, r.atOnce/2)
	case took < shortly*4/5:
		r.atOnce = min(mostAtOnce, r.atOnce*5/4)
	}
	r.late = late
}

// count keeps how many people came, and has the first passwords counted at once: until the snapshot
// of costs knows of them, nobody's hash costs what theirs do (decision 0039).
func (r *run) count(ctx context.Context, judged []entry) error {
	admitted := false
	for _, e := range judged {
		if e.place == nil || e.fate.Outcome == Refused || e.fate.Outcome == Before {
			continue
		}
		g := r.gained[e.place]
		g.people++
		if e.fate.Outcome == Invited || e.fate.Outcome == Written {
			g.invited++
		}
		r.gained[e.place], admitted = g, admitted || e.user.HasPassword
	}
	if !admitted || r.counted || r.dry {
		return nil
	}
	r.counted = true
	return credential.TakeCosts(ctx, r.DB)
}

// note records what an import did, in the log of each organization that got people.
func (r *run) note(ctx context.Context, finished bool) error {
	if r.counted {
		if err := credential.TakeCosts(ctx, r.DB); err != nil {
			return err
		}
	}
	return r.DB.Update(ctx, func(tx *db.Tx) error {
		for p, g := range r.gained {
			e := directory.Operator().Event(p.ID, "people.imported")
			e.Target, e.TargetName = string(p.ID), p.DisplayName
			e.After = audit.Fields{"import": r.id, "format": string(r.format), "people": g.people, "invited": g.invited}
			if err := audit.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		if !finished {
			return nil
		}
		_, err := tx.Exec(ctx, `update imports set finished_at = $1 where id = $2`, db.Time(tx.Now()), r.id)
		return err
	})
}
