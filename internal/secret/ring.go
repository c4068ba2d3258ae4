package secret

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sync/atomic"
)

// A Key is one entry of a Ring.
type Key struct {
	ID    string `json:"id"`
	Bytes []byte `json:"key"`
	Added bool   `json:"-"` // known already, and not in use yet
}

// NewKey makes a random key.
func NewKey() Key { return Key{ID: NewID("k")[:10], Bytes: Bytes(keyBytes)} }

// A Ring holds the keys of one purpose. The first one writes everything new, all of them read. Take
// exchanges them while the program runs, in every ring and box that was derived from this one.
type Ring struct {
	own atomic.Pointer[[]Key] // of a ring that was not derived

	of      *Ring // what this one is derived from
	purpose string
	derived atomic.Pointer[derivation]
}

// derivation is what was derived from keys at one time.
type derivation struct{ from, keys *[]Key }

// NewRing makes a ring of keys, of which the first one writes.
func NewRing(keys ...Key) *Ring {
	r := new(Ring)
	r.Take(keys)
	return r
}

// Take exchanges the keys. Nobody may change them afterwards.
func (r *Ring) Take(keys []Key) {
	keys = slices.Clone(keys)
	r.own.Store(&keys)
}

// keys returns the list of the moment; another list has another address.
func (r *Ring) keys() *[]Key {
	if r.of == nil {
		return r.own.Load()
	}
	from := r.of.keys()
	if d := r.derived.Load(); d != nil && d.from == from {
		return d.keys
	}
	keys := make([]Key, len(*from))
	for i, k := range *from {
		b, err := hkdf.Key(sha256.New, k.Bytes, nil, "parvis "+r.purpose, keyBytes)
		if err != nil {
			panic(err) // cannot happen: HKDF allows this constant length
		}
		keys[i] = Key{ID: k.ID, Bytes: b, Added: k.Added}
	}
	r.derived.Store(&derivation{from, &keys})
	return &keys
}

// All returns the keys, the one that writes first.
func (r *Ring) All() []Key { return *r.keys() }

// Current returns the key that writes everything new.
func (r *Ring) Current() Key { return r.All()[0] }

// Oldest returns the key that has been in use the longest; one that was only added changes nothing.
func (r *Ring) Oldest() Key {
	all := r.All()
	for _, k := range slices.Backward(all) {
		if !k.Added {
			return k
		}
	}
	return all[0]
}

// ByID returns the key with the id that an older value names.
func (r *Ring) ByID(id string) (Key, bool) {
	for _, k := range r.All() {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// For derives the ring's keys for one purpose, so that no key is used for two.
func (r *Ring) For(purpose string) *Ring { return &Ring{of: r, purpose: purpose} }

// MarshalJSON writes the keys as a list.
func (r *Ring) MarshalJSON() ([]byte, error) { return json.Marshal(r.All()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Ring) UnmarshalJSON(text []byte) error {
	var keys []Key
	err := json.Unmarshal(text, &keys)
	r.Take(keys)
	return err
}
