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

// Fold removes differences of case, width, composition and invisible characters (Unicode §3.13,
// NFKC_Casefold). The result is only for comparing.
func Fold(s string) string {
	// A folded letter may compose with the mark after it, and then fold again.
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

// isIgnorable reports whether r may be invisible: format characters, including those that control
// direction, variation selectors, and fillers that count as letters.
func isIgnorable(r rune) bool {
	return r > unicode.MaxASCII &&
		unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// confusables.txt maps a character to what it looks like; its head says where it
// is from and how it was made.
//
//go:embed confusables.txt
var confusablesText string

// confusables reads the table when the first name is compared, since it takes about a millisecond
// and most commands never need it.
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
				panic("confusables.txt: " + err.Error()) // the file is embedded, and a test reads it
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

// Skeleton makes look-alikes equal (UTS #39 §4, after folding). The result is only for comparing: 0
// becomes o, and m becomes rn. Because folding comes first, a letter looks like whatever either of
// its cases looks like: i and l are equal because a capital I looks like an l, and the Cyrillic в is
// a b because of its capital.
func Skeleton(s string) string {
	// What a character looks like may itself fold, or look like something else.
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
			continue // a dot above replaces the dot that i and j have
		}
		if to, ok := table[r]; ok {
			b.WriteString(to)
		} else {
			b.WriteRune(r)
		}
	}
	return norm.NFD.String(b.String())
}

// DisplaySkeleton makes display names equal that look alike apart from spaces. No two organizations
// may share one.
func DisplaySkeleton(s string) string {
	words := strings.Fields(norm.NFD.String(s))
	for i, word := range words {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(unicode.Latin, r) }) {
			words[i] = smallGreek.Replace(word)
		}
	}
	// Folding turns a few signs into a space and a mark.
	return Skeleton(strings.Join(strings.Fields(Fold(strings.Join(words, ""))), ""))
}

// smallGreek maps Greek letters whose small form looks like a different Latin letter than their
// capital, which the table goes by. Among Latin letters the small form counts, since nobody writes
// Greek there; in a Greek word case must not matter.
var smallGreek = strings.NewReplacer("ν", "v", "υ", "u")

// undecomposed maps letters that people type without their stroke or ligature if their keyboard
// lacks them, and that Unicode does not decompose.
var undecomposed = strings.NewReplacer(
	"ı", "i", "ł", "l", "ø", "o", "đ", "d", "ð", "d", "ħ", "h", "ŧ", "t", "æ", "ae", "œ", "oe", "þ", "th",
)

// SearchKey joins what a search should find into one text, without case and diacritics.
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

// maxSearch is how many bytes of a search count; the rest is ignored.
const maxSearch = 200

// SearchPattern returns a pattern that finds what was typed anywhere in a SearchKey, for
// like $n escape '\'. It is "" if there is nothing to find.
func SearchPattern(typed string) string {
	// SearchKey drops a letter that the cut left incomplete.
	key := SearchKey(typed[:min(len(typed), maxSearch)])
	if key == "" {
		return ""
	}
	return "%" + likeEscaper.Replace(key) + "%"
}
