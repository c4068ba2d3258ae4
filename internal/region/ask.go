package region

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"parvis/internal/audit"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/safely"
	"parvis/internal/secret"
)

// Found is what the other regions said.
type Found struct {
	Known  []string // the regions that know it
	Only   []string // those of them where a provider is the only way in
	Silent []string // those that did not answer in time
}

// Wait returns how long the network of a request must wait before it may cause another question.
func (s *Service) Wait(ctx context.Context) time.Duration {
	return s.asking.Take(limit.From(audit.OriginOf(ctx)).String(), s.DB.Now())
}

// Name asks every peer for an organization's name as somebody typed it. What cannot be a name is
// asked of nobody.
func (s *Service) Name(ctx context.Context, typed string) Found {
	key := nameKey(typed)
	if key == "" {
		return Found{}
	}
	return s.all(ctx, func(p *peer) []hashed { return []hashed{p.hash(aName, key)} })
}

// Domain asks every peer for the domain of an address, and for nothing else of it.
func (s *Service) Domain(ctx context.Context, address naming.Address) Found {
	return s.all(ctx, func(p *peer) []hashed { return []hashed{p.hash(aDomain, address.Domain)} })
}

// all asks every peer at once, and waits for Patience at most. A peer that did not answer lately is
// not waited for: a dead region delays nobody.
func (s *Service) all(ctx context.Context, hashes func(*peer) []hashed) Found {
	waiting, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	levels, errs := make([]level, len(s.peers)), make([]error, len(s.peers))
	var all sync.WaitGroup
	for i, p := range s.peers {
		if errs[i] = p.silent(s.DB.Now()); errs[i] != nil {
			continue
		}
		all.Go(func() {
			errs[i] = safely.Do(func() (err error) {
				levels[i], err = s.ask(waiting, p, false, hashes(p)...)
				return err
			})
			if ctx.Err() == nil {
				p.heard(s.DB.Now(), errs[i])
			}
		})
	}
	all.Wait()
	var found Found
	for i, p := range s.peers {
		switch {
		case errs[i] != nil:
			found.Silent = append(found.Silent, p.ID)
			continue
		case levels[i] == only:
			found.Only = append(found.Only, p.ID)
		}
		if levels[i] != unknown {
			found.Known = append(found.Known, p.ID)
		}
	}
	return found
}

// silent returns why a peer is not waited for now.
func (p *peer) silent(now time.Time) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if now.Before(p.silentUntil) {
		return p.silence
	}
	return nil
}

// heard notes how a question ended, and reports whether that is news.
func (p *peer) heard(now time.Time, err error) (news bool) {
	if errors.Is(err, errBusy) {
		return false
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	news = (err == nil) != (p.silence == nil)
	p.silence, p.silentUntil = err, time.Time{}
	if err != nil {
		p.silentUntil = now.Add(retry)
	}
	return news
}

// errBusy says that this process asks as much as it may: the peer may be well.
var errBusy = errors.New("too many questions are on the way")

// Trouble is a peer's answer that is none, for the operator.
type Trouble struct {
	Why    string // one of key, clock, region, same, stranger, replayed, often, unready, unreadable
	Region string // who answered, where another region was asked
	Off    time.Duration
}

func (t Trouble) Error() string { return "the region refused the question: " + t.Why }

// ask puts one question to one peer.
func (s *Service) ask(ctx context.Context, p *peer, claim bool, hashes ...hashed) (level, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		return unknown, errBusy
	}
	now := s.DB.Now()
	q := question{From: s.Here, To: p.ID, Time: now.Unix(), Nonce: secret.NewToken().Reveal(), Claim: claim, Hashes: []string{}}
	for _, h := range hashes {
		q.Hashes = append(q.Hashes, h.String())
	}
	q.MAC = q.sign(p)
	body, err := json.Marshal(q)
	if err != nil {
		return unknown, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Address+Path, bytes.NewReader(body))
	if err != nil {
		return unknown, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "parvis")
	w, err := p.client.Do(r, mostBytes)
	if err != nil {
		return unknown, err
	}
	var a answer
	if err := json.Unmarshal(w.Body, &a); err != nil {
		return unknown, Trouble{Why: string(unreadable)}
	}
	return a.judge(p, q, now)
}

// judge believes an answer that was signed for this very question. A refusal without a signature is
// believed too, as far as it only says that nothing was answered, in words that a region uses: logs and
// terminals show them.
func (a answer) judge(p *peer, q question, now time.Time) (level, error) {
	signed := same(a.MAC, a.sign(p, q))
	_, said := statuses[a.Refused]
	switch {
	case !said || strings.ContainsFunc(a.Region, unprintable):
		return unknown, Trouble{Why: string(unreadable)}
	case a.Refused == wrongClock && signed:
		return unknown, Trouble{Why: string(wrongClock), Off: time.Unix(a.Time, 0).Sub(now.Truncate(time.Second))}
	case a.Refused != "":
		return unknown, Trouble{Why: string(a.Refused), Region: a.Region}
	case !signed:
		return unknown, Trouble{Why: string(wrongKey)}
	case a.Level < unknown || a.Level > only:
		return unknown, Trouble{Why: string(unreadable)}
	}
	return a.Level, nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// How often peers are asked whether they are there, and how long that may take. It keeps a
// connection open too, so that a person's question crosses an ocean once and not four times.
const (
	greetEvery    = 30 * time.Second
	greetAgain    = 5 * time.Second // a peer that did not answer
	greetPatience = 5 * time.Second
)

// Greet asks one peer whether it understands us, and returns nil or what is wrong.
func (s *Service) Greet(ctx context.Context, id string) error {
	p := s.peer(id)
	if p == nil {
		return fmt.Errorf("there is no key for %s", id)
	}
	ctx, cancel := context.WithTimeout(ctx, greetPatience)
	defer cancel()
	_, err := s.ask(ctx, p, false)
	return err
}

// Run greets every peer until ctx ends, and logs who begins or ceases to answer.
func (s *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range s.peers {
		all.Go(func() {
			for {
				wait := greetEvery
				err := safely.Do(func() error { return s.Greet(ctx, p.ID) })
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					wait = greetAgain
				}
				switch news := p.heard(s.DB.Now(), err); {
				case news && err != nil:
					s.Log.WarnContext(ctx, "another region does not answer", "region", p.ID, "error", err.Error(), "do", "parvis doctor")
				case news:
					s.Log.InfoContext(ctx, "another region answers again", "region", p.ID)
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
			}
		})
	}
	all.Wait()
}
