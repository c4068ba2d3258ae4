package credential

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// runLength is how many characters the runs of a password must have on average for the password
// to be nothing but runs. Words have runs too, such as "were" and "pool". With 4, this refuses
// 63 of 100,000 random passwords of eight characters, and 2 of 100,000 phrases of three words
// without spaces.
const runLength = 4

// longestRun is longer than one walk over all keys. Longer texts, such as one letter four
// hundred times, are in no list of guesses.
const longestRun = 64

// isRuns reports whether a password, or what is left of it without the digits and signs at its
// ends, is a chain of runs over a keyboard or through an alphabet: "qwertz123", "!QAZ2wsx",
// "abcdefgh", "aaaa1111".
func isRuns(password string) bool {
	whole := caseless(password)
	_, word, _ := trim(whole)
	for _, k := range keyboards {
		if k.runs(whole) || k.runs(word) {
			return true
		}
	}
	return false
}

// A keyboard is its four rows of keys from the top, each key as written without and with shift.
// A space is not a key.
type keyboard [4][2]string

// runs reports whether a finger that runs over k, or that counts, types text with few jumps.
func (k keyboard) runs(text string) bool {
	length := utf8.RuneCountInString(text)
	if length < runLength || length > longestRun {
		return false
	}
	jumps, before, from := 0, rune(-1), nowhere
	for _, r := range text {
		to := k.find(r)
		if !from.touches(to) && !counts(before, r) {
			if jumps++; jumps*runLength > length {
				return false
			}
		}
		before, from = r, to
	}
	return true
}

// counts reports whether b is the letter or digit a again, the one before or the one after.
func counts(a, b rune) bool {
	return max(a-b, b-a) <= 1 && (unicode.IsLetter(b) || unicode.IsDigit(b))
}

// A key is a place on a keyboard: a row from the top, and a number in it.
type key struct{ row, number int }

var nowhere = key{-1, -1}

// touches reports whether the keys touch, or are the same. Each row is half a key to the right
// of the one above.
func (k key) touches(other key) bool {
	if k == nowhere || other == nowhere {
		return false
	}
	switch right := other.number - k.number; other.row - k.row {
	case 0:
		return -1 <= right && right <= 1
	case 1:
		return right == -1 || right == 0
	case -1:
		return right == 0 || right == 1
	}
	return false
}

// find returns the key that writes r.
func (k keyboard) find(r rune) key {
	for row, keys := range k {
		for _, written := range keys {
			if i := strings.IndexRune(written, r); i >= 0 {
				return key{row, utf8.RuneCountInString(written[:i])}
			}
		}
	}
	return nowhere
}

// keyboards are those whose runs are in every list of guesses. Keys that need a third level are
// left out.
var keyboards = [...]keyboard{
	{ // English
		{"1234567890-=", "!@#$%^&*()_+"},
		{"qwertyuiop[]", "qwertyuiop{}"},
		{"asdfghjkl;'", `asdfghjkl:"`},
		{"zxcvbnm,./", "zxcvbnm<>?"},
	},
	{ // German
		{"1234567890ß´", `!"§$%&/()=?`},
		{"qwertzuiopü+", "qwertzuiopü*"},
		{"asdfghjklöä#", "asdfghjklöä'"},
		{"yxcvbnm,.-", "yxcvbnm;:_"},
	},
	{ // French
		{`&é"'(-è_çà)=`, "1234567890°+"},
		{"azertyuiop^$", "azertyuiop¨£"},
		{"qsdfghjklmù*", "qsdfghjklm%µ"},
		{"wxcvbn,;:!", "wxcvbn?./§"},
	},
	{ // Russian
		{"1234567890-=", `!"№;%:?*()_+`},
		{"йцукенгшщзхъ", "йцукенгшщзхъ"},
		{"фывапролджэ", "фывапролджэ"},
		{"ячсмитьбю.", "ячсмитьбю,"},
	},
	{ // Number pad
		{"789", ""},
		{"456", ""},
		{"123", ""},
	},
}
