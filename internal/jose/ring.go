package jose

import (
	"slices"
	"time"
)

// Own is a key of ours, whatever it signs. A new key is published before it signs, so that those who
// keep a copy of our keys have it by then. The one before it stays published for an overlap, until
// what it signed has ended (decision 0050).
type Own interface{ SignsFrom() time.Time }

// Signing returns the index of the key that signs: the newest whose time has come or, if none's
// has, the oldest, which others are the most likely to know; -1 if there is no key.
func Signing[K Own](newestFirst []K, now time.Time) int {
	if i := newestSince(newestFirst, now); i >= 0 {
		return i
	}
	return len(newestFirst) - 1
}

// Retired returns the keys that were replaced at least the overlap ago.
func Retired[K Own](newestFirst []K, now time.Time, overlap time.Duration) []K {
	if i := newestSince(newestFirst, now.Add(-overlap)); i >= 0 {
		return newestFirst[i+1:]
	}
	return nil
}

// Due reports whether the next key must be made: there is none, or the newest has signed for as long
// as a key does.
func Due[K Own](newestFirst []K, now time.Time, lasts time.Duration) bool {
	return len(newestFirst) == 0 || !now.Before(newestFirst[0].SignsFrom().Add(lasts))
}

func newestSince[K Own](newestFirst []K, at time.Time) int {
	return slices.IndexFunc(newestFirst, func(k K) bool { return !at.Before(k.SignsFrom()) })
}
