// Package rotation replaces keys of an installation while it runs: those of DATA/keys, which no
// database has. A new key is first known to every node, then written with, and the one before is taken
// out once nothing needs it any more (decision 0093).
//
// Which key of a ring writes stands in the database, so that every node changes over without being told
// by hand, and one whose file lacks a key that is in use is refused.
package rotation

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// Note is the row of installation that says which keys a database needs, a line for each: its ring, its
// id, a MAC under it and, if it was put in use later, since when. The first line of a ring is of the key
// that writes. Keys that were taken out have a line with their id.
const Note = "keys"

// RingNames are the rings in the order in which people read of them.
var RingNames = []string{"sealing", "pepper", "lookup"}

// retired begins the line of a key that was taken out.
const retired = "retired"

// A Mark is a key as the database knows it.
type Mark struct {
	ID    string
	Since time.Time // when it was put in use; zero for one that the installation began with
	proof string
}

// Known is what a database says of its keys.
type Known struct {
	Rings   map[string][]Mark // the one that writes first
	Retired []string
}

// Describe returns what a new database says of keys.
func Describe(keys secret.Keys) Known {
	k := Known{Rings: map[string][]Mark{}}
	for name, ring := range keys.Rings() {
		k.Rings[name] = []Mark{markOf(ring.Current(), name)}
	}
	return k
}

// markOf adds to the id of a key a MAC under it, which shows whether a key is the same and reveals
// nothing about the key.
func markOf(k secret.Key, ring string) Mark {
	return Mark{ID: k.ID, proof: base64.RawURLEncoding.EncodeToString(secret.MAC(k.Bytes, "parvis keys", ring, k.ID))}
}

// String returns the text of the note.
func (k Known) String() string {
	var lines []string
	for _, ring := range RingNames {
		for _, m := range k.Rings[ring] {
			line := ring + " " + m.ID + " " + m.proof
			if !m.Since.IsZero() {
				line += " " + strconv.FormatInt(m.Since.Unix(), 10)
			}
			lines = append(lines, line)
		}
	}
	for _, id := range k.Retired {
		lines = append(lines, retired+" "+id)
	}
	return strings.Join(lines, "\n")
}

// Parse reads the text of the note. What it cannot read fits no keys.
func Parse(text string) Known {
	k := Known{Rings: map[string][]Mark{}}
	for line := range strings.Lines(text) {
		part := strings.Fields(line)
		switch {
		case len(part) == 2 && part[0] == retired:
			k.Retired = append(k.Retired, part[1])
		case len(part) < 3 || len(part) > 4 || !slices.Contains(RingNames, part[0]):
			return Known{}
		default:
			m := Mark{ID: part[1], proof: part[2]}
			if len(part) == 4 {
				since, err := strconv.ParseInt(part[3], 10, 64)
				if err != nil {
					return Known{}
				}
				m.Since = time.Unix(since, 0).UTC()
			}
			k.Rings[part[0]] = append(k.Rings[part[0]], m)
		}
	}
	return k
}

// Read returns what a database says of its keys.
func Read(ctx context.Context, r db.Reader) (Known, error) {
	text, err := db.ReadNote(ctx, r, Note)
	return Parse(text), err
}

// Fits reports whether every key that a database needs is in keys. Others do no harm.
func (k Known) Fits(keys secret.Keys) bool {
	for name, ring := range keys.Rings() {
		if len(k.Rings[name]) == 0 {
			return false
		}
		for _, m := range k.Rings[name] {
			if key, ok := byID(ring, m.ID); !ok || markOf(key, name).proof != m.proof {
				return false
			}
		}
	}
	return true
}

// FirstByHand returns the keys that stand first in their ring of a file, and that the database never put in
// use. Before decision 0093 that is where somebody wrote a key to have it used; add puts one last.
func (k Known) FirstByHand(file secret.Keys) (ids []string) {
	rings := file.Rings()
	for _, name := range RingNames {
		first := rings[name].Current().ID
		if !slices.Contains(k.Retired, first) && !slices.ContainsFunc(k.Rings[name], func(m Mark) bool { return m.ID == first }) {
			ids = append(ids, first)
		}
	}
	return ids
}

func byID(ring *secret.Ring, id string) (secret.Key, bool) {
	if ring == nil {
		return secret.Key{}, false
	}
	return ring.ByID(id)
}

// Order brings the keys of a file, which fit, into the order of the database: the one that writes is
// first, one that is not in use yet only reads, and one that was taken out is left out.
func (k Known) Order(file, into secret.Keys) {
	from := file.Rings()
	for name, ring := range into.Rings() {
		var keys []secret.Key
		for _, m := range k.Rings[name] {
			key, _ := from[name].ByID(m.ID)
			key.Added = false
			keys = append(keys, key)
		}
		for _, key := range from[name].All() {
			if !slices.Contains(k.Retired, key.ID) && !slices.ContainsFunc(keys, func(k secret.Key) bool { return k.ID == key.ID }) {
				key.Added = true
				keys = append(keys, key)
			}
		}
		if !same(ring.All(), keys) {
			ring.Take(keys)
		}
	}
}

func same(a, b []secret.Key) bool {
	return slices.EqualFunc(a, b, func(a, b secret.Key) bool {
		return a.ID == b.ID && a.Added == b.Added && secret.Equal(a.Bytes, b.Bytes)
	})
}

// RingOf returns the name of the ring that a key is in; empty if it is in none.
func RingOf(keys secret.Keys, id string) string {
	for name, ring := range keys.Rings() {
		if _, ok := ring.ByID(id); ok {
			return name
		}
	}
	return ""
}

// Why a key is not put in use or taken out.
var (
	ErrUnknown = errors.New("there is no such key in DATA/keys")
	ErrWrites  = errors.New("it is the key that everything new is written with: put another one in use first")
	ErrRetired = errors.New("it was taken out before, and may be known to others: add another one")
	ErrForeign = errors.New("these are not the keys of this database")
)
