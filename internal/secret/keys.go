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

// ErrSealBroken is returned for a sealed value that was altered, was moved to another row,
// or was sealed with a key that is not in the ring.
var ErrSealBroken = errors.New("sealed value does not open")

// A Key is one entry of a Ring.
type Key struct {
	ID    string `json:"id"`
	Bytes []byte `json:"key"`
}

// A Ring holds the keys of one purpose. The first one writes everything new, all of them
// read, so a key is rotated by putting a new one in front.
type Ring []Key

// Current returns the key that writes everything new.
func (r Ring) Current() Key { return r[0] }

// ByID returns the key with the id that an older value names.
func (r Ring) ByID(id string) (Key, bool) {
	for _, k := range r {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// For derives the ring's keys for one purpose, so that no key is used for two.
func (r Ring) For(purpose string) Ring {
	derived := make(Ring, len(r))
	for i, k := range r {
		b, err := hkdf.Key(sha256.New, k.Bytes, nil, "parvis "+purpose, keyBytes)
		if err != nil {
			panic(err) // cannot happen: HKDF allows this constant length
		}
		derived[i] = Key{ID: k.ID, Bytes: b}
	}
	return derived
}

// Keys are the secrets of an installation that are kept outside its database. With the
// database alone nobody can read sealed values or try passwords.
type Keys struct {
	Sealing Ring `json:"sealing"` // seals values that must be read back
	Pepper  Ring `json:"pepper"`  // part of every password hash
	Lookup  Ring `json:"lookup"`  // hashes addresses, so that look-up keys do not reveal them
}

// NewKeys makes a set of new random keys.
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
	current string // id of the key that seals new values
	aead    map[string]cipher.AEAD
}

// NewBox derives the box's keys from the sealing ring.
func NewBox(sealing Ring, purpose string) Box {
	b := Box{current: sealing.Current().ID, aead: make(map[string]cipher.AEAD, len(sealing))}
	for _, k := range sealing.For(purpose) {
		block, err := aes.NewCipher(k.Bytes)
		if err != nil {
			panic(err) // cannot happen: the key has 32 bytes
		}
		b.aead[k.ID], err = cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err) // cannot happen: AES has the block size that GCM needs
		}
	}
	return b
}

// Seal encrypts plain and binds it to the row that associated names.
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
