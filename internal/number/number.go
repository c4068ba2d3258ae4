// Package number reads numbers in the form in which programs write them. It refuses +8, 08
// and 8 with a space, which other readers may take for another number or for none.
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

// Port reads the port number of a network address.
func Port(text string) (n int, ok bool) {
	n, ok = Parse(text)
	return n, ok && n >= 1 && n <= 65535
}

// Duration reads a duration in the form that the lists in our pages use, such as 1h30m0s.
func Duration(text string) (d time.Duration, ok bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d.String() == text
}
