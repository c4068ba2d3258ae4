package jose

import (
	"slices"
	"time"
)

// Own is a key of ours, whatever it signs. A new one is published before it signs, so
// that everybody who keeps a copy of our keys knows it by then; the one before it stays
// published for an overlap, until what it signed has ended (decision 0050).
type Own interface{ SignsFrom() time.Time }

// Signing is the index of the key that signs: the newest whose time has come; the oldest
// where none is, which is all that anybody can know; -1 where there is no key.
func Signing[K Own](newestFirst []K, now time.Time) int {
	if i := newestSince(newestFirst, now); i >= 0 {
		return i
	}
	return len(newestFirst) - 1
}

// Retired are the keys that another has replaced for the overlap.
func Retired[K Own](newestFirst []K, now time.Time, overlap time.Duration) []K {
	if i := newestSince(newestFirst, now.Add(-overlap)); i >= 0 {
		return newestFirst[i+1:]
	}
	return nil
}

// Due reports whether the next key is to be made: there is none, or the newest has signed
// for as long as one does.
func Due[K Own](newestFirst []K, now time.Time, lasts time.Duration) bool {
	return len(newestFirst) == 0 || !now.Before(newestFirst[0].SignsFrom().Add(lasts))
}

func newestSince[K Own](newestFirst []K, at time.Time) int {
	return slices.IndexFunc(newestFirst, func(k K) bool { return !at.Before(k.SignsFrom()) })
}
