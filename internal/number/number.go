package page

import "strconv"

// Number reads a whole number as our pages write one. What reads otherwise to other
// readers, such as +8, 08 or 8 with a space, is none.
func Number(text string) (n int, ok bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && strconv.Itoa(n) == text
}
