package credential

import (
	"bufio"
	"crypto/sha1" // lists of breached passwords use it; it protects nothing here
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// mostBreached bounds the memory for an operator's list, to 40 MB.
const mostBreached = 5_000_000

// breached is a set of passwords, as the sorted first eight bytes of their SHA-1. For each
// password that is checked, the odds are one in a trillion that it matches one of five million
// by chance.
type breached []uint64

// readBreached reads a list with one password, or one SHA-1 hash in hexadecimal, on each line,
// in any order; what follows a hash after a colon is a count, as in the lists of Have I Been
// Pwned.
func readBreached(path string) (breached, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // Nothing was written.
	var b breached
	for lines := bufio.NewScanner(f); ; {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return nil, fmt.Errorf("%s, after line %d: %w", path, len(b), err)
			}
			break
		}
		if len(b) == mostBreached {
			return nil, fmt.Errorf("%s has more than %d lines; keep the most frequent ones", path, mostBreached)
		}
		b = append(b, breachedLine(lines.Text()))
	}
	slices.Sort(b)
	return slices.Clone(slices.Compact(b)), nil
}

// ReadBreached takes the list of breached passwords in a file in place of the one before; without a path
// there is none. On an error the one before stays.
func (s *Store) ReadBreached(path string) error {
	if path == "" {
		s.breached.Store(nil)
		return nil
	}
	list, err := readBreached(path)
	if err != nil {
		return fmt.Errorf("reading breached passwords: %w", err)
	}
	s.breached.Store(&list)
	return nil
}

// isBreached reports whether the list contains a prepared password.
func (s *Store) isBreached(prepared string) bool {
	list := s.breached.Load()
	return list != nil && list.has(prepared)
}

func breachedLine(line string) uint64 {
	sum, _, _ := strings.Cut(line, ":")
	if raw, err := hex.DecodeString(sum); err == nil && len(raw) == sha1.Size {
		return binary.BigEndian.Uint64(raw)
	}
	return breachedKey(strings.ToLower(norm.NFC.String(line)))
}

func breachedKey(text string) uint64 {
	sum := sha1.Sum([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// has reports whether the list contains a prepared password as a whole, as it is or in lower
// case: a list of hashes has the breached spellings, and a list of texts is compared without
// case.
func (b breached) has(prepared string) bool {
	for _, text := range []string{prepared, strings.ToLower(prepared)} {
		if _, found := slices.BinarySearch(b, breachedKey(text)); found {
			return true
		}
	}
	return false
}
