// Package foreign compares passwords with hashes that other systems made: bcrypt, scrypt, PBKDF2
// and Argon2. It reads the forms in which their exports have them and refuses what is too costly to
// compute. It sees neither a table nor a request.
package foreign

import (
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // PBKDF2 with HMAC-SHA-1 is what older systems stored.
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"math/bits"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"parvis/internal/fault"
)

// The faults of hashes that cannot be taken over.
var (
	ErrUnknown = fault.Field("password_hash", "intake.hash_unknown")
	ErrCostly  = fault.Field("password_hash", "intake.hash_costly")
)

// Scheme is a way to compute a hash.
type Scheme string

// The schemes.
const (
	Bcrypt       Scheme = "bcrypt"
	Scrypt       Scheme = "scrypt"
	PBKDF2SHA1   Scheme = "pbkdf2-sha1"
	PBKDF2SHA256 Scheme = "pbkdf2-sha256"
	PBKDF2SHA512 Scheme = "pbkdf2-sha512"
	Argon2i      Scheme = "argon2i"
	Argon2id     Scheme = "argon2id"
)

// digests are those of PBKDF2.
var digests = map[Scheme]func() hash.Hash{PBKDF2SHA1: sha1.New, PBKDF2SHA256: sha256.New, PBKDF2SHA512: sha512.New}

// Cost is what computing one hash takes.
type Cost struct {
	Scheme Scheme
	Work   uint32 // bcrypt's cost, the logarithm of scrypt's N, PBKDF2's iterations, Argon2's passes
	Memory uint32 // scrypt's r; Argon2's memory in KiB
	Lanes  uint32 // p of scrypt and Argon2
}

// The most that one hash may take, about half a second of one core and 128 MiB: people who
// guess passwords have us compute them.
const (
	mostBcrypt = 13
	mostSHA    = 2_000_000 // iterations of PBKDF2 with SHA-1 or SHA-256
	mostSHA512 = 1_000_000
	mostMemory = 128 << 10 // KiB
	mostPasses = 512 << 10 // KiB times passes of Argon2
	mostBlocks = 2 << 20   // N times r times p of scrypt
	mostWidth  = 1 << 10   // r of scrypt: beside N blocks it takes p and two more, of r each
	mostLanes  = 16
	leastSum   = 16 // bytes
	mostSum    = 128
	mostSalt   = 128
)

// String returns the cost as stored hashes and the snapshot of costs write it.
func (c Cost) String() string {
	switch c.Scheme {
	case Bcrypt:
		return fmt.Sprintf("%s/%02d", c.Scheme, c.Work)
	case Scrypt, Argon2i, Argon2id:
		return fmt.Sprintf("%s/%d/%d/%d", c.Scheme, c.Work, c.Memory, c.Lanes)
	case PBKDF2SHA1, PBKDF2SHA256, PBKDF2SHA512:
	}
	return fmt.Sprintf("%s/%d", c.Scheme, c.Work)
}

// ParseCost reads what String writes, within bounds.
func ParseCost(text string) (Cost, bool) {
	scheme, numbers, _ := strings.Cut(text, "/")
	c := Cost{Scheme: Scheme(scheme)}
	fields := []any{&c.Work, &c.Memory, &c.Lanes}
	n := strings.Count(numbers, "/") + 1
	if n > len(fields) {
		return Cost{}, false
	}
	_, err := fmt.Sscan(strings.ReplaceAll(numbers, "/", " "), fields[:n]...)
	return c, err == nil && c.String() == text && c.bounded() && c.possible()
}

// KiB returns how much memory one hash takes.
func (c Cost) KiB() uint32 {
	switch c.Scheme {
	case Scrypt:
		return uint32((uint64(1)<<c.Work + uint64(c.Lanes)) * uint64(c.Memory) / 8) //nolint:gosec // Bounded when it was read.
	case Argon2i, Argon2id:
		return c.Memory
	case Bcrypt, PBKDF2SHA1, PBKDF2SHA256, PBKDF2SHA512:
	}
	return 4
}

// possible reports whether a hash can have the cost at all.
func (c Cost) possible() bool {
	switch c.Scheme {
	case Bcrypt:
		return int(c.Work) >= bcrypt.MinCost && int(c.Work) <= bcrypt.MaxCost
	case Scrypt:
		return c.Work >= 1 && c.Work <= 63 && c.Memory >= 1 && c.Lanes >= 1
	case Argon2i, Argon2id:
		return c.Work >= 1 && c.Lanes >= 1 && c.Lanes <= 255 && c.Memory >= 8*c.Lanes
	case PBKDF2SHA1, PBKDF2SHA256, PBKDF2SHA512:
		return c.Work >= 1
	}
	return false
}

// bounded reports whether a hash may have the cost here.
func (c Cost) bounded() bool {
	work, memory, lanes := uint64(c.Work), uint64(c.Memory), uint64(c.Lanes)
	switch c.Scheme {
	case Bcrypt:
		return work <= mostBcrypt
	case Scrypt:
		if work > 20 || memory > mostWidth || lanes > mostLanes {
			return false
		}
		blocks := memory << work
		return blocks <= mostMemory*8 && blocks*lanes <= mostBlocks
	case Argon2i, Argon2id:
		return memory <= mostMemory && memory*work <= mostPasses && lanes <= mostLanes
	case PBKDF2SHA1, PBKDF2SHA256:
		return work <= mostSHA
	case PBKDF2SHA512:
		return work <= mostSHA512
	}
	return false
}

// check returns the fault of a hash with the cost c.
func (c Cost) check() error {
	switch {
	case !c.possible():
		return ErrUnknown
	case !c.bounded():
		return ErrCostly.With("Cost", c.String())
	}
	return nil
}

// Hash is the hash of one password.
type Hash struct {
	cost Cost
	salt []byte
	sum  []byte
	text string // of bcrypt, whose text has salt and sum in it
}

// Cost returns what comparing with h takes.
func (h Hash) Cost() Cost { return h.cost }

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h.cost == Cost{} }

// String returns h in its usual form: bcrypt's own, or a PHC string. Parse reads it again.
func (h Hash) String() string {
	c, text := h.cost, base64.RawStdEncoding.EncodeToString
	switch c.Scheme {
	case Bcrypt:
		return h.text
	case Scrypt:
		return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", c.Work, c.Memory, c.Lanes, text(h.salt), text(h.sum))
	case Argon2i, Argon2id:
		return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s", c.Scheme, argon2.Version, c.Memory, c.Work, c.Lanes, text(h.salt), text(h.sum))
	case PBKDF2SHA1, PBKDF2SHA256, PBKDF2SHA512:
	}
	return fmt.Sprintf("$%s$i=%d$%s$%s", c.Scheme, c.Work, text(h.salt), text(h.sum))
}

// Nobody returns a hash of the cost c that no password has, to compare with where there is nobody.
func (c Cost) Nobody() Hash {
	h := Hash{cost: c, salt: make([]byte, 16), sum: make([]byte, 32)}
	if c.Scheme == Bcrypt {
		h.text = fmt.Sprintf("$2b$%02d$%s", c.Work, strings.Repeat(".", bcryptRest))
	}
	return h
}

// Matches reports whether a password has the hash h. It always computes one hash.
func (h Hash) Matches(password string) bool {
	c := h.cost
	var sum []byte
	var err error
	switch c.Scheme {
	case Bcrypt:
		return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(password)) == nil
	case Scrypt:
		sum, err = scrypt.Key([]byte(password), h.salt, 1<<c.Work, int(c.Memory), int(c.Lanes), len(h.sum))
	case Argon2i:
		sum = argon2.Key([]byte(password), h.salt, c.Work, c.Memory, uint8(c.Lanes), uint32(len(h.sum))) //nolint:gosec // Bounded when it was read.
	case Argon2id:
		sum = argon2.IDKey([]byte(password), h.salt, c.Work, c.Memory, uint8(c.Lanes), uint32(len(h.sum))) //nolint:gosec // As above.
	case PBKDF2SHA1, PBKDF2SHA256, PBKDF2SHA512:
		sum, err = pbkdf2.Key(digests[c.Scheme], password, h.salt, int(c.Work), len(h.sum))
	}
	return err == nil && subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// New returns a hash from its parts, or why it cannot be taken over. bcrypt's are in its text, for
// Parse.
func New(c Cost, salt, sum []byte) (Hash, error) {
	if c.Scheme == Bcrypt || len(salt) == 0 || len(salt) > mostSalt || len(sum) < leastSum || len(sum) > mostSum {
		return Hash{}, ErrUnknown
	}
	if err := c.check(); err != nil {
		return Hash{}, err
	}
	if digest, ok := digests[c.Scheme]; ok {
		// A longer sum is several of which each is enough to compare, and costs as much.
		sum = sum[:min(len(sum), digest().Size())]
	}
	return Hash{cost: c, salt: salt, sum: sum}, nil
}

// LogN returns the logarithm of scrypt's N; false if N is no power of two.
func LogN(n uint64) (uint32, bool) {
	return uint32(bits.Len64(n) - 1), n > 1 && n&(n-1) == 0 //nolint:gosec // 63 at most.
}
