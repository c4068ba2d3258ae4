package credential

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"parvis/internal/credential/foreign"
	"parvis/internal/secret"
)

const saltBytes, sumBytes = 16, 32

// A hash is Argon2id over an HMAC of ids and password under the pepper, which is kept outside
// the database: somebody who has only the rows cannot even try passwords, and exchanging rows
// gains nothing.
type hash struct {
	cost   Cost
	form   form
	pepper string // id of the pepper key
	salt   []byte
	sum    []byte

	imported foreign.Hash // in place of all but cost and form, until its person first signs in
}

// String returns the form in which a hash is stored, modelled on the PHC string format.
func (h hash) String() string {
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$%s,form=%s,keyid=%s$%s$%s", argon2.Version, h.cost, h.form, h.pepper, text(h.salt), text(h.sum))
}

// parseHash reads exactly what String writes, at a cost within bounds.
func parseHash(stored string) (hash, error) {
	var h hash
	parts := strings.Split(stored, "$")
	if len(parts) != 6 {
		return hash{}, errors.New("a stored password hash has not six parts")
	}
	cost, names, _ := strings.Cut(parts[3], ",form=")
	prepared, pepper, _ := strings.Cut(names, ",keyid=")
	h.form, h.pepper = form(prepared), pepper
	var ours bool
	h.cost, ours = parseCost(cost)
	var saltErr, sumErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, sumErr = base64.RawStdEncoding.DecodeString(parts[5])
	if !ours || errors.Join(saltErr, sumErr) != nil || h.String() != stored || h.form != opaque && h.form != nfc {
		return hash{}, errors.New("a stored password hash is none of ours")
	}
	return h, nil
}

// fresh returns the parameters of a new hash: today's cost and pepper, and a salt of its own.
func (s *Store) fresh(f form) hash {
	return hash{cost: s.cost, form: f, pepper: s.pepper.Current().ID, salt: secret.Bytes(saltBytes)}
}

// sum computes the sum of a prepared password under h's parameters when it is source's turn.
func (s *Store) sum(ctx context.Context, source Source, o Owner, h hash, prepared string) (sum []byte, err error) {
	pepper, ok := s.pepper.ByID(h.pepper)
	if !ok {
		return nil, fmt.Errorf("no pepper key %s, which the password of %s needs", h.pepper, o.UserID)
	}
	mac := secret.MAC(pepper.Bytes, "password", string(o.OrgID), string(o.UserID), prepared)
	err = s.queue.do(ctx, source, func() {
		s.spent.take(h.cost.Memory)
		sum = argon2.IDKey(mac, h.salt, h.cost.Passes, h.cost.Memory, h.cost.Lanes, sumBytes)
	})
	return sum, err
}

// Hashed is a new password ready for Set.
type Hashed struct {
	past History
	hash string
}

// Hash turns a password into what may be stored. One that is in past is refused as Check
// refuses, with a reason. ErrBusy says that the queue had no place for the source.
func (s *Store) Hash(ctx context.Context, source Source, past History, p Password) (Hashed, error) {
	for i, old := range past.hashes() {
		same, err := s.compare(ctx, source, past.Owner, old, p)
		if err != nil {
			return Hashed{}, err
		}
		if same {
			return Hashed{}, refused(past.reason(i))
		}
	}
	stored, err := s.hash(ctx, source, past.Owner, p)
	return Hashed{past: past, hash: stored}, err
}

func (s *Store) hash(ctx context.Context, source Source, o Owner, p Password) (string, error) {
	h := s.fresh(p.form)
	var err error
	h.sum, err = s.sum(ctx, source, o, h, p.text)
	return h.String(), err
}

// compare reports whether p was stored as old. A hash under a pepper key that was removed from
// the ring cannot be compared, and counts as different: otherwise nobody could set a password
// any longer.
func (s *Store) compare(ctx context.Context, source Source, o Owner, old string, p Password) (bool, error) {
	h, err := s.read(o, old)
	if err != nil {
		return false, err
	}
	if _, ok := s.pepper.ByID(h.pepper); !ok || h.form != p.form && h.form != typed {
		return false, nil
	}
	return s.same(ctx, source, o, h, p.text)
}

// same reports whether a prepared password has the hash h of o.
func (s *Store) same(ctx context.Context, source Source, o Owner, h hash, prepared string) (same bool, err error) {
	if !h.imported.IsZero() {
		err = s.queue.do(ctx, source, func() {
			s.spent.take(h.cost.imported.KiB())
			same = h.imported.Matches(prepared)
		})
		return same, err
	}
	sum, err := s.sum(ctx, source, o, h, prepared)
	return err == nil && subtle.ConstantTimeCompare(sum, h.sum) == 1, err
}

// Verdict is what Verify found, for Confirm to act on.
type Verdict struct {
	OK      bool
	stored  Stored
	renewed string // the same password under today's parameters, if it had older ones
}

// against returns the hash that a typed password is compared with. If there is no user or no
// password, that is a hash which nothing equals, at the cost that AsCostly drew.
func (s *Store) against(stored Stored) (hash, error) {
	if !stored.Exists() {
		h := s.fresh(opaque)
		h.cost = cmp.Or(stored.nobody, h.cost)
		if h.cost.imported != (foreign.Cost{}) {
			h.form, h.imported = typed, h.cost.imported.Nobody()
		}
		return h, nil
	}
	h, err := s.read(stored.Owner, stored.hash)
	if err != nil {
		return hash{}, fmt.Errorf("password of %s: %w", stored.UserID, err)
	}
	if _, ok := s.pepper.ByID(h.pepper); !ok && !stored.DisabledAt.IsZero() {
		lost := s.fresh(h.form) // its pepper was taken out, and it was voided for that
		lost.cost = cmp.Or(h.cost, s.cost)
		return lost, nil
	}
	return h, nil
}

// Verify compares a typed password with a stored one. It always costs one hash: also for a
// Stored without a user or password, for a disabled password, and for a text that cannot be a
// password.
func (s *Store) Verify(ctx context.Context, source Source, stored Stored, text string) (Verdict, error) {
	h, err := s.against(stored)
	if err != nil {
		return Verdict{}, err
	}
	p, reason := prepare(text)
	prepared, ok := p.text, reason == ""
	if ok && p.form != h.form {
		prepared, ok = h.form.of(text)
	}
	same, err := s.same(ctx, source, stored.Owner, h, prepared)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{stored: stored}
	v.OK = stored.Exists() && stored.DisabledAt.IsZero() && ok && same
	if v.OK && (h.cost != s.cost || h.pepper != s.pepper.Current().ID || h.form != p.form) {
		// If it is not its turn now, it is renewed at another sign-in.
		if renewed, err := s.hash(ctx, source, stored.Owner, p); err == nil {
			v.renewed = renewed
		}
	}
	return v, nil
}
