package sample

import (
	"encoding/json"
	"sync"
	"time"
)

// session is one browser in which somebody is signed in.
type session struct {
	person
	id           string
	idToken      string    // sent back to the provider, as a hint of whom it is about
	refreshToken string    // empty where there is none
	Expires      time.Time // end of the access token
	Refreshed    int       // how often
	notice       string    // a word that the next page shows once
}

// person says who signed in and how that was proved, as the ID token and UserInfo say.
type person struct {
	Subject       string   `json:"sub"`
	SID           string   `json:"sid"` // the provider's name for its session, which logout tokens contain
	Name          string   `json:"name"`
	Email         string   `json:"email"`
	EmailVerified bool     `json:"email_verified"`
	Locale        string   `json:"locale"`
	ACR           string   `json:"acr"`
	AMR           []string `json:"amr"`
	AuthTime      int64    `json:"auth_time"`
	Groups        []string `json:"groups"`
	Roles         []string `json:"roles"`
	Organization  struct {
		ID        string `json:"id"`
		ShortName string `json:"short_name"`
		Name      string `json:"name"`
	} `json:"org"`
	All map[string]json.RawMessage `json:"-"` // each claim as it arrived
}

// ProvedAt is when the person last proved who they are.
func (p person) ProvedAt() time.Time { return time.Unix(p.AuthTime, 0) }

// Refreshable reports whether there is a refresh token.
func (s session) Refreshable() bool { return s.refreshToken != "" }

func now() time.Time {
	return time.Now() //nolint:forbidigo // This is a program of its own, with its own clock.
}

// mostKept limits what strangers can make an application remember.
const mostKept = 1000

// store keeps things under names that cannot be guessed, all for the same time.
type store[V any] struct {
	life time.Duration
	mu   sync.Mutex
	kept map[string]*entry[V]
}

type entry[V any] struct {
	value V
	until time.Time
}

func newStore[V any](life time.Duration) *store[V] {
	return &store[V]{life: life, kept: map[string]*entry[V]{}}
}

// lock forgets what is too old, and locks the rest.
func (s *store[V]) lock() (unlock func()) {
	s.mu.Lock()
	for name, e := range s.kept {
		if !now().Before(e.until) {
			delete(s.kept, name)
		}
	}
	return s.mu.Unlock
}

// add keeps a thing, and reports whether its name was free.
func (s *store[V]) add(name string, value V) bool {
	defer s.lock()()
	if s.kept[name] != nil {
		return false
	}
	for other := range s.kept {
		if len(s.kept) < mostKept {
			break
		}
		delete(s.kept, other) // whichever it is, it has to begin again
	}
	s.kept[name] = &entry[V]{value, now().Add(s.life)}
	return true
}

func (s *store[V]) get(name string) (value V, ok bool) {
	ok = s.change(name, func(v *V) { value = *v })
	return value, ok
}

// take returns a thing and forgets it: of two callers, one gets it.
func (s *store[V]) take(name string) (value V, ok bool) {
	defer s.lock()()
	if e := s.kept[name]; e != nil {
		value, ok = e.value, true
	}
	delete(s.kept, name)
	return value, ok
}

// change works on a thing that still exists: what ended meanwhile stays ended.
func (s *store[V]) change(name string, f func(*V)) bool {
	defer s.lock()()
	e := s.kept[name]
	if e == nil {
		return false
	}
	f(&e.value)
	return true
}

// drop forgets everything that matches.
func (s *store[V]) drop(match func(V) bool) {
	defer s.lock()()
	for name, e := range s.kept {
		if match(e.value) {
			delete(s.kept, name)
		}
	}
}
