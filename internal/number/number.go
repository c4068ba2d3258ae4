// Package number reads numbers as programs write them. What other readers take for
// another number, or for none, is none: +8, 08, 8 with a space.
package number

import (
	"strconv"
	"time"
)

// Parse reads a whole number.
func Parse(text string) (n int, ok bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && strconv.Itoa(n) == text
}

// Port reads the port of an address that something is reached at.
func Port(text string) (n int, ok bool) {
	n, ok = Parse(text)
	return n, ok && n >= 1 && n <= 65535
}

// Duration reads a time as the lists of our forms write it, such as 1h30m0s.
func Duration(text string) (d time.Duration, ok bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d.String() == text
}
