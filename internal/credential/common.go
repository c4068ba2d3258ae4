package credential

import (
	_ "embed"
	"strings"
)

// commonWords are the passwords that people use most, folded by canonical, sorted, each on a
// line. They stay in the mapped file of the program: nothing is unpacked at start, nothing is
// on the heap, and a look-up reads 16 lines.
//
//go:embed common/words.txt
var commonWords string

// isCommon reports whether a folded word is in the list.
func isCommon(word string) bool {
	low, high := 0, len(commonWords) // both at the beginning of a line
	for low < high {
		start := low + strings.LastIndexByte(commonWords[low:(low+high)/2], '\n') + 1
		end := start + strings.IndexByte(commonWords[start:], '\n')
		switch strings.Compare(word, commonWords[start:end]) {
		case -1:
			high = start
		case 1:
			low = end + 1
		default:
			return true
		}
	}
	return false
}
