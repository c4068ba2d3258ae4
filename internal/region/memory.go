package region

import (
	"context"
	"errors"
	"sync"
	"time"

	"parvis/internal/directory"
	"parvis/internal/safely"
)

// Bounds of what is known here.
const (
	mostKnown   = 1_000_000        // hashes for each peer, about five for each organization
	readWithin  = 10 * time.Second // how long reading may take
	quick       = 20 * time.Millisecond
	readAtMost  = 50 // of so many parts of the time one goes into reading
	freshAtBest = time.Second
)

var errTooMany = errors.New("more names than a region answers for")

// memory holds what is known here. It is read again when a question comes and it is old, so nobody who
// writes a name, on any node, needs to know of it.
type memory struct {
	mutex   sync.Mutex
	now     *knowledge
	reading bool // beside the questions
}

// knowledge is what the database knew at one time, hashed for each peer.
type knowledge struct {
	known  map[*peer]map[hashed]entry
	orgs   []directory.OrgID
	readAt time.Time // by the database's clock
	took   time.Duration
}

type entry struct {
	org   int32 // its place in orgs
	level level
}

// old reports whether it is to be read again: after a second, or later where reading takes so long
// that it would be a load by itself.
func (k *knowledge) old(now time.Time) bool {
	return now.Before(k.readAt) || now.Sub(k.readAt) >= max(freshAtBest, readAtMost*k.took)
}

// find returns how the organizations of this region are known by any of the hashes that a peer sent,
// and the first of them.
func (s *Service) find(ctx context.Context, p *peer, hashes []hashed) (level, directory.OrgID, error) {
	k, err := s.remember(ctx)
	if err != nil {
		return unknown, "", err
	}
	best, org := unknown, directory.OrgID("")
	for _, h := range hashes {
		if e := k.known[p][h]; e.level > best {
			best, org = e.level, k.orgs[e.org]
		}
	}
	return best, org, nil
}

// remember returns what is known here. What takes long to read is read beside the question, which is
// answered from what was known before.
func (s *Service) remember(ctx context.Context) (*knowledge, error) {
	// A peer that does not wait for the answer must not keep the next one from having it.
	ctx = context.WithoutCancel(ctx)
	m := &s.memory
	m.mutex.Lock()
	defer m.mutex.Unlock()
	switch {
	case m.now != nil && (m.reading || !m.now.old(s.DB.Now())):
	case m.now != nil && m.now.took > quick:
		m.reading = true
		go func() {
			var k *knowledge
			err := safely.Do(func() (err error) { k, err = s.read(ctx); return err })
			m.mutex.Lock()
			defer m.mutex.Unlock()
			if m.reading = false; err == nil {
				m.now = k
				return
			}
			s.Log.ErrorContext(ctx, "what other regions are told could not be read", "error", err.Error())
			m.now = nil // the next question reads it, or is not answered
		}()
	default:
		var err error
		if m.now, err = s.read(ctx); err != nil {
			m.now = nil
			s.Log.ErrorContext(ctx, "what other regions are told could not be read", "error", err.Error())
			return nil, err
		}
	}
	return m.now, nil
}

// read reads the names and domains of this region, and hashes them for every peer.
func (s *Service) read(ctx context.Context) (*knowledge, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	k := &knowledge{known: map[*peer]map[hashed]entry{}, readAt: s.DB.Now()}
	for _, p := range s.peers {
		k.known[p] = map[hashed]entry{}
	}
	places := map[directory.OrgID]int32{}
	add := func(id directory.OrgID, l level, what kind, texts ...string) {
		place, listed := places[id]
		if !listed {
			place = int32(len(k.orgs)) //nolint:gosec // Far fewer fit into mostKnown.
			places[id], k.orgs = place, append(k.orgs, id)
		}
		for _, text := range texts {
			for _, p := range s.peers {
				k.known[p][p.hash(what, text)] = entry{place, l}
			}
		}
	}
	err := directory.EachName(ctx, s.DB, func(id directory.OrgID, names directory.Names) {
		add(id, known, aName, names.Keys...)
		add(id, known, aShort, names.ShortSkeleton)
		if names.DisplaySkeleton != "" {
			add(id, known, aDisplay, names.DisplaySkeleton)
		}
	})
	if err == nil {
		err = s.Domains(ctx, s.DB, func(domain string, id directory.OrgID, alone bool) {
			add(id, map[bool]level{false: known, true: only}[alone], aDomain, domain)
		})
	}
	for _, p := range s.peers {
		if len(k.known[p]) > mostKnown {
			return nil, errTooMany
		}
	}
	k.took = s.DB.Now().Sub(k.readAt)
	return k, err
}
