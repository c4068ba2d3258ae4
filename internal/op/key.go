package op

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/jose"
	"parvis/internal/secret"
)

const (
	// KeyLasts is how long a key signs before the schedule replaces it.
	KeyLasts = 90 * 24 * time.Hour
	// KeyAhead is how long a new key is published before it signs: longer than anybody keeps
	// a copy of the key set.
	KeyAhead = 24 * time.Hour
	// KeyOverlap is how long the previous key stays published: until its last token expires.
	KeyOverlap = application.LongestIDToken + keySetLasts
	// keySetLasts is how long a copy of the key set may be kept.
	keySetLasts = 15 * time.Minute
	// ringLasts is how long a node uses the keys that it read, before it looks for a key that
	// another node made.
	ringLasts = 10 * time.Second
	// asksAgain is how often a token of a key that a node does not know has it look for that key.
	asksAgain = time.Second
)

// key is a signing key.
type key struct {
	id        string
	algorithm application.Algorithm
	private   any
	signsAt   time.Time
}

// SignsFrom returns when the key begins to sign.
func (k key) SignsFrom() time.Time { return k.signsAt }

func (k key) jwk() jose.Key {
	return jose.Key{Key: k.private, KeyID: k.id, Algorithm: string(k.algorithm), Use: "sig"}
}

const keysBox = "op keys"

// Sealed are the columns of this package that a rotation of keys seals again.
var Sealed = []secret.Column{{Table: "keys", Name: "sealed", Purpose: keysBox, Row: []string{"id"}, For: func(row []string) string { return "keys " + row[0] }}}

// Keys are the keys that sign tokens.
type Keys struct {
	db      *db.DB
	issuer  string
	lasts   time.Duration // of a key
	box     secret.Box
	reading sync.Mutex           // one request at a time reads the table
	asked   time.Time            // for a key that was not known
	now     atomic.Pointer[ring] // as this node read them
}

// ring holds every published key, as this node read them.
type ring struct {
	keys   map[application.Algorithm][]key // newest first
	set    published
	public jose.KeySet
	readAt time.Time
	opened opened
}

// ring returns the keys. It reads them again when ringLasts has passed.
func (s *Keys) ring(ctx context.Context) (*ring, error) {
	r := s.now.Load()
	if r != nil && s.db.Now().Sub(r.readAt).Abs() < ringLasts {
		return r, nil
	}
	if !s.reading.TryLock() {
		if r != nil {
			return r, nil // another request is reading them; until then the old ones do
		}
		s.reading.Lock()
	}
	defer s.reading.Unlock()
	return s.readRing(ctx)
}

// knowing returns keys among which is the one of that id, if there is one: another node may have
// made it, and signs with it at once where it is the first, or where the others leaked. Tokens with
// ids that nobody knows have the table read once a second.
func (s *Keys) knowing(ctx context.Context, id string) (*ring, error) {
	r, err := s.ring(ctx)
	if err != nil || r.has(id) {
		return r, err
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	now := s.db.Now()
	if r = s.now.Load(); r.has(id) || now.Sub(s.asked).Abs() < asksAgain {
		return r, nil
	}
	s.asked = now
	return s.readRing(ctx)
}

func (r *ring) has(id string) bool {
	return slices.ContainsFunc(r.public.Keys, func(k jose.Key) bool { return k.KeyID == id })
}

func (s *Keys) readRing(ctx context.Context) (*ring, error) {
	r := &ring{readAt: s.db.Now(), opened: opened{all: map[[sha256.Size]byte]accessClaims{}}}
	err := s.db.View(ctx, func(tx *db.Tx) (err error) {
		r.keys, err = s.stored(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []jose.Key
	for _, a := range application.Algorithms {
		for _, k := range r.keys[a] {
			all = append(all, k.jwk())
		}
	}
	r.public = jose.Public(all)
	if r.set, err = publish(r.public); err != nil {
		return nil, err
	}
	s.now.Store(r)
	return r, nil
}

func (s *Keys) stored(ctx context.Context, tx *db.Tx) (map[application.Algorithm][]key, error) {
	all := map[application.Algorithm][]key{}
	err := tx.Rows(ctx, func(scan func(...any) error) error {
		var k key
		var sealed string
		if err := scan(&k.id, &k.algorithm, &sealed, (*db.Time)(&k.signsAt)); err != nil {
			return err
		}
		der, err := s.box.Open(sealed, "keys "+k.id)
		if err == nil {
			k.private, err = x509.ParsePKCS8PrivateKey(der)
		}
		if err != nil {
			return fmt.Errorf("reading key %s: %w", k.id, err)
		}
		all[k.algorithm] = append(all[k.algorithm], k)
		return nil
	}, `select id, algorithm, sealed, signs_at from keys order by created_at desc, id`)
	return all, err
}

// signing returns the key that signs now. If there is none for ES256, it makes the first. An
// RSA key takes long to make, so only Sweep makes it and no request waits.
func (s *Keys) signing(ctx context.Context, a application.Algorithm) (key, error) {
	r, err := s.ring(ctx)
	if err == nil && len(r.keys[a]) == 0 {
		if a != application.ES256 {
			return key{}, &Error{Unavailable, "the key for " + string(a) + " is being made; try again", 503}
		}
		if err = s.add(ctx, a, newKey(a), first); err == nil {
			r, err = s.readRing(ctx)
		}
	}
	if err != nil {
		return key{}, err
	}
	return r.keys[a][jose.Signing(r.keys[a], r.readAt)], nil
}

func newKey(a application.Algorithm) any {
	if a == application.RS256 {
		return secret.NewRSAKey()
	}
	return secret.NewECKey()
}

// occasion is why a key is made.
type occasion string

const (
	first     occasion = "first"
	scheduled occasion = "schedule"
	commanded occasion = "command"
	leaked    occasion = "leak" // the others go at once
)

// add stores a new key. If two nodes make the first key at once, one of the two is stored.
func (s *Keys) add(ctx context.Context, a application.Algorithm, private any, why occasion) error {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *db.Tx) error {
		all, err := s.stored(ctx, tx)
		if err != nil {
			return err
		}
		there := len(all[a]) > 0
		if there && why == first {
			return nil
		}
		k := key{id: secret.NewID("key"), signsAt: tx.Now().Add(min(KeyAhead, s.lasts/2))}
		if !there || why == leaked {
			k.signsAt = tx.Now()
		}
		if why == leaked {
			if _, err := tx.Exec(ctx, `delete from keys where algorithm = $1`, string(a)); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `
			insert into keys (id, algorithm, sealed, created_at, signs_at) values ($1, $2, $3, $4, $5)`,
			k.id, string(a), s.box.Seal(der, "keys "+k.id), db.Time(tx.Now()), db.Time(k.signsAt))
		if err != nil {
			return fmt.Errorf("keeping key %s: %w", k.id, err)
		}
		return audit.Record(ctx, tx, audit.Event{
			Actor: audit.System, ActorName: audit.System, Action: "key.created", Target: k.id,
			After: audit.Fields{"algorithm": a, "why": why, "signs_at": k.signsAt},
		})
	})
}

// Rotate makes the next key of each algorithm, which begins to sign once every copy of the
// key set has it. If the present keys leaked, they are deleted and the new one signs at once.
func (s *Keys) Rotate(ctx context.Context, leak bool) error {
	why := commanded
	if leak {
		why = leaked
	}
	for _, a := range application.Algorithms {
		if err := s.add(ctx, a, newKey(a), why); err != nil {
			return err
		}
	}
	_, err := s.readRing(ctx)
	return err
}

// Sweep makes the keys that are missing or due, and deletes those whose last token expired.
func (s *Keys) Sweep(ctx context.Context, d *db.DB) error {
	r, err := s.readRing(ctx)
	if err != nil {
		return err
	}
	now := d.Now()
	for _, a := range application.Algorithms {
		own, why := r.keys[a], scheduled
		if len(own) == 0 {
			why = first
		}
		if jose.Due(own, now, s.lasts) {
			if err := s.add(ctx, a, newKey(a), why); err != nil {
				return err
			}
		}
		for _, old := range jose.Retired(own, now, min(KeyOverlap, s.lasts)) {
			if err := d.Update(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, `delete from keys where id = $1`, old.id)
				return err
			}); err != nil {
				return err
			}
		}
	}
	_, err = s.readRing(ctx)
	return err
}

// The types of tokens, named in the header so that one kind is not accepted as another (RFC
// 8725 §3.11).
const (
	idTokenType     = "JWT"
	accessTokenType = "at+jwt"
	logoutTokenType = "logout+jwt"
	userInfoType    = "userinfo+jwt"
)

// sign returns a signed token. Do not call it inside a transaction: other writers would wait.
func (k key) sign(typ string, claims any) (string, error) {
	token, err := jose.Sign(k.jwk(), typ, claims)
	if err != nil {
		return "", fmt.Errorf("signing with %s: %w", k.id, err)
	}
	return token, nil
}

const mostOwn = 16 << 10 // bytes of a token that we signed

// verify checks that we signed a token of this type, and returns its payload.
func (s *Keys) verify(ctx context.Context, token, typ string) ([]byte, error) {
	rules := jose.Rules{Longest: mostOwn, Algorithms: []string{string(application.ES256), string(application.RS256)}, Type: func(said string) bool { return said == typ }}
	t, err := rules.Read(token)
	if err != nil || t.KeyID == nil {
		return nil, errNotOurs
	}
	r, err := s.knowing(ctx, *t.KeyID)
	if err != nil {
		return nil, err
	}
	payload, err := t.Verify(r.public.Keys)
	if err == nil {
		return payload, nil
	}
	var said struct {
		Issuer string `json:"iss"`
	}
	if !r.has(*t.KeyID) && *t.KeyID != "" && jose.Unverified(token, mostOwn, &said) == nil && said.Issuer == s.issuer {
		return nil, errRetired
	}
	return nil, errNotOurs
}
