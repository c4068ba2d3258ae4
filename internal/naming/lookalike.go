package naming

import (
	_ "embed" // for the table of look-alikes
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold makes equal what differs in case, width, composition and characters that
// nobody sees (Unicode §3.13, NFKC_Casefold). It is for comparing only.
func Fold(s string) string {
	// A folded letter may compose with the mark behind it and fold again.
	for range 4 {
		next := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.Map(visible, s))))
		if next == s {
			break
		}
		s = next
	}
	return s
}

func visible(r rune) rune {
	if isIgnorable(r) {
		return -1
	}
	return r
}

// isIgnorable tells whether r may show nothing at all: format characters with the
// controls of direction, variation selectors, and fillers that count as letters.
func isIgnorable(r rune) bool {
	return r > unicode.MaxASCII &&
		unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// confusables.txt maps a character to what it looks like; its head says where it
// is from and how it was made.
//
//go:embed confusables.txt
var confusablesText string

// confusables reads the table when the first name is compared, about a
// millisecond's work that most commands never need.
var confusables = sync.OnceValue(readConfusables)

func readConfusables() map[rune]string {
	table := make(map[rune]string, strings.Count(confusablesText, "\n"))
	for line := range strings.Lines(confusablesText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var chars []rune
		for hex := range strings.FieldsSeq(line) {
			r, err := strconv.ParseUint(hex, 16, 21)
			if err != nil {
				panic("confusables.txt: " + err.Error()) // embedded: a test would have told
			}
			chars = append(chars, rune(r))
		}
		if len(chars) > 1 {
			table[chars[0]] = string(chars[1:])
		}
	}
	return table
}

// LookAlike reports whether people could take one name for the other.
func LookAlike(a, b string) bool { return Skeleton(a) == Skeleton(b) }

// Skeleton makes equal what looks alike (UTS #39 §4, after folding). It is for
// comparing only: 0 becomes o, and m becomes rn. Folding comes first, so a letter
// looks like what either of its cases looks like: the capital I passes for an l,
// therefore i and l are one; the Cyrillic в is a b for its capital's sake.
func Skeleton(s string) string {
	// What a character looks like may fold or look like something else in turn.
	for range 4 {
		next := looks(Fold(s))
		if next == s {
			break
		}
		s = next
	}
	return s
}

func looks(s string) string {
	table := confusables()
	var b strings.Builder
	dotted := false
	for _, r := range norm.NFD.String(s) {
		if norm.NFD.PropertiesString(string(r)).CCC() == 0 {
			dotted = unicode.Is(unicode.Soft_Dotted, r) || r == 'ı' || r == 'ȷ'
		} else if r == '\u0307' && dotted {
			continue // a dot upon i or j takes the place of its own
		}
		if to, ok := table[r]; ok {
			b.WriteString(to)
		} else {
			b.WriteRune(r)
		}
	}
	return norm.NFD.String(b.String())
}

// DisplaySkeleton makes equal the display names of organizations that look
// alike, spaces aside. No two organizations may share one.
func DisplaySkeleton(s string) string {
	words := strings.Fields(norm.NFD.String(s))
	for i, word := range words {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(unicode.Latin, r) }) {
			words[i] = smallGreek.Replace(word)
		}
	}
	// Folding makes a space and a mark of a few signs.
	return Skeleton(strings.Join(strings.Fields(Fold(strings.Join(words, ""))), ""))
}

// smallGreek are the letters whose small form passes for another Latin letter
// than their capital, which the table follows. Small ones matter among Latin
// letters, where nobody writes Greek; in a Greek word case must not.
var smallGreek = strings.NewReplacer("ν", "v", "υ", "u")

// undecomposed are letters that are typed without their stroke or ligature on a
// keyboard that lacks them, and that Unicode does not take apart.
var undecomposed = strings.NewReplacer(
	"ı", "i", "ł", "l", "ø", "o", "đ", "d", "ð", "d", "ħ", "h", "ŧ", "t", "æ", "ae", "œ", "oe", "þ", "th",
)

// SearchKey joins what a search should find into one text without case and
// diacritics.
func SearchKey(parts ...string) string {
	s := Fold(strings.ToValidUTF8(strings.Join(parts, " "), " "))
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case unicode.IsControl(r) || unicode.IsSpace(r):
			return ' '
		}
		return r
	}, norm.NFKD.String(s))
	return strings.Join(strings.Fields(norm.NFC.String(undecomposed.Replace(s))), " ")
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// maxSearch bounds in bytes what is searched for; the rest is left out.
const maxSearch = 200

// SearchPattern finds what somebody typed anywhere in a SearchKey, as
// like $n escape '\'. It is "" when there is nothing to find.
func SearchPattern(typed string) string {
	// SearchKey drops what the cut leaves of a letter.
	key := SearchKey(typed[:min(len(typed), maxSearch)])
	if key == "" {
		return ""
	}
	return "%" + likeEscaper.Replace(key) + "%"
}
