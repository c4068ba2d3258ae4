package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// keyBytes is the length of every symmetric key: 256 bits.
const keyBytes = 32

// ErrSealBroken says that a sealed value was altered, moved to another row, or
// sealed under a key that is not in the ring.
var ErrSealBroken = errors.New("sealed value does not open")

// A Key is one entry of a Ring.
type Key struct {
	ID    string `json:"id"`
	Bytes []byte `json:"key"`
}

// A Ring is the keys of one purpose. The first one is used for everything new,
// all of them for reading, so a key is rotated by putting one in front.
type Ring []Key

// Current is the key for everything new.
func (r Ring) Current() Key { return r[0] }

// ByID finds the key that an older value names.
func (r Ring) ByID(id string) (Key, bool) {
	for _, k := range r {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// For derives the ring's keys for one purpose, so that no key serves two.
func (r Ring) For(purpose string) Ring {
	derived := make(Ring, len(r))
	for i, k := range r {
		b, err := hkdf.Key(sha256.New, k.Bytes, nil, "parvis "+purpose, keyBytes)
		if err != nil {
			panic(err) // the length is a constant that HKDF allows
		}
		derived[i] = Key{ID: k.ID, Bytes: b}
	}
	return derived
}

// Keys are the secrets of an installation that live outside its database: with
// the database alone, sealed values cannot be read nor passwords tried.
type Keys struct {
	Sealing Ring `json:"sealing"` // seals what must be read back
	Pepper  Ring `json:"pepper"`  // goes into every password hash
	Lookup  Ring `json:"lookup"`  // turns addresses into keys that tell nothing
}

// NewKeys makes a fresh set.
func NewKeys() Keys {
	ring := func() Ring { return Ring{{ID: NewID("k")[:10], Bytes: Bytes(keyBytes)}} }
	return Keys{Sealing: ring(), Pepper: ring(), Lookup: ring()}
}

// ParseKeys reads the text that Keys.Text wrote.
func ParseKeys(text []byte) (Keys, error) {
	var k Keys
	if err := json.Unmarshal(text, &k); err != nil {
		return Keys{}, fmt.Errorf("reading keys: %w", err)
	}
	for name, r := range map[string]Ring{"sealing": k.Sealing, "pepper": k.Pepper, "lookup": k.Lookup} {
		if len(r) == 0 {
			return Keys{}, fmt.Errorf("keys: no %s key", name)
		}
		for _, key := range r {
			if key.ID == "" || strings.ContainsAny(key.ID, ".$,") || len(key.Bytes) != keyBytes {
				return Keys{}, fmt.Errorf("keys: a %s key is not an id and %d bytes in Base64", name, keyBytes)
			}
		}
	}
	return k, nil
}

// Text is the form in which keys are stored in a file of mode 0600.
func (k Keys) Text() []byte {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		panic(err) // strings and bytes always encode
	}
	return append(b, '\n')
}

// A Box seals values of one purpose: AES-256-GCM with a random nonce under a
// key derived for that purpose, with the row as associated data (R-CRY-03).
type Box struct {
	current string // id of the key for everything new
	aead    map[string]cipher.AEAD
}

// NewBox derives the box's keys from the sealing ring.
func NewBox(sealing Ring, purpose string) Box {
	b := Box{current: sealing.Current().ID, aead: make(map[string]cipher.AEAD, len(sealing))}
	for _, k := range sealing.For(purpose) {
		block, err := aes.NewCipher(k.Bytes)
		if err != nil {
			panic(err) // the key has 32 bytes
		}
		b.aead[k.ID], err = cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err) // AES has the block size that GCM wants
		}
	}
	return b
}

// Seal encrypts plain for the row that associated names.
func (b Box) Seal(plain []byte, associated string) string {
	return b.current + "." + base64.RawURLEncoding.EncodeToString(b.aead[b.current].Seal(nil, nil, plain, []byte(associated)))
}

// Open decrypts what Seal made for the same row, or returns ErrSealBroken.
func (b Box) Open(sealed, associated string) ([]byte, error) {
	id, text, _ := strings.Cut(sealed, ".")
	aead, ok := b.aead[id]
	if !ok {
		return nil, ErrSealBroken
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, ErrSealBroken
	}
	plain, err := aead.Open(nil, nil, raw, []byte(associated))
	if err != nil {
		return nil, ErrSealBroken
	}
	return plain, nil
}
