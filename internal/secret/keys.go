package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// keyBytes is the length of every symmetric key: 256 bits.
const keyBytes = 32

// ErrSealBroken is returned for a sealed value that was altered, was moved to another row,
// or was sealed with a key that is not in the ring.
var ErrSealBroken = errors.New("sealed value does not open")

// Keys are the secrets of an installation that are kept outside its database. With the
// database alone nobody can read sealed values or try passwords.
type Keys struct {
	Sealing *Ring `json:"sealing"` // seals values that must be read back
	Pepper  *Ring `json:"pepper"`  // part of every password hash
	Lookup  *Ring `json:"lookup"`  // hashes addresses, so that look-up keys do not reveal them

	// Pseudonyms makes the names by which applications know people. It is derived from the oldest
	// look-up key, and outlives it: with another one, people would be strangers to applications.
	Pseudonyms []byte `json:"pseudonyms,omitempty"`
}

// NewKeys makes a set of new random keys.
func NewKeys() Keys {
	k := Keys{Sealing: NewRing(NewKey()), Pepper: NewRing(NewKey()), Lookup: NewRing(NewKey())}
	k.Pseudonyms = k.pseudonyms()
	return k
}

// pseudonyms derives the key of names from the oldest look-up key.
func (k Keys) pseudonyms() []byte {
	return k.Lookup.For("op pairwise").Oldest().Bytes
}

// Rings lists the rings by name.
func (k Keys) Rings() map[string]*Ring {
	return map[string]*Ring{"sealing": k.Sealing, "pepper": k.Pepper, "lookup": k.Lookup}
}

// ParseKeys reads the text that Keys.Text wrote.
func ParseKeys(text []byte) (Keys, error) {
	k := Keys{Sealing: NewRing(), Pepper: NewRing(), Lookup: NewRing()}
	if err := json.Unmarshal(text, &k); err != nil {
		return Keys{}, fmt.Errorf("reading keys: %w", err)
	}
	for name, r := range k.Rings() {
		if r == nil || len(r.All()) == 0 {
			return Keys{}, fmt.Errorf("keys: no %s key", name)
		}
		for _, key := range r.All() {
			if key.ID == "" || strings.ContainsAny(key.ID, ".$,") || len(key.Bytes) != keyBytes {
				return Keys{}, fmt.Errorf("keys: a %s key is not an id and %d bytes in Base64", name, keyBytes)
			}
		}
	}
	if k.Pseudonyms == nil {
		k.Pseudonyms = k.pseudonyms()
	}
	if len(k.Pseudonyms) != keyBytes {
		return Keys{}, fmt.Errorf("keys: that of pseudonyms is not %d bytes in Base64", keyBytes)
	}
	return k, nil
}

// Text returns the keys in the form that is stored in a file of mode 0600.
func (k Keys) Text() []byte {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		panic(err) // cannot happen: strings and bytes always encode
	}
	return append(b, '\n')
}

// A Box seals values of one purpose with AES-256-GCM and a random nonce. Its key is derived
// for that purpose, and the row is the associated data (R-CRY-03).
type Box struct {
	ring *Ring // of keys that are derived for the purpose
	made *atomic.Pointer[ciphers]
}

// ciphers are those of a ring's keys at one time.
type ciphers struct {
	of   *[]Key
	aead map[string]cipher.AEAD
}

// NewBox derives the box's keys from the sealing ring.
func NewBox(sealing *Ring, purpose string) Box {
	return Box{sealing.For(purpose), new(atomic.Pointer[ciphers])}
}

// ciphers returns those of the keys that are in the ring now, and the id of the one that seals.
func (b Box) ciphers() (all map[string]cipher.AEAD, current string) {
	keys := b.ring.keys()
	if made := b.made.Load(); made != nil && made.of == keys {
		return made.aead, (*keys)[0].ID
	}
	all = make(map[string]cipher.AEAD, len(*keys))
	for _, k := range *keys {
		block, err := aes.NewCipher(k.Bytes)
		if err != nil {
			panic(err) // cannot happen: the key has 32 bytes
		}
		all[k.ID], err = cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err) // cannot happen: AES has the block size that GCM needs
		}
	}
	b.made.Store(&ciphers{keys, all})
	return all, (*keys)[0].ID
}

// Seal encrypts plain and binds it to the row that associated names.
func (b Box) Seal(plain []byte, associated string) string {
	all, current := b.ciphers()
	return current + "." + base64.RawURLEncoding.EncodeToString(all[current].Seal(nil, nil, plain, []byte(associated)))
}

// Open decrypts what Seal made for the same row, or returns ErrSealBroken.
func (b Box) Open(sealed, associated string) ([]byte, error) {
	id, text, _ := strings.Cut(sealed, ".")
	all, _ := b.ciphers()
	aead, ok := all[id]
	if !ok {
		return nil, ErrSealBroken
	}
	// One value has one text: a decoder that is not strict skips line breaks and bits that nobody reads.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, ErrSealBroken
	}
	plain, err := aead.Open(nil, nil, raw, []byte(associated))
	if err != nil {
		return nil, ErrSealBroken
	}
	return plain, nil
}

// A Column is a column of the database with values that a Box sealed and that are kept. A rotation of
// keys seals them again.
type Column struct {
	Table, Name string
	Purpose     string                    // of the box
	Row         []string                  // the columns that name a row
	For         func(row []string) string // what its value is sealed for, from those columns
}
