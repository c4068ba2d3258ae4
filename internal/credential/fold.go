package credential

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// People who must change a word that is refused put a capital in front, add a year and a sign
// at the end, and replace an o by a zero. People who guess passwords know that, so a password
// is compared in every form in which one of these habits is undone (decision 0018). A long
// phrase that merely contains a word passes: only what stands at the ends may be dropped.

// disguised is how many digits and signs next to the letters may belong to the word: three in
// "b0$$", five in "tr01010", which is in the list.
const disguised = 6

// longestWord is more bytes than any word that a password is compared with.
const longestWord = 400

// forms returns the folded words that text may be a disguise of, at most 100,
// whatever the length of text.
func forms(text string) []string {
	text = root(caseless(text))
	all := []string{canonical(text)}
	before, word, after := trim(text)
	if word != "" && len(word) <= longestWord {
		for i := range disguised + 1 {
			for j := range disguised + 1 {
				all = append(all, canonical(last(before, i)+word+first(after, j)))
			}
		}
	}
	for _, form := range all {
		if r := root(form); r != form {
			all = append(all, r)
		}
	}
	return all
}

// caseless folds what looks or reads the same: case, full width, ligatures.
func caseless(text string) string {
	return strings.ToLower(norm.NFKC.String(text))
}

// trim removes digits and signs from both ends of text. If there is nothing else, the word is
// empty.
func trim(text string) (before, word, after string) {
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }
	start := strings.IndexFunc(text, inWord)
	if start < 0 {
		return text, "", ""
	}
	rest := strings.TrimRightFunc(text[start:], func(r rune) bool { return !inWord(r) })
	return text[:start], rest, text[start+len(rest):]
}

// first returns the first n characters of s, or s.
func first(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// last returns the last n characters of s, or s.
func last(s string, n int) string {
	r := []rune(s)
	return string(r[max(0, len(r)-n):])
}

// canonical undoes the common replacements and drops accents and what separates words. If one
// sign stands for two letters, both letters become one, so that "h3110" and "hello" match.
func canonical(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '4', '@':
			return 'a'
		case '8':
			return 'b'
		case '(':
			return 'c'
		case '3', '€':
			return 'e'
		case '6', '9':
			return 'g'
		case '1', '!', '|', 'l', '£':
			return 'i'
		case '0':
			return 'o'
		case '5', '$':
			return 's'
		case '7', '+':
			return 't'
		case '2':
			return 'z'
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mc, r) {
			return r
		}
		return -1
	}, norm.NFD.String(s))
}

// root returns the word that s repeats, or s.
func root(s string) string {
	// border[i] is the length of the longest proper prefix of s[:i+1] that is its suffix as
	// well; it gives the shortest period, in linear time.
	border := make([]int, len(s))
	for i := 1; i < len(s); i++ {
		k := border[i-1]
		for k > 0 && s[i] != s[k] {
			k = border[k-1]
		}
		if s[i] == s[k] {
			k++
		}
		border[i] = k
	}
	if len(s) == 0 {
		return s
	}
	if period := len(s) - border[len(s)-1]; len(s)%period == 0 {
		return s[:period]
	}
	return s
}
